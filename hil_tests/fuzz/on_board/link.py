"""Runs on the board's MicroPython: the application, fed whatever comes over the line."""

from array import array

import board
from fake import Flash, Hardware

from gauge import record
from gauge.app import App
from gauge.link import frame

GUARD = b"\xa5" * 64  # behind buffers that native code writes to


class Line:
    """A transport whose other end is a buffer. Allocates nothing while it is used."""

    def __init__(self):
        self.rx = b""
        self.at = 0
        self.tx = bytearray(16384)
        self.sent = 0  # bytes of it; -1: what is sent is not kept

    def write(self, buf, n):
        if self.sent >= 0:
            for index in range(n):
                self.tx[self.sent + index] = buf[index]
            self.sent += n
        return n

    def readinto(self, buf):
        n = min(len(buf), len(self.rx) - self.at)
        for index in range(n):
            buf[index] = self.rx[self.at + index]
        self.at += n
        return n


class Gauge:
    """The application without a world, and a line to it."""

    def __init__(self, locked):
        self.hardware = Hardware(Flash(board.JOURNAL_RESERVE + 8))
        self.app = App(self.hardware)
        self.session = self.app.session
        if locked:  # a metrologist's and an operator's key, as SET_KEY leaves them
            self.app.keys._keys = [None, bytes([7] * 32), bytes([9] * 32)]
        self.line = Line()
        self.changes = 0
        self._before = self.state()

    def state(self):
        """All that a command may change."""
        app = self.app
        return (
            app.installed.blob,
            app.machine.hold,
            app._leaving,
            tuple(app.keys._keys),
            app.standardiser is not None and app.standardiser.running,
        )

    def append(self, n):
        rec = record.new()
        for _ in range(n):
            fill(rec, self.session.next_seq)
            self.session.append(rec)

    def poll(self):
        self.hardware.ticks = (self.hardware.ticks + 20_000) & 0x3FFFFFFF
        self.session.poll(self.hardware.ticks, self.line)
        self.app.journal.work(self.hardware.ticks)
        state = self.state()
        if state != self._before:
            self._before = state
            self.changes += 1


def fill(rec, seq):
    """The record of a sequence; the host knows it, too."""
    for index in range(record.N_FIELDS):
        rec[index] = (seq * 7919 + index * 104_729) % 1_000_003
    rec[record.SEQ] = seq


gauge = None


def reset(locked):
    """Begin with a new session, its stream begun by nobody."""
    global gauge
    gauge = Gauge(locked)
    gauge.append(24)
    return 0


def state():
    """Words that say how the session is; see BoardLink.look."""
    session = gauge.session
    ring = session.ring
    ordered = 0 <= ring.tail <= ring.commit <= ring.next <= ring.head and ring.flight >= 0
    return (
        session.bad_frames,
        session.next_seq,
        session.boot_id,
        1 if ordered else 0,
        gauge.changes,
        ring.dropped,
    )


def feed(blob, most):
    """Feed inputs, each with its length in two bytes before it; return six words for each."""
    out = array("i")
    line = gauge.line
    line.sent = -1
    at = 0
    while at < len(blob):
        n = blob[at] | blob[at + 1] << 8
        at += 2
        line.rx = bytes(blob[at : at + n])
        line.at = 0
        at += n
        rounds = 0
        while line.at < n:
            gauge.poll()
            rounds += 1
            if rounds > most:
                raise RuntimeError(f"{n} bytes are not read in {rounds} rounds")
        gauge.poll()
        out.extend(array("i", state()))
    return out


def talk(data):
    """One round with a host: its bytes in, the board's bytes out."""
    line = gauge.line
    line.rx, line.at = bytes(data), 0
    line.sent = 0
    gauge.poll()
    while line.at < len(line.rx):
        gauge.poll()
    return bytes(line.tx[: line.sent])


def frames(blob, size):
    """Decode inputs into a buffer of `size` bytes; return (result, intact) of each frame."""
    out = array("i")
    buf = bytearray(size + len(GUARD))
    at = 0
    while at < len(blob):
        n = blob[at] | blob[at + 1] << 8
        at += 2
        part = bytes(blob[at : at + n]) + b"\0"
        at += n
        buf[size:] = GUARD
        state = frame.receiver()
        place = 0
        count = len(out)
        out.append(0)
        while place < len(part):
            place = frame._feed(part, place, len(part), buf, size, state)
            length = frame.result(state)
            if length:
                out[count] += 1
                out.append(length)
                out.append(1 if length > 0 and frame.intact(buf, length) else 0)
        if bytes(buf[size:]) != GUARD:
            raise RuntimeError("written behind the buffer")
    return out
