"""Hardware of the unix port: every byte of the world comes from the bench, over a pipe.

For tests: the same gauge runs on a desk against emulated sensors in virtual time. Interface and
units are those of `gauge.hw.rp2`; what passes over the pipe is told in boards/UNIX32/pipe.py.
Time passes only in calls that wait (`idle`, I2C transfers, sleeping); everything in between takes
none. Importing this module replaces the module `time`, so that drivers that sleep or look at the
time do so in virtual time too: it must be imported before them.

    >>> hardware = Hardware()
    >>> hardware.idle(10)
    >>> hardware.ready.words[0]
    1

Steady-state methods allocate nothing: an answer is read into one buffer and copied on from there.
"""

import sys
from array import array

import board
import pipe
from micropython import const

from gauge.boots import Boots
from gauge.hw.common import EDGES, Store
from gauge.hw.unix_flash import Flash
from gauge.hw.unix_pipe import Pipe, VirtualTime, copy, from_ring, to_ring, words_to_ring

_TICKS_MASK = const(0x3FFFFFFF)

# Words of an answer's head: see pipe.py
_NOW_US = const(0)
_COUNTS = const(3)
_LEVELS = const(4)
_USB_ROOM = const(8)
_N_DATA = const(17)


class Ready:
    """The converter's /RDY: count of its falls and their ticks; see `gauge.hw.common.Ready`."""

    def __init__(self, pipe_end):
        self._head = pipe_end.head
        self.words = array("i", bytes(4 + 4 * EDGES))

    def level(self):
        """Return the electrical level: 0 when a result waits."""
        return self._head[_LEVELS] & pipe.LEVEL_READY


class LaserStream:
    """One laser's line; see `gauge.hw`."""

    def __init__(self, pipe_end, index):
        self._pipe = pipe_end
        self._index = index
        self.ring = bytearray(board.LASER_RING)
        self.stamps = array("i", bytes(board.LASER_RING))
        self._ring_mask = board.LASER_RING - 1
        self._stamp_mask = board.LASER_RING // 4 - 1
        self._head = 0
        self._stamp = 0
        self._tail = 0  # of read()
        self._errors = 0
        self._sent_at = 0  # when the last command will have left
        self._sending_us = 0  # how long it takes
        self._character_us = 10_000_000 // board.LASER_BAUD + 1
        self.baud = board.LASER_BAUD

    def take(self, payload, word, n_words, at, n):
        """Take in what arrived: `n` bytes at `at`, and stamps from word `word` on."""
        self._head = to_ring(self.ring, self._head, self._ring_mask, payload, at, n)
        self._stamp = words_to_ring(
            self.stamps, self._stamp, self._stamp_mask, payload, word, n_words
        )

    def add_errors(self, n):
        """Count characters that arrived damaged."""
        self._errors += n

    def start(self):
        """Begin at index 0 of both rings."""
        self._pipe.notice(pipe.LASER_START, self._index)
        self._head = 0
        self._stamp = 0
        self._tail = 0

    def stop(self):
        """Command mode: read() gives what comes from now on."""
        self._tail = self._head

    def head(self):
        """Ring index of the next byte."""
        return self._head

    def poll(self):
        """Nothing to do: the pipe has filled the rings."""

    def read(self, buf):
        """Take at most len(buf) bytes that came since stop(); return how many."""
        tail = self._tail
        n = (self._head - tail) & self._ring_mask
        if n > len(buf):
            n = len(buf)
        from_ring(buf, self.ring, tail, self._ring_mask, n)
        self._tail = (tail + n) & self._ring_mask
        return n

    def write(self, data):
        """Send a command of at most 32 bytes: its length, or 0 while the transmitter is busy."""
        n = len(data)
        if n > 32:
            raise ValueError("a command has at most 32 bytes")
        now = self._pipe.now()
        # busy for no longer than the last command takes, however long ago that was
        if 0 < (self._sent_at - now) & _TICKS_MASK <= self._sending_us:
            return 0
        self._sending_us = n * self._character_us
        self._sent_at = (now + self._sending_us) & _TICKS_MASK
        self._pipe.notice(pipe.LASER_SEND, self._index, 0, data, n)
        return n

    def set_baud(self, baud):
        """Use another baud rate from now on; `baud` as built is the attribute of that name."""
        self._character_us = 10_000_000 // baud + 1
        self._pipe.notice(pipe.LASER_BAUD, self._index, baud)

    def errors(self):
        """Framing errors since the last call."""
        n = self._errors
        self._errors = 0
        return n


class I2C:
    """The bus, with the interface and the errors of machine.I2C on the RP2040."""

    def __init__(self, pipe_end):
        self._pipe = pipe_end
        self._register = bytearray(1)
        self._one = bytearray(257)

    def _checked(self, result):
        if result < 0:
            raise OSError(-result)
        return result

    def _transfer_in(self, op, address, value, buf, data=b"", n=0):
        self._checked(self._pipe.call(op, address, value, data, n))
        n = self._pipe.head[_N_DATA]
        copy(buf, 0, self._pipe.payload, self._pipe.data_at, n)

    def writeto(self, address, buf, stop=True):
        """Write; return the number of data bytes that were acknowledged."""
        return self._checked(
            self._pipe.call(pipe.I2C_WRITE, address, 1 if stop else 0, buf, len(buf))
        )

    def readfrom_into(self, address, buf, stop=True):
        self._transfer_in(pipe.I2C_READ, address, len(buf) | (pipe.STOP if stop else 0), buf)

    def readfrom(self, address, n, stop=True):
        buf = bytearray(n)
        self.readfrom_into(address, buf, stop)
        return bytes(buf)

    def readfrom_mem_into(self, address, register, buf):
        self._register[0] = register
        self._transfer_in(pipe.I2C_READ_REG, address, len(buf), buf, self._register, 1)

    def readfrom_mem(self, address, register, n):
        buf = bytearray(n)
        self.readfrom_mem_into(address, register, buf)
        return bytes(buf)

    def writeto_mem(self, address, register, buf):
        """Write register and data; like the chip's, it does not tell of a byte refused."""
        self._one[0] = register
        copy(self._one, 1, buf, 0, len(buf))
        self._checked(self._pipe.call(pipe.I2C_WRITE, address, 1, self._one, 1 + len(buf)))

    def scan(self):
        found = []
        for address in range(0x08, 0x78):
            try:
                self.writeto(address, b"")
            except OSError:
                continue
            found.append(address)
        return found


class Link:
    """One of the two transports to the host; see `gauge.hw.common.Console`."""

    def __init__(self, pipe_end, index):
        self._pipe = pipe_end
        self._index = index
        self._room = _USB_ROOM + index
        self.readinto = pipe_end.fifos[index].readinto

    def open(self):
        """Hand the line to the link."""
        self._pipe.notice(pipe.LINK_OPEN, self._index)

    def close(self):
        """The link is over."""
        self._pipe.notice(pipe.LINK_CLOSE, self._index)

    def write(self, buf, n, start=0):
        """Send buf[start:start + n] as far as there is room; return how many bytes went."""
        head = self._pipe.head
        room = head[self._room]
        if n > room:
            n = room
        if n > 0:
            self._pipe.notice(pipe.LINK_SEND, self._index, 0, buf, n, start)
            head[self._room] = room - n
        return n


class Encoder:
    """Web encoder."""

    def __init__(self, pipe_end):
        self._head = pipe_end.head

    def counts(self):
        """Return the signed count, folded into +-2**29."""
        return self._head[_COUNTS]


class Outputs:
    """Reject relay (energised while the film is good), marker, heartbeat."""

    def __init__(self, pipe_end):
        self._notice = pipe_end.notice

    def good(self, on):
        self._notice(pipe.OUTPUT, 0, 1 if on else 0)

    def marker(self, on):
        self._notice(pipe.OUTPUT, 1, 1 if on else 0)

    def heartbeat(self, on):
        self._notice(pipe.OUTPUT, 2, 1 if on else 0)

    def all_off(self):
        self.good(False)
        self.marker(False)
        self.heartbeat(False)

    def any_on(self):
        """Whether a wire is high: no short circuits on this desk, once all are off."""
        return False


class Inputs:
    """Contacts, as they are; the application debounces."""

    def __init__(self, pipe_end):
        self._head = pipe_end.head

    def standardise(self):
        return self._head[_LEVELS] & pipe.LEVEL_STANDARDISE != 0

    def acknowledge(self):
        return self._head[_LEVELS] & pipe.LEVEL_ACKNOWLEDGE != 0


def service_pin():
    """Whether the service pin is active, which keeps the gauge from starting."""
    return PIPE.head[_LEVELS] & pipe.LEVEL_SERVICE != 0


def restart():
    """Restart the board: everything is off then. Does not return."""
    PIPE.call(pipe.RESET)


class Hardware:
    """The board; see `gauge.hw`."""

    def __init__(self):
        end = PIPE
        self._pipe = end
        self.board = board
        self.name = board.NAME
        self.now = end.now
        self.outputs = Outputs(end)
        self.inputs = Inputs(end)
        self.lasers = LASERS
        for laser in self.lasers:
            laser.start()
        self.i2c = I2C(end)
        self.ready = READY
        self.encoder = Encoder(end)
        self.idle_words = array("i", [0])
        self.usb = Link(end, pipe.USB)
        self.uart = Link(end, pipe.UART) if board.LINK_UART else None
        self.store = Store()
        self._boots = Boots(self.store, end.cause)
        self.resets = self._boots.by_cause
        self.flash = Flash(end)

    def idle(self, ms):
        """Sleep until /RDY falls, the host sends something over USB, or `ms` are over."""
        end = self._pipe
        before = end.head[_NOW_US]
        # bytes that were not read end the sleep at once, but never without any time passing
        end.call(pipe.IDLE, 0, 50 if end.fifos[pipe.USB].any() else 1000 * ms)
        words = self.idle_words
        words[0] = (words[0] + (end.head[_NOW_US] - before & _TICKS_MASK)) & _TICKS_MASK

    def free_i2c(self):
        """Clock a chip that holds SDA to the end of its byte; return whether the bus is free."""
        return self._pipe.call(pipe.I2C_FREE) != 0

    def unique_id(self):
        """Return the board's serial number, 8 bytes."""
        return self._pipe.unique_id

    def boot_id(self):
        """Return the number of this boot, 1..2**30 - 1."""
        return self._boots.number

    def reset_cause(self):
        """Return why the board started, one of `health.RESET_CAUSES`."""
        return self._boots.cause

    def board_mc(self):
        """Return the temperature of the board: that of the desk."""
        return 23_000

    def watchdog_start(self, ms):
        """Start the watchdog."""
        self._pipe.notice(pipe.WATCHDOG_START, 0, ms)

    def watchdog_feed(self):
        """Feed the watchdog, if it was started."""
        self._pipe.notice(pipe.WATCHDOG_FEED)

    def watchdog_stop(self):
        """Stop the watchdog, so that the REPL can be used after the gauge."""
        self._pipe.notice(pipe.WATCHDOG_START, 0, 0)

    def reset(self):
        """Restart the board. Does not return."""
        self.outputs.all_off()
        restart()

    def bootloader(self):
        """Leave the firmware for good. Does not return."""
        self.outputs.all_off()
        self._pipe.call(pipe.BOOTLOADER)


PIPE = Pipe()
READY = Ready(PIPE)
LASERS = (LaserStream(PIPE, 0), LaserStream(PIPE, 1))
PIPE.hello(READY.words, LASERS)
# common.py, imported above, looks at no time in what is used of it here
sys.modules["time"] = VirtualTime(PIPE)
