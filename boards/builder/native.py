"""The check that frozen machine code will run as it was compiled.

A viper function frozen for the ARMv6-M reads its 32-bit constants relative to its own start, with
loads that drop the two lowest bits of the address. It therefore has to start at a multiple of 4;
anywhere else it computes with wrong constants and no error. MicroPython's own tools ask the
compiler for a multiple of 2 only. The board's cmake file mends that; this proves it, image by
image, because an unmended function is right or wrong by the luck of the link.
"""

from __future__ import annotations

import re

from .shell import BuildError

ALIGNMENT = 4

# mpy-tool.py writes bytecode as plain data and machine code with a section of its own.
NATIVE_ARRAY = re.compile(r"\bfun_data_(\w+)\[\d+\] __attribute__\(\(section\(")
NATIVE_SOURCE = re.compile(r"^\s*@micropython\.(viper|native|asm_thumb)\b", re.MULTILINE)


def has_native(source: str) -> bool:
    """Return whether a Python source asks for machine code."""
    return NATIVE_SOURCE.search(source) is not None


def native_functions(frozen_content: str) -> set[str]:
    """Return the symbols of machine code in the text of frozen_content.c."""
    return {f"fun_data_{name}" for name in NATIVE_ARRAY.findall(frozen_content)}


def addresses(nm_output: str) -> dict[str, int]:
    """Return the address of each symbol in the output of nm."""
    found = {}
    for line in nm_output.splitlines():
        fields = line.split()
        if len(fields) == 3:
            found[fields[2]] = int(fields[0], 16)
    return found


def check_alignment(frozen_content: str, nm_output: str, expect_native: bool) -> int:
    """Return the number of frozen native functions, all of which start at a multiple of 4.

    `frozen_content` is the text of frozen_content.c, `nm_output` what nm says of the linked
    firmware, `expect_native` whether the frozen sources hold any such function.

    Raises BuildError when one is misplaced, or when the check found nothing to look at.
    """
    functions = native_functions(frozen_content)
    if expect_native and not functions:
        raise BuildError(
            "the frozen modules use viper, but no machine code was found in frozen_content.c; "
            "mpy-tool.py may write it differently now: correct boards/builder/native.py"
        )
    placed = addresses(nm_output)
    absent = sorted(functions - placed.keys())
    if absent:
        raise BuildError(f"frozen machine code is not in the image: {', '.join(absent)}")
    wrong = sorted(name for name in functions if placed[name] % ALIGNMENT)
    if wrong:
        named = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        raise BuildError(
            f"{len(wrong)} of {len(functions)} frozen native functions do not start at a "
            f"multiple of {ALIGNMENT} and would read wrong constants: {named}. "
            "The mend in the board's mpconfigboard.cmake (frozen_content.c) has no effect"
        )
    return len(functions)
