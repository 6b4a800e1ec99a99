"""Films with known layers on them, and what a record tells of the reference in force."""

from __future__ import annotations

import film_reference as ref
import numpy as np
import pytest
from film_program import FILM, flags, one, reason
from film_reference import FIELD, NM, UM, ideal_record, words

from gauge import kernels, record


@pytest.fixture(scope="module")
def program(unix32):
    with unix32.load(FILM) as program:
        yield program


def on_film(values, t_um, phi, layers_um, delta_um):
    """The record of a film with layers of that thickness and deficit altogether."""
    eps = ref.permittivity(phi, 3.3, 0.333333)
    delta = (t_um * (1 - 1 / eps) + delta_um) * UM
    gap = ref.word(values, "gap_8nm")
    rec = ideal_record((t_um + layers_um) * UM, phi, values)
    c = ref.word(values, "c0_af") * gap / (gap - delta)
    rec[FIELD["cap_code"]] = int(ref.cap_codes(np.array([c]), values)[0])
    return rec


def test_known_layers_are_taken_off(program):
    """10 um of adhesive of permittivity 3.2 on a film of 25 um, 50 % porous (physics.md 4)."""
    layers, delta = 10 * UM, round(10 * UM * (1 - 1 / 3.2))
    values = words(layers_8nm=layers, layers_delta_8nm=delta)
    program.call("configure", values)
    rec = on_film(values, 25, 0.5, 10, 10 * (1 - 1 / 3.2))
    fields = one(program, rec)
    assert reason(fields) == "ok"
    assert abs(fields["thickness_8nm"] - 25 * UM) < 40 * NM
    assert abs(fields["porosity_ppm"] - 500_000) < 2000
    assert abs(fields["permittivity_e4"] - 19_300) < 60
    assert abs(fields["delta_8nm"] - delta - 25 * UM * (1 - 1 / 1.92998)) < 8 * NM
    program.call("configure", words())  # not known of: 35 um, and denser
    fields = one(program, rec)
    assert abs(fields["thickness_8nm"] - 35 * UM) < 40 * NM
    assert fields["porosity_ppm"] < 400_000


def test_thinner_than_its_layers_is_not_physical(program):
    values = words(layers_8nm=30 * UM, layers_delta_8nm=10 * UM)
    program.call("configure", values)
    fields = one(program, ideal_record(25 * UM, 0.5, values))
    assert (reason(fields), fields["valid"]) == ("not_physical", 0)


def test_film_that_its_layers_hide_has_a_thickness_alone(program):
    """Alumina of 635 um would need a larger gap; 100 um do."""
    values = words(porosity_mode=1, layers_8nm=100 * UM, layers_delta_8nm=90 * UM)
    program.call("configure", values)
    fields = one(program, on_film(values, 25, 0.5, 100, 90))
    assert (reason(fields), fields["valid"]) == ("not_identifiable", record.VALID_THICKNESS)
    assert flags(fields) == []
    assert abs(fields["thickness_8nm"] - 25 * UM) < 40 * NM
    assert fields["porosity_ppm"] == fields["permittivity_e4"] == fields["solid_8nm"] == 0
    rec = ideal_record(25 * UM, 0.5, values)
    rec[FIELD["cap_code"]] = int(ref.cap_codes(np.array([5_566_000.0]), values)[0])
    assert reason(one(program, rec)) == "no_film"


@pytest.mark.parametrize(
    "c, expected, valid",
    [
        (0, "not_identifiable", 1),  # at the converter's lower end
        (2_000_000, "not_identifiable", 1),
        (2_700_000, "not_identifiable", 1),
        (2_900_000, "no_film", 0),  # a web that comes in
        (5_566_000, "no_film", 0),
        (5_700_000, "not_physical", 1),  # a film that lacks its metal
    ],
)
def test_film_with_a_grounded_metal(program, c, expected, valid):
    values = words(porosity_mode=2, layers_8nm=9 * UM, layers_delta_8nm=9 * UM)
    program.call("configure", values)
    rec = ideal_record(34 * UM, 0.5, values)
    rec[FIELD["cap_code"]] = int(ref.cap_codes(np.array([float(c)]), values)[0])
    fields = one(program, rec)
    assert (reason(fields), fields["valid"]) == (expected, valid)
    if valid:
        assert abs(fields["thickness_8nm"] - 25 * UM) < 40 * NM
    rec[FIELD["cap_code"]] = 0xFFFFFF  # the upper end is a fault all the same
    assert reason(one(program, rec)) == "capacitance_fault"
    rec[FIELD["cap_code"]] = 0
    rec[FIELD["a_n"]] = 0
    fields = one(program, rec)
    assert (reason(fields), fields["valid"]) == ("laser_a_fault", 0)


# -- the reference -------------------------------------------------------------------------------


def test_a_record_tells_the_reference_it_was_computed_with(program):
    """From what is in a record, and the words, another film computes the same numbers."""
    values = words(d_temp_8nm_per_k=9200, gap_temp_8nm_per_k=9200, u_c_af=40)
    program.call("configure", values)
    found = {
        "C0_AF": 5_570_000,
        "C0_FRAME_MC": 23_400,
        "D_8NM": 2001 * UM,
        "D_FRAME_MC": 23_600,
        "U_D_8NM": 77,
        "WINDOWS": 45,
    }
    for name, value in found.items():
        program.call("refer", name, value)
    rec = program.call("compute", ideal_record(25 * UM, 0.5, values, frame_mc=25_000))
    fields = dict(zip(record.FIELD_NAMES, rec, strict=True))
    back = {
        "C0_AF": fields["c0_af"],
        "C0_FRAME_MC": fields["c0_frame_mc"],
        "D_8NM": fields["d_8nm"] - kernels.per_kelvin(9200, 25_000 - fields["d_frame_mc"]),
        "D_FRAME_MC": fields["d_frame_mc"],
        "U_D_8NM": fields["u_d_8nm"],
        "WINDOWS": fields["standard_windows"],
    }
    assert back == found
    program.call("configure", values)
    again = list(rec)
    for name in record.FIELD_NAMES[record.C0_AF :]:
        again[FIELD[name]] = 0
    assert program.call("compute", again) != rec
    for name, value in back.items():
        program.call("refer", name, value)
    assert program.call("compute", again) == rec
