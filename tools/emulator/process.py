# SPDX-License-Identifier: Apache-2.0
"""Runs a Linux program on a CPU of x86-64 that this machine is not.

    python process.py LIBRARY MODEL PROGRAM [ARGUMENT...]

LIBRARY is bochs.c and amx.c, built; MODEL a CPU of Bochs such as sapphire_rapids; PROGRAM an executable of this
machine. The Python package bochscpu has Bochs's CPU. The instructions of the process are emulated; its system calls are
ours, made with its own arguments, because its addresses are addresses in this process too. It gets memory below 512 GiB
only, which two pages of tables map to itself.

A process has one thread: others are started on paper and never run; whoever waits for the end of one is told that it
has ended. Signals are not delivered. Memory can be executed whenever it can be read, and no address is given out twice,
so instructions that Bochs has decoded never go stale behind its back.

With EMULATOR_SPEED set, the last line on stderr says how many instructions ran and how fast.
"""
import ctypes
import errno
import os
import struct
import sys
import time
from ctypes import c_int, c_long, c_size_t, c_uint, c_uint16, c_uint64, c_void_p

GIB = 1 << 30
KERNEL, PROGRAM, INTERPRETER, STACK_END, FREE = 32 * GIB, 64 * GIB, 96 * GIB, 124 * GIB, 128 * GIB
HEAP_BYTES, STACK_BYTES, PAGE = 4 * GIB, 1 << 26, 4096
READ, READ_WRITE, EXECUTE = 1, 3, 4  # of mmap and mprotect
PRIVATE, FIXED, ANONYMOUS, NO_RESERVE, FIXED_AND_FREE = 0x2, 0x10, 0x20, 0x4000, 0x100000
FIXED_MASK, ADDRESS_BELOW_2_GIB = FIXED | FIXED_AND_FREE, 0x40
RAX, RSP, RSI, RDI, RDX, R8, R9, R10 = 0, 4, 6, 7, 2, 8, 9, 10
ES, CS, SS, DS, FS = range(5)
STATES = 0x600E7  # of XCR0: x87, SSE, AVX, AVX-512, AMX
PREVIOUS_RIP, ICOUNT = 0x110, 0x128  # in BX_CPU_C: where the instruction begins, how many there were

# At the start, in the kernel's place: XCR0 = what of STATES this CPU has; then to the program, whose address is in rcx.
START = bytes.fromhex(
    "b80d000000 31c9 0fa2 25e7000600 31d2 31c9 0f01d1 48b90000000000000000 41bb02020000 31d2 31db 480f07")
START_ADDRESS_AT = START.index(b"\x48\xb9") + 2
SYSTEM_CALL = bytes.fromhex("e680 480f07")  # out 0x80, al; sysret


def page_up(n_bytes):
    return (n_bytes + PAGE - 1) & -PAGE


def system_call(number, *arguments):
    """What the kernel answers, negative if it is an error."""
    result = libc.syscall(c_long(number), *(c_uint64(a) for a in arguments))
    return -ctypes.get_errno() if result == -1 else result


def map_memory(address, n_bytes):
    got = libc.mmap(address, n_bytes, READ_WRITE, PRIVATE | ANONYMOUS | NO_RESERVE | FIXED_AND_FREE, -1, 0)
    if got != address:
        raise SystemExit(f"emulator: there is no memory at {address:#x}: {os.strerror(ctypes.get_errno())}")


class Image:
    """An ELF file in memory."""

    def __init__(self, path, base):
        with open(path, "rb") as file:
            data = file.read()
        if data[:5] != b"\x7fELF\x02":
            raise SystemExit(f"emulator: {path}: this is no 64-bit ELF program")
        kind, = struct.unpack_from("<H", data, 16)
        entry, headers_at = struct.unpack_from("<QQ", data, 24)
        self.header_bytes, self.n_headers = struct.unpack_from("<HH", data, 54)
        self.base = base if kind == 3 else 0  # ET_DYN
        self.entry = self.base + entry
        self.interpreter = None
        segments = []
        for at in range(headers_at, headers_at + self.n_headers * self.header_bytes, self.header_bytes):
            kind, _, offset, address, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", data, at)
            if kind == 1:  # PT_LOAD
                segments.append((address, in_memory, data[offset:offset + in_file]))
                if offset <= headers_at < offset + in_file:
                    self.headers = self.base + address + headers_at - offset
            elif kind == 3:  # PT_INTERP
                self.interpreter = data[offset:offset + in_file - 1].decode()
        begin = min(address for address, _, _ in segments) & -PAGE
        end = page_up(max(address + in_memory for address, in_memory, _ in segments))
        map_memory(self.base + begin, end - begin)
        for address, _, content in segments:
            ctypes.memmove(self.base + address, content, len(content))
        self.end = self.base + end


class Kernel:
    """What is not just handed to the kernel of this machine, by the number of the system call."""

    def __init__(self, heap):
        self.heap = self.heap_end = heap
        self.free = FREE
        self.threads = set()  # addresses that are cleared when the thread ends
        self.begin_s = time.monotonic()
        map_memory(heap, HEAP_BYTES)
        nothing = lambda *_: 0  # noqa: E731
        missing = lambda *_: -errno.ENOSYS  # noqa: E731
        no_memory = lambda *_: -errno.ENOMEM  # noqa: E731
        self.calls = {
            9: self.mmap, 10: self.mprotect, 12: self.brk, 30: self.shmat, 25: no_memory,  # mremap
            13: nothing, 14: nothing, 131: nothing, 273: nothing,  # signals, robust futexes
            56: self.clone, 57: missing, 58: missing, 59: missing, 334: missing, 435: missing,  # rseq, clone3
            60: self.exit, 231: self.exit, 158: self.arch_prctl, 202: self.futex, 218: lambda *_: os.getpid()}

    def take(self, n_bytes):
        address = self.free
        self.free += page_up(n_bytes) + PAGE
        return address

    def mmap(self, address, n_bytes, protection, flags, file, offset):
        flags &= ~ADDRESS_BELOW_2_GIB
        if not flags & FIXED_MASK:
            address, flags = self.take(n_bytes), flags | FIXED_AND_FREE
        return system_call(9, address, n_bytes, self.protection(protection), flags, file, offset)

    def mprotect(self, address, n_bytes, protection, *_):
        return system_call(10, address, n_bytes, self.protection(protection))

    @staticmethod
    def protection(wanted):
        return wanted & ~EXECUTE | READ if wanted else 0

    def brk(self, end, *_):
        if self.heap <= end <= self.heap + HEAP_BYTES:
            self.heap_end = end
        return self.heap_end

    def shmat(self, identifier, address, flags, *_):
        return system_call(30, identifier, address or self.take(GIB), flags)

    def clone(self, flags, _stack, parent_identifier, child_identifier, *_):
        if not flags & 0x10000:  # CLONE_THREAD
            return -errno.ENOSYS
        identifier = (1 << 22) + len(self.threads)
        c_int.from_address(parent_identifier).value = identifier
        self.threads.add(child_identifier)
        return identifier

    def futex(self, address, operation, value, timeout, *rest):
        is_wait = operation & 127 in (0, 9)  # FUTEX_WAIT, FUTEX_WAIT_BITSET
        if is_wait and address in self.threads:
            c_int.from_address(address).value = 0
            return 0
        if is_wait and not timeout and c_uint.from_address(address).value == value & 0xFFFFFFFF:
            stop(70, "the program waits for a thread, and threads do not run here")
        return system_call(202, address, operation, value, timeout, *rest)

    @staticmethod
    def arch_prctl(what, value, *_):
        if what == 0x1002:  # ARCH_SET_FS
            bochs.cpu_set_seg(0, FS, 1, 0, value, 0xFFFFFFFF, 0xCF3)
        elif what in (0x1021, 0x1022):  # ARCH_GET_XCOMP_SUPP, ARCH_GET_XCOMP_PERM
            c_uint64.from_address(value).value = STATES
        elif what != 0x1023:  # ARCH_REQ_XCOMP_PERM
            return -errno.EINVAL
        return 0

    def exit(self, status, *_):
        if "EMULATOR_SPEED" in os.environ:
            n = c_uint64.from_address(cpu_field(ICOUNT)).value
            seconds = time.monotonic() - self.begin_s
            of_amx = c_uint64.in_dll(replacement, "amx_count").value
            print(f"emulator: {n / 1e6:.1f} million instructions, {n / seconds / 1e6:.1f} a microsecond; "
                  f"{of_amx / 1e6:.2f} million of AMX", file=sys.stderr)
        sys.stderr.flush()
        os._exit(status & 255)

    def answer(self):
        """Carries out the system call that the CPU stands at."""
        try:
            number, *arguments = (register(r) for r in (RAX, RDI, RSI, RDX, R10, R8, R9))
            call = self.calls.get(number)
            result = call(*arguments) if call else system_call(number, *arguments)
            set_register(RAX, result)
        except BaseException as error:  # no exception gets through the emulator
            stop(70, f"system call {number}: {error!r}")


def stop(status, text):
    print(f"emulator: {text}", file=sys.stderr, flush=True)
    os._exit(status)


def on_exception(vector, error):
    status, text = {0: (136, "a division by zero"), 6: (132, "an instruction that this CPU has not"),
                    14: (139, f"no memory at {bochs.cpu_get_cr2(0):#x}")}.get(vector, (139, f"exception {vector}"))
    stop(status, f"{text}, before {bochs.cpu_get_pc(0):#x} (error code {error:#x})")


def register(index):
    return bochs.cpu_get_reg64(0, index)


def set_register(index, value):
    bochs.cpu_set_reg64(0, index, value & 0xFFFFFFFFFFFFFFFF)


def cpu_field(offset):
    """Its address."""
    return ctypes.addressof(c_uint64.in_dll(bochs, "bx_cpu")) + offset


def load_libraries(path):
    """Makes these globals; the library at `path`, bochs.c and amx.c, has to come first."""
    global replacement, bochs, libc
    replacement = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    from bochscpu import _bochscpu
    bochs = ctypes.CDLL(_bochscpu.__file__)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = c_long
    libc.mmap.restype = c_void_p
    libc.mmap.argtypes = [c_void_p, c_size_t, c_int, c_int, c_int, c_long]
    bochs.cpu_set_reg64.argtypes = [c_uint, c_uint, c_uint64]
    bochs.cpu_set_seg.argtypes = [c_uint, c_uint, c_uint, c_uint16, c_uint64, c_uint, c_uint16]
    for name in ("reg64", "pc", "cr2"):
        getattr(bochs, f"cpu_get_{name}").restype = c_uint64
    for name in ("pc", "sp", "cr3", "cr4", "star", "lstar"):
        getattr(bochs, f"cpu_set_{name}").argtypes = [c_uint, c_uint64]


def point(name, *functions):
    """Sets a variable of bochs.c and amx.c that has pointers to functions."""
    pointers = (c_void_p * len(functions)).in_dll(replacement, name)
    pointers[:] = [function and ctypes.cast(function, c_void_p).value for function in functions]


def prepare_kernel(entry):
    """Tables that map 512 GiB to themselves, and the two pieces of code that run in the kernel's place."""
    tables, start, gate = KERNEL, KERNEL + 2 * PAGE, KERNEL + 3 * PAGE
    map_memory(KERNEL, 4 * PAGE)
    c_uint64.from_address(tables).value = tables + PAGE | 7  # present, writable, for all
    for i in range(512):
        c_uint64.from_address(tables + PAGE + 8 * i).value = i * GIB | 0x87  # a page of 1 GiB
    code = START[:START_ADDRESS_AT] + struct.pack("<Q", entry) + START[START_ADDRESS_AT + 8:]
    ctypes.memmove(start, code, len(code))
    ctypes.memmove(gate, SYSTEM_CALL, len(SYSTEM_CALL))
    return tables, start, gate


def fill_stack(program, interpreter, arguments):
    """What a new process finds on its stack; returns its end."""
    map_memory(STACK_END - STACK_BYTES, STACK_BYTES)
    top = STACK_END

    def push(content):
        nonlocal top
        top -= len(content)
        ctypes.memmove(top, content, len(content))
        return top

    texts = [push(os.fsencode(text) + b"\0") for text in arguments]
    environment = [push(os.fsencode(f"{name}={value}") + b"\0") for name, value in os.environ.items()]
    platform, randomness = push(b"x86_64\0"), push(os.urandom(16))
    auxiliary = {3: program.headers, 4: program.header_bytes, 5: program.n_headers, 6: PAGE,
                 7: interpreter.base if interpreter else 0, 8: 0, 9: program.entry, 11: os.getuid(), 12: os.geteuid(),
                 13: os.getgid(), 14: os.getegid(), 15: platform, 17: 100, 23: 0, 25: randomness, 31: texts[0],
                 51: 0x3000, 0: 0}  # AT_PHDR, AT_PHENT, ... AT_EXECFN, AT_MINSIGSTKSZ, AT_NULL
    words = [len(texts), *texts, 0, *environment, 0, *(word for pair in auxiliary.items() for word in pair)]
    top = (top & -16) - 8 * (len(words) + len(words) % 2)
    ctypes.memmove(top, struct.pack(f"<{len(words)}Q", *words), 8 * len(words))
    return top


def prepare_cpu(tables, start, gate, stack):
    """64-bit mode with everything on that Linux turns on for programs."""
    bochs.cpu_set_cr0(0, 0x80010033)
    bochs.cpu_set_cr3(0, tables)
    bochs.cpu_set_cr4(0, 0x506A0)
    bochs.cpu_set_efer(0, 0xD01)
    bochs.cpu_set_star(0, 0x0023001000000000)
    bochs.cpu_set_lstar(0, gate)
    bochs.cpu_set_fmask(0, 0x47700)
    bochs.cpu_set_eflags(0, 2)
    bochs.cpu_set_seg(0, CS, 1, 0x10, 0, 0xFFFFFFFF, 0xA09B)
    for segment in (ES, SS, DS, FS, FS + 1):
        bochs.cpu_set_seg(0, segment, 1, 0x18, 0, 0xFFFFFFFF, 0xC093)
    bochs.cpu_set_mxcsr(0, 0x1F80)
    bochs.cpu_set_fp_cw(0, 0x37F)
    bochs.cpu_set_fp_tw(0, 0xFFFF)
    for index in range(16):
        set_register(index, 0)
    bochs.cpu_set_sp(0, stack)
    bochs.cpu_set_pc(0, start)
    bochs.cpu_set_mode(0)


def main(library, model, *arguments):
    load_libraries(library)
    maker = f"create_{model}_cpuid"
    point("make_cpu_model", getattr(bochs, f"_Z{len(maker)}{maker}P8BX_CPU_C"))
    point("program_counter", bochs.cpu_get_pc)
    c_void_p.in_dll(replacement, "instruction_address").value = cpu_field(PREVIOUS_RIP)
    has_amx = model == "sapphire_rapids"
    point("amx", bochs.cpu_get_reg64, bochs.cpu_set_pc, bochs.cpu_bail,
          bochs._ZN8BX_CPU_C19get_xcr0_allow_maskEv,
          bochs._ZNK17sapphire_rapids_t14get_cpuid_leafEjjP16cpuid_function_t if has_amx else None)
    bochs.cpu_new(0)
    program = Image(arguments[0], PROGRAM)
    interpreter = Image(program.interpreter, INTERPRETER) if program.interpreter else None
    kernel = Kernel(program.end)
    callbacks = ctypes.CFUNCTYPE(None)(kernel.answer), ctypes.CFUNCTYPE(None, c_uint, c_uint)(on_exception)
    point("on_system_call", callbacks[0])
    point("on_exception", callbacks[1])
    prepare_cpu(*prepare_kernel((interpreter or program).entry), fill_stack(program, interpreter, arguments))
    replacement.watch_faults()
    while True:
        bochs.cpu_loop(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
