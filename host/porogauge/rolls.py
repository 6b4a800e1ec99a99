"""Rolls: which windows belong to one, what happened to it, what is in force for it.

A roll begins with a window of one device and ends with one; between them it may be spliced, and
the board may restart: its windows are ranges (boot, first, last) of sequence numbers. While it
runs, recipe and calibration of its device are locked. What happens to a roll is a row in its
database and an entry in the audit log; each row carries the log's head, so that the database
shows when the log was cut or replaced.

    >>> roll = start(store, book, "A-17", device, boot, seq, who="shift 2", why="order 8")
    >>> end(store, book, "A-17", boot, last, who="shift 2", why="full")
    >>> spans(store, find(store, "A-17"))
    [Span(boot=3, first=1200, last=98310)]

What it measured along its length is in `porogauge.segments`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import notation
from .book import Book, BookError
from .errors import PorogaugeError, UsageError
from .grades import grade as find_grade
from .store import Store, StoreError

__all__ = [
    "Event",
    "Roll",
    "RollError",
    "Span",
    "document",
    "end",
    "find",
    "in_force",
    "newest",
    "recipe_values",
    "rolls",
    "spans",
    "splice",
    "start",
]


class RollError(PorogaugeError):
    """A roll is not there, runs already, has ended, or its windows are not stored."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a roll. `seq`: first window of what begins; of an end, the last one."""

    kind: str  # start | splice | end
    boot: int
    seq: int
    time: float  # Unix
    who: str
    why: str
    head: str  # of the audit log, with this event's entry


@dataclass(frozen=True, slots=True)
class Roll:
    """A roll and what happened to it; ids are those of the board (30 bits)."""

    id: int
    name: str
    device: str
    grade: str
    recipe: int
    calibration: int
    started: float
    events: tuple[Event, ...]

    @property
    def ended(self) -> bool:
        return self.events[-1].kind == "end"


@dataclass(frozen=True, slots=True)
class Span:
    """Windows of one boot, both ends included."""

    boot: int
    first: int
    last: int


# ---------------------------------------------------------------- asking


def rolls(store: Store) -> list[Roll]:
    """All rolls of a database, in the order in which they were started."""
    found = []
    for id, *rest in store.query(
        "SELECT r.id, r.name, d.device, r.grade, r.recipe, r.calibration, r.started"
        " FROM rolls r JOIN devices d ON d.id=r.device ORDER BY r.id"
    ):
        events = store.query(
            "SELECT kind, boot, seq, time, who, why, head FROM roll_events WHERE roll=?"
            " ORDER BY id",
            (id,),
        )
        found.append(Roll(id, *rest, tuple(Event(*event) for event in events)))
    return found


def find(store: Store, name: str) -> Roll:
    """A roll by its name. Raises RollError that says which ones there are."""
    known = rolls(store)
    for roll in known:
        if roll.name == name:
            return roll
    names = ", ".join(roll.name for roll in known) or "none; 'porogauge roll start' begins one"
    raise RollError(f"{store.path}: has no roll {name}; there: {names}")


def newest(store: Store, device: str | None = None) -> tuple[str, int, int]:
    """Device, boot and sequence number of the last stored window.

    Raises UsageError when there are several devices and none is named, RollError without records.
    """
    boots = [found for found in store.boots() if device in (None, found["device"])]
    boots = [found for found in boots if store.count(found["device"], found["boot"])]
    names = sorted({found["device"] for found in boots})
    if not names:
        raise RollError(
            f"{store.path}: has no records{f' of {device}' if device else ''};"
            " 'porogauge log' stores them"
        )
    if len(names) > 1:
        raise UsageError(f"{store.path}: has several devices: {', '.join(names)}; name one")
    boot = max(found["boot"] for found in boots)
    return names[0], boot, store.known(names[0], boot)[-1][1]


def spans(store: Store, roll: Roll) -> list[Span]:
    """Ranges of windows of a roll, over restarts of the board; up to the newest while it runs."""
    first, last = roll.events[0], roll.events[-1]
    found = []
    for boot, oldest, high in store.extents(roll.device):
        if boot < first.boot or (roll.ended and boot > last.boot):
            continue
        low = max(oldest, first.seq if boot == first.boot else 0)
        if roll.ended and boot == last.boot:
            high = min(high, last.seq)
        if low <= high:
            found.append(Span(boot, low, high))
    return found


def in_force(store: Store, roll: Roll) -> list[dict[str, Any]]:
    """Configurations that windows of the roll were measured with, in order.

    As `Store.configurations`, with `boot` besides. One that was replaced before the roll's first
    window of its boot is left out.
    """
    found = []
    for span in spans(store, roll):
        known = store.configurations(roll.device, span.boot)
        for index, row in enumerate(known):
            later = known[index + 1]["from_seq"] if index + 1 < len(known) else span.last + 1
            if row["from_seq"] <= span.last and later > span.first:
                found.append(row | {"boot": span.boot})
    return found


def document(store: Store, kind: str, id: int) -> dict[str, Any] | None:
    """Tables of a recipe or calibration that the database has as a file; None: it has not."""
    rows = store.query(f"SELECT toml FROM {kind}s WHERE id=?", (id,))
    if not rows or rows[0][0] is None:
        return None
    try:
        return notation.toml(rows[0][0], exact=True)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{store.path}: is damaged: its {kind} {id:08x} {error}") from None


def recipe_values(store: Store, id: int) -> dict[str, Any]:
    """ "table.field" -> exact value of a recipe; {} when the database has not its file."""
    from .recipe import normalise

    tables = document(store, "recipe", id)
    if tables is None:
        return {}
    return normalise("recipe", tables, f"{store.path}: recipe {id:08x}")


# ---------------------------------------------------------------- what happens to a roll


def start(
    store: Store,
    book: Book,
    name: str,
    device: str,
    boot: int,
    seq: int,
    *,
    who: str,
    why: str,
    grade: str | None = None,
) -> Roll:
    """Begin a roll with a window (which may be one that is still to come).

    `grade`: the recipe's own by default. Raises RollError when one of this name is there, another
    one runs on the device, or the configuration in force is not known.
    """
    if not 1 <= len(name.strip()) <= 80 or not name.isprintable() or name != name.strip():
        raise UsageError("a roll's name has 1 to 80 printable characters, no blanks at its ends")
    known = rolls(store)
    if any(roll.name == name for roll in known):
        raise RollError(f"{store.path}: has a roll {name} already; choose another name")
    running = [roll.name for roll in known if roll.device == device and not roll.ended]
    running += [roll["roll"] for roll in book.open_rolls(device)]
    if running:
        raise RollError(
            f"roll {running[0]} runs on {device};"
            f" 'porogauge roll end {running[0]}' ends it before another one begins"
        )
    row = _configuration(store, device, boot, seq)
    for kind in ("recipe", "calibration"):
        _keep_document(store, book, kind, row[f"{kind}_id"])
    recipe, calibration = row["recipe_id"], row["calibration_id"]
    if grade is None:
        grade = recipe_values(store, recipe).get("recipe.grade")
        if grade is None:
            raise RollError(
                f"recipe {recipe:08x} is not known as a file: name the roll's grade with --grade,"
                " or send the recipe with 'porogauge recipe push'"
            )
    find_grade(grade)
    told = {
        "device": device,
        "database": _place(store),
        "grade": grade,
        "recipe": f"{recipe:08x}",
        "calibration": f"{calibration:08x}",
    }
    with store.batch():
        key = store.change(
            "INSERT INTO rolls (name, device, grade, recipe, calibration, started)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (name, store.device_id(device, True), grade, recipe, calibration, time.time()),
        )
        _happen(store, book, key, name, "start", boot, seq, who, why, told)
    return find(store, name)


def splice(
    store: Store, book: Book, name: str, boot: int, seq: int, *, who: str, why: str
) -> Roll:
    """Note that the web was spliced before a window: no segment goes across."""
    return _continue(store, book, name, "splice", boot, seq, who, why)


def end(store: Store, book: Book, name: str, boot: int, seq: int, *, who: str, why: str) -> Roll:
    """End a roll with a window, its last one; recipe and calibration are unlocked."""
    return _continue(store, book, name, "end", boot, seq, who, why)


def _continue(
    store: Store, book: Book, name: str, kind: str, boot: int, seq: int, who: str, why: str
) -> Roll:
    roll = find(store, name)
    if roll.ended:
        raise RollError(
            f"roll {name} has ended; nothing can be added to it but laboratory results"
        )
    last = roll.events[-1]
    if (boot, seq) < (last.boot, last.seq - (kind == "end")):  # a roll may be empty
        raise RollError(
            f"roll {name}: window {seq} of boot {boot} is before its last {last.kind}, window"
            f" {last.seq} of boot {last.boot}"
        )
    told = {"device": roll.device, "database": _place(store)}
    with store.batch():
        _happen(store, book, roll.id, name, kind, boot, seq, who, why, told)
    return find(store, name)


def _happen(
    store: Store,
    book: Book,
    key: int,
    name: str,
    kind: str,
    boot: int,
    seq: int,
    who: str,
    why: str,
    told: Mapping[str, Any],
) -> None:
    """One event: into the log, and with the log's head into the database."""
    entry = book.audit.append(
        "roll", name, who, why, None, {"event": kind, "boot": boot, "seq": seq} | dict(told)
    )
    store.change(
        "INSERT INTO roll_events (roll, kind, boot, seq, time, who, why, head)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (key, kind, boot, seq, time.time(), who, why, f"{entry['n']}:{entry['hash']}"),
    )


def _place(store: Store) -> str:
    return str(Path(store.path).resolve()) if store.path != ":memory:" else store.path


def _configuration(store: Store, device: str, boot: int, seq: int) -> dict[str, Any]:
    """The configuration in force at a window."""
    rows = [row for row in store.configurations(device, boot) if row["from_seq"] <= seq]
    if not rows:
        raise RollError(
            f"{store.path}: does not say what {device} measures with in boot {boot};"
            " 'porogauge log' stores it when it connects"
        )
    return rows[-1]


def _keep_document(store: Store, book: Book, kind: str, id: int) -> None:
    """Have the file of a recipe or calibration travel with the roll, where the book has it."""
    if document(store, kind, id) is not None:
        return
    from .recipe import dumps

    try:
        tables = book.get(kind, f"{id:08x}")
    except BookError:
        return
    store.document(kind, id, str(tables[kind]["name"]), dumps(kind, tables, comments=False))
