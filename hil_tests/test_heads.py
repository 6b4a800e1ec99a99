"""Two hundred heads with hidden errors are calibrated; then what they report is compared with the
truth.

By the bench's models; after that one window of each at several films, computed by the board's own
kernels on the 32-bit runtime with the words that the calibrated files compile to.

    python hil_tests/test_heads.py 200        # the tables, without the tests
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from gauge import config, record
from porogauge.recipe import compile_words
from porogauge_bench.coverage import Found, Head, calibrated, compared, table_of
from porogauge_bench.fixture import Setup
from porogauge_bench.noise import generator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "firmware" / "tests"))

HEADS = range(1, 201)
LEAST = 0.93  # share of heads whose U95 covers the truth
FILMS = [(t, phi) for t in (12.0, 25.0, 50.0, 150.0) for phi in (20.0, 50.0, 75.0)]
CLIMATE = 900  # stream of the numbers that say in which climate a head measures

PROGRAM = """
from array import array
from gauge import record, reference
from gauge.film import Film
from gauge.standardise import Standardiser

def measure(words, empty, films):
    film = Film(words)
    standardiser = Standardiser(words, film)
    view = memoryview(empty)
    for k in range(0, len(empty), record.N_FIELDS):
        if standardiser.reference[reference.WINDOWS]:
            break
        if not standardiser.running:  # or refused: a jump beyond 5 sd, once in some hundred times
            standardiser.request()
        rec = view[k : k + record.N_FIELDS]
        film.compute(rec)
        standardiser.update(rec)
    if standardiser.reference[reference.WINDOWS] == 0:
        raise ValueError("not standardised: cause %d" % standardiser.report[2])
    view = memoryview(films)
    for k in range(0, len(films), record.N_FIELDS):
        film.compute(view[k : k + record.N_FIELDS])
    return films
"""


def conditions(seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Climate of a head's standardisation, and of its film a little later."""
    draw = generator(seed, CLIMATE)
    before = {
        "frame_c": draw.uniform(20, 26),
        "air_c": draw.uniform(21, 25),
        "rh_percent": draw.uniform(40, 60),
        "pressure_hpa": draw.uniform(990, 1030),
    }
    return before, before | {"frame_c": before["frame_c"] + draw.uniform(-0.4, 0.4)}


def measured(program, head: Head) -> dict[tuple[float, float], dict[str, int]]:
    """One window of each film, by the board's kernels."""
    before, after = conditions(head.seed)
    words = compile_words(head.tables["recipe"], head.tables["calibration"])
    empty = head.station.rows(Setup(**before), 2 * words[config.STANDARD_WINDOWS], words)
    rows = [head.station.window(t, phi, **after) for t, phi in FILMS]
    flat = [word for row in empty for word in row], [word for row in rows for word in row]
    done = np.array(program.call("measure", words, *flat)).reshape(len(FILMS), -1)
    return {
        film: dict(zip(record.FIELD_NAMES, row, strict=True))
        for film, row in zip(FILMS, done.tolist(), strict=True)
    }


def windows_of(heads: Iterable[Head]) -> list[Found]:
    """Thickness and porosity, where valid, of one window of each head and film."""
    from runtime import Unix32

    found = []
    with Unix32().load(PROGRAM) as program:
        for head in heads:
            for (t, phi), row in measured(program, head).items():
                found += compared(row, t, phi)
    return found


@pytest.fixture(scope="module")
def heads() -> list[Head]:
    return [calibrated(seed) for seed in HEADS]


def test_procedures_find_the_hidden_errors(heads):
    text, covered = table_of(one for head in heads for one in head.found())
    print(text)
    poor = {name: share for name, share in covered.items() if share < LEAST}
    assert not poor, text
    refused = [(head.seed, name, r.reasons) for head in heads for name, r in head.results.items()]
    refused = [one for one in refused if one[2]]
    print(refused)
    assert len(refused) <= len(HEADS) * (1 - LEAST), refused


def test_thickness_and_porosity_afterwards(heads):
    found = windows_of(heads)
    text, _ = table_of(found)
    print(text)
    for quantity in ("thickness", "porosity"):
        mine = [one.covered for one in found if one.name.startswith(quantity)]
        assert 0.93 <= np.mean(mine) <= 0.97, (quantity, np.mean(mine), text)
        assert len(mine) > 0.9 * len(HEADS) * len(FILMS)


if __name__ == "__main__":
    every = [calibrated(seed) for seed in range(1, 1 + int(sys.argv[1]))]
    print(table_of(one for head in every for one in head.found())[0])
    print(table_of(windows_of(every))[0])
