"""The wires of a unix board: laser cables, links and the I2C master, on virtual time.

Times are integer nanoseconds of the target's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from .clock import EventClock
from .i2c import I2CBus
from .target import QueuedCable

# A transfer is a generator that yields the times at which it goes on and returns its result.
Steps = Generator[int, None, tuple[int, bytes]]

EIO, ENODEV, ETIMEDOUT = 5, 19, 110
SPEED_TOLERANCE = 0.045  # beyond it the stop bit of an 8N1 character is missed
WRONG_SPEED = bytes(byte ^ 0x55 for byte in range(256))  # what such a character looks like


@dataclass
class UnixCable(QueuedCable):
    """A serial cable whose bytes are looked at only when the board asks.

    `pull(until_ns) -> (bytes, arrival times in ns)` gives what a streaming laser has sent since
    the call before; without it the bytes come by `send`. `board_baud` is the receiver's speed.
    """

    pull: Callable[[int], tuple[bytes, Sequence[int]]] | None = None
    board_baud: int = 921_600

    def take(self) -> tuple[bytes, Sequence[int], int]:
        """Return bytes, times and number of errors of all that has arrived by now."""
        now = self.clock.now_ns
        data, times, errors = b"", [], 0
        if self.pull is not None:
            data, times = self.pull(now)
            if not self.connected:
                data, times = b"", []
            elif data and self.damage is not None:
                seen = [self.damage(byte) for byte in data]
                data = bytes(byte for byte, _ in seen)
                errors += sum(1 for _, bits in seen if bits)
        pending = self.pending
        if pending and pending[0][0] <= now:
            arrived = []
            while pending and pending[0][0] <= now:
                arrived.append(pending.popleft())
            if len(data):
                arrived += [(int(t), byte, 0) for t, byte in zip(times, data, strict=True)]
                arrived.sort(key=lambda item: item[0])
            data = bytes(byte for _, byte, _ in arrived)
            times = [t for t, _, _ in arrived]
            errors += sum(1 for *_, bits in arrived if bits)
        if not self.speed_matches():
            return data.translate(WRONG_SPEED), times, len(data)
        return data, times, errors

    def speed_matches(self) -> bool:
        """Whether board and laser use the same baud rate."""
        return abs(self.baud / self.board_baud - 1) < SPEED_TOLERANCE


class LaserLine:
    """The board's end of a laser's cable: counts bytes for their stamps, sends commands."""

    def __init__(self, cable: UnixCable) -> None:
        self._cable = cable
        self._received = 0  # bytes since the ring was begun
        self._free_ns = 0.0  # when the board's transmitter is free

    def start(self) -> None:
        """The next byte is the first of three that share a stamp; older ones are dropped."""
        self._cable.take()
        self._received = 0

    def set_baud(self, baud: int) -> None:
        """Speed of the board's end from now on."""
        self._cable.board_baud = baud

    def take(self, boot_ns: int) -> tuple[list[int], bytes, int]:
        """Return what has arrived by now: stamps (timer words), bytes, number of errors."""
        data, times, errors = self._cable.take()
        if not data:
            return [], b"", 0
        thirds = times[(2 - self._received) % 3 :: 3]
        self._received += len(data)
        if not isinstance(thirds, list):
            thirds = thirds.tolist()  # numpy, whose integers are slow one by one
        return [(t - boot_ns) // 1000 & 0xFFFFFFFF for t in thirds], data, errors

    def from_board(self, data: bytes) -> None:
        """Command bytes from the board, which reach the laser one character after the other."""
        cable = self._cable
        if not cable.connected or cable.on_byte is None:
            return
        if not cable.speed_matches():
            data = data.translate(WRONG_SPEED)
        character_ns = 1e10 / cable.board_baud
        start = max(self._free_ns, cable.clock.now_ns)
        self._free_ns = start + len(data) * character_ns
        for k, byte in enumerate(data):
            end = int(start + (k + 1) * character_ns)
            cable.clock.call_at(end, lambda byte=byte, end=end: cable.on_byte(byte, end))


class LinkLine:
    """One link of the board, both ways: USB (`byte_ns` 0: at once) or a serial line.

    `out(data)` gets what reaches the host. `to_board(n)` hands out up to n bytes that have
    reached the board. A host that stalls lets the board's `size` bytes of buffer fill up.
    """

    def __init__(self, clock: EventClock, size: int, byte_ns: float) -> None:
        self._clock = clock
        self._size = size
        self._byte_ns = byte_ns
        self.out: Callable[[bytes], None] = lambda data: None
        self._sending = bytearray()  # in the board's buffer
        self._line_free_ns = 0.0
        self._due = False
        self._coming: deque[tuple[int, bytes]] = deque()  # (arrival, bytes) for the board
        self._arrived = bytearray()
        self._coming_free_ns = 0.0
        self.is_open = False  # by the firmware
        self.stalled = False
        self.plugged = True
        self.on_arrival: Callable[[], None] | None = None

    @property
    def room(self) -> int:
        """Bytes that the board may send now."""
        return self._size - len(self._sending)

    def restart(self) -> None:
        """The board was restarted: its buffers are empty."""
        self._sending.clear()
        self._arrived.clear()
        self.is_open = False

    def plug(self, plugged: bool) -> None:
        """Pull the cable, or put it back; what is under way is lost."""
        self.plugged = plugged
        self._sending.clear()
        self._coming.clear()

    def stall(self, stalled: bool) -> None:
        """Let the host stop reading, or go on."""
        self.stalled = stalled
        if not stalled:
            self._drain()

    def from_board(self, data: bytes) -> None:
        """Bytes that the firmware wrote."""
        if not self.plugged:
            return
        if not self._byte_ns and not self.stalled:
            self.out(data)
            return
        self._sending += data
        self._drain()

    def _drain(self) -> None:
        if self.stalled or not self._sending or self._due:
            return
        if not self._byte_ns:
            data = bytes(self._sending)
            self._sending.clear()
            self.out(data)
            return
        now = self._clock.now_ns
        n = min(len(self._sending), 64)
        end = max(self._line_free_ns, now) + n * self._byte_ns
        self._line_free_ns = end
        self._due = True

        def sent() -> None:
            self._due = False
            data = bytes(self._sending[:n])
            del self._sending[:n]
            if data and self.plugged:
                self.out(data)
            self._drain()

        self._clock.call_at(int(end), sent)

    def send(self, data: bytes) -> None:
        """Bytes that the host wrote."""
        if not self.plugged or not data:
            return
        now = self._clock.now_ns
        end = max(self._coming_free_ns, now) + len(data) * self._byte_ns
        self._coming_free_ns = end
        self._coming.append((int(end), bytes(data)))
        self._clock.call_at(int(end), self._arrive)

    def _arrive(self) -> None:
        now = self._clock.now_ns
        while self._coming and self._coming[0][0] <= now:
            self._arrived += self._coming.popleft()[1]
        if self._arrived and self.on_arrival is not None:
            self.on_arrival()

    def to_board(self, n: int) -> bytes:
        """Take up to `n` bytes out of what has arrived at the board."""
        data = bytes(self._arrived[:n])
        del self._arrived[:n]
        return data

    def __len__(self) -> int:
        """How many bytes wait at the board."""
        return len(self._arrived)


class I2CMaster:
    """The RP2040's controller as machine.I2C shows it: wire time, timeouts and error numbers.

    Every transfer is a generator that yields the instants at which the next byte begins and
    returns (count of acknowledged bytes or negative error number, bytes read).
    """

    def __init__(self, bus: I2CBus, frequency_hz: int, timeout_us: int) -> None:
        self._bus = bus
        self._clock = bus.clock
        self._bit_ns = round(1e9 / frequency_hz)
        self._byte_ns = round(9e9 / frequency_hz)  # and its acknowledge
        self._timeout_ns = 1000 * timeout_us
        self._deadline_ns = 0
        self._late = False  # the transfer's time is up

    def _begin(self) -> None:
        self._deadline_ns = self._clock.now_ns + self._timeout_ns
        self._late = False

    def _after(self, ns: int) -> int:
        """Return when so much of clocking has passed, or the deadline, then with `_late` set."""
        bus = self._bus
        if "scl" in bus.held:
            self._late = True
            return max(self._deadline_ns, self._clock.now_ns)
        end = self._clock.now_ns + ns + bus.stretch_ns
        if end > self._deadline_ns:
            self._late = True
            end = max(self._deadline_ns, self._clock.now_ns)
        return end

    def _scl_free(self) -> Generator[int, None, None]:
        """Wait for a held SCL, at most up to the deadline."""
        while "scl" in self._bus.held and self._clock.now_ns < self._deadline_ns:
            yield self._clock.now_ns + 10_000

    def _address(self, address: int, read: bool) -> Generator[int, None, int]:
        """Start and address; returns 0 or a negative error number."""
        bus = self._bus
        if bus.held:
            yield from self._scl_free()
        yield self._after(self._bit_ns)
        if self._late:
            return -ETIMEDOUT
        if "sda" in bus.held:
            return -EIO  # arbitration lost
        acked = bus.address(address, read)
        if bus.held:
            yield from self._scl_free()
        yield self._after(self._byte_ns)
        if self._late:
            return -ETIMEDOUT
        if not acked:
            bus.stop()
            yield self._after(self._bit_ns)
            return -EIO
        return 0

    def _probe(self, address: int) -> Steps:
        """Zero-length write: made on the pins, the chip sees nothing but its address."""
        bus = self._bus
        if "scl" in bus.held:
            yield from self._scl_free()
            if "scl" in bus.held:
                return -ETIMEDOUT, b""
        yield bus.clock.now_ns + 60_000
        if "sda" in bus.held:
            bus.clocked(9)
            return 0, b""  # a line held low looks like an acknowledge
        return (0 if bus.would_answer(address) else -ENODEV), b""

    def write(self, address: int, data: bytes, stop: bool = True) -> Steps:
        """Write; the count ends at the first byte that was not acknowledged."""
        self._begin()
        if not data:
            return (yield from self._probe(address))
        error = yield from self._address(address, False)
        if error:
            return self._failed(error)
        bus, byte_ns = self._bus, self._byte_ns
        count = 0
        for byte in data:
            acked = bus.write(byte)
            if bus.held:
                yield from self._scl_free()
            yield self._after(byte_ns)
            if self._late:
                return self._failed(-ETIMEDOUT)
            if not acked:
                stop = True
                break
            count += 1
        if stop:
            bus.stop()
            yield self._after(self._bit_ns)
        return count, b""

    def read(self, address: int, n: int, stop: bool = True) -> Steps:
        """Read `n` bytes."""
        self._begin()
        error = yield from self._address(address, True)
        if error:
            return self._failed(error)
        bus, byte_ns = self._bus, self._byte_ns
        data = bytearray()
        for _ in range(n):
            data.append(bus.read())
            if bus.held:
                yield from self._scl_free()
            yield self._after(byte_ns)
            if self._late:
                return self._failed(-ETIMEDOUT)
        if stop:
            bus.stop()
            yield self._after(self._bit_ns)
        return n, bytes(data)

    def read_register(self, address: int, register: bytes, n: int) -> Steps:
        """Write a register's number, repeat the start and read (readfrom_mem)."""
        count, _ = yield from self.write(address, register, stop=False)
        if count != len(register):
            self._begin()
            yield from self._probe(address)  # for the sake of its stop
            return min(count, 0), b""
        return (yield from self.read(address, n))

    def free(self) -> Steps:
        """At most 9 clocks while SDA is held, then a stop."""
        self._begin()
        bus = self._bus
        if "sda" in bus.held:
            for _ in range(9):
                yield bus.clock.now_ns + 10_000
                bus.clocked()
                if "sda" not in bus.held:
                    break
            yield bus.clock.now_ns + 10_000
            bus.stop()
        return int(not bus.held), b""

    def _failed(self, error: int) -> tuple[int, bytes]:
        self._bus.stop()
        return error, b""


__all__ = ["I2CMaster", "LaserLine", "LinkLine", "Steps", "UnixCable"]
