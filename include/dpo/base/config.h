// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_CONFIG_H
#define DPO_BASE_CONFIG_H

/**
 * \file
 * Configuration by tables: one row per key says its type, default, range, unit and meaning. The same
 * rows read files and `--set path=value`, fill the caller's struct, print the resolved configuration and
 * the help text.
 */

#include <stdbool.h>
#include <stddef.h>

#include "dpo/base/json.h"
#include "dpo/base/status.h"

/** Type of a key, and of the member of the caller's struct that holds it. */
typedef enum {
    DPO_FIELD_BOOL,   /**< bool */
    DPO_FIELD_INT,    /**< int64_t */
    DPO_FIELD_REAL,   /**< double; NaN if absent */
    DPO_FIELD_TEXT,   /**< char *, owned; NULL if absent */
    DPO_FIELD_CHOICE, /**< int, index into choices */
    DPO_FIELD_PAIR,   /**< double[2], from a list of two numbers; NaN if absent */
    DPO_FIELD_JSON    /**< dpo_json *, owned; NULL if absent; its owner checks it */
} dpo_field_type;

/** One key. */
typedef struct {
    const char *path;           /**< "optimizer.lr" */
    dpo_field_type type;        /**< type */
    size_t offset;              /**< of the member in the caller's struct, bytes */
    const char *initial;        /**< default as JSON; NULL: absent */
    const char *initial_help;   /**< default in words for the help text; NULL: as initial */
    double min;                 /**< numbers: smallest allowed; min == max: no limits */
    double max;                 /**< numbers: largest allowed */
    const char *const *choices; /**< DPO_FIELD_CHOICE: names, NULL at the end */
    const char *unit;           /**< unit or NULL */
    const char *help;           /**< meaning, one line */
    unsigned flags;             /**< the caller's own bits */
} dpo_field;

/** A configuration under construction; opaque. */
typedef struct dpo_config dpo_config;

/**
 * Begins a configuration; all keys are absent.
 *
 * \local
 * \param[in]  fields    [n_fields], borrowed until the configuration is destroyed.
 * \param[in]  n_fields  Number of keys.
 * \param[out] config    Owned by the caller; NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_config_create(const dpo_field *fields, int n_fields,
                                            dpo_config **config);

/** Destroys a configuration and sets the pointer to NULL; NULL is left alone. \local */
void dpo_config_destroy(dpo_config **config);

/**
 * Takes the keys of a JSON document (with comments).
 *
 * \local
 * \param[in,out] config  The configuration; later values replace earlier ones.
 * \param[in]     source  Name for messages.
 * \param[in]     text    The document, zero-terminated.
 * \errors{DPO_EUSAGE: unknown key (with the nearest known one), wrong type, out of range, a key twice;
 *         DPO_EDATA: no valid JSON; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_config_add_text(dpo_config *config, const char *source,
                                              const char *text);

/** As dpo_config_add_text() from a file; DPO_EIO if it cannot be read. \local */
DPO_MUST_CHECK dpo_status dpo_config_add_file(dpo_config *config, const char *path);

/**
 * Sets one key; null takes it back, so that its default holds.
 *
 * \local
 * \param[in,out] config  The configuration.
 * \param[in]     source  Name for messages, for example "--set".
 * \param[in]     path    Key.
 * \param[in]     value   JSON; for texts and choices the bare text.
 * \errors{as dpo_config_add_text()}
 */
DPO_MUST_CHECK dpo_status dpo_config_set(dpo_config *config, const char *source, const char *path,
                                         const char *value);

/** Whether a key was given (by file or option). \local */
bool dpo_config_is_given(const dpo_config *config, const char *path);

/** The row of a key; NULL with a DPO_EUSAGE record naming the nearest known key if there is none. \local */
const dpo_field *dpo_config_find(const dpo_config *config, const char *source, const char *path);

/**
 * Fills the caller's struct from what was given and the defaults.
 *
 * \local
 * \param[in]  config  The configuration.
 * \param[out] values  The struct that the offsets refer to, zeroed before; free its owned members with
 *                     dpo_config_values_destroy().
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_config_fill(const dpo_config *config, void *values);

/** Frees the texts and JSON values of a filled struct. \local */
void dpo_config_values_destroy(const dpo_field *fields, int n_fields, void *values);

/**
 * The resolved configuration, as nested objects in the order of the table.
 *
 * \local
 * \param[in]  fields    [n_fields].
 * \param[in]  n_fields  Number of keys.
 * \param[in]  values    A filled struct.
 * \param[out] root      Owned by the caller; NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_config_to_json(const dpo_field *fields, int n_fields,
                                             const void *values, dpo_json **root);

/**
 * Appends the help text of the keys that have all of some flags.
 *
 * \local
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_config_help(const dpo_field *fields, int n_fields, unsigned flags,
                                          dpo_buffer *out);

#endif
