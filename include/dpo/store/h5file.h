// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_H5FILE_H
#define DPO_STORE_H5FILE_H

/**
 * \file
 * HDF5 files of global, contiguous datasets and texts, written and read by all ranks at once.
 *
 * World rank 0 alone speaks HDF5: it lays the file out, takes its space on the disk before a byte
 * is written, and tells the others where each dataset lies; then every rank writes and reads its
 * own parts at these places. The result is an ordinary HDF5 file. One rank's failure becomes every
 * rank's status in the next collective call, and a new file takes its name only when all of it is
 * on the disk:
 *
 *     DPO_TRY(dpo_h5_create(grid, path, &layout, &file));
 *     status = dpo_h5_write(file, 0, begin, count, part);        (each rank; as often as needed)
 *     return dpo_h5_publish(grid, status, &file);
 *
 * Elements are counted flat, in row-major order; ranges are [begin, begin + count).
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"

/** One row per element type: name, bytes, native HDF5 type. */
#define DPO_H5_TYPE_LIST(ENTRY)      \
    ENTRY(U8, 1, H5T_NATIVE_UINT8)   \
    ENTRY(I32, 4, H5T_NATIVE_INT32)  \
    ENTRY(I64, 8, H5T_NATIVE_INT64)  \
    ENTRY(U64, 8, H5T_NATIVE_UINT64) \
    ENTRY(F32, 4, H5T_NATIVE_FLOAT)  \
    ENTRY(F64, 8, H5T_NATIVE_DOUBLE)

/** One enumerator of a row. */
#define DPO_H5_TYPE_ENUM(name, bytes, native) DPO_H5_##name,
/** Type of a dataset's elements. */
typedef enum { DPO_H5_TYPE_LIST(DPO_H5_TYPE_ENUM) DPO_H5_N_TYPES } dpo_h5_type;
#undef DPO_H5_TYPE_ENUM

enum { DPO_H5_MAX_DIMS = 4 };

/** A dataset of a file. */
typedef struct {
    const char *name; /**< path in the file; groups are made: "weights/model.norm.weight" */
    dpo_h5_type type; /**< of the elements */
    int n_dims;       /**< [0, DPO_H5_MAX_DIMS]; 0 is one element */
    int64_t dims[DPO_H5_MAX_DIMS]; /**< >= 0 each, slowest first */
} dpo_h5_dataset;

/** A text of a file (an attribute of its root group), UTF-8 of any length: usually JSON. */
typedef struct {
    const char *name; /**< unique in the file */
    const char *text; /**< zero-terminated */
} dpo_h5_text;

/** When a file gets its contents. */
typedef enum {
    DPO_H5_SEALED, /**< before it is published, never after; it carries checksums */
    DPO_H5_FILLED  /**< bit by bit after it was published (zero until then); no checksums */
} dpo_h5_kind;

/** What a new file holds; all of it is copied. */
typedef struct {
    dpo_h5_kind kind;               /**< when it gets its contents */
    int64_t n_datasets;             /**< >= 0 */
    const dpo_h5_dataset *datasets; /**< [n_datasets] */
    int64_t n_texts;                /**< >= 0 */
    const dpo_h5_text *texts;       /**< [n_texts] */
} dpo_h5_layout;

/** How a file is opened. */
typedef enum {
    DPO_H5_READ, /**< only read */
    DPO_H5_WRITE /**< read, and written where it lies: files of kind DPO_H5_FILLED */
} dpo_h5_access;

/** An open file; opaque. */
typedef struct dpo_h5_file dpo_h5_file;

/**
 * Begins a new file beside its final name and takes all of its space. Every element is zero.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid    The grid; borrowed until the file is closed or published.
 * \param[in]  path    Final name; its folder exists and all ranks see it. A file of that name stays
 * until the
 *                     new one is published.
 * \param[in]  layout  Datasets and texts, the same on every rank (the texts of world rank 0 count).
 * Datasets keep
 *                     their order: number i of the functions below is layout->datasets[i].
 * \param[out] file    For dpo_h5_publish() or dpo_h5_close(); NULL on error.
 * \errors{DPO_EIO if the file cannot be made or the disk has no space for it; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_h5_create(const dpo_grid *grid, const char *path,
                                        const dpo_h5_layout *layout, dpo_h5_file **file);

/**
 * Computes the checksums (kind DPO_H5_SEALED), flushes, gives the file its final name and closes
 * it. If anything failed on any rank, the file is removed and an old one of that name stays as it
 * was.
 *
 * \collective{all ranks of the grid}
 * \param[in]     grid   The grid.
 * \param[in]     local  This rank's status of filling the file; anything but DPO_OK on any rank
 * fails all.
 * \param[in,out] file   From dpo_h5_create(); NULL on return in every case.
 * \errors{the first rank's local status; DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_h5_publish(const dpo_grid *grid, dpo_status local,
                                         dpo_h5_file **file);

/**
 * Opens a file and checks that it is whole as far as its structure says.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid    The grid; borrowed until the file is closed.
 * \param[in]  path    The file; all ranks see it. Datasets that are not contiguous, or of another
 * type than
 *                     dpo_h5_type, make it a foreign file.
 * \param[in]  access  Reading or writing.
 * \param[out] file    For dpo_h5_close(); NULL on error.
 * \errors{DPO_EIO if it cannot be opened; DPO_EDATA if it is no HDF5 file, truncated, damaged or
 *         foreign; DPO_EUSAGE if a sealed file is opened for writing; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_h5_open(const dpo_grid *grid, const char *path, dpo_h5_access access,
                                      dpo_h5_file **file);

/**
 * Closes a file and sets the pointer to NULL; NULL is left alone. A new file that was not published
 * is removed (by world rank 0).
 *
 * \local
 * \param[in,out] file  The file; what dpo_h5_map(), dpo_h5_dataset_at() and dpo_h5_text_of() gave
 *                      is gone.
 */
void dpo_h5_close(dpo_h5_file **file);

/** Number of datasets, without the checksums. \local */
int64_t dpo_h5_count(const dpo_h5_file *file);

/** The dataset with a number in [0, dpo_h5_count()); borrowed from the file. \local */
const dpo_h5_dataset *dpo_h5_dataset_at(const dpo_h5_file *file, int64_t dataset);

/** Elements of a dataset. \local */
int64_t dpo_h5_elements(const dpo_h5_file *file, int64_t dataset);

/** Number of the dataset of a name; -1 if there is none. \local */
int64_t dpo_h5_find(const dpo_h5_file *file, const char *name);

/**
 * Number of a dataset that has to be there.
 *
 * \local
 * \param[in]  file      The file.
 * \param[in]  name      Its name.
 * \param[in]  type      Its type.
 * \param[in]  elements  Elements it has to have; -1 accepts any number.
 * \param[out] dataset   Its number; -1 on error.
 * \errors{DPO_EDATA with the file's name if it is absent or another}
 */
DPO_MUST_CHECK dpo_status dpo_h5_get(const dpo_h5_file *file, const char *name, dpo_h5_type type,
                                     int64_t elements, int64_t *dataset);

/** The text of a name, borrowed from the file; NULL if there is none. \local */
const char *dpo_h5_text_of(const dpo_h5_file *file, const char *name);

/** A text that has to be there, borrowed from the file. \local \errors{DPO_EDATA} */
DPO_MUST_CHECK dpo_status dpo_h5_get_text(const dpo_h5_file *file, const char *name,
                                          const char **text);

/** The final name of the file. \local */
const char *dpo_h5_path(const dpo_h5_file *file);

/** Whether the file carries checksums. \local */
bool dpo_h5_is_sealed(const dpo_h5_file *file);

/**
 * Writes elements. Ranks may write different elements at the same time.
 *
 * \local
 * \param[in] file     New, or open for writing.
 * \param[in] dataset  Its number.
 * \param[in] begin    First element.
 * \param[in] count    Elements, >= 0; begin + count <= dpo_h5_elements().
 * \param[in] data     [count] of the dataset's type.
 * \errors{DPO_EIO}
 */
DPO_MUST_CHECK dpo_status dpo_h5_write(dpo_h5_file *file, int64_t dataset, int64_t begin,
                                       int64_t count, const void *data);

/**
 * Reads elements.
 *
 * \local
 * \param[in]  file     The file.
 * \param[in]  dataset  Its number.
 * \param[in]  begin    First element.
 * \param[in]  count    Elements, >= 0; begin + count <= dpo_h5_elements().
 * \param[out] data     [count] of the dataset's type.
 * \errors{DPO_EIO}
 */
DPO_MUST_CHECK dpo_status dpo_h5_read(const dpo_h5_file *file, int64_t dataset, int64_t begin,
                                      int64_t count, void *data);

/**
 * Maps a dataset into memory, for reading. Pages are fetched when they are touched and shared by
 * the ranks of a node.
 *
 * \local
 * \param[in]  file     Open for reading; not used by another thread during this call.
 * \param[in]  dataset  Its number.
 * \param[out] data     [dpo_h5_elements()] of the dataset's type, aligned for it, borrowed until
 *                      the file is closed; NULL on error, never else.
 * \errors{DPO_EIO}
 */
DPO_MUST_CHECK dpo_status dpo_h5_map(dpo_h5_file *file, int64_t dataset, const void **data);

/**
 * Waits until all that every rank wrote is on the disk and every rank can read it.
 *
 * \collective{all ranks of the grid}
 * \param[in]     grid   The grid.
 * \param[in]     local  This rank's status of writing; anything but DPO_OK on any rank fails all.
 * \param[in,out] file   Open for writing; stays open in every case.
 * \errors{the first rank's local status; DPO_EIO}
 */
DPO_MUST_CHECK dpo_status dpo_h5_sync(const dpo_grid *grid, dpo_status local, dpo_h5_file *file);

/**
 * Computes the checksums anew, the ranks sharing the work.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid  The grid.
 * \param[in] file  A sealed file, open for reading.
 * \errors{DPO_EDATA naming the first damaged dataset, or if the file carries no checksums; DPO_EIO;
 *         DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_h5_verify(const dpo_grid *grid, const dpo_h5_file *file);

#endif
