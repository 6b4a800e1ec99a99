"""The film gauge's formulas in exact and floating-point arithmetic, to test fixed point against.

Formulas and notation: physics.md section 0 and 5, `gauge.film`, `gauge.mixture`. Units as on the
board: 1/8 nm, aF, ppm, 1e-4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from gauge import config, record
from gauge.drivers.optoncdt import MODELS

EPS0_AF_PER_8NM = 8.8541878128e-12 * 1e18 * 0.125e-9  # vacuum permittivity per 1/8 nm of length
NM = 8
UM = 8000
FIELD = {name: index for index, name in enumerate(record.FIELD_NAMES)}
WORD = {name: index for index, (name, _, _) in enumerate(config.SPEC)}


def c0_af(electrode_mm: float, gap_8nm: float) -> float:
    """Capacitance of the empty gap between round electrodes."""
    area = math.pi / 4 * (electrode_mm * 1000 * UM) ** 2
    return EPS0_AF_PER_8NM * area / gap_8nm


def words(**changes: int) -> list[int]:
    """A legal configuration: the standard head, an isotropic film, no systematic errors."""
    values = {
        "laser_model": 0,
        "laser_rate_hz": 4000,
        "a_latency_us": 500,
        "b_latency_us": 500,
        "capdac_code": 36,
        "capdac_af": 5_952_756,
        "c0_af": 5_566_000,
        "gap_8nm": 500 * UM,
        "d_8nm": 2000 * UM,
        "frame_ref_mc": 23_000,
        "u_c_af": 40,
        "standard_windows": 91,
        "c0_drift_ppm": 10_000,
        "d_drift_8nm": 10 * UM,
        "standard_due_s": 720,
        "standard_due_mc": 500,
        "off_sheet_8nm": 500 * NM,
        "thickness_min_8nm": 5 * UM,
        "thickness_max_8nm": 150 * UM,
        "porosity_min_ppm": 100_000,
        "porosity_max_ppm": 850_000,
        "passline_max_8nm": 200 * UM,
        "rh_min_ppm": 200_000,
        "rh_max_ppm": 800_000,
        "air_min_mc": 13_000,
        "air_max_mc": 33_000,
        "solid_e6": 3_300_000,
        "structure_ppm": 333_333,
        "u95_porosity_limit_ppm": 1_000_000,
        "thickness_hi_8nm": 1000 * UM,
        "thickness_hihi_8nm": 1000 * UM,
        "porosity_hi_ppm": 1_000_000,
        "porosity_hihi_ppm": 1_000_000,
        "permittivity_max_e4": 1_000_000,
        "marker_length_mm": 50,
        "counts_per_m": 10_000,
    }
    values.update(changes)
    result = [0] * config.N_WORDS
    for name, low, high in config.SPEC:
        value = result[WORD[name]] = values.pop(name, max(low, min(0, high)))
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}, not within {low}..{high}")
    if values:
        raise ValueError(f"no such words: {', '.join(values)}")
    return result


def word(values: Sequence[int], name: str) -> int:
    return values[WORD[name]]


# -- forward: from a film to what the sensors read -----------------------------------------------


def permittivity(phi: float, eps_s: float, structure: float) -> float:
    """Permittivity of a mixture by the L-family (physics.md section 1)."""
    if structure > 0.999999:
        return 1 / (phi + (1 - phi) / eps_s)
    b = (eps_s - 1) * phi + structure - (1 - structure) * eps_s
    root = math.sqrt(b * b + 4 * (1 - structure) * structure * eps_s)
    return (root - b) / (2 * (1 - structure))


def cap_codes(c_af: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Converter codes for capacitances; rounds to the nearest code."""
    raw = c_af + word(values, "stray_af") - word(values, "capdac_af")
    raw = raw * (1 + word(values, "cap_gain_ppm") / 1e6) + word(values, "cap_offset_af")
    return np.clip(np.rint(raw * 256 / 125) + 0x800000, 0, 0xFFFFFF).astype(int)


def codes(distance_8nm: np.ndarray, model: int = 0) -> np.ndarray:
    """Laser codes for distances; rounds to the nearest code."""
    m = MODELS[model]
    return np.rint((distance_8nm * m.den / m.range_8nm + m.off) / m.num).astype(int)


def laser_fields(samples: Sequence[int], times: Sequence[int]) -> list[int]:
    """The 13 fields of one laser from its codes and their times in the window."""
    n = len(samples)
    if n == 0:
        return [0] * 11 + [1, 1]
    d2 = [samples[i] - 2 * samples[i - 1] + samples[i - 2] for i in range(2, n)]
    return [
        n,
        sum(samples),
        samples[0],
        samples[-1],
        times[0],
        times[-1],
        sum(times),
        min(samples),
        max(samples),
        sum(min(2047, abs(d)) ** 2 for d in d2),
        len(d2),
        0,
        0,
    ]


def make_record(cap_code: int, a: Sequence[int], b: Sequence[int], **fields: int) -> list[int]:
    """A record with its raw fields; `a`, `b` are laser_fields, the climate is 23 C, 50 %RH."""
    rec = [0] * record.N_FIELDS
    values = {"dt_us": 11_000, "frame_mc": 23_000, "air_mc": 23_000, "rh_ppm": 500_000, **fields}
    for name, value in values.items():
        rec[FIELD[name]] = value
    rec[FIELD["cap_code"]] = int(cap_code)
    rec[FIELD["a_n"] : FIELD["a_n"] + 13] = map(int, a)
    rec[FIELD["b_n"] : FIELD["b_n"] + 13] = map(int, b)
    return rec


def ideal_record(
    t_8nm: float, phi: float, values: Sequence[int], rate_hz: int = 4000, **fields: int
) -> list[int]:
    """What ideal sensors read from a film in the middle of the gap (codes are rounded)."""
    eps = permittivity(phi, word(values, "solid_e6") / 1e6, word(values, "structure_ppm") / 1e6)
    delta = t_8nm * (1 - 1 / eps)
    gap = word(values, "gap_8nm")
    code = cap_codes(np.array([word(values, "c0_af") * gap / (gap - delta)]), values)[0]
    dt = fields.get("dt_us", 11_000)
    period = 1_000_000 // rate_hz
    times = list(range(period // 2, dt, period))
    reach = (word(values, "d_8nm") + word(values, "thickness_offset_8nm") - t_8nm) / 2
    x = int(codes(np.array([reach]), word(values, "laser_model"))[0])
    share = laser_fields([x] * len(times), times)
    return make_record(code, share, share, **fields)


def with_lasers(
    values: Sequence[int], a: Sequence[int], b: Sequence[int], dt_us: int = 11_000
) -> list[int]:
    """The record of 25 um of film, 50 % porous, with these shares of the lasers."""
    rec = ideal_record(25 * UM, 0.5, values)
    rec[FIELD["dt_us"]] = dt_us
    rec[FIELD["a_n"] : FIELD["a_n"] + 13] = a
    rec[FIELD["b_n"] : FIELD["b_n"] + 13] = b
    return rec


# -- exact inverse -------------------------------------------------------------------------------


def exact_c(cap_code: int, values: Sequence[int]) -> Fraction:
    """Capacitance with film, stray removed."""
    raw = Fraction((cap_code - 0x800000) * 125, 256) - word(values, "cap_offset_af")
    raw /= 1 + Fraction(word(values, "cap_gain_ppm"), 1_000_000)
    return raw + word(values, "capdac_af") - word(values, "stray_af")


def exact_delta(c: int, c0: int, gap_8nm: int, frame_mc: int, values: Sequence[int]) -> Fraction:
    """Dielectric deficit; `gap_8nm` is the gap when C0 was found, at the calibration's frame."""
    grown = frame_mc - word(values, "frame_ref_mc")
    growth = Fraction(word(values, "gap_temp_8nm_per_k") * grown, 1000)
    delta = gap_8nm * (1 - Fraction(c0, c)) + growth - word(values, "delta_offset_8nm")
    return delta / (1 + Fraction(word(values, "kappa_ppm"), 1_000_000))


def exact_mapped(distance: Fraction, laser: str, values: Sequence[int]) -> Fraction:
    """A distance of laser "a" or "b" with its passline map."""
    step = word(values, "map_step_8nm")
    if not step:
        return distance
    first = WORD[f"{laser}_map_00_8nm"]
    x = (distance - word(values, "map_start_8nm")) / step
    x = min(max(x, Fraction(0)), Fraction(32))
    node = min(int(x), 31)
    low, high = values[first + node : first + node + 2]
    return distance + low + (x - node) * (high - low)


def exact_solid(values: Sequence[int], air_mc: int, rh_ppm: int) -> Fraction:
    """Permittivity of the solid in that climate."""
    ppm = Fraction(word(values, "solid_rh_ppm") * (rh_ppm - 500_000), 10_000)
    ppm += Fraction(word(values, "solid_t_ppm") * (air_mc - 23_000), 1000)
    return Fraction(word(values, "solid_e6"), 1_000_000) * (1 + ppm / 1_000_000)


def exact_porosity(
    t: Fraction | int, delta: Fraction | int, eps_s: Fraction, structure: Fraction
) -> Fraction:
    """Porosity (as a ratio) by the closed form."""
    part = (1 - structure) / (eps_s - 1) * Fraction(delta) / (t - delta)
    return 1 - part - structure * eps_s / (eps_s - 1) * Fraction(delta) / t


def exact_distance(rec: Sequence[int], at: int, model: int, rate_hz: int) -> Fraction:
    """Mean distance over exactly the window, by the two rules of `gauge.distance`."""
    n, total, first, last, t_first, t_last, t_sum = rec[at : at + 7]
    dt = rec[FIELD["dt_us"]]
    half = (500_000 + rate_hz // 2) // rate_hz
    e_first, e_last = t_first - half, dt - t_last - half
    missing = t_last - t_first - (n - 1) * Fraction(1_000_000, rate_hz)
    mean = Fraction(total, n)
    if abs(missing) <= half and e_first <= 2 * half and e_last <= 2 * half:
        bend = first + last - 2 * mean
        mean += ((first - mean) * e_first + (last - mean) * e_last) / dt
        if n > 1:
            aside = (2 * half + e_last) * e_last - (2 * half + e_first) * e_first
            mean += Fraction(last - first, t_last - t_first) * Fraction(aside, 2 * dt)
        if n > 7:
            aside = (2 * half + e_last) * e_last + (2 * half + e_first) * e_first
            mean += Fraction(3, 2) * bend / (t_last - t_first) * Fraction(aside, dt)
    elif t_last > t_first:
        slope = Fraction(last - first, t_last - t_first)
        mean += slope * (Fraction(dt, 2) - Fraction(t_sum, n))
    m = MODELS[model]
    return (mean * m.num - m.off) * m.range_8nm / m.den


# -- many windows with noise ---------------------------------------------------------------------


def noisy_records(
    n: int,
    t_8nm: float,
    phi: float,
    values: Sequence[int],
    laser_noise_8nm: float,
    rng: np.random.Generator,
    c_noise_af: float = 40.0,
    flutter_8nm: float = 0.0,
    flutter_hz: float = 10.0,
    skew_us: float = 0.0,
) -> np.ndarray:
    """Records of `n` windows over one film, one row each, at random phases.

    White noise on each laser sample and each conversion, rounding to codes. The web moves up and
    down by +-`flutter_8nm`; laser B samples `skew_us` after laser A.
    """
    rate, dt = word(values, "laser_rate_hz"), 11_000
    model = word(values, "laser_model")
    period = 1e6 / rate
    eps = permittivity(phi, word(values, "solid_e6") / 1e6, word(values, "structure_ppm") / 1e6)
    gap, delta = word(values, "gap_8nm"), t_8nm * (1 - 1 / eps)
    c = word(values, "c0_af") * gap / (gap - delta) + rng.normal(0, c_noise_af, n)
    rows = np.zeros((n, record.N_FIELDS), int)
    rows[:, FIELD["dt_us"]] = dt
    rows[:, FIELD["frame_mc"]] = rows[:, FIELD["air_mc"]] = 23_000
    rows[:, FIELD["rh_ppm"]] = 500_000
    rows[:, FIELD["cap_code"]] = cap_codes(c, values)
    start = rng.uniform(0, 1, n) / flutter_hz  # of the window, in the flutter's period
    reach = (word(values, "d_8nm") - t_8nm) / 2
    offset = rng.uniform(0, period, n)
    for at, sign, skew in ((FIELD["a_n"], 1, 0.0), (FIELD["b_n"], -1, skew_us)):
        first = (offset + skew) % period
        times = first[:, None] + period * np.arange(math.ceil(dt / period) + 1)
        inside = times < dt
        phase = 2 * math.pi * flutter_hz * (start[:, None] + times * 1e-6)
        height = flutter_8nm * np.sin(phase) * sign
        x = codes(reach + height + rng.normal(0, laser_noise_8nm, times.shape), model)
        ticks = np.rint(times).astype(int)
        ticks = np.minimum(ticks, dt - 1)
        count = inside.sum(1)
        last = (np.arange(n), count - 1)
        rows[:, at] = count
        rows[:, at + 1] = np.where(inside, x, 0).sum(1)
        rows[:, at + 2] = x[:, 0]
        rows[:, at + 3] = x[last]
        rows[:, at + 4] = ticks[:, 0]
        rows[:, at + 5] = ticks[last]
        rows[:, at + 6] = np.where(inside, ticks, 0).sum(1)
        rows[:, at + 7] = np.where(inside, x, 1 << 20).min(1)
        rows[:, at + 8] = np.where(inside, x, 0).max(1)
        d2 = np.minimum(np.abs(np.diff(x, 2, axis=1)), 2047) ** 2
        rows[:, at + 9] = np.where(inside[:, 2:], d2, 0).sum(1)
        rows[:, at + 10] = count - 2
    return rows
