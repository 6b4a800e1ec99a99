"""Starting and stopping the page within a program."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from ..book import Book
from ..errors import DeviceError, PorogaugeError, UsageError
from ..keys import Hand
from ..logger import Stop
from ..store import Store
from .answers import Answers
from .app import Live, application
from .changes import Changes
from .feed import Feed
from .guard import Access
from .reader import Reader
from .recorder import Recorder

__all__ = ["PORT", "Page"]

PORT = 8460
_START_S = 20.0


class Page:
    """The page of a database, served in threads of this program; a context manager.

    `port`: a gauge's, to log it into the database as well. `listen` 0: any free port; None:
    PORT, or a free one where that is taken. `hand`: the key with which all changes are made.
    Raises UsageError, StoreError or DeviceError when it cannot start.
    """

    def __init__(
        self,
        database: str | Path,
        port: str | None = None,
        *,
        host: str = "127.0.0.1",
        listen: int | None = None,
        baud: int = 921_600,
        book: Book | None = None,
        hand: Hand | None = None,
    ) -> None:
        self.database = str(database)
        self._socket = _bound(host, listen)
        self._access = Access(local=_is_local(host))
        book = book or Book()
        self.recorder = Recorder(port, self.database, baud) if port else None
        self._live = Live()
        self.feed = Feed(Reader(self.database), self._live.tell)
        answers = Answers(self.feed, book, self.recorder)
        changes = Changes(self.database, answers, book, self.recorder, hand)
        self._app = application(self.feed, self._live, answers, changes, self._access)
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """What a request that changes something has to know."""
        return self._access.token

    @property
    def url(self) -> str:
        """The page's address without the token: to look at only."""
        host, port = self._socket.getsockname()[:2]
        if ipaddress.ip_address(host).is_unspecified:
            host = _outward()
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def address(self) -> str:
        """The page's address with its token, which a browser does not send on."""
        return f"{self.url}#token={self.token}"

    @property
    def failure(self) -> PorogaugeError | None:
        """What ended the logger beside the page; None while all is well."""
        return self.recorder.failure if self.recorder else None

    def start(self) -> Page:
        """Open the database, log if there is a port, and serve. Returns itself."""
        import uvicorn

        try:
            if self.recorder is not None:
                self.recorder.start()
            elif not os.path.exists(self.database):
                Store(self.database, read_only=True)  # says what to do
            self.feed.start()
        except BaseException:
            self.stop()
            raise
        settings = uvicorn.Config(
            self._app,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=4096,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="page", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise PorogaugeError(f"{self.url}: the page could not be served")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it; what the logger has received is stored. May be called twice."""
        if self._server is not None:
            # Whoever asks at this moment is not answered: no error of the page.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            self._server.should_exit = True
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(10)
        self.feed.stop()
        if self.recorder is not None:
            self.recorder.stop()
        self._socket.close()

    def wait(self, stop: Stop) -> None:
        """Until `stop` is set, or the logger beside the page has failed."""
        while not stop.requested and self.failure is None:
            time.sleep(0.2)

    def __enter__(self) -> Page:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _bound(host: str, listen: int | None) -> socket.socket:
    """A listening socket. Raises UsageError for a host that is none, DeviceError when taken."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, listen or 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError(
            f"--host: {host} is no address of this computer; 127.0.0.1 serves it alone, 0.0.0.0"
            " the network"
        ) from None
    for port in (PORT, 0) if listen is None else (listen,):
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((place[0], port))
            made.listen(64)
            return made
        except OSError as error:
            made.close()
            reason = error.strerror
    raise DeviceError(f"{host} port {listen}: {reason}; name another one with --listen")


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _outward() -> str:
    """This computer's address as others in its network see it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
