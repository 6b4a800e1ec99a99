"""Fixtures of the firmware's tests: the runtimes that its code runs on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`

sys.path.insert(0, str(Path(__file__).parent))  # for `runtime`


@pytest.fixture(scope="session")
def unix32():
    """The 32-bit unix MicroPython: the numbers of the RP2040 at the speed of the desk."""
    import runtime

    return runtime.Unix32()


@pytest.fixture(scope="session")
def rp2040():
    """The emulated RP2040: the numbers of the very image that is flashed."""
    import runtime

    return runtime.RP2040()
