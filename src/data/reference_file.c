// SPDX-License-Identifier: Apache-2.0
#include "reference_file.h"

#include <stdlib.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/base/range.h"

/* Datasets of the file, in the order of its layout. */
enum { DIGEST, BEGIN, CHECKSUM, LOGP, N_DATASETS };

static const char *const names[] = {"digest", "logp_begin", "checksum", "logp"};

int dpo_reference_compare(const void *a, const void *b)
{
    const dpo_reference_name *p = a;
    const dpo_reference_name *q = b;

    int order = dpo_digest_compare(p->digest, q->digest);

    return order != 0 ? order : (p->entry > q->entry) - (p->entry < q->entry);
}

/* The digest is in it: numbers of one response are never taken for those of another. */
uint64_t dpo_reference_checksum(dpo_digest digest, int64_t n_tokens, const float *logps)
{
    dpo_digest of_logps = dpo_digest_of(logps, n_tokens * (int64_t)sizeof *logps);
    uint64_t checksum = dpo_digest_join(digest, of_logps).low;

    return checksum != 0 ? checksum : 1;
}

int64_t dpo_reference_file_find(const dpo_reference_file *file, dpo_digest digest)
{
    int64_t low = 0;
    int64_t high = file->n_entries;
    const dpo_reference_name wanted = {digest, 0};

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        dpo_reference_name found = {file->names[middle].digest, 0};
        int order = dpo_reference_compare(&found, &wanted);

        if (order == 0) return file->names[middle].entry;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

void dpo_reference_file_close(dpo_reference_file *file)
{
    dpo_h5_close(&file->file);
    dpo_free(file->begin);
    dpo_free(file->checksums);
    dpo_free(file->names);
    *file = (dpo_reference_file){0};
}

/* "HEX MODEL"; two models of one name are told apart by the digits. */
static dpo_status check_key(const dpo_h5_file *file, const dpo_reference_key *key)
{
    char hex[DPO_DIGEST_HEX_BYTES];
    const char *found;
    const char *model;

    dpo_digest_to_hex(key->digest, hex);
    DPO_TRY(dpo_h5_get_text(file, "key", &found));
    DPO_TRY(dpo_h5_get_text(file, "model", &model));
    if (strcmp(found, hex) == 0) return DPO_OK;
    return DPO_FAIL(
        DPO_EUSAGE,
        "%s: holds log-probs of the reference %s (%.8s), but this run's reference is %s "
        "(%.8s); give another path as reference.cache or delete the file",
        dpo_h5_path(file), model, found, key->model, hex);
}

static dpo_status check_index(const dpo_reference_file *file, int64_t n_logps)
{
    int64_t n = file->n_entries;
    bool is_good = file->begin[0] == 0 && file->begin[n] == n_logps;

    for (int64_t i = 0; i < n && is_good; i++)
        is_good = file->begin[i] <= file->begin[i + 1];
    for (int64_t i = 1; i < n && is_good; i++)
        is_good =
            memcmp(&file->names[i - 1].digest, &file->names[i].digest, sizeof(dpo_digest)) != 0;
    if (is_good) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "%s: its index is damaged; delete the file, it will be computed anew",
                    dpo_h5_path(file->file));
}

static dpo_status read_names(dpo_reference_file *file, int64_t dataset)
{
    dpo_digest *digests;

    DPO_TRY(DPO_NEW(digests, file->n_entries));
    dpo_status status = dpo_h5_read(file->file, dataset, 0, 2 * file->n_entries, digests);

    for (int64_t i = 0; i < file->n_entries && status == DPO_OK; i++)
        file->names[i] = (dpo_reference_name){digests[i], i};
    qsort(file->names, (size_t)file->n_entries, sizeof *file->names, dpo_reference_compare);
    dpo_free(digests);
    return status;
}

static dpo_status find_datasets(dpo_reference_file *file, int64_t *digest, int64_t *begin)
{
    DPO_TRY(dpo_h5_get(file->file, names[CHECKSUM], DPO_H5_U64, -1, &file->checksum));
    file->n_entries = dpo_h5_elements(file->file, file->checksum);
    DPO_TRY(dpo_h5_get(file->file, names[DIGEST], DPO_H5_U64, 2 * file->n_entries, digest));
    DPO_TRY(dpo_h5_get(file->file, names[BEGIN], DPO_H5_I64, file->n_entries + 1, begin));
    return dpo_h5_get(file->file, names[LOGP], DPO_H5_F32, -1, &file->logp);
}

static dpo_status new_index(dpo_reference_file *file)
{
    DPO_TRY(DPO_NEW(file->begin, file->n_entries + 1));
    DPO_TRY(DPO_NEW(file->checksums, file->n_entries));
    return DPO_NEW(file->names, file->n_entries);
}

static dpo_status read_index(dpo_reference_file *file)
{
    int64_t digest;
    int64_t begin;

    DPO_TRY(find_datasets(file, &digest, &begin));
    DPO_TRY(new_index(file));
    int64_t n = file->n_entries;

    DPO_TRY(dpo_h5_read(file->file, begin, 0, n + 1, file->begin));
    DPO_TRY(dpo_h5_read(file->file, file->checksum, 0, n, file->checksums));
    DPO_TRY(read_names(file, digest));
    return check_index(file, dpo_h5_elements(file->file, file->logp));
}

dpo_status dpo_reference_file_open(const dpo_grid *grid, const char *path,
                                   const dpo_reference_key *key, dpo_reference_file *file)
{
    *file = (dpo_reference_file){0};
    DPO_TRY(dpo_h5_open(grid, path, DPO_H5_WRITE, &file->file));
    dpo_status status = check_key(file->file, key);

    if (status == DPO_OK) status = read_index(file);
    status = dpo_agree(grid, status);
    if (status != DPO_OK) dpo_reference_file_close(file);
    return status;
}

/* World rank 0 writes the index: names, places and checksums of the old entries, then of the new.
 * */
static dpo_status write_old_index(dpo_h5_file *file, const dpo_reference_file *old)
{
    dpo_digest *digests;

    if (old->n_entries == 0) return DPO_OK;
    DPO_TRY(DPO_NEW(digests, old->n_entries));
    for (int64_t i = 0; i < old->n_entries; i++)
        digests[old->names[i].entry] = old->names[i].digest;
    dpo_status status = dpo_h5_write(file, DIGEST, 0, 2 * old->n_entries, digests);

    if (status == DPO_OK) status = dpo_h5_write(file, BEGIN, 0, old->n_entries, old->begin);
    if (status == DPO_OK) status = dpo_h5_write(file, CHECKSUM, 0, old->n_entries, old->checksums);
    dpo_free(digests);
    return status;
}

static dpo_status write_new_index(dpo_h5_file *file, const dpo_reference_file *old, int64_t n_new,
                                  const dpo_digest *digests, const int64_t *n_tokens)
{
    int64_t *begin;

    DPO_TRY(dpo_h5_write(file, DIGEST, 2 * old->n_entries, 2 * n_new, digests));
    DPO_TRY(DPO_NEW(begin, n_new + 1));
    begin[0] = old->n_entries > 0 ? old->begin[old->n_entries] : 0;
    for (int64_t i = 0; i < n_new; i++)
        begin[i + 1] = begin[i] + n_tokens[i];
    dpo_status status = dpo_h5_write(file, BEGIN, old->n_entries, n_new + 1, begin);

    dpo_free(begin);
    return status;
}

/* This rank's share of the old numbers, which keep their places. */
static dpo_status copy_logps(const dpo_grid *grid, dpo_h5_file *file, const dpo_reference_file *old)
{
    enum { PIECE = 1 << 20 };
    int64_t n = old->n_entries > 0 ? old->begin[old->n_entries] : 0;
    dpo_range mine =
        dpo_range_of_part(n, dpo_grid_size(grid, DPO_WORLD), dpo_grid_rank(grid, DPO_WORLD));
    dpo_status status = DPO_OK;
    float *logps;

    if (dpo_range_length(mine) == 0) return DPO_OK;
    DPO_TRY(DPO_NEW(logps, PIECE));
    for (int64_t at = mine.begin; at < mine.end && status == DPO_OK; at += PIECE) {
        int64_t count = mine.end - at < PIECE ? mine.end - at : PIECE;

        status = dpo_h5_read(old->file, old->logp, at, count, logps);
        if (status == DPO_OK) status = dpo_h5_write(file, LOGP, at, count, logps);
    }
    dpo_free(logps);
    return status;
}

static dpo_status create_file(const dpo_grid *grid, const char *path, const dpo_reference_key *key,
                              int64_t n_entries, int64_t n_logps, dpo_h5_file **file)
{
    char hex[DPO_DIGEST_HEX_BYTES];
    const dpo_h5_text texts[] = {{"key", hex}, {"model", key->model}};
    const dpo_h5_dataset datasets[N_DATASETS] = {
        [DIGEST] = {names[DIGEST], DPO_H5_U64, 2, {n_entries, 2}},
        [BEGIN] = {names[BEGIN], DPO_H5_I64, 1, {n_entries + 1}},
        [CHECKSUM] = {names[CHECKSUM], DPO_H5_U64, 1, {n_entries}},
        [LOGP] = {names[LOGP], DPO_H5_F32, 1, {n_logps}},
    };
    const dpo_h5_layout layout = {DPO_H5_FILLED, N_DATASETS, datasets, 2, texts};

    dpo_digest_to_hex(key->digest, hex);
    return dpo_h5_create(grid, path, &layout, file);
}

dpo_status dpo_reference_file_extend(const dpo_grid *grid, const char *path,
                                     const dpo_reference_key *key, const dpo_reference_file *old,
                                     int64_t n_new, const dpo_digest *digests,
                                     const int64_t *n_tokens)
{
    int64_t n_logps = old->n_entries > 0 ? old->begin[old->n_entries] : 0;
    dpo_status status = DPO_OK;
    dpo_h5_file *file;

    for (int64_t i = 0; i < n_new; i++)
        n_logps += n_tokens[i];
    DPO_TRY(create_file(grid, path, key, old->n_entries + n_new, n_logps, &file));
    if (dpo_grid_rank(grid, DPO_WORLD) == 0) {
        status = write_old_index(file, old);
        if (status == DPO_OK) status = write_new_index(file, old, n_new, digests, n_tokens);
    }
    if (status == DPO_OK) status = copy_logps(grid, file, old);
    return dpo_h5_publish(grid, status, &file);
}
