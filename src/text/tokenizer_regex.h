// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_REGEX_H
#define TOKENIZER_REGEX_H

#include "dpo/base/buffer.h"

/* Appends the PCRE2 expression that matches what Oniguruma (Ruby syntax, Unicode) matches with this
   one. Character classes are spelled out, since the two disagree about \s and \w; what they read
   differently and no known tokenizer uses is refused (DPO_EDATA). */
DPO_MUST_CHECK dpo_status tokenizer_regex_translate(const char *where, const char *expression,
                                                    dpo_buffer *out);

#endif
