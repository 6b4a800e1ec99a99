"""The audit log: what was written stays as it was, and every touch of it is found."""

from __future__ import annotations

import json
import multiprocessing
from decimal import Decimal
from pathlib import Path

import pytest

from porogauge.audit import Audit, AuditError, person, verify
from porogauge.book import Book
from porogauge.errors import UsageError
from porogauge.recipe import standard_calibration, standard_recipe


@pytest.fixture
def log(tmp_path):
    audit = Audit(tmp_path / "audit.jsonl")
    audit.append("calibration", "17", "operator", "first", None, {"id": "00000001"})
    audit.append("recipe", "25 µm", "operator", 'a "reason"', {"id": "1"}, {"id": "2", "x": 0.1})
    audit.append("lab", "roll 7", "laboratory", "weighed", None, {"value": Decimal("12.50")})
    return audit


def test_an_entry_says_who_what_when_why_before_and_after(log):
    entry = log.entries()[1]
    assert list(entry) == [
        *("n", "time", "kind", "subject", "who", "why", "before", "after", "previous", "hash")
    ]
    assert entry["n"] == 2 and entry["who"] == "operator" and entry["why"] == 'a "reason"'
    assert entry["before"] == {"id": "1"} and entry["after"] == {"id": "2", "x": 0.1}
    assert entry["previous"] == log.entries()[0]["hash"]
    assert log.entries()[2]["after"] == {"value": 12.5}
    report = verify(log.path)
    assert report.ok and report.entries == 3 and report.head == f"3:{log.entries()[2]['hash']}"


def test_the_log_can_be_checked_by_what_its_description_says(log, monkeypatch):
    text = (Path(__file__).parents[1] / "ROLLS.md").read_text(encoding="utf-8")
    program = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(log.path.parent)
    exec(program, {})
    log.path.write_bytes(log.path.read_bytes().replace(b"weighed", b"Weighed"))
    with pytest.raises(AssertionError):
        exec(program, {})


def test_every_changed_byte_is_found(log):
    good = log.path.read_bytes()
    line_of = [good[:at].count(b"\n") + 1 for at in range(len(good))]
    for at in range(len(good)):
        for change in (good[at] ^ 1, good[at] ^ 0x20, 0x20, 0x0A):
            if change == good[at]:
                continue
            log.path.write_bytes(good[:at] + bytes([change]) + good[at + 1 :])
            report = verify(log.path)
            assert not report.ok, at
            # an entry that is now two, or one with the next, is found at the first of them
            assert report.first_bad == line_of[at], (at, change)
            assert report.entries == report.first_bad - 1
    log.path.write_bytes(good)
    assert verify(log.path).ok


def test_a_byte_put_in_or_taken_out_is_found(log):
    good = log.path.read_bytes()
    for at in range(len(good)):
        log.path.write_bytes(good[:at] + good[at + 1 :])
        assert not verify(log.path).ok, at
        log.path.write_bytes(good[:at] + b" " + good[at:])
        assert not verify(log.path).ok, at


def test_lines_taken_out_put_in_moved_or_cut_off_are_found(log):
    lines = log.path.read_bytes().splitlines(keepends=True)
    for kept, bad in (
        (lines[1:], 1),
        (lines[:1] + lines[2:], 2),
        (lines[:2], 3),  # nothing but the anchor shows it
        (lines[:1], 2),
        ([], 1),
        ([lines[0], lines[2], lines[1]], 2),
        (lines + lines[2:], 4),
        ([b"\n", *lines], 1),
    ):
        log.path.write_bytes(b"".join(kept))
        report = verify(log.path)
        assert not report.ok and report.first_bad == bad, (len(kept), report)


def test_a_chain_made_anew_is_not_the_one_that_was_noted(log, tmp_path):
    noted = verify(log.path).head
    other = Audit(tmp_path / "other" / "audit.jsonl")
    for entry in log.entries():
        other.append(entry["kind"], entry["subject"], "another", entry["why"])
    assert verify(other.path).ok  # a chain can be forged as a whole
    assert not verify(other.path, noted).ok
    log.append("hold", "gauge", "operator", "later")
    assert verify(log.path, noted).ok
    with pytest.raises(UsageError):
        verify(log.path, "3")


def test_a_log_without_its_anchor_says_what_it_cannot_show(log, tmp_path):
    log.path.with_suffix(".head").unlink()
    report = verify(log.path)
    assert report.ok and "cut off" in report.warnings[0]
    assert not verify(tmp_path).ok  # in its book the anchor belongs to it
    with pytest.raises(AuditError, match="verify"):
        log.append("hold", "gauge", "operator", "later")


def test_a_changed_anchor_is_found(log):
    anchor = log.path.with_suffix(".head")
    good = anchor.read_bytes()
    for at in range(len(good)):
        anchor.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert not verify(log.path).ok, at


def test_what_stops_between_line_and_anchor_is_no_tampering(log):
    anchor = log.path.with_suffix(".head")
    before = anchor.read_bytes()
    log.append("hold", "gauge", "operator", "the power went")
    anchor.write_bytes(before)
    assert verify(log.path).ok
    log.append("resume", "gauge", "operator", "it is back")
    assert verify(log.path).ok and verify(log.path).entries == 5


def test_a_line_that_was_never_finished_is_set_aside_and_kept(log):
    with log.path.open("ab") as stream:
        stream.write(b'{"n":4,"time":"20')
    assert not verify(log.path).ok
    log.append("hold", "gauge", "operator", "later")
    report = verify(log.path)
    assert report.ok and report.entries == 5
    assert log.entries()[3]["before"] == '{"n":4,"time":"20'


def test_a_touched_end_is_not_written_on(log):
    lines = log.path.read_bytes().splitlines(keepends=True)
    for touched in (lines[:2], lines[:1]):
        log.path.write_bytes(b"".join(touched))
        with pytest.raises(AuditError, match="audit verify"):
            log.append("hold", "gauge", "operator", "later")
    log.path.unlink()
    with pytest.raises(AuditError, match="put it back"):
        log.append("hold", "gauge", "operator", "later")


def _append(path, who):
    for number in range(20):
        Audit(path).append("hold", "gauge", who, f"number {number}")


def test_processes_append_one_after_the_other(tmp_path):
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(path, f"p{n}")) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    report = verify(path)
    assert report.ok and report.entries == 60


def test_who_and_why_are_needed(log):
    for who, why in (("", "why"), ("who", " "), (None, "why")):
        with pytest.raises(ValueError, match="not empty"):
            log.append("hold", "gauge", who, why)
    with pytest.raises(UsageError, match="--by"):
        person("  ")
    assert person("shift 2") == "shift 2"


def test_a_book_keeps_what_was_and_says_what_is_current(tmp_path):
    book = Book(tmp_path / "book")
    tables = standard_calibration()
    first = book.put("calibration", tables, "operator", "new head")
    tables["capacitance"]["gap_um"] = 500.25
    second = book.put("calibration", tables, "operator", "gap measured")
    assert first != second and book.ids("calibration") == sorted([first, second])
    assert book.current("calibration", str(tables["head"]["serial"])) == second
    assert book.current("calibration", "999") is None
    assert book.get("calibration", first)["capacitance"]["gap_um"] == 500
    entry = book.audit.entries()[-1]
    assert entry["before"] == {"id": first, "capacitance.gap_um": 500}
    assert entry["after"]["capacitance.gap_um"] == 500.25
    # undone by a new entry; nothing is written twice
    assert book.put("calibration", book.get("calibration", first), "operator", "undone") == first
    assert book.current("calibration", str(tables["head"]["serial"])) == first
    assert verify(book.path).entries == 3
    recipe = book.put("recipe", standard_recipe(), "operator", "new film")
    assert book.current("recipe", standard_recipe()["recipe"]["name"]) == recipe


def test_a_file_of_the_book_that_was_changed_is_found(tmp_path):
    book = Book(tmp_path / "book")
    id = book.put("recipe", standard_recipe(), "operator", "new film")
    book.add_result({"procedure": "gap", "accepted": True}, "operator", "as every week")
    assert verify(book.path).ok
    path = book.path / "recipes" / f"{id}.toml"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"3.3", b"3.4"))
    report = verify(book.path)
    assert not report.ok and report.first_bad == 1 and id in report.why
    path.write_bytes(good)
    (book.path / "results" / "000001.json").unlink()
    assert verify(book.path).first_bad == 2


def test_results_are_numbered_and_kept(tmp_path):
    book = Book(tmp_path / "book")
    assert book.add_result({"procedure": "gap", "accepted": False}, "operator", "why") == 1
    assert book.add_result({"procedure": "scale", "accepted": True}, "operator", "why") == 2
    assert book.result(1)["accepted"] is False
    assert [(r["number"], r["procedure"], r["who"]) for r in book.results()] == [
        (1, "gap", "operator"),
        (2, "scale", "operator"),
    ]
    with pytest.raises(Exception, match="has no result 3"):
        book.result(3)
    assert json.loads((book.path / "results" / "000002.json").read_text())["procedure"] == "scale"


def test_the_book_is_where_it_is_said_to_be(book, tmp_path, monkeypatch):
    assert str(Book().path) == book
    monkeypatch.delenv("POROGAUGE_BOOK")
    stored = tmp_path / "config.toml"
    stored.write_text(f'book = "{tmp_path}/other"\n')
    monkeypatch.setenv("POROGAUGE_CONFIG", str(stored))
    assert Book().path == tmp_path / "other"
    stored.write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Book().path == tmp_path / "data" / "porogauge" / "book"
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="a book is a folder"):
        Book(file)
