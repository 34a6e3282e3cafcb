// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_JSON_H
#define DPO_BASE_JSON_H

/**
 * \file
 * Reading and writing JSON (cJSON inside).
 *
 * Read texts must be valid UTF-8 with unique keys per object where dpo_json_find() is used; errors name
 * the source, line and column. A node belongs to the root it hangs from; only roots are destroyed.
 * Typed getters name the source ("where") and the key in their message.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/buffer.h"
#include "dpo/base/status.h"

/** A value of a JSON document: null, boolean, number, text, array or object; opaque. */
typedef struct cJSON dpo_json;

/** Kinds of values. */
typedef enum {
    DPO_JSON_NULL,
    DPO_JSON_BOOL,
    DPO_JSON_NUMBER,
    DPO_JSON_TEXT,
    DPO_JSON_ARRAY,
    DPO_JSON_OBJECT
} dpo_json_type;

/** What a reader accepts beside strict JSON. */
typedef enum {
    DPO_JSON_STRICT,  /**< RFC 8259 */
    DPO_JSON_COMMENTS /**< and comments: from two slashes to the end of line, or as in C */
} dpo_json_syntax;

/**
 * Parses a text.
 *
 * \local
 * \param[in]  source   Name for messages, for example "pairs.jsonl, line 7".
 * \param[in]  text     [n_bytes], need not be terminated.
 * \param[in]  n_bytes  >= 0.
 * \param[in]  syntax   What is accepted.
 * \param[out] root     Owned by the caller, for dpo_json_destroy(); NULL on error.
 * \errors{DPO_EDATA with line and column; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_json_parse(const char *source, const char *text, int64_t n_bytes,
                                         dpo_json_syntax syntax, dpo_json **root);

/** Parses a file; as dpo_json_parse(), and DPO_EIO if it cannot be read. \local */
DPO_MUST_CHECK dpo_status dpo_json_read_file(const char *path, dpo_json_syntax syntax,
                                             dpo_json **root);

/** Destroys a root and sets the pointer to NULL; NULL is left alone. \local */
void dpo_json_destroy(dpo_json **root);

/** Kind of a value. \local */
dpo_json_type dpo_json_type_of(const dpo_json *node);

/** Name of a kind for messages: "an object", "a number", ... \local */
const char *dpo_json_type_name(dpo_json_type type);

/** Member of an object; NULL if there is none or object is no object (or NULL). \local */
dpo_json *dpo_json_find(const dpo_json *object, const char *key);

/** Members of an object or items of an array; 0 for anything else. Linear time. \local */
int64_t dpo_json_count(const dpo_json *node);

/** First member or item; NULL if there is none. \local */
dpo_json *dpo_json_first(const dpo_json *node);

/** The member or item behind this one; NULL at the end. \local */
dpo_json *dpo_json_next(const dpo_json *node);

/** Key of a member of an object, zero-terminated UTF-8, borrowed from the root. \local */
const char *dpo_json_key(const dpo_json *member);

/** The text of a DPO_JSON_TEXT, zero-terminated UTF-8, borrowed from the root. \local */
const char *dpo_json_text(const dpo_json *node);

/** The number of a DPO_JSON_NUMBER. \local */
double dpo_json_number(const dpo_json *node);

/** The value of a DPO_JSON_BOOL. \local */
bool dpo_json_bool(const dpo_json *node);

/**
 * A required member of one kind.
 *
 * \local
 * \param[in]  object  The object.
 * \param[in]  where   Source for messages.
 * \param[in]  key     Its name.
 * \param[in]  type    Its kind.
 * \param[out] member  Borrowed; NULL on error.
 * \errors{DPO_EDATA if it is absent or of another kind}
 */
DPO_MUST_CHECK dpo_status dpo_json_get(const dpo_json *object, const char *where, const char *key,
                                       dpo_json_type type, const dpo_json **member);

/** A required text, borrowed. \local \errors{DPO_EDATA} */
DPO_MUST_CHECK dpo_status dpo_json_get_text(const dpo_json *object, const char *where,
                                            const char *key, const char **value);

/** A required whole number in [min, max]. \local \errors{DPO_EDATA} */
DPO_MUST_CHECK dpo_status dpo_json_get_int(const dpo_json *object, const char *where,
                                           const char *key, int64_t min, int64_t max,
                                           int64_t *value);

/** A required number. \local \errors{DPO_EDATA} */
DPO_MUST_CHECK dpo_status dpo_json_get_number(const dpo_json *object, const char *where,
                                              const char *key, double *value);

/** A text that may be absent or null: *value then stays as it is. \local
 * \errors{DPO_EDATA if there but of another kind} */
DPO_MUST_CHECK dpo_status dpo_json_maybe_text(const dpo_json *object, const char *where,
                                              const char *key, const char **value);

/** A whole number, likewise. \local \errors{DPO_EDATA also if it is out of range} */
DPO_MUST_CHECK dpo_status dpo_json_maybe_int(const dpo_json *object, const char *where,
                                             const char *key, int64_t min, int64_t max,
                                             int64_t *value);

/** A number, likewise. \local \errors{DPO_EDATA} */
DPO_MUST_CHECK dpo_status dpo_json_maybe_number(const dpo_json *object, const char *where,
                                                const char *key, double *value);

/** A boolean, likewise. \local \errors{DPO_EDATA} */
DPO_MUST_CHECK dpo_status dpo_json_maybe_bool(const dpo_json *object, const char *where,
                                              const char *key, bool *value);

/** New empty object, owned by the caller; NULL on error. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_json_new_object(dpo_json **root);

/** New empty array, likewise. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_json_new_array(dpo_json **root);

/** A deep copy, owned by the caller; NULL on error. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_json_copy(const dpo_json *node, dpo_json **copy);

/**
 * Adds a text as a member to an object (key given) or as an item to an array (key NULL), at the end. A member of that
 * name is replaced.
 *
 * \local
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_json_put_text(dpo_json *node, const char *key, const char *value);

/** Adds a whole number, likewise. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_json_put_int(dpo_json *node, const char *key, int64_t value);

/** Adds a number, likewise. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_json_put_number(dpo_json *node, const char *key, double value);

/** Adds a boolean, likewise. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_json_put_bool(dpo_json *node, const char *key, bool value);

/** Adds a null, likewise. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_json_put_null(dpo_json *node, const char *key);

/** Adds any value, likewise; takes over child: on success *child is NULL, on error it is destroyed. \local */
DPO_MUST_CHECK dpo_status dpo_json_put_node(dpo_json *node, const char *key, dpo_json **child);

/** Writes a document, numbers so that they round-trip; indented by two spaces if pretty. \local
 * \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_json_print(const dpo_json *root, bool pretty, dpo_buffer *out);

#endif
