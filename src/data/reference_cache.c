// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/reference_cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "dpo/base/buffer.h"
#include "dpo/base/memory.h"
#include "dpo/base/range.h"
#include "dpo/comm/collective.h"
#include "reference_file.h"

/* What a rank has put and not committed. */
typedef struct {
    int64_t entry;
    uint64_t checksum;
} pending_entry;

/*
 * Invariants: entry[r] is the file's entry of wanted response r; firsts are the responses that are
 * the first of their digest, rising; missing are those of firsts whose checksum is 0; a checksum
 * that is not 0 and belongs to a wanted response was found right. All but pending is the same on
 * every rank.
 */
struct dpo_reference_cache {
    dpo_reference_file file;
    int64_t n_responses;
    int64_t *entry;      /* [n_responses] */
    dpo_digest *digests; /* [n_responses] */
    int64_t n_firsts;
    int64_t *firsts; /* [n_firsts] */
    int64_t n_missing;
    int64_t *missing; /* [n_firsts] */
    dpo_buffer pending;
};

dpo_digest dpo_reference_digest(int64_t n_prompt, const int32_t *prompt, int64_t n_response,
                                const int32_t *response)
{
    return dpo_digest_join(dpo_digest_of(prompt, n_prompt * (int64_t)sizeof *prompt),
                           dpo_digest_of(response, n_response * (int64_t)sizeof *response));
}

static dpo_range my_part(const dpo_grid *grid, int64_t n)
{
    return dpo_range_of_part(n, dpo_grid_size(grid, DPO_WORLD), dpo_grid_rank(grid, DPO_WORLD));
}

/* Gives every rank all items of an array of which it holds its part. */
static void gather_parts(const dpo_grid *grid, int64_t n, size_t item_bytes, const void *mine,
                         void *all)
{
    dpo_all_gather_bytes(grid, DPO_WORLD, dpo_range_length(my_part(grid, n)) * (int64_t)item_bytes,
                         mine, all);
}

/* The first response of each digest. */
static dpo_status find_firsts(const dpo_reference_wanted *wanted, dpo_reference_cache *cache)
{
    int64_t n = wanted->n_responses;
    dpo_reference_name *sorted;

    DPO_TRY(DPO_NEW(sorted, n));
    for (int64_t r = 0; r < n; r++)
        sorted[r] = (dpo_reference_name){wanted->digests[r], r};
    qsort(sorted, (size_t)n, sizeof *sorted, dpo_reference_compare);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || !dpo_digest_equal(sorted[i - 1].digest, sorted[i].digest))
            cache->firsts[cache->n_firsts++] = sorted[i].entry;
    dpo_free(sorted);
    return DPO_OK;
}

static int by_number(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a;
    int64_t q = *(const int64_t *)b;

    return (p > q) - (p < q);
}

static dpo_status new_lists(const dpo_reference_wanted *wanted, dpo_reference_cache *cache)
{
    int64_t n = wanted->n_responses;

    cache->n_responses = n;
    DPO_TRY(DPO_NEW(cache->entry, n));
    DPO_TRY(DPO_NEW(cache->digests, n));
    DPO_TRY(DPO_NEW(cache->firsts, n));
    DPO_TRY(DPO_NEW(cache->missing, n));
    for (int64_t r = 0; r < n; r++)
        cache->digests[r] = wanted->digests[r];
    return DPO_OK;
}

static dpo_status new_cache(const dpo_reference_wanted *wanted, dpo_reference_cache **cache)
{
    DPO_TRY(DPO_NEW(*cache, 1));
    dpo_reference_cache *c = *cache;

    DPO_TRY(new_lists(wanted, c));
    DPO_TRY(find_firsts(wanted, c));
    qsort(c->firsts, (size_t)c->n_firsts, sizeof *c->firsts, by_number);
    return DPO_OK;
}

static dpo_status open_if_there(const dpo_grid *grid, const char *path,
                                const dpo_reference_key *key, dpo_reference_file *file)
{
    int64_t is_there = 0;

    if (dpo_grid_rank(grid, DPO_WORLD) == 0) is_there = access(path, F_OK) == 0;
    dpo_broadcast(grid, DPO_WORLD, 0, sizeof is_there, &is_there);
    return is_there ? dpo_reference_file_open(grid, path, key, file) : DPO_OK;
}

/* What the file lacks: digests and lengths, in the order of the responses. */
typedef struct {
    int64_t n;
    dpo_digest *digests;
    int64_t *n_tokens;
} absent_entries;

static dpo_status list_absent(const dpo_reference_cache *cache, const dpo_reference_wanted *wanted,
                              absent_entries *absent)
{
    DPO_TRY(DPO_NEW(absent->digests, cache->n_firsts));
    DPO_TRY(DPO_NEW(absent->n_tokens, cache->n_firsts));
    for (int64_t i = 0; i < cache->n_firsts; i++) {
        int64_t r = cache->firsts[i];

        if (dpo_reference_file_find(&cache->file, wanted->digests[r]) >= 0) continue;
        absent->digests[absent->n] = wanted->digests[r];
        absent->n_tokens[absent->n++] = wanted->n_tokens[r];
    }
    return DPO_OK;
}

/* Afterwards every wanted response has an entry. */
static dpo_status complete_file(const dpo_grid *grid, const char *path,
                                const dpo_reference_key *key, const dpo_reference_wanted *wanted,
                                dpo_reference_cache *cache)
{
    absent_entries absent = {0};
    dpo_status status = dpo_agree(grid, list_absent(cache, wanted, &absent));

    if (status == DPO_OK && (absent.n > 0 || cache->file.file == NULL)) {
        status = dpo_reference_file_extend(grid, path, key, &cache->file, absent.n, absent.digests,
                                           absent.n_tokens);
        dpo_reference_file_close(&cache->file);
        if (status == DPO_OK) status = dpo_reference_file_open(grid, path, key, &cache->file);
    }
    dpo_free(absent.digests);
    dpo_free(absent.n_tokens);
    return status;
}

static int64_t tokens_of(const dpo_reference_cache *cache, int64_t response)
{
    int64_t entry = cache->entry[response];

    return cache->file.begin[entry + 1] - cache->file.begin[entry];
}

static dpo_status find_entries(const dpo_reference_wanted *wanted, dpo_reference_cache *cache)
{
    for (int64_t r = 0; r < wanted->n_responses; r++) {
        cache->entry[r] = dpo_reference_file_find(&cache->file, wanted->digests[r]);
        if (cache->entry[r] < 0 || tokens_of(cache, r) != wanted->n_tokens[r])
            return DPO_FAIL(DPO_EDATA,
                            "%s: response %lld is not there with its %lld tokens; another job "
                            "changed the file, start again or give each job its own",
                            dpo_h5_path(cache->file.file), (long long)r,
                            (long long)wanted->n_tokens[r]);
    }
    return DPO_OK;
}

/* The longest of the wanted responses. */
static int64_t most_tokens(const dpo_reference_cache *cache)
{
    int64_t most = 0;

    for (int64_t r = 0; r < cache->n_responses; r++)
        if (tokens_of(cache, r) > most) most = tokens_of(cache, r);
    return most;
}

/* Reads the numbers of a response; whether they are those the checksum was made of. */
static dpo_status read_logps(const dpo_reference_cache *cache, int64_t response, float *logps,
                             bool *is_right)
{
    int64_t entry = cache->entry[response];
    int64_t n = tokens_of(cache, response);

    DPO_TRY(dpo_h5_read(cache->file.file, cache->file.logp, cache->file.begin[entry], n, logps));
    *is_right =
        dpo_reference_checksum(cache->digests[response], n, logps) == cache->file.checksums[entry];
    return DPO_OK;
}

static dpo_status check_part(const dpo_reference_cache *cache, dpo_range mine,
                             unsigned char *is_right)
{
    float *logps;
    dpo_status status = DPO_NEW(logps, most_tokens(cache));

    for (int64_t i = mine.begin; i < mine.end && status == DPO_OK; i++) {
        bool right = false;

        if (cache->file.checksums[cache->entry[cache->firsts[i]]] != 0)
            status = read_logps(cache, cache->firsts[i], logps, &right);
        is_right[i - mine.begin] = right;
    }
    dpo_free(logps);
    return status;
}

static void list_missing(dpo_reference_cache *cache)
{
    cache->n_missing = 0;
    for (int64_t i = 0; i < cache->n_firsts; i++)
        if (cache->file.checksums[cache->entry[cache->firsts[i]]] == 0)
            cache->missing[cache->n_missing++] = cache->firsts[i];
}

/* Entries whose checksum is wrong count as not computed. The ranks share the work. */
static dpo_status check_entries(const dpo_grid *grid, dpo_reference_cache *cache)
{
    dpo_range mine = my_part(grid, cache->n_firsts);
    unsigned char *part = NULL;
    unsigned char *is_right = NULL;
    dpo_status status = DPO_NEW(part, dpo_range_length(mine));

    if (status == DPO_OK) status = DPO_NEW(is_right, cache->n_firsts);
    if (status == DPO_OK) status = check_part(cache, mine, part);
    status = dpo_agree(grid, status);
    if (status == DPO_OK) {
        DPO_ASSERT(is_right != NULL);
        gather_parts(grid, cache->n_firsts, 1, part, is_right);
        for (int64_t i = 0; i < cache->n_firsts; i++)
            if (!is_right[i]) cache->file.checksums[cache->entry[cache->firsts[i]]] = 0;
        list_missing(cache);
    }
    dpo_free(is_right);
    dpo_free(part);
    return status;
}

static dpo_status open_cache(const dpo_grid *grid, const char *path, const dpo_reference_key *key,
                             const dpo_reference_wanted *wanted, dpo_reference_cache *cache)
{
    DPO_ASSERT(cache != NULL);
    DPO_TRY(open_if_there(grid, path, key, &cache->file));
    DPO_TRY(complete_file(grid, path, key, wanted, cache));
    DPO_TRY(dpo_agree(grid, find_entries(wanted, cache)));
    return check_entries(grid, cache);
}

/* Lists that differ would make the ranks wait for each other for ever. */
static dpo_status agree_on_wanted(const dpo_grid *grid, const dpo_reference_wanted *wanted)
{
    int64_t n_bytes = wanted->n_responses * (int64_t)sizeof *wanted->digests;

    return dpo_agree_on(grid, "the list of responses for the reference cache",
                        (int64_t)(dpo_digest_of(wanted->digests, n_bytes).low >> 2));
}

dpo_status dpo_reference_cache_open(const dpo_grid *grid, const char *path,
                                    const dpo_reference_key *key,
                                    const dpo_reference_wanted *wanted, dpo_reference_cache **cache)
{
    dpo_status status = dpo_agree(grid, new_cache(wanted, cache));

    if (status == DPO_OK) status = agree_on_wanted(grid, wanted);
    if (status == DPO_OK) status = open_cache(grid, path, key, wanted, *cache);
    if (status != DPO_OK) dpo_reference_cache_close(cache);
    return status;
}

void dpo_reference_cache_close(dpo_reference_cache **cache)
{
    dpo_reference_cache *c = *cache;

    if (c == NULL) return;
    dpo_reference_file_close(&c->file);
    dpo_buffer_destroy(&c->pending);
    dpo_free(c->missing);
    dpo_free(c->firsts);
    dpo_free(c->digests);
    dpo_free(c->entry);
    dpo_free(c);
    *cache = NULL;
}

const int64_t *dpo_reference_cache_missing(const dpo_reference_cache *cache, int64_t *n_missing)
{
    *n_missing = cache->n_missing;
    return cache->missing;
}

dpo_status dpo_reference_cache_put(dpo_reference_cache *cache, int64_t response, const float *logps)
{
    DPO_ASSERT(response >= 0 && response < cache->n_responses);
    int64_t n = tokens_of(cache, response);
    const pending_entry pending = {cache->entry[response],
                                   dpo_reference_checksum(cache->digests[response], n, logps)};

    DPO_TRY(dpo_h5_write(cache->file.file, cache->file.logp, cache->file.begin[pending.entry], n,
                         logps));
    return dpo_buffer_append(&cache->pending, &pending, sizeof pending);
}

static dpo_status write_checksums(dpo_reference_cache *cache)
{
    const pending_entry *pending = cache->pending.data;
    int64_t n = cache->pending.size_bytes / (int64_t)sizeof *pending;

    for (int64_t i = 0; i < n; i++)
        DPO_TRY(dpo_h5_write(cache->file.file, cache->file.checksum, pending[i].entry, 1,
                             &pending[i].checksum));
    return DPO_OK;
}

/* Every rank learns what every rank has put. */
static void share_checksums(const dpo_grid *grid, dpo_reference_cache *cache, int64_t n,
                            pending_entry *all)
{
    dpo_all_gather_bytes(grid, DPO_WORLD, cache->pending.size_bytes, cache->pending.data, all);
    for (int64_t i = 0; i < n; i++)
        cache->file.checksums[all[i].entry] = all[i].checksum;
    list_missing(cache);
}

static dpo_status commit(const dpo_grid *grid, dpo_status local, dpo_reference_cache *cache)
{
    pending_entry *all;
    int64_t n = cache->pending.size_bytes / (int64_t)sizeof *all;

    DPO_TRY(dpo_h5_sync(grid, local, cache->file.file));
    dpo_sum_i64(grid, DPO_WORLD, 1, &n);
    dpo_status status = DPO_NEW(all, n);

    if (status == DPO_OK) status = write_checksums(cache);
    status = dpo_h5_sync(grid, status, cache->file.file);
    if (status == DPO_OK) share_checksums(grid, cache, n, all);
    dpo_free(all);
    return status;
}

dpo_status dpo_reference_cache_commit(const dpo_grid *grid, dpo_status local,
                                      dpo_reference_cache *cache)
{
    dpo_status status = commit(grid, local, cache);

    dpo_buffer_clear(&cache->pending);
    return status;
}

dpo_status dpo_reference_cache_get(const dpo_reference_cache *cache, int64_t response, float *logps)
{
    bool is_right = false;

    DPO_ASSERT(response >= 0 && response < cache->n_responses);
    DPO_TRY(read_logps(cache, response, logps, &is_right));
    if (is_right) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "%s: the log-probs of response %lld are not what was computed; did another job "
                    "change the file? start again, they will be computed anew",
                    dpo_h5_path(cache->file.file), (long long)response);
}

static dpo_status sum_part(const dpo_reference_cache *cache, dpo_range mine, double *sums)
{
    float *logps;
    dpo_status status = DPO_NEW(logps, most_tokens(cache));

    for (int64_t r = mine.begin; r < mine.end && status == DPO_OK; r++) {
        double sum = 0.0;

        status = dpo_reference_cache_get(cache, r, logps);
        for (int64_t i = 0; i < tokens_of(cache, r); i++)
            sum += (double)logps[i];
        sums[r - mine.begin] = sum;
    }
    dpo_free(logps);
    return status;
}

dpo_status dpo_reference_cache_sums(const dpo_grid *grid, const dpo_reference_cache *cache,
                                    double *sums)
{
    dpo_range mine = my_part(grid, cache->n_responses);
    double *part;
    dpo_status status = DPO_NEW(part, dpo_range_length(mine));

    if (status == DPO_OK) status = sum_part(cache, mine, part);
    status = dpo_agree(grid, status);
    if (status == DPO_OK) gather_parts(grid, cache->n_responses, sizeof *part, part, sums);
    dpo_free(part);
    return status;
}
