"""A laser's bytes where no hardware stamps them: from a UART driver's buffer into a ring.

The driver hands bytes over late and in lumps, but a laser sends at an even pace. So the arrival
of each third byte is taken from a straight line through what is known: no byte can have come
later than it was seen. A line that is too late is moved back at once, one that is too early is
let forward slowly, and its slope is the measured pace.

    >>> ring = StampedRing(4096)
    >>> ring.put(data, n, now)  # n bytes seen at `now` (ticks)
    >>> ring.head()

Tested with jittered arrivals on the 32-bit runtime: within half of the lumps' delay. Units:
ticks (microseconds modulo 2**30), periods in 1/256 us.
"""

from array import array

import micropython
from micropython import const

_HEAD = const(0)  # ring index of the next byte
_PLACE = const(1)  # bytes of the group begun, 0..2
_STAMP = const(2)  # stamp index of that group
_LAST = const(3)  # ticks of the newest stamp
_REST = const(4)  # and 1/256 us of it
_PERIOD = const(5)  # of a group, 1/256 us; 0: not yet known
_GROUPS = const(6)  # since the measurement of the period began
_SINCE = const(7)  # ticks of that beginning
_RING_MASK = const(8)
_STAMP_MASK = const(9)
_BYTE_US = const(10)
_WORDS = const(11)

_FIRST_US = const(50_000)  # the period is first known after this time
_MEASURE_US = const(1_000_000)  # and measured anew over this one
_LOST_US = const(30_000)  # a line that is so far off is begun anew: the laser had paused


@micropython.viper
def _put(ring: ptr8, stamps: ptr32, st: ptr32, data: ptr8, n: int, now: int):
    place = st[_PLACE]
    groups = (place + n) // 3
    period = st[_PERIOD]
    last = st[_LAST]
    rest = st[_REST]
    after = n - (3 * groups - place)  # bytes behind the last whole group
    if groups:
        newest = now - after * st[_BYTE_US]
        line = groups * period + rest
        late = (newest - last - (line >> 8)) & 0x3FFFFFFF
        late = (late ^ 0x20000000) - 0x20000000
        if period == 0 or late > _LOST_US or late < 0 - _LOST_US:
            # back to back, up to now
            period = 3 * st[_BYTE_US] << 8
            last = newest - groups * 3 * st[_BYTE_US]
            rest = 0
        elif late < 0:
            last += late
        else:
            last += late >> 7
        # the pace is measured on the line itself, which has less jitter than what was seen
        at = last + (line >> 8)
        counted = st[_GROUPS] + groups
        span = (at - st[_SINCE]) & 0x3FFFFFFF
        if st[_GROUPS] == 0 or span > 4 * _MEASURE_US:
            st[_SINCE] = at
            counted = 1
        elif st[_PERIOD] == 0:
            span = (now - st[_SINCE]) & 0x3FFFFFFF
            if span >= _FIRST_US and counted > 8:
                st[_PERIOD] = (span << 8) // (counted - 1)
                st[_SINCE] = at
                counted = 1
        elif span >= _MEASURE_US:
            st[_PERIOD] += ((span << 8) // (counted - 1) - st[_PERIOD]) >> 1
            st[_SINCE] = at
            counted = 1
        st[_GROUPS] = counted
    head = st[_HEAD]
    mask = st[_RING_MASK]
    stamp = st[_STAMP]
    i = 0
    while i < n:
        ring[head] = data[i]
        head = (head + 1) & mask
        place += 1
        if place == 3:
            place = 0
            rest += period
            last += rest >> 8
            rest &= 0xFF
            stamps[stamp] = last & 0x3FFFFFFF
            stamp = (stamp + 1) & st[_STAMP_MASK]
        i += 1
    st[_HEAD] = head
    st[_PLACE] = place
    st[_STAMP] = stamp
    if groups:
        st[_LAST] = last & 0x3FFFFFFF
        st[_REST] = rest


class StampedRing:
    """Ring of `size` bytes (a power of two) and a quarter as many stamps."""

    def __init__(self, size, baud=921_600):
        self.ring = bytearray(size)
        self.stamps = array("i", bytes(size))
        self._st = array("i", bytes(4 * _WORDS))
        self._st[_RING_MASK] = size - 1
        self._st[_STAMP_MASK] = size // 4 - 1
        self._st[_BYTE_US] = (10_000_000 + baud // 2) // baud

    def restart(self):
        """Begin at index 0 of both rings."""
        for word in range(_GROUPS + 1):
            self._st[word] = 0

    def head(self):
        """Ring index of the next byte."""
        return self._st[_HEAD]

    def put(self, data, n, now):
        """Take in `n` bytes of `data` that were seen at `now`. No allocation."""
        _put(self.ring, self.stamps, self._st, data, n, now)
