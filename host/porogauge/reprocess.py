"""A stored roll, recomputed with another calibration or recipe; the original is kept.

    >>> done = reprocess(store, book, roll, {"calibration": tables}, who="shift 2", why="new gap")
    >>> done.windows, done.differences["thickness_nm"]["mean"]

Every window is recomputed twice by the board's own modules (`porogauge.replay`): with what was in
force, which has to give the stored record bit by bit, and with what is asked for. A roll that does
not reproduce itself is not recomputed: something is not known of it, and the report says where.
The result is kept beside the records, in the tables reprocessings and reprocessed.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gauge import config, record, reference

from .book import Book
from .recipe import replace_part
from .replay import References, Replay, ReplayError, reference_of, refusals
from .rolls import Roll, Span, spans
from .store import Store, words_of
from .store_file import RECOMPUTED

__all__ = ["Mismatch", "Reprocessed", "changed_words", "recompute", "reprocess", "side_by_side"]

_LEAD = 2000  # windows before a roll with which flags and outputs get their history
_MOST = 1000  # windows of a standardisation
_PIECE = 1000  # windows that are read, and written, at once
_DAY_S = 86_400
_INDICES = tuple(record.FIELD_NAMES.index(name) for name in RECOMPUTED)
# What depends on windows that may be before the first stored one
_HISTORY = frozenset((record.FLAGS, record.LATCHED, record.OUTPUTS))
_NUMBERS = tuple(index for index in _INDICES if index not in _HISTORY)
_REFERENCE = tuple(
    record.FIELD_NAMES.index(name)
    for name in ("c0_af", "c0_frame_mc", "d_frame_mc", "u_d_8nm", "standard_windows")
)

Row = Sequence[int]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A window that the configuration in force does not reproduce."""

    boot: int
    seq: int
    fields: tuple[str, ...]


@dataclass(slots=True)
class Reprocessed:
    """What a run found. `references`: how each reference was taken, by the window from which it
    is in force; `unsettled` windows whose flags depend on what is not stored."""

    windows: int = 0
    unsettled: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    references: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    differences: dict[str, Any] = field(default_factory=dict)
    recipe: int = 0
    calibration: int = 0
    run: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class _Boot:
    """One boot of a board, replayed with what was in force and with what is asked for."""

    def __init__(
        self,
        configurations: Sequence[Mapping[str, Any]],
        change: Callable[[array], array],
        report: Reprocessed,
        boot: int,
    ):
        self._configurations = list(configurations)
        self._change = change
        self._report = report
        self._boot = boot
        self._old: Replay | None = None
        self._new: Replay | None = None
        self._blob: bytes | None = None
        self._keys: tuple | None = None  # reference in force
        self._refs: tuple[array, array] | None = None
        self._references: References | None = None
        self._recent: list[Row] = []  # windows without holes
        self._settled = False
        self._at = -1

    def window(self, row: Row, counts: bool) -> array:
        """The row recomputed as asked for; `counts`: it belongs to the roll."""
        seq = row[record.SEQ]
        report = self._report
        if (
            row[record.STATE] == record.STATE_FAULT
            and row[record.STATE_REASON] == record.REASON_CALIBRATION_MISSING
        ):
            self._at = seq
            self._recent = []
            return array("i", row)
        self._configure(seq)
        if seq != self._at + 1:
            self._recent = []
            self._settled = False
            for replay in (self._old, self._new):
                replay.resume(row)
        self._at = seq
        self._refer(row)
        new = old = self._old.window(row)
        if self._new is not self._old:
            new = self._new.window(row, self._old.film.found)
        self._recent.append(row)
        if len(self._recent) > 2 * _MOST:
            del self._recent[:_MOST]
        bad = [index for index in _NUMBERS if old[index] != row[index]]
        history = [index for index in sorted(_HISTORY) if old[index] != row[index]]
        if not history:
            self._settled = True
        elif self._settled:
            bad += history
        elif counts:
            report.unsettled += 1
        if bad and counts:
            names = tuple(record.FIELD_NAMES[index] for index in bad)
            report.mismatches.append(Mismatch(self._boot, seq, names))
        return new

    def _configure(self, seq: int) -> None:
        """Take the configuration into force that holds from this window on."""
        rows = [row for row in self._configurations if row["from_seq"] <= seq]
        if not rows:
            raise ReplayError(
                f"the configuration of boot {self._boot} is not stored: window {seq} cannot be"
                " recomputed"
            )
        blob = bytes(rows[-1]["blob"])
        if blob == self._blob:
            return
        words = words_of(rows[-1])
        wanted = self._change(words)
        refused, told = refusals(words, wanted)
        if refused:
            raise ReplayError("\n".join(refused))
        for text in told:
            if text not in self._report.warnings:
                self._report.warnings.append(text)
        old = Replay(words)
        new = old if wanted == words else Replay(wanted)
        if self._blob is not None:
            new.follow(self._new)
            old.follow(self._old)
            self._at = -2  # flags and outputs began anew, and nobody knows exactly when
        self._old, self._new, self._blob = old, new, blob
        self._references = References(words, wanted)
        self._keys = self._refs = None

    def _refer(self, row: Row) -> None:
        """Take the row's reference into force, and what it becomes with what is asked for."""
        keys = tuple(row[index] for index in _REFERENCE)
        if keys == self._keys:
            return
        ref = reference_of(row, self._old.words)
        # Before the first row of a boot the calibration's or a stored one was in force: it has
        # no part in a new one but for D, where the lasers saw no tile.
        made, way = self._references.new(ref, self._refs, self._recent)
        self._keys, self._refs = keys, (ref, made)
        self._old.use(ref)
        self._new.use(made)
        self._report.references.append(
            {
                "boot": self._boot,
                "seq": row[record.SEQ],
                "way": way,
                "c0_af": [ref[reference.C0_AF], made[reference.C0_AF]],
                "d_8nm": [ref[reference.D_8NM], made[reference.D_8NM]],
            }
        )


def _ranges(store: Store, roll: Roll, span: Span) -> list[tuple[int, int]]:
    """Windows to be read for a span: the standardisation behind its first one, a lead, itself."""
    first = store.known(roll.device, span.boot)[0][0]
    for row in store.configurations(roll.device, span.boot):
        if row["from_seq"] <= span.first:  # what was before the one in force is of no use
            first = max(first, row["from_seq"])
    lead = max(first, span.first - _LEAD)
    names = [record.FIELD_NAMES[index] for index in _REFERENCE]
    row = next(store.columns(names, roll.device, span.boot, lead))
    differs = " OR ".join(f"{name} IS NOT ?" for name in names)
    found = store.query(
        f"SELECT max(seq) FROM records WHERE device=? AND boot=? AND seq<? AND ({differs})",
        (store.device_id(roll.device), span.boot, lead, *row),
    )[0][0]
    if found is None:
        return [(lead, span.last)]
    start = max(first, found - row[-1] - 1)
    if found + 2 >= lead:
        return [(start, span.last)]
    return [(start, found + 1), (lead, span.last)]


def recompute(
    store: Store,
    roll: Roll,
    change: Callable[[array], array],
    report: Reprocessed,
) -> Iterator[tuple[int, Row, array]]:
    """Boot, stored record and recomputed record of every window of a roll.

    `change` gives the words to compute with for the words that were in force. Fills `report`
    but for its differences. Raises ReplayError when something is not known.
    """
    for span in spans(store, roll):
        boot = _Boot(store.configurations(roll.device, span.boot), change, report, span.boot)
        for low, high in _ranges(store, roll, span):
            for row in _rows(store, roll.device, span.boot, low, high):
                counts = row[record.SEQ] >= span.first
                new = boot.window(row, counts)
                if counts:
                    report.windows += 1
                    yield span.boot, row, new


def _rows(store: Store, device: str, boot: int, low: int, high: int) -> Iterator[Row]:
    """Rows by pieces, none of them pending while others are written: a logger may write, too."""
    for first in range(low, high + 1, _PIECE):
        yield from list(store.rows(device, boot, first, min(first + _PIECE - 1, high)))


def changed_words(parts: Mapping[str, Mapping[str, Any]]) -> Callable[[array], array]:
    """Words -> words with calibration, recipe or both replaced by these files' content."""

    def change(words: array) -> array:
        for kind, tables in parts.items():
            words = replace_part(words, kind, tables, kind)
        return words

    return change


def reprocess(
    store: Store,
    book: Book,
    roll: Roll,
    parts: Mapping[str, Mapping[str, Any]],
    *,
    who: str,
    why: str,
    progress: Progress = lambda _: None,
) -> Reprocessed:
    """Recompute a roll with other files, keep it beside the original, and return what it found.

    `parts`: tables of a calibration, a recipe, or both. `progress` is called with numbers of
    windows. Nothing is kept when a window does not reproduce itself with what was in force.
    Raises ReplayError, `porogauge.recipe.RecipeError`.
    """
    report = Reprocessed()
    change = changed_words(parts)
    run = _begin(store, roll, who, why)
    try:
        totals = _keep(store, roll, change, report, run, progress)
        if report.mismatches:
            raise ReplayError(_not_reproduced(report))
        if not report.windows:
            raise ReplayError(f"roll {roll.name} has no windows")
        ids = _ids(store, roll, change)
        report.recipe, report.calibration = ids
        report.differences = totals.result()
        report.run = run
        with store.batch():
            told = {
                "recipe": f"{ids[0]:08x}",
                "calibration": f"{ids[1]:08x}",
                "windows": report.windows,
                "run": run,
            }
            before = {"recipe": f"{roll.recipe:08x}", "calibration": f"{roll.calibration:08x}"}
            entry = book.audit.append("reprocess", roll.name, who, why, before, told)
            store.change(
                "UPDATE reprocessings SET recipe=?, calibration=?, head=?, report=? WHERE id=?",
                (*ids, f"{entry['n']}:{entry['hash']}", json.dumps(report.to_dict()), run),
            )
    except BaseException:
        _forget(store, "id=?", run)
        raise
    return report


def _begin(store: Store, roll: Roll, who: str, why: str) -> int:
    """A new run, without a report until it is done; old ones that never got there are removed."""
    _forget(store, "report='' AND time<?", time.time() - _DAY_S)
    return store.change(
        "INSERT INTO reprocessings (roll, recipe, calibration, time, who, why, head, report)"
        " VALUES (?, 0, 0, ?, ?, ?, '', '')",
        (roll.id, time.time(), who, why),
    )


def _forget(store: Store, which: str, value: float) -> None:
    with store.batch():
        store.change(
            f"DELETE FROM reprocessed WHERE run IN (SELECT id FROM reprocessings WHERE {which})",
            (value,),
        )
        store.change(f"DELETE FROM reprocessings WHERE {which}", (value,))


def _keep(
    store: Store,
    roll: Roll,
    change: Callable[[array], array],
    report: Reprocessed,
    run: int,
    progress: Progress,
) -> _Totals:
    """Recompute and write, a piece at a time, so that a logger is never kept waiting."""
    totals = _Totals()
    rows: list[tuple[int, ...]] = []

    def write() -> None:
        store.insert("reprocessed", ("run", "boot", "seq", *RECOMPUTED), rows)
        progress(len(rows))
        rows.clear()

    for boot, row, new in recompute(store, roll, change, report):
        totals.add(row, new)
        rows.append((run, boot, row[record.SEQ], *[new[index] for index in _INDICES]))
        if len(rows) == _PIECE:
            write()
        if len(report.mismatches) > 100:
            break
    write()
    return totals


def _ids(store: Store, roll: Roll, change: Callable[[array], array]) -> tuple[int, int]:
    boot = spans(store, roll)[-1].boot
    words = change(words_of(store.configurations(roll.device, boot)[-1]))
    return words[config.RECIPE_ID], words[config.CALIBRATION_ID]


def _not_reproduced(report: Reprocessed) -> str:
    first = report.mismatches[0]
    more = "more than 100" if len(report.mismatches) > 100 else str(len(report.mismatches))
    return (
        f"{more} windows do not follow from what is stored of the configuration in force, the"
        f" first is window {first.seq} of boot {first.boot} ({', '.join(first.fields[:6])});"
        " most likely the configuration was changed while nothing was logged. Nothing was kept"
    )


def side_by_side(store: Store, roll: Roll, run: int, names: Sequence[str]) -> dict[str, Any]:
    """Columns of a roll before and after a run: `boot`, `seq`, `metres` once, the fields `names`
    as they were stored, and as NAME_new. Arrays of numpy."""
    import numpy as np

    from .segments import table

    found = table(store, roll, names)
    rows = store.query(
        f"SELECT {', '.join(names)} FROM reprocessed WHERE run=? ORDER BY boot, seq", (run,)
    )
    if len(rows) != len(found["seq"]):
        raise ReplayError(f"{store.path}: run {run} is not one of the whole roll {roll.name}")
    new = np.array(rows, dtype=np.int64)
    return found | {f"{name}_new": new[:, index] for index, name in enumerate(names)}


class _Totals:
    """Differences of the numbers, new minus old, as they come."""

    _FIELDS = (
        ("thickness_nm", record.THICKNESS_8NM, record.VALID_THICKNESS, 8),
        ("porosity_ppm", record.POROSITY_PPM, record.VALID_POROSITY, 1),
        ("permittivity_e4", record.PERMITTIVITY_E4, record.VALID_PERMITTIVITY, 1),
        ("solid_nm", record.SOLID_8NM, record.VALID_SOLID, 8),
        ("u_thickness_nm", record.U_THICKNESS_8NM, record.VALID_THICKNESS, 8),
        ("u_porosity_ppm", record.U_POROSITY_PPM, record.VALID_POROSITY, 1),
    )

    def __init__(self) -> None:
        self._sums = [[0, 0, 0, 0] for _ in self._FIELDS]  # n, sum, lowest, highest
        self._lost = [0] * len(record.VALID_NAMES)
        self._gained = [0] * len(record.VALID_NAMES)
        self._flags = [[0, 0] for _ in record.FLAG_NAMES]
        self._states = 0
        self._same = 0

    def add(self, row: Row, new: Row) -> None:
        """Take in a window, as stored and as recomputed."""
        both = row[record.VALID] & new[record.VALID]
        for (_, index, bit, _), total in zip(self._FIELDS, self._sums, strict=True):
            if both & bit:
                d = new[index] - row[index]
                total[2] = min(total[2], d) if total[0] else d
                total[3] = max(total[3], d) if total[0] else d
                total[0] += 1
                total[1] += d
        if row[record.VALID] != new[record.VALID]:
            for bit in range(len(record.VALID_NAMES)):
                before, after = row[record.VALID] >> bit & 1, new[record.VALID] >> bit & 1
                self._lost[bit] += before and not after
                self._gained[bit] += after and not before
        if row[record.FLAGS] != new[record.FLAGS]:
            for bit, counts in enumerate(self._flags):
                counts[0] += row[record.FLAGS] >> bit & 1 and not new[record.FLAGS] >> bit & 1
                counts[1] += new[record.FLAGS] >> bit & 1 and not row[record.FLAGS] >> bit & 1
        self._states += row[record.STATE] != new[record.STATE]
        self._same += all(row[index] == new[index] for index in _INDICES)

    def result(self) -> dict[str, Any]:
        """By number: windows with both, mean, lowest, highest; what came and went."""
        found: dict[str, Any] = {
            "identical_windows": self._same,
            "other_state": self._states,
            "valid_lost": dict(zip(record.VALID_NAMES, self._lost, strict=True)),
            "valid_gained": dict(zip(record.VALID_NAMES, self._gained, strict=True)),
            "flags_gone": _counts(self._flags, 0),
            "flags_come": _counts(self._flags, 1),
        }
        for (name, _, _, scale), (n, total, low, high) in zip(
            self._FIELDS, self._sums, strict=True
        ):
            if n:
                found[name] = {
                    "windows": n,
                    "mean": total / n / scale,
                    "lowest": low / scale,
                    "highest": high / scale,
                }
        return found


def _counts(flags: Sequence[Sequence[int]], at: int) -> dict[str, int]:
    return {
        name: counts[at]
        for name, counts in zip(record.FLAG_NAMES, flags, strict=True)
        if counts[at]
    }
