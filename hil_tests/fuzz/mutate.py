"""Inputs out of valid ones: bytes and texts that are nearly right, and some that are not at all.

Everything is drawn from the `random.Random` that is handed in, so that an input is the same in
every run.

    >>> damage(random.Random(1), b"abcdef", [b"xyz"])   # some bytes of it are others
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

# Words that arithmetic stumbles over
NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 1000, 0x7FFF, 0xFFFF)
NUMBERS += (2**24, 2**29, 2**30 - 1, 2**30, 2**31 - 1, -(2**31), 2**32 - 1)

# Pieces that readers of text stumble over
TOKENS = (
    *("0", "-0", "1e400", "-1e400", "1e-400", "1e999999999", "1e-999999999", "nan", "inf", "-inf"),
    *("9" * 30, "9" * 5000, "0x" + "f" * 400, "0x" + "f" * 20_000, "1_0", "1__0", "0.1.2", "+5"),
    *("true", "false", "null", "None", "[]", "{}", "[[]]", '""', "''", '"""', "'''", '"\\u0000"'),
    *("[" * 50, "[" * 5000, "{" * 5000, '{"a":' * 3000, "a.b.c", "a = 1", "[[layer]]", "[a]"),
    *("1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "\x00", "\x7f", "\ufeff", "\u2028", "é"),
    *("\U0001f642", "#", ",", ",,", ";", "\t", "\r", "\r\n", "\n\n", '"', "\\", "=", ":", "-"),
    *("../../x", "/dev/null", "%s%d%n", "a" * 3000, " " * 3000, "0" * 3000, "1,5", "1 000", "1e5"),
)
_PIECES = re.compile(r"[A-Za-z_]+|[-+]?[0-9][0-9_.eE+-]*|\s+|.", re.S)


def damage(rnd: random.Random, data: bytes, others: Sequence[bytes], most: int = 8) -> bytes:
    """Return `data` after one to `most` changes; `others` lend pieces."""
    out = bytearray(data)
    for _ in range(min(rnd.randint(1, most), rnd.randint(1, most))):
        rnd.choice(_DAMAGES)(rnd, out, others)
    return bytes(out)


def noise(rnd: random.Random, most: int) -> bytes:
    """Return up to `most` bytes at random, some of them of few values only."""
    n = rnd.randint(0, most)
    if rnd.random() < 0.3:
        values = rnd.randbytes(rnd.randint(1, 4))
        return bytes(rnd.choices(values, k=n))
    return rnd.randbytes(n)


def word(rnd: random.Random) -> int:
    """Return a signed 32-bit word: one to stumble over, a small one, or any."""
    choice = rnd.random()
    if choice < 0.4:
        value = rnd.choice(NUMBERS) + rnd.randint(-1, 1)
    elif choice < 0.7:
        value = rnd.randint(-300, 300)
    else:
        value = rnd.getrandbits(32)
    return (value + 2**31) % 2**32 - 2**31


def _flip(rnd: random.Random, out: bytearray, _: Sequence[bytes]) -> None:
    if out:
        out[rnd.randrange(len(out))] ^= 1 << rnd.randrange(8)


def _set(rnd: random.Random, out: bytearray, _: Sequence[bytes]) -> None:
    if out:
        out[rnd.randrange(len(out))] = rnd.choice((0, 1, 127, 128, 254, 255, rnd.randrange(256)))


def _insert(rnd: random.Random, out: bytearray, _: Sequence[bytes]) -> None:
    at = rnd.randint(0, len(out))
    out[at:at] = noise(rnd, 12)


def _delete(rnd: random.Random, out: bytearray, _: Sequence[bytes]) -> None:
    at, end = sorted((rnd.randint(0, len(out)), rnd.randint(0, len(out))))
    del out[at : min(end, at + rnd.choice((1, 1, 4, 64, 4096)))]


def _double(rnd: random.Random, out: bytearray, _: Sequence[bytes]) -> None:
    at = rnd.randint(0, len(out))
    n = rnd.randint(1, rnd.choice((2, 16, 256)))
    out[at:at] = out[at : at + n] * rnd.choice((1, 1, 2, 20))


def _cut(rnd: random.Random, out: bytearray, _: Sequence[bytes]) -> None:
    del out[rnd.randint(0, len(out)) :]


def _splice(rnd: random.Random, out: bytearray, others: Sequence[bytes]) -> None:
    other = rnd.choice(others)
    at, end = sorted((rnd.randint(0, len(other)), rnd.randint(0, len(other))))
    to = rnd.randint(0, len(out))
    out[to : to + rnd.choice((0, end - at))] = other[at:end]


def _number(rnd: random.Random, out: bytearray, _: Sequence[bytes]) -> None:
    n = rnd.choice((1, 2, 4, 4, 4))
    at = rnd.randint(0, max(0, len(out) - n))
    value = word(rnd) % 256**n
    out[at : at + n] = value.to_bytes(n, rnd.choice(("little", "big")))


_DAMAGES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    *(_flip, _flip, _set, _set, _insert, _delete, _double, _cut, _splice, _number),
)


def rewrite(rnd: random.Random, text: str, others: Sequence[str]) -> bytes:
    """Return a text after some changes of its lines and words, in one of ten after its bytes'."""
    for _ in range(min(rnd.randint(1, 6), rnd.randint(1, 6))):
        text = rnd.choice(_REWRITES)(rnd, text, others)
    data = text.encode("utf-8", "surrogatepass")
    if rnd.random() < 0.1:
        data = damage(rnd, data, [rnd.choice(others).encode()], 3)
    return data


def _piece(rnd: random.Random, text: str, _: Sequence[str]) -> str:
    """Another word or number in the place of one."""
    found = _PIECES.findall(text)
    if not found:
        return text
    at = rnd.randrange(len(found))
    found[at] = rnd.choice((rnd.choice(TOKENS), rnd.choice(found), "", found[at] * 2))
    return "".join(found)


def _digits(rnd: random.Random, text: str, _: Sequence[str]) -> str:
    """Another number in the place of one."""
    places = [match.span() for match in re.finditer(r"[-+]?\d+(\.\d+)?", text)]
    if not places:
        return text
    at, end = rnd.choice(places)
    old = float(text[at:end])
    value = rnd.choice((old * 10, -old, old / 1000, old + 1, rnd.uniform(-10, 1000), word(rnd)))
    new = rnd.choice((repr(value), f"{value:g}", f"{value:.0f}", rnd.choice(TOKENS)))
    return text[:at] + new + text[end:]


def _lines(rnd: random.Random, text: str, others: Sequence[str]) -> str:
    """A line doubled, taken away, moved, or taken from another text."""
    lines = text.splitlines(keepends=True)
    if not lines:
        return text
    at = rnd.randrange(len(lines))
    way = rnd.randrange(4)
    if way == 0:
        lines.insert(rnd.randrange(len(lines) + 1), lines[at])
    elif way == 1:
        del lines[at]
    elif way == 2:
        lines.insert(rnd.randrange(len(lines)), lines.pop(at))
    else:
        other = rnd.choice(others).splitlines(keepends=True)
        lines[at : at + rnd.choice((0, 1))] = [rnd.choice(other)] if other else []
    return "".join(lines)


def _end(rnd: random.Random, text: str, _: Sequence[str]) -> str:
    """The rest cut off, or something behind it."""
    if rnd.random() < 0.5:
        return text[: rnd.randint(0, len(text))]
    return text + rnd.choice(TOKENS)


_REWRITES = (_piece, _piece, _piece, _digits, _digits, _digits, _lines, _lines, _end)
