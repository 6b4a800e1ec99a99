"""The number of a boot, and how many there were by their cause, kept in a file.

>>> boots = Boots(hardware.store, "power")
>>> boots.number, boots.cause
(12, 'power')
"""

import os
from array import array

from micropython import const

from gauge import crash, health

_MASK = const(0x3FFFFFFF)
_FILE = "boot.id"


class Boots:
    """Counts the boots, and by their cause, in the file boot.id: "number count count ...".

    `number` is that of this boot, 1..2**30 - 1; `by_cause` has a count for each of
    `health.RESET_CAUSES`. A report of a crash that waits in the store is the cause "crash". A
    board whose file system was erased begins at random: numbers that a host has already stored
    under other records are as good as certain not to come again.
    """

    def __init__(self, store, cause):
        self.cause = cause = "crash" if store.has(crash.FILE) else cause
        n = len(health.RESET_CAUSES)
        try:
            counts = [int(word) & _MASK for word in store.read(_FILE).split()]
            self.number = counts[0]
        except (AttributeError, ValueError, IndexError):  # no file, or a damaged one
            self.number = int.from_bytes(os.urandom(2), "big") << 13
            counts = []
        self.number = (self.number & _MASK) + 1
        if self.number > _MASK:
            self.number = 1
        self.by_cause = array("i", (counts[1:] + [0] * n)[:n])
        index = health.RESET_CAUSES.index(cause)
        self.by_cause[index] = (self.by_cause[index] + 1) & _MASK
        try:
            store.write(_FILE, self.text())
        except OSError:  # a full file system must not stop the gauge; the self-test tells of it
            pass

    def text(self):
        """Content of the file."""
        return " ".join([str(n) for n in [self.number] + list(self.by_cause)]).encode()
