// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_TRANSPORT_H
#define DPO_COMM_TRANSPORT_H

/**
 * \file
 * How large vectors go from rank to rank.
 */

/** A way of transport. All of them give the same bits in f32. */
typedef enum {
    DPO_TRANSPORT_AUTO, /**< the fastest of those that can be had, measured at creation (a few ms) */
    DPO_TRANSPORT_SHARED,  /**< memory that the ranks of a node share */
    DPO_TRANSPORT_MESSAGES /**< MPI messages only */
} dpo_transport_kind;

/** "auto", "shared memory" or "messages", for the log; valid for ever. \local */
const char *dpo_transport_name(dpo_transport_kind kind);

#endif
