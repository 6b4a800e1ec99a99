"""Laboratory results: ranges, units, withdrawal, and what they say against the gauge's values."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from roll_data import DEVICE, database, documents, fill

from gauge import record
from porogauge import rolls
from porogauge.book import Book
from porogauge.cli import cli
from porogauge.errors import UsageError
from porogauge.lab import PROPERTIES, LabError, add, compare, results, withdraw
from porogauge.recipe import standard_recipe
from porogauge.segments import segments
from porogauge.store import Store

BY = {"who": "laboratory", "why": "a test"}
DENSITY = 1.42


@pytest.fixture
def store():
    with Store(":memory:") as made:
        recipe = standard_recipe()
        recipe["material"]["density_g_cm3"] = DENSITY
        words = documents(made, recipe)
        fill(made, words=words)
        rolls.start(made, Book(), "A-1", DEVICE, 1, 0, **BY)
        rolls.end(made, Book(), "A-1", 1, 999, **BY)
        yield made


@pytest.mark.parametrize("property", PROPERTIES)
def test_ranges_are_checked_in_the_property_s_own_unit(store, property):
    about = PROPERTIES[property]
    span = (about.high - about.low) * 1e-3
    for value in (about.low, about.high):
        assert add(store, Book(), "A-1", property, value, u=span, **BY).value == value
    for value in (about.low - span, about.high + span, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=f"{property}.*legal: .*{about.high:g}"):
            add(store, Book(), "A-1", property, value, **BY)
    for u in (0, -1, float("nan"), 1e9):
        with pytest.raises(UsageError, match="u = "):
            add(store, Book(), "A-1", property, about.high, u=u, **BY)
    for unit, factor in about.units.items():
        made = add(
            store, Book(), "A-1", property, about.high / factor, u=span / factor, unit=unit, **BY
        )
        assert made.value == pytest.approx(about.high) and made.unit == about.unit
    with pytest.raises(UsageError, match="is not a unit of it; legal"):
        add(store, Book(), "A-1", property, about.high, unit="furlong", **BY)


def test_what_is_wrong_is_named(store):
    with pytest.raises(UsageError, match="did you mean 'mean_pore_um'"):
        add(store, Book(), "A-1", "mean_pore", 1, **BY)
    with pytest.raises(UsageError, match="legal: 0 to 4.995 m"):
        add(store, Book(), "A-1", "mean_pore_um", 1, at_m=5, **BY)
    with pytest.raises(UsageError, match="--method"):
        add(store, Book(), "A-1", "mean_pore_um", 1, method=" ", **BY)
    with pytest.raises(rolls.RollError, match="no roll A-2"):
        add(store, Book(), "A-2", "mean_pore_um", 1, **BY)
    assert results(store, rolls.find(store, "A-1")) == []
    assert [entry["kind"] for entry in Book().audit.entries()] == ["roll", "roll"]


def test_a_wrong_result_is_withdrawn_and_nothing_is_lost(store):
    book = Book()
    made = add(store, book, "A-1", "mean_pore_um", 3.2, u=0.1, method="porometry", **BY)
    add(store, book, "A-1", "mean_pore_um", 0.32, u=0.01, **BY)
    withdraw(store, book, "A-1", made.number, **BY)
    assert [result.value for result in results(store, rolls.find(store, "A-1"))] == [0.32]
    with pytest.raises(LabError, match="no laboratory result 1; there: 2"):
        withdraw(store, book, "A-1", made.number, **BY)
    assert store.query("SELECT count(*) FROM lab") == [(3,)]
    entries = [entry for entry in book.audit.entries() if entry["kind"] == "lab"]
    assert entries[0]["after"]["method"] == "porometry"
    assert entries[2]["before"]["value"] == 3.2 and entries[2]["after"]["value"] is None


def _compared(store, **values):
    for property, value in values.items():
        add(store, Book(), "A-1", property, value, u=value * 1e-3, at_m=2, **BY)
    return compare(store, rolls.find(store, "A-1"))


def test_values_that_agree(store):
    # 25 um, 50 %: 12.5 um of solid
    thickness, porosity, weight, rest = _compared(
        store,
        thickness_um=25.1,
        porosity_percent=50.5,
        basis_weight_g_m2=12.5 * DENSITY * 1.005,
    )
    assert thickness.agrees and porosity.agrees and weight.agrees and rest.agrees
    assert thickness.difference == pytest.approx(0.1)
    assert weight.gauge == pytest.approx(17.75)
    assert "neither thickness nor permittivity" in rest.sentence


def test_a_thickness_error_is_told_from_one_of_permittivity(store):
    # The gauge reads 25 um where there are 26.5: t (1 - phi) moves by a quarter of it only
    # (physics.md section 3), so the basis weight hardly shows it.
    thickness, weight, rest = _compared(
        store, thickness_um=26.5, basis_weight_g_m2=(12.5 - 0.25 * 1.5) * DENSITY
    )
    assert not thickness.agrees
    assert rest.sentence.startswith("a thickness error, not one of permittivity")
    assert abs(rest.difference) < 0.3


def test_a_permittivity_error_is_told_from_one_of_thickness(store):
    # The thickness is right, the film is 6 points denser than the gauge says.
    thickness, weight, rest = _compared(
        store, thickness_um=25, basis_weight_g_m2=25 * 0.56 * DENSITY
    )
    assert thickness.agrees and not weight.agrees
    assert rest.sentence.startswith("an error of permittivity, not of thickness")
    assert rest.difference == pytest.approx(-6, abs=0.1)


def test_both_may_be_off(store):
    found = _compared(store, thickness_um=27, basis_weight_g_m2=27 * 0.6 * DENSITY)
    assert "both off" in found[-1].sentence


def test_a_basis_weight_alone_says_what_it_cannot_tell(store):
    weight, rest = _compared(store, basis_weight_g_m2=25 * 0.58 * DENSITY)
    assert not weight.agrees and "cannot tell" in rest.sentence
    assert "by -8 points" in rest.sentence and "times its standard uncertainty" in rest.sentence


def test_what_cannot_be_compared_says_why(store):
    book = Book()
    add(store, book, "A-1", "thickness_um", 25, **BY)
    (found,) = compare(store, rolls.find(store, "A-1"))
    assert found.agrees is None and "--u" in found.sentence
    with Store(":memory:") as bare:
        fill(bare, change=lambda seq: {"valid": 0, "reason": record.REASON_NOT_PHYSICAL})
        rolls.start(bare, book, "B-1", DEVICE, 1, 0, grade="base", **BY)
        for property in ("thickness_um", "basis_weight_g_m2"):
            add(bare, book, "B-1", property, 20, u=0.1, **BY)
        thickness, weight = compare(bare, rolls.find(bare, "B-1"))
        assert "no valid value" in thickness.sentence and "density" in weight.sentence


def test_the_uncertainty_of_the_solid_knows_what_thickness_and_porosity_have_in_common(store):
    """Against the propagation of t and Delta themselves, both independent, and a common term."""
    from math import sqrt

    from gauge import config

    roll = rolls.find(store, "A-1")
    words = config.unpack(rolls.in_force(store, roll)[0]["blob"])
    solid, share = words[config.SOLID_E6] / 1e6, words[config.STRUCTURE_PPM] / 1e6
    a, b = (1 - share) / (solid - 1), share * solid / (solid - 1)

    def porosity(t, delta):
        return 1 - a * delta / (t - delta) - b * delta / t

    def mass(t, delta):
        return t * (1 - porosity(t, delta))

    def slope(f, t, delta, dt, dd, h=1e-5):
        return (f(t + h * dt, delta + h * dd) - f(t - h * dt, delta - h * dd)) / (2 * h)

    t, delta, u_t, u_d, u_c = 25.0, 12.05, 0.15, 0.05, words[config.U_COMMON_8NM] / 8000
    ways = ((1, 0, u_t), (0, 1, u_d), (1, 1, u_c))
    u_phi = sqrt(sum((slope(porosity, t, delta, dt, dd) * u) ** 2 for dt, dd, u in ways))
    u_s = sqrt(sum((slope(mass, t, delta, dt, dd) * u) ** 2 for dt, dd, u in ways))
    u_all = sqrt(u_t**2 + u_c**2)
    fill(
        store,
        boot=2,
        words=words,
        change=lambda seq: {
            "thickness_8nm": round(8000 * t),
            "solid_8nm": round(8000 * mass(t, delta)),
            "u_thickness_8nm": round(8000 * u_all),
            "u_porosity_ppm": round(1e6 * u_phi),
        },
    )
    rolls.start(store, Book(), "U", DEVICE, 2, 0, **BY)
    (piece,) = segments(store, rolls.find(store, "U"), 100)
    assert piece.solid_um[1] == pytest.approx(u_s, rel=0.01)


# ---------------------------------------------------------------- command line


def run(*arguments, code=0):
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_line(tmp_path):
    db = database(tmp_path / "line.db")
    run("roll", "start", "A-1", "--db", db, "--boot", 1, "--seq", 0)
    told = json.loads(
        run(
            *("lab", "add", "A-1", "air_resistance_s_per_100cc", 310, "--u", 8),
            *("--method", "ISO 5636-5", "--operator", "shift 2", "--instrument", "no. 4"),
            *("--at-m", 2.5, "--by", "laboratory", "--why", "order 8", "--json"),
        )
    )
    assert told["event"] == "lab_added" and told["number"] == 1 and told["unit"] == "s/100 cc"
    assert "at 2.5 m, ISO 5636-5, shift 2, no. 4" in run("lab", "list", "A-1")
    run("lab", "add", "A-1", "thickness_um", 25.2, "--u", 0.1)
    assert "they agree" in run("lab", "compare", "A-1", "--span", 0.5)
    run("lab", "add", "A-1", "thickness", 25.2, code=2)
    run("lab", "add", "A-1", "thickness_um", 25200, code=2)
    assert "no uncertainty" in run("lab", "add", "A-1", "mean_pore_um", 0.3)
    run("lab", "withdraw", "A-1", 3, "--why", "no uncertainty")
    run("lab", "withdraw", "A-1", 3, code=1)
    assert len(run("lab", "list", "A-1", "--db", db).splitlines()) == 2
    assert run("audit", "show", "--kind", "lab").count("lab: A-1") == 4
