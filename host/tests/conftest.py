"""What the host's tests share: the source tree to import from when nothing is installed."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

for _folder in ("firmware", "host", "firmware/tests"):
    if str(ROOT / _folder) not in sys.path:
        sys.path.insert(0, str(ROOT / _folder))

import porogauge  # noqa: E402, F401  gives the desk's Python a stand-in for `micropython`
