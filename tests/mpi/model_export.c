// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dpo/base/buffer.h"
#include "dpo/base/json.h"
#include "dpo/model/model.h"
#include "mpi_test.h"

static const char tied[] = DPO_TEST_DATA "/model_tied";
static const char untied[] = DPO_TEST_DATA "/model_untied";

static char scratch[64];

static bool is_first(void)
{
    return dpo_grid_rank(test_grid, DPO_WORLD) == 0;
}

/* A fresh folder, the same on every rank; removed by remove_scratch(). */
static int make_scratch(void **state)
{
    (void)state;
    (void)snprintf(scratch, sizeof scratch, "/tmp/mpidpo-export-XXXXXX");
    if (is_first() && mkdtemp(scratch) == NULL) return 1;
    dpo_broadcast(test_grid, DPO_WORLD, 0, sizeof scratch, scratch);
    return 0;
}

static int remove_scratch(void **state)
{
    char command[128];

    (void)state;
    dpo_barrier(test_grid, DPO_WORLD);
    (void)snprintf(command, sizeof command, "rm -rf %s", scratch);
    return is_first() ? system(command) : 0;
}

static dpo_model *create(const char *folder)
{
    dpo_model_limits limits = {.max_tokens = 1, .max_rows = 1};
    dpo_model_config config;
    dpo_model *model = NULL;

    ASSERT_ALL(dpo_model_config_read(test_grid, folder, &config) == DPO_OK);
    ASSERT_ALL(dpo_model_create(test_grid, &config, &limits, &model) == DPO_OK);
    return model;
}

static dpo_model *load(const char *folder)
{
    dpo_model *model = create(folder);

    ASSERT_ALL(dpo_model_load(test_grid, model, folder) == DPO_OK);
    return model;
}

static const char *in_scratch(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void check_same_weights(const char *folder, dpo_model *model)
{
    dpo_model *other = load(folder);
    dpo_digest a, b;

    ASSERT_ALL(dpo_model_digest(test_grid, model, &a) == DPO_OK);
    ASSERT_ALL(dpo_model_digest(test_grid, other, &b) == DPO_OK);
    ASSERT_ALL(dpo_digest_equal(a, b));
    dpo_model_weights(other)[7] += 1;
    ASSERT_ALL(dpo_model_digest(test_grid, other, &b) == DPO_OK);
    ASSERT_ALL(!dpo_digest_equal(a, b));
    dpo_model_destroy(&other);
}

static void an_exported_model_loads_with_the_same_weights(void **state)
{
    static const struct {
        const char *source;
        dpo_tensor_type type;
    } cases[] = {{tied, DPO_TENSOR_F32}, {untied, DPO_TENSOR_BF16}, {untied, DPO_TENSOR_F32}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dpo_model *model = load(cases[i].source);
        dpo_model_config config;

        ASSERT_ALL(dpo_model_export(test_grid, model, cases[i].source, in_scratch("out/"),
                                    cases[i].type) == DPO_OK);
        ASSERT_ALL(dpo_model_config_read(test_grid, in_scratch("out"), &config) == DPO_OK);
        ASSERT_ALL(config.type == cases[i].type);
        check_same_weights(in_scratch("out"), model);
        ASSERT_ALL(access(in_scratch("out/generation_config.json"), R_OK) == 0);
        dpo_model_destroy(&model);
    }
}

static void rounding_to_bf16_is_to_nearest(void **state)
{
    dpo_model *model = load(tied), *rounded;

    (void)state;
    ASSERT_ALL(dpo_model_export(test_grid, model, tied, in_scratch("out"), DPO_TENSOR_BF16) ==
               DPO_OK);
    rounded = load(in_scratch("out"));
    for (int64_t k = 0; k < dpo_model_parameters(model)->n_elements; k++) {
        double exact = (double)dpo_model_weights(model)[k];

        assert_true(fabs((double)dpo_model_weights(rounded)[k] - exact) <= fabs(exact) / 256);
    }
    dpo_model_destroy(&rounded);
    dpo_model_destroy(&model);
}

static void nothing_is_left_beside_the_folder(void **state)
{
    dpo_model *model = load(tied);
    char command[128];

    (void)state;
    for (int i = 0; i < 2; i++)
        ASSERT_ALL(dpo_model_export(test_grid, model, tied, in_scratch("out"), DPO_TENSOR_F32) ==
                   DPO_OK);
    (void)snprintf(command, sizeof command, "test \"$(ls -A %s)\" = out", scratch);
    ASSERT_ALL(!is_first() || system(command) == 0);
    dpo_model_destroy(&model);
}

static void a_folder_of_other_files_is_not_replaced(void **state)
{
    dpo_model *model = load(tied);

    (void)state;
    if (is_first()) {
        assert_int_equal(mkdir(in_scratch("out"), 0777), 0);
        write_text(in_scratch("out/thesis.tex"), "years of work");
    }
    dpo_barrier(test_grid, DPO_WORLD);
    ASSERT_ALL(dpo_model_export(test_grid, model, tied, in_scratch("out"), DPO_TENSOR_F32) ==
               DPO_EUSAGE);
    ASSERT_ALL(strstr(dpo_last_error()->text, "thesis.tex") != NULL);
    ASSERT_ALL(access(in_scratch("out/thesis.tex"), R_OK) == 0);
    ASSERT_ALL(dpo_model_export(test_grid, model, untied, DPO_TEST_DATA "/./model_untied/",
                                DPO_TENSOR_F32) == DPO_EUSAGE);
    dpo_model_destroy(&model);
}

static void a_folder_that_cannot_be_made_is_an_error_on_all_ranks(void **state)
{
    dpo_model *model = load(tied);

    (void)state;
    ASSERT_ALL(dpo_model_export(test_grid, model, tied, "/proc/nowhere/out", DPO_TENSOR_F32) ==
               DPO_EIO);
    ASSERT_ALL(dpo_model_export(test_grid, model, in_scratch("absent"), in_scratch("out"),
                                DPO_TENSOR_F32) == DPO_EIO);
    ASSERT_ALL(access(in_scratch("out"), F_OK) != 0);
    dpo_model_destroy(&model);
}

/* Writes a tied config beside untied weights, whose head then differs from the embedding. */
static void write_mixed_folder(void)
{
    dpo_buffer config = {0};
    dpo_json *root;
    char command[256];

    ASSERT_OK(
        dpo_json_read_file(DPO_TEST_DATA "/model_untied/config.json", DPO_JSON_STRICT, &root));
    ASSERT_OK(dpo_json_put_bool(root, "tie_word_embeddings", true));
    ASSERT_OK(dpo_json_print(root, true, &config));
    (void)snprintf(command, sizeof command, "mkdir %s/mixed && cp %s/model.safetensors %s/mixed",
                   scratch, untied, scratch);
    assert_int_equal(system(command), 0);
    write_text(in_scratch("mixed/config.json"), dpo_buffer_text(&config));
    dpo_buffer_destroy(&config);
    dpo_json_destroy(&root);
}

static void weights_that_do_not_fit_the_configuration_are_refused(void **state)
{
    dpo_model *model = create(tied);

    (void)state;
    ASSERT_ALL(dpo_model_load(test_grid, model, untied) == DPO_EDATA);
    ASSERT_ALL(strstr(dpo_last_error()->text, "lm_head.weight") != NULL);
    dpo_model_destroy(&model);

    model = create(untied);
    ASSERT_ALL(dpo_model_load(test_grid, model, tied) == DPO_EDATA);
    ASSERT_ALL(strstr(dpo_last_error()->text, "lm_head.weight") != NULL);
    dpo_model_destroy(&model);

    if (is_first()) write_mixed_folder();
    dpo_barrier(test_grid, DPO_WORLD);
    model = create(in_scratch("mixed"));
    ASSERT_ALL(dpo_model_load(test_grid, model, in_scratch("mixed")) == DPO_EDATA);
    ASSERT_ALL(strstr(dpo_last_error()->text, "tie_word_embeddings") != NULL);
    dpo_model_destroy(&model);
}

static void ranks_with_different_weights_are_noticed(void **state)
{
    int rank = dpo_grid_rank(test_grid, DPO_WORLD), size = dpo_grid_size(test_grid, DPO_WORLD);
    dpo_model *model = load(tied);
    dpo_digest digest;

    (void)state;
    if (rank == size - 1) dpo_model_weights(model)[3] += 1;
    ASSERT_ALL((dpo_model_digest(test_grid, model, &digest) == DPO_OK) == (size == 1));
    dpo_model_destroy(&model);
}

#define SCRATCH_TEST(function) \
    cmocka_unit_test_setup_teardown(function, make_scratch, remove_scratch)

static const struct CMUnitTest tests[] = {
    SCRATCH_TEST(an_exported_model_loads_with_the_same_weights),
    SCRATCH_TEST(rounding_to_bf16_is_to_nearest),
    SCRATCH_TEST(nothing_is_left_beside_the_folder),
    SCRATCH_TEST(a_folder_of_other_files_is_not_replaced),
    SCRATCH_TEST(a_folder_that_cannot_be_made_is_an_error_on_all_ranks),
    SCRATCH_TEST(weights_that_do_not_fit_the_configuration_are_refused),
    SCRATCH_TEST(ranks_with_different_weights_are_noticed),
};

MPI_TEST_MAIN(tests)
