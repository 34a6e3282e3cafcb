// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/phases.h"

#include <stdlib.h>

#include "dpo/base/buffer.h"
#include "dpo/base/json.h"
#include "dpo/base/log.h"
#include "dpo/base/phase.h"
#include "dpo/comm/collective.h"
#include "dpo/store/publish.h"

/* Means over the ranks; rows sorted, those that took no time left out. */
typedef struct {
    double wall_s;
    double peak_flops_per_s; /* of one rank */
    int n_ranks, n_rows;
    dpo_phase_row row[DPO_MAX_PHASES];
} phase_table;

static int longer_first(const void *a, const void *b)
{
    double a_s = ((const dpo_phase_row *)a)->time_s;
    double b_s = ((const dpo_phase_row *)b)->time_s;

    return (a_s < b_s) - (a_s > b_s);
}

/* Every rank has the same names in the same rows, because all make the same plans in the same order. */
static void collect(const dpo_grid *grid, double wall_s, double peak_flops_per_s,
                    phase_table *table)
{
    double sums[1 + 2 * DPO_MAX_PHASES] = {wall_s};
    double n_ranks = (double)dpo_grid_size(grid, DPO_WORLD);

    dpo_phase_read(table->row);
    for (int i = 0; i < DPO_MAX_PHASES; i++) {
        sums[1 + 2 * i] = table->row[i].time_s;
        sums[2 + 2 * i] = table->row[i].flops;
    }
    dpo_sum_f64(grid, DPO_WORLD, 1 + 2 * DPO_MAX_PHASES, sums);
    table->wall_s = sums[0] / n_ranks;
    table->peak_flops_per_s = peak_flops_per_s / n_ranks;
    table->n_ranks = (int)n_ranks;
    for (int i = 0; i < DPO_MAX_PHASES; i++) {
        table->row[i].time_s = sums[1 + 2 * i] / n_ranks;
        table->row[i].flops = sums[2 + 2 * i] / n_ranks;
    }
    qsort(table->row, DPO_MAX_PHASES, sizeof *table->row, longer_first);
    for (table->n_rows = 0; table->n_rows < DPO_MAX_PHASES; table->n_rows++)
        if (table->row[table->n_rows].time_s <= 0.0) break;
}

static bool has_speed(const phase_table *table, const dpo_phase_row *row)
{
    return row->flops > 0.0 && table->peak_flops_per_s > 0.0;
}

static double part_of_peak(const phase_table *table, const dpo_phase_row *row)
{
    return row->flops / (row->time_s * table->peak_flops_per_s);
}

static void say(const phase_table *table)
{
    double sum_s = 0.0;

    dpo_log_info("where the time went%-25s %10s   share  of the matmul peak",
                 table->n_ranks > 1 ? " (mean of the ranks)" : "", "seconds");
    for (int i = 0; i < table->n_rows; i++) {
        const dpo_phase_row *row = &table->row[i];
        double percent = 100.0 * row->time_s / table->wall_s;

        sum_s += row->time_s;
        if (has_speed(table, row))
            dpo_log_info("  %-42s %10.3f  %5.1f%%  %.2f", row->name, row->time_s, percent,
                         part_of_peak(table, row));
        else
            dpo_log_info("  %-42s %10.3f  %5.1f%%", row->name, row->time_s, percent);
    }
    dpo_log_info("  %-42s %10.3f  %5.1f%%  (wall clock %.3f)", "sum", sum_s,
                 100.0 * sum_s / table->wall_s, table->wall_s);
}

static dpo_status put_row(const phase_table *table, const dpo_phase_row *row, dpo_json *object)
{
    DPO_TRY(dpo_json_put_text(object, "name", row->name));
    DPO_TRY(dpo_json_put_number(object, "time_s", row->time_s));
    if (row->flops > 0.0) DPO_TRY(dpo_json_put_number(object, "flops", row->flops));
    if (!has_speed(table, row)) return DPO_OK;
    return dpo_json_put_number(object, "of_peak", part_of_peak(table, row));
}

static dpo_status put_rows(const phase_table *table, dpo_json *root)
{
    dpo_json *rows;

    DPO_TRY(dpo_json_new_array(&rows));
    dpo_status status = DPO_OK;

    for (int i = 0; i < table->n_rows && status == DPO_OK; i++) {
        dpo_json *object;

        status = dpo_json_new_object(&object);
        if (status == DPO_OK) status = put_row(table, &table->row[i], object);
        if (status == DPO_OK) status = dpo_json_put_node(rows, NULL, &object);
        dpo_json_destroy(&object);
    }
    if (status == DPO_OK) status = dpo_json_put_node(root, "phases", &rows);
    dpo_json_destroy(&rows);
    return status;
}

static dpo_status write_file(const phase_table *table, const char *path)
{
    dpo_buffer text = {0};
    dpo_json *root;

    DPO_TRY(dpo_json_new_object(&root));
    dpo_status status = dpo_json_put_number(root, "wall_s", table->wall_s);

    if (status == DPO_OK) status = dpo_json_put_int(root, "ranks", table->n_ranks);
    if (status == DPO_OK && table->peak_flops_per_s > 0.0)
        status =
            dpo_json_put_number(root, "peak_flops_per_s", table->peak_flops_per_s * table->n_ranks);
    if (status == DPO_OK) status = put_rows(table, root);
    if (status == DPO_OK) status = dpo_json_print(root, true, &text);
    if (status == DPO_OK) status = dpo_file_publish(path, dpo_buffer_text(&text), text.size_bytes);
    dpo_buffer_destroy(&text);
    dpo_json_destroy(&root);
    return status;
}

dpo_status dpo_phases_report(const dpo_grid *grid, const char *path, double wall_s,
                             double peak_flops_per_s)
{
    phase_table table = {0};
    dpo_status status = DPO_OK;

    collect(grid, wall_s, peak_flops_per_s, &table);
    say(&table);
    if (dpo_grid_rank(grid, DPO_WORLD) == 0) status = write_file(&table, path);
    return dpo_agree(grid, status);
}
