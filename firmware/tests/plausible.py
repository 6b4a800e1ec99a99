"""Records such as the gauge makes them, for tests of the link and of the store.

Film of 25 um and 50 % that flutters between two lasers of 2 mm range at 4 kHz; noise and texture
of the size that the standard head shows. Seeded: the same records in every run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from gauge import record as r

Row = tuple[int, ...]
_PERIOD_US = 250
_WINDOW_US = 11_000
_CODE_NM = 30.5
_MIDDLE = 131_000  # code of the middle of the range


def rows(n: int, seed: int = 1, flutter_um: float = 20.0, first_seq: int = 0) -> list[Row]:
    """Return `n` consecutive records."""
    made = _rows(seed, flutter_um, first_seq)
    return [next(made) for _ in range(n)]


def _rows(seed: int, flutter_um: float, seq: int) -> Iterator[Row]:
    rnd = random.Random(seed)
    t_us, texture, uneven, counts = 0, 0.0, 0.0, 0
    frame_mc, air_mc, rh_ppm = 22_500, 23_100, 450_000
    while True:
        words = dict.fromkeys(r.FIELD_NAMES, 0)
        dt_us = _WINDOW_US + rnd.choice((0, 0, 0, -3, 4, 2, -1))
        end_us = t_us + dt_us
        texture = 0.9 * texture + rnd.gauss(0, 90)
        uneven = 0.9 * uneven + rnd.gauss(0, 2000)
        counts += rnd.choice((18, 18, 19))
        if seq % 90 == 45:
            frame_mc += rnd.choice((0, 0, 8, -8))
            air_mc += rnd.choice((0, 5, -5))
            rh_ppm += rnd.choice((0, 80, -80))
        t_nm = 25_000 + texture
        phi_ppm = round(500_000 + uneven + rnd.gauss(0, 2000))
        for prefix, sign in (("a_", 1), ("b_", -1)):
            laser = _laser(rnd, t_us, end_us, sign * flutter_um, t_nm)
            words.update({prefix + name: value for name, value in laser.items()})
        cap_code = round(0x800000 + 3.8e6 + 60 * texture + 10 * uneven + rnd.gauss(0, 82))
        thickness = round(8 * t_nm + rnd.gauss(0, 80))
        words.update(
            seq=seq,
            t_s=end_us // 1_000_000,
            t_us=end_us % 1_000_000,
            dt_us=dt_us,
            state=r.STATE_MEASURING,
            state_reason=r.REASON_FILM_PRESENT,
            valid=r.VALID_ALL,
            outputs=r.OUT_GOOD | (r.OUT_HEARTBEAT if end_us // 500_000 & 1 else 0),
            position_counts=counts,
            position_mm=counts // 10,
            cap_code=cap_code,
            frame_mc=frame_mc,
            air_mc=air_mc,
            rh_ppm=rh_ppm,
            c0_af=1_900_000,
            d_8nm=16_400_000,
            c0_frame_mc=23_417,
            d_frame_mc=23_398,
            u_d_8nm=14,
            standard_windows=91,
            c_af=round((cap_code - 0x800000) * 0.488),
            gap_8nm=4_000_000,
            delta_8nm=round(60_000 + 3 * texture + uneven + rnd.gauss(0, 300)),
            thickness_8nm=thickness,
            permittivity_e4=16_000 + (500_000 - phi_ppm) // 60,
            porosity_ppm=phi_ppm,
            solid_8nm=thickness * (1_000_000 - phi_ppm) // 1_000_000,
            u_thickness_8nm=200 + rnd.choice((0, 1)),
            u_porosity_ppm=2500 + rnd.randrange(-6, 6),
        )
        yield tuple(words.values())
        seq += 1
        t_us = end_us


def _laser(
    rnd: random.Random, start_us: int, end_us: int, flutter_um: float, t_nm: float
) -> dict[str, int]:
    """What one laser leaves in a record; it measures at every multiple of its period."""
    codes, times = [], []
    for t_us in range(-(-start_us // _PERIOD_US) * _PERIOD_US, end_us, _PERIOD_US):
        t_s = t_us / 1e6
        web_um = flutter_um * (
            math.sin(2 * math.pi * 10 * t_s) + 0.3 * math.sin(2 * math.pi * 3.1 * t_s)
        )
        d_nm = 1000 * web_um - t_nm / 2 + rnd.gauss(0, 30)
        codes.append(_MIDDLE + round(d_nm / _CODE_NM))
        times.append(t_us - start_us + rnd.choice((0, 0, 1)))
    second = [codes[k] - 2 * codes[k - 1] + codes[k - 2] for k in range(2, len(codes))]
    return {
        "n": len(codes),
        "sum": sum(codes),
        "first": codes[0],
        "last": codes[-1],
        "t_first_us": times[0],
        "t_last_us": times[-1],
        "t_sum_us": sum(times),
        "min": min(codes),
        "max": max(codes),
        "d2": sum(min(2047, max(-2047, d)) ** 2 for d in second),
        "n_d2": len(second),
    }
