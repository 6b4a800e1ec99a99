"""Procedures find what is hidden, state how well, and refuse what they cannot tell.

The points come from `calibrate_model`; the uncertainties are compared with the law of
propagation as the package `uncertainties` does it, through the whole procedure, and with Monte
Carlo.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
from calibrate_model import Estimator, ModelHead, bruggeman, tables
from uncertainties import ufloat, wrap

from porogauge.calibrate.physics import PointsError
from porogauge.calibrate.procedure import CONDITIONS, KINDS
from porogauge.calibrate.procedures import PROCEDURES
from porogauge.recipe import RecipeError, compile_words

HEAD = ModelHead()
EXACT = HEAD.exact_tables()
# procedure, files, options, estimates: what is compared with the package
COMPARED = (
    ("converter", tables(), {}, ("gain_ppm", "offset_pf", "capdac_pf", "capdac_step_ff")),
    ("gap", EXACT, {"linearity_ppm": 0}, ("gap_um", "stray_pf", "c0_pf")),
    ("scale", EXACT, {}, ("scale_ppm",)),
    ("environment", EXACT, {}, ("sum_distance_um_per_k", "permittivity", "per_rh_ppm")),
    ("recipe", EXACT, {}, ("offset_um", "structure_factor")),
)


def fit(name, points=None, files=None, options=None):
    files = files or EXACT
    points = HEAD.points(name, files) if points is None else points
    return PROCEDURES[name].fit(points, files, options or {})


@pytest.fixture(scope="module")
def found():
    """Every procedure's result, without any error of standards or readings."""
    return {
        name: fit(name, files=tables() if name in ("converter", "lasers") else EXACT)
        for name in PROCEDURES
    }


HIDDEN = {
    "converter": {
        "offset_pf": HEAD.offset_pf,
        "gain_ppm": 1e6 * HEAD.gain,
        "capdac_pf": 42 * HEAD.step_pf,
        "capdac_step_ff": 1e3 * HEAD.step_pf,
    },
    "gap": {
        "gap_um": HEAD.gap_um,
        "stray_pf": HEAD.stray_pf,
        "area_mm2": 1e-6 * HEAD.area_um2,
    },
    "scale": {"scale_ppm": 0.0, "offset_um": 0.0},
    "lasers": {
        "sum_distance_um": HEAD.true_d_um,
        "reference_um": HEAD.tile_um,
        "a_gain_ppm": 1e6 * HEAD.gain_a,
        "b_gain_ppm": 1e6 * HEAD.gain_b,
        "spot_offset_um": 0.0,
        "skew_us": 12.0,
    },
    "environment": {
        "gap_um_per_k": HEAD.gap_per_k,
        "sum_distance_um_per_k": HEAD.d_per_k,
        "permittivity": HEAD.eps,
        "per_rh_ppm": 1e6 * HEAD.per_rh,
        "per_k_ppm": 1e6 * HEAD.per_k,
    },
    "recipe": {"offset_um": HEAD.intrusion_um, "structure_factor": HEAD.structure},
}


@pytest.mark.parametrize("name", PROCEDURES)
def test_hidden_values_are_found_and_accepted(found, name):
    result = found[name]
    assert result.accepted, result.reasons
    for estimate, true in HIDDEN[name].items():
        seen = result.estimates[estimate]
        assert abs(seen.value - true) < 0.1 * seen.u, estimate


@pytest.mark.parametrize("name", PROCEDURES)
def test_every_change_has_its_value_as_found(found, name):
    result = found[name]
    for kind, changes in result.changes.items():
        assert {f"{kind}:{path}" for path in changes} <= set(result.as_found)
    assert result.residuals and {"id", "residual", "u"} <= set(result.residuals[0])


def test_files_that_the_procedures_leave_can_be_compiled(found):
    files = tables()
    for result in found.values():
        files = result.apply(files)
    words = compile_words(files["recipe"], files["calibration"])
    assert len(words) > 0
    assert files["recipe"]["mixing"]["valid_thickness_min_um"] > 0


@pytest.mark.parametrize(
    ("name", "files", "options", "estimates"), COMPARED, ids=[row[0] for row in COMPARED]
)
def test_uncertainties_are_those_of_the_package(name, files, options, estimates):
    estimator = Estimator(name, files, options)
    errors = [ufloat(0.0, u) for u in estimator.errors.values()]
    result = fit(name, HEAD.points(name, files, options), files, options)
    for estimate in estimates:
        propagated = wrap(estimator.of(estimate))(*errors)
        assert result.estimates[estimate].u == pytest.approx(propagated.s, rel=0.05), estimate


@pytest.mark.parametrize(
    ("name", "options", "estimates"),
    [
        ("gap", {"linearity_ppm": 0}, ("gap_um", "stray_pf", "c0_pf")),
        ("scale", {}, ("scale_ppm",)),
    ],
)
def test_uncertainties_are_those_of_monte_carlo(name, options, estimates):
    estimator = Estimator(name, EXACT, options)
    u = np.array(list(estimator.errors.values()))
    draws = np.random.default_rng(20).standard_normal((1000, len(u))) * u
    stated = fit(name, HEAD.points(name, EXACT, options), EXACT, options).estimates
    results = [estimator.result(*map(float, row)) for row in draws]
    for estimate in estimates:
        spread = np.std([result.estimates[estimate].value for result in results])
        assert stated[estimate].u == pytest.approx(spread, rel=0.05), estimate


def test_tile_is_as_good_as_the_blocks(found):
    blocks = [s for s in Estimator("lasers", tables()).errors if s.startswith("block ")]
    module, files = PROCEDURES["lasers"], tables()
    slopes = []
    for block in blocks:
        points = ModelHead(errors={block: 0.05}).points("lasers", files)
        moved = module.fit(points, files, {}).estimates["reference_um"].value
        slopes.append(moved - found["lasers"].estimates["reference_um"].value)
    blocks_alone = np.hypot.reduce(slopes)
    assert found["lasers"].estimates["reference_um"].u == pytest.approx(blocks_alone, rel=0.05)


def test_curve_of_a_laser_is_found():
    points = HEAD.points("lasers", tables())
    for point in points:
        point["a_um"] += 0.6 * np.sin(2 * np.pi * point["a_um"] / 667 + 0.4)
        point["b_um"] += 0.4 * np.sin(2 * np.pi * point["b_um"] / 667 - 1.1)
    result = fit("lasers", points, tables())
    assert result.accepted, result.reasons
    lasers = result.apply(tables())["calibration"]["lasers"]
    nodes = lasers["map_start_um"] + lasers["map_step_um"] * np.arange(33)
    for t in (12.0, 150.0):
        for height in (-150.0, 0.0, 150.0):
            a, b = ((HEAD.d_um - t) / 2 + way * height for way in (-1, 1))
            a, b = a * (1 + HEAD.gain_a), b * (1 + HEAD.gain_b)
            a += 0.6 * np.sin(2 * np.pi * a / 667 + 0.4)
            b += 0.4 * np.sin(2 * np.pi * b / 667 - 1.1)
            seen = lasers["sum_distance_um"] - a - b
            seen -= np.interp(a, nodes, lasers["a_map_um"])
            seen -= np.interp(b, nodes, lasers["b_map_um"])
            assert seen == pytest.approx(t, abs=0.06)


def test_mass_with_the_gauges_own_thickness_counts_it_once():
    """A porosity by weighing moves with the thickness that it was made with."""
    weighed = HEAD.points("recipe", EXACT)
    for point in weighed:
        if point["kind"] == "sample":
            solid = point["t_ref_um"] * (1 - point["phi_ref_percent"] / 100)
            point |= {"mass_g_m2": 1.42 * solid, "u_mass_g_m2": 0.005 * 1.42 * solid}
            point["phi_ref_percent"] = point["u_phi_ref_percent"] = None
    files = copy.deepcopy(EXACT)
    files["recipe"]["material"] |= {"density_g_cm3": 1.42, "u_density_g_cm3": 0.01}
    result = fit("recipe", weighed, files)
    assert result.accepted, result.reasons
    assert result.estimates["structure_factor"].value == pytest.approx(HEAD.structure, abs=0.005)
    result_of_both = fit("recipe", files=files)
    assert result.estimates["offset_um"].u <= 1.05 * result_of_both.estimates["offset_um"].u


def test_permittivity_and_structure_together_need_span():
    narrow = [
        {"label": f"s{i}", "t_ref_um": 30.0 + i, "u_t_ref_um": 0.2, "phi_ref_percent": 40 + 2 * i,
         "u_phi_ref_percent": 1.0}
        for i in range(8)
    ]  # fmt: skip
    options = {"standards": narrow, "fit_permittivity": 1}
    refused = fit("recipe", HEAD.points("recipe", EXACT, options), options=options)
    assert any("span 14 %" in text for text in refused.reasons)
    wide = fit("recipe", options={"fit_permittivity": 1})
    assert wide.accepted, wide.reasons
    assert wide.changes["recipe"]["material.permittivity"] == pytest.approx(HEAD.eps, abs=0.02)
    assert wide.correlation["structure_factor,permittivity"] > 0.5
    assert "material.permittivity" not in fit("recipe").changes["recipe"]


def test_structure_follows_the_permittivity_that_it_was_fitted_with():
    other = copy.deepcopy(EXACT)
    other["recipe"]["material"]["permittivity"] += 0.02
    moved = fit("recipe", files=other).estimates["structure_factor"].value
    here = fit("recipe")
    slope = here.changes["recipe"]["mixing.structure_factor_per_permittivity"]
    assert moved - here.estimates["structure_factor"].value == pytest.approx(0.02 * slope, rel=0.1)


def test_another_law_becomes_a_table():
    result = fit("recipe", options={"law": "looyenga"})
    assert result.changes["recipe"]["mixing.law"] == "looyenga"
    assert result.changes["recipe"]["mixing.correction_percent"] is None
    assert result.reasons  # the film is of the L-family with L = 0.41: Looyenga does not fit it
    with pytest.raises(PointsError, match="legal: bruggeman_l, looyenga"):
        fit("recipe", options={"law": "loyenga"})


def test_thin_samples_are_said_not_to_be_linear():
    thin = [
        {"label": f"s{i}", "t_ref_um": 3.0, "u_t_ref_um": 1.0, "phi_ref_percent": 20 + 8 * i,
         "u_phi_ref_percent": 8.0}
        for i in range(7)
    ]  # fmt: skip
    options = {"standards": thin}
    result = fit("recipe", HEAD.points("recipe", EXACT, options), options=options)
    assert any("not linear" in text for text in result.warnings)
    assert not any("not linear" in text for text in fit("recipe").warnings)


def _one_wrong(name, kind, change):
    points = HEAD.points(name, EXACT)
    chosen = [p for p in points if p["kind"] == kind]
    change(chosen[len(chosen) // 2])
    return points


@pytest.mark.parametrize(
    ("name", "kind", "change", "says"),
    [
        ("converter", "capacitor", lambda p: p.update(cap_pf=p["cap_pf"] + 0.01), "linearity"),
        ("gap", "stage", lambda p: p.update(stage_um=p["stage_um"] + 5), "do not follow"),
        ("scale", "plate", lambda p: p.update(label="silica-75b", cap_pf=p["cap_pf"] + 0.02),
         "do not agree"),
        ("lasers", "block", lambda p: p.update(a_um=p["a_um"] + 2), "do not agree"),
        ("environment", "empty", lambda p: p.update(frame_c=p["frame_c"] + 1), "residual"),
        ("environment", "solid", lambda p: p.update(cap_pf=p["cap_pf"] + 0.02), "do not agree"),
        ("recipe", "sample", lambda p: p.update(phi_ref_percent=p["phi_ref_percent"] + 12),
         "left out in turn"),
    ],
)  # fmt: skip
def test_one_wrong_point_is_refused(name, kind, change, says):
    files = tables() if name in ("converter", "lasers") else EXACT
    result = fit(name, _one_wrong(name, kind, change), files)
    assert any(says in text for text in result.reasons), result.reasons


@pytest.mark.parametrize("name", PROCEDURES)
def test_too_few_points_are_refused(name):
    files = tables() if name in ("converter", "lasers") else EXACT
    points = HEAD.points(name, files)
    try:
        result = fit(name, points[:3], files)
    except PointsError:
        return
    assert not result.accepted


@pytest.mark.parametrize("name", PROCEDURES)
def test_no_point_is_an_error_that_says_so(name):
    with pytest.raises(PointsError, match="no (point|reading)"):
        fit(name, [])


def test_saturated_readings_are_left_out_and_told():
    points = HEAD.points("gap", EXACT)
    points[3]["cap_pf"] = None
    result = fit("gap", points)
    assert result.accepted and any(points[3]["id"] in text for text in result.warnings)


def test_what_is_found_is_legal_or_refused():
    """A stray capacitance that a file cannot hold is a reason, not an error of the compiler."""
    head = ModelHead(stray_pf=2.4)
    result = PROCEDURES["gap"].fit(head.points("gap", EXACT), EXACT, {})
    assert any("not within -2 to 2 pF" in text for text in result.reasons)
    files = result.apply(EXACT)
    with pytest.raises(RecipeError, match="stray_pf"):
        compile_words(files["recipe"], files["calibration"])


def test_model_of_the_test_knows_the_mixing_law():
    assert bruggeman(0.5, 3.3, 1 / 3) == pytest.approx(1.930, abs=5e-4)


def test_porosity_can_go_through_the_samples():
    options = {"law": "measured"}
    result = fit("recipe", options=options)
    assert result.accepted, result.reasons
    files = result.apply(EXACT)
    assert len(files["recipe"]["mixing"]["measured_points"]) == 8
    compile_words(files["recipe"], files["calibration"])
    fitted = fit("recipe").changes["recipe"]["mixing.u_structure_factor"]
    assert files["recipe"]["mixing"]["u_structure_factor"] > 1.5 * fitted


def test_known_layers_are_taken_off():
    glue = {
        "name": "glue",
        "kind": "adhesive",
        "thickness_um": 10.0,
        "u_thickness_um": 0.1,
        "permittivity": 3.2,
        "u_permittivity": 0.02,
    }
    files = copy.deepcopy(EXACT)
    files["recipe"]["layer"] = [glue]
    points = HEAD.points("recipe", files)
    laminated = [dict(point) for point in points]
    cap, empty = files["calibration"]["capacitance"], points[0]["cap_pf"]
    for point in laminated:
        if point["kind"] == "sample":
            gain = 1 + HEAD.gain
            c = (point["cap_pf"] - HEAD.offset_pf) / gain + 42 * HEAD.step_pf - HEAD.stray_pf
            c0 = (empty - HEAD.offset_pf) / gain + 42 * HEAD.step_pf - HEAD.stray_pf
            gap = cap["gap_um"] * c0 / c - 10 * (1 - 1 / 3.2)  # what the layer leaves of it
            c = cap["gap_um"] * c0 / gap
            point["cap_pf"] = (c + HEAD.stray_pf - 42 * HEAD.step_pf) * gain + HEAD.offset_pf
            for which, error in (("a", HEAD.gain_a), ("b", HEAD.gain_b)):
                point[f"{which}_um"] -= 5 * (1 + error)
    bare, seen = fit("recipe", points), fit("recipe", laminated, files)
    for estimate in ("structure_factor", "offset_um"):
        value = bare.estimates[estimate].value
        assert seen.estimates[estimate].value == pytest.approx(value, abs=2e-3)
    assert seen.estimates["structure_factor"].u > bare.estimates["structure_factor"].u


def test_metal_is_refused():
    files = copy.deepcopy(EXACT)
    files["recipe"]["layer"] = [
        {"name": "foil", "kind": "metal", "thickness_um": 9.0, "u_thickness_um": 0.1}
    ]
    result = fit("recipe", files=files)
    assert any("without its metal" in text for text in result.reasons)


@pytest.mark.parametrize("name", PROCEDURES)
def test_steps_are_ones_that_a_station_knows(name):
    module = PROCEDURES[name]
    steps = module.steps(tables(), {})
    assert len({step.id for step in steps}) == len(steps)
    columns = {column[0] for column in module.COLUMNS} | set(CONDITIONS)
    for step in steps:
        kind = step.setting["kind"]
        assert set(step.setting) <= {"kind", "label", *KINDS[kind][1], *CONDITIONS}
        assert step.text.endswith(".") and step.windows >= 4
        if kind != "vibrate":  # read for its skew alone
            assert set(step.setting) <= columns | {"label"}


@pytest.mark.parametrize(
    ("name", "standards"),
    [
        ("converter", [{"label": "C1", "reference_pf": 7.5, "u_reference_pf": 1e-3}]),
        ("gap", [{"stage_um": z, "u_stage_um": 0.2} for z in (40.0, 120.0, 700.0)]),
        ("scale", [{"label": "glass-1", "thickness_um": 50.0, "u_thickness_um": 0.1,
                    "permittivity": 6.1, "u_permittivity": 0.02}]),
        ("lasers", [{"label": "B1", "thickness_um": 300.0, "u_thickness_um": 0.1}]),
        ("environment", [{"label": "S1", "thickness_um": 100.0, "u_thickness_um": 0.2}]),
        ("recipe", [{"label": "P1", "t_ref_um": 20.0, "u_t_ref_um": 0.3,
                     "phi_ref_percent": 44.0, "u_phi_ref_percent": 0.8}]),
    ],
)  # fmt: skip
def test_standards_replace_the_usual_ones(name, standards):
    module = PROCEDURES[name]
    assert set(standards[0]) == set(module.STANDARDS)
    steps = module.steps(EXACT, {"standards": standards, "windows": 8})
    used = [s for s in steps if any(s.setting.get(k) == v for k, v in standards[0].items())]
    assert used and all(step.windows in (8, 16, 32) for step in steps)


def test_capdac_codes_keep_the_converter_within_its_range():
    """Whatever the true step of the CAPDAC is, 20 % to either side."""
    for share in (0.8, 1.0, 1.2):
        head = ModelHead(step_pf=0.1654 * share, stray_pf=0.3, gap_um=395.0)
        points = head.points("converter", tables())
        assert all(abs(point["cap_pf"]) < 4.05 for point in points)
        files = PROCEDURES["converter"].fit(points, tables(), {}).apply(tables())
        points = head.points("gap", files)
        assert all(point["cap_pf"] is not None for point in points)


def test_tile_that_the_file_does_not_know_is_told():
    files = tables()
    files["calibration"]["lasers"]["reference_um"] = 0.0
    result = fit("lasers", files=files)
    assert any("500.40 um thick in the empty gap" in text for text in result.warnings)
    assert "lasers.reference_um" not in result.changes["calibration"]
