"""Raw records of a board become one reading.

>>> reading = from_rows(rows, words)        # rows: words of records, in order
>>> reading.cap_pf, reading.a_um
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from gauge import config, record

from .procedure import Reading

CDC_LSB_PF = 8.192 / 2**24  # AD7746 data sheet, capacitive data register


def _moments(values: list[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation; None of nothing."""
    if not values:
        return None, None
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, 0.0
    return mean, sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def from_rows(
    rows: Sequence[Sequence[int]], words: Sequence[int], frequency_hz: float | None = None
) -> Reading:
    """Return the means of records (words in the order of `record.FIELD_NAMES`).

    `words` are those of the configuration with which the board ran: laser model, CAPDAC code.
    `frequency_hz`: of a target that moves up and down, about; then `skew_us` is found, too.
    Raises ValueError without a record.
    """
    from gauge.drivers.optoncdt import MODELS

    if not rows:
        raise ValueError("no windows to read")
    model = MODELS[words[config.LASER_MODEL]]

    def distance(row: Sequence[int], base: int) -> float:
        return (
            (model.num * row[base + 1] / row[base] - model.off) * model.range_8nm / model.den / 8e3
        )

    def seen(base: int) -> list[Sequence[int]]:
        return [row for row in rows if row[base] > 0 and not row[base + 11]]

    def distances(base: int) -> list[float]:
        return [distance(row, base) for row in seen(base)]

    skew = None
    if frequency_hz:
        skew = _skew_us(
            *(
                [(_middle_s(row, base), distance(row, base)) for row in seen(base)]
                for base in (record.A_N, record.B_N)
            ),
            frequency_hz,
        )

    codes = [row[record.CAP_CODE] for row in rows]
    cap, cap_sd = _moments([(c - 0x800000) * CDC_LSB_PF for c in codes if 0 < c < 0xFFFFFF])
    a, a_sd = _moments(distances(record.A_N))
    b, b_sd = _moments(distances(record.B_N))
    both = [row for row in seen(record.A_N) if row[record.B_N] > 0 and not row[record.B_ERRORS]]
    _, total_sd = _moments([distance(row, record.A_N) + distance(row, record.B_N) for row in both])

    def mean(index: int, factor: float) -> float:
        return sum(row[index] for row in rows) / len(rows) / factor

    return Reading(
        windows=len(rows),
        capdac_code=words[config.CAPDAC_CODE],
        cap_pf=cap,
        cap_sd_pf=cap_sd,
        a_um=a,
        a_sd_um=a_sd,
        b_um=b,
        b_sd_um=b_sd,
        frame_c=mean(record.FRAME_MC, 1000),
        air_c=mean(record.AIR_MC, 1000),
        rh_percent=mean(record.RH_PPM, 10_000),
        skew_us=skew,
        sum_sd_um=total_sd,
    )


def _middle_s(row: Sequence[int], base: int) -> float:
    """Mean time of a laser's samples in a window, seconds since boot."""
    end_us = row[record.T_S] * 1_000_000 + row[record.T_US]
    return (end_us - row[record.DT_US] + row[base + 6] / row[base]) / 1e6


def _skew_us(
    a: list[tuple[float, float]], b: list[tuple[float, float]], frequency_hz: float
) -> float | None:
    """True instants of laser B's samples less their stamps, less the same of A.

    `a`, `b`: (time s, distance um) of each window, of a target in sinusoidal motion. Negative:
    what A shows, B shows later, since its latency is greater than the calibration states. None
    when there are too few windows for the fit of a sine.
    """
    import numpy as np

    if min(len(a), len(b)) < 16:
        return None
    middle = a[len(a) // 2][0]

    def sine(points: list[tuple[float, float]], omega: float) -> tuple[float, float]:
        """Phase at `middle`, and by how much omega is too great."""
        t, y = np.array(points).T
        t = t - middle
        cos, sin = np.cos(omega * t), np.sin(omega * t)
        columns = np.stack([np.ones_like(t), cos, sin, t * cos, t * sin], axis=1)
        _, p, q, dp, dq = np.linalg.lstsq(columns, y, rcond=None)[0]
        return float(np.arctan2(q, p)), float((dq * p - dp * q) / (p * p + q * q))

    omega = 2 * np.pi * frequency_hz
    for _ in range(4):
        omega -= sine(a, omega)[1]
    turned = sine(a, omega)[0] - sine(b, omega)[0] - np.pi  # B looks from the other side
    return float((turned + np.pi) % (2 * np.pi) - np.pi) / omega * 1e6
