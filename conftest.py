"""What all tests share: property tests draw the same examples in every run; no test writes into
the user's own book."""

import itertools
import os
import shutil
import signal
import tempfile

import pytest
from hypothesis import settings

import porogauge  # noqa: F401  gives the desk's Python a stand-in for `micropython`

settings.register_profile(
    "repeatable", derandomize=True, database=None, print_blob=True, deadline=None
)
settings.register_profile("explore", print_blob=True, deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# What is started in the background of a script ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

_books = tempfile.mkdtemp(prefix="porogauge-books-")
_number = itertools.count(1)
os.environ["POROGAUGE_BOOK"] = os.path.join(_books, "shared")  # for fixtures of a whole module


@pytest.fixture(autouse=True)
def book(monkeypatch):
    """A book of its own for every test; the folder, which is not there yet."""
    path = os.path.join(_books, str(next(_number)))
    monkeypatch.setenv("POROGAUGE_BOOK", path)
    return path


def pytest_unconfigure():
    shutil.rmtree(_books, ignore_errors=True)
