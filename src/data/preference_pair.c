// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "preference_format.h"

/* Pairs: "prompt", "chosen", "rejected", as texts or as messages; scores may follow. */

static const char *const response_keys[2] = {"chosen", "rejected"};
static const char *const score_keys[2] = {"score_chosen", "score_rejected"};

static bool has_kind(const dpo_json *record, const char *key, dpo_json_type type)
{
    const dpo_json *field = dpo_json_find(record, key);

    return field != NULL && dpo_json_type_of(field) == type;
}

static bool recognise_texts(const dpo_json *record)
{
    return has_kind(record, "prompt", DPO_JSON_TEXT) && has_kind(record, "chosen", DPO_JSON_TEXT) &&
           has_kind(record, "rejected", DPO_JSON_TEXT);
}

static bool recognise_messages(const dpo_json *record)
{
    return has_kind(record, "prompt", DPO_JSON_ARRAY) && dpo_json_find(record, "chosen") != NULL &&
           dpo_json_find(record, "rejected") != NULL;
}

/* What all pairs have beside their texts. */
static dpo_status begin_pair(const char *where, const dpo_json *record, dpo_preference *preference)
{
    DPO_TRY(preference_allocate(preference, 2, 1));
    preference->edges[0] = (dpo_preference_edge){.chosen = 0, .rejected = 1, .weight = 1.0f};
    for (int r = 0; r < 2; r++) {
        double *score = &preference->responses[r].score;

        DPO_TRY(dpo_json_maybe_number(record, where, score_keys[r], score));
        if (isinf(*score))
            return DPO_FAIL(DPO_EDATA, "%s: \"%s\" is not finite, expected a number or nothing",
                            where, score_keys[r]);
    }
    return dpo_json_copy(dpo_json_find(record, "prompt"), &preference->prompt);
}

static dpo_status read_texts(const char *where, const dpo_json *record, dpo_preference *preference)
{
    DPO_TRY(begin_pair(where, record, preference));
    for (int r = 0; r < 2; r++)
        DPO_TRY(dpo_json_copy(dpo_json_find(record, response_keys[r]),
                              &preference->responses[r].content));
    return DPO_OK;
}

dpo_status preference_check_messages(const char *where, const char *key, const dpo_json *messages)
{
    int64_t n = 0;
    char place[300];

    for (const dpo_json *i = dpo_json_first(messages); i != NULL; i = dpo_json_next(i), n++) {
        const char *role;
        const char *content;

        (void)snprintf(place, sizeof place, "%s: message %lld of \"%s\"", where, (long long)n + 1,
                       key);
        if (dpo_json_type_of(i) != DPO_JSON_OBJECT)
            return DPO_FAIL(DPO_EDATA, "%s: %s, expected {\"role\": text, \"content\": text}",
                            place, dpo_json_type_name(dpo_json_type_of(i)));
        DPO_TRY(dpo_json_get_text(i, place, "role", &role));
        DPO_TRY(dpo_json_get_text(i, place, "content", &content));
        if (role[0] == '\0')
            return DPO_FAIL(DPO_EDATA, "%s: an empty role, expected user, assistant or system",
                            place);
    }
    if (n == 0)
        return DPO_FAIL(DPO_EDATA, "%s: \"%s\" is an empty list, expected at least one message",
                        where, key);
    return DPO_OK;
}

/* The common mistake: chosen and rejected are whole conversations, and the prompt is there twice. */
static dpo_status check_is_answer(const char *where, const char *key, const dpo_json *messages)
{
    const char *role = dpo_json_text(dpo_json_find(dpo_json_first(messages), "role"));

    if (strcmp(role, "user") != 0 && strcmp(role, "system") != 0) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "%s: \"%s\" begins with a %s message, expected only what answers the prompt: "
                    "remove the prompt's messages from it",
                    where, key, role);
}

/* One assistant message of a text. */
static dpo_status make_message(const char *content, dpo_json **messages)
{
    dpo_json *message;

    DPO_TRY(dpo_json_new_array(messages));
    DPO_TRY(dpo_json_new_object(&message));
    dpo_status status = dpo_json_put_text(message, "role", "assistant");

    if (status == DPO_OK) status = dpo_json_put_text(message, "content", content);
    if (status == DPO_OK) return dpo_json_put_node(*messages, NULL, &message);
    dpo_json_destroy(&message);
    return status;
}

static dpo_status read_answer(const char *where, const dpo_json *record, const char *key,
                              dpo_json **content)
{
    const dpo_json *field = dpo_json_find(record, key);

    if (dpo_json_type_of(field) == DPO_JSON_TEXT)
        return make_message(dpo_json_text(field), content);
    if (dpo_json_type_of(field) != DPO_JSON_ARRAY)
        return DPO_FAIL(DPO_EDATA, "%s: \"%s\" is %s, expected a text or a list of messages", where,
                        key, dpo_json_type_name(dpo_json_type_of(field)));
    DPO_TRY(preference_check_messages(where, key, field));
    DPO_TRY(check_is_answer(where, key, field));
    return dpo_json_copy(field, content);
}

static dpo_status read_messages(const char *where, const dpo_json *record,
                                dpo_preference *preference)
{
    preference->is_chat = true;
    DPO_TRY(preference_check_messages(where, "prompt", dpo_json_find(record, "prompt")));
    DPO_TRY(begin_pair(where, record, preference));
    for (int r = 0; r < 2; r++)
        DPO_TRY(read_answer(where, record, response_keys[r], &preference->responses[r].content));
    return DPO_OK;
}

const preference_format preference_text_pair = {
    "{\"prompt\": text, \"chosen\": text, \"rejected\": text}",
    recognise_texts,
    read_texts,
};

const preference_format preference_chat_pair = {
    "{\"prompt\": messages, \"chosen\": messages or text, \"rejected\": messages or text}",
    recognise_messages,
    read_messages,
};
