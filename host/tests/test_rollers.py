"""Rollers of the line: the recipe lists them, the statistics name the one that marks the web."""

import json
import math
from decimal import Decimal

import numpy as np
import pytest
import roll_data
from click.testing import CliRunner

from gauge import config
from porogauge import recipe, rolls
from porogauge.book import Book
from porogauge.cli import cli
from porogauge.rollers import turns
from porogauge.store import Store

SOURCE = "my.toml"


def with_rollers(*tables):
    return recipe.standard_recipe() | {"roller": list(tables)}


def test_a_circumference_or_a_diameter():
    values = recipe.normalise(
        "recipe",
        with_rollers(
            {"name": "calender", "circumference_mm": 900},
            {"name": "wind-up", "diameter_mm": Decimal("150.5")},
        ),
        SOURCE,
    )
    found = turns(values)
    assert found["calender"] == 900
    assert found["wind-up"] == pytest.approx(150.5 * math.pi)


@pytest.mark.parametrize(
    "table, told",
    [
        ({"name": "a"}, "states neither of circumference_mm and diameter_mm"),
        ({"name": "a", "circumference_mm": 900, "diameter_mm": 300}, "states both"),
        ({"circumference_mm": 900}, "roller 1.name is missing"),
        ({"name": "a", "circumference_mm": 0}, "legal: 1 to 100000 millimetres"),
        ({"name": "a", "circumference_mm": "900"}, "roller 1.circumference_mm"),
        ({"name": "a", "circumferense_mm": 900}, "did you mean 'circumference_mm'"),
        (7, "must be a table"),
    ],
)
def test_what_is_wrong_is_named(table, told):
    with pytest.raises(recipe.RecipeError) as error:
        recipe.normalise("recipe", with_rollers(table), SOURCE)
    assert told in str(error.value) and SOURCE in str(error.value)


def test_two_of_a_name():
    one = {"name": "a", "circumference_mm": 900}
    with pytest.raises(recipe.RecipeError, match="'a' is there twice"):
        recipe.normalise("recipe", with_rollers(one, one), SOURCE)


def test_the_board_knows_none_but_the_file_is_another_one(tmp_path):
    """Rollers change the recipe's id, and no other word; a file without any keeps its id."""
    plain, listed = (
        recipe.compile_words(tables, recipe.standard_calibration())
        for tables in (
            recipe.standard_recipe(),
            with_rollers({"name": "a", "circumference_mm": 900}),
        )
    )
    differ = [i for i, pair in enumerate(zip(plain, listed, strict=True)) if len(set(pair)) > 1]
    assert differ == [config.RECIPE_ID]
    assert recipe.compile_words(with_rollers(), recipe.standard_calibration()) == plain
    path = tmp_path / "recipe.toml"
    tables = with_rollers({"name": "a", "circumference_mm": 900})
    path.write_text(recipe.dumps("recipe", tables), encoding="utf-8")
    assert recipe.compile_words(recipe.load(path), recipe.standard_calibration()) == listed
    assert recipe.load_files([path]).keys() == {"recipe"}


def test_a_period_of_900_mm_is_that_roller(tmp_path):
    """100 m of web with a mark every 0.9 m: the recipe's roller is named, by roll and without."""
    tables = with_rollers(
        {"name": "calender", "circumference_mm": 900},
        {"name": "coater", "circumference_mm": 700},
    )
    rng = np.random.default_rng(1)

    def film(seq):
        mark = 800 * math.sin(2 * math.pi * seq * 0.005 / 0.9)
        return {"thickness_8nm": round(200_000 + mark + 300 * rng.standard_normal())}

    path = tmp_path / "roll.db"
    with Store(path) as store:
        words = roll_data.documents(store, recipe=tables)
        roll_data.fill(store, count=20_000, change=film, words=words)
        book = Book(tmp_path / "book")
        rolls.start(store, book, "A-17", roll_data.DEVICE, 1, 0, who="test", why="test")
        rolls.end(store, book, "A-17", 1, 19_999, who="test", why="test")
    for more in ((), ("--roll", "A-17")):
        arguments = ["stats", str(path), "--value", "thickness", "--json", *more]
        run = CliRunner().invoke(cli, arguments)
        periods = json.loads(run.stdout)["spectrum"]["periods"]
        assert periods[0]["period_mm"] == pytest.approx(900, rel=0.02)
        assert periods[0]["rollers"] == ["calender"]
    run = CliRunner().invoke(cli, [*arguments, "--roller", "mine=900"])
    periods = json.loads(run.stdout)["spectrum"]["periods"]
    assert periods[0]["rollers"] == ["calender", "mine"]
