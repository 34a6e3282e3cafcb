// SPDX-License-Identifier: Apache-2.0
#include "dpo/text/tokenizer.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "characters.h"

static void append_fallback_vocab(dpo_buffer *text)
{
    for (int byte = 0; byte < 256; byte++)
        ASSERT_OK(dpo_buffer_printf(text, "%s\"<0x%02X>\":%d", byte > 0 ? "," : "", (unsigned)byte,
                                    byte));
}

static dpo_status parse(const char *text, const char *config, dpo_tokenizer **tokenizer)
{
    return dpo_tokenizer_parse("tokenizer.json", text, (int64_t)strlen(text), config, tokenizer);
}

static void encode(const dpo_tokenizer *tokenizer, const char *text, bool add_special,
                   dpo_buffer *ids)
{
    dpo_buffer_clear(ids);
    ASSERT_OK(dpo_tokenizer_encode(tokenizer, text, (int64_t)strlen(text), add_special, ids));
}

static void assert_returns(const char *tokenizer_text)
{
    dpo_tokenizer *tokenizer;
    dpo_buffer text = {0};
    dpo_buffer ids = {0};
    dpo_buffer back = {0};

    ASSERT_OK(parse(tokenizer_text, NULL, &tokenizer));
    append_characters(&text);
    ASSERT_OK(dpo_tokenizer_encode(tokenizer, text.data, text.size_bytes, false, &ids));
    ASSERT_OK(dpo_tokenizer_decode(tokenizer, ids.data, ids.size_bytes / (int64_t)sizeof(int32_t),
                                   false, &back));
    assert_int_equal(back.size_bytes, text.size_bytes);
    assert_memory_equal(back.data, text.data, (size_t)text.size_bytes);
    dpo_tokenizer_destroy(&tokenizer);
    dpo_buffer_destroy(&text);
    dpo_buffer_destroy(&ids);
    dpo_buffer_destroy(&back);
}

static void byte_level_models_return_every_text(void **state)
{
    dpo_buffer text = {0};

    (void)state;
    ASSERT_OK(dpo_buffer_append_text(
        &text, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
               "false},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":"
               "\"BPE\",\"merges\":[\"a b\",\"ab c\"],\"vocab\":{"));
    append_byte_vocab(&text);
    ASSERT_OK(dpo_buffer_append_text(&text, ",\"ab\":256,\"abc\":257}}}"));
    assert_returns(dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
}

static void byte_fallback_models_return_every_text(void **state)
{
    dpo_buffer text = {0};

    (void)state;
    ASSERT_OK(dpo_buffer_append_text(
        &text, "{\"decoder\":{\"type\":\"ByteFallback\"},\"model\":{\"type\":\"BPE\","
               "\"byte_fallback\":true,\"merges\":[],\"vocab\":{"));
    append_fallback_vocab(&text);
    ASSERT_OK(dpo_buffer_append_text(&text, ",\"a\":256}}}"));
    assert_returns(dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
}

#define MODEL                                                                                  \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"merges\":[\"a b\",[\"ab\",\"c\"]]," \
    "\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"c\":3,\"ab\":4,\"abc\":5,\" \":6}}"
#define SPECIAL                                                          \
    "\"added_tokens\":[{\"id\":7,\"content\":\"<s>\",\"special\":true}," \
    "{\"id\":8,\"content\":\"</s>\",\"special\":true}]"
#define TEMPLATE                                                                                 \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":" \
    "\"<s>\"}},"                                                                                 \
    "{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"</s>\"}}],\"special_tokens\":{"   \
    "\"<s>\":{\"ids\":[7]},\"</s>\":{\"ids\":[8]}}}"

static void assert_ids(const dpo_buffer *ids, int n, const int32_t *want)
{
    assert_int_equal(ids->size_bytes, n * (int)sizeof *want);
    assert_memory_equal(ids->data, want, (size_t)n * sizeof *want);
}

static void the_template_is_put_around_only_when_asked(void **state)
{
    dpo_tokenizer *tokenizer;
    dpo_buffer ids = {0};

    (void)state;
    ASSERT_OK(parse("{" SPECIAL "," TEMPLATE "," MODEL "}", NULL, &tokenizer));
    encode(tokenizer, "abcb", false, &ids);
    assert_ids(&ids, 2, (const int32_t[]){5, 2});
    encode(tokenizer, "abcb", true, &ids);
    assert_ids(&ids, 4, (const int32_t[]){7, 5, 2, 8});
    encode(tokenizer, "", true, &ids);
    assert_ids(&ids, 2, (const int32_t[]){7, 8});
    dpo_buffer_destroy(&ids);
    dpo_tokenizer_destroy(&tokenizer);
}

static void ids_are_appended(void **state)
{
    dpo_tokenizer *tokenizer;
    dpo_buffer ids = {0};

    (void)state;
    ASSERT_OK(parse("{" SPECIAL "," MODEL "}", NULL, &tokenizer));
    ASSERT_OK(dpo_tokenizer_encode(tokenizer, "ab", 2, false, &ids));
    ASSERT_OK(dpo_tokenizer_encode(tokenizer, "<s>?c", 5, false, &ids));
    assert_ids(&ids, 4, (const int32_t[]){4, 7, 0, 3});
    dpo_buffer_destroy(&ids);
    dpo_tokenizer_destroy(&tokenizer);
}

static void a_token_that_no_merges_make_is_found_only_if_they_are_ignored(void **state)
{
    static const char *const options[] = {"", "\"ignore_merges\":true,"};
    static const int32_t want[2][2] = {{1, 0}, {2}};
    dpo_buffer text = {0};
    dpo_buffer ids = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        dpo_tokenizer *tokenizer;

        dpo_buffer_clear(&text);
        ASSERT_OK(dpo_buffer_printf(&text,
                                    "{\"model\":{%s\"type\":\"BPE\",\"merges\":[\"a b\"],"
                                    "\"vocab\":{\"a\":0,\"b\":1,\"ba\":2,\"ab\":3}}}",
                                    options[i]));
        ASSERT_OK(parse(dpo_buffer_text(&text), NULL, &tokenizer));
        encode(tokenizer, "ba", false, &ids);
        assert_ids(&ids, 2 - i, want[i]);
        encode(tokenizer, "ab", false, &ids);
        assert_ids(&ids, 1, (const int32_t[]){3});
        dpo_tokenizer_destroy(&tokenizer);
    }
    dpo_buffer_destroy(&text);
    dpo_buffer_destroy(&ids);
}

static void a_text_that_is_not_utf_8_is_refused_and_changes_nothing(void **state)
{
    dpo_tokenizer *tokenizer;
    dpo_buffer ids = {0};

    (void)state;
    ASSERT_OK(parse("{" SPECIAL "," TEMPLATE "," MODEL "}", NULL, &tokenizer));
    encode(tokenizer, "ab", false, &ids);
    ASSERT_FAILS(dpo_tokenizer_encode(tokenizer, "ab\xC3", 3, true, &ids), DPO_EDATA,
                 "byte 2 of 3");
    assert_ids(&ids, 1, (const int32_t[]){4});
    dpo_buffer_destroy(&ids);
    dpo_tokenizer_destroy(&tokenizer);
}

static void half_a_character_is_decoded_as_a_replacement(void **state)
{
    const int32_t ids[] = {0xE4, 0xBD, 'a', 0xBD, -1, 99999};
    dpo_tokenizer *tokenizer;
    dpo_buffer text = {0};
    dpo_buffer back = {0};

    (void)state;
    ASSERT_OK(dpo_buffer_append_text(
        &text, "{\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\","
               "\"merges\":[],\"vocab\":{"));
    append_byte_vocab(&text);
    ASSERT_OK(dpo_buffer_append_text(&text, "}}}"));
    ASSERT_OK(parse(dpo_buffer_text(&text), NULL, &tokenizer));
    ASSERT_OK(dpo_tokenizer_decode(tokenizer, ids, 6, false, &back));
    assert_string_equal(dpo_buffer_text(&back), "\xEF\xBF\xBD"
                                                "a\xEF\xBF\xBD");
    dpo_buffer_destroy(&text);
    dpo_buffer_destroy(&back);
    dpo_tokenizer_destroy(&tokenizer);
}

static void roles_are_texts_or_objects(void **state)
{
    dpo_tokenizer *tokenizer;

    (void)state;
    ASSERT_OK(
        parse("{" SPECIAL "," MODEL "}",
              "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"},\"pad_token\":null,"
              "\"unk_token\":\"</s>\",\"add_bos_token\":true}",
              &tokenizer));
    assert_int_equal(dpo_tokenizer_bos(tokenizer), 7);
    assert_int_equal(dpo_tokenizer_eos(tokenizer), 8);
    assert_int_equal(dpo_tokenizer_pad(tokenizer), -1);
    assert_int_equal(dpo_tokenizer_unk(tokenizer), 8);
    assert_string_equal(dpo_tokenizer_bos_text(tokenizer), "<s>");
    assert_string_equal(dpo_tokenizer_eos_text(tokenizer), "</s>");
    assert_int_equal(dpo_tokenizer_size(tokenizer), 9);
    assert_int_equal(dpo_tokenizer_token_id(tokenizer, "abc"), 5);
    assert_int_equal(dpo_tokenizer_token_id(tokenizer, "bc"), -1);
    assert_string_equal(dpo_tokenizer_token_text(tokenizer, 8), "</s>");
    assert_null(dpo_tokenizer_token_text(tokenizer, 9));
    dpo_tokenizer_destroy(&tokenizer);
    ASSERT_OK(parse("{" MODEL "}", NULL, &tokenizer));
    assert_int_equal(dpo_tokenizer_bos(tokenizer), -1);
    assert_string_equal(dpo_tokenizer_bos_text(tokenizer), "");
    dpo_tokenizer_destroy(&tokenizer);
}

static dpo_digest digest_of(const char *text, const char *config)
{
    dpo_tokenizer *tokenizer;
    dpo_digest digest;

    ASSERT_OK(parse(text, config, &tokenizer));
    digest = dpo_tokenizer_digest(tokenizer);
    dpo_tokenizer_destroy(&tokenizer);
    return digest;
}

static void the_digest_follows_the_files(void **state)
{
    dpo_digest plain = digest_of("{" MODEL "}", NULL);

    (void)state;
    assert_true(dpo_digest_equal(plain, digest_of("{" MODEL "}", NULL)));
    assert_false(dpo_digest_equal(plain, digest_of("{" SPECIAL "," MODEL "}", NULL)));
    assert_false(dpo_digest_equal(plain, digest_of("{" MODEL "}", "{\"bos_token\":null}")));
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[512];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (text == NULL) {
        (void)unlink(path);
        return;
    }
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static const char *const file_names[] = {"tokenizer.json", "tokenizer_config.json",
                                         "special_tokens_map.json"};

static void assert_roles(const char *folder, const char *config, const char *map, int32_t bos,
                         int32_t eos, int32_t pad)
{
    dpo_tokenizer *tokenizer;

    write_file(folder, file_names[1], config);
    write_file(folder, file_names[2], map);
    ASSERT_OK(dpo_tokenizer_load(folder, &tokenizer));
    assert_int_equal(dpo_tokenizer_bos(tokenizer), bos);
    assert_int_equal(dpo_tokenizer_eos(tokenizer), eos);
    assert_int_equal(dpo_tokenizer_pad(tokenizer), pad);
    dpo_tokenizer_destroy(&tokenizer);
}

static void the_map_of_special_tokens_goes_before_an_old_configuration_only(void **state)
{
    static const char config[] = "{\"bos_token\":\"<s>\",\"eos_token\":\"<s>\"}";
    static const char map[] = "{\"eos_token\":{\"content\":\"</s>\"},\"pad_token\":\"</s>\"}";
    char folder[] = "/tmp/mpidpo-XXXXXX";
    dpo_tokenizer *tokenizer;

    (void)state;
    assert_non_null(mkdtemp(folder));
    ASSERT_FAILS(dpo_tokenizer_load(folder, &tokenizer), DPO_EIO, "tokenizer.json");
    assert_null(tokenizer);
    write_file(folder, file_names[0], "{" SPECIAL "," MODEL "}");
    assert_roles(folder, NULL, NULL, -1, -1, -1);
    assert_roles(folder, NULL, map, -1, 8, 8);
    assert_roles(folder, config, NULL, 7, 7, -1);
    assert_roles(folder, config, map, 7, 8, 8);
    assert_roles(folder, "{\"bos_token\":\"a\"}", "{\"bos_token\":\"<s>\"}", 7, -1, -1);
    assert_roles(folder, config, "{\"bos_token\":null}", -1, 7, -1);
    assert_roles(folder,
                 "{\"bos_token\":\"<s>\",\"added_tokens_decoder\":{\"7\":{\"content\":\"<s>\","
                 "\"special\":true}}}",
                 map, 7, -1, -1);
    write_file(folder, file_names[1], NULL);
    write_file(folder, file_names[2], "{\"eos_token\":\"a\"}");
    ASSERT_FAILS(dpo_tokenizer_load(folder, &tokenizer), DPO_EDATA,
                 "special_tokens_map.json: eos_token \"a\" is not among the added_tokens");
    assert_null(tokenizer);
    for (int i = 0; i < 3; i++)
        write_file(folder, file_names[i], NULL);
    (void)rmdir(folder);
}

static void a_token_with_a_role_is_special(void **state)
{
    static const char text[] = "{\"added_tokens\":[{\"id\":7,\"content\":\"<s>\"}]," MODEL "}";
    dpo_tokenizer *tokenizer;
    dpo_buffer back = {0};

    (void)state;
    ASSERT_OK(parse(text, NULL, &tokenizer));
    ASSERT_OK(dpo_tokenizer_decode(tokenizer, (const int32_t[]){7}, 1, true, &back));
    dpo_tokenizer_destroy(&tokenizer);
    assert_string_equal(dpo_buffer_text(&back), "<s>");
    dpo_buffer_clear(&back);
    ASSERT_OK(parse(text, "{\"eos_token\":\"<s>\"}", &tokenizer));
    ASSERT_OK(dpo_tokenizer_decode(tokenizer, (const int32_t[]){7}, 1, true, &back));
    dpo_tokenizer_destroy(&tokenizer);
    assert_string_equal(dpo_buffer_text(&back), "");
    dpo_buffer_destroy(&back);
}

/* n log n, not n squared: a second at most even under a sanitizer. */
static void a_text_without_spaces_is_one_long_piece(void **state)
{
    enum { N = 300000 };
    dpo_tokenizer *tokenizer;
    dpo_buffer text = {0};
    dpo_buffer ids = {0};

    (void)state;
    ASSERT_OK(parse("{" MODEL "}", NULL, &tokenizer));
    for (int i = 0; i < N; i++)
        ASSERT_OK(dpo_buffer_append(&text, &"abc"[i % 3], 1));
    ASSERT_OK(dpo_tokenizer_encode(tokenizer, text.data, N, false, &ids));
    assert_int_equal(ids.size_bytes, N / 3 * (int)sizeof(int32_t));
    for (int i = 0; i < N / 3; i++)
        assert_int_equal(((const int32_t *)ids.data)[i], 5);
    dpo_buffer_destroy(&text);
    dpo_buffer_destroy(&ids);
    dpo_tokenizer_destroy(&tokenizer);
}

static const struct {
    const char *text;
    const char *message;
} refusals[] = {
    {"{}", "model: missing"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}", "model.type is \"Unigram\""},
    {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "model.type is \"WordPiece\""},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}",
     "merges[0]: \"b\" is not"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a  a\"]}}",
     "merges[0]: expected"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}",
     "merges[0]: expected"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", "\"aa\" is not"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
     "has the id 0 of the token \"a\""},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "the id of \"a\""},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"?\"}}",
     "unk_token: \"?\""},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"dropout\":0.1}}", "dropout is 0.1"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}}",
     "end_of_word_suffix is \"</w>\""},
    {"{\"normalizer\":{\"type\":\"Precompiled\"}," MODEL "}",
     "normalizer: the type \"Precompiled\" is not supported"},
    {"{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Nmt\"}"
     "]}," MODEL "}",
     "normalizer.normalizers[1]: the type \"Nmt\""},
    {"{\"pre_tokenizer\":{\"type\":\"Whitespace\"}," MODEL "}",
     "pre_tokenizer: the type \"Whitespace\""},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":"
     "\"Isolated\"}," MODEL "}",
     "pattern \"(\" cannot be used"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\h\"},\"behavior\":"
     "\"Isolated\"}," MODEL "}",
     "has \"\\h\""},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":"
     "\"Isolated\"}," MODEL "}",
     "has \"&&\""},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":"
     "\"Sideways\"}," MODEL "}",
     "behavior: \"Sideways\""},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}," MODEL "}",
     "expected one character"},
    {"{\"post_processor\":{\"type\":\"BertProcessing\"}," MODEL "}",
     "post_processor: the type \"BertProcessing\""},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[],\"special_tokens\":{}}"
     "," MODEL "}",
     "single: no \"Sequence\""},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
     "\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[7]}}}," MODEL
     "}",
     "post_processor.special_tokens: an id of \"<s>\" is that of no token"},
    {"{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"CTC\"}]}," MODEL "}",
     "decoder.decoders[0]: the type \"CTC\""},
    {"{\"added_tokens\":[{\"id\":9,\"content\":\"<s>\"}]," MODEL "}",
     "added_tokens[0]: \"<s>\" has the id 9, expected 7"},
    {"{\"added_tokens\":[{\"id\":1,\"content\":\"a\"},{\"id\":1,\"content\":\"a\"}]," MODEL "}",
     "there twice"},
    {"[", "tokenizer.json"},
};

static void what_is_not_understood_is_refused_by_name_and_place(void **state)
{
    dpo_tokenizer *tokenizer;

    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        ASSERT_FAILS(parse(refusals[i].text, NULL, &tokenizer), DPO_EDATA, refusals[i].message);
        ASSERT_FAILS(DPO_EDATA, DPO_EDATA, "tokenizer.json");
        assert_null(tokenizer);
    }
}

static const struct {
    const char *config;
    const char *message;
} refused_configs[] = {
    {"{\"pad_token\":\"[PAD]\"}", "pad_token \"[PAD]\" is not among the added_tokens"},
    {"{\"eos_token\":\"abc\"}", "eos_token \"abc\" is not among the added_tokens"},
    {"{\"eos_token\":7}", "eos_token is"},
    {"{\"eos_token\":{}}", "content"},
    {"{\"image_token\":\"abc\"}", "image_token \"abc\" is not"},
    {"{\"additional_special_tokens\":[\"<s>\",\"abc\"]}",
     "additional_special_tokens \"abc\" is not"},
    {"{\"extra_special_tokens\":{\"x\":\"abc\"}}", "extra_special_tokens \"abc\" is not"},
    {"{\"added_tokens_decoder\":{\"9\":{\"content\":\"<x>\"}}}", "gives \"<x>\" the id 9"},
    {"{\"added_tokens_decoder\":{\"8\":{\"content\":\"<s>\",\"special\":true}}}",
     "gives \"<s>\" the id 8"},
    {"{\"added_tokens_decoder\":{\"7\":{\"content\":\"<s>\",\"special\":true,\"lstrip\":true}}}",
     "other flags"},
    {"[]", "expected an object"},
};

static void a_configuration_with_unknown_tokens_is_refused(void **state)
{
    dpo_tokenizer *tokenizer;

    (void)state;
    for (size_t i = 0; i < sizeof refused_configs / sizeof *refused_configs; i++) {
        ASSERT_FAILS(parse("{" SPECIAL "," MODEL "}", refused_configs[i].config, &tokenizer),
                     DPO_EDATA, refused_configs[i].message);
        ASSERT_FAILS(DPO_EDATA, DPO_EDATA, "tokenizer.json, configuration");
        assert_null(tokenizer);
    }
}

static dpo_status use(const char *text, dpo_buffer *ids, dpo_buffer *back)
{
    dpo_tokenizer *tokenizer;
    dpo_status status = parse(text, "{\"bos_token\":\"<s>\"}", &tokenizer);

    if (status == DPO_OK) status = dpo_tokenizer_encode(tokenizer, " a<s>bc 12", 10, true, ids);
    if (status == DPO_OK)
        status = dpo_tokenizer_decode(tokenizer, ids->data,
                                      ids->size_bytes / (int64_t)sizeof(int32_t), true, back);
    dpo_tokenizer_destroy(&tokenizer);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    static const char text[] =
        "{" SPECIAL "," TEMPLATE
        ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},"
        "{\"type\":\"Prepend\",\"prepend\":\"a\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":"
        "\"1\"},"
        "\"content\":\"c\"}]},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{"
        "\"type\":\"Metaspace\","
        "\"replacement\":\"_\"},{\"type\":\"ByteLevel\"}]},\"decoder\":{\"type\":\"Sequence\","
        "\"decoders\":["
        "{\"type\":\"ByteFallback\"},{\"type\":\"ByteLevel\"}]}," MODEL "}";
    dpo_status status = DPO_ENOMEM;
    int n = 0;

    (void)state;
    while (status != DPO_OK) {
        dpo_buffer ids = {0};
        dpo_buffer back = {0};

        dpo_memory_fail_after(++n);
        status = use(text, &ids, &back);
        dpo_memory_fail_after(0);
        assert_true(status == DPO_OK || status == DPO_ENOMEM);
        dpo_buffer_destroy(&ids);
        dpo_buffer_destroy(&back);
        assert_int_equal(dpo_memory_outstanding(), 0);
    }
    assert_true(n > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(byte_level_models_return_every_text),
        UNIT_TEST(byte_fallback_models_return_every_text),
        UNIT_TEST(the_template_is_put_around_only_when_asked),
        UNIT_TEST(ids_are_appended),
        UNIT_TEST(a_token_that_no_merges_make_is_found_only_if_they_are_ignored),
        UNIT_TEST(a_text_that_is_not_utf_8_is_refused_and_changes_nothing),
        UNIT_TEST(half_a_character_is_decoded_as_a_replacement),
        UNIT_TEST(roles_are_texts_or_objects),
        UNIT_TEST(the_digest_follows_the_files),
        UNIT_TEST(the_map_of_special_tokens_goes_before_an_old_configuration_only),
        UNIT_TEST(a_token_with_a_role_is_special),
        UNIT_TEST(a_text_without_spaces_is_one_long_piece),
        UNIT_TEST(what_is_not_understood_is_refused_by_name_and_place),
        UNIT_TEST(a_configuration_with_unknown_tokens_is_refused),
        UNIT_TEST(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
