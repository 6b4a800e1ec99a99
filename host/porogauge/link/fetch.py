"""Fetches the entries of the board's flash journal, in order, each told once.

The board numbers its entries for ever, over its restarts (`gauge.journal`). `begin` says from
which number on the store wants them. Questions go one at a time with a rest in between, so that
the board, which measures meanwhile, loses no conversion over them:

    state of the journal -> entry after entry, piece after piece -> what is stored -> a pause

Only what was committed is acknowledged, and only then may the board erase it. Numbers that the
board no longer has, or cannot read, are told as lost. A board without a journal is asked once
and left alone until it connects anew.
"""

from __future__ import annotations

from collections.abc import Callable

from gauge import journal
from gauge.link import protocol
from gauge.link.commands import REPLY_BYTES

from . import wire
from .events import Entries, EntriesLost, Entry, Event
from .requests import Request

_LOOK_S = 5.0  # between two looks for new entries
_PAUSE_S = 1.0  # after a refusal, or when nothing was answered
_REST_S = 0.015  # after an answer: 25 entries a second, twice as many as the board can make
_HEAD_BYTES = 16  # words before the payload in an answer
_PIECE = REPLY_BYTES - _HEAD_BYTES
_CUT_OFF = 2  # so many missing in a row within what is kept: power was cut
_TRIES = 3  # refusals after which an entry is passed over
_ACK_ENTRIES = 64  # are acknowledged without waiting for the end

Ask = Callable[[int, bytes], Request]


class Fetch:
    """The journal of the board that is connected; `ask(op, payload)` sends a request."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._device = ""
        self._wanted: int | None = None  # first entry that the store wants
        self._next = 0  # all before it were told
        self._first = 0  # oldest one of the board, when it was looked at
        self._end = 0  # number of its next one, as far as known
        self._stored = 0  # all before it are committed
        self._done = 0  # and acknowledged
        self._data = b""  # of the next entry, as far as it has come
        self._refusals = 0
        self._request: Request | None = None  # under way
        self._present = False  # the board has a journal
        self._looked = True  # what there is to be fetched is known
        self._look_at = self._rest_until = float("inf")

    def begin(self, device: str, number: int | None) -> None:
        """A board is connected; `number` is the next entry that the store wants, None: the first
        one that no host has stored."""
        self._device = device
        self._wanted = number
        self._end = self._next = self._stored = self._done = number or 0
        self._data = b""
        self._request = None
        self._present = self._looked = False
        self._look_at = self._rest_until = float("-inf")

    def commit(self, device: str, number: int) -> None:
        """All entries of a device before `number` are stored for good."""
        if device == self._device:
            self._stored = max(self._stored, min(number, self._next))

    @property
    def busy(self) -> bool:
        """Whether the board has, or may have, entries that were not told yet."""
        return not self._looked or self._end > self._next

    def poll(self, now_s: float) -> list[Event]:
        """Ask for what is due; return what has arrived."""
        found: list[Event] = []
        request = self._request
        if request is not None and request.ended:
            self._request = None
            self._rest_until = now_s + _REST_S
            if request.op == protocol.JOURNAL_STATE:
                self._take_state(request, now_s)
            elif request.op == protocol.JOURNAL_READ:
                self._take_piece(request, now_s, found)
            elif request.done and not request.status:
                self._done = max(self._done, wire.split_words(request.payload)[0])
            else:
                self._rest_until = now_s + _PAUSE_S
        if self._request is None and now_s >= self._rest_until:
            self._request = self._question(now_s)
        return found

    def _question(self, now_s: float) -> Request | None:
        """Ask what is to be asked next."""
        ahead = self._stored - self._done
        if ahead >= _ACK_ENTRIES or (ahead > 0 and not self.busy):
            return self._ask(protocol.JOURNAL_DONE, wire.words(self._stored))
        if self._end > self._next:
            return self._ask(protocol.JOURNAL_READ, wire.words(self._next, len(self._data)))
        if now_s >= self._look_at:
            return self._ask(protocol.JOURNAL_STATE, b"")
        return None

    def _pause(self, now_s: float) -> None:
        """Something went wrong: begin again with a look, in a while."""
        self._data = b""
        self._end = self._next
        self._look_at = self._rest_until = now_s + _PAUSE_S

    def _take_state(self, request: Request, now_s: float) -> None:
        self._looked = True
        self._look_at = now_s + _LOOK_S
        if not request.done:
            return
        words = wire.split_words(request.reply)
        state = dict(zip(journal.STATE_NAMES, words, strict=False))
        if request.status or not state.get("sectors"):
            self._look_at = float("inf")  # there is no journal on this board
            return
        if not self._present:
            self._present = True
            if self._wanted is None or self._wanted > state["next"]:  # new, or it began anew
                self._next = max(state["first"], state["acknowledged"])
                self._stored = self._done = self._next
        self._first = state["first"]
        self._end = max(self._next, state["next"])

    def _take_piece(self, request: Request, now_s: float, found: list[Event]) -> None:
        number = self._next
        if not request.done:
            return self._pause(now_s)
        if request.status:
            self._refusals += 1
            if self._refusals >= _TRIES:
                self._lost(number, "unreadable", found)
            return self._pause(now_s)
        head = wire.split_words(request.reply[:_HEAD_BYTES])
        if len(head) < 4 or not 0 <= head[2] <= journal.PAYLOAD_BYTES or head[0] < number:
            return self._pause(now_s)
        there, kind, length, boot = head
        if there > number:
            # Erased, or cut off when it was written: a power cut uses up a number.
            cut = number >= self._first and there - number <= _CUT_OFF
            self._lost(there - 1, "cut_off" if cut else "erased", found)
        if there > number or not kind:
            self._end = max(self._next, self._end if kind else there)
            return None
        piece = request.reply[_HEAD_BYTES:]
        if len(piece) < min(_PIECE, length - len(self._data)):
            return self._pause(now_s)
        self._data += piece
        if len(self._data) >= length:
            entry = Entry(number, boot, kind, self._data[:length])
            found.append(Entries(self._device, [entry]))
            self._go_on(number + 1)
        return None

    def _lost(self, last: int, cause: str, found: list[Event]) -> None:
        """Entries up to `last` will not come."""
        found.append(EntriesLost(self._device, self._next, last, cause))
        self._go_on(last + 1)

    def _go_on(self, number: int) -> None:
        self._next = number
        self._data = b""
        self._refusals = 0
