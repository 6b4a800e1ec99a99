"""The I2C bus of the bench: emulated chips, and what can go wrong on the wires.

One bus model serves every target; a target adds only how its master drives it (registers and pins
of the emulated RP2040, calls over a pipe on unix). A chip is any object with

    start(read: bool) -> bool     its address was called; False: it does not acknowledge
    write(byte: int) -> bool      a byte from the master; False: it does not acknowledge
    read() -> int                 the next byte for the master
    stop() -> None                end of the transaction (a repeated start calls `start` again)

    >>> bus.plug(0x44, SHT4x(clock, world))
    >>> bus.nak_address = lambda address, read: address == 0x44     # a fault by script
    >>> bus.hold("sda")                                             # line shorted to ground
    >>> bus.hold("sda", clocks=5)          # a chip lost in mid-byte: lets go after 5 clocks

Times in nanoseconds; addresses have 7 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .clock import Clock

LINES = ("sda", "scl")


class Chip(Protocol):
    """What a chip on the bus can do; see the module."""

    def start(self, read: bool) -> bool: ...
    def write(self, byte: int) -> bool: ...
    def read(self) -> int: ...
    def stop(self) -> None: ...


class I2CBus:
    """Chips, faults and counters of one bus.

    The faults are attributes that a script sets and clears:
    `nak_address(address, read) -> bool` and `nak_data(address, index, byte) -> bool` suppress an
    acknowledge, `corrupt(address, index, byte) -> int` damages a byte on its way to the master
    (index counts the bytes of the transaction from 0), `stretch_ns` is the time for which a chip
    holds SCL low at each byte.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.chips: dict[int, Chip] = {}
        self.nak_address: Callable[[int, bool], bool] | None = None
        self.nak_data: Callable[[int, int, int], bool] | None = None
        self.corrupt: Callable[[int, int, int], int] | None = None
        self.stretch_ns = 0
        self.held: set[str] = set()
        self.on_hold: Callable[[str, bool], None] | None = None  # for the target's pins
        self.starts = self.naks = self.written = self.read_bytes = self.stops = 0
        self._chip: Chip | None = None
        self._address = 0
        self._index = 0
        self._release_clocks: dict[str, int] = {}

    # -- for scripts

    def plug(self, address: int, chip: Chip) -> None:
        """Put a chip on the bus."""
        if not 0x08 <= address <= 0x77:
            raise ValueError(f"I2C address {address:#x} is not within 0x08..0x77")
        self.chips[address] = chip

    def unplug(self, address: int) -> Chip | None:
        """Take a chip off the bus (it answers no more); returns it."""
        chip = self.chips.pop(address, None)
        if chip is not None and chip is self._chip:
            self._chip = None
        return chip

    def hold(self, line: str, on: bool = True, clocks: int | None = None) -> None:
        """Short `line` ("sda" or "scl") to ground, or release it.

        With `clocks` the line comes free by itself after that many clock pulses of the master,
        as with a chip that was left in the middle of a byte.
        """
        if line not in LINES:
            raise ValueError(f"no I2C line {line!r}; there are sda and scl")
        if on:
            self.held.add(line)
            if clocks is not None:
                self._release_clocks[line] = clocks
        else:
            self.held.discard(line)
            self._release_clocks.pop(line, None)
        if self.on_hold is not None:
            self.on_hold(line, on)

    # -- for targets: one transaction, byte by byte

    def address(self, address: int, read: bool) -> bool:
        """A (repeated) start and the address; returns whether a chip acknowledged."""
        self.starts += 1
        self._index = 0
        self._address = address
        chip = self.chips.get(address)
        refused = chip is None or (self.nak_address and self.nak_address(address, read))
        self._chip = None if refused or not chip.start(read) else chip
        if self._chip is None:
            self.naks += 1
        return self._chip is not None

    def would_answer(self, address: int) -> bool:
        """Tell whether an address is acknowledged for writing, without a transaction."""
        return address in self.chips and not (
            self.nak_address and self.nak_address(address, False)
        )

    def write(self, byte: int) -> bool:
        """A byte to the addressed chip; returns whether it acknowledged."""
        self.written += 1
        acked = self._chip is not None and self._chip.write(byte)
        if self.nak_data and self.nak_data(self._address, self._index, byte):
            acked = False
        self._index += 1
        if not acked:
            self.naks += 1
        return acked

    def read(self) -> int:
        """A byte from the addressed chip; 0xFF when none drives the line."""
        self.read_bytes += 1
        byte = self._chip.read() if self._chip is not None else 0xFF
        if self.corrupt:
            byte = self.corrupt(self._address, self._index, byte) & 0xFF
        self._index += 1
        return byte

    def stop(self) -> None:
        """End of the transaction."""
        self.stops += 1
        chip, self._chip = self._chip, None
        if chip is not None:
            chip.stop()

    def clocked(self, pulses: int = 1) -> None:
        """The master gave clock pulses while a line was held."""
        for line in list(self._release_clocks):
            self._release_clocks[line] -= pulses
            if self._release_clocks[line] <= 0:
                self.hold(line, False)
