"""Link, flash journal and database together: outages, resets, power cuts, kills of the host.

The board's session, its journal (`gauge.scribe` over flash in memory) and the logger's storing run
in virtual time against what was made: each window is stored once and as it was made, or is in a
gap that says why; and no window is lost for which the board had room.
"""

from __future__ import annotations

from array import array
from types import SimpleNamespace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from journal_program import Flash, PowerCut
from link_pair import ID, WHO, Wire
from test_link_session import made_row

from gauge import journal, journal_flash, record
from gauge.link import protocol
from gauge.link.session import BoardSession
from gauge.scribe import Scribe
from porogauge.journal import describe, entries, keep
from porogauge.link import events
from porogauge.link.session import HostSession
from porogauge.store import Store

# The desk's `time` has no ticks; how long the opening takes is not asked here.
journal_flash.time = SimpleNamespace(ticks_us=lambda: 0, ticks_diff=lambda new, old: new - old)

DEVICE = ID.hex()
WINDOW_S = 0.011
RESERVE = 2  # sectors that full records leave to the other kinds
AMPLE = 32_000  # bytes of a ring that outlasts the silence after which flash is written
SECOND = 100  # windows at most that are told of in the summary that a reset takes with it


class Machine(RuleBasedStateMachine):
    """A board that forgets everything but its flash, a host that forgets all but its database."""

    @initialize(
        seed=st.integers(0, 2**16),
        ring=st.sampled_from([2200, AMPLE]),
        sectors=st.sampled_from([5, 40]),
    )
    def start(self, seed, ring, sectors):
        self.now = 100.0
        self.ring = ring
        self.wire = Wire(seed)
        self.flash = Flash(sectors)
        self.state = record.STATE_OFF_SHEET
        self.store = Store(":memory:")
        self.boot = 0
        self.made: dict[int, dict[int, tuple]] = {}
        self.lost_entries = 0  # of earlier boots, for want of room
        self.restarts = 0
        self.starved = False  # flash had no room for full records
        self.hosts = 0
        self.told: list = []
        self.new_board()
        self.new_host()

    # -- the two ends

    def new_board(self):
        self.boot += 1
        self.made[self.boot] = {}
        self.board_zero = self.now
        self.board = BoardSession(self.ring, WHO, self.boot, self.answer)
        hardware = SimpleNamespace(
            board=SimpleNamespace(JOURNAL_RESERVE=RESERVE),
            boot_id=lambda: self.boot,
            now=self.ticks,
            flash=self.flash,
        )
        head = SimpleNamespace(is_quiet_for=lambda us: True, pass_over=lambda: False)
        self.scribe = Scribe(hardware, self, head, self.board)
        self.scribe.put(journal.BOOT, (0).to_bytes(12, "little") + b"0.1")

    def answer(self, op, request, reply):
        if op in (protocol.JOURNAL_STATE, protocol.JOURNAL_READ, protocol.JOURNAL_DONE):
            return self.scribe.answer(op, request, reply)
        return protocol.UNKNOWN

    def new_host(self):
        self.hosts += 1
        self.told = []
        self.host = HostSession(
            self.store.settled, fetched=self.store.fetched, first_id=100_000 * self.hosts
        )

    def ticks(self):
        return round((self.now - self.board_zero) * 1e6) % 2**30

    def round(self, dt: float, record_too: bool = False):
        self.now += dt
        if record_too:
            seq = self.board.next_seq
            row = list(made_row(seq, self.boot))
            row[record.T_S], row[record.T_US] = divmod(round(1e6 * (seq + 1) * WINDOW_S), 10**6)
            self.made[self.boot][seq] = tuple(row)
            self.board.append(array("i", row), False)
            self.scribe.note(array("i", row), self.ticks())
        self.board.poll(self.ticks(), self.wire)
        try:
            self.scribe.work(self.ticks())
        except PowerCut:
            self.restart(0)
        self.starved |= self.scribe._log.erased < RESERVE
        self.told += self.host.receive(self.wire.receive(), self.now)
        self.wire.send(self.host.poll(self.now))

    def restart(self, tail):
        self.restarts += 1
        self.lost_entries += self.scribe._log.dropped
        del self.wire.to_host[tail:]
        self.wire.to_board.clear()
        self.new_board()

    def commit(self, acknowledge=True):
        """The store takes what was told; then, if it lives so long, the host says so."""
        told, self.told = self.told, []
        done = []
        with self.store.batch():
            for event in told:
                match event:
                    case events.Records(device, boot, rows):
                        self.store.append(device, boot, rows)
                    case events.Gap(device, boot, first, last, cause):
                        self.store.gap(device, boot, first, last, cause)
                    case events.Entries(device) | events.EntriesLost(device):
                        done.append((device, keep(self.store, event).next))
                    case events.Mismatch() | events.Busy():
                        raise AssertionError(event)
        if acknowledge:
            for device, number in done:
                self.host.commit_entries(device, number)
            self.host.commit(self.host.boot, self.host.next_seq)

    # -- what happens

    @rule(n=st.integers(1, 150), measuring=st.booleans())
    def windows(self, n, measuring):
        self.state = record.STATE_MEASURING if measuring else record.STATE_OFF_SHEET
        for k in range(n):
            self.round(WINDOW_S, True)
            if k % 10 == 9:
                self.commit()

    @rule(n=st.integers(500, 1500), measuring=st.booleans())
    def nobody_is_there(self, n, measuring):
        """The board measures on and its memory overflows; flash takes the rest."""
        self.wire.cut = True
        self.time_passes(3.2)
        self.windows(n, measuring)
        self.wire.cut = False

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 4.0]))
    def time_passes(self, seconds):
        for k in range(round(seconds / 0.02)):
            self.round(0.02)
            if k % 10 == 9:
                self.commit()

    @rule(on=st.booleans())
    def outage(self, on):
        self.wire.cut = on

    @rule(rate=st.sampled_from([0.0, 0.0, 1e-3]))
    def errors(self, rate):
        self.wire.error_rate = rate

    @rule()
    def host_is_killed(self):
        """What was not committed is forgotten."""
        self.new_host()
        self.wire.to_host.clear()

    @rule()
    def host_is_killed_before_it_acknowledges(self):
        self.commit(acknowledge=False)
        self.new_host()
        self.wire.to_host.clear()

    @rule(tail=st.integers(0, 300))
    def board_is_reset(self, tail):
        self.restart(tail)

    @rule(after=st.integers(1, 60), part=st.sampled_from([0, 100, 255]))
    def power_fails_while_flash_is_written(self, after, part):
        """In the so many-th operation from now on; it may never come to it."""
        self.flash.left, self.flash.part = after, part

    # -- what must hold

    def teardown(self):
        if not hasattr(self, "wire"):
            return
        self.wire.cut, self.wire.error_rate, self.flash.left = False, 0.0, 0
        for _ in range(300):
            self.time_passes(0.3)
            up = self.host.connected and self.host.boot == self.boot
            if up and self.host.next_seq == self.board.next_seq and not self.host.fetching:
                break
        assert up and not self.host.fetching and self.host.next_seq == self.board.next_seq
        self.time_passes(6)  # another look, for what was written last
        log = self.scribe._log
        assert log.acknowledged == log.next == self.store.fetched(DEVICE)
        dropped = self.lost_entries + log.dropped
        causes = {gap["cause"] for gap in self.store.gaps()}
        assert self.ring < AMPLE or self.starved or "overwritten" not in causes
        for boot, made in self.made.items():
            rows = list(self.store.rows(DEVICE, boot))
            assert rows == [made[row[record.SEQ]] for row in rows], "as it was made"
            stored = {row[record.SEQ] for row in rows}
            gaps = {
                seq
                for gap in self.store.gaps(DEVICE, boot)
                for seq in range(gap["from_seq"], gap["to_seq"] + 1)
            }
            assert not stored & gaps and stored | gaps <= set(made)
            unknown = set(made) - stored - gaps
            if boot == self.boot:
                assert not unknown
                assert len(gaps) <= self.board.ring.dropped or dropped
            elif not dropped:
                last = max(stored | gaps, default=-1)
                assert all(seq > last for seq in unknown), "nothing but the end is unknown"
                assert len(unknown) <= SECOND
        numbers = [entry.number for _, entry in entries(self.store)]
        assert len(numbers) == len(set(numbers))
        for _, entry in entries(self.store):
            assert "damaged" not in describe(entry.kind, entry.payload)
        lost = [event["text"]["cause"] for event in self.store.events("journal_lost")]
        assert "unreadable" not in lost
        assert lost.count("cut_off") <= self.restarts and (dropped or "erased" not in lost)
        self.store.close()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
