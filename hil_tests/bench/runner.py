"""A scenario from power-up to its last record: board, sensors, cable, host and store in one run.

    >>> run = Run(Scenario.load("hil_tests/scenarios/ideal.toml"), "unix32")
    >>> run.go()
    >>> run.summary["windows"], run.summary["lost"]
    (764, 0)

The host is the one of `porogauge log`, run in virtual time: the same session, the same database;
records are acknowledged when they are committed. A run repeats bit for bit.

`run_scenario` writes into a folder:

    roll.db         the database, as `porogauge log` leaves it
    records.jsonl   one object per window, as the host received it (`porogauge.units.decode`)
    truth.jsonl     what was true in that window, same `boot` and `seq`
    summary.json    what the run was worth, keys of `summary.SUMMARY`
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from gauge import config, health, record
from gauge.link import protocol
from porogauge import journal
from porogauge.link import events
from porogauge.link.session import HostSession, Request
from porogauge.recipe import dumps
from porogauge.recipe_fields import KINDS
from porogauge.store import Store
from porogauge.units import decode

from .calibration import exact_files, exact_words
from .faults import TO_BOARD, TO_HOST
from .instruments import Instruments
from .interruptions import Interruptions
from .scenario import Scenario
from .summary import against_truth, counted
from .target import Target, TargetError

STEP_NS = 5_000_000  # between two looks of the host at its port, besides when bytes arrive
CHUNK_BYTES = 192  # of the configuration in one request
CHUNK_BYTES_NOISY = 32  # the same on a cable that damages so much that long frames never arrive
NOISY_RATE = 2e-3
TRY_S = 0.25  # until a request is repeated
CONFIGURE_NS = 20_000_000_000  # longest time to bring a board into service
DRAIN_NS = 30_000_000_000  # longest time for the last records to arrive after the end
SETTLE_NS = 1_000_000_000  # of measuring, before the heap is looked at
IDS_OF_A_HOST = 1 << 20  # of its requests
SMALL_SECTORS = 44  # of a journal that is full in seconds, its reserve and little more
HEAP_NS = 50_000_000  # within which the board looks at its heap

RESULTS = (  # of a run in its folder
    *("records.jsonl", "truth.jsonl", "summary.json"),
    *("roll.db", "roll.db-wal", "roll.db-shm"),
)


def make_target(name: str, **options: Any) -> Target:
    """Return a target by its name, rp2040 or unix32; its first boot is number 1."""
    options.setdefault("files", {"boot.id": b"0"})
    if name == "rp2040":
        from .rp2040 import RP2040Target

        return RP2040Target(**options)
    if name == "unix32":
        from .unix_target import UnixTarget

        return UnixTarget(**options)
    raise ValueError(f"target {name!r} is not one of rp2040, unix32")


def target_for(scenario: Scenario, name: str) -> Target:
    """The target of that name that a scenario's faults need."""
    small = any(fault.kind == "journal_full" for fault in scenario.faults)
    return make_target(name, journal_sectors=SMALL_SECTORS) if small else make_target(name)


class NoAnswer(TargetError):
    """The board did not answer a request, or refused it."""


class Run:
    """One run; `go()` does it all. `target` is a name or a target that was made before."""

    def __init__(
        self,
        scenario: Scenario,
        target: str | Target,
        database: str | Path = ":memory:",
        progress: Callable[[float, float], None] | None = None,
    ) -> None:
        self.scenario = scenario
        self.target = target_for(scenario, target) if isinstance(target, str) else target
        self.instruments = Instruments(scenario, self.target.clock, self.target.i2c)
        self.instruments.plug_into(self.target)
        self.interruptions = Interruptions(self)
        self.instruments.faults.outside = self.interruptions
        self.store = Store(database)
        self._host_runs = True
        self._hosts = 1  # processes that there were
        self.session = self._new_session()
        self.boots: dict[int, int] = {}  # boot id -> virtual instant of its ticks zero
        self.console: list[str] = []
        self.latest: list[tuple[int, dict[str, int]]] = []  # (instant of arrival, values)
        self.arrivals: dict[tuple[int, int], int] = {}  # (boot, seq) -> instant of arrival
        self.summary: dict[str, Any] = {}
        self.device = ""  # its id, once it is known
        self._starts = [self.target.boot_ns]
        self._first_kept: dict[int, int] = {}
        self._blob = b""  # configuration that the board has
        self.newest_made = -1  # newest record that the board had made at the end
        self._health: list[dict[str, int]] = []
        self._stalled = False
        self._progress = progress
        self._wall_s = 0.0

    # -- the host, in virtual time

    def kill_host(self) -> None:
        """The host's process dies: what it had not stored is lost, nobody reads."""
        self._host_runs = False
        self._open_port(False)

    def start_host(self) -> None:
        """Another process of the host, on the same database."""
        self._host_runs = True
        self._hosts += 1
        self.session = self._new_session()
        self._open_port(True)

    def _new_session(self) -> HostSession:
        first_id = self._hosts * IDS_OF_A_HOST
        return HostSession(self.store.settled, fetched=self.store.fetched, first_id=first_id)

    def _open_port(self, is_open: bool) -> None:
        set_port = getattr(self.target, "link_port", None)
        if set_port is not None:
            set_port(is_open)

    def set_faults(self, scenario: Scenario) -> None:
        """Let the faults of `scenario` happen, which has the same world, and none of before."""
        self.scenario = scenario
        self.instruments.set_faults(scenario)
        self.instruments.faults.outside = self.interruptions

    def _from_board(self, data: bytes, t_ns: int) -> None:
        data = self.instruments.link.transform(data, TO_HOST, t_ns)
        if data and self._host_runs:
            self._handle(self.session.receive(data, t_ns / 1e9), t_ns)
            self._to_board(t_ns)

    def _to_board(self, t_ns: int) -> None:
        data = self.session.poll(t_ns / 1e9)
        data = self.instruments.link.transform(data, TO_BOARD, t_ns)
        if data:
            self.target.link_send(data)

    def _handle(self, found: list[events.Event], t_ns: int) -> None:
        session, store = self.session, self.store
        new = False
        for event in found:
            match event:
                case events.Records(device, boot, rows):
                    store.append(device, boot, rows)
                    for row in rows:
                        self.arrivals.setdefault((boot, row[record.SEQ]), t_ns)
                    new = True
                case events.Gap(device, boot, first, last, cause):
                    store.gap(device, boot, first, last, cause)
                    new = True
                case events.Entries(device) | events.EntriesLost(device):
                    session.commit_entries(device, journal.keep(store, event).next)
                case events.Latest(_, _, values):
                    self.latest.append((t_ns, dict(values)))
                case events.Connected(hello):
                    self.device = hello.device
                    self._note_boots(hello.boot)
                    store.hello(hello.device, hello.boot, hello.board, hello.firmware)
                    self._keep_configuration(hello.boot)
                case events.Console(line):
                    self.console.append(line)
                case events.Mismatch(text):
                    raise TargetError(text)
        if new:
            session.commit(session.boot, session.next_seq)

    def _step(self, end_ns: int) -> None:
        target, now = self.target, self.target.now_ns
        stalled = not self._host_runs or self.instruments.link.stalled(now)
        if stalled != self._stalled:
            self._stalled = stalled
            target.link_stall(stalled)
        self.interruptions.between_runs()
        target.run_until(min(now + STEP_NS, end_ns))
        if target.boot_ns != self._starts[-1]:
            self._starts.append(target.boot_ns)
        now = target.now_ns
        if self._host_runs:
            self._handle(self.session.receive(b"", now / 1e9), now)
            self._to_board(now)

    def _note_boots(self, boot: int) -> None:
        """A boot is known: so are those before it, which no host may have met.

        Of starts that were cut short, the shortest ones were over before they were counted.
        """
        known = max((number for number in self.boots if number < boot), default=boot)
        self.boots[boot] = self.target.boot_ns
        starts = [t for t in self._starts if self.boots[known] < t <= self.boots[boot]]
        lives = sorted(pairwise(starts), key=lambda life: life[0] - life[1])
        missed = sorted(begin for begin, _ in lives[: max(0, boot - known - 1)])
        self.boots |= dict(zip(range(known + 1, boot), missed, strict=False))

    def run_until(self, t_ns: int) -> None:
        """Let board and host run up to a virtual instant."""
        while self.target.now_ns < t_ns:
            self._step(t_ns)
            if self._progress is not None:
                self._progress(self.target.now_ns / 1e9, self.scenario.run.duration_s)

    def request(self, op: int, payload: bytes = b"", limit_ns: int = 3_000_000_000) -> Request:
        """Ask the board and let time pass until it answers; NoAnswer when it does not."""
        asked = self.session.request(op, payload, TRY_S, round(limit_ns / 1e9 / TRY_S))
        self._to_board(self.target.now_ns)
        end = self.target.now_ns + limit_ns
        while not asked.ended and self.target.now_ns < end:
            self._step(end)
        if not asked.done or asked.status != protocol.OK:
            raise NoAnswer(asked.text or "no answer")
        return asked

    def words(self, op: int, names: tuple[str, ...]) -> dict[str, int]:
        """Ask for STATUS or HEALTH and return it by name."""
        reply = self.request(op).reply
        values = [
            int.from_bytes(reply[i : i + 4], "little", signed=True)
            for i in range(0, len(reply) - 3, 4)
        ]
        return dict(zip(names, values, strict=False))

    # -- the run

    def go(self) -> dict[str, Any]:
        """Boot, configure, run, drain; return the summary."""
        start = time.perf_counter()
        self.target.on_link = self._from_board
        try:
            self.boot()
            words = exact_words(self.scenario)
            self.configure(words)
            self._keep_files(words)
            self._measure(round(self.scenario.run.duration_s * 1e9))
            self.drain()
        finally:
            self.target.stop()
        self._wall_s = time.perf_counter() - start
        self.summary = self._summarise()
        return self.summary

    def boot(self) -> None:
        """Power up and wait until the board answers on the link."""
        self.target.on_link = self._from_board
        self.target.boot()
        end = self.target.now_ns + CONFIGURE_NS
        while self.session.hello is None:
            if self.target.now_ns >= end:
                raise TargetError("the board does not answer: " + " | ".join(self.console[-20:]))
            self._step(end)

    def configure(self, words: Any) -> None:
        """Push a configuration over the link."""
        blob = config.pack(words)
        noisy = self.scenario.link.byte_error_rate > NOISY_RATE
        size = CHUNK_BYTES_NOISY if noisy else CHUNK_BYTES
        for at in range(0, len(blob), size):
            chunk = blob[at : at + size]
            self.request(protocol.CONFIG_WRITE, at.to_bytes(4, "little") + chunk, CONFIGURE_NS)
        total = len(blob).to_bytes(4, "little")
        self.request(protocol.CONFIG_COMMIT, total + crc32_bytes(blob), CONFIGURE_NS)
        self._blob = blob
        self._keep_configuration(self.session.boot)

    def _keep_configuration(self, boot: int) -> None:
        """Store what the board measures with, from the start of the boot on: a roll without it
        cannot be recomputed."""
        if self._blob:
            self.store.configuration(self.device, boot, 0, self._blob)

    def _keep_files(self, words: Any) -> None:
        """Store recipe and calibration as files, as a logger does that has sent them."""
        ids = words[config.RECIPE_ID], words[config.CALIBRATION_ID]
        for kind, id, tables in zip(KINDS, ids, exact_files(self.scenario), strict=True):
            text = dumps(kind, tables, comments=False)
            self.store.document(kind, id, tables[kind]["name"], text)

    def _measure(self, end_ns: int) -> None:
        """Run to the end of the scenario, looking at the board's health while it measures."""
        settled = round(self.scenario.film.start_s * 1e9) + SETTLE_NS
        if settled < end_ns:
            self.run_until(settled)
            with suppress(NoAnswer):  # a fault of the link, of the scenario
                self.look_at_health()
        self.run_until(end_ns)

    def look_at_health(self) -> dict[str, int]:
        """Ask for the board's health and keep it for the summary.

        Twice: the first request makes the board look at its heap when it has time.
        """
        self._health.append(self.words(protocol.HEALTH, health.HEALTH_NAMES))
        self.run_until(self.target.now_ns + HEAP_NS)
        self._health.append(self.words(protocol.HEALTH, health.HEALTH_NAMES))
        return self._health[-1]

    def drain(self) -> None:
        """Let the records arrive that the board had made when the scenario ended."""
        made = 0
        with suppress(NoAnswer):  # a link fault at the end: the records come when it is gone
            made = self.look_at_health()["windows"]
        self.newest_made = newest = max(self.session.newest_seq, made - 1)
        end = self.target.now_ns + DRAIN_NS
        while self.target.now_ns < end:
            if self.session.next_seq > newest and not self.session.fetching:
                break
            self._step(end)

    # -- results

    def boots_over(self, before_ns: float) -> set[int]:
        """Boots that had ended before an instant."""
        boots = sorted(self.boots)
        later = zip(boots, boots[1:], strict=False)
        return {boot for boot, following in later if self.boots[following] < before_ns}

    def first_kept(self, boot: int) -> int:
        """Number of the first window of a boot that was not forgotten."""
        return self._first_kept.get(boot, 0)

    def forget(self, before_ns: int) -> None:
        """Forget what was before an instant, for a run that goes on for hours.

        The database keeps it; results are those of what follows. The last of everything is kept.
        """
        for boot, began_ns in self.boots.items():
            first = self.first_kept(boot)
            self._first_kept[boot] = first
            for row in self.store.rows(self.device, boot, first):
                if (
                    began_ns + 1_000_000_000 * row[record.T_S] + 1000 * row[record.T_US]
                    > before_ns
                ):
                    break
                self._first_kept[boot] = row[record.SEQ]
        kept = self._first_kept
        self.arrivals = {key: t for key, t in self.arrivals.items() if key[1] >= kept[key[0]]}
        self.latest = self.latest[-1:]
        self.console.clear()
        self._health = self._health[-1:]
        last = {edge.name: edge for edge in self.target.outputs if edge.t_ns <= before_ns}
        rest = [edge for edge in self.target.outputs if edge.t_ns > before_ns]
        self.target.outputs[:] = [*last.values(), *rest]
        self.instruments.ad7746.forget(before_ns - SETTLE_NS)  # begin of the first window kept

    def rows(self, boot: int | None = None, first: int = 0) -> list[tuple[int, ...]]:
        """Stored records of a boot (default: the newest) from number `first` on, in order."""
        boot = max(self.boots) if boot is None else boot
        return list(self.store.rows(self.device, boot, first))

    def records(self) -> list[dict[str, Any]]:
        """All stored records in user units, with boot, in order, but those forgotten."""
        return [
            decode(row, boot)
            for boot in sorted(self.boots)
            for row in self.rows(boot, self.first_kept(boot))
        ]

    def truth_of(self, row: dict[str, Any]) -> dict[str, Any]:
        """What was true in the window of a record in user units."""
        end = self.boots[row["boot"]] + 1000 * row["t_us"]
        return self.instruments.truth(end - 1000 * row["dt_us"], end)

    def window_end_ns(self, row: dict[str, Any]) -> int:
        """Virtual instant of the end of a record's window."""
        return self.boots[row["boot"]] + 1000 * row["t_us"]

    def compared(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(record, truth) of the windows that can be compared, see `summary.SUMMARY`."""
        pairs = []
        for row in self.records():
            if row["valid"]:
                truth = self.truth_of(row)
                if truth["film"] == 1.0 and not truth["step"]:
                    pairs.append((row, truth))
        return pairs

    def _summarise(self) -> dict[str, Any]:
        stats = self.target.stats()
        rows = self.records()
        keys = {(row["boot"], row["seq"]) for row in rows}
        lost = gaps = conversions = 0
        for boot in sorted(self.boots):
            state = self.store.completeness(self.device, boot, 0)
            lost += sum(last - first + 1 for first, last in state.missing)
            gaps += state.gaps
            if boot == self.session.boot:  # made and told of, but never arrived
                lost += max(0, self.newest_made - state.last)
            mine = [row for row in rows if row["boot"] == boot]
            conversions += sum(row["lost"] for row in mine[1:])
        return {
            "scenario": self.scenario.run.name,
            "target": self.target.name,
            "seed": self.scenario.run.seed,
            "windows": len(keys),
            "lost": lost,
            "gaps": gaps,
            "duplicated": len(rows) - len(keys),
            "conversions_lost": conversions,
            "boots": len(self.boots),
            "wall_s": round(self._wall_s, 3),
            "virtual_s": round(stats.virtual_s, 6),
            "busy_share": None if stats.busy_share is None else round(stats.busy_share, 4),
            **self._of_health(),
            "link_bytes_per_record": round(self.session.stats.bytes_in / max(1, len(rows)), 1),
            "states": counted([row["state"]] for row in rows),
            "flags": counted(row["flags"] for row in rows),
            **against_truth(self.compared()),
        }

    def _of_health(self) -> dict[str, Any]:
        longest = max((words["loop_max_us"] for words in self._health[1:]), default=None)
        heap = None
        if len(self._health) >= 3:
            first, last = self._health[1], self._health[-1]
            windows = last["windows"] - first["windows"]
            grown = last["heap_alloc"] - first["heap_alloc"]
            if windows > 0 and grown >= 0:  # else the board restarted, or collected garbage
                heap = round(1000 * grown / windows, 1)
        return {"loop_max_us": longest, "heap_bytes_per_1000_windows": heap}

    def write(self, folder: Path) -> None:
        """Write records, truth and summary as JSON into a folder."""
        rows = self.records()
        with (folder / "records.jsonl").open("w") as file:
            for row in rows:
                file.write(json.dumps(row) + "\n")
        with (folder / "truth.jsonl").open("w") as file:
            for row in rows:
                key = {"boot": row["boot"], "seq": row["seq"]}
                file.write(json.dumps(key | self.truth_of(row)) + "\n")
        (folder / "summary.json").write_text(json.dumps(self.summary, indent=2) + "\n")


def crc32_bytes(blob: bytes) -> bytes:
    """CRC32 of a blob as CONFIG_COMMIT wants it."""
    import zlib

    return zlib.crc32(blob).to_bytes(4, "little")


def run_scenario(
    path: str | Path | Scenario,
    target: str,
    out: str | Path,
    seed: int | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> dict[str, Any]:
    """Run a scenario and leave its results in the folder `out`; return the summary.

    `seed` replaces the scenario's. Results of an earlier run in the folder are replaced: a run is
    whole.
    `progress(virtual_s, duration_s)` is called now and then.
    """
    scenario = path if isinstance(path, Scenario) else Scenario.load(path)
    if seed is not None:
        scenario.run.seed = seed
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)
    run = Run(scenario, target, folder / "roll.db", progress)
    summary = run.go()
    run.write(folder)
    run.store.close()
    return summary
