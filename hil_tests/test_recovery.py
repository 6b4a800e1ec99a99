"""The board starts again by itself: hung and crashed programs, a bus left in the middle of a byte,
lasers that come back with other settings, contents of flash that were damaged.

Outputs are looked at on the pins. Programs are made to hang and to crash from outside
(`Target.hang`, `Target.crash`), at instants that have nothing to do with what they do.
"""

from __future__ import annotations

import random

import pytest

from gauge import health, journal, record
from gauge.link import protocol
from porogauge_bench.calibration import exact_words
from porogauge_bench.rp2040.fork import forked
from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario

MS, SECOND = 1_000_000, 1_000_000_000
START = {"run": {"duration_s": 20}, "film": {"start_s": 1.5}}
BACK_NS = 4 * SECOND  # from a reset to measuring again
TARGETS = ("unix32", "rp2040")


def measuring(target: str, **tables) -> Run:
    """A run that measures film, its reject output energised."""
    scenario = Scenario.from_dict({**START, **tables})
    run = Run(scenario, target)
    run.boot()
    run.configure(exact_words(scenario))
    run.run_until(4 * SECOND)
    assert run.target.output("good")
    return run


@pytest.fixture(scope="module")
def board():
    """A measuring RP2040; tests work in copies of it."""
    return measuring("rp2040")


def on(target: str, board: Run, test, *args):
    """Run `test(run, *args)` on a fresh unix board, or in a copy of the booted RP2040."""
    if target == "rp2040":
        return forked(test, board, *args)
    run = measuring(target)
    try:
        return test(run, *args)
    finally:
        run.target.stop()


def wait_for(run: Run, condition, limit_ns: int) -> None:
    end = run.target.now_ns + limit_ns
    while not condition():
        assert run.target.now_ns < end, "not within the time"
        run.run_until(run.target.now_ns + 5 * MS)


def good_off_after(run: Run, at_ns: int) -> int:
    """Nanoseconds from an instant until the reject output fell, 0 when it was low already."""
    falls = [e.t_ns for e in run.target.outputs if e.name == "good" and e.t_ns >= at_ns]
    return falls[0] - at_ns


def entries(run: Run, kind: int) -> list[bytes]:
    """Payloads of the journal's entries of one kind that the host has stored."""
    return [p for (p,) in run.store.query("SELECT payload FROM journal WHERE kind=?", (kind,))]


def health_of(run: Run) -> dict[str, int]:
    """All words of HEALTH."""
    values: list[int] = []
    while len(values) < len(health.HEALTH_NAMES):
        reply = run.request(protocol.HEALTH, len(values).to_bytes(4, "little")).reply
        found = [
            int.from_bytes(reply[i : i + 4], "little", signed=True)
            for i in range(0, len(reply), 4)
        ]
        assert found
        values += found
    return dict(zip(health.HEALTH_NAMES, values, strict=True))


def upset(run: Run, kind: str, phase_us: int) -> None:
    """Hang or crash; see the tests."""
    target = run.target
    run.run_until(target.now_ns + 1000 * phase_us)
    boot, at_ns = max(run.boots), target.now_ns
    getattr(target, kind)()
    cause, flag = {"hang": ("watchdog",) * 2, "crash": ("crash", "crash")}[kind]
    watchdog_ns = target.board.WATCHDOG_MS * MS
    wait_for(run, lambda: max(run.boots) > boot, watchdog_ns + BACK_NS)
    # a crash switches the outputs off at once, a hang when the watchdog bites
    assert good_off_after(run, at_ns) <= (20 * MS if kind == "crash" else watchdog_ns)
    reset_ns = target.boot_ns
    wait_for(run, lambda: target.output("good"), BACK_NS)
    assert target.now_ns - reset_ns < BACK_NS
    run.run_until(target.now_ns + SECOND)
    last = run.records()[-1]
    assert last["flags"].count(f"{flag}_restart") == 1 and last["latched"] == [f"{flag}_restart"]
    assert last["valid"] and "good" in last["outputs"]
    words = health_of(run)
    assert health.RESET_CAUSES[words["reset_cause"]] == cause
    assert words[f"resets_{cause}"] == 1 and words["resets_power"] == 1
    why = run.request(protocol.WHY, health.PART_NAMES.index("crash").to_bytes(4, "little"))
    reports = entries(run, journal.CRASH)
    if kind == "crash":
        assert why.reply.startswith(f"boot {boot}: File".encode()) and b"RuntimeError" in why.reply
        assert len(reports) == 1 and b"Traceback" in reports[0] and b"health " in reports[0]
        told = [int(word) for word in reports[0].rsplit(b"health ", 1)[1].split(b",")]
        assert len(told) == len(health.HEALTH_NAMES)
        assert told[health.HEALTH_WINDOWS] > 100, "as it was when it ended"
    else:
        assert why.reply == b"" and not reports
    # what the host lacks is told as a gap, and every start is in the journal with its cause
    starts = [int.from_bytes(payload[:4], "little") for payload in entries(run, journal.BOOT)]
    assert starts == [0, health.RESET_CAUSES.index(cause)]
    assert not run.store.completeness(run.device, boot, 0).missing
    bit = getattr(record, f"FLAG_{flag.upper()}_RESTART")
    run.request(protocol.ACKNOWLEDGE, bit.to_bytes(4, "little"))
    run.run_until(target.now_ns + 300 * MS)
    last = run.records()[-1]
    assert f"{flag}_restart" not in last["flags"] + last["latched"]


@pytest.mark.parametrize("phase_us", [0, 3_300, 7_100])
@pytest.mark.parametrize("kind", ["hang", "crash"])
@pytest.mark.parametrize("target", TARGETS)
def test_hang_and_crash(target, kind, phase_us, board):
    """Safe outputs within a watchdog period; flag, cause, report; and measuring again."""
    on(target, board, upset, kind, phase_us)


def crash_again(run: Run) -> None:
    target = run.target
    for count in (1, 2, 3):
        boot = max(run.boots)
        target.crash()
        wait_for(run, lambda boot=boot: max(run.boots) > boot, BACK_NS)
        wait_for(run, lambda: target.output("good"), BACK_NS)
        assert health_of(run)["resets_crash"] == count
    wait_for(run, lambda: len(entries(run, journal.CRASH)) == 3, 2 * SECOND)


@pytest.mark.parametrize("target", TARGETS)
def test_one_crash_after_the_other(target, board):
    on(target, board, crash_again)


def crash_at_start(run: Run) -> None:
    """The program ends before it has begun, at each start: no hammering on the flash."""
    target = run.target
    for after_ms in (60, 400, 500):  # while modules are loaded, and while the gauge is built
        target.reset("run")
        target.run_for(after_ms * MS)
        target.crash()
        boot_ns = target.boot_ns
        wait_for(run, lambda boot_ns=boot_ns: target.boot_ns != boot_ns, 20 * SECOND)
        assert not target.output("good")
    wait_for(run, lambda: target.output("good"), 2 * BACK_NS)


def test_a_program_that_does_not_even_start(board):
    on("rp2040", board, crash_at_start)


# -- sensors


def reset_within_transfer(run: Run, seed: int) -> None:
    """Let the board be reset while a chip sends a byte that holds SDA low."""
    target, bus = run.target, run.target.i2c
    rng = random.Random(seed)
    kind = rng.choice(["run", "watchdog"])
    boot = max(run.boots)
    run.run_until(target.now_ns + rng.randrange(11_000) * 1000)
    target.reset(kind)
    bus.hold("sda", clocks=rng.randint(1, 9))  # what a chip in the middle of a byte does
    wait_for(run, lambda: max(run.boots) > boot, BACK_NS)
    wait_for(run, lambda: target.output("good"), BACK_NS)
    assert not bus.held
    assert health_of(run)["self_test"] == 0
    assert health_of(run)["capacitance_errors"] == 0, "freed before the first transfer"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", TARGETS)
def test_reset_in_the_middle_of_a_transfer(target, seed, board):
    on(target, board, reset_within_transfer, seed)


def test_a_bus_that_cannot_be_freed_is_told_and_not_clocked_for_ever():
    run = measuring("unix32")
    try:
        run.target.i2c.hold("sda")
        run.target.reset("run")
        run.run_until(run.target.now_ns + 3 * SECOND)
        part = health.SELF_TEST_NAMES.index("bus")
        assert health_of(run)["self_test"] >> part & 1
        why = run.request(
            protocol.WHY, health.PART_NAMES.index("self_test").to_bytes(4, "little")
        ).reply
        assert b"bus: SDA or SCL is held low" in why
        run.target.i2c.hold("sda", False)
        wait_for(run, lambda: run.target.output("good"), 3 * SECOND)
    finally:
        run.target.stop()


@pytest.mark.parametrize("power_up", ["silent", "other", "other_baud"])
def test_a_laser_that_comes_back_with_other_settings(power_up):
    """Unplugged for a second; its settings are those of power-up then, whatever these are."""
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 12},
            "film": {"start_s": 1.5},
            "laser": {"power_up": power_up},
            "fault": [{"kind": "laser_unplugged", "laser": "both", "at_s": 5, "for_s": 1}],
        }
    )
    run = Run(scenario, "unix32")
    summary = run.go()
    assert (summary["lost"], summary["boots"]) == (0, 1)
    rows = run.records()
    assert not any(row["valid"] for row in rows if 5_100_000 < row["t_us"] < 6_000_000)
    late = [row for row in rows if row["t_us"] > 10_500_000]
    assert len(late) > 100 and all(row["valid"] and not row["flags"] for row in late)


# -- health


def test_a_health_record_at_the_start_and_every_minute():
    run = measuring("unix32", run={"duration_s": 130})
    try:
        run.run_until(126 * SECOND)
        found = []
        for payload in entries(run, journal.HEALTH):
            words = [
                int.from_bytes(payload[i : i + 4], "little", signed=True)
                for i in range(0, len(payload), 4)
            ]
            found.append(dict(zip(health.HEALTH_NAMES, words, strict=True)))
        assert [words["uptime_s"] // 60 for words in found] == [0, 1, 2]
        assert found[0]["frame_mc"] == health.UNKNOWN_MC, "not yet"
        last = found[-1]
        assert abs(last["frame_mc"] - 23_000) < 200 and abs(last["air_mc"] - 23_000) < 500
        assert last["laser_a_serial"] and last["climate_serial_high"] and last["capacitance_id"]
        assert last["resets_power"] == 1 and last["configuration_copies"] == 2
        assert sum(last[f"loop_{step}"] for step in range(health.LOOP_STEPS)) > 10_000
        assert last["heap_low"] >= found[1]["heap_low"] - 1024, "commands alone take memory"
    finally:
        run.target.stop()


# -- flash


def damage(run: Run, names: tuple[str, ...]) -> None:
    """Flip a bit in each of some files of a board without power."""
    target = run.target
    target.power_off()
    files = target.files
    for name in names:
        data = bytearray(files[name])
        data[len(data) // 2] ^= 0x10
        files[name] = bytes(data)
    target.set_files(files)
    target.reset("power")


def test_damage_to_one_copy_of_the_configuration_is_mended():
    run = measuring("unix32")
    try:
        for name in ("config.a", "config.b"):
            before = run.target.files[name]
            damage(run, (name,))
            run.run_until(run.target.now_ns + 2 * SECOND)
            assert run.target.output("good") and run.target.files[name] == before
            assert health_of(run)["configuration_copies"] == 2
    finally:
        run.target.stop()


def test_damage_to_both_copies_ends_measuring_and_is_told():
    run = measuring("unix32")
    try:
        damage(run, ("config.a", "config.b"))
        at_ns = run.target.now_ns
        run.run_until(at_ns + 3 * SECOND)
        assert not run.target.output("good")
        last = run.records()[-1]
        assert (last["state"], last["reason"]) == ("fault", "calibration_missing")
        assert not last["valid"] and last["thickness_nm"] is None
        why = run.request(protocol.WHY, bytes(4)).reply.decode()
        assert "both copies are damaged" in why and "push recipe and calibration" in why
        part = health.SELF_TEST_NAMES.index("configuration")
        assert health_of(run)["self_test"] >> part & 1
        run.configure(exact_words(run.scenario))
        wait_for(run, lambda: run.target.output("good"), 5 * SECOND)
        assert health_of(run)["self_test"] == 0
    finally:
        run.target.stop()
