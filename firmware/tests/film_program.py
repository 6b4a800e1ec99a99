"""The program that runs `film.compute` on a board, and its calls."""

from __future__ import annotations

import numpy as np

from gauge import record

FILM = """
from array import array
from gauge import record, reference
from gauge.film import Film

def configure(words):
    global film, ref
    film = Film(words)
    ref = reference.from_calibration(words)

def refer(name, value):
    ref[getattr(reference, name)] = value
    film.set_reference(ref)

def compute(flat):
    view = memoryview(flat)
    for k in range(0, len(flat), record.N_FIELDS):
        film.compute(view[k : k + record.N_FIELDS])
    return flat
"""


def compute(program, rows: np.ndarray) -> np.ndarray:
    """Run `film.compute` on records (one per row); return them filled."""
    rows = np.asarray(rows)
    done = [
        program.call("compute", rows[k : k + 500].ravel().tolist())
        for k in range(0, len(rows), 500)
    ]
    return np.concatenate([np.array(part) for part in done]).reshape(-1, record.N_FIELDS)


def one(program, rec: list[int]) -> dict[str, int]:
    """Compute one record and return its fields by name."""
    return dict(zip(record.FIELD_NAMES, program.call("compute", rec), strict=True))


def reason(fields: dict[str, int]) -> str:
    """Name of why a number is missing."""
    return record.REASON_NAMES[fields["reason"]]


def flags(fields: dict[str, int]) -> list[str]:
    """Names of the flags."""
    return record.names_of(fields["flags"])
