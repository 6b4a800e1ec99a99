"""The readings of a laser become its share of a window: bytes in, thirteen words out.

A laser sends three bytes per distance (low, middle, high six bits, told apart by their top bits)
into a ring; every third byte's arrival is stamped. `LaserWindow.take` parses what has arrived,
gives every distance the instant at which it was taken (arrival minus the sensor's latency) and
accumulates those that belong to the window. It stops in front of the first one that belongs to
the next window, so that nothing is counted twice and nothing is left out. Viper, no allocation.

    >>> window = LaserWindow(stream, latency_us=533, max_code=230604, byte_us=11)
    >>> window.open(t_open, t_close)
    >>> closed = window.take()      # again after each wait, until True
    >>> window.put(rec, record.A_N)

Times are ticks (microseconds modulo 2**30).
Byte coding: optoNCDT 1420 operating instructions, RS-422 data format.
"""

from array import array

import micropython
from micropython import const

from gauge import record

# Words of the state. The first 13 are the laser's fields in the order of the record.
_N = const(0)
_SUM = const(1)
_FIRST = const(2)
_LAST = const(3)
_T_FIRST = const(4)
_T_LAST = const(5)
_T_SUM = const(6)
_MIN = const(7)
_MAX = const(8)
_D2 = const(9)
_N_D2 = const(10)
_ERRORS = const(11)
_ERROR_CODE = const(12)
_FIELDS = const(13)
_TAIL = const(13)  # ring index of the next byte to parse
_PLACE = const(14)  # place of that byte in its group of three stamped bytes, 0..2
_STAMP = const(15)  # stamp index of that byte's group
_EXPECT = const(16)  # 0 low, 1 middle, 2 high byte; 3: not yet in step since the start
_CODE = const(17)  # bits of the distance gathered so far
_X1 = const(18)  # the code before
_X2 = const(19)  # and the one before that
_RUN = const(20)  # how many codes came without an error between, up to 2
_OPEN = const(21)  # ticks of the window's start
_CLOSE = const(22)  # ticks of the window's end
_LATENCY = const(23)
_MAX_CODE = const(24)  # codes above are error codes
_RING_MASK = const(25)
_STAMP_MASK = const(26)
_BYTE_US = const(27)
_COUNTERS = const(28)  # one for each of health.LASER_COUNTERS
_WORDS = const(38)
_COUNT_OTHER = const(7)
_COUNT_BROKEN = const(8)
_COUNT_JUMP = const(9)

# Error codes of the record
_NO_DATA = const(1)
_BROKEN = const(2)
_JUMP = const(3)
record.expect(LASER_NO_DATA=_NO_DATA, LASER_BROKEN=_BROKEN, LASER_JUMP=_JUMP)

if record.A_ERROR_CODE - record.A_N != _ERROR_CODE or record.B_N - record.A_N != _FIELDS:
    raise RuntimeError("gauge.record and gauge.windows disagree about a laser's fields")


@micropython.viper
def _count_error(state, code: int):
    """Note an error of the window, and count it by its kind.

    What says that any distance of the window may be damaged is not covered by a later code.
    """
    st = ptr32(state)
    st[_ERRORS] += 1
    told = st[_ERROR_CODE]
    if told != _BROKEN and (told != _JUMP or code == _BROKEN):
        st[_ERROR_CODE] = code
    kind = code - 262075
    if code == _JUMP:
        kind = _COUNT_JUMP
    elif code == _BROKEN:
        kind = _COUNT_BROKEN
    elif kind < 0 or kind == 4 or kind > 7:  # 262079 and those outside have no meaning
        kind = _COUNT_OTHER
    elif kind > 4:
        kind -= 1
    st[_COUNTERS + kind] = (st[_COUNTERS + kind] + 1) & 0x3FFFFFFF


@micropython.viper
def _take(ring: ptr8, stamps: ptr32, state, head: int) -> int:
    """Parse up to `head`; return 1 when a distance of a later window was met."""
    st = ptr32(state)
    tail = st[_TAIL]
    place = st[_PLACE]
    stamp = st[_STAMP]
    expect = st[_EXPECT]
    code = st[_CODE]
    ring_mask = st[_RING_MASK]
    stamp_mask = st[_STAMP_MASK]
    t_open = st[_OPEN]
    length = (st[_CLOSE] - t_open) & 0x3FFFFFFF
    latency = st[_LATENCY]
    byte_us = st[_BYTE_US]
    max_code = st[_MAX_CODE]
    closed = 0
    while tail != head:
        byte = ring[tail]
        step = 1  # bytes that this turn takes
        whole = 0  # 1: a distance is complete, 2: an additional value, which was not asked for
        broken = 0
        t = 0
        if expect == 0 and byte < 64 and (head - tail) & ring_mask > 2:
            # the usual case: a whole distance at once; its last byte comes `place` bytes after
            # the stamp of the group in which its first one is
            middle = ring[(tail + 1) & ring_mask]
            high = ring[(tail + 2) & ring_mask]
            if middle >> 6 == 1 and high >> 6 == 2:
                code = byte | (middle & 63) << 6 | (high & 63) << 12
                t = stamps[stamp] + place * byte_us
                whole = 1
                step = 3
        if whole == 0:
            kind = byte >> 6
            if kind >= 2:
                if expect == 2:
                    # the last stamp at or before this byte; the three bytes of a distance follow
                    # each other without a pause
                    if place == 2:
                        t = stamps[stamp]
                    else:
                        t = stamps[(stamp - 1) & stamp_mask] + (place + 1) * byte_us
                    whole = kind - 1
                elif expect != 3:
                    broken = 1
                    expect = 0
                else:
                    expect = 0
            elif kind == 1:
                if expect == 1:
                    code |= (byte & 63) << 6
                    expect = 2
                elif expect != 3:
                    broken = 1
                    expect = 0
            else:
                if expect == 1 or expect == 2:
                    broken = 1
                code = byte
                expect = 1
        if whole:
            t = (t - latency - t_open) & 0x3FFFFFFF
            early = t >> 29  # before the window: between two windows, counted nowhere
            if early == 0 and t >= length:
                closed = 1
                break
            if step == 1:
                code |= (byte & 63) << 12
                expect = 0
            if early:
                whole = 0
                st[_RUN] = 0
            if whole == 1:
                if code > max_code:
                    _count_error(state, code)
                    st[_RUN] = 0
                else:
                    n = st[_N]
                    if n == 0:
                        st[_FIRST] = code
                        st[_T_FIRST] = t
                        st[_MIN] = code
                        st[_MAX] = code
                    st[_N] = n + 1
                    st[_SUM] += code
                    st[_LAST] = code
                    st[_T_LAST] = t
                    st[_T_SUM] += t
                    if code < st[_MIN]:
                        st[_MIN] = code
                    if code > st[_MAX]:
                        st[_MAX] = code
                    x1 = st[_X1]
                    if st[_RUN] == 2 and st[_D2] < 0x20000000:
                        d = code - 2 * x1 + st[_X2]
                        if d > 2047 or d < -2047:
                            d = 2047
                            _count_error(state, _JUMP)
                        st[_D2] += d * d
                        st[_N_D2] += 1
                    elif st[_RUN] < 2:
                        st[_RUN] += 1
                    st[_X2] = x1
                    st[_X1] = code
        if broken:
            _count_error(state, _BROKEN)
            st[_RUN] = 0
        tail = (tail + step) & ring_mask
        if step == 1:
            place += 1
        if step == 3 or place == 3:
            stamp = (stamp + 1) & stamp_mask
        if place == 3:
            place = 0
    st[_TAIL] = tail
    st[_PLACE] = place
    st[_STAMP] = stamp
    st[_EXPECT] = expect
    st[_CODE] = code
    return closed


@micropython.viper
def _open(st: ptr32, t_open: int, t_close: int):
    for i in range(_FIELDS):
        st[i] = 0
    st[_OPEN] = t_open
    st[_CLOSE] = t_close


@micropython.viper
def _put_counters(words: ptr32, at: int, st: ptr32):
    for i in range(10):
        words[at + i] = st[_COUNTERS + i]


@micropython.viper
def _put(rec: ptr32, at: int, st: ptr32):
    for i in range(_FIELDS):
        rec[at + i] = st[i]


class LaserWindow:
    """One laser's accumulator.

    `stream` is a `gauge.hw` laser stream; `latency_us` the time from the taking of a distance to
    the arrival of its last byte; codes above `max_code` are error codes; `byte_us` is the time of
    one character on the wire.
    """

    def __init__(self, stream, latency_us, max_code, byte_us):
        self.stream = stream
        self._st = array("i", bytes(4 * _WORDS))
        self._st[_LATENCY] = latency_us
        self._st[_MAX_CODE] = max_code
        self._st[_BYTE_US] = byte_us
        self._st[_RING_MASK] = len(stream.ring) - 1
        self._st[_STAMP_MASK] = len(stream.stamps) - 1
        self.restart()

    def restart(self):
        """The stream was started anew: its rings begin at index 0."""
        st = self._st
        for i in (_TAIL, _PLACE, _STAMP, _CODE, _RUN):
            st[i] = 0
        st[_EXPECT] = 3  # the first bytes may be the rest of a distance: that is no error

    def open(self, t_open, t_close):
        """Begin a window from `t_open` up to, but without, `t_close` (ticks)."""
        _open(self._st, t_open, t_close)

    def skip(self, ticks):
        """Drop what was taken before `ticks`: between two windows that are far apart."""
        self.open(ticks, ticks)
        self.take()

    def take(self):
        """Take in what has arrived; return True when the window is complete."""
        stream = self.stream
        stream.poll()
        return _take(stream.ring, stream.stamps, self._st, stream.head()) != 0

    def put(self, rec, at):
        """Write the laser's fields into `rec` from index `at` on."""
        st = self._st
        if st[_N] == 0 and st[_ERRORS] == 0:
            st[_ERRORS] = 1
            st[_ERROR_CODE] = _NO_DATA
        _put(rec, at, st)

    def put_counters(self, words, at):
        """Write the error counters since the start, mod 2**30, into `words` from index `at` on."""
        _put_counters(words, at, self._st)
