// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_STATUS_H
#define DPO_BASE_STATUS_H

/**
 * \file
 * Statuses and the error record.
 *
 * A function that can fail returns a dpo_status and leaves the reason in this thread's error record.
 * A failure is reported once, by the command line program, on world rank 0. A broken contract is a bug,
 * not a failure: DPO_ASSERT() ends the program.
 */

#include <stdio.h>

/** One row per status: name, exit code of the program (sysexits), short text. */
#define DPO_STATUS_LIST(ENTRY)                                   \
    ENTRY(DPO_OK, 0, "success")                                  \
    ENTRY(DPO_EUSAGE, 64, "wrong command line or configuration") \
    ENTRY(DPO_EDATA, 65, "malformed input data")                 \
    ENTRY(DPO_EINTERNAL, 70, "internal error")                   \
    ENTRY(DPO_ENOMEM, 71, "out of memory")                       \
    ENTRY(DPO_EIO, 74, "file input or output failed")

/** The name column of DPO_STATUS_LIST(). */
#define DPO_STATUS_ENUM(name, exit_code, text) name,
/** What a function that can fail returns. */
typedef enum { DPO_STATUS_LIST(DPO_STATUS_ENUM) } dpo_status;
#undef DPO_STATUS_ENUM

/** A caller that ignores the result is warned by the compiler. */
#define DPO_MUST_CHECK __attribute__((warn_unused_result))

/** Where and why the last failure happened; a plain value that may be sent to other ranks. */
typedef struct {
    dpo_status status; /**< DPO_OK as long as nothing failed */
    int rank;          /**< world rank that failed */
    int n_failed;      /**< ranks that failed together, 0 before dpo_agree() */
    int line;          /**< source line */
    char file[64];     /**< source file without its folder */
    char node[64];     /**< host name */
    char text[1024];   /**< "where: what was found, what was expected, what to do" */
} dpo_error;

/**
 * Records a failure; use DPO_FAIL(), which fills in the place.
 *
 * \local
 * \param[in] status  Not DPO_OK.
 * \param[in] file    Source file.
 * \param[in] line    Source line.
 * \param[in] format  As for printf: "where: what was found, what was expected, what to do".
 * \return status.
 */
dpo_status dpo_fail(dpo_status status, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/**
 * Puts a text in front of the recorded failure's text ("where: "), for a caller that knows the place better.
 *
 * \local
 * \param[in] status  Returned as it is; DPO_OK changes nothing.
 * \param[in] format  As for printf.
 * \return status.
 */
dpo_status dpo_fail_at(dpo_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/**
 * The error record of this thread.
 *
 * \local
 * \return The record, never NULL, valid for ever.
 */
dpo_error *dpo_last_error(void);

/**
 * Prints the error record: one line for the user, one line of origin.
 *
 * \local
 * \param[in] stream   Where to.
 * \param[in] program  Name in front of the message.
 */
void dpo_error_print(FILE *stream, const char *program);

/**
 * The program's exit code for a status.
 *
 * \local
 * \param[in] status  Any status.
 * \return 0 or a code of sysexits.h.
 */
int dpo_exit_code(dpo_status status);

/** Ends the program after a broken contract; use DPO_ASSERT(). \local */
_Noreturn void dpo_assert_failed(const char *condition, const char *file, int line);

/**
 * Sets what dpo_assert_failed() calls last in place of abort(); comm makes it end all ranks.
 *
 * \local
 * \param[in] end  Does not return.
 */
void dpo_assert_set_end(void (*end)(void));

/** Records a failure here, see dpo_fail(); its value is the status. */
#define DPO_FAIL(status, ...) dpo_fail((status), __FILE__, __LINE__, __VA_ARGS__)

/** Contract that holds in every build. */
#define DPO_ASSERT(condition) \
    ((condition) ? (void)0 : dpo_assert_failed(#condition, __FILE__, __LINE__))

/** Returns from the calling function if the call fails: the only macro that returns. */
#define DPO_TRY(call)                                  \
    do {                                               \
        dpo_status try_status_ = (call);               \
        if (try_status_ != DPO_OK) return try_status_; \
    } while (0)

#endif
