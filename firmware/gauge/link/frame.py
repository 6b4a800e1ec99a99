"""Frames on the wire: COBS with a zero at the end, and a CRC32 inside (pure, no allocation).

A frame is `COBS(type, body, CRC32 little-endian) + 0x00`. COBS takes the zeros out at the cost of
one byte in 254, so that a receiver finds the next frame after any damage. The CRC is that of
`binascii.crc32`, with a seed that depends on the type (`gauge.link.protocol`); it is computed
here, because the module's result is an int of 32 bits, which would be allocated.

    >>> buf, wire = bytearray(64), bytearray(64)
    >>> buf[0] = protocol.HEARTBEAT
    >>> n = seal(buf, 1)  # 5: the type and its CRC
    >>> end = cobs(buf, n, wire, 0, len(wire))  # 7: wire[:7] is sent
    >>> state = receiver()
    >>> feed(wire, 0, end, buf, state), result(state), intact(buf, 5)
    (7, 5, True)

Indices and sizes are in bytes. Nothing checks bounds: callers reserve `longest(n)`.
"""

from array import array

import micropython

from gauge.link import protocol

CRC_BYTES = 4


def _table():
    """Return the CRC's table for a byte at a time: 1 KiB, twice as fast as 64 bytes of nibbles."""
    table = array("I", range(256))
    for index in range(256):
        crc = index
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
        table[index] = crc
    return table


TABLE = _table()  # of CRC32
# A CRC starts from its inverted seed.
PROTOCOL_START = protocol.PROTOCOL_SEED ^ 0xFFFFFFFF
_LAYOUT_START = protocol.LAYOUT_SEED ^ 0xFFFFFFFF


def longest(n):
    """Return how many bytes `n` bytes can take on the wire, the zero included."""
    return n + n // 254 + 2


@micropython.viper
def _crc(buf: ptr8, n: int, start: int, table: ptr32) -> int:
    """Compare the CRC of `n` bytes with the 4 behind them, write it there, return 1 when equal."""
    crc = start
    i = 0
    while i < n:
        crc = ((crc >> 8) & 0x00FFFFFF) ^ table[(crc ^ buf[i]) & 255]
        i += 1
    same = 1
    i = 0
    while i < 4:
        byte = (crc & 255) ^ 255
        if buf[n + i] != byte:
            same = 0
            buf[n + i] = byte
        crc >>= 8
        i += 1
    return same


def seal(buf, n):
    """Append the CRC to the `n` bytes (type and body) in `buf`; return the new length."""
    _crc(buf, n, _LAYOUT_START if buf[0] & protocol.OF_LAYOUT else PROTOCOL_START, TABLE)
    return n + CRC_BYTES


def intact(buf, n):
    """Return whether `buf` begins with `n` bytes whose last four are the CRC of the others.

    The CRC of a damaged frame is overwritten by the right one, so ask once.
    """
    n -= CRC_BYTES
    if n < 1:
        return False
    start = _LAYOUT_START if buf[0] & protocol.OF_LAYOUT else PROTOCOL_START
    return bool(_crc(buf, n, start, TABLE))


@micropython.viper
def cobs(src: ptr8, n: int, out: ptr8, at: int, size: int) -> int:
    """Write `n` bytes of `src` as a frame into the ring `out` of `size` bytes, from index `at`.

    Returns the index behind the frame's zero, wrapped to the ring.
    """
    code_at = at
    at += 1
    if at == size:
        at = 0
    code = 1
    i = 0
    while i < n:
        byte = src[i]
        i += 1
        if byte:
            out[at] = byte
            at += 1
            if at == size:
                at = 0
            code += 1
            if code < 255:
                continue
        out[code_at] = code
        code_at = at
        code = 1
        at += 1
        if at == size:
            at = 0
    out[code_at] = code
    out[at] = 0
    at += 1
    if at == size:
        at = 0
    return at


def receiver():
    """Return the state of a receiver, one per transport: four words.

    0: bytes decoded so far; 1: bytes that follow in the present block; 2: first byte of the
    present block, 0 before a frame; 3: result of the last feed().
    """
    return array("i", bytes(16))


@micropython.viper
def _feed(src: ptr8, at: int, n: int, out: ptr8, size: int, state: ptr32) -> int:
    length = state[0]
    left = state[1]
    code = state[2]
    state[3] = 0
    while at < n:
        byte = src[at]
        at += 1
        if byte == 0:
            if code:
                state[3] = length
                if left or length == 0 or length > size:
                    state[3] = -1
                length = 0
                left = 0
                code = 0
                break
            continue
        if left == 0:
            if code and code != 255:
                if length < size:
                    out[length] = 0
                length += 1
            code = byte
            left = byte - 1
        else:
            if length < size:
                out[length] = byte
            length += 1
            left -= 1
        if length > size:
            length = size + 1
    state[0] = length
    state[1] = left
    state[2] = code
    return at


def feed(src, at, n, out, state):
    """Decode received bytes `src[at:n]` into `out`, up to the end of a frame at most.

    Returns the index behind what was used. `result(state)` then tells whether a frame is there.
    """
    return _feed(src, at, n, out, len(out), state)


def result(state):
    """Return the length of the frame that feed() completed, 0: none yet, -1: a broken one."""
    return state[3]


@micropython.viper
def move(src: ptr8, at: int, size: int, out: ptr8, n: int):
    """Copy `n` bytes from index `at` of the ring `src` of `size` bytes to the start of `out`.

    With `src` and `out` the same and `size` its length, what follows `at` moves to the front.
    """
    i = 0
    while i < n:
        out[i] = src[at]
        at += 1
        if at == size:
            at = 0
        i += 1


@micropython.viper
def unsalt(buf: ptr8, n: int):
    """Take the salt (second byte) off the body that follows it in the `n` bytes of `buf`."""
    salt = buf[1]
    i = 2
    while i < n:
        buf[i] = buf[i] ^ salt
        i += 1
