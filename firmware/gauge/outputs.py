"""The marker: which piece of web is marked, and when it passes the marker. Pure.

The marker sits `delay_mm` of web behind the head. A piece that a window found bad runs from the
web's position at the end of the window before to that at the end of this one; it is marked while
it passes the marker, over `length_mm` at least. Pieces that touch become one.

    >>> marker = Marker(delay_mm=1500, length_mm=50)
    >>> marker.update(12_000, True)         # at each window: position of the web, bad or not
    False
    >>> marker.update(13_500, False)
    True

Positions are millimetres of web, below 2**30.
"""

from array import array

from micropython import const

_PIECES = const(32)  # held between head and marker; power of two
_JUMP_MM = const(1_000_000)  # no web moves so far in a window: the position was set anew


class Marker:
    """Marks the web `delay_mm` after it was found bad. Allocates nothing after the start."""

    def __init__(self, delay_mm, length_mm):
        self._delay = delay_mm
        self._length = length_mm
        self._start = array("i", bytes(4 * _PIECES))
        self._end = array("i", bytes(4 * _PIECES))
        self._first = 0  # index of the oldest piece
        self._n = 0
        self._position = None  # at the window before

    def update(self, position_mm, bad):
        """Take in a window; return whether the marker is on.

        When more pieces lie between head and marker than can be told apart, the newest grows:
        too much is marked rather than too little.
        """
        before = self._position
        if before is None:
            before = position_mm
        self._position = position_mm
        if not -_JUMP_MM < position_mm - before < _JUMP_MM:
            self._n = 0
            before = position_mm
        if bad:
            self._add(before if before < position_mm else position_mm, position_mm)
        if self._n == 0:
            return False
        here = position_mm - self._delay
        while self._end[self._first] < here:
            self._first = (self._first + 1) & (_PIECES - 1)
            self._n -= 1
            if self._n == 0:
                return False
        return self._start[self._first] <= here

    def _add(self, start, end):
        newest = (self._first + self._n - 1) & (_PIECES - 1)
        if self._n and (start <= self._end[newest] or self._n == _PIECES):
            if end > self._end[newest]:
                self._end[newest] = end
            return
        newest = (newest + 1) & (_PIECES - 1)
        if end < start + self._length:
            end = start + self._length
        self._start[newest] = start
        self._end[newest] = end
        self._n += 1
