"""What is changed in the copy of the emulator's Cython sources that `accelerate.py` compiles.

`EDITS` are replacements that must all find their text, or none is made. They let calls and memory
accesses become plain C and move the hardware divider into C; they change nothing that a guest can
see, except the divider for who sets `quick_divider` (see there).
"""

from __future__ import annotations

from typing import NamedTuple


class Edit(NamedTuple):
    """A replacement in a source file, where `old` must stand exactly `count` times."""

    file: str
    old: str
    new: str
    count: int = 1


FINAL = "cimport cython\n\n\n@cython.final\n"
OUTSIDE = "self.outside = True\n"

EDITS = [
    # No class derives from these, so that methods are called directly.
    Edit("_rp2040.pxd", "cdef class RP2040:", f"{FINAL}cdef class RP2040:"),
    Edit("_cortex_m0_core.pxd", "cdef class CortexM0Core:", f"{FINAL}cdef class CortexM0Core:"),
    Edit("_pio.pxd", "cdef class RPPIO:", f"{FINAL}cdef class RPPIO:"),
    # Memory and registers are contiguous: no strides, no descriptors handed around, and a word
    # is loaded as a word. (Only on little-endian hosts, which the RP2040 is as well.)
    Edit("_rp2040.pxd", "cdef unsigned char[:] _", "cdef unsigned char[::1] _", 3),
    Edit("_rp2040.pxd", "cdef unsigned int[:] _", "cdef unsigned int[::1] _"),
    Edit("_cortex_m0_core.pxd", "unsigned int[:] ", "unsigned int[::1] ", 2),
    Edit(
        "_rp2040.pyx",
        "read_uint32_le(self._flash, offset)",
        "(<unsigned int *>&self._flash[offset])[0]",
    ),
    Edit(
        "_rp2040.pyx",
        "read_uint32_le(self._sram, addr - RAM_START)",
        "(<unsigned int *>&self._sram[addr - RAM_START])[0]",
    ),
    Edit(
        "_rp2040.pyx",
        "read_uint16_le(self._flash, offset)",
        "(<unsigned short *>&self._flash[offset])[0]",
    ),
    Edit(
        "_rp2040.pyx",
        "read_uint16_le(self._sram, offset)",
        "(<unsigned short *>&self._sram[offset])[0]",
    ),
    Edit(
        "_rp2040.pyx",
        "write_uint32_le(self._sram, addr - RAM_START, val)",
        "(<unsigned int *>&self._sram[addr - RAM_START])[0] = val",
    ),
    Edit(
        "_rp2040.pyx",
        "write_uint16_le(self._sram, addr - RAM_START, val)",
        "(<unsigned short *>&self._sram[addr - RAM_START])[0] = val",
    ),
    # Values that cannot occur announce an exception: no question after each access.
    *(
        Edit(
            f"_rp2040.{kind}",
            f"read_uint{bits}(self, long long address){colon}",
            f"read_uint{bits}(self, long long address) except? 0xFFFFFFFFU{colon}",
        )
        for kind, colon in (("pxd", "\n"), ("pyx", ":"))
        for bits in (8, 16)
    ),
    # The condition of a branch, without a call into Python.
    Edit(
        "_cortex_m0_core.pyx",
        "    return core.check_condition(cond)\n",
        """\
    cdef unsigned int test = cond >> 1
    cdef bint met
    if test == 0:
        met = core.z
    elif test == 1:
        met = core.c
    elif test == 2:
        met = core.n
    elif test == 3:
        met = core.v
    elif test == 4:
        met = core.c and not core.z
    elif test == 5:
        met = core.n == core.v
    elif test == 6:
        met = core.n == core.v and not core.z
    else:
        return True
    return met != (cond & 1)
""",
    ),
    # `outside` notes that Python code ran, which may have stopped the simulation.
    Edit("_rp2040.pxd", "Clock clock\n", "Clock clock\n    cdef public bint outside\n"),
    Edit("_pio.pxd", "bint stopped\n", "bint stopped\n    cdef public bint outside\n"),
    Edit(
        "_rp2040.pyx",
        "        if (addr >> 12) == 0xE000E:\n            return",
        f"        {OUTSIDE}        if (addr >> 12) == 0xE000E:\n            return",
    ),
    *(
        Edit("_rp2040.pyx", f"            {call}", f"            {OUTSIDE}            {call}")
        for call in (
            "self.usb_ctrl.dpram_updated(offset, value)",
            "self.sio.write_uint32(",
            "self.ppb.write_uint32(",
        )
    ),
    Edit(
        "_rp2040.pyx",
        "        else:\n            peripheral = self.find_peripheral(addr)",
        f"        else:\n            {OUTSIDE}            peripheral = self.find_peripheral(addr)",
    ),
    Edit(
        "_rp2040.pyx",
        "        aligned_address = addr & 0xFFFFFFFCU\n",
        f"        {OUTSIDE}        aligned_address = addr & 0xFFFFFFFCU\n",
        2,
    ),
    Edit(
        "_cortex_m0_core.pyx",
        "    core.rp2040.on_break(",
        "    core.rp2040.outside = True\n    core.rp2040.on_break(",
        3,
    ),
    Edit(
        "_pio.pyx",
        "return\n        self._run_due",
        f"return\n        {OUTSIDE}        self._run_due",
    ),
    # The hook at each subroutine call is called when somebody has set one.
    Edit("_cortex_m0_core.pyx", "self.bl_taken = lambda core, blx: None", "self.bl_taken = None"),
    *(
        Edit(
            "_cortex_m0_core.pyx",
            f"    core.bl_taken(core, {blx})\n",
            "    if core.bl_taken is not None:\n"
            "        core.rp2040.outside = True\n"
            f"        core.bl_taken(core, {blx})\n",
        )
        for blx in (False, True)
    ),
    # The loop: types, and time that advances in place until an alarm is due.
    Edit(
        "_simulator.pyx",
        "\ncdef double CYCLE",
        "from rp2040py.native._pio cimport RPPIO\n\ncdef double CYCLE",
    ),
    Edit(
        "_simulator.pyx",
        "    pios = rp2040.pio\n",
        "    cdef RPPIO pio0 = rp2040.pio[0]\n"
        "    cdef RPPIO pio1 = rp2040.pio[1]\n"
        "    cdef double target_nanos\n"
        "    rp2040.outside = True\n",
    ),
    Edit(
        "_simulator.pyx",
        "    while i < BATCH_INSTRUCTION_CEILING and not simulator.stopped:\n",
        """\
    while i < BATCH_INSTRUCTION_CEILING:
        if rp2040.outside or pio0.outside or pio1.outside:
            rp2040.outside = pio0.outside = pio1.outside = False
            if simulator.stopped:
                break
""",
    ),
    Edit(
        "_simulator.pyx",
        "            clock.tick(idle_nanos)\n",
        "            clock.tick(idle_nanos)\n            rp2040.outside = True\n",
    ),
    Edit(
        "_simulator.pyx",
        "                clock.tick(delta_nanos)\n",
        """\
                target_nanos = clock._nanos_counter + delta_nanos
                if clock._next_alarm is None or clock._next_alarm.nanos > target_nanos:
                    clock._nanos_counter = target_nanos
                else:
                    rp2040.outside = True
                    clock.tick(delta_nanos)
""",
    ),
    Edit(
        "_simulator.pyx",
        "                    clock.tick(pending_nanos)\n                    pending_nanos",
        "                    clock.tick(pending_nanos)\n"
        "                    rp2040.outside = True\n"
        "                    pending_nanos",
    ),
    Edit(
        "_simulator.pyx",
        """\
        for pio in pios:
            if not pio.stopped:
                pio.advance(cycles)
""",
        """\
        if not pio0.stopped:
            pio0.advance(cycles)
        if not pio1.stopped:
            pio1.advance(cycles)
""",
    ),
    # Instructions are fetched from, and words moved to and from, flash and RAM in place.
    Edit(
        "_cortex_m0_core.pyx",
        "from rp2040py.native._bit cimport s32, u32\n",
        """\
cdef inline unsigned int u32(long long n) noexcept:
    return <unsigned int> n


cdef inline int s32(long long n) noexcept:
    return <int> <unsigned int> n

""",
    ),
    Edit(
        "_cortex_m0_core.pyx",
        "        opcode = self.rp2040.read_uint16(opcode_pc)\n",
        "        opcode = load16(self, opcode_pc)\n",
    ),
    Edit(
        "_cortex_m0_core.pyx",
        "opcode2 = self.rp2040.read_uint16(opcode_pc + 2) if",
        "opcode2 = load16(self, opcode_pc + 2) if",
    ),
    *(
        Edit(
            "_cortex_m0_core.pyx",
            f"core.rp2040.{way}_uint{bits}(",
            f"{word}{bits}(core, ",
            count,
        )
        for way, word, counts in (("read", "load", (3, 3, 7)), ("write", "store", (2, 2, 6)))
        for bits, count in zip((8, 16, 32), counts, strict=True)
    ),
    Edit(
        "_cortex_m0_core.pyx",
        "cdef class CortexM0Core:\n",
        "".join(
            f"""\
cdef inline unsigned int load{bits}(CortexM0Core core, unsigned int addr) except? 0xFFFFFFFFU:
    cdef unsigned int offset = addr - 0x20000000U
    if offset < 0x42000 and not offset & {bits // 8 - 1}:
        return (<{word} *> &core.rp2040._sram[offset])[0]
    offset = addr - 0x10000000U
    if offset < 0x1000000 and not offset & {bits // 8 - 1}:
        return (<{word} *> &core.rp2040._flash[offset])[0]
    return core.rp2040.read_uint{bits}(addr)


cdef inline int store{bits}(CortexM0Core core, unsigned int addr, unsigned int value) except -1:
    cdef unsigned int offset = addr - 0x20000000U
    if offset < 0x42000 and not offset & {bits // 8 - 1}:
        (<{word} *> &core.rp2040._sram[offset])[0] = <{word}> value
    else:
        core.rp2040.write_uint{bits}(addr, value)
    return 0


"""
            for bits, word in ((8, "unsigned char"), (16, "unsigned short"), (32, "unsigned int"))
        )
        + "cdef class CortexM0Core:\n",
    ),
    # The hardware divider: the interpreter of the guest divides at each look into a table, 300 000
    # times a second. Only for who asks for it (`quick_divider`): the emulator's own divider counts
    # eight cycles more without letting time pass. And the core's number, always 0, asked for in
    # each critical section.
    Edit(
        "_rp2040.pxd",
        "    cdef dict __dict__\n",
        """\
    cdef dict __dict__
    cdef public bint quick_divider
    cdef bint _div_signed
    cdef bint _div_open
    cdef unsigned int _div_csr
    cdef unsigned int _div_words[4]
    cdef void _divide(self) noexcept
    cdef unsigned int _divider_read(self, unsigned int offset) noexcept
    cdef void _divider_write(self, unsigned int offset, unsigned int value) noexcept
""",
    ),
    Edit(
        "_rp2040.pyx",
        "    cpdef unsigned int read_uint32(",
        """\
    cdef void _divide(self) noexcept:
        # words: dividend, divisor, quotient, remainder
        cdef long long a = self._div_words[0]
        cdef long long b = self._div_words[1]
        if self._div_signed:
            a = <int> self._div_words[0]
            b = <int> self._div_words[1]
        self._div_open = False
        if b == 0:
            self._div_words[2] = 1 if a < 0 else 0xFFFFFFFFU
            self._div_words[3] = self._div_words[0]
        else:
            self._div_words[2] = <unsigned int> (a / b)
            self._div_words[3] = <unsigned int> (a % b)

    cdef unsigned int _divider_read(self, unsigned int offset) noexcept:
        if offset == 0x78:
            return self._div_csr
        if offset < 0x70:
            return self._div_words[offset >> 2 & 1]
        if self._div_open:
            self._divide()
        if offset == 0x70:
            self._div_csr = 1
        return self._div_words[2 + (offset >> 2 & 1)]

    cdef void _divider_write(self, unsigned int offset, unsigned int value) noexcept:
        if offset < 0x70:
            self._div_words[offset >> 2 & 1] = value
            self._div_signed = offset >= 0x68
            self._div_open = True
            self._div_csr = 3
        elif offset < 0x78:
            if self._div_open:
                self._divide()
            self._div_words[2 + (offset >> 2 & 1)] = value
            self._div_csr = 3

    cpdef unsigned int read_uint32(""",
    ),
    Edit(
        "_rp2040.pyx",
        "        self.outside = True\n        if (addr >> 12) == 0xE000E:\n            return",
        """\
        if self.quick_divider and SIO_START <= addr < SIO_START + 0x7C:
            if addr == SIO_START:
                return 0
            if addr >= SIO_START + 0x60:
                return self._divider_read(addr - SIO_START)
        self.outside = True
        if (addr >> 12) == 0xE000E:
            return""",
    ),
    Edit(
        "_rp2040.pyx",
        "        elif SIO_START <= addr < SIO_START + 0x10000000:\n",
        """\
        elif self.quick_divider and SIO_START + 0x60 <= addr < SIO_START + 0x7C:
            self._divider_write(addr - SIO_START, val)
        elif SIO_START <= addr < SIO_START + 0x10000000:
""",
    ),
]
