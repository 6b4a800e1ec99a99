"""Heads with hidden errors are calibrated through firmware and link, and measure a film."""

from __future__ import annotations

import numpy as np

from gauge import config, record
from porogauge.recipe import compile_words
from porogauge_bench.coverage import Found, Head, calibrated, compared, table_of
from porogauge_bench.fixture import Setup
from porogauge_bench.stations import PROCEDURES, FirmwareStation

HEADS = range(1, 6)
LEAST = 0.93  # share of parameters whose U95 covers the truth
SETTLE_WINDOWS = 60  # without film before a standardisation begins by itself, and a few more


def reported(head: Head) -> list[Found]:
    """What the firmware says of films, in one window each, after a standardisation of its own."""
    station = head.station
    words = compile_words(head.tables["recipe"], head.tables["calibration"])
    found = []
    for t, phi in ((25.0, 50.0), (50.0, 75.0)):
        station.rows(Setup(), SETTLE_WINDOWS + words[config.STANDARD_WINDOWS], words)
        film = Setup(thickness_um=t, porosity=phi / 100, amplitude_um=5.0, frequency_hz=7.3)
        row = dict(zip(record.FIELD_NAMES, station.rows(film, 12, words)[-1], strict=True))
        assert record.STATE_NAMES[row["state"]] == "measuring", row
        assert row["valid"] == record.VALID_ALL, row
        assert row["standard_windows"] == words[config.STANDARD_WINDOWS]
        found += compared(row, t, phi)
    return found


def test_heads_through_firmware_and_link():
    options = {name: {"windows": 16} for name in PROCEDURES}
    found, after = [], []
    for seed in HEADS:
        head = calibrated(seed, FirmwareStation, options)
        with head.station:
            after += reported(head)
        found += head.found()
        assert all(result.accepted for result in head.results.values()), seed
    text, _ = table_of(found + after)
    print(text)
    assert np.mean([one.covered for one in found]) >= LEAST, text
    assert np.mean([one.covered for one in after]) >= 0.8, text  # 20 values
