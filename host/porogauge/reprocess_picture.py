"""The picture of a reprocessed roll: thickness and porosity before and after, and the difference.

reprocess_picture(store, roll, run, "A-17-reprocessed.png")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gauge import record

from .errors import PorogaugeError
from .pictures import BLUE, DARK, GREY, RED
from .reprocess import side_by_side
from .rolls import Roll
from .store import Store

__all__ = ["reprocess_picture"]

_MOST = 20_000  # points of a curve
_QUANTITIES = (
    ("thickness", "8nm", 8000, record.VALID_THICKNESS, "µm"),
    ("porosity", "ppm", 10_000, record.VALID_POROSITY, "%"),
)


def reprocess_picture(store: Store, roll: Roll, run: int, to: str | Path, text: str) -> Path:
    """Draw a run of `porogauge.reprocess` and return the path; `text` says what was changed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    names = [f"{name}_{unit}" for name, unit, *_ in _QUANTITIES]
    names += [f"u_{name}" for name in names] + ["valid"]
    found = side_by_side(store, roll, run, names)
    step = max(1, len(found["seq"]) // _MOST)
    x = found["metres"][::step]
    label = "length, m"
    if x[-1] - x[0] < 0.1:  # the web stood still
        x, label = np.arange(len(found["seq"]))[::step], "window"
    figure, axes = plt.subplots(4, 1, sharex=True, figsize=(12.5, 10), layout="constrained")
    try:
        for row, quantity in enumerate(_QUANTITIES):
            _draw(np, axes[2 * row], axes[2 * row + 1], x, found, step, *quantity)
        axes[-1].set_xlabel(label)
        for one in axes:
            one.grid(axis="x", color="#e6e6e6", lw=0.6)
            one.spines[["top", "right"]].set_visible(False)
        figure.suptitle(
            f"Roll {roll.name}, recomputed", x=0.01, ha="left", fontweight="bold", color=DARK
        )
        axes[0].set_title(text, loc="left", fontsize=9, color=DARK)
        figure.savefig(to, dpi=130)
    except OSError as error:
        raise PorogaugeError(f"{to}: cannot be written: {error.strerror or error}") from None
    finally:
        plt.close(figure)
    return Path(to)


def _draw(
    np: Any,
    upper: Any,
    lower: Any,
    x: Any,
    found: dict[str, Any],
    step: int,
    name: str,
    unit: str,
    factor: int,
    bit: int,
    text: str,
) -> None:
    """Both values above, their difference with the stored U95 below."""

    def value(end: str) -> Any:
        there = found[f"valid{end}"] & bit != 0
        return np.where(there, found[f"{name}_{unit}{end}"] / factor, np.nan)[::step]

    before, after = value(""), value("_new")
    upper.plot(x, before, color=GREY, lw=2.5, label="as reported")
    upper.plot(x, after, color=BLUE, lw=0.9, marker=".", ms=1.5, label="recomputed")
    upper.set_ylabel(f"{name}, {text}")
    where = {"loc": "lower right", "bbox_to_anchor": (1, 0.99), "frameon": False, "ncols": 2}
    upper.legend(fontsize=8, **where)
    u95 = np.where(np.isfinite(before), 2 * found[f"u_{name}_{unit}"][::step] / factor, np.nan)
    lower.fill_between(x, -u95, u95, color=GREY, alpha=0.22, lw=0, label="U95 as reported")
    lower.plot(x, after - before, color=RED, lw=0.9, label="recomputed - reported")
    lower.axhline(0, color=GREY, lw=0.9, ls="--", zorder=0.5)
    lower.set_ylabel(f"difference, {text}")
    lower.legend(fontsize=8, **where)
