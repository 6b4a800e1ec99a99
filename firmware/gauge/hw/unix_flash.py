"""The journal's flash on the unix port: a file that behaves like it, in virtual time.

What lies behind the end of the file is erased.
"""

import board
import pipe
from micropython import const

_PAGE = const(256)
_SECTOR = const(4096)
_PROGRAM_US = const(400)
_ERASE_US = const(45_000)


class Flash:
    """See `gauge.hw`."""

    def __init__(self, pipe_end):
        self._pipe = pipe_end
        self.sectors = board.JOURNAL_SECTORS
        open(pipe.FLASH_FILE, "ab").close()
        self._file = open(pipe.FLASH_FILE, "r+b")
        self._size = self._file.seek(0, 2)
        self._old = bytearray(_PAGE)
        self._erased = b"\xff" * _PAGE

    def read(self, address, buf):
        """Read len(buf) bytes."""
        self._file.seek(address)
        for i in range(self._file.readinto(buf), len(buf)):
            buf[i] = 0xFF

    def program(self, address, page):
        """Program a page of 256 bytes: bits are cleared only."""
        old = self._old
        self.read(address, old)
        for i in range(_PAGE):
            old[i] &= page[i]
        self._write(address, old)
        self._pipe.call(pipe.FLASH, 0, _PROGRAM_US)

    def erase(self, sector):
        """Erase a sector."""
        address = sector * _SECTOR
        for place in range(address, min(address + _SECTOR, self._size), _PAGE):
            self._write(place, self._erased)
        self._pipe.call(pipe.FLASH, 0, _ERASE_US)

    def _write(self, address, page):
        while self._size < address:
            self._put(self._size, self._erased)
        self._put(address, page)

    def _put(self, address, page):
        self._file.seek(address)
        self._file.write(page)
        self._size = max(self._size, address + _PAGE)
