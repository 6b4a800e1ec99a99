"""Vectors over the gauge's whole envelope, made on the board itself from a seed.

Because the board makes them, nothing but a seed goes to it and nothing but a digest comes back:
the 32-bit runtime and the (slow) emulated RP2040 are compared on tens of thousands of records.
The 32-bit runtime gives the records as well, which are checked against exact arithmetic.

    python3 firmware/tests/vectors.py                  # 23 500 vectors on both; worst errors
    python3 firmware/tests/vectors.py --board unix32   # without the emulated board

Envelope (a superset of it): thickness 5-150 um, permittivity of the solid 2.6-4, L 0-0.7, gap
0.3-1 mm, electrodes 10-30 mm, porosity from the closed form between 10 and 85 %, all lasers of
`MODELS` with a range up to 25 mm, windows with and without missing samples, all climates; with
and without passline maps, known layers of up to 60 um on the film, corrections of scale and
offset, a frame that has warmed up since the reference was found.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from fractions import Fraction

if __name__ == "__main__":
    import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`

import film_reference as ref

from gauge import config, record

GROUP = 50  # vectors that share a configuration
SEED = 20_260

PROGRAM = (
    f"""
from micropython import const
BASE = {ref.words()!r}
GROUP = {GROUP}
CAP_CODE = const({record.CAP_CODE})
A_N = const({record.A_N})
B_N = const({record.B_N})
AIR_MC = const({record.AIR_MC})
RH_PPM = const({record.RH_PPM})
"""
    + '''
from array import array
from binascii import crc32
import micropython
from gauge import config, record
from gauge.drivers.optoncdt import MODELS
from gauge.film import Film
from gauge.kernels import muldiv

MODEL_INDICES = [i for i in range(len(MODELS)) if MODELS[i].range_8nm <= 200_000_000]
rec = record.new()
seed = array("i", [1])
words = array("i", BASE)
head = array("i", bytes(52))  # what window() needs of it


@micropython.viper
def draw(low: int, high: int) -> int:
    """The next number of the minimal standard generator (Park and Miller), low..high."""
    s = ptr32(seed)
    x = s[0]
    part = x // 127773
    x = 16807 * (x - part * 127773) - 2836 * part
    if x <= 0:
        x += int(0x7FFFFFFF)
    s[0] = x
    return low + (x >> 4) % (high - low + 1)


def configure():
    """A head and a recipe; every word that decides a number."""
    gap = draw(300, 1000) * 8000
    electrode = draw(100, 300)  # 0.1 mm
    c0 = muldiv(electrode * electrode, 69_539, gap // 8000, 13)
    model = MODEL_INDICES[draw(0, len(MODEL_INDICES) - 1)]
    words[config.LASER_MODEL] = model
    words[config.GAP_8NM] = gap
    words[config.C0_AF] = c0
    words[config.CAPDAC_AF] = c0 + 3_900_000
    words[config.CAP_GAIN_PPM] = draw(-10_000, 10_000)
    words[config.CAP_OFFSET_AF] = draw(-50_000, 50_000)
    words[config.STRAY_AF] = draw(-50_000, 100_000)
    words[config.D_8NM] = MODELS[model].range_8nm
    words[config.SOLID_E6] = draw(2_600_000, 4_000_000)
    words[config.STRUCTURE_PPM] = draw(0, 700_000)
    words[config.SOLID_RH_PPM] = draw(-2000, 2000)
    words[config.SOLID_T_PPM] = draw(-2000, 2000)
    words[config.U_THICKNESS_8NM] = draw(0, 4000)
    words[config.U_DELTA_8NM] = draw(0, 1000)
    words[config.U_COMMON_8NM] = draw(0, 1000)
    words[config.U_GAP_PPM] = draw(0, 5000)
    words[config.U_SOLID_E6] = draw(0, 100_000)
    words[config.U_STRUCTURE_PPM] = draw(0, 150_000)
    words[config.STRUCTURE_PER_SOLID_PPM] = draw(-2_000_000, 2_000_000)
    words[config.THICKNESS_OFFSET_8NM] = draw(-8000, 8000)
    corrected = draw(0, 1)
    words[config.D_TEMP_8NM_PER_K] = corrected * draw(-10_000, 10_000)
    words[config.GAP_TEMP_8NM_PER_K] = corrected * draw(-10_000, 10_000)
    words[config.KAPPA_PPM] = corrected * draw(-5000, 5000)
    words[config.DELTA_OFFSET_8NM] = corrected * draw(-1000, 1000)
    stack()
    words[config.D_8NM] += passline(words[config.D_8NM])
    head[0] = c0
    head[1] = gap
    head[2] = words[config.SOLID_E6] // 100
    head[3] = words[config.CAPDAC_AF] - words[config.STRAY_AF]
    head[11] = 1_000_000 + words[config.CAP_GAIN_PPM]
    head[12] = words[config.CAP_OFFSET_AF]
    head[4] = MODELS[model].range_8nm
    head[9] = words[config.LAYERS_8NM] - words[config.THICKNESS_OFFSET_8NM]
    head[10] = words[config.LAYERS_DELTA_8NM]
    model = MODELS[model]
    a, b = model.range_8nm, model.den
    while b:
        a, b = b, a % b
    head[5] = model.den // a
    head[6] = model.range_8nm // a
    head[7] = model.off
    head[8] = model.num
    rec[record.DT_US] = 11_000
    rec[record.FRAME_MC] = words[config.FRAME_REF_MC] + draw(-50, 50)
    return Film(words)


def stack():
    """Layers on the film, or none."""
    t = draw(-1, 1) * draw(8000, 480_000)
    if t < 0:
        t = 0
    words[config.LAYERS_8NM] = t
    words[config.LAYERS_DELTA_8NM] = muldiv(t, draw(200, 1000), 1000, 9)
    words[config.U_LAYERS_8NM] = draw(0, 4000) if t else 0
    words[config.U_LAYERS_RATIO_PPM] = draw(200_000, 1_000_000) if t else 0
    words[config.U_LAYERS_DELTA_8NM] = draw(0, 1000) if t else 0


def passline(reach):
    """Maps of both lasers, or none; return what they add to both in the middle of `reach`."""
    step = reach // 64 if draw(0, 2) else 0
    at = draw(-3, 35)  # node in the middle: beyond the ends, too
    words[config.MAP_STEP_8NM] = step
    words[config.MAP_START_8NM] = max(0, reach // 2 - at * step)
    total = 0
    for first in (config.A_MAP_00_8NM, config.B_MAP_00_8NM):
        value = draw(-20_000, 20_000)
        for node in range(33):
            words[first + node] = value if step else 0
            value += draw(-400, 400)
        total += words[first + min(max(at, 0), 32)]
    return total


@micropython.viper
def laser(at: int, code: int, slope: int):
    """One laser's share: `code` in the middle of the window, moving by `slope` per sample."""
    r = ptr32(rec)
    n = int(draw(43, 45))
    t_first = int(draw(0, 249))
    t_last = t_first + 250 * (n - 1)
    t_sum = n * t_first + 125 * n * (n - 1)
    if int(draw(0, 2)) == 0:  # the first samples are missing, of a motion that leaves a result
        missing = int(draw(5, 20))
        slope >>= 3
        n -= missing
        t_first = t_last - 250 * (n - 1)
        t_sum = n * t_first + 125 * n * (n - 1)
        code += slope * missing >> 1
    first = code - (slope * n >> 1) + int(draw(-5, 5))
    last = first + slope * (n - 1) + int(draw(-5, 5))
    low = first
    high = last
    if low > high:
        low = last
        high = first
    r[at] = n
    r[at + 1] = code * n + int(draw(-99, 99))
    r[at + 2] = first
    r[at + 3] = last
    r[at + 4] = t_first
    r[at + 5] = t_last
    r[at + 6] = t_sum
    r[at + 7] = low - 9
    r[at + 8] = high + 9
    r[at + 9] = int(draw(0, 60_000))
    r[at + 10] = n - 2


@micropython.viper
def window():
    """A film within the envelope, as raw fields of the record."""
    r = ptr32(rec)
    h = ptr32(head)
    octave = int(draw(0, 4))
    top = 80_000 << octave
    if top > 1_200_000:
        top = 1_200_000
    t = int(draw(40_000 << octave, top))
    eps = 10_000 + int(muldiv(draw(20, 980), h[2] - 10_000, 1000, 14))
    while True:
        delta = h[10] + t - int(muldiv(t, 10_000, eps, 14))
        c = int(muldiv(h[0], h[1], h[1] - delta, 6))
        if c - h[0] < 7_700_000:  # the converter's span
            break
        t >>= 1
    c = int(muldiv(c - h[3], h[11], 1_000_000, 9)) + h[12]
    r[CAP_CODE] = 0x800000 + int(muldiv(c, 256, 125, 20))
    reach = (h[4] - t - h[9]) >> 1
    side = int(draw(-100_000, 100_000))
    motion = int(draw(-40, 40))
    a = int(muldiv(reach + side, h[5], h[6], 10)) + h[7]
    laser(A_N, a // h[8], motion)
    b = int(muldiv(reach - side, h[5], h[6], 10)) + h[7]
    laser(B_N, b // h[8], 0 - motion)
    r[AIR_MC] = int(draw(13_000, 33_000))
    r[RH_PPM] = int(draw(200_000, 800_000))


def group(number, full):
    """Make and compute a group; return its digest, or its words and records."""
    seed[0] = number * 7919 + 1
    for _ in range(10):
        draw(0, 1)
    film = configure()
    out = array("i", words) if full else None
    crc = crc32(words)
    made = 0
    while made < GROUP:
        window()
        film.compute(rec)
        phi = rec[record.POROSITY_PPM]
        if 100_000 <= phi <= 850_000 or not rec[record.VALID] & record.VALID_POROSITY:
            made += 1
            crc = crc32(rec, crc)
            if full:
                out.extend(rec)
    return out if full else crc & 0x3FFFFFFF


def digests(first, n):
    return array("i", [group(first + k, False) for k in range(n)])
'''
)

ENVELOPE = ("c", "delta", "corrected delta", "thickness", "permittivity", "porosity", "solid")


def errors(values: list[int], rec: list[int]) -> dict[str, Fraction]:
    """Errors of one record against exact arithmetic: aF, nm, nm, nm, 1, ppm, nm."""
    at = ref.FIELD
    rate, model = ref.word(values, "laser_rate_hz"), ref.word(values, "laser_model")
    c, c0, gap = rec[at["c_af"]], rec[at["c0_af"]], ref.word(values, "gap_8nm")
    delta, t = rec[at["delta_8nm"]], rec[at["thickness_8nm"]]
    reach = -ref.word(values, "thickness_offset_8nm") + ref.word(values, "layers_8nm")
    for laser in "ab":
        distance = ref.exact_distance(rec, at[f"{laser}_n"], model, rate)
        reach += ref.exact_mapped(distance, laser, values)
    corrections = ("gap_temp_8nm_per_k", "kappa_ppm", "delta_offset_8nm")
    corrected = any(ref.word(values, name) for name in corrections)
    result = {
        "c": c - ref.exact_c(rec[at["cap_code"]], values),
        "corrected delta" if corrected else "delta": (
            delta - ref.exact_delta(c, c0, gap, rec[at["frame_mc"]], values)
        )
        / 8,
    }
    if rec[at["valid"]] & record.VALID_THICKNESS:
        result["thickness"] = (t - (rec[at["d_8nm"]] - reach)) / 8
    delta -= ref.word(values, "layers_delta_8nm")
    if rec[at["valid"]] & record.VALID_POROSITY:
        eps_s = ref.exact_solid(values, rec[at["air_mc"]], rec[at["rh_ppm"]])
        structure = Fraction(ref.word(values, "structure_ppm"), 1_000_000)
        phi = ref.exact_porosity(t, delta, eps_s, structure)
        eps = Fraction(t, t - delta)
        result["permittivity"] = Fraction(rec[at["permittivity_e4"]], 10_000) - eps
        result["porosity"] = rec[at["porosity_ppm"]] - phi * 1_000_000
        result["solid"] = (rec[at["solid_8nm"]] - t * (1 - phi)) / 8
    return result


def groups(program, n_groups: int, first: int = SEED) -> Iterator[tuple[list[int], list]]:
    """Yield the configuration and the records of each group (a 32-bit runtime's program)."""
    for number in range(first, first + n_groups):
        flat = program.call("group", number, 1)
        values, flat = flat[: config.N_WORDS], flat[config.N_WORDS :]
        size = record.N_FIELDS
        yield values, [flat[k : k + size] for k in range(0, len(flat), size)]


def worst(program, n_groups: int) -> tuple[dict[str, float], int]:
    """Return the worst error of each number, and how many records had a porosity."""
    largest = dict.fromkeys(ENVELOPE, Fraction(0))
    n_valid = 0
    for values, records in groups(program, n_groups):
        for rec in records:
            found = errors(values, rec)
            n_valid += "porosity" in found
            for name, error in found.items():
                largest[name] = max(largest[name], abs(error))
    return {name: float(value) for name, value in largest.items()}, n_valid


def main() -> int:
    import runtime

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--board", choices=("both", "unix32"), default="both")
    parser.add_argument("--vectors", type=int, default=23_500)
    args = parser.parse_args()
    n_groups = -(-args.vectors // GROUP)
    with runtime.Unix32().load(PROGRAM) as program:
        largest, n_valid = worst(program, n_groups)
        print(f"{n_groups * GROUP} vectors, {n_valid} with a porosity; worst errors:")
        units = ("aF", "nm", "nm", "nm", "", "ppm", "nm")
        for (name, value), unit in zip(largest.items(), units, strict=True):
            print(f"  {name:15} {value:.6f} {unit}")
        expected = program.call("digests", SEED, n_groups)
    if args.board == "unix32":
        return 0
    t0 = time.monotonic()
    differing = 0
    with runtime.RP2040().load(PROGRAM, timeout_s=600) as program:
        for k in range(0, n_groups, 10):
            n = min(10, n_groups - k)
            found = program.call("digests", SEED + k, n)
            differing += sum(x != y for x, y in zip(found, expected[k : k + n], strict=True))
    print(
        f"emulated RP2040: {differing} of {n_groups} groups differ, {time.monotonic() - t0:.0f} s"
    )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
