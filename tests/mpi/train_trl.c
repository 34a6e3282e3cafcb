// SPDX-License-Identifier: Apache-2.0
/*
 * A run's numbers, step by step, against those that TRL recorded on the same model, pairs and settings. TRL itself
 * moves by about 1e-6 when its micro-batch or thread count changes; the tolerances leave room for that and for
 * the other order of our f32 sums, which the optimizer carries from step to step.
 */
#include <unistd.h>

#include "dpo/base/json.h"
#include "dpo/base/log.h"
#include "dpo/train/trainer.h"
#include "train_run.h"

typedef struct {
    const char *golden;  /* folder with pairs.jsonl and sigmoid.json */
    const char *options; /* further keys, JSON */
} run_case;

static double number_of(const dpo_json *object, const char *key)
{
    double value;

    ASSERT_OK(dpo_json_get_number(object, "golden", key, &value));
    return value;
}

/* The run as TRL was set: order of the file, linear schedule, the recorded numbers. */
static void configure_as_recorded(const dpo_json *golden, const run_case *c, const char *out,
                                  dpo_run_config *run)
{
    dpo_buffer keys = {0};
    dpo_buffer data = {0};

    ASSERT_OK(dpo_buffer_printf(&data, "%s/pairs.jsonl", c->golden));
    ASSERT_OK(dpo_buffer_printf(
        &keys,
        "{\"data\": {\"max_length\": %.0f}, \"objective\": {\"beta\": %.17g}, "
        "\"batch\": {\"examples\": %.0f}, \"schedule\": {\"warmup\": %.0f}, "
        "\"optimizer\": {\"lr\": %.17g, \"weight_decay\": %.17g, \"clip\": %.17g}}",
        number_of(golden, "max_length"), number_of(golden, "beta"),
        number_of(golden, "global_batch"), number_of(golden, "warmup_steps"),
        number_of(golden, "lr"), number_of(golden, "weight_decay"),
        number_of(golden, "max_grad_norm")));
    configure(dpo_buffer_text(&keys), c->options, dpo_buffer_text(&data), out, run);
    dpo_buffer_destroy(&keys);
    dpo_buffer_destroy(&data);
}

static void compare(const dpo_json *ours, const dpo_json *theirs, const char *key, double relative,
                    double absolute)
{
    double want = number_of(theirs, key);
    double got = number_of(ours, key);

    if (fabs(got - want) > relative * fabs(want) + absolute)
        fail_msg("step %.0f: %s is %.9g, TRL has %.9g", number_of(ours, "step"), key, got, want);
}

static void compare_step(const dpo_json *ours, const dpo_json *theirs)
{
    static const char *const rewards[] = {"rewards/chosen", "rewards/rejected", "rewards/margins"};
    static const char *const logps[] = {"logps/chosen", "logps/rejected"};

    for (size_t i = 0; i < sizeof rewards / sizeof rewards[0]; i++)
        compare(ours, theirs, rewards[i], 0.0, 1e-4);
    for (size_t i = 0; i < sizeof logps / sizeof logps[0]; i++)
        compare(ours, theirs, logps[i], 5e-6, 0.0);
    compare(ours, theirs, "loss", number_of(theirs, "loss") > 1.0 ? 2e-5 : 0.0,
            number_of(theirs, "loss") > 1.0 ? 0.0 : 2e-5);
    compare(ours, theirs, "grad_norm", 2e-4, 0.0);
    compare(ours, theirs, "learning_rate", 1e-12, 0.0);
    compare(ours, theirs, "num_tokens", 0.0, 0.0);
}

static void compare_all(const char *out, const dpo_json *golden)
{
    dpo_buffer text = {0};
    char path[128];
    const dpo_json *theirs = dpo_json_first(dpo_json_find(golden, "log"));

    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", out);
    ASSERT_OK(dpo_buffer_append_file(&text, path));
    const char *line = dpo_buffer_text(&text);

    for (; theirs != NULL; theirs = dpo_json_next(theirs)) {
        const char *end = strchr(line, '\n');
        dpo_json *ours;

        assert_non_null(end);
        ASSERT_OK(dpo_json_parse(path, line, end - line, DPO_JSON_STRICT, &ours));
        compare_step(ours, theirs);
        dpo_json_destroy(&ours);
        line = end + 1;
    }
    assert_int_equal(*line, '\0');
    dpo_buffer_destroy(&text);
}

static void run_equals_trl(const run_case *c)
{
    char golden_path[512];
    char out[64];
    dpo_json *golden;
    dpo_run_config run;

    (void)snprintf(golden_path, sizeof golden_path, "%s/sigmoid.json", c->golden);
    ASSERT_OK(dpo_json_read_file(golden_path, DPO_JSON_STRICT, &golden));
    make_scratch(out);
    configure_as_recorded(golden, c, out, &run);
    dpo_log_set_level(DPO_LOG_SILENT);
    ASSERT_OK(dpo_train(test_grid, &run));
    compare_all(out, golden);
    dpo_run_config_destroy(&run);
    dpo_json_destroy(&golden);
    remove_scratch(out);
}

static void stories_equal_trl(void **state)
{
    (void)state;
    const run_case c = {DPO_TEST_DATA "/trl-stories", "{}"};

    run_equals_trl(&c);
}

static void small_micro_batches_equal_trl(void **state)
{
    (void)state;
    const run_case c = {DPO_TEST_DATA "/trl-stories", "{\"batch\": {\"tokens\": 300}}"};

    run_equals_trl(&c);
}

static void separate_prompts_equal_trl(void **state)
{
    (void)state;
    const run_case c = {DPO_TEST_DATA "/trl-stories", "{\"batch\": {\"share_prompts\": false}}"};

    run_equals_trl(&c);
}

/* The recorded runs beside the repository, where they are. */
static void politeness_equals_trl(void **state)
{
    (void)state;
    char golden[512];
    char file[600];

    (void)snprintf(golden, sizeof golden, "%s/../shared/data/golden/stories260K-politeness",
                   source_folder());
    (void)snprintf(file, sizeof file, "%s/sigmoid.json", golden);
    if (access(file, R_OK) != 0) skip();
    const run_case c = {golden, "{}"};

    run_equals_trl(&c);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(stories_equal_trl),
    cmocka_unit_test(small_micro_batches_equal_trl),
    cmocka_unit_test(separate_prompts_equal_trl),
    cmocka_unit_test(politeness_equals_trl),
};

MPI_TEST_MAIN(tests)
