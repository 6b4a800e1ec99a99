"""What the board has stored: journal, configuration, keys, pointer of the update, small files."""

from __future__ import annotations

import json
import random
from binascii import crc32
from collections.abc import Sequence
from typing import Any

from .board import BoardParser
from .line import standard_blob
from .mutate import damage, noise
from .parser import Wrong

_SECTOR = 4096


def packed(cases: Sequence[bytes]) -> bytes:
    """Inputs one behind the other, each with its length in four bytes before it."""
    return b"".join(len(case).to_bytes(4, "little") + case for case in cases)


class Journals(BoardParser):
    """`journal_flash`: any image opens in bounded time, tells what was written, and goes on."""

    name, share, block = "board_journal", 1, 20
    program = "flash.py"

    def open(self) -> None:
        super().open()
        fills = ((0, 0), (3, 0), (40, 20), (110, 60), (260, 0), (300, 220))
        made = [self.running.call("journal_image", *fill) for fill in fills]
        self.images = [bytes(image) for image, _ in made]
        self.known = {entry for _, told in made for entry in _entries(bytes(told))}
        self.pieces = [image[at : at + 64] for image in self.images for at in range(0, 8192, 512)]

    def make(self, rnd: random.Random) -> bytes:
        out = bytearray(rnd.choice(self.images))
        for _ in range(rnd.choice((0, 1, 1, 2, 5))):
            at = rnd.randrange(len(out))
            sector = at // _SECTOR * _SECTOR
            way = rnd.random()
            if way < 0.4:
                out[at] ^= 1 << rnd.randrange(8)
            elif way < 0.5:  # where a header is
                out[sector + rnd.randrange(20)] ^= 1 << rnd.randrange(8)
            elif way < 0.6:  # a cut while it was programmed, or erased
                n = rnd.randrange(600)
                out[at : at + n] = (b"\xff" * n)[: len(out) - at]
            elif way < 0.7:
                out[sector : sector + _SECTOR] = rnd.choice((b"\xff", b"\0")) * _SECTOR
            elif way < 0.8:
                other = _SECTOR * rnd.randrange(len(out) // _SECTOR)
                out[sector : sector + _SECTOR] = out[other : other + _SECTOR]
            elif way < 0.9:
                image = rnd.choice(self.images)
                out[sector : sector + _SECTOR] = image[sector : sector + _SECTOR]
            else:
                piece = rnd.choice((noise(rnd, 300), rnd.choice(self.pieces)))
                out[at : at + len(piece)] = piece[: len(out) - at]
        return bytes(out)

    def ask(self, cases: Sequence[bytes]) -> Sequence[bytes]:
        return self.running.call("journals", packed(cases))

    def look(self, case: bytes, said: bytes) -> bool:
        entries = _entries(said)
        numbers = [entry[0] for entry in entries]
        if sorted(set(numbers)) != numbers:
            raise Wrong(f"entries {numbers} are not in order")
        for entry in entries:
            if entry not in self.known:
                raise Wrong(f"entry {entry[:4]} was never written so")
        return bool(entries)


def _entries(told: bytes) -> list[tuple[int, int, int, bytes]]:
    """(number, kind, boot, payload) of what the board tells of a journal."""
    found, at = [], 0
    while at < len(told):
        number, boot, n = (int.from_bytes(told[at + k : at + k + 4], "little") for k in (0, 5, 9))
        found.append((number, told[at + 4], boot, told[at + 13 : at + 13 + n]))
        at += 13 + n
    return found


class Copies(BoardParser):
    """`config_store`: the newer sound copy, or an error; never other content."""

    name, share, block = "board_copies", 40, 200
    program = "flash.py"

    def open(self) -> None:
        super().open()
        contents = [b"", b"x", b"old" * 20, b"new" * 30, standard_blob()]
        self.sequences = (0, 1, 2, 2**31, 2**32 - 1)
        self.contents: dict[bytes, tuple[int, bytes]] = {}
        for sequence in self.sequences:
            for content in contents:
                data = bytes(self.running.call("copy_of", content, sequence))
                self.contents[data] = (sequence, content)
        self.corpus = list(self.contents)

    def make(self, rnd: random.Random) -> bytes:
        pair = [rnd.choice(self.corpus) for _ in range(2)]
        for k in range(2):
            way = rnd.random()
            if way < 0.1:
                pair[k] = b""  # there is none
            elif way < 0.7:
                pair[k] = damage(rnd, pair[k], self.corpus, 3)
        return packed(pair)

    def ask(self, cases: Sequence[bytes]) -> Sequence[bytes | None]:
        return self.running.call("copies", packed(cases))

    def look(self, case: bytes, said: bytes | None) -> bool:
        pair = _pair(case)
        sound = [self.contents[data] for data in pair if data in self.contents]
        if not sound:
            if said is not None and said != b"!":
                raise Wrong(f"{said[:40]!r} is read from copies that are damaged")
            return False
        if said not in [content for _, content in sound]:
            raise Wrong(f"{said and said[:40]!r} is none of the sound copies")
        if len(sound) == 2 and sound[0][0] != sound[1][0]:
            (a, first), (b, second) = sound
            newer = first if 0 < (a - b) % 2**32 < 2**31 else second
            if said != newer and (a - b) % 2**32 != 2**31:
                raise Wrong("the older copy is read")
        return True


def _pair(case: bytes) -> tuple[bytes, bytes]:
    n = int.from_bytes(case[:4], "little")
    return case[4 : 4 + n], case[8 + n :]


class Pointers(BoardParser):
    """`porogauge_boot`: some version runs, whatever the pointer's files hold."""

    name, share, block = "board_pointer", 40, 200
    program = "flash.py"

    def open(self) -> None:
        super().open()
        self.corpus = []
        for number in (1, 2, 3, 8):
            for state in ("settled", "new", "tried", "failed"):
                for runs, other in (("own", ""), ("a", "own"), ("b", "a")):
                    text = json.dumps([number, state, runs, other, 0, ""]).encode()
                    self.corpus.append(_sealed(text))

    def make(self, rnd: random.Random) -> bytes:
        pair = [rnd.choice(self.corpus) for _ in range(2)]
        for k in range(2):
            way = rnd.random()
            if way < 0.3:
                pair[k] = damage(rnd, pair[k], self.corpus, 3)
            elif way < 0.6:  # its CRC is right
                pair[k] = _sealed(damage(rnd, pair[k][:-8], self.corpus, 3))
            elif way < 0.7:
                pair[k] = b""
        return packed(pair)

    def ask(self, cases: Sequence[bytes]) -> Sequence[int]:
        return self.running.call("pointers", packed(cases))

    def look(self, case: bytes, said: int) -> bool:
        return said > 0


def _sealed(text: bytes) -> bytes:
    return text + b"%08x" % crc32(text)


class SmallFiles(BoardParser):
    """boot.id, crash, reference, keys.wrong: never an error at the start."""

    name, share, block = "board_small_files", 40, 500
    program = "flash.py"

    def open(self) -> None:
        super().open()
        self.blob = standard_blob()
        self.corpus = [
            b"7 1 2 3 4 5",
            b"1073741823 0",
            b"12",
            b"\x01\x00",
            bytes(self.running.call("reference_of", self.blob)),
            b"boot 12\nTraceback (most recent call last):\n  File x\nOSError: 5\nhealth 1,2,3\n",
        ]

    def make(self, rnd: random.Random) -> bytes:
        return damage(rnd, rnd.choice(self.corpus), self.corpus) if rnd.random() > 0.05 else b""

    def ask(self, cases: Sequence[bytes]) -> Sequence[int]:
        return self.running.call("small_files", packed(cases), self.blob)

    def look(self, case: bytes, said: int) -> bool:
        return bool(said)


BOARD_FLASH: tuple[Any, ...] = (Journals, Copies, Pointers, SmallFiles)
