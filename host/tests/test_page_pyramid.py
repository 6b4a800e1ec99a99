"""Bins, lines, curves and maps of the page against the windows themselves."""

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from roll_data import DEVICE, database, row

from gauge import record
from porogauge.errors import UsageError
from porogauge.page import views
from porogauge.page.feed import Feed
from porogauge.page.pyramid import FIELDS, Track, columns, windows
from porogauge.page.reader import Reader
from porogauge.store import Store


def table(count, first=0, **values):
    """Rows of FIELDS of made-up windows."""
    at = [record.FIELD_NAMES.index(name) for name in FIELDS]
    rng = np.random.default_rng(3)
    rows = []
    for seq in range(first, first + count):
        valid = 0 if seq % 7 == 0 else record.VALID_ALL
        thickness = int(rng.integers(190_000, 210_000)) if valid else 0
        flags = record.FLAG_NO_FILM if seq % 100 == 0 else 0
        words = row(seq, thickness_8nm=thickness, valid=valid, flags=flags, **values)
        rows.append([words[i] for i in at])
    return np.array(rows)


def track_of(rows):
    track = Track()
    track.add(windows(rows))
    return track


def everything(track, level):
    return {name: track._levels[level][name].tolist() for name in track._levels[level].bins()}


def test_columns_of_any_level_hold_what_the_windows_hold():
    rows = table(5000)
    track = track_of(rows)
    thickness, valid = rows[:, FIELDS.index("thickness_8nm")], rows[:, FIELDS.index("valid")] > 0
    for count in (1, 50, 1000):
        at, bins = track.between(0, 1e9, count, "metres")
        found = columns(at, bins, np.array([-1.0, 1e9]))
        assert found["windows"].tolist() == [5000]
        assert found["flags"].tolist() == [record.FLAG_NO_FILM]
        assert found["thickness"]["n"].tolist() == [valid.sum()]
        assert found["thickness"]["min"][0] == thickness[valid].min() / 8000
        assert found["thickness"]["max"][0] == thickness[valid].max() / 8000
        assert found["thickness"]["mean"][0] == thickness[valid].sum() / valid.sum() / 8000
        assert found["thickness"]["u"][0] == pytest.approx(0.2)


def test_every_column_is_that_of_its_windows():
    rows = table(4096)
    at, bins = track_of(rows).between(0, 1e9, 256, "metres")
    edges = np.arange(17) * 256 * 0.005
    found = columns(at, bins, edges)
    thickness, valid = rows[:, FIELDS.index("thickness_8nm")], rows[:, FIELDS.index("valid")] > 0
    for index in range(16):
        part = slice(256 * index, 256 * (index + 1))
        its = thickness[part][valid[part]]
        assert found["thickness"]["min"][index] == its.min() / 8000
        assert found["thickness"]["mean"][index] == pytest.approx(its.mean() / 8000, rel=1e-12)


def test_nothing_measured_is_no_number_and_not_zero():
    rows = table(64, state=record.STATE_OFF_SHEET)
    rows[:, FIELDS.index("valid")] = 0
    at, bins = track_of(rows).between(0, 10, 4, "metres")
    found = columns(at, bins, np.linspace(0, 0.32, 5))
    assert np.isnan(found["thickness"]["mean"]).all() and np.isnan(found["thickness"]["min"]).all()
    assert (found["states"] == 1 << record.STATE_OFF_SHEET).all()


@given(st.lists(st.integers(0, 599), min_size=1, unique=True), st.integers(1, 40))
def test_windows_may_come_in_any_order(order, size):
    """Late windows, from the board's flash, end in the same bins."""
    rows = table(600)
    sooner, later = Track(), Track()
    sooner.add(windows(rows[sorted(order)]))
    for start in range(0, len(order), size):
        later.add(windows(rows[sorted(order[start : start + size])]))
    for level in range(3):
        assert everything(sooner, level) == everything(later, level)


def test_the_folded_position_of_a_long_web_goes_on():
    rows = table(100)
    position = FIELDS.index("position_mm")
    rows[:, position] = (np.arange(100) * 1000 + (1 << 29) - 50_000 + (1 << 29)) % (1 << 30) - (
        1 << 29
    )
    track = track_of(rows[:50])
    track.add(windows(rows[50:], track.near_mm))
    assert track.length("metres") == 99.0


@pytest.fixture
def feed(tmp_path):
    path = database(
        tmp_path / "roll.db",
        count=20_000,
        change=lambda seq: {"thickness_8nm": 200_000 + seq % 977},
    )
    feed = Feed(Reader(path))
    feed.start()
    settle(feed)
    yield feed
    feed.stop()


def settle(feed):
    deadline = time.monotonic() + 20
    while feed.complete < 1 or not feed.devices():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_close_look_shows_the_stored_numbers(feed):
    place = views.place_of(feed, DEVICE, None)
    found = views.trend(feed, place, "metres", 40.0, 41.0, 500)
    assert found["single"] and found["windows"] == 201
    assert found["x"][0] == 40.0 and found["x"][-1] == 41.0
    stored = [(200_000 + seq % 977) / 8000 for seq in range(8000, 8201)]
    assert found["values"]["thickness"]["mean"] == stored
    assert found["values"]["thickness"]["u"] == [0.2] * 201


def test_a_far_look_has_all_windows_in_its_columns(feed):
    place = views.place_of(feed, DEVICE, None)
    found = views.trend(feed, place, "metres", None, None, 100)
    assert not found["single"] and sum(found["n"]) == found["windows"] == 20_000
    assert max(found["values"]["thickness"]["max"]) == 200_976 / 8000


def test_time_is_an_axis_too(feed):
    place = views.place_of(feed, DEVICE, None)
    found = views.trend(feed, place, "seconds", None, None, 100)
    assert found["length"] == pytest.approx(19_999 * 0.011)


def read_map(data):
    length = int.from_bytes(data[:4], "little")
    head = json.loads(data[4 : 4 + length])
    cells, at = head["rows"] * head["columns"], 4 + length
    values = np.frombuffer(data, "<f4", cells, at).reshape(head["rows"], -1)
    flags = np.frombuffer(data, "<u4", cells, at + 4 * cells)
    states = np.frombuffer(data, "u1", cells, at + 8 * cells).reshape(head["rows"], -1)
    return head, values, flags, states


def test_a_map_has_the_web_row_by_row(feed):
    place = views.place_of(feed, DEVICE, None)
    head, values, _, states = read_map(
        views.roll_map(feed, place, "metres", 0.0, 10.0, 12, 50, "thickness", "max")
    )
    assert head["length"] == pytest.approx(99.995)
    assert values.shape == (12, 50)
    assert np.isfinite(values[:10]).all() and np.isnan(values[10:, 1:]).all()
    assert (states[10:, 1:] == 0).all()  # beyond the end there is no window
    stored = np.array([200_000 + seq % 977 for seq in range(20_000)]) / 8000
    # 16 windows of a bin are 8 cm of web: a cell of 20 cm has its own and part of a neighbour
    assert abs(values[:10].max() - stored.max()) < 1e-5


def test_a_close_map_is_of_the_windows_themselves(feed):
    place = views.place_of(feed, DEVICE, None)
    _, values, _, _ = read_map(
        views.roll_map(feed, place, "metres", 50.0, 0.5, 2, 100, "thickness", "mean")
    )
    stored = [(200_000 + seq % 977) / 8000 for seq in range(10_000, 10_200)]
    assert np.allclose(values.ravel(), stored, atol=2e-6)


@pytest.mark.parametrize(
    "change",
    [{"value": "colour"}, {"what": "median"}, {"rows": 0}, {"rows": 100_000}, {"row": -1.0}],
)
def test_a_map_that_cannot_be_is_refused(feed, change):
    wanted = {
        "axis": "metres",
        "low": 0.0,
        "row": 1.0,
        "rows": 5,
        "count": 5,
        "value": "thickness",
        "what": "mean",
    }
    with pytest.raises(UsageError):
        views.roll_map(feed, views.place_of(feed, DEVICE, None), **wanted | change)


def test_the_feed_follows_a_logger(tmp_path):
    told = []
    path = database(tmp_path / "roll.db", count=100)
    feed = Feed(Reader(path), lambda device, rows: told.extend(rows))
    feed.start()
    try:
        settle(feed)
        with Store(path) as store:
            for first in (100, 150, 200):
                store.append(DEVICE, 1, [row(seq) for seq in range(first, first + 50)])
                time.sleep(0.1)
            deadline = time.monotonic() + 10
            while feed.devices()[DEVICE].windows < 250 or len(told) < 150:
                assert time.monotonic() < deadline, (feed.problem, len(told))
                time.sleep(0.02)
        assert [row["seq"] for row in told] == list(range(100, 250))
    finally:
        feed.stop()


def test_a_preview_is_said_to_be_one(tmp_path):
    path = database(tmp_path / "roll.db", count=1000)
    feed = Feed(Reader(path))
    feed._target = 1000
    feed._sample()
    found = views.trend(feed, views.place_of(feed, DEVICE, None), "metres", None, None, 10)
    assert found["complete"] == 0 and found["windows"] > 0
