// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "bench_private.h"
#include "dpo/base/clock.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "dpo/math/elementary.h"

enum { MIN_RUNS = 2, MAX_RUNS = 1000 };
/* Of one row. */
static const double budget_s = 0.1;

static double seconds_of(dpo_bench_function *run, void *context)
{
    double begin_s = dpo_clock_s();

    run(context);
    return dpo_clock_s() - begin_s;
}

/* The first run touches memory for the first time and does not count. */
double dpo_bench_time(const dpo_bench *bench, dpo_bench_function *run, void *context)
{
    double best_s = 1e30;

    (void)seconds_of(run, context);
    dpo_barrier(bench->grid, DPO_WORLD);
    double run_s = seconds_of(run, context);

    dpo_max_f64(bench->grid, DPO_WORLD, 1, &run_s);
    double n_fitting = budget_s / (run_s + 1e-9);
    int n_runs = n_fitting > MAX_RUNS ? MAX_RUNS : (int)n_fitting;

    for (int i = 0; i < n_runs || i < MIN_RUNS; i++) {
        run_s = seconds_of(run, context);
        best_s = run_s < best_s ? run_s : best_s;
    }
    return best_s;
}

dpo_bound dpo_bench_matmul_bound(dpo_element compute)
{
    return compute == DPO_BF16 ? DPO_BOUND_MATMUL_BF16 : DPO_BOUND_MATMUL;
}

const char *dpo_bench_prefix(dpo_element compute)
{
    return compute == DPO_BF16 ? "bf16 " : "";
}

bool dpo_bench_computes(const dpo_bench *bench, dpo_element compute)
{
    return compute == DPO_F32 || bench->no_bf16 == NULL;
}

double dpo_bench_layer_flops(const dpo_bench_layer *layer)
{
    return 2.0 * (double)layer->n * (double)layer->d_in * (double)layer->d_out;
}

/* A row as it was measured: by all ranks together, in the slowest one's time; 0 for a peak. */
typedef struct {
    double speed, seconds, of_peak;
} measured;

static void print(const dpo_bench_case *row, const measured *m)
{
    static const char *const bounds[DPO_N_BOUNDS] = {"", "matmul peak", "bf16 matmul peak",
                                                     "memory bandwidth"};
    double speed = m->speed;
    double scale = speed >= 1e9 ? 1e9 : speed >= 1e6 ? 1e6 : 1.0;
    const char *prefix = speed >= 1e9 ? "G" : speed >= 1e6 ? "M" : "";
    char unit[24];

    (void)snprintf(unit, sizeof unit, "%s%s", prefix, row->unit);
    (void)printf("%-12s %-36s %10.4g %-10s", row->group, row->name, speed / scale, unit);
    if (m->seconds > 0.0) (void)printf(" %10.3f ms", 1e3 * m->seconds);
    if (row->bound != DPO_BOUND_NONE)
        (void)printf("  %5.2f of the %s", m->of_peak, bounds[row->bound]);
    (void)printf("\n");
    (void)fflush(stdout);
}

static dpo_status put(const dpo_bench *bench, const dpo_bench_case *row, const measured *m)
{
    dpo_json *object;

    DPO_TRY(dpo_json_new_object(&object));
    dpo_status status = dpo_json_put_text(object, "group", row->group);

    if (status == DPO_OK) status = dpo_json_put_text(object, "name", row->name);
    if (status == DPO_OK) status = dpo_json_put_number(object, "speed", m->speed);
    if (status == DPO_OK) status = dpo_json_put_text(object, "unit", row->unit);
    if (status == DPO_OK && m->seconds > 0.0)
        status = dpo_json_put_number(object, "seconds", m->seconds);
    if (status == DPO_OK && row->bound != DPO_BOUND_NONE)
        status = dpo_json_put_number(object, "of_peak", m->of_peak);
    if (status == DPO_OK) status = dpo_json_put_node(bench->rows, NULL, &object);
    dpo_json_destroy(&object);
    return status;
}

/* World rank 0 has the list of rows. */
static dpo_status put_everywhere(dpo_bench *bench, const dpo_bench_case *row, const measured *m)
{
    dpo_status status = DPO_OK;

    if (bench->rows != NULL) {
        print(row, m);
        status = put(bench, row, m);
    }
    return dpo_agree(bench->grid, status);
}

dpo_status dpo_bench_put_peak(dpo_bench *bench, dpo_bound bound, const char *group,
                              const char *name, const char *unit)
{
    const dpo_bench_case row = {.group = group, .name = name, .unit = unit};
    const measured m = {.speed = bench->peak[bound]};

    return put_everywhere(bench, &row, &m);
}

dpo_status dpo_bench_put(dpo_bench *bench, const dpo_bench_case *row, double seconds)
{
    measured m = {.speed = row->amount / seconds, .seconds = seconds};
    double per_item = row->per_item > 0.0 ? row->per_item : 1.0;

    dpo_sum_f64(bench->grid, DPO_WORLD, 1, &m.speed);
    dpo_max_f64(bench->grid, DPO_WORLD, 1, &m.seconds);
    m.of_peak = m.speed * per_item / bench->peak[row->bound];
    return put_everywhere(bench, row, &m);
}

dpo_status dpo_bench_measure(dpo_bench *bench, const dpo_bench_case *row, dpo_bench_function *run,
                             void *context)
{
    return dpo_bench_put(bench, row, dpo_bench_time(bench, run, context));
}

dpo_status dpo_bench_values(int64_t n, float **values)
{
    DPO_TRY(DPO_NEW(*values, n));
    dpo_fill_run(n, 0.01f, *values);
    return DPO_OK;
}

dpo_status dpo_bench_bits(int64_t n, uint16_t **bits)
{
    float *values = NULL;
    dpo_status status = DPO_NEW(*bits, n);

    if (status == DPO_OK) status = dpo_bench_values(n, &values);
    if (status == DPO_OK) dpo_narrow_run(n, values, *bits);
    dpo_free(values);
    return status;
}

dpo_status dpo_bench_elements(dpo_element element, int64_t n, void **elements)
{
    float *values = NULL;
    uint16_t *bits = NULL;
    dpo_status status =
        element == DPO_F32 ? dpo_bench_values(n, &values) : dpo_bench_bits(n, &bits);

    *elements = element == DPO_F32 ? (void *)values : (void *)bits;
    return status;
}
