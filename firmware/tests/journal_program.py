"""What the board runs in the tests of the journal: flash in memory that can lose power.

`flash` holds `sectors` sectors. `cut(n, part)` lets power fail in the n-th operation from now on,
after `part` bytes of a page or of a sector; the byte under way has some of its bits changed.
"""

from gauge.journal_flash import Journal


class PowerCut(Exception):
    pass


class Flash:
    def __init__(self, sectors):
        self.sectors = sectors
        self.data = bytearray(b"\xff" * (4096 * sectors))
        self.erases = [0] * sectors
        self.left = 0  # operations up to the one in which power fails, 0: in none
        self.part = 0

    def read(self, address, buf):
        for i in range(len(buf)):
            at = address + i
            buf[i] = self.data[at] if at < len(self.data) else 0xFF

    def _fails(self):
        if self.left:
            self.left -= 1
            return self.left == 0
        return False

    def program(self, address, page):
        if len(page) != 256 or address & 255:
            raise ValueError("not a page")
        fails = self._fails()
        end = min(self.part, 256) if fails else 256
        for i in range(end):
            self.data[address + i] &= page[i]
        if fails:
            if end < 256:
                self.data[address + end] &= page[end] | 0x5A
            raise PowerCut

    def erase(self, sector):
        self.erases[sector] += 1
        address = 4096 * sector
        if not self._fails():
            for i in range(address, address + 4096):
                self.data[i] = 0xFF
            return
        # bytes change in no order; the more of them, the longer it lasted
        seed = self.part + 1
        for i in range(address, address + 4096):
            seed = seed * 1103 + 12345 & 0xFFFFF
            self.data[i] |= 0xFF if seed % 4096 < self.part else seed >> 8 & 0xFF
        raise PowerCut


flash = log = None


def reset(sectors):
    global flash
    flash = Flash(sectors)


def load(data):
    """Begin with flash that holds anything."""
    global flash
    flash = Flash(len(data) // 4096)
    flash.data[:] = data


def image():
    return bytes(flash.data)


def start(boot):
    """Switch the board on; return its state."""
    global log
    flash.left = 0
    log = Journal(flash, boot)
    return state()


def state():
    return log.first, log.next, log.acknowledged, log.erased, log.dropped


def cut(n, part):
    flash.left = n
    flash.part = part


def attempt(action, *args):
    """Do something; return (1 when power failed meanwhile, what it says)."""
    try:
        return 0, action(*args)
    except PowerCut:
        return 1, None


def _write(kind, data):
    """Write an entry; return how often a sector had to be erased for it."""
    log.payload[: len(data)] = data
    log.begin(kind, len(data))
    erases = 0
    while log.busy:
        if not log.work():
            log.erase()
            erases += 1
    return erases


def _ahead():
    """Erase ahead, as long as a host has stored what is there."""
    n = 0
    while log.can_erase():
        log.erase()
        n += 1
    return n


def _mark():
    return 1 if log.mark() else 0


def write(kind, data):
    return attempt(_write, kind, data)


def ahead():
    return attempt(_ahead)


def mark():
    return attempt(_mark)


def stored(number):
    log.stored(number)


def end_of_next():
    """Return the number behind the entries of the sector that is erased next."""
    sector = log._to_erase()
    return 0 if sector < 0 else log._end_of(sector)


def entry():
    data = bytearray(log.length + 5)
    start = log.read(0, data)
    return log.number, log.kind, log.boot, bytes(data[start : start + log.length])


def entries():
    """Return all entries that are kept."""
    found = []
    number = 0
    while log.find(number):
        found.append(entry())
        number = log.number + 1
    return tuple(found)


def one(number, offset):
    """Return entry `number` (or the one after it) from a byte on; None when there is none."""
    if not log.find(number):
        return None
    if offset > log.length:
        return log.number, b""
    data = bytearray(100)
    start = log.read(offset, data)
    return log.number, bytes(data[start : start + min(log.length - offset, 100 - start)])


def fill(n):
    """Write `n` entries of a usual size, with nothing allocated: for heap_locked."""
    for _ in range(n):
        log.begin(4, 40)
        while log.busy:
            if not log.work():
                log.erase()
