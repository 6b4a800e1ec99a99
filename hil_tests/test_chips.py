"""AD7746, SHT4x and encoder of the bench against their data sheets."""

from __future__ import annotations

import numpy as np
import pytest

from porogauge_bench.chips import ad7746 as ad
from porogauge_bench.chips.sht4x import crc8
from porogauge_bench.clock import EventClock
from porogauge_bench.desk import Master, start_cap
from porogauge_bench.instruments import Instruments
from porogauge_bench.scenario import Scenario

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000
QUIET = {
    "laser": {"noise_um": 0.0},
    "capacitance": {"noise": 0.0, "temperature_noise_k": 0.0, "clock_ppm": 0.0},
    "climate": {"rh_noise_percent": 0.0, "air_noise_c": 0.0},
}


def bench(data=None, **sections) -> Instruments:
    return Instruments(Scenario.from_dict(data or QUIET, **sections), EventClock())


# -- AD7746


def test_ad7746_defaults_pointer_and_reset():
    ins = bench()
    master = Master(ins)
    registers = master.read(0x48, 19, register=0)
    assert registers[:7] == bytes((7, 0, 0, 0, 0, 0, 0))
    assert registers[7:15] == bytes((0, 0, 3, 0xA0, 0, 0, 0x80, 0))
    assert master.write(0x48, ad.CAPDAC_A, 0xAA, 0xBB) == 3
    assert master.read(0x48, 2, register=ad.CAPDAC_A) == b"\xaa\xbb"
    assert master.write(0x48, ad.STATUS, 0xFF) == 2
    assert master.read(0x48, 1, register=0) == b"\x07"
    assert master.write(0x48, 0xBF) == 1
    assert master.read(0x48, 1, register=0) is None
    ins.clock.run_for(200 * US)
    assert master.read(0x48, 2, register=ad.CAPDAC_A) == b"\x00\x00"


@pytest.mark.parametrize("capf", range(8))
def test_ad7746_conversion_times_and_ready(capf):
    ins = bench()
    master, chip, edges = start_cap(ins, capf), ins.ad7746, []
    chip.on_ready = lambda level: edges.append((ins.clock.now_ns, level))
    period = round(ad.CONVERSIONS_MS[capf] * MS)
    begin = ins.clock.now_ns
    for _ in range(3):
        while chip.ready:
            ins.clock.run_for(US)
        assert master.read(0x48, 4, register=0)[0] & 0x0D == 0
        assert chip.ready
    falls = [t for t, level in edges if not level]
    assert np.diff(falls) == pytest.approx(period, abs=0)
    assert falls[0] - begin == pytest.approx(period, abs=30 * US)
    assert [c.end_ns for c in chip.log] == falls
    assert chip.log[1].start_ns == chip.log[0].end_ns


def test_ad7746_unread_result_pulses_ready():
    ins = bench()
    start_cap(ins)
    chip, edges = ins.ad7746, []
    chip.on_ready = lambda level: edges.append((ins.clock.now_ns, level))
    ins.clock.run_for(35 * MS)
    assert [level for _, level in edges] == [False, True, False, True, False]
    assert edges[2][0] - edges[1][0] == ad.READY_HIGH_NS


def test_ad7746_loses_the_result_of_an_open_read():
    ins = bench()
    master, chip = start_cap(ins), ins.ad7746
    ins.clock.run_for(11 * MS)
    first = master.read(0x48, 3, register=ad.CAP_DATA, pause_ns=11 * MS)
    assert [c.lost for c in chip.log] == ["", "read open"]
    assert chip.ready, "nothing new"
    assert master.read(0x48, 4, register=0)[1:] == first
    assert master.read(0x48, 1, register=0)[0] & 1
    ins.clock.run_for(12 * MS)
    assert not chip.ready


def test_ad7746_code_is_the_mean_capacitance():
    ins = bench(capacitance={**QUIET["capacitance"], "gain_ppm": 250.0, "offset_ff": 3.0})
    start_cap(ins)
    spec, world, chip = ins.scenario.capacitance, ins.world, ins.ad7746
    ins.clock.run_for(3 * SECOND)
    settled = list(chip.log)[1:]
    assert len(settled) > 250
    for conversion in settled[::20]:
        cap = world.capacitance_f(conversion.start_ns, conversion.end_ns)
        dac = spec.capdac_code * spec.capdac_step_ff * 1e-15
        expected = (cap - dac) * (1 + 250e-6) + 3e-15
        assert abs((conversion.code - 0x800000) * ad.LSB_F - expected) < 0.26e-18
    assert abs((chip.log[0].code - chip.log[1].code) * ad.LSB_F) == pytest.approx(3e-15, rel=1e-3)


def test_ad7746_noise_is_that_of_the_rate():
    ins = bench(capacitance={"noise": 1.0, "clock_ppm": 120.0}, film={"start_s": 100.0})
    start_cap(ins)
    ins.clock.run_for(12 * SECOND)
    codes = np.array([c.code for c in ins.ad7746.log])[1:]
    assert codes.std() * ad.LSB_F * 1e18 == pytest.approx(40, rel=0.1)
    assert ins.ad7746.log[5].end_ns - ins.ad7746.log[5].start_ns == round(11 * MS / 1.00012)


def test_ad7746_temperature_in_sequence():
    ins = bench(head={"frame_c": 31.5})
    master, chip = start_cap(ins), ins.ad7746
    master.write(0x48, ad.VT_SETUP, 0x81)
    begin = ins.clock.now_ns
    while chip.ready:
        ins.clock.run_for(10 * US)
    # capacitance, then temperature at twice its time because of VTCHOP, then /RDY
    assert ins.clock.now_ns - begin == pytest.approx((11.0 + 2 * 20.1) * MS, abs=50 * US)
    data = master.read(0x48, 7, register=0)
    assert data[0] & 7 == 0
    assert int.from_bytes(data[4:], "big") / 2048 - 4096 == pytest.approx(31.5, abs=0.001)
    assert master.read(0x48, 1, register=0)[0] & 7 == 7


def test_ad7746_single_then_idle_and_off_sheet_settings():
    ins = bench()
    master, chip = Master(ins), ins.ad7746
    master.write(0x48, ad.CAPDAC_A, 0x80 | ins.scenario.capacitance.capdac_code)
    master.write(0x48, ad.CAP_SETUP, 0x80, 0, 0x0B, 0x02)
    ins.clock.run_for(50 * MS)
    assert len(chip.log) == 1
    assert master.read(0x48, 1, register=ad.CONFIG) == b"\x00"
    # without excitation only the CAPDAC is seen, as far as the range goes
    master.write(0x48, ad.EXC_SETUP, 0x03, 0x01)
    ins.clock.run_for(12 * MS)
    assert chip.log[-1].code == 0
    # without CAPDAC seven picofarad are beyond the range
    master.write(0x48, ad.CAP_SETUP, 0x80, 0, 0x0B, 0x01, 0x00)
    ins.clock.run_for(30 * MS)
    assert chip.log[-1].code == 0xFFFFFF


def test_ad7746_faults():
    ins = bench()
    master, chip = start_cap(ins), ins.ad7746
    ins.clock.run_for(30 * MS)
    good = chip.log[-1].code
    for name, expected in (("input_open", 0), ("input_shorted", 0xFFFFFF)):
        setattr(chip, name, True)
        ins.clock.run_for(12 * MS)
        assert chip.log[-1].code == expected
        setattr(chip, name, False)
        ins.clock.run_for(24 * MS)
        assert abs(chip.log[-1].code - good) < 3
    chip.excitation_fails = True
    ins.clock.run_for(12 * MS)
    assert master.read(0x48, 4, register=0)[0] & 8
    chip.excitation_fails = False
    chip.results_lost = True
    ins.clock.run_for(40 * MS)
    assert chip.ready and chip.log[-1].lost == "fault"
    chip.results_lost = False
    ins.clock.run_for(12 * MS)
    assert not chip.ready and master.read(0x48, 1, register=0)[0] & 8 == 0


def test_ad7746_offset_register_and_calibration():
    ins = bench(film={"start_s": 100.0})
    master, chip = start_cap(ins), ins.ad7746
    ins.clock.run_for(30 * MS)
    before = chip.log[-1].code
    master.write(0x48, ad.CAP_OFFSET, 0x80, 0x40)
    ins.clock.run_for(24 * MS)
    moved = (before - chip.log[-1].code) * ad.LSB_F
    assert moved == pytest.approx(64 * 1e-12 / 32768, rel=1e-3)
    master.write(0x48, ad.CONFIG, 5)
    ins.clock.run_for(12 * MS)
    assert master.read(0x48, 1, register=ad.CONFIG) == b"\x00", "its end shows in the mode"
    master.write(0x48, ad.CONFIG, 1)
    ins.clock.run_for(24 * MS)
    assert abs(chip.log[-1].code - 0x800000) * ad.LSB_F < 31e-18


# -- SHT4x


def test_sht4x_measures_with_crc_and_refuses_before():
    ins = bench(climate={**QUIET["climate"], "rh_percent": 41.0, "air_c": 22.5})
    master = Master(ins)
    ins.clock.run_for(2 * MS)
    assert master.read(0x44, 6) is None, "nothing was asked for"
    assert master.write(0x44, 0xFD) == 1
    assert master.read(0x44, 6) is None
    assert master.write(0x44, 0xFD) == -1, "busy"
    ins.clock.run_for(8_300 * US)
    data = master.read(0x44, 6)
    assert crc8(data[:2]) == data[2] and crc8(data[3:5]) == data[5]
    assert -45 + 175 * int.from_bytes(data[:2], "big") / 65535 == pytest.approx(22.5, abs=0.002)
    assert -6 + 125 * int.from_bytes(data[3:5], "big") / 65535 == pytest.approx(41, abs=0.002)
    assert master.read(0x44, 6) is None, "read once"
    assert master.write(0x44, 0x12) == 0, "no such command"
    assert master.write(0x44, 0x89) == 1
    ins.clock.run_for(MS)
    serial = master.read(0x44, 6)
    assert crc8(serial[3:5]) == serial[5]
    ins.sht4x.crc_fails = True
    master.write(0x44, 0xE0)
    ins.clock.run_for(2 * MS)
    data = master.read(0x44, 6)
    assert crc8(data[:2]) != data[2]
    assert master.write(0x44, 0x94) == 1
    assert master.write(0x44, 0xFD) == -1


def test_sht4x_crc_vectors():
    for data, crc in ((b"\xbe\xef", 0x92), (b"\0\0", 0x81), (b"\x66\x66", 0x93)):
        assert crc8(data) == crc


# -- encoder


@pytest.mark.parametrize(
    "line",
    [
        {"speed_m_s": 0.5, "counts_per_m": 1000},
        {"speed_m_s": -0.5, "counts_per_m": 777},
        {"speed_m_s": [[0, 0.4], [1, -0.43]], "counts_per_m": 5000},
        {"speed_m_s": 1.0, "counts_per_m": 10_000},
    ],
)
def test_encoder_edges_give_the_count(line):
    ins = bench(line=line)
    seen = []
    state = {"a": None, "count": 0}

    def edge(a, b):
        if state["a"] is not None and a != state["a"]:
            # both edges of A, B tells the direction
            state["count"] += 1 if a != b else -1
        assert state["a"] is None or (a, b) != seen[-1], "one wire changes at a time"
        state["a"] = a
        seen.append((a, b))

    ins.encoder.connect(edge)
    for _ in range(20):
        ins.clock.run_for(49_700_123)  # not a round number of counts
        assert abs(state["count"] - ins.encoder.count(ins.clock.now_ns)) <= 1
        assert seen[-1] == ins.encoder.levels(ins.clock.now_ns)
    length_m = float(ins.world.position_mm(ins.clock.now_ns)) / 1000
    assert state["count"] == pytest.approx(length_m * line["counts_per_m"], abs=1)


def test_encoder_that_stops_loses_its_pulses():
    ins = bench(fault=[{"kind": "encoder_stopped", "at_s": 0.5, "for_s": 0.3}])
    counted = {"n": 0, "a": None}

    def edge(a, b):
        if counted["a"] is not None and a != counted["a"]:
            counted["n"] += 1 if a != b else -1
        counted["a"] = a

    ins.encoder.connect(edge)
    ins.clock.run_until(SECOND)
    assert ins.encoder.count(SECOND) == pytest.approx(0.7 * 0.3 * 1000, abs=3)
    assert counted["n"] == pytest.approx(ins.encoder.count(SECOND), abs=1)
