"""Recipe and calibration: what is compiled, what is read back, what is refused and how."""

import copy
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gauge import config, record
from porogauge import recipe
from porogauge.recipe_fields import CONVERSIONS, FIELD, KINDS, NODES, REQUIRED

INDEX = {name: index for index, (name, _, _) in enumerate(config.SPEC)}
STANDARD = {"recipe": recipe.standard_recipe, "calibration": recipe.standard_calibration}
NUMBERS = [
    (kind, field)
    for kind in KINDS
    for field in FIELD[kind].values()
    if field.kind in ("number", "integer")
]
COMPILED = [(kind, field) for kind, field in NUMBERS if field.word]


def of(field):
    return f"{field[0]}:{field[1].path}"


def standard():
    return {kind: make() for kind, make in STANDARD.items()}


def compiled(both):
    return recipe.compile_words(both["recipe"], both["calibration"], ("r.toml", "c.toml"))


def put(tables, path, value):
    table, name = path.split(".")
    tables.setdefault(table, {})[name] = value


def value_problems(kind, path, value):
    """What `normalise` says when one field of the standard file has this value."""
    tables = STANDARD[kind]()
    put(tables, path, value)
    with pytest.raises(recipe.RecipeError) as caught:
        recipe.normalise(kind, tables, "f.toml")
    return caught.value.problems


def test_every_word_has_one_field():
    words = []
    for field in (field for kind in KINDS for field in FIELD[kind].values() if field.word):
        if field.kind == "nodes":
            words += [field.node(n) for n in range(NODES)] + [field.count] * bool(field.count)
        else:
            words.append(field.word)
    assert sorted(words) == sorted(set(INDEX) - {"recipe_id", "calibration_id"})


def test_the_standard_files_compile_to_what_they_say():
    words = compiled(standard())
    assert words[INDEX["solid_e6"]] == 3_300_000
    assert words[INDEX["structure_ppm"]] == 333_333
    assert words[INDEX["gap_8nm"]] == 4_000_000
    assert words[INDEX["d_8nm"]] == 16_000_000
    assert words[INDEX["capdac_af"]] == 5_952_756
    assert words[INDEX["thickness_hihi_8nm"]] == 240_000
    assert words[INDEX["cap_rate"]] == 0
    assert words[INDEX["permittivity_max_e4"]] == 25_000
    mask = words[INDEX["latch_mask"]]
    assert record.names_of(mask) == ["thickness_hihi", "porosity_hihi"]
    assert config.unpack(config.pack(words)) == words


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_files_are_the_templates(kind):
    """`porogauge recipe init --force host/porogauge/data` writes them anew."""
    shipped = files("porogauge") / "data" / f"{kind}.toml"
    assert shipped.read_text(encoding="utf-8") == recipe.template(kind)


def test_templates_compile_to_the_standard_words(tmp_path):
    for kind in KINDS:
        (tmp_path / f"{kind}.toml").write_text(recipe.template(kind), encoding="utf-8")
    found = recipe.load_files([tmp_path / "calibration.toml", tmp_path / "recipe.toml"])
    assert list(found) == ["calibration", "recipe"]
    assert compiled({kind: tables for kind, (tables, _) in found.items()}) == compiled(standard())


# ---------------------------------------------------------------- conversion


@given(st.sampled_from(COMPILED), st.data())
def test_a_value_is_within_half_a_word_and_comes_back(one, data):
    kind, field = one
    low, high = field.range()
    places = 0 if field.kind == "integer" else 9
    value = data.draw(st.decimals(low, high, places=places))
    tables = STANDARD[kind]()
    put(tables, field.path, value)
    values = recipe.normalise(kind, tables, "f.toml")
    words = config.new()
    recipe._fill(words, kind, values)
    word = words[INDEX[field.word]]
    exact = value * field.factor
    assert word == int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    assert abs(word - exact) <= Decimal("0.5")
    # read back, and compiled again: the same word
    back = recipe.decode_words(words)[KINDS.index(kind)]
    table, name = field.path.split(".")
    put(tables, field.path, back[table][name])
    again = config.new()
    recipe._fill(again, kind, recipe.normalise(kind, tables, "f.toml"))
    assert again[INDEX[field.word]] == word


def test_halves_are_rounded_to_even():
    tables = standard()
    for text, word in (("3.2999995", 3_300_000), ("3.3000005", 3_300_000), ("3.3000015", 3300002)):
        tables["recipe"]["material"]["permittivity"] = Decimal(text)
        assert compiled(tables)[INDEX["solid_e6"]] == word
    # a float means what is written, not its binary neighbour
    tables["recipe"]["material"]["permittivity"] = 3.3000005
    assert compiled(tables)[INDEX["solid_e6"]] == 3_300_000


def test_everything_comes_back_from_words():
    both = standard()
    both["recipe"]["mixing"]["correction_percent"] = [n / 10 - 1.6 for n in range(33)]
    both["calibration"]["capacitance"]["conversion_ms"] = 109.6
    both["calibration"]["lasers"]["model"] = "1420-10"
    both["calibration"]["lasers"]["map_start_um"] = 4000
    both["calibration"]["lasers"]["map_step_um"] = 62.5
    both["calibration"]["lasers"]["b_map_um"] = [n / 8 - 2 for n in range(33)]
    both["recipe"]["judging"]["average_windows"] = 16
    words = compiled(both)
    back = dict(zip(KINDS, recipe.decode_words(words), strict=True))
    back["recipe"]["recipe"] = both["recipe"]["recipe"]
    back["recipe"]["material"]["density_g_cm3"] = 1.42
    back["calibration"]["calibration"] = both["calibration"]["calibration"]
    again = compiled(back)
    ids = {INDEX["recipe_id"], INDEX["calibration_id"]}  # those of files with names and targets
    assert [w for i, w in enumerate(again) if i not in ids] == [
        w for i, w in enumerate(words) if i not in ids
    ]
    assert back["recipe"]["mixing"]["correction_percent"][:2] == [-1.6, -1.5]
    assert back["calibration"]["lasers"]["model"] == "1420-10"
    assert back["calibration"]["lasers"]["a_map_um"] == []
    assert back["calibration"]["lasers"]["b_map_um"][:2] == [-2, -1.875]
    assert words[INDEX["b_map_32_8nm"]] == 16_000
    assert words[INDEX["filter_shift"]] == 4
    # as TOML text, the way `recipe show` writes it
    import tomllib

    for kind in KINDS:
        text = recipe.dumps(kind, back[kind], comments=False)
        assert tomllib.loads(text) == back[kind]


@pytest.mark.parametrize(("ms", "code"), CONVERSIONS.items())
def test_conversion_times(ms, code):
    both = standard()
    both["calibration"]["capacitance"]["conversion_ms"] = float(ms)
    assert compiled(both)[INDEX["cap_rate"]] == code


@pytest.mark.parametrize("shift", range(9))
def test_average_windows(shift):
    both = standard()
    both["recipe"]["judging"]["average_windows"] = 1 << shift
    words = compiled(both)
    assert words[INDEX["filter_shift"]] == shift
    assert recipe.decode_words(words)[0]["judging"]["average_windows"] == 1 << shift
    (problem,) = value_problems("recipe", "judging.average_windows", 3 << shift)
    assert problem.endswith("legal: one of 1, 2, 4, 8, 16, 32, 64, 128, 256 windows")


def test_days(tmp_path):
    (tmp_path / "r.toml").write_text(
        recipe.template("recipe").replace("# fitted_on =", "fitted_on = 2026-03-01")
    )
    tables = recipe.load(tmp_path / "r.toml")
    assert recipe.normalise("recipe", tables, "r")["mixing.fitted_on"] == "2026-03-01"
    for day in ("2026-02-30", "1 March", 20260301):
        (problem,) = value_problems("recipe", "mixing.fitted_on", day)
        assert problem.endswith("is not a day; legal: a day as YYYY-MM-DD")


def test_a_correction_of_another_recipe_does_not_stay():
    both = standard()
    both["recipe"]["mixing"]["correction_percent"] = [1] * 33
    words = compiled(both)
    assert words[INDEX["correction_32_ppm"]] == 10_000
    plain = recipe.replace_part(words, "recipe", recipe.standard_recipe(), "r")
    assert plain == compiled(standard())


def test_replacing_one_part_keeps_the_other():
    words = compiled(standard())
    head = recipe.standard_calibration()
    head["lasers"]["sum_distance_um"] = 2001
    changed = recipe.replace_part(words, "calibration", head, "c.toml")
    assert changed[INDEX["d_8nm"]] == 16_008_000
    assert changed[INDEX["calibration_id"]] != words[INDEX["calibration_id"]]
    assert changed[INDEX["recipe_id"]] == words[INDEX["recipe_id"]]
    head["lasers"]["sum_distance_um"] = -1
    with pytest.raises(recipe.RecipeError, match="c.toml: lasers.sum_distance_um"):
        recipe.replace_part(words, "calibration", head, "c.toml")


# ---------------------------------------------------------------- identity


def test_the_id_is_that_of_the_content():
    first, second = standard(), standard()
    second["recipe"] = dict(reversed(second["recipe"].items()))
    second["recipe"]["material"] = {
        name: float(value) for name, value in second["recipe"]["material"].items()
    }
    second["recipe"]["mixing"]["correction_percent"] = []  # stating a default changes nothing
    assert compiled(first) == compiled(second)
    second["recipe"]["recipe"]["name"] = "another"
    assert compiled(first)[INDEX["recipe_id"]] != compiled(second)[INDEX["recipe_id"]]
    assert compiled(first)[INDEX["calibration_id"]] == compiled(second)[INDEX["calibration_id"]]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("one", NUMBERS, ids=of)
def test_range_errors_name_file_field_and_range(one):
    kind, field = one
    low, high = field.range()
    step = max(Decimal("0.001"), Decimal(1) / field.factor)
    for value in (low - step, high + step, int(high) + 10**9, float("inf"), float("nan")):
        (problem,) = value_problems(kind, field.path, value)
        assert problem.startswith(f"f.toml: {field.path}: ")
        assert problem.endswith(f"legal: {field.legal}")
    for value in (low, high):  # both ends are legal
        tables = STANDARD[kind]()
        put(tables, field.path, value)
        recipe.normalise(kind, tables, "f.toml")


@pytest.mark.parametrize(
    "one", [(k, f) for k in KINDS for f in FIELD[k].values()], ids=lambda one: of(one)
)
def test_wrong_types_are_refused(one):
    kind, field = one
    wrong = [None, {}, True, b"x"]
    wrong += [[1], 7] if field.kind == "text" else ["7"]
    wrong += [[7]] if field.kind != "nodes" else [7, [1] * 32, ["1"] * 33, [101] * 33]
    if field.kind == "names":
        wrong += [["no_such_flag"], [7]]
    for value in wrong:
        (problem,) = value_problems(kind, field.path, value)
        assert problem.startswith(f"f.toml: {field.path}: ") and "legal: " in problem


@pytest.mark.parametrize(
    "one",
    [(k, f) for k in KINDS for f in FIELD[k].values() if f.default is REQUIRED],
    ids=lambda one: of(one),
)
def test_missing_fields_are_named(one):
    kind, field = one
    tables = STANDARD[kind]()
    del tables[field.table][field.name]
    with pytest.raises(recipe.RecipeError) as caught:
        recipe.normalise(kind, tables, "f.toml")
    assert caught.value.problems == [f"f.toml: {field.path} is missing; legal: {field.legal}"]


@given(st.data())
def test_mutated_files_are_refused_with_the_field_or_compile(data):
    """Whatever is done to the standard files: legal words, or an error that names the place."""
    both = copy.deepcopy(standard())
    changed = []
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(KINDS))
        path = data.draw(st.sampled_from(sorted(FIELD[kind])))
        table, name = path.split(".")
        both[kind].setdefault(table, {})
        action = data.draw(st.sampled_from(["drop", "value", "rename"]))
        if action == "drop":
            both[kind][table].pop(name, None)
        elif action == "rename":
            both[kind][table][name + "x"] = both[kind][table].pop(name, 1)
        else:
            both[kind][table][name] = data.draw(
                st.one_of(
                    st.integers(-(10**12), 10**12),
                    st.floats(),
                    st.text(max_size=5),
                    st.booleans(),
                    st.lists(st.sampled_from(record.FLAG_NAMES), max_size=3),
                )
            )
        changed.append((kind, path))
    try:
        words = compiled(both)
    except recipe.RecipeError as error:
        text = "\n".join(error.problems)
        assert all(problem.startswith(("r.toml: ", "c.toml: ")) for problem in error.problems)
        assert any(path.split(".")[1] in text for _, path in changed)
    else:
        assert config.unpack(config.pack(words)) == words


def test_unknown_names_get_the_nearest_legal_one():
    both = standard()
    both["recipe"]["material"]["permitivity"] = 3
    both["recipe"]["limit"] = {}
    both["recipe"]["film"] = 3
    both["recipe"]["outputs"]["reject"] = ["tickness_hihi"]
    both["calibration"]["lasers"]["model"] = "1900-3"
    with pytest.raises(recipe.RecipeError) as caught:
        compiled(both)
    text = str(caught.value)
    assert (
        "r.toml: material.permitivity is not a field of a recipe (did you mean 'permittivity'"
        in text
    )
    assert "r.toml: [limit] is not a table of a recipe (did you mean 'limits'?)" in text
    assert "r.toml: film must be a table: write [film]" in text
    assert "'tickness_hihi' is not a flag (did you mean 'thickness_hihi'?)" in text
    assert "c.toml: lasers.model: '1900-3' is not a known model (did you mean" in text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"recipe:limits.thickness_lo_um": 29}, "thickness_lo_um (29) is above"),
        ({"recipe:limits.porosity_lolo_percent": 41}, "porosity_lolo_percent (41) is above"),
        ({"recipe:limits.thickness_deadband_um": 2.6}, "a flag could never go; legal: 0 to 2.5"),
        ({"recipe:film.target_porosity_percent": 20}, "is not between limits.porosity_lo"),
        ({"calibration:envelope.rh_min_percent": 80}, "rh_min_percent (80) is not below"),
        ({"calibration:capacitance.capdac_pf": 1}, "the converter would be at its end"),
        ({"calibration:capacitance.capdac_code": 0}, "must be 0 when capdac_code is 0"),
        ({"calibration:capacitance.gap_um": 700}, "which make 3.974 pF"),
        ({"calibration:lasers.reference_um": 2000}, "no tile fits"),
        (
            {"calibration:lasers.a_map_um": [1] * 33},
            "lasers.a_map_um is given, but lasers.map_step_um is 0",
        ),
        ({"calibration:lasers.map_start_um": 2000}, "beyond the lasers' range; legal: below 2000"),
        (
            {"recipe:mixing.valid_rh_min_percent": 60, "recipe:mixing.valid_rh_max_percent": 40},
            "mixing.valid_rh_min_percent (60) is not below mixing.valid_rh_max_percent (40)",
        ),
        ({"calibration:lasers.sum_distance_um": 6000}, "with 2 mm range can see; legal: up to"),
        (
            {"calibration:lasers.model": "1420-10", "calibration:lasers.rate_hz": 3000},
            "has no rate of 3000 Hz; legal: 250, 500",
        ),
    ],
)
def test_contradictions(changes, text):
    both = standard()
    for where, value in changes.items():
        kind, path = where.split(":")
        put(both[kind], path, value)
    with pytest.raises(recipe.RecipeError) as caught:
        compiled(both)
    assert text in str(caught.value)


def test_limits_that_are_left_out_are_not_applied():
    both = standard()
    both["recipe"]["limits"] = {"porosity_u95_max_percent": 10, "thickness_lolo_um": 20}
    words = compiled(both)
    assert words[INDEX["thickness_lolo_8nm"]] == words[INDEX["thickness_lo_8nm"]] == 160_000
    assert words[INDEX["thickness_hi_8nm"]] == words[INDEX["thickness_hihi_8nm"]] == 8_000_000
    assert words[INDEX["porosity_lo_ppm"]] == 0 and words[INDEX["porosity_hi_ppm"]] == 1_000_000


# ---------------------------------------------------------------- files


def test_files_that_cannot_be_read(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("[material]\npermittivity = 3.3 oops\n")
    with pytest.raises(recipe.RecipeError, match=r"bad.toml: is not TOML: .*line 2"):
        recipe.load(bad)
    with pytest.raises(recipe.RecipeError, match="no such file; 'porogauge recipe init'"):
        recipe.load(tmp_path / "none.toml")
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(recipe.RecipeError, match="cannot be read"):
        recipe.load(bad)
    bad.write_text("")
    with pytest.raises(recipe.RecipeError, match="neither a recipe nor a calibration"):
        recipe.load_files([bad])


def test_one_file_may_hold_both_but_nothing_twice(tmp_path):
    both = tmp_path / "both.toml"
    both.write_text(recipe.template("recipe") + "\n" + recipe.template("calibration"))
    found = recipe.load_files([both])
    assert compiled({kind: tables for kind, (tables, _) in found.items()}) == compiled(standard())
    with pytest.raises(recipe.RecipeError, match="is a second recipe, after"):
        recipe.load_files([both, both])
