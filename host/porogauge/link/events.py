"""What a session tells its caller: immutable values, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gauge import record
from gauge.link import codec, protocol

Row = tuple[int, ...]  # one word per gauge.record.FIELD_NAMES


@dataclass(frozen=True, slots=True)
class Hello:
    """Who the board is. `device` is its id in hexadecimal; clock in seconds since boot."""

    protocol: int
    layout: bytes
    device: str
    boot: int
    board: str
    firmware: str
    oldest: int  # oldest sequence that the board still has
    next_seq: int  # sequence of the next record
    ring_bytes: int
    clock_s: float
    config_crc: bytes  # CRC32 of the configuration in force; zeros: none
    recipe_id: int
    calibration_id: int
    resume_batch: int  # first batch of the stream that follows
    flags: int  # of gauge.link.protocol
    keys: int = 0  # bit per role of protocol.ROLE_NAMES that has a key
    version: int = 0  # index into protocol.VERSION_NAMES: where the running one lies
    trial: int = 0  # index into protocol.TRIAL_NAMES

    @property
    def same_layout(self) -> bool:
        """Whether board and host agree about protocol and record."""
        return self.protocol == protocol.VERSION and self.layout == record.LAYOUT_HASH


@dataclass(frozen=True, slots=True)
class Connected:
    """A board answered; with a stream, records follow. `resumed`: the same boot as before."""

    hello: Hello
    resumed: bool


@dataclass(frozen=True, slots=True)
class Records:
    """Records in order of their sequence, each told once; `replay`: asked for with read()."""

    device: str
    boot: int
    rows: list[Row]
    replay: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """The sequences `first` to `last` will not come; `cause` is one of protocol.GAP_NAMES."""

    device: str
    boot: int
    first: int
    last: int
    cause: str


@dataclass(frozen=True, slots=True)
class Latest:
    """Newest values at once; `values` has protocol.LATEST_FIELDS. Records follow in any case."""

    device: str
    boot: int
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Once a second: what the board has; `dropped` records were overwritten unseen since boot."""

    device: str
    boot: int
    oldest: int
    next_seq: int
    dropped: int
    clock_s: float


@dataclass(frozen=True, slots=True)
class Restarted:
    """The board started anew. What boot `old_boot` made from `next_seq` on has not arrived.

    As far as the board had told of such records, a Gap precedes this.
    """

    device: str
    old_boot: int
    next_seq: int
    boot: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Nothing can be received from this board: the text says why, and what to do."""

    text: str
    hello: Hello


@dataclass(frozen=True, slots=True)
class Busy:
    """The board streams to another host over another transport."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the board's flash journal; `kind` indexes gauge.journal.KIND_NAMES."""

    number: int  # over all boots
    boot: int  # in which it was written
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of the flash journal, by ascending number, each told once."""

    device: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class EntriesLost:
    """The entries `first` to `last` will not come; `cause` is one of these:

    erased      to make room, or because another host has stored them
    cut_off     by a loss of power, while they were written
    unreadable  the board refuses to read them
    """

    device: str
    first: int
    last: int
    cause: str


@dataclass(frozen=True, slots=True)
class Console:
    """A line of text that was not from the link: a banner, or a traceback of the board."""

    line: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing was heard for so many seconds; the session tries to connect again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The port was lost (told by the client)."""

    text: str


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The port is open again (told by the client)."""


Event = (
    Connected
    | Records
    | Gap
    | Latest
    | Heartbeat
    | Restarted
    | Mismatch
    | Busy
    | Entries
    | EntriesLost
    | Console
    | Silent
    | LinkDown
    | LinkUp
)


class Body:
    """Reads the body of a frame from front to back; ValueError when it ends early."""

    def __init__(self, data: bytes, at: int = 1) -> None:
        self._data = data
        self.at = at

    def take(self, n: int) -> bytes:
        """The next `n` bytes."""
        found = self._data[self.at : self.at + n]
        if len(found) < n:
            raise ValueError("frame ends early")
        self.at += n
        return found

    def u8(self) -> int:
        return self.take(1)[0]

    def v(self) -> int:
        """An unsigned varint, below 2**31."""
        value = shift = 0
        part = 128
        while part & 128:
            part = self.u8()
            value |= (part & 127) << shift
            shift += 7
            if value >= 1 << 31:
                raise ValueError("number of more than 31 bits")
        return value

    def text(self) -> str:
        return self.take(self.u8()).decode("utf-8", "replace")

    def rest(self) -> bytes:
        found = self._data[self.at :]
        self.at = len(self._data)
        return found


def hello_of(data: bytes) -> Hello:
    """The contents of a HELLO frame (type included); what a newer board appends is ignored."""
    body = Body(data)
    version, layout, device, flags = body.u8(), body.take(4), body.take(8), body.u8()
    boot, resume, oldest, next_seq, ring = (body.v() for _ in range(5))
    clock_s = body.v() + body.v() / 1e6
    crc, recipe, calibration = body.take(4), body.v(), body.v()
    board, firmware = body.text(), body.text()
    appended = (*body.rest(), 0, 0, 0)  # a board of before says none of these
    return Hello(
        protocol=version,
        layout=layout,
        device=device.hex(),
        boot=boot,
        board=board,
        firmware=firmware,
        oldest=oldest,
        next_seq=next_seq,
        ring_bytes=ring,
        clock_s=clock_s,
        config_crc=crc,
        recipe_id=recipe,
        calibration_id=calibration,
        resume_batch=resume,
        flags=flags,
        keys=appended[0],
        version=appended[1],
        trial=appended[2],
    )


def latest_of(data: bytes) -> tuple[int, dict[str, int]]:
    """Boot and values of a LATEST frame."""
    body = Body(data)
    boot = body.v()
    words = codec.get_fields(data, body.at, len(data), len(protocol.LATEST_FIELDS))
    return boot, dict(zip(protocol.LATEST_FIELDS, words, strict=True))
