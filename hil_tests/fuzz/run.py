"""The long run: so many inputs over all parsers, with progress, to be interrupted and resumed.

    make fuzz                                       a million inputs, seed 1
    make fuzz ARGS="--count 20000 --seed 7"
    make fuzz ARGS="--only recipe --number 4711"    one input again, with all of its traceback

What was done is kept in build/fuzz/, so that a second start goes on; --restart forgets it. Ends
with 1 when there was a finding, 130 when it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from .parser import Finding, Parser
from .parsers import PARSERS

FOLDER = Path(__file__).parents[2] / "build" / "fuzz"
_SAY_S = 5.0  # between two lines of progress


def plan(count: int) -> dict[str, int]:
    """Blocks of each parser, so that there are `count` inputs at least."""
    whole = sum(parser.share for parser in PARSERS)
    return {
        parser.name: max(1, -(-int(count * parser.share / whole + 1) // parser.block))
        for parser in PARSERS
    }


class Progress:
    """What was done, kept in a file, and told now and then."""

    def __init__(self, count: int, seed: int, restart: bool) -> None:
        self.blocks = plan(count)
        self.path = FOLDER / f"{count}-{seed}.json"
        self.done: dict[str, dict[str, int]] = {}
        self.findings: list[str] = []
        if self.path.exists() and not restart:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.done, self.findings = kept["done"], kept["findings"]
        self._began = self._said = time.monotonic()

    def of(self, parser: type[Parser]) -> dict[str, int]:
        """Counts of a parser: blocks, inputs, accepted ones, milliseconds."""
        names = ("blocks", "inputs", "accepted", "ms")
        return self.done.setdefault(parser.name, dict.fromkeys(names, 0))

    def add(self, parser: type[Parser], accepted: int, found: list[Finding], ms: int) -> None:
        """A block was done."""
        counts = self.of(parser)
        counts["blocks"] += 1
        counts["inputs"] += parser.block
        counts["accepted"] += accepted
        counts["ms"] += ms
        for finding in found:
            self.findings.append(str(finding))
            print(f"FINDING {finding}", flush=True)
        now = time.monotonic()
        if now - self._said >= _SAY_S or counts["blocks"] == self.blocks[parser.name]:
            self._said = now
            self.keep()
            inputs = sum(counts["inputs"] for counts in self.done.values())
            whole = sum(self.blocks[p.name] * p.block for p in PARSERS)
            share = 100 * counts["blocks"] / self.blocks[parser.name]
            print(
                f"{inputs:8} of {whole} inputs, {len(self.findings)} findings;"
                f" {parser.name} {share:3.0f} %",
                flush=True,
            )

    def keep(self) -> None:
        """Write the file."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        content = {"done": self.done, "findings": self.findings}
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
        draft.replace(self.path)

    def table(self) -> str:
        """What was covered, a line for each parser."""
        lines = [f"{'parser':22} {'inputs':>9} {'accepted':>9} {'us each':>8}"]
        for parser in PARSERS:
            counts = self.of(parser)
            each = 1000 * counts["ms"] // max(1, counts["inputs"])
            row = (counts["inputs"], counts["accepted"], each)
            lines.append(f"{parser.name:22} {row[0]:9} {row[1]:9} {row[2]:8}")
        inputs = sum(counts["inputs"] for counts in self.done.values())
        lines.append(f"{'all':22} {inputs:9}")
        return "\n".join(lines)


def run(progress: Progress, seed: int, only: str | None) -> None:
    """Feed what is left to be fed."""
    for kind in PARSERS:
        if only not in (None, kind.name):
            continue
        left = range(progress.of(kind)["blocks"], progress.blocks[kind.name])
        if not left:
            continue
        parser = kind(seed)
        try:
            parser.open()
            for block in left:
                start = time.monotonic()
                accepted, found = parser.run(block)
                progress.add(kind, accepted, found, round(1000 * (time.monotonic() - start)))
        finally:
            parser.close()


def once(kind: type[Parser], seed: int, number: int) -> int:
    """Feed the block of one input up to that input, and show it."""
    parser = kind(seed)
    parser.open()
    try:
        block, k = divmod(number, kind.block)
        case: Any = parser.case(number)
        print(f"{kind.name} {number}, seed {seed}:\n{case!r}")
        _, found = parser.run(block, k + 1)
        print("\n".join(map(str, found)) or "nothing wrong with it")
        return 1 if found else 0
    finally:
        parser.close()


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    names = [parser.name for parser in PARSERS]
    options = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=1_000_000, help="inputs in all")
    options.add_argument("--seed", type=int, default=1, help="another seed, other inputs")
    options.add_argument("--only", choices=names, metavar="PARSER", help=", ".join(names))
    options.add_argument("--number", type=int, help="feed this input again (with --only)")
    options.add_argument("--restart", action="store_true", help="forget what was done before")
    chosen = options.parse_args(arguments)
    if chosen.count < 1 or (chosen.number is not None and (not chosen.only or chosen.number < 0)):
        options.error("--count is 1 or more; --number is 0 or more and goes with --only")
    if chosen.number is not None:
        return once(PARSERS[names.index(chosen.only)], chosen.seed, chosen.number)
    progress = Progress(chosen.count, chosen.seed, chosen.restart)
    print(f"seed {chosen.seed}, {chosen.count} inputs; kept in {progress.path}")
    try:
        run(progress, chosen.seed, chosen.only)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    finally:
        progress.keep()
        print(progress.table())
    print("\n".join(progress.findings) or "no findings")
    return 1 if progress.findings else 0
