"""A running target's link on a TCP port, as if the board hung at a serial server.

    with Server(target, pace=1.0) as server:
        print(server.url)              # socket://127.0.0.1:40123 for `porogauge log --port ...`
        server.wait(60.0)              # or do something else; the target runs in a thread

    process = ServerProcess(build, pace=1.0)   # the same in a process of its own

A client that connects opens the port (the board sees DTR), one that leaves closes it; while
nobody is connected nobody reads. One client at a time. With `pace` virtual time never runs ahead
of that many seconds per second of wall time; it may fall behind when the machine is too slow.
Without, it begins with the first client and goes as fast as that keeps up: never more than half a
second ahead of wall time since a client was heard. So a busy machine ends no timer of the board.
What clients send comes at wall times, so runs with a server do not repeat exactly.
"""

from __future__ import annotations

import multiprocessing
import select
import socket
import threading
import time
from collections.abc import Callable

from .target import Target

SLICE_NS = 500_000  # virtual time between two looks at the socket
BACKLOG_BYTES = 1 << 16  # for a client that does not read; then the board's writes stall
AHEAD_S = 0.002  # pace is kept to this
BEHIND_S = 0.25  # further behind than this is not caught up
LEAD_S = 0.5  # without a pace: ahead since the client was heard; the board sends again after 0.6 s


class Server:
    """Serves one target; `error` is the exception that ended it, if one did."""

    def __init__(
        self,
        target: Target,
        port: int = 0,
        pace: float | None = None,
        until_ns: int | None = None,
    ) -> None:
        self.target = target
        self.pace = pace
        self.until_ns = until_ns
        self.error: BaseException | None = None
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._to_client = bytearray()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="target", daemon=True)
        self._stalled: bool | None = None
        self._begun = bool(pace)
        self._heard = False

    @property
    def url(self) -> str:
        """What to give to `--port` or to `mpremote connect`."""
        return f"socket://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> None:
        """Run in a thread."""
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the run; False when it did not come in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the run. Raises what ended it, and TimeoutError when it does not end."""
        self._stop.set()
        if self._thread.is_alive() or self._thread.ident is not None:
            if not self.wait(timeout_s):
                raise TimeoutError(f"the target did not stop within {timeout_s:g} s")
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Run in the caller's thread until `stop`, `until_ns`, or an error of the target."""
        target = self.target
        previous = target.on_link
        target.on_link = self._from_board
        try:
            self._set_stalled()
            wall, virtual = time.monotonic(), target.now_ns
            rate, lead = (self.pace, 0.0) if self.pace else (1.0, LEAD_S)
            while not self._stop.is_set():
                if self.until_ns is not None and target.now_ns >= self.until_ns:
                    break
                if not self._begun:
                    self._exchange(AHEAD_S)
                    continue
                target.run_for(SLICE_NS)
                passed = (target.now_ns - virtual) / 1e9 / rate
                wait = passed - lead - (time.monotonic() - wall)
                if wait < -lead - BEHIND_S or (self._heard and not self.pace):
                    wall, virtual, wait = time.monotonic(), target.now_ns, 0.0
                self._heard = False
                self._exchange(wait if wait > AHEAD_S else 0.0)
        except BaseException as error:
            self.error = error
        finally:
            target.on_link = previous
            self._drop_client()
            self._listener.close()

    # -- the socket

    def _from_board(self, data: bytes, t_ns: int) -> None:
        if self._client is not None:
            self._to_client += data

    def _exchange(self, wait_s: float) -> None:
        """Accept, receive and send what there is; wait up to `wait_s`."""
        end = time.monotonic() + wait_s
        while True:
            readers = [self._client if self._client is not None else self._listener]
            writers = [self._client] if self._client is not None and self._to_client else []
            left = max(0.0, end - time.monotonic())
            readable, writable, _ = select.select(readers, writers, [], left)
            if readable:
                if self._client is None:
                    self._accept()
                else:
                    self._receive()
            if writable and self._client is not None:
                self._send()
            self._set_stalled()
            if time.monotonic() >= end:
                return

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._begun = True
        self._to_client.clear()
        self._set_port(True)

    def _receive(self) -> None:
        try:
            data = self._client.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._heard = True
            self.target.link_send(data)
        else:
            self._drop_client()

    def _send(self) -> None:
        try:
            sent = self._client.send(self._to_client)
        except BlockingIOError:
            return
        except OSError:
            self._drop_client()
            return
        del self._to_client[:sent]

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
            self._to_client.clear()
            self._set_port(False)

    def _set_stalled(self) -> None:
        stalled = self._client is None or len(self._to_client) > BACKLOG_BYTES
        if stalled != self._stalled:
            self._stalled = stalled
            self.target.link_stall(stalled)

    def _set_port(self, is_open: bool) -> None:
        set_port = getattr(self.target, "link_port", None)
        if set_port is not None:
            set_port(is_open)


def _serve(build: Callable[[], Target], pace, until_ns, pipe) -> None:
    """Body of the process: build, tell the port, run until told to stop."""
    server = Server(build(), pace=pace, until_ns=until_ns)
    pipe.send(server.port)

    def listen() -> None:
        try:
            pipe.recv()
        except EOFError:
            pass
        server._stop.set()

    threading.Thread(target=listen, daemon=True).start()
    server.run()
    server.target.stop()
    if server.error is not None:
        raise server.error


class ServerProcess:
    """A target with its world, built by `build()` in a process of its own, served there."""

    def __init__(
        self,
        build: Callable[[], Target],
        pace: float | None = None,
        until_ns: int | None = None,
        start_timeout_s: float = 120.0,
    ) -> None:
        self._pipe, far = multiprocessing.Pipe()
        self._process = multiprocessing.Process(
            target=_serve, args=(build, pace, until_ns, far), daemon=True
        )
        self._process.start()
        far.close()
        try:
            if not self._pipe.poll(start_timeout_s):
                raise TimeoutError(f"the target did not start within {start_timeout_s:g} s")
            self.port: int = self._pipe.recv()
        except BaseException as error:
            self._process.terminate()
            if isinstance(error, EOFError):
                raise RuntimeError("the target's process ended before it served") from None
            raise

    @property
    def url(self) -> str:
        """What to give to `--port`."""
        return f"socket://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the target still runs."""
        return self._process.is_alive()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self, timeout_s: float = 10.0) -> int | None:
        """End it; returns the process's exit code, 0 when all was well."""
        try:
            self._pipe.send("stop")
        except OSError:
            pass
        self._process.join(timeout_s)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(timeout_s)
        return self._process.exitcode
