"""A roll recomputed on the host is what the board would have reported, to the last bit.

Two runs of one scenario with different calibrations have the same raw readings; the first one
recomputed with the second's calibration has to give the second's records.
"""

from __future__ import annotations

import itertools
import json
import shutil

import pytest
from click.testing import CliRunner

from gauge import config, record
from porogauge import rolls
from porogauge.book import Book
from porogauge.cli import cli
from porogauge.recipe import decode_words, dumps
from porogauge.replay import ReplayError
from porogauge.reprocess import Reprocessed, recompute, reprocess
from porogauge.store import Store
from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario

BY = {"who": "operator", "why": "a test"}
RAW = record.FRAME_MC + 3  # words that do not depend on the configuration, but for the first ones
COMPUTED = (*range(record.STATE, record.OUTPUTS + 1), *range(record.C0_AF, record.N_FIELDS))


class _Run(Run):
    """A run whose board is configured with these words."""

    given = None

    def configure(self, words):
        super().configure(words if self.given is None else self.given)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Database of a run, by scenario and words; each run is done once, each caller has a copy."""
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def database(name, words=None):
        key = name, None if words is None else bytes(words)
        if key not in done:
            done[key] = folder / f"{len(done)}.db"
            made = _Run(Scenario.load(f"hil_tests/scenarios/{name}.toml"), "unix32", done[key])
            made.given = words
            made.go()
            made.store.close()
        copy = folder / f"copy{next(numbers)}.db"
        shutil.copy(done[key], copy)
        return copy

    numbers = itertools.count()
    return database


@pytest.fixture
def run(runs):
    """The open database of a run."""
    return lambda name, words=None: Store(runs(name, words))


def other(words, **changes):
    words = words[:]
    for name, value in changes.items():
        words[getattr(config, name.upper())] += value
    return words


def roll_of(store, book, first=0):
    device, boot, last = rolls.newest(store)
    start = min(found["boot"] for found in store.boots())
    rolls.start(store, book, "R", device, start, first, grade="base", **BY)
    return rolls.end(store, book, "R", boot, last, **BY)


def words_of(store):
    device, boot, _ = rolls.newest(store)
    return config.unpack(store.configurations(device, boot)[0]["blob"])


@pytest.mark.parametrize("name", ["faults/all", "faults/board_reset"])
def test_a_run_reproduces_itself_bit_by_bit(run, name):
    with run(name) as store:
        roll, report = roll_of(store, Book()), Reprocessed()
        count = 0
        for _, row, new in recompute(store, roll, lambda words: words, report):
            assert tuple(new) == row
            count += 1
        assert count == report.windows == store.count()
        assert not report.mismatches and not report.unsettled


CHANGES = {
    "calibration_id": 1,
    "gap_8nm": 8_000,
    "stray_af": 10_000,
    "cap_gain_ppm": 700,
    "cap_offset_af": 5_000,
    "capdac_af": 3_000,
    "d_8nm": 2_000,
    "reference_8nm": 1_500,
    "d_temp_8nm_per_k": 900,
    "gap_temp_8nm_per_k": 700,
    "kappa_ppm": 2_500,
    "delta_offset_8nm": 120,
    "u_thickness_8nm": 300,
}


def mapped(words):
    words[config.MAP_STEP_8NM] = 250_000
    words[config.MAP_START_8NM] = 4_000_000
    for node in range(33):
        words[config.A_MAP_00_8NM + node] = 40 * node - 300
        words[config.B_MAP_00_8NM + node] = 500 - 3 * node * node
    return words


@pytest.mark.parametrize("name", ["rough_day", "demo"])
def test_with_another_calibration_it_is_what_the_board_reports_with_that(run, name):
    with run(name) as store:
        words = mapped(other(words_of(store), **CHANGES))
        with run(name, words=words) as wanted:
            roll, report = roll_of(store, Book()), Reprocessed()
            rows = {
                (boot, row[record.SEQ]): row
                for boot in (found["boot"] for found in wanted.boots())
                for row in wanted.rows(roll.device, boot)
            }
            differ = 0
            for boot, row, new in recompute(store, roll, lambda _: words, report):
                same = rows[boot, row[record.SEQ]]
                assert row[record.CAP_CODE : RAW] == same[record.CAP_CODE : RAW]
                assert [new[i] for i in COMPUTED] == [same[i] for i in COMPUTED], row[0]
                differ += list(new[record.C0_AF :]) != list(row[record.C0_AF :])
            assert differ > 400 and not report.mismatches
            assert [found["way"] for found in report.references][:2] == ["stated", "recomputed"]


def test_a_roll_whose_standardisation_is_not_stored_is_converted_or_refused(run):
    with run("realistic_25um") as store:
        device, boot, last = rolls.newest(store)
        taken = next(
            row[record.SEQ] for row in store.rows(device, boot) if row[record.STANDARD_WINDOWS]
        )
        store.change("DELETE FROM records WHERE seq < ?", (taken + 10,))
        roll = roll_of(store, Book(), taken + 10)
        words = words_of(store)

        def done(wanted):
            report = Reprocessed()
            found = [new for _, _, new in recompute(store, roll, lambda _: wanted, report)]
            assert not report.mismatches
            return report, found

        # without a map C0 goes back through one converter and on through the other
        wanted = other(words, calibration_id=1, cap_gain_ppm=500, stray_af=7_000, reference_8nm=80)
        with run("realistic_25um", words=wanted) as same:
            report, found = done(wanted)
            assert report.references[0]["way"] == "converted"
            rows = list(same.rows(device, boot, taken + 10, last))
            c0, d = (
                max(abs(a[i] - b[i]) for a, b in zip(found, rows, strict=True))
                for i in (record.C0_AF, record.D_8NM)
            )
            assert c0 <= 1 and d == 0  # rounded twice
        with pytest.raises(ReplayError, match="map is another one"):
            done(mapped(other(words, calibration_id=1)))
        with pytest.raises(ReplayError, match="would have refused the reference"):
            done(other(words, calibration_id=1, c0_af=400_000))
        for name in ("head_id", "capdac_code", "laser_rate_hz", "laser_model", "cap_rate"):
            with pytest.raises(ReplayError, match=name):
                done(other(words, **{name: 1 if name != "laser_rate_hz" else -2000}))
        report, _ = done(other(words, calibration_id=1, a_latency_us=5))
        assert "a_latency_us" in report.warnings[0]


def test_what_the_stored_configuration_does_not_explain_is_not_recomputed(run):
    with run("realistic_25um") as store:
        roll = roll_of(store, Book())
        row = list(store.rows(roll.device, 1))[1000]
        store.change("UPDATE records SET cap_code=cap_code+50 WHERE seq=1000")
        with pytest.raises(ReplayError, match="the first is window 1000 of boot 1"):
            reprocess(store, Book(), roll, {}, **BY)
        assert store.query("SELECT count(*) FROM reprocessings") == [(0,)]
        assert store.query("SELECT count(*) FROM reprocessed") == [(0,)]
        store.change("UPDATE records SET cap_code=? WHERE seq=1000", (row[record.CAP_CODE],))
        assert reprocess(store, Book(), roll, {}, **BY).windows == store.count()


def test_a_roll_in_the_middle_of_a_boot_is_recomputed_with_what_came_before(run):
    with run("rough_day") as store:
        words = mapped(other(words_of(store), **CHANGES))
        device, boot, last = rolls.newest(store)
        whole, report = roll_of(store, Book()), Reprocessed()
        wanted = {r[0]: n for _, r, n in recompute(store, whole, lambda _: words, report)}
        rolls.start(store, Book(), "M", device, boot, last - 300, grade="base", **BY)
        middle, report = rolls.find(store, "M"), Reprocessed()
        for _, row, new in recompute(store, middle, lambda _: words, report):
            assert new == wanted[row[record.SEQ]]
        assert report.windows == 301 and report.references[-1]["way"] == "recomputed"


def test_a_logger_may_write_meanwhile(runs):
    path = runs("realistic_25um")
    with Store(path) as store:
        roll, added = roll_of(store, Book()), []
        last = list(list(store.rows(roll.device, 1))[-1])

        def log(_):
            with Store(path, check=False) as logger:
                last[record.SEQ] += 1
                added.append(logger.append(roll.device, 1, [last]))

        before = store.count()
        assert reprocess(store, Book(), roll, {}, **BY, progress=log).windows == before
        assert len(added) >= 2 and store.count() == before + len(added)


def test_a_boot_with_two_configurations(run):
    with run("rough_day") as store:
        words = words_of(store)
        with run("rough_day", words=mapped(other(words, **CHANGES))) as later:
            device, boot, last = rolls.newest(store)
            change = 1500
            store.change("DELETE FROM records WHERE seq >= ?", (change,))
            store.append(device, boot, later.rows(device, boot, change))
            wanted = words_of(later)
            store.configuration(device, boot, change, config.pack(wanted))
            found = {}
            for name, first in (("both", 1400), ("after", 1510)):
                rolls.start(store, Book(), name, device, boot, first, grade="base", **BY)
                rolls.end(store, Book(), name, boot, last, **BY)
                report = Reprocessed()
                roll = rolls.find(store, name)
                for _, row, new in recompute(store, roll, lambda words: words, report):
                    assert tuple(new) == row
                assert not report.mismatches and report.windows == last - first + 1
                found[name] = report.references
            assert [row["seq"] for row in found["both"]][-1] == change
            assert found["after"][0]["seq"] == change  # what was before is not looked at


def test_the_command_keeps_both_and_shows_the_difference(runs, tmp_path):
    db = runs("realistic_25um")

    def cli_(*arguments, code=0):
        result = CliRunner().invoke(cli, [*map(str, arguments), "--json"])
        assert result.exit_code == code, result.output
        return [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]

    (started,) = cli_("roll", "start", "R", "--db", db, "--boot", 1, "--seq", 0, "--grade", "base")
    cli_("roll", "end", "R")
    (done,) = cli_("reprocess", "R", "--calibration", started["calibration"])
    assert done["differences"]["identical_windows"] == done["windows"] > 1000
    assert done["calibration"] == started["calibration"]

    with Store(db, read_only=True) as store:
        _, tables = decode_words(words_of(store))
    tables["calibration"] = {"name": "gap measured anew"}
    tables["capacitance"]["gap_um"] += 2
    file = tmp_path / "after.toml"
    file.write_text(dumps("calibration", tables))
    plot, csv = tmp_path / "r.png", tmp_path / "r.csv"
    done = cli_("reprocess", "R", "--calibration", file, "--plot", plot, "--csv", csv)[0]
    moved = done["differences"]["porosity_ppm"]
    # 1 % of the deficit at 25 um and 50 %: 0.0623 of porosity per um of deficit
    assert moved["mean"] == pytest.approx(-62_300 * 12.05 * 2 / 500, rel=0.3)
    assert done["differences"]["thickness_nm"]["highest"] == 0
    assert plot.stat().st_size > 10_000
    assert len(csv.read_text().splitlines()) == done["windows"] + 1
    id = Book().put("calibration", tables, **BY)
    again = cli_("reprocess", "R", "--calibration", id)[0]
    assert again["differences"] == done["differences"] and again["run"] == done["run"] + 1
    with Store(db, read_only=True) as store:
        counts = store.query("SELECT run, count(*) FROM reprocessed GROUP BY run")
        assert [count for _, count in counts] == [done["windows"]] * 3
    cli_("reprocess", "R", "--calibration", "00000001", code=2)
    cli_("reprocess", "R", code=2)
