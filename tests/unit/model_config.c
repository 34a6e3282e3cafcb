// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/config.h"
#include "dpo/model/parameters.h"
#include "unit_test.h"

static const char base[] =
    "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 24,"
    " \"intermediate_size\": 40, \"num_hidden_layers\": 3, \"num_attention_heads\": 4,"
    " \"num_key_value_heads\": 2, \"vocab_size\": 50, \"max_position_embeddings\": 64,"
    " \"rms_norm_eps\": 1e-5, \"hidden_act\": \"silu\", \"eos_token_id\": 2}";

/* Reads the base with the members of another object put over it; a member "-" is taken away. */
static dpo_status parse_with(const char *change, dpo_model_config *config)
{
    dpo_json *root = NULL, *over = NULL, *merged = NULL;
    dpo_status status;

    ASSERT_OK(dpo_json_parse("base", base, sizeof base - 1, DPO_JSON_STRICT, &root));
    ASSERT_OK(dpo_json_parse("change", change, (int64_t)strlen(change), DPO_JSON_STRICT, &over));
    ASSERT_OK(dpo_json_new_object(&merged));
    for (int pass = 0; pass < 2; pass++) {
        dpo_json *from = pass == 0 ? root : over;

        for (const dpo_json *m = dpo_json_first(from); m != NULL; m = dpo_json_next(m)) {
            const dpo_json *other = dpo_json_find(over, dpo_json_key(m));
            bool taken = other != NULL && dpo_json_type_of(other) == DPO_JSON_TEXT &&
                         strcmp(dpo_json_text(other), "-") == 0;
            dpo_json *copy;

            if (taken) continue;
            ASSERT_OK(dpo_json_copy(m, &copy));
            ASSERT_OK(dpo_json_put_node(merged, dpo_json_key(m), &copy));
        }
    }
    status = dpo_model_config_parse(merged, "config.json", config);
    dpo_json_destroy(&merged);
    dpo_json_destroy(&over);
    dpo_json_destroy(&root);
    return status;
}

static void absent_keys_mean_what_transformers_takes_them_for(void **state)
{
    dpo_model_config c;

    (void)state;
    ASSERT_OK(parse_with("{\"num_key_value_heads\": \"-\", \"rms_norm_eps\": \"-\", "
                         "\"max_position_embeddings\": \"-\", \"eos_token_id\": null}",
                         &c));
    assert_int_equal(c.n_layers, 3);
    assert_int_equal(c.d_model, 24);
    assert_int_equal(c.n_heads, 4);
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_dim, 6);
    assert_int_equal(c.d_ff, 40);
    assert_int_equal(c.n_vocab, 50);
    assert_int_equal(c.max_positions, 2048);
    ASSERT_CLOSE(c.norm_eps, 1e-6, 0);
    assert_false(c.tied);
    assert_int_equal(c.type, DPO_TENSOR_F32);
    assert_int_equal(c.bos, -1);
    assert_int_equal(c.padding, -1);
    assert_int_equal(c.n_stops, 0);
    assert_int_equal(c.rope.scaling, DPO_ROPE_PLAIN);
    ASSERT_CLOSE(c.rope.theta, 10000, 0);
    assert_int_equal(c.rope.head_dim, 6);
    assert_int_equal(c.rope.max_positions, 2048);
}

static void given_keys_are_read(void **state)
{
    dpo_model_config c;

    (void)state;
    ASSERT_OK(parse_with("{\"head_dim\": 10, \"tie_word_embeddings\": true, \"bos_token_id\": 1, "
                         "\"pad_token_id\": 3, "
                         "\"eos_token_id\": [2, 49], \"torch_dtype\": \"bfloat16\", "
                         "\"rope_theta\": 500000, \"sliding_window\": null, "
                         "\"attention_bias\": false, \"quantization_config\": null}",
                         &c));
    assert_int_equal(c.head_dim, 10);
    assert_true(c.tied);
    assert_int_equal(c.bos, 1);
    assert_int_equal(c.padding, 3);
    assert_int_equal(c.n_stops, 2);
    assert_int_equal(c.stop[1], 49);
    assert_int_equal(c.type, DPO_TENSOR_BF16);
    ASSERT_CLOSE(c.rope.theta, 500000, 0);
}

static void both_ways_to_write_the_rotary_embedding_are_the_same(void **state)
{
    static const char *const changes[] = {
        "{\"rope_theta\": 7000, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
        "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": "
        "32}}",
        "{\"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 7000, \"factor\": 8, "
        "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": "
        "32}}"};
    dpo_model_config c;

    (void)state;
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(parse_with(changes[i], &c));
        assert_int_equal(c.rope.scaling, DPO_ROPE_LLAMA3);
        ASSERT_CLOSE(c.rope.theta, 7000, 0);
        ASSERT_CLOSE(c.rope.factor, 8, 0);
        ASSERT_CLOSE(c.rope.low_freq_factor, 1, 0);
        ASSERT_CLOSE(c.rope.high_freq_factor, 4, 0);
        ASSERT_CLOSE(c.rope.original_max_positions, 32, 0);
    }
    ASSERT_OK(parse_with("{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}", &c));
    assert_int_equal(c.rope.scaling, DPO_ROPE_LINEAR);
    ASSERT_CLOSE(c.rope.factor, 2, 0);
    ASSERT_OK(parse_with("{\"rope_parameters\": {\"rope_type\": \"default\"}}", &c));
    assert_int_equal(c.rope.scaling, DPO_ROPE_PLAIN);
}

static void what_changes_the_mathematics_is_refused_by_name(void **state)
{
    static const struct {
        const char *change;
        dpo_status status;
        const char *part;
    } cases[] = {
        {"{\"model_type\": \"gpt2\"}", DPO_EUSAGE, "\"gpt2\", supported are llama and mistral"},
        {"{\"model_type\": \"-\"}", DPO_EDATA, "\"model_type\" is missing"},
        {"{\"architectures\": [\"LlamaForSequenceClassification\"]}", DPO_EUSAGE,
         "LlamaForSequenceClassification"},
        {"{\"hidden_act\": \"gelu\"}", DPO_EUSAGE, "\"hidden_act\" is \"gelu\""},
        {"{\"attention_bias\": true}", DPO_EUSAGE, "\"attention_bias\""},
        {"{\"mlp_bias\": true}", DPO_EUSAGE, "\"mlp_bias\""},
        {"{\"quantization_config\": {\"bits\": 4}}", DPO_EUSAGE, "\"quantization_config\""},
        {"{\"sliding_window\": 32}", DPO_EUSAGE, "\"sliding_window\" is 32"},
        {"{\"model_type\": \"mistral\", \"architectures\": null, "
         "\"max_position_embeddings\": 8192}",
         DPO_EUSAGE, "\"sliding_window\" is 4096"},
        {"{\"layer_types\": [\"full_attention\", \"sliding_attention\"]}", DPO_EUSAGE,
         "\"layer_types\""},
        {"{\"partial_rotary_factor\": 0.5}", DPO_EUSAGE, "\"partial_rotary_factor\" is 0.5"},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}}", DPO_EUSAGE, "\"yarn\""},
        {"{\"rope_scaling\": {\"type\": \"linear\"}}", DPO_EDATA, "\"factor\" is missing"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}", DPO_EDATA, "\"factor\""},
        {"{\"rope_parameters\": 3}", DPO_EDATA, "\"rope_parameters\" is a number"},
        {"{\"rope_theta\": -1}", DPO_EDATA, "\"rope_theta\" is -1"},
        {"{\"hidden_size\": \"-\"}", DPO_EDATA, "\"hidden_size\" is missing"},
        {"{\"hidden_size\": 0}", DPO_EDATA, "\"hidden_size\" is 0"},
        {"{\"hidden_size\": 26}", DPO_EDATA, "\"hidden_size\" is 26"},
        {"{\"num_key_value_heads\": 3}", DPO_EDATA, "a multiple of \"num_key_value_heads\", 3"},
        {"{\"head_dim\": 7}", DPO_EUSAGE, "\"head_dim\" is 7"},
        {"{\"rms_norm_eps\": 0}", DPO_EDATA, "\"rms_norm_eps\" is 0"},
        {"{\"dtype\": \"int8\"}", DPO_EDATA, "\"dtype\" is \"int8\""},
        {"{\"eos_token_id\": 50}", DPO_EDATA, "below 50"},
        {"{\"eos_token_id\": [1, \"x\"]}", DPO_EDATA, "\"eos_token_id\""},
        {"{\"pad_token_id\": 50}", DPO_EDATA, "\"pad_token_id\" is 50"},
        {"{\"bos_token_id\": 50}", DPO_EDATA, "\"bos_token_id\" is 50"},
    };
    dpo_model_config c;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ASSERT_FAILS(parse_with(cases[i].change, &c), cases[i].status, cases[i].part);
}

static void a_mistral_with_the_whole_context_in_view_is_accepted(void **state)
{
    dpo_model_config c;

    (void)state;
    ASSERT_OK(parse_with("{\"model_type\": \"mistral\", \"architectures\": "
                         "[\"MistralForCausalLM\"], \"sliding_window\": null}",
                         &c));
    assert_int_equal(c.n_kv_heads, 2);
}

static void the_table_is_dense_and_projections_are_neighbours(void **state)
{
    static const char *const names[] = {"model.layers.2.self_attn.q_proj.weight",
                                        "model.layers.2.self_attn.k_proj.weight",
                                        "model.layers.2.self_attn.v_proj.weight"};
    dpo_model_config c;
    dpo_partition whole;
    dpo_parameters p;

    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        int64_t end = 0;

        ASSERT_OK(parse_with(tied ? "{\"tie_word_embeddings\": true}" : "{}", &c));
        ASSERT_OK(dpo_partition_make(&c, 1, 0, &whole));
        ASSERT_OK(dpo_parameters_create(&c, &whole, &p));
        assert_int_equal(p.n_rows, 3 * DPO_PARAMETERS_PER_LAYER + 3 - tied);
        for (int64_t i = 0; i < p.n_rows; i++) {
            assert_int_equal(p.row[i].offset, end);
            assert_int_equal(p.row[i].count, p.row[i].dims[0] * p.row[i].dims[1]);
            assert_int_equal(p.row[i].decays, strstr(p.row[i].name, "norm") == NULL);
            end += p.row[i].count;
        }
        assert_int_equal(p.n_elements, end);
        for (int i = 0; i < 2; i++)
            assert_ptr_equal(dpo_parameters_find(&p, names[i]) + 1,
                             dpo_parameters_find(&p, names[i + 1]));
        assert_int_equal(dpo_parameters_find(&p, "lm_head.weight") == NULL, tied);
        dpo_parameters_destroy(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(absent_keys_mean_what_transformers_takes_them_for),
        UNIT_TEST(given_keys_are_read),
        UNIT_TEST(both_ways_to_write_the_rotary_embedding_are_the_same),
        UNIT_TEST(what_changes_the_mathematics_is_refused_by_name),
        UNIT_TEST(a_mistral_with_the_whole_context_in_view_is_accepted),
        UNIT_TEST(the_table_is_dense_and_projections_are_neighbours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
