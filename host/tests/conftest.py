"""What the host's tests share, with each other and the firmware's: helpers here and there."""

from __future__ import annotations

import sys
from pathlib import Path

import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "firmware" / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
