"""porogauge: the host of an inline gauge for thickness, permittivity and porosity of film.

    from porogauge.store import Store            # the database of a roll
    from porogauge.units import decode           # records in user units
    from porogauge.recipe import compile_words   # recipe and calibration for the board
    from porogauge.link.client import Client     # a board on a port

The command line is `porogauge --help`. The package shares record layout, configuration words and
link protocol with the board through the pure modules of `gauge`.
"""

from . import _micropython  # first: lets the pure modules of `gauge` be imported on CPython

__all__ = ["__version__"]
__version__ = "0.1.0"

del _micropython
