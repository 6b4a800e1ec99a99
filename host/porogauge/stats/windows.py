"""The windows of a web, read fast: where they are along the length, and their values.

SQLite finds and packs the numbers, a few ten thousand windows a question, in threads beside each
other; no window becomes a Python object. 24 hours at 90.9 Hz (7.9 million windows) take about
four seconds of one core.

    >>> with Store("roll.db", read_only=True) as store:
    ...     web = read_boots(store, ["thickness"])
    >>> web.sections[0].metres, web.sections[0].values["thickness"]

A *section* is a piece of web that was measured without a splice and without a restart of the
board: nothing is computed across its ends. A window without a valid number has NaN.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np

from gauge import record

from ..errors import PorogaugeError, UsageError
from ..rolls import Roll, spans
from ..store import Store

__all__ = ["VALUES", "Section", "Value", "Web", "read_boots", "read_roll"]

_CHUNK = 50_000  # windows a question
_SAMPLE = 500  # windows that the typical uncertainty is taken from
_FOLD = 1 << 30  # the board's position in mm begins anew at -2**29 after 2**29
_NONE = 1 << 31  # no word of a record reaches this: a mark, with state and reason below it


@dataclass(frozen=True, slots=True)
class Value:
    """What can be analysed: its name with unit, and where a record has it."""

    name: str
    text: str
    unit: str
    column: str
    bit: int
    factor: float  # words per unit
    u_column: str | None  # standard uncertainty; the solid-equivalent thickness has none


VALUES = {
    "thickness": Value(
        "thickness_um",
        "thickness",
        "um",
        "thickness_8nm",
        record.VALID_THICKNESS,
        8000,
        "u_thickness_8nm",
    ),
    "porosity": Value(
        "porosity_percent",
        "porosity",
        "%",
        "porosity_ppm",
        record.VALID_POROSITY,
        10_000,
        "u_porosity_ppm",
    ),
    "permittivity": Value(
        "permittivity",
        "relative permittivity",
        "",
        "permittivity_e4",
        record.VALID_PERMITTIVITY,
        10_000,
        "u_permittivity_e4",
    ),
    "solid": Value(
        "solid_um",
        "solid-equivalent thickness",
        "um",
        "solid_8nm",
        record.VALID_SOLID,
        8000,
        None,
    ),
}


@dataclass(frozen=True, slots=True)
class Section:
    """Windows in the order in which they were stored; `values`: NaN where there is none."""

    metres: np.ndarray
    values: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Web:
    """`left_out`: value -> "state: reason" -> windows without a number for that cause.

    `u95`: value -> U95 that the gauge typically gave to one window; None where it gives none.
    `missing`: windows that are not stored at all.
    """

    device: str
    boots: tuple[int, ...]
    windows: int
    missing: int
    sections: tuple[Section, ...]
    left_out: dict[str, dict[str, int]]
    u95: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class _Part:
    """A range of windows that becomes a section; `origin_m` is where its boot begins."""

    boot: int
    first: int
    last: int
    origin_mm: int
    origin_m: float


def read_roll(store: Store, roll: Roll, names: Sequence[str]) -> Web:
    """All windows of a roll. Raises PorogaugeError when there are none yet."""
    with _snapshot(store):
        ranges = [(span.boot, span.first, span.last) for span in spans(store, roll)]
        if not ranges:
            raise PorogaugeError(f"{store.path}: has no windows of roll {roll.name} yet")
        cuts = [(event.boot, event.seq) for event in roll.events if event.kind == "splice"]
        return _read(store, roll.device, ranges, cuts, names)


def read_boots(
    store: Store, names: Sequence[str], device: str | None = None, boot: int | None = None
) -> Web:
    """All windows of a device, or of one of its boots.

    Raises UsageError when there are several devices and none is named, PorogaugeError when
    nothing is stored.
    """
    with _snapshot(store):
        ranges: dict[str, list[tuple[int, int, int]]] = {}
        there = []
        for key, name in store.query("SELECT id, device FROM devices ORDER BY device"):
            for number, first, last in _boots(store, key):
                there.append(f"{name} boot {number}")
                if device in (None, name) and boot in (None, number):
                    ranges.setdefault(name, []).append((number, first, last))
        if not ranges:
            raise PorogaugeError(
                f"{store.path}: has no records of that device and boot; there:"
                f" {', '.join(there) or 'none'}"
            )
        if len(ranges) > 1:
            raise UsageError(
                f"{store.path}: has several devices: {', '.join(ranges)}; name one with --device"
            )
        ((name, its),) = ranges.items()
        return _read(store, name, its, [], names)


@contextmanager
def _snapshot(store: Store) -> Iterator[None]:
    """What is asked inside is answered as of one moment, while a logger goes on writing."""
    store.query("BEGIN")
    try:
        yield
    finally:
        store.query("ROLLBACK")


def _boots(store: Store, key: int) -> Iterator[tuple[int, int, int]]:
    """Boot, first and last window of each, by steps along the index: no row is read."""
    boot = -1
    while True:
        boot = store.query("SELECT min(boot) FROM records WHERE device=? AND boot>?", (key, boot))[
            0
        ][0]
        if boot is None:
            return
        first, last = (
            store.query(f"SELECT {end}(seq) FROM records WHERE device=? AND boot=?", (key, boot))
            for end in ("min", "max")
        )
        yield boot, first[0][0], last[0][0]


def _read(
    store: Store,
    device: str,
    ranges: Sequence[tuple[int, int, int]],
    cuts: Sequence[tuple[int, int]],
    names: Sequence[str],
) -> Web:
    if store.path == ":memory:":
        raise PorogaugeError("statistics need a database file: other threads read it as well")
    parts = list(_parts(store, device, ranges, cuts))
    found = _fetch(store, device, parts, names)
    sections = []
    left_out: dict[str, dict[str, int]] = {name: {} for name in names}
    for part, chunks in zip(parts, found, strict=True):
        if not chunks:
            continue
        position = np.concatenate([chunk.position for chunk in chunks])
        metres = np.subtract(_unfolded(position, part.origin_mm), part.origin_mm, dtype=float)
        metres /= 1000
        metres += part.origin_m
        values = {
            name: np.concatenate([chunk.values[index] for chunk in chunks])
            for index, name in enumerate(names)
        }
        for chunk in chunks:
            for name, causes in zip(names, chunk.causes, strict=True):
                for cause, count in causes.items():
                    left_out[name][cause] = left_out[name].get(cause, 0) + count
        sections.append(Section(metres, values))
    windows = sum(len(section.metres) for section in sections)
    due = sum(last - first + 1 for _, first, last in ranges)
    boots = tuple(dict.fromkeys(boot for boot, _, _ in ranges))
    u95 = {name: _typical_u95(store, device, boots, VALUES[name]) for name in names}
    return Web(device, boots, windows, due - windows, tuple(sections), left_out, u95)


def _parts(
    store: Store,
    device: str,
    ranges: Sequence[tuple[int, int, int]],
    cuts: Sequence[tuple[int, int]],
) -> Iterator[_Part]:
    """Ranges cut at the splices; length goes on from one boot to the next."""
    passed = 0.0
    for boot, first, last in ranges:
        start_mm, end_mm = (
            next(store.columns(("position_mm",), device, boot, end))[0] for end in (first, last)
        )
        inside = sorted(seq for b, seq in cuts if b == boot and first < seq <= last)
        for low, high in zip([first, *inside], [*(seq - 1 for seq in inside), last], strict=True):
            yield _Part(boot, low, high, start_mm, passed)
        half = _FOLD >> 1
        passed += ((end_mm - start_mm + half) % _FOLD - half) / 1000.0


def _unfolded(position: np.ndarray, origin: int) -> np.ndarray:
    """Positions without the jump of the board's counter, `origin` where it began."""
    if max(int(position.max()), origin) - min(int(position.min()), origin) < _FOLD >> 1:
        return position
    return np.unwrap(np.concatenate([[origin], position]), period=_FOLD)[1:]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Windows of one question; `causes`: of those without a number, for each value."""

    position: np.ndarray
    values: list[np.ndarray]
    causes: list[dict[str, int]]


def _chunk(texts: Sequence[str], factors: Sequence[float]) -> _Chunk:
    """Numbers out of the texts that SQLite made of them, in user units."""
    position, *columns = (np.fromstring(text, dtype=np.int64, sep=",") for text in texts)
    values, causes = [], []
    for words, factor in zip(columns, factors, strict=True):
        numbers = words / factor
        bad = words >= _NONE
        found: dict[str, int] = {}
        if bad.any():
            numbers[bad] = np.nan
            for code, count in zip(*np.unique(words[bad], return_counts=True), strict=True):
                found[_cause(int(code) - _NONE)] = int(count)
        values.append(numbers)
        causes.append(found)
    return _Chunk(position, values, causes)


def _cause(code: int) -> str:
    pairs = (record.STATE_NAMES, code >> 8), (record.REASON_NAMES, code & 255)
    words = (names[i] if i < len(names) else f"unknown_{i}" for names, i in pairs)
    return ": ".join(words)


def _fetch(
    store: Store, device: str, parts: Sequence[_Part], names: Sequence[str]
) -> list[list[_Chunk]]:
    """Windows of each part, in the order of the rows in the file."""
    columns = ["position_mm"]
    for name in names:
        value = VALUES[name]
        columns.append(
            f"CASE WHEN valid & {value.bit} THEN {value.column}"
            f" ELSE {_NONE} + state * 256 + reason END"
        )
    sql = (
        f"SELECT {', '.join(f'group_concat({column})' for column in columns)} FROM records"
        " WHERE rowid BETWEEN ? AND ?"
    )
    alone = len(parts) == 1 and _alone(store, parts[0])
    if not alone:
        # The unary plus keeps SQLite from the index: in the order of the file all is read once.
        sql += " AND +device=? AND +boot=? AND +seq BETWEEN ? AND ?"
    factors = [VALUES[name].factor for name in names]
    key = store.device_id(device)
    todo: SimpleQueue[tuple[int, int, tuple[int, ...]]] = SimpleQueue()
    pieces: list[dict[int, _Chunk]] = []
    for index, part in enumerate(parts):
        low, high = _rows(store, key, part)
        for number, start in enumerate(range(low, high + 1, _CHUNK)):
            end = min(high, start + _CHUNK - 1)
            whose = () if alone else (key, part.boot, part.first, part.last)
            todo.put((index, number, (start, end, *whose)))
        pieces.append({})
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with Store(store.path, read_only=True, check=False) as own:
                while not errors:
                    index, number, values = todo.get_nowait()
                    row = own.query(sql, values)[0]
                    if row[0] is not None:
                        pieces[index][number] = _chunk(row, factors)
        except Empty:
            return
        except BaseException as error:  # told to the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(min(4, os.cpu_count() or 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [[found[number] for number in sorted(found)] for found in pieces]


def _alone(store: Store, part: _Part) -> bool:
    """Whether the file has no other records than those of this part."""
    keys = [key for (key,) in store.query("SELECT id FROM devices")]
    return [range_ for key in keys for range_ in _boots(store, key)] == [
        (part.boot, part.first, part.last)
    ]


def _rows(store: Store, key: int | None, part: _Part) -> tuple[int, int]:
    """First and last row of the file between which the windows of a part are."""
    last = store.query("SELECT max(rowid) FROM records")[0][0] or 0
    if 2 * (part.last - part.first + 1) > last:
        return 1, last  # most of the file: looking closer costs more than it saves
    low, high = store.query(
        "SELECT min(rowid), max(rowid) FROM records WHERE device=? AND boot=?"
        " AND seq BETWEEN ? AND ?",
        (key, part.boot, part.first, part.last),
    )[0]
    return (1, 0) if low is None else (low, high)


def _typical_u95(store: Store, device: str, boots: Sequence[int], value: Value) -> float | None:
    """Median of U95 of windows that are evenly spread over the rows."""
    if value.u_column is None:
        return None
    last = store.query("SELECT max(rowid) FROM records")[0][0] or 0
    rows = sorted({int(row) for row in np.linspace(1, last, _SAMPLE)})
    marks = ", ".join("?" * len(rows))
    its = ", ".join("?" * len(boots))
    found = store.query(
        f"SELECT {value.u_column} FROM records WHERE rowid IN ({marks}) AND +device=?"
        f" AND +boot IN ({its}) AND valid & {value.bit}",
        (*rows, store.device_id(device), *boots),
    )
    return 2 * float(np.median(found)) / value.factor if found else None
