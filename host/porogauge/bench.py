"""The way from commands to the bench, which is a package of its own (`porogauge_bench`).

The bench is imported only when a command needs it, and what is missing is said with its remedy.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from .errors import PorogaugeError

__all__ = ["errors_told", "load", "scenario_path", "scenarios"]


def load(name: str) -> ModuleType:
    """Import a module of the bench. Raises PorogaugeError that says what is missing."""
    try:
        return importlib.import_module(f"porogauge_bench.{name}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "porogauge_bench":
            raise PorogaugeError(
                "the bench is not installed: it is part of a checkout of porogauge; run this"
                " from there after 'make setup'"
            ) from None
        raise PorogaugeError(
            f"the bench needs the Python package {error.name}: run 'make setup' in the checkout,"
            f" or pip install {error.name}"
        ) from None


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn what the bench raises on purpose into messages with an exit code."""
    known = (load("scenario").ScenarioError, load("target").TargetError)
    known += (load("images").ImageError, load("soak").SoakError, OSError)
    try:
        yield
    except known as error:
        raise PorogaugeError(str(error)) from None


def scenarios() -> dict[str, Path]:
    """Scenarios that come with the bench, by name ('faults/nack' for one in a folder)."""
    folder = Path(load("scenario").__file__).resolve().parents[1] / "scenarios"
    found = sorted(folder.rglob("*.toml"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}


def scenario_path(name: str) -> Path:
    """A scenario by path, or by the name of one that comes with the bench."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = scenarios()
    if name in shipped:
        return shipped[name]
    from difflib import get_close_matches

    close = get_close_matches(name, shipped, 1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise PorogaugeError(
        f"{name}: there is no such file, and no scenario of that name comes with the bench{hint}"
        " ('porogauge bench list' shows them)"
    )
