// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/safetensors.h"

#include "dpo/base/buffer.h"
#include "dpo/base/float16.h"
#include "dpo/base/range.h"
#include "dpo/store/publish.h"
#include "mpi/file_limit.h"
#include "mpi_test.h"
#include "scratch.h"

static const dpo_tensor tensors[] = {
    {"model.norm.weight", DPO_TENSOR_BF16, 1, {7}},
    {"model.embed_tokens.weight", DPO_TENSOR_F32, 2, {333, 1000}},
    {"a \"quoted\" n\303\244me", DPO_TENSOR_F16, 2, {11, 3}},
    {"lm_head.weight", DPO_TENSOR_BF16, 2, {50000, 3}},
    {"scalar", DPO_TENSOR_F32, 0, {0}},
    {"nothing", DPO_TENSOR_F32, 2, {0, 4}},
};
enum { N_TENSORS = sizeof tensors / sizeof tensors[0], EMBED = 1, LM_HEAD = 3 };

static int rank_of_world(void)
{
    return dpo_grid_rank(test_grid, DPO_WORLD);
}

static int size_of_world(void)
{
    return dpo_grid_size(test_grid, DPO_WORLD);
}

/* Needs rounding in 16 bits, and has both signs. */
static float value_of(int64_t tensor, int64_t i)
{
    return (float)((i * 7919 + tensor * 31) % 20011 - 10000) / 997.0f;
}

static float stored_value(int64_t tensor, int64_t i)
{
    float value = value_of(tensor, i);

    if (tensors[tensor].type == DPO_TENSOR_BF16) return dpo_f32_from_bf16(dpo_bf16_from_f32(value));
    if (tensors[tensor].type == DPO_TENSOR_F16) return dpo_f32_from_f16(dpo_f16_from_f32(value));
    return value;
}

/* Each rank its part of each tensor; of small ones some ranks have none. */
static dpo_status write_my_parts(dpo_safetensors_writer *writer)
{
    dpo_status status = DPO_OK;

    for (int64_t t = 0; t < N_TENSORS && status == DPO_OK; t++) {
        dpo_range mine =
            dpo_range_of_part(dpo_tensor_elements(&tensors[t]), size_of_world(), rank_of_world());
        float *values;

        DPO_TRY(DPO_NEW(values, dpo_range_length(mine)));
        for (int64_t i = mine.begin; i < mine.end; i++)
            values[i - mine.begin] = value_of(t, i);
        status = dpo_safetensors_write(writer, t, mine.begin, dpo_range_length(mine), values);
        dpo_free(values);
    }
    return status;
}

static dpo_status make_folder(int64_t shard_bytes)
{
    dpo_safetensors_writer *writer;

    DPO_TRY(dpo_safetensors_create(test_grid, scratch, N_TENSORS, tensors, shard_bytes, &writer));
    return dpo_safetensors_publish(test_grid, write_my_parts(writer), &writer);
}

static int64_t count_wrong(const dpo_safetensors *weights)
{
    int64_t n_wrong = 0;

    for (int64_t t = 0; t < N_TENSORS; t++) {
        int64_t n = dpo_tensor_elements(&tensors[t]);
        int64_t begin = n / 5;
        int64_t found;
        float *values;

        n_wrong += dpo_safetensors_get(weights, tensors[t].name, tensors[t].n_dims, tensors[t].dims,
                                       &found) != DPO_OK;
        if (found < 0 || DPO_NEW(values, n) != DPO_OK) return n_wrong + 1;
        n_wrong += dpo_safetensors_at(weights, found)->type != tensors[t].type;
        n_wrong += dpo_safetensors_read(weights, found, begin, n - begin, values) != DPO_OK;
        for (int64_t i = begin; i < n; i++)
            n_wrong += values[i - begin] != stored_value(t, i);
        dpo_free(values);
    }
    return n_wrong;
}

static void check_folder(int n_files)
{
    dpo_safetensors *weights;

    ASSERT_ALL(files_in_scratch() == n_files);
    ASSERT_OK(dpo_safetensors_open(test_grid, scratch, &weights));
    ASSERT_ALL(dpo_safetensors_count(weights) == N_TENSORS);
    ASSERT_ALL(count_wrong(weights) == 0);
    dpo_safetensors_close(&weights);
}

static void what_ranks_write_is_read_rounded_once(void **state)
{
    (void)state;
    begin_scratch();
    ASSERT_OK(make_folder(0));
    check_folder(1);
    end_scratch();
}

/* Old weights, however they were cut, never stay beside new ones. */
static void new_weights_replace_old_ones_of_another_cut(void **state)
{
    (void)state;
    static const struct {
        int64_t shard_bytes;
        int n_files;
    } cases[] = {{0, 1}, {1000000, 4}, {1, 7}, {1500000, 3}, {0, 1}};

    begin_scratch();
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        ASSERT_OK(make_folder(cases[c].shard_bytes));
        check_folder(cases[c].n_files);
    }
    end_scratch();
}

static dpo_digest digest_of_folder(void)
{
    dpo_safetensors *weights;
    dpo_digest digest = {0};

    ASSERT_OK(dpo_safetensors_open(test_grid, scratch, &weights));
    ASSERT_OK(dpo_safetensors_digest(test_grid, weights, &digest));
    dpo_safetensors_close(&weights);
    return digest;
}

static void the_digest_depends_on_contents_only(void **state)
{
    (void)state;
    char hex[DPO_DIGEST_HEX_BYTES];

    begin_scratch();
    ASSERT_OK(make_folder(0));
    dpo_digest single = digest_of_folder();

    ASSERT_OK(make_folder(1500000));
    dpo_digest sharded = digest_of_folder();

    ASSERT_ALL(dpo_digest_equal(single, sharded));
    dpo_digest_to_hex(single, hex);
    if (rank_of_world() == 0) /* the same for 1, 2 and 4 ranks */
        assert_string_equal(hex, "adbc53176ef552e9c5a778e99fd03381");
    if (rank_of_world() == 0) {
        FILE *file = fopen(in_scratch("model-00002-of-00002.safetensors"), "r+");

        assert_true(file != NULL && fseek(file, -1, SEEK_END) == 0);
        assert_true(fputc('!', file) == '!' && fclose(file) == 0);
    }
    dpo_barrier(test_grid, DPO_WORLD);
    ASSERT_ALL(!dpo_digest_equal(single, digest_of_folder()));
    end_scratch();
}

static void expect_refusal(dpo_status kind, const char *part)
{
    dpo_safetensors *weights;
    dpo_status status;

    dpo_barrier(test_grid, DPO_WORLD);
    status = dpo_safetensors_open(test_grid, scratch, &weights);
    ASSERT_ALL(status == kind && weights == NULL);
    ASSERT_FAILS(status, kind, part);
}

/* On world rank 0: a file of the folder gets this text. */
static void put_file(const char *name, const char *text)
{
    if (rank_of_world() == 0)
        ASSERT_OK(dpo_file_publish(in_scratch(name), text, (int64_t)strlen(text)));
}

static void folders_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    begin_scratch();
    expect_refusal(DPO_EIO, "holds neither model.safetensors nor");
    put_file("pytorch_model.bin", "");
    expect_refusal(DPO_EIO, "safe_serialization=True");
    put_file("model.safetensors.index.json", "{}");
    expect_refusal(DPO_EDATA, "\"weight_map\" is missing");
    put_file("model.safetensors.index.json", "{\"weight_map\":{\"w\":\"../w.safetensors\"}}");
    expect_refusal(DPO_EDATA, "not given the name of a file in the folder");
    put_file("model.safetensors.index.json", "{\"weight_map\":{\"w\":\"w.safetensors\"}}");
    expect_refusal(DPO_EIO, "w.safetensors: cannot be opened");
    ASSERT_OK(make_folder(1500000));
    put_file("model.safetensors.index.json",
             "{\"weight_map\":{\"scalar\":\"model-00001-of-00002.safetensors\",\"w\":"
             "\"model-00002-of-00002.safetensors\"}}");
    expect_refusal(DPO_EDATA, "tensor \"scalar\" is missing from model-00001-of-00002.safetensors");
    if (rank_of_world() == 0)
        assert_int_equal(link(in_scratch("model-00001-of-00002.safetensors"), in_scratch("b")), 0);
    put_file("model.safetensors.index.json",
             "{\"weight_map\":{\"x\":\"model-00001-of-00002.safetensors\",\"y\":\"b\"}}");
    expect_refusal(DPO_EDATA, "is there twice");
    if (rank_of_world() == 0)
        assert_int_equal(truncate(in_scratch("model-00001-of-00002.safetensors"), 900), 0);
    expect_refusal(DPO_EDATA, "truncated: it has 900 bytes, expected");
    end_scratch();
}

static void a_tensor_of_another_shape_or_type_is_refused(void **state)
{
    (void)state;
    static const char json[] = "{\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}";
    const int64_t dims[2] = {1000, 333};
    char file[sizeof json + 16] = {0};
    dpo_safetensors *weights;
    float value;
    int64_t found;

    begin_scratch();
    ASSERT_OK(make_folder(0));
    ASSERT_OK(dpo_safetensors_open(test_grid, scratch, &weights));
    ASSERT_FAILS(dpo_safetensors_get(weights, "w", 2, dims, &found), DPO_EDATA, "no tensor \"w\"");
    ASSERT_FAILS(dpo_safetensors_get(weights, tensors[EMBED].name, 2, dims, &found), DPO_EDATA,
                 "has shape [333, 1000], expected [1000, 333]");
    dpo_safetensors_close(&weights);
    file[0] = (char)(sizeof json - 1);
    memcpy(file + 8, json, sizeof json - 1);
    if (rank_of_world() == 0)
        ASSERT_OK(dpo_file_publish(in_scratch("model.safetensors"), file, sizeof json - 1 + 16));
    dpo_barrier(test_grid, DPO_WORLD);
    ASSERT_OK(dpo_safetensors_open(test_grid, scratch, &weights));
    ASSERT_FAILS(dpo_safetensors_read(weights, 0, 0, 1, &value), DPO_EDATA, "of type I64");
    dpo_safetensors_close(&weights);
    end_scratch();
}

static void one_rank_that_cannot_write_fails_all_and_old_weights_stay(void **state)
{
    (void)state;
    dpo_safetensors_writer *writer;

    begin_scratch();
    ASSERT_OK(make_folder(1500000));
    ASSERT_OK(dpo_safetensors_create(test_grid, scratch, N_TENSORS, tensors, 0, &writer));
    limit_file_size(rank_of_world() == size_of_world() - 1, 4096);
    dpo_status status = dpo_safetensors_publish(test_grid, write_my_parts(writer), &writer);

    limit_file_size(false, 0);
    ASSERT_ALL(status == DPO_EIO && writer == NULL);
    ASSERT_FAILS(status, DPO_EIO, "ulimit -f");
    check_folder(3);
    limit_file_size(rank_of_world() == 0, 4096);
    status = dpo_safetensors_create(test_grid, scratch, N_TENSORS, tensors, 0, &writer);
    limit_file_size(false, 0);
    ASSERT_ALL(status == DPO_EIO && writer == NULL);
    check_folder(3);
    end_scratch();
}

static void no_memory_on_one_rank_fails_all(void **state)
{
    (void)state;
    bool is_last = rank_of_world() == size_of_world() - 1;
    dpo_status status = DPO_ENOMEM;
    int n = 0;

    begin_scratch();
    ASSERT_OK(make_folder(1500000));
    for (; status != DPO_OK && n < 1000; n += 3) {
        dpo_barrier(test_grid, DPO_WORLD);
        dpo_memory_fail_after(is_last ? n + 1 : 0);
        status = make_folder(1500000);
        dpo_memory_fail_after(0);
        ASSERT_ALL(status == DPO_ENOMEM || status == DPO_OK);
    }
    ASSERT_ALL(n > 20 && n < 1000);
    check_folder(3);
    for (n = 0, status = DPO_ENOMEM; status != DPO_OK && n < 1000; n += 3) {
        dpo_safetensors *weights;

        dpo_memory_fail_after(is_last ? n + 1 : 0);
        status = dpo_safetensors_open(test_grid, scratch, &weights);
        dpo_memory_fail_after(0);
        ASSERT_ALL(status == DPO_ENOMEM || status == DPO_OK);
        dpo_safetensors_close(&weights);
    }
    ASSERT_ALL(n > 20 && n < 1000);
    end_scratch();
}

/* Runs where the project's material is. */
static void a_real_model_opens(void **state)
{
    (void)state;
    char folder[1024];
    const char *source = getenv("DPO_SOURCE_DIR");
    dpo_safetensors *weights;
    float values[64];

    (void)snprintf(folder, sizeof folder, "%s/../shared/data/models/stories260K-hf",
                   source != NULL ? source : "/");
    if (access(folder, F_OK) != 0) skip();
    ASSERT_OK(dpo_safetensors_open(test_grid, folder, &weights));
    int64_t norm = dpo_safetensors_find(weights, "model.norm.weight");

    ASSERT_ALL(norm >= 0 && dpo_safetensors_at(weights, norm)->dims[0] == 64);
    ASSERT_OK(dpo_safetensors_read(weights, norm, 0, 64, values));
    for (int i = 0; i < 64; i++)
        assert_true(isfinite(values[i]) && values[i] != 0.0f);
    dpo_safetensors_close(&weights);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_ranks_write_is_read_rounded_once),
    cmocka_unit_test(new_weights_replace_old_ones_of_another_cut),
    cmocka_unit_test(the_digest_depends_on_contents_only),
    cmocka_unit_test(folders_that_do_not_fit_together_are_refused),
    cmocka_unit_test(a_tensor_of_another_shape_or_type_is_refused),
    cmocka_unit_test(one_rank_that_cannot_write_fails_all_and_old_weights_stay),
    cmocka_unit_test(no_memory_on_one_rank_fails_all),
    cmocka_unit_test(a_real_model_opens),
};

MPI_TEST_MAIN(tests)
