"""What goes into the journal, and when the flash is touched: never where it would cost a window.

Written are changes of state or flags (at most ten a second: what changes faster is told as it is
then), a summary of every second, whatever others put(), and while no host takes records the
batches of the link's ring, oldest first. While a page is programmed (0.4 ms) interrupts are off:
that is done right behind a conversion, when the next one is far away. A sector is erased (45 ms)
ahead of time, only while nothing is measured and only when a host has stored what is in it. When
that was not enough, something has to go: full records are no longer written before a reserve of
sectors is touched; all else is, and the oldest entries are erased for it.

    >>> scribe = Scribe(hardware, machine, head, session)
    >>> scribe.put(journal.UPDATE, b"version 7")
    >>> scribe.note(rec, now)  # of every window
    >>> scribe.work(now)  # in every round that can spare the time

Nothing is allocated after the start. On a board without flash all of it does nothing.
"""

import micropython
from micropython import const

from gauge import journal, record
from gauge.drivers import ticks_diff
from gauge.journal_flash import Journal
from gauge.link import codec, frame, protocol
from gauge.link.commands import REPLY_BYTES
from gauge.link.session import LATEST
from gauge.summary import LONGEST, Summary

_QUEUE = const(2048)  # bytes of entries that wait to be written
_CHANGE_US = const(100_000)  # between two changes that are told
_PAGE_US = const(1_500)  # to program a page, and what is around it
_LOOK_US = const(250_000)  # between two erases ahead of time: windows are seen in between
_HEAD = const(16)  # bytes of an answer before an entry's
_NONE = b"this board has no journal"

_STATE = const(5)
_FLAGS = const(9)
_MEASURING = const(3)
_STANDARDISING = const(2)
record.expect(
    STATE=_STATE,
    FLAGS=_FLAGS,
    STATE_MEASURING=_MEASURING,
    STATE_STANDARDISING=_STANDARDISING,
)


class Scribe:
    """Keeps the journal of a board; `touched`: the next hole in the windows is its doing."""

    def __init__(self, hardware, machine, head, session):
        board = hardware.board
        self._machine = machine
        self._head = head
        self._session = session
        self._boot = hardware.boot_id()
        self._summary = Summary()
        self._buf = bytearray(max(LONGEST, 8 + 5 * len(LATEST) + frame.CRC_BYTES))
        self._queue = None
        self._used = 0
        self._batch = 0  # of the ring: behind the one that is written, 0: it is something else
        self._state = -1
        self._flags = 0
        self._changed = False
        self._told = self._looked = hardware.now()
        self._to_mark = False
        self._log = None
        self.touched = False
        if hardware.flash is not None:
            self._reserve = board.JOURNAL_RESERVE
            self._queue = bytearray(_QUEUE)
            self._piece = bytearray(REPLY_BYTES - _HEAD)
            self._log = Journal(hardware.flash, self._boot)

    @property
    def most_erases(self):
        """Erases of the sector that has most of them; -1 when there is no journal."""
        return -1 if self._log is None else self._log.most_erases

    @property
    def dropped(self):
        """Entries since the start that a host did not get; 0 when there is no journal."""
        return 0 if self._log is None else self._log.dropped

    # -- what is told

    def put(self, kind, data, n=None):
        """Have `n` bytes of `data` written as an entry; return whether there was room.

        Without `n` all of it, which allocates.
        """
        log = self._log
        if log is None:
            return False
        if n is None:
            data = bytes(data)
            n = len(data)
        at = self._used
        if n > journal.PAYLOAD_BYTES or at + 3 + n > _QUEUE:
            log.dropped += 1
            return False
        queue = self._queue
        queue[at] = kind
        queue[at + 1] = n & 0xFF
        queue[at + 2] = n >> 8
        self._used = codec.put_bytes(queue, at + 3, data, 0, n)
        return True

    def note(self, rec, now):
        """Take in the record of a window."""
        if self._log is None:
            return
        if rec[_FLAGS] != self._flags or rec[_STATE] != self._state:
            self._flags = rec[_FLAGS]
            self._state = rec[_STATE]
            self._changed = True
        buf = self._buf
        if self._changed and ticks_diff(now, self._told) >= _CHANGE_US:
            self._changed = False
            self._told = now
            buf[0] = protocol.LATEST
            at = codec.put_v(buf, 1, self._boot)
            at = codec.put_fields(rec, LATEST, len(LATEST), buf, at)
            self.put(journal.CHANGE, buf, frame.seal(buf, at))
        if self._summary.add(rec):
            self.put(journal.SUMMARY, buf, self._summary.put(buf, 0))

    def stood_still(self):
        """The board was away, on purpose: a conversion that ended meanwhile has no time."""
        if self._head.pass_over():
            self.touched = True

    # -- writing

    def work(self, now):
        """Do one step of what there is to do, if it can be done now."""
        log = self._log
        if log is None:
            return
        if log.busy:
            if self._head.is_quiet_for(_PAGE_US):
                # with the heap locked, calls keep their frames on the stack
                micropython.heap_lock()
                try:
                    self._step()
                    if log.busy and self._head.is_quiet_for(_PAGE_US):
                        self._step()
                    if not log.busy:
                        self._begin_next()
                finally:
                    micropython.heap_unlock()
        elif self._used or self._session.away:
            if not self._begin_next():
                self._do_ahead(now)
        elif self._to_mark or ticks_diff(now, self._looked) >= _LOOK_US:
            self._do_ahead(now)

    def flush(self):
        """Write all that waits, records that no host has stored included. Takes its time."""
        log = self._log
        if log is not None:
            self._session.close_batch()
            while log.busy or self._begin_next(True):
                self._step()

    def _step(self):
        """One operation of the flash."""
        log = self._log
        if not log.work():
            log.erase()  # there is no other way
        elif self._batch and not log.busy:
            self._session.ring.kept = self._batch
        self.stood_still()

    def _begin_next(self, always=False):
        """Make an entry of what has waited longest; whether there was something."""
        log = self._log
        if self._used:
            queue = self._queue
            kind = queue[0]
            n = queue[1] | queue[2] << 8
            codec.put_bytes(log.payload, 0, queue, 3, n)
            self._used -= 3 + n
            frame.move(queue, 3 + n, _QUEUE, queue, self._used)
            self._batch = 0
            log.begin(kind, n)
            return True
        if (always or self._session.away) and log.erased >= self._reserve:
            ring = self._session.ring
            number = max(ring.kept, ring.commit)
            if number < ring.head:
                n = ring.plain(number, log.payload)
                self._batch = number + 1
                is_gap = log.payload[0] == protocol.GAP
                log.begin(journal.GAP if is_gap else journal.RECORDS, n)
                return True
        return False

    def _do_ahead(self, now):
        """Nothing is to be written: erase ahead, note what the host has."""
        log = self._log
        if ticks_diff(now, self._looked) >= _LOOK_US:
            self._looked = now
            state = self._machine.state
            if state != _MEASURING and state != _STANDARDISING and log.can_erase():
                log.erase()
                self.stood_still()
        elif self._to_mark and self._head.is_quiet_for(_PAGE_US):
            self._to_mark = log.mark()
            self.stood_still()

    # -- questions of the host

    def answer(self, op, request, reply):
        """Answer JOURNAL_STATE, JOURNAL_READ and JOURNAL_DONE; return the status.

        A JOURNAL_READ of two words that are 0 or more allocates nothing, and raises nothing.
        """
        log = self._log
        if op == protocol.JOURNAL_STATE:
            for name in journal.STATE_NAMES:
                reply.word(0 if log is None else getattr(log, name))
            return protocol.OK
        if log is None:
            reply.data(_NONE)
            return protocol.REFUSED
        number = request.word(0)
        if op == protocol.JOURNAL_DONE:
            log.stored(number)
            self._to_mark = True
            return protocol.OK
        offset = request.word(1)
        if number < 0 or offset < 0:
            raise ValueError("entry and offset are 0 or more")
        if not log.find(number):
            reply.word(log.next)
            for _ in range(3):
                reply.word(0)
            return protocol.OK
        reply.word(log.number)
        reply.word(log.kind)
        reply.word(log.length)
        reply.word(log.boot)
        n = log.length - offset
        if n > 0:
            start = log.read(offset, self._piece)
            reply.data(self._piece, start, n)
        return protocol.OK
