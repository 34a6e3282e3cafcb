// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "dpo/base/buffer.h"
#include "dpo/store/safetensors_header.h"
#include "fuzz/fuzz_target.h"

/* "BYTES OF DATA|HEADER": the file is made of it, so that the length is right most of the time. */
const char *const dpo_fuzz_seeds[] = {
    "38|{\"__metadata__\":{\"format\":\"pt\"},"
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[6,30]},"
    "\"none\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[6,6]},"
    "\"a\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]},"
    "\"one\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[30,38]}}",
    "0|{}",
    "9007199254740992|{\"w\":{\"dtype\":\"U8\",\"shape\":[94906265,94906265],"
    "\"data_offsets\":[0,9007199136250225]}}",
    NULL,
};

/* Whatever is accepted lies within the file, one tensor behind the other. */
static void check_places(const dpo_buffer *names, const dpo_buffer *places, int64_t begin,
                         int64_t file_bytes)
{
    const dpo_tensor_place *place = places->data;
    int64_t n = places->size_bytes / (int64_t)sizeof *place;

    for (int64_t i = 0; i < n; i++, place++) {
        DPO_ASSERT(place->offset == begin && place->n_bytes >= 0);
        DPO_ASSERT(place->n_bytes <= file_bytes - begin && place->shard == 5);
        DPO_ASSERT(place->name_at >= 0 && place->name_at < names->size_bytes);
        DPO_ASSERT(dpo_tensor_elements(&place->tensor) *
                       dpo_tensor_type_bytes(place->tensor.type) ==
                   place->n_bytes);
        begin += place->n_bytes;
    }
    DPO_ASSERT(begin == file_bytes);
}

static void parse(const uint8_t *bytes, int64_t file_bytes)
{
    dpo_buffer names = {0};
    dpo_buffer places = {0};
    int64_t begin = 0;

    if (dpo_safetensors_header_length("fuzz", bytes, file_bytes, &begin) == DPO_OK &&
        dpo_safetensors_header_parse("fuzz", bytes, file_bytes, 5, &names, &places) == DPO_OK)
        check_places(&names, &places, begin, file_bytes);
    dpo_buffer_destroy(&names);
    dpo_buffer_destroy(&places);
}

static int64_t leading_number(const uint8_t *data, size_t n_bytes, size_t *end)
{
    int64_t number = 0;

    for (*end = 0; *end < n_bytes && *end < 16; ++*end) {
        if (data[*end] < '0' || data[*end] > '9') break;
        number = number * 10 + (data[*end] - '0');
    }
    if (*end < n_bytes && data[*end] == '|') ++*end;
    return number;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    size_t at;
    int64_t n_data = leading_number(data, n_bytes, &at);
    uint64_t n_header = n_bytes - at;
    dpo_buffer file = {0};
    uint8_t length[DPO_SAFETENSORS_LENGTH_BYTES];

    parse(data, (int64_t)n_bytes);
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (uint8_t)(n_header >> (8 * i));
    if (dpo_buffer_append(&file, length, sizeof length) == DPO_OK &&
        dpo_buffer_append(&file, data + at, (int64_t)n_header) == DPO_OK)
        parse(file.data, file.size_bytes + n_data);
    dpo_buffer_destroy(&file);
    return 0;
}
