// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_LOG_H
#define DPO_BASE_LOG_H

/**
 * \file
 * What the program tells its user, on standard error: plain lines, and on a terminal one live line.
 *
 * Only one rank speaks: the others are silenced once, at start, with dpo_log_set_level().
 */

/** How much is told. */
typedef enum {
    DPO_LOG_SILENT,  /**< nothing: every rank but world rank 0 */
    DPO_LOG_WARNING, /**< warnings only (--quiet) */
    DPO_LOG_INFO     /**< and what the program does */
} dpo_log_level;

/** Sets the level of this process; DPO_LOG_INFO at start. \local */
void dpo_log_set_level(dpo_log_level level);

/** One line of information, without its line feed. \local */
void dpo_log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** One warning, without its line feed. \local */
void dpo_log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * Progress: on a terminal replaces the live line, otherwise prints nothing. The next line of another
 * kind clears it.
 *
 * \local
 */
void dpo_log_live(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Whether dpo_log_live() shows anything. \local */
int dpo_log_is_live(void);

#endif
