// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/samples.h"

#include <stdio.h>
#include <string.h>

#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "dpo/model/generate.h"
#include "dpo/train/metrics_log.h"

/* One user message through the template. */
static dpo_status render_chat(const dpo_sampler *s, const char *prompt, dpo_buffer *text)
{
    dpo_json *messages;
    dpo_json *message = NULL;

    if (s->chat_template == NULL)
        return DPO_FAIL(DPO_EUSAGE,
                        "generate.chat: the model has no chat template; leave it out, or "
                        "give one with data.chat_template");
    DPO_TRY(dpo_json_new_array(&messages));
    dpo_status status = dpo_json_new_object(&message);

    if (status == DPO_OK) status = dpo_json_put_text(message, "role", "user");
    if (status == DPO_OK) status = dpo_json_put_text(message, "content", prompt);
    if (status == DPO_OK) status = dpo_json_put_node(messages, NULL, &message);
    if (status == DPO_OK)
        status = dpo_chat_template_render(s->chat_template, messages, true,
                                          dpo_tokenizer_bos_text(s->tokenizer),
                                          dpo_tokenizer_eos_text(s->tokenizer), text);
    dpo_json_destroy(&message);
    dpo_json_destroy(&messages);
    return status;
}

/* Token ids of a prompt, int32 items. */
static dpo_status encode_prompt(const dpo_sampler *s, const char *prompt, dpo_buffer *ids)
{
    dpo_buffer text = {0};
    bool chat = s->run->generate.chat;
    dpo_status status =
        chat ? render_chat(s, prompt, &text) : dpo_buffer_append_text(&text, prompt);

    if (status == DPO_OK)
        status =
            dpo_tokenizer_encode(s->tokenizer, dpo_buffer_text(&text), text.size_bytes, !chat, ids);
    dpo_buffer_destroy(&text);
    if (status == DPO_OK && ids->size_bytes == 0)
        return DPO_FAIL(DPO_EUSAGE, "prompt: has no tokens; give some text");
    return status;
}

static dpo_sampling sampling_of(const dpo_sampler *s, uint32_t sequence, const int32_t *eos)
{
    const dpo_model_config *config = dpo_model_config_of(s->model);
    bool has_stops = config->n_stops > 0;

    return (dpo_sampling){.temperature = s->run->generate.temperature,
                          .top_k = s->run->generate.top_k,
                          .top_p = s->run->generate.top_p,
                          .seed = (uint64_t)s->run->seed,
                          .sequence = sequence,
                          .max_new_tokens = s->run->generate.max_tokens,
                          .n_stops = has_stops ? config->n_stops : *eos >= 0,
                          .stop = has_stops ? config->stop : eos};
}

/*
 * The text of new tokens behind their prompt: what they add to the prompt's text. Decoded by themselves they
 * could lose a space, which decoders drop in front of a text.
 */
static dpo_status decode_behind(const dpo_tokenizer *tokenizer, const dpo_buffer *prompt,
                                int64_t n_new, const int32_t *new_ids, dpo_buffer *text)
{
    int64_t n_prompt = prompt->size_bytes / (int64_t)sizeof(int32_t);
    dpo_buffer ids = {0};
    dpo_buffer before = {0};
    dpo_buffer all = {0};
    dpo_status status = dpo_buffer_append(&ids, prompt->data, prompt->size_bytes);

    if (status == DPO_OK)
        status = dpo_buffer_append(&ids, new_ids, n_new * (int64_t)sizeof *new_ids);
    if (status == DPO_OK)
        status = dpo_tokenizer_decode(tokenizer, ids.data, n_prompt, true, &before);
    if (status == DPO_OK)
        status = dpo_tokenizer_decode(tokenizer, ids.data, n_prompt + n_new, true, &all);
    if (status == DPO_OK) {
        const char *whole = dpo_buffer_text(&all);
        bool is_beginning =
            strncmp(whole, dpo_buffer_text(&before), (size_t)before.size_bytes) == 0;

        status = is_beginning ? dpo_buffer_append_text(text, whole + before.size_bytes)
                              : dpo_tokenizer_decode(tokenizer, new_ids, n_new, true, text);
    }
    dpo_buffer_destroy(&ids);
    dpo_buffer_destroy(&before);
    dpo_buffer_destroy(&all);
    return status;
}

/* Prompts of a data-parallel rank under way; the arrays have an entry for each prompt of all ranks. */
typedef struct {
    const dpo_sampler *sampler;
    int64_t n_prompts;
    dpo_buffer *ids; /* owned, [n_prompts] int32 token ids of this rank's prompts */
    int32_t *tokens; /* owned, [max_tokens] new ones of one prompt */
    dpo_generator *generator;
} continuation;

static int owner_of(const dpo_grid *grid, int64_t prompt)
{
    return (int)(prompt % dpo_grid_size(grid, DPO_DATA));
}

static bool is_own(const continuation *c, int64_t prompt)
{
    return owner_of(c->sampler->grid, prompt) == dpo_grid_rank(c->sampler->grid, DPO_DATA);
}

static int64_t count_ids(const dpo_buffer *ids)
{
    return ids->size_bytes / (int64_t)sizeof(int32_t);
}

/* Everything that can fail, so that the tensor-parallel ranks of a prompt stay together. */
static dpo_status prepare(continuation *c, const char *const *prompts)
{
    const dpo_sampler *s = c->sampler;
    int64_t context = dpo_model_config_of(s->model)->max_positions, longest = 1;

    DPO_TRY(DPO_NEW(c->ids, c->n_prompts));
    DPO_TRY(DPO_NEW(c->tokens, s->run->generate.max_tokens));
    for (int64_t i = 0; i < c->n_prompts; i++) {
        if (!is_own(c, i)) continue;
        DPO_TRY(encode_prompt(s, prompts[i], &c->ids[i]));
        int64_t n = count_ids(&c->ids[i]);

        if (n >= context)
            return DPO_FAIL(DPO_EUSAGE,
                            "prompt: has %lld tokens, the model's context is %lld; shorten it",
                            (long long)n, (long long)context);
        longest =
            n + s->run->generate.max_tokens > longest ? n + s->run->generate.max_tokens : longest;
    }
    return dpo_generator_create(s->model, longest < context ? longest : context, &c->generator);
}

/* The texts of this rank's prompts; the first failure, after all of them. */
static dpo_status run_own(continuation *c, dpo_buffer *texts)
{
    const dpo_sampler *s = c->sampler;
    int32_t eos = dpo_tokenizer_eos(s->tokenizer);
    dpo_status status = DPO_OK;

    for (int64_t i = 0; i < c->n_prompts; i++) {
        if (!is_own(c, i)) continue;
        dpo_sampling sampling = sampling_of(s, (uint32_t)i, &eos);
        int64_t n = dpo_generator_run(c->generator, count_ids(&c->ids[i]), c->ids[i].data,
                                      &sampling, c->tokens);

        if (status == DPO_OK)
            status = decode_behind(s->tokenizer, &c->ids[i], n, c->tokens, &texts[i]);
    }
    return status;
}

static void destroy(continuation *c)
{
    for (int64_t i = 0; c->ids != NULL && i < c->n_prompts; i++)
        dpo_buffer_destroy(&c->ids[i]);
    dpo_free(c->ids);
    dpo_free(c->tokens);
    dpo_generator_destroy(&c->generator);
}

/* The owner's text on every rank. */
static dpo_status share(const dpo_grid *grid, int owner, dpo_buffer *text)
{
    int64_t n_bytes = text->size_bytes;
    dpo_status status = DPO_OK;

    dpo_broadcast(grid, DPO_WORLD, owner, sizeof n_bytes, &n_bytes);
    if (dpo_grid_rank(grid, DPO_WORLD) != owner) status = dpo_buffer_append(text, NULL, n_bytes);
    DPO_TRY(dpo_agree(grid, status));
    dpo_broadcast(grid, DPO_WORLD, owner, n_bytes, text->data);
    return DPO_OK;
}

dpo_status dpo_sampler_run(const dpo_sampler *sampler, int64_t n_prompts,
                           const char *const *prompts, dpo_buffer *texts)
{
    const dpo_grid *grid = sampler->grid;
    continuation c = {.sampler = sampler, .n_prompts = n_prompts};
    dpo_status status = dpo_agree(grid, prepare(&c, prompts));

    if (status == DPO_OK) status = dpo_agree(grid, run_own(&c, texts));
    destroy(&c);
    DPO_TRY(status);
    for (int64_t i = 0; i < n_prompts; i++)
        DPO_TRY(share(grid, owner_of(grid, i) * dpo_grid_size(grid, DPO_TENSOR), &texts[i]));
    return DPO_OK;
}

static dpo_status write_sample(FILE *stream, const char *path, int64_t step, const char *prompt,
                               const char *text)
{
    dpo_json *record;

    DPO_TRY(dpo_json_new_object(&record));
    dpo_status status = dpo_json_put_int(record, "step", step);

    if (status == DPO_OK) status = dpo_json_put_text(record, "prompt", prompt);
    if (status == DPO_OK) status = dpo_json_put_text(record, "text", text);
    if (status == DPO_OK) status = dpo_metrics_log_write(stream, path, record);
    dpo_json_destroy(&record);
    return status;
}

static dpo_status write_samples(const dpo_session *session, int64_t step, int64_t n_prompts,
                                const char *const *prompts, const dpo_buffer *texts)
{
    FILE *stream;
    char *path;

    if (dpo_grid_rank(session->grid, DPO_WORLD) != 0) return DPO_OK;
    DPO_TRY(dpo_session_path(session, "samples.jsonl", &path));
    dpo_status status = dpo_metrics_log_open(path, step, &stream);

    for (int64_t i = 0; i < n_prompts && status == DPO_OK; i++) {
        dpo_log_info("text after step %lld: %s%s", (long long)step, prompts[i],
                     dpo_buffer_text(&texts[i]));
        status = write_sample(stream, path, step, prompts[i], dpo_buffer_text(&texts[i]));
    }
    if (stream != NULL) (void)fclose(stream);
    dpo_free(path);
    return status;
}

dpo_status dpo_samples_write(dpo_session *session, int64_t step)
{
    const dpo_sampler sampler = {session->grid, session->model, session->tokenizer,
                                 session->chat_template, session->run};
    const dpo_json *list = session->run->evaluate.prompts;
    int64_t n_prompts = dpo_json_count(list);
    const char **prompts = NULL;
    dpo_buffer *texts = NULL;

    if (n_prompts == 0) return DPO_OK;
    dpo_status status = DPO_NEW(prompts, n_prompts);

    if (status == DPO_OK) status = DPO_NEW(texts, n_prompts);
    status = dpo_agree(session->grid, status);
    if (status != DPO_OK) goto done;
    const dpo_json *item = dpo_json_first(list);

    for (int64_t i = 0; i < n_prompts; i++, item = dpo_json_next(item))
        prompts[i] = dpo_json_text(item);
    status = dpo_sampler_run(&sampler, n_prompts, prompts, texts);
    if (status == DPO_OK)
        status = dpo_agree(session->grid, write_samples(session, step, n_prompts, prompts, texts));
done:
    for (int64_t i = 0; texts != NULL && i < n_prompts; i++)
        dpo_buffer_destroy(&texts[i]);
    dpo_free(texts);
    dpo_free(prompts);
    return status;
}
