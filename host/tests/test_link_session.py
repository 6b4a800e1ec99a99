"""The link's two sessions over a bad wire: every record is stored once, or is in a reported gap.

Board and host run in virtual time against a model of what was made and what was stored. Examples
are the same in every run; a failing one is printed with what reproduces it.
"""

from __future__ import annotations

import random
from array import array

import plausible
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gauge import record
from gauge.link import protocol
from gauge.link.session import BoardSession
from porogauge.link import events, wire
from porogauge.link.clock import ClockRelation
from porogauge.link.session import HostSession

ID = bytes(range(8))
WINDOW_S = 0.011
POOL = plausible.rows(500)


def made_row(seq: int, boot: int) -> tuple[int, ...]:
    """Record `seq` of a boot: plausible, and unlike that of any other boot."""
    row = list(POOL[seq % len(POOL)])
    row[record.SEQ] = seq
    row[MARK] = boot
    return tuple(row)


MARK = record.FIELD_NAMES.index("c0_af")  # a word that tells the boots apart


class Wire:
    """Bytes both ways, with damage: outage, flipped bytes, pieces lost or repeated, slowness."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.error_rate = 0.0
        self.cut = False
        self.room = 1 << 30  # bytes that the board's side takes until it is given more
        self.to_board = bytearray()
        self.to_host = bytearray()
        self.count = 0

    # the board's transport
    def write(self, buf, n):
        n = min(n, self.room)
        self.room -= n
        self.count += n
        if not self.cut:
            self.to_host += self._damaged(bytes(buf[:n]))
        return n

    def readinto(self, buf):
        n = min(len(buf), len(self.to_board))
        buf[:n] = self.to_board[:n]
        del self.to_board[:n]
        return n

    # the host's side
    def send(self, data: bytes) -> None:
        if not self.cut:
            self.to_board += self._damaged(data)

    def receive(self, limit: int = 1 << 30) -> bytes:
        data = bytes(self.to_host[:limit])
        del self.to_host[:limit]
        return data

    def _damaged(self, data: bytes) -> bytes:
        if not self.error_rate:
            return data
        out = bytearray(data)
        for k in range(len(out)):
            if self.random.random() < self.error_rate:
                out[k] = self.random.randrange(256)
        return bytes(out)


class LinkMachine(RuleBasedStateMachine):
    """What was made by the boards against what is in the store."""

    @initialize(seed=st.integers(0, 2**16), ring=st.sampled_from([2200, 4096, 16384]))
    def start(self, seed, ring):
        self.now = 100.0
        self.ring = ring
        self.wire = Wire(seed)
        self.boot = 1
        self.store: dict[int, list] = {}  # boot -> rows in the order of storing
        self.gaps: dict[int, set[int]] = {}
        self.next: dict[int, int] = {}  # boot -> committed cursor
        self.ended: dict[int, int] = {}  # boot -> next sequence when it was over
        self.seen: set[int] = set()
        self.made: dict[int, dict[int, tuple | None]] = {}  # None: a gap that the board reports
        self.answers: dict[int, int] = {}  # requests by what the handler was asked
        self.asked: list = []
        self.hosts = 0
        self.new_board()
        self.new_host()

    def new_board(self):
        self.made[self.boot] = {}
        who = {"device_id": ID, "board": "TEST", "firmware": "1"}
        self.board = BoardSession(self.ring, who, self.boot, self.handle)
        self.board_zero = self.now

    def new_host(self):
        self.hosts += 1
        known = self.next.get
        first_id = 10_000 * self.hosts  # random in real life
        self.host = HostSession(lambda device, boot: known(boot, 0), first_id=first_id)
        self.told: list = []  # events that are not committed yet
        self.commit_told()

    def handle(self, op, request, reply):
        mark = request.word(0)
        self.answers[mark] = self.answers.get(mark, 0) + 1
        reply.word(mark)
        return protocol.OK

    # -- what happens

    def round(self, dt: float, record_too: bool = False):
        self.now += dt
        if record_too:
            seq = self.board.next_seq
            row = made_row(seq, self.boot)
            self.made[self.boot][seq] = row
            self.board.append(array("i", row), False)
        ticks = round((self.now - self.board_zero) * 1e6) % 2**30
        self.board.poll(ticks, self.wire)
        self.told += self.host.receive(self.wire.receive(), self.now)
        self.wire.send(self.host.poll(self.now))

    @rule(n=st.integers(1, 60), jitter=st.booleans())
    def windows(self, n, jitter):
        for _ in range(n):
            dt = WINDOW_S * (self.wire.random.choice((0.2, 1.8)) if jitter else 1)
            self.round(dt, True)

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 4.0]))
    def time_passes(self, seconds):
        for _ in range(round(seconds / 0.025)):
            self.round(0.025)

    @rule(on=st.booleans())
    def outage(self, on):
        self.wire.cut = on

    @rule(rate=st.sampled_from([0.0, 0.0, 1e-3, 1e-2]))
    def errors(self, rate):
        self.wire.error_rate = rate

    @rule(lost=st.integers(1, 400), of_host=st.booleans())
    def truncated(self, lost, of_host):
        """The end of what is under way is lost."""
        self.wire.send(self.host.poll(self.now))
        self.board.poll(round((self.now - self.board_zero) * 1e6) % 2**30, self.wire)
        pipe = self.wire.to_board if of_host else self.wire.to_host
        del pipe[-lost:]

    @rule(of_host=st.booleans())
    def repeated(self, of_host):
        """What is under way arrives twice."""
        self.wire.send(self.host.poll(self.now))
        self.board.poll(round((self.now - self.board_zero) * 1e6) % 2**30, self.wire)
        pipe = self.wire.to_board if of_host else self.wire.to_host
        pipe += bytes(pipe)

    @rule(noise=st.binary(max_size=40))
    def noise(self, noise):
        self.wire.to_host += noise
        self.wire.to_board += noise

    @rule(room=st.sampled_from([0, 1, 100, 1 << 30]))
    def host_reads_slowly(self, room):
        self.wire.room = room

    @rule()
    def commit_told(self):
        """The store commits what was told; only then the host says so."""
        for event in self.told:
            boot = getattr(event, "boot", 0)
            if isinstance(event, (events.Records, events.Gap)):
                self.settle(event)
            elif isinstance(event, events.Restarted):
                self.ended[event.old_boot] = event.next_seq
            elif isinstance(event, events.Connected):
                self.seen.add(event.hello.boot)
            else:
                assert not isinstance(event, (events.Mismatch, events.Busy)), event
            assert boot <= self.boot
        self.told = []
        if self.host.boot:
            self.host.commit(self.host.boot, self.host.next_seq)

    def settle(self, event):
        rows = self.store.setdefault(event.boot, [])
        gaps = self.gaps.setdefault(event.boot, set())
        cursor = self.next.get(event.boot, 0)
        if isinstance(event, events.Gap):
            assert event.first == cursor and event.last >= event.first
            gaps |= set(range(event.first, event.last + 1))
            self.next[event.boot] = event.last + 1
            return
        for row in event.rows:
            assert row[record.SEQ] == cursor, "in order, each once"
            cursor += 1
            rows.append(row)
        self.next[event.boot] = cursor

    @rule()
    def host_restarts(self):
        """What was not committed is forgotten."""
        self.new_host()
        self.wire.to_host.clear()

    @rule(tail=st.integers(0, 300))
    def board_restarts(self, tail):
        """A reset: part of what it was sending gets out, then it starts with nothing."""
        del self.wire.to_host[tail:]
        self.wire.to_host += b"\r\nMPY: soft reboot\r\n"
        self.wire.to_board.clear()
        self.boot += 1
        self.new_board()

    @rule(n=st.integers(1, 20))
    def board_reports_a_gap(self, n):
        first = self.board.next_seq
        self.board.gap(first, first + n - 1, protocol.GAP_FLASH_WRITE)
        for seq in range(first, first + n):
            self.made[self.boot][seq] = None

    @precondition(lambda self: len(self.asked) < 20)
    @rule()
    def ask(self):
        mark = len(self.asked) + 1000 * self.boot
        self.asked.append((mark, self.host.request(protocol.ACKNOWLEDGE, wire.words(mark))))

    # -- what must hold

    @invariant()
    def stored_is_what_was_made(self):
        for boot, rows in getattr(self, "store", {}).items():
            made = self.made[boot]
            assert rows[-50:] == [made[row[record.SEQ]] for row in rows[-50:]]

    def teardown(self):
        if not hasattr(self, "wire"):
            return
        self.wire.cut, self.wire.error_rate, self.wire.room = False, 0.0, 1 << 30
        for _ in range(1200):
            self.round(0.01)
            if self.host.connected and self.host.boot == self.boot:
                if self.host.next_seq == self.board.next_seq:
                    break
        self.time_passes(1.0)
        self.commit_told()
        assert self.host.connected and self.host.boot == self.boot
        assert self.next.get(self.boot, 0) == self.board.next_seq
        for boot, made in self.made.items():
            rows = self.store.get(boot, [])
            assert rows == [made[row[record.SEQ]] for row in rows], "byte-identical"
            stored = {row[record.SEQ] for row in rows}
            assert len(stored) == len(rows), "exactly once"
            settled = stored | self.gaps.get(boot, set())
            assert not stored & self.gaps.get(boot, set())
            if boot == self.boot:
                assert settled == set(made)
            else:  # the rest died with the board; the host says from where on
                assert settled == set(range(len(settled)))
                if boot in self.ended:
                    assert self.ended[boot] >= len(settled) or boot not in self.seen
        in_gaps = len(self.gaps.get(self.boot, set()))
        reported = sum(row is None for row in self.made[self.boot].values())
        assert in_gaps <= reported + self.board.ring.dropped + 8 * 20
        for mark, request in self.asked:
            assert self.answers.get(mark, 0) <= 1 + self.boot - mark // 1000, "once per boot"
            if request.done:
                assert wire.split_words(request.reply) == [mark]


TestLink = LinkMachine.TestCase
TestLink.settings = settings(stateful_step_count=25, deadline=None)


# -- criterion: 15 s of outage, one byte in a thousand wrong, both ways --------------------------


@pytest.mark.parametrize("bytes_per_s", [92_160, 400_000], ids=["uart", "usb"])
def test_outage_and_byte_errors_lose_nothing(bytes_per_s):
    """Every record is stored once, byte-identical and in order; figures are printed."""
    link = Wire(20)
    link.error_rate = 1e-3
    board = BoardSession(
        96 * 1024, {"device_id": ID, "board": "TEST", "firmware": "1"}, 4, lambda *_: 0
    )
    host = HostSession(lambda device, boot: 0, first_id=1)
    made, told, caught_up, gaps, latest = [], [], None, 0, []
    raised: dict[int, float] = {}
    step, next_window, room = 0.002, 0.0, 0.0
    for k in range(round(36 / step)):
        now = k * step
        link.cut = 8 <= now < 23
        room = min(1024.0, room + bytes_per_s * step)
        if now >= next_window and now < 34:
            next_window += WINDOW_S
            row = list(made_row(len(made), 4))
            if len(made) // 100 % 2:
                row[record.FLAGS] = record.FLAG_POROSITY_HI
            if len(made) % 100 == 0:
                raised[len(made)] = now
            made.append(tuple(row))
            board.append(array("i", row))
        link.room = int(room)
        board.poll(round(now * 1e6) % 2**30, link)
        room -= int(room) - link.room
        for event in host.receive(link.receive(), now):
            if isinstance(event, events.Records):
                told += event.rows
            elif isinstance(event, events.Gap):
                gaps += 1
            if isinstance(event, (events.Records, events.Latest)):
                rows = (
                    [event.values["seq"]]
                    if isinstance(event, events.Latest)
                    else [row[record.SEQ] for row in event.rows]
                )
                for seq in [s for s in raised if s <= rows[-1]]:
                    latest.append((seq, now - raised.pop(seq)))
        if k % 250 == 0:
            host.commit(host.boot, host.next_seq)
        link.send(host.poll(now))
        if now >= 23 and caught_up is None and len(told) == len(made):
            caught_up = now - 23
    assert told == made and gaps == 0
    assert caught_up is not None and caught_up < 5
    late = sorted(s for _, s in latest)
    payload = host.stats.payload_bytes
    print(
        f"{bytes_per_s} B/s: {len(made)} records, {payload / len(made):.1f} B each as sent once,"
        f" {link.count / payload:.2f} times that on the wire, {board.ring.resent} batches again,"
        f" caught up {caught_up:.2f} s after the outage; flags told after"
        f" {1000 * late[len(late) // 2]:.0f} ms (median of {len(late)})"
    )


def test_flags_reach_the_host_in_30_ms_while_a_backlog_is_replayed():
    link = Wire(3)
    board = BoardSession(
        96 * 1024, {"device_id": ID, "board": "TEST", "firmware": "1"}, 4, lambda *_: 0
    )
    host = HostSession(lambda device, boot: 0, first_id=1)
    for seq in range(1500):
        board.append(array("i", made_row(seq, 4)))
    room, seq, next_window, worst, changed = 0.0, 1500, 0.0, 0.0, None
    replaying = 0
    for k in range(2000):
        now = 0.001 * k
        if now >= next_window:
            next_window += WINDOW_S
            row = list(made_row(seq, 4))
            row[record.FLAGS] = seq // 7 % 2
            if seq % 7 == 0:
                changed = (seq, now)
            board.append(array("i", row))
            seq += 1
        room = min(1024.0, room + 92.16)
        link.room = int(room)
        if k % 11 == 0:  # the loop's round
            board.poll(round(now * 1e6) % 2**30, link)
        room -= int(room) - link.room
        # 1024 bytes of the transport are still to be clocked out when they are accepted
        due = len(link.to_host) - int(1024 - room)
        for event in host.receive(link.receive(max(0, due)), now):
            if isinstance(event, events.Latest) and changed and event.values["seq"] >= changed[0]:
                if host.next_seq < seq - 100:
                    replaying += 1
                    worst = max(worst, now - changed[1])
                changed = None
        host.commit(host.boot, host.next_seq)
        link.send(host.poll(now))
    print(f"worst of {replaying} changes of flags during replay: {1000 * worst:.0f} ms")
    assert replaying >= 5 and worst <= 0.030


# -- the host's session alone --------------------------------------------------------------------


class Fixed:
    """A board and a host on a perfect wire."""

    def __init__(self, boot=9, known=None, **options):
        self.link = Wire(0)
        self.restart(boot)
        self.host = HostSession(known or (lambda device, b: 0), first_id=1, **options)
        self.now = 0.0

    def restart(self, boot):
        who = {"device_id": ID, "board": "TEST", "firmware": "1"}
        self.board = BoardSession(8192, who, boot, lambda *_: 0)

    def append(self, n):
        rows = [made_row(self.board.next_seq + k, self.board.boot_id) for k in range(n)]
        for row in rows:
            self.board.append(array("i", row))
        return rows

    def run(self, seconds):
        found = []
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            self.board.poll(round(self.now * 1e6) % 2**30, self.link)
            found += self.host.receive(self.link.receive(), self.now)
            self.link.send(self.host.poll(self.now))
        return found


def test_text_of_the_board_becomes_lines():
    pair = Fixed()
    pair.run(0.3)
    text = b'Traceback (most recent call last):\r\n  File "main.py", line 3\r\nOSError: 5\r\n'
    pair.link.to_host[:0] = text
    pair.append(8)
    found = pair.run(0.3)
    lines = [event.line for event in found if isinstance(event, events.Console)]
    assert lines == text.decode().split("\r\n")[:-1]
    assert pair.host.next_seq == 8  # the frame that followed at once was not lost
    host = HostSession(first_id=1)
    banner = b"MicroPython v1.25.0 on 2025-04-15; Raspberry Pi Pico\r\n>>> "
    found = host.receive(banner, 0.1)
    assert [event.line for event in found] == [banner.decode().split("\r\n")[0]]


def test_noise_is_no_text():
    host = HostSession(first_id=1)
    assert host.receive(random.Random(4).randbytes(30_000), 0.1) == []


def test_silence_is_told_and_the_stream_resumes():
    pair = Fixed()
    rows = pair.append(20)
    pair.run(0.5)
    pair.link.cut = True
    rows += pair.append(10)
    found = pair.run(3)
    assert [type(e) for e in found if not isinstance(e, events.Records)] == [events.Silent]
    pair.link.cut = False
    found = pair.run(0.6)
    assert events.Connected in [type(event) for event in found]
    assert [r for e in found if isinstance(e, events.Records) for r in e.rows] == rows[20:]
    assert next(e for e in found if isinstance(e, events.Connected)).resumed


def test_a_restart_of_the_board_ends_the_boot():
    pair = Fixed(boot=9)
    pair.append(40)
    pair.run(1.2)
    pair.link.cut = True
    pair.append(5)
    pair.run(0.05)
    pair.link.cut = False
    pair.link.to_host.clear()
    pair.host.journal.newest_seq = 44  # as a LATEST frame had said
    pair.restart(10)
    pair.append(3)
    found = pair.run(2.5)
    kinds = [e for e in found if isinstance(e, (events.Gap, events.Restarted, events.Records))]
    assert isinstance(kinds[0], events.Gap) and kinds[0].cause == "board_restart"
    assert (kinds[0].boot, kinds[0].first, kinds[0].last) == (9, 40, 44)
    assert kinds[1] == events.Restarted(ID.hex(), 9, 45, 10)
    assert [row[0] for row in kinds[2].rows] == [0, 1, 2] and kinds[2].boot == 10


def test_another_gauge_on_the_same_port_is_not_taken_for_the_first():
    pair = Fixed(boot=9)
    pair.append(40)
    pair.run(0.5)
    who = {"device_id": ID[::-1], "board": "TEST", "firmware": "1"}
    pair.board = BoardSession(8192, who, 9, lambda *_: 0)  # the same boot number
    rows = pair.append(60)
    pair.host.link_down()
    found = [e for e in pair.run(1) if isinstance(e, (events.Records, events.Gap))]
    assert [row for event in found for row in event.rows] == rows
    assert {event.device for event in found} == {ID[::-1].hex()}


def test_a_boot_counter_that_began_again_is_refused():
    pair = Fixed(boot=1, known=lambda device, boot: 5000)
    pair.append(3)
    found = pair.run(1)
    assert [type(event) for event in found] == [events.Mismatch]
    assert "5000 of it are stored" in found[0].text


def test_holes_in_the_store_are_read_again():
    asked = []

    def known(device, boot):
        asked.append((device, boot))
        return [(0, 9), (14, 29)]

    pair = Fixed(known=known)
    rows = pair.append(40)
    found = [e for e in pair.run(2) if isinstance(e, events.Records)]
    assert asked[0] == (ID.hex(), 9)
    replayed = [row for event in found if event.replay for row in event.rows]
    assert replayed == rows[10:14]
    assert [row for event in found if not event.replay for row in event.rows] == rows[30:]


def test_commit_goes_no_further_than_what_was_told():
    pair = Fixed()
    pair.append(5)
    pair.run(0.5)
    with pytest.raises(ValueError, match="only 5 were told"):
        pair.host.commit(9, 6)
    pair.host.commit(8, 100)  # another boot: nothing to say to this board


def test_requests_are_repeated_and_expire():
    pair = Fixed()
    pair.run(0.3)
    pair.link.cut = True
    request = pair.host.request(protocol.STATUS, timeout_s=0.1, tries=3)
    pair.run(0.5)
    assert request.expired and request.sent == 3 and request.text == "no answer to status"


def test_without_stream_only_answers_come():
    pair = Fixed(stream=False)
    pair.append(40)
    found = pair.run(1)
    assert [type(event) for event in found] == [events.Connected]
    request = pair.host.request(protocol.STATUS)
    pair.run(0.2)
    assert request.done


@pytest.mark.parametrize("ppm", [-80, 0, 35])
def test_clock_relation_finds_offset_and_rate(ppm):
    rnd = random.Random(6)
    clock = ClockRelation()
    rate = 1 + ppm / 1e6
    for k in range(120):
        board_s = 100 + k
        there, back = rnd.uniform(0.0005, 0.011), rnd.uniform(0.0005, 0.002)
        host_s = 5000 + rate * board_s
        clock.add(host_s - there, host_s + back, board_s)
    relation = clock.relation
    assert abs(relation.rate - rate) < 20e-6
    for board_s in (100.0, 220.0, 400.0):
        error = abs(relation.host_s(board_s) - (5000 + rate * board_s))
        assert error < 3 * relation.u_s(board_s) < 0.03
