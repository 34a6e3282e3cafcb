// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "dpo/text/chat_template.h"
#include "fuzz/fuzz_target.h"

const char *const dpo_fuzz_seeds[] = {
    "{%- for m in messages if m.role != 'system' %}\n{{ loop.index0 ~ m['role'] | upper }}{% "
    "endfor %}",
    "{% set ns = namespace(n=-1) %}{% for c in messages[0].content[::-1] %}{% set ns.n = ns.n + 2 "
    "** "
    "3 %}{% else %}{% break %}{% endfor %}{{ ns.n // 2 % 3 - 1.5e3 }}",
    "{%- if not x is defined and messages|length > 1 -%} a {# b #}{% elif true %}{{ 'c' if [1,][0] "
    "}}"
    "{%+ endif %}{{ messages | selectattr('role', 'equalto', 'user') | list | tojson(indent=2) }}",
    "{% macro m(a, b='\\n\\u00e9') %}{{ a.split(none, 1) | join(b) }}{% endmacro %}{{ m(' x y ', "
    "b=1) }}",
    "{% set t %}{{ messages[-1].calls[0].items() | map('first') | join }}{% endset %}{{ "
    "t.replace('', "
    "'-').strip('n-') | title }}{{ range(9, 0, -2) | reverse | last }}",
    "{{ raise_exception({'a': (1, 2)}.get('a')[1] in [2] or 'abc'.find('c') < 3 <= 3) }}",
    NULL,
};

static const char conversation[] =
    "[{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \"\\u00e9 u\"},"
    "{\"role\": \"assistant\", \"content\": \"a\", \"calls\": [{\"name\": \"n\", \"n\": 1.5}]}]";

static void render(const dpo_chat_template *chat_template)
{
    dpo_buffer out = {0};
    dpo_json *messages;
    dpo_status status = dpo_json_parse("fuzz", conversation, (int64_t)strlen(conversation),
                                       DPO_JSON_STRICT, &messages);

    DPO_ASSERT(status == DPO_OK);
    status = dpo_chat_template_render(chat_template, messages, true, "<s>", NULL, &out);
    DPO_ASSERT(status == DPO_OK || status == DPO_EDATA);
    dpo_buffer_destroy(&out);
    dpo_json_destroy(&messages);
}

/* Any text is a template that renders, or is refused, and nothing is left behind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    dpo_chat_template *chat_template;
    dpo_buffer text = {0};
    dpo_status status = dpo_buffer_append(&text, data, (int64_t)n_bytes);

    DPO_ASSERT(status == DPO_OK);
    status = dpo_chat_template_parse("fuzz", dpo_buffer_text(&text), &chat_template);
    DPO_ASSERT(status == DPO_OK || status == DPO_EDATA);
    if (status == DPO_OK) render(chat_template);
    dpo_chat_template_destroy(&chat_template);
    dpo_buffer_destroy(&text);
    return 0;
}
