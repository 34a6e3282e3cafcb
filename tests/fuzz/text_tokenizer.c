// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "dpo/base/utf8.h"
#include "dpo/text/tokenizer.h"
#include "fuzz/fuzz_target.h"

const char *const dpo_fuzz_seeds[] = {
    "{\"added_tokens\":[{\"id\":6,\"content\":\"<s>\",\"special\":true,\"lstrip\":true,\"rstrip\":"
    "true},"
    "{\"id\":4,\"content\":\"ab\",\"normalized\":true,\"single_word\":true}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKD\"},{\"type\":"
    "\"Lowercase\"},"
    "{\"type\":\"Prepend\",\"prepend\":\"\xE2\x96\x81\"},{\"type\":\"Strip\",\"strip_right\":true},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xE2\x96\x81\"}]},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
    "\"x\"}},"
    "{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"x\":{\"ids\":[6,1]}}},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"},"
    "{\"type\":\"Strip\",\"content\":\" "
    "\",\"start\":1,\"stop\":1},{\"type\":\"Metaspace\",\"replacement\":\"a\"}]},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"a\",\"fuse_unk\":true,\"byte_fallback\":true,"
    "\"vocab\":{\"a\":0,\"b\":1,\"<0x20>\":2,\"\xE2\x96\x81\":3,\"ab\":4,\"aba\":5},"
    "\"merges\":[\"a b\",[\"ab\",\"a\"]]}}",
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
    "\"individual_digits\":true},"
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s)|[^\\\\s\\\\p{L}]?\\\\w{1,3}|\\\\s+(?!"
    "\\\\S)\"},"
    "\"behavior\":\"MergedWithNext\",\"invert\":true},{\"type\":\"Metaspace\",\"replacement\":\"_"
    "\","
    "\"prepend_scheme\":\"first\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":true}]},"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,"
    "\"vocab\":{\"a\":0,\"b\":1,\"\xC4\xA0\":2,\"ab\":3,\"\xC4\xA0"
    "ab\":4,\"\xC3\":5},"
    "\"merges\":[\"a b\",\"\xC4\xA0 ab\"]}}",
    NULL,
};

static void check_ids(const dpo_tokenizer *tokenizer, const dpo_buffer *ids)
{
    const int32_t *id = ids->data;

    for (int64_t i = 0; i < ids->size_bytes / (int64_t)sizeof *id; i++)
        DPO_ASSERT(id[i] >= 0 && id[i] < dpo_tokenizer_size(tokenizer));
}

static void use(const dpo_tokenizer *tokenizer)
{
    static const char text[] = " ab<s> a b\n'S 12 \xE2\x96\x81 aabba \xC3\xA9\xF0\x9F\x98\x80  ab.";
    dpo_buffer ids = {0};
    dpo_buffer back = {0};
    dpo_status status = dpo_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids);

    DPO_ASSERT(status == DPO_OK || status == DPO_EDATA);
    check_ids(tokenizer, &ids);
    status = dpo_tokenizer_decode(tokenizer, ids.data, ids.size_bytes / (int64_t)sizeof(int32_t),
                                  true, &back);
    DPO_ASSERT(status == DPO_OK || status == DPO_EDATA);
    DPO_ASSERT(dpo_utf8_valid_length(dpo_buffer_text(&back), back.size_bytes) == back.size_bytes);
    dpo_buffer_destroy(&ids);
    dpo_buffer_destroy(&back);
}

/* Any text is a tokenizer that works, or is refused, and nothing is left behind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    dpo_tokenizer *tokenizer;
    dpo_status status = dpo_tokenizer_parse("fuzz", (const char *)data, (int64_t)n_bytes,
                                            "{\"bos_token\":\"ab\"}", &tokenizer);

    DPO_ASSERT(status == DPO_OK || status == DPO_EDATA);
    if (status == DPO_OK) use(tokenizer);
    dpo_tokenizer_destroy(&tokenizer);
    return 0;
}
