"""The journal on the emulated RP2040: power cuts at every flash operation, a host that is away.

Each cut is made in a copy of one booted board. `make test` makes one of the three tears at each
operation, in turn; POROGAUGE_CUTS=all, as in `make soak`, all of them.
"""

from __future__ import annotations

import ast
import os
import random
import time

import pytest

from gauge import journal, record
from gauge.journal_flash import Journal
from gauge.link import protocol
from porogauge_bench.calibration import exact_words
from porogauge_bench.rp2040 import RP2040Target, files
from porogauge_bench.rp2040.fork import forked
from porogauge_bench.runner import Run, make_target
from porogauge_bench.scenario import Scenario

MS, SECOND = 1_000_000, 1_000_000_000
FRACTIONS = (0.0, 0.5, 1.0)
PAGE, SECTOR = 256, 4096

# -- every operation of the flash, by the board's own program at its REPL

SETUP = """
import rp2
from gauge.hw.flash import Flash
from gauge.journal_flash import Journal

def opened(boot):
    return Journal(Flash(rp2.Flash(), 160, 2), boot)

def put(log, k):
    n = 60 + 397 * k % 900
    for i in range(n):
        log.payload[i] = k + i & 255
    log.begin(1 + k % 9, n)
    while log.busy:
        if not log.work():
            log.erase()

def entries(log):
    found = []
    number = 0
    while log.find(number):
        data = bytearray(log.length + 4)
        at = log.read(0, data)
        found.append((log.number, log.kind, log.boot, bytes(data[at : at + log.length])))
        number = log.number + 1
    return found

log = opened(1)
"""
WORK = """
for k in range(4, 18):
    put(log, k)
    if k == 10:
        log.stored(9)
        log.mark()
        while log.can_erase():
            log.erase()
"""
AGAIN = """
log = opened(2)
before = entries(log), log.next
put(log, 99)
print((before, entries(log)[-1], log.opened_us))
"""


def content(k: int) -> tuple[int, bytes]:
    n = 60 + 397 * k % 900
    return 1 + k % 9, bytes((k + i) & 255 for i in range(n))


@pytest.fixture(scope="module")
def prompt() -> RP2040Target:
    """A board at its REPL with the first entries of a journal of two sectors."""
    target = RP2040Target(service=True, files={})
    target.boot()
    target.repl_exec(SETUP)
    target.repl_exec("for k in range(4): put(log, k)")
    return target


def cut_and_look(target: RP2040Target, at: int, fraction: float) -> None:
    """Lose power in an operation, start again, and compare what is there with what was written."""
    target.flash.cut(at, fraction)
    before = len(target.flash.operations)
    target.link_send(WORK.encode() + b"\x04")
    assert target.run_while(lambda: target.powered, 3 * SECOND)
    assert len(target.flash.operations) == before + at
    target.reset("power")
    target.boot()
    target.repl_exec(SETUP.replace("log = opened(1)", ""))
    (found, following), last, opened_us = ast.literal_eval(target.repl_exec(AGAIN))
    assert opened_us < 50_000
    assert last == (following, *content(99)[:1], 2, content(99)[1])
    numbers = [number for number, *_ in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a hole in between"
    assert following - numbers[-1] <= 2, "more than the entry that was written is lost"
    for number, kind, boot, data in found:
        assert (kind, data) == content(number) and boot == 1
    return numbers[-1], following


def test_power_cut_at_every_operation(prompt):
    flash = prompt.flash

    def whole() -> list[int]:
        before = len(flash.operations)
        prompt.repl_exec(WORK)
        return [operation.opcode for operation in flash.operations[before:]]

    operations = forked(whole)
    assert operations.count(0x20) >= 1 and operations.count(0x02) > 25
    every = os.environ.get("POROGAUGE_CUTS") == "all"
    newest = 3
    for at in range(1, len(operations) + 1):
        for fraction in FRACTIONS if every else (FRACTIONS[at % 3],):
            last, following = forked(cut_and_look, prompt, at, fraction)
            assert newest <= last, "an entry that was whole is lost"
        newest = following - 2
    assert newest >= 14


def test_a_worn_or_foreign_flash_is_taken_into_use(prompt):
    def begin() -> None:
        start = files.JOURNAL
        prompt.mcu.flash[start : start + 2 * SECTOR] = random.Random(1).randbytes(2 * SECTOR)
        (found, following), last, _ = ast.literal_eval(prompt.repl_exec(AGAIN))
        assert (found, following) == ([], 0)
        assert last[0] == 0 and last[3] == content(99)[1]

    forked(begin)


def test_the_file_system_of_an_older_image_is_carried_over():
    target = RP2040Target(service=True)
    big = random.Random(1).randbytes(600_000)
    old = files.build({"boot.id": b"41", "config": b"c" * 900, "lib/big.bin": big}, 352)
    target.mcu.flash[files.START : files.START + len(old)] = old
    target.boot()
    assert target.files == {"boot.id": b"41", "config": b"c" * 900}
    assert target.repl_exec("import os\nprint(os.statvfs('/')[2])") == "160\r\n"
    target.reset("power")
    target.boot()
    assert target.files["boot.id"] == b"41"


# -- the running gauge


class DeskFlash:
    """What `gauge.hw` calls flash, in memory."""

    def __init__(self, sectors: int) -> None:
        self.sectors = sectors
        self.data = bytearray(b"\xff" * (sectors * SECTOR))

    def read(self, address: int, buf: bytearray) -> None:
        buf[:] = self.data[address : address + len(buf)]

    def program(self, address: int, page: bytes) -> None:
        for index, byte in enumerate(page):
            self.data[address + index] &= byte

    def erase(self, sector: int) -> None:
        self.data[sector * SECTOR : (sector + 1) * SECTOR] = b"\xff" * SECTOR


def used_journal(sectors: int) -> bytes:
    """Return flash whose sectors are all written, and stored by a host."""
    flash = DeskFlash(sectors)
    log = Journal(flash, 1)
    while log.erased or log.next % 90:
        log.payload[:40] = bytes(40)
        log.begin(journal.SUMMARY, 40)
        while log.busy:
            log.work()
    log.stored(log.next)
    log.mark()
    return bytes(flash.data)


def measuring(target: str, start_s: float = 1.5, **board: int) -> Run:
    """Return a run that measures; `board` changes constants of the board file."""
    scenario = Scenario.from_dict({"run": {"duration_s": 100}, "film": {"start_s": start_s}})
    run = Run(scenario, target)
    if board:
        run.target.set_files(run.target.files | {"board.py": board_file(run, board)})
    run.boot()
    run.configure(exact_words(scenario))
    run.run_until(4 * SECOND)
    return run


def board_file(run: Run, changes: dict[str, int]) -> bytes:
    """The board's constants with some changed, for the board's file system."""
    constants = vars(run.target.board) | changes
    return "".join(f"{name} = {value!r}\n" for name, value in constants.items()).encode()


def away(run: Run, seconds: int) -> None:
    """Take the host away, let it come back, and fetch what there is."""
    run.kill_host()
    run.run_until(run.target.now_ns + seconds * SECOND)
    run.start_host()
    run.run_until(run.target.now_ns + 3 * SECOND)
    run.drain()
    end = run.target.now_ns + 60 * SECOND
    while run.session.fetching and run.target.now_ns < end:
        run.run_until(run.target.now_ns + 50 * MS)
    run.run_until(run.target.now_ns + SECOND)


def check_complete(run: Run) -> None:
    (boot,) = run.boots
    rows = run.rows(boot)
    seqs = [row[record.SEQ] for row in rows]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    state = run.store.completeness(run.device, boot, 0)
    assert not state.missing and state.gaps == 0
    harmed = record.FLAG_OVERRUN | record.FLAG_FLASH_WRITE
    assert not any(row[record.FLAGS] & harmed for row in rows if row[record.T_S] >= 4)


def test_a_minute_without_host_on_unix32():
    run = measuring("unix32")
    away(run, 60)
    run.target.stop()
    check_complete(run)


def test_without_host_on_the_board():
    """The ring holds three seconds; eight are bridged, and no conversion is lost for it."""
    run = measuring("rp2040", LINK_RING_BYTES=16 * 1024)
    away(run, 8)
    check_complete(run)
    assert run.words(protocol.JOURNAL_STATE, journal.STATE_NAMES)["dropped"] == 0


def test_a_journal_that_is_full(monkeypatch):
    """Sectors that a host has stored are erased off sheet, and what that costs is marked."""
    monkeypatch.setattr(time, "ticks_us", lambda: 0, raising=False)
    monkeypatch.setattr(time, "ticks_diff", lambda end, start: end - start, raising=False)
    target = make_target("rp2040")
    image = used_journal(192)
    target.mcu.flash[files.JOURNAL : files.JOURNAL_END] = image
    run = measuring(target, start_s=3.0)
    run.run_until(7 * SECOND)
    state = run.words(protocol.JOURNAL_STATE, journal.STATE_NAMES)
    run.drain()
    assert state["opened_us"] < 100_000
    rows = run.rows()
    holes = [row for row in rows[20:] if row[record.LOST]]
    for row in holes:
        assert row[record.FLAGS] & (record.FLAG_FLASH_WRITE | record.FLAG_NO_FILM)
    written = [row for row in rows if row[record.FLAGS] & record.FLAG_FLASH_WRITE]
    assert written
    assert state["erased"] > 3 and state["dropped"] == 0
    # the window behind the last erase may be the first one with film
    assert sum(row[record.STATE] == record.STATE_MEASURING for row in written) <= 1


def test_power_cut_while_the_host_is_away():
    """At any operation: running again within 5 s, and what was in the journal is fetched."""
    run = measuring("rp2040")
    run.kill_host()
    run.run_until(run.target.now_ns + 6 * SECOND)  # noticed after 3 s, written what had gathered
    boot = max(run.boots)

    def cut(at: int, fraction: float) -> None:
        target = run.target
        target.flash.cut(at, fraction)
        assert target.run_while(lambda: target.powered, SECOND)
        lost_at = target.now_ns
        target.reset("power")
        run.start_host()
        end = target.now_ns + 5 * SECOND
        while max(run.boots) == boot:
            assert target.now_ns < end, "does not run again"
            run.run_until(target.now_ns + 10 * MS)
        end = target.now_ns + 20 * SECOND
        run.run_until(target.now_ns + SECOND)
        while run.session.fetching and target.now_ns < end:
            run.run_until(target.now_ns + 50 * MS)
        rows = run.rows(boot)
        seqs = [row[record.SEQ] for row in rows]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        # what was measured last had not been written yet
        newest = run.boots[boot] + rows[-1][record.T_S] * SECOND + rows[-1][record.T_US] * 1000
        assert lost_at - newest < 300 * MS

    every = os.environ.get("POROGAUGE_CUTS") == "all"
    for at, fraction in zip(range(1, 10 if every else 4), FRACTIONS * 3, strict=False):
        forked(cut, at, fraction)
