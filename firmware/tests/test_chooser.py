"""Which version starts (`porogauge_boot`): a stateful test against a model, with power cuts.

A cut leaves the pointer file that was being written torn at any byte, or damaged; what counts is
then the pointer before. Wherever it happens, a version that has not passed its trial is started
once at most, and there is always one to start.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

SOURCE = Path(__file__).resolve().parents[1] / "porogauge_boot.py"
OTHER = {"a": "b", "b": "a", "own": "a"}


def load():
    """The chooser as after power-up."""
    spec = importlib.util.spec_from_file_location("porogauge_boot", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Board(RuleBasedStateMachine):
    """Slots filled, tried, confirmed, taken back and rolled back, cut at any write."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="porogauge-"))
        self.before, self.path = os.getcwd(), list(sys.path)
        os.chdir(self.root)
        self.boot = load()
        self.good = "own"  # the version that has passed, and must always be there
        self.trial = None  # the one that is pointed at and has not been started
        self.running = "own"
        self.tried = False  # `running` has begun its trial
        self.starts = 0  # of the version on trial

    def teardown(self):
        os.chdir(self.before)
        sys.path[:] = self.path
        shutil.rmtree(self.root)

    def fill(self, slot):
        (self.root / "slots" / slot / "gauge").mkdir(parents=True, exist_ok=True)

    def tear(self, keep, damage):
        """The newest pointer file was not finished, or not rightly."""
        number = self.boot.read()[0]
        path = self.root / "slots" / f"pointer.{number & 1}"
        data = bytearray(path.read_bytes())
        if damage:
            data[keep % len(data)] ^= 0x10
        else:
            data = data[: keep % len(data)]
        path.write_bytes(data)

    def start(self):
        """Power-up: what the board runs now."""
        self.boot = load()
        sys.path[:] = self.path
        pointer = self.boot.choose()
        self.running = pointer[self.boot.RUNS]
        self.tried = self.boot.on_trial()
        place = self.boot.folder(self.running)
        assert (sys.path[0] == place) == bool(place)
        return pointer

    @initialize()
    def first(self):
        self.start()
        assert self.running == "own" and not self.tried

    @precondition(lambda self: not self.tried)
    @rule(
        cut=st.sampled_from(["no", "first", "second"]), keep=st.integers(0, 80), bad=st.booleans()
    )
    def update(self, cut, keep, bad):
        """What the host does at the REPL, cut in one of its two writes or not."""
        slot = "b" if self.good == "a" else "a"
        self.boot.write("settled", self.good, "")
        if cut == "first":
            self.tear(keep, bad)
            return
        self.trial = None
        self.fill(slot)
        self.boot.write("new", slot, self.good, 5)
        if cut == "second":
            self.tear(keep, bad)
            return
        self.trial, self.starts = slot, 0

    @precondition(lambda self: not self.tried)
    @rule(keep=st.integers(0, 80), bad=st.booleans(), cut=st.booleans())
    def power_up(self, keep, bad, cut):
        """A start; the write that marks a trial as begun may be cut."""
        before = self.boot.read()
        self.start()
        if self.trial is None:
            assert self.running == self.good and not self.tried
            return
        assert (self.running, self.tried) == (self.trial, True)
        if cut:  # before the version itself was started
            self.tear(keep, bad)
            assert self.boot.read() == before
            self.tried = False
            return
        self.starts += 1
        assert self.starts == 1, "a version on trial is started once"
        self.trial = None

    @precondition(lambda self: self.tried)
    @rule(cut=st.booleans(), keep=st.integers(0, 80), bad=st.booleans())
    def confirm(self, cut, keep, bad):
        self.boot.confirm()
        if cut:
            self.tear(keep, bad)
            self.fails()
        else:
            self.good, self.tried = self.running, False

    @precondition(lambda self: self.tried)
    @rule(cut=st.booleans(), keep=st.integers(0, 80), bad=st.booleans())
    def take_back(self, cut, keep, bad):
        self.boot.take_back("memory")
        if cut:
            self.tear(keep, bad)
        self.fails("memory" if not cut else "ended before")

    @precondition(lambda self: self.tried)
    @rule()
    def fails(self, why="ended before"):
        """A crash, a hang or a power cut on trial."""
        failed = self.running
        pointer = self.start()
        assert (self.running, self.tried) == (self.good, False)
        assert pointer[self.boot.STATE] == "failed" and why in pointer[self.boot.WHY]
        assert pointer[self.boot.OTHER] == failed

    @precondition(lambda self: not self.tried and self.trial is None)
    @rule()
    def roll_back(self):
        pointer = self.boot.read()
        other = pointer[self.boot.OTHER]
        if pointer[self.boot.STATE] == "settled" and other:
            self.boot.write("new", other, self.good, 0)
            self.trial, self.starts = other, 0

    @invariant()
    def there_is_a_good_version(self):
        pointer = self.boot.read()
        names = {pointer[self.boot.RUNS], pointer[self.boot.OTHER]}
        assert self.good in names


Board.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestBoard = Board.TestCase


@pytest.fixture
def boot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return load()


def test_two_damaged_copies_are_a_board_without_slots(boot, tmp_path):
    (tmp_path / "slots" / "a" / "gauge").mkdir(parents=True)
    boot.write("settled", "a", "own")
    boot.write("settled", "a", "own")
    for name in ("pointer.0", "pointer.1"):
        (tmp_path / "slots" / name).write_bytes(b"[1]00000000")
    assert boot.choose()[boot.RUNS] == "own"


def test_a_full_file_system(boot, monkeypatch):
    boot.write("new", "a", "own")

    def full(*_, **__):
        raise OSError(28)

    monkeypatch.setattr(boot, "write", full)
    pointer = boot.choose()
    assert pointer[boot.RUNS] == "own" and "flash full" in pointer[boot.WHY]
    assert not boot.on_trial()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b'{"a": 1}',
        b"[1, 2]",
        b'["x", "settled", "a", "", 0, ""]',
        b'[1, "settled", "../x", "", 0, ""]',
        b'[1, "settled", "a", "", "x", ""]',
        b"\xff\xfe",
        b"[[[[",
    ],
)
def test_strange_pointers_with_a_right_checksum(boot, tmp_path, text):
    from binascii import crc32

    (tmp_path / "slots").mkdir()
    for name in ("pointer.0", "pointer.1"):
        (tmp_path / "slots" / name).write_bytes(text + b"%08x" % crc32(text))
    assert boot.choose()[boot.RUNS] == "own"
