"""Made-up rolls for tests: a database with records of a film, as a board would have sent them."""

from __future__ import annotations

from gauge import config, record
from porogauge.recipe import compile_words, dumps, standard_calibration, standard_recipe
from porogauge.store import Store

DEVICE = "e661a4d4178c2b2f"


def row(seq, **values):
    """Words of a window: 25 um, 50 %, 5 mm of web each, unless told otherwise."""
    rec = record.new()
    film = {
        "seq": seq,
        "dt_us": 11_000,
        "state": record.STATE_MEASURING,
        "state_reason": record.REASON_FILM_PRESENT,
        "valid": record.VALID_ALL,
        "outputs": record.OUT_GOOD,
        "position_mm": seq * 5,
        "thickness_8nm": 200_000,
        "porosity_ppm": 500_000,
        "permittivity_e4": 19_300,
        "solid_8nm": 100_000,
        "u_thickness_8nm": 1600,
        "u_porosity_ppm": 9000,
        "u_permittivity_e4": 300,
    }
    us = seq * 11_000 + 5
    film["t_s"], film["t_us"] = divmod(us, 1_000_000)
    for name, value in (film | values).items():
        rec[record.FIELD_NAMES.index(name)] = value
    return list(rec)


def fill(store, boot=1, count=1000, first=0, words=None, change=lambda seq: {}):
    """Store `count` windows of a boot; `change(seq)` gives what is different in a window."""
    store.hello(DEVICE, boot, "test board", "1.0")
    words = compile_words(standard_recipe(), standard_calibration()) if words is None else words
    store.configuration(DEVICE, boot, 0, config.pack(words))
    store.append(DEVICE, boot, [row(seq, **change(seq)) for seq in range(first, first + count)])
    return words


def documents(store, recipe=None, calibration=None):
    """Keep the files with the database, as 'porogauge log --recipe' does."""
    recipe, calibration = recipe or standard_recipe(), calibration or standard_calibration()
    words = compile_words(recipe, calibration)
    store.document("recipe", words[config.RECIPE_ID], "film", dumps("recipe", recipe, False))
    store.document(
        "calibration",
        words[config.CALIBRATION_ID],
        "head",
        dumps("calibration", calibration, False),
    )
    return words


def database(path, **rest):
    """A closed database with one boot of 1000 windows."""
    with Store(path) as store:
        documents(store)
        fill(store, **rest)
    return path
