"""ESP32: what of `gauge.hw` needs the port's own drivers.

Written against MicroPython 1.25 and later; compiled in the tests for xtensawin and rv32imc, not
run on silicon here. It differs from the RP2040 in three ways: laser bytes come through the UART
driver's buffer and their times are estimated (`gauge.hw.uart_ring`), /RDY is noted by a scheduled
handler (up to a millisecond late), and the encoder needs machine.Encoder (1.26 and later) to
count every edge; without it a pin handler counts, which follows some thousand edges a second.
"""

import time
from array import array

import board
import machine
from esp32 import Partition
from machine import Pin
from micropython import const

from gauge import health
from gauge.boots import Boots
from gauge.hw.common import (
    EDGES,
    Console,
    Pace,
    Ready,
    Sleep,
    Store,
    free_bus,
    usb_link,
)
from gauge.hw.flash import Flash
from gauge.hw.pins import Inputs, Outputs, service_pin  # noqa: F401
from gauge.hw.uart_ring import StampedRing

_MASK = const(0x3FFFFFFF)
_RXBUF = const(4096)
_CHUNK = const(256)
_REPL_BAUD = const(115_200)
_CONSOLE_FIFO = const(128)
_BLOCK_COUNT = const(4)  # request of a block device's ioctl
_LONG_MS = const(0x7FFFFFF)  # a watchdog cannot be stopped here, only be made to wait

_ready_words = array("i", [0] * (1 + EDGES))


def _on_ready(_pin):
    """Scheduled handler: note the time of the fall, then count it."""
    count = _ready_words[0]
    _ready_words[1 + (count & 15)] = time.ticks_us()
    _ready_words[0] = (count + 1) & _MASK


class LaserStream:
    """One laser's line; see `gauge.hw`."""

    def __init__(self, uart, tx, rx, baud, size):
        # timeout_char 1: the driver then interrupts per lump, not per byte
        self._uart = machine.UART(
            uart,
            baud,
            tx=Pin(tx),
            rx=Pin(rx, Pin.IN, Pin.PULL_UP),
            rxbuf=_RXBUF,
            txbuf=256,
            timeout=0,
            timeout_char=1,
        )
        self._rings = StampedRing(size, baud)
        self.ring = self._rings.ring
        self.stamps = self._rings.stamps
        self._chunk = bytearray(_CHUNK)
        self._streaming = False
        self._errors = 0

    def start(self):
        """Begin at index 0 of both rings."""
        self._drop()
        self._rings.restart()
        self._streaming = True

    def stop(self):
        """Command mode: read() gives what comes from now on."""
        self._drop()
        self._streaming = False

    def head(self):
        """Ring index of the next byte."""
        return self._rings.head()

    def poll(self):
        """Take in what the driver has."""
        if not self._streaming:
            return
        uart = self._uart
        waiting = uart.any()
        if waiting >= _RXBUF:
            self._errors += 1  # the driver's buffer is full: bytes were lost
        now = time.ticks_us()
        while waiting > 0:
            n = uart.readinto(self._chunk, min(waiting, _CHUNK))
            if not n:
                break
            self._rings.put(self._chunk, n, now)
            waiting -= n

    def read(self, buf):
        """Take at most len(buf) bytes that came since stop(); return how many."""
        waiting = self._uart.any()
        if waiting == 0:
            return 0
        return self._uart.readinto(buf, min(waiting, len(buf))) or 0

    def write(self, data):
        """Send a command of at most 32 bytes; the driver's buffer has room for several."""
        if len(data) > 32:
            raise ValueError("a command has at most 32 bytes")
        return self._uart.write(data) or 0

    def errors(self):
        """Times that the driver's buffer was full since the last call; it tells no others."""
        errors = self._errors
        self._errors = 0
        return errors

    def _drop(self):
        for _ in range(2 * _RXBUF // _CHUNK):
            if not self._uart.any():
                break
            self._uart.readinto(self._chunk, min(self._uart.any(), _CHUNK))


class _PinCounter:
    """Counts both edges of A in a pin handler."""

    def __init__(self, a, b):
        self._a = a
        self._b = b
        self._counts = 0
        a.irq(self._edge, Pin.IRQ_RISING | Pin.IRQ_FALLING)

    def _edge(self, _pin):
        self._counts += 1 if self._a.value() != self._b.value() else -1

    def value(self):
        return self._counts


class Encoder:
    """Web encoder; counts both edges of A, up when A leads B."""

    def __init__(self, unit, a, b):
        pin_a = Pin(a, Pin.IN, Pin.PULL_UP)
        pin_b = Pin(b, Pin.IN, Pin.PULL_UP)
        if hasattr(machine, "Encoder"):
            self._counter = machine.Encoder(unit, pin_a, pin_b, phases=2)
        else:
            self._counter = _PinCounter(pin_a, pin_b)

    def counts(self):
        """Signed counts since the start, folded into +-2**29; to be called every 32000 counts."""
        return ((self._counter.value() + 0x20000000) & _MASK) - 0x20000000


class BridgedConsole(Console):
    """The console at the board's USB bridge, faster while the link has it."""

    def open(self):
        super().open()
        if board.CONSOLE_BAUD:
            machine.UART(0, baudrate=board.CONSOLE_BAUD)

    def close(self):
        super().close()
        if board.CONSOLE_BAUD:
            machine.UART(0, baudrate=_REPL_BAUD)


class UARTLink:
    """A UART of its own as a transport of the link."""

    def __init__(self):
        self._uart = machine.UART(
            board.LINK_UART,
            board.LINK_BAUD,
            tx=Pin(board.PIN_LINK_TX),
            rx=Pin(board.PIN_LINK_RX),
            rxbuf=board.LINK_UART_RING,
            txbuf=board.LINK_UART_RING,
            timeout=0,
            timeout_char=1,
        )
        self._pace = Pace(board.LINK_UART_RING, board.LINK_BAUD)

    def open(self):
        """Nothing to do: no REPL is on this line."""

    def close(self):
        """Nothing to do."""

    def write(self, buf, n, start=0):
        """Send as much of buf[start:start + n] as the driver takes at once; return how much."""
        n = self._pace.grant(n)
        return (self._uart.write(buf, start, n) or 0) if n else 0

    def readinto(self, buf):
        """Take what has come, at most len(buf) bytes; return how many."""
        waiting = self._uart.any()
        return (self._uart.readinto(buf, min(waiting, len(buf))) or 0) if waiting else 0


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
    cause = machine.reset_cause()
    if cause == machine.WDT_RESET:
        return "watchdog"
    return "reset" if cause == machine.SOFT_RESET else "power"


def restart():
    """Restart the board: everything is off then. Does not return."""
    machine.reset()


def _journal_flash():
    """Return the flash of the journal; None when there is no partition for it."""
    found = Partition.find(Partition.TYPE_DATA, label="journal")
    if not found:
        return None
    return Flash(found[0], 0, min(board.JOURNAL_SECTORS, found[0].ioctl(_BLOCK_COUNT, 0)))


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
        pin.irq(_on_ready, Pin.IRQ_FALLING)
        self.ready = Ready(_ready_words, pin)
        self.encoder = Encoder(board.ENCODER_MACHINE, board.PIN_ENCODER_A, board.PIN_ENCODER_B)
        sleep = Sleep(_ready_words)
        self.idle = sleep.idle
        self.idle_words = sleep.words
        pace = Pace(_CONSOLE_FIFO, board.CONSOLE_BAUD) if board.CONSOLE_BAUD else None
        self.usb = usb_link(board, BridgedConsole(sleep.poll, pace=pace))
        self.uart = None if board.LINK_UART is None else UARTLink()
        self.store = Store()
        self.flash = _journal_flash()
        self._boots = Boots(self.store, _reset_cause())
        self.resets = self._boots.by_cause
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
        self._make_i2c()  # gives the pins back to the driver
        return free

    def unique_id(self):
        """Return the chip's MAC address, filled up to 8 bytes."""
        return (b"\0\0" + machine.unique_id())[-8:]

    def boot_id(self):
        """Return the number of this boot, 1..2**30 - 1."""
        return self._boots.number

    def reset_cause(self):
        """Return why the board started, one of `health.RESET_CAUSES`."""
        return self._boots.cause

    def board_mc(self):
        """Not every chip of the family has a sensor: unknown."""
        return health.UNKNOWN_MC

    def watchdog_start(self, ms):
        """Start the watchdog."""
        self._watchdog = machine.WDT(timeout=ms)

    def watchdog_feed(self):
        """Feed the watchdog, if it was started."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def watchdog_stop(self):
        """Let the watchdog wait for a day, so that the REPL can be used after the gauge."""
        if self._watchdog is not None:
            self._watchdog = machine.WDT(timeout=_LONG_MS)

    def reset(self):
        """Restart the board. Does not return."""
        self.outputs.all_off()
        restart()

    def bootloader(self):
        """Restart into the serial loader of the ROM where the port can. Does not return."""
        self.outputs.all_off()
        if hasattr(machine, "bootloader"):
            machine.bootloader()
        machine.reset()
