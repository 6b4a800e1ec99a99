"""RP2040: what of `gauge.hw` needs the chip's own blocks.

- A laser's bytes: DMA channel D moves three of them from the UART into a ring, channel S then
  moves one word of the microsecond timer into a second ring and starts D again. No byte costs
  CPU time, none is lost while a flash write holds the interrupts off, and every third one has
  its time from hardware.
- Web encoder: a PIO program counts both edges of A in its registers X and Y.
- /RDY: a hard interrupt notes the time.

Registers: RP2040 data sheet, 3.7 (PIO), 4.2.8 (UART), 4.6.5 (timer), 4.7.6 (watchdog).
"""

import os
import time
from array import array

import board
import machine
import micropython
import rp2
import uctypes
from machine import Pin
from micropython import const

from gauge.boots import Boots
from gauge.hw import rp2_dma
from gauge.hw.common import EDGES, Console, Ready, Sleep, Store, free_bus, usb_link
from gauge.hw.flash import Flash
from gauge.hw.pins import Inputs, Outputs, service_pin  # noqa: F401

_TIMERAWL = const(0x40054028)
_WATCHDOG_CTRL_CLEAR = const(0x4005B000)  # writing a bit clears it in WATCHDOG_CTRL
_WATCHDOG_REASON = const(0x40058008)
_UART = const(0x40034000)  # UART 0; UART 1 is 0x4000 further on
_BLOCK_COUNT = const(4)  # request of a block device's ioctl
_TEMPERATURE_INPUT = const(4)  # of the ADC
_DREQ_UART_RX = (21, 23)

_ready_words = array("i", [0] * (1 + EDGES))


@micropython.viper
def _on_ready(_pin):
    """Hard interrupt: note the time of the fall, then count it."""
    words = ptr32(_ready_words)
    count = words[0]
    words[1 + (count & 15)] = ptr32(int(0x40054028))[0] & 0x3FFFFFFF
    words[0] = (count + 1) & 0x3FFFFFFF


@micropython.viper
def _uart_drain(base: int):
    """Empty the receive FIFO of a UART."""
    regs = ptr32(base)
    tries = 40
    while tries and not regs[6] & 0x10:  # UARTFR.RXFE
        regs[0]
        tries -= 1


@micropython.viper
def _uart_send(base: int, data: ptr8, n: int) -> int:
    """Put `n` bytes (at most 32) into an empty transmit FIFO; return n, or 0 when it is not."""
    regs = ptr32(base)
    if not regs[6] & 0x80:  # UARTFR.TXFE
        return 0
    for i in range(n):
        regs[0] = data[i]
    return n


@micropython.viper
def _uart_divide(base: int, divisor: int):
    """Set the divisor of the baud rate, in 1/64."""
    regs = ptr32(base)
    control = regs[12]  # UARTCR: off meanwhile
    regs[12] = 0
    regs[9] = divisor >> 6
    regs[10] = divisor & 63
    regs[11] = regs[11]  # writing UARTLCR_H makes both valid
    regs[12] = control


@micropython.viper
def _uart_errors(base: int) -> int:
    """Count the kinds of receive errors since the last call: overrun, break, parity, framing."""
    regs = ptr32(base)
    seen = regs[15] & 0x780  # UARTRIS
    if seen == 0:
        return 0
    regs[17] = seen  # UARTICR
    count = 0
    while seen:
        count += seen & 1
        seen >>= 1
    return count


class LaserStream:
    """One laser's line; see `gauge.hw`."""

    def __init__(self, uart, tx, rx, baud, size):
        if size < 4096 or size & (size - 1):
            raise ValueError("LASER_RING is %d, not a power of two from 4096 on" % size)
        bits = len(bin(size)) - 3
        Pin(rx, Pin.IN, Pin.PULL_UP)  # an open line is idle, not a break
        self._uart = machine.UART(uart, baud, tx=Pin(tx), rx=Pin(rx), rxbuf=32, txbuf=32)
        self.baud = baud
        self._base = _UART + 0x4000 * uart
        regs = machine.mem32
        self._divisor = (regs[self._base + 0x24] << 6) + regs[self._base + 0x28]
        machine.mem32[self._base + 0x38] = 0  # UARTIMSC: DMA takes the bytes, not the driver
        machine.mem32[self._base + 0x48] = 1  # UARTDMACR: receive requests
        owner, first = rp2_dma.aligned(size, 2)
        self._owner = owner
        address = uctypes.addressof(owner) + 4 * first
        self.ring = uctypes.bytearray_at(address, size)
        self.stamps = memoryview(owner)[first + size // 4 : first + size // 2]
        self._address = address
        self._mask = size - 1
        self._tail = 0  # of read()
        self._data = rp2.DMA()
        self._stamp = rp2.DMA()
        self._channel = self._data.channel
        self._data_ctrl = self._data.pack_ctrl(
            size=0,
            inc_read=False,
            ring_size=bits,
            ring_sel=True,
            treq_sel=_DREQ_UART_RX[uart],
            chain_to=self._stamp.channel,
        )
        self._stamp_ctrl = self._stamp.pack_ctrl(
            size=2,
            inc_read=False,
            ring_size=bits,
            ring_sel=True,
            treq_sel=rp2_dma.FOREVER,
            chain_to=self._channel,
        )
        self.start()

    def start(self):
        """Begin at index 0 of both rings."""
        if rp2_dma.stop_pair(self._channel, self._stamp.channel):
            raise OSError(
                "DMA channels %d and %d do not stop" % (self._channel, self._stamp.channel)
            )
        self._data.config(
            read=self._base, write=self._address, count=3, ctrl=self._data_ctrl, trigger=False
        )
        self._stamp.config(
            read=_TIMERAWL,
            write=self._address + self._mask + 1,
            count=1,
            ctrl=self._stamp_ctrl,
            trigger=False,
        )
        self._tail = 0
        _uart_drain(self._base)  # old bytes would get wrong times
        self._data.active(1)

    def stop(self):
        """Command mode: read() gives what comes from now on."""
        self._tail = self.head()

    def head(self):
        """Ring index of the next byte."""
        return rp2_dma.write_index(self._channel, self._mask)

    def poll(self):
        """Nothing to do: DMA works."""

    def read(self, buf):
        """Take at most len(buf) bytes that came since stop(); return how many."""
        tail = self._tail
        mask = self._mask
        n = (self.head() - tail) & mask
        if n > len(buf):
            n = len(buf)
        if n:
            self._tail = (tail + n) & mask
            rp2_dma.from_ring(self.ring, tail, n, mask, buf)
        return n

    def write(self, data):
        """Send a command of at most 32 bytes: its length, or 0 while the transmitter is busy."""
        if len(data) > 32:
            raise ValueError("a command has at most 32 bytes")
        return _uart_send(self._base, data, len(data))

    def set_baud(self, baud):
        """Use another baud rate from now on; `baud` as built is the attribute of that name."""
        _uart_divide(self._base, self._divisor * (self.baud // 100) // (baud // 100))

    def errors(self):
        """Kinds of framing, parity, break and overrun errors since the last call, 0..4."""
        return _uart_errors(self._base)


@rp2.asm_pio(autopush=True, push_thresh=32)
def _count_edges():
    """Count both edges of A down: forward ones in X, backward ones in Y.

    A leads B forward: a rise of A with B low and a fall with B high are steps forward. X and Y
    go through zero to 2**32 - 1; a jump on a zero register falls through to the same place.
    """
    # fmt: off
    wrap_target()  # noqa: F821
    label("rise")  # noqa: F821
    wait(1, pin, 0)  # noqa: F821
    jmp(pin, "rise_backward")  # noqa: F821
    jmp(x_dec, "fall")  # noqa: F821
    jmp("fall")  # noqa: F821
    label("rise_backward")  # noqa: F821
    jmp(y_dec, "fall")  # noqa: F821
    label("fall")  # noqa: F821
    wait(0, pin, 0)  # noqa: F821
    jmp(pin, "fall_forward")  # noqa: F821
    jmp(y_dec, "rise")  # noqa: F821
    jmp("rise")  # noqa: F821
    label("fall_forward")  # noqa: F821
    jmp(x_dec, "rise")  # noqa: F821
    wrap()  # noqa: F821
    # fmt: on


_FALL = const(5)  # place of the label "fall" in the program


@micropython.viper
def _read_xy(base: int, machine: int) -> int:
    """Return Y - X of a state machine, folded into +-2**29.

    Lets the machine execute 'in x, 32' and 'in y, 32', which push the register, between two of
    its own instructions: counting goes on. 2**29 tells that it did not answer.
    """
    regs = ptr32(base)
    empty = 0x100 << machine  # FSTAT.RXEMPTY
    fifo = 8 + machine
    instr = 54 + 6 * machine
    tries = 8
    while tries and not regs[1] & empty:  # left over from a read that was broken off
        regs[fifo]
        tries -= 1
    regs[instr] = 0x4020
    tries = 1000
    while tries and regs[1] & empty:
        tries -= 1
    x = regs[fifo]
    regs[instr] = 0x4040
    while tries and regs[1] & empty:
        tries -= 1
    y = regs[fifo]
    if tries == 0:
        return 0x20000000
    return ((y - x + 0x20000000) & 0x3FFFFFFF) - 0x20000000


class Encoder:
    """Web encoder on a state machine; counts up when A leads B."""

    def __init__(self, machine_id, a, b, hz):
        pin_a = Pin(a, Pin.IN, Pin.PULL_UP)
        pin_b = Pin(b, Pin.IN, Pin.PULL_UP)
        self._base = 0x50200000 + 0x100000 * (machine_id >> 2)
        self._machine = machine_id & 3
        self._counts = 0
        self._sm = rp2.StateMachine(
            machine_id, _count_edges, freq=hz, in_base=pin_a, jmp_pin=pin_b
        )
        for instruction in (0xE020, 0xE040):  # set x, 0; set y, 0
            self._sm.exec(instruction)
        if pin_a.value():  # begin with the other edge
            self._sm.exec(_count_edges[1 + (machine_id >> 2)] + _FALL)  # jmp
        self._sm.active(1)

    def counts(self):
        """Signed counts since the start, folded into +-2**29. No allocation, 0.03 ms."""
        counts = _read_xy(self._base, self._machine)
        if counts != 0x20000000:
            self._counts = counts
        return self._counts


def _laser(letter):
    return LaserStream(
        getattr(board, "LASER_%s_UART" % letter),
        getattr(board, "PIN_LASER_%s_TX" % letter),
        getattr(board, "PIN_LASER_%s_RX" % letter),
        board.LASER_BAUD,
        board.LASER_RING,
    )


def _reset_cause():
    """What the chip knows of the cause of its last reset."""
    reason = machine.mem32[_WATCHDOG_REASON]
    if reason & 1:
        return "watchdog"
    return "reset" if reason & 2 else "power"


def temperature_mc(raw):
    """Return the temperature, thousandths of a degree, for a reading of the chip's sensor, 16 bit.

    27 C - (U - 0.706 V) / 1.721 mV/K with a reference of 3.3 V: RP2040 data sheet, 4.9.5.
    """
    return 27_000 - (raw * 3300 // 65535 - 706) * 581


def _journal_flash():
    """Return the flash of the journal; None on an image whose file system takes it all."""
    blocks = os.statvfs("/")[2]
    whole = rp2.Flash()
    if blocks + board.JOURNAL_SECTORS > whole.ioctl(_BLOCK_COUNT, 0):
        return None
    return Flash(whole, blocks, board.JOURNAL_SECTORS)


def restart():
    """Restart the board: everything is off then. Does not return."""
    os.sync()
    machine.reset()


class Hardware:
    """The board; see `gauge.hw`."""

    def __init__(self):
        self.board = board
        self.name = board.NAME
        self.now = time.ticks_us
        self.outputs = Outputs()  # first: nothing is driven by chance
        self.inputs = Inputs()
        self.lasers = (_laser("A"), _laser("B"))
        self.i2c = self._make_i2c()
        pin = Pin(board.PIN_READY, Pin.IN, Pin.PULL_UP)
        pin.irq(_on_ready, Pin.IRQ_FALLING, hard=True)
        self.ready = Ready(_ready_words, pin)
        self.encoder = Encoder(
            board.ENCODER_MACHINE, board.PIN_ENCODER_A, board.PIN_ENCODER_B, board.ENCODER_HZ
        )
        sleep = Sleep(_ready_words)
        self.idle = sleep.idle
        self.idle_words = sleep.words
        self.usb = usb_link(board, Console(sleep.poll))
        self.uart = None
        if board.LINK_UART == "pio":
            from gauge.hw.rp2_uart import PIOUART

            self.uart = PIOUART()
        self.store = Store()
        self._boots = Boots(self.store, _reset_cause())
        self.resets = self._boots.by_cause
        self.flash = _journal_flash()
        self._adc = machine.ADC(_TEMPERATURE_INPUT)
        self._watchdog = None

    def _make_i2c(self):
        return machine.I2C(
            board.I2C_ID,
            sda=Pin(board.PIN_I2C_SDA),
            scl=Pin(board.PIN_I2C_SCL),
            freq=board.I2C_HZ,
            timeout=board.I2C_TIMEOUT_US,
        )

    def free_i2c(self):
        """Clock a chip that holds SDA to the end of its byte; return whether the bus is free."""
        free = free_bus(Pin, board.PIN_I2C_SDA, board.PIN_I2C_SCL)
        self._make_i2c()  # the same object; gives the pins back to the block
        return free

    def unique_id(self):
        """Return the flash chip's serial number, 8 bytes."""
        return machine.unique_id()

    def boot_id(self):
        """Return the number of this boot, 1..2**30 - 1."""
        return self._boots.number

    def reset_cause(self):
        """Return why the board started, one of `health.RESET_CAUSES`."""
        return self._boots.cause

    def board_mc(self):
        """Return the temperature of the chip, to about 5 K."""
        return temperature_mc(self._adc.read_u16())

    def watchdog_start(self, ms):
        """Start the watchdog; at most 8388 ms."""
        self._watchdog = machine.WDT(timeout=ms)

    def watchdog_feed(self):
        """Feed the watchdog, if it was started."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def watchdog_stop(self):
        """Stop the watchdog, so that the REPL can be used after the gauge."""
        machine.mem32[_WATCHDOG_CTRL_CLEAR] = 1 << 30  # ENABLE
        self._watchdog = None

    def reset(self):
        """Restart the board. Does not return."""
        self.outputs.all_off()
        restart()

    def bootloader(self):
        """Show the board as a drive for a new image. Does not return."""
        self.outputs.all_off()
        os.sync()
        machine.bootloader()
