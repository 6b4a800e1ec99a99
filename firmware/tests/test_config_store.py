"""The store of two checked copies, on the 32-bit runtime: old, new or an error, no mixture."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

PROGRAM = """
from gauge.config_store import Damaged, TwoCopies

class Cut(Exception):
    pass

class Store:
    def __init__(self):
        self.files = {}
        self.cut_at = 0  # power fails in this write from now, 1 the next; 0: never
        self.kept = 0  # bytes of the file that are written by then; -1: still the old file
        self.full = False
        self.writes = 0

    def read(self, name):
        return self.files.get(name)

    def write(self, name, data):
        if self.full:
            raise OSError(28)
        self.writes += 1
        if self.cut_at:
            self.cut_at -= 1
            if self.cut_at == 0:
                if self.kept >= 0:
                    self.files[name] = bytes(data[: self.kept])
                raise Cut()
        self.files[name] = bytes(data)

store = Store()
two = None

def start(cut_at, kept):
    "Status (0: nothing stored, 1: content, 2: damaged, 3: cut), content, sound copies."
    global two
    two = TwoCopies(store, "it")
    store.cut_at, store.kept = cut_at, kept
    try:
        found = two.read()
        return (0 if found is None else 1), found, two.sound
    except Damaged:
        return 2, None, two.sound
    except Cut:
        return 3, None, 0
    finally:
        store.cut_at = 0

def write(content, cut_at, kept):
    "Status (1: written, 3: cut, 4: refused), sound copies."
    store.cut_at, store.kept = cut_at, kept
    try:
        two.write(content)
        return 1, two.sound
    except Cut:
        return 3, 0
    except OSError:
        return 4, two.sound
    finally:
        store.cut_at = 0

def put(a, b):
    for name, data in (("it.a", a), ("it.b", b)):
        store.files.pop(name, None)
        if data is not None:
            store.files[name] = bytes(data)

def get():
    return store.files.get("it.a"), store.files.get("it.b")

def be_full(full):
    store.full = bool(full)
"""

NOTHING, CONTENT, DAMAGED, CUT, REFUSED = 0, 1, 2, 3, 4
CONTENTS = st.binary(max_size=40)
CUTS = st.tuples(st.integers(1, 3), st.integers(-1, 60))


def copy(content: bytes, sequence: int) -> bytes:
    """A copy as the format says."""
    data = b"pgc1" + sequence.to_bytes(4, "little") + len(content).to_bytes(4, "little") + content
    return data + crc32(data).to_bytes(4, "little")


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(PROGRAM) as program:
        yield program


def begin(program, a=None, b=None):
    program.call("be_full", 0)
    program.call("put", a, b)
    return program.call("start", 0, 0)


def test_first_write_and_read(program):
    assert begin(program) == (NOTHING, None, 0)
    assert program.call("write", b"one", 0, 0) == (1, 2)
    assert program.call("get") == (copy(b"one", 0), copy(b"one", 0))
    assert program.call("write", b"two", 0, 0) == (1, 2)
    assert program.call("start", 0, 0) == (CONTENT, b"two", 2)
    assert program.call("get") == (copy(b"two", 1), copy(b"two", 1))


def test_the_newer_copy_counts_and_mends_the_other(program):
    assert begin(program, copy(b"old", 6), copy(b"new", 7)) == (CONTENT, b"new", 2)
    assert program.call("get") == (copy(b"new", 7),) * 2
    assert begin(program, copy(b"new", 0), copy(b"old", 0xFFFFFFFF)) == (CONTENT, b"new", 2)
    assert program.call("write", b"next", 0, 0) == (1, 2)
    assert program.call("get") == (copy(b"next", 1),) * 2


def test_every_damaged_byte_of_one_copy_is_mended(program):
    good = copy(b"content", 3)
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x40
        for pair in ((bytes(bad), good), (good, bytes(bad)), (good[:at], good), (good, None)):
            assert begin(program, *pair) == (CONTENT, b"content", 2), at
            assert program.call("get") == (good, good)


def test_two_damaged_copies_are_an_error_until_something_is_written(program):
    bad = copy(b"content", 3)[:-1]
    for pair in ((bad, bad), (bad, None), (None, b""), (b"", b"")):
        assert begin(program, *pair) == (DAMAGED, None, 0)
        assert program.call("write", b"again", 0, 0) == (1, 2)
        assert program.call("start", 0, 0) == (CONTENT, b"again", 2)


def test_a_full_file_system(program):
    begin(program, copy(b"old", 1), copy(b"old", 1))
    program.call("be_full", 1)
    assert program.call("write", b"new", 0, 0)[0] == REFUSED
    assert program.call("start", 0, 0) == (CONTENT, b"old", 2)
    program.call("put", copy(b"old", 1), None)
    assert program.call("start", 0, 0) == (CONTENT, b"old", 1), "told, and used all the same"


class Copies(RuleBasedStateMachine):
    """Writes, starts, cuts in both, bit flips and lost files, against what may be found then."""

    program = None

    @initialize(first=st.none() | st.sampled_from((0, 5, 0xFFFFFFFF)))
    def build(self, first):
        self.possible = {None} if first is None else {b"first"}
        self.harmed = set()  # copies that were damaged since both were sound
        self.doubtful = False  # several contents are possible, or one copy's state is not known
        data = None if first is None else copy(b"first", first)
        begin(self.program, data, data)

    @rule(content=CONTENTS)
    def write(self, content):
        assert self.program.call("write", content, 0, 0) == (1, 2)
        self.possible, self.harmed, self.doubtful = {content}, set(), False

    @precondition(lambda self: len(self.harmed) < 2)
    @rule(content=CONTENTS, cut=CUTS)
    def write_with_cut(self, content, cut):
        status, _ = self.program.call("write", content, *cut)
        assert status in (1, CUT)
        self.possible = {content} if status == 1 else self.possible | {content}
        self.harmed = set()
        self.start_again()

    @rule(cut=CUTS)
    def start_with_cut(self, cut):
        status, content, _ = self.program.call("start", *cut)
        if status != CUT:
            self.found(status, content)
        self.start_again()

    def start_again(self):
        status, content, sound = self.program.call("start", 0, 0)
        assert status == NOTHING or status == DAMAGED or sound == 2
        self.found(status, content)

    def found(self, status, content):
        """What a start found is possible; it is what is there from now on."""
        if status == DAMAGED:
            if None in self.possible:  # the very first write was torn: nothing is in force
                self.possible = {None}
            assert len(self.harmed) == 2 or self.possible == {None}
            return
        assert (content if status == CONTENT else None) in self.possible
        self.possible, self.harmed = {content}, set()

    @precondition(lambda self: self.possible != {None})
    @rule(which=st.integers(0, 1), at=st.integers(0, 200), bit=st.integers(0, 7))
    def flip(self, which, at, bit):
        pair = [None if data is None else bytearray(data) for data in self.program.call("get")]
        if pair[which]:
            pair[which][at % len(pair[which])] ^= 1 << bit
            self.program.call("put", *[None if data is None else bytes(data) for data in pair])
            self.harmed.add(which)

    @precondition(lambda self: self.possible != {None})
    @rule(which=st.integers(0, 1))
    def lose(self, which):
        pair = list(self.program.call("get"))
        pair[which] = None
        self.program.call("put", *pair)
        self.harmed.add(which)
        if pair == [None, None]:
            self.possible, self.harmed = {None}, set()

    @invariant()
    def one_of_them(self):
        assert len(self.possible) == 1


def test_stateful(program):
    Copies.program = program
    run_state_machine_as_test(
        Copies, settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
    )
