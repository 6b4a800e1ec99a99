"""What every target of the bench can do: the board with its cables, seen from the world.

A target is one running instrument: `RP2040Target` (our image in an emulator) or `UnixTarget`
(the same package on the 32-bit unix MicroPython). The bench plugs emulated chips into its cables,
lets virtual time pass and exchanges link bytes with it:

    target = RP2040Target(image_path("rp2040"))
    chip = SHT4x(target.clock, world)
    target.i2c.plug(0x44, chip)
    laser.wire = target.lasers["a"]
    target.lasers["a"].on_byte = laser.rx
    target.on_link = host.receive
    target.boot()
    target.run_until(2_000_000_000)

Units: times are integer nanoseconds of virtual time since the target was built; electrical levels
are bools, True for high. Everything runs in the caller's thread, inside `run_until`; callbacks
(clock events, link, outputs, chips) come from there and may raise: the exception ends the run.
"""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from .clock import Clock
from .i2c import I2CBus

# Names of the board's single wires; boards/NAME/board.py tells the pin of each.
INPUTS = ("ready", "encoder_a", "encoder_b", "standardise", "acknowledge", "service")
OUTPUTS = ("good", "marker", "heartbeat")

FRAMING, PARITY, BREAK = 1, 2, 4  # error bits of a character on a serial cable


class Edge(NamedTuple):
    """A change of an output: when, which, and its new level."""

    t_ns: int
    name: str
    level: bool


class TargetError(RuntimeError):
    """The target does not do what it should: no boot, no answer, crashed."""


class ReplError(TargetError):
    """Code given to `repl_exec` raised; the text is the board's traceback."""


@dataclass
class Stats:
    """What a run cost.

    `busy_share` is the share of virtual time in which the CPU executed instructions (None where
    computing takes no virtual time); `wall_s` counts only the time inside `run_until`.
    """

    virtual_s: float
    wall_s: float
    busy_share: float | None
    resets: int


@runtime_checkable
class SerialDevice(Protocol):
    """The far end of a serial cable, a laser."""

    def rx(self, byte: int, t_ns: int) -> None:
        """Take one byte that the board has sent; its stop bit ended at `t_ns`."""


@dataclass
class SerialCable(abc.ABC):
    """A serial cable between a UART of the board and an emulated device.

    `baud` is the speed of the device's transmitter, which the device sets; a board that listens
    at another speed receives framing errors. Characters have 10 bits (8N1). Bytes are sent one
    behind the other: a `send` while the line is busy queues. While `connected` is false nothing
    passes in either direction.
    """

    name: str
    baud: int = 921_600
    connected: bool = True
    on_byte: Callable[[int, int], None] | None = None
    # Damage on the wire: byte -> (byte as received, error bits FRAMING | PARITY | BREAK)
    damage: Callable[[int], tuple[int, int]] | None = None

    @property
    def byte_ns(self) -> float:
        """Length of one character of the device, in nanoseconds."""
        return 1e10 / self.baud

    @abc.abstractmethod
    def send(self, data: bytes, at_ns: int | None = None) -> int:
        """Send `data` to the board, starting now or at `at_ns` (not before what is queued).

        Returns the time in ns at which the last stop bit ends. Byte i arrives (i + 1) characters
        after the start.
        """

    @abc.abstractmethod
    def flush(self) -> None:
        """Drop what is queued and has not arrived, as when the device loses its power."""


class Target(abc.ABC):
    """One instrument on the bench; see the module's example."""

    name: ClassVar[str]

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.i2c = I2CBus(clock)
        self.lasers: dict[str, SerialCable] = {}
        self.outputs: list[Edge] = []
        # (data, t_ns) for every piece of bytes that the board sends over the link
        self.on_link: Callable[[bytes, int], None] | None = None
        # (name, level, t_ns) for every change of an output
        self.on_output: Callable[[str, bool, int], None] | None = None
        self.powered = False
        # bytes from the board that nobody took, when on_link is None
        self.link_received = bytearray()

    # -- time

    @property
    def now_ns(self) -> int:
        """Virtual time."""
        return self.clock.now_ns

    @property
    @abc.abstractmethod
    def boot_ns(self) -> int:
        """Virtual instant at which the board's ticks were 0 (its last start).

        World time of a board time t_us is `boot_ns + 1000 * t_us`; ticks are t_us mod 2**30.
        """

    @abc.abstractmethod
    def run_until(self, t_ns: int) -> None:
        """Let virtual time pass up to `t_ns`; returns at once when that is not in the future."""

    def run_for(self, ns: int) -> None:
        """Let `ns` of virtual time pass."""
        self.run_until(self.now_ns + int(ns))

    def run_while(self, condition: Callable[[], bool], limit_ns: int, step_ns=1_000_000) -> bool:
        """Run as long as `condition()` holds, looked at every `step_ns`, at most `limit_ns`.

        Returns False when the limit came first.
        """
        end_ns = self.now_ns + int(limit_ns)
        while condition():
            if self.now_ns >= end_ns:
                return False
            self.run_until(min(self.now_ns + step_ns, end_ns))
        return True

    # -- life

    @abc.abstractmethod
    def boot(self, limit_ns: int = 3_000_000_000) -> None:
        """Switch power on and run until the link is open. Raises TargetError at `limit_ns`."""

    @abc.abstractmethod
    def reset(self, kind: str = "power") -> None:
        """Restart the board: "power" (RAM is lost), "run" (reset line) or "watchdog" (as bitten).

        Returns at once; time passes in the next `run_until`. Files stay.
        """

    @abc.abstractmethod
    def hang(self) -> None:
        """Let the board's program hang from now on: only its watchdog helps."""

    @abc.abstractmethod
    def crash(self) -> None:
        """Let the board's program raise RuntimeError where it is, as soon as time passes."""

    @abc.abstractmethod
    def power_off(self) -> None:
        """Take the board's power away; the world goes on until `reset`."""

    @abc.abstractmethod
    def slow_flash(self, factor: float) -> None:
        """Let operations of the flash take so many times as long from now on."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Release what the target holds (processes, files). May be called twice."""

    @property
    @abc.abstractmethod
    def files(self) -> dict[str, bytes]:
        """The board's files: path -> content, as they are on its flash now."""

    @abc.abstractmethod
    def stats(self) -> Stats:
        """Cost of all runs since the target was built."""

    # -- link: what a host on the other end of the cable does

    @abc.abstractmethod
    def link_send(self, data: bytes) -> None:
        """Give bytes to the host's driver for the board; delivered as fast as the board takes."""

    @abc.abstractmethod
    def link_stall(self, stalled: bool) -> None:
        """Let the host stop reading (port open), or read again what the board still holds."""

    @abc.abstractmethod
    def link_plug(self, plugged: bool) -> None:
        """Pull the link's cable, or put it back. What was under way is lost."""

    def link_out(self, data: bytes) -> None:
        """Hand on bytes from the board; for the implementations."""
        if self.on_link is None:
            self.link_received += data
        else:
            self.on_link(data, self.now_ns)

    # -- wires

    @abc.abstractmethod
    def set_input(self, name: str, level: bool) -> None:
        """Drive the wire `name` of INPUTS to an electrical level, now."""

    @abc.abstractmethod
    def press(self, name: str, active: bool = True) -> None:
        """Make an input of INPUTS active or not, whichever level that is on this board."""

    def output(self, name: str) -> bool:
        """Level of an output of OUTPUTS (False before its first change)."""
        for edge in reversed(self.outputs):
            if edge.name == name:
                return edge.level
        return False

    def output_changed(self, name: str, level: bool) -> None:
        """Log a change of an output and tell `on_output`; for the implementations."""
        self.outputs.append(Edge(self.now_ns, name, level))
        if self.on_output is not None:
            self.on_output(name, level, self.now_ns)

    # -- tests of single modules

    @abc.abstractmethod
    def repl_exec(self, code: str, limit_ns: int = 20_000_000_000) -> str:
        """Run `code` on the board's REPL and return what it printed.

        The gauge must not be running (boot with the service pin active). Raises ReplError with
        the board's traceback, TargetError when the answer does not come within `limit_ns`.
        """


@dataclass
class QueuedCable(SerialCable):
    """A cable that computes arrival times and keeps them in order; for the implementations.

    `pending` holds (end of stop bit in ns, byte, error bits). `_queued()` is called after each
    `send`.
    """

    clock: Clock | None = None
    pending: deque[tuple[int, int, int]] = field(default_factory=deque)
    _free_ns: float = 0.0

    def send(self, data: bytes, at_ns: int | None = None) -> int:
        now = self.clock.now_ns
        start = max(self._free_ns, now if at_ns is None else max(at_ns, now))
        if not self.connected:
            return int(start)
        byte_ns = self.byte_ns
        append, damage = self.pending.append, self.damage
        end = start
        for byte in data:
            end += byte_ns
            if damage is None:
                append((int(end), byte, 0))
            else:
                seen, errors = damage(byte)
                append((int(end), seen, errors))
        self._free_ns = end
        self._queued()
        return int(end)

    def flush(self) -> None:
        now = self.clock.now_ns
        while self.pending and self.pending[-1][0] > now:
            self.pending.pop()
        self._free_ns = min(self._free_ns, now)

    def _queued(self) -> None:
        pass


__all__ = [
    "BREAK",
    "FRAMING",
    "INPUTS",
    "OUTPUTS",
    "PARITY",
    "Edge",
    "QueuedCable",
    "ReplError",
    "SerialCable",
    "SerialDevice",
    "Stats",
    "Target",
    "TargetError",
]
