"""Points as CSV files, sessions on the disk, and standardisations out of a database."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gauge import config, record
from porogauge import recipe
from porogauge.calibrate.points import columns_of, read_csv, taken_with, write_csv
from porogauge.calibrate.procedure import Reading, Step
from porogauge.calibrate.session import Session, unfinished
from porogauge.calibrate.standardisations import standardisations
from porogauge.calibrate.verify import trend
from porogauge.errors import PorogaugeError
from porogauge.store import Clock, Store

READING = Reading(64, 42, 1.5, 4e-5, 779.9, 0.1, 779.8, 0.1, 23.06, 23.0, 50.0)
GOOD = {"id": "empty", "kind": "empty", **asdict(READING)}
HEADER = "id,kind,stage_um,u_stage_um,capdac_code,windows,cap_pf,frame_c,air_c,rh_percent"


def gap_file(path, *rows, header=HEADER):
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def test_a_file_by_hand(tmp_path):
    path = gap_file(
        tmp_path / "gap.csv",
        "empty,empty,,,42,64,1.5,23,23,50",
        "# the stage was cleaned here",
        "",
        "far,stage, 100 ,0.1,42,64,1e-1,23,23,50",
    )
    first, second = read_csv(path, "gap")
    assert first["stage_um"] is None and first["capdac_code"] == 42
    assert second["stage_um"] == 100.0 and second["cap_pf"] == 0.1 and taken_with(path) == ""


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            "a,empty,,,42,64,9.5,23,23,50",
            "cap_pf: 9.5 is out of range; legal: -4.2 to 4.2 pF",
        ),
        ("a,empty,,,42,64,x,23,23,50", "line 2: cap_pf: 'x' is not a number"),
        ("a,empty,,,42,64,nan,23,23,50", "line 2: cap_pf: nan is not a finite number"),
        ("a,empty,,,42.5,64,1,23,23,50", "line 2: capdac_code: 42.5 is not a whole number"),
        ("a,empty,,,42,64,1,,23,50", "line 2: frame_c is missing; legal: -40 to 125 C"),
        ("a,emty,,,42,64,1,23,23,50", "line 2: kind: emty is not one of empty, capacitor"),
        ("a,empty,,,42,64,1,23,23", "line 2: has 9 cells, the first line has 10 columns"),
        ("empty,empty,,,42,64,1,23,23,50\nempty,empty,,,42,64,1,23,23,50", "name of line 2, too"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, row, said):
    path = gap_file(tmp_path / "gap.csv", row)
    with pytest.raises(PorogaugeError) as error:
        read_csv(path, "gap")
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value)


def test_headers(tmp_path):
    path = gap_file(tmp_path / "gap.csv", "1", header="cap_fp")
    with pytest.raises(PorogaugeError) as error:
        read_csv(path, "gap")
    assert "did you mean cap_pf?" in str(error.value) and "columns are missing" in str(error.value)
    path = gap_file(tmp_path / "gap.csv", header=HEADER)
    with pytest.raises(PorogaugeError, match="has no points"):
        read_csv(path, "gap")
    with pytest.raises(PorogaugeError, match="cannot be read"):
        read_csv(tmp_path / "none.csv", "gap")


_number = st.floats(0, 4, allow_nan=False)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"cap_pf": _number, "frame_c": _number, "stage_um": st.none() | _number}
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, changes):
    path = tmp_path_factory.mktemp("points") / "gap.csv"
    points = [GOOD | change | {"id": str(i)} for i, change in enumerate(changes)]
    write_csv(path, points, "0a1b2c3d")
    assert read_csv(path, "gap") == points and taken_with(path) == "0a1b2c3d"


def test_every_procedure_has_columns_that_hold_together():
    for name in ("converter", "gap", "scale", "lasers", "environment", "recipe", "verify"):
        for column, _, low, high, required, text in columns_of(name):
            assert (low is None) == (high is None) and (low is None or low < high), column
            assert isinstance(required, bool) and text


# ---------------------------------------------------------------- sessions

STEPS = [Step(str(n), "", {"kind": "stage", "stage_um": float(n)}) for n in range(4)]
BASIS = {"head": "1", "calibration": "aa"}


class Station:
    def __init__(self, breaks_at=None):
        self.breaks_at, self.done = breaks_at, []

    def perform(self, step):
        if step.id == self.breaks_at:
            raise RuntimeError("cable")
        self.done.append(step.id)
        return READING


def test_whatever_breaks_the_points_stay(tmp_path):
    session = Session.open(tmp_path, "gap", BASIS, STEPS)
    with pytest.raises(RuntimeError):
        session.run(Station("2"))
    assert unfinished(tmp_path) == {"gap": 2}
    again = Session.open(tmp_path, "gap", BASIS, STEPS)
    assert [step.id for step in again.left] == ["2", "3"]
    station = Station()
    points = again.run(station)
    assert station.done == ["2", "3"] and [p["id"] for p in points] == list("0123")
    again.forget()
    assert not list(tmp_path.iterdir())


def test_other_heads_files_and_steps_are_refused(tmp_path):
    Session.open(tmp_path, "gap", BASIS, STEPS[:2]).run(Station())
    with pytest.raises(PorogaugeError, match="with calibration aa, now it is bb: --restart"):
        Session.open(tmp_path, "gap", BASIS | {"calibration": "bb"}, STEPS)
    other = [Step("0", "", {"kind": "stage", "stage_um": 9.0}), *STEPS[1:]]
    with pytest.raises(PorogaugeError, match="a point 0 that is not one of these steps"):
        Session.open(tmp_path, "gap", BASIS, other)
    assert Session.open(tmp_path, "gap", BASIS, other, restart=True).points == []
    (tmp_path / "gap.json").write_text(json.dumps({"points": []}))
    with pytest.raises(PorogaugeError, match="cannot be read"):
        Session.open(tmp_path, "gap", BASIS, STEPS)


# ---------------------------------------------------------------- standardisations


def test_standardisations_of_a_database(tmp_path):
    """C0 as calibrated in force, then +0.5 % found at 25 C, then D 6 um longer."""
    head = recipe.standard_calibration()
    head["lasers"]["reference_um"] = 500
    words = recipe.compile_words(recipe.standard_recipe(), head)
    c0, d = words[config.C0_AF], words[config.D_8NM]
    grown = 2 * words[config.GAP_TEMP_8NM_PER_K]
    warm = round(c0 * words[config.GAP_8NM] / (words[config.GAP_8NM] + grown))
    long = d + 2 * words[config.D_TEMP_8NM_PER_K]
    in_force = [(c0, d, 0)] * 3 + [(round(1.005 * warm), long, 91)] * 4
    in_force += [(round(1.005 * warm), long + 48_000, 92)] * 3
    with Store(tmp_path / "a.db") as store:
        store.hello("aa", 1)
        store.clock("aa", 1, Clock(0, 1.7e9))
        store.configuration("aa", 1, 0, bytes(config.pack(words)))
        for seq, (c0_af, d_8nm, windows) in enumerate(in_force):
            row = record.new()
            row[record.SEQ] = row[record.T_S] = seq
            row[record.C0_AF], row[record.D_8NM] = c0_af, d_8nm
            row[record.C0_FRAME_MC] = row[record.D_FRAME_MC] = 25_000
            row[record.STANDARD_WINDOWS], row[record.U_D_8NM] = windows, 16
            row[record.AIR_MC], row[record.RH_PPM] = 23_000, 500_000
            store.append("aa", 1, [row])
    entries, calibrations = standardisations(tmp_path / "a.db")
    assert [e["time"][:19] for e in entries] == ["2023-11-14T22:13:23", "2023-11-14T22:13:27"]
    rows = trend(entries, calibrations)
    drift = {
        name: [row["value"] for row in rows if row["quantity"] == name]
        for name in ("c0_drift_percent", "d_drift_um", "contamination_index")
    }
    assert drift["c0_drift_percent"] == pytest.approx([0.5, 0.5], abs=0.001)
    assert drift["d_drift_um"] == pytest.approx([0, 6], abs=0.001)
    assert drift["contamination_index"] == pytest.approx([50, 50], abs=0.1)
    verdicts = [row["verdict"] for row in rows if row["quantity"] == "d_drift_um"]
    assert verdicts == ["ok", "near"]
    assert standardisations(tmp_path / "a.db", head="2") == ([], {})
    assert len(standardisations(tmp_path / "a.db", head="1")[0]) == 2
