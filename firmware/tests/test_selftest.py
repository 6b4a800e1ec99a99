"""Self-test, crash reports and boot counters on the 32-bit runtime, against a store in memory."""

from __future__ import annotations

import pytest

from gauge import health

PROGRAM = """
from array import array
import os
from gauge import crash, health
from gauge.boots import Boots
from gauge.selftest import SelfTest

class Store:
    def __init__(self):
        self.files = {}
        self.full = False

    def read(self, name):
        return self.files.get(name)

    def write(self, name, data):
        if self.full:
            raise OSError(28)
        self.files[name] = bytes(data)

    def rename(self, name, to):
        self.files[to] = self.files.pop(name)

    def has(self, name):
        return name in self.files

class Wires:
    on = closed = 0
    free = 1

    def any_on(self):
        return self.on != 0

    def standardise(self):
        return self.closed & 1 != 0

    def acknowledge(self):
        return self.closed & 2 != 0

class Hardware:
    def __init__(self):
        self.store = Store()
        self.inputs = self.outputs = self.wires = Wires()

    def boot_id(self):
        return 7

    def free_i2c(self):
        return self.wires.free != 0

class Vitals:
    words = array("i", range(len(health.HEALTH_NAMES)))

    def fill(self):
        self.words[0] = 4711

store = Store()

def run(boot_id, on, closed, free):
    hardware = Hardware()
    if boot_id is not None:
        hardware.store.files["boot.id"] = bytes(boot_id)
    wires = hardware.wires
    wires.on, wires.closed, wires.free = on, closed, free
    test = SelfTest()
    test.try_memory(bytearray(1003))
    test.run(hardware)
    return test.words, test.why(), int(test.passed()), int(test.may_measure()), test.failed()

def memory_that_forgets():
    "Two of the ring's words are one and the same."
    import gauge.selftest as module
    test = SelfTest()
    buf = bytearray(64)
    kept = module._bad_words
    module._bad_words = lambda buf, n: 1
    test.try_memory(buf)
    module._bad_words = kept
    return test.words[health.SELF_TEST_MEMORY], int(test.may_measure()), int(test.passed())

def put(name, data):
    store.files.pop(name, None)
    if data is not None:
        store.files[name] = bytes(data)

def get(name):
    return store.files.get(name)

def boot(cause, full):
    store.full = bool(full)
    boots = Boots(store, cause)
    store.full = False
    return boots.number, boots.cause, boots.by_cause

def fail(depth):
    if depth > 0:
        fail(depth - 1)
    raise ValueError("caf\\xe9 " + 300 * "x" if depth < 0 else "gone wrong")

def keep(boot, depth, vitals, full):
    store.full = bool(full)
    try:
        fail(depth)
    except ValueError as error:
        crash.keep(store, error, boot, Vitals() if vitals else None)
    store.full = False
    return store.files.get("crash")

def take_and_put_aside():
    found = crash.take(store)
    if found:
        crash.put_aside(store)
    return found, crash.last(store)
"""

RESULT = {name: index for index, name in enumerate(health.SELF_TEST_RESULTS)}


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(PROGRAM) as program:
        yield program


def failed(words):
    return [
        name
        for name, word in zip(health.SELF_TEST_NAMES, words, strict=True)
        if word == RESULT["failed"]
    ]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((b"7 1 0 0 0", 0, 0, 1), ""),
        ((b"8 1 0 0 0", 0, 0, 1), "storage"),
        ((None, 0, 0, 1), "storage"),
        ((b"7", 1, 0, 1), "outputs"),
        ((b"7", 0, 1, 1), "inputs"),
        ((b"7", 0, 2, 1), "inputs"),
        ((b"7", 0, 0, 0), "bus"),
    ],
)
def test_what_the_board_finds_out_about_itself(program, arguments, name):
    words, why, passed, may_measure, mask = program.call("run", *arguments)
    assert failed(words) == [name] * bool(name) and why.startswith(name)
    assert mask == (1 << health.SELF_TEST_NAMES.index(name) if name else 0)
    assert may_measure and not passed, "configuration and journal are not yet known"


def test_memory_that_does_not_keep_its_content_forbids_measuring(program):
    assert program.call("memory_that_forgets") == (RESULT["failed"], 0, 0)


# -- boots


def test_boots_are_counted_by_cause(program):
    program.call("put", "crash", None)
    program.call("put", "boot.id", b"0")  # as boards have it that counted no causes
    assert program.call("boot", "power", 0) == (1, "power", [1, 0, 0, 0])
    assert program.call("boot", "watchdog", 0) == (2, "watchdog", [1, 1, 0, 0])
    program.call("put", "crash", b"boot 2")
    assert program.call("boot", "reset", 0) == (3, "crash", [1, 1, 0, 1])
    assert program.call("get", "boot.id") == b"3 1 1 0 1"
    assert program.call("boot", "power", 1)[0] == 4, "a full file system does not stop it"


@pytest.mark.parametrize("content", [None, b"", b"x", b"\xff\x00", b"1x 2", b"-"])
def test_a_lost_count_begins_where_no_boot_was(program, content):
    program.call("put", "crash", None)
    found = set()
    for _ in range(5):
        program.call("put", "boot.id", content)
        number, _, counts = program.call("boot", "power", 0)
        assert 1 <= number < 1 << 30 and counts == [1, 0, 0, 0]
        found.add(number)
    assert len(found) > 1


@pytest.mark.parametrize("content", [b"1073741823 5", b"99999999999999999999", b"-7 -8 -9"])
def test_numbers_stay_in_their_range(program, content):
    program.call("put", "boot.id", content)
    number, _, counts = program.call("boot", "power", 0)
    assert 1 <= number < 1 << 30 and all(0 <= count < 1 << 30 for count in counts)


# -- reports


def test_a_report_is_taken_once(program):
    program.call("put", "crash", None)
    program.call("put", "crash.last", None)
    assert program.call("take_and_put_aside") == (b"", b"")
    report = program.call("keep", 12, 2, 1, 0)
    lines = report.decode().strip().split("\n")
    assert lines[0] == "boot 12" and lines[1].startswith("Traceback")
    assert lines[-2] == "ValueError: gone wrong"
    values = lines[-1].removeprefix("health ").split(",")
    assert len(values) == len(health.HEALTH_NAMES) and values[0] == "4711"
    taken, last = program.call("take_and_put_aside")
    assert taken == report
    assert last.startswith(b"boot 12: File") and last.endswith(b"in fail: ValueError: gone wrong")
    assert program.call("take_and_put_aside") == (b"", last), "the next start is an ordinary one"


def test_a_report_fits_into_an_entry_of_the_journal(program):
    program.call("put", "crash", None)
    report = program.call("keep", 1, 60, 1, 0)
    assert len(report) <= 1056 and b"ValueError: gone wrong\nhealth" in report
    program.call("put", "crash", None)
    report = program.call("keep", 1, -1, 0, 0)
    assert report.isascii() and report.endswith(b"x\nhealth \n")


def test_without_room_there_is_no_report(program):
    program.call("put", "crash", None)
    assert program.call("keep", 1, 0, 1, 1) is None
