"""The journal: closed batches as ready frames in a byte ring, and what the host has of them.

Entries (batches of records, and gaps) have consecutive numbers since boot. Each is kept as the
very bytes that go on the wire, so that sending again costs one copy. When room is needed the
oldest entry goes; if the host had not stored it, its sequences join the one `lost` range, which
is told to the host until it says that it knows.

    tail <= commit <= next <= head          numbers of entries
    [tail, commit)   stored by the host, kept for a new host to fetch
    [commit, next)   sent at least once: under way, arrived, or to be sent again
    [next, head)     never sent

Loss is found by order: a transport never lets a frame overtake another, so once a later
transmission has arrived, every earlier one that has not is lost. `sent` of an entry is the number
of its last transmission, 0 when it must be sent (again), -1 when it has arrived.

All memory is taken at the start; afterwards nothing is allocated. Numbers stay below 2**30.
"""

from array import array

import micropython
from micropython import const

from gauge.link import frame
from gauge.link.protocol import ACK_BITMAP_BYTES

# State words, an array so that viper code can change them.
_TAIL = const(0)
_COMMIT = const(1)
_NEXT = const(2)
_HEAD = const(3)
_FLIGHT = const(4)  # bytes sent and neither arrived nor given up
_SENT = const(5)  # number of the last transmission
_NEWEST = const(6)  # number of the newest transmission that has arrived
_AGAIN = const(7)  # no entry before this one waits to be sent again
_LOST = const(8)  # entries found lost on the way since boot
_SLOTS = const(9)
_SIZE = const(10)

_SLOT_BYTES = const(256)  # one slot for so many bytes of ring; a usual batch has 500

ARRIVED = -1


@micropython.viper
def _length(state: ptr32, at: ptr32, number: int) -> int:
    """Return the bytes of an entry's frame."""
    slots = state[9]
    n = at[(number + 1) % slots] - at[number % slots]
    if n < 0:
        n += state[10]
    return n


@micropython.viper
def _used(state: ptr32, at: ptr32) -> int:
    """Return the bytes of all entries."""
    slots = state[9]
    n = at[state[3] % slots] - at[state[0] % slots]
    if n < 0:
        n += state[10]
    return n


@micropython.viper
def _copy(state: ptr32, at: ptr32, number: int, buf: ptr8, out: ptr8) -> int:
    """Copy an entry's frame from the ring `buf` into `out`; return its bytes."""
    slots = state[9]
    size = state[10]
    index = at[number % slots]
    end = at[(number + 1) % slots]
    n = 0
    while index != end:
        out[n] = buf[index]
        n += 1
        index += 1
        if index == size:
            index = 0
    return n


@micropython.viper
def _plain(state: ptr32, at: ptr32, number: int, buf: ptr8, out: ptr8) -> int:
    """Decode an entry's frame from the ring `buf` into `out`; return the bytes of that."""
    slots = state[9]
    size = state[10]
    index = at[number % slots]
    end = at[(number + 1) % slots] - 1  # of the frame, its zero
    if end < 0:
        end += size
    n = 0
    left = 0
    zero = 0
    while index != end:
        byte = buf[index]
        index += 1
        if index == size:
            index = 0
        if left:
            out[n] = byte
            n += 1
            left -= 1
        else:
            if zero:
                out[n] = 0
                n += 1
            left = byte - 1
            zero = 1
            if byte == 255:
                zero = 0
    return n


@micropython.viper
def _acknowledge(state: ptr32, sent: ptr32, at: ptr32, base: int, bits: ptr8, bit: int, end: int):
    """Take in which entries have arrived: all before `base`, and the bits from `bit` to `end`."""
    slots = state[9]
    newest = state[6]
    number = state[1]
    last = state[3]
    while number < last:
        here = 0
        if number < base:
            here = 1
        else:
            k = bit + number - base
            if k >= end:
                break
            here = (bits[k >> 3] >> (k & 7)) & 1
        slot = number % slots
        was = sent[slot]
        if here and was != -1:
            if was > 0:
                n = at[(number + 1) % slots] - at[slot]
                if n < 0:
                    n += state[10]
                state[4] = state[4] - n
                if was > newest:
                    newest = was
            sent[slot] = -1
        number += 1
    state[6] = newest
    if base > state[1]:
        state[1] = base
    if base > state[2]:
        state[2] = base
    number = state[1]
    last = state[2]
    while number < last:
        slot = number % slots
        was = sent[slot]
        if was > 0 and was < newest:
            sent[slot] = 0
            n = at[(number + 1) % slots] - at[slot]
            if n < 0:
                n += state[10]
            state[4] = state[4] - n
            state[8] = state[8] + 1
            if number < state[7]:
                state[7] = number
        number += 1


@micropython.viper
def _find_unsent(state: ptr32, sent: ptr32) -> int:
    """Return the first entry that must be sent again, -1 when there is none."""
    slots = state[9]
    number = state[7]
    if number < state[1]:
        number = state[1]
    last = state[2]
    while number < last and sent[number % slots]:
        number += 1
    state[7] = number
    if number == last:
        return -1
    return number


@micropython.viper
def _forget(sent: ptr32, slots: int):
    k = 0
    while k < slots:
        sent[k] = 0
        k += 1


class Ring:
    """Journal in `size` bytes; the host has lost sequences `lost_from`..`lost_to` (-1: none)."""

    def __init__(self, size):
        if size < 4 * _SLOT_BYTES + 1100:
            raise ValueError("link ring of %d bytes is too small: 4 KiB at least" % size)
        slots = size // _SLOT_BYTES
        self._buf = bytearray(size)
        self._state = state = array("i", bytes(4 * 11))
        state[_SLOTS] = slots
        state[_SIZE] = size
        self._at = array("i", bytes(4 * slots))  # index of the frame; the head's is the next free
        self._first = array("i", bytes(4 * slots))  # first sequence
        self._end = array("i", bytes(4 * slots))  # sequence behind the last one
        self._sent = array("i", bytes(4 * slots))
        self._records = bytearray(slots)  # records in it, 0: a gap
        self.lost_from = -1
        self.lost_to = -1
        self.dropped = 0  # records overwritten without being known to have arrived, since boot
        self.kept = 0  # entries before this one need not arrive: the journal in flash has them

    @property
    def tail(self):
        return self._state[_TAIL]

    @property
    def commit(self):
        return self._state[_COMMIT]

    @property
    def next(self):
        return self._state[_NEXT]

    @property
    def head(self):
        return self._state[_HEAD]

    @property
    def flight(self):
        """Bytes that were sent and have neither arrived nor been given up."""
        return self._state[_FLIGHT]

    @property
    def resent(self):
        """Entries that were found lost on the way, since boot."""
        return self._state[_LOST]

    def used(self):
        """Return the bytes in use."""
        return _used(self._state, self._at)

    def length(self, number):
        """Return the bytes of an entry's frame."""
        return _length(self._state, self._at, number)

    def first(self, number):
        """Return the first sequence of an entry."""
        return self._first[number % self._state[_SLOTS]]

    def put(self, src, n, first, end, records):
        """Add the frame of `n` bytes in `src` (type, body, CRC); oldest entries make room."""
        state = self._state
        slots = state[_SLOTS]
        at = self._at
        limit = state[_SIZE] - frame.longest(n)
        while state[_HEAD] - state[_TAIL] >= slots - 1 or _used(state, at) >= limit:
            self._drop()
        number = state[_HEAD]
        slot = number % slots
        self._first[slot] = first
        self._end[slot] = end
        self._records[slot] = records
        self._sent[slot] = 0
        at[(number + 1) % slots] = frame.cobs(src, n, self._buf, at[slot], state[_SIZE])
        state[_HEAD] = number + 1

    def _drop(self):
        """Forget the oldest entry."""
        state = self._state
        number = state[_TAIL]
        slot = number % state[_SLOTS]
        if number >= state[_COMMIT]:
            if self.lost_to < 0:
                self.lost_from = self._first[slot]
            self.lost_to = self._end[slot] - 1
            sent = self._sent[slot]
            if sent != ARRIVED:
                if number >= self.kept:
                    self.dropped += self._records[slot]
                if sent > 0:
                    state[_FLIGHT] -= self.length(number)
            state[_COMMIT] = number + 1
            if state[_NEXT] <= number:
                state[_NEXT] = number + 1
        state[_TAIL] = number + 1

    def acknowledge(self, base, bits, start, end, next_seq):
        """Take in an acknowledgement; return whether it made sense.

        Entries before `base` and sequences before `next_seq` are stored; bit k of bits[start:end]
        says that entry base + k has arrived.
        """
        state = self._state
        if not 0 <= base <= state[_HEAD]:
            return False
        _acknowledge(state, self._sent, self._at, base, bits, 8 * start, 8 * end)
        if next_seq > self.lost_to:
            self.lost_to = -1
        return True

    def rewind(self, next_seq, newest):
        """Send everything from sequence `next_seq` on; return the first entry of that.

        `newest` is the sequence that the next record will have.
        """
        state = self._state
        slots = state[_SLOTS]
        number = state[_TAIL]
        oldest = self._first[number % slots] if number < state[_HEAD] else newest
        self.lost_to = -1
        if next_seq < oldest:
            self.lost_from = next_seq
            self.lost_to = oldest - 1
        number = self.find(next_seq)
        state[_COMMIT] = state[_NEXT] = state[_AGAIN] = number
        state[_FLIGHT] = 0
        _forget(self._sent, slots)
        return number

    def find(self, seq):
        """Return the first entry that ends behind a sequence (the head when there is none)."""
        state = self._state
        low = state[_TAIL]
        high = state[_HEAD]
        while low < high:
            middle = (low + high) >> 1
            if self._end[middle % state[_SLOTS]] <= seq:
                low = middle + 1
            else:
                high = middle
        return low

    def probe(self):
        """Have the oldest entry under way sent again: its arrival will tell what was lost."""
        state = self._state
        number = state[_COMMIT]
        while number < state[_NEXT]:
            slot = number % state[_SLOTS]
            if self._sent[slot] > 0:
                self._sent[slot] = 0
                state[_FLIGHT] -= self.length(number)
                state[_LOST] += 1
                if number < state[_AGAIN]:
                    state[_AGAIN] = number
                return
            number += 1

    def take(self, window, out):
        """Copy the next frame to be sent into `out`; return its bytes, 0 when there is none.

        `window` bytes at most are under way; what was lost goes before what is new, so that the
        host can go on in order and the oldest is safe first.
        """
        state = self._state
        if state[_FLIGHT] >= window:
            return 0
        number = _find_unsent(state, self._sent)
        if number < 0:
            number = state[_NEXT]
            head = state[_HEAD]
            # After a rewind the host may name entries that had arrived before.
            while number < head and self._sent[number % state[_SLOTS]] == ARRIVED:
                number += 1
            state[_NEXT] = number
            if number >= head or number >= state[_COMMIT] + 8 * ACK_BITMAP_BYTES:
                return 0
            state[_NEXT] = number + 1
        sent = state[_SENT] + 1
        state[_SENT] = sent
        self._sent[number % state[_SLOTS]] = sent
        n = _copy(state, self._at, number, self._buf, out)
        state[_FLIGHT] += n
        return n

    def plain(self, number, out):
        """Write an entry as it was given to put() into `out`; return its bytes."""
        return _plain(self._state, self._at, number, self._buf, out)

    def copy(self, number, out):
        """Copy an entry's frame into `out`; return its bytes."""
        return _copy(self._state, self._at, number, self._buf, out)
