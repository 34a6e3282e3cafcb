// SPDX-License-Identifier: Apache-2.0
#include "attention_plan.h"

#include <math.h>
#include <omp.h>

#include "dpo/base/memory.h"
#include "onednn.h"

/*
 * Rows enough for fast products, and tiles so short that the causal diagonal wastes little. A product of bf16 takes
 * a fraction of the time, so that its call shows, and has more to do; its scores stay within 1 MB.
 */
static const struct {
    int64_t rows, max_queries, keys;
} tile_sizes[] = {[DPO_F32] = {128, 64, 256}, [DPO_BF16] = {256, 128, 512}};

static int64_t group_of(const dpo_attention_shape *shape)
{
    return shape->group > 0 ? shape->group : shape->n_heads / shape->n_kv_heads;
}

/* T: as many queries as fill the rows of a tile; a power of two. */
static int64_t tile_queries(const dpo_attention_shape *shape)
{
    int64_t queries = tile_sizes[shape->compute].max_queries;

    while (queries > 1 && queries * group_of(shape) > tile_sizes[shape->compute].rows)
        queries /= 2;
    return queries;
}

/* [T G, S] scores and [T G, E] rows of a tile. */
static int64_t score_floats(const dpo_attention_shape *shape)
{
    return tile_queries(shape) * group_of(shape) * tile_sizes[shape->compute].keys;
}

static int64_t row_floats(const dpo_attention_shape *shape)
{
    return tile_queries(shape) * group_of(shape) * shape->head_dim;
}

/* P: with more kv-heads there are tasks enough without many strips; larger groups have more work to share. */
static int64_t max_strips(const dpo_attention_shape *shape)
{
    int64_t group = group_of(shape);
    int64_t strips = (TREE_TASKS + shape->n_kv_heads - 1) / shape->n_kv_heads;

    strips = group > strips ? group : strips;
    return strips < MAX_STRIPS ? strips : MAX_STRIPS;
}

/* What a thread needs beyond f32 products: a row of scores, and memory of the library, in whole floats. */
static int64_t operand_floats(const dpo_attention_shape *shape)
{
    int64_t work = dpo_gemm_work_bytes(shape->compute) + (int64_t)sizeof(float) - 1;

    if (shape->compute == DPO_F32) return 0;
    return tile_sizes[shape->compute].keys / 2 + work / (int64_t)sizeof(float);
}

/* Floats of one thread's scratch. */
static int64_t scratch_floats(const dpo_attention_shape *shape)
{
    int64_t n_rows = tile_queries(shape) * group_of(shape);

    return 2 * score_floats(shape) + 3 * (row_floats(shape) + n_rows) + operand_floats(shape);
}

/* Bytes of keys and of values. */
static int64_t key_bytes(const dpo_attention_shape *shape, int64_t max_tokens)
{
    return shape->n_kv_heads * max_tokens * shape->head_dim * dpo_element_bytes(shape->compute);
}

/* Floats of the gradients of keys and of values. */
static int64_t dkey_floats(const dpo_attention_shape *shape, int64_t max_tokens)
{
    return max_strips(shape) * shape->n_kv_heads * max_tokens * shape->head_dim;
}

int64_t dpo_attention_plan_bytes(const dpo_attention_shape *shape, int64_t max_tokens)
{
    int64_t tiles = max_tokens * (int64_t)(sizeof(query_tile) + sizeof(query_strip));
    int64_t floats =
        2 * dkey_floats(shape, max_tokens) + omp_get_max_threads() * scratch_floats(shape);

    return 2 * key_bytes(shape, max_tokens) + floats * (int64_t)sizeof(float) + tiles;
}

/* The scratch of all threads is one block, cut into their parts. */
static dpo_status allocate_scratch(dpo_attention *attention, const dpo_attention_shape *shape)
{
    int64_t n_rows = attention->tile_queries * attention->group;
    int64_t scores = score_floats(shape), rows = row_floats(shape);
    int64_t thread_floats = scratch_floats(shape);

    DPO_TRY(DPO_NEW(attention->scratch, attention->n_threads));
    DPO_TRY(DPO_NEW(attention->block, attention->n_threads * thread_floats));
    for (int t = 0; t < attention->n_threads; t++) {
        thread_scratch *scratch = &attention->scratch[t];

        scratch->s = attention->block + t * thread_floats;
        scratch->dp = scratch->s + scores;
        scratch->q = scratch->dp + scores;
        scratch->out = scratch->dp + scores + rows;
        scratch->dout = scratch->out + rows;
        scratch->max = scratch->out + 2 * rows;
        scratch->sum = scratch->max + n_rows;
        scratch->delta = scratch->sum + n_rows;
        scratch->row = (void *)(scratch->delta + n_rows);
        scratch->work = scratch->row + attention->tile_keys;
    }
    return DPO_OK;
}

static dpo_status allocate(dpo_attention *attention, const dpo_attention_shape *shape)
{
    int64_t key = key_bytes(shape, attention->max_tokens);
    int64_t dkey = dkey_floats(shape, attention->max_tokens);
    char *keys;

    DPO_TRY(DPO_NEW(attention->tile, attention->max_tokens));
    DPO_TRY(DPO_NEW(attention->strip, attention->max_tokens));
    DPO_TRY(DPO_NEW(keys, 2 * key));
    attention->key = keys;
    attention->value = keys + key;
    DPO_TRY(DPO_NEW(attention->dkey, 2 * dkey));
    attention->dvalue = attention->dkey + dkey;
    return allocate_scratch(attention, shape);
}

dpo_status dpo_attention_create(const dpo_attention_shape *shape, int64_t max_tokens,
                                dpo_attention **attention)
{
    DPO_ASSERT(shape->n_kv_heads > 0 && shape->n_heads > 0 && shape->head_dim > 0);
    DPO_ASSERT(shape->compute == DPO_F32 || dpo_onednn_multiplies_bf16());
    int64_t group = group_of(shape);

    DPO_ASSERT(max_tokens > 0 && shape->skipped >= 0 && shape->skipped < group);
    DPO_ASSERT((shape->n_heads + shape->skipped - 1) / group + 1 == shape->n_kv_heads);
    DPO_TRY(DPO_NEW(*attention, 1));
    **attention = (dpo_attention){
        .n_heads = shape->n_heads,
        .n_kv_heads = shape->n_kv_heads,
        .head_dim = shape->head_dim,
        .group = group,
        .skipped = shape->skipped,
        .elements = shape->elements,
        .compute = shape->compute,
        .qkv_width = (shape->n_heads + 2 * shape->n_kv_heads) * shape->head_dim,
        .out_width = shape->n_heads * shape->head_dim,
        .max_tokens = max_tokens,
        .tile_queries = tile_queries(shape),
        .tile_keys = tile_sizes[shape->compute].keys,
        .max_strips = max_strips(shape),
        .n_threads = omp_get_max_threads(),
        .scale = (float)(1.0 / sqrt((double)shape->head_dim)),
        .query_scale = (float)(1.4426950408889634 / sqrt((double)shape->head_dim)),
        .kernels = dpo_kernels_get(),
    };
    (*attention)->dkey_scale = shape->compute == DPO_F32 ? ln2 : (*attention)->scale;
    dpo_status status = allocate(*attention, shape);

    if (status != DPO_OK) dpo_attention_destroy(attention);
    return status;
}

void dpo_attention_destroy(dpo_attention **attention)
{
    if (*attention == NULL) return;
    dpo_free((*attention)->tile);
    dpo_free((*attention)->strip);
    dpo_free((*attention)->key);
    dpo_free((*attention)->dkey);
    dpo_free((*attention)->scratch);
    dpo_free((*attention)->block);
    dpo_free(*attention);
    *attention = NULL;
}

/* Trees mostly lie one behind the other, and then nothing moves. */
static void sort_by_tree(query_tile *tile, int64_t n_tiles)
{
    for (int64_t i = 1; i < n_tiles; i++) {
        query_tile moving = tile[i];
        int64_t j = i;

        for (; j > 0 && tile[j - 1].root > moving.root; j--)
            tile[j] = tile[j - 1];
        tile[j] = moving;
    }
}

static void cut_segment(dpo_attention *attention, const dpo_segments *segments, int64_t segment)
{
    int64_t end = segments->begin[segment + 1], length = attention->tile_queries, root = segment;

    while (segments->parent[root] >= 0)
        root = segments->parent[root];
    for (int64_t begin = segments->begin[segment]; begin < end; begin += length)
        attention->tile[attention->n_tiles++] =
            (query_tile){begin, begin + length < end ? begin + length : end, segment, root};
}

static int64_t tile_work(const dpo_attention *attention, const dpo_segments *segments,
                         const query_tile *tile)
{
    key_piece piece = dpo_attention_before_keys(attention, segments, tile);
    int64_t n_keys = 0;

    while (dpo_attention_next_keys(segments, &piece))
        n_keys += piece.end - piece.begin;
    return (tile->end - tile->begin) * n_keys;
}

static int64_t work_of(const dpo_attention *attention, const dpo_segments *segments, int64_t begin,
                       int64_t end)
{
    int64_t work = 0;

    for (int64_t i = begin; i < end; i++)
        work += tile_work(attention, segments, &attention->tile[i]);
    return work;
}

/* Strips of about the same work of the tree that has the tiles [begin, end). */
static void cut_tree(dpo_attention *attention, const dpo_segments *segments, int64_t begin,
                     int64_t end)
{
    int64_t total = work_of(attention, segments, begin, end), done = 0, n_parts = 1;
    int64_t first = begin;

    while (n_parts < attention->max_strips && (n_parts + 1) * STRIP_WORK <= total)
        n_parts++;
    for (int64_t part = 0; part < n_parts; part++) {
        query_strip strip = {begin, first, first, part, n_parts, 0};

        while (strip.end < end && n_parts * (done + strip.work) < (part + 1) * total)
            strip.work += tile_work(attention, segments, &attention->tile[strip.end++]);
        attention->strip[attention->n_strips++] = strip;
        first = strip.end;
        done += strip.work;
    }
}

static void cut_trees(dpo_attention *attention, const dpo_segments *segments)
{
    const query_tile *tile = attention->tile;
    int64_t begin = 0;

    attention->n_strips = 0;
    for (int64_t i = 1; i <= attention->n_tiles; i++)
        if (i == attention->n_tiles || tile[i].root != tile[begin].root) {
            cut_tree(attention, segments, begin, i);
            begin = i;
        }
}

/* So that the last tasks to be taken are short ones. */
static void sort_by_work(query_strip *strip, int64_t n_strips)
{
    for (int64_t i = 1; i < n_strips; i++) {
        query_strip moving = strip[i];
        int64_t j = i;

        for (; j > 0 && strip[j - 1].work < moving.work; j--)
            strip[j] = strip[j - 1];
        strip[j] = moving;
    }
}

/* A head's columns of a row, from element `begin` of qkv on, as operands. */
static void copy_head(const dpo_attention *attention, const void *qkv, int64_t begin,
                      void *operands, int64_t copy)
{
    dpo_copy_elements(attention->kernels, attention->head_dim, attention->elements,
                      dpo_const_at(attention->elements, qkv, begin), attention->compute,
                      dpo_at(attention->compute, operands, copy));
}

/*
 * Head by head, because rows of qkv that are a multiple of a page apart, as most models have them, fall into
 * the same few cache sets.
 */
static void copy_keys_and_values(dpo_attention *attention, int64_t n_tokens, const void *qkv)
{
    int64_t head_dim = attention->head_dim, n_heads = attention->n_heads;
    int64_t n_kv_heads = attention->n_kv_heads;

#pragma omp parallel for schedule(static) num_threads(attention->n_threads)
    for (int64_t n = 0; n < n_tokens; n++)
        for (int64_t kv = 0; kv < n_kv_heads; kv++) {
            int64_t key = n * attention->qkv_width + (n_heads + kv) * head_dim;
            int64_t copy = (kv * attention->max_tokens + n) * head_dim;

            copy_head(attention, qkv, key, attention->key, copy);
            copy_head(attention, qkv, key + n_kv_heads * head_dim, attention->value, copy);
        }
}

void dpo_attention_plan_run(dpo_attention *attention, const dpo_segments *segments, const void *qkv)
{
    int64_t n_tokens = dpo_segments_n_tokens(segments);

    DPO_ASSERT(n_tokens <= attention->max_tokens);
    attention->n_tiles = 0;
    for (int64_t segment = 0; segment < segments->n_segments; segment++)
        cut_segment(attention, segments, segment);
    sort_by_tree(attention->tile, attention->n_tiles);
    cut_trees(attention, segments);
    sort_by_work(attention->strip, attention->n_strips);
    copy_keys_and_values(attention, n_tokens, qkv);
}

key_piece dpo_attention_before_keys(const dpo_attention *attention, const dpo_segments *segments,
                                    const query_tile *tile)
{
    int64_t begin = segments->begin[tile->segment];

    return (key_piece){begin, begin, tile->segment, tile->end, attention->tile_keys};
}

int dpo_attention_next_keys(const dpo_segments *segments, key_piece *piece)
{
    piece->begin = piece->end;
    while (piece->begin == piece->segment_end) {
        piece->segment = segments->parent[piece->segment];
        if (piece->segment < 0) return 0;
        piece->begin = segments->begin[piece->segment];
        piece->segment_end = segments->begin[piece->segment + 1];
    }
    piece->end = piece->begin + piece->max_keys < piece->segment_end
                     ? piece->begin + piece->max_keys
                     : piece->segment_end;
    return 1;
}
