// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_REFERENCE_FILE_H
#define DPO_DATA_REFERENCE_FILE_H

/*
 * The file behind a reference cache and its index in memory: which entries there are, where they
 * lie, and which of them were computed.
 */

#include "dpo/data/reference_cache.h"
#include "dpo/store/h5file.h"

/* Which entry has a digest. */
typedef struct {
    dpo_digest digest;
    int64_t entry;
} dpo_reference_name;

/*
 * Invariants: begin[0] = 0, begin does not fall, begin[n] is the length of the dataset of logps;
 * names holds every entry, in the order of the digests, which differ; all but checksums is the same
 * on every rank and never changes.
 */
typedef struct {
    dpo_h5_file *file; /* open for writing; NULL: there is no file, and no entry */
    int64_t logp;      /* number of the dataset */
    int64_t checksum;  /* number of the dataset */
    int64_t n_entries;
    int64_t *begin;            /* [n_entries + 1] */
    uint64_t *checksums;       /* [n_entries]; 0 = not computed */
    dpo_reference_name *names; /* [n_entries] */
} dpo_reference_file;

/** Order of two dpo_reference_name for qsort(): by digest, then by number. \local */
int dpo_reference_compare(const void *a, const void *b);

/** Checksum of an entry's log-probs; never 0. \local */
uint64_t dpo_reference_checksum(dpo_digest digest, int64_t n_tokens, const float *logps);

/**
 * Opens the file of a key.
 *
 * \collective{all ranks of the grid}
 * \errors{DPO_EUSAGE if it belongs to another key; as dpo_h5_open(); DPO_EDATA; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_reference_file_open(const dpo_grid *grid, const char *path,
                                                  const dpo_reference_key *key,
                                                  dpo_reference_file *file);

/** Closes a file and makes it an absent one. \local */
void dpo_reference_file_close(dpo_reference_file *file);

/**
 * Entry of a digest.
 *
 * \local
 * \return Its number; -1 if there is none.
 */
int64_t dpo_reference_file_find(const dpo_reference_file *file, dpo_digest digest);

/**
 * Publishes a file with all entries of an old one and more.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid      The grid.
 * \param[in] path      Its name; may be that of the old one.
 * \param[in] key       Its key.
 * \param[in] old       May be absent.
 * \param[in] n_new     >= 0.
 * \param[in] digests   [n_new], none of them in the old file, different; the same on every rank.
 * \param[in] n_tokens  [n_new].
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_reference_file_extend(const dpo_grid *grid, const char *path,
                                                    const dpo_reference_key *key,
                                                    const dpo_reference_file *old, int64_t n_new,
                                                    const dpo_digest *digests,
                                                    const int64_t *n_tokens);

#endif
