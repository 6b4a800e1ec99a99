"""What the numbers of a window cost on the RP2040, in cycles of its 125 MHz.

    python3 firmware/tests/bench_numbers.py

The board counts with SysTick, so that the same program tells the cycles of real hardware; on the
emulator the count repeats exactly and knows no cache misses: a gate against regressions.
"""

from __future__ import annotations

if __name__ == "__main__":
    import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`

from film_reference import NM, UM, ideal_record, words

CYCLES_PER_US = 125
# No cost is hidden: noise, temperature laws, delays, a correction table, a marker on its way.
VALUES = words(
    u_thickness_8nm=190 * NM,
    u_delta_8nm=50 * NM,
    u_common_8nm=50 * NM,
    u_gap_ppm=2000,
    u_solid_e6=30_000,
    u_structure_ppm=20_000,
    structure_per_solid_ppm=500_000,
    correction_nodes=33,
    layers_8nm=10 * UM,
    layers_delta_8nm=38_560,
    u_layers_8nm=500 * NM,
    u_layers_ratio_ppm=690_000,
    u_layers_delta_8nm=30 * NM,
    filter_shift=3,
    map_start_8nm=500 * UM,
    map_step_8nm=31 * UM,
    **{f"a_map_{node:02}_8nm": 100 * NM * (node & 3) for node in range(33)},
    **{f"b_map_{node:02}_8nm": 150 * NM * (node & 1) for node in range(33)},
    thickness_lo_8nm=20 * UM,
    thickness_hi_8nm=30 * UM,
    porosity_lo_ppm=400_000,
    porosity_hi_ppm=600_000,
    permittivity_max_e4=25_000,
    guard_c2=200,
    on_delay=1,
    marker_mask=0xFF,
    marker_delay_mm=1500,
)

PROGRAM = f"""
from array import array
import gc
import micropython
from gauge import record
from gauge.film import Film
from gauge.judge import Judge
from gauge.standardise import Standardiser

words = array("i", {VALUES!r})
rec = array("i", {ideal_record(35 * UM, 0.5, VALUES)!r})
rec[record.STATE] = record.STATE_MEASURING
rec[record.A_D2] = rec[record.B_D2] = 60_000
film = Film(words)
judge = Judge(words)
standardiser = Standardiser(words, film)

@micropython.viper
def count() -> int:
    return ptr32(0xE000E018)[0]

@micropython.viper
def start():
    systick = ptr32(0xE000E010)
    systick[1] = 0xFFFFFF
    systick[2] = 0
    systick[0] = 5

def nothing():
    pass

def new_climate():
    rec[record.RH_PPM] ^= 1
    film.compute(rec)

def compute():
    film.compute(rec)

def judged():
    judge.update(rec, 0)

def standardised():
    standardiser.update(rec)

def cost(function):
    function()
    gc.collect()
    start()
    t = count()
    function()
    return t - count()

def costs():
    empty = cost(nothing)
    tried = (compute, judged, standardised, new_climate)
    return array("i", [cost(function) - empty for function in tried])
"""
NAMES = ("film.compute", "judge.update", "standardiser.update", "film.compute, new climate")


def cycles(board) -> dict[str, int]:
    """Measure on a board of `runtime` (an RP2040); return cycles by what was measured."""
    with board.load(PROGRAM, timeout_s=20) as program:
        return dict(zip(NAMES, program.call("costs"), strict=True))


def main() -> None:
    import runtime

    for name, n in cycles(runtime.RP2040()).items():
        print(f"{name:26} {n:7} cycles {n / CYCLES_PER_US:7.0f} us")


if __name__ == "__main__":
    main()
