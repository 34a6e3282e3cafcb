// SPDX-License-Identifier: Apache-2.0
#include "dpo/scaling/flops.h"

/* A multiply-add is two operations; a pair takes a product for its score and one for its value. */
dpo_flop_weights dpo_flop_weights_of(const dpo_model_config *config)
{
    double width = (double)config->d_model;
    double heads = (double)(config->n_heads * config->head_dim);
    double kv = (double)(config->n_kv_heads * config->head_dim);
    double layer = width * (2.0 * heads + 2.0 * kv + 3.0 * (double)config->d_ff);

    return (dpo_flop_weights){.of_token = 2.0 * (double)config->n_layers * layer,
                              .of_row = 2.0 * width * (double)config->n_vocab,
                              .of_pair = 4.0 * (double)config->n_layers * heads};
}

double dpo_forward_flops(const dpo_model_config *config, const dpo_work *work)
{
    dpo_flop_weights weight = dpo_flop_weights_of(config);

    return weight.of_token * work->tokens + weight.of_row * work->rows +
           weight.of_pair * work->pairs;
}

/* Each product of the forward pass has two in the backward pass: by the weights and by the inputs. */
double dpo_training_flops(const dpo_model_config *config, const dpo_work *work)
{
    return 3.0 * dpo_forward_flops(config, work);
}
