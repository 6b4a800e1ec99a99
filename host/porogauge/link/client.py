"""A gauge on a port: `HostSession` with a transport, real time, and reconnection.

    with Client("/dev/ttyACM0", known=store.known) as client:
        client.connect()
        while True:
            for event in client.pump(0.1): ...
            client.commit(client.boot, client.next_seq)  # after the database has committed

Errors, all of `porogauge.errors`: DeviceAbsent, DeviceBusy, ProtocolMismatch, RequestFailed.
"""

from __future__ import annotations

import time
from binascii import crc32
from collections.abc import Callable

from gauge import health
from gauge.link import protocol
from gauge.link.commands import REPLY_BYTES

from .. import errors, keys
from . import events, wire
from .events import Event, Hello
from .port import Port, PortLost
from .session import Fetched, HostSession, Known

_TICK_S = 0.01  # between two looks at what is to be sent
_BACKOFF_S = 0.2  # before the port is opened again, doubled up to
_BACKOFF_MAX_S = 3.0
_CHUNK = 200  # bytes of a configuration in one request
_FLASH_S = 3.0  # an answer may wait for a flash write


class Client:
    """See the module. The port is opened by connect().

    `timeout_s` bounds connect(). `known`, `stream`, `take_over` and `fetched` are those of
    HostSession.
    """

    def __init__(
        self,
        port: str,
        timeout_s: float = 5.0,
        baud: int = 921_600,
        known: Known | None = None,
        stream: bool = True,
        take_over: bool = False,
        fetched: Fetched | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = port
        self.timeout_s = timeout_s
        self.session = HostSession(known, stream, take_over, fetched)
        self._baud = baud
        self._clock = clock
        self._port: Port | None = None
        self._kept: list[Event] = []  # told while connect() or request() waited
        self._backoff_s = _BACKOFF_S
        self._open_at = 0.0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- connection -----------------------------------------------------------------------------

    @property
    def hello(self) -> Hello | None:
        """Who the board is; None before it answered."""
        return self.session.hello

    @property
    def boot(self) -> int:
        """Boot that the records are from."""
        return self.session.boot

    @property
    def next_seq(self) -> int:
        """All sequences of the boot before this one were told."""
        return self.session.next_seq

    def connect(self) -> Hello:
        """Open the port and wait for the board.

        Raises DeviceAbsent when there is no port or nothing answers, DeviceBusy when another
        program has the port or the stream, ProtocolMismatch when the firmware is another one
        (repl() and the other services still work then).
        """
        end = self._clock() + self.timeout_s
        while True:
            try:
                self._open()
                break
            except errors.DeviceAbsent:  # a board that has just been reset comes back
                if self._clock() >= end:
                    raise
                time.sleep(min(_BACKOFF_S, self.timeout_s))
        while not self.session.connected:
            self._round(_TICK_S)
            if self.session.mismatch:
                raise errors.ProtocolMismatch(self.session.mismatch)
            if self.session.busy:
                raise errors.DeviceBusy(
                    f"{self.url}: the gauge sends its records to another host over another port"
                )
            if self._clock() >= end:
                raise errors.DeviceAbsent(self._no_answer())
        assert self.session.hello is not None
        return self.session.hello

    def _no_answer(self) -> str:
        """What to say when nothing of the link came."""
        lines = [event.line for event in self._kept if isinstance(event, events.Console)]
        text = f"{self.url}: no gauge answered within {self.timeout_s:g} s"
        if lines:
            return f"{text}; it is not running, the board says: {' | '.join(lines[-4:])}"
        return f"{text}; is this its port, and is the firmware on the board?"

    def _open(self) -> None:
        if self._port is None:
            self._port = Port(self.url, self._baud)
            self._backoff_s = _BACKOFF_S
            self.session.link_down()

    def _lost(self, text: str) -> None:
        """The port is gone: say so, and try again later."""
        if self._port is not None:
            self._port.close()
            self._port = None
        self.session.link_down()
        self._kept.append(events.LinkDown(text))
        self._open_at = self._clock() + self._backoff_s

    def close(self) -> None:
        """Give the port back; may be called twice."""
        if self._port is not None:
            self._port.close()
            self._port = None

    # -- stream ---------------------------------------------------------------------------------

    def pump(self, max_wait_s: float) -> list[Event]:
        """Send and receive; return what happened, at once when something has, else [] in time.

        An outage is no error: the port is opened again with growing pauses, and the stream goes
        on where it was. Raises ProtocolMismatch when another firmware has come to the port.
        """
        end = self._clock() + max_wait_s
        while True:
            left = end - self._clock()
            self._round(min(_TICK_S, max(0.0, left)))
            if self._kept:
                found, self._kept = self._kept, []
                if any(isinstance(event, events.Mismatch) for event in found):
                    raise errors.ProtocolMismatch(self.session.mismatch)
                return found
            if left <= 0:
                return []

    def commit(self, boot: int, next_seq: int) -> None:
        """See HostSession.commit."""
        self.session.commit(boot, next_seq)

    def commit_entries(self, device: str, number: int) -> None:
        """See HostSession.commit_entries."""
        self.session.commit_entries(device, number)

    @property
    def fetching(self) -> bool:
        """See HostSession.fetching."""
        return self.session.fetching

    def _round(self, wait_s: float) -> None:
        """Send what is due, wait shortly for something to come, take it in."""
        if self._port is None:
            now = self._clock()
            if now < self._open_at:
                time.sleep(min(wait_s, self._open_at - now))
                return
            try:
                self._open()
            except (errors.DeviceAbsent, errors.DeviceBusy):
                self._backoff_s = min(2 * self._backoff_s, _BACKOFF_MAX_S)
                self._open_at = now + self._backoff_s
                return
            self._kept.append(events.LinkUp())
        port = self._port
        assert port is not None
        try:
            out = self.session.poll(self._clock())
            if out:
                port.write(out)
            data = port.read(wait_s)
        except PortLost as error:
            self._lost(str(error))
            return
        self._kept += self.session.receive(data, self._clock())

    # -- commands -------------------------------------------------------------------------------

    def request(self, op: int, payload: bytes = b"", timeout_s: float = 2.0) -> bytes:
        """Have the board do something; return the payload of its answer.

        A board that wants a key is unlocked with the one in hand (`porogauge.keys`) and asked
        again. Raises RequestFailed when it refuses, fails, or does not answer in `timeout_s`,
        KeyDenied when there is no key or the board does not take it. Events that come meanwhile
        are kept for pump().
        """
        try:
            return self._request(op, payload, timeout_s)
        except errors.RequestFailed as error:
            if error.status != protocol.DENIED or op not in protocol.NEEDS:
                raise
        keys.unlock(self, protocol.NEEDS[op])
        return self._request(op, payload, timeout_s)

    def _request(self, op: int, payload: bytes, timeout_s: float) -> bytes:
        """The same with the transport as it is."""
        tries = max(1, round(timeout_s / 0.5))
        request = self.session.request(op, payload, timeout_s / tries, tries)
        end = self._clock() + timeout_s + 1.0
        while not request.ended and self._clock() < end:
            self._round(_TICK_S)
        name = protocol.OP_NAMES.get(op, str(op))
        if not request.done:
            raise errors.RequestFailed(f"the gauge did not answer to {name} in {timeout_s:g} s")
        if request.status:
            raise errors.RequestFailed(f"{name}: {request.text}", request.status)
        return request.reply

    def words(self, op: int, *values: int) -> list[int]:
        """request() with words both ways."""
        return wire.split_words(self.request(op, wire.words(*values)))

    def status(self) -> dict[str, int]:
        """Words of STATUS by their names in gauge.health; what the board does not know lacks."""
        return dict(zip(health.STATUS_NAMES, self.words(protocol.STATUS), strict=False))

    def health(self) -> dict[str, int]:
        """Words of HEALTH by their names in gauge.health; they come in several answers."""
        values: list[int] = []
        while len(values) < len(health.HEALTH_NAMES):  # a younger board may have more to say
            found = self.words(protocol.HEALTH, len(values))
            values += found
            if 4 * len(found) < REPLY_BYTES:
                break
        return dict(zip(health.HEALTH_NAMES, values, strict=False))

    def self_test(self) -> dict[str, str]:
        """Result of each test of gauge.health.SELF_TEST_NAMES, of SELF_TEST_RESULTS."""
        words = self.words(protocol.SELF_TEST)
        return {
            name: health.SELF_TEST_RESULTS[word]
            for name, word in zip(health.SELF_TEST_NAMES, words, strict=False)
        }

    def why(self, part: str) -> str:
        """What is wrong with a part of gauge.health.PART_NAMES; empty: nothing."""
        index = health.PART_NAMES.index(part)
        return self.request(protocol.WHY, wire.words(index)).decode("utf-8", "replace")

    def faults(self) -> dict[str, str]:
        """What is wrong now with each part of gauge.health.PART_NAMES; those that are well lack.

        What the program ended with some time ago is not a fault: why("crash") tells it.
        """
        texts = {name: self.why(name) for name in health.PART_NAMES if name != "crash"}
        return {name: text for name, text in texts.items() if text}

    def read_config(self) -> bytes:
        """The configuration blob in force; empty when there is none."""
        blob, length = b"", 1
        while len(blob) < length:
            payload = wire.words(len(blob), _CHUNK)
            reply = self.request(protocol.CONFIG_READ, payload)
            length = wire.split_words(reply)[0]
            if len(reply) == 4:
                break
            blob += reply[4:]
        return blob

    def push_config(self, blob: bytes) -> None:
        """Send a configuration blob, have it put in force, and read it back.

        Raises RequestFailed with the board's reason, or when another blob comes back.
        """
        for at in range(0, len(blob), _CHUNK):
            self.request(protocol.CONFIG_WRITE, wire.words(at) + blob[at : at + _CHUNK])
        check = wire.words(len(blob)) + crc32(blob).to_bytes(4, "little")
        self.request(protocol.CONFIG_COMMIT, check, _FLASH_S)
        if self.read_config() != blob:
            raise errors.RequestFailed("the gauge does not hold the configuration that was sent")

    def repl(self) -> None:
        """Lead the board back to its REPL and give the port back (for mpremote)."""
        self.request(protocol.REPL)
        self.close()
