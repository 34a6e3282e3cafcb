// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/parameters.h"
#include "fuzz/fuzz_target.h"

const char *const dpo_fuzz_seeds[] = {
    "{\"model_type\": \"llama\", \"hidden_size\": 24, \"intermediate_size\": 40, "
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
    "\"vocab_size\": 50, \"rms_norm_eps\": 1e-5, \"eos_token_id\": [2, 7], \"pad_token_id\": 3, "
    "\"tie_word_embeddings\": true, \"rope_theta\": 10000.0, \"rope_scaling\": {\"type\": "
    "\"linear\", \"factor\": 2.0}, \"torch_dtype\": \"bfloat16\"}",
    "{\"architectures\": [\"MistralForCausalLM\"], \"model_type\": \"mistral\", \"head_dim\": 6, "
    "\"hidden_size\": 24, \"intermediate_size\": 40, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 8, \"vocab_size\": 50, \"sliding_window\": null, "
    "\"layer_types\": [\"full_attention\"], \"rope_parameters\": {\"rope_type\": \"llama3\", "
    "\"rope_theta\": 5e5, \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
    "\"original_max_position_embeddings\": 8192}, \"dtype\": \"float32\", \"eos_token_id\": 2}",
    NULL,
};

/* Whatever is accepted keeps the invariant, and its table is dense. */
static void check(const dpo_model_config *c)
{
    dpo_partition whole;
    dpo_parameters parameters;

    DPO_ASSERT(c->n_layers > 0 && c->d_model > 0 && c->d_ff > 0 && c->n_vocab > 0);
    DPO_ASSERT(c->n_kv_heads > 0 && c->n_heads % c->n_kv_heads == 0);
    DPO_ASSERT(c->head_dim > 0 && c->head_dim % 2 == 0 && c->rope.head_dim == c->head_dim);
    DPO_ASSERT(c->rope.theta > 0 && c->norm_eps > 0 && c->max_positions > 0);
    DPO_ASSERT(c->bos >= -1 && c->bos < c->n_vocab && c->padding < c->n_vocab);
    for (int i = 0; i < c->n_stops; i++)
        DPO_ASSERT(c->stop[i] >= 0 && c->stop[i] < c->n_vocab);
    dpo_status status = dpo_partition_make(c, 1, 0, &whole);

    DPO_ASSERT(status == DPO_OK);
    if (dpo_parameters_create(c, &whole, &parameters) != DPO_OK) return;
    for (int64_t i = 1; i < parameters.n_rows; i++)
        DPO_ASSERT(parameters.row[i].offset ==
                   parameters.row[i - 1].offset + parameters.row[i - 1].count);
    dpo_parameters_destroy(&parameters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    dpo_model_config config;
    dpo_json *root = NULL;

    if (dpo_json_parse("fuzz", (const char *)data, (int64_t)n_bytes, DPO_JSON_STRICT, &root) ==
            DPO_OK &&
        dpo_model_config_parse(root, "fuzz", &config) == DPO_OK)
        check(&config);
    dpo_json_destroy(&root);
    return 0;
}
