"""The world of the bench against closed forms, brute force and itself."""

from __future__ import annotations

import math
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from porogauge_bench import fields, noise, readme
from porogauge_bench.calibration import exact_files, exact_words
from porogauge_bench.clock import EventClock
from porogauge_bench.film import Curve, Line, permittivity
from porogauge_bench.head import EPS0, air_permittivity
from porogauge_bench.scenario import Scenario, ScenarioError
from porogauge_bench.world import World

ROOT = Path(__file__).resolve().parents[1]

SECOND = 1_000_000_000
SCENARIOS = sorted((ROOT / "hil_tests" / "scenarios").rglob("*.toml"))
STILL = {"film": {"flutter_um": 0.0, "start_s": 2.0}, "head": {"vibration_um": 0.0}}


def world(**sections) -> World:
    return World(Scenario.from_dict(STILL, **sections))


# -- scenarios


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_loads_and_compiles(path):
    words = exact_words(Scenario.load(path))
    assert len(words) > 90


def test_every_fault_has_a_scenario():
    folder = ROOT / "hil_tests" / "scenarios" / "faults"
    kinds = {tomllib.loads(p.read_text())["fault"][0]["kind"] for p in folder.glob("*.toml")}
    assert kinds >= set(fields.FAULTS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"flim": {}}, ["[flim]", "no such section", "film"]),
        ({"film": {"thicknes_um": 1}}, ["film.thicknes_um", "did you mean thickness_um"]),
        ({"film": {"thickness_um": 0}}, ["film.thickness_um", "1 to 300 um"]),
        ({"film": {"thickness_um": "25"}}, ["'25'", "1 to 300 um"]),
        ({"film": {"thickness_um": float("nan")}}, ["film.thickness_um"]),
        ({"film": {"thickness_um": True}}, ["film.thickness_um"]),
        ({"film": {"mixing": "guess"}}, ["bruggeman_l"]),
        ({"film": {"flutter_um": 190.0}}, ["touch", "187.5"]),
        ({"run": {"seed": 1.5}}, ["whole number"]),
        ({"line": {"speed_m_s": [[1, 0.1], [1, 0.2]]}}, ["line.speed_m_s", "list of"]),
        ({"line": {"speed_m_s": []}}, ["line.speed_m_s"]),
        ({"laser": {"clock_ppm": [1]}}, ["two numbers"]),
        ({"laser": {"model": "1420-10", "sync": "master_slave"}}, ["no synchronisation"]),
        ({"laser": {"model": "1420-10", "rate_hz": 3000}}, ["2000 or 4000"]),
        ({"defect": [{"at_m": 1}]}, ["defect 1.kind", "web_break"]),
        ({"defect": [{"kind": "step"}]}, ["exactly one of at_m and at_s"]),
        ({"defect": [{"kind": "step", "at_m": 1, "at_s": 1}]}, ["exactly one"]),
        ({"defect": [{"kind": "splice", "at_m": 1, "length_mm": 0}]}, ["length_mm"]),
        ({"defect": {"kind": "step"}}, ["[[defect]]"]),
        ({"fault": [{"kind": "sht_crc"}]}, ["fault 1.at_s"]),
        ({"fault": [{"kind": "sht_crc", "at_s": 1, "laser": "a"}]}, ["no such field", "for_s"]),
        ({"fault": [{"at_s": 1}]}, ["fault 1.kind", "link_outage"]),
    ],
)
def test_errors_name_field_and_range(data, words):
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(data, source="my.toml")
    text = str(caught.value)
    assert text.startswith("my.toml")
    for word in words:
        assert word in text


def test_not_toml_names_the_file(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("film = [")
    with pytest.raises(ScenarioError, match="broken.toml: is not TOML"):
        Scenario.load(path)


def test_changes_replace_single_fields():
    scenario = Scenario.from_dict({"run": {"seed": 1, "duration_s": 5}}, run={"seed": 9})
    assert (scenario.run.seed, scenario.run.duration_s) == (9, 5.0)


def test_readme_table_is_current():
    text = readme.README.read_text(encoding="utf-8")
    assert readme.current(text) == text, "run python -m porogauge_bench.readme"


def test_overlays_reach_the_words():
    scenario = Scenario.from_dict(
        {"recipe": {"limits": {"thickness_hihi_um": 33}}, "calibration": {"head": {"serial": 7}}}
    )
    recipe, calibration = exact_files(scenario)
    assert recipe["limits"]["thickness_hihi_um"] == 33
    assert recipe["limits"]["thickness_lolo_um"] == 20
    assert calibration["head"]["serial"] == 7
    exact_words(scenario)


# -- clock and noise


def test_calls_are_made_in_order():
    clock, seen = EventClock(), []
    clock.call_at(20, lambda: seen.append("b"))
    clock.call_at(10, lambda: (seen.append("a"), clock.call_at(5, lambda: seen.append("late"))))
    clock.call_at(20, lambda: seen.append("c"))
    clock.call_at(15, lambda: seen.append("never")).cancel()
    assert clock.next_ns() == 10
    clock.run_until(30)
    assert seen == ["a", "late", "b", "c"]
    assert clock.now_ns == 30
    with pytest.raises(ValueError, match="cannot go back"):
        clock.run_until(29)


def test_noise_does_not_depend_on_the_order_of_calls():
    forward, backward = noise.Noise(3, noise.LASER_A), noise.Noise(3, noise.LASER_A)
    a = np.concatenate([forward.normal(i, i + 7) for i in range(0, 7000, 7)])
    b = np.concatenate([backward.normal(i, i + 100) for i in range(6900, -1, -100)][::-1])
    assert np.array_equal(a[:7000], b)
    assert abs(a.std() - 1) < 0.03 and abs(a.mean()) < 0.04
    other = noise.Noise(3, noise.LASER_B).normal(0, 7000)
    assert abs(np.corrcoef(a, other)[0, 1]) < 0.04
    drawn = noise.Noise(3, noise.UART_A).uniform(0, 7000)
    assert 0 <= drawn.min() and drawn.max() < 1 and abs(drawn.mean() - 0.5) < 0.02


# -- film


def test_mixing_laws_against_the_table_of_physics_md():
    """physics.md section 1, table for a solid of 3.3, three decimals."""
    table = {
        "wiener_parallel": (2.955, 2.150, 1.460),
        "air_in_solid": (2.870, 1.999, 1.370),
        "bruggeman_l": (2.860, 1.930, 1.305),
        "looyenga": (2.836, 1.927, 1.323),
        "lichtenecker": (2.759, 1.817, 1.270),
        "solid_in_air": (2.753, 1.831, 1.285),
        "wiener_series": (2.454, 1.535, 1.162),
    }
    for law, values in table.items():
        for phi, eps in zip((0.15, 0.50, 0.80), values, strict=True):
            assert float(permittivity(law, phi, 3.3, 1 / 3)) == pytest.approx(eps, abs=6e-4)
    for law in table:
        assert float(permittivity(law, 0.0, 3.3, 1 / 3)) == pytest.approx(3.3)
        assert float(permittivity(law, 1.0, 3.3, 1 / 3)) == pytest.approx(1.0)
    assert float(permittivity("bruggeman_l", 0.5, 3.3, 0.0)) == pytest.approx(2.15)
    assert float(permittivity("bruggeman_l", 0.5, 3.3, 1.0)) == pytest.approx(1.535, abs=1e-3)


def test_closed_form_inverts_the_mixing_law():
    for el in (0.0, 0.2, 1 / 3, 0.7):
        for phi in (0.1, 0.5, 0.85):
            eps = float(permittivity("bruggeman_l", phi, 3.1, el))
            t = 25.0
            delta = t * (1 - 1 / eps)
            a, b = (1 - el) / 2.1, el * 3.1 / 2.1
            assert 1 - a * delta / (t - delta) - b * delta / t == pytest.approx(phi, abs=1e-12)


def test_correction_table_makes_other_laws_exact():
    scenario = Scenario.from_dict({"film": {"mixing": "air_in_solid", "porosity_percent": 40}})
    recipe, _ = exact_files(scenario)
    nodes = np.linspace(0, 1, 33)
    eps = permittivity("air_in_solid", 0.4, 3.3, 0)
    guess = float((3.3 - eps) * (1 + 2 * eps) / (3 * eps * 2.3))
    fixed = guess + np.interp(guess, nodes, recipe["mixing"]["correction_percent"]) / 100
    assert fixed == pytest.approx(0.4, abs=2e-4)
    exact_words(scenario)


def test_curve_and_position():
    curve = Curve([[1.0, 0.0], [3.0, 4.0], [4.0, 4.0]])
    assert [float(curve.at(t)) for t in (0, 2, 3.5, 9)] == [0.0, 2.0, 4.0, 4.0]
    fine = np.linspace(0, 6, 600_001)
    sums = np.concatenate([[0], np.cumsum((curve.at(fine[1:]) + curve.at(fine[:-1])) / 2e5)])
    assert np.allclose(sums - sums[100_000], curve.integral(fine), atol=1e-7)


def _line(**given) -> Line:
    return Line(Scenario.from_dict({"line": given}).line)


@pytest.mark.parametrize(
    "given",
    [
        {"speed_m_s": 0.3},
        {"speed_m_s": -0.3},
        {"speed_m_s": 0.2, "speed_wave_m_s": 0.05, "speed_wave_hz": 3},
        {"speed_m_s": [[0, 0.5], [1, -0.47]]},
    ],
)
def test_crossings_are_where_the_position_says(given):
    line = _line(**given)
    times, levels, ways = line.crossings(2.0, 0.0, 1.0)
    assert np.all(np.diff(times) > 0)
    assert np.allclose(line.position_mm(times) * 2.0, levels, atol=1e-6)
    grid = np.linspace(0, 1, 1_000_001)
    floor = np.floor(line.position_mm(grid) * 2.0)
    assert abs(int(np.abs(np.diff(floor)).sum()) - len(times)) <= 1
    assert np.all(np.sign(line.speed_mm_s(times)) == ways)


# -- head


def test_distances_and_thickness():
    w = world()
    t = np.array([1 * SECOND, 3 * SECOND])
    a, b = w.distances_mm(t, "a"), w.distances_mm(t, "b")
    assert 2050 - 1000 * (a + b) == pytest.approx([500.0, 25.0])
    assert a == pytest.approx(b)
    bare = world(head={"reference_um": 0.0})
    assert math.isnan(bare.distances_mm(t, "a")[0])


def test_flutter_moves_both_readings_against_each_other():
    w = world(film={"flutter_um": 100.0, "flutter_hz": 10.0})
    t = (3 * SECOND + np.arange(0, 100) * 1_000_000).astype(float)
    a, b = w.distances_mm(t, "a"), w.distances_mm(t, "b")
    assert 2050 - 1000 * (a + b) == pytest.approx(np.full(100, 25.0))
    height = 1000 * (b - a) / 2
    assert height.max() == pytest.approx(100, abs=0.3)
    # 100 us between the samples: up to 0.63 um (physics.md section 3)
    apart = 1000 * (w.distances_mm(t + 100_000, "b") - b)
    assert np.abs(apart).max() == pytest.approx(0.63, abs=0.01)


def test_tilt_and_spot_offset():
    w = world(film={"tilt_deg": 1.0}, head={"spot_offset_um": 20.0})
    t = np.array([3 * SECOND])
    read = 2050 - 1000 * (w.distances_mm(t, "a") + w.distances_mm(t, "b"))[0]
    slope = math.tan(math.radians(1))
    assert read == pytest.approx(25 * math.sqrt(1 + slope**2) - 20 * slope, abs=1e-6)
    assert abs(read - 25) == pytest.approx(0.35, abs=0.01)  # physics.md: 350 nm


def test_intrusion_and_frame():
    w = world(film={"intrusion_um": 0.4}, head={"frame_c": 25.0, "sum_um_per_k": 1.15})
    t = np.array([1 * SECOND, 3 * SECOND])
    total = 1000 * (w.distances_mm(t, "a") + w.distances_mm(t, "b"))
    assert total == pytest.approx([2052.3 - 500, 2052.3 - 25 + 0.4])
    assert float(w.gap_um(3.0)) == pytest.approx(400.24)


def test_capacitance_against_the_formula():
    w = world(film={"thickness_um": 25.0}, head={"gap_um": 500.0})
    air = air_permittivity(23.0, 50.0, 1013.25)
    c0 = EPS0 * air * math.pi * 0.01**2 / 500e-6
    assert c0 == pytest.approx(5.57e-12, abs=0.01e-12)  # physics.md section 3
    assert w.capacitance_f(0, SECOND) == pytest.approx(c0 + 0.1e-12, rel=1e-12)
    eps = float(permittivity("bruggeman_l", 0.5, 3.3, 1 / 3))
    delta = 25e-6 * (1 - 1 / eps)
    film = w.capacitance_f(3 * SECOND, 3 * SECOND + 11_000_000)
    assert film == pytest.approx(c0 * 500e-6 / (500e-6 - delta) + 0.1e-12, rel=1e-12)
    assert film - c0 - 0.1e-12 == pytest.approx(137e-15, abs=2e-15)  # physics.md: 137 fF


def test_air_effects_of_physics_md():
    base = air_permittivity(23.0, 50.0, 1013.25)
    assert (air_permittivity(23.0, 70.0, 1013.25) - base) * 1e6 == pytest.approx(48, abs=2)
    assert (air_permittivity(28.0, 50.0, 1013.25) - base) * 1e6 == pytest.approx(28, abs=4)
    assert (air_permittivity(23.0, 50.0, 1033.25) - base) * 1e6 == pytest.approx(10, abs=1)


def test_footprint_averages_the_film():
    defect = [{"kind": "step", "at_s": 4.0, "length_mm": 0}]
    spread = World(Scenario.from_dict(STILL, head={"footprint_mm": 20.0}, defect=defect))
    point = World(Scenario.from_dict(STILL, defect=defect))
    t = np.array([4.0 - 0.05, 4.0, 4.0 + 0.05])
    a, b = point.capacitance_at(t), spread.capacitance_at(t)
    assert a[[0, 2]] == pytest.approx(b[[0, 2]], rel=1e-12)
    assert b[0] < b[1] < b[2]


def test_humidity_changes_the_solid():
    w = world(climate={"rh_percent": [[0, 50], [10, 60]]})
    assert float(w.solid_permittivity(10.0)) == pytest.approx(3.3 * 1.024)


# -- truth


def test_truth_is_the_average_over_the_interval():
    w = world(
        film={
            "thickness_wave_um": 2.0,
            "thickness_wave_mm": 30.0,
            "porosity_wave_percent": 3.0,
            "porosity_wave_mm": 17.0,
            "thickness_random_um": 0.3,
        }
    )
    t0, t1 = 3_000_000_000, 3_109_600_000
    truth = w.truth(t0, t1)
    t = t0 * 1e-9 + (np.arange(200_000) + 0.5) / 200_000 * (t1 - t0) * 1e-9
    _, thickness, eps, phi = w.layer(w.film.place_mm(t), t)
    assert truth["thickness_nm"] == pytest.approx(1000 * thickness.mean(), abs=1e-3)
    assert truth["permittivity"] == pytest.approx(eps.mean(), abs=1e-7)
    assert truth["porosity_ppm"] == pytest.approx(1e6 * phi.mean(), abs=0.05)
    assert w.capacitance_f(t0, t1) == pytest.approx(w.capacitance_at(t).mean(), rel=1e-9)
    assert not truth["edge"] and not truth["step"] and truth["film"] == 1.0


def test_truth_at_edges_steps_and_breaks():
    w = World(
        Scenario.from_dict(
            STILL,
            line={"speed_m_s": 0.5},
            defect=[
                {"kind": "step", "at_s": 4.0, "length_mm": 0, "thickness_um": 4.0},
                {"kind": "web_break", "at_m": 2.0, "length_mm": 500},
                {"kind": "splice", "at_m": 3.0, "length_mm": 100},
            ],
        )
    )
    before = w.truth(1_000_000_000, 1_011_000_000)
    assert before["thickness_nm"] is None and before["porosity_ppm"] is None
    assert not before["edge"] and before["film"] == 0.0
    edge = w.truth(1_990_000_000, 2_030_000_000)
    assert edge["edge"] and edge["step"] and edge["film"] == pytest.approx(0.75)
    assert edge["thickness_nm"] == pytest.approx(25_000)
    step = w.truth(3_990_000_000, 4_010_000_000)
    assert step["step"] and not step["edge"]
    assert step["thickness_nm"] == pytest.approx(27_000, abs=1e-3)
    # web break from 2 m: 4 s after the start, for 1 s
    assert w.truth(6_500_000_000, 6_511_000_000)["thickness_nm"] is None
    assert w.truth(5_995_000_000, 6_005_000_000)["edge"]
    assert w.truth(7_100_000_000, 7_111_000_000)["thickness_nm"] == pytest.approx(29_000)
    assert w.truth(8_050_000_000, 8_061_000_000)["thickness_nm"] == pytest.approx(58_000)


def test_spots_clusters_and_repeats():
    w = World(
        Scenario.from_dict(
            STILL,
            defect=[
                {"kind": "thick_spot", "at_m": 0.3, "every_m": 0.6},
                {"kind": "pore_cluster", "at_s": 3.5},
            ],
        )
    )
    t, phi = w.film.at(np.array([0.0, 290.0, 295.0, 300.0, 310.0, 900.0, 1500.0, 450.0]))
    assert t == pytest.approx([25, 25, 27.5, 30, 25, 30, 30, 25])
    assert phi[-1] == pytest.approx(0.65) and phi[0] == pytest.approx(0.5)


def test_film_that_ends_and_web_that_stands():
    w = world(film={"length_m": 0.3}, line={"speed_m_s": 0.3})
    assert w.truth(2_900_000_000, 2_950_000_000)["thickness_nm"] == pytest.approx(25_000)
    assert w.truth(3_100_000_000, 3_150_000_000)["thickness_nm"] is None
    still = world(line={"speed_m_s": 0.0})
    assert still.truth(1_900_000_000, 1_999_000_000)["thickness_nm"] is None
    assert still.truth(2_100_000_000, 2_199_000_000)["thickness_nm"] == pytest.approx(25_000)
    assert still.truth(1_990_000_000, 2_010_000_000)["film"] == pytest.approx(0.5)


def test_windows_join_without_a_gap():
    """The mean over two windows is the mean of their means: no instant counts twice."""
    w = World(
        Scenario.from_dict(
            STILL,
            film={"thickness_wave_um": 3.0},
            defect=[{"kind": "step", "at_s": 4.0, "length_mm": 33}],
        )
    )
    cuts = [3_900_000_000 + 11_000_000 * i for i in range(21)]
    parts = [w.capacitance_f(a, b) for a, b in pairwise(cuts)]
    assert sum(parts) / 20 == pytest.approx(w.capacitance_f(cuts[0], cuts[-1]), rel=1e-10)
