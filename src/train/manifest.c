// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/manifest.h"

#include <string.h>

#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/base/version.h"
#include "dpo/comm/binding.h"
#include "dpo/comm/runtime.h"
#include "dpo/math/engine.h"
#include "dpo/store/library.h"
#include "dpo/store/publish.h"

void dpo_start_log(const dpo_grid *grid)
{
    dpo_binding binding = dpo_binding_of(grid);
    int n_threads = dpo_engine_n_threads();

    dpo_log_info("mpidpo %s (%s, oneDNN %s, HDF5 %s)", dpo_version(), dpo_runtime_library(),
                 dpo_engine_library(), dpo_h5_library());
    dpo_log_info("%d node%s, %d rank%s of %d thread%s, %s, own kernels for %s",
                 dpo_grid_nodes(grid), dpo_grid_nodes(grid) == 1 ? "" : "s",
                 dpo_grid_size(grid, DPO_WORLD), dpo_grid_size(grid, DPO_WORLD) == 1 ? "" : "s",
                 n_threads, n_threads == 1 ? "" : "s", dpo_engine_cpu(), dpo_engine_kernels());
    if (dpo_grid_size(grid, DPO_WORLD) > 1)
        dpo_log_info("grid: %d data-parallel x %d tensor-parallel", dpo_grid_size(grid, DPO_DATA),
                     dpo_grid_size(grid, DPO_TENSOR));
    if (dpo_grid_tensor_spans_nodes(grid))
        dpo_log_warning("ranks that share a model copy lie on different nodes and exchange "
                        "activations over the network in every layer; start a multiple of "
                        "parallel.tensor (%d) ranks on each node",
                        dpo_grid_size(grid, DPO_TENSOR));
    if (n_threads > dpo_binding_threads(&binding))
        dpo_log_warning("%d threads a rank, but only %d processors for each of the %d ranks that "
                        "share them: lower OMP_NUM_THREADS, or bind the ranks apart (mpirun "
                        "--map-by ppr:N:node:PE=%d, srun --cpu-bind=cores)",
                        n_threads, dpo_binding_threads(&binding), binding.n_shared, n_threads);
}

static dpo_status put_digest(dpo_json *object, const char *key, dpo_digest digest)
{
    char hex[DPO_DIGEST_HEX_BYTES];

    dpo_digest_to_hex(digest, hex);
    return dpo_json_put_text(object, key, hex);
}

static dpo_status fill(const dpo_session *session, dpo_json *m)
{
    const dpo_grid *grid = session->grid;

    DPO_TRY(dpo_json_put_text(m, "mpidpo", dpo_version()));
    DPO_TRY(dpo_json_put_text(m, "mpi", dpo_runtime_library()));
    DPO_TRY(dpo_json_put_text(m, "onednn", dpo_engine_library()));
    DPO_TRY(dpo_json_put_text(m, "hdf5", dpo_h5_library()));
    DPO_TRY(dpo_json_put_text(m, "cpu", dpo_engine_cpu()));
    DPO_TRY(dpo_json_put_text(m, "kernels", dpo_engine_kernels()));
    DPO_TRY(dpo_json_put_text(m, "precision", dpo_element_name(session->precision.compute)));
    DPO_TRY(dpo_json_put_text(m, "activations", dpo_element_name(session->precision.activations)));
    DPO_TRY(dpo_json_put_int(m, "nodes", dpo_grid_nodes(grid)));
    DPO_TRY(dpo_json_put_int(m, "ranks", dpo_grid_size(grid, DPO_WORLD)));
    DPO_TRY(dpo_json_put_int(m, "tensor_parallel", dpo_grid_size(grid, DPO_TENSOR)));
    DPO_TRY(dpo_json_put_int(m, "threads_per_rank", dpo_engine_n_threads()));
    DPO_TRY(dpo_json_put_text(m, "model_folder", session->source.folder));
    DPO_TRY(put_digest(m, "model", session->policy_digest));
    DPO_TRY(put_digest(m, "reference", session->reference_digest));
    if (session->set[DPO_SET_EVAL].store != NULL)
        DPO_TRY(
            put_digest(m, "eval_data", dpo_token_store_digest(session->set[DPO_SET_EVAL].store)));
    return put_digest(m, "data", dpo_token_store_digest(session->set[DPO_SET_TRAIN].store));
}

static dpo_status publish(const dpo_session *session, const char *name, const dpo_json *root)
{
    dpo_buffer text = {0};
    char *path = NULL;
    dpo_status status = dpo_session_path(session, name, &path);

    if (status == DPO_OK) status = dpo_json_print(root, true, &text);
    if (status == DPO_OK) status = dpo_file_publish(path, dpo_buffer_text(&text), text.size_bytes);
    dpo_buffer_destroy(&text);
    dpo_free(path);
    return status;
}

static dpo_status write_both(const dpo_session *session, const dpo_json *config)
{
    dpo_json *manifest;

    DPO_TRY(publish(session, "config.json", config));
    DPO_TRY(dpo_json_new_object(&manifest));
    dpo_status status = fill(session, manifest);

    if (status == DPO_OK) status = publish(session, "manifest.json", manifest);
    dpo_json_destroy(&manifest);
    return status;
}

dpo_status dpo_manifest_write(const dpo_session *session, const dpo_json *config)
{
    dpo_status status = DPO_OK;

    if (dpo_grid_rank(session->grid, DPO_WORLD) == 0) status = write_both(session, config);
    return dpo_agree(session->grid, status);
}
