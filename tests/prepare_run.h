// SPDX-License-Identifier: Apache-2.0
#ifndef PREPARE_RUN_H
#define PREPARE_RUN_H

/* A run of dpo_prepare() with files of its own. Define FILES, the beginning of their names, before. */

#include <unistd.h>

#include "dpo/base/log.h"
#include "dpo/data/prepare.h"
#include "dpo/data/token_store.h"
#include "dpo/store/h5file.h"
#include "mpi_test.h"

#define FOLDER DPO_TEST_DATA "/preferences"

static inline int rank_of_world(void)
{
    return dpo_grid_rank(test_grid, DPO_WORLD);
}

/* Names of this run's files: runs with other numbers of ranks may go on beside it. */
static char store_path[64];
static char input_path[64];

static inline void name_files(void)
{
    int size = dpo_grid_size(test_grid, DPO_WORLD);

    (void)snprintf(store_path, sizeof store_path, "%s_np%d.h5", FILES, size);
    (void)snprintf(input_path, sizeof input_path, "%s_np%d.jsonl", FILES, size);
}

static inline void remove_files(void)
{
    dpo_barrier(test_grid, DPO_WORLD);
    if (rank_of_world() == 0) {
        (void)remove(store_path);
        (void)remove(input_path);
    }
    dpo_barrier(test_grid, DPO_WORLD);
}

static inline void write_input(const char *text)
{
    name_files();
    dpo_barrier(test_grid, DPO_WORLD);
    if (rank_of_world() == 0) {
        FILE *file = fopen(input_path, "wb");

        assert_non_null(file);
        assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
        assert_int_equal(fclose(file), 0);
    }
    dpo_barrier(test_grid, DPO_WORLD);
}

/* A run with the tiny tokenizer of the golden files. */
typedef struct {
    dpo_tokenizer *tokenizer;
    dpo_chat_template *chat_template;
    dpo_data_source source;
    dpo_prepare_options options;
    dpo_audit audit;
} run;

static inline void run_begin(run *r, const char *folder, const char *path)
{
    name_files();
    dpo_log_set_level(DPO_LOG_SILENT);
    *r = (run){.source = {path, NULL, 1.0, 0}};
    ASSERT_OK(dpo_tokenizer_load(folder, &r->tokenizer));
    ASSERT_OK(dpo_chat_template_load(folder, &r->chat_template));
    r->options = (dpo_prepare_options){.n_sources = 1,
                                       .sources = &r->source,
                                       .tokenizer = r->tokenizer,
                                       .chat_template = r->chat_template,
                                       .empty = DPO_EMPTY_ERROR};
}

static inline void run_end(run *r)
{
    dpo_chat_template_destroy(&r->chat_template);
    dpo_tokenizer_destroy(&r->tokenizer);
    remove_files();
}

static inline dpo_status prepare(run *r)
{
    return dpo_prepare(test_grid, &r->options, store_path, &r->audit);
}

static inline dpo_status open_store(const run *r, dpo_token_store **store)
{
    return dpo_token_store_open(test_grid, store_path, dpo_tokenizer_size(r->tokenizer), store);
}

/* Of all arrays, bytes and names. */
static inline dpo_digest digest_of_arrays(void)
{
    dpo_digest digest = {0, 0};
    dpo_h5_file *file;

    ASSERT_OK(dpo_h5_open(test_grid, store_path, DPO_H5_READ, &file));
    for (int64_t d = 0; d < dpo_h5_count(file); d++) {
        static const int64_t bytes[] = {1, 4, 8, 8, 4, 8};
        const dpo_h5_dataset *dataset = dpo_h5_dataset_at(file, d);
        const void *data;

        ASSERT_OK(dpo_h5_map(file, d, &data));
        digest =
            dpo_digest_join(digest, dpo_digest_of(dataset->name, (int64_t)strlen(dataset->name)));
        digest = dpo_digest_join(
            digest, dpo_digest_of(data, dpo_h5_elements(file, d) * bytes[dataset->type]));
    }
    dpo_h5_close(&file);
    return digest;
}

#endif
