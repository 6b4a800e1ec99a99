"""porogauge: the host of an inline gauge for thickness, permittivity and porosity of film.

    from porogauge.store import Store            # the database of a roll
    from porogauge.units import decode           # records in user units
    from porogauge.recipe import compile_words   # recipe and calibration for the board
    from porogauge.link.client import Client     # a board on a port
    porogauge.open("roll.db").windows()          # tables with units, for notebooks

The command line is `porogauge --help`. The package shares record layout, configuration words and
link protocol with the board through the pure modules of `gauge`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from . import _micropython  # first: lets the pure modules of `gauge` be imported on CPython

if TYPE_CHECKING:
    from .tables import Tables

__all__ = ["__version__", "open"]
__version__ = "0.1.0"

del _micropython


def open(path: "str | Path") -> "Tables":
    """Open a database of a gauge for reading: its tables, with units and meanings.

    See `porogauge.tables`. Raises `porogauge.errors.PorogaugeError` when it cannot be read.
    """
    from .tables import Tables

    return Tables(path)
