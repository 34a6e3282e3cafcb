// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/inspect.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "dpo/model/config.h"
#include "dpo/model/parameters.h"
#include "dpo/store/h5file.h"
#include "dpo/store/safetensors.h"

static const char *type_name(dpo_h5_type type)
{
    static const char *const names[] = {"u8", "i32", "i64", "u64", "f32", "f64"};

    return names[type];
}

static void print_dims(int n_dims, const int64_t *dims)
{
    (void)printf("[");
    for (int d = 0; d < n_dims; d++)
        (void)printf("%s%lld", d > 0 ? ", " : "", (long long)dims[d]);
    (void)printf("]\n");
}

static void print_texts(const dpo_h5_file *file)
{
    static const char *const names[] = {"kind",    "state", "model",  "key",
                                        "sources", "audit", "digest", "config"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *text = dpo_h5_text_of(file, names[i]);

        if (text != NULL) (void)printf("%-8s %s\n", names[i], text);
    }
}

/* Files that are filled bit by bit have a checksum for each entry, 0 until it is there. */
static dpo_status print_completion(const dpo_h5_file *file)
{
    int64_t dataset = dpo_h5_find(file, "checksum");
    int64_t n_complete = 0;

    if (dataset < 0) return DPO_OK;
    int64_t n = dpo_h5_elements(file, dataset);

    for (int64_t i = 0; i < n; i++) {
        uint64_t checksum;

        DPO_TRY(dpo_h5_read(file, dataset, i, 1, &checksum));
        n_complete += checksum != 0;
    }
    (void)printf("%lld of %lld entries are complete\n", (long long)n_complete, (long long)n);
    return DPO_OK;
}

static dpo_status inspect_file(const dpo_grid *grid, const char *path, bool speaks)
{
    dpo_h5_file *file;
    dpo_status status;

    DPO_TRY(dpo_h5_open(grid, path, DPO_H5_READ, &file));
    if (speaks) {
        print_texts(file);
        for (int64_t d = 0; d < dpo_h5_count(file); d++) {
            const dpo_h5_dataset *dataset = dpo_h5_dataset_at(file, d);

            (void)printf("%-56s %s ", dataset->name, type_name(dataset->type));
            print_dims(dataset->n_dims, dataset->dims);
        }
    }
    if (dpo_h5_is_sealed(file)) {
        status = dpo_h5_verify(grid, file);
        if (status == DPO_OK && speaks) (void)printf("whole: all checksums are right\n");
    } else {
        status = dpo_agree(grid, speaks ? print_completion(file) : DPO_OK);
    }
    dpo_h5_close(&file);
    return status;
}

static void print_model(const dpo_model_config *config, const dpo_parameters *parameters)
{
    (void)printf("layers %lld, width %lld, heads %lld, key-value heads %lld, head size %lld, "
                 "feed-forward %lld, vocabulary %lld, context %lld, %s embeddings\n",
                 (long long)config->n_layers, (long long)config->d_model,
                 (long long)config->n_heads, (long long)config->n_kv_heads,
                 (long long)config->head_dim, (long long)config->d_ff, (long long)config->n_vocab,
                 (long long)config->max_positions, config->tied ? "tied" : "untied");
    (void)printf("parameters %lld\n", (long long)parameters->n_elements);
}

static dpo_status inspect_weights(const dpo_grid *grid, const char *path, bool speaks)
{
    dpo_safetensors *weights;
    dpo_digest digest;
    char hex[DPO_DIGEST_HEX_BYTES];

    DPO_TRY(dpo_safetensors_open(grid, path, &weights));
    for (int64_t t = 0; speaks && t < dpo_safetensors_count(weights); t++) {
        const dpo_tensor *tensor = dpo_safetensors_at(weights, t);

        (void)printf("%-56s %s ", tensor->name, dpo_tensor_type_name(tensor->type));
        print_dims(tensor->n_dims, tensor->dims);
    }
    dpo_status status = dpo_safetensors_digest(grid, weights, &digest);

    if (status == DPO_OK && speaks) {
        dpo_digest_to_hex(digest, hex);
        (void)printf("whole: headers fit the files; digest of the weights %s\n", hex);
    }
    dpo_safetensors_close(&weights);
    return status;
}

static dpo_status inspect_folder(const dpo_grid *grid, const char *path, bool speaks)
{
    dpo_model_config config;
    dpo_partition whole;
    dpo_parameters parameters;

    DPO_TRY(dpo_model_config_read(grid, path, &config));
    DPO_TRY(dpo_partition_make(&config, 1, 0, &whole));
    dpo_status status = dpo_agree(grid, dpo_parameters_create(&config, &whole, &parameters));

    if (status == DPO_OK && speaks) print_model(&config, &parameters);
    dpo_parameters_destroy(&parameters);
    return status == DPO_OK ? inspect_weights(grid, path, speaks) : status;
}

dpo_status dpo_inspect(const dpo_grid *grid, const char *path)
{
    bool speaks = dpo_grid_rank(grid, DPO_WORLD) == 0;
    struct stat info;
    int64_t is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);

    DPO_TRY(dpo_agree_on(grid, path, is_folder));
    return is_folder ? inspect_folder(grid, path, speaks) : inspect_file(grid, path, speaks);
}
