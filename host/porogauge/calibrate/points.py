"""Points of a procedure as a CSV file: one row for each reading, units in the columns' names.

    >>> points = read_csv("gap.csv", "gap")
    >>> write_csv("again.csv", points)

The first line names the columns; which there are, and their ranges, is said by the procedure's
COLUMNS ('porogauge calibrate template'). A column that does not apply to a row stays empty. Lines
that begin with '#' are comments. What is missing, out of range or unknown is refused with file,
line, column and the legal range: all of it at once.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from ..errors import PorogaugeError
from .procedure import CONDITIONS, KINDS, Point, Reading

__all__ = ["columns_of", "read_csv", "taken_with", "write_csv"]

Column = tuple[str, str, float | None, float | None, bool, str]
_TEXTS = ("id", "kind", "label")
_WHOLE = ("windows", "capdac_code")
_MOST_PROBLEMS = 20
_TAKEN = "# taken with calibration "


def columns_of(procedure: str) -> tuple[Column, ...]:
    """(name, unit, low, high, required, help) of a procedure's points."""
    if procedure == "verify":
        from .verify import COLUMNS

        return COLUMNS
    from .procedures import PROCEDURES

    return PROCEDURES[procedure].COLUMNS


def _known(columns: Sequence[Column]) -> list[str]:
    """Names that a file may have: those asked for, and all else that a reading consists of."""
    settings = [name for _, names in KINDS.values() for name in names]
    readings = [field.name for field in fields(Reading)]
    return list(
        dict.fromkeys([c[0] for c in columns] + [*_TEXTS, *settings, *CONDITIONS, *readings])
    )


def read_csv(path: str | Path, procedure: str) -> list[Point]:
    """Read and check a file of points; an empty cell is None.

    Raises PorogaugeError that names file, line, column and what is legal, for every problem.
    """
    columns = columns_of(procedure)
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            numbered = [
                (number, line)
                for number, line in enumerate(stream, 1)
                if line.strip() and not line.startswith("#")
            ]
    except (OSError, UnicodeDecodeError) as error:
        raise PorogaugeError(f"{path}: cannot be read: {error}") from None
    if len(numbered) < 2:
        raise PorogaugeError(
            f"{path}: has no points; 'porogauge calibrate template {procedure}' shows the columns"
        )
    reader = csv.reader(line for _, line in numbered)
    try:  # a row ends in the line that was read last: a quoted cell may go over several
        table = [(numbered[reader.line_num - 1][0], cells) for cells in reader]
    except csv.Error as error:
        line = numbered[reader.line_num - 1][0]
        raise PorogaugeError(f"{path}: line {line} cannot be read: {error}") from None
    names = [name.strip() for name in table[0][1]]
    problems = _header(names, columns, procedure)
    if problems:
        raise PorogaugeError("\n".join(f"{path}: {text}" for text in problems))
    points: list[Point] = []
    seen: dict[str, int] = {}
    for number, cells in table[1:]:
        point, found = _point(names, cells, columns)
        id = str(point.get("id"))
        if id in seen:
            found.append(f"id: {id} is the name of line {seen[id]}, too; each point has its own")
        seen[id] = number
        problems += [f"line {number}: {text}" for text in found]
        points.append(point)
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        shown = problems[:_MOST_PROBLEMS] + ([f"and {more} more problems"] if more > 0 else [])
        raise PorogaugeError("\n".join(f"{path}: {text}" for text in shown))
    return points


def _header(names: Sequence[str], columns: Sequence[Column], procedure: str) -> list[str]:
    known = _known(columns)
    problems = []
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            problems.append(
                f"column {name!r} is not known; {hint}'porogauge calibrate template"
                f" {procedure}' shows the columns"
            )
        elif names.count(name) > 1:
            problems.append(f"column {name} is there {names.count(name)} times")
    missing = [c[0] for c in columns if c[4] and c[0] not in names]
    if missing:
        problems.append(f"columns are missing: {', '.join(missing)}")
    return problems


def _point(
    names: Sequence[str], cells: Sequence[str], columns: Sequence[Column]
) -> tuple[Point, list[str]]:
    """A row, and what is wrong with it."""
    if len(cells) != len(names):
        return {}, [f"has {len(cells)} cells, the first line has {len(names)} columns"]
    legal = {c[0]: c for c in columns}
    point: Point = {}
    problems = []
    for name, cell in zip(names, cells, strict=True):
        text = cell.strip()
        _, unit, low, high, required, _ = legal.get(name, (name, "", None, None, False, ""))
        if not text:
            point[name] = None
            if required:
                problems.append(f"{name} is missing{_span(low, high, unit)}")
            continue
        try:
            point[name] = _value(name, text, low, high)
        except ValueError as error:
            problems.append(f"{name}: {error}{_span(low, high, unit)}")
    kind = point.get("kind")
    if kind is not None and kind not in KINDS:
        problems.append(f"kind: {kind} is not one of {', '.join(KINDS)}")
    return point, problems


def _value(name: str, text: str, low: float | None, high: float | None) -> Any:
    if name in _TEXTS:
        if not text.isprintable() or text.startswith("#"):  # a line of '#' is a comment
            raise ValueError(f"{text[:40]!r} is not a text of printable characters without '#'")
        return text
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    if low is not None and not low <= value <= high:
        raise ValueError(f"{text} is out of range")
    if name in _WHOLE:
        if value != int(value):
            raise ValueError(f"{text} is not a whole number")
        return int(value)
    return value


def _span(low: float | None, high: float | None, unit: str) -> str:
    return "" if low is None else f"; legal: {low:g} to {high:g} {unit}".rstrip()


def write_csv(path: str | Path, points: Sequence[Point], calibration: str = "") -> None:
    """Write points so that `read_csv` gives them back, columns in the order of their coming.

    `calibration`: id of the one that was in force; `taken_with` gives it back.
    """
    names = list(dict.fromkeys(name for point in points for name in point))
    names.sort(key=lambda name: name != "id")
    try:
        with open(path, "w", encoding="utf-8", newline="") as stream:
            if calibration:
                stream.write(f"{_TAKEN}{calibration}\n")
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(names)
            for point in points:
                cells = (point.get(name) for name in names)
                writer.writerow("" if cell is None else cell for cell in cells)
    except OSError as error:
        raise PorogaugeError(f"{path}: cannot be written: {error.strerror}") from None


def taken_with(path: str | Path) -> str:
    """Id of the calibration that was in force when the points were taken; "" when not said.

    Skew is relative to the latencies in force: such points belong to that calibration.
    """
    with open(path, encoding="utf-8-sig") as stream:
        first = stream.readline()
    return first.removeprefix(_TAKEN).strip() if first.startswith(_TAKEN) else ""
