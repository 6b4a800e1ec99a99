"""Periods along the web: power spectrum over length, its peaks, and the rollers they fit. Pure.

Welch's method: stretches of web that overlap by half, each without its straight line and under a
Hann window, their power spectra averaged (Welch, IEEE Trans. AU-15, 1967, 70). A peak is a period
when its power is more than chance makes at any frequency (0.1 % in all) and twice what is around
it. What returns once with every turn of a roller has the roller's circumference as period; its
shape adds periods of a half, a third, ... of it.

    >>> found = spectrum(values, step_m=0.006)
    >>> [round(peak.period_mm, 1) for peak in peaks(found)]
    [900.2]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from .estimate import NotComputable, chi2_point

__all__ = ["Peak", "Spectrum", "peaks", "rollers_of", "spectrum"]

_SHORTEST, _LONGEST = 256, 32_768  # values of a stretch
_HOLES = 0.1  # share of a stretch that may be filled in
_AROUND = 51  # frequencies whose median is what is around a peak
_APART = 4  # steps of frequency between two peaks
_TURNS = 8  # periods within a stretch, at least
_CHANCE = 1e-3  # of a false period anywhere
_RATIO = 2.0
_HARMONICS = 5
_BATCH = 64  # stretches at a time


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One-sided density over frequency: its sum times `resolution` is a variance."""

    frequency_per_m: np.ndarray
    density: np.ndarray
    resolution_per_m: float
    stretch_m: float
    stretches: int
    left_out: int  # stretches with too many holes

    @property
    def dof(self) -> float:
        """Degrees of freedom of a density: halves that overlap are worth nearly two."""
        return 2 * self.stretches * (1 if self.stretches == 1 else 36 / 38)


@dataclass(frozen=True, slots=True)
class Peak:
    """A period, its 95 % interval (half a step of frequency to each side), its amplitude.

    `amplitude` is that of a sine, in the value's unit; `share_percent` of the whole variance.
    """

    period_mm: float
    low95_mm: float
    high95_mm: float
    amplitude: float
    share_percent: float
    over_surroundings: float


def spectrum(values: np.ndarray, step_m: float) -> Spectrum:
    """Spectrum of equally spaced values; NaN are holes.

    A stretch of which more than a tenth is missing is left out; smaller holes are bridged by
    straight lines. Raises NotComputable when the web is too short.
    """
    values = np.asarray(values, dtype=float)
    size = _LONGEST
    while size > _SHORTEST and 8 * size > len(values):
        size //= 2
    if len(values) < size:
        raise NotComputable(
            f"{len(values) * step_m:.3g} m of web: a spectrum needs {size * step_m:.3g} m at least"
        )
    from scipy.fft import rfft

    window = np.sin(np.pi * np.arange(size) / size) ** 2
    ramp = np.arange(size) - (size - 1) / 2
    scale = 2 * step_m / float((window**2).sum())
    starts = np.arange(0, len(values) - size + 1, size // 2)
    total = np.zeros(size // 2 + 1)
    used = 0
    for batch in range(0, len(starts), _BATCH):
        rows = np.stack([values[s : s + size] for s in starts[batch : batch + _BATCH]])
        lack = np.isnan(rows)
        keep = lack.sum(axis=1) <= _HOLES * size
        rows, lack = rows[keep], lack[keep]
        if not len(rows):
            continue
        for number in np.flatnonzero(lack.any(axis=1)):
            holes = lack[number]
            rows[number, holes] = np.interp(
                np.flatnonzero(holes), np.flatnonzero(~holes), rows[number, ~holes]
            )
        rows -= rows.mean(axis=1, keepdims=True)
        rows -= (rows @ ramp / (ramp @ ramp))[:, None] * ramp
        rows *= window
        spectra = rfft(rows, axis=1, overwrite_x=True)
        total += (spectra.real**2 + spectra.imag**2).sum(axis=0)
        used += len(rows)
    if not used:
        raise NotComputable(
            f"no {size * step_m:.3g} m of web in a row have nine tenths of their readings"
        )
    density = total * scale / used
    if not float(density[1:].max()) > 1e-20 * float(np.nanmax(np.abs(values))) ** 2:
        raise NotComputable("the readings do not vary")
    density[[0, -1]] /= 2
    return Spectrum(
        np.fft.rfftfreq(size, step_m),
        density,
        1 / (size * step_m),
        size * step_m,
        used,
        len(starts) - used,
    )


def peaks(found: Spectrum) -> list[Peak]:
    """Periods of a spectrum, the strongest first."""
    from scipy.ndimage import maximum_filter1d, median_filter

    density, step = found.density, found.resolution_per_m
    dof = found.dof
    middle = chi2_point(0.5, dof) / dof
    around = median_filter(density, size=_AROUND, mode="nearest") / middle
    ratio = density / np.maximum(around, 1e-12 * float(density[1:].max()))
    least = max(_RATIO, chi2_point(1 - _CHANCE / len(density), dof) / dof)
    places = np.flatnonzero((ratio == maximum_filter1d(ratio, 2 * _APART + 1)) & (ratio > least))
    variance = float(density[1:].sum()) * step
    made = []
    for place in places:
        if place < _TURNS or place > len(density) - 3:
            continue
        lobe = slice(place - 2, place + 3)
        power = float((density[lobe] - around[lobe]).sum()) * step
        # Vertex of the parabola through the logarithms: a Hann lobe is nearly one.
        a, b, c = np.log(np.maximum(density[place - 1 : place + 2], 1e-300))
        shift = 0.5 * (a - c) / (a - 2 * b + c)
        frequency = (place + min(0.5, max(-0.5, float(shift)))) * step
        made.append(
            Peak(
                1000 / frequency,
                1000 / (frequency + step / 2),
                1000 / (frequency - step / 2),
                sqrt(2 * max(0.0, power)),
                100 * max(0.0, power) / variance,
                float(ratio[place]),
            )
        )
    return sorted(made, key=lambda peak: -peak.amplitude)


def rollers_of(peak: Peak, rollers: Mapping[str, float], step_per_m: float) -> list[str]:
    """Names of the rollers (circumference in mm) whose turn, or a part of it, the period is.

    A period fits when its frequency is within one step of the spectrum's.
    """
    frequency = 1000 / peak.period_mm
    made = []
    for name, circumference in rollers.items():
        for part in range(1, _HARMONICS + 1):
            if abs(frequency - part * 1000 / circumference) <= step_per_m:
                made.append(name if part == 1 else f"{name}, 1/{part} of a turn")
    return made
