"""Grades: claims and verdicts, the recipes that ship, what a check finds in the way of a grade."""

from __future__ import annotations

import tomllib
from datetime import date

import pytest
import roll_data
from hypothesis import given
from hypothesis import strategies as st

from gauge import config
from porogauge import lab, recipe, rolls
from porogauge.book import Book
from porogauge.calibrate.budget import budget
from porogauge.contradictions import permittivity_at
from porogauge.errors import UsageError
from porogauge.forecast import Forecast
from porogauge.grades import GRADES, PROPERTIES, grade, overall, verdicts
from porogauge.recipe_check import refused, review
from porogauge.store import Store
from porogauge.verdict import judge

INDEX = {name: index for index, (name, _, _) in enumerate(config.SPEC)}
CLAIMS = {  # as the film's own description has them
    "base": {"porosity_percent": (15, 80), "mean_pore_um": (0.01, 5)},
    "preferred-pore": {"mean_pore_um": (0.05, 1)},
    "preferred-porosity": {"porosity_percent": (30, 80)},
    "thickness": {"thickness_um": (5, 150)},
    "low-permittivity": {"permittivity": (None, 2.5)},
    "through-pore": {
        "porosity_percent": (30, 80),
        "max_pore_um": (None, 10),
        "thickness_um": (5, 100),
        "air_resistance_s_per_100cc": (30, 2000),
        "heat_resistance_c": (200, None),
        "heat_shrinkage_percent": (None, 1),
    },
}


def shipped(name, **changes):
    """A shipped recipe's tables, single fields ("table__field") changed; None: left out."""
    tables = tomllib.loads(recipe.shipped_recipe(name))
    for path, value in changes.items():
        table, field = path.split("__")
        tables[table][field] = value
        if value is None:
            del tables[table][field]
    return tables


def reviewed(tables, calibration=None, today=None):
    words = recipe.compile_words(tables, calibration or recipe.standard_calibration())
    return review(recipe.normalise("recipe", tables, "r.toml"), words, today)


# ---------------------------------------------------------------- claims and verdicts


@pytest.mark.parametrize("name", CLAIMS)
def test_claims(name):
    for property, (low, high) in CLAIMS[name].items():
        claim = grade(name).claim(property)
        assert (claim.low, claim.high) == (low, high)


@pytest.mark.parametrize(
    ("value", "guard", "outcome"),
    [
        ((48.0, 1.0), 2, "pass"),
        ((17.0, 1.0), 2, "pass"),
        ((16.9, 1.0), 2, "undecided"),
        ((13.1, 1.0), 2, "undecided"),
        ((12.9, 1.0), 2, "fail"),
        ((14.9, 1.0), 0, "fail"),
        ((15.0, 1.0), 0, "pass"),
        ((13.1, 1.0), -2, "pass"),
        ((12.9, 1.0), -2, "fail"),
        ((82.1, 1.0), 2, "fail"),
        ([(48.0, 1.0), (14.0, 1.0), (50.0, 1.0)], 2, "undecided"),
        ([(48.0, 1.0), (14.0, 0.1), (50.0, 1.0)], 2, "fail"),
        ([], 2, "undecided"),
        (None, 2, "undecided"),
    ],
)
def test_verdicts_have_a_guard_band(value, guard, outcome):
    found = verdicts("base", {"porosity_percent": value, "mean_pore_um": (1.0, 0.1)}, guard)
    assert [verdict.outcome for verdict in found] == [outcome, "pass"]
    assert overall(found) == outcome
    if isinstance(value, list) and value:
        assert found[0].segment == 1 and "in segment 2 of 3" in found[0].sentence


@given(st.floats(-50, 150), st.floats(0.001, 20), st.floats(0, 4), st.sampled_from(sorted(GRADES)))
def test_a_wider_guard_never_turns_a_verdict_round(value, u, guard, name):
    """What passes with a guard band passes without one, and what fails does so, too."""
    found = verdicts(name, {"porosity_percent": (value, u)}, guard)
    bare = verdicts(name, {"porosity_percent": (value, u)}, 0)
    for one, other in zip(found, bare, strict=True):
        if one.value is not None and one.outcome != "undecided":
            assert one.outcome == other.outcome


def test_names_that_are_none():
    with pytest.raises(UsageError, match="did you mean 'through-pore'"):
        verdicts("through-pores", {})
    with pytest.raises(ValueError, match="no property; legal: thickness_um"):
        verdicts("base", {"colour": (1, 1)})


def test_the_laboratory_decides_what_layers_hide():
    for name in GRADES:
        metal = "metal" in grade(name).layers
        assert grade(name).in_laboratory("porosity_percent") is metal
        assert grade(name).in_laboratory("mean_pore_um")
        assert not grade(name).in_laboratory("thickness_um")


# ---------------------------------------------------------------- shipped recipes


@pytest.mark.parametrize("name", GRADES)
def test_shipped_recipes_are_good(name):
    """Good for the standard head, of their grade, and complete: the laboratory is asked."""
    tables = shipped(name)
    assert tables["recipe"]["grade"] == name
    assert refused({"recipe": (tables, "r.toml")}) == []
    found = reviewed(tables)
    assert found.errors == []
    assert not any("sampling.properties" in text for text in found.warnings)
    hidden = "metal" in grade(name).layers
    assert found.identity.verdict == ("not_identifiable" if hidden else "indicative")
    for claim in grade(name).claims:
        if not PROPERTIES[claim.property].inline:
            assert claim.property in tables["sampling"]["properties"]
    text = recipe.shipped_recipe(name)
    assert text.startswith("# Recipe for") and max(map(len, text.splitlines())) < 100


def test_shipped_recipes_are_all_there():
    from importlib.resources import files

    folder = files("porogauge") / "data" / "recipes"
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{name}.toml" for name in GRADES)


# ---------------------------------------------------------------- what a check tells


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        (
            "through-pore",
            {"limits__thickness_hihi_um": 120},
            "thickness of 5 to 100 um; legal: up",
        ),
        ("through-pore", {"limits__porosity_lolo_percent": 20}, "30 to 80 %; legal: from 30"),
        (
            "preferred-porosity",
            {
                "film__target_porosity_percent": 25,
                "limits__porosity_lolo_percent": 20,
                "limits__porosity_lo_percent": 20,
            },
            "film.target_porosity_percent (25): grade preferred-porosity promises porosity of 30",
        ),
        ("low-permittivity", {"limits__permittivity_max": 2.6}, "at most 2.5; legal: 1 to 2.5"),
        ("laminate-adhesive", {"recipe__grade": "dense-skin"}, "has a layer of skin, and no"),
        ("base", {"recipe__grade": "laminate-metal"}, "layer.kind: film of grade laminate-metal"),
    ],
)
def test_what_a_grade_does_not_allow_is_refused(name, changes, text):
    tables = shipped(name, **changes)
    found = refused({"recipe": (tables, "r.toml")})
    assert text in "\n".join(found) and all(one.startswith("r.toml: ") for one in found)
    assert "legal: " in found[0]


def test_a_permittivity_that_no_porosity_has():
    tables = shipped("low-permittivity", material__permittivity=20, mixing__structure_factor=0)
    tables["limits"] |= {"porosity_lolo_percent": 0, "porosity_lo_percent": 0}
    del tables["film"]["target_porosity_percent"]
    (text,) = refused({"recipe": (tables, "r.toml")})
    assert "cannot be met even at 80 % porosity" in text


def test_permittivity_that_porosity_does_not_allow():
    """At most 2.5 takes 27.8 % with a solid of 3.3, or flat pores, or a solid of 2.85."""
    tables = shipped(
        "low-permittivity", limits__porosity_lolo_percent=15, limits__porosity_lo_percent=15
    )
    with pytest.raises(recipe.RecipeError) as caught:
        recipe.compile_words(tables, recipe.standard_calibration(), "r.toml")
    (text,) = caught.value.problems
    assert text.startswith("r.toml: limits.permittivity_max (2.5) cannot be met at")
    assert "permittivity of 2.86" in text and "27.8 % or more" in text
    assert "flat pores (L of 0.95 or more)" in text and "a solid of 2.85 or less" in text
    for changes in ({"mixing__structure_factor": 0.96}, {"material__permittivity": 2.8}):
        tables = shipped(
            "low-permittivity",
            limits__porosity_lolo_percent=15,
            limits__porosity_lo_percent=15,
            **changes,
        )
        recipe.compile_words(tables, recipe.standard_calibration())


@pytest.mark.parametrize(("solid", "least"), [(3.2, 25.5), (3.3, 27.8), (3.5, 32.0)])
def test_least_porosity_for_a_permittivity(solid, least):
    tables = shipped("low-permittivity", material__permittivity=solid)
    tables["limits"] |= {"porosity_lolo_percent": 10, "porosity_lo_percent": 10}
    with pytest.raises(recipe.RecipeError, match=f"a porosity of {least}"):
        recipe.compile_words(tables, recipe.standard_calibration())


def test_thin_film_is_indicative_with_its_u95():
    tables = shipped(
        "thickness",
        film__target_thickness_um=5,
        limits__thickness_lolo_um=5,
        limits__thickness_lo_um=5,
        limits__thickness_hi_um=150,
        limits__thickness_hihi_um=150,
        mixing__u_structure_factor=0.02,
    )
    found = reviewed(tables)
    assert found.identity.verdict == "indicative"
    (text,) = [one for one in found.warnings if one.startswith("at 5 um thickness")]
    assert "not reported at 15" in text and "indicative only at" in text and "points" in text
    rows = {(row.thickness_um, row.porosity_percent): row for row in found.rows}
    assert rows[5, 50].verdict == "indicative"
    assert rows[5, 15].verdict == "not_resolvable"
    assert rows[150, 50].verdict == "measured"
    # physics.md section 3, the good budget: 6, 14 and 1.5 points without the offset's share
    assert rows[5, 50].u95_porosity_percent == pytest.approx(7.6, abs=0.5)
    assert rows[5, 15].u95_porosity_percent == pytest.approx(17, abs=1)
    assert rows[150, 50].u95_porosity_percent == pytest.approx(1.5, abs=0.1)
    assert rows[5, 50].u95_thickness_um == pytest.approx(0.44, abs=0.01)
    # ... and its simulation: biased low
    (text,) = [one for one in found.warnings if "not linear" in one]
    assert text.startswith("up to 12 um thickness") and "at 5 um and 15 %" in text
    low, high = rows[5, 15].interval_points
    assert not rows[5, 15].linear and low + high < -5
    assert rows[27, 50].linear and rows[150, 80].linear


@pytest.mark.parametrize("name", GRADES)
def test_the_board_states_what_the_law_of_propagation_gives(name):
    """The board's fixed point against the formula in floating point, layers and all."""
    tables = shipped(name)
    values = recipe.normalise("recipe", tables, "r.toml")
    words = recipe.compile_words(tables, recipe.standard_calibration())
    forecast = Forecast(words)
    hidden = values["layers.porosity"] != "measured"
    for t in (12, 25, 60):
        for percent in (25, 50, 75):
            told = forecast.of(t, permittivity_at(values, percent / 100))
            stated = budget(words, t, percent / 100)
            assert told.u_thickness_um == pytest.approx(stated.u_thickness_um, rel=0.01)
            if not hidden:
                assert told.u_porosity_percent == pytest.approx(
                    100 * stated.u_porosity, rel=0.01, abs=0.01
                )
                assert told.u_permittivity == pytest.approx(
                    stated.u_permittivity, rel=0.02, abs=2e-4
                )


def test_guard_bands_that_leave_nothing():
    tables = shipped("base")
    tables["limits"] |= {"porosity_lo_percent": 45, "porosity_hi_percent": 55}
    assert any("limits.guard_factor (2): porosity" in text for text in reviewed(tables).warnings)


def test_an_assumed_and_an_old_l():
    tables = shipped("base", mixing__u_structure_factor=0.02)
    assert any("L was not fitted" in text for text in reviewed(tables).warnings)
    tables["mixing"]["fitted_on"] = date(2026, 6, 1)
    assert any(
        "92" in t or "days ago" in t for t in reviewed(tables, None, date(2026, 11, 1)).warnings
    )
    found = reviewed(tables, None, date(2026, 7, 1)).warnings
    assert not any("fitted" in text for text in found)


def test_a_converter_at_its_end_has_no_porosity():
    """400 um of adhesive in a gap of 500 um: the capacitance is beyond the converter's range."""
    tables = shipped("laminate-adhesive")
    tables["layer"][0] |= {"thickness_um": 400, "u_thickness_um": 0.1, "u_permittivity": 0.001}
    found = reviewed(tables)
    assert found.identity.verdict == "not_identifiable"
    assert "the converter would be at its end" in found.identity.sentence
    assert {row.verdict for row in found.rows} == {"capacitance_fault"}
    assert any("at its end" in text for text in found.warnings)


def test_a_target_that_the_head_was_not_calibrated_for():
    head = recipe.standard_calibration()
    head["envelope"] |= {"thickness_max_um": 20}
    (text,) = [t for t in reviewed(shipped("base"), head).warnings if "outside_envelope" in t]
    assert text.startswith("film.target_thickness_um (25)") and "5 to 20" in text


def test_layers_as_sums_are_reviewed_as_such():
    words = recipe.compile_words(shipped("laminate-adhesive"), recipe.standard_calibration())
    tables = shipped("base", film__u_thickness_offset_um=None)
    tables["layers"] = recipe.decode_words(words)[0]["layers"]
    found = reviewed(tables)
    assert "by [layers]" in found.identity.sentence and found.identity.u95 > 0.05


def test_what_the_laboratory_is_not_asked():
    found = reviewed(shipped("through-pore", sampling__properties=["max_pore_um"])).warnings
    (text,) = [one for one in found if "laboratory" in one]
    assert "air resistance (30 to 2000 s/100 cc)" in text and "maximum pore" not in text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mixing__valid_thickness_max_um": 20}, "is beyond mixing.valid_thickness_max_um (20)"),
        ({"mixing__valid_porosity_min_percent": 60}, "is beyond mixing.valid_porosity_min_perc"),
        (
            {"mixing__valid_rh_min_percent": 60, "mixing__valid_rh_max_percent": 40},
            "valid_rh_min_percent (60) is not below",
        ),
    ],
)
def test_film_that_l_was_not_fitted_for(changes, text):
    with pytest.raises(recipe.RecipeError) as caught:
        recipe.compile_words(shipped("base", **changes), recipe.standard_calibration())
    assert text in str(caught.value)


# ---------------------------------------------------------------- rolls beyond the fit of L


@pytest.mark.parametrize(
    ("mixing", "text"),
    [
        ({}, ""),
        ({"fitted_on": "2020-01-01"}, "days before the roll"),
        ({"valid_thickness_min_um": 20, "valid_thickness_max_um": 30}, ""),
        ({"valid_porosity_min_percent": 52}, "porosity of 50 to 50 percent"),
        ({"valid_thickness_max_um": 24.5}, "thickness of 25 to 25 um"),
        ({"valid_rh_min_percent": 30}, "rh of 0 to 0 percent"),
    ],
)
def test_a_roll_that_l_was_not_fitted_for_is_undecided(mixing, text, tmp_path):
    tables = recipe.standard_recipe()
    tables["mixing"] |= mixing
    if "valid_thickness_max_um" in mixing or "valid_porosity_min_percent" in mixing:
        tables["film"] = {}
    book = Book(tmp_path / "book")
    with Store(tmp_path / "roll.db") as store:
        words = roll_data.documents(store, recipe=tables)
        roll_data.fill(store, words=words)
        known = {"who": "tests", "why": "order"}
        rolls.start(store, book, "A-1", roll_data.DEVICE, 1, 0, **known)
        rolls.end(store, book, "A-1", 1, 999, **known)
        lab.add(store, book, "A-1", "mean_pore_um", 0.3, u=0.02, **known)
        found = judge(store, rolls.find(store, "A-1"))
    assert found.outcome == ("undecided" if text else "pass")
    assert text in found.claims[0].sentence and all(text in note for note in found.notes)


@pytest.mark.parametrize(("every_m", "note"), [(None, None), (5, None), (2, "2 values are due")])
def test_what_the_sampling_plan_asks_for(every_m, note, tmp_path):
    """5 m of film with one laboratory value of the mean pore size, and none of shrinkage."""
    tables = recipe.standard_recipe()
    tables["sampling"]["properties"] = ["mean_pore_um", "heat_shrinkage_percent"]
    if every_m:
        tables["sampling"]["every_m"] = every_m
    book = Book(tmp_path / "book")
    with Store(tmp_path / "roll.db") as store:
        roll_data.fill(store, words=roll_data.documents(store, recipe=tables))
        known = {"who": "tests", "why": "order"}
        rolls.start(store, book, "A-1", roll_data.DEVICE, 1, 0, **known)
        rolls.end(store, book, "A-1", 1, 999, **known)
        lab.add(store, book, "A-1", "mean_pore_um", 0.3, u=0.02, **known)
        notes = judge(store, rolls.find(store, "A-1")).notes
    assert any("heat_shrinkage_percent: there is no laboratory value" in text for text in notes)
    assert any("mean_pore_um every" in text for text in notes) is bool(note)
    assert note is None or any(note in text for text in notes)
