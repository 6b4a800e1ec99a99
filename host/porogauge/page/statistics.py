"""Statistics of a roll or gauge for the page: the report of `porogauge.stats`, and its pictures'
points, thinned where they are more than a screen shows."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..errors import UsageError
from ..stats import Options, statistics
from ..stats.windows import VALUES

__all__ = ["Statistics"]

_POINTS = 2000


class Statistics:
    """Statistics of a database, one computed at a time."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._lock = threading.Lock()

    def of(self, roll: str | None, device: str, value: str) -> dict[str, Any]:
        """Report of one value, with `chart` (X-bar) and `spectrum_curve`."""
        if value not in VALUES:
            raise UsageError(f"value: {value} is not one of {', '.join(VALUES)}")
        with self._lock:
            found = statistics(
                self._database,
                Options(values=(value,)),
                roll=roll or None,
                device=None if roll else device,
            )[0]
        return found.report | {"chart": _chart(found), "spectrum_curve": _spectrum(found)}


def _extremes(values: np.ndarray) -> np.ndarray:
    """Indices of the lowest and the highest of each of the pieces that a screen tells apart."""
    kept = []
    for piece in np.array_split(np.arange(len(values)), max(1, min(len(values), _POINTS) // 2)):
        there = piece[np.isfinite(values[piece])]
        if len(there):
            kept += [there[np.argmin(values[there])], there[np.argmax(values[there])]]
    return np.unique(np.array(kept, dtype=int))


def _chart(found: Any) -> dict[str, Any] | None:
    """Its extremes are all there; of what is between them as much as a screen shows."""
    chart = found.charts.get("xbar_s") or found.charts.get("individuals")
    if chart is None or found.middles is None:
        return None
    count = len(chart.points)
    kept = _extremes(chart.points) if count > _POINTS else np.arange(count)
    return {
        "name": chart.name,
        "metres": found.middles[:count][kept].tolist(),
        "points": chart.points[kept].tolist(),
        "beyond": chart.beyond[kept].tolist(),
        "centre": float(chart.centre),
        "lower": float(np.max(chart.lower)),
        "upper": float(np.min(chart.upper)),
        "all": count,
    }


def _spectrum(found: Any) -> dict[str, Any] | None:
    if found.spectrum is None:
        return None
    spectrum = found.spectrum
    there = spectrum.frequency_per_m > 0
    frequency, density = spectrum.frequency_per_m[there], spectrum.density[there]
    parts = np.array_split(np.arange(len(frequency)), min(len(frequency), _POINTS // 2))
    top = [int(part[np.argmax(density[part])]) for part in parts if len(part)]
    return {"frequency_per_m": frequency[top].tolist(), "density": density[top].tolist()}
