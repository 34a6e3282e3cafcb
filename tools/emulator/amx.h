// SPDX-License-Identifier: Apache-2.0
#ifndef EMULATOR_AMX_H
#define EMULATOR_AMX_H

#include <stdint.h>

/* Functions of bochscpu, set before the CPU is made. */
typedef struct {
    uint64_t (*get_register)(unsigned cpu, unsigned index);
    void (*set_program_counter)(unsigned cpu, uint64_t address);
    void (*end_instruction)(unsigned cpu); /* goes on at the program counter; does not return */
    uint32_t (*other_states)(void);        /* as bits of XCR0 */
    /* Of sapphire_rapids, NULL with models that have no AMX. */
    void (*cpuid_leaf)(const void *model, unsigned leaf, unsigned subleaf, uint32_t *registers);
} amx_needs;

extern amx_needs amx;

/*
 * If the instruction at `address` belongs to AMX and may run, carries it out, goes on behind it and
 * does not return. Otherwise it is one that the CPU has not.
 */
void amx_try(uint64_t address);

#endif
