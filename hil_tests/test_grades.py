"""Every grade of film with its shipped recipe: a roll that keeps its claims, one that breaks one.

The recipe is the one that `porogauge recipe init --grade` writes; the head is calibrated exactly.
The gauge measures the film of scenarios/grades/GRADE_kept.toml and GRADE_broken.toml on the 32-bit
runtime, the laboratory says what the gauge cannot see, and the roll's verdict is read.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from porogauge import grades, lab, rolls
from porogauge.book import Book
from porogauge.recipe import compile_words, content_id, dumps, normalise, shipped_recipe
from porogauge.verdict import judge
from porogauge_bench.calibration import exact_files
from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario

SCENARIOS = Path(__file__).resolve().parent / "scenarios" / "grades"
LABORATORY = {  # of film that keeps its grade: value and its standard uncertainty
    "mean_pore_um": (0.4, 0.02),
    "max_pore_um": (3.0, 0.2),
    "air_resistance_s_per_100cc": (400.0, 15.0),
    "heat_resistance_c": (280.0, 5.0),
    "heat_shrinkage_percent": (0.4, 0.05),
    "porosity_percent": (50.0, 1.0),
}
BROKEN = {  # grade -> claim that its broken roll breaks, and what the laboratory says of that
    "base": ("porosity_percent", None),
    "preferred-pore": ("mean_pore_um", (2.0, 0.1)),
    "preferred-porosity": ("porosity_percent", None),
    "thickness": ("thickness_um", None),
    "low-permittivity": ("permittivity", None),
    "through-pore": ("air_resistance_s_per_100cc", (2600.0, 90.0)),
    "dense-skin": ("porosity_percent", None),
    "laminate-adhesive": ("porosity_percent", None),
    "laminate-metal": ("thickness_um", None),
    "laminate-substrate-metal": ("porosity_percent", (9.0, 1.0)),
}


def measured(scenario, grade, book):
    """Run a scenario with the grade's recipe and make a roll of what was measured."""
    recipe = tomllib.loads(shipped_recipe(grade))
    calibration = exact_files(scenario)[1]
    run = Run(scenario, "unix32")
    run.target.on_link = run._from_board
    try:
        run.boot()
        run.configure(compile_words(recipe, calibration))
        run.run_until(round(scenario.run.duration_s * 1e9))
        run.drain()
    finally:
        run.target.stop()
    for kind, tables in (("recipe", recipe), ("calibration", calibration)):
        id = content_id(kind, normalise(kind, tables, kind))
        run.store.document(kind, id, tables[kind]["name"], dumps(kind, tables, comments=False))
    rows = [row for row in run.records() if row["state"] == "measuring"]
    device, boot, _ = rolls.newest(run.store)
    known = {"who": "tests", "why": "grade"}
    rolls.start(run.store, book, grade, device, boot, rows[0]["seq"], **known)
    rolls.end(run.store, book, grade, boot, rows[-1]["seq"], **known)
    return run, rows


def verdict(run, grade, book, instead=None):
    """Laboratory values in, verdict out; `instead`: property -> value that differs."""
    for claim in grades.GRADES[grade].claims:
        if grades.GRADES[grade].in_laboratory(claim.property):
            value, u = (instead or {}).get(claim.property) or LABORATORY[claim.property]
            known = {"u": u, "who": "tests", "why": "grade"}
            lab.add(run.store, book, grade, claim.property, value, **known)
    return judge(run.store, rolls.find(run.store, grade))


@pytest.mark.parametrize("grade", grades.GRADES)
def test_film_that_keeps_its_grade_passes(grade, book):
    scenario = Scenario.load(SCENARIOS / f"{grade}_kept.toml")
    run, rows = measured(scenario, grade, Book(book))
    found = verdict(run, grade, Book(book))
    assert found.outcome == "pass", [claim.sentence for claim in found.claims]
    assert {claim.property for claim in found.claims} == {
        claim.property for claim in grades.GRADES[grade].claims
    }
    hidden = "metal" in grades.GRADES[grade].layers
    for row in rows[5:-5]:
        assert row["thickness_nm"] == pytest.approx(25_000, abs=1000)
        if hidden:
            assert row["porosity_ppm"] is None and row["reason"] == "not_identifiable"
        else:
            assert row["porosity_ppm"] == pytest.approx(500_000, abs=40_000)
    assert "good" in rows[len(rows) // 2]["outputs"]  # the reject relay is energised


@pytest.mark.parametrize("grade", grades.GRADES)
def test_film_that_breaks_its_grade_fails_for_that(grade, book):
    broken, laboratory = BROKEN[grade]
    scenario = Scenario.load(SCENARIOS / f"{grade}_broken.toml")
    run, rows = measured(scenario, grade, Book(book))
    found = verdict(run, grade, Book(book), {broken: laboratory})
    assert found.outcome == "fail"
    outcomes = {claim.property: claim.outcome for claim in found.claims}
    assert outcomes.pop(broken) == "fail"
    assert set(outcomes.values()) <= {"pass"}, [claim.sentence for claim in found.claims]
    if laboratory is None and broken != "permittivity":  # the gauge rejects it on the line
        assert "good" not in rows[len(rows) // 2]["outputs"]
