"""DMA of serial streams in bulk, and what the emulator's DMA block gets wrong.

A laser's bytes arrive every 10.85 us and go to a ring in memory without the CPU: channel D moves
three of them from the UART, then channel S writes one word of the microsecond timer into a ring
of stamps and starts D again. One emulator event per byte would dominate the run time, though the
guest notices a byte only when it looks. So `Streams` leaves the characters on the cable and moves
all that have arrived, each with the time of its own arrival, as soon as the guest reads or writes
a register of the DMA block or of the UART, or the cable gets more (that is at most one sample
later, so a guest that looks into memory only is served, too).

Served are channels whose completion interrupts nobody and whose chain is D alone or D <-> S as
above, S with a word read from a fixed address of the timer; everything else takes the emulator's
own path.
"""

from __future__ import annotations

from rp2040py.peripherals import dma as _dma

SRAM = 0x20000000
SRAM_BYTES = 264 * 1024
TIMERAWL = 0x40054028


class Streams:
    """Takes over the DMA block's registers of one emulator.

    `bulk` False leaves every transfer to the emulator's own, slower path; `moved` counts bytes.
    """

    def __init__(self, mcu, uarts) -> None:
        self._mcu = mcu
        self._dma = mcu.dma
        self._sram = mcu.sram
        self._uarts = uarts
        self._bulk = True
        self.moved = 0
        self._stock_read = self._dma.read_uint32
        self._stock_write = self._dma.write_uint32
        self._stock_timer = self._dma.get_timer
        self._stock_reset = self._dma.reset
        self._dma.read_uint32 = self._read
        self._dma.write_uint32 = self._write
        self._dma.get_timer = self._get_timer
        self._dma.reset = self._reset
        for uart in uarts:
            uart.streams = self

    @property
    def bulk(self) -> bool:
        """Whether streams may be moved in bulk."""
        return self._bulk

    @bulk.setter
    def bulk(self, allowed: bool) -> None:
        for uart in self._uarts:
            if uart.by_dma:
                self.catch_up(uart)
        self._bulk = allowed
        for uart in self._uarts:
            uart.mode_changed()

    # -- registers

    def _read(self, offset: int) -> int:
        for uart in self._uarts:
            if uart.by_dma:
                self.catch_up(uart)
        if offset == _dma.CHAN_ABORT:
            return 0  # the emulator's aborts are done at once
        return self._stock_read(offset)

    def _write(self, offset: int, value: int) -> None:
        for uart in self._uarts:
            if uart.by_dma:
                self.catch_up(uart)
        self._stock_write(offset, value)
        for uart in self._uarts:
            uart.mode_changed()

    def _reset(self) -> None:
        self._stock_reset()
        for uart in self._uarts:
            uart.mode_changed()

    def _get_timer(self, treq: int) -> float:
        if treq != _dma.TREQ.TIMER3:
            return self._stock_timer(treq)
        dividend, divisor = self._dma._timer3 >> 16, self._dma._timer3 & 0xFFFF
        return dividend / divisor * 1e6 / self._mcu.clk_sys if divisor else 0

    # -- which channels

    def _channel(self, uart):
        """The channel that reads the UART's data register now, or None."""
        for channel in self._dma.channels:
            if (
                channel.treq == uart.dreq.rx
                and channel.active
                and channel._read_addr == uart.data_register
            ):
                return channel
        return None

    def _quiet(self, channel) -> bool:
        enabled = self._dma._int_enable0 | self._dma._int_enable1
        return bool(channel._ctrl & _dma.IRQ_QUIET) or not enabled >> channel.index & 1

    def _to_ring(self, channel, size: int) -> bool:
        """The channel writes words of `size` bytes into memory, from a fixed register."""
        ctrl = channel._ctrl
        start = channel._write_addr - SRAM
        return (
            channel._data_size == size
            and ctrl & _dma.INCR_WRITE
            and not ctrl & (_dma.INCR_READ | _dma.BSWAP)
            and 0 <= start < SRAM_BYTES
            and (not channel._ring_mask or bool(ctrl & _dma.RING_SEL))
        )

    def _stamper(self, channel):
        """The channel S of a chain D <-> S; None for no chain, False for an unserved one."""
        if channel._chain_to == channel.index:
            return None
        stamper = self._dma.channels[channel._chain_to]
        served = (
            stamper._ctrl & _dma.EN
            and not stamper._ctrl & _dma.BUSY
            and stamper._treq_value == _dma.TREQ.PERMANENT
            and stamper._read_addr == TIMERAWL
            and stamper._trans_count_reload == 1
            and stamper._chain_to == channel.index
            and self._to_ring(stamper, 4)
            and self._quiet(stamper)
        )
        return stamper if served else False

    def takes(self, uart) -> bool:
        """Whether the UART's characters can be moved in bulk from now on."""
        if not self._bulk or uart.cable is None or uart.rx_queue or not uart.reads_by_dma_only:
            return False
        if not uart.speed_matches():
            return False
        channel = self._channel(uart)
        return (
            channel is not None
            and self._to_ring(channel, 1)
            and self._quiet(channel)
            and self._stamper(channel) is not False
        )

    # -- moving

    def catch_up(self, uart) -> None:
        """Move every character that has arrived, as the hardware had done."""
        pending = uart.cable.pending
        now = self._mcu.clock.nanos + 0.5
        if not pending or pending[0][0] > now:
            return
        channel = self._channel(uart)
        stamper = self._stamper(channel)
        if not uart.speed_matches():
            self._to_fifo(uart, now)
            return
        sram, pop = self._sram, pending.popleft
        address, mask = channel._write_addr - SRAM, channel._ring_mask
        base = address & ~mask
        left, reload = channel._trans_count, channel._trans_count_reload
        epoch = self._mcu.timer._epoch_nanos
        moved = 0
        while pending and pending[0][0] <= now:
            t_ns, byte, errors = pop()
            moved += 1
            if errors:
                uart.note_errors(errors)
            sram[address] = byte
            address += 1
            if mask:
                address = base | (address & mask)
            left -= 1
            if left:
                continue
            if stamper is None:
                channel._ctrl &= ~_dma.BUSY
                break
            self._stamp(stamper, int((t_ns - epoch) / 1000) & 0xFFFFFFFF)
            left = reload
        channel._write_addr = address + SRAM
        channel._trans_count = left
        self.moved += moved
        uart.received += moved
        if not left:
            uart.by_dma = False
            self._to_fifo(uart, now)

    def _stamp(self, channel, ticks: int) -> None:
        address = channel._write_addr - SRAM
        self._sram[address : address + 4] = ticks.to_bytes(4, "little")
        mask = channel._ring_mask
        following = address + 4
        if mask:
            following = (address & ~mask) | (following & mask)
        channel._write_addr = following + SRAM

    def _to_fifo(self, uart, now: float) -> None:
        """What the chain does not take goes the usual way."""
        pending = uart.cable.pending
        uart.by_dma = False
        while pending and pending[0][0] <= now:
            _, byte, errors = pending.popleft()
            uart.receive(byte, errors)
        uart.mode_changed()
