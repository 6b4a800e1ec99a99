"""How certificate and statistics grow with a roll: made-up ones are written and timed.

    .venv/bin/python host/tests/long_roll.py FOLDER 79000 790000 7900000

Each number of windows has a database of its own in FOLDER, made when it is not there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import porogauge  # noqa: F401  first: lets the board's modules be imported

# isort: split

import numpy as np
import roll_data

from gauge import record
from porogauge import lab, rolls
from porogauge.book import Book
from porogauge.store import Store

NAME = "long"
PIECE = 50_000  # windows that are drawn; the rest repeats them
STEP_MM = 5.5  # of web a window: 0.5 m/s


def rows(count):
    """Windows of a film with two rollers' marks, noise, holes and flags."""
    rng = np.random.default_rng(7)
    along = np.arange(count) * STEP_MM / 1000
    slow = np.convolve(rng.standard_normal(count + 999), np.ones(1000) / 1000**0.5, "valid")
    t = 25 + 0.15 * slow + 0.08 * np.sin(2 * np.pi * along / 0.9)
    t += 0.12 * rng.standard_normal(count)
    p = 50 + 0.3 * slow[::-1] + 0.2 * np.sin(2 * np.pi * along / 0.4712)
    p += 0.5 * rng.standard_normal(count)
    for seq in range(count):
        found = {
            "position_mm": round(along[seq] * 1000),
            "position_counts": round(along[seq] * 10_000),
            "cap_code": int(9_000_000 + rng.integers(20_000)),
            "thickness_8nm": int(t[seq] * 8000),
            "porosity_ppm": int(p[seq] * 10_000),
            "solid_8nm": int(t[seq] * (1 - p[seq] / 100) * 8000),
            "permittivity_e4": int(19_300 + rng.integers(-200, 200)),
            "delta_8nm": int(96_000 + rng.integers(-500, 500)),
            "rh_ppm": 451_234,
            "flags": record.FLAG_THICKNESS_HI * bool(t[seq] > 25.6),
        }
        for laser in "ab":
            words = (44, 5_800_000, 131_072, 131_100, 120, 10_900, 240_000, 131_000, 131_200, 5000)
            names = ("n", "sum", "first", "last", "t_first_us", "t_last_us", "t_sum_us", "min")
            names += ("max", "d2")
            found |= {f"{laser}_{n}": w for n, w in zip(names, words, strict=True)}
        if seq % 25_000 < 60:
            found |= {
                "state": record.STATE_OFF_SHEET,
                "valid": 0,
                "reason": record.REASON_NO_FILM,
                "flags": record.FLAG_NO_FILM,
            }
        yield roll_data.row(seq, **found)


def make(path, count):
    """Write the roll; what is repeated is shifted by SQLite itself."""
    book = Book(path.parent / "book")
    told = {"who": "test", "why": "a long roll"}
    with Store(path) as store:
        words = roll_data.documents(store)
        roll_data.fill(store, count=0, words=words)
        store.append(roll_data.DEVICE, 1, rows(min(PIECE, count)))
        moved = {"seq": PIECE, "position_mm": round(PIECE * STEP_MM)}
        moved |= {"t_s": PIECE * 11 // 1000, "position_counts": round(PIECE * STEP_MM * 10)}
        chosen = ", ".join(
            f"{n} + {moved[n]} * ?" if n in moved else n for n in record.FIELD_NAMES
        )
        for part in range(1, -(-count // PIECE)):
            store.change(
                f"INSERT INTO records SELECT device, boot, {chosen} FROM records WHERE boot=1"
                " AND device=1 AND seq < ?",
                (*[part] * len(moved), min(PIECE, count - part * PIECE)),
            )
        rolls.start(store, book, NAME, roll_data.DEVICE, 1, 0, grade="thickness", **told)
        rolls.end(store, book, NAME, 1, count - 1, **told)
        lab.add(store, book, NAME, "mean_pore_um", 0.3, u=0.02, **told)


def timed(*arguments):
    """Wall and processor seconds of a command."""
    start, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "porogauge", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def main(folder, *counts):
    print("| windows | command | wall, s | processor, s |\n| --- | --- | --- | --- |")
    for count in map(int, counts):
        path = Path(folder) / f"{count}.db"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path, count)
        place = ("--db", path, "--book", Path(folder) / "book")
        for name, command in {
            "stats": ("stats", path, "--roll", NAME),
            "certificate": ("certificate", NAME, "--to", path.with_suffix(""), *place),
            "certificate verify": ("certificate", "verify", path.with_suffix(".html"), *place),
        }.items():
            wall, used = timed(*command)
            print(f"| {count} | `{name}` | {wall:.1f} | {used:.1f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
