"""The bench's I2C bus on the emulated RP2040: controller registers and bare pins.

The emulated controller calls back for start, address, bytes and stop; each is completed from an
alarm after its time on the wire (9 bits a byte, at the speed that the divisors say), so that a
transfer takes as long as it does on the board. MicroPython sends zero-length probes (`scan()`,
`writeto(addr, b"")`) and a driver's bus recovery by toggling the pins itself; those are decoded
from the pins' edges and acknowledged on the pin.

Mended in the emulated controller (on the instance): an abort leaves the transmit FIFO empty and
says so (else a missing acknowledge ended in a time-out instead of EIO), and TX_EMPTY comes only
when the last byte has left the shifter (else the missing acknowledge of a data byte is not seen),
and switching the controller off, as the driver does after a time-out, ends what was under way
(else the next transfer went on with it, without a start).
"""

from __future__ import annotations

from collections.abc import Callable

from rp2040py.gpio_pin import GPIOPinState
from rp2040py.peripherals import i2c as _i2c

from ..i2c import I2CBus

FUNCTION_SIO = 5


class I2CMaster:
    """Connects one controller and its two pins with an `I2CBus`."""

    def __init__(self, mcu, bus: I2CBus, number: int, sda: int, scl: int) -> None:
        self._bus = bus
        self._hw = mcu.i2c[number]
        self._alarm = mcu.clock.create_alarm(self._fire)
        self._todo: tuple[Callable, tuple] | None = None
        self._shifting = False
        self._pins = {"sda": mcu.gpio[sda], "scl": mcu.gpio[scl]}
        self._low: dict[str, set[str]] = {"sda": set(), "scl": set()}
        self._mend()
        self._watch_pins()
        bus.on_hold = self._held
        for line in ("sda", "scl"):
            self._release(line, "")

    @property
    def bit_ns(self) -> float:
        """Length of a bit: the SCL counts are in cycles of clk_sys, 8 ns."""
        return 8.0 * (self._hw.scl_high_period + self._hw.scl_low_period)

    # -- the controller

    def _mend(self) -> None:
        hw = self._hw
        hw.on_start, hw.on_connect, hw.on_stop = self._start, self._connect, self._stop
        hw.on_write_byte, hw.on_read_byte = self._write, self._read
        stock_abort, stock_set, stock_reset = hw._abort, hw._set_interrupts, hw.reset
        stock_read, stock_write = hw.read_uint32, hw.write_uint32

        def abort(reason: int) -> None:
            stock_abort(reason)
            self._shifting = False
            stock_set(_i2c.R_TX_EMPTY)

        def set_interrupts(mask: int) -> None:
            if self._shifting:
                mask &= ~_i2c.R_TX_EMPTY
            if mask:
                stock_set(mask)

        def give_up() -> None:
            self._alarm.cancel()
            self._todo = None
            self._shifting = False
            self._bus.stop()

        def reset() -> None:
            give_up()
            stock_reset()

        def write(offset: int, value: int) -> None:
            if offset == _i2c.IC_ENABLE and not value & 1 and hw._state != _i2c.I2CState.IDLE:
                give_up()
                hw._state = _i2c.I2CState.IDLE
                hw._busy = hw._stop = hw._pending_restart = False
                hw.enable &= ~_i2c.ABORT
            stock_write(offset, value)

        def read(offset: int) -> int:
            if offset == _i2c.IC_RAW_INTR_STAT:  # the driver looks at it all the time
                return hw.int_raw
            if offset == _i2c.IC_RXFLR:
                return hw._rx_fifo.item_count
            return stock_read(offset)

        hw._abort, hw._set_interrupts, hw.reset = abort, set_interrupts, reset
        hw.read_uint32, hw.write_uint32 = read, write
        self._set_interrupts = stock_set

    def _later(self, bits: int, fn: Callable, *args) -> None:
        self._todo = (fn, args)
        if "scl" not in self._bus.held:
            self._alarm.schedule(bits * self.bit_ns + self._bus.stretch_ns)

    def _fire(self) -> None:
        (fn, args), self._todo = self._todo, None
        fn(*args)

    def _start(self, repeated: bool) -> None:
        if "sda" in self._bus.held:
            self._later(1, self._hw.arbitration_lost)
        else:
            self._later(1, self._hw.complete_start)

    def _connect(self, address: int, mode: int) -> None:
        acked = self._bus.address(address, bool(mode))
        self._later(9, self._hw.complete_connect, acked)

    def _write(self, byte: int) -> None:
        self._shifting = True
        self._later(9, self._written, self._bus.write(byte))

    def _written(self, acked: bool) -> None:
        self._shifting = False
        hw = self._hw
        hw.complete_write(acked)
        if hw._tx_fifo.empty and not self._shifting:
            self._set_interrupts(_i2c.R_TX_EMPTY)

    def _read(self, ack: bool) -> None:
        self._later(9, self._hw.complete_read, self._bus.read())

    def _stop(self) -> None:
        self._bus.stop()
        self._later(1, self._hw.complete_stop)

    # -- the wires

    def _pull(self, line: str, who: str) -> None:
        self._low[line].add(who)
        self._pins[line].set_input_value(False)

    def _release(self, line: str, who: str) -> None:
        self._low[line].discard(who)
        if not self._low[line]:
            self._pins[line].set_input_value(True)  # the bus has pull-up resistors

    def _held(self, line: str, on: bool) -> None:
        if on:
            self._pull(line, "held")
        else:
            self._release(line, "held")
        if line == "scl":
            if on:
                self._alarm.cancel()
            elif self._todo is not None:
                self._alarm.schedule(self.bit_ns)

    def _watch_pins(self) -> None:
        sda, scl = self._pins["sda"], self._pins["scl"]
        active, bits, shift = False, 0, 0

        def high(state) -> bool:
            return state != GPIOPinState.LOW

        def driven(line: str, new) -> None:
            # what the board itself pulls low is low for its own input, too
            if new == GPIOPinState.LOW:
                self._pull(line, "board")
            else:
                self._release(line, "board")

        def on_sda(new, old) -> None:
            nonlocal active, bits, shift
            if sda.function_select != FUNCTION_SIO:
                self._release("sda", "board")
                return
            driven("sda", new)
            if not high(scl.value):
                return
            if high(old) and not high(new):
                active, bits, shift = True, 0, 0
            elif high(new) and not high(old):
                active = False
                self._release("sda", "ack")

        def on_scl(new, old) -> None:
            nonlocal active, bits, shift
            if scl.function_select != FUNCTION_SIO:
                self._release("scl", "board")
                return
            driven("scl", new)
            if high(new) and not high(old):
                if self._bus.held:
                    self._bus.clocked()
                if not active:
                    return
                bits += 1
                if bits <= 8:
                    shift = (shift << 1 | high(sda.value)) & 0x1FF
            elif high(old) and not high(new) and active:
                if bits == 8:
                    if self._bus.would_answer(shift >> 1):
                        self._pull("sda", "ack")
                elif bits >= 9:
                    self._release("sda", "ack")

        sda.add_listener(on_sda)
        scl.add_listener(on_scl)
