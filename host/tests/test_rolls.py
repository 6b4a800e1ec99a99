"""Rolls: their windows, their lock, their segments, their verdict; and the command line."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal

import pytest
from click.testing import CliRunner
from roll_data import DEVICE, database, documents, fill, row

from gauge import config, record
from porogauge import rolls
from porogauge.audit import verify
from porogauge.book import Book
from porogauge.cli import cli
from porogauge.errors import UsageError
from porogauge.lab import add, compare
from porogauge.recipe import compile_words, shipped_recipe, standard_calibration, standard_recipe
from porogauge.rolls import RollError, Span
from porogauge.segments import segments, table
from porogauge.store import Store
from porogauge.verdict import judge

BY = {"who": "operator", "why": "a test"}


@pytest.fixture
def store():
    with Store(":memory:") as made:
        documents(made)
        fill(made)
        yield made


def test_a_roll_goes_over_a_restart_of_the_board(store):
    roll = rolls.start(store, Book(), "A-1", DEVICE, 1, 900, **BY)
    assert rolls.spans(store, roll) == [Span(1, 900, 999)]
    fill(store, boot=2, count=500)
    fill(store, boot=3, count=100, first=20)
    assert rolls.spans(store, roll) == [Span(1, 900, 999), Span(2, 0, 499), Span(3, 20, 119)]
    roll = rolls.end(store, Book(), "A-1", 3, 59, **BY)
    assert roll.ended and rolls.spans(store, roll)[-1] == Span(3, 20, 59)
    found = table(store, roll, ("thickness_8nm",))
    assert len(found["metres"]) == 100 + 500 + 40
    # within each boot the web's own way; nothing is known of what passed in between
    assert found["metres"][0] == 0
    assert found["metres"][-1] == pytest.approx((99 + 499 + 39) * 0.005)


def test_a_running_roll_locks_its_device(store):
    book = Book()
    rolls.start(store, book, "A-1", DEVICE, 1, 0, **BY)
    (running,) = book.open_rolls(DEVICE)
    assert running["roll"] == "A-1" and running["device"] == DEVICE
    assert book.open_rolls("other") == []
    with pytest.raises(RollError, match="'porogauge roll end A-1'"):
        rolls.start(store, book, "A-2", DEVICE, 1, 500, **BY)
    rolls.end(store, book, "A-1", 1, 499, **BY)
    assert book.open_rolls() == []
    with pytest.raises(RollError, match="another name"):
        rolls.start(store, book, "A-1", DEVICE, 1, 500, **BY)
    rolls.start(store, book, "A-2", DEVICE, 1, 500, **BY)
    with pytest.raises(RollError, match="has ended"):
        rolls.splice(store, book, "A-1", 1, 700, **BY)
    with pytest.raises(RollError, match="before its last start"):
        rolls.end(store, book, "A-2", 1, 400, **BY)
    rolls.end(store, book, "A-2", 1, 700, **BY)
    with pytest.raises(RollError, match="there: A-1, A-2"):
        rolls.find(store, "A-3")
    with pytest.raises(UsageError, match="is not a grade"):
        rolls.start(store, Book(), "A-4", DEVICE, 1, 0, grade="bese", **BY)


def test_every_event_is_in_the_log_and_the_database_has_its_head(store):
    book = Book()
    rolls.start(store, book, "A-1", DEVICE, 1, 0, **BY)
    rolls.splice(store, book, "A-1", 1, 300, **BY)
    roll = rolls.end(store, book, "A-1", 1, 999, **BY)
    assert [event.kind for event in roll.events] == ["start", "splice", "end"]
    entries = book.audit.entries()
    assert [entry["after"]["event"] for entry in entries] == ["start", "splice", "end"]
    assert entries[0]["after"]["recipe"] == f"{roll.recipe:08x}"
    for event in roll.events:
        assert verify(book.path, event.head).ok
    # a log that was made anew as a whole is not the one that the database knows
    for path in (book.audit.path, book.audit.path.with_suffix(".head")):
        path.unlink()
    for entry in entries:
        book.audit.append(entry["kind"], entry["subject"], "another", entry["why"])
    assert verify(book.path).ok and not verify(book.path, roll.events[1].head).ok


def test_a_roll_needs_its_configuration_and_its_recipe(tmp_path):
    with Store(":memory:") as store:
        store.append(DEVICE, 1, [row(0)])
        with pytest.raises(RollError, match="does not say what"):
            rolls.start(store, Book(), "A-1", DEVICE, 1, 0, **BY)
        words = fill(store, count=10)
        with pytest.raises(RollError, match="--grade"):
            rolls.start(store, Book(), "A-1", DEVICE, 1, 0, **BY)
        # the file comes from the book, and stays with the roll
        book = Book()
        book.put("recipe", standard_recipe(), **BY)
        roll = rolls.start(store, book, "A-1", DEVICE, 1, 0, **BY)
        assert roll.grade == "base" and roll.recipe == words[config.RECIPE_ID]
        assert rolls.recipe_values(store, roll.recipe)["recipe.name"]


def test_segments_follow_the_sampling_plan_and_end_at_a_splice(store):
    rolls.start(store, Book(), "A-1", DEVICE, 1, 0, **BY)
    roll = rolls.splice(store, Book(), "A-1", 1, 500, **BY)
    pieces = segments(store, roll)  # 5 m of web, 1 m each
    assert [piece.section for piece in pieces] == [0, 0, 0, 1, 1, 1]
    assert pieces[2].end_m == pytest.approx(2.495) and pieces[3].start_m == pytest.approx(2.5)
    assert sum(piece.windows for piece in pieces) == 1000
    assert pieces[0].thickness_um == pytest.approx((25, 0.2))
    assert pieces[0].porosity_percent == pytest.approx((50, 0.9))
    assert pieces[0].permittivity == pytest.approx((1.93, 0.03))
    assert pieces[0].solid_um[0] == pytest.approx(12.5)
    longer = segments(store, roll, 2)
    assert [piece.start_m for piece in longer] == pytest.approx([0, 2, 2.5, 4.5])


def test_porosity_of_a_segment_is_what_weighing_it_would_give(store):
    fill(
        store,
        boot=2,
        change=lambda seq: {"thickness_8nm": 400_000, "porosity_ppm": 750_000} if seq % 2 else {},
    )
    roll = rolls.start(store, Book(), "A-1", DEVICE, 2, 0, **BY)
    (piece,) = segments(store, roll, 100)
    assert piece.porosity_percent[0] == pytest.approx(100 * (1 - 200 / 600))


def _film(**values):
    return lambda seq: values


def _judged(change=None, lab=(), grade=None, end=True, count=1000):
    with Store(":memory:") as store:
        documents(store)
        fill(store, count=count, change=change or (lambda seq: {}))
        book = Book()
        rolls.start(store, book, "A-1", DEVICE, 1, 0, grade=grade, **BY)
        for property, value, u in lab:
            add(store, book, "A-1", property, value, u=u, **BY)
        if end:
            rolls.end(store, book, "A-1", 1, count - 1, **BY)
        return judge(store, rolls.find(store, "A-1"))


def test_a_roll_passes_with_everything_measured():
    judged = _judged(lab=[("mean_pore_um", 0.3, 0.02)])
    assert judged.outcome == "pass" and judged.segments == judged.measured == 5
    assert judged.guard == 2


def test_a_claim_that_is_not_measured_is_not_decided():
    judged = _judged()
    assert judged.outcome == "undecided"
    assert {c.property: c.outcome for c in judged.claims} == {
        "porosity_percent": "pass",
        "mean_pore_um": "undecided",
    }
    without_u = _judged(lab=[("mean_pore_um", 0.3, None)])
    assert without_u.outcome == "undecided" and "--u" in without_u.claims[1].sentence


def test_one_segment_fails_a_roll():
    judged = _judged(
        lambda seq: {"porosity_ppm": 100_000, "solid_8nm": 180_000} if 400 <= seq < 600 else {},
        [("mean_pore_um", 0.3, 0.02)],
    )
    assert judged.outcome == "fail" and judged.claims[0].segment == 2
    assert "segment 3 of 5" in judged.claims[0].sentence


def test_a_value_within_the_guard_band_is_not_decided():
    near = _film(porosity_ppm=160_000, solid_8nm=168_000, u_porosity_ppm=9000)
    judged = _judged(near, [("mean_pore_um", 0.3, 0.02)])
    assert judged.claims[0].outcome == "undecided"


def test_what_has_no_valid_value_or_was_not_measured_is_not_taken_for_good():
    dark = {"valid": record.VALID_THICKNESS, "porosity_ppm": 0, "solid_8nm": 0}
    judged = _judged(lambda seq: dark if seq >= 800 else {}, [("mean_pore_um", 0.3, 0.02)])
    assert judged.outcome == "undecided" and "1 of 5 segments" in judged.claims[0].sentence
    away = {"valid": 0, "state": record.STATE_OFF_SHEET}
    judged = _judged(lambda seq: away if seq >= 400 else {}, [("mean_pore_um", 0.3, 0.02)])
    assert judged.outcome == "undecided" and judged.measured == 2
    assert "only 2 of 5" in judged.claims[0].sentence


def test_porosity_that_layers_hide_is_the_laboratory_s():
    recipe = tomllib.loads(shipped_recipe("laminate-metal"), parse_float=Decimal)
    hidden = {
        "valid": record.VALID_THICKNESS,
        "reason": record.REASON_NOT_IDENTIFIABLE,
        "porosity_ppm": 0,
        "permittivity_e4": 0,
        "solid_8nm": 0,
    }
    with Store(":memory:") as store:
        words = documents(store, recipe)
        fill(store, words=words, change=lambda seq: hidden)
        rolls.start(store, Book(), "A-1", DEVICE, 1, 0, grade="base", **BY)
        rolls.end(store, Book(), "A-1", 1, 999, **BY)
        roll = rolls.find(store, "A-1")
        add(store, Book(), "A-1", "mean_pore_um", 0.3, u=0.01, **BY)
        assert judge(store, roll).outcome == "undecided"
        add(store, Book(), "A-1", "porosity_percent", 48, u=1, **BY)
        assert judge(store, roll).outcome == "pass"
        add(store, Book(), "A-1", "basis_weight_g_m2", 100, u=1, **BY)
        assert "cannot be compared" in compare(store, roll)[-1].sentence


def test_a_roll_that_changed_its_recipe_or_has_not_ended_says_so():
    with Store(":memory:") as store:
        documents(store)
        fill(store)
        rolls.start(store, Book(), "A-1", DEVICE, 1, 0, **BY)
        other = standard_recipe()
        other["material"]["permittivity"] = 3.4
        words = compile_words(other, standard_calibration())
        store.configuration(DEVICE, 1, 500, config.pack(words))
        judged = judge(store, rolls.find(store, "A-1"))
        assert judged.claims[0].outcome == "undecided"
        assert "changed within the roll" in judged.claims[0].sentence
        assert "not ended" in judged.notes[0]


# ---------------------------------------------------------------- command line


def run(*arguments, code=0):
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def lines(*arguments, code=0):
    output = run(*arguments, "--json", code=code)
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_the_command_line_from_start_to_verdict(tmp_path):
    db = database(tmp_path / "line.db")
    run("roll", "start", "A-1", code=2)
    run("roll", "start", "A-1", "--db", db, "--boot", 1, code=2)
    (started,) = lines(
        "roll", "start", "A-1", "--db", db, "--boot", 1, "--seq", 0, "--by", "shift 2"
    )
    assert started["event"] == "roll_started" and started["grade"] == "base"
    assert lines("roll", "list")[0]["roll"] == "A-1"
    run("roll", "start", "A-2", "--db", db, code=1)
    run("roll", "splice", "A-1", "--boot", 1, "--seq", 500, "--why", "hole")
    run("lab", "add", "A-1", "mean_pore_um", 320, "--u", 20, "--unit", "nm")
    (ended,) = lines("roll", "end", "A-1")
    assert ended["events"][-1]["seq"] == 999 and ended["ended"]
    shown = lines("roll", "show", "A-1")
    assert [row["event"] for row in shown] == ["roll"] + ["segment"] * 6
    told = lines("roll", "verdict", "A-1")
    assert told[-1]["outcome"] == "pass" and told[-1]["measured"] == 6
    assert "hole" in run("roll", "show", "A-1", "--db", db)
    run("roll", "show", "A-9", code=2)
    run("roll", "show", "A-9", "--db", db, code=1)
    assert run("audit", "show", "--kind", "roll").count("roll: A-1") == 3
    assert "4 entries, all good" in run("audit", "verify")


def test_verdict_says_by_its_exit_code_what_became_of_the_roll(tmp_path):
    db = database(tmp_path / "line.db")
    run("roll", "start", "A-1", "--db", db, "--boot", 1, "--seq", 0)
    run("roll", "verdict", "A-1", code=5)
    run("lab", "add", "A-1", "mean_pore_um", 9, "--u", 0.1)
    told = lines("roll", "verdict", "A-1", code=1)
    assert told[-2]["outcome"] == "fail"


def test_audit_verify_ends_with_1_when_the_log_was_touched(tmp_path, book):
    db = database(tmp_path / "line.db")
    run("roll", "start", "A-1", "--db", db)
    run("roll", "end", "A-1")
    log = Book(book).audit.path
    good = log.read_bytes()
    log.write_bytes(good.replace(b"not stated", b"Not stated", 1))
    (found, error) = lines("audit", "verify", code=1)
    assert found["ok"] is False and found["first_bad"] == 1 and error["code"] == 1
    log.write_bytes(good)
    head = lines("audit", "verify", book)[0]["head"]
    run("audit", "verify", log, "--head", head)
    run("audit", "verify", "--db", db)
    for path in (log, log.with_suffix(".head")):
        path.unlink()
    for _ in range(3):
        Book(book).audit.append("roll", "A-1", "another", "another story")
    run("audit", "verify")
    assert "the log was replaced" in run("audit", "verify", "--db", db, code=1)
    run("audit", "verify", tmp_path / "nothing", code=1)
