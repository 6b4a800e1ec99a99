"""How the gauge watches its own sensors: what no status bit tells is found, said, and mended."""

from __future__ import annotations

import pytest

from gauge import health
from gauge.link import protocol
from porogauge_bench.calibration import exact_words
from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario

SECOND = 1_000_000_000
CONVERSION_NS = 11_000_000
TARGETS = ("unix32", "rp2040")


def with_fault(kind: str, target: str, **more) -> Run:
    """A finished run with film from 1.6 s on and one fault at 2.5 s."""
    fault = {"kind": kind, "at_s": 2.5, **more}
    scenario = Scenario.from_dict(
        {"run": {"duration_s": 4.5}, "film": {"start_s": 1.6}, "fault": [fault]}
    )
    run = Run(scenario, target)
    assert run.go()["lost"] == 0
    return run


def rejected(run: Run) -> list[tuple[float, float]]:
    """Spans from 2 s on in which the reject relay was not energised."""
    edges = [edge for edge in run.target.outputs if edge.name == "good" and edge.t_ns > 2e9]
    assert [edge.level for edge in edges] == [False, True] * (len(edges) // 2)
    return [
        (off.t_ns / SECOND, on.t_ns / SECOND)
        for off, on in zip(edges[::2], edges[1::2], strict=True)
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_a_cut_ready_wire_is_a_fault(target):
    """The chip goes on converting, but nobody is told: records go on by the clock, rejected."""
    run = with_fault("ready_open", target, for_s=1)
    (off_s, on_s), *more = rejected(run)
    # twice five conversions without a fall, and then a window by the clock
    assert off_s - 2.5 < 15 * CONVERSION_NS / SECOND
    assert 3.5 <= on_s < 4.2
    # where the wire is joined, its own edge may come between two conversions
    assert all(on - off < 2 * CONVERSION_NS / SECOND for off, on in more) and len(more) <= 1
    rows = [row for row in run.records() if off_s < row["t_us"] / 1e6 < 3.5]
    assert len(rows) > 60
    assert all("capacitance_fault" in row["flags"] and not row["valid"] for row in rows)
    assert run.records()[-1]["valid"]


@pytest.mark.parametrize("target", TARGETS)
def test_changed_settings_of_the_converter_are_noticed(target):
    """Another CAPDAC gives numbers that look sound: read back, it is set up anew."""
    run = with_fault("cap_disturbed", target)
    [(off_s, on_s)] = rejected(run)
    assert off_s < 2.5 + 2.5 * CONVERSION_NS / SECOND
    assert on_s < 2.5 + 1.3  # settings are read back once a second
    assert [row["valid"] for row in run.records()[-40:]] == [True] * 40


def test_the_board_says_what_to_check():
    """Each part that is at fault names its probable wire; the others say nothing."""
    scenario = Scenario.from_dict(
        {
            "run": {"duration_s": 11},
            "film": {"start_s": 1.2},
            "fault": [
                {"kind": "ready_open", "at_s": 2, "for_s": 4},
                {"kind": "sht_unplugged", "at_s": 2, "for_s": 4},
                {"kind": "laser_unplugged", "laser": "a", "at_s": 2, "for_s": 4},
                {"kind": "laser_error", "laser": "b", "at_s": 2, "for_s": 4},
            ],
        }
    )
    run = Run(scenario, "unix32")

    def told() -> dict[str, str]:
        texts = {}
        for index, name in enumerate(health.PART_NAMES):
            reply = run.request(protocol.WHY, index.to_bytes(4, "little")).reply
            if reply:
                texts[name] = reply.decode()
        return texts

    try:
        run.boot()
        assert "push a recipe" in told()["configuration"]
        run.configure(exact_words(scenario))
        run.run_until(1_900_000_000)
        assert told() == {}
        run.run_until(5_900_000_000)
        found = told()
        run.run_until(11_000_000_000)
        assert told() == {}
    finally:
        run.target.stop()
    assert set(found) == {"capacitance", "climate", "laser_a", "laser_b"}
    assert "/RDY does not fall" in found["capacitance"]
    assert "SDA and SCL" in found["climate"]
    assert "RS-422 pair" in found["laser_a"]
    assert "no peak" in found["laser_b"]
