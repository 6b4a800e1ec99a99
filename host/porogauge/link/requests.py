"""Requests under way: each is repeated until it is answered, and the board does it once."""

from __future__ import annotations

from dataclasses import dataclass

from gauge.link import protocol

from . import wire


@dataclass(slots=True)
class Request:
    """A command under way; `done` with a status, or `expired` without an answer."""

    id: int
    op: int
    payload: bytes
    timeout_s: float
    tries: int
    done: bool = False
    expired: bool = False
    status: int | None = None
    reply: bytes = b""
    sent: int = 0
    order: int = 0  # among the requests that were sent
    next_s: float = 0.0

    @property
    def ended(self) -> bool:
        return self.done or self.expired

    @property
    def text(self) -> str:
        """Why it was not done."""
        if self.expired:
            return f"no answer to {protocol.OP_NAMES.get(self.op, self.op)}"
        if self.status:
            general = protocol.STATUS_TEXTS[min(self.status, len(protocol.STATUS_TEXTS) - 1)]
            said = self.reply.decode("utf-8", "replace")
            return f"{general}: {said}" if said else general
        return ""


class Requests:
    """All requests of a session. Ids go on from `first_id`, below 2**30."""

    def __init__(self, first_id: int) -> None:
        self._next_id = first_id
        self._waiting: dict[int, Request] = {}
        self._asked = 0  # requests that were sent for the first time

    def new_id(self) -> int:
        """An id that was not used before."""
        self._next_id = (self._next_id + 1) & ((1 << 30) - 1)
        return self._next_id

    def add(self, op: int, payload: bytes, timeout_s: float, tries: int) -> Request:
        """Take in a request; `due` gives its frame."""
        found = Request(self.new_id(), op, bytes(payload), timeout_s, tries)
        self._waiting[found.id] = found
        return found

    def answer(self, request_id: int, op: int, status: int, reply: bytes) -> None:
        """The board answered; what was not asked, or was answered before, is passed over."""
        request = self._waiting.get(request_id)
        if request is not None and request.op == op:
            del self._waiting[request_id]
            request.status = status
            request.reply = reply
            request.done = True

    def due(self, now_s: float) -> bytes:
        """Frames that are to be sent now."""
        out = b""
        # The board remembers its last answers only: no request may push out the answer to an older
        # one that is still being repeated.
        oldest = self._asked
        for request in list(self._waiting.values()):
            if now_s < request.next_s:
                oldest = min(oldest, request.order)
                continue
            if not request.sent:
                if self._asked - oldest >= protocol.REPLIES_KEPT:
                    break
                request.order = self._asked
                self._asked += 1
            oldest = min(oldest, request.order)
            if request.sent >= request.tries:
                request.expired = True
                del self._waiting[request.id]
                continue
            request.sent += 1
            request.next_s = now_s + request.timeout_s
            service = protocol.is_service(request.op)
            out += wire.encode(
                protocol.SERVICE if service else protocol.REQUEST,
                wire.varint(request.id) + bytes([request.op]) + request.payload,
            )
        return out
