"""The chart library that the page draws its curves with: uPlot, as npm installed it at set-up.

It is not part of this program: `make setup` puts it into `build/page` by `package.json` beside
this file. POROGAUGE_PAGE_LIBRARIES names another folder with a `node_modules` in it.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FILES", "folder", "missing"]

FILES = {
    "uPlot.js": "uplot/dist/uPlot.esm.js",
    "uPlot.css": "uplot/dist/uPlot.min.css",
}
_HERE = Path(__file__).resolve().parent


def folder() -> Path:
    """Folder with `node_modules`, whether it is there or not."""
    named = os.environ.get("POROGAUGE_PAGE_LIBRARIES", "").strip()
    if named:
        return Path(named).expanduser()
    return _HERE.parents[2] / "build" / "page"


def missing() -> str:
    """What to do where the library is not there; empty when it is."""
    where = folder()
    if all((where / "node_modules" / file).is_file() for file in FILES.values()):
        return ""
    return (
        f"the chart library uPlot is not in {where}: run 'make setup' where npm is installed, or"
        f" 'npm install --prefix DIR {_HERE}' and set POROGAUGE_PAGE_LIBRARIES=DIR"
    )
