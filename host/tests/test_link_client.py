"""The client on real ports: sockets and pseudo-terminals with a board session behind them."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from array import array

import plausible
import pytest

from gauge import config, health, record
from gauge.link import protocol
from gauge.link.commands import ConfigTransfer
from gauge.link.session import BoardSession
from porogauge import errors
from porogauge.link import events
from porogauge.link.client import Client

ID = bytes(range(8))


class Board:
    """A board in a thread: makes a record every 2 ms and serves whoever is connected."""

    def __init__(self, boot: int = 1) -> None:
        self.blob = b""
        self.asked: list[int] = []
        self.session = BoardSession(
            32768,
            {"device_id": ID, "board": "TEST", "firmware": "1"},
            boot,
            self.handle,
            ConfigTransfer(config.BLOB_BYTES, lambda: self.blob, self.commit),
        )
        self.rows: list[tuple[int, ...]] = plausible.rows(400)
        self.made = 0
        self.rx = bytearray()
        self.fd: int | None = None
        self.broken = False
        self.thread: threading.Thread | None = None
        self.stop = threading.Event()

    def handle(self, op, request, reply):
        self.asked.append(op)
        if op == protocol.STATUS:
            words = health.new(health.STATUS_NAMES)
            words[health.STATUS_WINDOWS] = 77
            reply.words(words, len(words))
            return protocol.OK
        if op == protocol.STANDARDISE:
            reply.text("film is in the gap")
            return protocol.REFUSED
        if op == protocol.REPL:
            return protocol.OK
        return protocol.UNKNOWN

    def commit(self, blob):
        config.unpack(blob)
        self.blob = blob

    # transport
    def write(self, buf, n):
        try:
            return os.write(self.fd, bytes(buf[:n]))
        except BlockingIOError:
            return 0
        except OSError:
            self.broken = True
            return 0

    def readinto(self, buf):
        try:
            if not select.select([self.fd], [], [], 0)[0]:
                return 0
            data = os.read(self.fd, len(buf))
        except OSError:
            data = b""
        if not data:
            self.broken = True
        buf[: len(data)] = data
        return len(data)

    def serve(self, fd: int) -> None:
        """Run until the other end is gone or stop() is called."""
        self.fd, self.broken = fd, False
        os.set_blocking(fd, False)
        while not self.stop.is_set() and not self.broken:
            if self.made < len(self.rows):
                self.session.append(array("i", self.rows[self.made]))
                self.made += 1
            self.session.poll(time.monotonic_ns() // 1000 % 2**30, self)
            time.sleep(0.002)


@contextlib.contextmanager
def on_socket(board: Board, hang_up_after: int = 0):
    """Serve a board on a port; yields its URL. The connection is cut after so many records."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.05)

    def loop():
        cuts = [hang_up_after] if hang_up_after else []
        while not board.stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            with connection:
                if cuts:
                    serve_until(board, connection, cuts.pop())
                else:
                    board.serve(connection.fileno())

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
    finally:
        board.stop.set()
        thread.join(5)
        server.close()


def serve_until(board: Board, connection: socket.socket, records: int) -> None:
    """Serve, and cut the connection when the board has made so many records."""

    def cut():
        while board.made < records and not board.stop.is_set():
            time.sleep(0.002)
        connection.shutdown(socket.SHUT_RDWR)

    cutter = threading.Thread(target=cut, daemon=True)
    cutter.start()
    board.serve(connection.fileno())
    cutter.join(5)


def collect(client: Client, until, timeout_s: float = 10) -> list:
    """Pump until until(events) is true."""
    found: list = []
    end = time.monotonic() + timeout_s
    while not until(found) and time.monotonic() < end:
        found += client.pump(0.1)
        client.commit(client.boot, client.next_seq)
    return found


def rows_of(found: list) -> list:
    return [row for event in found if isinstance(event, events.Records) for row in event.rows]


def test_stream_over_a_socket_survives_a_lost_connection():
    board = Board()
    with on_socket(board, hang_up_after=120) as url, Client(url, known=lambda d, b: 0) as client:
        hello = client.connect()
        assert (hello.device, hello.board, hello.boot) == (ID.hex(), "TEST", 1)
        found = collect(client, lambda found: len(rows_of(found)) >= 400)
    assert rows_of(found) == board.rows
    kinds = [type(event) for event in found]
    assert events.LinkDown in kinds and events.LinkUp in kinds


def test_commands_and_configuration():
    board = Board()
    words = array("i", (low for _, low, _ in config.SPEC))
    blob = config.pack(words)
    with on_socket(board) as url, Client(url, stream=False) as client:
        client.connect()
        assert client.read_config() == b""
        client.push_config(blob)
        assert client.read_config() == blob == board.blob
        status = client.status()
        assert list(status) == list(health.STATUS_NAMES) and status["windows"] == 77
        with pytest.raises(errors.RequestFailed, match="film is in the gap") as refusal:
            client.request(protocol.STANDARDISE)
        assert refusal.value.status == protocol.REFUSED
        with pytest.raises(errors.RequestFailed, match="checksum is wrong"):
            client.push_config(blob[:-1] + b"\0")
        with pytest.raises(errors.RequestFailed, match="unknown operation"):
            client.request(protocol.HOLD)
        client.repl()
        assert board.asked[-1] == protocol.REPL


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_serial_port_is_exclusive_and_binary():
    board = Board()
    master, slave = os.openpty()
    thread = threading.Thread(target=board.serve, args=(master,), daemon=True)
    thread.start()
    path = os.ttyname(slave)
    try:
        with Client(path) as client:
            client.connect()
            with pytest.raises(errors.DeviceBusy, match="in use") as busy:
                Client(path, timeout_s=0.2).connect()
            assert busy.value.exit_code == 3
            found = collect(client, lambda found: len(rows_of(found)) >= 100)
            assert rows_of(found)[:100] == board.rows[:100]
    finally:
        board.stop.set()
        thread.join(5)
        os.close(master)
        os.close(slave)


def test_no_port_and_no_gauge_are_told_apart():
    with pytest.raises(errors.DeviceAbsent, match="plugged in"):
        Client("/dev/does-not-exist", timeout_s=0.1).connect()
    with pytest.raises(errors.DeviceAbsent):
        Client("socket://127.0.0.1:1", timeout_s=0.1).connect()
    with pytest.raises(errors.DeviceAbsent, match="give a serial port"):
        Client("nonsense://x", timeout_s=0.1).connect()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)  # what is sent sooner is lost when the port is opened
                connection.sendall(b"MPY: soft reboot\r\nNameError: board\r\n>>> ")
                while connection.recv(1000):
                    pass

        threading.Thread(target=talk, daemon=True).start()
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with Client(url, timeout_s=2) as client:
            with pytest.raises(errors.DeviceAbsent, match="NameError: board"):
                client.connect()


def test_another_firmware_is_a_protocol_error(monkeypatch):
    board = Board()
    with on_socket(board) as url:
        from porogauge.link.events import Hello

        monkeypatch.setattr(Hello, "same_layout", property(lambda self: False))
        with Client(url) as client, pytest.raises(errors.ProtocolMismatch, match="layout") as bad:
            client.connect()
        assert bad.value.exit_code == 4
        assert record.LAYOUT_HASH.hex() in str(bad.value)
