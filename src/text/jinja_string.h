// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_STRING_H
#define DPO_TEXT_JINJA_STRING_H

/* Operations on UTF-8 texts that count characters (code points), as Python's str does. */

#include "jinja_pool.h"
#include "jinja_source.h"

/* Bytes of the character at an offset. */
int64_t jinja_character_length(jinja_text text, int64_t at);

/* Number of characters. */
int64_t jinja_string_length(jinja_text text);

/* Offset of the character number index, in [0, length]. */
int64_t jinja_string_offset(jinja_text text, int64_t index);

/* Offset of the first occurrence of part at or behind begin; -1 if there is none. An empty part is found. */
int64_t jinja_string_find(jinja_text text, jinja_text part, int64_t begin);

bool jinja_string_starts(jinja_text text, jinja_text part);
bool jinja_string_ends(jinja_text text, jinja_text part);

/* Without the characters of a set at its ends; set.data == NULL means white space, as Unicode has it. */
jinja_text jinja_string_strip(jinja_text text, jinja_text set, bool left, bool right);

DPO_MUST_CHECK dpo_status jinja_string_join(jinja_pool *pool, jinja_text a, jinja_text b,
                                            jinja_text *joined);

/* The first `limit` occurrences of from (all if negative) become to. */
DPO_MUST_CHECK dpo_status jinja_string_replace(jinja_pool *pool, jinja_text text, jinja_text from,
                                               jinja_text to, int64_t limit, jinja_text *replaced);

typedef enum {
    JINJA_LOWER,
    JINJA_UPPER,
    JINJA_CAPITALIZE,
    JINJA_TITLE,      /* a word begins behind whatever is no letter: the method */
    JINJA_TITLE_WORDS /* a word begins behind white space, a hyphen or an opening bracket: the filter */
} jinja_case;

/* Each character by its simple mapping of Unicode. */
DPO_MUST_CHECK dpo_status jinja_string_case(jinja_pool *pool, jinja_text text, jinja_case what,
                                            jinja_text *changed);

#endif
