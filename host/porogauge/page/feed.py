"""What a database gains, as it gains it: every window into the pyramids, new ones to who listens.

Two threads read beside each other, in the order in which records were stored: one from the first
record on, which makes the pyramids and then keeps them; one from the newest on, which tells of
new windows at once, also while the other is busy with a day of old ones.

    >>> feed = Feed(Reader("line1.db"), told)
    >>> feed.start()
    >>> feed.line("e661a4d4178c2b2f").length("metres")
    >>> feed.stop()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gauge import record

from ..errors import PorogaugeError
from ..units import decode
from .lines import Line
from .pyramid import FIELDS, windows
from .reader import Reader

__all__ = ["Feed"]

LIVE_S = 0.05  # between two looks for new windows
KEEP_S = 0.25  # between two looks for the pyramids
_CHUNK = 20_000  # windows read at once while the pyramids are made
_NEW = 500  # windows told at once: a logger that catches up is not shown window by window
SAMPLES = 3000  # windows of the preview

_KEPT = f"SELECT rowid, device, boot, {', '.join(FIELDS)} FROM records"
_WHOLE = f"SELECT rowid, device, boot, {', '.join(record.FIELD_NAMES)} FROM records"


class Feed:
    """See the module. `told(device, rows)` gets decoded windows of one device, oldest first.

    `problem` is why a thread cannot read, empty when it can.
    """

    def __init__(
        self, reader: Reader, told: Callable[[str, list[dict[str, Any]]], None] = lambda *_: None
    ) -> None:
        self.reader = reader
        self.problem = ""
        self._told = told
        self._lock = threading.Lock()
        self._lines: dict[int, Line] = {}
        self._names: dict[int, str] = {}
        self._preview: dict[int, Line] = {}
        self._row = 0  # newest row in the pyramids
        self._newest = 0  # newest row told of
        self._target = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=job, daemon=True, name=job[0].__name__)
            for job in ((self._look, LIVE_S), (self._keep, KEEP_S))
        ]

    def start(self) -> None:
        """Begin: what is there already is shown from samples until all of it was read."""
        self._target = self._newest = self._last()
        if self._target > 4 * _CHUNK:
            self._sample()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)

    @property
    def complete(self) -> float:
        """Share of the records found at the start that are in the pyramids, 0 to 1."""
        return 1.0 if self._row >= self._target else self._row / self._target

    def devices(self) -> dict[str, Line]:
        """Lines of all devices. Before `complete` is 1 they have samples only."""
        with self._lock:
            lines = self._preview if self.complete < 1 and self._preview else self._lines
            return {self._names[key]: line for key, line in lines.items()}

    def newest(self, device: str) -> dict[str, Any] | None:
        """The newest stored window of a device, decoded; None when it has none."""
        store = self.reader.store
        rows = store.query(
            f"{_WHOLE} WHERE device=? ORDER BY boot DESC, seq DESC LIMIT 1",
            (store.device_id(device),),
        )
        return decode(rows[0][3:], rows[0][2]) if rows else None

    # ------------------------------------------------------------ the threads

    def _run(self, work: Callable[[], bool], pause_s: float) -> None:
        while not self._stop.is_set():
            try:
                busy = work()
                self.problem = ""
            except PorogaugeError as error:
                self.problem, busy = str(error), False
            if not busy:
                self._stop.wait(pause_s)

    def _last(self) -> int:
        return self.reader.store.query("SELECT max(rowid) FROM records")[0][0] or 0

    def _sample(self) -> None:
        wanted = sorted({int(row) for row in np.linspace(1, self._target, SAMPLES)})
        marks = ",".join("?" * len(wanted))
        rows = self.reader.store.query(f"{_KEPT} WHERE rowid IN ({marks})", wanted)
        self._add(self._preview, sorted(rows, key=lambda row: row[1:4]))

    def _keep(self) -> bool:
        rows = self.reader.store.query(
            f"{_KEPT} WHERE rowid>? ORDER BY rowid LIMIT {_CHUNK}", (self._row,)
        )
        if rows:
            self._add(self._lines, rows)
            self._row = rows[-1][0]
            if self.complete >= 1:
                self._preview = {}
        return len(rows) == _CHUNK

    def _look(self) -> bool:
        store = self.reader.store
        rows = store.query(
            f"{_WHOLE} WHERE rowid>? ORDER BY rowid DESC LIMIT {_NEW}", (self._newest,)
        )
        if rows:
            rows.reverse()
            self._newest = rows[-1][0]
            for key in dict.fromkeys(row[1] for row in rows):
                self._told(
                    self._name(key), [decode(row[3:], row[2]) for row in rows if row[1] == key]
                )
        return False

    def _name(self, key: int) -> str:
        if key not in self._names:
            found = self.reader.store.query("SELECT device FROM devices WHERE id=?", (key,))
            self._names[key] = found[0][0]
        return self._names[key]

    def _add(self, lines: dict[int, Line], rows: Sequence[tuple[int, ...]]) -> None:
        table = np.array(rows, dtype=np.int64)
        keys = table[:, 1] << 32 | table[:, 2]
        for key in np.unique(keys).tolist():
            own = table[keys == key]
            device, boot = int(own[0, 1]), int(own[0, 2])
            self._name(device)
            with self._lock:
                if device not in lines:
                    lines[device] = Line()
                line = lines[device]
            line.add(boot, windows(own[np.argsort(own[:, 3], kind="stable"), 3:], line.near(boot)))
