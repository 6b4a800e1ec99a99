"""What the firmware costs on the RP2040: `make bench`, or .venv/bin/python firmware/tests/bench.py

Three tables, in cycles of the emulated board, which repeat exactly: where the time of a window
goes (`bench_window`), the numbers with nothing of a recipe left out (`bench_numbers`), and what
viper saves (`bench_viper`). The emulator knows no cache misses and no wait states: the figures
are for comparison with each other and from one version to the next, not for the data sheet.
"""

from __future__ import annotations

import porogauge  # noqa: F401  first: gives the desk's Python a stand-in for `micropython`

# isort: split

import bench_numbers
import bench_viper
import bench_window
import runtime

CYCLES_PER_US = 125


def _row(name: str, cycles: float, per_window: float, period_us: float, calls: str = "") -> str:
    us = per_window / CYCLES_PER_US
    return f"{name:44}{calls:>7}{cycles:10.0f}{us:10.1f}{us / period_us:8.1%}"


def _show_window(window: bench_window.Window) -> None:
    period = window.period_us
    print(f"A window of {period:.0f} us, film in the gap, on the emulated RP2040 (125 MHz)\n")
    print(f"{'':44}{'calls':>7}{'cycles':>10}{'us':>10}{'share':>8}")
    for part in window.parts:
        if part.depth:  # the round as a whole contains the sleep
            name = "  " * (part.depth - 1) + part.name
            calls = f"{part.calls:.2f}"
            print(_row(name, part.cycles, part.per_window, period, calls))
    print(_row("whole window, CPU awake", window.cycles, window.cycles, period))
    print("\nThe rest of the waking time goes into falling asleep and looking why it woke.")


def main() -> None:
    """Measure and print."""
    window = bench_window.measure()
    _show_window(window)
    print("\nNumbers with noise, temperature laws, delays, correction table, marker\n")
    board = runtime.RP2040()
    for name, cycles in bench_numbers.cycles(board).items():
        print(_row(name, cycles, cycles, window.period_us))
    print(f"\n{'Kernels':44}{'viper':>17}{'bytecode':>10}{'ratio':>8}\n")
    for name, (viper, bytecode) in bench_viper.cycles(board).items():
        print(f"{name:44}{viper:17}{bytecode:10}{bytecode / viper:8.1f}")


if __name__ == "__main__":
    main()
