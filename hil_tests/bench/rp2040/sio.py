"""SIO with a quicker divider, pins and spin locks.

Every `//` and `%` of the guest is three or four accesses to the hardware divider, each of which
the emulator looks up in a chain of some twenty comparisons. Here they come first, and the
division is done when its result is read. Cycles are those of the guest's instructions; the eight
that the emulator adds to its count without letting time pass are left out.
"""

from __future__ import annotations

from rp2040py.sio import GPIO_MASK, RPSIO

OUT_SET, OUT_CLR, OUT_XOR = 0x14, 0x18, 0x1C
UDIVIDEND, UDIVISOR, SDIVIDEND, SDIVISOR, QUOTIENT, REMAINDER, CSR = range(0x60, 0x7C, 4)
SPINLOCK = 0x100
READY_DIRTY, READY = 0b11, 0b01


def _signed(word: int) -> int:
    return ((word & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


class SIO(RPSIO):
    """Drop-in for the emulator's SIO block."""

    def __init__(self, mcu) -> None:
        super().__init__(mcu)
        self._unsolved = False
        self._sign = False

    def reset(self) -> None:
        super().reset()
        self._unsolved = False

    def _solve(self) -> None:
        self._unsolved = False
        if self._sign:
            a, b = _signed(self.div_dividend), _signed(self.div_divisor)
            if b:
                quotient = abs(a) // abs(b)
                if (a < 0) != (b < 0):
                    quotient = -quotient
                self.div_quotient, self.div_remainder = quotient, a - quotient * b
                return
        else:
            a, b = self.div_dividend & 0xFFFFFFFF, self.div_divisor & 0xFFFFFFFF
            if b:
                self.div_quotient, self.div_remainder = divmod(a, b)
                return
        # data sheet 2.3.1.5: division by zero
        self.div_quotient = 1 if self._sign and a < 0 else -1
        self.div_remainder = a

    def read_uint32(self, offset: int) -> int:
        if offset == CSR:
            return self.div_csr
        if offset == QUOTIENT:
            if self._unsolved:
                self._solve()
            self.div_csr = READY
            return self.div_quotient & 0xFFFFFFFF
        if offset == REMAINDER:
            if self._unsolved:
                self._solve()
            return self.div_remainder & 0xFFFFFFFF
        if SPINLOCK <= offset < SPINLOCK + 0x80:
            bit = 1 << ((offset - SPINLOCK) >> 2)
            if self.spin_lock & bit:
                return 0
            self.spin_lock |= bit
            return bit
        return super().read_uint32(offset)

    def write_uint32(self, offset: int, value: int) -> None:
        if UDIVIDEND <= offset <= SDIVISOR:
            self._sign = offset >= SDIVIDEND
            if offset & 4:
                self.div_divisor = value
            else:
                self.div_dividend = value
            self._unsolved = True
            self.div_csr = READY_DIRTY
        elif offset == QUOTIENT or offset == REMAINDER:
            if self._unsolved:
                self._solve()
            super().write_uint32(offset, value)
        elif SPINLOCK <= offset < SPINLOCK + 0x80:
            self.spin_lock &= ~(1 << ((offset - SPINLOCK) >> 2))
        elif OUT_SET <= offset <= OUT_XOR:
            before = self.gpio_value
            if offset == OUT_SET:
                self.gpio_value = before | value & GPIO_MASK
            elif offset == OUT_CLR:
                self.gpio_value = before & ~value
            else:
                self.gpio_value = before ^ value & GPIO_MASK
            changed = before ^ self.gpio_value
            while changed:
                self.rp2040.gpio[(changed & -changed).bit_length() - 1].check_for_updates()
                changed &= changed - 1
        else:
            super().write_uint32(offset, value)
