"""Sectors of flash that belong to the journal, on ports with block devices."""

from micropython import const

_ERASE = const(6)  # request of a block device's ioctl


class Flash:
    """`sectors` sectors of 4096 bytes from block `first` of a block device on; see `gauge.hw`."""

    def __init__(self, device, first, sectors):
        self._device = device
        self._first = first
        self.sectors = sectors

    def read(self, address, buf):
        """Read len(buf) bytes."""
        self._device.readblocks(self._first + (address >> 12), buf, address & 0xFFF)

    def program(self, address, page):
        """Program a page of 256 bytes; bytes of 0xFF leave what is there."""
        self._device.writeblocks(self._first + (address >> 12), page, address & 0xFFF)

    def erase(self, sector):
        """Erase a sector."""
        self._device.ioctl(_ERASE, self._first + sector)
