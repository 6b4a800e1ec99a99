"""NOR flash with the time its operations take, and power cuts that leave them half done.

The emulator's flash changes in no time. Here the status register shows BUSY for as long as an
erase or a program takes (typical figures of the Pico's W25Q16JV data sheet), so the guest waits
with interrupts off as it does on the board: 45 ms for a sector, 0.4 ms for a page of 256 bytes.
Each look at the register while it shows BUSY lets POLL_NS pass at once, because the guest does
nothing else than look; this time does not count as busy CPU.

    >>> target.flash.cut(at=3, fraction=0.5)      # power fails in the third operation from now
    >>> target.run_for(10**9)                     # ends with target.powered False
    >>> target.reset("power")
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

SECTOR_ERASE, BLOCK_ERASE, PAGE_PROGRAM = 0x20, 0xD8, 0x02
READ_STATUS, READ_UNIQUE_ID = 0x05, 0x4B
BUSY = 0x01
POLL_NS = 50_000
DURATION_NS = {SECTOR_ERASE: 45_000_000, BLOCK_ERASE: 150_000_000, PAGE_PROGRAM: 400_000}
ERASE_BYTES = {SECTOR_ERASE: 4096, BLOCK_ERASE: 65536}


class Operation(NamedTuple):
    """An erase or program: when it began, its opcode, address and number of bytes."""

    t_ns: int
    opcode: int
    address: int
    length: int


class Flash:
    """Timing and tearing on top of the emulator's SSI; `power_lost()` is called at a cut."""

    def __init__(
        self, mcu, power_lost: Callable[[], None], unique_id: bytes = bytes(8), seed: int = 1
    ) -> None:
        self._mcu = mcu
        self._unique_id = unique_id  # the board's id is that of its flash chip
        self._ssi = mcu.ssi
        self._power_lost = power_lost
        self._random = random.Random(seed)
        self.timed = True
        self.factor = 1.0  # by which operations take longer than they typically do
        self.operations: list[Operation] = []
        self._busy_until = 0.0
        self._cut_in: int | None = None
        self._fraction = 0.5
        self._stock_apply = self._ssi._apply_command
        self._stock_shift = self._ssi._shift_byte
        self._ssi._apply_command = self._apply
        self._ssi._shift_byte = self._shift

    def cut(self, at: int | None, fraction: float = 0.5) -> None:
        """Let power fail in the `at`-th operation from now (1: the next), after `fraction`.

        None: in none.
        """
        if at is not None and at < 1 or not 0.0 <= fraction <= 1.0:
            raise ValueError("cut needs at >= 1 and 0 <= fraction <= 1")
        self._cut_in = at
        self._fraction = fraction

    def _shift(self, byte: int) -> int:
        answer = self._stock_shift(byte)
        sent = self._ssi._tx_buffer
        if len(sent) > 1 and sent[0] == READ_STATUS:
            clock = self._mcu.clock
            left = self._busy_until - clock.nanos
            if left > 0:
                clock.tick(min(left, POLL_NS))
                answer |= BUSY
        if sent[0] == READ_UNIQUE_ID and 5 <= len(sent) - 1 < 13:
            answer = self._unique_id[len(sent) - 6]
        return answer

    def _apply(self) -> None:
        sent = bytes(self._ssi._tx_buffer)
        opcode = sent[0] if sent else 0
        if opcode in DURATION_NS and self._ssi._write_enabled and len(sent) >= 4:
            now = self._mcu.clock.nanos
            address = int.from_bytes(sent[1:4], "big")
            self.operations.append(Operation(int(now), opcode, address, len(sent) - 4))
            if self._cut_in is not None:
                self._cut_in -= 1
                if self._cut_in == 0:
                    self._cut_in = None
                    self._tear(opcode, address, sent[4:])
                    self._power_lost()
                    return
            if self.timed:
                self._busy_until = now + self.factor * DURATION_NS[opcode]
        self._stock_apply()

    def _tear(self, opcode: int, address: int, data: bytes) -> None:
        """Leave the operation as far as `fraction` of its time brings it."""
        flash = self._mcu.flash
        if opcode == PAGE_PROGRAM:
            whole = int(len(data) * self._fraction)
            for index, byte in enumerate(data[:whole]):
                flash[address + index] &= byte
            if whole < len(data):  # the byte under way has only some of its bits cleared
                flash[address + whole] &= data[whole] | self._random.getrandbits(8)
            return
        size = ERASE_BYTES[opcode]
        address &= ~(size - 1)
        for index in range(size):
            done = self._random.random() < self._fraction
            flash[address + index] |= 0xFF if done else self._random.getrandbits(8)
