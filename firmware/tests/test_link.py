"""The board's side of the link: the ring, and the session on the desk and on the 32-bit runtime.

On the 32-bit runtime the session runs with its heap locked, against the real host session.
"""

from __future__ import annotations

import random
from array import array
from binascii import crc32

import plausible
import pytest
from link_pair import ID, Pair, Wire, rows_of

from gauge import record
from gauge.link import commands, protocol
from gauge.link.ring import Ring
from porogauge.link import events, wire
from porogauge.link.session import HostSession

# -- ring ----------------------------------------------------------------------------------------


def put(ring: Ring, n: int, first: int, records: int = 1) -> None:
    buf = bytearray([protocol.DATA]) + bytes(n)
    ring.put(buf, len(buf), first, first + records, records)


def test_ring_gives_back_frames_across_its_end():
    ring, out = Ring(4096), bytearray(2000)
    rnd = random.Random(1)
    kept: dict[int, bytes] = {}
    for number in range(300):
        buf = bytearray([protocol.DATA]) + rnd.randbytes(rnd.randrange(20, 900))
        ring.put(buf, len(buf), number, number + 1, 1)
        kept[number] = wire.cobs(bytes(buf))
        assert ring.head == number + 1
        for held in range(ring.tail, ring.head):
            n = ring.copy(held, out)
            assert bytes(out[:n]) == kept[held]
        assert ring.used() == sum(len(kept[held]) for held in range(ring.tail, ring.head))
    assert ring.dropped == ring.tail


def test_overwritten_range_grows_until_it_is_known():
    ring, out = Ring(4096), bytearray(2000)
    seq = 0
    while ring.dropped < 30:
        put(ring, 500, seq, 8)
        seq += 8
    assert (ring.lost_from, ring.lost_to) == (0, ring.first(ring.tail) - 1)
    assert ring.dropped == ring.lost_to + 1
    known = ring.lost_to + 1
    put(ring, 500, seq, 8)
    assert ring.lost_to > known
    assert ring.acknowledge(ring.tail, b"", 0, 0, known)
    assert ring.lost_to > 0  # the host knows an older, shorter range
    assert ring.acknowledge(ring.tail, b"", 0, 0, ring.lost_to + 1)
    assert ring.lost_to == -1
    # What the host has stored may be overwritten without a word.
    while ring.take(10_000, out):
        pass
    assert ring.acknowledge(ring.head, b"", 0, 0, seq)
    dropped = ring.dropped
    for _ in range(5):
        put(ring, 500, seq, 8)
        seq += 8
    assert (ring.lost_to, ring.dropped) == (-1, dropped)


def test_only_what_is_missing_is_sent_again():
    ring, out = Ring(32768), bytearray(2000)
    for number in range(12):
        put(ring, 100, number)
    sent = 0
    while ring.take(10_000, out):
        sent += 1
    assert sent == 12
    flight = ring.flight
    bits = sum(1 << k for k in (0, 1, 3, 6))  # 2, 4 and 5 were overtaken; 7 and on are under way
    assert ring.acknowledge(0, bits.to_bytes(2, "little"), 0, 2, 0)
    assert ring.resent == 3 and ring.flight < flight
    for number in (2, 4, 5):
        n = ring.take(10_000, out)
        copy = bytearray(2000)
        assert bytes(out[:n]) == bytes(copy[: ring.copy(number, copy)])
    assert ring.take(10_000, out) == 0
    assert ring.acknowledge(12, b"", 0, 0, 12)
    assert ring.flight == 0


def test_window_bounds_what_is_under_way():
    ring, out = Ring(32768), bytearray(2000)
    for number in range(20):
        put(ring, 400, number)
    while ring.take(2000, out):
        pass
    assert 2000 <= ring.flight < 2000 + 500
    assert ring.next == 5
    ring.probe()
    assert ring.take(2000, out) and ring.take(2000, out) == 0


def test_a_host_that_comes_back_is_served_from_where_it_was():
    ring, out = Ring(32768), bytearray(2000)
    for number in range(10):
        put(ring, 100, 8 * number, 8)
    while ring.take(10_000, out):
        pass
    assert ring.rewind(27, 80) == 3  # within batch 3
    assert (ring.commit, ring.next, ring.flight, ring.lost_to) == (3, 3, 0, -1)
    bits = (0b1010).to_bytes(1, "little")  # it has 4 and 6 from before
    assert ring.acknowledge(3, bits, 0, 1, 27)
    numbers = []
    copy = bytearray(2000)
    while n := ring.take(10_000, out):
        numbers += [k for k in range(10) if bytes(copy[: ring.copy(k, copy)]) == bytes(out[:n])]
    assert sorted(set(numbers)) == list(range(10)) or len(numbers) >= 5
    assert ring.next == 10
    assert ring.acknowledge(99, b"", 0, 0, 27) is False


# -- session ---


def handler(op, request, reply):
    if op == protocol.ACKNOWLEDGE:
        handler.calls += 1
        reply.word(request.word(0) + handler.calls)
        return protocol.OK
    if op == protocol.HOLD:
        raise OSError("no hands")
    return protocol.UNKNOWN


handler.calls = 0


def paired(**options) -> Pair:
    """A pair whose board knows a few commands."""
    return Pair(handler=handler, **options)


def test_hello_says_who_and_where():
    pair = paired()
    pair.board.identify(b"\1\2\3\4", 11, 12)
    for row in plausible.rows(20):
        pair.board.append(array("i", row))
    pair.run(0.1)
    hello = pair.host.hello
    assert (hello.device, hello.boot, hello.board, hello.firmware) == (
        ID.hex(),
        7,
        "TEST",
        "0.0.1",
    )
    assert (hello.config_crc, hello.recipe_id, hello.calibration_id) == (b"\1\2\3\4", 11, 12)
    assert (hello.oldest, hello.next_seq, hello.ring_bytes) == (0, 20, 16384)
    assert rows_of(pair.run(0.3)) + rows_of(pair.events) and pair.host.next_seq == 20


def test_a_host_of_another_layout_hears_who_is_there_and_gets_no_numbers():
    pair = paired()
    pair.board.append(array("i", plausible.rows(1)[0]))
    body = bytes([protocol.WANTS_STREAM]) + bytes(4) + wire.varint(7) + wire.varint(0)
    pair.wire.to_board += wire.encode(protocol.CONNECT, body)
    for ticks in (1000, 500_000, 1_600_000):
        pair.poll(ticks)
    frames = [wire.decode(part) for part in bytes(pair.wire.to_host).split(b"\0") if part]
    assert [data[0] for data in frames] == [protocol.HELLO]
    assert events.hello_of(frames[0]).layout == record.LAYOUT_HASH


def test_a_board_of_another_layout_is_refused_but_led_to_its_repl():
    host = HostSession(first_id=1)
    board = paired().board
    link = Wire(0)
    link.send(host.poll(0.0))
    board.poll(0, link)
    hello = bytearray(wire.decode(link.receive()[:-1]))
    hello[2] ^= 1  # its layout hash
    foreign = wire.cobs(hello + crc32(hello, protocol.PROTOCOL_SEED).to_bytes(4, "little"))
    found = host.receive(foreign, 0.1)
    assert [type(event) for event in found] == [events.Mismatch]
    assert "flash or deploy" in found[0].text and host.mismatch and not host.connected
    host.request(protocol.REPL)
    kinds = [wire.decode(part)[0] for part in host.poll(0.2).split(b"\0") if part]
    assert protocol.SERVICE in kinds


@pytest.mark.parametrize("length", [1, 63, 64, 65])
def test_frames_are_continued_after_short_writes(length):
    """A transport that takes a packet's worth at a time, or a single byte."""
    pair = paired()
    made = plausible.rows(40)
    found = []
    for k in range(6000):
        if k < 40:
            pair.board.append(array("i", made[k]))
        pair.wire.room = length
        found += pair.run(0.001, 0.001)
    assert rows_of(found) == made
    assert pair.host.stats.bad_frames == 0


def test_a_host_that_does_not_read_is_left_alone_more_and_more():
    pair = paired()
    pair.run(0.2)
    pair.wire.room, pair.wire.writes = 0, 0
    made = plausible.rows(200)
    for row in made:
        pair.board.append(array("i", row))
        pair.run(0.011, 0.0011)
    assert pair.wire.writes < 60  # 2000 rounds
    pair.wire.room = 1 << 30
    pair.run(4)
    assert rows_of(pair.events) == made


def test_flags_are_told_at_once_and_not_too_often():
    pair = paired()
    pair.run(0.2)
    rows = [list(row) for row in plausible.rows(300)]
    for row in rows[150:]:
        row[record.FLAGS] = record.FLAG_THICKNESS_HI
    told, batches = None, 0
    latest = 0
    for k, row in enumerate(rows):
        pair.board.append(array("i", row))
        found = pair.run(0.011, 0.011 / 4)
        batches += any(isinstance(event, events.Records) for event in found)
        for event in found:
            if isinstance(event, events.Latest):
                latest += 1
                if event.values["flags"] and told is None:
                    told = k
                    assert event.values["seq"] == 150
    assert told == 150  # within the round
    assert latest <= 3.3 * 10 + 2
    assert batches <= 300 / 8 + 3


def test_flickering_flags_do_not_make_batches_of_one():
    pair = paired()
    pair.run(0.2)
    for k, row in enumerate(plausible.rows(160)):
        words = array("i", row)
        words[record.FLAGS] = k & 1
        pair.board.append(words)
        pair.run(0.011, 0.011)
    assert pair.board.ring.head <= 160 / 4.5 + 2


def test_a_request_is_done_once_however_often_it_comes():
    pair = paired()
    pair.run(0.3)
    handler.calls = 0
    request = pair.host.request(protocol.ACKNOWLEDGE, wire.words(1000))
    out = pair.host.poll(pair.now)
    pair.wire.to_board += out + out + out
    pair.run(0.1)
    assert request.done and request.status == protocol.OK
    assert wire.split_words(request.reply) == [1001] and handler.calls == 1


def test_refusals_say_why():
    pair = paired()
    pair.run(0.3)
    unknown, failed, bad = (
        pair.host.request(op) for op in (77 - 30, protocol.HOLD, protocol.ACKNOWLEDGE)
    )
    pair.run(0.2)
    assert unknown.status == protocol.UNKNOWN
    assert (failed.status, failed.text) == (protocol.FAILED, "failed: no hands")
    assert bad.status == protocol.BAD and "word 0 is missing" in bad.text


def test_configuration_goes_there_and_back():
    state = {"blob": b"", "refuse": None}

    def commit(blob):
        if blob[:1] == b"!":
            raise ValueError("first byte is illegal")
        if state["refuse"]:
            return state["refuse"]
        state["blob"] = blob
        return None

    config = commands.ConfigTransfer(700, lambda: state["blob"], commit)
    pair = paired(config=config)
    pair.run(0.3)
    blob = random.Random(5).randbytes(650)

    def send(blob):
        requests = [
            pair.host.request(protocol.CONFIG_WRITE, wire.words(at) + blob[at : at + 200])
            for at in range(0, len(blob), 200)
        ]
        pair.run(0.5)
        assert all(request.status == protocol.OK for request in requests)
        crc = crc32(blob).to_bytes(4, "little")
        last = pair.host.request(protocol.CONFIG_COMMIT, wire.words(len(blob)) + crc)
        pair.run(0.2)
        return last

    assert send(blob).status == protocol.OK and state["blob"] == blob
    back = pair.host.request(protocol.CONFIG_READ, wire.words(600, 200))
    pair.run(0.2)
    assert back.reply == wire.words(650) + blob[600:]
    assert send(b"!" + blob[1:]).text == "illegal payload: first byte is illegal"
    state["refuse"] = "film is in the gap"
    assert send(blob).text == "refused: film is in the gap"
    damaged = pair.host.request(protocol.CONFIG_COMMIT, wire.words(650) + b"abcd")
    long = pair.host.request(protocol.CONFIG_WRITE, wire.words(600) + bytes(200))
    pair.run(0.3)
    assert "damaged" in damaged.text and "longer than 700" in long.text


def test_gaps_are_told_in_their_place():
    pair = paired()
    made = plausible.rows(30)
    for row in made[:10]:
        pair.board.append(array("i", row))
    pair.board.gap(10, 14, protocol.GAP_BOARD_RESTART)
    for row in made[15:20] + made[22:]:
        pair.board.append(array("i", row))
    with pytest.raises(ValueError, match="record 3 after record 29"):
        pair.board.append(array("i", made[3]))
    found = pair.run(0.5)
    gaps = [(e.first, e.last, e.cause) for e in found if isinstance(e, events.Gap)]
    assert gaps == [(10, 14, "board_restart"), (20, 21, "not_recorded")]
    assert rows_of(found) == made[:10] + made[15:20] + made[22:]


def test_the_stream_stays_where_its_host_lives():
    pair = paired()
    pair.run(0.3)
    other = paired()
    other.board, other.now = pair.board, pair.now
    assert any(isinstance(event, events.Busy) for event in other.run(0.5))
    assert not other.host.connected
    status = other.host.request(protocol.ACKNOWLEDGE, wire.words(5))
    other.run(0.2)
    assert status.done  # answered where it was asked
    eager = paired(take_over=True)
    eager.board, eager.now = pair.board, other.now
    eager.run(0.5)
    assert eager.host.connected
    late = paired()
    late.board, late.now = pair.board, eager.now + 3.5  # nobody was heard for 3 s
    late.board.poll(round(late.now * 1e6) % 2**30, eager.wire)
    late.run(0.5)
    assert late.host.connected


def test_records_can_be_read_again():
    pair = paired()
    made = plausible.rows(60)
    for row in made:
        pair.board.append(array("i", row))
    pair.run(1)
    assert pair.host.next_seq == 60
    pair.host.read(10, 20)
    found = pair.run(1.5)
    again = [event for event in found if isinstance(event, events.Records)]
    assert all(event.replay for event in again)
    assert sorted(rows_of(again)) == made[10:30]
    pair.board.ring.dropped = 0
    for row in plausible.rows(500, 2, first_seq=60):
        pair.board.append(array("i", row))
        pair.run(0.005)
    pair.host.read(0, 5)
    found = pair.run(2)
    assert [(e.first, e.last) for e in found if isinstance(e, events.Gap)] == [(0, 4)]


# -- session on the 32-bit runtime, heap locked --------------------------------------------------

LOCKED = """
import micropython
from array import array
from gauge import health, record
from gauge.link import frame, protocol
from gauge.link.session import BoardSession

class Pipe:
    def __init__(self):
        self.rx = bytearray(4096)
        self.rx_at = self.rx_n = 0
        self.tx = bytearray(8192)
        self.tx_n = 0
        self.room = 1024
    def write(self, buf, n):
        n = min(n, self.room)
        for k in range(n):
            self.tx[self.tx_n + k] = buf[k]
        self.tx_n += n
        self.room -= n
        return n
    def readinto(self, buf):
        n = min(len(buf), self.rx_n - self.rx_at)
        for k in range(n):
            buf[k] = self.rx[self.rx_at + k]
        self.rx_at += n
        return n

words = health.new(health.STATUS_NAMES)

def handler(op, request, reply):
    if op == protocol.STATUS:
        words[0] += 1
        reply.words(words, len(words))
        return protocol.OK
    if op == protocol.ACKNOWLEDGE:
        reply.word(request.word(0))
        return protocol.OK
    return protocol.UNKNOWN

pipe, other = Pipe(), Pipe()
session = BoardSession(8192, {"device_id": b"12345678", "board": "X", "firmware": "1"}, 3, handler)
session.poll(999_000_000, pipe)  # the first call for a transport makes its buffers
session.poll(999_000_000, other)

def go(now, rec, rx, room):
    pipe.rx[:len(rx)] = rx
    pipe.rx_at, pipe.rx_n, pipe.tx_n, pipe.room = 0, len(rx), 0, room
    other.rx_n = 0
    micropython.heap_lock()
    try:
        if rec is not None:
            if rec[0] % 300 == 299:
                session.gap(session.next_seq, rec[0] - 1, 3) if rec[0] > session.next_seq else None
            session.append(rec, False)
        session.poll(now, pipe)
        session.poll(now, other)
    finally:
        micropython.heap_unlock()
    return bytes(pipe.tx[:pipe.tx_n])

def counters():
    ring = session.ring
    return ring.dropped, ring.resent, session.bad_frames, session.records
"""


def test_board_session_allocates_nothing_and_loses_nothing(unix32):
    """Outages, damaged bytes, an overflow, requests and slow writes, all with the heap locked."""
    rnd = random.Random(11)
    made = plausible.rows(900)
    stored, gaps, missing = [], [], set()
    host = HostSession(lambda device, boot: 0, first_id=5)
    requests, to_board = [], b""

    def damage(data, rate):
        return bytes(b if rnd.random() > rate else rnd.randrange(256) for b in data)

    with unix32.load(LOCKED) as board:
        now_s = 1000.0  # ticks wrap at 1073.7 s
        seq, k = 0, 0
        while seq < 900 or k % 2000:
            k += 1
            now_s += 0.0055
            rec = None
            if seq < 900 and k % 2 == 0:
                if seq % 300 == 290:
                    missing |= set(range(seq, seq + 9))
                    seq += 9
                rec, seq = made[seq], seq + 1
            outage = 400 < k < 800 or 1000 < k < 1200
            room = 0 if 1300 < k < 1340 else rnd.choice((1024, 300, 63))
            ticks = round(now_s * 1e6) % 2**30
            data = board.call(
                "go", ticks, None if rec is None else array("i", rec), to_board, room
            )
            for event in host.receive(b"" if outage else damage(data, 1e-3), now_s):
                if isinstance(event, events.Records):
                    stored += event.rows
                elif isinstance(event, events.Gap):
                    gaps.append((event.first, event.last, event.cause))
            if k % 50 == 0:
                host.commit(host.boot, host.next_seq)
            if k % 97 == 0:
                requests.append(host.request(protocol.STATUS, timeout_s=0.4, tries=20))
            # the host says little
            to_board = b"" if outage else damage(host.poll(now_s), 5e-3)
        dropped, resent, bad, records = board.call("counters")
    overwritten = {s for a, b, cause in gaps if cause == "overwritten" for s in range(a, b + 1)}
    paused = {s for a, b, cause in gaps if cause != "overwritten" for s in range(a, b + 1)}
    assert paused | (missing & overwritten) == missing
    assert stored == [r for r in made if r[0] not in overwritten and r[0] not in missing]
    assert records == 900 - len(missing)
    # 1.7 s fill 8 KiB; what arrived just before the outage counts as dropped, its ACK was lost
    assert 0 < len(overwritten - missing) <= dropped <= len(overwritten) + 40
    assert resent > 0 and bad > 0
    assert all(request.done for request in requests)
    assert host.next_seq == 900
