"""The journal in flash: entries one behind the other in a ring of sectors. Pure over `hw.flash`.

A sector of 4096 bytes:

     0  "PJ", version u8, 0, number of its first entry u32, erases u32, CRC32 of these
    16  0xFFFFFFFF, or 0: the host has stored all of it
    20  entries: kind u8, its complement u8, bytes of payload u16, number u32, boot u32, payload,
        CRC32 of these; each begins at a multiple of 4

Sectors are written in turn, so that all are erased equally often; those behind the one that is
being written are erased ahead. An entry counts when its CRC is right: a power cut loses the one
that is being written, whose number is used up, and nothing else. What follows such an entry is
written into the next sector.

    >>> log = Journal(hardware.flash, boot_id)
    >>> log.payload[0] = 7
    >>> log.begin(journal.CRASH, 1)
    >>> while log.busy:
    ...     log.work()  # one operation of the flash each

What looks erased may be an erase that was cut off near its end: the last sector of those ahead is
erased again after a start. Nothing is allocated after the start. Numbers stay below 2**30.
"""

import time
from array import array

import micropython
from micropython import const

from gauge.link import codec, frame

SECTOR = 4096
PAGE = 256
VERSION = 1
_SECTOR = const(4096)
_PAGE = const(256)
_MARK = const(16)  # place of the mark that all of a sector is stored by the host
_ENTRIES = const(20)  # place of the first entry
_HEAD = const(12)  # bytes of an entry before its payload
_CRC = const(4)
_LONGEST = const(1056)  # journal.PAYLOAD_BYTES
_AHEAD = const(1024)  # an entry's number is at most so far ahead of the one before
_NEVER = const(0x3FFFFFFF)
_MARKED = bytes(4)


@micropython.viper
def _blank(buf: ptr8, at: int, end: int) -> int:
    """Return 1 when the bytes from `at` to `end` are all erased."""
    while at < end:
        if buf[at] != 255:
            return 0
        at += 1
    return 1


@micropython.viper
def _page(out: ptr8, at: int, source: ptr8, start: int, n: int):
    """Make a page that programs `n` bytes at index `at` and leaves the rest as it is."""
    i = 0
    while i < 256:
        out[i] = 255
        i += 1
    i = 0
    while i < n:
        out[at + i] = source[start + i]
        i += 1


@micropython.viper
def _add_crc(buf: ptr8, at: int, end: int, crc: ptr32, table: ptr32):
    """Take the bytes from `at` to `end` into a CRC32."""
    value = crc[0]
    while at < end:
        value = ((value >> 8) & 0x00FFFFFF) ^ table[(value ^ buf[at]) & 255]
        at += 1
    crc[0] = value


@micropython.viper
def _is_crc(buf: ptr8, crc: ptr32) -> int:
    """Return 1 when the buffer begins with the CRC32."""
    value = crc[0]
    i = 0
    while i < 4:
        if buf[i] != (value & 255) ^ 255:
            return 0
        value >>= 8
        i += 1
    return 1


@micropython.viper
def _latest(first: ptr32, n: int, number: int) -> int:
    """Return the sector whose first entry is the last one not after `number`, or -1."""
    best = -1
    found = -1
    i = 0
    while i < n:
        if first[i] >= 0 and first[i] <= number and first[i] > best:
            best = first[i]
            found = i
        i += 1
    return found


@micropython.viper
def _earliest(first: ptr32, n: int, number: int) -> int:
    """Return the sector whose first entry is the first one after `number`, or -1."""
    best = int(0x3FFFFFFF)
    found = -1
    i = 0
    while i < n:
        if first[i] > number and first[i] < best:
            best = first[i]
            found = i
        i += 1
    return found


class Journal:
    """The journal of a board in `flash`; opening it takes `opened_us`.

    `first`, `next`, `acknowledged`, `erased`, `most_erases`, `dropped`: journal.STATE_NAMES.
    `busy`: an entry waits to be written.
    After find(): `number`, `kind`, `length`, `boot` of an entry that may be read().
    """

    def __init__(self, flash, boot_id):
        begun = time.ticks_us()
        self._flash = flash
        self._boot = boot_id
        self.sectors = flash.sectors
        self._firsts = array("i", [-1] * flash.sectors)  # first entry; -1: holds none
        self._page = bytearray(_PAGE)
        self._head = bytearray(_HEAD)
        self._tail = bytearray(_CRC)
        self._header = bytearray(_ENTRIES)
        self._crc = array("I", [0])
        self._entry = bytearray(_HEAD + _LONGEST + _CRC + 3)  # that is being written
        self.payload = memoryview(self._entry)[_HEAD:]
        self.busy = False  # whether there is one
        self._n = 0  # its bytes in all
        self._done = 0  # of them programmed
        self._sector = -1  # that is written
        self._at = _SECTOR  # place of the next entry in it
        self._laps = 0  # erases of that sector
        self._checked = False  # the next sector is really blank
        self.erased = 0
        self.most_erases = 0
        self.first = self.next = self.acknowledged = 0
        self.dropped = 0
        self._marked = -1  # first entry of the newest sector that has the mark
        # found by find()
        self.number = self.kind = self.length = self.boot = 0
        self._found = -1  # its sector
        self._found_at = 0
        self._open()
        self.opened_us = time.ticks_diff(time.ticks_us(), begun)

    # -- opening

    def _open(self):
        """Find out what the sectors hold."""
        firsts, n = self._firsts, self.sectors
        marked = -1
        newest = -1
        blank = bytearray(n)
        for sector in range(n):
            first = self._read_header(sector)
            if first is None:
                blank[sector] = 1
            elif first >= 0:
                firsts[sector] = first
                if first > newest:
                    newest = first
                    self._sector = sector
                    self._laps = self._erases
                if self._erases > self.most_erases:
                    self.most_erases = self._erases
                if self._is_marked and first > marked:
                    marked = first
        self._marked = marked
        self._find_end()
        self.first = self._oldest()
        self.acknowledged = self.first
        if marked >= 0:
            sector = _earliest(firsts, n, marked)
            self.acknowledged = self.next if sector < 0 else firsts[sector]
        while self.erased < n and blank[(self._sector + 1 + self.erased) % n]:
            self.erased += 1
        if 0 < self.erased < n:
            self.erased -= 1  # its erasing may have been cut off

    def _read_header(self, sector):
        """Return the first entry of a sector, None when it is blank, -1 when it is neither.

        Keeps its `_erases` and `_is_marked`.
        """
        head = self._header
        self._flash.read(sector * _SECTOR, head)
        if _blank(head, 0, _ENTRIES):
            return None
        self._is_marked = not (head[16] | head[17] | head[18] | head[19])
        if head[0] != 0x50 or head[1] != 0x4A or head[2] != VERSION:
            return -1
        first, self._erases = codec.get_i(head, 4), codec.get_i(head, 8)
        if not frame.intact(head, _MARK) or not 0 <= first < _NEVER:
            return -1
        return first

    def _find_end(self):
        """Find the place and number of the next entry."""
        if self._sector < 0:
            return
        self.next = self._firsts[self._sector]
        base = self._sector * _SECTOR
        at = end = _ENTRIES
        while at < _SECTOR:
            size = self._look(base + at, _SECTOR - at, self.next)
            if size and self._intact(base + at):
                self.next = self.number + 1
                at += size
                end = at
            elif self._is_blank(base + at, _SECTOR - at):
                break
            else:
                at += 4
        if at == end:
            self._at = end
        else:
            self.next += 1  # one was being written: its number is used up

    def _oldest(self):
        """Return the number of the oldest entry, that of the next one when there is none."""
        sector = _earliest(self._firsts, self.sectors, -1)
        return self.next if sector < 0 else self._firsts[sector]

    # -- reading

    def _look(self, address, room, least):
        """Look whether an entry begins at an address, within `room` bytes; return its bytes or 0.

        Its head goes to `number`, `kind`, `length`, `boot`; `least` is the smallest legal number.
        """
        head = self._head
        if room < _HEAD + _CRC:
            return 0
        self._flash.read(address, head)
        kind = head[0]
        if kind ^ head[1] != 255 or kind == 255 or kind & 0x20:
            return 0
        length = head[2] | head[3] << 8
        size = (_HEAD + length + _CRC + 3) & ~3
        # the highest bytes first: what is made of bytes below 2**30 is not allocated
        if length > _LONGEST or size > room or head[7] > 63 or head[11] > 63:
            return 0
        number = codec.get_i(head, 4)
        if not least <= number < least + _AHEAD:
            return 0
        self.number = number
        self.kind = kind
        self.length = length
        self.boot = codec.get_i(head, 8)
        return size

    def _intact(self, address):
        """Check the CRC of the entry at an address, of which the head was looked at."""
        crc, page = self._crc, self._page
        crc[0] = frame.PROTOCOL_START
        left = _HEAD + self.length
        while left > 0:  # by whole pages: none reaches beyond the flash
            at = address & _PAGE - 1
            n = min(left, _PAGE - at)
            self._flash.read(address - at, page)
            _add_crc(page, at, at + n, crc, frame.TABLE)
            address += n
            left -= n
        self._flash.read(address, self._tail)
        return bool(_is_crc(self._tail, crc))

    def find(self, number):
        """Find entry `number`, or the oldest one that is kept after it; whether there is one."""
        if number < self.first:
            number = self.first
        if number >= self.next:
            return False
        sector, at = self._found, self._found_at
        if sector >= 0 and self.number == number:
            return True
        least = self.number + 1
        if sector >= 0 and number == least:
            at += (_HEAD + self.length + _CRC + 3) & ~3
        else:
            sector = _latest(self._firsts, self.sectors, number)
            at = _ENTRIES
            least = self._firsts[sector]
        self._found = -1
        while sector >= 0:
            end = self._at if sector == self._sector else _SECTOR
            address = sector * _SECTOR
            while at < end:
                size = self._look(address + at, _SECTOR - at, least)
                if size and self.number >= number and self._intact(address + at):
                    self._found = sector
                    self._found_at = at
                    return True
                if size:
                    least = self.number + 1
                    at += size
                elif sector == self._sector or not _blank(self._head, 0, _HEAD):
                    at += 4  # damaged: what follows may be sound
                else:
                    break
            if sector == self._sector:
                break
            sector = _earliest(self._firsts, self.sectors, self._firsts[sector])
            at = _ENTRIES
            least = self._firsts[sector]
        return False

    def read(self, offset, buf):
        """Read the payload of the entry that was found into `buf`, from byte `offset` on.

        Returns the index in `buf` at which that is: at the flash's end more is read before it.
        """
        address = self._found * _SECTOR + self._found_at + _HEAD + offset
        start = max(0, address + len(buf) - self.sectors * _SECTOR)
        self._flash.read(address - start, buf)
        return start

    # -- writing

    def begin(self, kind, n):
        """Make an entry of the first `n` bytes of `payload`, to be written by work()."""
        entry = self._entry
        entry[0] = kind
        entry[1] = kind ^ 0xFF
        entry[2] = n & 0xFF
        entry[3] = n >> 8
        codec.put_i(entry, 4, self.next)
        codec.put_i(entry, 8, self._boot)
        n = frame.seal(entry, _HEAD + n)
        while n & 3:
            entry[n] = 0xFF
            n += 1
        self._n = n
        self._done = 0
        self.busy = True

    def work(self):
        """Do the next step of writing the entry, at most one page is programmed.

        Returns False when that is not possible before a sector is erased.
        """
        if self._at + self._n > _SECTOR:
            return self._begin_sector()
        done = self._done
        place = self._at + done
        n = min(_PAGE - (place & _PAGE - 1), self._n - done)
        self._program(self._sector * _SECTOR + place, self._entry, done, n)
        self._done = done + n
        if self._done == self._n:
            self._at += self._n
            self.busy = False
            self.next += 1
        return True

    def _program(self, address, source, start, n):
        """Program source[start : start + n], which lies within one page."""
        within = address & _PAGE - 1
        _page(self._page, within, source, start, n)
        self._flash.program(address - within, self._page)

    def _begin_sector(self):
        """Go on to the next sector: make sure that it is blank, then write its header."""
        if not self.erased:
            return False
        sector = (self._sector + 1) % self.sectors
        if not self._checked:
            self._checked = self._is_blank(sector * _SECTOR, _SECTOR)
            if not self._checked:
                self.erased = 0
            return self._checked
        if sector == 0 and self._sector > 0:
            self._laps += 1
        header = self._header
        header[0] = 0x50
        header[1] = 0x4A
        header[2] = VERSION
        header[3] = 0
        codec.put_i(header, 4, self.next)
        codec.put_i(header, 8, self._laps)
        self._program(sector * _SECTOR, header, 0, frame.seal(header, _MARK - _CRC))
        self._firsts[sector] = self.next
        self._sector = sector
        self._at = _ENTRIES
        self._checked = False
        self.erased -= 1
        if self._laps > self.most_erases:
            self.most_erases = self._laps
        return True

    def _is_blank(self, address, n):
        """Whether `n` bytes from an address on are erased."""
        page = self._page
        while n > 0:
            at = address & _PAGE - 1
            end = min(_PAGE, at + n)
            self._flash.read(address - at, page)
            if not _blank(page, at, end):
                return False
            address += end - at
            n -= end - at
        return True

    # -- erasing

    def stored(self, number):
        """The host has stored all entries before `number`. ValueError when it cannot have."""
        if not 0 <= number <= self.next:
            raise ValueError("entry %d: the next one is %d" % (number, self.next))
        if number > self.acknowledged:
            self.acknowledged = number

    def mark(self):
        """Note in the flash how far the host is, by whole sectors; whether that was necessary."""
        firsts, n = self._firsts, self.sectors
        sector = _latest(firsts, n, self.acknowledged)
        if sector < 0:
            return False
        sector = _latest(firsts, n, firsts[sector] - 1)
        if sector < 0 or firsts[sector] <= self._marked:
            return False
        self._marked = firsts[sector]
        self._program(sector * _SECTOR + _MARK, _MARKED, 0, 4)
        return True

    def _to_erase(self):
        """Return the sector that is erased next, -1 when all are."""
        used = 1 if self._sector >= 0 else 0
        if self.erased + used >= self.sectors:
            return -1
        return (self._sector + 1 + self.erased) % self.sectors

    def can_erase(self):
        """Whether there is a sector to erase in which nothing is that a host has not stored."""
        sector = self._to_erase()
        return sector >= 0 and self._end_of(sector) <= self.acknowledged

    def _end_of(self, sector):
        """Return the number behind the last entry of a sector, 0 when it holds none."""
        first = self._firsts[sector]
        if first < 0:
            return 0
        after = _earliest(self._firsts, self.sectors, first)
        return self.next if after < 0 else self._firsts[after]

    def erase(self):
        """Erase the next sector in turn, whatever it holds: 45 ms."""
        sector = self._to_erase()
        if sector < 0:
            return
        end = self._end_of(sector)
        if end > self.acknowledged:
            self.dropped += end - max(self._firsts[sector], self.acknowledged)
        self._firsts[sector] = -1
        self.first = self._oldest()
        if self.first > self.acknowledged:
            self.acknowledged = self.first
        if sector == self._found:
            self._found = -1
        self._flash.erase(sector)
        self.erased += 1
