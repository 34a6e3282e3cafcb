// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_CHAT_TEMPLATE_H
#define DPO_TEXT_CHAT_TEMPLATE_H

/**
 * \file
 * Chat templates of Hugging Face models: a conversation becomes the text that the model was trained on.
 *
 * The language is the part of Jinja that such templates use, with trim_blocks and lstrip_blocks on, as in
 * transformers. A template sees messages, add_generation_prompt, bos_token, eos_token and the function
 * raise_exception; tools and documents are none; strftime_now is not defined, so that a text never depends
 * on the day. What the interpreter does not know is refused by name, line and column.
 */

#include <stdbool.h>

#include "dpo/base/buffer.h"
#include "dpo/base/digest.h"
#include "dpo/base/json.h"
#include "dpo/base/status.h"

/** A parsed template; opaque, never changes, may be rendered by several threads at once. */
typedef struct dpo_chat_template dpo_chat_template;

/**
 * Reads the template of a model folder: chat_template.jinja, else "chat_template" of tokenizer_config.json,
 * a text or a list of {"name", "template"} of which "default" is taken.
 *
 * \local
 * \param[in]  folder         Hugging Face model folder.
 * \param[out] chat_template  Owned by the caller; NULL on error, and with DPO_OK if the model has none.
 * \errors{DPO_EIO; DPO_EDATA if it cannot be understood; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_chat_template_load(const char *folder,
                                                 dpo_chat_template **chat_template);

/**
 * Parses a template.
 *
 * \local
 * \param[in]  source         Name for messages, for example a path; copied.
 * \param[in]  text           The template, UTF-8, zero-terminated.
 * \param[out] chat_template  Owned by the caller; NULL on error.
 * \errors{DPO_EDATA with line and column; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_chat_template_parse(const char *source, const char *text,
                                                  dpo_chat_template **chat_template);

/** Destroys a template and sets the pointer to NULL; NULL is left alone. \local */
void dpo_chat_template_destroy(dpo_chat_template **chat_template);

/**
 * Renders a conversation and appends the text.
 *
 * \local
 * \param[in]     chat_template          The template.
 * \param[in]     messages               Array of objects, usually {"role", "content"}.
 * \param[in]     add_generation_prompt  Whether the text ends where the assistant's answer begins.
 * \param[in]     bos_text               Text of the beginning-of-sequence token; NULL if there is none.
 * \param[in]     eos_text               Text of the end-of-sequence token; NULL if there is none.
 * \param[in,out] out                    The text is appended, without anything else; unspecified on error.
 * \errors{DPO_EDATA with line and column of the template: its own raise_exception(), a value that does not fit,
 *         or a bound on steps or depth passed; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_chat_template_render(const dpo_chat_template *chat_template,
                                                   const dpo_json *messages,
                                                   bool add_generation_prompt, const char *bos_text,
                                                   const char *eos_text, dpo_buffer *out);

/** Digest of the template's text. \local */
dpo_digest dpo_chat_template_digest(const dpo_chat_template *chat_template);

#endif
