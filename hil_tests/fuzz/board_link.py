"""What the board reads from the line: frames, commands, the whole session."""

from __future__ import annotations

import random
from binascii import crc32
from collections.abc import Sequence

from gauge import config, record
from gauge.link import protocol
from porogauge.link import events, wire
from porogauge.link.session import HostSession

from .board import BoardParser, packed
from .line import DEVICE, board_frames, host_frames, seal, standard_blob
from .mutate import damage, noise, word
from .parser import Wrong

_LONGEST = 1400  # bytes of an input
_FRAME = protocol.TO_BOARD_BYTES + 8  # bytes that the board decodes a frame into
_WORDS = 6  # that it says for each input
_APPENDED = 24


def salted(kind: int, body: bytes, salt: int = 0) -> bytes:
    """A frame to the board, with its right CRC."""
    data = bytes([kind, salt]) + bytes(byte ^ salt for byte in body)
    return wire.cobs(seal(data))


def _request(number: int, op: int, payload: bytes) -> bytes:
    return salted(protocol.REQUEST, wire.varint(number) + bytes([op]) + payload, 1)


class BoardFrames(BoardParser):
    """`frame`: exactly the frames whose CRC is right, written within the buffer."""

    name, share, block = "board_frames", 200, 1000
    program = "link.py"
    size = 120

    def open(self) -> None:
        super().open()
        frames = [salted(kind, body) for kind, body in host_frames()]
        self.corpus = frames + [wire.cobs(frame) for frame in board_frames()]

    def make(self, rnd: random.Random) -> bytes:
        if rnd.random() < 0.1:
            return noise(rnd, 300)
        return damage(rnd, rnd.choice(self.corpus), self.corpus, 4)[:_LONGEST]

    def ask(self, cases: Sequence[bytes]) -> Sequence[list[int]]:
        flat = self.running.call("frames", packed(cases), self.size)
        answers = []
        for _ in cases:
            n = 1 + 2 * flat[0]
            answers.append(flat[1:n])
            flat = flat[n:]
        return answers

    def look(self, case: bytes, said: list[int]) -> bool:
        wanted = []
        for coded in case.split(b"\0"):
            if coded:
                length = _decoded(coded)
                if not 0 < length <= self.size:
                    wanted += [-1, 0]
                else:
                    wanted += [length, int(wire.decode(coded) is not None)]
        if wanted != said:
            raise Wrong(f"frames are {wanted}, the board says {said}")
        return 1 in said[1::2]


def _decoded(coded: bytes) -> int:
    """Bytes of a frame once COBS is undone; -1: it is none."""
    at = n = 0
    while at < len(coded):
        code = coded[at]
        if at + code > len(coded):
            return -1
        at += code
        n += code - 1 + (code < 255 and at < len(coded))
    return n


class BoardLink(BoardParser):
    """`BoardSession` and all commands: what comes changes nothing that it may not."""

    name, share = "board_session", 60
    program = "link.py"
    locked = 0

    def open(self) -> None:
        super().open()
        self.frames = host_frames()
        self.corpus = [salted(kind, body) for kind, body in self.frames]

    def make(self, rnd: random.Random) -> bytes:
        if rnd.random() < 0.1:
            return self._configuration(rnd)
        stream = b""
        for _ in range(rnd.randint(1, 4)):
            kind, body = rnd.choice(self.frames)
            way = rnd.random()
            if way < 0.25:
                stream += salted(kind, body, rnd.choice((0, rnd.randrange(256))))
            elif way < 0.7:  # gets past the CRC
                body = damage(rnd, body, [body for _, body in self.frames], 3)
                kind = rnd.choice((kind, kind, kind, rnd.choice(self.frames)[0]))
                stream += salted(kind, body[:300], rnd.randrange(256))
            elif way < 0.9:
                stream += damage(rnd, salted(kind, body), self.corpus, 3)
            else:
                stream += noise(rnd, 300)
        return stream[:_LONGEST] + b"\0"

    def _configuration(self, rnd: random.Random) -> bytes:
        """A configuration sent from its first to its last byte, with its right CRC."""
        words = list(config.unpack(standard_blob()))
        ranges = [(low, high) for _, low, high in config.SPEC]
        for _ in range(rnd.randint(0, 8)):
            k = rnd.randrange(len(words))
            low, high = ranges[k]
            words[k] = rnd.choice((low, high, rnd.randint(low, high), word(rnd)))
        blob = config.pack(words)
        number = rnd.randrange(1 << 28)
        stream = b""
        for at in range(0, len(blob), 200):
            payload = wire.words(at) + blob[at : at + 200]
            stream += _request(number + at, protocol.CONFIG_WRITE, payload)
        check = wire.words(len(blob)) + crc32(blob).to_bytes(4, "little")
        return stream + _request(number + 199, protocol.CONFIG_COMMIT, check)

    def ask(self, cases: Sequence[bytes]) -> Sequence[tuple[list[int], list[int]]]:
        self.running.call("reset", self.locked)
        before = list(self.running.call("state"))
        flat = self.running.call("feed", packed(cases), 4 + _LONGEST // 100)
        states = [before] + [flat[k : k + _WORDS] for k in range(0, len(flat), _WORDS)]
        self._talk()
        return list(zip(states, states[1:], strict=False))

    def look(self, case: bytes, said: tuple[list[int], list[int]]) -> bool:
        (bad, *_, changes, dropped), (bad_now, seq, boot, ordered, changes_now, dropped_now) = said
        good, requests = 0, 0
        for coded in case.split(b"\0"):
            data = wire.decode(coded) if coded else None
            if coded and (data is None or len(data) + 4 > _FRAME):
                bad += 1
            elif coded:
                good += 1
                requests += data[0] in (protocol.REQUEST, protocol.SERVICE)
        if bad_now != bad:
            raise Wrong(f"{bad_now - bad} frames more than are bad were counted as such")
        if (seq, boot, ordered) != (_APPENDED, 7, 1) or dropped_now != dropped:
            raise Wrong(f"records are not what they were: {said[1]}")
        if changes_now - changes > requests or (self.locked and changes_now):
            raise Wrong(f"{changes_now - changes} changes with {requests} requests")
        return good > 0

    def _talk(self) -> None:
        """A host comes and gets all that the board has, whatever was said before."""
        host = HostSession(lambda device, boot: 0, take_over=True, first_id=(1 << 29) + 5)
        status = host.request(protocol.STATUS)
        rows: list[tuple[int, ...]] = []
        now = 0.0
        for _ in range(400):
            found = host.receive(self.running.call("talk", host.poll(now)), now)
            for event in found:
                rows += event.rows if isinstance(event, events.Records) else []
            host.commit(host.boot, host.next_seq)
            now += 0.02
            if status.ended and host.next_seq == _APPENDED and host.clock.relation:
                break
        if not (host.connected and status.done and host.device == DEVICE.hex()):
            raise Wrong("afterwards the board does not answer a host")
        if rows != [_row(seq) for seq in range(_APPENDED)]:
            raise Wrong(f"afterwards a host gets {len(rows)} records of {_APPENDED}")


class LockedLink(BoardLink):
    """The same of a board with keys: without the right MAC nothing is ever changed."""

    name, share = "board_session_locked", 30
    locked = 1


def _row(seq: int) -> tuple[int, ...]:
    """The record that the board makes of a sequence."""
    row = [(seq * 7919 + index * 104_729) % 1_000_003 for index in range(record.N_FIELDS)]
    row[record.SEQ] = seq
    return tuple(row)


BOARD_LINK = (BoardFrames, BoardLink, LockedLink)
