"""What the host's tests share with the firmware's: helpers in firmware/tests."""

from __future__ import annotations

import sys
from pathlib import Path

import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "firmware" / "tests"))
