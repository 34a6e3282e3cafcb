// SPDX-License-Identifier: Apache-2.0
#include "dpo/bench/bench.h"

#include <stdio.h>
#include <string.h>

#include "bench_private.h"
#include "dpo/base/buffer.h"
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/base/nearest.h"
#include "dpo/base/version.h"
#include "dpo/comm/collective.h"
#include "dpo/math/engine.h"
#include "dpo/store/publish.h"
#include "dpo/train/machine.h"

/* What needs something that may be lacking is left out of all, with a word, and refused when asked for. */
static const struct {
    const char *name;
    dpo_status (*run)(dpo_bench *bench);
    int min_ranks;
    bool needs_folder;
} groups[] = {
    {"memory", dpo_bench_memory, 1, false},   {"matmul", dpo_bench_matmul, 1, false},
    {"kernels", dpo_bench_kernels, 1, false}, {"collectives", dpo_bench_collectives, 2, false},
    {"files", dpo_bench_files, 1, true},      {"generate", dpo_bench_generate, 1, false},
};

enum { N_GROUPS = sizeof groups / sizeof groups[0] };

dpo_model_config dpo_bench_default_config(void)
{
    enum { HEAD_DIM = 64, POSITIONS = 2048 };
    const double theta = 10000.0;

    return (dpo_model_config){
        .n_layers = 4,
        .d_model = 2048,
        .n_heads = 32,
        .n_kv_heads = 8,
        .head_dim = HEAD_DIM,
        .d_ff = 5632,
        .n_vocab = 32768,
        .max_positions = POSITIONS,
        .norm_eps = 1e-5,
        .rope = {.head_dim = HEAD_DIM, .max_positions = POSITIONS, .theta = theta},
        .tied = true,
        .bos = -1,
        .padding = -1};
}

static dpo_status find_group(const char *name, int *group)
{
    const char *names[N_GROUPS];

    for (*group = 0; *group < N_GROUPS; ++*group) {
        if (strcmp(groups[*group].name, name) == 0) return DPO_OK;
        names[*group] = groups[*group].name;
    }
    return dpo_unknown_name("bench", "benchmark", name, names, N_GROUPS);
}

/* Why a group cannot be measured here; NULL if it can. */
static const char *obstacle(const dpo_bench *bench, int group)
{
    if (groups[group].needs_folder && bench->options->folder == NULL)
        return "needs a folder to write into (--out DIR)";
    if (dpo_grid_size(bench->grid, DPO_WORLD) < groups[group].min_ranks)
        return "needs two ranks (mpirun -n 2)";
    return NULL;
}

static dpo_status run_one(dpo_bench *bench)
{
    int group;

    DPO_TRY(find_group(bench->options->name, &group));
    if (obstacle(bench, group) != NULL)
        return DPO_FAIL(DPO_EUSAGE, "bench %s: %s", groups[group].name, obstacle(bench, group));
    return groups[group].run(bench);
}

static dpo_status run_all(dpo_bench *bench)
{
    for (int i = 0; i < N_GROUPS; i++) {
        if (obstacle(bench, i) != NULL)
            dpo_log_info("%s: left out, %s", groups[i].name, obstacle(bench, i));
        else
            DPO_TRY(groups[i].run(bench));
    }
    return DPO_OK;
}

static dpo_status describe(dpo_bench *bench, dpo_json *root)
{
    const dpo_bench_options *options = bench->options;

    DPO_TRY(dpo_json_put_text(root, "mpidpo", dpo_version()));
    DPO_TRY(dpo_json_put_text(root, "onednn", dpo_engine_library()));
    DPO_TRY(dpo_json_put_text(root, "cpu", dpo_engine_cpu()));
    DPO_TRY(dpo_json_put_text(root, "kernels", dpo_engine_kernels()));
    if (bench->no_bf16 != NULL) DPO_TRY(dpo_json_put_text(root, "no_bf16", bench->no_bf16));
    DPO_TRY(dpo_json_put_int(root, "nodes", dpo_grid_nodes(bench->grid)));
    DPO_TRY(dpo_json_put_int(root, "ranks", dpo_grid_size(bench->grid, DPO_WORLD)));
    DPO_TRY(dpo_json_put_int(root, "threads_per_rank", dpo_engine_n_threads()));
    if (options->model != NULL) DPO_TRY(dpo_json_put_text(root, "model", options->model));
    DPO_TRY(dpo_json_put_int(root, "tokens", options->n_tokens));
    return dpo_json_put_node(root, "rows", &bench->rows);
}

static dpo_status write_file(dpo_bench *bench)
{
    const char *folder = bench->options->folder;
    dpo_buffer path = {0};
    dpo_buffer text = {0};
    dpo_json *root;

    DPO_TRY(dpo_json_new_object(&root));
    dpo_status status = describe(bench, root);

    if (status == DPO_OK) status = dpo_json_print(root, true, &text);
    if (status == DPO_OK) status = dpo_buffer_printf(&path, "%s/bench.json", folder);
    if (status == DPO_OK)
        status = dpo_file_publish(dpo_buffer_text(&path), dpo_buffer_text(&text), text.size_bytes);
    if (status == DPO_OK) dpo_log_info("written to %s", dpo_buffer_text(&path));
    dpo_buffer_destroy(&path);
    dpo_buffer_destroy(&text);
    dpo_json_destroy(&root);
    return status;
}

/* World rank 0: the list of rows and the folder. */
static dpo_status begin(dpo_bench *bench)
{
    if (dpo_grid_rank(bench->grid, DPO_WORLD) != 0) return DPO_OK;
    if (bench->options->folder != NULL) DPO_TRY(dpo_folder_create(bench->options->folder));
    return dpo_json_new_array(&bench->rows);
}

/* Nodes may differ: products of bf16 are measured if all ranks have them. */
static void find_bf16(dpo_bench *bench)
{
    double n_without = dpo_engine_has_bf16(&bench->no_bf16) ? 0.0 : 1.0;

    dpo_sum_f64(bench->grid, DPO_WORLD, 1, &n_without);
    if (n_without > 0.0 && bench->no_bf16 == NULL) bench->no_bf16 = "not all nodes have them";
}

static dpo_status measure_peaks(dpo_bench *bench)
{
    const double budget_s = 0.5;

    for (int compute = DPO_F32; compute <= DPO_BF16; compute++)
        if (dpo_bench_computes(bench, (dpo_element)compute))
            DPO_TRY(dpo_machine_matmul(bench->grid, (dpo_element)compute, budget_s,
                                       &bench->peak[dpo_bench_matmul_bound((dpo_element)compute)]));
    return dpo_machine_memory(bench->grid, budget_s, &bench->peak[DPO_BOUND_MEMORY]);
}

static dpo_status run(dpo_bench *bench)
{
    DPO_TRY(dpo_agree(bench->grid, begin(bench)));
    find_bf16(bench);
    if (bench->no_bf16 != NULL) dpo_log_info("bf16 products: left out, %s", bench->no_bf16);
    DPO_TRY(measure_peaks(bench));
    DPO_TRY(bench->options->name != NULL ? run_one(bench) : run_all(bench));
    if (bench->options->folder == NULL) return DPO_OK;
    return dpo_agree(bench->grid, bench->rows != NULL ? write_file(bench) : DPO_OK);
}

dpo_status dpo_bench_run(const dpo_grid *grid, const dpo_bench_options *options)
{
    dpo_bench bench = {.grid = grid, .options = options, .peak = {[DPO_BOUND_NONE] = 1.0}};
    dpo_status status = run(&bench);

    dpo_json_destroy(&bench.rows);
    return status;
}
