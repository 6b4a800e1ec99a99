"""The user's cache: folders named after the hash of what went into them.

    ~/.cache/porogauge/micropython/
        sources/    MicroPython's source, unpacked and complete
        trees/      configured build trees, in which a changed frozen file costs seconds
        images/     results, each in a folder named after its inputs
        lock        held while something is built

A result is complete or not there: it is filled under another name and renamed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .shell import say

KEEP_IMAGES = 6  # of each target
KEEP_TREES = 2


def root() -> Path:
    """Return the folder of everything that is kept between builds."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = Path.home() / ".cache"
    return Path(base) / "porogauge" / "micropython"


def digest(items: Iterable[str | bytes]) -> str:
    """Return a short hash of a sequence, in which ("ab", "c") and ("a", "bc") differ."""
    total = hashlib.sha256()
    for item in items:
        data = item.encode() if isinstance(item, str) else item
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:16]


@contextmanager
def lock() -> Iterator[None]:
    """Hold the cache for one build; it is released however the process ends."""
    path = root() / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("image", "another build is running; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Give an empty folder that becomes `folder` when the block ends well."""
    scratch = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    yield scratch
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def synchronise(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` hold exactly `files`; what is the same keeps its time, so make skips it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name, data in files.items():
        path = folder / name
        if not (path.is_file() and path.read_bytes() == data):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def prune(folder: Path, prefix: str, keep: int) -> None:
    """Delete all but the `keep` most recently used folders whose name starts with `prefix`."""
    found = [path for path in folder.glob(f"{prefix}*") if path.is_dir()]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[keep:]:
        shutil.rmtree(path, ignore_errors=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file so that nobody ever sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copy2(source, scratch)
    scratch.replace(target)
