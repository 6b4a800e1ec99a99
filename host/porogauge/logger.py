"""The logger: what a gauge sends goes into the database, and only then may the gauge forget it.

    with Store("roll.db", lock=True) as store:
        logger = Logger(client, store, view)
        summary = logger.run(duration_s=60)

The client (`porogauge.link.client.Client`, or anything with its methods) reconnects by itself and
delivers records in order; the logger collects them for a tenth of a second, commits, and then
acknowledges. It can be stopped and killed at any moment: what was not acknowledged is sent again,
what was stored before is recognised.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gauge import record

from . import journal
from .errors import DeviceError, PorogaugeError, ProtocolError
from .live import Snapshot
from .store import Clock, Store
from .units import decode

__all__ = ["Logger", "Stop", "Summary"]

COMMIT_EVERY_S = 0.1  # with the link's own delay a record is on disk within a quarter second
COMMIT_ROWS = 256
CLOCK_EVERY_S = 10.0
RATE_OVER_S = 5.0
JUMP_S = 0.5  # of the wall clock against ours between two looks: it was set
DRAIN_S = 3.0  # at the end of a duration: how long to wait for what is still on its way,
FETCH_S = 60.0  # and for what the board has in its flash


class Stop:
    """Set by Ctrl-C or SIGTERM: the loop ends after its round, at once with the second."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def on_signals(self) -> Iterator[Stop]:
        """Catch the signals within the block."""

        def handler(number: int, _: Any) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.requested = True

        names = [signal.SIGINT, signal.SIGTERM]
        before = [signal.signal(name, handler) for name in names]
        try:
            yield self
        finally:
            for name, old in zip(names, before, strict=True):
                signal.signal(name, old)


@dataclass(slots=True)
class Summary:
    """What a session did; `lost` windows are gaps or missing after the first one stored."""

    devices: list[str] = field(default_factory=list)
    boots: list[tuple[str, int]] = field(default_factory=list)
    stored: int = 0
    fetched: int = 0  # of them out of the board's flash
    duplicates: int = 0
    lost: int = 0
    interruptions: int = 0
    seconds: float = 0.0
    stopped: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "devices": self.devices,
            "boots": [list(boot) for boot in self.boots],
            "stored": self.stored,
            "fetched": self.fetched,
            "duplicates": self.duplicates,
            "lost": self.lost,
            "interruptions": self.interruptions,
            "seconds": round(self.seconds, 3),
        }


class Logger:
    """Moves records from a client into a store.

    `view` shows what happens (`porogauge.live`). `on_records(device, boot, rows)` is called after
    each commit: a demo or a bench looks on. `documents` are recipe and calibration files to be
    kept with the roll, by kind: (id, name, TOML text).
    """

    def __init__(
        self,
        client: Any,
        store: Store,
        view: Any,
        *,
        documents: Mapping[str, tuple[int, str, str]] | None = None,
        on_records: Callable[[str, int, list], None] = lambda *_: None,
        commit_every_s: float = COMMIT_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.client = client
        self.store = store
        self.view = view
        self.summary = Summary()
        self._documents = documents or {}
        self._on_records = on_records
        self._commit_every_s = commit_every_s
        self._clock = clock
        self._rows: dict[tuple[str, int], list] = {}  # received, not yet committed
        self._gaps: list[tuple[str, int, int, int, str]] = []
        self._journal: list[Any] = []  # entries of the board's flash, received
        self._untold = 0  # records out of it that nobody was told of
        self._waiting_since: float | None = None
        self._snapshot = Snapshot()
        self._rates: deque[tuple[float, int]] = deque()
        self._newest = -1  # next sequence number on the board, for 'behind'
        self._clock_due = 0.0
        self._wall_zero_s = 0.0  # wall time at zero of our clock
        self._first: dict[tuple[str, int], int] = {}  # first window that counts, by boot
        self._handlers = {
            "Connected": self._connected,
            "Records": self._records,
            "Gap": self._gap,
            "Entries": self._entries,
            "EntriesLost": self._entries,
            "Latest": self._latest,
            "Heartbeat": self._heartbeat,
            "Restarted": self._restarted,
            "Mismatch": self._mismatch,
            "Busy": self._busy,
            "LinkDown": self._link_down,
            "LinkUp": self._link_up,
            "Silent": self._silent,
            "Console": self._console,
        }

    # ------------------------------------------------------------ the loop

    def run(
        self,
        duration_s: float | None = None,
        stop: Stop | None = None,
        until: Callable[[Snapshot], bool] = lambda _: False,
    ) -> Summary:
        """Log until `duration_s` has passed, `until` says so, or `stop` is set.

        Whatever ends the loop, what was received is committed first. Raises what the client
        raises.
        """
        stop = stop or Stop()
        began = self._clock()
        try:
            while not stop.requested:
                now = self._clock()
                late = duration_s is not None and now - began >= duration_s
                if late or until(self._snapshot):
                    self._drain(stop)
                    break
                self.step(now)
                self._snapshot.elapsed_s = now - began
                self._update_view(now)
        finally:
            self._finish(began)
        self.summary.stopped = stop.requested
        return self.summary

    def step(self, now: float, wait_s: float = 0.05) -> None:
        """Take what has arrived; commit and acknowledge when it is time."""
        for event in self.client.pump(wait_s):
            self._take(event)
        waiting = self._waiting_since
        count = sum(len(rows) for rows in self._rows.values())
        if waiting is not None and (
            count >= COMMIT_ROWS or self._clock() - waiting >= self._commit_every_s
        ):
            self.flush()
        if now >= self._clock_due:
            self._clock_due = now + CLOCK_EVERY_S
            self._store_clock()

    def _drain(self, stop: Stop) -> None:
        """Store what the board has recorded until now and is still on its way."""
        began = self._clock()
        target = self._newest
        while not stop.requested:
            self.step(self._clock())
            here = self._snapshot.values.get("seq", -1) + 1 >= target
            fetching = self.client.fetching
            if self._clock() - began >= (FETCH_S if fetching else DRAIN_S):
                break
            if here and not fetching:
                break
        if self.client.fetching:
            self.view.message("the gauge has more in its flash: the next 'log' fetches the rest")

    def _finish(self, began: float) -> None:
        self.flush()
        self._store_clock()
        summary = self.summary
        summary.seconds = self._clock() - began
        summary.lost = 0
        for (device, boot), first in self._first.items():
            state = self.store.completeness(device, boot, first)
            summary.lost += state.gaps + sum(high - low + 1 for low, high in state.missing)
        self.store.event("log_stopped", summary.as_dict())

    # ------------------------------------------------------------ events of the link

    def _take(self, event: Any) -> None:
        handler = self._handlers.get(type(event).__name__)
        if handler is not None:
            handler(event)

    def _connected(self, event: Any) -> None:
        hello = event.hello
        device, boot = hello.device, hello.boot
        self._snapshot.device = device
        self._snapshot.link = "up"
        if (device, boot) not in self.summary.boots:
            self.summary.boots.append((device, boot))
        if device not in self.summary.devices:
            self.summary.devices.append(device)
        with self.store.batch():
            self.store.hello(device, boot, hello.board, hello.firmware)
            for kind, (id, name, text) in self._documents.items():
                self.store.document(kind, id, name, text)
            self.store.event("connected", {"firmware": hello.firmware}, device, boot)
        self._keep_configuration(hello)
        self.view.message(f"connected to {device} ({hello.board}), boot {boot}")

    def _keep_configuration(self, hello: Any) -> None:
        """Store what the board measures with: a roll without it could not be recomputed."""
        device, boot = hello.device, hello.boot
        try:
            blob = self.client.read_config()
            if blob:
                # The first one of a boot holds from its start; a later one was sent between two
                # sessions, and only the board knows when.
                known = self.store.configurations(device, boot)
                self.store.configuration(device, boot, hello.next_seq if known else 0, blob)
        except (PorogaugeError, ValueError) as error:
            self.view.message(f"the gauge's configuration could not be read: {error}")
            self.store.event("configuration_unreadable", {"error": str(error)}, device, boot)

    def _records(self, event: Any) -> None:
        if not event.rows:
            return
        self._rows.setdefault((event.device, event.boot), []).extend(event.rows)
        self._wait()
        last = event.rows[-1]
        values = self._snapshot.values
        if event.boot != values.get("boot") or last[record.SEQ] >= values["seq"]:
            self._snapshot.values = decode(last, event.boot)
        self._newest = max(self._newest, last[record.SEQ] + 1)

    def _gap(self, event: Any) -> None:
        self._gaps.append((event.device, event.boot, event.first, event.last, str(event.cause)))
        boot = event.device, event.boot
        if boot in self._first or boot in self._rows:  # else before the first window stored
            self._snapshot.gaps += event.last - event.first + 1
        self._wait()

    def _entries(self, event: Any) -> None:
        self._journal.append(event)
        self._wait()

    def _latest(self, event: Any) -> None:
        """The newest record, ahead of the stream: for eyes only, never stored."""
        words = dict.fromkeys(record.FIELD_NAMES, 0) | event.values
        values = self._snapshot.values
        if event.boot != values.get("boot") or words["seq"] >= values["seq"]:
            self._snapshot.values = decode(words, event.boot)
        self._newest = max(self._newest, words["seq"] + 1)

    def _heartbeat(self, event: Any) -> None:
        self._newest = event.next_seq

    def _restarted(self, event: Any) -> None:
        self._newest = -1
        self.store.event("restarted", {"old_boot": event.old_boot}, event.device, event.boot)
        self.view.message(f"the gauge restarted: boot {event.old_boot} → {event.boot}")

    def _mismatch(self, event: Any) -> None:
        raise ProtocolError(event.text)

    def _busy(self, event: Any) -> None:
        raise DeviceError(
            f"{event.hello.device} sends its records to another host over another port;"
            " stop that one first"
        )

    def _console(self, event: Any) -> None:
        """Text between the frames: a banner, or the traceback that ended the board's program."""
        self.store.event("console", {"line": event.line})
        self.view.message(f"the board says: {event.line}")

    def _link_down(self, event: Any) -> None:
        self._snapshot.link = event.text or "down"
        self.summary.interruptions += 1
        self.store.event("link_down", {"text": event.text})

    def _link_up(self, _: Any) -> None:
        self._snapshot.link = "up"

    def _silent(self, event: Any) -> None:
        self._snapshot.link = f"silent for {event.seconds:.0f} s"

    # ------------------------------------------------------------ the store

    def _wait(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = self._clock()

    def flush(self) -> None:
        """Commit what has been received, then acknowledge it."""
        if self._waiting_since is None:
            return
        rows, gaps, fetched = self._rows, self._gaps, self._journal
        with self.store.batch():
            for (device, boot), batch in rows.items():
                new = self.store.append(device, boot, batch)
                self.summary.stored += new
                self.summary.duplicates += len(batch) - new
            for gap in gaps:
                self.store.gap(*gap)
            kept = [(event.device, journal.keep(self.store, event)) for event in fetched]
        self._rows, self._gaps, self._journal, self._waiting_since = {}, [], [], None
        ends: dict[tuple[str, int], int] = {}
        for (device, boot), batch in rows.items():
            ends[device, boot] = max(row[record.SEQ] for row in batch) + 1
            if (device, boot) not in self._first:
                self._first[device, boot] = self._start(device, boot)
        for device, boot, _, last, _ in gaps:
            ends[device, boot] = max(ends.get((device, boot), 0), last + 1)
        # Records come in order, so the last one's successor is where the board may forget to.
        for (_, boot), end in ends.items():
            self.client.commit(boot, end)
        for device, found in kept:
            self.client.commit_entries(device, found.next)
            self._tell(found)
        for (device, boot), batch in rows.items():
            self._on_records(device, boot, batch)
        self._count(sum(map(len, rows.values())))

    def _tell(self, kept: journal.Kept) -> None:
        """Say what came out of the board's flash."""
        self.summary.stored += kept.records
        self.summary.fetched += kept.records
        self._untold += kept.records
        self._snapshot.gaps = max(0, self._snapshot.gaps - kept.records)
        for device, boot in kept.boots:
            if (device, boot) not in self._first:
                self._first[device, boot] = self._start(device, boot)
        for text in kept.news:
            self.view.message(text)
        if self._untold and not self.client.fetching:
            self.view.message(
                f"{self._untold} windows that nobody had listened to came out of its flash"
            )
            self._untold = 0

    def _start(self, device: str, boot: int) -> int:
        """The first window of a boot that is stored: what the board had dropped before anybody
        listened is a gap in the table, but no loss of this session."""
        return self.store.known(device, boot)[0][0]

    def _count(self, records: int) -> None:
        now = self._clock()
        self._rates.append((now, records))
        while self._rates and self._rates[0][0] < now - RATE_OVER_S:
            self._rates.popleft()

    def _store_clock(self) -> None:
        """Keep the relation of the board's clock to wall time, as far as it is known."""
        session = getattr(self.client, "session", None)
        relation = session.clock.relation if session is not None else None
        if relation is None or not self.summary.boots:
            return
        # The link counts in monotonic time, which no correction of the wall clock disturbs.
        zero_s = time.time() - self._clock()
        jump_s = zero_s - self._wall_zero_s
        if self._wall_zero_s and abs(jump_s) > JUMP_S:
            self.store.event("clock_set", {"by_s": round(jump_s, 3)})
            self.view.message(
                f"this computer's clock was set by {jump_s:+.1f} s: the boot's times follow it;"
                " records are counted by the gauge's own clock, none is affected"
            )
        self._wall_zero_s = zero_s
        wall_s = relation.host_zero_s + zero_s
        clock = Clock(
            board_us=round(relation.board_zero_s * 1e6),
            wall_s=wall_s,
            rate=relation.rate * 1e-6,
            u_s=relation.u_zero_s,
        )
        self.store.clock(*self.summary.boots[-1], clock)

    def _update_view(self, now: float) -> None:
        s = self._snapshot
        s.stored = self.summary.stored
        # What has gone out of the window in which the rate is taken counts no more.
        span = max(1.0, now - self._rates[0][0]) if self._rates else 1.0
        s.rate_hz = sum(count for _, count in self._rates) / span
        s.behind = max(0, self._newest - 1 - s.values.get("seq", -1)) if s.values else 0
        self.view.update(s)
