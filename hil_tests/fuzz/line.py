"""Valid frames of both directions: what a board and a host say to each other in a short talk."""

from __future__ import annotations

import functools
import sys
from array import array
from binascii import crc32
from pathlib import Path

from gauge import config, health, record
from gauge.link import protocol
from gauge.link.commands import ConfigTransfer
from porogauge.link import wire
from porogauge.recipe import compile_words, standard_calibration, standard_recipe

sys.path.append(str(Path(__file__).parents[2] / "firmware" / "tests"))

import plausible  # noqa: E402
from link_pair import ID as DEVICE  # noqa: E402
from link_pair import Pair  # noqa: E402

__all__ = ["DEVICE", "board_frames", "board_talk", "host_frames", "seal", "standard_blob"]


def seal(data: bytes) -> bytes:
    """Type and body with the CRC that belongs to them."""
    seed = protocol.LAYOUT_SEED if data[0] & protocol.OF_LAYOUT else protocol.PROTOCOL_SEED
    return data + crc32(data, seed).to_bytes(4, "little")


@functools.cache
def standard_blob() -> bytes:
    """The configuration of the standard head and recipe."""
    return config.pack(compile_words(standard_recipe(), standard_calibration()))


def _handle(op, request, reply):
    if op == protocol.STATUS:
        words = health.new(health.STATUS_NAMES)
        reply.words(words, len(words))
        return protocol.OK
    if op == protocol.ACKNOWLEDGE:
        reply.word(request.word(0))
        return protocol.OK
    return protocol.UNKNOWN


@functools.cache
def board_talk() -> list[bytes]:
    """Frames of a board as they came, decoded, CRC and all; the first are HELLO."""
    pair = Pair(handler=_handle, config=ConfigTransfer(4096, standard_blob, lambda blob: None))
    kept = bytearray()
    take = pair.wire.receive
    pair.wire.receive = lambda limit=1 << 30: kept.extend(data := take(limit)) or data
    rows = plausible.rows(60)
    for row in rows[:20]:
        pair.board.append(array("i", row))
    pair.run(0.4)
    for row in rows[20:30]:
        pair.board.append(array("i", row))
    pair.board.gap(30, 34, protocol.GAP_BOARD_RESTART)
    for row in rows[35:]:
        words = array("i", row)
        words[record.FLAGS] = words[record.SEQ] & 3
        pair.board.append(words)
        pair.run(0.011, 0.0055)
    for op, payload in _requests():
        pair.host.request(op, payload)
    pair.run(1.5)
    pair.board.ring.lost_from, pair.board.ring.lost_to = 40, 44  # told as overwritten
    pair.board._lost_due = True
    pair.run(0.1)
    parts = dict.fromkeys(bytes(part) for part in bytes(kept).split(b"\0") if part)
    return [seal(data) for part in parts if (data := wire.decode(part)) is not None]


@functools.cache
def board_frames() -> list[bytes]:
    """A few frames of each kind."""
    few: dict[int, list[bytes]] = {}
    for frame in board_talk():
        few.setdefault(frame[0], []).append(frame)
    return [frame for frames in few.values() for frame in frames[:3] + frames[-3:]]


def _requests() -> list[tuple[int, bytes]]:
    """Every operation with a payload that is right for it."""
    blob = standard_blob()
    check = wire.words(len(blob)) + crc32(blob).to_bytes(4, "little")
    own = {
        protocol.ACKNOWLEDGE: wire.words(-1),
        protocol.CONFIG_WRITE: wire.words(0) + blob[:200],
        protocol.CONFIG_COMMIT: check,
        protocol.CONFIG_READ: wire.words(0, 200),
        protocol.WHY: wire.words(1),
    }
    return [(op, own.get(op, b"")) for op in sorted(protocol.OP_NAMES)]


@functools.cache
def host_frames() -> list[tuple[int, bytes]]:
    """Type and body (without salt) of frames to a board; CONNECT comes first."""
    v = wire.varint
    layout = record.LAYOUT_HASH
    frames = [
        (protocol.CONNECT, bytes([flags]) + layout + v(7) + v(seq))
        for flags, seq in ((1, 0), (3, 0), (1, 9), (0, 0))
    ]
    for stored, base, bits in ((0, 0, b""), (3, 1, b"\5"), (8, 2, b"\xff\1"), (16, 3, b"")):
        frames.append((protocol.ACK, v(7) + v(stored) + v(base) + bits))
    frames += [(protocol.READ, v(7) + v(first) + v(n)) for first, n in ((0, 5), (8, 30))]
    for number, (op, payload) in enumerate(_requests(), 1):
        kind = protocol.SERVICE if protocol.is_service(op) else protocol.REQUEST
        frames.append((kind, v(number) + bytes([op]) + payload))
    blob = standard_blob()
    for number, at in enumerate(range(0, len(blob), 200), 100):
        payload = wire.words(at) + blob[at : at + 200]
        frames.append((protocol.REQUEST, v(number) + bytes([protocol.CONFIG_WRITE]) + payload))
    return frames
