// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/preferences.h"

#include <math.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "preference_format.h"

static const preference_format *const formats[] = {
    &preference_text_pair,
    &preference_chat_pair,
};

enum { N_FORMATS = sizeof formats / sizeof formats[0] };

dpo_status preference_allocate(dpo_preference *preference, int64_t n_responses, int64_t n_edges)
{
    DPO_TRY(DPO_NEW(preference->responses, n_responses));
    preference->n_responses = n_responses;
    for (int64_t r = 0; r < n_responses; r++)
        preference->responses[r].score = (double)NAN;
    DPO_TRY(DPO_NEW(preference->edges, n_edges));
    preference->n_edges = n_edges;
    for (int64_t e = 0; e < n_edges; e++)
        preference->edges[e].weight = 1.0f;
    return DPO_OK;
}

void dpo_preference_destroy(dpo_preference *preference)
{
    dpo_json_destroy(&preference->prompt);
    for (int64_t r = 0; r < preference->n_responses; r++)
        dpo_json_destroy(&preference->responses[r].content);
    dpo_free(preference->responses);
    dpo_free(preference->edges);
    *preference = (dpo_preference){0};
}

/* Python's reader takes the last of equal keys, ours the first: neither is what the file means. */
static dpo_status check_unique_keys(const char *where, const dpo_json *record)
{
    for (const dpo_json *a = dpo_json_first(record); a != NULL; a = dpo_json_next(a))
        if (dpo_json_find(record, dpo_json_key(a)) != a)
            return DPO_FAIL(DPO_EDATA, "%s: the field \"%s\" is there twice, expected it once",
                            where, dpo_json_key(a));
    return DPO_OK;
}

static dpo_status describe_fields(const dpo_json *record, dpo_buffer *text)
{
    for (const dpo_json *i = dpo_json_first(record); i != NULL; i = dpo_json_next(i)) {
        if (text->size_bytes > 400) return dpo_buffer_append_text(text, ", ...");
        DPO_TRY(dpo_buffer_printf(text, "%s\"%.60s\" (%s)", text->size_bytes > 0 ? ", " : "",
                                  dpo_json_key(i), dpo_json_type_name(dpo_json_type_of(i))));
    }
    return text->size_bytes > 0 ? DPO_OK : dpo_buffer_append_text(text, "none");
}

static dpo_status refuse(const char *where, const dpo_json *record)
{
    dpo_buffer fields = {0};
    dpo_buffer shapes = {0};
    dpo_status status = describe_fields(record, &fields);

    for (int f = 0; f < N_FORMATS && status == DPO_OK; f++)
        status = dpo_buffer_printf(&shapes, "%s%s", f > 0 ? ", or " : "", formats[f]->shape);
    if (status == DPO_OK)
        status =
            DPO_FAIL(DPO_EDATA, "%s: no known kind of example; its fields are: %s; expected %s",
                     where, dpo_buffer_text(&fields), dpo_buffer_text(&shapes));
    dpo_buffer_destroy(&shapes);
    dpo_buffer_destroy(&fields);
    return status;
}

static dpo_status read_record(const char *where, const dpo_json *record, dpo_preference *preference)
{
    if (dpo_json_type_of(record) != DPO_JSON_OBJECT)
        return DPO_FAIL(DPO_EDATA, "%s: %s, expected an object", where,
                        dpo_json_type_name(dpo_json_type_of(record)));
    DPO_TRY(check_unique_keys(where, record));
    for (int f = 0; f < N_FORMATS; f++)
        if (formats[f]->recognise(record)) return formats[f]->read(where, record, preference);
    return refuse(where, record);
}

dpo_status dpo_preference_read(const char *where, const char *text, int64_t n_bytes,
                               dpo_preference *preference)
{
    dpo_json *record;

    *preference = (dpo_preference){0};
    DPO_TRY(dpo_json_parse(where, text, n_bytes, DPO_JSON_STRICT, &record));
    dpo_status status = read_record(where, record, preference);

    if (status != DPO_OK) dpo_preference_destroy(preference);
    dpo_json_destroy(&record);
    return status;
}
