"""Frames, records and numbers of the link as bytes: on the 32-bit runtime as on the desk."""

from __future__ import annotations

import random
from array import array
from binascii import crc32

import plausible
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge import record
from gauge.link import codec, frame, protocol
from porogauge.link import wire

N = record.N_FIELDS

ON_BOARD = """
from array import array
from gauge import record
from gauge.link import codec, frame
from gauge.link.clock import BoardClock

packer = codec.Packer()

def framed(data, at, size):
    buf = bytearray(len(data) + 4)
    buf[:len(data)] = data
    ring = bytearray(size)
    n = frame.seal(buf, len(data))
    end = frame.cobs(buf, n, ring, at, size)
    out = bytearray(((end - at) % size) or size)
    frame.move(ring, at, size, out, len(out))
    return bytes(out)

def received(data, cuts, size):
    "Frames found in data that comes in pieces, and how many were broken."
    state = frame.receiver()
    out = bytearray(size)
    found, broken, start = [], 0, 0
    for cut in cuts:
        at = start
        while at < cut:
            at = frame.feed(data, at, cut, out, state)
            n = frame.result(state)
            if n > 0 and frame.intact(out, n):
                found.append(bytes(out[:n - 4]))
            elif n:
                broken += 1
        start = cut
    return tuple(found), broken

def packed(words):
    out = bytearray(len(words) * 6 + 16)
    packer.begin()
    at = 0
    for k in range(0, len(words), record.N_FIELDS):
        at = packer.add(words[k:k + record.N_FIELDS], out, at)
    return bytes(out[:at])

def unpacked(data, count):
    flat = array("i")
    for row in codec.unpack(data, 0, len(data), count):
        flat.extend(array("i", row))
    return flat

def numbers(value, word):
    out = bytearray(16)
    at = codec.put_v(out, 0, value)
    end = codec.put_i(out, at, word)
    cursor = array("i", (0, end))
    back = codec.get_v(out, cursor)
    return bytes(out[:end]), back, cursor[0], codec.get_i(out, at)

def varint_of(data):
    cursor = array("i", (0, len(data)))
    return codec.get_v(data, cursor), cursor[0]

def clocked(steps):
    clock = BoardClock()
    out = array("i")
    for ticks in steps:
        clock.update(ticks)
        clock.at((ticks - 5000) & 0x3fffffff)
        out.extend(array("i", (clock.s, clock.us, clock.at_s, clock.at_us)))
    return out
"""


@pytest.fixture(scope="module")
def board(unix32):
    with unix32.load(ON_BOARD) as program:
        yield program


@pytest.fixture(scope="module")
def desk():
    """The same functions on the desk's Python."""
    names: dict = {}
    exec(ON_BOARD, names)
    return names


# -- frames --------------------------------------------------------------------------------------

bodies = st.lists(st.sampled_from([0, 1, 2, 3, 254, 255]) | st.integers(0, 255), max_size=40).map(
    bytes
) | st.tuples(st.integers(240, 520), st.sampled_from([0, 7, 255])).map(
    lambda pair: bytes([pair[1]]) * pair[0]
)
kinds = st.sampled_from([protocol.HELLO, protocol.DATA])


def seed_of(kind: int) -> int:
    return protocol.LAYOUT_SEED if kind & protocol.OF_LAYOUT else protocol.PROTOCOL_SEED


@given(kind=kinds, body=bodies, spare=st.integers(0, 50), at=st.integers(0, 10_000))
@settings(max_examples=150)
def test_frame_is_the_same_everywhere(board, desk, kind, body, spare, at):
    data = bytes([kind]) + body
    size = frame.longest(len(data) + 4) + 1 + spare
    made = board.call("framed", data, at % size, size)
    assert made == desk["framed"](data, at % size, size)
    whole = data + crc32(data, seed_of(kind)).to_bytes(4, "little")
    assert made == wire.cobs(whole)
    assert len(made) <= frame.longest(len(whole))
    assert made.index(0) == len(made) - 1
    assert wire.decode(made[:-1]) == data


@given(
    parts=st.lists(st.tuples(kinds, bodies, st.integers(0, 3)), min_size=1, max_size=4),
    noise=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=4),
    cuts=st.lists(st.integers(0, 4000), max_size=5),
)
@settings(max_examples=100)
def test_receiver_finds_frames_after_any_damage(board, desk, parts, noise, cuts):
    sent, stream = [], bytearray()
    for kind, body, zeros in parts:
        data = bytes([kind]) + body
        sent.append(data)
        crc = crc32(data, seed_of(kind)).to_bytes(4, "little")
        stream += bytes(zeros) + wire.cobs(data + crc)
    clean = bytes(stream)
    for at, byte in noise:
        stream[at % len(stream)] = byte
    intact = not noise
    whole = wire.cobs(
        b"\x48last" + crc32(b"\x48last", protocol.PROTOCOL_SEED).to_bytes(4, "little")
    )
    stream += b"\0" + whole  # whatever was before, this one must arrive
    ends = sorted({cut % len(stream) for cut in cuts} | {len(stream)})
    found, broken = board.call("received", bytes(stream), tuple(ends), 600)
    assert (found, broken) == desk["received"](bytes(stream), ends, 600)
    assert found[-1] == b"\x48last"
    assert set(found) <= {*sent, b"\x48last"}
    if intact:
        assert list(found[:-1]) == sent and broken == 0 and clean


def test_receiver_drops_what_is_too_long(board):
    long = bytes([protocol.HELLO]) + bytes(range(1, 100))
    crc = crc32(long, protocol.PROTOCOL_SEED).to_bytes(4, "little")
    stream = wire.cobs(long + crc) * 2
    assert board.call("received", stream, (len(stream),), 50) == ((), 2)


def test_frames_of_another_layout_are_refused(board, desk):
    data = bytes([protocol.DATA]) + b"body"
    foreign = crc32(b"\1\2\3\4", protocol.PROTOCOL_SEED)
    stream = wire.cobs(data + crc32(data, foreign).to_bytes(4, "little"))
    assert board.call("received", stream, (len(stream),), 100) == ((), 1)
    assert wire.decode(stream[:-1]) is None


def test_host_frames_have_no_control_characters():
    rnd = random.Random(3)
    for n in [0, 1, 5, 20, 60, 120, 234]:
        for _ in range(20):
            body = rnd.randbytes(n)
            coded = wire.encode(protocol.ACK, body)
            assert 3 not in coded
            if n <= 60:
                assert not set(coded) & {1, 2, 3, 4, 5}
            plain = wire.decode(coded[:-1])
            buf = bytearray(plain)
            frame.unsalt(buf, len(buf))
            assert buf[2:] == body
    with pytest.raises(ValueError, match="too long"):
        wire.encode(protocol.ACK, bytes(235))


# -- codec ---------------------------------------------------------------------------------------

words = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from([-(2**31), 2**31 - 1, 2**30 - 1, -(2**30)]),
)


@given(data=st.data(), count=st.integers(1, 6), seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_any_words_come_back(board, desk, data, count, seed):
    rows = [list(row) for row in plausible.rows(count, seed % 3)]
    for row, column, word in data.draw(
        st.lists(
            st.tuples(st.integers(0, count - 1), st.integers(0, N - 1), words), max_size=3 * N
        )
    ):
        rows[row][column] = word
    flat = array("i", [word for row in rows for word in row])
    made = board.call("packed", flat)
    assert made == desk["packed"](flat)
    assert len(made) <= count * codec.LONGEST_RECORD
    assert codec.unpack(made, 0, len(made), count) == [tuple(row) for row in rows]
    assert board.call("unpacked", made, count) == flat.tolist()


def test_longest_record_is_as_long_as_said(board):
    one = [2**31 - 1 if k % 2 else -(2**31) for k in range(N)]
    other = [-word - 1 for word in one]
    made = board.call("packed", array("i", one + other))
    assert len(made) <= 2 * codec.LONGEST_RECORD
    assert codec.unpack(made, 0, len(made), 2) == [tuple(one), tuple(other)]


@given(
    cut=st.integers(0, 400), noise=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)))
)
@settings(max_examples=100)
def test_broken_batches_raise_and_read_no_further(desk, cut, noise):
    made = bytearray(desk["packed"](array("i", [w for row in plausible.rows(3) for w in row])))
    for at, byte in noise:
        made[at % len(made)] = byte
    made = made[: cut % (len(made) + 1)]
    try:
        assert len(codec.unpack(made, 0, len(made), 3)) == 3
    except ValueError:
        pass


@given(value=st.integers(0, 2**30 - 1), word=words)
def test_numbers_come_back(board, desk, value, word):
    made = board.call("numbers", value, word)
    assert made == desk["numbers"](value, word)
    coded, back, used, back_word = made
    assert (back, back_word) == (value, word)
    assert coded[:used] == wire.varint(value)
    assert coded[used:] == wire.words(word)


@given(data=st.binary(max_size=7))
def test_varints_that_are_cut_or_too_large_are_refused(board, desk, data):
    value, at = board.call("varint_of", data)
    assert (value, at) == desk["varint_of"](data)
    if value < 0:
        assert at == len(data) + 1
    else:
        assert value < 2**30 and at <= len(data)


def wire_bytes_per_record(rows: list, batch: int = protocol.BATCH_RECORDS) -> float:
    """Bytes on the wire per record, frames included."""
    packer, total = codec.Packer(), 0
    buf, out = bytearray(4096), bytearray(4200)
    for k in range(0, len(rows), batch):
        buf[0] = protocol.DATA
        packer.begin()
        at = 8
        for row in rows[k : k + batch]:
            at = packer.add(array("i", row), buf, at)
        total += frame.cobs(buf, frame.seal(buf, at), out, 0, len(out))
    return total / len(rows)


@pytest.mark.parametrize("flutter_um", [0, 20, 100])
def test_twenty_seconds_fit_the_ring_of_the_board(flutter_um):
    each = wire_bytes_per_record(plausible.rows(400, 1, flutter_um))
    print(f"{flutter_um} um of flutter: {each:.1f} bytes per record on the wire")
    assert 20 * 1e6 / 11_000 * each < 96 * 1024


# -- clock ---------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**29 - 1), min_size=1, max_size=20), st.integers(0, 2**30 - 1))
def test_clock_goes_on_when_ticks_wrap(board, steps, start):
    ticks, times = start, [0]
    for step in steps:
        times.append(times[-1] + step)
    found = board.call("clocked", [(start + t) % 2**30 for t in times])
    expected = []
    for t in times:
        expected += [t // 10**6, t % 10**6, (t - 5000) // 10**6, (t - 5000) % 10**6]
    assert found == expected and ticks == start
