"""Fixtures of the firmware's tests: the runtimes that its code runs on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

for _folder in ("firmware", "host", "firmware/tests"):
    if str(ROOT / _folder) not in sys.path:
        sys.path.insert(0, str(ROOT / _folder))

if importlib.util.find_spec("porogauge_bench") is None:  # not installed: take it from its folder
    _bench = ROOT / "hil_tests" / "bench"
    _spec = importlib.util.spec_from_file_location(
        "porogauge_bench", _bench / "__init__.py", submodule_search_locations=[str(_bench)]
    )
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["porogauge_bench"] = _module
    _spec.loader.exec_module(_module)

import porogauge  # noqa: E402, F401  gives the desk's Python a stand-in for `micropython`


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
