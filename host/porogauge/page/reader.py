"""Reading a database that another program may be writing, from several threads."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ..store import Store

__all__ = ["Reader"]


class Reader:
    """A read-only `Store` for every thread that asks.

    A file at rest is opened as one that does not change (see `Store`). When it has changed, or a
    logger has put its write-ahead log beside it, it is opened anew.
    """

    def __init__(self, database: str | Path) -> None:
        self.path = str(database)
        self._own = threading.local()

    def _written(self) -> bool:
        return os.path.exists(self.path + "-wal")

    def _mark(self) -> tuple[int, int, bool]:
        """What a change of a file at rest shows by."""
        try:
            found = os.stat(self.path)
        except OSError:  # Store tells
            return 0, 0, False
        return found.st_mtime_ns, found.st_size, self._written()

    @property
    def store(self) -> Store:
        """This thread's. Raises StoreError when the file cannot be read."""
        own = self._own
        if getattr(own, "store", None) is None or (own.mark and own.mark != self._mark()):
            mark, written = self._mark(), self._written()
            own.store = Store(self.path, read_only=True, check=False)
            # With the log beside it while it was opened, what is written later is seen.
            own.mark = None if written and self._written() else mark
        return own.store
