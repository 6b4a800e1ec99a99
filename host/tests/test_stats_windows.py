"""Reading a web fast is reading it right: against the rows of the database, one by one."""

import numpy as np
import pytest
import roll_data

from gauge import record
from porogauge import pages, rolls
from porogauge.book import Book
from porogauge.errors import PorogaugeError, UsageError
from porogauge.stats import readings as making
from porogauge.stats import windows
from porogauge.stats.estimate import NotComputable
from porogauge.store import Store

DEVICE = roll_data.DEVICE
NAMES = tuple(windows.VALUES)


def film(seq):
    """A film with every kind of hole."""
    rng = np.random.default_rng(seq)
    found = {
        "thickness_8nm": int(200_000 + rng.integers(-900, 900)),
        "porosity_ppm": int(500_000 + rng.integers(-9000, 9000)),
    }
    if seq % 97 == 0:
        found |= {"valid": record.VALID_SOLID, "reason": record.REASON_NOT_RESOLVABLE}
    if 200 <= seq < 260:
        found |= {
            "state": record.STATE_OFF_SHEET,
            "valid": 0,
            "reason": record.REASON_NO_FILM,
        }
    return found


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "roll.db"
    with Store(path) as store:
        roll_data.documents(store)
        roll_data.fill(store, count=1500, change=film)
    return path


def slow(path, name, boot=1):
    """Values of `name` in the order of the windows, as `porogauge.units` decodes them."""
    key, factor = {
        "thickness": ("thickness_nm", 1000),
        "porosity": ("porosity_ppm", 10_000),
        "permittivity": ("permittivity_e4", 10_000),
        "solid": ("solid_nm", 1000),
    }[name]
    with Store(path, read_only=True) as store:
        found = [row[key] for row in store.decoded(DEVICE, boot)]
    return np.array([np.nan if v is None else v / factor for v in found])


@pytest.mark.parametrize("block", [7, 8192])
def test_values_are_those_of_the_rows(database, monkeypatch, block):
    monkeypatch.setattr(pages, "BLOCK", block)
    with Store(database, read_only=True) as store:
        web = windows.read_boots(store, NAMES)
    (section,) = web.sections
    for name in NAMES:
        assert np.array_equal(section.values[name], slow(database, name), equal_nan=True)
    assert np.allclose(section.metres, np.arange(1500) * 0.005)
    assert (web.windows, web.missing, web.boots) == (1500, 0, (1,))


def test_what_is_left_out_is_counted_by_cause(database):
    with Store(database, read_only=True) as store:
        web = windows.read_boots(store, NAMES)
    unresolved = sum(1 for seq in range(1500) if seq % 97 == 0 and not 200 <= seq < 260)
    assert web.left_out["porosity"] == {
        "measuring: not_resolvable": unresolved,
        "off_sheet: no_film": 60,
    }
    assert web.left_out["solid"] == {"off_sheet: no_film": 60}
    assert web.u95["thickness"] == pytest.approx(0.4)
    assert web.u95["solid"] is None


def test_late_rows_and_missing_ones(tmp_path):
    """What came again later is in another place of the file; what never came is counted."""
    path = tmp_path / "late.db"
    with Store(path) as store:
        roll_data.fill(store, count=300)
        roll_data.fill(store, first=400, count=300)
        roll_data.fill(store, first=320, count=40)
        web = windows.read_boots(store, ["thickness"])
    assert (web.windows, web.missing) == (640, 60)
    assert np.allclose(np.sort(web.sections[0].metres)[[0, -1]], [0, 699 * 0.005])


@pytest.mark.parametrize("boots", [1, 2])
def test_a_logger_that_goes_on_writing(database, monkeypatch, boots):
    """What is stored while the windows are read does not belong to them."""
    if boots == 2:
        with Store(database) as store:
            roll_data.fill(store, boot=2, count=50)
    order = pages.Records.order

    def later(*arguments):
        roll_data.fill(writer, boot=boots, first=2000, count=100)
        return order(*arguments)

    monkeypatch.setattr(pages.Records, "order", later)
    with Store(database) as writer, Store(database, read_only=True) as store:
        web = windows.read_boots(store, ["thickness"])
    assert (web.windows, web.missing) == (1500 + 50 * (boots == 2), 0)


def test_restart_and_splice_make_sections(tmp_path):
    path = tmp_path / "roll.db"
    book = Book(tmp_path / "book")
    with Store(path) as store:
        roll_data.documents(store)
        roll_data.fill(store, boot=1, count=500)
        roll_data.fill(store, boot=2, count=300)
        roll_data.fill(store, boot=3, count=100)
        told = {"who": "test", "why": "test"}
        rolls.start(store, book, "A-1", DEVICE, 1, 100, grade="base", **told)
        rolls.splice(store, book, "A-1", 2, 50, **told)
        rolls.end(store, book, "A-1", 2, 249, **told)
        web = windows.read_roll(store, rolls.find(store, "A-1"), ["thickness"])
        whole = windows.read_boots(store, ["thickness"])
    assert [len(section.metres) for section in web.sections] == [400, 50, 200]
    assert [section.metres[0] for section in web.sections] == pytest.approx([0, 1.995, 2.245])
    assert web.boots == (1, 2)
    assert [len(section.metres) for section in whole.sections] == [500, 300, 100]


def test_the_counter_of_length_begins_anew(tmp_path):
    half = 1 << 29
    path = tmp_path / "long.db"
    with Store(path) as store:
        roll_data.fill(
            store,
            count=200,
            change=lambda seq: {"position_mm": (seq * 5 + half - 500 + half) % (2 * half) - half},
        )
        web = windows.read_boots(store, ["thickness"])
    assert np.allclose(web.sections[0].metres, np.arange(200) * 0.005)


def test_which_device_and_boot(tmp_path, database):
    with Store(database, read_only=True) as store:
        with pytest.raises(PorogaugeError, match=f"there: {DEVICE} boot 1"):
            windows.read_boots(store, ["thickness"], boot=9)
        with pytest.raises(PorogaugeError, match="has no records"):
            windows.read_boots(store, ["thickness"], device="no")
    with Store(database) as store:
        store.append("ff00", 1, [roll_data.row(0)])
        with pytest.raises(UsageError, match=f"several devices: {DEVICE}, ff00"):
            windows.read_boots(store, ["thickness"])
        assert windows.read_boots(store, ["thickness"], device="ff00").windows == 1


# ---------------------------------------------------------------- readings


def section(metres, values):
    return windows.Section(np.asarray(metres, float), {"thickness": np.asarray(values, float)})


def test_a_reading_is_the_mean_over_its_length():
    rng = np.random.default_rng(1)
    metres = np.round(np.sort(rng.random(5000) * 40), 3)
    values = rng.standard_normal(5000)
    values[rng.random(5000) < 0.1] = np.nan
    found = making.Grid([section(metres, values)], 0.2, 5).means("thickness")
    start = metres.min()
    for index in (0, 17, 150):
        low, high = start + 0.2 * index, start + 0.2 * (index + 1)
        inside = (metres >= low - 1e-9) & (metres < high - 1e-9)
        assert found.means[index] == pytest.approx(np.nanmean(values[inside]))
        assert found.metres[index] == pytest.approx((low + high) / 2)
    assert len(found.means) % 5 == 0


def test_a_reading_needs_half_of_its_windows():
    metres = np.arange(40) * 0.05
    values = np.ones(40)
    values[0:3] = np.nan  # three of the four windows of the first reading
    values[4:6] = np.nan  # two of four
    found = making.Grid([section(metres, values)], 0.2, 5).means("thickness")
    assert np.isnan(found.means[0]) and found.means[1] == 1
    assert found.left_out == 1
    table, middles = making.subgroups(found, 5)
    assert np.isnan(table[0]).all() and np.isfinite(table[1]).all()
    assert middles == pytest.approx([0.5, 1.5])


def test_no_subgroup_reaches_across_sections():
    parts = [
        section(np.arange(30) * 0.05, np.ones(30)),
        section(2 + np.arange(40) * 0.05, [2] * 40),
    ]
    table, middles = making.subgroups(making.Grid(parts, 0.2, 5).means("thickness"), 5)
    whole = table[np.isfinite(table).all(axis=1)]
    assert np.array_equal(np.unique(whole), [1, 2]) and (np.ptp(whole, axis=1) == 0).all()
    assert np.isnan(table[1:3]).all()  # the first's broken end, and the hole
    assert (np.diff(middles[np.isfinite(table[:, 0])]) > 0).all()


def test_a_web_that_stands_still_has_no_length():
    still = [section(np.full(100, 3.0), np.ones(100))]
    with pytest.raises(NotComputable, match="did not move"):
        making.advance_m(still)
    with pytest.raises(NotComputable, match="greater length"):
        making.Grid([section([0.0, 1e6], [1, 1])], 0.001)
