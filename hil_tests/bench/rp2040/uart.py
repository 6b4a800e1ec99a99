"""PL011 UARTs and the serial cables at them.

Replaces `rp2040py`'s UART, which never lets go of its transmit interrupt and has no receive
timeout, no FIFO levels, no error bits and no receive DREQ. Register behaviour after the PL011
technical reference manual (ARM DDI 0183), as far as MicroPython and DMA use it: FIFOs of 32,
UARTIFLS levels, receive timeout after 32 bit times, error bits that travel with the character,
overrun on the next stored character, DREQ while the receive FIFO holds something, transmission
paced by the divisors.

`clk_peri` is set to 48 MHz: MicroPython runs it from the USB PLL, the emulator assumes 125 MHz.

While a UART is read by DMA alone (no receive interrupt), its characters need no event each:
`catch_up` moves them to memory when the guest looks (see `dma`). The result is the same, byte for
byte and stamp for stamp; `test_emulator.py` compares both ways.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from rp2040py.irq import IRQ
from rp2040py.peripherals.dma import DREQChannel
from rp2040py.peripherals.uart import RPUART, IUARTDMAChannels

from ..target import BREAK, FRAMING, PARITY, QueuedCable

CLK_PERI_HZ = 48_000_000
BASE = (0x40034000, 0x40038000)
SPEED_TOLERANCE = 0.045  # beyond it the stop bit of an 8N1 character is missed

RX, TX, RT, FE, PE, BE, OE = (1 << bit for bit in range(4, 11))
RECEIVE_INTERRUPTS = RX | RT | FE | PE | BE | OE
LEVELS = (4, 8, 16, 24, 28, 28, 28, 28)  # UARTIFLS codes, characters of 32

DR, RSR, FR, CR, IFLS, IMSC, RIS, MIS, ICR, DMACR = (
    0x00, 0x04, 0x18, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48,
)  # fmt: skip
_DATA_ERRORS = {FRAMING: (0x100, FE), PARITY: (0x200, PE), BREAK: (0x400, BE)}
_OVERRUN = 0x800


@dataclass
class UARTCable(QueuedCable):
    """A serial cable at a UART of the emulated board."""

    uart: PL011 | None = None

    def _queued(self) -> None:
        self.uart.characters_coming()


class PL011(RPUART):
    """One UART. `received` and `overruns` count characters since the target was built."""

    def __init__(self, mcu, number: int) -> None:
        channels = (
            IUARTDMAChannels(rx=DREQChannel.DREQ_UART0_RX, tx=DREQChannel.DREQ_UART0_TX),
            IUARTDMAChannels(rx=DREQChannel.DREQ_UART1_RX, tx=DREQChannel.DREQ_UART1_TX),
        )[number]
        irq = (IRQ.UART0, IRQ.UART1)[number]
        super().__init__(mcu, f"UART{number}", irq, channels)
        self.number = number
        self.data_register = BASE[number] + DR
        self.cable: UARTCable | None = None
        self.streams = None  # set by dma.Streams
        self.by_dma = False  # characters go to memory without an event each
        self.received = self.overruns = 0
        clock = mcu.clock
        self._clock = clock
        self._timeout_alarm = clock.create_alarm(self._timed_out)
        self._tx_alarm = clock.create_alarm(self._sent)
        self._rx_alarm = clock.create_alarm(self._arrived)
        self._clear()

    def _clear(self) -> None:
        self.rx_queue: deque[int] = deque()
        self.tx_queue: deque[int] = deque()
        self._shifting: int | None = None
        self._ifls = 0x12
        self._dmacr = 0
        self._raw = 0
        self._status = 0
        self._overrun = False
        self._baud_checked: tuple | None = None
        self._speed_matches = True

    def reset(self) -> None:
        super().reset()
        self._timeout_alarm.cancel()
        self._tx_alarm.cancel()
        self._clear()
        self.mode_changed()

    # -- the cable's end

    @property
    def char_ns(self) -> float:
        """Length of a character as the divisors and the line control say."""
        divider = self.baud_divider
        if not divider:
            return 1e10 / 115_200
        line = self._line_ctrl_register
        bits = 1 + self.word_length + bool(line & 2) + (2 if line & 8 else 1)
        return bits * 16e9 * divider / self.rp2040.clk_peri

    @property
    def listening(self) -> bool:
        """Whether characters are received at all."""
        return self.enabled and self.rx_enabled

    @property
    def reads_by_dma_only(self) -> bool:
        """No receive interrupt is enabled and DMA requests are."""
        return bool(
            self._dmacr & 1 and self.listening and not self._interrupt_mask & RECEIVE_INTERRUPTS
        )

    def characters_coming(self) -> None:
        """The cable has got characters to deliver."""
        if self.by_dma:
            self.streams.catch_up(self)
        else:
            self._arm()

    def mode_changed(self) -> None:
        """Registers of this UART or of the DMA were written: who takes the characters now?"""
        by_dma = self.streams is not None and self.streams.takes(self)
        if by_dma:
            self._rx_alarm.cancel()
        self.by_dma = by_dma
        if not by_dma:
            self._arm()

    def _arm(self) -> None:
        pending = self.cable.pending if self.cable is not None else None
        if pending:
            delta = pending[0][0] - self._clock.nanos
            self._rx_alarm.schedule(delta if delta > 0 else 0.0)
        else:
            self._rx_alarm.cancel()

    def _arrived(self) -> None:
        if self._dmacr & 1:
            self.mode_changed()  # perhaps DMA can take them without us by now
            if self.by_dma:
                self.streams.catch_up(self)
                return
        pending = self.cable.pending
        now = self._clock.nanos + 0.5
        while pending and pending[0][0] <= now:
            _, byte, errors = pending.popleft()
            self.receive(byte, errors)
        self._arm()

    def speed_matches(self) -> bool:
        """Whether the device's speed is ours, near enough for its stop bit."""
        key = (self.cable.baud, self._int_divisor, self._frac_divisor, self._line_ctrl_register)
        if key != self._baud_checked:
            self._baud_checked = key
            ratio = self.cable.byte_ns / self.char_ns
            self._speed_matches = abs(ratio - 1) < SPEED_TOLERANCE
        return self._speed_matches

    def receive(self, byte: int, errors: int = 0) -> None:
        """A character (with error bits of `target`) ends on the receive pin now."""
        if not self.listening:
            return
        if self.cable is not None and not self.speed_matches():
            byte, errors = byte ^ 0x55, errors | FRAMING
        self.received += 1
        depth = 32 if self.fifos_enabled else 1
        queue = self.rx_queue
        if len(queue) >= depth:
            self._overrun = True
            self.overruns += 1
            self._raw |= OE
        else:
            if errors:
                byte |= self.note_errors(errors)
            if self._overrun:
                byte |= _OVERRUN
                self._overrun = False
            queue.append(byte)
        if len(queue) >= self._rx_level():
            self._raw |= RX
        if self._interrupt_mask & RT:
            self._timeout_alarm.schedule(3.2 * self.char_ns)
        if self._dmacr & 1:
            self.rp2040.dma.set_dreq(self.dreq.rx)
        self._update_interrupt()

    def note_errors(self, errors: int) -> int:
        """Raise the interrupt bits of `errors`; returns the bits that go with the data."""
        bits = 0
        for error, (data, raw) in _DATA_ERRORS.items():
            if errors & error:
                bits |= data
                self._raw |= raw
        return bits

    def _rx_level(self) -> int:
        return LEVELS[self._ifls >> 3 & 7] if self.fifos_enabled else 1

    def _tx_level(self) -> int:
        return LEVELS[self._ifls & 7] if self.fifos_enabled else 0

    def _timed_out(self) -> None:
        if self.rx_queue:
            self._raw |= RT
            self._update_interrupt()

    def _update_interrupt(self) -> None:
        self.rp2040.set_interrupt(self.irq, bool(self._raw & self._interrupt_mask))

    # -- transmitter

    def _start_sending(self) -> None:
        if self._shifting is None and self.tx_queue:
            self._shifting = self.tx_queue.popleft()
            self._tx_alarm.schedule(self.char_ns)
            if len(self.tx_queue) <= self._tx_level():
                self._raw |= TX
        dma = self.rp2040.dma
        if self._dmacr & 2 and len(self.tx_queue) < 32:
            dma.set_dreq(self.dreq.tx)
        else:
            dma.clear_dreq(self.dreq.tx)

    def _sent(self) -> None:
        byte, self._shifting = self._shifting, None
        self._start_sending()
        cable = self.cable
        if cable is not None and cable.connected and cable.on_byte is not None:
            cable.on_byte(byte, int(self._clock.nanos + 0.5))
        self._update_interrupt()

    # -- registers

    def read_uint32(self, offset: int) -> int:
        if self.by_dma:
            self.streams.catch_up(self)
        if offset == DR:
            return self._read_data()
        if offset == RSR:
            return self._status
        if offset == FR:
            rx, tx = len(self.rx_queue), len(self.tx_queue)
            depth = 32 if self.fifos_enabled else 1
            return (
                (0x80 if not tx else 0)
                | (0x40 if rx >= depth else 0)
                | (0x20 if tx >= depth else 0)
                | (0x10 if not rx else 0)
                | (0x08 if tx or self._shifting is not None else 0)
            )
        if offset == IFLS:
            return self._ifls
        if offset == RIS:
            return self._raw
        if offset == MIS:
            return self._raw & self._interrupt_mask
        if offset == DMACR:
            return self._dmacr
        return super().read_uint32(offset)

    def _read_data(self) -> int:
        queue = self.rx_queue
        value = queue.popleft() if queue else 0
        self._status = value >> 8 & 0xF
        if len(queue) < self._rx_level():
            self._raw &= ~RX
        if not queue:
            self._raw &= ~RT
            self._timeout_alarm.cancel()
            if self._dmacr & 1:
                self.rp2040.dma.clear_dreq(self.dreq.rx)
        self._update_interrupt()
        return value

    def write_uint32(self, offset: int, value: int) -> None:
        if self.by_dma:
            self.streams.catch_up(self)
        if offset == DR:
            if len(self.tx_queue) < (32 if self.fifos_enabled else 1):
                self.tx_queue.append(value & 0xFF)
            if len(self.tx_queue) > self._tx_level():
                self._raw &= ~TX
            self._start_sending()
            self._update_interrupt()
            return
        if offset == RSR:
            self._status = 0
        elif offset == CR:
            self._ctrl_register = value
        elif offset == IFLS:
            self._ifls = value & 0x3F
        elif offset == IMSC:
            self._interrupt_mask = value & 0x7FF
            if value & RT and self.rx_queue:
                self._timeout_alarm.schedule(3.2 * self.char_ns)
            self._update_interrupt()
        elif offset == ICR:
            self._raw &= ~self.raw_write_value
            self._update_interrupt()
        elif offset == DMACR:
            self._dmacr = value & 7
            dma = self.rp2040.dma
            if value & 1 and self.rx_queue:
                dma.set_dreq(self.dreq.rx)
            else:
                dma.clear_dreq(self.dreq.rx)
            self._start_sending()
        else:
            super().write_uint32(offset, value)
        self.mode_changed()


def install(mcu) -> list[PL011]:
    """Replace both UARTs of an emulator; returns the new ones."""
    mcu.clk_peri = CLK_PERI_HZ
    uarts = [PL011(mcu, number) for number in (0, 1)]
    for number, uart in enumerate(uarts):
        mcu.uart[number] = uart
        mcu.peripherals[BASE[number] >> 12] = uart
    return uarts
