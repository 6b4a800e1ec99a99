"""Power cuts at every flash operation of a new configuration, on the emulated RP2040.

After each the board has the old configuration or the new one, whole, in two copies again, and it
answers within 5 s of the power's return. Each cut is made in a copy of a board that measures.
`make test` makes one of the three tears at each operation, in turn; POROGAUGE_CUTS=all, as in
`make soak`, all of them.
"""

from __future__ import annotations

import os
from zlib import crc32

import pytest

from gauge import config, health
from gauge.link import protocol
from porogauge_bench.calibration import exact_words
from porogauge_bench.rp2040.fork import forked
from porogauge_bench.runner import CHUNK_BYTES, NoAnswer, Run
from porogauge_bench.scenario import Scenario

MS, SECOND = 1_000_000, 1_000_000_000
FRACTIONS = (0.0, 0.5, 1.0)
RUNNING_NS = 5 * SECOND  # from the return of the power to an answer
MEASURING_NS = 5 * SECOND  # and to measuring


class Commit:
    """A measuring board that has received a new configuration, and not yet the order to use it."""

    def __init__(self) -> None:
        scenario = Scenario.from_dict({"run": {"duration_s": 60}, "film": {"start_s": 1.5}})
        self.run = run = Run(scenario, "rp2040")
        words = exact_words(scenario)
        self.old = config.pack(words)
        words[config.THICKNESS_HI_8NM] += 8000
        self.new = config.pack(words)
        run.boot()
        run.configure(exact_words(scenario))
        run.run_until(4 * SECOND)
        assert run.target.output("good")
        for at in range(0, len(self.new), CHUNK_BYTES):
            chunk = self.new[at : at + CHUNK_BYTES]
            run.request(protocol.CONFIG_WRITE, at.to_bytes(4, "little") + chunk)

    def order(self) -> None:
        """Have the new configuration stored and used."""
        check = crc32(self.new).to_bytes(4, "little")
        self.run.request(protocol.CONFIG_COMMIT, len(self.new).to_bytes(4, "little") + check)

    def operations(self) -> int:
        """Number of flash operations from the order to its answer."""
        flash = self.run.target.flash
        before = len(flash.operations)
        self.order()
        return len(flash.operations) - before

    def cut(self, at: int, fraction: float) -> str:
        """Cut in the `at`-th operation; return "old" or "new", what is found afterwards."""
        run = self.run
        target = run.target
        boot = max(run.boots)
        target.flash.cut(at, fraction)
        with pytest.raises(NoAnswer):
            self.order()
        assert not target.powered
        off = [edge for edge in target.outputs if edge.name == "good"][-1]
        assert not off.level, "the reject output falls before the flash is written"
        target.reset("power")
        return self.found(boot)

    def cut_again(self, at: int, fraction: float, again: int) -> str:
        """The same, and then in the `again`-th operation of the start, which mends the copies."""
        run = self.run
        target = run.target
        boot = max(run.boots)
        target.flash.cut(at, fraction)
        with pytest.raises(NoAnswer):
            self.order()
        target.flash.cut(again, fraction)
        target.reset("power")
        target.run_while(lambda: target.powered, SECOND)
        target.flash.cut(None)
        if not target.powered:
            target.reset("power")
        return self.found(boot)

    def found(self, boot: int) -> str:
        """Return "old" or "new", what the board has that was started after `boot`."""
        run = self.run
        target = run.target
        end = target.now_ns + RUNNING_NS
        while max(run.boots) == boot:
            assert target.now_ns < end, "does not answer"
            run.run_until(target.now_ns + 10 * MS)
        found = {self.old[-4:]: "old", self.new[-4:]: "new"}[run.session.hello.config_crc]
        assert self.copies() == {"old": self.old, "new": self.new}[found]
        words = run.words(protocol.HEALTH, health.HEALTH_NAMES)
        assert words["configuration_copies"] == 2 and words["self_test"] == 0
        return found

    def copies(self) -> bytes:
        """Content of both copies, which must be the same."""
        files = self.run.target.files
        assert files["config.a"] == files["config.b"]
        return files["config.a"][12:-4]  # behind magic, sequence and length, before the CRC32

    def measures_again(self, at: int) -> None:
        """Cut, and wait until film is measured again."""
        self.cut(at, 0.5)
        target = self.run.target
        end = target.boot_ns + MEASURING_NS
        while not target.output("good"):
            assert target.now_ns < end, "does not measure"
            self.run.run_until(target.now_ns + 10 * MS)


@pytest.fixture(scope="module")
def board():
    return Commit()


def test_every_operation(board):
    last = forked(board.operations)
    assert last >= 6, "two copies, each a file and its name"
    if os.environ.get("POROGAUGE_CUTS") == "all":
        cuts = [(at, fraction) for at in range(1, last + 1) for fraction in FRACTIONS]
    else:
        cuts = [(at, FRACTIONS[at % 3]) for at in range(1, last + 1)]
    found = [forked(board.cut, at, fraction) for at, fraction in cuts]
    assert found[0] == "old" and found[-1] == "new"
    # once the first copy is whole the new one counts, and never again the old one
    halves = [found[i :: len(cuts) // last] for i in range(len(cuts) // last)]
    for half in halves:
        assert half == sorted(half, reverse=True)


@pytest.mark.parametrize("fraction", FRACTIONS[:2])
def test_cuts_while_it_is_mended(board, fraction):
    """Power fails between the copies, and then again in the start that mends the other one."""
    last = forked(board.operations)
    step = 1 if os.environ.get("POROGAUGE_CUTS") == "all" else 4
    seconds = range(1 + int(fraction * step), last + 1, step)
    found = {forked(board.cut_again, last - 2, fraction, again) for again in seconds}
    assert found == {"new"}, "its first copy was whole"


@pytest.mark.parametrize("at", [1, 4])
def test_measuring_again(board, at):
    forked(board.measures_again, at)
