"""The logger beside the page: `porogauge serve --port` in a thread of its own.

It is the logger of `porogauge log`. Commands for the gauge (acknowledge) go over its link, between
two of its rounds. A gauge that is away is waited for; what cannot go on by itself (another
firmware, a damaged or full database) ends the thread, and `failure` says why.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from ..errors import DeviceAbsent, DeviceError, PorogaugeError
from ..live import Snapshot
from ..logger import Logger, Stop
from ..store import Store

__all__ = ["Recorder"]

_AGAIN_S = 2.0  # between two tries to find the gauge
_ANSWER_S = 10.0  # how long a command may take


class Recorder:
    """Logs `port` into `database`; the database is this program's until `stop`.

    Raises what `Store` raises when it cannot be written, at once.
    """

    def __init__(
        self,
        port: str,
        database: str,
        baud: int = 921_600,
        connected: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self.port = port
        self.link = "connecting"
        self.failure: PorogaugeError | None = None
        self.snapshot: Snapshot | None = None
        self._database = database
        self._baud = baud
        self._connected = connected
        self._stop = Stop()
        self._jobs: SimpleQueue[tuple[Callable[[Any], Any], Future]] = SimpleQueue()
        self._ready: Future = Future()
        self._client: Any = None
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Take the database and begin."""
        self._thread.start()
        self._ready.result()

    def stop(self) -> None:
        """Store what has come, and end."""
        self._stop.requested = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def ask(self, job: Callable[[Any], Any]) -> Any:
        """Have the thread do something with its client. Raises DeviceError without a gauge."""
        if self._client is None or self.failure is not None or not self._thread.is_alive():
            raise DeviceAbsent(f"{self.port}: no gauge answers: {self.link}")
        done: Future = Future()
        self._jobs.put((job, done))
        try:
            return done.result(_ANSWER_S)
        except TimeoutError:
            done.cancel()
            raise DeviceAbsent(f"{self.port}: the gauge did not answer: {self.link}") from None

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            with Store(self._database, lock=True) as store:
                self._ready.set_result(None)
                while not self._stop.requested:
                    self._log(store)
        except BaseException as error:
            if self._ready.done():
                told = error if isinstance(error, PorogaugeError) else PorogaugeError(repr(error))
                self.failure, self.link = told, str(told)
            else:
                self._ready.set_exception(error)

    def _log(self, store: Store) -> None:
        from ..link.client import Client

        try:
            with Client(
                self.port, baud=self._baud, known=store.settled, fetched=store.fetched
            ) as client:
                client.connect()
                self._connected(client)
                self._client = client
                Logger(client, store, self).run(stop=self._stop)
        except DeviceError as error:
            self.link = str(error)
            self._wake.wait(_AGAIN_S)
        finally:
            self._client = None

    # ------------------------------------------------------------ the logger's view

    def update(self, snapshot: Snapshot) -> None:
        """Between two rounds of the logger: note what it says, do what was asked."""
        self.snapshot, self.link = snapshot, snapshot.link
        while True:
            try:
                job, done = self._jobs.get_nowait()
            except Empty:
                return
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(job(self._client))
                except BaseException as error:  # is told to who asked
                    done.set_exception(error)

    def message(self, text: str) -> None:
        """What the logger tells is in the database's events."""

    def close(self) -> None:
        """Nothing to close: the thread goes on."""
