"""`porogauge stats`: what it reports of a film whose statistics are known."""

import json

import numpy as np
import pytest
import roll_data
from click.testing import CliRunner

from gauge import record
from porogauge import cli, output, rolls
from porogauge.book import Book
from porogauge.stats import Options, statistics
from porogauge.stats.analysis import Limits
from porogauge.store import Store

COUNT, STEP = 24_000, 0.005  # 120 m


def made(path, values, porosity=None, **rest):
    """A database whose windows have these thicknesses (um) and porosities (%)."""
    porosity = np.full(len(values), 50.0) if porosity is None else porosity

    def change(seq):
        return {
            "thickness_8nm": round(values[seq] * 8000),
            "porosity_ppm": round(porosity[seq] * 1e4),
        } | {name: value(seq) for name, value in rest.items()}

    with Store(path) as store:
        roll_data.documents(store)
        roll_data.fill(store, count=len(values), change=change)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    rng = np.random.default_rng(7)
    x = np.arange(COUNT) * STEP
    thickness = 25 + 0.3 * rng.standard_normal(COUNT) + 0.1 * np.sin(2 * np.pi * x / 0.9)
    porosity = 50 + 1.0 * rng.standard_normal(COUNT)
    return made(tmp_path_factory.mktemp("film") / "roll.db", thickness, porosity)


@pytest.fixture(autouse=True)
def people():
    yield
    output.set_json(False)


def invoke(*arguments):
    return CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])


def test_a_film_that_is_known(film):
    thickness, porosity = (found.report for found in statistics(film))
    assert thickness["mean"]["low95"] < 25 < thickness["mean"]["high95"]
    assert porosity["mean"]["low95"] < 50 < porosity["mean"]["high95"]
    # 40 windows of 0.2 m: readings of white noise have a fortieth of its variance
    assert porosity["sd"]["low95"] < 1 / np.sqrt(40) < porosity["sd"]["high95"]
    assert porosity["readings"]["subgroups_used"] == 120
    for index in ("cp", "cpk", "pp", "ppk"):
        found = porosity["capability"][index]
        assert found["low95"] < 15 / (3 / np.sqrt(40)) < found["high95"]
    assert porosity["limits"]["source"].startswith("recipe ")
    assert porosity["capability"]["normality"]["normal"]
    assert porosity["variance_components"]["components"]["machine_direction"]["percent"] < 5
    assert porosity["spectrum"]["periods"] == []
    for name in ("xbar_r", "xbar_s", "individuals"):
        for rule, found in porosity["charts"][name]["signals"].items():
            assert found["count"] <= found["by_chance"] + 6, (name, rule)
    (period,) = thickness["spectrum"]["periods"]
    assert period["period_mm"] == pytest.approx(900, rel=3e-3)
    assert period["amplitude"] == pytest.approx(0.1, rel=0.15)


def test_json_is_one_object_for_each_value(film):
    result = invoke("stats", film, "--json", "--roller", "calender=900", "--roller", "other=333")
    assert result.exit_code == 0, result.output
    thickness, porosity = map(json.loads, result.stdout.splitlines())
    assert [thickness["event"], thickness["value"], porosity["value"]] == [
        "statistics",
        "thickness_um",
        "porosity_percent",
    ]
    assert thickness["spectrum"]["periods"][0]["rollers"] == ["calender"]
    assert list(thickness) == [
        "event",
        "roll",
        "value",
        "unit",
        "device",
        "boots",
        "windows",
        "windows_used",
        "left_out",
        "not_stored",
        "sections",
        "length_m",
        "window_u95",
        "limits",
        "readings",
        "autocorrelation",
        "mean",
        "sd",
        "outside",
        "charts",
        "capability",
        "variance_components",
        "spectrum",
        "notes",
    ]
    assert "NaN" not in result.stdout and "Infinity" not in result.stdout


def test_people_read_it(film):
    text = invoke("stats", film, "--value", "thickness", "--roller", "calender=900").stdout
    for part in ("Cpk", "calender", "by chance", "machine direction", "no traverse"):
        assert part in text


def test_holes_are_counted_and_do_not_count(tmp_path):
    rng = np.random.default_rng(8)
    path = made(
        tmp_path / "holes.db",
        25 + 0.3 * rng.standard_normal(8000),
        valid=lambda seq: 0 if 3000 <= seq < 3500 else record.VALID_ALL,
        reason=lambda seq: record.REASON_LASER_A_FAULT if 3000 <= seq < 3500 else 0,
    )
    (found,) = statistics(path, Options(values=("thickness",)))
    assert found.report["left_out"] == {"measuring: laser_a_fault": 500}
    assert found.report["windows_used"] == 7500
    assert (
        found.report["readings"]["left_out"] == 12
    )  # 2.5 m of 0.2 m, of the last of which half is there
    assert found.report["mean"]["value"] == pytest.approx(25, abs=0.05)  # a zero would show


def every_number(found, path=""):
    if isinstance(found, dict):
        for name, value in found.items():
            yield from every_number(value, f"{path}.{name}")
    elif isinstance(found, list):
        for index, value in enumerate(found):
            yield from every_number(value, f"{path}[{index}]")
    elif isinstance(found, float):
        yield path, found


@pytest.mark.parametrize(
    ("count", "rest", "reason"),
    [
        (500, {"valid": lambda seq: 0}, "valid number"),
        (500, {"position_mm": lambda seq: 1000}, "did not move"),
        (30, {}, ""),
        (5000, {"thickness_8nm": lambda seq: 200_000}, "do not"),
    ],
    ids=["no number", "still web", "15 cm", "no variation"],
)
def test_what_cannot_be_computed_is_null_with_a_reason(tmp_path, count, rest, reason):
    rng = np.random.default_rng(9)
    path = made(tmp_path / "x.db", 25 + 0.1 * rng.standard_normal(count), **rest)
    result = invoke("stats", path, "--json", "--value", "thickness", "--plot", tmp_path / "x.png")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[0])
    for chart in report["charts"].values():
        assert reason in chart["reason"]
    for part in ("capability", "variance_components"):
        assert report[part]["reason"]
    assert all(np.isfinite(value) for _, value in every_number(report))
    for name in ("mean", "sd"):
        assert report[name]["value"] is not None or report[name]["reason"]
    assert (tmp_path / "x.png").stat().st_size > 10_000


def test_a_roll_by_its_name(tmp_path):
    rng = np.random.default_rng(10)
    path = made(tmp_path / "roll.db", 25 + 0.3 * rng.standard_normal(6000))
    with Store(path) as store:
        book = Book(tmp_path / "book")
        told = {"who": "test", "why": "test"}
        rolls.start(store, book, "A-1", roll_data.DEVICE, 1, 1000, grade="thickness", **told)
        rolls.end(store, book, "A-1", 1, 4999, **told)
    result = invoke("stats", path, "--roll", "A-1", "--json", "--value", "permittivity")
    report = json.loads(result.stdout)
    assert report["roll"] == "A-1" and report["windows"] == 4000
    assert report["limits"]["upper"] == 2.5 and report["limits"]["lower"] is None
    assert report["capability"]["reason"]  # the made film's permittivity does not vary
    missing = invoke("stats", path, "--roll", "B", "--json")
    assert missing.exit_code == 1 and "A-1" in missing.output


def test_stated_limits(film):
    options = Options(values=("porosity",), limits={"porosity": Limits(49.9, None, "test")})
    (found,) = statistics(film, options)
    assert found.report["limits"] == {"lower": 49.9, "upper": None, "source": "test"}
    assert found.report["capability"]["cp"]["value"] is None
    assert found.report["capability"]["cp"]["reason"] == "needs a lower and an upper limit"
    assert found.report["outside"]["below"] > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--roller", "calender"), "NAME=CIRCUMFERENCE_MM"),
        (("--roller", "a=0"), "1 to 100000 mm"),
        (("--roller", "a=900", "--roller", "a=800"), "twice"),
        (("--lower", "3"), "--value"),
        (("--value", "porosity", "--lower", "60", "--upper", "40"), "not below"),
        (("--roll", "A", "--boot", "1"), "leave --device, --boot out"),
    ],
)
def test_wrong_arguments(film, arguments, told):
    result = invoke("stats", film, *arguments)
    assert result.exit_code == 2
    assert told in result.output


def test_no_database(tmp_path):
    result = invoke("stats", tmp_path / "none.db")
    assert result.exit_code == 1 and "there is no such file" in result.output


def test_pictures(film, tmp_path):
    result = invoke("stats", film, "--plot", tmp_path / "roll.png", "--json")
    files = [json.loads(line)["file"] for line in result.stdout.splitlines()[-2:]]
    assert files == [str(tmp_path / f"roll_{name}.png") for name in ("thickness", "porosity")]
    for file in files:
        with open(file, "rb") as stream:
            assert stream.read(8) == b"\x89PNG\r\n\x1a\n"
    result = invoke("stats", film, "--value", "solid", "--plot", tmp_path / "no" / "x.png")
    assert result.exit_code == 1 and "cannot be written" in result.output
