"""What the host reads from the line: frames, batches, the session, answers of a board."""

from __future__ import annotations

import random
from array import array
from binascii import crc32
from collections.abc import Iterator

from gauge import config, health, record
from gauge.link import codec, protocol
from porogauge.link import console, events, wire
from porogauge.link.session import HostSession
from porogauge.recipe import decode_words
from porogauge.units import decode, decode_status

from .line import DEVICE, board_frames, board_talk, seal
from .mutate import damage, noise, word
from .parser import HostParser, Wrong

_MOST = 1 << 31  # of any number that goes into a database


class HostFrames(HostParser):
    """`wire.decode`: what it accepts must have the right CRC, and be what was encoded."""

    name, share = "host_frames", 160
    block = 1000

    def open(self) -> None:
        self.frames = board_frames()
        self.coded = [wire.cobs(frame) for frame in self.frames]

    def make(self, rnd: random.Random) -> bytes:
        if rnd.random() < 0.1:
            return noise(rnd, 300)
        return damage(rnd, rnd.choice(self.coded), self.coded)

    def check(self, case: bytes) -> bool:
        accepted = False
        for coded in case.split(b"\0"):
            data = wire.decode(coded)
            if data is None:
                continue
            accepted = True
            if len(data) < 1 or wire.cobs(seal(data)) != coded + b"\0":
                if _uncoded(coded) != seal(data):
                    raise Wrong(f"{coded.hex()} is taken for {data.hex()}")
        return accepted


def _uncoded(coded: bytes) -> bytes:
    """COBS undone, written down without care for speed."""
    out, at = b"", 0
    while at < len(coded):
        n = coded[at]
        out += coded[at + 1 : at + n]
        at += n
        if n < 255 and at < len(coded):
            out += b"\0"
    return out


class HostCodec(HostParser):
    """`codec.unpack` of batches: words of 32 bits, as many as there should be, or ValueError."""

    name, share = "host_batches", 15

    def open(self) -> None:
        packer, self.batches = codec.Packer(), []
        out = bytearray(8 * codec.LONGEST_RECORD)
        for seed in range(20):
            rnd, at = random.Random(seed), 0
            packer.begin()
            count = rnd.randint(1, 3)
            for _ in range(count):
                at = packer.add(array("i", [word(rnd) for _ in range(codec.N)]), out, at)
            self.batches.append((count, bytes(out[:at])))

    def make(self, rnd: random.Random) -> tuple[int, bytes]:
        count, data = rnd.choice(self.batches)
        others = [data for _, data in self.batches]
        if rnd.random() < 0.1:
            return count, data
        return rnd.choice((count, count, count, rnd.randrange(256))), damage(rnd, data, others)

    def check(self, case: tuple[int, bytes]) -> bool:
        count, data = case
        try:
            rows = codec.unpack(data, 0, len(data), count)
        except ValueError:
            return False
        if len(rows) != count or any(len(row) != codec.N for row in rows):
            raise Wrong(f"{len(rows)} records of {count}")
        packer, at = codec.Packer(), 0
        out = bytearray((count + 1) * codec.LONGEST_RECORD)
        packer.begin()
        for row in rows:
            at = packer.add(array("i", row), out, at)  # refuses what has more than 32 bits
        if codec.unpack(out, 0, at, count) != rows:
            raise Wrong("does not come back when it is packed again")
        return True


class HostStream(HostParser):
    """`HostSession`: told in order, each once, whatever comes; numbers fit a database."""

    name, share = "host_session", 15

    def open(self) -> None:
        self.frames = board_talk()
        self.coded = [wire.cobs(frame) for frame in self.frames]
        hellos = [frame for frame in self.frames if frame[0] == protocol.HELLO]
        self.begin = b"".join(map(wire.cobs, hellos[:2]))

    def make(self, rnd: random.Random) -> list[bytes]:
        """Pieces as they arrive: some frames right, some damaged, some with a right CRC."""
        start = rnd.choice((0, 0, 0, rnd.randrange(len(self.coded))))
        stream = [self.begin] if rnd.random() < 0.9 else []
        for k in range(rnd.randint(1, 16)):
            frame = self.frames[(start + k) % len(self.frames)]
            way = rnd.random()
            if way < 0.7:
                stream.append(wire.cobs(frame))
            elif way < 0.85:  # gets past the CRC
                body = damage(rnd, frame[:-4], self.frames, 3) or b"d"
                stream.append(wire.cobs(seal(body)))
            elif way < 0.95:
                stream.append(damage(rnd, wire.cobs(frame), self.coded, 3))
            else:
                stream.append(noise(rnd, 3000))
        data = b"".join(stream)
        at = sorted(rnd.randint(0, len(data)) for _ in range(rnd.randint(0, 4)))
        return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]

    def check(self, case: list[bytes]) -> bool:
        session = HostSession({DEVICE.hex(): 0}, first_id=1)
        told: dict[tuple[str, int], int] = {}
        now = 0.0
        session.request(protocol.STATUS)
        for part in case:
            session.poll(now)
            for event in session.receive(part, now):
                _look_at(event, told)
            session.commit(session.boot, session.next_seq)
            now += 0.3
            out = session.poll(now)
            if len(out) > 4 * protocol.TO_BOARD_BYTES:
                raise Wrong(f"answers with {len(out)} bytes")
            if len(session._buffer) > 8 * protocol.FRAME_BYTES:
                raise Wrong(f"keeps {len(session._buffer)} bytes that are no frame")
        return bool(told)


def _look_at(event: events.Event, told: dict[tuple[str, int], int]) -> None:
    """Raise Wrong when sequences come twice or backwards, or do not fit a database."""
    if isinstance(event, events.Records):
        if event.replay:
            return
        key = (event.device, event.boot)
        for row in event.rows:
            if len(row) != record.N_FIELDS or row[record.SEQ] < told.get(key, 0):
                raise Wrong(f"record {row[record.SEQ]} after {told.get(key, 0) - 1}")
            told[key] = row[record.SEQ] + 1
            decode(row)
    elif isinstance(event, events.Gap):
        key = (event.device, event.boot)
        if event.last < event.first or event.first < told.get(key, 0):
            raise Wrong(f"gap {event.first} to {event.last} after {told.get(key, 0) - 1}")
        told[key] = event.last + 1
    for number in _numbers(event):
        if abs(number) > _MOST:
            raise Wrong(f"{type(event).__name__} has a number of {number.bit_length()} bits")


def _numbers(event: events.Event) -> Iterator[int]:
    """Numbers of an event."""
    values = [getattr(event, name, None) for name in ("boot", "first", "last", "next_seq")]
    values += [getattr(event, name, None) for name in ("oldest", "dropped", "old_boot")]
    hello = getattr(event, "hello", None)
    if hello is not None:
        values += [hello.boot, hello.oldest, hello.next_seq, hello.recipe_id, hello.ring_bytes]
        values += [hello.calibration_id, hello.resume_batch]
    return (value for value in values if isinstance(value, int))


class HostConsole(HostParser):
    """Text beside the link: lines come back as text, all bytes are used or left."""

    name, share = "host_console", 80
    block = 1000

    def open(self) -> None:
        self.texts = [
            b"MicroPython v1.25.0 on 2025-04-15; Raspberry Pi Pico with RP2040\r\n>>> ",
            b'Traceback (most recent call last):\r\n  File "main.py", line 3\r\nOSError: 5\r\n',
            b"\x1b[1m\x1b[31mred\x1b[0m\r\n" + "µm °C\n".encode(),
            *(wire.cobs(frame) for frame in board_frames()[:8]),
        ]

    def make(self, rnd: random.Random) -> bytes:
        return damage(rnd, b"".join(rnd.choices(self.texts, k=2)), self.texts)

    def check(self, case: bytes) -> bool:
        lines, rest = console.split(case)
        if not case.endswith(rest) or any("\n" in line for line in lines + console.text(case)):
            raise Wrong("lines are not lines, or bytes are gone")
        return bool(lines)


class HostWords(HostParser):
    """Words of records, of STATUS, and of a configuration, as a board may send them."""

    name, share = "host_words", 6

    def open(self) -> None:
        self.spec = list(config.SPEC)

    def make(self, rnd: random.Random) -> tuple[list[int], dict[str, int], list[int]]:
        ranges = ((low, high) for _, low, high in self.spec)
        return (
            [word(rnd) for _ in range(record.N_FIELDS)],
            {name: word(rnd) for name in health.STATUS_NAMES if rnd.random() < 0.9},
            [min(max(word(rnd), low), high) for low, high in ranges],
        )

    def check(self, case: tuple[list[int], dict[str, int], list[int]]) -> bool:
        row, status, words = case
        decode(row)
        decode_status(status)
        blob = config.pack(words)
        decode_words(config.unpack(blob))
        damaged = bytearray(blob)
        damaged[row[0] % len(blob)] ^= 1 << (row[1] & 7)
        try:
            config.unpack(bytes(damaged))
        except ValueError:
            return True
        raise Wrong(f"a damaged configuration is taken, CRC {crc32(damaged):08x}")


HOST_LINK = (HostFrames, HostCodec, HostStream, HostConsole, HostWords)
