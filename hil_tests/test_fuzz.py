"""A few thousand inputs to every parser, and that the fuzzing itself sees what it must see."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fuzz import run  # noqa: E402 - the path comes first
from fuzz.parser import HostParser, Parser, Wrong  # noqa: E402
from fuzz.parsers import PARSERS  # noqa: E402

FEW = 6000  # inputs over all parsers, each a block at least


@pytest.mark.parametrize("kind", PARSERS, ids=lambda kind: kind.name)
def test_nothing_is_wrong_with_any_input(kind: type[Parser]):
    parser = kind(seed=1)
    try:
        parser.open()
        accepted = 0
        for block in range(run.plan(FEW)[kind.name]):
            taken, found = parser.run(block)
            accepted += taken
            assert not found, "\n".join(map(str, found))
    finally:
        parser.close()
    assert accepted, "nothing was accepted: what was fed is not nearly right"


def test_names_and_inputs_are_the_same_in_every_run():
    assert len({kind.name for kind in PARSERS}) == len(PARSERS)
    for kind in (kind for kind in PARSERS if kind.name in ("recipe", "database", "host_session")):
        one, other = kind(seed=3), kind(seed=3)
        one.open(), other.open()
        try:
            assert [one.case(k) for k in range(5)] == [other.case(k) for k in range(5)]
        finally:
            one.close(), other.close()


class Careless(HostParser):
    """A parser with every mistake."""

    name = "careless"
    block = 4

    def make(self, rnd):
        return rnd.randrange(1000)

    def case(self, number):
        return number

    def check(self, case):
        if case == 1:
            raise KeyError("text")
        if case == 2:
            raise Wrong("damaged, and taken")
        if case == 3:
            while True:
                pass
        return True


def test_what_must_not_be_is_found(monkeypatch):
    monkeypatch.setattr("fuzz.parser.LONGEST_S", 0.1)
    accepted, found = Careless(1).run(0)
    assert accepted == 1
    assert [finding.number for finding in found] == [1, 2, 3]
    assert "KeyError" in found[0].text and found[1].text == "damaged, and taken"
    assert "needs more than 0.1 s" in found[2].text


def test_a_run_is_interrupted_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(run, "PARSERS", (Careless,))
    monkeypatch.setattr("fuzz.parser.LONGEST_S", 0.1)
    monkeypatch.setattr(Careless, "run", lambda self, block: (4, []))
    progress = run.Progress(12, 1, False)
    blocks = progress.blocks["careless"]
    progress.add(Careless, 4, [], 1)
    progress.keep()
    again = run.Progress(12, 1, False)
    assert again.of(Careless)["blocks"] == 1
    assert run.main(["--count", "12"]) == 0
    assert run.Progress(12, 1, False).of(Careless)["blocks"] == blocks
    assert "no findings" in capsys.readouterr().out
    assert run.Progress(12, 1, True).of(Careless)["blocks"] == 0
    for wrong in (["--count", "0"], ["--number", "3"], ["--only", "none"]):
        with pytest.raises(SystemExit):
            run.main(wrong)
