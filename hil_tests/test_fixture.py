"""What lies on the film and what an operator puts into the gap, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from porogauge.calibrate.procedure import KINDS, Step
from porogauge_bench.film import permittivity
from porogauge_bench.fixture import STATED, Fixture, Setup, drawn, standard, true_values
from porogauge_bench.head import EPS0, air_permittivity, area_m2
from porogauge_bench.heads import SPREAD, hidden_head, nominal_tables, truth_of
from porogauge_bench.scenario import Scenario, ScenarioError
from porogauge_bench.stations import FirmwareStation, ModelStation
from porogauge_bench.world import World

STILL = {"film": {"flutter_um": 0.0, "start_s": 2.0}, "head": {"vibration_um": 0.0}}
BEFORE, WITH = (1_000_000_000, 1_011_000_000), (3_000_000_000, 3_011_000_000)
SETTINGS = {  # one of every kind of step
    "empty": {},
    "capacitor": {"reference_pf": 6.0, "u_reference_pf": 5e-4},
    "stage": {"stage_um": 100.0, "u_stage_um": 0.1},
    "block": {"thickness_um": 300.0, "u_thickness_um": 0.1, "height_um": 50.0, "tilt_deg": 1.0},
    "vibrate": {"thickness_um": 300.0, "amplitude_um": 100.0, "frequency_hz": 10.0},
    "plate": {
        "thickness_um": 75.0, "u_thickness_um": 0.05, "permittivity": 3.82,
        "u_permittivity": 0.005, "height_um": 0.0,
    },
    "solid": {"thickness_um": 50.0, "u_thickness_um": 0.2},
    "sample": {
        "t_ref_um": 25.0, "u_t_ref_um": 0.2, "phi_ref_percent": 50.0, "u_phi_ref_percent": 1.0,
    },
}  # fmt: skip


def world(layers=(), **sections) -> World:
    return World(Scenario.from_dict(STILL | {"layer": list(layers)}, **sections))


def measured(w: World) -> tuple[float, float]:
    """Thickness and deficit in um that perfect sensors find, against the empty gap."""
    t = np.array([WITH[0]])
    total = w.sum_distance_um(3.0) - 1000 * sum(w.distances_mm(t, head)[0] for head in "ab")
    c0, c = (w.capacitance_f(*at) - w.stray_f for at in (BEFORE, WITH))
    return float(total), w.gap_um(3.0) * (1 - c0 / c)


# -- layers


def test_layers_add_thickness_and_deficit():
    bare, coated = (
        world(layers)
        for layers in (
            (),
            [
                {"name": "skin", "thickness_um": 2.0, "permittivity": 3.3},
                {"name": "adhesive", "thickness_um": 10.0, "permittivity": 3.2},
                {"name": "foil", "kind": "metal_floating", "thickness_um": 9.0},
            ],
        )
    )
    t0, delta0 = measured(bare)
    t1, delta1 = measured(coated)
    assert t0 == pytest.approx(25.0, abs=1e-6)
    assert t1 - t0 == pytest.approx(21.0, abs=1e-6)
    expected = 2 * (1 - 1 / 3.3) + 10 * (1 - 1 / 3.2) + 9
    assert delta1 - delta0 == pytest.approx(expected, abs=1e-6)
    truth = coated.truth(*WITH)
    assert truth["thickness_nm"] == pytest.approx(25_000)
    assert truth["total_nm"] == pytest.approx(46_000)
    assert coated.truth(*BEFORE)["total_nm"] is None


def test_grounded_metal_leaves_the_stray_capacitance():
    shielded = world([{"kind": "metal_grounded", "thickness_um": 9.0}])
    assert shielded.capacitance_f(*WITH) == pytest.approx(shielded.stray_f)
    assert shielded.capacitance_f(*BEFORE) > 6e-12
    wide = world([{"kind": "metal_grounded", "thickness_um": 9.0}], head={"footprint_mm": 20})
    assert wide.capacitance_f(*WITH) == pytest.approx(wide.stray_f)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({}, ["layer 1.thickness_um", "missing"]),
        ({"thickness_um": -1}, ["layer 1.thickness_um", "0 to 1000 um"]),
        ({"thickness_um": 1, "kind": "glue"}, ["dense, metal_floating, metal_grounded"]),
        (
            {"thickness_um": 9, "kind": "metal_floating", "permittivity": 3},
            ["layer 1.permittivity", "has none"],
        ),
        ({"thickness_um": 380}, ["film.flutter_um", "touch"]),
    ],
)
def test_errors_of_layers(layer, words):
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict({"layer": [layer]}, source="my.toml")
    for word in words:
        assert word in str(caught.value)


# -- the fixture


def test_a_change_splits_a_conversion():
    w = world()
    w.fixture.put(Setup(capacitor_pf=5.0), 1.004)
    w.fixture.put(None, 1.5)
    before = w.capacitance_f(900_000_000, 911_000_000)
    across = w.capacitance_f(1_000_000_000, 1_011_000_000)
    assert across == pytest.approx((4 * before + 7 * 5e-12) / 11, rel=1e-9)
    assert w.truth(1_000_000_000, 1_011_000_000)["step"]
    after = w.capacitance_f(1_600_000_000, 1_611_000_000)
    assert after == before
    with pytest.raises(ValueError, match="after"):
        w.fixture.put(None, 1.2)


def test_each_kind_is_what_it_says():
    scenario = Scenario.from_dict(STILL, film={"intrusion_um": 0.4})
    w = World(scenario)
    air = air_permittivity(23, 50, 1013.25)
    product = 1e12 * EPS0 * air * area_m2(scenario.head) * 1e6
    stray = scenario.head.stray_pf

    def seen(kind: str, **changes) -> tuple[float, float, Setup]:
        setup = standard({"kind": kind} | SETTINGS[kind] | changes, scenario)
        w.fixture = Fixture()
        w.fixture.put(setup, 0.0)
        t = np.array([1e9])
        total = w.sum_distance_um(1.0, setup) - 1000 * float(
            sum(w.distances_mm(t, head)[0] for head in "ab")
        )
        return total, 1e12 * w.capacitance_f(*BEFORE), setup

    tile = scenario.head.reference_um
    assert seen("empty")[:2] == pytest.approx((tile, product / 400 + stray))
    total, c, setup = seen("capacitor")
    assert (total, c) == pytest.approx((tile, setup.capacitor_pf))
    total, c, setup = seen("stage")
    assert (total, c) == pytest.approx((tile, product / (400 + setup.opened_um) + stray))
    total, c, setup = seen("block")
    assert total == pytest.approx(setup.thickness_um / math.cos(math.radians(1)))
    assert c == pytest.approx(product / 400 + stray)
    total, c, setup = seen("plate")
    assert total == pytest.approx(setup.thickness_um)
    assert c == pytest.approx(product / (400 - setup.deficit_um) + stray)
    total, c, setup = seen("solid", rh_set_percent=20.0, air_set_c=33.0)
    eps = 3.3 * (1 + 1e-6 * 2400 * -30)
    warm = product / air * air_permittivity(33, 20, 1013.25)
    assert total == pytest.approx(setup.thickness_um)  # no light enters
    assert c == pytest.approx(warm / (400 - setup.thickness_um * (1 - 1 / eps)) + stray)
    total, c, setup = seen("sample")
    assert total == pytest.approx(setup.thickness_um - 0.4)
    eps = permittivity("bruggeman_l", setup.porosity, 3.3, 1 / 3)
    assert c == pytest.approx(product / (400 - setup.thickness_um * (1 - 1 / eps)) + stray)
    assert seen("empty", frame_set_c=33.0)[1] == pytest.approx(product / 401.2 + stray)
    assert {*SETTINGS} == {*KINDS}
    weighed = {"kind": "sample", "t_ref_um": 25.0, "mass_g_m2": 0.5 * 25 * 1.42}
    assert standard(weighed, scenario).porosity == pytest.approx(0.5)
    with pytest.raises(ValueError, match="'wedge'"):
        standard({"kind": "wedge"}, scenario)
    with pytest.raises(ValueError, match="sample needs phi_ref_percent or mass_g_m2"):
        standard({"kind": "sample", "t_ref_um": 25.0}, scenario)


def test_a_standard_has_its_error_by_its_label():
    block = {"kind": "block", "thickness_um": 100.0, "u_thickness_um": 0.1}
    errors = []
    for seed in range(400):
        first, again, other = (
            true_values(block | {"label": label}, seed)["thickness_um"] for label in "ppq"
        )
        assert first == again != other
        errors.append((first - 100) / 0.1)
    assert abs(np.mean(errors)) < 0.2 and np.std(errors) == pytest.approx(1, abs=0.15)
    plates = [
        true_values({"kind": "plate", "label": f"silica-{t}"} | SETTINGS["plate"], 3)
        for t in (30, 75)
    ]
    assert plates[0]["permittivity"] == plates[1]["permittivity"]
    assert plates[0]["thickness_um"] != plates[1]["thickness_um"]
    assert drawn(1, "a", 2) == drawn(1, "a", 2) != drawn(1, "a", 3)
    stated = {name for names in SETTINGS.values() for name in names} | {"mass_g_m2"}
    assert stated >= {*STATED}


# -- hidden heads and stations


def test_hidden_heads_repeat_and_differ():
    head, again, other = hidden_head(5), hidden_head(5), hidden_head(6)
    assert head == again != other
    for (section, field), (low, high) in SPREAD.items():
        for scenario in (head, other):
            value = getattr(getattr(scenario, section), field)
            for one in value if isinstance(value, list) else [value]:
                assert low <= one <= high, (section, field)
    truth = truth_of(head)
    assert truth["calibration:capacitance.gap_um"] == head.head.gap_um
    warm = nominal_tables()
    warm["calibration"]["capacitance"]["frame_c"] = 33.0
    grown = truth_of(head, warm)["calibration:capacitance.gap_um"] - head.head.gap_um
    error = head.capacitance.temperature_error_k
    assert grown == pytest.approx(head.head.gap_um_per_k * (10 - error))


def test_firmware_and_model_read_alike():
    """Every kind of step, through the firmware and the link, and by the bench's models."""
    model = ModelStation(hidden_head(3))
    with FirmwareStation(hidden_head(3)) as board:
        for kind, setting in SETTINGS.items():
            code = 36 if kind == "capacitor" else None
            step = Step(kind, "", {"kind": kind} | setting, windows=32, capdac_code=code)
            a, b = board.perform(step), model.perform(step)
            assert a.windows == b.windows == 32 and a.capdac_code == b.capdac_code
            assert a.cap_pf == pytest.approx(b.cap_pf, abs=5e-5), kind
            if kind == "vibrate":
                late = model.scenario.laser.latency_us
                assert a.skew_us == pytest.approx(late[0] - late[1], abs=3)
                assert b.skew_us == pytest.approx(late[0] - late[1], abs=3)
            else:
                assert a.a_um + a.b_um == pytest.approx(b.a_um + b.b_um, abs=0.05), kind
                assert a.a_um == pytest.approx(b.a_um, abs=0.05), kind
                assert a.skew_us is b.skew_us is None
            assert a.frame_c == pytest.approx(b.frame_c, abs=0.1)
            assert a.rh_percent == pytest.approx(b.rh_percent, abs=0.3)
        step = Step("warm", "", {"kind": "empty", "frame_set_c": 33.0, "rh_set_percent": 20.0})
        a, b = board.perform(step), model.perform(step)
        assert a.frame_c == pytest.approx(b.frame_c, abs=0.1) == pytest.approx(33, abs=0.4)
        assert a.rh_percent == pytest.approx(20, abs=0.3)
        assert a.cap_pf == pytest.approx(b.cap_pf, abs=5e-5)
