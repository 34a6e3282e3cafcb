// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/config.h"

#include <string.h>
#include <unistd.h>

#include "dpo/base/buffer.h"
#include "dpo/comm/collective.h"

/* Sizes are bounded so that no product of them leaves int64_t. */
enum { MAX_LAYERS = 1 << 10, MAX_SIZE = 1 << 20, MAX_TOKENS = 1 << 30 };

/* What files of a family mean where they say nothing (transformers' defaults). */
typedef struct {
    const char *model_type;
    const char *architecture;
    int64_t n_kv_heads; /* 0 = as many as heads */
    int64_t window;     /* 0 = attention to everything before */
    int64_t max_positions;
} family;

static const family families[] = {
    {"llama", "LlamaForCausalLM", 0, 0, 2048},
    {"mistral", "MistralForCausalLM", 8, 4096, 131072},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

/* Keys that add something to the model unless they are absent, null, false or an empty object. */
static const char *const refused_keys[] = {"attention_bias", "mlp_bias", "quantization_config"};

static dpo_status find_family(const dpo_json *root, const char *where, const family **found)
{
    const char *model_type;

    DPO_TRY(dpo_json_get_text(root, where, "model_type", &model_type));
    for (int i = 0; i < N_FAMILIES; i++) {
        *found = &families[i];
        if (strcmp(model_type, families[i].model_type) == 0) return DPO_OK;
    }
    return DPO_FAIL(
        DPO_EUSAGE,
        "%s: unknown architecture \"%s\", supported are llama and mistral; take a model "
        "of one of these",
        where, model_type);
}

static dpo_status check_architecture(const dpo_json *root, const char *where, const family *kind)
{
    const dpo_json *list = dpo_json_find(root, "architectures");
    const dpo_json *first = dpo_json_first(list);

    if (first == NULL || dpo_json_type_of(first) != DPO_JSON_TEXT ||
        strcmp(dpo_json_text(first), kind->architecture) == 0)
        return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE, "%s: \"architectures\" is %s, expected %s: a causal language model",
                    where, dpo_json_text(first), kind->architecture);
}

static bool says_something(const dpo_json *node)
{
    if (node == NULL || dpo_json_type_of(node) == DPO_JSON_NULL) return false;
    if (dpo_json_type_of(node) == DPO_JSON_BOOL) return dpo_json_bool(node);
    return dpo_json_type_of(node) != DPO_JSON_OBJECT || dpo_json_count(node) > 0;
}

static dpo_status check_layer_types(const dpo_json *root, const char *where)
{
    const dpo_json *list = dpo_json_find(root, "layer_types");

    for (const dpo_json *item = dpo_json_first(list); item != NULL; item = dpo_json_next(item))
        if (dpo_json_type_of(item) != DPO_JSON_TEXT ||
            strcmp(dpo_json_text(item), "full_attention") != 0)
            return DPO_FAIL(DPO_EUSAGE,
                            "%s: \"layer_types\" holds something but full_attention, "
                            "which this program does not compute",
                            where);
    return DPO_OK;
}

static dpo_status check_refused(const dpo_json *root, const char *where)
{
    const char *activation = "silu";

    for (size_t i = 0; i < sizeof refused_keys / sizeof refused_keys[0]; i++)
        if (says_something(dpo_json_find(root, refused_keys[i])))
            return DPO_FAIL(DPO_EUSAGE,
                            "%s: \"%s\" is set, which this program does not compute; take a model "
                            "without it",
                            where, refused_keys[i]);
    DPO_TRY(dpo_json_maybe_text(root, where, "hidden_act", &activation));
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return DPO_FAIL(DPO_EUSAGE, "%s: \"hidden_act\" is \"%s\", supported is \"silu\"", where,
                        activation);
    return check_layer_types(root, where);
}

static dpo_status read_sizes(const dpo_json *root, const char *where, const family *kind,
                             dpo_model_config *config)
{
    const struct {
        const char *key;
        int64_t max, *value;
    } sizes[] = {{"num_hidden_layers", MAX_LAYERS, &config->n_layers},
                 {"hidden_size", MAX_SIZE, &config->d_model},
                 {"num_attention_heads", MAX_SIZE, &config->n_heads},
                 {"intermediate_size", MAX_SIZE, &config->d_ff},
                 {"vocab_size", MAX_SIZE, &config->n_vocab}};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        DPO_TRY(dpo_json_get_int(root, where, sizes[i].key, 1, sizes[i].max, sizes[i].value));
    config->n_kv_heads = kind->n_kv_heads == 0 ? config->n_heads : kind->n_kv_heads;
    DPO_TRY(
        dpo_json_maybe_int(root, where, "num_key_value_heads", 1, MAX_SIZE, &config->n_kv_heads));
    config->max_positions = kind->max_positions;
    DPO_TRY(dpo_json_maybe_int(root, where, "max_position_embeddings", 1, MAX_TOKENS,
                               &config->max_positions));
    config->head_dim = 0;
    return dpo_json_maybe_int(root, where, "head_dim", 1, MAX_SIZE, &config->head_dim);
}

static dpo_status check_sizes(const char *where, dpo_model_config *config)
{
    if (config->n_heads % config->n_kv_heads != 0)
        return DPO_FAIL(DPO_EDATA,
                        "%s: \"num_attention_heads\" is %lld, expected a multiple of "
                        "\"num_key_value_heads\", %lld",
                        where, (long long)config->n_heads, (long long)config->n_kv_heads);
    if (config->head_dim == 0) {
        if (config->d_model % config->n_heads != 0)
            return DPO_FAIL(DPO_EDATA,
                            "%s: \"hidden_size\" is %lld, expected a multiple of "
                            "\"num_attention_heads\", %lld, as \"head_dim\" is not given",
                            where, (long long)config->d_model, (long long)config->n_heads);
        config->head_dim = config->d_model / config->n_heads;
    }
    if (config->head_dim % 2 != 0 || config->head_dim > 256)
        return DPO_FAIL(DPO_EUSAGE, "%s: \"head_dim\" is %lld, supported are even sizes up to 256",
                        where, (long long)config->head_dim);
    return DPO_OK;
}

static dpo_status check_window(const dpo_json *root, const char *where, const family *kind,
                               const dpo_model_config *config)
{
    const dpo_json *given = dpo_json_find(root, "sliding_window");
    int64_t window = given == NULL ? kind->window : 0;

    DPO_TRY(dpo_json_maybe_int(root, where, "sliding_window", 0, MAX_TOKENS, &window));
    if (window == 0 || window >= config->max_positions) return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE,
                    "%s: \"sliding_window\" is %lld, less than the context of %lld tokens, which "
                    "this program does not compute",
                    where, (long long)window, (long long)config->max_positions);
}

static dpo_status read_scaling(const dpo_json *object, const char *where, const char *key,
                               dpo_rotary_options *rope)
{
    const char *type = NULL;

    DPO_TRY(dpo_json_maybe_text(object, where, "type", &type));
    DPO_TRY(dpo_json_maybe_text(object, where, "rope_type", &type));
    rope->scaling = DPO_ROPE_PLAIN;
    if (type == NULL || strcmp(type, "default") == 0) return DPO_OK;
    if (strcmp(type, "linear") == 0) {
        rope->scaling = DPO_ROPE_LINEAR;
        return dpo_json_get_number(object, where, "factor", &rope->factor);
    }
    if (strcmp(type, "llama3") != 0)
        return DPO_FAIL(DPO_EUSAGE,
                        "%s: \"%s\" is of type \"%s\", supported are default, linear and llama3",
                        where, key, type);
    rope->scaling = DPO_ROPE_LLAMA3;
    DPO_TRY(dpo_json_get_number(object, where, "factor", &rope->factor));
    DPO_TRY(dpo_json_get_number(object, where, "low_freq_factor", &rope->low_freq_factor));
    DPO_TRY(dpo_json_get_number(object, where, "high_freq_factor", &rope->high_freq_factor));
    return dpo_json_get_number(object, where, "original_max_position_embeddings",
                               &rope->original_max_positions);
}

static dpo_status check_rope(const char *where, const dpo_rotary_options *rope)
{
    bool scaled = rope->scaling != DPO_ROPE_PLAIN;
    bool ramped = rope->scaling == DPO_ROPE_LLAMA3;

    if (!(rope->theta > 0))
        return DPO_FAIL(DPO_EDATA, "%s: \"rope_theta\" is %g, expected a number above 0", where,
                        rope->theta);
    if (scaled && !(rope->factor > 0))
        return DPO_FAIL(DPO_EDATA,
                        "%s: \"factor\" of the rotary embedding is %g, expected a number "
                        "above 0",
                        where, rope->factor);
    if (ramped && !(rope->low_freq_factor > 0 && rope->original_max_positions > 0 &&
                    rope->high_freq_factor > rope->low_freq_factor))
        return DPO_FAIL(DPO_EDATA,
                        "%s: of the rotary embedding \"low_freq_factor\" is %g, "
                        "\"high_freq_factor\" %g and \"original_max_position_embeddings\" %g, "
                        "expected positive numbers, the second above the first",
                        where, rope->low_freq_factor, rope->high_freq_factor,
                        rope->original_max_positions);
    return DPO_OK;
}

/* The object that describes the rotary embedding: transformers 4 writes rope_scaling, transformers 5
   rope_parameters; where a file has both, the first counts. NULL if there is none. */
static dpo_status find_rope(const dpo_json *root, const char *where, const char **key,
                            const dpo_json **object)
{
    *key = says_something(dpo_json_find(root, "rope_scaling")) ? "rope_scaling" : "rope_parameters";
    *object = NULL;
    if (!says_something(dpo_json_find(root, *key))) return DPO_OK;
    return dpo_json_get(root, where, *key, DPO_JSON_OBJECT, object);
}

static dpo_status check_rotary_part(const dpo_json *object, const char *where)
{
    double part = 1;

    DPO_TRY(dpo_json_maybe_number(object, where, "partial_rotary_factor", &part));
    if (part == 1) return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE, "%s: \"partial_rotary_factor\" is %g, supported is 1", where, part);
}

static dpo_status read_rope(const dpo_json *root, const char *where, dpo_model_config *config)
{
    dpo_rotary_options *rope = &config->rope;
    const dpo_json *object;
    const char *key;

    *rope = (dpo_rotary_options){
        .head_dim = config->head_dim, .max_positions = config->max_positions, .theta = 10000};
    DPO_TRY(dpo_json_maybe_number(root, where, "rope_theta", &rope->theta));
    DPO_TRY(check_rotary_part(root, where));
    DPO_TRY(find_rope(root, where, &key, &object));
    if (object != NULL) {
        DPO_TRY(dpo_json_maybe_number(object, where, "rope_theta", &rope->theta));
        DPO_TRY(check_rotary_part(object, where));
        DPO_TRY(read_scaling(object, where, key, rope));
    }
    return check_rope(where, rope);
}

static dpo_status read_type(const dpo_json *root, const char *where, dpo_model_config *config)
{
    static const struct {
        const char *name;
        dpo_tensor_type type;
    } types[] = {
        {"float32", DPO_TENSOR_F32}, {"bfloat16", DPO_TENSOR_BF16}, {"float16", DPO_TENSOR_F16}};
    const char *name = "float32";

    DPO_TRY(dpo_json_maybe_text(root, where, "torch_dtype", &name));
    DPO_TRY(dpo_json_maybe_text(root, where, "dtype", &name));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        config->type = types[i].type;
        if (strcmp(name, types[i].name) == 0) return DPO_OK;
    }
    return DPO_FAIL(DPO_EDATA, "%s: \"dtype\" is \"%s\", expected float32, bfloat16 or float16",
                    where, name);
}

static dpo_status add_stop(const dpo_json *item, const char *where, dpo_model_config *config)
{
    double id = dpo_json_type_of(item) == DPO_JSON_NUMBER ? dpo_json_number(item) : -1;

    if (!(id >= 0 && id < (double)config->n_vocab) || id != (double)(int32_t)id)
        return DPO_FAIL(DPO_EDATA, "%s: \"eos_token_id\" must hold token ids below %lld", where,
                        (long long)config->n_vocab);
    if (config->n_stops == DPO_MODEL_MAX_STOPS)
        return DPO_FAIL(DPO_EDATA, "%s: \"eos_token_id\" holds more than %d ids", where,
                        DPO_MODEL_MAX_STOPS);
    config->stop[config->n_stops++] = (int32_t)id;
    return DPO_OK;
}

static dpo_status read_stops(const dpo_json *root, const char *where, dpo_model_config *config)
{
    const dpo_json *node = dpo_json_find(root, "eos_token_id");

    if (!says_something(node)) return DPO_OK;
    config->n_stops = 0;
    if (dpo_json_type_of(node) != DPO_JSON_ARRAY) return add_stop(node, where, config);
    for (const dpo_json *item = dpo_json_first(node); item != NULL; item = dpo_json_next(item))
        DPO_TRY(add_stop(item, where, config));
    return DPO_OK;
}

static dpo_status read_numbers(const dpo_json *root, const char *where, dpo_model_config *config)
{
    int64_t bos = -1, padding = -1;

    config->norm_eps = 1e-6;
    config->tied = false;
    DPO_TRY(dpo_json_maybe_number(root, where, "rms_norm_eps", &config->norm_eps));
    if (!(config->norm_eps > 0))
        return DPO_FAIL(DPO_EDATA, "%s: \"rms_norm_eps\" is %g, expected a number above 0", where,
                        config->norm_eps);
    DPO_TRY(dpo_json_maybe_bool(root, where, "tie_word_embeddings", &config->tied));
    DPO_TRY(dpo_json_maybe_int(root, where, "bos_token_id", -1, config->n_vocab - 1, &bos));
    DPO_TRY(dpo_json_maybe_int(root, where, "pad_token_id", -1, config->n_vocab - 1, &padding));
    config->bos = (int32_t)bos;
    config->padding = (int32_t)padding;
    return read_stops(root, where, config);
}

dpo_status dpo_model_config_parse(const dpo_json *root, const char *where, dpo_model_config *config)
{
    const family *kind;

    *config = (dpo_model_config){0};
    if (dpo_json_type_of(root) != DPO_JSON_OBJECT)
        return DPO_FAIL(DPO_EDATA, "%s: is %s, expected an object", where,
                        dpo_json_type_name(dpo_json_type_of(root)));
    DPO_TRY(find_family(root, where, &kind));
    DPO_TRY(check_architecture(root, where, kind));
    DPO_TRY(check_refused(root, where));
    DPO_TRY(read_sizes(root, where, kind, config));
    DPO_TRY(check_sizes(where, config));
    DPO_TRY(check_window(root, where, kind, config));
    DPO_TRY(read_rope(root, where, config));
    DPO_TRY(read_type(root, where, config));
    return read_numbers(root, where, config);
}

static dpo_status read_file(const char *path, dpo_model_config *config)
{
    dpo_json *root;
    dpo_status status;

    DPO_TRY(dpo_json_read_file(path, DPO_JSON_STRICT, &root));
    status = dpo_model_config_parse(root, path, config);
    dpo_json_destroy(&root);
    return status;
}

/* Its stop tokens take the place of those of config.json; the file may be absent. */
static dpo_status read_generation(const char *path, dpo_model_config *config)
{
    dpo_json *root;
    dpo_status status;

    if (access(path, F_OK) != 0) return DPO_OK;
    DPO_TRY(dpo_json_read_file(path, DPO_JSON_STRICT, &root));
    status = read_stops(root, path, config);
    dpo_json_destroy(&root);
    return status;
}

static dpo_status read_folder(const char *folder, dpo_model_config *config)
{
    dpo_buffer path = {0};
    dpo_status status = dpo_buffer_printf(&path, "%s/config.json", folder);

    if (status == DPO_OK) status = read_file(dpo_buffer_text(&path), config);
    dpo_buffer_clear(&path);
    if (status == DPO_OK) status = dpo_buffer_printf(&path, "%s/generation_config.json", folder);
    if (status == DPO_OK) status = read_generation(dpo_buffer_text(&path), config);
    dpo_buffer_destroy(&path);
    return status;
}

dpo_status dpo_model_config_read(const dpo_grid *grid, const char *folder, dpo_model_config *config)
{
    dpo_status status = DPO_OK;

    *config = (dpo_model_config){0};
    if (dpo_grid_rank(grid, DPO_WORLD) == 0) status = read_folder(folder, config);
    DPO_TRY(dpo_agree(grid, status));
    dpo_broadcast(grid, DPO_WORLD, 0, sizeof *config, config);
    return DPO_OK;
}
