"""Runs on the board's MicroPython: hardware without a world, for the real application."""

from array import array

import board
import micropython

from gauge import health

SECTOR = 4096
PAGE = 256


@micropython.viper
def _copy(source: ptr8, at: int, target: ptr8, to: int, n: int, clear: int):
    """Copy bytes; with `clear`, only their zeros. Allocates nothing, as the board's flash."""
    i = 0
    while i < n:
        byte = source[at + i]
        if clear:
            byte &= target[to + i]
        target[to + i] = byte
        i += 1


class Files:
    """A file system in memory: `gauge.hw` store."""

    def __init__(self, files=None):
        self.files = {} if files is None else files

    def read(self, name):
        return self.files.get(name)

    def write(self, name, data):
        self.files[name] = bytes(data)

    def rename(self, name, to):
        if name not in self.files:
            raise OSError(2)
        self.files[to] = self.files.pop(name)

    def has(self, name):
        return name in self.files


class Flash:
    """Flash in memory, filled with `image`: bits are cleared by programming, set by erasing."""

    def __init__(self, sectors, image=b""):
        self.sectors = sectors
        self.data = bytearray(b"\xff" * (sectors * SECTOR))
        self.data[: len(image)] = image
        self.erased = b"\xff" * SECTOR
        self.programs = self.erases = self.reads = 0

    def read(self, address, buf):
        if not 0 <= address <= len(self.data) - len(buf):
            raise RuntimeError(f"read of {len(buf)} bytes at {address}")
        self.reads += 1
        _copy(self.data, address, buf, 0, len(buf), 0)

    def program(self, address, page):
        if address % PAGE or len(page) != PAGE or not 0 <= address < len(self.data):
            raise RuntimeError(f"program of {len(page)} bytes at {address}")
        self.programs += 1
        _copy(page, 0, self.data, address, PAGE, 1)

    def erase(self, sector):
        if not 0 <= sector < self.sectors:
            raise RuntimeError(f"erase of sector {sector}")
        self.erases += 1
        _copy(self.erased, 0, self.data, sector * SECTOR, SECTOR, 0)


class Stream:
    """The line of a laser: distances are fed; each command gets the next of `replies`."""

    def __init__(self):
        self.baud = board.LASER_BAUD
        self.ring = bytearray(board.LASER_RING)
        self.stamps = array("i", bytes(board.LASER_RING))
        self.replies = []
        self._said = b""
        self.restart()

    def restart(self):
        self.at = self.place = self.stamp = 0

    def feed(self, data, time, step):
        """Bytes that arrive; the stamps of each third begin at `time` and go on by `step`."""
        mask = len(self.ring) - 1
        for byte in data:
            self.ring[self.at & mask] = byte
            self.at = (self.at + 1) & mask
            self.place += 1
            if self.place == 3:
                self.place = 0
                self.stamps[self.stamp] = time & 0x3FFFFFFF
                self.stamp = (self.stamp + 1) & (mask >> 2)
                time += step

    def start(self):
        self.restart()

    def stop(self):
        self._said = b""

    def poll(self):
        pass

    def head(self):
        return self.at

    def errors(self):
        return 0

    def set_baud(self, baud):
        pass

    def read(self, buf):
        n = min(len(buf), len(self._said))
        buf[:n] = self._said[:n]
        self._said = self._said[n:]
        return n

    def write(self, data):
        if self.replies:
            self._said += self.replies.pop(0)
        return len(data)


class Bus:
    """I2C whose chips answer with `answers`, in turn; an int is the errno of an OSError."""

    def __init__(self):
        self.answers = []

    def _next(self, buf):
        data = self.answers.pop(0) if self.answers else 5
        if isinstance(data, int):
            raise OSError(data)
        n = min(len(data), len(buf))
        buf[:n] = data[:n]

    def writeto(self, address, data):
        if self.answers and isinstance(self.answers[0], int):
            raise OSError(self.answers.pop(0))
        return len(data)

    def readfrom_into(self, address, buf):
        self._next(buf)

    def readfrom_mem(self, address, register, n):
        buf = bytearray(n)
        self._next(buf)
        return bytes(buf)

    def readfrom_mem_into(self, address, register, buf):
        self._next(buf)


class _Nothing:
    """Outputs, inputs, encoder: there, and doing nothing."""

    def __init__(self):
        self.words = array("i", bytes(4 * 17))

    def off(self, *_):
        return 0

    good = marker = heartbeat = all_off = any_on = standardise = acknowledge = level = counts = off


class Hardware:
    """See `gauge.hw`. `ticks` is the time."""

    def __init__(self, flash=None, files=None):
        self.board = board
        self.name = board.NAME
        self.ticks = 0
        self.outputs = self.inputs = self.ready = self.encoder = _Nothing()
        self.lasers = (Stream(), Stream())
        self.i2c = Bus()
        self.idle_words = array("i", [0])
        self.usb = self.uart = None
        self.store = Files(files)
        self.store.files.setdefault("boot.id", b"7 0 0 0 0 0")
        self.resets = array("i", bytes(32))
        self.flash = flash

    def now(self):
        return self.ticks

    def unique_id(self):
        return bytes(range(1, 9))

    def boot_id(self):
        return 7

    def reset_cause(self):
        return health.RESET_CAUSES[0]

    def board_mc(self):
        return 23_000

    def free_i2c(self):
        return True

    def idle(self, ms):
        pass

    def watchdog_start(self, ms):
        pass

    watchdog_stop = watchdog_feed = idle

    def reset(self):
        raise RuntimeError("the board is reset")

    bootloader = reset
