"""The journal in flash, on the 32-bit runtime: against a model, with power cuts at any byte."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gauge import journal, record
from gauge.link import codec
from gauge.summary import Summary

PROGRAM = Path(__file__).with_name("journal_program.py").read_text()
SECTORS = 3

kinds = st.integers(1, len(journal.KIND_NAMES) - 1)
payloads = st.one_of(
    st.binary(max_size=80),
    st.integers(0, journal.PAYLOAD_BYTES).map(lambda n: random.Random(n).randbytes(n)),
)
operations = st.integers(1, 6)  # in which power fails
parts = st.one_of(st.integers(0, 256), st.sampled_from([0, 1, 255, 256, 2048, 4000, 4090, 4096]))


@pytest.fixture(scope="module")
def board(unix32):
    with unix32.load(PROGRAM) as program:
        yield program


class Machine(RuleBasedStateMachine):
    """A journal of few sectors beside a dictionary of what must be in it."""

    board = None

    @initialize()
    def begin(self):
        self.boot = 1
        self.kept: dict[int, tuple[int, int, bytes]] = {}  # number -> kind, boot, payload
        self.doubtful: set[int] = set()  # in a sector whose erasing was cut off
        self.told = 0  # by the host
        self.board.call("reset", SECTORS)
        assert self.board.call("start", 1) == (0, 0, 0, SECTORS, 0)

    def restart(self, written: tuple[int, bytes] | None = None) -> None:
        """Power comes back; an entry may have been under way."""
        before = self.next
        self.boot += 1
        first, self.next, acknowledged, _, dropped = self.board.call("start", self.boot)
        assert dropped == 0
        assert acknowledged <= max(self.told, first)  # less than the host said, never more
        found = {n: rest for n, *rest in self.board.call("entries")}
        if written is not None and before in found:
            self.kept[before] = (written[0], self.boot - 1, written[1])
        assert before <= self.next <= before + (written is not None)
        self.forget(first)
        for number in self.doubtful - found.keys():
            self.kept.pop(number, None)
        self.doubtful = set()

    def forget(self, first: int) -> None:
        self.kept = {n: entry for n, entry in self.kept.items() if n >= first}

    next = 0

    def cut(self, n: int, part: int) -> None:
        """Power will fail; the erase under way then may leave some of its entries."""
        end = self.board.call("end_of_next")
        self.doubtful = {number for number in self.kept if number < end}
        self.board.call("cut", n, part)

    def done(self) -> None:
        """Power did not fail before it was over."""
        self.board.call("cut", 0, 0)
        self.doubtful = set()

    @rule(kind=kinds, data=payloads)
    def write(self, kind, data):
        failed, erases = self.board.call("write", kind, data)
        assert not failed
        self.kept[self.next] = (kind, self.boot, data)
        self.next += 1
        first, following, acknowledged, _, _ = self.board.call("state")
        assert following == self.next
        lost = [number for number in self.kept if number < first]
        assert not lost or erases or max(lost) < acknowledged
        self.forget(first)

    @rule(n=st.integers(5, 15))
    def write_many(self, n):
        for k in range(n):
            self.write(journal.RECORDS, bytes([k]) * 400)

    @rule(kind=kinds, data=payloads, n=operations, part=parts)
    def write_and_lose_power(self, kind, data, n, part):
        self.cut(n, part)
        failed, _ = self.board.call("write", kind, data)
        if failed:
            self.restart((kind, data))
        else:
            self.done()
            self.kept[self.next] = (kind, self.boot, data)
            self.next += 1
            self.forget(self.board.call("state")[0])

    @rule(share=st.floats(0, 1))
    def host_has_stored(self, share):
        number = int(share * self.next)
        self.board.call("stored", number)
        self.told = max(self.told, number)

    @rule()
    def mark(self):
        assert not self.board.call("mark")[0]

    @rule(part=parts)
    def mark_and_lose_power(self, part):
        self.board.call("cut", 1, part)
        failed, _ = self.board.call("mark")
        if failed:
            self.restart()
        self.done()

    @rule()
    def erase_ahead(self):
        failed, _ = self.board.call("ahead")
        assert not failed
        first = self.board.call("state")[0]
        assert all(number < self.told for number in self.kept if number < first)
        self.forget(first)

    @rule(part=parts)
    def erase_ahead_and_lose_power(self, part):
        self.cut(1, part)
        failed, _ = self.board.call("ahead")
        if failed:
            self.restart()
        self.done()
        self.forget(self.board.call("state")[0])

    @rule()
    def switch_off_and_on(self):
        self.restart()

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def read_one(self, data):
        number = data.draw(st.sampled_from(sorted(self.kept)))
        payload = self.kept[number][2]
        offset = data.draw(st.integers(0, len(payload)))
        there, piece = self.board.call("one", number, offset)
        assert there == number
        assert payload[offset:].startswith(piece)
        assert len(piece) >= min(60, len(payload) - offset)

    @invariant()
    def all_is_there(self):
        found = {n: tuple(rest) for n, *rest in self.board.call("entries")}
        assert found == self.kept


def test_against_a_model_with_power_cuts(board):
    Machine.board = board
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_flash_can_be_opened_written_and_read(board):
    rnd = random.Random(5)
    for _ in range(30):
        board.call("reset", 4)
        board.call("start", 1)
        for _ in range(rnd.randrange(60)):
            board.call("write", 1 + rnd.randrange(9), rnd.randbytes(rnd.randrange(300)))
        image = bytearray(board.call("image"))
        for _ in range(rnd.randrange(400)):
            image[rnd.randrange(len(image))] = rnd.choice((0, 0xFF, rnd.randrange(256)))
        if rnd.random() < 0.3:
            image[:] = rnd.randbytes(len(image))
        board.call("load", bytes(image))
        first, following, *_ = board.call("start", 2)
        assert 0 <= first <= following < 1 << 30
        numbers = [number for number, *_ in board.call("entries")]
        assert numbers == sorted(set(numbers))
        for k in range(40):
            assert board.call("write", 3, b"after %d" % k)[0] == 0
        assert board.call("entries")[-1][3] == b"after 39"


def test_nothing_is_allocated(board):
    board.call("reset", 3)
    board.call("start", 1)
    board.execute("def three_laps():\n    fill(600)\n    log.mark()\n    log.find(log.first)\n")
    board.heap_locked("three_laps")


def test_sectors_wear_evenly(board):
    board.call("reset", 4)
    board.call("start", 1)
    for boot in range(2, 12):
        for _ in range(120):
            board.call("write", 4, bytes(40))
        board.call("start", boot)
    board.execute("def wear():\n    return log.most_erases, flash.erases[0], flash.erases[3]\n")
    most, *erases = board.call("wear")
    assert max(erases) - min(erases) <= 2 and abs(most - max(erases)) <= 1 + max(erases) // 4


def rec(**values):
    words = record.new()
    for name, value in values.items():
        words[record.FIELD_NAMES.index(name)] = value
    return words


def test_summary_of_a_second():
    summary = Summary()
    thickness = [3000, 3004, 2990]
    for k, t in enumerate(thickness):
        words = rec(seq=k, t_s=7, lost=k, state=3, flags=1 << k, position_mm=10 * k, valid=15)
        words[record.THICKNESS_8NM] = t
        words[record.POROSITY_PPM] = 400_000 + k
        assert not summary.add(words)
    assert not summary.add(rec(seq=3, t_s=7, state=1, state_reason=2, position_mm=40))
    assert summary.add(rec(seq=4, t_s=9))
    out = bytearray(100)
    n = summary.put(out, 0)
    words = codec.get_fields(out, 0, n, len(journal.SUMMARY_NAMES))
    assert dict(zip(journal.SUMMARY_NAMES, words, strict=True)) == {
        "t_s": 7,
        "seq": 0,
        "windows": 4,
        "lost": 3,
        "state": 1,
        "state_reason": 2,
        "flags": 7,
        "position_mm": 40,
        "n_thickness": 3,
        "thickness_8nm": 2998,
        "thickness_least_8nm": 2990,
        "thickness_largest_8nm": 3004,
        "n_porosity": 3,
        "porosity_ppm": 400_001,
    }
    assert summary.add(rec(seq=5, t_s=10))
    assert codec.get_fields(out, 0, summary.put(out, 0), 14)[:3] == (9, 4, 1)
