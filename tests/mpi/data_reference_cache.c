// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/reference_cache.h"

#include "dpo/store/h5file.h"
#include "mpi_test.h"
#include "scratch.h"

/* Responses 4 and 9 are the same, number 2 is empty; number 7 is large enough to cross pages. */
enum { N = 12, TWIN_A = 4, TWIN_B = 9, EMPTY = 2, LARGE = 7, MOST_TOKENS = 5000 };

static const dpo_reference_key key = {{1, 2}, "models/first, f32"};

static int rank_of_world(void)
{
    return dpo_grid_rank(test_grid, DPO_WORLD);
}

static int size_of_world(void)
{
    return dpo_grid_size(test_grid, DPO_WORLD);
}

static int64_t kind_of(int64_t response)
{
    return response == TWIN_B ? TWIN_A : response;
}

static int64_t tokens_of(int64_t response)
{
    if (response == EMPTY) return 0;
    return response == LARGE ? MOST_TOKENS : 3 + kind_of(response) * 5;
}

static float logp_of(int64_t response, int64_t i)
{
    return -(float)(kind_of(response) * 1000 + i % 997) / 64.0f;
}

static dpo_digest digest_of(int64_t response)
{
    const int32_t prompt[2] = {7, (int32_t)kind_of(response)};
    const int32_t tokens[3] = {1, 2, (int32_t)kind_of(response)};

    return dpo_reference_digest(2, prompt, 3, tokens);
}

/* Opens a cache that wants the responses first, first + step, ... below N, numbered 0, 1, ... */
static dpo_status open_some(const dpo_reference_key *k, int64_t first, int64_t step,
                            dpo_reference_cache **cache)
{
    dpo_digest digests[N];
    int64_t n_tokens[N];
    int64_t n = 0;

    for (int64_t r = first; r < N; r += step, n++) {
        digests[n] = digest_of(r);
        n_tokens[n] = tokens_of(r);
    }
    const dpo_reference_wanted wanted = {n, digests, n_tokens};

    return dpo_reference_cache_open(test_grid, in_scratch("reference.h5"), k, &wanted, cache);
}

static dpo_status open_all(dpo_reference_cache **cache)
{
    return open_some(&key, 0, 1, cache);
}

static int64_t count_missing(const dpo_reference_cache *cache)
{
    int64_t n;

    (void)dpo_reference_cache_missing(cache, &n);
    return n;
}

static dpo_status put_one(dpo_reference_cache *cache, int64_t number, int64_t response)
{
    float logps[MOST_TOKENS];

    for (int64_t i = 0; i < tokens_of(response); i++)
        logps[i] = logp_of(response, i);
    return dpo_reference_cache_put(cache, number, logps);
}

/* Puts what is missing, dealt to the first n_writers ranks, as far as its place in the list is below end. */
static dpo_status put_missing(dpo_reference_cache *cache, int64_t first, int64_t step,
                              int n_writers, int64_t end)
{
    int64_t n;
    const int64_t *missing = dpo_reference_cache_missing(cache, &n);

    for (int64_t i = 0; i < n && i < end; i++)
        if (i % n_writers == rank_of_world())
            DPO_TRY(put_one(cache, missing[i], first + step * missing[i]));
    return DPO_OK;
}

static dpo_status fill(dpo_reference_cache *cache, int64_t first, int64_t step)
{
    dpo_status status = put_missing(cache, first, step, size_of_world(), N);

    return dpo_reference_cache_commit(test_grid, status, cache);
}

static int64_t count_wrong(const dpo_reference_cache *cache, int64_t first, int64_t step)
{
    float logps[MOST_TOKENS];
    double sums[N];
    int64_t n_wrong = dpo_reference_cache_sums(test_grid, cache, sums) != DPO_OK;

    for (int64_t r = first, k = 0; r < N; r += step, k++) {
        double sum = 0.0;

        n_wrong += dpo_reference_cache_get(cache, k, logps) != DPO_OK;
        for (int64_t i = 0; i < tokens_of(r); i++) {
            n_wrong += logps[i] != logp_of(r, i);
            sum += (double)logp_of(r, i);
        }
        n_wrong += sums[k] != sum;
    }
    return n_wrong;
}

static void what_was_committed_is_there_for_every_rank(void **state)
{
    (void)state;
    dpo_reference_cache *cache;

    begin_scratch();
    ASSERT_OK(open_all(&cache));
    ASSERT_ALL(count_missing(cache) == N - 1); /* equal responses share an entry */
    ASSERT_OK(fill(cache, 0, 1));
    ASSERT_ALL(count_missing(cache) == 0 && count_wrong(cache, 0, 1) == 0);
    dpo_reference_cache_close(&cache);
    ASSERT_OK(open_all(&cache));
    ASSERT_ALL(count_missing(cache) == 0 && count_wrong(cache, 0, 1) == 0);
    ASSERT_ALL(files_in_scratch() == 1);
    dpo_reference_cache_close(&cache);
    end_scratch();
}

/* The file does not know how many ranks wrote it: one writer's is what all ranks' would be. */
static void the_writers_number_does_not_matter(void **state)
{
    (void)state;
    dpo_reference_cache *cache;

    for (int n_writers = 1; n_writers <= size_of_world(); n_writers++) {
        begin_scratch();
        ASSERT_OK(open_all(&cache));
        ASSERT_OK(
            dpo_reference_cache_commit(test_grid, put_missing(cache, 0, 1, n_writers, N), cache));
        dpo_reference_cache_close(&cache);
        ASSERT_OK(open_all(&cache));
        ASSERT_ALL(count_missing(cache) == 0 && count_wrong(cache, 0, 1) == 0);
        dpo_reference_cache_close(&cache);
        end_scratch();
    }
}

static void subsets_and_supersets_of_the_data_hit(void **state)
{
    (void)state;
    dpo_reference_cache *cache;

    begin_scratch();
    ASSERT_OK(open_some(&key, 1, 3, &cache)); /* 1 4 7 10 */
    ASSERT_ALL(count_missing(cache) == 4);
    ASSERT_OK(fill(cache, 1, 3));
    dpo_reference_cache_close(&cache);
    ASSERT_OK(open_some(&key, 0, 1, &cache));
    ASSERT_ALL(count_missing(cache) == N - 1 - 4);
    dpo_reference_cache_close(&cache); /* the larger file keeps what the smaller one had */
    ASSERT_OK(open_some(&key, 1, 6, &cache));
    ASSERT_ALL(count_missing(cache) == 0 && count_wrong(cache, 1, 6) == 0);
    dpo_reference_cache_close(&cache);
    ASSERT_OK(open_some(&key, 0, 1, &cache));
    ASSERT_ALL(count_missing(cache) == N - 1 - 4);
    ASSERT_OK(fill(cache, 0, 1));
    ASSERT_ALL(count_wrong(cache, 0, 1) == 0);
    dpo_reference_cache_close(&cache);
    end_scratch();
}

static void another_reference_is_refused_and_both_are_named(void **state)
{
    (void)state;
    const dpo_reference_key other = {{1, 3}, "models/second, f32"};
    dpo_reference_cache *cache;

    begin_scratch();
    ASSERT_OK(open_all(&cache));
    dpo_reference_cache_close(&cache);
    dpo_status status = open_some(&other, 0, 1, &cache);

    ASSERT_ALL(status == DPO_EUSAGE && cache == NULL);
    ASSERT_FAILS(status, DPO_EUSAGE, "models/first, f32");
    ASSERT_FAILS(status, DPO_EUSAGE, "models/second, f32");
    ASSERT_FAILS(status, DPO_EUSAGE, "reference.cache");
    end_scratch();
}

/* A job that dies after put and before commit leaves numbers without checksums. */
static void what_was_not_committed_is_missing(void **state)
{
    (void)state;
    dpo_reference_cache *cache;

    begin_scratch();
    ASSERT_OK(open_all(&cache));
    ASSERT_OK(
        dpo_reference_cache_commit(test_grid, put_missing(cache, 0, 1, size_of_world(), 5), cache));
    ASSERT_ALL(count_missing(cache) == N - 1 - 5);
    ASSERT_OK(put_missing(cache, 0, 1, size_of_world(), 4));
    dpo_reference_cache_close(&cache);
    dpo_barrier(test_grid, DPO_WORLD);
    ASSERT_OK(open_all(&cache));
    ASSERT_ALL(count_missing(cache) == N - 1 - 5);
    ASSERT_OK(fill(cache, 0, 1));
    ASSERT_ALL(count_wrong(cache, 0, 1) == 0);
    dpo_reference_cache_close(&cache);
    end_scratch();
}

/* Changes one log-prob, or one entry's checksum, behind the cache's back. */
static void damage(const char *dataset, int64_t element)
{
    dpo_h5_file *file;
    unsigned char bytes[8] = {0};
    dpo_status status = DPO_OK;

    ASSERT_OK(dpo_h5_open(test_grid, in_scratch("reference.h5"), DPO_H5_WRITE, &file));
    int64_t d = dpo_h5_find(file, dataset);

    if (rank_of_world() == 0) {
        status = dpo_h5_read(file, d, element, 1, bytes);
        bytes[1] ^= 4;
        if (status == DPO_OK) status = dpo_h5_write(file, d, element, 1, bytes);
    }
    ASSERT_OK(dpo_h5_sync(test_grid, status, file));
    dpo_h5_close(&file);
}

static void torn_entries_are_computed_anew(void **state)
{
    (void)state;
    static const struct {
        const char *dataset;
        int64_t element;
        int64_t response;
    } cases[] = {{"logp", 0, 0}, {"logp", 2, 0}, {"checksum", 5, 5}, {"checksum", EMPTY, EMPTY}};
    dpo_reference_cache *cache;

    begin_scratch();
    ASSERT_OK(open_all(&cache));
    ASSERT_OK(fill(cache, 0, 1));
    dpo_reference_cache_close(&cache);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        int64_t n;

        damage(cases[c].dataset, cases[c].element);
        ASSERT_OK(open_all(&cache));
        const int64_t *missing = dpo_reference_cache_missing(cache, &n);

        ASSERT_ALL(n == 1 && missing[0] == cases[c].response);
        ASSERT_OK(fill(cache, 0, 1));
        ASSERT_ALL(count_missing(cache) == 0 && count_wrong(cache, 0, 1) == 0);
        dpo_reference_cache_close(&cache);
    }
    end_scratch();
}

/* Its name no longer leads to the entry, so it is as if it had never been there. */
static void an_entry_whose_name_is_damaged_is_never_hit(void **state)
{
    (void)state;
    dpo_reference_cache *cache;

    begin_scratch();
    ASSERT_OK(open_all(&cache));
    ASSERT_OK(fill(cache, 0, 1));
    dpo_reference_cache_close(&cache);
    damage("digest", 2 * (int64_t)LARGE);
    ASSERT_OK(open_all(&cache));
    ASSERT_ALL(count_missing(cache) == 1);
    ASSERT_OK(fill(cache, 0, 1));
    ASSERT_ALL(count_wrong(cache, 0, 1) == 0);
    dpo_reference_cache_close(&cache);
    damage("logp_begin", 3);
    dpo_status status = open_all(&cache);

    ASSERT_ALL(status == DPO_EDATA && cache == NULL);
    end_scratch();
}

static void a_change_behind_an_open_cache_is_noticed(void **state)
{
    (void)state;
    dpo_reference_cache *cache;
    float logps[MOST_TOKENS];

    begin_scratch();
    ASSERT_OK(open_all(&cache));
    ASSERT_OK(fill(cache, 0, 1));
    damage("logp", 1);
    ASSERT_FAILS(dpo_reference_cache_get(cache, 0, logps), DPO_EDATA, "response 0");
    ASSERT_OK(dpo_reference_cache_get(cache, 1, logps));
    dpo_reference_cache_close(&cache);
    end_scratch();
}

static void a_failing_rank_commits_nothing(void **state)
{
    (void)state;
    bool is_last = rank_of_world() == size_of_world() - 1;
    dpo_reference_cache *cache;

    begin_scratch();
    ASSERT_OK(open_all(&cache));
    dpo_status local = put_missing(cache, 0, 1, size_of_world(), N);

    if (is_last) local = DPO_FAIL(DPO_EIO, "a network cable was pulled");
    dpo_status status = dpo_reference_cache_commit(test_grid, local, cache);

    ASSERT_ALL(status == DPO_EIO && count_missing(cache) == N - 1);
    ASSERT_FAILS(status, DPO_EIO, "cable");
    dpo_reference_cache_close(&cache);
    ASSERT_OK(open_all(&cache));
    ASSERT_ALL(count_missing(cache) == N - 1);
    dpo_reference_cache_close(&cache);
    end_scratch();
}

static void no_memory_on_one_rank_fails_all(void **state)
{
    (void)state;
    bool is_last = rank_of_world() == size_of_world() - 1;
    dpo_status status = DPO_ENOMEM;
    dpo_reference_cache *cache;
    int n = 0;

    begin_scratch();
    while (status != DPO_OK && n < 300) {
        n++;
        dpo_memory_fail_after(is_last ? n : 0);
        status = open_some(&key, 0, n % 2 + 1, &cache);
        if (status == DPO_OK) status = fill(cache, 0, n % 2 + 1);
        dpo_memory_fail_after(0);
        dpo_reference_cache_close(&cache);
        ASSERT_ALL(status == DPO_ENOMEM || status == DPO_OK);
    }
    ASSERT_ALL(n > 20 && n < 300);
    ASSERT_OK(open_all(&cache));
    ASSERT_OK(fill(cache, 0, 1));
    ASSERT_ALL(count_wrong(cache, 0, 1) == 0);
    dpo_reference_cache_close(&cache);
    end_scratch();
}

static void lists_that_differ_between_ranks_are_refused(void **state)
{
    (void)state;
    dpo_reference_cache *cache;

    if (size_of_world() == 1) skip();
    begin_scratch();
    dpo_status status = open_some(&key, rank_of_world() == 0, 1, &cache);

    ASSERT_ALL(status == DPO_EUSAGE && cache == NULL);
    end_scratch();
}

static void the_digest_sees_the_boundary(void **state)
{
    (void)state;
    const int32_t tokens[4] = {1, 2, 3, 4};
    dpo_digest whole = dpo_reference_digest(2, tokens, 2, tokens + 2);

    assert_true(dpo_digest_equal(whole, dpo_reference_digest(2, tokens, 2, tokens + 2)));
    assert_false(dpo_digest_equal(whole, dpo_reference_digest(1, tokens, 3, tokens + 1)));
    assert_false(dpo_digest_equal(whole, dpo_reference_digest(2, tokens, 1, tokens + 2)));
    assert_false(dpo_digest_equal(whole, dpo_reference_digest(2, tokens + 2, 2, tokens)));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_was_committed_is_there_for_every_rank),
    cmocka_unit_test(the_writers_number_does_not_matter),
    cmocka_unit_test(subsets_and_supersets_of_the_data_hit),
    cmocka_unit_test(another_reference_is_refused_and_both_are_named),
    cmocka_unit_test(what_was_not_committed_is_missing),
    cmocka_unit_test(torn_entries_are_computed_anew),
    cmocka_unit_test(an_entry_whose_name_is_damaged_is_never_hit),
    cmocka_unit_test(a_change_behind_an_open_cache_is_noticed),
    cmocka_unit_test(a_failing_rank_commits_nothing),
    cmocka_unit_test(no_memory_on_one_rank_fails_all),
    cmocka_unit_test(lists_that_differ_between_ranks_are_refused),
    cmocka_unit_test(the_digest_sees_the_boundary),
};

MPI_TEST_MAIN(tests)
