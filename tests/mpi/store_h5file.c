// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/h5file.h"

#include <fcntl.h>
#include <hdf5.h>
#include <sys/mount.h>

#include "dpo/base/range.h"
#include "mpi/file_limit.h"
#include "mpi_test.h"
#include "scratch.h"

/* Several pieces of 4 MiB, none of the ranks' ranges ends at one. */
enum { N_LARGE = 3000001, N_SMALL = 7, N_TEXT = 100000 };

static const dpo_h5_dataset datasets[] = {
    {"weights/model.layers.0.mlp.up_proj.weight", DPO_H5_F32, 2, {3, N_LARGE / 3}},
    {"weights/model.norm.weight", DPO_H5_F64, 1, {N_SMALL}},
    {"counts", DPO_H5_I64, 1, {N_SMALL}},
    {"empty", DPO_H5_I32, 2, {0, 5}},
    {"one", DPO_H5_U64, 0, {0}},
    {"bytes", DPO_H5_U8, 1, {13}},
};
enum {
    N_DATASETS = sizeof datasets / sizeof datasets[0],
    LARGE = 0,
    COUNTS = 2,
    EMPTY = 3,
    ONE = 4
};

static int rank_of_world(void)
{
    return dpo_grid_rank(test_grid, DPO_WORLD);
}

static int size_of_world(void)
{
    return dpo_grid_size(test_grid, DPO_WORLD);
}

static bool is_last(void)
{
    return rank_of_world() == size_of_world() - 1;
}

static unsigned char byte_of(int64_t dataset, int64_t i)
{
    return (unsigned char)(i * 31 + (i >> 8) + dataset * 7 + 1);
}

/* Ragged: a rank's part grows with its number, and rank 0 writes nothing where there are others. */
static dpo_range my_part(int64_t n)
{
    int64_t total = size_of_world() * (size_of_world() - 1) / 2;
    int64_t before = rank_of_world() * (rank_of_world() - 1) / 2;

    if (total == 0) return (dpo_range){0, n};
    return (dpo_range){n * before / total, n * (before + rank_of_world()) / total};
}

static int64_t item_bytes(const dpo_h5_file *file, int64_t dataset)
{
    static const int64_t bytes[] = {1, 4, 8, 8, 4, 8};

    return bytes[dpo_h5_dataset_at(file, dataset)->type];
}

static dpo_status write_my_part(dpo_h5_file *file, int64_t dataset)
{
    dpo_range mine = my_part(dpo_h5_elements(file, dataset));
    int64_t item = item_bytes(file, dataset);
    unsigned char *data;
    dpo_status status;

    DPO_TRY(DPO_NEW(data, dpo_range_length(mine) * item));
    for (int64_t i = 0; i < dpo_range_length(mine) * item; i++)
        data[i] = byte_of(dataset, mine.begin * item + i);
    status = dpo_h5_write(file, dataset, mine.begin, dpo_range_length(mine), data);
    dpo_free(data);
    return status;
}

static dpo_status write_all(dpo_h5_file *file)
{
    for (int64_t d = 0; d < dpo_h5_count(file); d++)
        DPO_TRY(write_my_part(file, d));
    return DPO_OK;
}

static dpo_h5_layout layout_of(dpo_h5_kind kind, const dpo_h5_text *texts, int64_t n_texts)
{
    return (dpo_h5_layout){kind, N_DATASETS, datasets, n_texts, texts};
}

static dpo_status make_file(const char *path, dpo_h5_kind kind)
{
    const dpo_h5_text texts[] = {{"config", "{\"beta\": 0.1, \"name\": \"na\303\257ve\"}"},
                                 {"none", ""}};
    const dpo_h5_layout layout = layout_of(kind, texts, 2);
    dpo_h5_file *file;

    DPO_TRY(dpo_h5_create(test_grid, path, &layout, &file));
    return dpo_h5_publish(test_grid, write_all(file), &file);
}

/* Wrong bytes of all datasets as dpo_h5_read() gives them, or as they lie in memory (is_mapped). */
static int64_t count_wrong(dpo_h5_file *file, bool is_mapped)
{
    int64_t n_wrong = 0;

    for (int64_t k = 0; k < N_DATASETS; k++) {
        int64_t d = dpo_h5_find(file, datasets[k].name);
        int64_t n = dpo_h5_elements(file, d);
        unsigned char *data;
        const void *mapped;
        dpo_status status = DPO_NEW(data, n * item_bytes(file, d));

        if (status == DPO_OK) status = dpo_h5_map(file, d, &mapped);
        if (status == DPO_OK && is_mapped && n > 0)
            memcpy(data, mapped, (size_t)(n * item_bytes(file, d)));
        if (status == DPO_OK && !is_mapped) status = dpo_h5_read(file, d, 0, n, data);
        n_wrong += status != DPO_OK || (uintptr_t)mapped % (uintptr_t)item_bytes(file, d) != 0;
        for (int64_t i = 0; i < n * item_bytes(file, d); i++)
            n_wrong += data[i] != byte_of(k, i);
        dpo_free(data);
    }
    return n_wrong;
}

static void what_ranks_write_in_ragged_parts_every_rank_reads(void **state)
{
    (void)state;
    dpo_h5_file *file;
    int64_t found = 0;
    const char *text;

    begin_scratch();
    ASSERT_OK(make_file(in_scratch("a.h5"), DPO_H5_SEALED));
    ASSERT_ALL(files_in_scratch() == 1);
    ASSERT_OK(dpo_h5_open(test_grid, in_scratch("a.h5"), DPO_H5_READ, &file));
    ASSERT_ALL(dpo_h5_count(file) == N_DATASETS && dpo_h5_is_sealed(file));
    ASSERT_ALL(count_wrong(file, false) == 0);
    ASSERT_ALL(count_wrong(file, true) == 0);
    ASSERT_OK(dpo_h5_verify(test_grid, file));
    ASSERT_OK(dpo_h5_get_text(file, "config", &text));
    ASSERT_ALL(strcmp(text, "{\"beta\": 0.1, \"name\": \"na\303\257ve\"}") == 0);
    ASSERT_ALL(strcmp(dpo_h5_text_of(file, "none"), "") == 0 && dpo_h5_text_of(file, "x") == NULL);
    ASSERT_OK(dpo_h5_get(file, "counts", DPO_H5_I64, N_SMALL, &found));
    ASSERT_FAILS(dpo_h5_get(file, "counts", DPO_H5_I32, -1, &found), DPO_EDATA, "I64");
    ASSERT_FAILS(dpo_h5_get(file, "nothing", DPO_H5_I32, -1, &found), DPO_EDATA, "\"nothing\"");
    dpo_h5_close(&file);
    end_scratch();
}

static void texts_may_be_longer_than_64_kib(void **state)
{
    (void)state;
    char *text;
    dpo_h5_file *file;

    begin_scratch();
    ASSERT_OK(DPO_NEW(text, N_TEXT + 1));
    memset(text, 'x', N_TEXT);
    const dpo_h5_text texts[] = {{"long", text}};
    const dpo_h5_layout layout = {DPO_H5_SEALED, 0, NULL, 1, texts};

    ASSERT_OK(dpo_h5_create(test_grid, in_scratch("a.h5"), &layout, &file));
    ASSERT_OK(dpo_h5_publish(test_grid, DPO_OK, &file));
    ASSERT_OK(dpo_h5_open(test_grid, in_scratch("a.h5"), DPO_H5_READ, &file));
    ASSERT_ALL(dpo_h5_text_of(file, "long") != NULL &&
               strcmp(dpo_h5_text_of(file, "long"), text) == 0);
    ASSERT_OK(dpo_h5_verify(test_grid, file));
    dpo_h5_close(&file);
    dpo_free(text);
    end_scratch();
}

/* Reads the large dataset collectively, each rank a third or so, as any other program would. */
static int64_t read_with_parallel_hdf5(const char *path)
{
    int64_t n_wrong = 0;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
    dpo_range columns = dpo_range_of_part(N_LARGE / 3, size_of_world(), rank_of_world());
    hsize_t start[2] = {0, (hsize_t)columns.begin};
    hsize_t count[2] = {3, (hsize_t)dpo_range_length(columns)};
    unsigned char *data;

    H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL);
    H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access);
    hid_t dataset = H5Dopen2(file, datasets[LARGE].name, H5P_DEFAULT);
    hid_t in_file = H5Dget_space(dataset);
    hid_t in_memory = H5Screate_simple(2, count, NULL);

    H5Sselect_hyperslab(in_file, H5S_SELECT_SET, start, NULL, count, NULL);
    if (DPO_NEW(data, (int64_t)(count[0] * count[1]) * 4) != DPO_OK) return 1;
    n_wrong += H5Dread(dataset, H5T_NATIVE_FLOAT, in_memory, in_file, transfer, data) < 0;
    for (int64_t row = 0; row < 3; row++)
        for (int64_t i = 0; i < (int64_t)count[1] * 4; i++)
            n_wrong += data[row * (int64_t)count[1] * 4 + i] !=
                       byte_of(LARGE, (row * (N_LARGE / 3) + columns.begin) * 4 + i);
    dpo_free(data);
    n_wrong += H5Sclose(in_memory) < 0 || H5Sclose(in_file) < 0 || H5Dclose(dataset) < 0;
    n_wrong += H5Fclose(file) < 0 || H5Pclose(transfer) < 0 || H5Pclose(access) < 0;
    return n_wrong;
}

static void the_file_is_an_ordinary_hdf5_file(void **state)
{
    (void)state;
    begin_scratch();
    ASSERT_OK(make_file(in_scratch("a.h5"), DPO_H5_SEALED));
    ASSERT_ALL(read_with_parallel_hdf5(in_scratch("a.h5")) == 0);
    end_scratch();
}

/* Changes one byte of a file, on rank 0, with all ranks waiting. */
static void flip_byte(const char *path, int64_t at)
{
    if (rank_of_world() == 0) {
        int fd = open(path, O_RDWR);
        unsigned char byte = 0;

        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
        assert_int_equal(close(fd), 0);
    }
    dpo_barrier(test_grid, DPO_WORLD);
}

/* Byte of an element in the file, from where the mapping shows it. */
static int64_t place_in_file(const char *path, int64_t dataset, int64_t i)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t id = H5Dopen2(file, datasets[dataset].name, H5P_DEFAULT);
    int64_t at = (int64_t)H5Dget_offset(id) + i;

    (void)H5Dclose(id);
    (void)H5Fclose(file);
    return at;
}

static void a_flipped_byte_is_found_and_named(void **state)
{
    (void)state;
    static const struct {
        int64_t dataset;
        int64_t byte;
    } cases[] = {{LARGE, 0}, {LARGE, (int64_t)N_LARGE / 3 * 12 - 1}, {COUNTS, 17}, {ONE, 7}};

    begin_scratch();
    ASSERT_OK(make_file(in_scratch("a.h5"), DPO_H5_SEALED));
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const char *path = in_scratch("a.h5");
        int64_t at = place_in_file(path, cases[c].dataset, cases[c].byte);
        dpo_h5_file *file;

        flip_byte(path, at);
        ASSERT_OK(dpo_h5_open(test_grid, path, DPO_H5_READ, &file));
        ASSERT_FAILS(dpo_h5_verify(test_grid, file), DPO_EDATA, datasets[cases[c].dataset].name);
        flip_byte(path, at);
        ASSERT_OK(dpo_h5_verify(test_grid, file));
        dpo_h5_close(&file);
    }
    end_scratch();
}

static void expect_refusal(const char *path, dpo_h5_access access, dpo_status kind,
                           const char *part)
{
    dpo_h5_file *file;
    dpo_status status = dpo_h5_open(test_grid, path, access, &file);

    ASSERT_ALL(status == kind && file == NULL);
    ASSERT_ALL(strstr(dpo_last_error()->text, path) != NULL);
    ASSERT_FAILS(status, kind, part);
}

static void truncated_and_foreign_files_are_refused(void **state)
{
    (void)state;
    begin_scratch();
    expect_refusal(in_scratch("absent.h5"), DPO_H5_READ, DPO_EIO, "No such file");
    ASSERT_OK(make_file(in_scratch("a.h5"), DPO_H5_SEALED));
    expect_refusal(in_scratch("a.h5"), DPO_H5_WRITE, DPO_EUSAGE, "sealed");
    for (int64_t n = 12000000; n > 0; n /= 30) {
        if (rank_of_world() == 0) assert_int_equal(truncate(in_scratch("a.h5"), (off_t)n), 0);
        dpo_barrier(test_grid, DPO_WORLD);
        expect_refusal(in_scratch("a.h5"), DPO_H5_READ, DPO_EDATA, n > 64 ? "truncated" : "a.h5");
    }
    if (rank_of_world() == 0) {
        FILE *text = fopen(in_scratch("b.h5"), "w");

        assert_true(fprintf(text, "%0200d", 1) == 200 && fclose(text) == 0);
    }
    dpo_barrier(test_grid, DPO_WORLD);
    expect_refusal(in_scratch("b.h5"), DPO_H5_READ, DPO_EDATA, "does not begin as an HDF5 file");
    end_scratch();
}

/* Metadata carry checksums of HDF5's own: whatever byte is changed, no wrong number comes out. */
static void damaged_metadata_are_refused(void **state)
{
    (void)state;
    int64_t n_refused = 0;
    int64_t n_open = 0;

    begin_scratch();
    ASSERT_OK(make_file(in_scratch("a.h5"), DPO_H5_SEALED));
    for (int64_t at = 0; at < 200; at += 7) {
        dpo_h5_file *file;

        flip_byte(in_scratch("a.h5"), at);
        dpo_status status = dpo_h5_open(test_grid, in_scratch("a.h5"), DPO_H5_READ, &file);

        ASSERT_ALL(status == DPO_OK || status == DPO_EDATA);
        n_refused += status != DPO_OK;
        n_open += status == DPO_OK && dpo_h5_verify(test_grid, file) == DPO_OK;
        dpo_h5_close(&file);
        flip_byte(in_scratch("a.h5"), at);
    }
    ASSERT_ALL(n_refused > 10 && n_refused + n_open == 29);
    end_scratch();
}

static void one_rank_that_cannot_write_fails_all_and_the_old_file_stays(void **state)
{
    (void)state;
    dpo_h5_file *file;

    begin_scratch();
    ASSERT_OK(make_file(in_scratch("a.h5"), DPO_H5_SEALED));
    const dpo_h5_layout layout = layout_of(DPO_H5_SEALED, NULL, 0);

    ASSERT_OK(dpo_h5_create(test_grid, in_scratch("a.h5"), &layout, &file));
    limit_file_size(is_last(), 4096);
    dpo_status status = dpo_h5_publish(test_grid, write_all(file), &file);

    limit_file_size(false, 0);
    ASSERT_ALL(status == DPO_EIO && file == NULL);
    ASSERT_ALL(dpo_last_error()->rank == size_of_world() - 1);
    ASSERT_ALL(strstr(dpo_last_error()->text, in_scratch("a.h5")) != NULL);
    ASSERT_FAILS(status, DPO_EIO, "ulimit -f");
    ASSERT_ALL(files_in_scratch() == 1);
    ASSERT_OK(dpo_h5_open(test_grid, in_scratch("a.h5"), DPO_H5_READ, &file));
    ASSERT_OK(dpo_h5_verify(test_grid, file));
    dpo_h5_close(&file);
    end_scratch();
}

static void a_file_that_is_closed_before_it_is_published_is_gone(void **state)
{
    (void)state;
    const dpo_h5_layout layout = layout_of(DPO_H5_SEALED, NULL, 0);
    dpo_h5_file *file;

    begin_scratch();
    ASSERT_OK(dpo_h5_create(test_grid, in_scratch("a.h5"), &layout, &file));
    ASSERT_ALL(files_in_scratch() == 1);
    dpo_barrier(test_grid, DPO_WORLD);
    dpo_h5_close(&file);
    dpo_barrier(test_grid, DPO_WORLD);
    ASSERT_ALL(files_in_scratch() == 0);
    end_scratch();
}

static void a_file_that_does_not_fit_fails_before_a_byte_is_written(void **state)
{
    (void)state;
    const dpo_h5_layout layout = layout_of(DPO_H5_SEALED, NULL, 0);
    dpo_h5_file *file;

    begin_scratch();
    limit_file_size(rank_of_world() == 0, 1 << 20);
    dpo_status status = dpo_h5_create(test_grid, in_scratch("a.h5"), &layout, &file);

    limit_file_size(false, 0);
    ASSERT_ALL(status == DPO_EIO && file == NULL);
    ASSERT_FAILS(status, DPO_EIO, "MiB make the file larger than its limit");
    ASSERT_ALL(files_in_scratch() == 0);
    status = make_file(in_scratch("nowhere/a.h5"), DPO_H5_SEALED);
    ASSERT_ALL(status == DPO_EIO);
    ASSERT_FAILS(status, DPO_EIO, "No such file");
    end_scratch();
}

/* A real full disk, where the tests run as root and may mount one. */
static void a_full_disk_is_named(void **state)
{
    (void)state;
    const dpo_h5_layout layout = layout_of(DPO_H5_SEALED, NULL, 0);
    dpo_h5_file *file;
    int64_t is_mounted = 0;

    begin_scratch();
    if (rank_of_world() == 0) is_mounted = mount("tmpfs", scratch, "tmpfs", 0, "size=1m") == 0;
    dpo_broadcast(test_grid, DPO_WORLD, 0, sizeof is_mounted, &is_mounted);
    if (!is_mounted) {
        end_scratch();
        skip();
    }
    dpo_status status = dpo_h5_create(test_grid, in_scratch("a.h5"), &layout, &file);

    ASSERT_ALL(status == DPO_EIO && file == NULL);
    ASSERT_ALL(files_in_scratch() == 0);
    ASSERT_FAILS(status, DPO_EIO, "no space for 11.");
    dpo_barrier(test_grid, DPO_WORLD);
    if (rank_of_world() == 0) assert_int_equal(umount(scratch), 0);
    end_scratch();
}

static void an_unsealed_file_is_filled_bit_by_bit(void **state)
{
    (void)state;
    const int64_t value = 40 + rank_of_world();
    int64_t values[N_SMALL];
    int wrong = 0;
    const dpo_h5_layout layout = layout_of(DPO_H5_FILLED, NULL, 0);
    dpo_h5_file *file;

    begin_scratch();
    ASSERT_OK(dpo_h5_create(test_grid, in_scratch("a.h5"), &layout, &file));
    ASSERT_OK(dpo_h5_publish(test_grid, DPO_OK, &file));
    ASSERT_OK(dpo_h5_open(test_grid, in_scratch("a.h5"), DPO_H5_WRITE, &file));
    ASSERT_FAILS(dpo_h5_verify(test_grid, file), DPO_EDATA, "no checksums");
    int64_t counts = dpo_h5_find(file, "counts");

    ASSERT_OK(dpo_h5_sync(test_grid, dpo_h5_write(file, counts, rank_of_world(), 1, &value), file));
    dpo_h5_close(&file);
    ASSERT_OK(dpo_h5_open(test_grid, in_scratch("a.h5"), DPO_H5_READ, &file));
    ASSERT_OK(dpo_h5_read(file, counts, 0, N_SMALL, values));
    for (int i = 0; i < N_SMALL; i++)
        wrong += values[i] != (i < size_of_world() ? 40 + i : 0);
    ASSERT_ALL(!wrong);
    dpo_h5_close(&file);
    end_scratch();
}

/* Every allocation of the last rank fails once: always the same status everywhere, never a leftover. */
static void no_memory_on_one_rank_fails_all(void **state)
{
    (void)state;
    dpo_status status = DPO_ENOMEM;
    int n = 0;

    begin_scratch();
    while (status != DPO_OK && n < 200) {
        dpo_barrier(test_grid, DPO_WORLD);
        dpo_memory_fail_after(is_last() ? ++n : 0);
        status = make_file(in_scratch("a.h5"), DPO_H5_SEALED);
        dpo_memory_fail_after(0);
        ASSERT_ALL(status == DPO_ENOMEM || status == DPO_OK);
        ASSERT_ALL(files_in_scratch() == (status == DPO_OK));
    }
    ASSERT_ALL(!is_last() || (n > 10 && n < 200));
    for (n = 0, status = DPO_ENOMEM; status != DPO_OK && n < 200;) {
        dpo_h5_file *file;

        dpo_memory_fail_after(is_last() ? ++n : 0);
        status = dpo_h5_open(test_grid, in_scratch("a.h5"), DPO_H5_READ, &file);
        dpo_memory_fail_after(0);
        ASSERT_ALL(status == DPO_ENOMEM ||
                   (status == DPO_OK && dpo_h5_verify(test_grid, file) == DPO_OK));
        dpo_h5_close(&file);
    }
    ASSERT_ALL(!is_last() || (n > 5 && n < 200));
    end_scratch();
}

/* Open MPI reads these when MPI starts: a collective read with several aggregators. */
__attribute__((constructor)) static void force_aggregators(void)
{
    (void)setenv("OMPI_MCA_io", "ompio", 1);
    (void)setenv("OMPI_MCA_io_ompio_num_aggregators", "2", 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_ranks_write_in_ragged_parts_every_rank_reads),
    cmocka_unit_test(texts_may_be_longer_than_64_kib),
    cmocka_unit_test(the_file_is_an_ordinary_hdf5_file),
    cmocka_unit_test(a_flipped_byte_is_found_and_named),
    cmocka_unit_test(truncated_and_foreign_files_are_refused),
    cmocka_unit_test(damaged_metadata_are_refused),
    cmocka_unit_test(one_rank_that_cannot_write_fails_all_and_the_old_file_stays),
    cmocka_unit_test(a_file_that_is_closed_before_it_is_published_is_gone),
    cmocka_unit_test(a_file_that_does_not_fit_fails_before_a_byte_is_written),
    cmocka_unit_test(a_full_disk_is_named),
    cmocka_unit_test(an_unsealed_file_is_filled_bit_by_bit),
    cmocka_unit_test(no_memory_on_one_rank_fails_all),
};

MPI_TEST_MAIN(tests)
