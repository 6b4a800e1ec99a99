"""The constants of a board folder, read without importing the firmware.

>>> load("POROGAUGE_RP2040").PIN_READY
6
"""

from __future__ import annotations

import functools
import runpy
from types import SimpleNamespace

from ..images import ROOT


@functools.cache
def load(name: str) -> SimpleNamespace:
    """Return the constants of `boards/NAME/board.py`. Raises FileNotFoundError."""
    values = runpy.run_path(str(ROOT / "boards" / name / "board.py"))
    return SimpleNamespace(**{key: value for key, value in values.items() if key.isupper()})


def pin(board: SimpleNamespace, wire: str) -> int:
    """Return the pin number of a wire ("ready", "good", ...). Raises KeyError that names it."""
    try:
        return getattr(board, f"PIN_{wire.upper()}")
    except AttributeError:
        raise KeyError(f"the board file has no PIN_{wire.upper()}") from None
