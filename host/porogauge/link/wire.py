"""Frames at the host's speed: the same bytes as `gauge.link.frame`, out of C functions.

>>> decode(encode(protocol.CONNECT, b"abc")[:-1])[0] == protocol.CONNECT
True
"""

from __future__ import annotations

from binascii import crc32

from gauge.link import protocol

_CONTROL = frozenset(b"\1\2\3\4\5")  # keys of the REPL: Ctrl-C stops a program
_INTERRUPT = frozenset(b"\3")


def _seed(kind: int) -> int:
    return protocol.LAYOUT_SEED if kind & protocol.OF_LAYOUT else protocol.PROTOCOL_SEED


def cobs(data: bytes) -> bytes:
    """`data` without zeros, and the zero that ends a frame."""
    out = bytearray()
    for part in data.split(b"\0"):
        while len(part) >= 254:
            out.append(255)
            out += part[:254]
            part = part[254:]
        out.append(len(part) + 1)
        out += part
    out.append(0)
    return bytes(out)


def encode(kind: int, body: bytes) -> bytes:
    """A frame to the board, ready to be sent.

    The salt is chosen so that no byte is a control character of the REPL: a board that is not
    (yet) running the gauge must not be stopped by what a logger says to it. Raises ValueError
    when the body is longer than the board can take.
    """
    if len(body) + 6 > protocol.TO_BOARD_BYTES:
        raise ValueError(f"{len(body)} bytes are too long for the board")
    fallback = None
    for salt in range(256):
        data = bytes([kind, salt]) + bytes([byte ^ salt for byte in body])
        coded = cobs(data + crc32(data, _seed(kind)).to_bytes(4, "little"))
        if _CONTROL.isdisjoint(coded):
            return coded
        if fallback is None and _INTERRUPT.isdisjoint(coded):
            fallback = coded
    return fallback or coded


def decode(coded: bytes) -> bytes | None:
    """Type and body of a received frame (without its zero), or None when it is damaged."""
    out = bytearray()
    at, n = 0, len(coded)
    while at < n:
        code = coded[at]
        end = at + code
        if code == 0 or end > n:
            return None
        out += coded[at + 1 : end]
        if code < 255 and end < n:
            out.append(0)
        at = end
    return checked(bytes(out))


def checked(frame: bytes) -> bytes | None:
    """Type and body of a frame without its coding, or None when its checksum is another.

    It is another as well when the frame is of another record layout.
    """
    if len(frame) < 5:
        return None
    data, crc = frame[:-4], frame[-4:]
    return data if crc32(data, _seed(data[0])).to_bytes(4, "little") == crc else None


def varint(value: int) -> bytes:
    """An unsigned varint."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def words(*values: int) -> bytes:
    """Signed 32-bit words, as the payloads of requests have them."""
    return b"".join(value.to_bytes(4, "little", signed=True) for value in values)


def split_words(payload: bytes) -> list[int]:
    """The words of a payload; bytes that are left over are not looked at."""
    whole = len(payload) & ~3
    return [
        int.from_bytes(payload[at : at + 4], "little", signed=True) for at in range(0, whole, 4)
    ]
