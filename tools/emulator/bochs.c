// SPDX-License-Identifier: Apache-2.0
/*
 * What process.py puts in the place of parts of bochscpu, the CPU of Bochs as a library. Loaded
 * before it and for all to see, these functions win over those of the same name in the library.
 *
 * The library calls into Python or Rust for each instruction and each access to memory: nothing
 * does that here. An address of the emulated process is the same address in this process, whether
 * virtual, physical or on the host.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amx.h"

enum { INVALID_OPCODE = 6 };

/* Set by process.py. */
void (*on_system_call)(void);
void (*on_exception)(unsigned vector, unsigned error);
void *(*make_cpu_model)(void *cpu);
uint64_t (*program_counter)(unsigned cpu);
const uint64_t *instruction_address;

/* The library is made for glibc 2.38; older ones have these under other names. */
unsigned long long __isoc23_strtoull(const char *text, char **end, int base)
{
    return strtoull(text, end, base);
}

int __isoc23_sscanf(const char *text, const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsscanf(text, format, arguments);
    va_end(arguments);
    return n;
}

/* create_corei3_cnl_cpuid(cpu): the library asks for this model always. */
void *_Z23create_corei3_cnl_cpuidP8BX_CPU_C(void *cpu)
{
    return make_cpu_model(cpu);
}

/* BX_CPU_C::get_TSC(): the library's clock stands still. */
uint64_t _ZN8BX_CPU_C7get_TSCEv(void)
{
    return __builtin_ia32_rdtsc();
}

/*
 * BX_CPU_C::allow_io(instruction, port, length) and bx_devices.outp(port, value, length): writing
 * to any port is how the instruction after `syscall` gets to process.py.
 */
int _ZN8BX_CPU_C8allow_ioEP15bxInstruction_ctj(void)
{
    return 1;
}

void _ZN12bx_devices_c4outpEtjj(void)
{
    on_system_call();
}

static void *host_address(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

void *mem_guest_to_host(unsigned cpu, uint64_t address, unsigned access)
{
    (void)cpu, (void)access;
    return host_address(address);
}

void mem_read_phy(unsigned cpu, uint64_t address, unsigned n_bytes, void *to)
{
    (void)cpu;
    memcpy(to, host_address(address), n_bytes);
}

void mem_write_phy(unsigned cpu, uint64_t address, unsigned n_bytes, const void *from)
{
    (void)cpu;
    memcpy(host_address(address), from, n_bytes);
}

void bx_instr_exception(unsigned cpu, unsigned vector, unsigned error)
{
    (void)cpu;
    if (vector == INVALID_OPCODE) amx_try(*instruction_address);
    on_exception(vector, error);
}

/* Called once an instruction or more often; what they tell is not needed. */
void bx_instr_before_execution(void)
{
}
void bx_instr_after_execution(void)
{
}
void bx_instr_repeat_iteration(void)
{
}
void bx_instr_opcode(void)
{
}
void bx_instr_lin_access(void)
{
}
void bx_instr_phy_access(void)
{
}
void bx_instr_prefetch_hint(void)
{
}
void bx_instr_cnear_branch_taken(void)
{
}
void bx_instr_cnear_branch_not_taken(void)
{
}
void bx_instr_ucnear_branch(void)
{
}
void bx_instr_far_branch(void)
{
}

static void say_where(int signal_number, siginfo_t *info, void *context)
{
    char text[120];
    int n = snprintf(text, sizeof text, "emulator: no memory at %p, used near instruction 0x%llx\n",
                     info->si_addr, (unsigned long long)program_counter(0));

    (void)context;
    if (write(STDERR_FILENO, text, (size_t)n) < 0) _exit(1);
    _exit(128 + signal_number);
}

/* The emulated process has the memory that it asked for; what it does wrong is our fault then. */
void watch_faults(void)
{
    const struct sigaction action = {.sa_sigaction = say_where,
                                     .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}
