"""The laser of the bench: bytes, scaling, stream, synchronisation, commands."""

from __future__ import annotations

import numpy as np
import pytest

from porogauge_bench.calibration import latency_us
from porogauge_bench.chips.optoncdt import MODELS, encode, encode_all
from porogauge_bench.clock import EventClock
from porogauge_bench.desk import codes_of, configure, say
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


# -- optoNCDT


def test_byte_coding_vectors():
    """sensors.md section 3."""
    for code, data in (
        (0, "004080"),
        (643, "034a80"),
        (32760, "387f87"),
        (65520, "307f8f"),
        (98232, "387e97"),
        (262076, "3c7ebf"),
        (262082, "027fbf"),
    ):
        assert encode(code).hex() == data
        assert encode_all(np.array([code])).hex() == data
    assert encode(98232, True).hex() == "387ed7"


def test_scaling_and_error_codes_of_the_models():
    model = MODELS["1900-2"]
    mm = np.array([0.0, 1.0, 2.0, np.nan, -3.1, 4.2])
    assert model.codes(mm).tolist() == [98232, 131000, 163768, 262076, 262077, 262078]
    model = MODELS["1420-10"]
    mm = np.array([-0.1, 0.0, 10.0, 10.1, 10.2, -0.2, np.nan])
    assert model.codes(mm).tolist() == [0, 642, 64878, 65520, 262078, 262077, 262076]


class Cable:
    """Takes what a laser pushes."""

    def __init__(self):
        self.baud = 0
        self.data = bytearray()
        self.starts: list[int] = []
        self.end_ns = 0

    def send(self, data, at_ns):
        assert at_ns >= self.end_ns, "the line is busy"
        self.end_ns = at_ns + round(len(data) * 1e10 / self.baud) - 2
        self.data += data
        self.starts.append(at_ns)


def test_dialogue():
    ins = bench()
    laser = ins.lasers[0]
    assert say(ins, laser, "OUTPUT NONE\r\n").endswith(b"->")
    info = say(ins, laser, "GETINFO\n").decode()
    assert "Name: ILD1900-2\r\n" in info and "Measuring range: 2.00mm\r\n" in info
    assert info.endswith("\r\n->")
    assert say(ins, laser, "measrate 2.5\n") == b"measrate 2.5 ok\r\n->"
    assert say(ins, laser, "MEASRATE\n") == b"MEASRATE 2.500\r\n->"
    assert say(ins, laser, "ECHO OFF\n") == b"\r\n->"
    assert say(ins, laser, "MEASRATE 11\n").startswith(b"E236")
    assert say(ins, laser, "MEASRATE x\n").startswith(b"E234")
    assert say(ins, laser, "OUTPUT\n") == b"OUTPUT NONE\r\n->"
    assert say(ins, laser, "OUTPUT RS422 ANALOG\n").startswith(b"E232")
    assert say(ins, laser, "NONSENSE 1\n").startswith(b"E210")
    assert say(ins, laser, "SYNC MASTER TERMON\n") == b"\r\n->"
    assert say(ins, laser, "OUTADD_RS422 COUNTER STATE\n") == b"\r\n->"
    assert b"COUNTER STATE" in say(ins, laser, "GETOUTINFO_RS422\n")
    assert say(ins, laser, "AVERAGE MOVING 4\n") == b"\r\n->"
    assert b"AVERAGE MOVING 4\r\n" in say(ins, laser, "PRINT\n")
    assert laser.setting("SYNC") == "MASTER"
    small = bench(laser={"model": "1420-10"}).lasers[0]
    assert small.dialogue.answer("SYNC MASTER").startswith("E210")
    assert small.dialogue.answer("MEASRATE 3").startswith("E236")


def test_stream_goes_on_while_it_is_commanded():
    ins = bench()
    laser = ins.lasers[0]
    ins.clock.run_for(5 * MS)
    laser.take(ins.clock.now_ns)
    for byte in b"GETINFO\n":
        laser.rx(byte, ins.clock.now_ns)
    ins.clock.run_for(20 * MS)
    data, times = laser.take(ins.clock.now_ns)
    assert sum(byte >= 0x80 for byte in data) in (79, 80, 81)
    assert np.all(np.diff(times) > 10_000), "one byte at a time"
    kinds = [byte >> 6 for byte in data]
    for i, kind in enumerate(kinds):
        if kind == 2:  # a distance is never torn by a reply
            assert kinds[i - 2] == 0 and kinds[i - 1] == 1
            assert times[i] - times[i - 2] < 21_800


def test_pushed_and_pulled_streams_are_the_same():
    pulled, pushed = bench(laser={}), bench(laser={})
    configure(pulled)
    configure(pushed)
    cables = [Cable(), Cable()]
    for laser, cable in zip(pushed.lasers, cables, strict=True):
        laser.connect(cable)
    for laser in pulled.lasers:
        laser.take(pulled.clock.now_ns)
    for ins in (pulled, pushed):
        ins.clock.run_for(200 * MS)
    for laser, cable in zip(pulled.lasers, cables, strict=True):
        data, times = laser.take(pulled.clock.now_ns)
        at = data.find(bytes(cable.data[:300]))  # the cable was put on within a distance
        n = (len(data) - at) // 3 * 3
        assert 0 <= at < 6 and n > 2300
        assert bytes(cable.data[:n]) == data[at : at + n]
        ends = times[at + 2 : at + n : 3]
        assert np.abs(ends - np.array(cable.starts[: n // 3]) - 32_552).max() <= 2


def test_slave_samples_with_its_master():
    ins = bench(laser={**QUIET["laser"], "clock_ppm": [200.0, -200.0]})
    configure(ins)
    for laser in ins.lasers:
        laser.take(ins.clock.now_ns)
    ins.clock.run_for(2 * SECOND)
    (_, a), (_, b) = (laser.take(ins.clock.now_ns) for laser in ins.lasers)
    a, b = np.array(a[2::3]), np.array(b[2::3])
    n = min(len(a), len(b))
    assert np.abs(a[:n] - b[:n]).max() <= 250_300
    assert np.diff(a).mean() == pytest.approx(250_000 / 1.0002, abs=0.5)
    apart = (b[:n] - a[:n]) % round(250_000 / 1.0002)
    assert apart.max() < 1000, "200 ns behind the master"
    # a slave whose master has gone does not measure
    ins.lasers[0].unplug()
    ins.clock.run_for(10 * MS)
    ins.lasers[1].take(ins.clock.now_ns)
    ins.clock.run_for(100 * MS)
    assert ins.lasers[1].take(ins.clock.now_ns)[0] == b""
    ins.lasers[0].plug()
    ins.clock.run_for(SECOND)
    configure(ins)
    ins.clock.run_for(10 * MS)
    assert len(ins.lasers[1].take(ins.clock.now_ns)[0]) > 100


def test_alternating_pair_and_free_running_skew():
    ins = bench()
    configure(ins, roles=("MASTER_ALT", "SLAVE"))
    for laser in ins.lasers:
        laser.take(ins.clock.now_ns)
    ins.clock.run_for(SECOND)
    (_, a), (_, b) = (laser.take(ins.clock.now_ns) for laser in ins.lasers)
    assert np.diff(a[2::3]).mean() == pytest.approx(500_000, rel=1e-4)
    assert (b[2] - a[2]) % 500_000 == pytest.approx(250_200, abs=100)
    ins = bench(laser={"model": "1420-10", "skew_us": 250.0, "clock_ppm": [0.0, 0.0]})
    configure(ins, 2, (None, None))
    ins.clock.run_for(50 * MS)
    (_, a), (_, b) = (laser.take(ins.clock.now_ns) for laser in ins.lasers)
    a, b = a[5::3], b[5::3]
    assert (b[-1] - a[-1]) % 500_000 == pytest.approx(250_000, abs=2)


def test_latency_ends_with_the_last_byte():
    """A step of the film shows `latency_us` after it was under the lasers."""
    ins = bench(
        QUIET,
        film={"flutter_um": 0.0},
        head={"vibration_um": 0.0},
        defect=[{"kind": "step", "at_s": 3.0}],
    )
    configure(ins)
    ins.clock.run_until(2_990 * MS)
    ins.lasers[0].take(ins.clock.now_ns)
    ins.clock.run_until(3_020 * MS)
    data, times = ins.lasers[0].take(ins.clock.now_ns)
    skip = next(i for i in range(3) if data[i] >= 0x80) + 1
    codes, ends = codes_of(data[skip : skip + (len(data) - skip) // 3 * 3]), times[skip + 2 :: 3]
    first = int(np.nonzero(np.diff(codes))[0][0]) + 1
    taken = ends[first] - 1000 * latency_us(ins.scenario)
    assert 3 * SECOND <= taken <= 3 * SECOND + 250 * US


def test_error_codes_light_and_cable():
    ins = bench(head={"reference_um": 0.0})
    configure(ins)
    laser = ins.lasers[0]

    def last() -> set[int]:
        ins.clock.run_for(3 * MS)
        laser.take(ins.clock.now_ns)
        ins.clock.run_for(20 * MS)
        data, _ = laser.take(ins.clock.now_ns)
        skip = next(i for i in range(3) if data[i] >= 0x80) + 1
        return set(codes_of(data[skip : skip + (len(data) - skip) // 3 * 3]).tolist())

    assert last() == {262_076}, "nothing in the beam"
    ins.clock.run_until(2_100 * MS)
    assert all(code < 230_604 for code in last())
    laser.force(262_081)
    assert last() == {262_081}
    laser.force(0)
    laser.light(False)
    assert last() == {262_082}
    laser.light(True)
    say(ins, laser, "LASERPOW OFF\n")
    assert last() == {262_082}
    laser.unplug()
    laser.take(ins.clock.now_ns)
    ins.clock.run_for(50 * MS)
    assert laser.take(ins.clock.now_ns)[0] == b""
    laser.plug()
    ins.clock.run_for(600 * MS)
    assert laser.setting("LASERPOW") == "FULL" and laser.setting("SYNC") == "NONE"
    assert all(code < 230_604 for code in last())


@pytest.mark.parametrize("kind", ["factory", "silent", "other", "other_baud"])
def test_settings_at_power_up(kind):
    ins = bench(laser={"power_up": kind})
    laser = ins.lasers[0]
    ins.clock.run_for(100 * MS)
    data, _ = laser.take(ins.clock.now_ns)
    expected = {"factory": 400, "silent": 0, "other": 100, "other_baud": 100}[kind]
    assert sum(byte >> 6 == 2 for byte in data) == pytest.approx(expected, abs=4)
    if kind == "other":
        assert sum(byte >> 6 == 3 for byte in data) == pytest.approx(2 * expected, abs=8)
    assert laser.baud == (115_200 if kind == "other_baud" else 921_600)
    say(ins, laser, "OUTADD_RS422 NONE\n")
    say(ins, laser, "BAUDRATE 921600\n", 20 * MS)
    assert laser.baud == 921_600


def test_average_and_too_high_a_rate():
    ins = bench(laser={"noise_um": 1.0}, film={"flutter_um": 0.0}, head={"vibration_um": 0.0})
    laser = ins.lasers[0]
    ins.clock.run_for(200 * MS)
    noisy = codes_of(laser.take(ins.clock.now_ns)[0][:2100]).std()
    say(ins, laser, "AVERAGE MOVING 16\n")
    laser.take(ins.clock.now_ns)
    ins.clock.run_for(200 * MS)
    data = laser.take(ins.clock.now_ns)[0]
    skip = next(i for i in range(3) if data[i] >= 0x80) + 1
    assert codes_of(data[skip : skip + 2100]).std() == pytest.approx(noisy / 4, rel=0.3)
    say(ins, laser, "BAUDRATE 115200\n", 20 * MS)
    laser.take(ins.clock.now_ns)
    ins.clock.run_for(20 * MS)
    assert bytes(encode(262_075)) in laser.take(ins.clock.now_ns)[0]
