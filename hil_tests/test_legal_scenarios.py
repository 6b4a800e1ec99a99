"""Scenarios at the ends of what is legal: slow lasers, fine encoders, edges of film, odd sizes."""

from __future__ import annotations

import pytest

from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario, ScenarioError
from porogauge_bench.witness import Witness


def done(**sections) -> Run:
    """A finished run of a scenario in which nothing may be lost."""
    sections.setdefault("run", {"duration_s": 5})
    run = Run(Scenario.from_dict(sections), "unix32")
    run.witness = Witness(run)
    assert run.go()["lost"] == 0
    return run


def assert_sound(run: Run) -> None:
    """It measures at its end, and no number is valid unless film was there throughout."""
    rows = run.records()
    assert rows[-1]["state"] == "measuring"
    for row in rows:
        if row["thickness_nm"] is not None:
            assert run.truth_of(row)["film"] == 1.0, row["seq"]


@pytest.mark.parametrize("rate_hz, cycles", [(250, "auto"), (400, 6), (500, "auto"), (1000, 19)])
def test_lasers_slower_than_windows(rate_hz, cycles):
    """Each window has its own conversion and its own distances, late as they may come."""
    laser = {"model": "1900-2", "rate_hz": rate_hz, "latency_cycles": cycles}
    run = done(laser=laser)
    assert_sound(run)
    assert run.witness.problems() == []
    assert run.summary["windows"] > 400


@pytest.mark.parametrize("speed_m_s", [10, -10])
def test_fine_encoder_and_fast_web(speed_m_s):
    line = {"speed_m_s": speed_m_s, "counts_per_m": 1_000_000}
    run = done(line=line, capacitance={"conversion_ms": "109.6"})
    rows = run.records()
    first, last = rows[5], rows[-1]  # the web is counted from the configuration on
    moved = last["position_mm"] - first["position_mm"]
    assert moved == pytest.approx(speed_m_s * (last["t_us"] - first["t_us"]) / 1000, abs=20)


@pytest.mark.parametrize("tile_um", [100, 500])
@pytest.mark.parametrize("model, rate_hz", [("1420-100", 250), ("1420-25", 2000)])
def test_no_number_at_the_edges_of_the_film(model, rate_hz, tile_um):
    """Lasers whose codes are so coarse that the step to the tile is no jump of them."""
    run = done(
        run={"duration_s": 9},
        laser={"model": model, "rate_hz": rate_hz},
        head={"reference_um": tile_um, "footprint_mm": 20},
        defect=[{"kind": "web_break", "at_m": 0.5}, {"kind": "web_break", "at_m": 1.1}],
    )
    assert_sound(run)


def test_electrodes_of_odd_diameter():
    assert_sound(done(head={"electrode_mm": 15.6, "footprint_mm": 15.6}))


def test_noisy_link_is_configured_all_the_same():
    run = done(link={"byte_error_rate": 0.004})
    assert run.summary["windows"] > 300


def test_outage_when_the_health_is_asked_for():
    fault = [{"kind": "link_outage", "at_s": 2.5, "for_s": 4}]
    run = done(run={"duration_s": 8}, fault=fault)
    assert run.summary["gaps"] == 0 and run.summary["duplicated"] == 0


def test_latency_that_no_calibration_can_state():
    with pytest.raises(ScenarioError, match="latency_cycles.*up to 4 cycles"):
        Scenario.from_dict({"laser": {"rate_hz": 250, "latency_cycles": 6}})
