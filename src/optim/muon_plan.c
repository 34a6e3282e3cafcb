// SPDX-License-Identifier: Apache-2.0
#include "muon_plan.h"

#include <stdlib.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/comm/all_to_all.h"
#include "dpo/math/orthogonalise.h"

bool dpo_muon_takes(const dpo_parameter *row)
{
    return row->n_dims == 2 && strstr(row->name, ".layers.") != NULL;
}

void dpo_muon_destroy(dpo_muon **muon)
{
    if (*muon == NULL) return;
    dpo_free((*muon)->matrix);
    dpo_free((*muon)->local);
    dpo_free((*muon)->local_begin);
    dpo_free((*muon)->foreign);
    dpo_free((*muon)->foreign_begin);
    dpo_free((*muon)->foreign_end);
    dpo_free((*muon)->n_send);
    dpo_free((*muon)->n_receive);
    dpo_free((*muon)->out);
    dpo_free((*muon)->in);
    dpo_free((*muon)->whole);
    dpo_free((*muon)->work);
    dpo_free(*muon);
    *muon = NULL;
}

/* Multiplications of an iteration, up to a factor. */
static double cost_of(const dpo_parameter *row)
{
    double rows = (double)row->dims[0];
    double columns = (double)row->dims[1];
    double side = rows < columns ? rows : columns;

    return side * (2.0 * rows * columns + side * side);
}

typedef struct {
    double cost;
    int64_t row;
} candidate;

static int by_falling_cost(const void *left, const void *right)
{
    const candidate *a = left;
    const candidate *b = right;

    if (a->cost != b->cost) return a->cost > b->cost ? -1 : 1;
    return a->row < b->row ? -1 : 1;
}

static dpo_status deal(const dpo_parameters *parameters, dpo_muon *muon)
{
    candidate *candidates;

    DPO_TRY(DPO_NEW(muon->matrix, parameters->n_rows));
    DPO_TRY(DPO_NEW(candidates, parameters->n_rows));
    for (int64_t r = 0; r < parameters->n_rows; r++)
        if (dpo_muon_takes(&parameters->row[r]))
            candidates[muon->n_matrices++] = (candidate){cost_of(&parameters->row[r]), r};
    qsort(candidates, (size_t)muon->n_matrices, sizeof *candidates, by_falling_cost);
    for (int64_t i = 0; i < muon->n_matrices; i++)
        muon->matrix[i] = candidates[i].row;
    muon->n_rounds = (muon->n_matrices + muon->size - 1) / muon->size;
    dpo_free(candidates);
    return DPO_OK;
}

int64_t dpo_muon_matrix_of(const dpo_muon *muon, int64_t round, int rank)
{
    int64_t place = round * muon->size + (round % 2 == 0 ? rank : muon->size - 1 - rank);

    return place < muon->n_matrices ? muon->matrix[place] : -1;
}

/* Visits fill the list, or count its length if it is NULL. */
typedef struct {
    dpo_muon_local_run *list;
    int64_t n;
    dpo_muon_local_run next; /* of the piece at hand */
    int64_t piece_begin;     /* of the piece, in the flat vector */
    int64_t piece_state;     /* of the piece, in the momentum */
} run_list;

static dpo_status add_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                          int64_t local_begin)
{
    run_list *runs = context;
    dpo_muon_local_run *run = &runs->next;

    (void)row;
    run->flat = local_begin;
    run->state = runs->piece_state + (local_begin - runs->piece_begin);
    run->run.begin = global_begin;
    run->run.count = count;
    if (runs->list != NULL) runs->list[runs->n] = *run;
    runs->n++;
    return DPO_OK;
}

/* The parts of a piece before, in and behind what this rank counts. */
static void add_piece(const dpo_parameters *parameters, const dpo_piece *piece, run_list *runs)
{
    dpo_range counted =
        dpo_range_intersect(piece->range, dpo_parameter_counted(&parameters->row[piece->row]));
    const dpo_range parts[] = {
        {piece->range.begin, counted.begin}, counted, {counted.end, piece->range.end}};

    runs->piece_begin = piece->range.begin;
    for (int i = 0; i < 3; i++) {
        runs->next.run.counted = i == 1;
        dpo_status status =
            dpo_parameters_for_each_run(parameters, parts[i], DPO_HELD, add_run, runs);

        DPO_ASSERT(status == DPO_OK);
        (void)status;
    }
}

static void add_matrix(const dpo_optimizer *optimizer, run_list *runs)
{
    const dpo_piece_list *pieces = &optimizer->pieces;

    for (int64_t i = 0; i < pieces->n; i++) {
        if (pieces->piece[i].row != runs->next.row) continue;
        runs->piece_state = optimizer->state_offset[0][i];
        add_piece(optimizer->parameters, &pieces->piece[i], runs);
    }
}

/* begin may be NULL. */
static int64_t list_runs(const dpo_optimizer *optimizer, dpo_muon_local_run *list, int64_t *begin)
{
    const dpo_muon *muon = optimizer->muon;
    run_list runs = {.list = list};

    for (int64_t round = 0; round < muon->n_rounds; round++) {
        if (begin != NULL) begin[round] = runs.n;
        for (int rank = 0; rank < muon->size; rank++) {
            runs.next = (dpo_muon_local_run){.run = {.round = round},
                                             .owner = rank,
                                             .row = dpo_muon_matrix_of(muon, round, rank)};
            if (runs.next.row >= 0) add_matrix(optimizer, &runs);
        }
    }
    if (begin != NULL) begin[muon->n_rounds] = runs.n;
    return runs.n;
}

static dpo_status plan_local(dpo_optimizer *optimizer)
{
    dpo_muon *muon;

    DPO_TRY(DPO_NEW(optimizer->muon, 1));
    muon = optimizer->muon;
    muon->size = dpo_grid_size(optimizer->grid, DPO_WORLD);
    DPO_TRY(deal(optimizer->parameters, muon));
    DPO_TRY(DPO_NEW(muon->n_send, muon->size));
    DPO_TRY(DPO_NEW(muon->n_receive, muon->size));
    DPO_TRY(DPO_NEW(muon->local_begin, muon->n_rounds + 1));
    DPO_TRY(DPO_NEW(muon->foreign_begin, muon->n_rounds * muon->size));
    DPO_TRY(DPO_NEW(muon->foreign_end, muon->n_rounds * muon->size));
    muon->n_local = list_runs(optimizer, NULL, NULL);
    DPO_TRY(DPO_NEW(muon->local, muon->n_local));
    (void)list_runs(optimizer, muon->local, muon->local_begin);
    return DPO_OK;
}

/* How many bytes of run descriptions go to each owner and come from each holder. */
static void count_descriptions(const dpo_grid *grid, dpo_muon *muon, int64_t *n_bytes_each)
{
    memset(muon->n_send, 0, (size_t)muon->size * sizeof *muon->n_send);
    for (int64_t i = 0; i < muon->n_local; i++)
        muon->n_send[muon->local[i].owner] += (int64_t)sizeof(dpo_muon_run_of);
    for (int r = 0; r < muon->size; r++)
        n_bytes_each[r] = sizeof(int64_t);
    dpo_all_to_all_bytes(grid, DPO_WORLD, n_bytes_each, muon->n_send, n_bytes_each,
                         muon->n_receive);
}

static int64_t total(const dpo_muon *muon, const int64_t *n)
{
    int64_t sum = 0;

    for (int r = 0; r < muon->size; r++)
        sum += n[r];
    return sum;
}

/* Descriptions of the local runs, those for owner 0 first. */
static void write_descriptions(const dpo_muon *muon, dpo_muon_run_of *out)
{
    for (int owner = 0; owner < muon->size; owner++)
        for (int64_t i = 0; i < muon->n_local; i++)
            if (muon->local[i].owner == owner) *out++ = muon->local[i].run;
}

static void index_foreign(dpo_muon *muon)
{
    int64_t at = 0;

    for (int rank = 0; rank < muon->size; rank++) {
        int64_t end = at + muon->n_receive[rank] / (int64_t)sizeof(dpo_muon_run_of);

        for (int64_t round = 0; round < muon->n_rounds; round++) {
            int64_t i = round * muon->size + rank;

            muon->foreign_begin[i] = at;
            while (at < end && muon->foreign[at].round == round)
                at++;
            muon->foreign_end[i] = at;
        }
    }
}

/* Owners learn what each rank holds of their matrices. */
static dpo_status exchange_descriptions(const dpo_grid *grid, dpo_muon *muon)
{
    dpo_muon_run_of *out = NULL;
    int64_t *n_bytes_each = NULL;
    dpo_status status = dpo_agree(grid, DPO_NEW(n_bytes_each, muon->size));

    if (status != DPO_OK) goto done;
    count_descriptions(grid, muon, n_bytes_each);
    int64_t n_foreign = total(muon, muon->n_receive) / (int64_t)sizeof(dpo_muon_run_of);

    status = DPO_NEW(muon->foreign, n_foreign);
    if (status == DPO_OK) status = DPO_NEW(out, muon->n_local);
    status = dpo_agree(grid, status);
    if (status != DPO_OK || out == NULL) goto done;
    write_descriptions(muon, out);
    dpo_all_to_all_bytes(grid, DPO_WORLD, muon->n_send, out, muon->n_receive, muon->foreign);
    index_foreign(muon);
done:
    dpo_free(out);
    dpo_free(n_bytes_each);
    return status;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Items that pass through this rank in a round, as holder and as owner. */
static int64_t items_of_round(const dpo_muon *muon, int64_t round)
{
    int64_t held = 0;
    int64_t owned = 0;

    for (int64_t i = muon->local_begin[round]; i < muon->local_begin[round + 1]; i++)
        held += muon->local[i].run.count;
    for (int rank = 0; rank < muon->size; rank++)
        for (int64_t i = muon->foreign_begin[round * muon->size + rank];
             i < muon->foreign_end[round * muon->size + rank]; i++)
            owned += muon->foreign[i].count;
    return larger(held, owned);
}

static dpo_status allocate_round(const dpo_parameters *parameters, int rank, dpo_muon *muon)
{
    int64_t n_items = 0;
    int64_t n_whole = 0;
    int64_t n_work = 0;

    for (int64_t round = 0; round < muon->n_rounds; round++) {
        int64_t row = dpo_muon_matrix_of(muon, round, rank);

        n_items = larger(n_items, items_of_round(muon, round));
        if (row < 0) continue;
        const int64_t *dims = parameters->row[row].dims;

        n_whole = larger(n_whole, dims[0] * dims[1]);
        n_work = larger(n_work, dpo_orthogonalise_work(dims[0], dims[1]));
    }
    DPO_TRY(DPO_NEW(muon->out, n_items));
    DPO_TRY(DPO_NEW(muon->in, n_items));
    DPO_TRY(DPO_NEW(muon->whole, n_whole));
    return DPO_NEW(muon->work, n_work);
}

dpo_status dpo_muon_plan(dpo_optimizer *optimizer)
{
    const dpo_grid *grid = optimizer->grid;

    DPO_TRY(dpo_agree(grid, plan_local(optimizer)));
    DPO_TRY(exchange_descriptions(grid, optimizer->muon));
    return dpo_agree(grid, allocate_round(optimizer->parameters, dpo_grid_rank(grid, DPO_WORLD),
                                          optimizer->muon));
}
