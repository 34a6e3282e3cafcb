// SPDX-License-Identifier: Apache-2.0
/* What makes encoding fast changes no id: words that are remembered, words that are cut without an expression. */
#include "dpo/text/encoder.h"

#include <stdlib.h>

#include "characters.h"

static dpo_status parse(const char *text, dpo_tokenizer **tokenizer)
{
    return dpo_tokenizer_parse("tokenizer.json", text, (int64_t)strlen(text), NULL, tokenizer);
}

static void assert_same(const dpo_buffer *got, const dpo_buffer *want)
{
    assert_int_equal(got->size_bytes, want->size_bytes);
    if (got->size_bytes > 0) assert_memory_equal(got->data, want->data, (size_t)got->size_bytes);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Text of words that begin as many other words do, with what divides words between them. */
static void append_words(uint32_t *state, int n, dpo_buffer *text)
{
    static const char *const between[] = {
        " ",  " ",  " ",   "  ", "\n", "\n\n ",    "'s ",          "'ll",      "'",  "''",   "\t ",
        ". ", "12", " 7 ", " (", ", ", "\xC2\xA0", "\xE3\x80\x80", "\xC2\xBD", "?!", " \r\n"};
    static const char *const words[] = {"a",
                                        "ab",
                                        "abc",
                                        "b",
                                        "ca",
                                        "re",
                                        "s",
                                        "d",
                                        "Z\xC3\xA9",
                                        "\xE4\xBD\xA0\xE5\xA5\xBD",
                                        "\xF0\x9F\x98\x80",
                                        "\xCC\x81"};

    for (int i = 0; i < n; i++) {
        int n_parts = 1 + (int)(next_random(state) % 5);

        for (int k = 0; k < n_parts; k++)
            ASSERT_OK(dpo_buffer_append_text(
                text, words[next_random(state) % (sizeof words / sizeof *words)]));
        ASSERT_OK(dpo_buffer_append_text(
            text, between[next_random(state) % (sizeof between / sizeof *between)]));
    }
}

static const char *const models[] = {"/preferences", "/../../configs/stories260K"};

/* One encoder for all, with more words than it remembers, against a fresh start each time. */
static void an_encoder_finds_the_ids_of_the_tokenizer(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char folder[512];
        dpo_tokenizer *tokenizer;
        dpo_encoder *encoder;
        dpo_buffer text = {0};
        dpo_buffer got = {0};
        dpo_buffer want = {0};
        uint32_t random = 1;

        (void)snprintf(folder, sizeof folder, "%s%s", DPO_TEST_DATA, models[m]);
        ASSERT_OK(dpo_tokenizer_load(folder, &tokenizer));
        ASSERT_OK(dpo_encoder_create(tokenizer, &encoder));
        for (int i = 0; i < 400; i++) {
            dpo_buffer_clear(&text);
            dpo_buffer_clear(&got);
            dpo_buffer_clear(&want);
            append_words(&random, 100, &text);
            ASSERT_OK(dpo_encoder_run(encoder, text.data, text.size_bytes, i % 2 == 0, &got));
            ASSERT_OK(
                dpo_tokenizer_encode(tokenizer, text.data, text.size_bytes, i % 2 == 0, &want));
            assert_same(&got, &want);
        }
        dpo_buffer_destroy(&text);
        dpo_buffer_destroy(&got);
        dpo_buffer_destroy(&want);
        dpo_encoder_destroy(&encoder);
        dpo_tokenizer_destroy(&tokenizer);
    }
}

#define EXPRESSION                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| ?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|" \
    "\\\\s+"

/* A byte-level model whose merges would show where words end: everything may be joined with a space,
   a letter or an apostrophe. */
static void make_byte_level(const char *pretokenizer, dpo_tokenizer **tokenizer)
{
    dpo_buffer text = {0};

    ASSERT_OK(dpo_buffer_printf(
        &text, "{\"pre_tokenizer\":%s,\"model\":{\"type\":\"BPE\",\"merges\":[", pretokenizer));
    ASSERT_OK(dpo_buffer_append_text(
        &text,
        "\"\xC4\xA0 \xC4\xA0\",\"\xC4\xA0 a\",\"a \xC4\xA0\",\"a a\",\"' s\",\"s \xC4\xA0\","
        "\"1 1\",\"1 a\",\"a 1\",\". .\",\". a\",\"\xC4\x8A \xC4\x8A\",\"\xC4\x8A \xC4\xA0\","
        "\"\xC4\xA0 .\",\"\xC4\xA0 1\",\"\xC4\xA0 '\",\"' '\"],\"vocab\":{"));
    append_byte_vocab(&text);
    ASSERT_OK(dpo_buffer_append_text(
        &text, ",\"\xC4\xA0\xC4\xA0\":256,\"\xC4\xA0"
               "a\":257,\"a\xC4\xA0\":258,\"aa\":259,\"'s\":260,"
               "\"s\xC4\xA0\":261,\"11\":262,\"1a\":263,\"a1\":264,\"..\":265,\".a\":266,"
               "\"\xC4\x8A\xC4\x8A\":267,\"\xC4\x8A\xC4\xA0\":268,\"\xC4\xA0.\":269,\"\xC4\xA0"
               "1\":270,"
               "\"\xC4\xA0'\":271,\"''\":272}}}"));
    ASSERT_OK(parse(dpo_buffer_text(&text), tokenizer));
    dpo_buffer_destroy(&text);
}

/* Characters whose class no later version of Unicode has changed or given. */
static void append_old_characters(dpo_buffer *text)
{
    static const struct {
        int begin, end, step;
    } ranges[] = {{0, 0x250, 1},         {0x3B1, 0x3CA, 1},      {0x400, 0x460, 1},
                  {0x660, 0x66A, 1},     {0x904, 0x93A, 1},      {0x2000, 0x2060, 1},
                  {0x2153, 0x2183, 1},   {0x3000, 0x3097, 1},    {0x4E00, 0x9FA6, 251},
                  {0xAC00, 0xD7A4, 251}, {0xFE30, 0xFE45, 1},    {0x1D7CE, 0x1D800, 1},
                  {0x1F600, 0x1F610, 1}, {0x20000, 0x2A6D6, 251}};

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (int c = ranges[i].begin; c < ranges[i].end; c += ranges[i].step)
            append_character(c, text);
}

static void append_soup(uint32_t *state, int n, dpo_buffer *text)
{
    static const char *const parts[] = {
        "a",        "s",        "1",  ".",  " ",        " ",        "\n",           "'", "'s", "re",
        "\xC2\xA0", "\xC3\xA9", "\t", "ll", "\xC2\xB2", "\xCC\x81", "\xE3\x80\x80", "x"};

    for (int i = 0; i < n; i++)
        ASSERT_OK(dpo_buffer_append_text(
            text, parts[next_random(state) % (sizeof parts / sizeof *parts)]));
}

static void the_words_of_byte_level_models_are_those_of_the_expression(void **state)
{
    (void)state;
    dpo_tokenizer *tokenizer[2];
    dpo_buffer text = {0};
    dpo_buffer ids[2] = {{0}};
    uint32_t random = 7;

    make_byte_level("{\"type\":\"ByteLevel\",\"add_prefix_space\":false}", &tokenizer[0]);
    make_byte_level("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":"
                    "\"Isolated\",\"pattern\":{\"Regex\":\"" EXPRESSION "\"}},{\"type\":"
                    "\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}",
                    &tokenizer[1]);
    for (int i = 0; i < 20001; i++) {
        dpo_buffer_clear(&text);
        if (i == 0)
            append_old_characters(&text);
        else
            append_soup(&random, 1 + i % 30, &text);
        for (int t = 0; t < 2; t++) {
            dpo_buffer_clear(&ids[t]);
            ASSERT_OK(
                dpo_tokenizer_encode(tokenizer[t], text.data, text.size_bytes, false, &ids[t]));
        }
        assert_same(&ids[0], &ids[1]);
    }
    for (int t = 0; t < 2; t++) {
        dpo_tokenizer_destroy(&tokenizer[t]);
        dpo_buffer_destroy(&ids[t]);
    }
    dpo_buffer_destroy(&text);
}

#define SPACE "\xE2\x96\x81"

/* "_" stands for the space marker. */
static void assert_tokens(const char *merges, const char *vocab, const char *text, int n,
                          const int32_t *want)
{
    dpo_buffer file = {0};
    dpo_tokenizer *tokenizer;
    dpo_encoder *encoder;
    dpo_buffer ids = {0};

    ASSERT_OK(dpo_buffer_printf(
        &file,
        "{\"model\":{\"type\":\"BPE\",\"merges\":[%s],\"vocab\":{\"a\":0,\"b\":1,\"" SPACE
        "\":2%s}}}",
        merges, vocab));
    ASSERT_OK(parse(dpo_buffer_text(&file), &tokenizer));
    ASSERT_OK(dpo_encoder_create(tokenizer, &encoder));
    for (int again = 0; again < 2; again++) {
        dpo_buffer_clear(&ids);
        ASSERT_OK(dpo_encoder_run(encoder, text, (int64_t)strlen(text), false, &ids));
        assert_int_equal(ids.size_bytes, n * (int)sizeof *want);
        assert_memory_equal(ids.data, want, (size_t)n * sizeof *want);
    }
    dpo_encoder_destroy(&encoder);
    dpo_tokenizer_destroy(&tokenizer);
    dpo_buffer_destroy(&ids);
    dpo_buffer_destroy(&file);
}

/* Models without a pre-tokenizer: words are looked at one by one only where no merge crosses them. */
static void merges_may_cross_words(void **state)
{
    (void)state;
    static const int32_t inside[] = {3, 3, 0};
    static const int32_t crossing[] = {3, 1, 3, 0};
    static const int32_t spaces[] = {0, 4, 3};

    assert_tokens("\"" SPACE " a\",\"" SPACE "a b\"", ",\"" SPACE "a\":4,\"" SPACE "ab\":3",
                  SPACE "ab" SPACE "ab"
                        "a",
                  3, inside);
    assert_tokens("\"a " SPACE "\"", ",\"a" SPACE "\":3", "a" SPACE "ba" SPACE "a", 4, crossing);
    assert_tokens("\"" SPACE " " SPACE "\",\"" SPACE " b\"",
                  ",\"" SPACE SPACE "\":4,\"" SPACE "b\":3", "a" SPACE SPACE SPACE "b", 3, spaces);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    dpo_status status = DPO_ENOMEM;
    dpo_tokenizer *tokenizer;
    int64_t outstanding;
    int n;

    make_byte_level("{\"type\":\"ByteLevel\"}", &tokenizer);
    outstanding = dpo_memory_outstanding();
    for (n = 1; status != DPO_OK; n++) {
        dpo_encoder *encoder = NULL;
        dpo_buffer ids = {0};

        dpo_memory_fail_after(n);
        status = dpo_encoder_create(tokenizer, &encoder);
        if (status == DPO_OK) status = dpo_encoder_run(encoder, "a 1 as .", 8, true, &ids);
        dpo_memory_fail_after(0);
        assert_true(status == DPO_OK || status == DPO_ENOMEM);
        dpo_encoder_destroy(&encoder);
        dpo_buffer_destroy(&ids);
        assert_int_equal(dpo_memory_outstanding(), outstanding);
    }
    assert_true(n > 8);
    dpo_tokenizer_destroy(&tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(an_encoder_finds_the_ids_of_the_tokenizer),
        UNIT_TEST(the_words_of_byte_level_models_are_those_of_the_expression),
        UNIT_TEST(merges_may_cross_words),
        UNIT_TEST(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
