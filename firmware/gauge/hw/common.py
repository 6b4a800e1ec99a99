"""What the ports share: sleeping, the /RDY edges, USB or console as a transport, small files."""

import io
import os
import select
import sys
import time
from array import array

import micropython
from micropython import const

_MASK = const(0x3FFFFFFF)
_POLL = const(3)  # request of a stream's ioctl: which of the events in the argument are there
_POLLIN = const(1)
_POLLOUT = const(4)

EDGES = const(16)  # falls of /RDY that are remembered


class Ready:
    """The converter's /RDY: `words[0]` counts its falls modulo 2**30.

    words[1 + (count - 1) % 16] holds the ticks of the newest one, and so on backwards.
    """

    def __init__(self, words, pin):
        self.words = words
        self._pin = pin

    def level(self):
        """Level of the pin; 0: a result waits."""
        return self._pin.value()


class _Edge(io.IOBase):
    """A stream that is readable when /RDY has fallen since `seen`; select.poll waits for it."""

    def __init__(self, words):
        self._words = words
        self.seen = 0

    def ioctl(self, request, events):
        if request == _POLL and self._words[0] != self.seen:
            return events & _POLLIN
        return 0


class Sleep:
    """Sleeps until something happens, and counts the time slept in `words[0]`.

    The CPU waits for an interrupt (WFE) in between: select.poll does so on every port, and looks
    at its streams after each one.
    """

    def __init__(self, ready_words):
        self.words = array("i", [0])
        self.poll = select.poll()
        self._ready = ready_words
        self._edge = _Edge(ready_words)
        self.poll.register(self._edge, _POLLIN)

    def idle(self, ms):
        """Sleep at most `ms` milliseconds; a fall of /RDY since the last call ends it at once."""
        start = time.ticks_us()
        for _ in self.poll.ipoll(ms):
            pass
        self._edge.seen = self._ready[0]
        words = self.words
        words[0] = (words[0] + time.ticks_diff(time.ticks_us(), start)) & _MASK


class Pace:
    """Bytes that a line of `baud` with a buffer of `size` bytes takes without waiting."""

    def __init__(self, size, baud):
        self._size = size
        self._baud = baud
        self._room = size
        self._at = time.ticks_us()

    def grant(self, n):
        """Return how many of `n` bytes may be written now, and count them as written."""
        now = time.ticks_us()
        passed = time.ticks_diff(now, self._at)
        if not 0 <= passed < 100_000:  # negative: minutes ago
            passed = 100_000
        sent = passed * (self._baud // 1000) // 10_000
        if sent > 0 or self._room == self._size:
            self._room = min(self._room + sent, self._size)
            self._at = now
        if n > self._room:
            n = self._room
        self._room -= n
        return n


class Console:
    """USB (or the port's console) as a transport of bytes: sys.stdin and sys.stdout.

    `most` bounds the bytes taken by one readinto(): each takes about 50 us. `pace` bounds writes
    where the port would wait for a slow line.
    """

    def __init__(self, sleep_poll, most=64, pace=None):
        self._take = sys.stdin.buffer.readinto  # bound here: binding allocates
        self._out = sys.stdout.buffer
        self._sleep_poll = sleep_poll
        self._readable = select.poll()
        self._readable.register(sys.stdin, _POLLIN)
        self._writable = select.poll()
        self._writable.register(sys.stdout, _POLLOUT)
        self._byte = bytearray(1)
        self._most = most
        self._pace = pace
        self._open = False
        for _ in self._readable.ipoll(0):  # allocates its tuple with the first call
            pass
        for _ in self._writable.ipoll(0):
            pass

    def open(self):
        """Hand the line to the link: Ctrl-C is a byte like any other."""
        if not self._open:
            micropython.kbd_intr(-1)
            self._sleep_poll.register(sys.stdin, _POLLIN)
            self._open = True

    def close(self):
        """Hand the line back to the REPL."""
        if self._open:
            micropython.kbd_intr(3)
            self._sleep_poll.unregister(sys.stdin)
            self._open = False

    def write(self, buf, n, start=0):
        """Send buf[start:start + n] as far as there is room; return how many bytes went.

        On our image a write waits at most 2 ms for a host that does not read; on a stock one up
        to 500 ms, once, when the host stops reading: the link keeps less in flight than fits.
        """
        for _ in self._writable.ipoll(0):
            if self._pace is not None:
                n = self._pace.grant(n)
            return self._out.write(buf, start, n) or 0
        return 0

    def readinto(self, buf):
        """Take what has come, at most len(buf) bytes; return how many. Waits for nothing."""
        count = 0
        most = min(len(buf), self._most)
        byte = self._byte
        while count < most:
            got = 0
            for _ in self._readable.ipoll(0):
                got = self._take(byte)
            if not got:
                break
            buf[count] = byte[0]
            count += 1
        return count


def free_bus(pin, sda_number, scl_number):
    """Clock a chip that holds SDA to the end of its byte; return whether the bus is free.

    `pin` is machine.Pin. At most nine clocks and a STOP, 0.2 ms; only when SDA is low and SCL is
    not. A chip that was interrupted in the middle of a byte lets SDA go then; a short circuit
    stays. The pins must be given back to the bus afterwards.
    """
    sda = pin(sda_number, pin.OPEN_DRAIN, value=1)
    scl = pin(scl_number, pin.OPEN_DRAIN, value=1)
    time.sleep_us(10)
    if scl.value() and not sda.value():
        for _ in range(9):
            scl.value(0)
            time.sleep_us(5)
            scl.value(1)
            time.sleep_us(5)
            if sda.value():
                break
        sda.value(0)  # STOP: SDA rises while SCL is high
        time.sleep_us(5)
        sda.value(1)
        time.sleep_us(5)
    return bool(scl.value() and sda.value())


def usb_link(board, console):
    """Return the transport over USB that the board file asks for, `console` where it is absent."""
    if board.LINK_USB == "second":
        from gauge.hw import second_usb

        return second_usb.make() or console
    return console


class Store:
    """Small files that hold the old or the new content after a power cut, never a mixture."""

    def read(self, name):
        """Return the content of the file, or None when there is none."""
        try:
            with open(name, "rb") as file:
                return file.read()
        except OSError:
            return None

    def write(self, name, data):
        """Replace the file. Raises OSError when the file system is full or damaged."""
        with open(name + ".new", "wb") as file:
            file.write(data)
        os.rename(name + ".new", name)

    def rename(self, name, to):
        """Give a file another name; a file of that name is replaced. Raises OSError."""
        os.rename(name, to)

    def has(self, name):
        """Whether there is such a file."""
        try:
            os.stat(name)
        except OSError:
            return False
        return True
