"""`porogauge roll start | splice | end | list | show | verdict`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import output
from ..errors import PorogaugeError
from . import options

if TYPE_CHECKING:
    from ..book import Book
    from ..rolls import Roll
    from ..store import Store


def _with(*given: Any) -> Any:
    def add(command: Any) -> Any:
        for option in reversed(given):
            command = option(command)
        return command

    return add


_place = _with(
    click.option(
        "--port",
        metavar="PORT",
        help="Ask this gauge where it is. Default: the newest window in the database counts.",
    ),
    options.baud_option,
    options.wait_option,
    click.option(
        "--boot",
        type=click.IntRange(0),
        metavar="N",
        help="This boot, with --seq: after the fact.",
    ),
    click.option("--seq", type=click.IntRange(0), metavar="N", help="This window of it."),
)


@click.group()
def roll() -> None:
    """Start, splice and end a roll, and judge it by the claims of its grade.

    A roll is a range of windows in a database. While it runs, recipe and calibration of its gauge
    are locked. The board may restart and the logger may be stopped within a roll.

    \b
    Examples:
      porogauge roll start A-17 --db line1.db --why "order 8"
      porogauge roll end A-17
      porogauge roll verdict A-17
    """


def _look_for(database: str) -> None:
    """Only 'porogauge log' makes a database: a wrong name must not."""
    from ..store import StoreError

    if not Path(database).is_file():
        raise StoreError(f"{database}: there is no such file; 'porogauge log' writes one")


@contextmanager
def found_roll(
    name: str, database: str | None, book: Book, read_only: bool = False
) -> Iterator[tuple[Store, Roll]]:
    """The database and the roll in it; without `database` the one that the book's log names."""
    from ..rolls import find
    from ..store import Store

    if database is None:
        places = [
            entry["after"]["database"]
            for entry in book.audit.entries()
            if entry["kind"] == "roll" and entry["subject"] == name
        ]
        if not places:
            raise click.UsageError(
                f"the book does not know a roll {name}: name its database with --db"
            )
        database = places[-1]
    _look_for(database)
    with Store(database, read_only=read_only) as store:
        yield store, find(store, name)


def _now(
    store: Store,
    device: str | None,
    boot: int | None,
    seq: int | None,
    port: str | None,
    baud: int,
    wait: float,
) -> tuple[str, int, int]:
    """Device, boot and the first window that is still to come."""
    from ..device import opened
    from ..rolls import newest

    if (boot is None) != (seq is None):
        raise click.UsageError("--boot and --seq belong together")
    if port is not None:
        with opened(port, baud, wait) as client:
            hello = client.hello
            if device not in (None, hello.device):
                raise PorogaugeError(f"the gauge on {port} is {hello.device}, not {device}")
            return hello.device, hello.boot, hello.next_seq
    found, last_boot, last = newest(store, device)
    return (found, last_boot, last + 1) if boot is None else (found, boot, seq)


@roll.command(short_help="Begin a roll.")
@click.argument("name", metavar="ROLL")
@options.database_option
@click.option("--device", metavar="ID", help="Which gauge, where the database has several.")
@click.option("--grade", metavar="NAME", help="Grade to judge it by. Default: the recipe's.")
@_place
@options.book_option
@options.by_option
@options.why_option
@options.json_option
def start(
    name: str,
    database: str | None,
    device: str | None,
    grade: str | None,
    port: str | None,
    baud: int,
    wait: float,
    boot: int | None,
    seq: int | None,
    book: str | None,
    by: str | None,
    why: str,
) -> None:
    """Begin ROLL with the next window of the gauge whose records are in FILE.db.

    Recipe and calibration in force are kept with it and locked until its end.

    \b
    Examples:
      porogauge roll start A-17 --db line1.db
      porogauge roll start A-17 --db line1.db --port socket://10.0.0.7:4000 --grade through-pore
      porogauge roll start A-17 --db old.db --boot 3 --seq 1200
    """
    from ..audit import person
    from ..book import Book
    from ..rolls import start as begin
    from ..store import Store

    if database is None:
        raise click.UsageError("--db: name the database into which 'porogauge log' writes")
    who = person(by)
    _look_for(database)
    with Store(database) as store:
        place = _now(store, device, boot, seq, port, baud, wait)
        made = begin(store, Book(book), name, *place, who=who, why=why, grade=grade)
    output.say(
        f"roll {name} begins with window {place[2]} of boot {place[1]} ({place[0]}), grade"
        f" {made.grade}; locked: recipe {made.recipe:08x}, calibration {made.calibration:08x}"
    )
    output.emit("roll_started", **_told(made))


def _event(kind: str, text: str, first: str) -> click.Command:
    @roll.command(kind, help=text, short_help=first)
    @click.argument("name", metavar="ROLL")
    @options.database_option
    @_place
    @options.book_option
    @options.by_option
    @options.why_option
    @options.json_option
    def command(
        name: str,
        database: str | None,
        port: str | None,
        baud: int,
        wait: float,
        boot: int | None,
        seq: int | None,
        book: str | None,
        by: str | None,
        why: str,
    ) -> None:
        from .. import rolls
        from ..audit import person
        from ..book import Book

        who, kept = person(by), Book(book)
        with found_roll(name, database, kept) as (store, known):
            _, at_boot, at = _now(store, known.device, boot, seq, port, baud, wait)
            if kind == "end" and seq is None:
                at -= 1  # the last one that was
            change = rolls.end if kind == "end" else rolls.splice
            made = change(store, kept, name, at_boot, at, who=who, why=why)
        word = "ends with" if kind == "end" else "is spliced before"
        output.say(f"roll {name} {word} window {at} of boot {at_boot}")
        output.emit(f"roll_{'ended' if kind == 'end' else 'spliced'}", **_told(made))

    return command


splice = _event(
    "splice",
    "Note that the web was spliced: no segment goes across.\n\n\b\n"
    "Example:\n  porogauge roll splice A-17 --why 'hole cut out'",
    "Note a splice.",
)
end = _event(
    "end",
    "End ROLL; its recipe and calibration are unlocked.\n\n\b\n"
    "Example:\n  porogauge roll end A-17",
    "End a roll.",
)


def _told(found: Roll) -> dict[str, Any]:
    return {
        "roll": found.name,
        "device": found.device,
        "grade": found.grade,
        "recipe": f"{found.recipe:08x}",
        "calibration": f"{found.calibration:08x}",
        "started": found.started,
        "ended": found.events[-1].time if found.ended else None,
        "events": [
            {name: getattr(event, name) for name in ("kind", "boot", "seq", "time", "who", "why")}
            for event in found.events
        ],
    }


@roll.command("list", short_help="List the rolls of a database.")
@options.database_option
@options.book_option
@options.json_option
def list_(database: str | None, book: str | None) -> None:
    """List the rolls of FILE.db; without one, the rolls that run, by the book's log.

    \b
    Example:
      porogauge roll list --db line1.db
    """
    from ..book import Book
    from ..rolls import rolls
    from ..store import Store

    if database is None:
        open_rolls = Book(book).open_rolls()
        if not open_rolls:
            output.note("no roll runs; with --db those of a database are listed")
        for running in open_rolls:
            output.emit("roll_runs", **running)
            output.say(f"{running['roll']:20} runs on {running['device']}, {running['database']}")
        return
    with Store(database, read_only=True) as store:
        for found in rolls(store):
            output.emit("roll", **_told(found))
            state = "ended" if found.ended else "runs"
            output.say(f"{found.name:20} {_date(found.started)}  {found.grade:20} {state}")


def _date(time: float) -> str:
    return f"{datetime.fromtimestamp(time):%Y-%m-%d %H:%M}"


@roll.command(short_help="Show a roll: what happened, what it measured.")
@click.argument("name", metavar="ROLL")
@options.database_option
@options.book_option
@options.json_option
def show(name: str, database: str | None, book: str | None) -> None:
    """Show what happened to ROLL, and thickness and porosity of its segments with U95.

    \b
    Example:
      porogauge roll show A-17 --json
    """
    from dataclasses import asdict

    from ..book import Book
    from ..rolls import spans
    from ..segments import segments

    with found_roll(name, database, Book(book), read_only=True) as (store, found):
        ranges = [asdict(span) for span in spans(store, found)]
        output.emit("roll", **_told(found), spans=ranges)
        output.say(
            f"{name}: {found.grade}, {found.device}, recipe {found.recipe:08x}, calibration"
            f" {found.calibration:08x}"
        )
        for event in found.events:
            output.say(
                f"  {_date(event.time)}  {event.kind} at window {event.seq} of boot {event.boot},"
                f" by {event.who}: {event.why}"
            )
        if not ranges:
            output.say("  no windows yet")
            return
        output.say(
            "\n   from m      to m  windows    thickness/um       porosity/%   permittivity"
        )
        for piece in segments(store, found):
            output.emit("segment", **asdict(piece))
            output.say(
                f"{piece.start_m:9.2f} {piece.end_m:9.2f} {piece.windows:8}"
                f"  {_value(piece.thickness_um, 2):>15} {_value(piece.porosity_percent, 1):>15}"
                f" {_value(piece.permittivity, 3):>15}"
            )


def _value(pair: tuple[float, float] | None, digits: int) -> str:
    if pair is None:
        return "-"
    return f"{pair[0]:.{digits}f} ± {2 * pair[1]:.{digits}f}"


@roll.command(short_help="Judge a roll by the claims of its grade.")
@click.argument("name", metavar="ROLL")
@options.database_option
@click.option(
    "--guard",
    type=options.Number(-5, 5),
    metavar="K",
    help="Standard uncertainties by which a value has to be inside a limit. Default: the"
    " recipe's guard factor, 2 where it states none.",
)
@options.book_option
@options.json_option
def verdict(name: str, database: str | None, guard: float | None, book: str | None) -> None:
    """Judge every claim of the roll's grade: pass, fail, or undecided, and why.

    Thickness, porosity and permittivity by the gauge, segment by segment; the rest by the
    laboratory. Ends with 0 when every claim is kept, 1 when one is broken, 5 when something is
    missing to decide.

    \b
    Example:
      porogauge roll verdict A-17
    """
    from ..book import Book
    from ..errors import IncompleteError
    from ..verdict import judge

    with found_roll(name, database, Book(book), read_only=True) as (store, found):
        judged = judge(store, found, guard)
    for claim in judged.claims:
        output.emit("claim", roll=name, **claim.to_dict())
        output.say(f"{claim.outcome:10} {claim.sentence}")
    for note in judged.notes:
        output.say(f"{'note':10} {note}")
    told = f"{judged.measured} of {judged.segments} segments measured"
    output.emit(
        "verdict",
        roll=name,
        grade=found.grade,
        outcome=judged.outcome,
        guard=judged.guard,
        segments=judged.segments,
        measured=judged.measured,
        notes=list(judged.notes),
    )
    output.say(f"\nroll {name}, grade {found.grade}: {judged.outcome} ({told})")
    if judged.outcome == "fail":
        raise PorogaugeError(f"roll {name} does not keep what grade {found.grade} claims")
    if judged.outcome == "undecided":
        raise IncompleteError(f"roll {name}: not every claim of grade {found.grade} is decided")
