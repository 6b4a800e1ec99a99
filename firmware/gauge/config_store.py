"""A small file in two checked copies: what was written, or what was there before, or an error.

Each copy is a file of its own (`NAME.a`, `NAME.b`): a header of magic, sequence and length, the
content, and a CRC32 of all that. `write` replaces one copy after the other, the older or damaged
one first, and reads each back; `read` takes the newer sound copy and writes it over the other one
where that is damaged, older or missing. A power cut at any moment therefore leaves the old content
or the new one; damage to one copy is mended; damage to both is an error, never other content.

    >>> configuration = TwoCopies(hardware.store, "config")
    >>> configuration.write(blob)
    >>> configuration.read()
    >>> configuration.sound     # copies that are sound: 2, 1 (the other cannot be written), 0
    2
"""

from binascii import crc32

_MAGIC = b"pgc1"
_HEADER = 12  # magic, sequence, length of the content
_CRC = 4
_SEQUENCE_MASK = 0xFFFFFFFF


class Damaged(ValueError):
    """Neither copy is sound."""


def wrap(content, sequence):
    """Return a copy's bytes."""
    data = (
        _MAGIC
        + sequence.to_bytes(4, "little")
        + len(content).to_bytes(4, "little")
        + bytes(content)
    )
    return data + crc32(data).to_bytes(_CRC, "little")


def unwrap(data):
    """Return (sequence, content) of a copy's bytes; None when they are not sound."""
    if data is None or len(data) < _HEADER + _CRC or data[:4] != _MAGIC:
        return None
    if int.from_bytes(data[8:12], "little") != len(data) - _HEADER - _CRC:
        return None
    if crc32(data[:-_CRC]) != int.from_bytes(data[-_CRC:], "little"):
        return None
    return int.from_bytes(data[4:8], "little"), data[_HEADER:-_CRC]


def _newer(a, b):
    """Whether sequence `a` comes after `b`; they begin anew after 2**32 - 1."""
    return 0 < (a - b) & _SEQUENCE_MASK < 1 << 31


class TwoCopies:
    """The file `name` of `store` (`gauge.hw`: read, write), in two copies."""

    def __init__(self, store, name):
        self._store = store
        self._names = (name + ".a", name + ".b")
        self.sound = 0  # copies that were sound, and of the same content, when last looked at

    def read(self):
        """Return the content, or None when none was ever written; mends the other copy.

        Raises Damaged when there are copies and none is sound.
        """
        stored = [self._store.read(name) for name in self._names]
        best, newest = self._best(stored)
        if newest is None:
            self.sound = 0
            if stored[0] is None and stored[1] is None:
                return None
            raise Damaged("both copies are damaged")
        self.sound = 1
        if stored[1 - best] == stored[best] or self._put(1 - best, stored[best]):
            self.sound = 2
        return newest[1]

    def write(self, content):
        """Replace the content. Raises OSError when it could not be stored: the old one stays.

        One copy suffices: `sound` is 1 when the second could not be written.
        """
        best, newest = self._best([self._store.read(name) for name in self._names])
        sequence = 0 if newest is None else (newest[0] + 1) & _SEQUENCE_MASK
        data = wrap(content, sequence)
        if not self._put(1 - best, data):
            name = self._names[1 - best]
            raise OSError("%s cannot be written: the flash is full or worn" % name)
        self.sound = 2 if self._put(best, data) else 1

    def _best(self, stored):
        """Return the index of the copy in force, and its (sequence, content); (1, None): none."""
        a, b = unwrap(stored[0]), unwrap(stored[1])
        if a is None or (b is not None and _newer(b[0], a[0])):
            return 1, b
        return 0, a

    def _put(self, index, data):
        """Write a copy and read it back; return whether it holds what it should."""
        name = self._names[index]
        try:
            self._store.write(name, data)
        except OSError:
            return False
        return self._store.read(name) == data
