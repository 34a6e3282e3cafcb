// SPDX-License-Identifier: Apache-2.0
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include <stdlib.h>
#include <unistd.h>

#include "dpo/train/run_config.h"
#include "mpi_test.h"

/* The repository. */
static inline const char *source_folder(void)
{
    const char *folder = getenv("DPO_SOURCE_DIR");

    assert_non_null(folder);
    return folder;
}

/* A folder of this test that all ranks see. */
static inline void make_scratch(char path[64])
{
    bool has_memory = access("/dev/shm", W_OK) == 0; /* where flushing costs nothing */

    (void)snprintf(path, 64, "%s/mpidpo-test.XXXXXX", has_memory ? "/dev/shm" : "/tmp");
    if (dpo_grid_rank(test_grid, DPO_WORLD) == 0) assert_non_null(mkdtemp(path));
    dpo_broadcast(test_grid, DPO_WORLD, 0, 64, path);
}

static inline void remove_scratch(const char *path)
{
    char command[128];

    dpo_barrier(test_grid, DPO_WORLD);
    if (dpo_grid_rank(test_grid, DPO_WORLD) != 0) return;
    (void)snprintf(command, sizeof command, "rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

/* A run on the embedded model, from two JSON texts of keys; the second wins. */
static inline void configure(const char *keys, const char *more, const char *data, const char *out,
                             dpo_run_config *run)
{
    dpo_buffer text = {0};
    dpo_config *config;
    int n_fields;
    const dpo_field *fields = dpo_run_config_fields(&n_fields);

    *run = (dpo_run_config){0};
    ASSERT_OK(dpo_buffer_printf(&text,
                                "{\"model\": \"%s/configs/stories260K\", \"out\": \"%s\", "
                                "\"precision\": \"f32\", "
                                "\"data\": {\"train\": \"%s\", \"shuffle\": false}}",
                                source_folder(), out, data));
    ASSERT_OK(dpo_config_create(fields, n_fields, &config));
    ASSERT_OK(dpo_config_add_text(config, "run", dpo_buffer_text(&text)));
    ASSERT_OK(dpo_config_add_text(config, "keys", keys));
    ASSERT_OK(dpo_config_add_text(config, "more keys", more));
    ASSERT_OK(dpo_config_fill(config, run));
    ASSERT_OK(dpo_run_config_check(config, run, DPO_FOR_TRAIN));
    dpo_config_destroy(&config);
    dpo_buffer_destroy(&text);
}

#endif
