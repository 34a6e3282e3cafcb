// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_SCALING_FLOPS_H
#define DPO_SCALING_FLOPS_H

/**
 * \file
 * The floating-point work that a batch needs: what texts of a micro-batch begin with alike once, no padding, only
 * rows that predict meet the vocabulary. Divided by the time of a step and the peak of the machine it is the model
 * FLOP utilisation (MFU).
 *
 *     forward = 2 N tokens + 2 V D rows + 4 L H E pairs,    forward and backward = 3 forward
 *
 * N weights of the linear layers, L layers, D width, H heads of E, V vocabulary; pairs are the visible
 * (query, key) pairs. Norms, activations and rotary embedding are not counted.
 */

#include "dpo/model/config.h"

/** What a batch asks of a model; sums over its examples. */
typedef struct {
    double tokens; /**< tokens that are laid out, a shared prompt once */
    double rows;   /**< predictions */
    double pairs;  /**< visible (query, key) pairs */
} dpo_work;

/** Forward FLOP of one token, one row and one pair. */
typedef struct {
    double of_token; /**< 2 N */
    double of_row;   /**< 2 V D */
    double of_pair;  /**< 4 L H E */
} dpo_flop_weights;

/**
 * What weighs how much in a model.
 *
 * \local
 * \param[in] config  The model.
 * \return Forward FLOP, all > 0.
 */
dpo_flop_weights dpo_flop_weights_of(const dpo_model_config *config);

/**
 * FLOP of a forward pass: reference, evaluation.
 *
 * \local
 * \param[in] config  The model.
 * \param[in] work    Of the batch, all >= 0.
 * \return FLOP.
 */
double dpo_forward_flops(const dpo_model_config *config, const dpo_work *work);

/**
 * FLOP of a forward and backward pass: a training step. Optimizer and recomputation are not counted.
 *
 * \local
 * \param[in] config  The model.
 * \param[in] work    Of the batch, all >= 0.
 * \return FLOP.
 */
double dpo_training_flops(const dpo_model_config *config, const dpo_work *work);

#endif
