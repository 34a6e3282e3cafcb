// SPDX-License-Identifier: Apache-2.0
/*
 * AMX, the tiles of Sapphire Rapids, which bochscpu is built without: what it takes for unknown
 * instructions is looked at here, and its sapphire_rapids says to programs that it has them. After
 * Intel's manual (SDM volume 1, chapter 18, and the pages of the instructions in volume 2).
 *
 *   tile t: up to 16 rows of up to 64 bytes, as configured
 *   dst[m][n] += sum over k, j of a[m][k][j] b[k][n][j]     j < 2 bf16 or 4 bytes
 */
#include "amx.h"

#include <string.h>
#include <xmmintrin.h>

enum { N_TILES = 8, N_ROWS = 16, ROW_BYTES = 64, STATES = 0x60000 };
enum { NO_PREFIX, PREFIX_66, PREFIX_F3, PREFIX_F2 };

amx_needs amx;
uint64_t amx_count; /* of its instructions that ran */

/* The 64 bytes that LDTILECFG reads. */
static struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} configuration;

static union {
    uint8_t byte[ROW_BYTES];
    uint16_t bf16[ROW_BYTES / 2];
    float f32[ROW_BYTES / 4];
    int32_t i32[ROW_BYTES / 4];
} tiles[N_TILES][N_ROWS];

/* VEX.128.0F38.W0 instruction: prefix, opcode, tiles or the address of what it reads or writes. */
typedef struct {
    unsigned prefix, opcode, destination, operand, third;
    int is_memory;
    uint64_t address, stride;
    unsigned n_bytes;
} instruction;

static int64_t read_signed(const uint8_t *from, unsigned n_bytes)
{
    int8_t byte;
    int32_t word;

    if (n_bytes == 1) {
        memcpy(&byte, from, sizeof byte);
        return byte;
    }
    memcpy(&word, from, sizeof word);
    return word;
}

/* ModRM, SIB and displacement at `at`; x and b are the upper bits of the registers' numbers. */
static const uint8_t *decode_address(const uint8_t *at, unsigned x, unsigned b, instruction *i)
{
    unsigned mode = at[0] >> 6, base = at[0] & 7, index = 4;
    int has_base = 1;
    unsigned displacement = mode == 1 ? 1 : mode == 2 ? 4 : 0;

    i->address = i->stride = 0;
    at++;
    if (base == 4) {
        index = (*at >> 3 & 7) | x;
        base = *at & 7;
        if (index != 4) i->stride = amx.get_register(0, index) << (*at >> 6);
        at++;
        if (mode == 0 && base == 5) has_base = 0, displacement = 4;
    } else if (mode == 0 && base == 5) {
        has_base = 0, displacement = 4;
        i->address = (uint64_t)(uintptr_t)at + 4;
    }
    if (has_base) i->address += amx.get_register(0, base | b);
    if (displacement > 0) i->address += (uint64_t)read_signed(at, displacement);
    return at + displacement;
}

static int decode(const uint8_t *at, instruction *i)
{
    const uint8_t *begin = at;

    if (at[0] != 0xC4 || (at[1] & 31) != 2 || (at[2] & 0x84) != 0) return 0;
    unsigned x = at[1] & 0x40 ? 0 : 8, b = at[1] & 0x20 ? 0 : 8;

    i->prefix = at[2] & 3;
    i->third = ~at[2] >> 3 & 15;
    i->opcode = at[3];
    i->destination = at[4] >> 3 & 7;
    i->operand = at[4] & 7;
    i->is_memory = at[4] >> 6 != 3;
    at = i->is_memory ? decode_address(at + 4, x, b, i) : at + 5;
    i->n_bytes = (unsigned)(at - begin);
    return 1;
}

static int load_configuration(const void *from)
{
    memcpy(&configuration, from, sizeof configuration);
    memset(tiles, 0, sizeof tiles);
    for (int t = 0; t < N_TILES; t++)
        if (configuration.row_bytes[t] > ROW_BYTES || configuration.rows[t] > N_ROWS) return 0;
    return configuration.palette <= 1;
}

static int configure(const instruction *i)
{
    void *memory = (void *)(uintptr_t)i->address;

    if (i->prefix == NO_PREFIX && i->is_memory) return load_configuration(memory);
    if (i->prefix == PREFIX_66 && i->is_memory) {
        memcpy(memory, &configuration, sizeof configuration);
        return 1;
    }
    if (i->is_memory) return 0;
    if (i->prefix == NO_PREFIX) {
        memset(&configuration, 0, sizeof configuration);
        memset(tiles, 0, sizeof tiles);
        return 1;
    }
    memset(tiles[i->destination], 0, sizeof tiles[0]);
    return i->prefix == PREFIX_F2 && configuration.palette == 1;
}

/* TILELOADD, TILELOADDT1 and TILESTORED. */
static int move(const instruction *i)
{
    unsigned t = i->destination, n_bytes = configuration.row_bytes[t];

    if (configuration.palette != 1 || !i->is_memory || i->prefix == NO_PREFIX) return 0;
    if (i->prefix != PREFIX_F3) memset(tiles[t], 0, sizeof tiles[t]);
    for (unsigned row = 0; row < configuration.rows[t]; row++) {
        void *memory = (void *)(uintptr_t)(i->address + row * i->stride);

        if (i->prefix == PREFIX_F3)
            memcpy(memory, tiles[t][row].byte, n_bytes);
        else
            memcpy(tiles[t][row].byte, memory, n_bytes);
    }
    return 1;
}

static int shapes_fit(unsigned c, unsigned a, unsigned b)
{
    return configuration.palette == 1 && c != a && c != b && a != b &&
           configuration.rows[c] == configuration.rows[a] &&
           configuration.row_bytes[c] == configuration.row_bytes[b] &&
           configuration.row_bytes[a] == 4 * configuration.rows[b] &&
           configuration.row_bytes[c] % 4 == 0;
}

static float widen(uint16_t bf16)
{
    uint32_t bits = (uint32_t)bf16 << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Products of even and of odd elements are summed apart; numbers below the normal ones are zero. */
static void add_products_bf16(unsigned c, unsigned a, unsigned b)
{
    unsigned n_columns = configuration.row_bytes[c] / 4u, before = _mm_getcsr();

    _mm_setcsr(0x9FC0);
    for (unsigned m = 0; m < configuration.rows[c]; m++)
        for (unsigned n = 0; n < n_columns; n++) {
            float even = 0, odd = 0;

            for (unsigned k = 0; k < configuration.rows[b]; k++) {
                even += widen(tiles[a][m].bf16[2 * k]) * widen(tiles[b][k].bf16[2 * n]);
                odd += widen(tiles[a][m].bf16[2 * k + 1]) * widen(tiles[b][k].bf16[2 * n + 1]);
            }
            tiles[c][m].f32[n] += even + odd;
        }
    _mm_setcsr(before);
}

static int32_t widen_byte(uint8_t byte, int is_signed)
{
    return is_signed && byte > 127 ? byte - 256 : byte;
}

static void add_products_of_bytes(unsigned c, unsigned a, unsigned b, int a_signed, int b_signed)
{
    for (unsigned m = 0; m < configuration.rows[c]; m++)
        for (unsigned n = 0; n < configuration.row_bytes[c] / 4u; n++)
            for (unsigned k = 0; k < 4u * configuration.rows[b]; k++)
                tiles[c][m].i32[n] += widen_byte(tiles[a][m].byte[k], a_signed) *
                                      widen_byte(tiles[b][k / 4].byte[4 * n + k % 4], b_signed);
}

static int multiply(const instruction *i)
{
    unsigned c = i->destination, a = i->operand, b = i->third;

    if (i->is_memory || b >= N_TILES || !shapes_fit(c, a, b)) return 0;
    if (i->opcode == 0x5E)
        add_products_of_bytes(c, a, b, i->prefix == PREFIX_F3 || i->prefix == PREFIX_F2,
                              i->prefix == PREFIX_66 || i->prefix == PREFIX_F2);
    else if (i->prefix == PREFIX_F3)
        add_products_bf16(c, a, b);
    else
        return 0;
    return 1;
}

static int run(const instruction *i)
{
    switch (i->opcode) {
    case 0x49:
        return configure(i);
    case 0x4B:
        return move(i);
    case 0x5C:
    case 0x5E:
        return multiply(i);
    default:
        return 0;
    }
}

void amx_try(uint64_t address)
{
    instruction i = {0};

    if (amx.cpuid_leaf == NULL || !decode((const uint8_t *)(uintptr_t)address, &i) || !run(&i))
        return;
    amx_count++;
    amx.set_program_counter(0, address + i.n_bytes);
    amx.end_instruction(0);
}

/* BX_CPU_C::get_xcr0_allow_mask(): states that a program can have. */
uint32_t _ZN8BX_CPU_C19get_xcr0_allow_maskEv(void)
{
    return amx.other_states() | (amx.cpuid_leaf != NULL ? STATES : 0);
}

/*
 * sapphire_rapids_t::get_cpuid_leaf(leaf, subleaf, registers): eax, ebx, ecx and edx of what the
 * model says, and of AMX.
 */
void _ZNK17sapphire_rapids_t14get_cpuid_leafEjjP16cpuid_function_t(const void *model, unsigned leaf,
                                                                   unsigned subleaf,
                                                                   uint32_t *registers)
{
    static const struct {
        unsigned leaf, subleaf;
        uint32_t registers[4];
    } of_amx[] = {{0x0D, 17, {64, 2752, 2, 0}},
                  {0x0D, 18, {8192, 2816, 6, 0}},
                  {0x1D, 0, {1, 0, 0, 0}},
                  {0x1D, 1, {1024 << 16 | 8192, 8 << 16 | 64, 16, 0}},
                  {0x1E, 0, {0, 64 << 8 | 16, 0, 0}}};

    amx.cpuid_leaf(model, leaf, subleaf, registers);
    if (leaf == 0) registers[0] = 0x1E;
    if (leaf == 7 && subleaf == 0) registers[3] |= 1u << 22 | 1u << 24 | 1u << 25;
    if (leaf == 0x0D && subleaf == 0) registers[1] = registers[2] = 2816 + 8192;
    for (unsigned i = 0; i < sizeof of_amx / sizeof *of_amx; i++)
        if (of_amx[i].leaf == leaf && of_amx[i].subleaf == subleaf)
            memcpy(registers, of_amx[i].registers, sizeof of_amx[i].registers);
}
