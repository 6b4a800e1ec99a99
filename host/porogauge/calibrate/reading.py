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


def from_rows(rows: Sequence[Sequence[int]], words: Sequence[int]) -> Reading:
    """Return the means of records (words in the order of `record.FIELD_NAMES`).

    `words` are those of the configuration with which the board ran: laser model, CAPDAC code.
    Raises ValueError without a record.
    """
    from gauge.drivers.optoncdt import MODELS

    if not rows:
        raise ValueError("no windows to read")
    model = MODELS[words[config.LASER_MODEL]]

    def distances(base: int) -> list[float]:
        return [
            (model.num * row[base + 1] / row[base] - model.off) * model.range_8nm / model.den / 8e3
            for row in rows
            if row[base] > 0 and not row[base + 11]
        ]

    codes = [row[record.CAP_CODE] for row in rows]
    cap, cap_sd = _moments([(c - 0x800000) * CDC_LSB_PF for c in codes if 0 < c < 0xFFFFFF])
    a, a_sd = _moments(distances(record.A_N))
    b, b_sd = _moments(distances(record.B_N))

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
    )
