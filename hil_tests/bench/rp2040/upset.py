"""A program that hangs or crashes on the emulated RP2040, at whatever instruction it is.

`hang` leads the CPU into an endless loop while interrupts go on, as a program does that waits for
something that never comes. `crash` has MicroPython raise RuntimeError at its next bytecode jump:
the object that it keeps for Ctrl-C gets that type, and the function that a Ctrl-C calls is called.
The board's program needs no trace of either in it; a reset undoes both.

Addresses come from the ELF file that lies beside the image.
"""

from __future__ import annotations

import functools
from pathlib import Path

from ..target import TargetError

LOOP = 0x20040FFC  # at the end of the stack of core 1, which MicroPython does not start
ENDLESS = 0xE7FE  # b .
MOST_STEPS = 1_000_000  # to the end of an interrupt
LR = 14


@functools.cache
def symbols(image: Path) -> dict[str, tuple[int, int]]:
    """Return name -> (address, size) of the program in a UF2 file. Raises TargetError."""
    from elftools.elf.elffile import ELFFile

    path = image.with_suffix(".elf")
    if not path.is_file():
        raise TargetError(f"{path} is missing: 'make image' builds image and symbols together")
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {s.name: (s["st_value"], s["st_size"]) for s in table.iter_symbols()}


def _leave_interrupts(core) -> None:
    """Go on to an instruction of the program itself, with interrupts on."""
    core.waiting = False
    for _ in range(MOST_STEPS):
        if not core.ipsr and not core.pm:
            return
        core.execute_instruction()
    raise TargetError("the program does not come out of its interrupts")


def hang(mcu) -> None:
    """Let the program do nothing from now on; see the module."""
    _leave_interrupts(mcu.core)
    mcu.write_uint16(LOOP, ENDLESS)
    mcu.core.pc = LOOP


def crash(mcu, image: Path) -> None:
    """Let the program raise RuntimeError soon; see the module."""
    found = symbols(image)
    old, new = (found[f"mp_type_{name}"][0] for name in ("KeyboardInterrupt", "RuntimeError"))
    start, size = found["mp_state_ctx"]
    for address in range(start, start + size, 4):
        if mcu.read_uint32(address) in (old, new):
            mcu.write_uint32(address, new)
            break
    else:
        raise TargetError("MicroPython has not started yet")
    _call(mcu, found["mp_sched_keyboard_interrupt"][0])


def _call(mcu, function: int) -> None:
    """Have the CPU call a function without arguments, and go on where it was."""
    core = mcu.core
    _leave_interrupts(core)
    registers, flags, pc = list(core.registers), core.apsr, core.pc
    mcu.write_uint16(LOOP, ENDLESS)
    core.registers[LR] = LOOP | 1
    core.pc = function & ~1
    for _ in range(MOST_STEPS):
        core.execute_instruction()
        if core.pc == LOOP and not core.ipsr:
            break
    else:
        raise TargetError("a function that was called on the board does not return")
    for index, value in enumerate(registers):
        core.registers[index] = value
    core.apsr, core.pc = flags, pc
