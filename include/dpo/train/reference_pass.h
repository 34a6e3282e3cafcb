// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_REFERENCE_PASS_H
#define DPO_TRAIN_REFERENCE_PASS_H

/**
 * \file
 * Filling the reference cache: forward passes over the responses that it lacks, shared among the ranks and
 * committed piece by piece.
 */

#include "dpo/base/status.h"
#include "dpo/train/session.h"

/**
 * Fills the cache with what it lacks of a data set and reads the sums into set->reference_logp. If the model is
 * trainable and train.steps is less than an epoch, this is about the responses of these steps only, and the
 * sums of the others are NaN.
 *
 * After a signal (dpo_stop_requested()) to some rank the pass ends early, with session->stopped, without the
 * sums, and with all that was computed in the cache; a session that is stopped already is left alone.
 *
 * \collective{all ranks of the grid}
 * \param[in,out] session  Its model holds the reference's weights, of digest session->reference_digest.
 * \param[in]     set      The data set.
 * \param[in]     path     The cache.
 * \errors{DPO_EUSAGE if the cache belongs to other weights; DPO_EDATA; DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_reference_pass(dpo_session *session, dpo_set set, const char *path);

#endif
