"""Parsers of the board: its own code on the 32-bit MicroPython, many inputs in one call."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .parser import Parser, Wrong

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "firmware" / "tests"))

import runtime  # noqa: E402

CALL_S = 60.0  # for a block; a board that takes longer hangs


class BoardParser(Parser):
    """A parser of the board: `program` is run there; `ask` feeds it inputs, `look` judges."""

    program = ""
    block = 200
    running: runtime.Program | None = None

    def open(self) -> None:
        folder = HERE / "on_board"
        self.source = (folder / self.program).read_text(encoding="utf-8")
        self.board = runtime.Unix32(path=[folder], heap_kib=8192)
        self.running = self.board.load(self.source, timeout_s=CALL_S)

    def close(self) -> None:
        if self.running is not None:
            self.running.close()

    def restart(self) -> None:
        """A new process: the one before ended, or hangs."""
        self.running.close()
        self.running = self.board.load(self.source, timeout_s=CALL_S)

    def ask(self, cases: Sequence[Any]) -> Sequence[Any]:
        """Feed a block of inputs to the board; return what it says of each."""
        raise NotImplementedError

    def look(self, case: Any, said: Any) -> bool:
        """Return whether an input was accepted. Raises Wrong for what must not be."""
        raise NotImplementedError

    def feed(self, cases: Sequence[Any]) -> list[bool | str]:
        verdicts: list[bool | str] = [False] * len(cases)
        try:
            answers = self.ask(cases)
        except (runtime.BoardError, Wrong) as error:
            return self._narrow(cases, str(error))
        for k, (case, said) in enumerate(zip(cases, answers, strict=True)):
            try:
                verdicts[k] = self.look(case, said)
            except Wrong as error:
                verdicts[k] = str(error)
        return verdicts

    def _narrow(self, cases: Sequence[Any], text: str) -> list[bool | str]:
        """Find the input that ends the program: the last of the fewest that do."""
        good, bad = 0, len(cases)
        while bad - good > 1:
            middle = (good + bad) // 2
            self.restart()
            try:
                self.ask(cases[:middle])
                good = middle
            except (runtime.BoardError, Wrong) as error:
                text, bad = str(error), middle
        self.restart()
        verdicts: list[bool | str] = [False] * len(cases)
        verdicts[bad - 1] = "after the ones before it: " + " / ".join(text.splitlines()[-4:])
        return verdicts


def packed(cases: Sequence[bytes]) -> bytes:
    """Inputs one behind the other, each with its length in two bytes before it."""
    return b"".join(len(case).to_bytes(2, "little") + case for case in cases)


def chosen(rnd: random.Random, *ways: tuple[float, Any]) -> Any:
    """One of several things, each with its weight."""
    return rnd.choices([way for _, way in ways], [weight for weight, _ in ways])[0]
