"""Where a setting comes from: flag, else environment, else configuration file, else default.

Environment: `POROGAUGE_PORT=/dev/ttyACM0`; for one command only, `POROGAUGE_LOG_PORT`.
File: TOML, `porogauge/config.toml` in the user's configuration folder (on Linux
`$XDG_CONFIG_HOME` or `~/.config`), or the one that POROGAUGE_CONFIG names:

    port = "/dev/ttyACM0"        # every command that has --port
    recipe = "/srv/film/25um.toml"

    [log]                        # only 'porogauge log'
    to = "/srv/film/line1.db"

    [bench.run]                  # only 'porogauge bench run'
    target = "unix32"

Names are those of the flags without the dashes, '-' written as '_'. A name that no command has
is an error that says which names exist: a setting never fails silently.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import notation
from .errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ENVIRONMENT_PREFIX", "config_path", "default_map", "read"]

ENVIRONMENT_PREFIX = "POROGAUGE"


def config_path() -> str:
    """The configuration file, whether it exists or not."""
    named = os.environ.get("POROGAUGE_CONFIG")
    if named:
        return named
    if sys.platform == "linux":  # as platformdirs says, without the time to import it
        folder = os.environ.get("XDG_CONFIG_HOME", "").strip() or os.path.expanduser("~/.config")
        return os.path.join(folder, "porogauge", "config.toml")
    from platformdirs import user_config_dir

    return os.path.join(user_config_dir("porogauge", appauthor=False), "config.toml")


def read(path: str | Path | None = None) -> dict[str, Any]:
    """Read the configuration file; {} when there is none. Raises UsageError naming file, line."""
    path = path or config_path()
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        if os.environ.get("POROGAUGE_CONFIG"):
            raise UsageError(f"POROGAUGE_CONFIG: {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    try:
        return notation.toml(text)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


def default_map(
    stored: Mapping[str, Any], parameters: Mapping[str, Any], source: str = "configuration"
) -> dict[str, Any]:
    """Turn a configuration file into click's default map for one command.

    `parameters` is the tree of the commands that matter: command -> {parameter: None} or
    subcommand -> .... Top-level values reach every command that has such a parameter, tables only
    their command. Raises UsageError for a name that no command has.
    """
    common = {name: value for name, value in stored.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in stored.items() if isinstance(value, Mapping)}
    known = _names(parameters)
    for name in common:
        if name not in known:
            raise UsageError(f"{source}: {name} is not a setting; legal: {_list(known)}")
    return _merge(tables, parameters, common, f"{source}: ")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _names(tree: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for name, below in tree.items():
        found |= {name} if below is None else _names(below)
    return found


def _merge(
    stored: Mapping[str, Any], tree: Mapping[str, Any], common: Mapping[str, Any], where: str
) -> dict[str, Any]:
    for name, value in stored.items():
        if name not in tree:
            raise UsageError(f"{where}{name} is not a setting; legal: {_list(tree)}")
        if isinstance(value, Mapping) != isinstance(tree[name], Mapping):
            wanted = "a table" if isinstance(tree[name], Mapping) else "a value"
            raise UsageError(f"{where}{name} must be {wanted}")
    merged: dict[str, Any] = {}
    for name, below in tree.items():
        if below is None:
            for values in (common, stored):  # the command's own table comes last and wins
                if name in values:
                    merged[name] = values[name]
        else:
            merged[name] = _merge(stored.get(name, {}), below, common, f"{where}[{name}] ")
    return merged
