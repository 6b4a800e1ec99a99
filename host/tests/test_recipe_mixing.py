"""Mixing laws: the values of physics.md section 1, their inverses, and what the board makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gauge import config
from porogauge import recipe
from porogauge.contradictions import permittivity_at, porosity_at
from porogauge.forecast import Forecast
from porogauge.mixing_laws import (
    LAWS,
    NODES,
    corrected,
    correction_of_points,
    correction_percent,
    permittivity,
    porosity,
    structure_for,
    wiener,
)

TABLE = {  # eps_s = 3.3, porosity 0.15, 0.50, 0.80
    "bruggeman_l": (2.860, 1.930, 1.305),
    "looyenga": (2.836, 1.927, 1.323),
    "lichtenecker": (2.759, 1.817, 1.270),
    "air_in_solid": (2.870, 1.999, 1.370),
    "solid_in_air": (2.753, 1.831, 1.285),
}
BOUNDS = {0.15: (2.454, 2.955), 0.5: (1.535, 2.150), 0.8: (1.162, 1.460)}


@pytest.mark.parametrize("law", LAWS)
def test_values_of_the_reference(law):
    for phi, expected in zip((0.15, 0.5, 0.8), TABLE[law], strict=True):
        assert permittivity(law, phi, 3.3) == pytest.approx(expected, abs=6e-4)


def test_the_ends_of_the_l_family_are_wieners_bounds():
    for phi, (series, parallel) in BOUNDS.items():
        assert permittivity("bruggeman_l", phi, 3.3, 1) == pytest.approx(series, abs=6e-4)
        assert permittivity("bruggeman_l", phi, 3.3, 0) == pytest.approx(parallel, abs=6e-4)


@given(st.sampled_from(sorted(LAWS)), st.floats(0, 1), st.floats(1.1, 20), st.floats(0, 1))
def test_porosity_is_the_inverse(law, phi, eps_s, structure):
    eps = permittivity(law, phi, eps_s, structure)
    assert 1 - 1e-9 <= eps <= eps_s * (1 + 1e-9)
    assert porosity(law, eps, eps_s, structure) == pytest.approx(phi, abs=1e-7)


@given(st.floats(0.02, 0.98), st.floats(1.2, 20), st.floats(0, 1))
def test_the_structure_of_a_pair(phi, eps_s, structure):
    eps = permittivity("bruggeman_l", phi, eps_s, structure)
    low, high = wiener(eps, eps_s)
    assert low - 1e-9 <= phi <= high + 1e-9
    assert structure_for(eps, phi, eps_s) == pytest.approx(structure, abs=1e-5)


def test_unknown_laws():
    for function in (permittivity, porosity):
        with pytest.raises(ValueError, match="legal: bruggeman_l, looyenga"):
            function("maxwell", 0.5, 3.3)


@pytest.mark.parametrize("law", [law for law in LAWS if law != "bruggeman_l"])
@pytest.mark.parametrize("solid", [2.6, 3.3, 4.0])
def test_the_board_inverts_every_law(law, solid):
    """The closed form and 33 corrections: within 128 ppm of porosity (physics.md section 5)."""
    tables = recipe.standard_recipe()
    tables["material"] |= {"permittivity": solid}
    tables["mixing"] |= {"law": law, "structure_factor": 1 / 3}
    tables["limits"]["permittivity_max"] = 100
    words = recipe.compile_words(tables, recipe.standard_calibration())
    assert words[config.CORRECTION_NODES] == NODES
    told = Forecast(words)
    for percent in range(15, 85, 5):
        found = told.of(150, permittivity(law, percent / 100, solid))
        assert found.reason == "ok"
        assert found.porosity_percent == pytest.approx(percent, abs=0.035)
        nodes = correction_percent(law, solid)
        base = porosity("bruggeman_l", permittivity(law, percent / 100, solid), solid)
        exact = base + corrected(base, nodes) / 100
        assert exact == pytest.approx(percent / 100, abs=128e-6)


def test_a_law_and_corrections_contradict_each_other():
    tables = recipe.standard_recipe()
    tables["mixing"] |= {"law": "looyenga", "correction_percent": [0.1] * NODES}
    with pytest.raises(
        recipe.RecipeError, match="mixing.correction_percent: mixing.law 'looyenga"
    ):
        recipe.compile_words(tables, recipe.standard_calibration())
    tables["mixing"]["correction_percent"] = []
    recipe.compile_words(tables, recipe.standard_calibration())


def test_corrections_come_back_from_the_board_and_give_the_same_words():
    tables = recipe.standard_recipe()
    tables["mixing"]["law"] = "looyenga"
    words = recipe.compile_words(tables, recipe.standard_calibration())
    shown = recipe.decode_words(words)[0]
    tables["mixing"] = shown["mixing"]
    again = recipe.compile_words(tables, recipe.standard_calibration())
    id = config.RECIPE_ID
    assert [w for i, w in enumerate(again) if i != id] == [
        w for i, w in enumerate(words) if i != id
    ]


# ---------------------------------------------------------------- measured points

POINTS = [[2.6, 27], [2.1, 46], [1.7, 63], [1.35, 80]]


def with_points(points):
    tables = recipe.standard_recipe()
    tables["mixing"]["measured_points"] = points
    return tables


def test_porosity_goes_through_measured_points():
    tables = with_points(POINTS)
    values = recipe.normalise("recipe", tables, "r.toml")
    told = Forecast(recipe.compile_words(tables, recipe.standard_calibration()))
    for eps, percent in POINTS:
        # between two nodes a kink is cut short
        assert 100 * porosity_at(values, eps) == pytest.approx(percent, abs=0.1)
        assert told.of(100, eps).porosity_percent == pytest.approx(percent, abs=0.15)
        assert permittivity_at(values, percent / 100) == pytest.approx(eps, abs=0.005)
    assert corrected(0, [float(x) for x in values["mixing.correction_percent"]]) == 0
    first, second = (recipe.content_id("recipe", recipe.normalise("recipe", one, "r"))
                     for one in (tables, with_points(POINTS[:3])))  # fmt: skip
    assert first != second


@given(st.floats(0, 1), st.floats(1.5, 10))
def test_points_of_the_family_itself_need_no_correction(structure, solid):
    points = [(permittivity("bruggeman_l", p / 10, solid, structure), p / 10) for p in (2, 5, 8)]
    nodes = correction_of_points(points, solid, structure)
    assert max(map(abs, nodes)) < 1e-3


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (POINTS[:2], "is not a list of 3 to 31 pairs"),
        ([[2.6, 27], [2.1, 46], [1.7]], "is not a pair of numbers"),
        ([[2.6, 27], [2.1, 46], [0.7, 60]], "is no permittivity and porosity"),
        ([[2.6, 27], [2.1, 46], [float("nan"), 60]], "is no permittivity and porosity"),
        ([[2.6, 27], [2.1, 46], [3.4, 20]], "permittivity 3.4 is not between"),
        ([[2.6, 27], [2.1, 46], [1.7, 90]], "beyond what any structure has: 40.9 to 69.6 %"),
        ([[2.6, 27], [2.1, 46], [2.0, 44]], "does not fall with permittivity"),
    ],
)
def test_points_that_cannot_be(points, text):
    with pytest.raises(recipe.RecipeError) as caught:
        recipe.compile_words(with_points(points), recipe.standard_calibration(), "r.toml")
    (problem,) = caught.value.problems
    assert problem.startswith("r.toml: mixing.measured_points: ") and text in problem
    assert problem.endswith(
        "legal: an empty list or 3 to 31 pairs [permittivity, percent porosity]"
    )


def test_points_and_a_law_contradict_each_other():
    tables = with_points(POINTS)
    tables["mixing"]["law"] = "looyenga"
    with pytest.raises(recipe.RecipeError, match="another law than the points'"):
        recipe.compile_words(tables, recipe.standard_calibration())
    tables = with_points(POINTS)
    tables["mixing"]["correction_percent"] = [0.1] * NODES
    with pytest.raises(recipe.RecipeError, match="mixing.measured_points makes the corrections"):
        recipe.compile_words(tables, recipe.standard_calibration())
