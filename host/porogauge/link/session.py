"""The host's side of the link, without any input or output of its own.

    session = HostSession(known)
    to_board = session.poll(now_s)  # at least every 20 ms
    for event in session.receive(from_board, now_s): ...  # also with b""
    session.commit(session.boot, session.next_seq)  # once the events are in the database

Times are seconds of any clock of the caller that does not go back, so that the bench can run a
session in virtual time. Records of a boot are told in order of their sequence, each once; what
will not come is told as a Gap. Only what was committed is acknowledged as stored: after any
interruption of either side the stream goes on from there.

What the board kept in its flash while no host was there is fetched besides (`fetch`).
Requests are repeated until they are answered; the board does each one once (`requests`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gauge import record
from gauge.link import codec, protocol

from . import console, events, wire
from .clock import ClockRelation
from .events import Body, Event, Hello
from .fetch import Fetch
from .inbox import Inbox
from .requests import Request, Requests

_CONNECT_S = 0.25  # between attempts to connect
_SILENCE_S = 1.6  # a board that streams is heard once a second
# An acknowledgement costs the board a millisecond: say much at once, but what is missing soon.
_ACK_S = 0.01  # shortest time between two
_ACK_LATE_S = 0.25  # what arrived in order is acknowledged after so long
_ACK_BYTES = 2048  # or so many bytes
_ALIVE_S = 0.9  # the board must hear something
_PING_S = 1.0
_PINGS_AT_START = 8  # quick ones, so that times are good at once
_PING_START_S = 0.1
_READ_S = 0.5

Ranges = Iterable[tuple[int, int]]
Fetched = Callable[[str], "int | None"]
Known = Callable[[str, int], "int | Ranges"] | Mapping["int | tuple[str, int]", int]


@dataclass(slots=True)
class Stats:
    """Counters of a session."""

    bytes_in: int = 0
    bytes_out: int = 0
    frames: int = 0
    bad_frames: int = 0
    payload_bytes: int = 0  # frames of batches that were new
    duplicates: int = 0  # batches that had arrived before
    connects: int = 0


class HostSession:
    """One board on one transport.

    `known(device, boot)` tells what the store has of a boot: the next sequence to be stored, or
    the ranges (first, last) that are settled (holes between them are asked for again). It may be
    a mapping from (device, boot) or boot to the next sequence. Without `stream` there are only
    requests and their answers; with `take_over` the stream is taken from another transport.
    `fetched(device)` tells how far the store has the entries of the board's flash journal: the
    number of the next one, None when it has none; without it they are not fetched. `first_id` of
    the requests is random, so that the board does not take a new host's request for a repeated
    one.
    """

    def __init__(
        self,
        known: Known | None = None,
        stream: bool = True,
        take_over: bool = False,
        fetched: Fetched | None = None,
        first_id: int | None = None,
    ) -> None:
        self.stream = stream
        self.take_over = take_over
        self.hello: Hello | None = None
        self.connected = False
        self.mismatch = ""  # why this board cannot be received
        self.busy = False  # it streams to somebody else
        self.clock = ClockRelation()
        self.stats = Stats()
        self._known = known
        self._buffer = bytearray()
        self._now = 0.0
        self._heard: float | None = None
        self._quiet_told = False
        self._connect_at = float("-inf")
        self._out = bytearray()
        self._events: list[Event] = []
        self._requests = Requests(secrets.randbelow(1 << 29) if first_id is None else first_id)
        self._pings: dict[int, float] = {}
        self._ping_at = float("-inf")
        self._pings_left = _PINGS_AT_START
        self._ack_at = float("-inf")  # the last one
        self._ack_by = float("inf")  # when the next one is due
        self._ack_bytes = 0  # what it would tell
        self._read_at = float("-inf")
        self.inbox = Inbox(self._events)
        self._fetched = fetched
        self._fetch = None if fetched is None else Fetch(self.request)

    @property
    def device(self) -> str:
        """Id of the device in hexadecimal; empty before it is known."""
        return self.inbox.device

    @property
    def boot(self) -> int:
        """Boot that the records are from."""
        return self.inbox.boot

    @property
    def next_seq(self) -> int:
        """All sequences of the boot before this one were told, as records or gaps."""
        return self.inbox.next_seq

    @property
    def newest_seq(self) -> int:
        """Newest sequence that the board has told of; -1: none."""
        return self.inbox.newest_seq

    # -- what the caller says -------------------------------------------------------------------

    def commit(self, boot: int, next_seq: int) -> None:
        """Everything before `next_seq` of that boot is stored for good: the board may forget it.

        Commit after the store has committed, and no further than what was told before.
        """
        if boot == self.boot and next_seq > self.inbox.stored_seq:
            self.inbox.commit(next_seq)
            self._ack_by = min(self._ack_by, self._now + _ACK_LATE_S)

    def commit_entries(self, device: str, number: int) -> None:
        """All entries of a device's flash journal before `number` are stored for good."""
        if self._fetch is not None:
            self._fetch.commit(device, number)

    @property
    def fetching(self) -> bool:
        """Whether the board has, or may have, entries in its flash that were not told yet."""
        return self.connected and self._fetch is not None and self._fetch.busy

    def request(
        self, op: int, payload: bytes = b"", timeout_s: float = 0.5, tries: int = 4
    ) -> Request:
        """Ask the board for something; it is sent with the next poll() and repeated.

        `timeout_s` is that of one try. Watch the result's `ended`.
        """
        return self._requests.add(op, payload, timeout_s, tries)

    def read(self, first: int, count: int) -> None:
        """Ask again for records that were told or given up before; they come as `replay`."""
        if count > 0:
            self.inbox.wanted.append([first, first + count - 1])
            self._read_at = float("-inf")

    def link_down(self) -> None:
        """The transport was lost: what is half received is worthless, connect anew."""
        self._buffer.clear()
        self._out.clear()
        self.connected = False
        self._connect_at = float("-inf")
        self._heard = None

    # -- receiving ------------------------------------------------------------------------------

    def receive(self, data: bytes, now_s: float) -> list[Event]:
        """Take in bytes from the board, or none; return what has happened since the last call."""
        self._now = now_s
        self.stats.bytes_in += len(data)
        self._buffer += data
        if b"\0" in data:
            *coded, rest = self._buffer.split(b"\0")
            self._buffer = bytearray(rest)
            for one in coded:
                if one:
                    self._segment(bytes(one))
        elif len(self._buffer) > 2 * protocol.FRAME_BYTES:
            # No frame is so long: text, or noise.
            self._say(console.text(bytes(self._buffer)))
            self._buffer.clear()
        elif self._buffer and not self.connected:
            lines, rest = console.split(bytes(self._buffer))  # a REPL sends no zeros
            self._say(lines)
            self._buffer = bytearray(rest)
        found = list(self._events)
        self._events.clear()  # the inbox appends to the same list
        return found

    def _say(self, lines: list[str]) -> None:
        self._events += [events.Console(line) for line in lines]

    def _segment(self, coded: bytes) -> None:
        """One piece of the stream between two zeros."""
        data = wire.decode(coded)
        if data is None:
            lines, rest = console.split(coded)
            self._say(lines)
            data = wire.decode(rest) if lines and rest else None
            if data is None:
                self.stats.bad_frames += bool(rest)
                return
        self.stats.frames += 1
        if self._frame(data, len(coded) + 1):
            self._heard = self._now
            self._quiet_told = False

    def _frame(self, data: bytes, size: int) -> bool:
        """Act on a frame; return whether it was one."""
        take = {
            protocol.HELLO: self._take_hello,
            protocol.DATA: self._take_data,
            protocol.GAP: self._take_gap,
            protocol.OVERWRITTEN: self._take_overwritten,
            protocol.LATEST: self._take_latest,
            protocol.HEARTBEAT: self._take_heartbeat,
            protocol.REPLY: self._take_reply,
            protocol.SERVED: self._take_reply,
        }.get(data[0])
        if take is None:
            return False
        try:
            take(data, size)
        except (ValueError, IndexError):
            self.stats.bad_frames += 1
            return False
        return True

    def _take_hello(self, data: bytes, _size: int) -> None:
        hello = events.hello_of(data)
        again = self.hello is not None and (hello.device, hello.boot) == (self.device, self.boot)
        self.hello = hello
        if not hello.same_layout:
            self._refuse(
                f"firmware {hello.firmware} of the board {hello.board} has record layout"
                f" {hello.layout.hex()} (protocol {hello.protocol}), this program has"
                f" {record.LAYOUT_HASH.hex()} ({protocol.VERSION}): flash or deploy the firmware"
                " that belongs to this program"
            )
            return
        if not again and not self._new_boot(hello):
            return
        self.mismatch = ""
        self.inbox.newest_seq = max(self.inbox.newest_seq, hello.next_seq - 1)
        if not self.stream:
            self._connect(again)
        elif not again:  # the second step: ask for the stream, from where the store ends
            self.connected = False
            self._connect_at = float("-inf")
        elif hello.flags & protocol.STREAMS_HERE:
            self.inbox.begin(hello.resume_batch)
            self._connect(again)
        elif hello.flags & protocol.STREAMS_ELSEWHERE and not self.take_over:
            if not self.busy:
                self._events.append(events.Busy(hello))
            self.busy = True
            self.connected = False
        else:
            self.connected = False

    def _connect(self, again: bool) -> None:
        self.busy = False
        self._ack_by = self._now
        if not self.connected:
            self.connected = True
            self.stats.connects += 1
            assert self.hello is not None
            self._events.append(events.Connected(self.hello, again and self.stats.connects > 1))
            if self._fetch is not None and self._fetched is not None:
                self._fetch.begin(self.device, self._fetched(self.device))

    def _refuse(self, text: str) -> None:
        assert self.hello is not None
        self.connected = False
        if self.mismatch != text:
            self._events.append(events.Mismatch(text, self.hello))
        self.mismatch = text

    def _new_boot(self, hello: Hello) -> bool:
        """Another boot, or another board: finish the old one, look up the new one."""
        next_seq, missing = self._look_up(hello.device, hello.boot)
        if next_seq > hello.next_seq:
            self._refuse(
                f"boot {hello.boot} of gauge {hello.device} has made {hello.next_seq} records,"
                f" but {next_seq} of it are stored: its boot counter has started again (flash"
                " erased?); use another database"
            )
            return False
        old = self.inbox
        if old.device and self.stream:
            old.end()
            if hello.device == old.device:
                self._events.append(
                    events.Restarted(old.device, old.boot, old.next_seq, hello.boot)
                )
        self.inbox = Inbox(self._events, hello.device, hello.boot, next_seq)
        self.inbox.wanted = missing
        self.clock.clear()
        self._pings.clear()
        self._pings_left = _PINGS_AT_START
        return True

    def _look_up(self, device: str, boot: int) -> tuple[int, list[list[int]]]:
        """Next sequence of a boot, and the holes before it."""
        known = self._known
        if known is None:
            return 0, []
        if isinstance(known, Mapping):
            return known.get((device, boot), known.get(boot, 0)), []
        found = known(device, boot)
        if isinstance(found, int):
            return found, []
        next_seq, holes = 0, []
        for first, last in sorted(found):
            if first > next_seq:
                holes.append([next_seq, first - 1])
            next_seq = max(next_seq, last + 1)
        return next_seq, holes

    # -- records --------------------------------------------------------------------------------

    def _ours(self, boot: int) -> bool:
        """Whether a frame belongs to the stream; if the board is another one, ask who it is."""
        if not self.stream or self.inbox.fresh:
            return False
        if boot != self.inbox.boot:
            self.connected = False
            return False
        return True

    def _take_data(self, data: bytes, size: int) -> None:
        body = Body(data)
        count, boot, batch = body.u8(), body.v(), body.v()
        if not self._ours(boot):
            return
        new = self.inbox.is_new(batch)
        self.stats.duplicates += not new
        if new or self.inbox.wanted:
            rows = codec.unpack(data, body.at, len(data), count)
            seqs = [row[record.SEQ] for row in rows]
            if seqs != sorted(set(seqs)):
                raise ValueError(f"records {seqs} are not in order")
            if new:
                self.stats.payload_bytes += size
                self.inbox.add(batch, rows)
            else:
                self.inbox.replay(rows)
        self._arrived(size if new else _ACK_BYTES)

    def _take_gap(self, data: bytes, size: int) -> None:
        body = Body(data)
        boot, batch, first, last, cause = body.v(), body.v(), body.v(), body.v(), body.u8()
        if self._ours(boot):
            if self.inbox.is_new(batch):
                self.inbox.add(batch, (first, last, cause))
            self._arrived(size)

    def _take_overwritten(self, data: bytes, _size: int) -> None:
        body = Body(data)
        boot, oldest_no, _first, last = body.v(), body.v(), body.v(), body.v()
        if self._ours(boot):
            self.inbox.overwritten(oldest_no, last)
            self._arrived(_ACK_BYTES)

    def _arrived(self, size: int) -> None:
        """Have the board told of `size` bytes more; at once when something is out of order."""
        self._ack_bytes += size
        soon = self._ack_bytes >= _ACK_BYTES or self.inbox.waits
        self._ack_by = min(self._ack_by, self._now + (0 if soon else _ACK_LATE_S))

    def _take_latest(self, data: bytes, _size: int) -> None:
        boot, values = events.latest_of(data)
        if self._ours(boot):
            self.inbox.newest_seq = max(self.inbox.newest_seq, values["seq"])
            self._events.append(events.Latest(self.device, boot, values))

    def _take_heartbeat(self, data: bytes, _size: int) -> None:
        body = Body(data)
        boot, oldest, next_seq, dropped = body.v(), body.v(), body.v(), body.v()
        clock_s = body.v() + body.v() / 1e6
        if not self._ours(boot):
            return
        self.inbox.newest_seq = max(self.inbox.newest_seq, next_seq - 1)
        self.inbox.forget(oldest)
        self._events.append(
            events.Heartbeat(self.device, boot, oldest, next_seq, dropped, clock_s)
        )

    def _take_reply(self, data: bytes, _size: int) -> None:
        body = Body(data)
        request_id, op, status = body.v(), body.u8(), body.u8()
        sent = self._pings.pop(request_id, None)
        if sent is not None:
            seconds, micros = wire.split_words(body.rest())[:2]
            self.clock.add(sent, self._now, seconds + micros / 1e6)
            return
        self._requests.answer(request_id, op, status, body.rest())

    # -- sending --------------------------------------------------------------------------------

    def poll(self, now_s: float) -> bytes:
        """Return the bytes that are to be sent now; call at least every 20 ms."""
        self._now = now_s
        if self.connected and self.stream and self._heard is not None:
            silence = now_s - self._heard
            if silence > _SILENCE_S:
                self.connected = False
                if not self._quiet_told:
                    self._quiet_told = True
                    self._events.append(events.Silent(silence))
        if not self.connected:
            if now_s - self._connect_at >= _CONNECT_S:
                self._connect_at = now_s
                self._send_connect()
        elif self.stream:
            self._poll_stream(now_s)
        if self.hello is not None:
            if self._fetch is not None and self.connected and self.stream:
                self._events += self._fetch.poll(now_s)
            self._out += self._requests.due(now_s)
            if self.connected:
                self._poll_ping(now_s)
        out = bytes(self._out)
        self._out.clear()
        self.stats.bytes_out += len(out)
        return out

    def _send(self, kind: int, body: bytes) -> None:
        self._out += wire.encode(kind, body)

    def _send_connect(self) -> None:
        """Who are you? And, once that is known: send me records from here on."""
        flags = 0
        if self.stream and self.device and not self.mismatch:
            flags = protocol.WANTS_STREAM | (protocol.TAKES_OVER if self.take_over else 0)
        position = wire.varint(self.boot) + wire.varint(self.inbox.stored_seq)
        self._out.append(0)  # ends whatever half frame the board may have
        self._send(protocol.CONNECT, bytes([flags]) + record.LAYOUT_HASH + position)

    def _poll_stream(self, now_s: float) -> None:
        since = now_s - self._ack_at
        if since >= _ALIVE_S or (now_s >= self._ack_by and since >= _ACK_S):
            self._ack_at = now_s
            self._ack_by = float("inf")
            self._ack_bytes = 0
            self._send(protocol.ACK, self.inbox.position())
        wanted = self.inbox.wanted
        if wanted and now_s - self._read_at >= _READ_S:
            self._read_at = now_s
            first, last = min(wanted)
            body = wire.varint(self.boot) + wire.varint(first) + wire.varint(last - first + 1)
            self._send(protocol.READ, body)

    def _poll_ping(self, now_s: float) -> None:
        every = _PING_START_S if self._pings_left else _PING_S
        if now_s - self._ping_at >= every:
            self._pings_left = max(0, self._pings_left - 1)
            self._ping_at = now_s
            if len(self._pings) > 8:
                self._pings.clear()  # unanswered ones
            ping = self._requests.new_id()
            self._pings[ping] = now_s
            self._send(protocol.REQUEST, wire.varint(ping) + bytes([protocol.PING]))
