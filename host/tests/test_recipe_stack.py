"""Layers on the film: the numbers of physics.md section 4, the words of the board, the files."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from math import hypot

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge import config
from porogauge import recipe
from porogauge.forecast import Forecast
from porogauge.recipe_check import review
from porogauge.recipe_fields import LAYER
from porogauge.stack import (
    LAYER_KINDS,
    Film,
    Layer,
    identifiability,
    layer_effect,
    layer_words,
    porosity_mode,
    skin_bias,
)

FILM = Film(25, 0.5, 3.3, 1 / 3)
GLUE = {
    "name": "glue",
    "kind": "adhesive",
    "thickness_um": 10,
    "u_thickness_um": 0.5,
    "permittivity": 3.2,
    "u_permittivity": 0.1,
}
METAL = {"name": "copper", "kind": "metal", "thickness_um": 9, "u_thickness_um": 0.1}
INDEX = {name: index for index, (name, _, _) in enumerate(config.SPEC)}


def layer(kind, thickness, u=None, permittivity=None, u_permittivity=0, count=1, name="layer"):
    exact = [None if x is None else Decimal(str(x)) for x in (thickness, u, permittivity)]
    return Layer(name, kind, *exact, Decimal(str(u_permittivity)), count)


def with_layers(*layers, **changes):
    """The standard recipe with layers and without limits on porosity."""
    tables = recipe.standard_recipe()
    tables["layer"] = [dict(one) for one in layers]
    for path, value in changes.items():
        table, name = path.split("__")
        tables.setdefault(table, {})[name] = value
    return tables


def without_porosity_limits(tables):
    tables["limits"] = {n: v for n, v in tables["limits"].items() if "porosity_" not in n} | {
        "porosity_u95_max_percent": 10
    }
    return tables


def problems(tables):
    with pytest.raises(recipe.RecipeError) as caught:
        recipe.compile_words(tables, recipe.standard_calibration(), ("r.toml", "c.toml"))
    return caught.value.problems


# ---------------------------------------------------------------- physics.md section 4


def test_adhesive():
    """10 um of 3.2: 0.0128 per um and 0.061 per unit; 0.5 um and 0.1 are 0.64 and 0.6 points."""
    glue = layer("adhesive", 10, 0.5, 3.2, 0.1)
    assert layer_effect(FILM, glue, thickness_um=0.01) / 0.01 == pytest.approx(-0.0128, abs=5e-5)
    by_permittivity = layer_effect(FILM, glue, ratio=0.001 / 3.2**2) / 0.001
    assert by_permittivity == pytest.approx(-0.061, abs=5e-4)
    found = identifiability([glue], FILM)
    assert found.verdict == "identifiable"
    assert found.u95 / 2 == pytest.approx(hypot(0.0064, 0.006), abs=3e-4)


def test_alumina():
    """635 um: 5 um are 13 points, 0.2 are 8: not identifiable; premeasured spots: 2.1 points."""
    alumina = layer("substrate", 635, 5, 9.8, 0.2, name="alumina")
    assert layer_effect(FILM, alumina, thickness_um=0.05) * 100 == pytest.approx(-0.13, abs=0.002)
    by_permittivity = layer_effect(FILM, alumina, ratio=0.002 / 9.8**2) * 100
    assert by_permittivity == pytest.approx(-0.082, abs=0.001)
    found = identifiability([alumina], FILM)
    assert found.verdict == "not_identifiable" and "alumina" in found.sentence
    assert layer_words([alumina], "film", FILM)["porosity_mode"] == 1
    premeasured = layer("substrate", 635, 0.2, 9.8, 0.05)
    found = identifiability([premeasured], FILM)
    assert found.u95 / 2 == pytest.approx(0.021, abs=0.001) and found.verdict == "identifiable"


@pytest.mark.parametrize(
    ("total", "bias", "error"), [(25, 1.3, 0.6), (10, 2.9, 1.7), (5, 4.7, 4.9)]
)
def test_skins(total, bias, error):
    """Two skins of 1 um: what ignoring them adds, and what 0.2 um of each do to the core."""
    skins = layer("skin", 1, 0.2, 3.3, count=2)
    core = total - 2
    average = Film(total, 0.5 * core / total, 3.3, 1 / 3)
    assert 100 * skin_bias([skins], average) == pytest.approx(bias, abs=0.06)
    inner = Film(core, 0.5, 3.3, 1 / 3)
    effects = [100 * abs(layer_effect(inner, skins, thickness_um=dt)) for dt in (0.4, -0.4)]
    assert max(effects) == pytest.approx(error, abs=0.06)


def test_a_skin_ignored_reads_47_3():
    average = Film(25, 0.46, 3.3, 1 / 3)
    bias = skin_bias([layer("skin", 1, None, 3.3, count=2)], average)
    assert 100 * (0.46 + bias) == pytest.approx(47.3, abs=0.05)


def test_metal():
    """A floating foil leaves the gap; wide metal, or metal on both faces, hides the film."""
    foil = layer("floating_metal", 9, 0.1)
    assert foil.ratio == 1
    words = layer_words([foil], "film", FILM)
    assert words["layers_delta_8nm"] == words["layers_8nm"] == 72_000
    assert words["porosity_mode"] == 0
    # d = g - T + sum of t/eps: the foil's thickness is all that it does, whatever film there is
    assert layer_effect(FILM, foil, thickness_um=0.1) == pytest.approx(
        FILM.invert(25.1, FILM.deficit_um + 0.1) - 0.5
    )
    wide = layer("metal", 9, 0.1, name="copper")
    both = layer("floating_metal", 9, 0.1, count=2)
    for stack, mode, word in (
        ([wide], 2, "shields"),
        ([wide, layer("substrate", 50, 0.5, 3.2)], 2, "with its substrate"),
        ([layer("metal", 9, 0.1, count=2)], 2, "both faces"),
        ([both], 1, "both faces"),
    ):
        assert porosity_mode(stack) == mode
        found = identifiability(stack, FILM)
        assert found.verdict == "not_identifiable" and found.u95 is None
        assert word in found.sentence and "before metallising" in found.sentence
    assert FILM.by_delta() == pytest.approx(0.062, abs=5e-4)  # of a datum, one to one


# ---------------------------------------------------------------- words


def test_words_are_the_sums():
    glue = layer("adhesive", 10, 0.5, 3.2, 0.1)
    skins = layer("skin", 1, 0.2, 3.3, 0.05, count=2)
    words = layer_words([glue, skins], "film", FILM)
    x = (1 - 1 / 3.2, 1 - 1 / 3.3)
    u = (0.5, 0.4)  # two skins of one process: their errors add up
    s0, s1, s2 = (sum(x[i] ** p * u[i] ** 2 for i in range(2)) for p in range(3))
    by_eps = (10 * 0.1 / 3.2**2, 2 * 0.05 / 3.3**2)
    assert words["layers_8nm"] == 96_000
    assert words["layers_delta_8nm"] == round(8000 * (10 * x[0] + 2 * x[1]))
    assert words["u_layers_8nm"] == round(8000 * s0**0.5)
    assert words["u_layers_ratio_ppm"] == round(1e6 * s1 / s0)
    rest = s2 - s1**2 / s0 + by_eps[0] ** 2 + by_eps[1] ** 2
    assert words["u_layers_delta_8nm"] == round(8000 * rest**0.5)


def test_an_uncertain_offset_is_a_layer_of_air():
    words = layer_words([], u_offset_um=Decimal("0.1"))
    assert words["u_layers_8nm"] == 800 and words["u_layers_ratio_ppm"] == 0
    tables = with_layers(film__u_thickness_offset_um=0.1)
    compiled = recipe.compile_words(tables, recipe.standard_calibration())
    assert compiled[INDEX["u_layers_8nm"]] == 800 and compiled[INDEX["porosity_mode"]] == 0


def test_the_board_states_what_a_simulation_finds():
    """u of porosity through adhesive and skins: the board's words against 20 000 drawn stacks."""
    draw = np.random.default_rng(3)
    told = []
    for dt, de, dt2, de2 in draw.normal(size=(20_000, 4)):
        t = FILM.thickness_um + 0.5 * dt + 0.4 * dt2
        delta = FILM.deficit_um
        delta += (10 + 0.5 * dt) * (1 - 1 / (3.2 + 0.1 * de)) - 10 * (1 - 1 / 3.2)
        delta += (2 + 0.4 * dt2) * (1 - 1 / (3.3 + 0.05 * de2)) - 2 * (1 - 1 / 3.3)
        told.append(FILM.invert(t, delta))
    simulated = 100 * np.std(told)
    bare = recipe.standard_recipe()
    tables = with_layers(
        GLUE,
        {
            "name": "skin",
            "kind": "skin",
            "thickness_um": 1,
            "u_thickness_um": 0.2,
            "permittivity": 3.3,
            "u_permittivity": 0.05,
            "count": 2,
        },
    )
    u = [
        Forecast(recipe.compile_words(one, recipe.standard_calibration()))
        .of(25, FILM.permittivity)
        .u_porosity_percent
        for one in (bare, tables)
    ]
    assert (u[1] ** 2 - u[0] ** 2) ** 0.5 == pytest.approx(simulated, rel=0.05)


def test_the_board_tells_the_film_without_its_layers():
    tables = with_layers(GLUE, {**METAL, "kind": "floating_metal"})
    told = Forecast(recipe.compile_words(tables, recipe.standard_calibration())).of(
        25, FILM.permittivity
    )
    assert told.thickness_um == pytest.approx(25, abs=0.005)
    assert told.porosity_percent == pytest.approx(50, abs=0.02)
    hidden = without_porosity_limits(with_layers(METAL))
    told = Forecast(recipe.compile_words(hidden, recipe.standard_calibration())).of(
        25, FILM.permittivity
    )
    assert told.thickness_um == pytest.approx(25, abs=0.005)
    assert told.valid == ("thickness",) and told.reason == "not_identifiable"


def test_the_average_covers_the_bias_of_its_skins():
    skins = {"name": "skin", "kind": "skin", "thickness_um": 1, "permittivity": 3.3, "count": 2}
    tables = with_layers(skins, stack__report="average")
    words = recipe.compile_words(tables, recipe.standard_calibration())
    assert words[INDEX["layers_8nm"]] == 0 and words[INDEX["porosity_mode"]] == 0
    film = Film(25, 0.5, 3.3, 0.333333)
    bias = skin_bias([layer("skin", 1, None, 3.3, count=2)], film)
    assert words[INDEX["u_layers_delta_8nm"]] == pytest.approx(
        8000 * bias / film.by_delta(), abs=1
    )
    found = identifiability([layer("skin", 1, None, 3.3, count=2)], FILM, "average")
    assert found.verdict == "average_only" and found.u95 == pytest.approx(2 * bias, rel=1e-4)
    glued = identifiability([layer("adhesive", 10, 0.5, 3.2, name="glue")], FILM, "average")
    assert glued.verdict == "not_identifiable" and "'glue'" in glued.sentence


def test_indicative_through_a_layer_that_is_known_so_so():
    found = identifiability([layer("adhesive", 10, 2.5, 3.2)], FILM)
    assert found.verdict == "indicative" and 0.05 < found.u95 < 0.1


# ---------------------------------------------------------------- files


def test_layers_are_written_read_and_part_of_the_id():
    tables = with_layers(GLUE, {**METAL, "kind": "floating_metal"})
    text = recipe.dumps("recipe", tables)
    back = tomllib.loads(text, parse_float=Decimal)
    calibration = recipe.standard_calibration()
    words = recipe.compile_words(tables, calibration)
    assert recipe.compile_words(back, calibration) == words
    other = with_layers(GLUE, {**METAL, "kind": "floating_metal", "name": "foil"})
    assert recipe.compile_words(other, calibration)[INDEX["recipe_id"]] != words[0]
    ids = {
        recipe.compile_words(one, calibration)[INDEX["recipe_id"]]
        for one in (tables, other, with_layers(GLUE), with_layers())
    }
    assert len(ids) == 4
    assert recipe.compile_words(with_layers(), calibration) == recipe.compile_words(
        recipe.standard_recipe(), calibration
    )


def test_what_the_board_has_of_layers_comes_back_as_sums():
    words = recipe.compile_words(with_layers(GLUE), recipe.standard_calibration())
    shown, head = recipe.decode_words(words)
    assert shown["layers"]["thickness_um"] == 10
    assert shown["layers"]["deficit_um"] == pytest.approx(6.875)
    assert shown["layers"]["porosity"] == "measured" and "layer" not in shown
    missing = {"recipe": recipe.standard_recipe()["recipe"]}
    missing["material"] = {**recipe.standard_recipe()["material"], **shown["material"]}
    again = recipe.compile_words(shown | missing, recipe.standard_calibration())
    id = INDEX["recipe_id"]
    assert [w for i, w in enumerate(again) if i != id][: INDEX["a_map_00_8nm"]] == [
        w for i, w in enumerate(words) if i != id
    ][: INDEX["a_map_00_8nm"]]


def test_stating_a_thing_twice_is_refused():
    (problem,) = problems(with_layers(GLUE, layers__thickness_um=10))
    assert problem.startswith("r.toml: layers.thickness_um: [[layer]] is stated")
    (problem,) = problems(with_layers(layers__u_ratio=0.1, film__u_thickness_offset_um=0.1))
    assert "[layers] has film.u_thickness_offset_um in it" in problem


@pytest.mark.parametrize("name", ["name", "kind", "thickness_um", "permittivity"])
def test_a_missing_field_of_a_layer_is_named(name):
    table = {k: v for k, v in GLUE.items() if k != name}
    (problem,) = problems(with_layers(table))
    assert problem == f"r.toml: layer 1.{name} is missing; legal: {LAYER['layer.' + name].legal}"


@pytest.mark.parametrize("field", LAYER.values(), ids=lambda field: field.name)
def test_a_wrong_value_of_a_layer_is_refused_with_the_range(field):
    wrong = [None, True, {}, [1]]
    if field.kind in ("number", "integer"):
        low, high = field.range()
        wrong += ["7", low - 1, high + 1, float("nan")]
    else:
        wrong += [7, "no such kind"] if field.kind == "choice" else [7, ""]
    for value in wrong:
        (problem,) = problems(with_layers(GLUE | {field.name: value}))
        assert problem.startswith(f"r.toml: layer 1.{field.name}: ")
        assert problem.endswith(f"legal: {field.legal}")


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        (with_layers(GLUE | {"thicknes_um": 1}), "is not a field of a layer (did you mean 'thic"),
        (with_layers(GLUE, GLUE), "layer.name: 'glue' is there twice"),
        (with_layers(METAL | {"permittivity": 3}), "layer 1.permittivity: a metal has none"),
        (recipe.standard_recipe() | {"layer": GLUE}, "write [[layer]]"),
        (recipe.standard_recipe() | {"layer": [7]}, "layer 1 must be a table"),
        (with_layers(METAL), "limits.porosity_hihi_percent (65): would never act. The metal"),
        (
            with_layers({k: v for k, v in GLUE.items() if k != "u_thickness_um"}),
            "layer 1.u_thickness_um: how thick 'glue' is, is not known",
        ),
        (
            with_layers(
                {"name": "alumina", "kind": "substrate", "thickness_um": 400}
                | {"u_thickness_um": 5, "permittivity": 9.8, "u_permittivity": 0.2}
            ),
            "would never act. The layers are not known well enough",
        ),
        (
            with_layers(GLUE | {"thickness_um": 480, "u_permittivity": 0}),
            "with 480 um of other layers on the film: does not fit into the gap",
        ),
    ],
)
def test_contradictions_of_layers(tables, text):
    assert text in "\n".join(problems(tables))


@st.composite
def drawn_layers(draw):
    found = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(sorted(LAYER_KINDS)))
        one = {"name": str(number), "kind": kind}
        for name in ("thickness_um", "u_thickness_um", "permittivity", "u_permittivity"):
            low, high = LAYER[f"layer.{name}"].range()
            usual = st.decimals(low, min(high, 20), places=3)
            one[name] = draw(st.one_of(usual, st.decimals(low, high, places=3)))
        if "metal" in kind:
            del one["permittivity"], one["u_permittivity"]
        if draw(st.booleans()):
            one["count"] = draw(st.integers(1, 10))
        if draw(st.integers(0, 5)) == 0:
            del one["u_thickness_um"]
        found.append(one)
    return found


@settings(max_examples=300)
@given(drawn_layers(), st.sampled_from(["film", "average"]))
def test_every_stack_compiles_or_is_refused_by_name(layers, report):
    """Whatever lies on the film: words that the board takes and a review, or an error."""
    tables = without_porosity_limits(with_layers(*layers, stack__report=report))
    try:
        words = recipe.compile_words(tables, recipe.standard_calibration(), "r.toml")
    except recipe.RecipeError as error:
        assert all("layer" in text for text in error.problems)
        return
    values = recipe.normalise("recipe", tables, "r.toml")
    found = review(values, words)
    measured = words[INDEX["porosity_mode"]] == 0
    assert measured or found.identity.verdict == "not_identifiable"
    assert {row.verdict == "not_identifiable" for row in found.rows} == {not measured}


def test_sums_that_the_board_cannot_hold_are_refused():
    glue = GLUE | {"thickness_um": 30, "u_thickness_um": 100, "count": 10}
    text = "\n".join(problems(without_porosity_limits(with_layers(glue))))
    assert "layers.u_thickness_um: the layers together make 1000; legal: 0 to 100 mic" in text


def test_skins_that_leave_no_core_hide_the_average():
    skins = {"name": "skin", "kind": "skin", "thickness_um": 7, "permittivity": 3.3, "count": 2}
    tables = with_layers(skins, stack__report="average")
    (problem,) = problems(tables)
    assert "would never act. Skins of 14 um in 25 um of film bias" in problem
    words = recipe.compile_words(without_porosity_limits(tables), recipe.standard_calibration())
    assert words[INDEX["porosity_mode"]] == 1 and words[INDEX["layers_8nm"]] == 0
    assert skin_bias([layer("skin", 7, None, 3.3, count=2)], FILM) == 1


def test_an_average_needs_the_film_that_is_aimed_at():
    tables = with_layers(GLUE | {"kind": "skin"}, stack__report="average")
    del tables["film"]["target_porosity_percent"]
    assert 'stack.report: "average" needs film.target_thickness_um' in problems(tables)[0]
