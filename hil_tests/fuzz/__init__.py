"""Fuzzing of every parser of board and host: see FUZZING.md."""

import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`
