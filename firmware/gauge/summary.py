"""What a second of windows was like: the words of journal.SUMMARY_NAMES. Pure, no allocation.

>>> summary = Summary()
>>> if summary.add(rec):  # the record begins another second
...     n = summary.put(buf, 0)  # the second before, as zigzag varints
"""

from array import array

import micropython
from micropython import const

from gauge import journal, record
from gauge.link import codec

_N = len(journal.SUMMARY_NAMES)
_ALL = bytes(range(_N))
LONGEST = 5 * _N  # bytes

# Fields of the record
_SEQ = const(0)
_T_S = const(1)
_LOST = const(4)
_STATE = const(5)
_STATE_REASON = const(6)
_VALID = const(7)
_FLAGS = const(9)
_POSITION_MM = const(13)
_THICKNESS_8NM = const(53)
_POROSITY_PPM = const(55)
_VALID_THICKNESS = const(1)
_VALID_POROSITY = const(4)
record.expect(
    SEQ=_SEQ,
    T_S=_T_S,
    LOST=_LOST,
    STATE=_STATE,
    STATE_REASON=_STATE_REASON,
    VALID=_VALID,
    FLAGS=_FLAGS,
    POSITION_MM=_POSITION_MM,
    THICKNESS_8NM=_THICKNESS_8NM,
    POROSITY_PPM=_POROSITY_PPM,
    VALID_THICKNESS=_VALID_THICKNESS,
    VALID_POROSITY=_VALID_POROSITY,
)


@micropython.viper
def _add(words: ptr32, rec: ptr32):
    """Take a record into the words; those of means are sums as yet."""
    words[2] += 1
    words[3] += rec[_LOST]
    words[4] = rec[_STATE]
    words[5] = rec[_STATE_REASON]
    words[6] |= rec[_FLAGS]
    words[7] = rec[_POSITION_MM]
    if rec[_VALID] & _VALID_THICKNESS:
        value = rec[_THICKNESS_8NM]
        if words[8] == 0 or value < words[10]:
            words[10] = value
        if words[8] == 0 or value > words[11]:
            words[11] = value
        words[8] += 1
        words[9] += value
    if rec[_VALID] & _VALID_POROSITY:
        words[12] += 1
        words[13] += rec[_POROSITY_PPM]


@micropython.viper
def _end(words: ptr32, out: ptr32, n: int):
    """Copy the words of a second that is over, with means in place of sums, and clear them."""
    i = 0
    while i < n:
        out[i] = words[i]
        words[i] = 0
        i += 1
    if out[8]:
        out[9] = (out[9] + (out[8] >> 1)) // out[8]
    if out[12]:
        out[13] = (out[13] + (out[12] >> 1)) // out[12]


class Summary:
    """Sums up the records of one second after the other, by the time at which they end.

    Values times windows in a second must stay below 2**31: 91 a second of 16 mm do.
    """

    def __init__(self):
        self._words = array("i", bytes(4 * _N))
        self._done = array("i", bytes(4 * _N))

    def add(self, rec):
        """Take a record in; return whether a second is over, which put() then gives."""
        words = self._words
        over = words[2] > 0 and rec[_T_S] != words[0]
        if over:
            _end(words, self._done, _N)
        if words[2] == 0:
            words[0] = rec[_T_S]
            words[1] = rec[_SEQ]
        _add(words, rec)
        return over

    def put(self, out, at):
        """Write the second that is over to index `at`; return the index behind it."""
        return codec.put_fields(self._done, _ALL, _N, out, at)
