// SPDX-License-Identifier: Apache-2.0
/*
 * A fuzz driver for compilers without libFuzzer: no feedback from coverage, but structure-blind mutations of
 * the target's seeds, the same ones in every run.
 *
 *     test_fuzz_NAME [-seconds S] [-seed N] [FILE...]
 *
 * Files are run as they are and join the seeds; S = 0 runs only files and seeds. When an input kills the
 * program, its bytes are in the file named in the last line of output.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dpo/base/buffer.h"
#include "dpo/base/clock.h"
#include "dpo/base/memory.h"
#include "dpo/base/random.h"
#include "fuzz/fuzz_target.h"

enum { MAX_INPUTS = 256, MAX_INPUT_BYTES = 1 << 16 };

static struct {
    const uint8_t *bytes;
    size_t n_bytes;
} inputs[MAX_INPUTS];
static uint64_t n_inputs;

static uint8_t current[MAX_INPUT_BYTES];
static size_t n_current_bytes;

static uint64_t seed = 1;
static uint64_t n_drawn;

/* Uniform in [0, n); 0 if n == 0. */
static size_t draw(size_t n)
{
    uint64_t bits = dpo_random_bits(seed, DPO_STREAM_TEST, 0, n_drawn++);

    return n == 0 ? 0 : (size_t)(bits % n);
}

/* Writes the input beside the program's output and dies of the same signal. */
static void save_and_die(int signal_number)
{
    static const char note[] = "fuzz: died; the input is in fuzz-crash.bin\n";
    int file = open("fuzz-crash.bin", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (file >= 0) (void)!write(file, current, n_current_bytes);
    (void)!write(STDERR_FILENO, note, sizeof note - 1);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static void run_current(void)
{
    int64_t outstanding = dpo_memory_outstanding();
    /* An exact copy on the heap, so that a sanitizer sees a read behind the end. */
    uint8_t *copy = malloc(n_current_bytes + (n_current_bytes == 0));

    DPO_ASSERT(copy != NULL);
    memcpy(copy, current, n_current_bytes);
    (void)LLVMFuzzerTestOneInput(copy, n_current_bytes);
    free(copy);
    DPO_ASSERT(dpo_memory_outstanding() == outstanding);
}

static void take_input(size_t which)
{
    n_current_bytes = inputs[which].n_bytes;
    memcpy(current, inputs[which].bytes, n_current_bytes);
}

static void change_byte(void)
{
    static const uint8_t notable[] = "\0\xff\x80\"\\{}[]:,-0919e.ntfu /\n\xe2\x96\x81";

    if (n_current_bytes > 0)
        current[draw(n_current_bytes)] =
            draw(2) ? notable[draw(sizeof notable - 1)] : (uint8_t)draw(256);
}

static void flip_bit(void)
{
    if (n_current_bytes > 0) current[draw(n_current_bytes)] ^= (uint8_t)(1u << draw(8));
}

static void remove_piece(void)
{
    size_t begin = draw(n_current_bytes);
    size_t n = 1 + draw(draw(4) ? 8 : n_current_bytes);

    if (n > n_current_bytes - begin) n = n_current_bytes - begin;
    memmove(current + begin, current + begin + n, n_current_bytes - begin - n);
    n_current_bytes -= n;
}

/* Puts a piece of another input, or of this one, somewhere. */
static void insert_piece(void)
{
    size_t which = draw((size_t)n_inputs);
    size_t at = draw(n_current_bytes + 1);
    size_t from = draw(inputs[which].n_bytes);
    size_t n = 1 + draw(draw(4) ? 16 : inputs[which].n_bytes);

    if (n > inputs[which].n_bytes - from) n = inputs[which].n_bytes - from;
    if (n > MAX_INPUT_BYTES - n_current_bytes) return;
    memmove(current + at + n, current + at, n_current_bytes - at);
    memcpy(current + at, inputs[which].bytes + from, n);
    n_current_bytes += n;
}

static void cut_end(void)
{
    n_current_bytes = draw(n_current_bytes + 1);
}

static void mutate(void)
{
    static void (*const ways[])(void) = {change_byte,  change_byte,  flip_bit,    remove_piece,
                                         remove_piece, insert_piece, insert_piece};
    size_t n = 1 + draw(draw(3) ? 3 : 24);

    for (size_t i = 0; i < n; i++)
        ways[draw(sizeof ways / sizeof ways[0])]();
    if (draw(16) == 0) cut_end();
}

static void add_input(const void *bytes, size_t n_bytes)
{
    DPO_ASSERT(n_inputs < MAX_INPUTS && n_bytes <= MAX_INPUT_BYTES);
    inputs[n_inputs].bytes = bytes;
    inputs[n_inputs++].n_bytes = n_bytes;
}

static int64_t fuzz_for(double seconds)
{
    double end_s = dpo_clock_s() + seconds;
    int64_t n_runs = 0;

    for (uint64_t i = 0; i < n_inputs; i++, n_runs++) {
        take_input((size_t)i);
        run_current();
    }
    for (; dpo_clock_s() < end_s; n_runs++) {
        take_input(draw((size_t)n_inputs));
        mutate();
        run_current();
    }
    return n_runs;
}

static dpo_buffer files[MAX_INPUTS];
static int n_files;

static dpo_status take_file(const char *path)
{
    DPO_TRY(dpo_buffer_append_file(&files[n_files], path));
    add_input(dpo_buffer_text(&files[n_files]), (size_t)files[n_files].size_bytes);
    n_files++;
    return DPO_OK;
}

int main(int argc, char **argv)
{
    double seconds = 3.0;

    (void)signal(SIGABRT, save_and_die);
    (void)signal(SIGSEGV, save_and_die);
    for (const char *const *text = dpo_fuzz_seeds; *text != NULL; text++)
        add_input(*text, strlen(*text));
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-seconds") == 0 && i + 1 < argc) {
            seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "-seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (take_file(argv[i]) != DPO_OK) {
            dpo_error_print(stderr, argv[0]);
            return 1;
        }
    }
    (void)printf("%lld runs\n", (long long)fuzz_for(seconds));
    for (int i = 0; i < n_files; i++)
        dpo_buffer_destroy(&files[i]);
    return dpo_memory_outstanding() != 0;
}
