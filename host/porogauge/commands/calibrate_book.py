"""`porogauge calibrate list | show | undo | verify | trend`: what is kept, does it hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .. import output
from ..errors import PorogaugeError, UsageError
from . import options
from .calibrate_options import source_of, source_options

__all__ = ["COMMANDS"]


@click.command("list", short_help="Show all results, and what is not finished.")
@options.book_option
@options.json_option
def list_(book: str | None) -> None:
    """Show all results of the book, and procedures that were begun and not ended.

    \b
    Example:
      porogauge calibrate list
    """
    from ..book import Book
    from ..calibrate.session import unfinished
    from .calibrate_run import Table

    kept = Book(book)
    table = Table(("result", "time", "what", "head", "outcome", "who", "why"))
    for r in kept.results():
        outcome = "accepted" if r.get("accepted") else "not accepted"
        if r["procedure"] == "undo":
            outcome = f"took back {r['undone']}"
        elif r["procedure"] in ("type1", "grr", "verify"):
            outcome = r.get("verdict") or ("passed" if r["accepted"] else "failed")
        table.add(
            r["number"],
            r["time"][:16].replace("T", " "),
            r["procedure"],
            r.get("head", ""),
            outcome,
            r["who"],
            r["why"],
        )
        output.emit(
            "result",
            **{name: r.get(name) for name in ("number", "time", "procedure", "head", "accepted")},
            who=r["who"],
            why=r["why"],
        )
    output.say(table.left() if table.rows else f"{kept.path}: no results yet")
    if kept.path.is_dir():
        for name, points in unfinished(kept.unfinished).items():
            output.say(f"not finished: {name}, {points} points; the same command goes on")
            output.emit("unfinished", procedure=name, points=points)


@click.command(short_help="Show one result: residuals, values with U95, verdict.")
@click.argument("number", metavar="N", type=click.IntRange(1))
@click.option("--plot", metavar="FILE.png", help="Draw it.")
@options.book_option
@options.json_option
def show(number: int, plot: str | None, book: str | None) -> None:
    """Show one result of the book: residuals, values with U95, as found and as left, verdict.

    \b
    Example:
      porogauge calibrate show 3 --plot gap.png
    """
    from ..book import Book
    from .calibrate_run import result_text

    found = Book(book).result(number)
    output.emit("result", **found, number=number)
    kind = found["procedure"]
    if kind == "verify":
        output.say(verification_text(found))
    elif kind in ("type1", "grr"):
        from .calibrate_study import study_text

        output.say(study_text(found))
    elif kind == "undo":
        output.say(f"took back result {found['undone']}")
    else:
        output.say(f"{kind}, head {found['head']}, {found['place']}\n\n{result_text(found)}")
    if plot:
        _draw(found, plot)
        output.emit("picture", file=plot)


def _draw(found: Mapping[str, Any], plot: str) -> None:
    from ..calibrate import pictures

    kind = found["procedure"]
    if kind == "type1":
        pictures.type1_picture(found["values"], found, plot)
    elif kind == "grr":
        pictures.grr_picture([tuple(row) for row in found["rows"]], found, plot)
    elif "residuals" in found:
        pictures.residuals_picture(found, plot, f"{kind}, head {found['head']}")
    else:
        raise UsageError(f"result {kind}: there is nothing to draw ('calibrate trend' draws)")


@click.command(short_help="Take back the last change: the files before are current again.")
@click.argument("number", metavar="[N]", type=click.IntRange(1), required=False)
@options.book_option
@options.by_option
@options.why_option
@options.json_option
def undo(number: int | None, book: str | None, by: str | None, why: str) -> None:
    """Take back a result: the files before it become current again, by a new entry in the log.

    Without N the last change that is in force. A gauge keeps what it has until the files are
    pushed to it.

    \b
    Examples:
      porogauge calibrate undo --why "the stage was loose"
      porogauge calibrate undo 4
    """
    from ..audit import person
    from ..book import Book
    from ..calibrate import files

    kept = Book(book)
    for kind, (taken, id) in files.undo(kept, number, person(by), why).items():
        path = kept.path / f"{kind}s" / f"{id}.toml"
        output.say(f"{kind} {taken} taken back, {id} is current again: {path}")
        output.emit("undone", kind=kind, taken_back=taken, id=id, file=str(path))


# ---------------------------------------------------------------- verification


def _number_option(name: str, low: float, high: float, text: str) -> Any:
    return click.option(
        name, type=options.Number(low, high), metavar="NUMBER", help=text, show_default=False
    )


_STATED = (
    _number_option("--thickness-um", 1, 2000, "Stated thickness of the master."),
    _number_option("--u-thickness-um", 0, 100, "Its standard uncertainty (half of U95)."),
    _number_option("--permittivity", 1.01, 100, "Stated permittivity of a plate."),
    _number_option("--u-permittivity", 0, 10, "Its standard uncertainty."),
    _number_option("--porosity-percent", 0, 99, "Stated porosity of a sample."),
    _number_option("--u-porosity-percent", 0, 50, "Its standard uncertainty."),
)
_KIND = click.option(
    "--kind",
    type=click.Choice(["block", "plate", "sample"]),
    default="plate",
    show_default=True,
    help="Opaque gauge block, dense plate, or sample of the recipe's film.",
)
_LABEL = click.option(
    "--label", default="master", show_default=True, metavar="NAME", help="Name of the master."
)


def master_options(command: Any) -> Any:
    """Options that state a master."""
    for option in reversed((_KIND, _LABEL, *_STATED)):
        command = option(command)
    return command


def stated_of(arguments: dict[str, Any]) -> tuple[str, str, dict[str, float]]:
    """Kind, label and stated values of the master, as settings of a step.

    Raises UsageError when something is not stated.
    """
    kind, label = arguments.pop("kind"), arguments.pop("label")
    given = {
        name: arguments.pop(name)
        for name in (
            *("thickness_um", "u_thickness_um", "permittivity", "u_permittivity"),
            *("porosity_percent", "u_porosity_percent"),
        )
    }
    names = {"thickness_um": "thickness_um", "u_thickness_um": "u_thickness_um"}
    if kind == "plate":
        names |= {"permittivity": "permittivity", "u_permittivity": "u_permittivity"}
    elif kind == "sample":
        names = {
            "thickness_um": "t_ref_um",
            "u_thickness_um": "u_t_ref_um",
            "porosity_percent": "phi_ref_percent",
            "u_porosity_percent": "u_phi_ref_percent",
        }
    missing = [name for name in names if given[name] is None]
    if missing:
        raise UsageError(
            f"a {kind} needs " + ", ".join("--" + name.replace("_", "-") for name in missing)
        )
    return kind, label, {setting: given[name] for name, setting in names.items()}


@click.command(short_help="Check against a master, without adjusting anything.")
@master_options
@source_options
def verify(**arguments: Any) -> None:
    """Check the gauge against a master, without adjusting anything.

    Reads the empty gap, then the master, and compares: the difference must be within its U95.
    The empty gap tells of drift and dirt. The outcome goes into the book and so into
    'calibrate trend'. Exit code 1 when the gauge fails.

    \b
    Examples:
      porogauge calibrate verify --kind block --label B25 --thickness-um 25.02
          --u-thickness-um 0.05 --port /dev/ttyACM0
      porogauge calibrate verify --kind plate --label Q75 --thickness-um 75.1
          --u-thickness-um 0.05 --permittivity 3.82 --u-permittivity 0.005 --bench 7
    """
    from ..audit import person
    from ..book import Book
    from ..calibrate import verify as checks
    from ..calibrate.files import plain_values, starting_files
    from . import calibrate_run as run

    book, who = Book(arguments["book"]), person(arguments["by"])
    plot = arguments["plot"]
    master = None if arguments["points"] else stated_of(arguments)
    source = source_of(arguments, book)
    wanted = "verify" if master is None or master[0] == "sample" else ""
    start = starting_files(
        book, wanted, arguments["calibration"], arguments["recipe"], source.ids, source.drawing
    )
    session = None
    if master is None:
        points = run.points_of_file(source.points, "verify", start)
    else:
        steps = checks.steps(*master)
        points, session = run.collect(source, book, "verify", start, steps, arguments["restart"])
    found = plain_values(checks.verify(points, start.tables)) | {
        "head": start.head,
        "calibration": start.ids["calibration"],
        "recipe": start.ids["recipe"],
        "place": source.place,
    }
    number = book.add_result(found, who, arguments["why"])
    if session is not None:
        session.forget()
    output.say(verification_text(found))
    output.emit("verification", number=number, **found)
    if plot:
        rows = _trend_rows(book, start.head, ())
        from ..calibrate.pictures import trend_picture

        trend_picture(rows, plot, f"Trend of head {start.head}")
        output.emit("picture", file=plot)
    if not found["accepted"]:
        raise PorogaugeError("verification failed: nothing was adjusted; see the reasons above")


def verification_text(found: Mapping[str, Any]) -> str:
    """A verification as people read it."""
    from ..calibrate.verify import QUANTITIES
    from .calibrate_run import Table, digits

    table = Table(("master", "quantity", "gauge", "stated", "difference", "U95", "En"))
    for c in found["checks"]:
        name, _, unit = c["quantity"].rpartition("_")
        u95 = c["u95_difference"]
        table.add(
            c["label"] or c["id"],
            f"{name} {'µm' if unit == 'um' else '%'}",
            digits(c["value"], 2 * c["u"]),
            digits(c["stated"], u95),
            digits(c["difference"], u95),
            digits(u95, u95),
            f"{c['en']:+.2f}",
        )
    gap = found["off_sheet"]
    lines = [str(table), "", "empty gap:"]
    for name in ("c0_drift_percent", "d_drift_um"):
        if name in gap:
            u95 = 2 * gap[f"u_{name}"]
            unit, text = QUANTITIES[name]
            value = f"{digits(gap[name], u95)} ± {digits(u95, u95)} {unit}"
            lines.append(f"  {text}: {value}")
    u95 = 2 * gap["u_contamination_um"]
    lines.append(
        f"  that looks like a deposit of {digits(gap['contamination_um'], u95)}"
        f" ± {digits(u95, u95)} µm of dielectric deficit"
    )
    lines += [f"note: {text}" for text in found["warnings"]]
    lines += ["", "passed" if found["accepted"] else "failed:"]
    lines += [f"  {text}" for text in found["reasons"]]
    return "\n".join(lines)


# ---------------------------------------------------------------- trend


def _trend_rows(book: Any, head: str | None, databases: Sequence[str]) -> list[dict[str, Any]]:
    from ..calibrate.verify import trend as rows_of

    checks = [
        result
        for result in book.results()
        if result["procedure"] == "verify" and head in (None, result["head"])
    ]
    heads = {result["head"] for result in checks}
    if head is None and len(heads) > 1:
        raise UsageError(f"the book has several heads: {', '.join(sorted(heads))}; give --head")
    known = {id: book.get("calibration", id) for id in book.ids("calibration")}
    entries: list[dict[str, Any]] = list(checks)
    for database in databases:
        from ..calibrate.standardisations import standardisations

        found, calibrations = standardisations(database, head)
        entries += found
        known = calibrations | known
    entries.sort(key=lambda entry: entry["time"])
    return rows_of(entries, known)


@click.command(short_help="All verifications and standardisations, with limits.")
@click.option("--head", metavar="SERIAL", help="Serial number of the head. Default: the only one.")
@click.option(
    "--db",
    "databases",
    multiple=True,
    metavar="FILE.db",
    help="Standardisations of this database, too; may be given more than once.",
)
@click.option("--plot", metavar="FILE.png", help="Draw it.")
@options.book_option
@options.json_option
def trend(
    head: str | None, databases: tuple[str, ...], plot: str | None, book: str | None
) -> None:
    """Show all verifications of a head, and standardisations of databases, with their limits.

    Drift of C0 and D is against the calibration, beyond what frame temperature and air explain.
    The contamination index is 100 where dust or a deposit raises C0 to the limit, or where the
    lasers scatter three times as much on the tile as at first. Exit code 1 when the newest value
    of a quantity is beyond its limit.

    \b
    Examples:
      porogauge calibrate trend --plot trend.png
      porogauge calibrate trend --db line1.db --db line1-old.db
    """
    from ..book import Book
    from .calibrate_run import Table, digits

    rows = _trend_rows(Book(book), head, databases)
    if not rows:
        raise PorogaugeError(
            "there is nothing to show: 'porogauge calibrate verify' makes an entry; --db reads"
            " the standardisations of a database"
        )
    table = Table(("time", "source", "quantity", "value", "U95", "limit", "verdict"))
    newest: dict[str, Any] = {}
    for row in rows:
        newest[row["quantity"]] = row
        output.emit("trend", **row)
        unit = f" {row['unit']}" if row["unit"] else ""
        table.add(
            row["time"][:16].replace("T", " "),
            row["source"],
            f"{_spoken(row['quantity'])} {row.get('label', '')}".rstrip(),
            digits(row["value"], row["u95"] or 1) + unit,
            digits(row["u95"], row["u95"]) if row["u95"] else "-",
            digits(row["limit"], row["u95"] or 1),
            row["verdict"],
        )
    output.say(table.left())
    if plot:
        from ..calibrate.pictures import trend_picture

        trend_picture(rows, plot)
        output.emit("picture", file=plot)
    beyond = [row["quantity"] for row in newest.values() if row["verdict"] == "beyond"]
    if beyond:
        raise PorogaugeError(f"beyond the limit now: {', '.join(beyond)}; clean the head, verify")


def _spoken(quantity: str) -> str:
    return quantity.removesuffix("_um").removesuffix("_percent").replace("_", " ")


COMMANDS = (list_, show, undo, verify, trend)
