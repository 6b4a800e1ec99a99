"""`porogauge demo` in pieces: an emulated board behind a TCP port, logged like a real one.

    with emulated_board(scenario_path, "rp2040", pace=1.0) as board: ...
    files = write_files(folder, scenario_path)       # recipe and calibration that fit the head
    truth = truth_of(scenario_path, rows)            # what was really in the gap
    compare(rows, truth)                             # errors and coverage

The board runs in a process of its own in real time, as far as the machine keeps up; the world is
a function of the board's time, so what was true in a window is known afterwards.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gauge import record

from .bench import load
from .errors import PorogaugeError
from .recipe import dumps

__all__ = [
    "certified",
    "compare",
    "emulated_board",
    "report",
    "truth_of",
    "write_files",
    "write_json",
]

SPARE_S = 60  # virtual time after which a board that has not done its roll is given up


def _build(path: Path, target_name: str, seed: int | None) -> Any:
    """Make the board with its sensors and switch it on; runs in the board's process."""
    # Ctrl-C is for the logger: it ends this process when it has closed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    target = load("runner").make_target(target_name)
    scenario = _scenario(path, seed)
    instruments = load("instruments").Instruments(scenario, target.clock, target.i2c)
    instruments.plug_into(target)
    target.instruments = instruments  # lives as long as the board
    target.boot()
    return target


def _scenario(path: Path, seed: int | None) -> Any:
    scenario = load("scenario").Scenario.load(path)
    if seed is not None:
        scenario.run.seed = seed
    return scenario


@contextmanager
def emulated_board(
    path: Path, target: str, *, pace: float | None = 1.0, seed: int | None = None
) -> Iterator[Any]:
    """Run the board of a scenario; the value has its port (`url`), and whether it is `running`.

    It ends by itself a minute of virtual time after the scenario.
    """
    build = partial(_build, path, target, seed)
    until_ns = round((_scenario(path, seed).run.duration_s + SPARE_S) * 1e9)
    with load("serve").ServerProcess(build, pace=pace, until_ns=until_ns) as process:
        yield process


def write_files(folder: Path, path: Path, seed: int | None = None) -> list[str]:
    """Write the recipe and calibration that fit a scenario exactly; return their paths."""
    files = load("calibration").exact_files(_scenario(path, seed))
    paths = []
    for kind, tables in zip(("recipe", "calibration"), files, strict=True):
        target = folder / f"{kind}.toml"
        target.write_text(
            dumps(kind, tables, head=f"The {kind} of {path.name}."), encoding="utf-8"
        )
        paths.append(str(target))
    return paths


def certified(folder: Path) -> Path:
    """Make the film that was logged a roll, and write its certificate; the path of its page."""
    from . import certificate, rolls
    from .book import Book
    from .store import Store

    book, told = Book(folder / "book"), {"who": "demo", "why": "the demo"}
    with Store(folder / "roll.db") as store:
        device, *_ = rolls.newest(store)
        film = store.query(
            "SELECT boot, seq FROM records WHERE device=? AND valid=? ORDER BY boot, seq",
            (store.device_id(device), record.VALID_ALL),
        )
        if not film:
            raise PorogaugeError(f"{store.path}: nothing was measured: there is no roll")
        rolls.start(store, book, "demo", device, *film[0], **told)
        roll = rolls.end(store, book, "demo", *film[-1], **told)
        _, files = certificate.write(store, roll, folder / "certificate", who="demo")
    return files[0]


def truth_of(
    path: Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    boot_ns: int = 0,
    seed: int | None = None,
) -> list[dict[str, Any]]:
    """What was true in each window of decoded records, with its boot and seq.

    `boot_ns` is the virtual instant at which the board's clock was zero.
    """
    clock = load("clock").EventClock()
    scenario = _scenario(path, seed)
    instruments = load("instruments").Instruments(scenario, clock)
    found = []
    for row in rows:
        end = boot_ns + 1000 * row["t_us"]
        key = {"boot": row["boot"], "seq": row["seq"]}
        found.append(key | instruments.truth(end - 1000 * row["dt_us"], end))
    return found


def compare(
    rows: Iterable[Mapping[str, Any]], truth: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Errors against the truth in windows with film throughout, no step, and all numbers valid.

    Of each quantity: worst and root mean square error, and the share of windows whose U95 covers
    the truth.
    """
    pairs = [
        (row, true)
        for row, true in zip(rows, truth, strict=True)
        if row["valid"] and true["film"] == 1.0 and not true["step"]
    ]
    result: dict[str, Any] = {"compared": len(pairs)}
    for name in ("thickness_nm", "porosity_ppm"):
        errors = [row[name] - true[name] for row, true in pairs]
        if not errors:
            result[name] = None
            continue
        covered = sum(
            abs(error) <= 2 * row[f"u_{name}"]
            for error, (row, _) in zip(errors, pairs, strict=True)
        )
        result[name] = {
            "worst": max(map(abs, errors)),
            "rms": math.sqrt(sum(error * error for error in errors) / len(errors)),
            "covered": covered / len(errors),
        }
    return result


def report(summary: Mapping[str, Any]) -> str:
    """What was measured against the truth, in sentences."""
    against = summary["truth"]
    lines = [
        f"{summary['windows']} windows on {summary['metres']:.1f} m of web,"
        f" {summary['lost']} lost; {against['compared']} compared with the truth"
    ]
    for key, name, unit, factor in (
        ("thickness_nm", "thickness", "µm", 1000),
        ("porosity_ppm", "porosity", "points", 10_000),
    ):
        found = against[key]
        if found:
            worst, rms = found["worst"] / factor, found["rms"] / factor
            lines.append(
                f"{name:10} within {worst:.3f} {unit} of the truth in every window"
                f" (rms {rms:.3f}); U95 covers it in {found['covered']:.1%}"
            )
    flags = summary["flags"]
    seen = ", ".join(f"{name.replace('_', ' ')} ({count})" for name, count in flags.items())
    lines.append(f"flags      {seen or 'none'}")
    return "\n".join(lines)


def write_json(folder: Path, truth: Iterable[Mapping[str, Any]], summary: Mapping) -> None:
    """Leave truth and summary beside database and picture."""
    with (folder / "truth.jsonl").open("w", encoding="utf-8") as stream:
        for row in truth:
            stream.write(json.dumps(row) + "\n")
    text = json.dumps(summary, indent=2) + "\n"
    (folder / "summary.json").write_text(text, encoding="utf-8")
