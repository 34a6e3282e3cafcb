// SPDX-License-Identifier: Apache-2.0
#include "dpo/comm/exchange.h"

#include <limits.h>

#include "dpo/base/clock.h"
#include "dpo/base/memory.h"
#include "exchange_private.h"
#include "grid_private.h"

/* What is asked for, and where. */
typedef struct {
    const dpo_grid *grid;
    dpo_axis axis;
    int64_t max_rows, width;
    int n_wholes;
} exchange_request;

const char *dpo_transport_name(dpo_transport_kind kind)
{
    static const char *const names[] = {"auto", "shared memory", "messages"};

    return names[kind];
}

static dpo_status get_memory(const exchange_request *request, dpo_exchange **exchange)
{
    DPO_TRY(DPO_NEW(*exchange, 1));
    dpo_exchange *e = *exchange;

    e->rank = request->grid->rank[request->axis];
    e->size = request->grid->size[request->axis];
    e->max_rows = request->max_rows;
    e->width = request->width;
    e->n_wholes = request->n_wholes;
    DPO_TRY(DPO_NEW(e->whole, e->n_wholes + 1));
    return DPO_NEW(e->addend, e->size);
}

static void free_memory(dpo_exchange **exchange)
{
    if (*exchange == NULL) return;
    dpo_free((*exchange)->addend);
    dpo_free((*exchange)->whole);
    dpo_free(*exchange);
    *exchange = NULL;
}

/* One with a given transport, on all ranks of the grid or on none; the status is this rank's only. */
static dpo_status create_one(const exchange_request *request,
                             const dpo_exchange_transport_table *transport, dpo_exchange **exchange)
{
    dpo_status status = get_memory(request, exchange);

    if (!dpo_true_everywhere(request->grid, status == DPO_OK) || *exchange == NULL) {
        free_memory(exchange);
        return status;
    }
    (*exchange)->transport = transport;
    MPI_Comm_dup(request->grid->comm[request->axis], &(*exchange)->comm);
    status = transport->create(*exchange);
    if (!dpo_true_everywhere(request->grid, status == DPO_OK)) dpo_exchange_destroy(exchange);
    return status;
}

void dpo_exchange_destroy(dpo_exchange **exchange)
{
    if (*exchange == NULL) return;
    (*exchange)->transport->destroy(*exchange);
    MPI_Comm_free(&(*exchange)->comm);
    free_memory(exchange);
}

/* Seconds of the slowest rank for a gather and a reduce of a MiB, at their best. */
static double measure(const dpo_grid *grid, dpo_exchange *exchange)
{
    enum { N_TIMES = 4, MEASURED_ITEMS = 1 << 18 };
    int64_t n_rows = MEASURED_ITEMS / exchange->width + exchange->size;
    double best_s = 0.0;

    if (n_rows > exchange->max_rows) n_rows = exchange->max_rows;
    dpo_range mine = dpo_exchange_rows(exchange, n_rows, exchange->rank);

    for (int i = 0; i < N_TIMES; i++) {
        double begin_s = dpo_clock_s();

        if (exchange->n_wholes > 0) exchange->transport->gather(exchange, 0, n_rows);
        exchange->transport->reduce(exchange, n_rows, false,
                                    exchange->partial + mine.begin * exchange->width);
        double s = dpo_clock_s() - begin_s;

        MPI_Allreduce(MPI_IN_PLACE, &s, 1, MPI_DOUBLE, MPI_MAX, grid->comm[DPO_WORLD]);
        if (i == 0 || s < best_s) best_s = s;
    }
    return best_s;
}

/* Shared memory that cannot be had is no failure here. */
static dpo_status create_fastest(const exchange_request *request, dpo_exchange **exchange)
{
    dpo_exchange *shared = NULL;

    if (create_one(request, &dpo_exchange_shared, &shared) != DPO_OK) DPO_ASSERT(shared == NULL);
    dpo_status status = create_one(request, &dpo_exchange_messages, exchange);

    if (shared == NULL) return status;
    if (*exchange == NULL || measure(request->grid, shared) < measure(request->grid, *exchange)) {
        dpo_exchange_destroy(exchange);
        *exchange = shared;
        return DPO_OK;
    }
    dpo_exchange_destroy(&shared);
    return DPO_OK;
}

static dpo_status create_kind(const exchange_request *request, dpo_transport_kind kind,
                              dpo_exchange **exchange)
{
    bool spans_nodes = request->grid->spans_nodes[request->axis];

    if (request->grid->size[request->axis] == 1 || kind == DPO_TRANSPORT_MESSAGES)
        return create_one(request, &dpo_exchange_messages, exchange);
    if (kind == DPO_TRANSPORT_SHARED && spans_nodes)
        return DPO_FAIL(
            DPO_EUSAGE,
            "shared memory: ranks that share rows lie on different nodes; place them on "
            "one node or choose messages");
    if (kind == DPO_TRANSPORT_SHARED) return create_one(request, &dpo_exchange_shared, exchange);
    if (spans_nodes) return create_one(request, &dpo_exchange_messages, exchange);
    return create_fastest(request, exchange);
}

dpo_status dpo_exchange_create(const dpo_grid *grid, dpo_axis axis, dpo_transport_kind kind,
                               int64_t max_rows, int64_t width, int n_wholes,
                               dpo_exchange **exchange)
{
    exchange_request request = {grid, axis, max_rows, width, n_wholes};

    DPO_ASSERT(max_rows >= 0 && max_rows < INT_MAX && width > 0 && width < INT_MAX);
    *exchange = NULL;
    dpo_status status = dpo_agree(grid, create_kind(&request, kind, exchange));

    if (status != DPO_OK) dpo_exchange_destroy(exchange);
    return status;
}

int64_t dpo_exchange_plan_bytes(int size, int64_t max_rows, int64_t width, int n_wholes)
{
    int64_t bytes = max_rows * width * (int64_t)sizeof(float);

    return (n_wholes * bytes + size - 1) / size + (size > 1 ? bytes : 0);
}

dpo_transport_kind dpo_exchange_transport(const dpo_exchange *exchange)
{
    return exchange->transport->kind;
}

float *dpo_exchange_whole(dpo_exchange *exchange, int i)
{
    DPO_ASSERT(i >= 0 && i < exchange->n_wholes);
    return exchange->whole[i];
}

float *dpo_exchange_partial(dpo_exchange *exchange)
{
    return exchange->partial;
}

void dpo_exchange_gather(dpo_exchange *exchange, int i, int64_t n_rows)
{
    double begin_s = dpo_clock_s();

    DPO_ASSERT(i >= 0 && i < exchange->n_wholes && n_rows >= 0 && n_rows <= exchange->max_rows);
    if (exchange->size == 1) return;
    exchange->transport->gather(exchange, i, n_rows);
    dpo_comm_time_add(dpo_clock_s() - begin_s);
}

void dpo_exchange_reduce(dpo_exchange *exchange, int64_t n_rows, bool add, float *own)
{
    double begin_s = dpo_clock_s();

    DPO_ASSERT(exchange->size > 1 && n_rows >= 0 && n_rows <= exchange->max_rows);
    exchange->transport->reduce(exchange, n_rows, add, own);
    dpo_comm_time_add(dpo_clock_s() - begin_s);
}
