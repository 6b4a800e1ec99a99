"""What the host has of one boot: puts batches in order, finds holes, knows what is stored.

The board numbers its batches from 0 on, and the numbers decide the order: a batch that is missing
is waited for until the board says that it was overwritten. Every sequence is told once, as a
record or within a gap.

    next_no, next_seq    all batches, all sequences before these were told
    base_no, stored_seq  all before these are committed by the caller
"""

from __future__ import annotations

from collections import deque

from gauge import record
from gauge.link import protocol

from . import wire
from .events import Event, Gap, Records, Row

HELD = 8 * protocol.ACK_BITMAP_BYTES  # batches beyond base_no that an acknowledgement can name

Pause = tuple[int, int, int]  # first and last sequence, cause


def gap_name(cause: int) -> str:
    """Name of a cause; one that this host does not know stays visible as a number."""
    return protocol.GAP_NAMES[cause] if cause < len(protocol.GAP_NAMES) else f"unknown_{cause}"


class Inbox:
    """One boot of one device; events are appended to `told`, which the caller empties."""

    def __init__(self, told: list[Event], device: str = "", boot: int = 0, next_seq: int = 0):
        self.device = device
        self.boot = boot
        self.next_seq = next_seq
        self.stored_seq = next_seq
        self.newest_seq = next_seq - 1  # newest that the board told of
        self.fresh = True  # batch numbers are not known yet
        self.next_no = 0
        self.base_no = 0
        self.records = 0
        self.gap_records = 0
        self.wanted: list[list[int]] = []  # [first, last] to be read again
        self._told = told
        self._arrived: dict[int, list[Row] | Pause] = {}  # ahead of next_no
        self._open: deque[tuple[int, int]] = deque()  # told, not committed: (batch, next_seq)

    def begin(self, batch: int) -> None:
        """The stream starts with this batch; later calls change nothing."""
        if self.fresh:
            self.fresh = False
            self.next_no = self.base_no = batch

    @property
    def waits(self) -> bool:
        """Whether a batch is missing before others that have arrived."""
        return bool(self._arrived)

    def is_new(self, batch: int) -> bool:
        """Whether a batch has not arrived before."""
        if batch >= self.base_no + 2 * HELD:
            raise ValueError(f"batch {batch} is far ahead of {self.base_no}")
        return batch >= self.next_no and batch not in self._arrived

    def add(self, batch: int, item: list[Row] | Pause) -> None:
        """Take in a new batch (rows, or a gap of the board's) and tell what is in order."""
        self._arrived[batch] = item
        self._drain()

    def overwritten(self, oldest_no: int, last: int) -> None:
        """The board has nothing before batch `oldest_no`; `last` is the sequence before it.

        Frames do not overtake each other: what was sent before this and has not arrived is gone.
        """
        for batch in sorted(self._arrived):
            if batch < oldest_no:
                self._tell(self._arrived.pop(batch), protocol.GAP_OVERWRITTEN)
        if last >= self.next_seq:
            self._gap(last, protocol.GAP_OVERWRITTEN)
        if oldest_no > self.next_no:
            self.next_no = oldest_no
            self._open.append((oldest_no - 1, self.next_seq))
        self._drain()

    def end(self) -> None:
        """The boot is over: tell what has arrived of it, and what has not."""
        for batch in sorted(self._arrived):
            self._tell(self._arrived.pop(batch), protocol.GAP_BOARD_RESTART)
        if self.newest_seq >= self.next_seq:
            self._gap(self.newest_seq, protocol.GAP_BOARD_RESTART)

    def commit(self, next_seq: int) -> None:
        """Everything before `next_seq` is stored."""
        if next_seq > self.next_seq:
            raise ValueError(f"commit of {next_seq}, but only {self.next_seq} were told")
        self.stored_seq = max(self.stored_seq, next_seq)
        while self._open and self._open[0][1] <= next_seq:
            self.base_no = self._open.popleft()[0] + 1

    def position(self) -> bytes:
        """Body of an acknowledgement: what is stored, and what has arrived."""
        bits = (1 << min(self.next_no - self.base_no, HELD)) - 1
        for batch in self._arrived:
            bits |= 1 << (batch - self.base_no)
        n = min((bits.bit_length() + 7) // 8, protocol.ACK_BITMAP_BYTES)
        bits &= (1 << 8 * n) - 1
        head = wire.varint(self.boot) + wire.varint(self.stored_seq) + wire.varint(self.base_no)
        return head + bits.to_bytes(n, "little")

    # -- records that were asked for again ------------------------------------------------------

    def replay(self, rows: list[Row]) -> None:
        """Tell the wanted ones of records that came again."""
        found = []
        for row in rows:
            seq = row[record.SEQ]
            for wanted in self.wanted:
                if wanted[0] <= seq <= wanted[1]:
                    found.append(row)
                    if seq > wanted[0]:
                        self.wanted.append([wanted[0], seq - 1])
                    wanted[0] = seq + 1
                    break
        self._prune()
        if found:
            self._told.append(Records(self.device, self.boot, found, replay=True))

    def forget(self, oldest: int) -> None:
        """The board has nothing before sequence `oldest`: what was wanted of it is a gap."""
        for wanted in self.wanted:
            if wanted[0] < oldest:
                last = min(wanted[1], oldest - 1)
                cause = gap_name(protocol.GAP_OVERWRITTEN)
                self._told.append(Gap(self.device, self.boot, wanted[0], last, cause))
                wanted[0] = last + 1
        self._prune()

    def _prune(self) -> None:
        self.wanted = [wanted for wanted in self.wanted if wanted[0] <= wanted[1]]

    # -- in order -------------------------------------------------------------------------------

    def _drain(self) -> None:
        while self.next_no in self._arrived:
            self._tell(self._arrived.pop(self.next_no), protocol.GAP_NOT_RECORDED)
            self._open.append((self.next_no, self.next_seq))
            self.next_no += 1

    def _tell(self, item: list[Row] | Pause, hole: int) -> None:
        """Tell a batch or a gap; sequences missing before it are a gap of cause `hole`."""
        if isinstance(item, tuple):
            first, last, cause = item
            if first > self.next_seq:
                self._gap(first - 1, hole)
            if last >= self.next_seq:
                self._gap(last, cause)
            return
        rows = [row for row in item if row[record.SEQ] >= self.next_seq]
        if not rows:
            return
        if rows[0][record.SEQ] > self.next_seq:
            self._gap(rows[0][record.SEQ] - 1, hole)
        self.next_seq = rows[-1][record.SEQ] + 1
        self.newest_seq = max(self.newest_seq, self.next_seq - 1)
        self.records += len(rows)
        before = self._told[-1] if self._told else None
        if isinstance(before, Records) and before.boot == self.boot and not before.replay:
            before.rows.extend(rows)  # one list of what arrived together
        else:
            self._told.append(Records(self.device, self.boot, rows))

    def _gap(self, last: int, cause: int) -> None:
        """Tell the sequences from next_seq to `last` as a gap."""
        self._told.append(Gap(self.device, self.boot, self.next_seq, last, gap_name(cause)))
        self.gap_records += last - self.next_seq + 1
        self.next_seq = last + 1
        self.newest_seq = max(self.newest_seq, last)
