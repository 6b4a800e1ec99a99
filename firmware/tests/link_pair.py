"""A bad wire, and a board and a host at its ends, in virtual time."""

from __future__ import annotations

import random

from gauge.link.session import BoardSession
from porogauge.link import events
from porogauge.link.session import HostSession

ID = bytes(range(1, 9))
WHO = {"device_id": ID, "board": "TEST", "firmware": "0.0.1"}


class Wire:
    """Bytes both ways, with damage: outage, flipped bytes, pieces lost or repeated, slowness."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.error_rate = 0.0
        self.cut = False
        self.room = 1 << 30  # bytes that the board's side takes until it is given more
        self.to_board = bytearray()
        self.to_host = bytearray()
        self.count = 0  # bytes that were accepted
        self.writes = 0

    # the board's transport
    def write(self, buf, n):
        self.writes += 1
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


class Pair:
    """A board and a host that commits at once what it is told."""

    def __init__(self, boot=7, known=None, handler=None, config=None, **options) -> None:
        self.wire = Wire(0)
        self.handler = handler or (lambda *_: 0)
        self.board = BoardSession(16384, WHO, boot, self.handler, config)
        self.host = HostSession(known or (lambda device, b: 0), first_id=100, **options)
        self.now = 0.0
        self.events: list = []

    def poll(self, ticks: int | None = None) -> None:
        """One round of the board alone."""
        ticks = round(self.now * 1e6) if ticks is None else ticks
        self.board.poll(ticks % 2**30, self.wire)

    def run(self, seconds: float, step: float = 0.005) -> list:
        """Let time pass; return what the host was told."""
        found = []
        for _ in range(round(seconds / step)):
            self.now += step
            self.poll()
            found += self.host.receive(self.wire.receive(), self.now)
            self.host.commit(self.host.boot, self.host.next_seq)
            self.wire.send(self.host.poll(self.now))
        self.events += found
        return found


def rows_of(found: list) -> list:
    """All records of a list of events."""
    return [row for event in found if isinstance(event, events.Records) for row in event.rows]
