"""Recipes on their way: what is refused leaves board and book as they are; book, diff, lists."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge import config
from porogauge import cli, recipe
from porogauge.book import Book
from porogauge.device import push_files
from porogauge.errors import PorogaugeError
from porogauge.grades import GRADES
from porogauge.recipe_fields import FIELD, LAYER, REQUIRED

DEVICE = "e661a4d4178c2b2f"
FIELDS = list(FIELD["recipe"].values())


class Board:
    """The board's side of a push: it takes what passes its own check."""

    def __init__(self):
        self.hello = SimpleNamespace(device=DEVICE)
        words = recipe.compile_words(recipe.standard_recipe(), recipe.standard_calibration())
        self.blob = config.pack(words)

    def read_config(self):
        return self.blob

    def push_config(self, blob):
        config.unpack(blob)
        self.blob = bytes(blob)


def shipped(name):
    return tomllib.loads(recipe.shipped_recipe(name), parse_float=Decimal)


def invoke(*arguments):
    return CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])


def events(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


# ---------------------------------------------------------------- what is refused

WRONG = {
    "number": ["7", None, True, [1], {}],
    "integer": ["7", None, True, 1.5],
    "text": [7, "", None, "x" * 81],
    "date": [7, "yesterday", True],
    "choice": [7.5, "no such one", None, []],
    "names": ["hihi", [7], ["no_such_name"], None],
    "nodes": [7, [1] * 32, ["1"] * 33, "none"],
    "points": [7, [[1.5, 60]] * 2, [[1.5]] * 3, [["1.5", 60]] * 3, "none"],
}


@st.composite
def mutations(draw):
    """A shipped recipe with one thing wrong, and the name that the refusal has to have."""
    name = draw(st.sampled_from(sorted(GRADES)))
    tables = shipped(name)
    what = draw(st.sampled_from(["missing", "range", "type", "unknown", "layer", "contradiction"]))
    if what == "missing":
        field = draw(st.sampled_from([f for f in FIELDS if f.default is REQUIRED]))
        del tables[field.table][field.name]
        return tables, field.path
    if what == "range":
        field = draw(st.sampled_from([f for f in FIELDS if f.kind in ("number", "integer")]))
        low, high = field.range()
        tables.setdefault(field.table, {})[field.name] = draw(
            st.sampled_from([low - 1, high + 1, high * 1000 + 1, float("nan"), float("inf")])
        )
        return tables, field.path
    if what == "type":
        field = draw(st.sampled_from(FIELDS))
        value = draw(st.sampled_from(WRONG[field.kind]))
        tables.setdefault(field.table, {})[field.name] = copy.deepcopy(value)
        return tables, field.path
    if what == "unknown":
        field = draw(st.sampled_from(FIELDS))
        content = tables.setdefault(field.table, {})
        content[field.name + "x"] = content.pop(field.name, 1)
        return tables, f"{field.path}x"
    if what == "layer":
        field = draw(st.sampled_from(list(LAYER.values())))
        layer = {"name": "more", "kind": "adhesive", "thickness_um": 5, "permittivity": 3}
        layer[field.name] = copy.deepcopy(draw(st.sampled_from(WRONG[field.kind])))
        tables["layer"] = [layer]
        return tables, f"layer 1.{field.name}"
    path, changes = draw(st.sampled_from(CONTRADICTIONS))
    for where, value in changes.items():
        table, _, field = where.partition(".")
        if field:
            tables.setdefault(table, {})[field] = value
        else:
            tables[table] = value
    return tables, path


METAL = {"name": "foil", "kind": "metal", "thickness_um": 9, "u_thickness_um": 0.1}
CONTRADICTIONS = [
    ("limits.thickness_lolo_um", {"limits.thickness_lolo_um": 24}),
    ("limits.thickness_deadband_um", {"limits.thickness_deadband_um": 9}),
    ("film.target_thickness_um", {"film.target_thickness_um": 60}),
    (
        "limits.permittivity_max",
        {"limits.permittivity_max": 1.5, "film.target_porosity_percent": 50, "layer": []},
    ),
    (
        "limits.porosity_lo_percent",
        {"layer": [METAL], "limits.porosity_lo_percent": 40, "limits.porosity_hi_percent": 60},
    ),
    ("layer 1.permittivity", {"layer": [METAL | {"permittivity": 3}]}),
    ("layer 1.u_thickness_um", {"layer": [{**METAL, "kind": "floating_metal"}], "x": None}),
    ("layers.thickness_um", {"layer": [METAL], "layers.thickness_um": 9}),
    ("mixing.valid_rh_min_percent", {"mixing.valid_rh_min_percent": 60}),
    ("mixing.correction_percent", {"mixing.correction_percent": [1] * 33}),
    ("recipe.grade", {"recipe.grade": "through-pore", "limits.thickness_hihi_um": 120}),
]
del CONTRADICTIONS[6][1]["layer"][0]["u_thickness_um"], CONTRADICTIONS[6][1]["x"]
CONTRADICTIONS[8][1]["mixing.valid_rh_max_percent"] = 40
CONTRADICTIONS[9][1]["mixing.law"] = "looyenga"
CONTRADICTIONS[10] = ("limits.thickness_hihi_um", CONTRADICTIONS[10][1])


@settings(max_examples=300)
@given(mutations())
def test_a_wrong_recipe_is_refused_and_nothing_changes(mutation):
    """Missing, out of range, of the wrong type or contradictory: named, with what is legal."""
    tables, path = mutation
    board = Board()
    before = board.blob
    with TemporaryDirectory() as folder:
        book = Book(Path(folder) / "book")
        with pytest.raises(recipe.RecipeError) as caught:
            push_files(board, {"recipe": (tables, "r.toml")}, book, "tests", "mutation")
        assert list(book.audit.entries()) == []
    named = [text for text in caught.value.problems if path in text]
    assert named, (path, caught.value.problems)
    assert all(text.startswith("r.toml: ") for text in caught.value.problems)
    assert all(re.search(r"[Ll]egal( in \[\w+\])?: \S", text) for text in named)
    assert board.blob == before


@pytest.mark.parametrize("grade", GRADES)
def test_a_good_recipe_arrives_and_is_in_the_book(grade, tmp_path):
    board, book = Board(), Book(tmp_path / "book")
    words = push_files(board, {"recipe": (shipped(grade), "r.toml")}, book, "tests", "new")
    assert config.unpack(board.blob) == words
    name = shipped(grade)["recipe"]["name"]
    id = book.current("recipe", name)
    assert id == f"{words[config.RECIPE_ID]:08x}"
    kept = book.get("recipe", id)
    assert recipe.replace_part(words, "recipe", kept, "book") == words
    assert book.audit.entries()[-1]["kind"] == "push"


def test_a_running_roll_locks_its_recipe(tmp_path):
    board, book = Board(), Book(tmp_path / "book")
    before = board.blob
    start = {"event": "start", "device": DEVICE, "database": "x.db", "grade": "base"}
    book.audit.append("roll", "A-17", "tests", "order", None, start)
    found = {"recipe": (shipped("base"), "r.toml")}
    with pytest.raises(PorogaugeError, match="roll A-17 runs on .* locked"):
        push_files(board, found, book, "tests", "no")
    assert board.blob == before
    end = {"event": "end", "device": DEVICE, "database": "x.db"}
    book.audit.append("roll", "A-17", "tests", "full", None, end)
    push_files(board, found, book, "tests", "now")
    assert board.blob != before


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize("grade", GRADES)
def test_init_with_a_grade(grade, tmp_path):
    result = invoke("recipe", "init", tmp_path, "--grade", grade, "--json")
    assert result.exit_code == 0
    assert (tmp_path / "recipe.toml").read_text() == recipe.shipped_recipe(grade)
    files = (tmp_path / "recipe.toml", tmp_path / "calibration.toml")
    result = invoke("recipe", "check", *files, "--table", "--json")
    assert result.exit_code == 0, result.output
    told = events(result)[0]
    verdicts = {row["verdict"] for row in told["rows"]}
    if "metal" in GRADES[grade].layers:
        assert told["porosity"]["verdict"] == "not_identifiable"
        assert told["porosity"]["u95_points"] is None and verdicts == {"not_identifiable"}
    else:
        assert told["porosity"]["verdict"] == "indicative" and "indicative" in verdicts
    assert all(row["u95_thickness_um"] > 0.3 for row in told["rows"])


def test_init_refuses_what_makes_no_sense(tmp_path):
    result = invoke("recipe", "init", tmp_path, "--grade", "bast")
    assert result.exit_code == 2 and "through-pore" in result.stderr
    result = invoke("recipe", "init", tmp_path, "--grade", "base", "--only", "calibration")
    assert result.exit_code == 2 and list(tmp_path.iterdir()) == []


def test_check_shows_the_table(tmp_path):
    invoke("recipe", "init", tmp_path, "--grade", "thickness")
    result = invoke("recipe", "check", tmp_path / "recipe.toml", "--table")
    assert result.exit_code == 0
    assert "(the standard head is assumed): indicative" in result.stdout
    assert (
        "      25 um       50 %        1.930     0.44 um    8.8 points   indicative"
        in result.stdout
    )
    assert "warning: over the whole range of the recipe porosity will be indic" in result.stderr
    result = invoke("recipe", "check", tmp_path / "calibration.toml", "--table")
    assert result.exit_code == 2 and "--table is of a recipe" in result.stderr


def test_check_refuses_what_the_grade_does_not_allow(tmp_path):
    invoke("recipe", "init", tmp_path, "--grade", "through-pore")
    path = tmp_path / "recipe.toml"
    path.write_text(path.read_text().replace("thickness_hihi_um = 30", "thickness_hihi_um = 130"))
    result = invoke("recipe", "check", path, "--json")
    assert result.exit_code == 1
    (problem,) = events(result)[0]["problems"]
    assert "limits.thickness_hihi_um (130): grade through-pore promises" in problem
    assert "legal: up to 100" in problem


def test_grades_are_told():
    result = invoke("recipe", "grades", "--json")
    told = {event["name"]: event for event in events(result)}
    assert list(told) == list(GRADES)
    claims = {claim["property"]: claim for claim in told["through-pore"]["claims"]}
    assert claims["heat_shrinkage_percent"] == {
        "property": "heat_shrinkage_percent",
        "low": None,
        "high": 1,
        "measured": "laboratory",
    }
    assert told["laminate-substrate-metal"]["layers"] == ["substrate", "metal"]
    text = invoke("recipe", "grades").stdout
    assert "air resistance         30 to 2000 s/100 cc laboratory" in text


def test_diff_list_and_history(tmp_path):
    book = Book(tmp_path / "book")
    first = shipped("laminate-adhesive")
    second = copy.deepcopy(first)
    second["recipe"]["version"] = 2
    second["material"]["permittivity"] = Decimal("3.32")
    second["layer"][0]["thickness_um"] = 11
    second["layer"].append(
        {"name": "skin", "kind": "skin", "thickness_um": 1, "u_thickness_um": Decimal("0.1")}
        | {"permittivity": Decimal("3.3")}
    )
    ids = [book.put("recipe", tables, "operator", "new glue") for tables in (first, second)]
    base = shipped("base")
    book.put("recipe", base, "operator", "first")
    result = invoke("recipe", "list", "--book", book.path, "--json")
    told = {event["name"]: event for event in events(result)}
    name = first["recipe"]["name"]
    assert told[name]["id"] == ids[1] and told[name]["version"] == 2
    assert told[base["recipe"]["name"]]["grade"] == "base"
    result = invoke("recipe", "history", name, "--book", book.path, "--json")
    versions = events(result)
    assert [version["id"] for version in versions] == ids
    assert versions[1]["changes"]["material.permittivity"] == [3.3, 3.32]
    assert versions[1]["changes"]["layer 'adhesive'.thickness_um"] == [10, 11]
    assert versions[1]["changes"]["layer 'skin'.kind"] == [None, "skin"]
    assert versions[1]["who"] == "operator" and versions[0]["changes"] == {}
    path = tmp_path / "second.toml"
    path.write_text(recipe.dumps("recipe", second))
    by_id = invoke("recipe", "diff", ids[0], path, "--book", book.path, "--json")
    fields = {e["field"]: (e["before"], e["after"]) for e in events(by_id)[:-1]}
    assert fields["material.permittivity"] == (3.3, 3.32)
    assert fields["recipe.version"] == (1, 2)
    assert fields["layers.thickness_um"] == (10, 12)
    same = invoke("recipe", "diff", name, path, "--book", book.path)
    assert same.exit_code == 0 and same.stdout == "no difference\n"
    text = invoke("recipe", "diff", ids[0], name, "--book", book.path).stdout
    assert "material.permittivity: 3.3 -> 3.32" in text
    assert "layer 'skin'.name: left out -> skin" in text


def test_recipes_that_are_not_there(tmp_path):
    book = Book(tmp_path / "book")
    result = invoke("recipe", "diff", "a.toml", "b.toml", "--book", book.path)
    assert result.exit_code == 2 and "no id 'a.toml'; in the book: none" in result.stderr
    result = invoke("recipe", "history", "film", "--book", book.path)
    assert result.exit_code == 2 and "no recipe named 'film'" in result.stderr
    assert invoke("recipe", "list", "--book", book.path).exit_code == 0
