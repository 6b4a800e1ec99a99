"""Records and numbers as bytes (pure; encoding allocates nothing).

Records travel in batches that stand alone: every record is the difference to the one before it,
the first one to zeros. Before that, what the other words of the record foretell is taken off
(`_predict`): a laser's sum, least, largest and last time follow from its first and last value, the
second laser mirrors the first when the web flutters. What remains is mostly one or two bytes.

One record:
    u8    bit j: byte j of the bit map differs from that of the record before
    u8... those bytes of the bit map; bit k of the map: word k differs
    z...  a zigzag varint for each word that differs

All arithmetic is modulo 2**32, so that any words come back unchanged. On the board viper words
wrap of themselves; `(x + HALF & ALL) - HALF` does the same on a desk and nothing on the board.
"""

import micropython

from gauge import record

N = record.N_FIELDS
MAP_BYTES = (N + 7) // 8  # at most 8: one byte says which of them differ
LONGEST_RECORD = 1 + MAP_BYTES + 5 * N

# The indices that _predict and its inverse are written with.
record.expect(SEQ=0, T_US=2, DT_US=3, CAP_CODE=14)
record.expect(A_N=15, A_SUM=16, A_FIRST=17, A_LAST=18, A_T_FIRST_US=19, A_T_LAST_US=20)
record.expect(A_T_SUM_US=21, A_MIN=22, A_MAX=23)
record.expect(B_N=28, B_SUM=29, B_FIRST=30, B_LAST=31, B_T_FIRST_US=32, B_MAX=36)


@micropython.viper
def _predict(rec: ptr32, out: ptr32, n: int, c_af: int):
    """Write the words of `rec` to `out`, less what the other words foretell."""
    ALL = int(0xFFFFFFFF)
    HALF = int(0x80000000)
    i = 0
    while i < n:
        out[i] = rec[i]
        i += 1
    out[c_af] = ((rec[c_af] - (rec[14] >> 1) + HALF) & ALL) - HALF
    at = 15
    while at <= 28:
        count = rec[at]
        first = rec[at + 2]
        last = rec[at + 3]
        guess = ((count * (first + last) + HALF) & ALL) - HALF
        out[at + 1] = ((rec[at + 1] - (guess >> 1) + HALF) & ALL) - HALF
        low = first
        high = last
        if last < first:
            low = last
            high = first
        out[at + 7] = ((low - rec[at + 7] + HALF) & ALL) - HALF
        out[at + 8] = ((rec[at + 8] - high + HALF) & ALL) - HALF
        first = rec[at + 4]
        last = rec[at + 5]
        guess = ((count * (first + last) + HALF) & ALL) - HALF
        out[at + 6] = ((rec[at + 6] - (guess >> 1) + HALF) & ALL) - HALF
        out[at + 5] = ((last - first - 250 * count + HALF) & ALL) - HALF
        at += 13
    out[29] = ((out[29] + out[16] + HALF) & ALL) - HALF
    out[30] = ((rec[30] + rec[17] + HALF) & ALL) - HALF
    out[31] = ((rec[31] + rec[18] + HALF) & ALL) - HALF
    out[32] = ((rec[32] - rec[19] + HALF) & ALL) - HALF


@micropython.viper
def _restore(out: ptr32, rec: ptr32, n: int, c_af: int):
    """Undo _predict: write the words of a record to `rec`."""
    ALL = int(0xFFFFFFFF)
    HALF = int(0x80000000)
    i = 0
    while i < n:
        rec[i] = out[i]
        i += 1
    rec[c_af] = ((out[c_af] + (rec[14] >> 1) + HALF) & ALL) - HALF
    rec[29] = ((out[29] - out[16] + HALF) & ALL) - HALF
    rec[30] = ((out[30] - out[17] + HALF) & ALL) - HALF
    rec[31] = ((out[31] - out[18] + HALF) & ALL) - HALF
    rec[32] = ((out[32] + out[19] + HALF) & ALL) - HALF
    at = 15
    while at <= 28:
        count = rec[at]
        first = rec[at + 2]
        last = rec[at + 3]
        guess = ((count * (first + last) + HALF) & ALL) - HALF
        rec[at + 1] = ((rec[at + 1] + (guess >> 1) + HALF) & ALL) - HALF
        low = first
        high = last
        if last < first:
            low = last
            high = first
        rec[at + 7] = ((low - rec[at + 7] + HALF) & ALL) - HALF
        rec[at + 8] = ((rec[at + 8] + high + HALF) & ALL) - HALF
        first = rec[at + 4]
        last = ((rec[at + 5] + first + 250 * count + HALF) & ALL) - HALF
        rec[at + 5] = last
        guess = ((count * (first + last) + HALF) & ALL) - HALF
        rec[at + 6] = ((rec[at + 6] + (guess >> 1) + HALF) & ALL) - HALF
        at += 13


@micropython.viper
def _differences(new: ptr32, old: ptr32, n: int, maps: ptr8, out: ptr8, at: int) -> int:
    """Write one record's bit map and differences at `at`; return the index behind them.

    `old` becomes `new`; `maps` has the bit map of the record before and becomes that of this one.
    """
    ALL = int(0xFFFFFFFF)
    HALF = int(0x80000000)
    old[2] = ((old[2] + new[3] + HALF) & ALL) - HALF  # time goes on by the window's length
    changed_at = at
    changed = 0
    at += 1
    k = 0
    part = 0
    while k < n:
        byte = 0
        bit = 1
        while bit < 256 and k < n:
            if new[k] != old[k]:
                byte |= bit
            bit <<= 1
            k += 1
        if byte != maps[part]:
            maps[part] = byte
            out[at] = byte
            at += 1
            changed |= 1 << part
        part += 1
    out[changed_at] = changed
    k = 0
    while k < n:
        word = new[k]
        if word != old[k]:
            d = ((word - old[k] + HALF) & ALL) - HALF
            old[k] = word
            d = ((d << 1) ^ (d >> 31)) & ALL
            while d & -128:
                out[at] = (d & 127) | 128
                at += 1
                d = (d >> 7) & 0x01FFFFFF
            out[at] = d
            at += 1
        k += 1
    return at


@micropython.viper
def _add_differences(old: ptr32, n: int, maps: ptr8, buf: ptr8, at: int, end: int) -> int:
    """Undo _differences: `old` becomes the new words; return the index behind them, or -1."""
    ALL = int(0xFFFFFFFF)
    HALF = int(0x80000000)
    if at >= end:
        return -1
    changed = buf[at]
    at += 1
    part = 0
    while changed:
        if changed & 1:
            if at >= end or 8 * part >= n:
                return -1
            maps[part] = buf[at]
            at += 1
        changed >>= 1
        part += 1
    k = 0
    byte = 0
    while k < n:
        if k & 7 == 0:
            byte = maps[k >> 3]
        if byte & 1:
            value = 0
            shift = 0
            part = 128
            while part & 128:
                if at >= end or shift > 28:
                    return -1
                part = buf[at]
                at += 1
                value |= (part & 127) << shift
                shift += 7
            value = ((value + HALF) & ALL) - HALF
            d = ((value >> 1) & int(0x7FFFFFFF)) ^ (0 - (value & 1))
            old[k] = ((old[k] + d + HALF) & ALL) - HALF
        byte >>= 1
        k += 1
    old[2] = ((old[2] + old[3] + HALF) & ALL) - HALF
    return at


@micropython.viper
def _clear(words: ptr32, n: int, maps: ptr8, n_maps: int):
    i = 0
    while i < n:
        words[i] = 0
        i += 1
    i = 0
    while i < n_maps:
        maps[i] = 0
        i += 1


class Packer:
    """Encodes the records of one batch after the other; `begin()` starts a batch."""

    def __init__(self):
        self._words = record.new()
        self._before = record.new()
        self._maps = bytearray(MAP_BYTES)

    def begin(self):
        """Start a batch: the next record does not refer to those before."""
        _clear(self._before, N, self._maps, MAP_BYTES)

    def add(self, rec, out, at):
        """Write a record at index `at` (LONGEST_RECORD bytes must be free); return the end."""
        _predict(rec, self._words, N, record.C_AF)
        return _differences(self._words, self._before, N, self._maps, out, at)


def unpack(buf, at, end, count):
    """Return the `count` records in buf[at:end] as a list of tuples.

    Raises ValueError when the bytes are not exactly that.
    """
    words = record.new()
    rec = record.new()
    maps = bytearray(MAP_BYTES)
    rows = []
    for _ in range(count):
        at = _add_differences(words, N, maps, buf, at, end)
        if at < 0:
            raise ValueError("batch ends within a record")
        _restore(words, rec, N, record.C_AF)
        rows.append(tuple(rec))
    if at != end:
        raise ValueError("batch has %d bytes too many" % (end - at))
    return rows


# Single numbers. A cursor is an array('i', [index, end]) that moves on with every number read; an
# index beyond the end says that the bytes were too short.


@micropython.viper
def put_v(out: ptr8, at: int, value: int) -> int:
    """Write an unsigned varint (0..2**31-1); return the index behind it."""
    while value & -128:
        out[at] = (value & 127) | 128
        at += 1
        value = (value >> 7) & 0x01FFFFFF
    out[at] = value
    return at + 1


@micropython.viper
def get_v(buf: ptr8, cursor: ptr32) -> int:
    """Return an unsigned varint below 2**30, or -1 (and no end) when there is none."""
    at = cursor[0]
    end = cursor[1]
    value = 0
    shift = 0
    part = 128
    while part & 128:
        if at >= end or shift > 28:
            cursor[0] = end + 1
            return -1
        part = buf[at]
        at += 1
        if shift == 28 and part > 3:
            cursor[0] = end + 1
            return -1
        value |= (part & 127) << shift
        shift += 7
    cursor[0] = at
    return value


@micropython.viper
def put_i(out: ptr8, at: int, value: int) -> int:
    """Write a signed 32-bit word, little-endian; return the index behind it."""
    i = 0
    while i < 4:
        out[at] = value & 255
        value >>= 8
        at += 1
        i += 1
    return at


@micropython.viper
def get_i(buf: ptr8, at: int) -> int:
    """Return the signed 32-bit word at an index."""
    high = buf[at + 3]
    high = high - ((high & 128) << 1)
    return (high << 24) | (buf[at + 2] << 16) | (buf[at + 1] << 8) | buf[at]


@micropython.viper
def put_bytes(out: ptr8, at: int, data: ptr8, start: int, n: int) -> int:
    """Write `n` bytes of `data` from index `start` on; return the index behind them."""
    i = 0
    while i < n:
        out[at + i] = data[start + i]
        i += 1
    return at + n


@micropython.viper
def put_words(out: ptr8, at: int, words: ptr32, first: int, n: int) -> int:
    """Write `n` words of an array from `first` on, little-endian; return the index behind them."""
    i = first
    while i < first + n:
        word = words[i]
        out[at] = word & 0xFF
        out[at + 1] = (word >> 8) & 0xFF
        out[at + 2] = (word >> 16) & 0xFF
        out[at + 3] = (word >> 24) & 0xFF
        at += 4
        i += 1
    return at


@micropython.viper
def put_fields(rec: ptr32, fields: ptr8, n: int, out: ptr8, at: int) -> int:
    """Write the words of a record whose indices are in `fields` as zigzag varints."""
    ALL = int(0xFFFFFFFF)
    i = 0
    while i < n:
        word = rec[fields[i]]
        word = ((word << 1) ^ (word >> 31)) & ALL
        while word & -128:
            out[at] = (word & 127) | 128
            at += 1
            word = (word >> 7) & 0x01FFFFFF
        out[at] = word
        at += 1
        i += 1
    return at


def get_fields(buf, at, end, n):
    """Return the `n` zigzag varints in buf[at:end] as a tuple; ValueError when it is not so."""
    words = []
    for _ in range(n):
        value = shift = 0
        part = 128
        while part & 128:
            if at >= end or shift > 28:
                raise ValueError("fields end early")
            part = buf[at]
            at += 1
            value |= (part & 127) << shift
            shift += 7
        words.append((value >> 1) ^ -(value & 1))
    if at != end:
        raise ValueError("fields have %d bytes too many" % (end - at))
    return tuple(words)
