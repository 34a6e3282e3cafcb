// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_JSON_H
#define DPO_TEXT_JINJA_JSON_H

/* The filter tojson as transformers defines it: json.dumps(value, ensure_ascii=False, indent=indent). */

#include "jinja_run.h"

/* indent < 0: all on one line. */
DPO_MUST_CHECK dpo_status jinja_to_json(const jinja_call *call, jinja_value value, int64_t indent,
                                        jinja_text *text);

#endif
