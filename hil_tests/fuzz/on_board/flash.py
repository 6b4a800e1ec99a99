"""Runs on the board's MicroPython: what the board has stored, damaged in any way."""

import io
from array import array

from fake import SECTOR, Files, Flash

import porogauge_boot
from gauge import config, crash, health, journal, reference
from gauge.boots import Boots
from gauge.config_store import Damaged, TwoCopies, wrap
from gauge.journal_flash import Journal
from gauge.keys import Keys

SECTORS = 5
BOOT = 9


def u32(value):
    return value.to_bytes(4, "little")


def parts(blob):
    """Inputs, each with its length in four bytes before it."""
    at = 0
    while at < len(blob):
        n = int.from_bytes(blob[at : at + 4], "little")
        at += 4 + n
        yield bytes(blob[at - n : at])


# -- journal


def _write(log, kind, data):
    """Write an entry, erasing where that must be; a bounded number of operations."""
    log.payload[: len(data)] = data
    log.begin(kind, len(data))
    for _ in range(64):
        if not log.busy:
            return
        if not log.work():
            log.erase()
    raise RuntimeError("an entry is never written")


def _entries(log):
    """All entries: number, kind, boot, length and payload each."""
    found = b""
    number = log.first
    for _ in range(2 * SECTORS * SECTOR // 16):
        if not log.find(number):
            return found
        if log.number < number:
            raise RuntimeError(f"entry {log.number} is given for {number}")
        data = b""
        while len(data) < log.length:
            buf = bytearray(min(100, log.length - len(data)))
            start = log.read(len(data), buf)
            data += buf[start:]
        found += u32(log.number) + bytes([log.kind]) + u32(log.boot) + u32(log.length) + data
        number = log.number + 1
    raise RuntimeError("the entries do not end")


def journal_image(entries, stored):
    """The flash of a journal with so many entries, of which the host has stored some."""
    flash = Flash(SECTORS)
    log = Journal(flash, BOOT - 1)
    for k in range(entries):
        size = (k * 37) % 300 if k % 50 else journal.PAYLOAD_BYTES
        _write(log, 1 + k % 10, bytes([(k * 7 + i * i) & 0xFF for i in range(size)]))
        if k == stored:
            log.stored(k)
            log.mark()
    return bytes(flash.data), _entries(log)


def journals(blob):
    """Open images; of each: its entries, then those after one more was written and it was opened
    again. The cost of opening is bounded."""
    found = []
    for image in parts(blob):
        flash = Flash(SECTORS, image)
        log = Journal(flash, BOOT)
        if flash.reads > 4 * SECTORS * SECTOR // 4 or flash.programs or flash.erases:
            raise RuntimeError(f"opening takes {flash.reads} reads, {flash.erases} erases")
        before = _entries(log)
        number = log.next
        _write(log, journal.CRASH, b"one more")
        log.mark()
        log = Journal(flash, BOOT + 1)
        if not log.find(number) or log.number != number or log.kind != journal.CRASH:
            raise RuntimeError(f"entry {number}, written on it, is gone")
        found.append(before)
    return tuple(found)


# -- small files


def copies(blob):
    """Pairs of copies: the content that is read (None: there is none), or b"!" when damaged."""
    found = []
    for pair in parts(blob):
        a, b = parts(pair)
        files = {}
        for name, data in (("config.a", a), ("config.b", b)):
            if data:
                files[name] = data
        kept = TwoCopies(Files(files), "config")
        try:
            content = kept.read()
        except Damaged:
            found.append(b"!")
            continue
        if content is not None and (kept.sound != 2 or files["config.a"] != files["config.b"]):
            raise RuntimeError("the other copy was not mended")
        kept.write(b"new")
        if TwoCopies(Files(files), "config").read() != b"new":
            raise RuntimeError("what was written is not read")
        found.append(content)
    return tuple(found)


def copy_of(content, sequence):
    """The bytes of a copy."""
    return wrap(bytes(content), sequence)


class _Os:
    """The module os, on files in memory."""

    def mkdir(self, name):
        pass

    def stat(self, name):
        return (0x4000,)


def pointers(blob):
    """Pairs of pointer files: index of the version that is chosen; -1 when it cannot be told."""
    files = {}

    def open_file(name, mode):
        if mode == "wb":
            return _Out(files, name)
        if not files.get(name):
            raise OSError(2)
        return io.BytesIO(files[name])

    porogauge_boot.open = open_file
    porogauge_boot.os = _Os()
    found = array("i")
    for pair in parts(blob):
        files["slots/pointer.0"], files["slots/pointer.1"] = parts(pair)
        path = list(porogauge_boot.sys.path)
        pointer = porogauge_boot.choose()
        porogauge_boot.sys.path[:] = path
        runs = pointer[porogauge_boot.RUNS]
        if runs not in porogauge_boot.VERSIONS:
            raise RuntimeError(f"version {runs!r} is chosen")
        found.append(porogauge_boot.VERSIONS.index(runs))
    return found


class _Out(io.BytesIO):
    """A file that is kept when it is closed."""

    def __init__(self, files, name):
        super().__init__()
        self._files = files
        self._name = name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._files[self._name] = self.getvalue()


def small_files(blob, words):
    """Files boot.id, crash, reference, keys.wrong of one content: what is made of it."""
    words = config.unpack(bytes(words))
    found = array("i")
    for data in parts(blob):
        boots = Boots(Files({"boot.id": data}), health.RESET_CAUSES[0])
        if not 0 < boots.number < 1 << 30 or min(boots.by_cause) < 0:
            raise RuntimeError(f"boot {boots.number}, {boots.by_cause}")
        files = Files({crash.FILE: data, crash.LAST: data})
        crash.take(files)
        if len(crash.last(files)) > len(data) + 2:
            raise RuntimeError("a report longer than what was kept")
        keys = Keys(Files({"keys.wrong": data}), bytes(8))
        if keys.roles:
            raise RuntimeError("keys out of nothing")
        ref = reference.from_bytes(data, words)
        if ref is not None and not 0 < ref[reference.C0_AF] <= 1 << 25:
            raise RuntimeError("a reference beyond its range")
        found.append(0 if ref is None else 1)
    return found


def reference_of(words):
    """A reference that was found with a configuration."""
    ref = reference.from_calibration(config.unpack(bytes(words)))
    ref[reference.WINDOWS] = 91
    return bytes(ref)
