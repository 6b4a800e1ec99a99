"""Records in user units."""

import pytest

from gauge import health, record
from porogauge import units


def make(**fields):
    words = record.new()
    for name, value in fields.items():
        words[record.FIELD_NAMES.index(name)] = value
    return words


def test_keys_are_the_documented_ones():
    assert list(units.decode(record.new())) == list(units.FIELDS)


def test_valid_record():
    row = units.decode(
        make(
            seq=7,
            t_s=12,
            t_us=345_678,
            position_mm=-3,
            state=record.STATE_MEASURING,
            state_reason=record.REASON_FILM_PRESENT,
            valid=record.VALID_ALL,
            flags=record.FLAG_THICKNESS_HI | record.FLAG_OVERRUN,
            outputs=record.OUT_GOOD,
            thickness_8nm=200_001,
            permittivity_e4=19_300,
            porosity_ppm=500_123,
            solid_8nm=100_000,
            u_thickness_8nm=1500,
            u_porosity_ppm=9000,
            u_permittivity_e4=41,
            frame_mc=-1500,
            rh_ppm=456_000,
        ),
        boot=9,
    )
    assert row["boot"] == 9 and row["seq"] == 7 and row["t_us"] == 12_345_678
    assert row["position_mm"] == -3
    assert row["state"] == "measuring" and row["state_reason"] == "film_present"
    assert row["flags"] == ["thickness_hi", "overrun"] and row["outputs"] == ["good"]
    assert row["valid"] is True and row["reason"] == "ok"
    assert row["thickness_nm"] == 25_000.125 and row["u_thickness_nm"] == 187.5
    assert row["permittivity_e4"] == 19_300 and row["u_permittivity_e4"] == 41
    assert row["porosity_ppm"] == 500_123 and row["u_porosity_ppm"] == 9000
    assert row["solid_nm"] == 12_500.0
    assert row["frame_c"] == -1.5 and row["rh_percent"] == 45.6


@pytest.mark.parametrize(
    ("bit", "names"),
    [
        (record.VALID_THICKNESS, {"thickness_nm", "u_thickness_nm"}),
        (record.VALID_PERMITTIVITY, {"permittivity_e4", "u_permittivity_e4"}),
        (record.VALID_POROSITY, {"porosity_ppm", "u_porosity_ppm"}),
        (record.VALID_SOLID, {"solid_nm"}),
    ],
)
def test_a_number_that_is_not_valid_is_none(bit, names):
    every = {
        *("thickness_nm", "u_thickness_nm", "permittivity_e4", "u_permittivity_e4"),
        *("porosity_ppm", "u_porosity_ppm", "solid_nm"),
    }
    row = units.decode(make(valid=bit, reason=record.REASON_NOT_RESOLVABLE))
    assert {name for name in every if row[name] is not None} == names
    assert row["valid"] is False and row["reason"] == "not_resolvable"


def test_mapping_and_sequence_give_the_same():
    words = make(seq=3, t_s=1, t_us=2, valid=15, thickness_8nm=8)
    as_mapping = dict(zip(record.FIELD_NAMES, words, strict=True))
    assert units.decode_all(words, 2) == units.decode_all(as_mapping, 2)
    assert units.total_us(words) == units.total_us(as_mapping) == 1_000_002


def test_raw_words_are_all_there_under_names_of_their_own():
    words = list(range(record.N_FIELDS))
    raw = units.raw(words)
    assert list(raw.values()) == words
    assert not set(raw) & set(units.FIELDS)


def test_wrong_number_of_words():
    with pytest.raises(ValueError, match=f"{record.N_FIELDS} words, not 3"):
        units.decode([1, 2, 3])


def test_names_of_a_newer_board_stay_visible():
    assert units.decode(make(state=99))["state"] == "unknown_99"


def test_status_of_a_board():
    words = dict.fromkeys(health.STATUS_NAMES, 0)
    words |= {"state": record.STATE_MEASURING, "valid": record.VALID_THICKNESS, "configured": 1}
    words |= {"thickness_8nm": 200_000, "recipe_id": 0x1234, "standard_s": -1}
    status = units.decode_status(words)
    assert status["state"] == "measuring" and status["thickness_nm"] == 25_000
    assert status["porosity_ppm"] is None and status["recipe_id"] == "00001234"
    assert status["standard_age_s"] is None
    # a board that sends fewer words than this host knows
    assert units.decode_status({"state": 0})["thickness_nm"] is None
