"""Keys, as a user has them: set, needed, wrong, named in the audit log, removed.

The gauge is `fake_gauge.py`, with the board's own keys; commands run in this process.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gauge.link import protocol
from porogauge import cli, keys, output
from porogauge.audit import verify
from porogauge.book import Book
from porogauge.errors import UsageError

HERE = Path(__file__).parent
DEVICE = "e661a4d4178c2b2f"
OPERATOR, METROLOGIST = "shift-two-2", "the-gap-is-12"

_spec = importlib.util.spec_from_file_location("test_log_gauge", HERE / "test_log.py")
_log = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_log)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("POROGAUGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("POROGAUGE_BOOK", str(tmp_path / "book"))
    monkeypatch.setenv("POROGAUGE_BY", "shift 2")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    yield
    output.set_json(False)


@pytest.fixture
def gauge(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    found = _log.Gauge("--rate", 50)
    monkeypatch.setenv("POROGAUGE_PORT", found.url)
    yield found
    found.stop()


def invoke(*arguments, key=None, new=None):
    environment = {"POROGAUGE_KEY": key, "POROGAUGE_NEW_KEY": new}
    return CliRunner().invoke(cli.cli, [*arguments, "--json"], env=environment)


def said(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def commissioned(gauge):
    assert invoke("key", "set", "metrologist", new=METROLOGIST).exit_code == 0
    assert invoke("key", "set", "operator", key=METROLOGIST, new=OPERATOR).exit_code == 0
    return gauge


def test_from_open_to_keys_and_back(gauge, tmp_path):
    assert said(invoke("status"))[0]["keys"] == []
    assert invoke("hold").exit_code == 0 and invoke("resume").exit_code == 0
    refused = invoke("key", "set", "operator", new=OPERATOR)
    assert refused.exit_code == 1 and "metrologist's key comes first" in refused.output
    [first] = said(invoke("key", "set", "metrologist", new=METROLOGIST))
    assert first["event"] == "key_set" and first["key"].startswith("metrologist ")
    assert invoke("key", "set", "operator", key=METROLOGIST, new=OPERATOR).exit_code == 0
    assert said(invoke("status"))[0]["keys"] == ["operator", "metrologist"]
    listed = said(invoke("key", "list", "--port", gauge.url))
    assert [(one["role"], one["on_gauge"]) for one in listed] == [
        ("operator", True),
        ("metrologist", True),
    ]

    denied = invoke("hold")
    assert denied.exit_code == 1
    assert "needs the operator's key: give it with --key-file FILE, POROGAUGE_KEY" in denied.output
    assert invoke("hold", key=OPERATOR).exit_code == 0
    assert invoke("resume", key=METROLOGIST).exit_code == 0  # a higher role will do

    wrong = invoke("key", "set", "operator", key=OPERATOR, new="another-one")
    assert wrong.exit_code == 1
    same = invoke("key", "set", "operator", key=METROLOGIST, new=METROLOGIST)
    assert same.exit_code == 2 and "must differ" in same.output
    assert invoke("key", "remove", "operator", key=METROLOGIST).exit_code == 0
    assert invoke("key", "remove", "metrologist", key=METROLOGIST).exit_code == 0
    assert invoke("hold").exit_code == 0

    book = Book(tmp_path / "book")
    entries = book.audit.entries()
    assert [entry["kind"] for entry in entries] == ["key"] * 4
    assert all(entry["key"] == first["key"] for entry in entries)
    assert verify(book.path).ok
    text = "".join(path.read_text() for path in book.path.iterdir())
    assert METROLOGIST not in text and OPERATOR not in text
    assert keys.derive(METROLOGIST, DEVICE, protocol.METROLOGIST).hex() not in text


def test_the_audit_log_names_the_key_of_a_command(commissioned, tmp_path):
    denied = invoke("acknowledge", "--why", "splice")
    assert denied.exit_code == 1 and "operator's key" in denied.output
    assert invoke("acknowledge", "--why", "splice", key=OPERATOR).exit_code == 0
    [entry] = [one for one in Book(tmp_path / "book").audit.entries() if one["why"] == "splice"]
    made = keys.derive(OPERATOR, DEVICE, protocol.OPERATOR)
    assert entry["key"] == keys.name_of(protocol.OPERATOR, made)
    assert f"({entry['key']} key)" in CliRunner().invoke(cli.cli, ["audit", "show"]).output
    assert verify(tmp_path / "book").ok
    path = tmp_path / "book" / "audit.jsonl"
    path.write_text(path.read_text().replace(entry["key"], "operator 00000000"))
    assert not verify(tmp_path / "book").ok


def test_a_wrong_key_is_slowed_down(commissioned, tmp_path):
    elsewhere = ["--book", str(tmp_path / "other")]
    wrong = invoke("key", "check", "operator", *elsewhere, key="not-this-one")
    assert wrong.exit_code == 1 and "wrong operator's key; the next attempt in 1 s" in wrong.output
    wrong = invoke("key", "check", "operator", *elsewhere, key=METROLOGIST)
    assert wrong.exit_code == 1
    assert "wait" in wrong.output or "next attempt in 2 s" in wrong.output
    assert not (tmp_path / "other" / "keys.json").exists()


def test_another_book_learns_a_key_by_checking_it(commissioned, tmp_path):
    elsewhere = tmp_path / "other"
    assert (
        invoke("key", "check", "operator", "--book", str(elsewhere), key=OPERATOR).exit_code == 0
    )
    assert list(keys.KeyRing(elsewhere).all()) == [DEVICE]


def test_the_book_wants_a_key_where_it_knows_one(commissioned, tmp_path):
    audit = Book(tmp_path / "book").audit
    with keys.held(keys.Hand("not-this-one")), pytest.raises(keys.KeyDenied, match="operator's"):
        audit.append("lab", "A-17", "shift 2", "measured", None, {})
    with keys.held(keys.Hand(OPERATOR)):
        assert audit.append("lab", "A-17", "shift 2", "x", None, {})["key"].startswith("operator ")
        with pytest.raises(keys.KeyDenied, match="metrologist's"):
            audit.append("recipe", "25 um", "shift 2", "x", None, {})
    with keys.held(keys.Hand(METROLOGIST)):
        assert audit.append("recipe", "25 um", "shift 2", "x")["key"].startswith("metrologist ")
    with keys.held(keys.Hand()), pytest.raises(keys.KeyDenied, match="POROGAUGE_KEY"):
        audit.append("lab", "A-17", "shift 2", "measured", None, {})


def test_key_files(tmp_path, commissioned):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(OPERATOR + "\n")
    bad.write_text("one\ntwo\n")
    assert invoke("hold", "--key-file", str(good)).exit_code == 0
    wrong = invoke("resume", "--key-file", str(bad))
    assert wrong.exit_code == 2 and "a key file is one line, this has 2" in wrong.output
    with pytest.raises(UsageError, match="8 to 256 printable"):
        keys.Hand("short")


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"aa": {}}', f'{{"{DEVICE}": {{"boss": "00"}}}}', f'{{"{DEVICE}": 5}}']
)
def test_a_damaged_ring_denies(tmp_path, text):
    (tmp_path / keys.FILE).write_text(text)
    with pytest.raises(keys.KeyDenied, match="cannot be read"):
        keys.prove(tmp_path, "lab")
