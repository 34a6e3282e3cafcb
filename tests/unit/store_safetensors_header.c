// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/safetensors_header.h"

#include "unit_test.h"

/* A file with this header and n_data bytes of data, as the reader sees it; room for the longest below. */
static dpo_status parse(const char *json, int64_t n_data, dpo_buffer *names, dpo_buffer *places)
{
    static unsigned char bytes[4096];
    size_t n = strlen(json); /* a header has no zero at its end */

    assert_true(n + 8 <= sizeof bytes);
    memset(bytes, 0, 8);
    bytes[0] = (unsigned char)(n & 255);
    bytes[1] = (unsigned char)(n >> 8);
    for (size_t i = 0; i < n; i++)
        bytes[8 + i] = (unsigned char)json[i];
    return dpo_safetensors_header_parse("a.safetensors", bytes, (int64_t)n + 8 + n_data, 3, names,
                                        places);
}

static void every_tensor_gets_its_place(void **state)
{
    (void)state;
    static const char json[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[6,30]},"
        "\"none\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[6,6]},"
        "\"a\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]},"
        "\"one\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[30,38]}}  ";
    dpo_buffer names = {0};
    dpo_buffer places = {0};

    ASSERT_OK(parse(json, 38, &names, &places));
    assert_int_equal(places.size_bytes, 4 * sizeof(dpo_tensor_place));
    const dpo_tensor_place *p = places.data;
    int64_t begin = (int64_t)strlen(json) + 8;

    assert_string_equal(dpo_buffer_text(&names) + p[0].name_at, "a");
    assert_string_equal(dpo_buffer_text(&names) + p[1].name_at, "none");
    assert_string_equal(dpo_buffer_text(&names) + p[2].name_at, "b");
    assert_true(p[0].tensor.type == DPO_TENSOR_BF16 && p[0].offset == begin && p[0].n_bytes == 6);
    assert_true(p[2].tensor.type == DPO_TENSOR_F32 && p[2].offset == begin + 6);
    assert_true(p[2].tensor.n_dims == 2 && p[2].tensor.dims[1] == 3 && p[2].shard == 3);
    assert_true(p[3].tensor.n_dims == 0 && dpo_tensor_elements(&p[3].tensor) == 1);
    dpo_buffer_destroy(&names);
    dpo_buffer_destroy(&places);
}

#define ONE(dtype, shape, offsets) \
    "{\"w\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(offsets_a, offsets_b)                                              \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets_a "}," \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets_b "}}"

static void every_malformed_header_has_one_clear_message(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t n_data;
        const char *message;
    } cases[] = {
        {"{\"w\":", 0, "ends too early"},
        {"", 0, "empty"},
        {"[]", 0, "its header is an array"},
        {"{\"w\":7}", 0, "tensor \"w\" is a number, expected an object"},
        {"{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "\"dtype\" is missing"},
        {"{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "\"shape\" is missing"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "\"data_offsets\" is missing"},
        {ONE("\"F4\"", "[1]", "[0,4]"), 4, "type \"F4\" is not known"},
        {ONE("8", "[1]", "[0,4]"), 4, "\"dtype\" is a number"},
        {ONE("\"F32\"", "[-1]", "[0,4]"), 4, "no whole number"},
        {ONE("\"F32\"", "[1.5]", "[0,6]"), 6, "no whole number"},
        {ONE("\"F32\"", "[\"1\"]", "[0,4]"), 4, "no whole number"},
        {ONE("\"F32\"", "[1e300]", "[0,4]"), 4, "no whole number"},
        {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "more than 8 items"},
        {ONE("\"F32\"", "[1]", "[0,4,8]"), 4, "more than 2 items"},
        {ONE("\"F32\"", "[1]", "[0]"), 4, "its offsets give 0"},
        {ONE("\"F32\"", "[1]", "[4,0]"), 4, "need 4 bytes, its offsets give -4"},
        {ONE("\"F32\"", "[2]", "[0,4]"), 4, "need 8 bytes, its offsets give 4"},
        {ONE("\"F32\"", "[94906267,94906267,94906267]", "[0,4]"), 4, "its offsets give 4"},
        {ONE("\"F32\"", "[1]", "[4,8]"), 8, "there is a hole"},
        {TWO("[0,8]", "[4,12]"), 12, "tensors overlap"},
        {TWO("[0,8]", "[12,20]"), 20, "there is a hole"},
        {TWO("[0,8]", "[0,8]"), 8, "tensors overlap"},
        {TWO("[0,8]", "[8,16]"), 15, "truncated: it has"},
        {TWO("[0,8]", "[8,16]"), 0, "truncated: it has"},
        {TWO("[0,8]", "[8,16]"), 18, "2 bytes behind the last tensor"},
    };

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        dpo_buffer names = {0};
        dpo_buffer places = {0};

        ASSERT_FAILS(parse(cases[c].json, cases[c].n_data, &names, &places), DPO_EDATA,
                     cases[c].message);
        ASSERT_FAILS(DPO_EDATA, DPO_EDATA, "a.safetensors");
        dpo_buffer_destroy(&names);
        dpo_buffer_destroy(&places);
    }
}

static void a_length_is_checked_before_it_is_believed(void **state)
{
    (void)state;
    static const unsigned char nine[8] = {9};
    static const unsigned char huge[8] = {0, 0, 0, 0, 0, 0, 0, 0x80};
    static const unsigned char large[8] = {1, 0xE1, 0xF5, 5}; /* 100000001 */
    int64_t n;

    ASSERT_OK(dpo_safetensors_header_length("a", nine, 17, &n));
    assert_int_equal(n, 17);
    ASSERT_FAILS(dpo_safetensors_header_length("a", nine, 16, &n), DPO_EDATA,
                 "truncated within its header: it has 16 bytes, expected at least 17");
    ASSERT_FAILS(dpo_safetensors_header_length("a", nine, 7, &n), DPO_EDATA, "too few");
    ASSERT_FAILS(dpo_safetensors_header_length("a", huge, INT64_MAX, &n), DPO_EDATA, "claims");
    ASSERT_FAILS(dpo_safetensors_header_length("a", large, INT64_MAX, &n), DPO_EDATA, "100000001");
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(every_tensor_gets_its_place),
    UNIT_TEST(every_malformed_header_has_one_clear_message),
    UNIT_TEST(a_length_is_checked_before_it_is_believed),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
