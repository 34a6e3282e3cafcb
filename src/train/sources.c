// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/sources.h"

#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/base/nearest.h"

static const char *const known[] = {"path", "name", "weight", "limit"};

enum { N_KNOWN = sizeof known / sizeof known[0] };

static dpo_status check_members(const char *key, const dpo_json *object)
{
    for (const dpo_json *m = dpo_json_first(object); m != NULL; m = dpo_json_next(m)) {
        int i = 0;

        while (i < N_KNOWN && strcmp(known[i], dpo_json_key(m)) != 0)
            i++;
        if (i == N_KNOWN)
            return dpo_unknown_name(key, "member of a source", dpo_json_key(m), known, N_KNOWN);
    }
    return DPO_OK;
}

static dpo_status read_object(const char *key, const dpo_json *object, dpo_data_source *source)
{
    DPO_TRY(check_members(key, object));
    DPO_TRY(dpo_json_get_text(object, key, "path", &source->path));
    DPO_TRY(dpo_json_maybe_text(object, key, "name", &source->name));
    DPO_TRY(dpo_json_maybe_number(object, key, "weight", &source->weight));
    return dpo_json_maybe_int(object, key, "limit", 0, 1LL << 53, &source->limit);
}

static dpo_status read_source(const char *key, const dpo_json *value, dpo_data_source *source)
{
    *source = (dpo_data_source){.weight = 1.0};
    if (dpo_json_type_of(value) == DPO_JSON_OBJECT) {
        if (read_object(key, value, source) == DPO_OK) return DPO_OK;
        dpo_last_error()->status = DPO_EUSAGE;
        return DPO_EUSAGE;
    }
    if (dpo_json_type_of(value) != DPO_JSON_TEXT)
        return DPO_FAIL(DPO_EUSAGE,
                        "%s: is %s, expected a path, an object with \"path\", or a list "
                        "of these",
                        key, dpo_json_type_name(dpo_json_type_of(value)));
    source->path = dpo_json_text(value);
    return DPO_OK;
}

dpo_status dpo_sources_read(const char *key, const dpo_json *value, dpo_data_source **sources,
                            int64_t *n_sources)
{
    bool is_list = dpo_json_type_of(value) == DPO_JSON_ARRAY;
    const dpo_json *item = is_list ? dpo_json_first(value) : value;
    dpo_status status = DPO_OK;

    *sources = NULL;
    *n_sources = is_list ? dpo_json_count(value) : 1;
    if (*n_sources == 0)
        return DPO_FAIL(DPO_EUSAGE, "%s: is an empty list; name at least one file", key);
    DPO_TRY(DPO_NEW(*sources, *n_sources));
    for (int64_t i = 0; i < *n_sources && status == DPO_OK; i++) {
        status = read_source(key, item, &(*sources)[i]);
        item = is_list ? dpo_json_next(item) : item;
    }
    if (status != DPO_OK) {
        dpo_free(*sources);
        *sources = NULL;
    }
    return status;
}
