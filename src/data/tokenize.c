// SPDX-License-Identifier: Apache-2.0
#include "tokenize.h"

#include <string.h>

#include "dpo/base/memory.h"

static dpo_status reserve(token_example *example, int64_t n_responses)
{
    if (n_responses > example->capacity) {
        dpo_buffer *more =
            dpo_memory_resize(example->sequences, n_responses, sizeof *example->sequences);

        if (more == NULL)
            return dpo_memory_failed(n_responses, sizeof *example->sequences, __FILE__, __LINE__);
        example->sequences = more;
        example->capacity = n_responses;
    }
    example->n_responses = n_responses;
    dpo_buffer_clear(&example->prompt);
    for (int64_t r = 0; r < n_responses; r++)
        dpo_buffer_clear(&example->sequences[r]);
    return DPO_OK;
}

static dpo_status encode(token_example *example, const char *where, bool add_special,
                         dpo_buffer *ids)
{
    return dpo_fail_at(dpo_encoder_run(example->encoder, dpo_buffer_text(&example->text),
                                       example->text.size_bytes, add_special, ids),
                       "%s: ", where);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t n_end = strlen(end);

    return n >= n_end && memcmp(text + n - n_end, end, n_end) == 0;
}

static dpo_status join_texts(dpo_buffer *text, const char *a, const char *b, const char *c)
{
    dpo_buffer_clear(text);
    DPO_TRY(dpo_buffer_append_text(text, a));
    DPO_TRY(dpo_buffer_append_text(text, b));
    return dpo_buffer_append_text(text, c);
}

static dpo_status fill_texts(token_example *example, const char *where,
                             const dpo_preference *preference)
{
    const char *eos = dpo_tokenizer_eos_text(example->tokenizer);
    const char *prompt = dpo_json_text(preference->prompt);

    if (eos[0] == '\0')
        return DPO_FAIL(DPO_EUSAGE,
                        "%s: the tokenizer has no end-of-sequence token, which ends every response "
                        "to a text prompt; set \"eos_token\" in tokenizer_config.json",
                        where);
    DPO_TRY(join_texts(&example->text, prompt, "", ""));
    DPO_TRY(encode(example, where, true, &example->prompt));
    for (int64_t r = 0; r < example->n_responses; r++) {
        const char *response = dpo_json_text(preference->responses[r].content);

        DPO_TRY(join_texts(&example->text, prompt, response, ends_with(response, eos) ? "" : eos));
        DPO_TRY(encode(example, where, true, &example->sequences[r]));
    }
    return DPO_OK;
}

/* A special token's text for a template; one that the model does not have is not defined there. */
static const char *text_or_none(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static dpo_status render(token_example *example, const char *where, const dpo_json *messages,
                         bool add_generation_prompt, dpo_buffer *ids)
{
    const char *bos = text_or_none(dpo_tokenizer_bos_text(example->tokenizer));
    const char *eos = text_or_none(dpo_tokenizer_eos_text(example->tokenizer));

    dpo_buffer_clear(&example->text);
    DPO_TRY(dpo_fail_at(dpo_chat_template_render(example->chat_template, messages,
                                                 add_generation_prompt, bos, eos, &example->text),
                        "%s: ", where));
    return encode(example, where, false, ids);
}

static dpo_status append_messages(dpo_json *messages, const dpo_json *more)
{
    for (const dpo_json *i = dpo_json_first(more); i != NULL; i = dpo_json_next(i)) {
        dpo_json *copy;

        DPO_TRY(dpo_json_copy(i, &copy));
        DPO_TRY(dpo_json_put_node(messages, NULL, &copy));
    }
    return DPO_OK;
}

static dpo_status render_conversation(token_example *example, const char *where,
                                      const dpo_json *prompt, const dpo_json *response,
                                      dpo_buffer *ids)
{
    dpo_json *messages;

    DPO_TRY(dpo_json_copy(prompt, &messages));
    dpo_status status = append_messages(messages, response);

    if (status == DPO_OK) status = render(example, where, messages, false, ids);
    dpo_json_destroy(&messages);
    return status;
}

static dpo_status fill_messages(token_example *example, const char *where,
                                const dpo_preference *preference)
{
    if (example->chat_template == NULL)
        return DPO_FAIL(DPO_EDATA,
                        "%s: \"prompt\" is a list of messages, but the model has no chat template; "
                        "set data.chat_template or use text prompts",
                        where);
    DPO_TRY(render(example, where, preference->prompt, true, &example->prompt));
    for (int64_t r = 0; r < example->n_responses; r++)
        DPO_TRY(render_conversation(example, where, preference->prompt,
                                    preference->responses[r].content, &example->sequences[r]));
    return DPO_OK;
}

static int64_t count_of(const dpo_buffer *ids)
{
    return ids->size_bytes / (int64_t)sizeof(int32_t);
}

static int64_t common_length(const dpo_buffer *a, const dpo_buffer *b)
{
    const int32_t *ids_a = a->data;
    const int32_t *ids_b = b->data;
    int64_t n = count_of(a) < count_of(b) ? count_of(a) : count_of(b);
    int64_t i = 0;

    while (i < n && ids_a[i] == ids_b[i])
        i++;
    return i;
}

static void find_boundary(token_example *example)
{
    example->prompt_tokens = count_of(&example->prompt);
    for (int64_t r = 0; r < example->n_responses; r++) {
        int64_t n = common_length(&example->prompt, &example->sequences[r]);

        if (n < example->prompt_tokens) example->prompt_tokens = n;
    }
    example->has_shift = example->prompt_tokens < count_of(&example->prompt);
}

static bool is_double_bos(const token_example *example)
{
    const int32_t *ids = example->prompt.data;
    int32_t bos = dpo_tokenizer_bos(example->tokenizer);

    return bos >= 0 && example->prompt_tokens >= 2 && ids[0] == bos && ids[1] == bos;
}

static bool are_equal(const dpo_buffer *a, const dpo_buffer *b)
{
    return count_of(a) == count_of(b) && common_length(a, b) == count_of(a);
}

static bool has_identical(const token_example *example, const dpo_preference *preference)
{
    for (int64_t e = 0; e < preference->n_edges; e++)
        if (are_equal(&example->sequences[preference->edges[e].chosen],
                      &example->sequences[preference->edges[e].rejected]))
            return true;
    return false;
}

static bool is_empty(const dpo_json *content)
{
    if (dpo_json_type_of(content) == DPO_JSON_TEXT) return dpo_json_text(content)[0] == '\0';
    for (const dpo_json *i = dpo_json_first(content); i != NULL; i = dpo_json_next(i))
        if (dpo_json_text(dpo_json_find(i, "content"))[0] != '\0') return false;
    return true;
}

static int64_t find_empty(const dpo_preference *preference)
{
    for (int64_t r = 0; r < preference->n_responses; r++)
        if (is_empty(preference->responses[r].content)) return r;
    return -1;
}

dpo_status token_example_fill(token_example *example, const char *where,
                              const dpo_preference *preference)
{
    DPO_TRY(reserve(example, preference->n_responses));
    DPO_TRY(preference->is_chat ? fill_messages(example, where, preference)
                                : fill_texts(example, where, preference));
    find_boundary(example);
    example->has_double_bos = is_double_bos(example);
    example->has_identical = has_identical(example, preference);
    example->empty = find_empty(preference);
    return DPO_OK;
}

const int32_t *token_example_ids(const token_example *example, int64_t r, int64_t *n)
{
    *n = count_of(&example->sequences[r]);
    return example->sequences[r].data;
}

void token_example_destroy(token_example *example)
{
    for (int64_t r = 0; r < example->capacity; r++)
        dpo_buffer_destroy(&example->sequences[r]);
    dpo_free(example->sequences);
    dpo_buffer_destroy(&example->prompt);
    dpo_buffer_destroy(&example->text);
    *example = (token_example){0};
}
