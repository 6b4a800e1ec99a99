"""The budget: against the package `uncertainties`, against Monte Carlo, and against the board."""

from __future__ import annotations

import copy
from math import hypot

import numpy as np
import pytest
from uncertainties import ufloat

from gauge import config, record
from gauge.mixture import Mixture
from porogauge.calibrate.budget import (
    Causes,
    Film,
    budget,
    causes,
    coverage,
    linear_from_um,
    monte_carlo,
    sensitivities,
)
from porogauge.calibrate.physics import mixture_permittivity, porosity
from porogauge.recipe import compile_words, standard_calibration, standard_recipe

FILMS = [(t, phi) for t in (12.0, 25.0, 50.0, 150.0) for phi in (0.2, 0.5, 0.75)]
LAYERS = [
    {
        "name": "glue",
        "kind": "adhesive",
        "thickness_um": 10.0,
        "u_thickness_um": 0.5,
        "permittivity": 3.2,
        "u_permittivity": 0.1,
    },
    {
        "name": "skin",
        "kind": "skin",
        "thickness_um": 1.0,
        "u_thickness_um": 0.1,
        "permittivity": 3.3,
        "u_permittivity": 0.03,
        "count": 2,
    },
]


def words(layers=(), **changes):
    recipe, calibration = standard_recipe(), standard_calibration()
    if layers:
        recipe["layer"] = copy.deepcopy(list(layers))
    for path, value in changes.items():
        table, name = path.split("__")
        (recipe if table in recipe else calibration)[table][name] = value
    return compile_words(recipe, calibration)


def film(t, phi, eps_s=3.3, structure=1 / 3):
    return Film(t, phi, eps_s, structure)


@pytest.mark.parametrize(
    ("t", "phi", "by_t", "by_delta", "by_solid", "by_l"),
    [
        (25, 0.5, 0.0300, -0.0623, 0.148, -0.287),
        (5, 0.15, 0.370, -0.570, 0.275, -0.125),
        (150, 0.8, 0.0015, -0.0065, 0.053, -0.203),
    ],
)
def test_sensitivities_are_those_of_the_table(t, phi, by_t, by_delta, by_solid, by_l):
    """physics.md section 3, to its digits."""
    found = sensitivities(film(t, phi))
    assert found["thickness"] == pytest.approx(by_t, abs=6e-4)
    assert found["deficit"] == pytest.approx(by_delta, abs=6e-4)
    assert found["solid"] == pytest.approx(by_solid, abs=6e-4)
    assert found["structure"] == pytest.approx(by_l, abs=6e-4)


@pytest.mark.parametrize(("t", "phi"), FILMS)
def test_porosity_is_propagated_as_the_package_does(t, phi):
    """All causes at once, with the correlations that they have: common drift, layers, L and eps_s.

    The package gets the formulas, not the derivatives.
    """
    w = words(LAYERS, mixing__structure_factor_per_permittivity=0.45, uncertainty__common_um=0.1)
    found = budget(w, t, phi)
    one, eps_s = found.film, ufloat(3.3, 0.03)
    delta = one.deficit_um
    layers = w[config.LAYERS_DELTA_8NM] / 8000
    of = causes(w, delta + layers, scatter_um=0.02)
    glue, skins = ufloat(10, 0.5), 2 * ufloat(1, 0.1)
    x_glue, x_skin = 1 - 1 / ufloat(3.2, 0.1), 1 - 1 / ufloat(3.3, 0.03)
    common = ufloat(0, of.common_um)
    head_u = words(mixing__structure_factor_per_permittivity=0.45)[config.U_DELTA_8NM] / 8000
    read_t = ufloat(t + 12, of.thickness_um) + common
    x = glue.n * x_glue.n + skins.n * x_skin.n
    read_delta = ufloat(delta + x, hypot(head_u, of.converter_um)) + common
    read_delta += (delta + x) * ufloat(0, of.gap)
    t_film = read_t - glue - skins
    delta_film = read_delta - glue * x_glue - skins * x_skin
    structure = ufloat(1 / 3, of.structure) + 0.45 * (eps_s - 3.3)
    phi_film = porosity(t_film, delta_film, eps_s, structure)
    assert phi_film.n == pytest.approx(phi, abs=1e-4)
    assert found.u_porosity == pytest.approx(phi_film.s, rel=2e-3)
    assert found.u_thickness_um == pytest.approx(t_film.s, rel=2e-3)
    assert found.u_permittivity == pytest.approx((t_film / (t_film - delta_film)).s, rel=2e-3)


@pytest.mark.parametrize(("t", "phi"), FILMS)
@pytest.mark.parametrize("layers", [(), LAYERS], ids=["bare", "laminate"])
def test_budget_is_the_boards(t, phi, layers):
    w = words(
        layers,
        mixing__structure_factor_per_permittivity=0.45,
        limits__porosity_u95_max_percent=100,
    )
    found = budget(w, t, phi)
    deficit = found.film.deficit_um + w[config.LAYERS_DELTA_8NM] / 8000
    of = causes(w, deficit, scatter_um=0.02)
    rec = record.new()
    rec[record.THICKNESS_8NM] = round(8000 * t)
    rec[record.DELTA_8NM] = round(8000 * deficit)
    mixture = Mixture(w)
    mixture.follow(23_000, 500_000)
    assert mixture.invert(rec)
    u_delta = hypot(of.deficit_um, of.converter_um, deficit * of.gap)
    mixture.uncertainty(
        rec, round(8000 * of.thickness_um), round(8000 * u_delta), round(8000 * of.common_um)
    )
    assert rec[record.POROSITY_PPM] / 1e6 == pytest.approx(phi, abs=2e-4)
    assert rec[record.U_POROSITY_PPM] / 1e6 == pytest.approx(found.u_porosity, rel=0.01)
    assert rec[record.U_PERMITTIVITY_E4] / 1e4 == pytest.approx(found.u_permittivity, abs=1e-4)


@pytest.mark.parametrize(("t", "phi"), FILMS)
def test_monte_carlo_agrees_where_it_is_linear(t, phi):
    w = words(uncertainty__thickness_um=0.07, uncertainty__deficit_um=0.03)
    found, trial = budget(w, t, phi), monte_carlo(w, t, phi)
    assert trial.u_porosity == pytest.approx(found.u_porosity, rel=0.05)
    assert trial.u95 == pytest.approx(1.96 * found.u_porosity, rel=0.05)
    assert trial.agrees(found)


def test_thin_film_is_said_not_to_be_linear():
    """physics.md section 3: at 5 um, 50 %, a typical head: up to .63, on average 1.4 % low."""
    w = words(
        uncertainty__thickness_um=0.5,
        uncertainty__deficit_um=0.15,
        uncertainty__common_um=0,
        uncertainty__gap_percent=0,
        material__u_permittivity=0.08,
        mixing__u_structure_factor=0.06,
    )
    found, trial = budget(w, 5.0, 0.5), monte_carlo(w, 5.0, 0.5)
    assert not trial.agrees(found)
    assert -trial.low > 1.5 * trial.high
    assert 0.5 + trial.high == pytest.approx(0.63, abs=0.02)
    assert trial.bias == pytest.approx(-0.014, abs=0.005)
    assert found.dominant == "thickness"


@pytest.mark.parametrize("phi", [0.15, 0.5, 0.8])
def test_linear_law_holds_from_a_thickness_on(phi):
    of = Causes(thickness_um=0.19, deficit_um=0.05, solid=0.03, structure=0.02)
    thinnest = linear_from_um(of, 3.3, 1 / 3, phi)
    assert 5 < thinnest < 25
    changes = dict(
        uncertainty__thickness_um=0.19,
        uncertainty__deficit_um=0.05,
        uncertainty__common_um=0,
        uncertainty__gap_percent=0,
    )
    w = words(**changes)

    def bent(t):
        trial = monte_carlo(w, t, phi, scatter_um=0.0)
        return abs(trial.low + trial.high) / (trial.high - trial.low)

    assert bent(thinnest) == pytest.approx(0.05, abs=0.035)
    assert bent(thinnest / 2) > 2 * bent(2 * thinnest)


def test_correction_table_is_in_the_budget():
    table = [round(4.0 * float(np.sin(np.pi * i / 32)), 3) for i in range(33)]
    w = words(mixing__correction_percent=table)
    found, trial = budget(w, 50.0, 0.3), monte_carlo(w, 50.0, 0.3)
    assert trial.bias == pytest.approx(0.0, abs=1e-3)
    assert trial.u_porosity == pytest.approx(found.u_porosity, rel=0.05)
    assert found.u_porosity > 1.03 * budget(words(), 50.0, found.film.porosity).u_porosity


def test_terms_make_up_the_whole():
    found = budget(words(LAYERS), 25.0, 0.5)
    assert found.u_porosity == pytest.approx(hypot(*found.porosity_terms.values()))
    assert found.u_thickness_um == pytest.approx(hypot(*found.thickness_terms.values()))
    assert set(found.porosity_terms) >= {"thickness", "deficit", "layers", "solid", "structure"}


def test_structure_that_follows_the_solid_takes_its_error_back():
    """Samples of 50 % that were fitted with a wrong eps_s are right at 50 %, whatever it was."""
    by = sensitivities(film(25.0, 0.5))
    slope = -by["solid"] / by["structure"]
    assert Causes(solid=0.05, structure_per_solid=slope).u_porosity(film(25.0, 0.5)) < 1e-9
    assert Causes(solid=0.05, structure_per_solid=slope).u_porosity(film(25.0, 0.2)) > 1e-3


def test_inverse_of_the_law():
    phi = np.linspace(0.01, 0.97, 25)
    for structure in (0.0, 0.2, 1 / 3, 0.8, 1.0):
        eps = mixture_permittivity(phi, 3.3, structure)
        t = 40.0
        again = porosity(t, t * (1 - 1 / eps), 3.3, structure)
        assert np.max(np.abs(again - phi)) < 1e-12


def test_coverage_is_that_of_the_normal_law():
    assert coverage(1.0, 1.0) == pytest.approx(0.9545, abs=1e-4)
    assert coverage([1.0, 2.0], [1.0, 1.0]) > coverage(1.0, 1.0)
