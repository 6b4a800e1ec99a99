"""Which windows of a boot a database has, which a gap explains, and which are simply not there.

A gap is a row with its cause, for windows that are not stored and for no others: it shrinks when
records come late (out of the board's flash, say) that fill it. Ranges are pairs (first, last) of
sequence numbers, both included.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from .store_file import Completeness, Range, holes

__all__ = ["Sequences"]

_ISLANDS = (
    "SELECT min(seq), max(seq) FROM (SELECT seq, seq - row_number() OVER (ORDER BY seq)"
    " AS island FROM records{}) GROUP BY island ORDER BY 1"
)


class Sequences:
    """The part of `porogauge.store.Store` that counts windows."""

    _db: sqlite3.Connection

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        raise NotImplementedError

    def batch(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    def device_id(self, device: str, create: bool = False) -> int | None:
        raise NotImplementedError

    def _where(self, device: str | None, boot: int | None, table: str = "") -> tuple[str, list]:
        clauses, values = [], []
        if device is not None:
            clauses.append(f"{table}device=?")
            values.append(self.device_id(device))
        if boot is not None:
            clauses.append(f"{table}boot=?")
            values.append(boot)
        return (" WHERE " + " AND ".join(clauses) if clauses else ""), values

    # ------------------------------------------------------------ asking

    def known(self, device: str, boot: int) -> list[Range]:
        """Ranges of sequence numbers that are stored, ascending: where a session resumes."""
        where, values = self._where(device, boot)
        first, last, count = self.query(
            f"SELECT min(seq), max(seq), count(*) FROM records{where}", values
        )[0]
        if not count:
            return []
        if count == last - first + 1:  # the ordinary case, at the cost of one index scan
            return [(first, last)]
        return self.query(_ISLANDS.format(where), values)

    def extents(self, device: str) -> list[tuple[int, int, int]]:
        """Boot, first and last stored window of each, by steps along the index: no scan."""
        key, boot, found = self.device_id(device), -1, []
        while True:
            boot = self.query(
                "SELECT min(boot) FROM records WHERE device=? AND boot>?", (key, boot)
            )[0][0]
            if boot is None:
                return found
            first, last = (
                self.query(
                    f"SELECT {end}(seq) FROM records WHERE device=? AND boot=?", (key, boot)
                )
                for end in ("min", "max")
            )
            found.append((boot, first[0][0], last[0][0]))

    def gaps(self, device: str | None = None, boot: int | None = None) -> list[dict[str, Any]]:
        """Gap rows, in order."""
        where, values = self._where(device, boot, "g.")
        names = ("device", "boot", "from_seq", "to_seq", "cause", "noted")
        rows = self.query(
            "SELECT d.device, g.boot, g.from_seq, g.to_seq, g.cause, g.noted FROM gaps g"
            f" JOIN devices d ON d.id=g.device{where} ORDER BY 1, 2, 3",
            values,
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def settled(self, device: str, boot: int) -> list[Range]:
        """Ranges that need not come again: stored, or explained by a gap. Merged, ascending."""
        spans = self.known(device, boot)
        spans += [(row["from_seq"], row["to_seq"]) for row in self.gaps(device, boot)]
        merged: list[Range] = []
        for low, high in sorted(spans):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        return merged

    def completeness(self, device: str, boot: int, first: int | None = None) -> Completeness:
        """What is stored of a boot, what a gap row explains, and what is missing.

        Counted from `first` (default: the first stored or explained window) to the last one.
        """
        stored = self.known(device, boot)
        rows = self.gaps(device, boot)
        spans = stored + [(row["from_seq"], row["to_seq"]) for row in rows]
        if not spans:
            return Completeness(device, boot, 0, -1, 0, 0, ())
        start = min(low for low, _ in spans) if first is None else first
        end = max(high for _, high in spans)
        count = sum(high - max(low, start) + 1 for low, high in stored if high >= start)
        missing = holes(spans, start, end)
        windows = max(0, end - start + 1)
        gaps = windows - count - sum(high - low + 1 for low, high in missing)
        return Completeness(device, boot, start, end, count, gaps, tuple(missing))

    def missing(self, device: str, boot: int, first: int | None = None) -> list[Range]:
        """Ranges between the first and last window that are neither stored nor explained."""
        return list(self.completeness(device, boot, first).missing)

    # ------------------------------------------------------------ gaps

    def gap(self, device: str, boot: int, from_seq: int, to_seq: int, cause: str) -> bool:
        """Note windows that will not come, as far as they are neither stored nor explained.

        True when this is news.
        """
        with self.batch():
            key = self.device_id(device, True)
            explained = self._gap_rows(key, boot, from_seq, to_seq)
            spans = self._stored(key, boot, from_seq, to_seq) + [row[:2] for row in explained]
            found = holes(spans, from_seq, to_seq)
            self._add_gaps(key, boot, found, cause, time.time())
            return bool(found)

    def _fill(self, key: int, boot: int, low: int, high: int) -> None:
        """Records from `low` to `high` were stored: gaps keep what is still not there."""
        for first, last, cause, noted in self._gap_rows(key, boot, low, high):
            left = holes(self._stored(key, boot, first, last), first, last)
            if left != [(first, last)]:
                self._db.execute(
                    "DELETE FROM gaps WHERE device=? AND boot=? AND from_seq=? AND to_seq=?",
                    (key, boot, first, last),
                )
                self._add_gaps(key, boot, left, cause, noted)

    def _add_gaps(
        self, key: int | None, boot: int, ranges: list[Range], cause: str, noted: float
    ) -> None:
        rows = [(key, boot, first, last, cause, noted) for first, last in ranges]
        self._db.executemany("INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _gap_rows(self, key: int | None, boot: int, low: int, high: int) -> list[tuple]:
        """Gaps that overlap a range: first, last, cause, noted."""
        return self._db.execute(
            "SELECT from_seq, to_seq, cause, noted FROM gaps WHERE device=? AND boot=?"
            " AND from_seq<=? AND to_seq>=? ORDER BY from_seq",
            (key, boot, high, low),
        ).fetchall()

    def _stored(self, key: int | None, boot: int, low: int, high: int) -> list[Range]:
        """Ranges of records within a range."""
        where = " WHERE device=? AND boot=? AND seq BETWEEN ? AND ?"
        return self._db.execute(_ISLANDS.format(where), (key, boot, low, high)).fetchall()
