"""The unix port's end of the pipe to the bench: requests, answers, and virtual time.

What passes is told in boards/UNIX32/pipe.py. An answer is read into one buffer and copied on from
there into rings that exist since the start; nothing is allocated.
"""

import os
import sys
import time as _time
from array import array

import micropython
import pipe
from micropython import const

_OUT_BYTES = const(16384)
_UPSET = const(48)  # pipe.LEVEL_HANG and LEVEL_CRASH
# So many looks at the clock without a call in between are a busy wait: let time pass then.
_BUSY_LOOKS = const(200)

# Words of an answer's head: see pipe.py
_NOW_US = const(0)
_RESULT = const(2)
_LEVELS = const(4)
_MORE = const(5)
_ERRORS_A = const(6)
_N_READY = const(10)
_N_STAMPS_A = const(11)
_N_BYTES_A = const(13)
_N_USB = const(15)
_N_DATA = const(17)


@micropython.viper
def _put_operation(out: ptr8, at: int, op: int, argument: int, n: int, value: int):
    out[at] = op
    out[at + 1] = argument
    out[at + 2] = n
    out[at + 3] = n >> 8
    out[at + 4] = value
    out[at + 5] = value >> 8
    out[at + 6] = value >> 16
    out[at + 7] = value >> 24


@micropython.viper
def _put_header(out: ptr8, n: int, free_usb: int, free_uart: int):
    out[0] = n
    out[1] = n >> 8
    out[2] = n >> 16
    out[3] = n >> 24
    out[4] = free_usb
    out[5] = free_usb >> 8
    out[6] = free_uart
    out[7] = free_uart >> 8


@micropython.viper
def copy(to: ptr8, at: int, source: ptr8, start: int, n: int):
    """to[at : at + n] = source[start : start + n]"""
    for i in range(n):
        to[at + i] = source[start + i]


@micropython.viper
def to_ring(ring: ptr8, head: int, mask: int, source: ptr8, start: int, n: int) -> int:
    """Append to a ring; return the index behind it."""
    for i in range(n):
        ring[head] = source[start + i]
        head = (head + 1) & mask
    return head


@micropython.viper
def words_to_ring(ring: ptr32, head: int, mask: int, source: ptr32, start: int, n: int) -> int:
    """Append words to a ring of words; return the index behind them."""
    for i in range(n):
        ring[head] = source[start + i]
        head = (head + 1) & mask
    return head


@micropython.viper
def from_ring(to: ptr8, ring: ptr8, tail: int, mask: int, n: int):
    """Copy `n` bytes of a ring from index `tail` on."""
    for i in range(n):
        to[i] = ring[(tail + i) & mask]


@micropython.viper
def _log_edges(words: ptr32, source: ptr32, n: int):
    """Enter falling edges as an interrupt would: the time first, then the count."""
    count = words[0]
    for i in range(n):
        words[1 + (count & 15)] = source[i]
        count = (count + 1) & 0x3FFFFFFF
    words[0] = count


class Fifo:
    """Received bytes that wait to be read; what does not fit is dropped."""

    def __init__(self, size):
        self._ring = bytearray(size)
        self._mask = size - 1
        self._head = 0
        self._tail = 0

    def any(self):
        return (self._head - self._tail) & self._mask

    def free(self):
        return self._mask - self.any()

    def push(self, source, start, n):
        free = self.free()
        self._head = to_ring(
            self._ring, self._head, self._mask, source, start, n if n < free else free
        )

    def readinto(self, buf):
        """Move what is there into `buf`; return how many bytes."""
        n = self.any()
        if n > len(buf):
            n = len(buf)
        from_ring(buf, self._ring, self._tail, self._mask, n)
        self._tail = (self._tail + n) & self._mask
        return n


class Pipe:
    """The board's end of the pipe; /RDY's words and the lasers' streams are given to `hello`."""

    def __init__(self):
        fds = os.getenv(pipe.FDS)
        if not fds:
            raise OSError("the unix port runs only on the bench, which sets " + pipe.FDS)
        fd_in, fd_out = fds.split(",")
        self._in = open(int(fd_in), "rb")
        self._out = open(int(fd_out), "wb")
        self.head = array("i", bytes(4 * pipe.HEAD_WORDS))
        self.payload = bytearray(pipe.PAYLOAD_BYTES)
        self._message = bytearray(_OUT_BYTES)
        self._n = pipe.REQUEST_BYTES
        self.data_at = 0  # where in the payload the call's data lie
        self._looks = 0
        self.fifos = (Fifo(pipe.LINK_RX_BYTES), Fifo(pipe.LINK_RX_BYTES))
        self._edges = None
        self._streams = ()
        self.cause = ""
        self.unique_id = b""

    def hello(self, edges, streams):
        """Make the first call. What happens goes into `edges` and `streams` from now on."""
        self._edges = edges
        self._streams = streams
        self.cause = pipe.CAUSES[self.call(pipe.HELLO)]
        self.unique_id = bytes(self.payload[self.data_at : self.data_at + 8])

    def notice(self, op, argument=0, value=0, data=b"", n=0, start=0):
        """Queue an operation that takes no time; it leaves with the next call."""
        if self._n + 2 * pipe.OPERATION_BYTES + n > _OUT_BYTES:
            self.call(pipe.PASS)
        at = self._n
        _put_operation(self._message, at, op, argument, n, value)
        at += pipe.OPERATION_BYTES
        copy(self._message, at, data, start, n)
        self._n = at + n

    def call(self, op, argument=0, value=0, data=b"", n=0):
        """Do an operation and take in all that happened meanwhile; return its result."""
        self.notice(op, argument, value, data, n)
        self._send()
        self._looks = 0
        more = 1
        while more:
            more = self._take_frame()
        if self.head[_LEVELS] & _UPSET:
            self._upset()
        return self.head[_RESULT]

    def _upset(self):
        """The bench wants the program to hang, or to crash, where it is."""
        if self.head[_LEVELS] & pipe.LEVEL_CRASH:
            raise RuntimeError("crash by the bench")
        while True:
            self.notice(pipe.PASS, 0, 1000)
            self._send()
            while self._take_frame():
                pass

    def _send(self):
        fifos = self.fifos
        _put_header(self._message, self._n - pipe.REQUEST_BYTES, fifos[0].free(), fifos[1].free())
        self._out.write(self._message, self._n)
        self._n = pipe.REQUEST_BYTES

    def _take_frame(self):
        head = self.head
        if self._in.readinto(head) != 4 * pipe.HEAD_WORDS:
            sys.exit(0)  # the bench has gone
        n_words = head[_N_READY] + head[_N_STAMPS_A] + head[_N_STAMPS_A + 1]
        at = 4 * n_words
        n = at + head[_N_BYTES_A] + head[_N_BYTES_A + 1]
        n += head[_N_USB] + head[_N_USB + 1] + head[_N_DATA]
        payload = self.payload
        if n:
            self._in.readinto(payload, n)
            word = head[_N_READY]
            if word:
                _log_edges(self._edges, payload, word)
            for i in range(2):
                n_words = head[_N_STAMPS_A + i]
                n = head[_N_BYTES_A + i]
                if n:
                    self._streams[i].take(payload, word, n_words, at, n)
                word += n_words
                at += n
            for i in range(2):
                n = head[_N_USB + i]
                if n:
                    self.fifos[i].push(payload, at, n)
                at += n
        self.data_at = at
        for i in range(2):
            if head[_ERRORS_A + i]:
                self._streams[i].add_errors(head[_ERRORS_A + i])
        return head[_MORE]

    def now(self):
        """Return the ticks; a busy wait on them makes time pass."""
        self._looks += 1
        if self._looks > _BUSY_LOOKS:
            self.call(pipe.PASS, 0, 1000)
        return self.head[_NOW_US]


class VirtualTime:
    """Stands for the module `time`, in the bench's virtual time."""

    ticks_diff = staticmethod(_time.ticks_diff)
    ticks_add = staticmethod(_time.ticks_add)

    def __init__(self, pipe_end):
        self._pipe = pipe_end
        self.ticks_us = pipe_end.now
        self.ticks_cpu = pipe_end.now

    def ticks_ms(self):
        self._pipe.now()
        return self._pipe.head[pipe.NOW_MS]

    def sleep_us(self, us):
        if us > 0:
            self._pipe.call(pipe.PASS, 0, us)

    def sleep_ms(self, ms):
        while ms > 1000:
            self.sleep_us(1_000_000)
            ms -= 1000
        self.sleep_us(1000 * ms)

    def sleep(self, seconds):
        self.sleep_ms(int(1000 * seconds))

    def time(self):
        return self.ticks_ms() // 1000
