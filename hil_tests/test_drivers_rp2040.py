"""Every driver of the firmware on the emulated board, against the bench's chips and their faults.

The board boots with the service pin active, so that the gauge does not run; each test sends a few
lines over the REPL to a copy of the booted board. What is printed is read as Python.
"""

import ast

import pytest

import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`
from gauge import drivers
from gauge.drivers import optoncdt
from porogauge_bench.instruments import Instruments
from porogauge_bench.rp2040 import RP2040Target
from porogauge_bench.rp2040.fork import forked
from porogauge_bench.scenario import Scenario

QUIET = {"capacitance": {"temperature_noise_k": 0.0}}

START = """
import gc, time, micropython
from time import ticks_us, ticks_diff, sleep_ms
from gauge import drivers, hw
from gauge.drivers import DriverError
from gauge.drivers.ad7746 import AD7746
from gauge.drivers.optoncdt import MODELS, Laser
from gauge.drivers.sht4x import SHT4x
h = hw.Hardware()
cap = AD7746(h.i2c)
air = SHT4x(h.i2c)
a, b = h.lasers
def fault(start, *arguments):
    try:
        start(*arguments)
    except DriverError as error:
        return error.fault
def took(call, *arguments):
    t = ticks_us()
    result = call(*arguments)
    return result, ticks_diff(ticks_us(), t)
def wait():
    n = h.ready.words[0]
    t = ticks_us()
    while h.ready.words[0] == n and ticks_diff(ticks_us(), t) < 200_000:
        h.idle(20)
"""

# the first result after a start is not one to use
READ_TWO = "wait()\ncap.read()\nwait()\nprint(cap.read() > 0)"


class Board:
    """A booted board with its sensors."""

    def __init__(self, **scenario):
        self.target = RP2040Target(service=True)
        self.sensors = Instruments(Scenario.from_dict({**QUIET, **scenario}), self.target.clock)
        self.sensors.plug_into(self.target)
        self.target.boot()
        self.run(START)

    def run(self, code):
        """Run `code` on the board; return what it printed, line by line."""
        lines = self.target.repl_exec(code).split("\r\n")
        return [ast.literal_eval(line) for line in lines if line]


@pytest.fixture(scope="module")
def booted():
    return Board()


@pytest.fixture
def on_board(booted):
    """Runs a test's function in a copy of the booted board: `on_board(fn)` calls fn(board)."""
    return lambda fn: forked(fn, booted)


# -- AD7746


def test_converter_reads_what_the_chip_converted(on_board):
    def check(board):
        codes = board.run(
            "cap.start(0, 50)\nwait()\nout = []\n"
            "while len(out) < 8:\n  wait()\n  code = cap.read()\n"
            "  if code != drivers.SKIPPED: out.append(code)\nprint(out)"
        )[0]
        made = [conversion.code for conversion in board.sensors.ad7746.log]
        assert codes == made[-8:]
        assert made[0] not in codes  # the first one after a start is not settled

    on_board(check)


@pytest.mark.parametrize("capf", [1, 2, 7])
def test_converter_runs_at_every_rate(on_board, capf):
    def check(board):
        ticks = board.run(
            f"cap.start({capf}, 50)\nwait()\ncap.read()\nwait()\ncap.read()\nwait()\n"
            "print([h.ready.words[1 + (h.ready.words[0] - 1 - i) % 16] for i in (0, 1)])\n"
            "print(cap.period_us)"
        )
        (last, before), period = ticks
        # the chip's clock is 120 ppm off
        assert abs(last - before - period) < 0.001 * period

    on_board(check)


def test_converter_gives_frame_temperature_and_goes_back(on_board):
    def check(board):
        results = board.run(
            "cap.start(0, 50)\nwait()\ncap.read()\nwait()\ncap.read()\nprint(cap.temperatures)\n"
            "print(cap.start_temperature())\n"
            "for _ in range(5):\n  wait()\n  print((cap.read(), cap.temperature_mc))\n"
            "print(cap.verify())"
        )
        assert results[0] == 0 and results[1] == 0 and results[-1] == 0
        assert [code for code, _ in results[2:4]] == [drivers.SKIPPED] * 2
        made = [conversion.code for conversion in board.sensors.ad7746.log]
        assert [code for code, _ in results[4:7]] == made[-3:]
        frame_mc = 1000 * board.sensors.world.frame_c(board.target.now_ns)
        assert abs(results[-2][1] - frame_mc) <= 1

    on_board(check)


def test_converter_absent_is_named(on_board):
    def check(board):
        chip = board.target.i2c.unplug(0x48)
        text, code = board.run("print(repr(fault(cap.start, 0, 50)))\nprint(cap.read())")
        assert "AD7746 at 0x48" in text and "SDA and SCL" in text
        assert code == drivers.NO_ANSWER
        board.target.i2c.plug(0x48, chip)
        assert board.run("cap.start(0, 50)\n" + READ_TWO) == [True]

    on_board(check)


def test_converter_unplugged_and_back_is_found_and_started(on_board):
    def check(board):
        bus = board.target.i2c
        board.run("cap.start(0, 50)\nwait()\ncap.read()")
        chip = bus.unplug(0x48)
        assert board.run("sleep_ms(12)\nprint((cap.read(), cap.verify()))") == [(-3, -3)]
        chip.power_up()
        bus.plug(0x48, chip)
        # it converts nothing, and says so; its settings are gone
        found = board.run("sleep_ms(12)\nprint((cap.read(), cap.verify()))")
        assert found == [(drivers.NOT_READY, drivers.LOST_SETUP)]
        assert board.run("cap.start(0, 50)\n" + READ_TWO) == [True]

    on_board(check)


def test_converter_refusing_a_byte_is_noticed(on_board):
    def check(board):
        bus = board.target.i2c
        # data refused in the middle of a write: machine.I2C raises nothing
        bus.nak_data = lambda address, index, byte: address == 0x48 and index == 3
        assert "does not answer" in board.run("print(repr(fault(cap.start, 0, 50)))")[0]
        bus.nak_data = None
        board.run("cap.start(0, 50)\nwait()\ncap.read()\nwait()")
        # the pointer refused in front of a read: machine.I2C returns with the old bytes
        bus.nak_data = lambda address, index, byte: address == 0x48 and index == 0
        assert board.run("print(cap.read())") == [drivers.NO_ANSWER]
        bus.nak_data = None

    on_board(check)


def test_converter_with_wrong_read_back_is_named(on_board):
    def check(board):
        board.target.i2c.corrupt = lambda address, index, byte: byte ^ 0x10
        text = board.run("print(repr(fault(cap.start, 0, 50)))")[0]
        assert "register 0x07 reads 0x90 after 0x80 was written" in text

    on_board(check)


def test_converter_faults_of_the_electrodes(on_board):
    def check(board):
        chip = board.sensors.ad7746
        board.run("cap.start(0, 50)\nwait()\ncap.read()")
        read_two = "wait()\ncap.read()\nwait()\nprint(cap.read())"
        for attribute, expected in (
            ("excitation_fails", drivers.EXCITATION),
            ("input_open", drivers.TOO_LOW),
            ("input_shorted", drivers.TOO_HIGH),
        ):
            setattr(chip, attribute, True)
            assert board.run(read_two) == [expected], attribute
            setattr(chip, attribute, False)
            assert board.run(read_two)[0] > 0

    on_board(check)


# -- all of them


def test_steady_state_allocates_nothing(on_board):
    def check(board):
        out = board.run(
            "cap.start(0, 50)\nair.start()\n"
            "la = Laser(a, MODELS[0], 'A')\nla.configure(4000, 'master')\n"
            "results = [0] * 40\n"
            "def rounds():\n"
            "  la.begin(h.now())\n"
            "  for i in range(40):\n"
            "    if i == 10: cap.start_temperature()\n"
            "    if i % 10 == 5: air.begin(h.now())\n"
            "    wait()\n    results[i] = cap.read()\n    air.poll(h.now())\n"
            "    if i % 10 == 9: results[i] = cap.verify()\n"
            "    for _ in range(4):\n      la.poll(h.now())\n      h.idle(1)\n"
            "rounds()\n"
            "gc.collect()\nfree = gc.mem_free()\nmicropython.heap_lock()\nrounds()\n"
            "micropython.heap_unlock()\nprint(free - gc.mem_free())\n"
            "print((la.streaming, air.readings, cap.temperatures))\nprint(results)"
        )
        assert out[0] == 0 and out[1] == (True, 8, 2)
        assert out[2].count(drivers.SKIPPED) == 2 and min(out[2]) == drivers.SKIPPED

    on_board(check)


def test_converter_read_is_short(on_board):
    def check(board):
        times = board.run(
            "cap.start(0, 50)\nwait()\ncap.read()\n"
            "for _ in range(3):\n  wait()\n  print(took(cap.read)[1])\n"
            "t = ticks_us()\nprint(ticks_diff(ticks_us(), t))"
        )
        wire_us = (3 * 9 + 13 * 9 + 3) / 0.4  # two addresses, pointer, 13 bytes, start and stop
        assert max(times[:3]) - times[3] < wire_us + 90

    on_board(check)


# -- the bus


def test_held_data_line_is_freed(on_board):
    def check(board):
        board.run("cap.start(0, 50)\nwait()\ncap.read()")
        board.target.i2c.hold("sda", clocks=5)
        result, free, back = board.run(
            "print(took(cap.read))\nprint(took(h.free_i2c))\nprint(took(cap.read))"
        )
        assert drivers.is_fault(result[0]) and result[1] < 5000
        assert free[0] is True and free[1] < 2000
        assert not drivers.is_fault(back[0])

    on_board(check)


def test_shorted_data_line_is_told(on_board):
    def check(board):
        board.run("cap.start(0, 50)\nwait()\ncap.read()")
        board.target.i2c.hold("sda")
        assert board.run("print(h.free_i2c())") == [False]
        board.target.i2c.hold("sda", False)
        assert board.run("print(h.free_i2c())\nprint(cap.verify())") == [True, 0]

    on_board(check)


def test_held_clock_line_does_not_block(on_board):
    def check(board):
        board.run("cap.start(0, 50)\nair.start()\nwait()\ncap.read()")
        board.target.i2c.hold("scl")
        read, begin = board.run("print(took(cap.read))\nprint(took(air.begin, h.now()))")
        assert read[0] == drivers.BUS_STUCK and read[1] < 6000
        assert begin[0] == drivers.BUS_STUCK and begin[1] < 6000
        board.target.i2c.hold("scl", False)
        assert board.run(READ_TWO) == [True]

    on_board(check)


# -- SHT4x


def test_climate_reading(on_board):
    def check(board):
        serial, early, polls, reading = board.run(
            "air.start()\nprint(air.serial)\nprint(air.begin(h.now()))\nn = 0\n"
            "while air.poll(h.now()) == drivers.NOT_READY:\n  n += 1\n  sleep_ms(1)\n"
            "print(n)\nprint((air.air_mc, air.rh_ppm, air.readings))"
        )
        assert serial == board.sensors.sht4x.serial and early == 0 and 7 <= polls <= 11
        now = board.target.now_ns
        assert abs(reading[0] - 1000 * board.sensors.world.air_c(now)) < 150
        assert abs(reading[1] - 10_000 * board.sensors.world.rh_percent(now)) < 2000
        assert reading[2] == 1

    on_board(check)


def test_climate_conversion_is_exact(on_board):
    def check(board):
        raws = [(0, 0), (1, 3145), (26_214, 31_457), (32_768, 60_000), (65_535, 65_535)]
        chip = board.sensors.sht4x
        board.run("air.start()")
        for raw in raws:
            chip._measure = lambda t_ns, raw=raw: chip._words(*raw)
            got = board.run(
                "air.begin(h.now())\nsleep_ms(10)\nair.poll(h.now())\n"
                "print((air.air_mc, air.rh_ppm))"
            )[0]
            rh = min(max(-60_000 + 1_250_000 * raw[1] / 65_535, 0), 1_000_000)
            assert abs(got[0] - (-45_000 + 175_000 * raw[0] / 65_535)) <= 0.5
            assert abs(got[1] - rh) <= 0.5

    on_board(check)


def test_climate_checksum_fault_and_recovery(on_board):
    def check(board):
        read = "air.begin(h.now())\nsleep_ms(10)\nprint(air.poll(h.now()))"
        board.run("air.start()")
        board.sensors.sht4x.crc_fails = True
        assert board.run(read) == [drivers.CHECKSUM]
        assert "damaged" in board.run("print(repr(fault(air.start)))")[0]
        board.sensors.sht4x.crc_fails = False
        assert board.run(read) == [0]

    on_board(check)


def test_climate_unplugged_and_back(on_board):
    def check(board):
        bus, chip = board.target.i2c, board.sensors.sht4x
        assert board.run("air.start()\nprint(air.begin(h.now()))") == [0]
        bus.unplug(0x44)
        # refusing is what a busy chip does, too; only after a while it is a fault
        results = board.run(
            "sleep_ms(10)\nprint(air.poll(h.now()))\nsleep_ms(25)\nprint(air.poll(h.now()))\n"
            "print(air.begin(h.now()))\nprint(repr(fault(air.start)))"
        )
        assert results[:3] == [drivers.NOT_READY, drivers.NO_ANSWER, drivers.NO_ANSWER]
        assert "SHT4x at 0x44" in results[3]
        chip.power_up()
        bus.plug(0x44, chip)
        read = "print(air.begin(h.now()))\nsleep_ms(10)\nprint(air.poll(h.now()))"
        assert board.run("sleep_ms(2)\n" + read) == [0, 0]

    on_board(check)


def test_climate_asked_too_early_is_not_ready(on_board):
    def check(board):
        board.run("air.start()")
        # ask the chip itself while it converts: its refusal is no fault
        results = board.run(
            "air.begin((h.now() - 10_000) & 0x3FFFFFFF)\nprint(air.poll(h.now()))\n"
            "sleep_ms(9)\nprint(air.poll(h.now()))"
        )
        assert results == [drivers.NOT_READY, 0]

    on_board(check)


# -- lasers


def parse(data):
    """Distances in a ring's bytes, from the first whole one on."""
    start = next(i for i in range(3) if data[i] < 0x40 and data[i + 2] >= 0x80)
    triples = [data[i : i + 3] for i in range(start, len(data) - 2, 3)]
    return [low | (middle & 63) << 6 | (high & 63) << 12 for low, middle, high in triples]


RUN_A = """
la = Laser(a, MODELS[{model}], "A")
la.configure({rate}, {role})
print(repr(fault(la.run, ticks_us, sleep_ms)))
"""


@pytest.mark.parametrize("power_up", ["factory", "silent", "other", "other_baud"])
def test_laser_is_configured_whatever_it_did_before(power_up):
    board = Board(laser={"power_up": power_up})
    assert board.run(RUN_A.format(model=0, rate=4000, role="'master'")) == [None]
    laser = board.sensors.lasers[0]
    shown = {n: laser.setting(n) for n in ("OUTPUT", "MEASRATE", "SYNC", "OUTADD_RS422")}
    assert shown == {
        "OUTPUT": "RS422", "MEASRATE": "4.000", "SYNC": "MASTER", "OUTADD_RS422": "NONE",
    }  # fmt: skip
    assert laser.setting("AVERAGE") == laser.setting("OUTHOLD") == "NONE"
    board.run("a.errors()")  # those of a search at other baud rates
    head, ring, stamps, errors = board.run(
        "sleep_ms(60)\nn = a.head()\nprint(n)\nprint(bytes(a.ring[:n]))\n"
        "print([a.stamps[i] & 0x3FFFFFFF for i in range(n // 3)])\nprint(a.errors())"
    )
    assert head > 600 and errors == 0
    assert all(0 < code < 230_604 for code in parse(ring))
    # every third byte is stamped by hardware: to the microsecond at the laser's own pace
    period = 250 / (1 + 20e-6)
    for i, stamp in enumerate(stamps):
        assert abs(stamp - stamps[0] - i * period) <= 1.5


def test_both_lasers_stream_in_step(on_board):
    def check(board):
        out = board.run(
            "pair = [Laser(a, MODELS[0], 'A'), Laser(b, MODELS[0], 'B')]\n"
            "pair[0].configure(4000, 'master')\npair[1].configure(4000, 'slave')\n"
            "for one in pair: one.begin(h.now())\n"
            "worst = 0\nt0 = ticks_us()\n"
            "while not (pair[0].streaming and pair[1].streaming):\n"
            "  for one in pair:\n    worst = max(worst, took(one.poll, h.now())[1])\n"
            "  sleep_ms(1)\n"
            "print((pair[0].refused, pair[1].refused, worst, ticks_diff(ticks_us(), t0)))\n"
            "for one in pair: one.stream.start()\n"
            "sleep_ms(20)\n"
            "print([[s.stamps[i] & 0x3FFFFFFF for i in range(50)] for s in (a, b)])\n"
            "print([one.poll(h.now()) for one in pair])"
        )
        # the dialogue allocates texts: one poll may search the heap, and still fits a round
        assert out[0][:2] == (0, 0) and out[0][2] < 6000 and out[0][3] < 200_000
        skew = {(x - y) % 250 for x, y in zip(*out[1], strict=True)}
        assert len(skew) <= 3 and out[2] == [0, 0]

    on_board(check)


def test_laser_1420_rates_and_ranges():
    board = Board(laser={"model": "1420-10", "rate_hz": 4000})
    names = [model.name for model in optoncdt.MODELS]
    ask = RUN_A.format(model=names.index("1420-10"), rate=2000, role=None)
    assert board.run(ask) == [None]
    assert board.sensors.lasers[0].setting("MEASRATE") == "2.000"
    text = board.run(RUN_A.format(model=names.index("1420-25"), rate=2000, role=None))[0]
    assert (
        "another sensor answers" in text and "ILD1420-10" in text and "connect a 1420-25" in text
    )
    text = board.run(RUN_A.format(model=names.index("1900-10"), rate=2000, role=None))[0]
    assert "connect a 1900-10" in text


def test_laser_without_answer_is_named(on_board):
    def check(board):
        board.sensors.lasers[0].unplug()
        text = board.run(RUN_A.format(model=0, rate=4000, role=None))[0]
        assert text.startswith("laser A (optoNCDT 1900-2): no answer") and "swapped" in text

    on_board(check)


def test_laser_unplugged_comes_back_by_itself(on_board):
    def check(board):
        assert board.run(RUN_A.format(model=0, rate=4000, role="'master'")) == [None]
        laser = board.sensors.lasers[0]
        laser.unplug()
        # without memory, as in a running gauge
        code, worst = board.run(
            "def wait_for_laser(us):\n"
            "  t = ticks_us()\n  worst = 0\n"
            "  while ticks_diff(ticks_us(), t) < us and not la.streaming:\n"
            "    begun = ticks_us()\n    la.poll(begun)\n"
            "    worst = max(worst, ticks_diff(ticks_us(), begun))\n    sleep_ms(5)\n"
            "  return worst\n"
            "worst = 0\nla.begin(h.now())\nmicropython.heap_lock()\n"
            "worst = wait_for_laser(2_500_000)\nmicropython.heap_unlock()\n"
            "print((la.code, worst))"
        )[0]
        assert code == drivers.NO_ANSWER and worst < 2000
        laser.plug()
        assert board.run("wait_for_laser(4_000_000)\nprint(la.code)") == [0]
        assert laser.setting("SYNC") == "MASTER"

    on_board(check)


def test_laser_refusing_a_command_is_told(on_board):
    def check(board):
        dialogue = board.sensors.lasers[0].dialogue
        answer = dialogue.answer

        def instead(word, reply):
            return lambda line: reply + "\r\n->" if word in line else answer(line)

        dialogue.answer = instead("AVERAGE", "E210 Unknown command")
        assert board.run(RUN_A.format(model=0, rate=4000, role="'master'")) == [None]
        assert board.run("print(la.refused)") == [1]
        dialogue.answer = instead("SYNC", "E234 Wrong")
        text = board.run(RUN_A.format(model=0, rate=4000, role="'master'"))[0]
        assert "SYNC MASTER was refused" in text and "E234" in text
        dialogue.answer = instead("MEASRATE", "MEASRATE 1.000")
        text = board.run(RUN_A.format(model=0, rate=4000, role="'master'"))[0]
        assert "rate of 4000 Hz was not taken" in text

    on_board(check)


def test_laser_dialogue_survives_garbage(on_board):
    def check(board):
        cable = board.target.lasers["a"]
        count = [0]

        def damage(byte):
            count[0] += 1
            return (byte ^ 0x41, 1) if count[0] < 40 else (byte, 0)

        cable.damage = damage
        assert board.run(RUN_A.format(model=0, rate=4000, role="'master'")) == [None]
        assert board.run("print(a.errors() > 0)\nprint(a.errors())") == [True, 0]

    on_board(check)


def test_laser_error_codes_have_names():
    for code in range(262_075, 262_083):
        if code != 262_079:
            assert "unknown" not in optoncdt.error_name(code)
    assert optoncdt.error_name(262_079) == "unknown error 262079"
    names = [optoncdt.error_name(code) for code in optoncdt.ERROR_CODES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rate, role", [(100, None), (20_000, None), (4000, "leader")])
def test_laser_refuses_what_the_model_has_not(rate, role):
    laser = optoncdt.Laser(None, optoncdt.MODELS[0], "A")
    with pytest.raises(ValueError, match="legal: "):
        laser.configure(rate, role)
