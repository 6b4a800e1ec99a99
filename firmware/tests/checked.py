"""The firmware's integer code on the desk, with every intermediate value watched.

`checked()` makes the viper functions of `gauge` compute with integers that refuse to leave
-(2**30) < x < 2**30, so that a bound which is only stated in a docstring is shown to hold:

    with checked():
        film.compute(rec)       # OverflowError where a value becomes too large

Results are those of the 32-bit runtime as long as nothing overflows (tested).
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from gauge import distance, film, judge, kernels, mixture

LIMIT = 1 << 30
MODULES = (distance, film, judge, kernels, mixture)


def _watched(name: str):
    plain = getattr(int, name)

    def operation(self, *others):
        result = plain(self, *others)
        return result if result is NotImplemented else Checked(result)

    return operation


class Checked(int):
    """An int below 2**30 in magnitude; what is computed with it is one, too."""

    def __new__(cls, value=0):
        value = int(value)
        if not -LIMIT < value < LIMIT:
            raise OverflowError(f"{value} does not fit into 31 bits")
        return super().__new__(cls, value)


for _name in ("add", "sub", "mul", "floordiv", "mod", "lshift", "rshift", "and", "or", "xor"):
    setattr(Checked, f"__{_name}__", _watched(f"__{_name}__"))
    setattr(Checked, f"__r{_name}__", _watched(f"__r{_name}__"))
Checked.__neg__ = _watched("__neg__")


class View:
    """An array whose items are read as checked integers."""

    def __init__(self, words) -> None:
        self._words = words

    def __getitem__(self, index: int) -> Checked:
        if index < 0:
            raise IndexError(f"index {index}: viper has no negative ones")
        return Checked(self._words[index])

    def __setitem__(self, index: int, value: int) -> None:
        if index < 0:
            raise IndexError(f"index {index}: viper has no negative ones")
        self._words[index] = int(Checked(value))


@contextmanager
def checked() -> Iterator[None]:
    """Watch the integers of the numeric modules."""
    with mock.patch.object(builtins, "ptr32", View):
        patches = [mock.patch.object(module, "int", Checked, create=True) for module in MODULES]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()
