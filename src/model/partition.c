// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/partition.h"

#include "dpo/base/memory.h"

static dpo_range heads_of(const dpo_model_config *config, int size, int rank)
{
    return dpo_range_of_part(config->n_heads, size, rank);
}

static dpo_range kv_heads_of(const dpo_model_config *config, int size, int rank)
{
    dpo_range heads = heads_of(config, size, rank);
    int64_t group = config->n_heads / config->n_kv_heads;

    return (dpo_range){heads.begin / group, (heads.end - 1) / group + 1};
}

static dpo_status check_size(const dpo_model_config *config, int size)
{
    const struct {
        const char *what;
        int64_t n;
    } parts[] = {{"query heads", config->n_heads},
                 {"columns of the MLP", config->d_ff},
                 {"tokens of the vocabulary", config->n_vocab}};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (size > parts[i].n)
            return DPO_FAIL(DPO_EUSAGE,
                            "parallel.tensor: %d ranks cannot share the model's %lld %s; expected "
                            "at most that many",
                            size, (long long)parts[i].n, parts[i].what);
    return DPO_OK;
}

dpo_status dpo_partition_make(const dpo_model_config *config, int size, int rank,
                              dpo_partition *partition)
{
    DPO_ASSERT(size > 0 && rank >= 0 && rank < size);
    DPO_TRY(check_size(config, size));
    *partition = (dpo_partition){.size = size,
                                 .rank = rank,
                                 .heads = heads_of(config, size, rank),
                                 .kv_heads = kv_heads_of(config, size, rank),
                                 .ff = dpo_range_of_part(config->d_ff, size, rank),
                                 .vocabulary = dpo_range_of_part(config->n_vocab, size, rank)};
    int64_t before = rank > 0 ? kv_heads_of(config, size, rank - 1).end : 0;

    partition->counted_kv =
        dpo_range_intersect(partition->kv_heads, (dpo_range){before, config->n_kv_heads});
    return DPO_OK;
}

dpo_range dpo_partition_tokens(const dpo_partition *partition, int64_t n)
{
    return dpo_range_of_part(n, partition->size, partition->rank);
}

static int n_holders(const dpo_model_config *config, int size, int64_t head)
{
    int n = 0;

    for (int rank = 0; rank < size; rank++) {
        dpo_range held = kv_heads_of(config, size, rank);

        n += head >= held.begin && head < held.end;
    }
    return n;
}

int64_t dpo_partition_n_shared_kv(const dpo_model_config *config, int size)
{
    int64_t n = 0;

    for (int64_t head = 0; head < config->n_kv_heads; head++)
        n += n_holders(config, size, head) > 1;
    return n;
}

void dpo_partition_shared_kv(const dpo_model_config *config, int size, int64_t *head)
{
    int64_t n = 0;

    for (int64_t k = 0; k < config->n_kv_heads; k++)
        if (n_holders(config, size, k) > 1) head[n++] = k;
}

double dpo_partition_imbalance(const dpo_model_config *config, int size)
{
    double most = 0.0;
    double sum = 0.0;

    for (int rank = 0; rank < size; rank++) {
        double heads = (double)dpo_range_length(heads_of(config, size, rank));
        double kv_heads = (double)dpo_range_length(kv_heads_of(config, size, rank));
        double ff = (double)dpo_range_length(dpo_range_of_part(config->d_ff, size, rank));
        double work = 2.0 * (heads + kv_heads) * (double)config->head_dim + 3.0 * ff;

        most = work > most ? work : most;
        sum += work;
    }
    return most * (double)size / sum;
}
