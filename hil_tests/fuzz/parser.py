"""What a parser under test is: where its inputs come from, and what must never happen.

A parser makes the input of a number out of that number and the seed alone, and is fed inputs in
blocks. Of each it says accepted or refused; `Wrong` is what must not be: an error that is not one
of the documented ones, an answer that does not come, or damaged input taken for good.
"""

from __future__ import annotations

import faulthandler
import random
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LONGEST_S = 4.0  # of the processor's time for one input of the host
SILENCE_S = 180.0  # of anybody's time for a block: then the process ends with where it hangs


class Wrong(Exception):
    """What must not happen has happened; the text says what."""


class TooLong(BaseException):
    """An input takes too long. Not an Exception: nothing under test takes it for its own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that is not dealt with as it should be."""

    parser: str
    number: int
    text: str
    case: Any

    def __str__(self) -> str:
        return f"{self.parser} {self.number}: {self.text}"


class Parser:
    """One parser. Classes say `name`, `share` of all inputs, and `block`: inputs fed together."""

    name = ""
    share = 1.0
    block = 100

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def open(self) -> None:
        """Make what inputs are made of; start what they are fed to."""

    def close(self) -> None:
        """End what was started; may be called twice."""

    def make(self, rnd: random.Random) -> Any:
        """Return an input."""
        raise NotImplementedError

    def feed(self, cases: Sequence[Any]) -> list[bool | str]:
        """Feed inputs; for each, whether it was accepted, or what is wrong."""
        raise NotImplementedError

    def case(self, number: int) -> Any:
        """The input of a number."""
        return self.make(random.Random(f"{self.seed} {self.name} {number}"))

    def run(self, block: int, n: int | None = None) -> tuple[int, list[Finding]]:
        """Feed a block (its first `n` inputs); return how many were accepted, and findings."""
        first = block * self.block
        cases = [self.case(first + k) for k in range(self.block if n is None else n)]
        with watched():
            verdicts = self.feed(cases)
        return verdicts.count(True), [
            Finding(self.name, first + k, verdict, case)
            for k, (case, verdict) in enumerate(zip(cases, verdicts, strict=True))
            if isinstance(verdict, str)
        ]


class HostParser(Parser):
    """A parser of the host, in this process, fed one input after the other."""

    def check(self, case: Any) -> bool:
        """Return whether an input is accepted. Raises Wrong for what must not be."""
        raise NotImplementedError

    def feed(self, cases: Sequence[Any]) -> list[bool | str]:
        return [verdict_of(self.check, case) for case in cases]


def verdict_of(check: Callable[[Any], bool], case: Any) -> bool | str:
    """Whether a check accepts an input, or what went wrong."""
    try:
        with bounded():
            return check(case)
    except Wrong as error:
        return str(error)
    except (Exception, TooLong) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"[:500]


@contextmanager
def bounded() -> Iterator[None]:
    """Raise TooLong when the body needs more than LONGEST_S of the processor's time."""

    def ring(*_: Any) -> None:
        raise TooLong(f"needs more than {LONGEST_S:g} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def watched() -> Iterator[None]:
    """End the process, and say where it is, when the body does not end in SILENCE_S."""
    faulthandler.dump_traceback_later(SILENCE_S, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
