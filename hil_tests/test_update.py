"""A new version on trial: it stays when its self-test passes, else the one before runs again.

On unix32 the whole gauge lies in a slot. On the emulated RP2040 the power is cut at every flash
operation of an update (clearing, copying, pointing at the slot, beginning the trial, ending it)
with versions of a few lines; after each cut the board runs the old version or the new one, whole,
within 5 s of the power's return. `make test` makes one of the three tears at each operation, in
turn; POROGAUGE_CUTS=all, as in `make soak`, all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from binascii import crc32
from pathlib import Path

import pytest

from gauge import health
from gauge.link import protocol
from porogauge.book import Book
from porogauge_bench.calibration import exact_words
from porogauge_bench.rp2040 import RP2040Target
from porogauge_bench.rp2040.fork import forked
from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario
from porogauge_bench.serve import Server
from porogauge_bench.target import TargetError

FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"
MS, SECOND = 1_000_000, 1_000_000_000
TRIAL_NS = 26 * SECOND  # until a trial has ended, badly, and the version before answers


def pointer(number: int, *fields) -> dict[str, bytes]:
    """The file of a pointer, as `firmware/porogauge_boot.py` writes it."""
    text = json.dumps([number, *fields]).encode()
    return {f"slots/pointer.{number & 1}": text + b"%08x" % crc32(text)}


def version(slot: str, **changed: str) -> dict[str, bytes]:
    """The gauge of this checkout in a slot; `changed`: module -> text put at its end."""
    files = {}
    for path in (FIRMWARE / "gauge").rglob("*.py"):
        name = path.relative_to(FIRMWARE).as_posix()
        text = path.read_text() + changed.get(path.stem, "")
        files[f"slots/{slot}/{name}"] = text.encode()
    return files


def on_unix(files: dict[str, bytes]) -> Run:
    """A run of an unconfigured board with these files, which has answered."""
    scenario = Scenario.from_dict({"run": {"duration_s": 60}})
    run = Run(scenario, "unix32")
    run.target.set_files(run.target.files | files)
    run.boot()
    return run


@pytest.fixture
def unix():
    runs = []

    def start(files):
        runs.append(on_unix(files))
        return runs[-1]

    yield start
    for run in runs:
        run.target.stop()


def told(run: Run) -> tuple[str, str]:
    """Version and trial, as HELLO says them."""
    hello = run.session.hello
    return protocol.VERSION_NAMES[hello.version], protocol.TRIAL_NAMES[hello.trial]


def pointed(run: Run) -> list:
    """The pointer in force on a board's files."""
    found = [
        json.loads(data[:-8])
        for name, data in run.target.files.items()
        if name.startswith("slots/pointer.") and b"%08x" % crc32(data[:-8]) == data[-8:]
    ]
    return max(found)


def why(run: Run) -> str:
    part = health.PART_NAMES.index("update").to_bytes(4, "little")
    return run.request(protocol.WHY, part).reply.decode()


NEW = ("new", "a", "own", 0, "")


def test_a_version_that_passes_stays(unix):
    run = unix(version("a", __init__='\nVERSION = "9.0"\n') | pointer(1, *NEW))
    assert told(run) == ("a", "on_trial") and run.session.hello.firmware == "9.0"
    run.configure(exact_words(run.scenario))
    run.run_until(6 * SECOND)
    assert pointed(run)[1:4] == ["settled", "a", "own"]
    run.target.reset("power")
    run.run_until(run.target.now_ns + 2 * SECOND)
    assert told(run) == ("a", "settled") and why(run) == ""


def back(run: Run) -> str:
    """Wait until the board's own version runs again; return why the new one was taken back."""
    end = run.target.now_ns + TRIAL_NS
    while told(run) != ("own", "taken_back"):
        assert run.target.now_ns < end, told(run)
        run.run_until(run.target.now_ns + 100 * MS)
    assert pointed(run)[1:4] == ["failed", "own", "a"]
    return why(run)


def test_a_failed_self_test_brings_the_old_version_back(unix):
    broken = "\nSelfTest.may_measure = lambda self: False\n_old = SelfTest.run\n"
    broken += "def _run(self, hw):\n    _old(self, hw)\n    self.note(1, False, 'wrong')\n"
    broken += "SelfTest.run = _run\n"
    run = unix(version("a", selftest=broken) | pointer(1, "new", "a", "own", 0xFF8, ""))
    text = back(run)
    assert text.startswith("version a was taken back: not passed within 20 s: arithmetic")


def test_what_was_accepted_may_fail(unix):
    broken = "\n_old = SelfTest.run\ndef _run(self, hw):\n    _old(self, hw)\n"
    broken += "    self.note(3, False, 'copies')\nSelfTest.run = _run\n"
    accepted = 1 << health.SELF_TEST_NAMES.index("configuration") | 0xF00
    run = unix(version("a", selftest=broken) | pointer(1, "new", "a", "own", accepted, ""))
    run.run_until(6 * SECOND)
    assert pointed(run)[1:4] == ["settled", "a", "own"]


def test_a_hang_brings_the_old_version_back(unix):
    run = unix(version("a") | pointer(1, *NEW))
    run.target.hang()
    assert "ended before its self-test had passed" in back(run)


def test_a_crash_brings_the_old_version_back(unix):
    run = unix(version("a") | pointer(1, *NEW))
    run.target.crash()
    assert "ended before its self-test had passed" in back(run)


def test_a_power_cut_on_trial_brings_the_old_version_back(unix):
    run = unix(version("a") | pointer(1, *NEW))
    run.target.power_off()
    run.target.reset("power")
    assert "ended before its self-test had passed" in back(run)


def test_a_slot_without_files_is_not_started(unix):
    run = unix(pointer(1, "settled", "b", "", 0, ""))
    assert told(run) == ("own", "taken_back") and "its files are gone" in why(run)


# ---------------------------------------------------------------- power cuts

FILES = {
    "gauge/__init__.py": "",
    "gauge/hw.py": "def service_pin():\n    return False\n",
    "gauge/app.py": """
import time, porogauge_boot
def main():
    for _ in range(20):
        time.sleep_ms(20)
        print("runs %s", porogauge_boot.found[1], "!")
        if porogauge_boot.on_trial(): porogauge_boot.confirm()
""",
}
STEPS = """
import os, porogauge_boot as b
def remove(path):
    try: mode = os.stat(path)[0]
    except OSError: return
    if mode & 0x4000:
        for name in os.listdir(path): remove(path + "/" + name)
        os.rmdir(path)
    else: os.remove(path)
b.write("settled", "a", "")
remove("slots/b")
os.mkdir("slots/b")
os.mkdir("slots/b/gauge")
for name, text in %r.items():
    with open("slots/b/" + name, "w") as file: file.write(text)
b.write("new", "b", "a", 0)
"""
FRACTIONS = (0.0, 0.5, 1.0)
RUNNING_NS = 5 * SECOND


def small(slot: str, name: str) -> dict[str, str]:
    """A version of a few lines, which says over USB that it runs."""
    return {
        f"{slot}/{file}": text % name if "%s" in text else text for file, text in FILES.items()
    }


class Update:
    """A board at its REPL whose version "old" is in force, another one in the free slot."""

    def __init__(self) -> None:
        files = {
            f"slots/{name}": text.encode()
            for slot, which in (("a", "old"), ("b", "older"))
            for name, text in small(slot, which).items()
        }
        files |= pointer(4, "settled", "a", "b", 0, "")
        self.target = target = RP2040Target(files=files | {"boot.id": b"7"})
        self.said = bytearray()
        target.on_link = lambda data, t_ns: self.said.extend(data)
        assert self.start() == "old settled"
        target.run_for(SECOND)  # the version ends: then the REPL is there
        new = {name.removeprefix("b/"): text for name, text in small("b", "new").items()}
        self.steps = STEPS % new

    def start(self) -> str:
        """Switch the power on; return version and state of what runs, at latest after 5 s."""
        target = self.target
        self.said.clear()
        target.reset("power")
        target.boot()
        while b"!" not in self.said:
            assert target.now_ns < target.boot_ns + RUNNING_NS, f"nothing runs: {self.said!r}"
            target.run_for(10 * MS)
        return bytes(self.said).decode().partition("runs ")[2].partition(" !")[0]

    def update(self) -> None:
        """All that an update does on the board, and its trial."""
        self.target.repl_exec(self.steps, limit_ns=3 * SECOND)
        assert self.start() == "new tried"
        self.target.run_for(SECOND)

    def operations(self) -> int:
        flash = self.target.flash
        before = len(flash.operations)
        self.update()
        return len(flash.operations) - before

    def cut(self, at: int, fraction: float) -> str:
        """Cut in the `at`-th operation; return what runs afterwards, then and ever after."""
        self.target.flash.cut(at, fraction)
        with pytest.raises((TargetError, AssertionError)):  # nobody answers any more
            self.update()
            assert self.target.powered
        assert not self.target.powered
        found = self.start()
        self.target.run_for(SECOND)
        again = self.start()
        assert again.split()[0] == found.split()[0], (found, again)
        return again


@pytest.fixture(scope="module")
def board():
    return Update()


def test_every_flash_operation_of_an_update(board):
    last = forked(board.operations)
    assert last >= 20
    if os.environ.get("POROGAUGE_CUTS") == "all":
        cuts = [(at, fraction) for at in range(1, last + 1) for fraction in FRACTIONS]
    else:
        cuts = [(at, FRACTIONS[at % 3]) for at in range(1, last + 1)]
    found = [forked(board.cut, at, fraction) for at, fraction in cuts]
    # until the slot is pointed at the old version runs; then the new one is tried, and a cut while
    # it is confirmed ends that trial
    assert set(found) <= {"old settled", "old failed", "new settled"}
    first_new = found.index("new settled")
    assert found[0] == "old settled" and found[:first_new] == ["old settled"] * first_new
    assert "old settled" not in found[first_new:]


@pytest.mark.skipif(
    os.environ.get("POROGAUGE_CUTS") != "all", reason="copies 150 KiB: a minute or more; make soak"
)
def test_the_whole_gauge_over_the_link_with_a_key_and_back(tmp_path):
    """`porogauge deploy` by mpremote, the gauge running from a slot, and back to the image's."""
    target = RP2040Target(files={"boot.id": b"7"})
    target.boot()
    target.run_for(2 * SECOND)
    secret = "the-gap-is-12"
    environment = os.environ | {"POROGAUGE_BOOK": str(tmp_path / "book"), "POROGAUGE_BY": "test"}
    environment |= {"POROGAUGE_KEY": secret, "POROGAUGE_NEW_KEY": secret}

    with Server(target, pace=1.0) as server:

        def said(*arguments: str) -> dict:
            done = subprocess.run(
                [sys.executable, "-m", "porogauge", *arguments, "--json", "--wait", "30"],
                env=environment | {"POROGAUGE_PORT": server.url},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=900,
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        said("key", "set", "metrologist")
        found = said("deploy", "--why", "trial")
        assert found["slot"] == "a" and "gauge/hw/rp2.mpy" in found["files"]
        assert said("status")["keys"] == ["metrologist"]
        assert said("deploy", "--rollback")["slot"] == "own"
        assert said("deploy", "--rollback")["slot"] == "a"
    entries = Book(tmp_path / "book").audit.entries()
    assert [entry["kind"] for entry in entries] == ["key", "update", "update", "update"]
    assert all(entry["key"].startswith("metrologist ") for entry in entries)
