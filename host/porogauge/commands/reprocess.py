"""`porogauge reprocess`."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import output
from . import options
from .export import progress_bar
from .roll import found_roll

if TYPE_CHECKING:
    from ..book import Book
    from ..reprocess import Reprocessed
    from ..rolls import Roll
    from ..store import Store

_ID = re.compile(r"[0-9a-f]{8}")


@click.command()
@click.argument("name", metavar="ROLL")
@options.database_option
@click.option("--calibration", metavar="ID|FILE.toml", help="Calibration to recompute with.")
@click.option("--recipe", metavar="ID|FILE.toml", help="Recipe to recompute with.")
@click.option("--plot", metavar="FILE.png", help="Draw before, after and difference.")
@click.option("--csv", metavar="FILE.csv", help="Write before and after, a window a line.")
@options.book_option
@options.by_option
@options.why_option
@options.json_option
def reprocess(
    name: str,
    database: str | None,
    calibration: str | None,
    recipe: str | None,
    plot: str | None,
    csv: str | None,
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Recompute ROLL from its raw readings with another calibration or recipe.

    The board's own program does it, so that the result is what the board would have reported. An
    ID is one of the book or of the database; that of the roll itself shows that every window is
    reproduced bit by bit. Both results are kept; the difference is shown. Refused, with the
    reason, where something that decides the numbers is not known.

    \b
    Examples:
      porogauge reprocess A-17 --calibration 1c9f03aa --plot A-17.png
      porogauge reprocess A-17 --db line1.db --calibration after.toml --why "gap measured anew"
    """
    from ..audit import person
    from ..book import Book
    from ..reprocess import reprocess as run

    if calibration is None and recipe is None:
        raise click.UsageError("name what to recompute with: --calibration, --recipe, or both")
    who, kept = person(by), Book(book)
    kept.audit.allow("reprocess")
    with found_roll(name, database, kept) as (store, roll):
        parts: dict[str, Any] = {}
        for kind, given in (("calibration", calibration), ("recipe", recipe)):
            if given is not None:
                parts |= _tables(store, roll, kept, kind, given)
        total = store.count(roll.device)
        began = time.monotonic()
        with progress_bar("recomputing", total) as advance:
            report = run(store, kept, roll, parts, who=who, why=why, progress=advance)
        seconds = time.monotonic() - began
        _tell(roll, report, seconds)
        if csv is not None:
            _write(store, roll, report.run, csv)
        if plot is not None:
            from ..reprocess_picture import reprocess_picture

            text = (
                f"recipe {report.recipe:08x}, calibration {report.calibration:08x}; as reported:"
                f" recipe {roll.recipe:08x}, calibration {roll.calibration:08x}"
            )
            reprocess_picture(store, roll, report.run, plot, text)
            output.say(plot)
            output.emit("picture", file=plot)


def _tables(store: Store, roll: Roll, book: Book, kind: str, given: str) -> dict[str, Any]:
    """kind -> tables of a file, or of an id in database or book; {} for the roll's own."""
    from ..book import BookError
    from ..recipe import load_files
    from ..rolls import document

    if _ID.fullmatch(given) and not Path(given).exists():
        if int(given, 16) == getattr(roll, kind):
            return {}
        tables = document(store, kind, int(given, 16))
        if tables is None:
            try:
                tables = book.get(kind, given)
            except BookError as error:
                raise click.BadParameter(f"--{kind}: not in {store.path}; {error}") from None
        return {kind: tables}
    found = load_files([given])
    if kind not in found:
        raise click.BadParameter(f"--{kind}: {given} has no {kind}")
    return {kind: found[kind][0]}


def _tell(roll: Roll, report: Reprocessed, seconds: float) -> None:
    told = report.to_dict() | {
        "roll": roll.name,
        "recipe": f"{report.recipe:08x}",
        "calibration": f"{report.calibration:08x}",
        "seconds": round(seconds, 2),
    }
    output.emit("reprocessed", **told)
    found = report.differences
    output.say(
        f"roll {roll.name}: {report.windows} windows recomputed, run {report.run}"
        f" ({report.windows / max(seconds, 1e-3):.0f} a second); recipe {report.recipe:08x},"
        f" calibration {report.calibration:08x}"
    )
    output.say(f"{'identical':13} {found['identical_windows']} windows, bit by bit")
    for row in report.references:
        c0, d = row["c0_af"], row["d_8nm"]
        output.say(
            f"{'reference':13} from window {row['seq']} of boot {row['boot']}: {row['way']};"
            f" C0 {c0[0] / 1e6:.6f} → {c0[1] / 1e6:.6f} pF,"
            f" D {d[0] / 8000:.3f} → {d[1] / 8000:.3f} µm"
        )
    for name, scale, unit in (
        ("thickness_nm", 1000, "µm"),
        ("porosity_ppm", 10_000, "%"),
        ("permittivity_e4", 10_000, ""),
        ("solid_nm", 1000, "µm"),
        ("u_thickness_nm", 1000, "µm"),
        ("u_porosity_ppm", 10_000, "%"),
    ):
        if name in found:
            row = found[name]
            mean, low, high = (row[part] / scale for part in ("mean", "lowest", "highest"))
            label = name.rpartition("_")[0].replace("u_", "u of ")
            output.say(f"{label:13} {mean:+.4f} {unit} in the mean, {low:+.4f} to {high:+.4f}")
    for text, part in (("lost", "valid_lost"), ("gained", "valid_gained")):
        counts = {label: count for label, count in found[part].items() if count}
        if counts:
            output.say(f"{text:13} {_list(counts)}")
    for text, part in (("flags gone", "flags_gone"), ("flags come", "flags_come")):
        if found[part]:
            output.say(f"{text:13} {_list(found[part])}")
    if report.unsettled:
        output.warn(
            f"flags of {report.unsettled} windows depend on what was before the first stored one"
        )
    for text in report.warnings:
        output.warn(text)


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())


_CSV = (
    "state",
    "valid",
    "reason",
    "flags",
    "thickness_8nm",
    "permittivity_e4",
    "porosity_ppm",
    "solid_8nm",
    "u_thickness_8nm",
    "u_permittivity_e4",
    "u_porosity_ppm",
)


def _write(store: Store, roll: Roll, run: int | None, to: str) -> None:
    import csv

    from ..errors import PorogaugeError
    from ..reprocess import side_by_side

    found = side_by_side(store, roll, run, _CSV)
    names = ["boot", "seq", "metres"]
    names += [part for name in _CSV for part in (name, f"{name}_new")]
    try:
        with open(to, "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(names)
            writer.writerows(zip(*(found[name].tolist() for name in names), strict=True))
    except OSError as error:
        raise PorogaugeError(f"{to}: cannot be written: {error.strerror}") from None
    output.say(to)
    output.emit("written", file=to)
