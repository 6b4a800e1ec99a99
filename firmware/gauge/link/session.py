"""The board's side of the link: records go to the host, every one, and commands come back.

    session = BoardSession(96 * 1024, {"device_id": id8, "board": "PICO", "firmware": "0.1.0"},
                           boot_id, handler)
    while True:
        session.append(rec, urgent)  # a record per window
        session.poll(ticks, usb)  # every round, for every transport
        session.poll(ticks, uart)

Records are packed into batches and kept in a ring until they are overwritten; the host says what
it has stored, and what arrived, and the rest is sent again. Frames: `gauge.link.protocol`.
Ticks are microseconds modulo 2**30. append() and poll() allocate nothing.

Order of sending: HELLO, LATEST (at once when flags or state change, else ten times a second),
replies, the range that was overwritten, heartbeat, what was lost on the way, what is new, what
was asked for by READ. So a replay never delays a flag by more than the frame that is being sent
and what the transport has buffered.

Over which transport: records go to the one over which a host last asked for them with CONNECT;
while that host is alive (heard within 3 s), another transport takes them over only when its host
insists (TAKES_OVER). Commands are answered on the transport on which they came. Without a living
host nothing is sent, data waits in the ring.

A host that does not read stops the stream, not the board: at most `window` bytes are under way
without having arrived, a write that is accepted in part is continued later, and one that is not
accepted at all is repeated with growing pauses (5 to 80 ms).
"""

from array import array

import micropython
from micropython import const

from gauge import record
from gauge.link import codec, commands, frame, protocol
from gauge.link.clock import BoardClock
from gauge.link.commands import ConfigTransfer
from gauge.link.port import Port
from gauge.link.ring import Ring

_TICKS = const(0x3FFFFFFF)
_HEARTBEAT_US = const(1_000_000)
_LATEST_US = const(100_000)
_LOST_US = const(250_000)  # an overwritten range is told again after so long
_RETRY_US = const(600_000)  # nothing has arrived for so long: send one entry again,
_RETRY_MAX_US = const(2_400_000)  # then wait twice as long, up to this
_TIMERS_US = const(20_000)  # timers are not looked at more often
_BUDGET = const(1024)  # bytes handed to a transport in one poll: a round must fit a window
_BUDGET_LEAST = const(256)  # the same when a command was done in it
_READ_BATCHES = const(32)  # entries sent for one READ
_READS = const(2)  # buffers taken from a transport in one poll
_SLOTS = protocol.REPLIES_KEPT

_BATCH_BYTES = const(1024)
_FLAGS = record.FLAGS
_STATE = record.STATE
LATEST = bytes([record.FIELD_NAMES.index(name) for name in protocol.LATEST_FIELDS])
_BATCH_FULL = _BATCH_BYTES - codec.LONGEST_RECORD - frame.CRC_BYTES


class BoardSession:
    """See the module. `handler(op, request, reply)` returns a status (`gauge.link.commands`).

    `hello` has device_id (8 bytes), board and firmware (texts); `config` is a
    ConfigTransfer that serves CONFIG_*, or None; `keys` (`gauge.keys`) decides who may change
    what, None: everybody. A handler that raises ValueError or OSError is answered with BAD or
    FAILED and the error's text.

    Counters (mod 2**30): records, bad_frames; ring.dropped, ring.resent.
    """

    def __init__(self, ring_bytes, hello, boot_id, handler, config=None, window=8192, keys=None):
        self.ring = Ring(ring_bytes)
        self.clock = BoardClock()
        self.boot_id = boot_id
        self.window = window
        self.next_seq = 0  # of the next record
        self.records = 0
        self.bad_frames = 0
        self._handler = handler
        self._config = config
        self._keys = keys
        self._version = bytearray(2)  # where the running version lies, and its trial
        self.ring_bytes = ring_bytes
        self._device_id = bytes(hello["device_id"])
        self._names = bytearray()
        for name in (hello["board"].encode(), hello["firmware"].encode()):
            self._names += bytes([len(name)]) + name
        self._config_crc = b"\0\0\0\0"
        self._recipe_id = 0
        self._calibration_id = 0
        self._now = 0
        self._timers = 0
        self._work = False  # there may be something to send over the stream
        self._ports = []
        # open batch
        self._packer = codec.Packer()
        self._batch = bytearray(_BATCH_BYTES)
        self._at = 0
        self._count = 0
        self._opened = 0
        self._early = False  # the batch before was closed early
        self._flags = 0
        self._state = -1
        # newest record
        self._latest = bytearray(8 + 5 * len(LATEST) + frame.CRC_BYTES)
        self._latest_n = 0
        self._latest_due = True  # the next record is told, whatever it is
        self._latest_at = 0
        # stream
        self._stream = None  # the port that records go to
        self.away = True  # no host takes records: none was heard within SILENCE_US
        self._heard = 0
        self._heartbeat = 0
        self._heartbeat_due = False
        self._lost = 0
        self._lost_due = False
        self._retry = 0
        self._retry_us = _RETRY_US
        self._resume = 0  # first entry of the resumed stream
        self._read = 0  # READ: next entry, first sequence behind, entries left
        self._read_end = 0
        self._read_left = 0
        # messages and commands
        self._message = bytearray(256)
        self._cursor = array("i", (0, 0))
        self._request = commands.Request()
        self._reply = commands.Reply()
        self._replies = [bytearray(16 + commands.REPLY_BYTES) for _ in range(_SLOTS + 1)]
        self._reply_n = array("i", bytes(4 * (_SLOTS + 1)))
        self._reply_id = array("i", (-1,) * (_SLOTS + 1))
        self._slot = 0

    # -- what the application says -------------------------------------------------------------

    def identify(self, config_crc, recipe_id, calibration_id):
        """Set what HELLO says about the configuration: CRC32 of the blob (4 bytes) and ids."""
        self._config_crc = config_crc
        self._recipe_id = recipe_id
        self._calibration_id = calibration_id

    def tell_version(self, version, trial):
        """Set what HELLO says: indices into protocol.VERSION_NAMES and TRIAL_NAMES."""
        self._version[0] = version
        self._version[1] = trial

    def append(self, rec, urgent=False):
        """Take the record of a window; `urgent`: the host should know at once.

        A change of flags or state is urgent by itself. Sequences that were passed over are
        reported as a gap. ValueError when the sequence went back.
        """
        seq = rec[0]
        if seq != self.next_seq:
            if seq < self.next_seq:
                raise ValueError("record %d after record %d" % (seq, self.next_seq - 1))
            self.gap(self.next_seq, seq - 1, protocol.GAP_NOT_RECORDED)
        batch = self._batch
        if not self._count:
            batch[0] = protocol.DATA
            at = codec.put_v(batch, 2, self.boot_id)
            self._at = codec.put_v(batch, at, self.ring.head)
            self._packer.begin()
            self._opened = self._now
        self._at = self._packer.add(rec, batch, self._at)
        self._count += 1
        self.next_seq = seq + 1
        if rec[_FLAGS] != self._flags or rec[_STATE] != self._state:
            self._flags = rec[_FLAGS]
            self._state = rec[_STATE]
            urgent = True
        if urgent or self._latest_due:
            latest = self._latest
            latest[0] = protocol.LATEST
            at = codec.put_v(latest, 1, self.boot_id)
            self._latest_n = codec.put_fields(rec, LATEST, len(LATEST), latest, at)
            self._latest_due = False
            self._work = True
        # One early batch between two full ones: flags that flicker must not fill the ring with
        # batches of one record.
        if self._count == protocol.BATCH_RECORDS or self._at > _BATCH_FULL:
            self._early = False
            self._close()
        elif urgent and not self._early:
            self._early = True
            self._close()

    def gap(self, first, last, cause):
        """Report that the sequences `first` to `last` will never be recorded."""
        self.close_batch()
        message = self._message
        message[0] = protocol.GAP
        at = codec.put_v(message, 1, self.boot_id)
        at = codec.put_v(message, at, self.ring.head)
        at = codec.put_v(message, at, first)
        at = codec.put_v(message, at, last)
        message[at] = cause
        self.ring.put(message, frame.seal(message, at + 1), first, last + 1, 0)
        self.next_seq = last + 1

    def close_batch(self):
        """Put the records that wait for a full batch into the ring."""
        if self._count:
            self._close()

    def _close(self):
        """Put the open batch into the ring."""
        batch = self._batch
        count = self._count
        batch[1] = count
        n = frame.seal(batch, self._at)
        self.ring.put(batch, n, self.next_seq - count, self.next_seq, count)
        self.records = (self.records + count) & _TICKS
        self._count = 0
        self._work = True

    def flushed(self):
        """Return whether every answer has been handed to its transport."""
        for port in self._ports:
            if port.hello or port.replies or port.tx_n:
                return False
        return True

    # -- a round -------------------------------------------------------------------------------

    def poll(self, now, transport):
        """Receive and send over one transport. `now` in ticks."""
        for port in self._ports:
            if port.transport is transport:
                break
        else:
            port = Port(transport)
            self._ports.append(port)
        self._now = now
        # Nothing is allocated here: with the heap locked, calls keep their frames on the stack
        # and need not search it.
        micropython.heap_lock()
        try:
            self._poll(port, transport)
        finally:
            micropython.heap_unlock()

    def _poll(self, port, transport):
        now = self._now
        if (now - self._timers) & _TICKS >= _TIMERS_US:
            self._timers = now
            self._look_at_timers(now)
        rx = port.rx
        n = transport.readinto(rx)
        if n:
            self._receive(port, rx, n)
        if port.tx_n or port.hello or port.replies or (self._work and port is self._stream):
            self._send(port)

    def _look_at_timers(self, now):
        """Do what time alone brings."""
        self.clock.update(now)
        for port in self._ports:
            if port.role and (now - port.unlocked) & _TICKS > protocol.UNLOCKED_US:
                port.role = 0
        if self._count and (now - self._opened) & _TICKS >= protocol.BATCH_US:
            self._early = False
            self._close()
        if self.away:
            return
        ring = self.ring
        if (now - self._heard) & _TICKS > protocol.SILENCE_US:
            self.away = True
            return
        if not ring.flight:
            self._retry = now
        elif (now - self._retry) & _TICKS > self._retry_us:
            ring.probe()
            self._retry = now
            self._retry_us = min(2 * self._retry_us, _RETRY_MAX_US)
            self._work = True
        if (now - self._latest_at) & _TICKS >= _LATEST_US:
            self._latest_due = True
        if (now - self._heartbeat) & _TICKS >= _HEARTBEAT_US:
            self._heartbeat_due = self._work = True
        if ring.lost_to >= 0 and (now - self._lost) & _TICKS >= _LOST_US:
            self._lost_due = self._work = True

    def _receive(self, port, rx, n):
        """Take in `n` bytes in `rx`, and what else the transport has."""
        buf = port.frame
        receiver = port.receiver
        self._work = True
        self.clock.update(self._now)
        reads = _READS
        while n:
            at = 0
            while at < n:
                at = frame.feed(rx, at, n, buf, receiver)
                size = frame.result(receiver)
                if size > 0 and frame.intact(buf, size):
                    self._take(port, buf, size - frame.CRC_BYTES)
                elif size:
                    self.bad_frames = (self.bad_frames + 1) & _TICKS
            reads -= 1
            n = port.transport.readinto(rx) if reads and n == len(rx) else 0

    def _take(self, port, buf, n):
        """Act on one intact frame of `n` bytes."""
        if n < 3:
            return
        frame.unsalt(buf, n)
        kind = buf[0]
        cursor = self._cursor
        cursor[0] = 2
        cursor[1] = n
        if kind == protocol.ACK:
            if port is not self._stream or codec.get_v(buf, cursor) != self.boot_id:
                port.hello = True  # the host takes us for another: tell it who we are
                return
            next_seq = codec.get_v(buf, cursor)
            base = codec.get_v(buf, cursor)
            if cursor[0] <= n:
                flight = self.ring.flight
                if self.ring.acknowledge(base, buf, cursor[0], n, next_seq):
                    self._hear(self.ring.flight < flight)
        elif kind == protocol.REQUEST or kind == protocol.SERVICE:
            self._answer(port, kind, buf, n)
            if port is self._stream:
                self._hear(False)
        elif kind == protocol.CONNECT:
            self._connect(port, buf, n)
        elif kind == protocol.READ and port is self._stream:
            boot = codec.get_v(buf, cursor)
            first = codec.get_v(buf, cursor)
            count = codec.get_v(buf, cursor)
            if cursor[0] <= n and boot == self.boot_id:
                self._read = self.ring.find(first)
                self._read_end = first + count
                self._read_left = _READ_BATCHES
                self._hear(False)

    def _hear(self, progress):
        """The stream's host lives; with `progress`, what was sent arrives."""
        self._heard = self._now
        if progress or self.away:
            self._retry = self._now
            self._retry_us = _RETRY_US
        self.away = False

    def _connect(self, port, buf, n):
        """CONNECT: who is there, and where to go on."""
        cursor = self._cursor
        cursor[0] = 7
        boot = codec.get_v(buf, cursor)
        next_seq = codec.get_v(buf, cursor)
        if cursor[0] > n:
            return
        port.hello = True
        port.role = 0  # it may be another host
        flags = buf[2]
        here = port is self._stream
        if flags & protocol.WANTS_STREAM and boot == self.boot_id and _same_layout(buf, 3):
            if here or self.away or flags & protocol.TAKES_OVER:
                self.close_batch()
                self._stream = port
                self._resume = self.ring.rewind(next_seq, self.next_seq)
                self.away = True
                self._hear(True)
                self._heartbeat_due = self._lost_due = True
                self._read_left = 0
        elif here:
            self._stream = None
            self.away = True

    def _answer(self, port, kind, buf, n):
        """REQUEST or SERVICE: do it, or repeat the answer if it was done before."""
        cursor = self._cursor
        request_id = codec.get_v(buf, cursor)
        at = cursor[0]
        if at >= n:
            return
        op = buf[at]
        if protocol.is_service(op) != (kind == protocol.SERVICE):
            return
        for slot in range(_SLOTS):
            if self._reply_id[slot] == request_id:
                port.replies |= 1 << slot
                return
        if op == protocol.PING:
            slot = _SLOTS  # has a slot of its own, and is answered anew every time
        else:
            slot = self._slot
            self._slot = (slot + 1) % _SLOTS
            self._reply_id[slot] = request_id
        out = self._replies[slot]
        out[0] = protocol.SERVED if kind == protocol.SERVICE else protocol.REPLY
        status_at = codec.put_v(out, 1, request_id) + 1
        out[status_at - 1] = op
        reply = self._reply
        reply.set(out, status_at + 1)
        if op == protocol.PING:
            reply.word(self.clock.s)
            reply.word(self.clock.us)
            out[status_at] = protocol.OK
        else:
            if op == protocol.JOURNAL_READ and _is_plain(buf, at + 1, n):
                # many come one behind the other; none of them is refused, or allocates
                self._request.set(buf, at + 1, n)
                out[status_at] = self._handler(op, self._request, reply)
            else:
                micropython.heap_unlock()  # commands may allocate
                try:
                    out[status_at] = self._handle(
                        port, op, buf, at + 1, n, reply, out, status_at + 1
                    )
                finally:
                    micropython.heap_lock()
        self._reply_n[slot] = frame.seal(out, reply.end)
        port.replies |= 1 << slot

    def _handle(self, port, op, buf, start, end, reply, out, reply_at):
        """Have a command done by whom it concerns; return the status."""
        request = self._request
        request.set(buf, start, end)
        try:
            if self._keys is not None:
                status = self._keys.handle(port, op, request, reply, self.clock.s, self._now)
                if status is not None:
                    return status
            if self._config and op in ConfigTransfer.OPERATIONS:
                return self._config.handle(op, request, reply)
            return self._handler(op, request, reply)
        except (ValueError, OSError) as error:
            reply.set(out, reply_at)
            reply.text(str(error))
            return protocol.BAD if isinstance(error, ValueError) else protocol.FAILED

    # -- sending -------------------------------------------------------------------------------

    def _send(self, port):
        now = self._now
        if port.stalled(now):
            return
        budget = _BUDGET_LEAST if port.replies else _BUDGET
        while budget > 0:
            if not port.tx_n:
                port.tx_n = self._next(port, port.tx)
                if not port.tx_n:
                    if port is self._stream:
                        self._work = False
                    return
            budget -= port.tx_n
            if not port.flush(now):
                return

    def _next(self, port, tx):
        """Write the next frame for a port to `tx`; return its bytes, 0 when there is none."""
        streams = not self.away and port is self._stream
        if port.hello:
            port.hello = False
            return self._hello(port, tx)
        now = self._now
        if streams and self._latest_n:
            n = self._latest_n
            self._latest_n = 0
            self._latest_at = now
            return self._frame(self._latest, n, tx)
        if port.replies:
            slot = 0
            while not port.replies >> slot & 1:
                slot += 1
            port.replies &= port.replies - 1
            return frame.cobs(self._replies[slot], self._reply_n[slot], tx, 0, len(tx))
        if not streams:
            return 0
        ring = self.ring
        if self._lost_due and ring.lost_to >= 0:
            self._lost = now
            self._lost_due = False
            message = self._message
            message[0] = protocol.OVERWRITTEN
            at = codec.put_v(message, 1, self.boot_id)
            at = codec.put_v(message, at, ring.tail)
            at = codec.put_v(message, at, ring.lost_from)
            return self._frame(message, codec.put_v(message, at, ring.lost_to), tx)
        if self._heartbeat_due:
            self._heartbeat = now
            self._heartbeat_due = False
            self.clock.update(now)
            message = self._message
            message[0] = protocol.HEARTBEAT
            at = codec.put_v(message, 1, self.boot_id)
            at = codec.put_v(message, at, self._oldest())
            at = codec.put_v(message, at, self.next_seq)
            at = codec.put_v(message, at, ring.dropped)
            at = codec.put_v(message, at, self.clock.s)
            return self._frame(message, codec.put_v(message, at, self.clock.us), tx)
        n = ring.take(self.window, tx)
        if n or not self._read_left:
            return n
        number = max(self._read, ring.tail)
        if number >= ring.next or ring.first(number) >= self._read_end:
            self._read_left = 0
            return 0
        self._read = number + 1
        self._read_left -= 1
        return ring.copy(number, tx)

    def _frame(self, message, n, tx):
        """Seal a message of `n` bytes, write it to `tx` as a frame; return the frame's bytes."""
        return frame.cobs(message, frame.seal(message, n), tx, 0, len(tx))

    def _oldest(self):
        """Return the oldest sequence that can still be sent."""
        ring = self.ring
        if ring.tail < ring.head:
            return ring.first(ring.tail)
        return self.next_seq - self._count

    def _hello(self, port, tx):
        message = self._message
        here = not self.away and port is self._stream
        flags = 0
        if here:
            flags = protocol.STREAMS_HERE
        elif not self.away:
            flags = protocol.STREAMS_ELSEWHERE
        message[0] = protocol.HELLO
        message[1] = protocol.VERSION
        at = _put_bytes(message, 2, record.LAYOUT_HASH)
        at = _put_bytes(message, at, self._device_id)
        message[at] = flags
        at = codec.put_v(message, at + 1, self.boot_id)
        at = codec.put_v(message, at, self._resume)
        at = codec.put_v(message, at, self._oldest())
        at = codec.put_v(message, at, self.next_seq)
        at = codec.put_v(message, at, self.ring_bytes)
        at = codec.put_v(message, at, self.clock.s)
        at = codec.put_v(message, at, self.clock.us)
        at = _put_bytes(message, at, self._config_crc)
        at = codec.put_v(message, at, self._recipe_id)
        at = codec.put_v(message, at, self._calibration_id)
        at = _put_bytes(message, at, self._names)
        message[at] = 0 if self._keys is None else self._keys.roles
        return self._frame(message, _put_bytes(message, at + 1, self._version), tx)


def _put_bytes(out, at, data):
    """Copy bytes to index `at` without allocating; return the index behind them."""
    for index in range(len(data)):
        out[at] = data[index]
        at += 1
    return at


def _same_layout(buf, at):
    for index in range(4):
        if buf[at + index] != record.LAYOUT_HASH[index]:
            return False
    return True


def _is_plain(buf, start, end):
    """Whether a payload is two words, none of them negative or too large to be kept."""
    return end - start == 8 and buf[start + 3] < 64 and buf[start + 7] < 64
