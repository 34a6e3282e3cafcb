// SPDX-License-Identifier: Apache-2.0
/*
 * Examples are numbered over all shares. Each rank learns the digests of all prompts, and with them the first
 * example of each prompt; the rank that holds it gets the others:
 *
 *     rank 0: A A B | rank 1: A B C | rank 2: C C        examples by their prompts
 *     rank 1 sends A and B, rank 2 sends C and C         to everyone, who takes what is its own
 *     rank 0: AAA BB | rank 1: CCC | rank 2: nothing
 */
#include "group.h"

#include <stdlib.h>

#include "dpo/base/digest.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "join.h"

/* The prompt of an example. */
typedef struct {
    dpo_digest digest;
    int64_t number;
} prompt_key;

/* An example, and the first one with its prompt. */
typedef struct {
    int64_t first;
    int64_t number;
    const token_share *share; /* where it lies now */
    int64_t at;
} member;

/* Examples that go to another rank, and who they are. */
typedef struct {
    token_share share;
    dpo_buffer members; /* member, one for each example */
} parcel;

/* Invariant: own are numbered [begin, begin + own->n[N_EXAMPLES]); members are of own and arrived. */
typedef struct {
    const dpo_grid *grid;
    const token_share *own;
    int64_t begin;
    dpo_buffer members; /* member */
    parcel arrived;
} grouping;

static int by_digest(const void *a, const void *b)
{
    const prompt_key *p = a;
    const prompt_key *q = b;

    int order = dpo_digest_compare(p->digest, q->digest);

    return order != 0 ? order : (p->number > q->number) - (p->number < q->number);
}

static int by_group(const void *a, const void *b)
{
    const member *p = a;
    const member *q = b;

    if (p->first != q->first) return p->first < q->first ? -1 : 1;
    return (p->number > q->number) - (p->number < q->number);
}

static int64_t count_of(const dpo_buffer *members)
{
    return members->size_bytes / (int64_t)sizeof(member);
}

/* Of an example with several prompts no other has the key. */
static prompt_key key_of(const token_share *share, int64_t example, int64_t number)
{
    const int64_t *prompts = share->arrays[TOKEN_ARRAY_response_prompt].data;
    dpo_range responses = token_share_responses(share, example);
    token_run prompt = token_share_prompt(share, prompts[responses.begin]);
    prompt_key key = {dpo_digest_of(prompt.ids, prompt.n * (int64_t)sizeof *prompt.ids), number};

    if (prompts[responses.end - 1] != prompts[responses.begin])
        key.digest = dpo_digest_join(key.digest, dpo_digest_of(&number, sizeof number));
    return key;
}

/* The number of the first example with a prompt; the keys are sorted, one of them has it. */
static int64_t find_first(const prompt_key *keys, int64_t n, dpo_digest digest)
{
    const prompt_key wanted = {digest, -1};
    dpo_range range = {0, n};

    while (dpo_range_length(range) > 0) {
        int64_t middle = range.begin + dpo_range_length(range) / 2;

        if (by_digest(&keys[middle], &wanted) < 0)
            range.begin = middle + 1;
        else
            range.end = middle;
    }
    return keys[range.begin].number;
}

static dpo_status list_own(grouping *g, const prompt_key *own, int64_t n_all, prompt_key *all)
{
    qsort(all, (size_t)n_all, sizeof *all, by_digest);
    for (int64_t x = 0; x < g->own->n[N_EXAMPLES]; x++) {
        member m = {find_first(all, n_all, own[x].digest), g->begin + x, g->own, x};

        DPO_TRY(dpo_buffer_append(&g->members, &m, sizeof m));
    }
    return DPO_OK;
}

static dpo_status find_members(grouping *g)
{
    int64_t n = g->own->n[N_EXAMPLES];
    int64_t total = n;
    prompt_key *own = NULL;
    prompt_key *all = NULL;

    dpo_sum_i64(g->grid, DPO_WORLD, 1, &total);
    dpo_status status = DPO_NEW(own, n);

    if (status == DPO_OK) status = DPO_NEW(all, total);
    status = dpo_agree(g->grid, status);
    if (status == DPO_OK) {
        DPO_ASSERT(own != NULL && all != NULL);
        for (int64_t x = 0; x < n; x++)
            own[x] = key_of(g->own, x, g->begin + x);
        dpo_all_gather_bytes(g->grid, DPO_WORLD, n * (int64_t)sizeof *own, own, all);
        status = dpo_agree(g->grid, list_own(g, own, total, all));
    }
    dpo_free(all);
    dpo_free(own);
    return status;
}

static void parcel_destroy(parcel *p)
{
    token_share_destroy(&p->share);
    dpo_buffer_destroy(&p->members);
}

static dpo_status parcel_add(parcel *p, const member *m)
{
    token_joiner joiner = {.to = &p->share};
    member moved = {m->first, m->number, NULL, p->share.n[N_EXAMPLES]};
    dpo_status status = token_join_copy(&joiner, m->share, m->at);

    token_join_end(&joiner);
    return status == DPO_OK ? dpo_buffer_append(&p->members, &moved, sizeof moved) : status;
}

/* Puts the examples of other ranks' prompts into a parcel; the members keep the others. */
static dpo_status pack(grouping *g, parcel *p)
{
    member *members = g->members.data;
    int64_t n = count_of(&g->members);
    int64_t n_kept = 0;

    for (int64_t i = 0; i < n; i++) {
        if (members[i].first >= g->begin)
            members[n_kept++] = members[i];
        else
            DPO_TRY(parcel_add(p, &members[i]));
    }
    g->members.size_bytes = n_kept * (int64_t)sizeof *members;
    return DPO_OK;
}

static dpo_status make_room(dpo_buffer *buffer, int64_t n_bytes)
{
    dpo_buffer_clear(buffer);
    return dpo_buffer_append(buffer, NULL, n_bytes);
}

/* Room for what root sends; root has it already. */
static dpo_status make_rooms(parcel *p)
{
    for (int a = 0; a < N_TOKEN_ARRAYS; a++)
        DPO_TRY(make_room(&p->share.arrays[a],
                          p->share.n[token_arrays[a].count] * (int64_t)token_arrays[a].item_bytes));
    return make_room(&p->members, p->share.n[N_EXAMPLES] * (int64_t)sizeof(member));
}

/* Root's parcel on every rank. */
static dpo_status broadcast(const dpo_grid *grid, int root, parcel *p)
{
    bool is_root = dpo_grid_rank(grid, DPO_WORLD) == root;

    dpo_broadcast(grid, DPO_WORLD, root, sizeof p->share.n, p->share.n);
    if (p->share.n[N_EXAMPLES] == 0) return DPO_OK;
    DPO_TRY(dpo_agree(grid, is_root ? DPO_OK : make_rooms(p)));
    for (int a = 0; a < N_TOKEN_ARRAYS; a++)
        dpo_broadcast(grid, DPO_WORLD, root, p->share.arrays[a].size_bytes,
                      p->share.arrays[a].data);
    dpo_broadcast(grid, DPO_WORLD, root, p->members.size_bytes, p->members.data);
    return DPO_OK;
}

/* Takes the examples whose prompts are this rank's. */
static dpo_status take(grouping *g, const parcel *p)
{
    int64_t end = g->begin + g->own->n[N_EXAMPLES];
    const member *sent = p->members.data;

    for (int64_t i = 0; i < p->share.n[N_EXAMPLES]; i++) {
        member m = {sent[i].first, sent[i].number, &p->share, sent[i].at};

        if (m.first >= g->begin && m.first < end) DPO_TRY(parcel_add(&g->arrived, &m));
    }
    return DPO_OK;
}

static dpo_status exchange(grouping *g)
{
    int rank = dpo_grid_rank(g->grid, DPO_WORLD);
    parcel mine = {0};
    dpo_status status = dpo_agree(g->grid, pack(g, &mine));

    for (int root = 1; root < dpo_grid_size(g->grid, DPO_WORLD) && status == DPO_OK; root++) {
        parcel received = {0};
        parcel *p = root == rank ? &mine : &received;

        status = broadcast(g->grid, root, p);
        if (status == DPO_OK) status = dpo_agree(g->grid, take(g, p));
        parcel_destroy(&received);
    }
    parcel_destroy(&mine);
    return status;
}

static dpo_status list_arrived(grouping *g)
{
    const member *arrived = g->arrived.members.data;

    for (int64_t i = 0; i < count_of(&g->arrived.members); i++) {
        member m = arrived[i];

        m.share = &g->arrived.share;
        DPO_TRY(dpo_buffer_append(&g->members, &m, sizeof m));
    }
    return DPO_OK;
}

static dpo_status join(grouping *g, token_share *joined)
{
    token_joiner joiner = {.to = joined};
    dpo_status status = list_arrived(g);
    int64_t n = count_of(&g->members);
    member *m = g->members.data;

    if (n > 0) qsort(m, (size_t)n, sizeof *m, by_group);
    for (int64_t i = 0; i < n && status == DPO_OK; i++)
        status = i > 0 && m[i].first == m[i - 1].first
                     ? token_join_add(&joiner, m[i].share, m[i].at)
                     : token_join_copy(&joiner, m[i].share, m[i].at);
    token_join_end(&joiner);
    return status;
}

static void count(const token_share *share, dpo_audit *counts)
{
    counts->n_joined += counts->n_examples - share->n[N_EXAMPLES];
    counts->n_examples = share->n[N_EXAMPLES];
    counts->n_responses = share->n[N_RESPONSES];
    counts->n_edges = share->n[N_EDGES];
    counts->prompt_tokens = share->n[N_PROMPT_TOKENS];
    counts->response_tokens = share->n[N_RESPONSE_TOKENS];
}

dpo_status token_share_group(const dpo_grid *grid, token_share *share, dpo_audit *counts)
{
    grouping g = {.grid = grid, .own = share};
    token_share joined = {0};

    g.begin = dpo_sum_before_i64(grid, DPO_WORLD, share->n[N_EXAMPLES]);
    dpo_status status = find_members(&g);

    if (status == DPO_OK) status = exchange(&g);
    if (status == DPO_OK) status = dpo_agree(grid, join(&g, &joined));
    parcel_destroy(&g.arrived);
    dpo_buffer_destroy(&g.members);
    token_share_destroy(share);
    *share = joined;
    if (status == DPO_OK) count(share, counts);
    return status;
}
