"""Running MicroPython code of the firmware from pytest: 32-bit unix and emulated RP2040.

    >>> board = Unix32()
    >>> board.run("stdout.write(stdin.read().upper())", b"abc")
    b'ABC'
    >>> with board.load("from gauge.kernels import muldiv") as program:
    ...     program.call("muldiv", 6, 7, 2, 0)
    ...     program.batch("muldiv", [(1, 2, 3, 4), (5, 6, 7, 8)])

`Unix32` and `RP2040` have the same methods: `run` (a program with bytes in and bytes out),
`load` (a long-lived program whose functions are called; quick enough for hypothesis) and
`heap_locked` (nothing may be allocated). What goes wrong on the board is a `BoardError` with the
board's traceback. Every wait has a timeout.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
SERVER = Path(__file__).with_name("serve_board.py")

# Programs given to run() see their bytes as `stdin` and `stdout` on every board.
LAUNCHER = """\
import sys
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
with open(sys.argv[1]) as file:
    program = compile(file.read(), "program.py", "exec")
exec(program)
"""

CHECK = """
import micropython, sys

@micropython.viper
def product(a: int, b: int) -> int:
    return a * b

def check():
    return sys.maxsize == 2**31 - 1, product(65536, 65536), 16777217.0 == 16777216.0
"""


class BoardError(Exception):
    """A program failed on the board; the text is the board's traceback."""


class BoardTimeout(BoardError):
    """A program did not answer in time; its process was ended."""


# -- values --------------------------------------------------------------------------------------


def encode(value: object) -> bytes:
    """Return the tagged form of a value; sequences of ints become array('i') on the board."""
    if value is None:
        return b"n"
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return struct.pack("<Bi", ord("i"), value)
        text = str(value).encode()
        return struct.pack("<BI", ord("q"), len(text)) + text
    if isinstance(value, str):
        text = value.encode()
        return struct.pack("<BI", ord("s"), len(text)) + text
    if isinstance(value, (bytes, bytearray, memoryview)):
        return struct.pack("<BI", ord("b"), len(value)) + bytes(value)
    if isinstance(value, tuple):
        return struct.pack("<BI", ord("t"), len(value)) + b"".join(map(encode, value))
    words = array("i", value)
    return struct.pack("<BI", ord("a"), len(words)) + words.tobytes()


def decode(buf: bytes, at: int = 0) -> tuple[object, int]:
    """Return the value at index `at` of a reply, and the index after it."""
    tag = buf[at : at + 1]
    at += 1
    if tag == b"i":
        return struct.unpack_from("<i", buf, at)[0], at + 4
    if tag == b"n":
        return None, at
    size = struct.unpack_from("<I", buf, at)[0]
    at += 4
    if tag == b"a":
        return list(struct.unpack_from(f"<{size}i", buf, at)), at + 4 * size
    if tag == b"t":
        values = []
        for _ in range(size):
            value, at = decode(buf, at)
            values.append(value)
        return tuple(values), at
    body = buf[at : at + size]
    at += size
    if tag == b"b":
        return body, at
    if tag == b"s":
        return body.decode(), at
    if tag == b"q":
        return int(body), at
    raise BoardError(f"reply has the unknown tag {tag!r}")


# -- long-lived programs -------------------------------------------------------------------------


class Program(ABC):
    """A source loaded on a board, whose functions are called; `load` of a board makes it."""

    most_words = 1 << 20  # of one message of a batch, arguments and results together

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Give bytes to the program."""

    @abstractmethod
    def receive(self, n: int, timeout_s: float) -> bytes:
        """Return exactly `n` bytes of it; BoardTimeout when they do not come."""

    @abstractmethod
    def close(self) -> None:
        """End the program; may be called twice."""

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, op: bytes, body: bytes, timeout_s: float | None = None) -> object:
        """Send one message and return the value of the reply."""
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        self.send(op + struct.pack("<I", len(body)) + body)
        status, size = struct.unpack("<cI", self.receive(5, timeout_s))
        reply = self.receive(size, timeout_s)
        if status == b"!":
            raise BoardError(reply.decode(errors="replace"))
        return decode(reply)[0] if reply else None

    def execute(self, source: str) -> None:
        """Execute more source in the program's namespace."""
        self.request(b"x", textwrap.dedent(source).encode())

    def call(self, name: str, *args: object, timeout_s: float | None = None) -> object:
        """Call the function `name` and return its result.

        Arguments: int, None, str, bytes (a bytearray on the board), tuple, or any other iterable
        of 32-bit ints (an array('i') on the board). Arrays come back as lists.
        """
        return self.request(b"c", encode(name) + encode(args), timeout_s)

    def batch(
        self,
        name: str,
        rows: Iterable[Sequence[int]],
        n_out: int = 1,
        timeout_s: float | None = None,
    ) -> list:
        """Call the function `name` once per row of 32-bit ints.

        Returns a list of the results: ints, or tuples of `n_out` ints when `n_out` is above 1.
        """
        rows = list(rows)
        if not rows:
            return []
        n_in = len(rows[0])
        step = max(1, self.most_words // (n_in + n_out))
        flat = []
        for k in range(0, len(rows), step):
            words = array("i")
            for row in rows[k : k + step]:
                if len(row) != n_in:
                    raise ValueError(f"rows of {n_in} and {len(row)} words in one batch")
                words.extend(row)
            body = encode(name) + encode(n_in) + encode(n_out) + encode(words)
            flat += self.request(b"b", body, timeout_s)
        if n_out == 1:
            return flat
        return [tuple(flat[k : k + n_out]) for k in range(0, len(flat), n_out)]

    def heap_locked(self, name: str, times: int = 1, timeout_s: float | None = None) -> None:
        """Call the function `name` once, then `times` times with the heap locked.

        Raises BoardError with the place of the allocation (MemoryError) when there is one.
        """
        self.request(b"h", encode(name) + encode(times), timeout_s)


class Board(ABC):
    """What the boards have in common."""

    @abstractmethod
    def load(self, source: str, timeout_s: float = 60) -> Program:
        """Start a program of its own."""

    def heap_locked(self, setup: str, body: str, times: int = 1) -> None:
        """Run the statements `body` with the heap locked, after the statements `setup`.

        Raises BoardError with the place of the allocation (MemoryError) when there is one. Names
        that `setup` defines are globals of `body`.
        """
        statements = textwrap.indent(textwrap.dedent(body).strip(), "    ")
        source = f"{textwrap.dedent(setup)}\ndef locked_body():\n{statements}\n"
        with self.load(source) as program:
            program.heap_locked("locked_body", times)


# -- 32-bit unix ---------------------------------------------------------------------------------


def unix32_path() -> Path:
    """Return the path of the 32-bit unix MicroPython; raises ImageError when there is none."""
    from porogauge_bench.images import image_path

    return image_path("unix32")


class Unix32(Board):
    """The 32-bit unix MicroPython: one process per program.

    `path` is searched for modules before the firmware's folder; `heap_kib` is the size of the
    heap.
    """

    name = "unix32"

    def __init__(
        self, binary: Path | None = None, path: Sequence[Path] = (), heap_kib: int = 4096
    ) -> None:
        self.binary = binary or unix32_path()
        self.heap_kib = heap_kib
        folders = [*map(str, path), str(FIRMWARE), str(ROOT / "boards" / "UNIX32"), ".frozen"]
        self.environment = {"MICROPYPATH": ":".join(folders), "LC_ALL": "C"}
        with self.load(CHECK) as program:
            words_32, product, single = program.call("check")
        if not words_32 or product != 0:
            raise BoardError(f"{self.binary} has no 32-bit words; rebuild it with make image")
        if not single:
            raise BoardError(f"{self.binary} has double floats; rebuild it with make image")

    def command(self, script: Path, *args: object) -> list[str]:
        heap = f"heapsize={self.heap_kib}k"
        return [str(self.binary), "-X", heap, str(script), *map(str, args)]

    def run(self, source: str, data: bytes = b"", timeout_s: float = 60) -> bytes:
        """Run a program in a process of its own and return the bytes that it wrote.

        The program reads `data` from `stdin` and writes to `stdout` (both binary streams).
        """
        with tempfile.TemporaryDirectory(prefix="porogauge-") as folder:
            script = Path(folder) / "program.py"
            script.write_text(textwrap.dedent(source))
            launcher = Path(folder) / "launcher.py"
            launcher.write_text(LAUNCHER)
            try:
                done = subprocess.run(
                    self.command(launcher, script),
                    input=data,
                    capture_output=True,
                    env=self.environment,
                    timeout=timeout_s,
                )
            except subprocess.TimeoutExpired as error:
                raise BoardTimeout(f"program did not end within {timeout_s} s") from error
        if done.returncode:
            raise BoardError(_ending(done.returncode, done.stderr))
        return done.stdout

    def load(self, source: str, timeout_s: float = 60) -> UnixProgram:
        """Load a source in a process of its own; close the program to end the process."""
        program = UnixProgram(self, timeout_s)
        try:
            program.execute(source)
        except BaseException:
            program.close()
            raise
        return program


class UnixProgram(Program):
    """A program in a process of the unix port, spoken to over pipes of its own."""

    def __init__(self, board: Unix32, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self._console = tempfile.TemporaryFile()
        board_in, self._to_board = os.pipe()
        self._from_board, board_out = os.pipe()
        try:
            self._process = subprocess.Popen(
                board.command(SERVER, board_in, board_out),
                stdin=subprocess.DEVNULL,
                stdout=self._console,
                stderr=self._console,
                pass_fds=(board_in, board_out),
                env=board.environment,
            )
        finally:
            os.close(board_in)
            os.close(board_out)
        self._poll = select.poll()
        self._poll.register(self._from_board, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._to_board, select.POLLOUT)
        os.set_blocking(self._to_board, False)

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        deadline = time.monotonic() + self.timeout_s
        while view:
            if not self._writable.poll(max(0, 1000 * (deadline - time.monotonic()))):
                self.close()
                raise BoardTimeout(f"program did not read within {self.timeout_s} s")
            try:
                view = view[os.write(self._to_board, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise BoardError(self._ended()) from None

    def receive(self, n: int, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        chunks = []
        while n:
            if not self._poll.poll(max(0, 1000 * (deadline - time.monotonic()))):
                self.close()
                raise BoardTimeout(f"program did not answer within {timeout_s} s")
            chunk = os.read(self._from_board, min(n, 1 << 20))
            if not chunk:
                raise BoardError(self._ended())
            chunks.append(chunk)
            n -= len(chunk)
        return b"".join(chunks)

    def _ended(self) -> str:
        """Reap the process and return what is known about its end."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._console.seek(0)
        return _ending(code, self._console.read())

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for fd in (self._to_board, self._from_board):
            if fd >= 0:
                os.close(fd)
        self._to_board = self._from_board = -1
        self._console.close()


# -- emulated RP2040 -----------------------------------------------------------------------------


class RP2040(Board):
    """Our image on the emulated RP2040; one emulator per program, modules as frozen in the image.

    `files` are put into the board's file system, where a module shadows a frozen one of the same
    name. Timeouts are in virtual seconds: a busy one takes 2 s with the accelerated emulator, 20 s
    without.
    """

    name = "rp2040"

    def __init__(self, uf2: Path | None = None, files: dict[str, bytes] | None = None) -> None:
        from porogauge_bench.images import image_path

        self.uf2 = uf2 or image_path("rp2040")
        self.files = files

    def run(self, source: str, data: bytes = b"", timeout_s: float = 60) -> bytes:
        """Run a program on a freshly booted board and return the bytes that it wrote.

        As with `Unix32.run`; here `stdin` and `stdout` are buffers in memory.
        """
        with self.load("", timeout_s) as program:
            body = encode(textwrap.dedent(source)) + encode(data)
            return program.request(b"r", body, timeout_s)

    def load(self, source: str, timeout_s: float = 60) -> RP2040Program:
        """Load a source on a freshly booted board."""
        program = RP2040Program(self, timeout_s)
        if source:
            program.execute(source)
        return program


class RP2040Program(Program):
    """A program on an emulated board of its own, spoken to over USB."""

    most_words = 4096

    def __init__(self, board: RP2040, timeout_s: float) -> None:
        from porogauge_bench.rp2040 import RP2040Target

        super().__init__(timeout_s)
        self.target = RP2040Target(board.uf2, files=board.files, service=True)
        self.target.boot()
        self.target.repl_exec(SERVER.read_text())
        self.target.link_received.clear()
        self.target.link_send(b"serve_usb()\x04")
        if self.receive(2, timeout_s) != b"OK":
            raise BoardError("the board did not start to serve")

    def send(self, data: bytes) -> None:
        self.target.link_send(data)

    def receive(self, n: int, timeout_s: float) -> bytes:
        received = self.target.link_received
        limit_ns = int(1e9 * timeout_s)
        if not self.target.run_while(lambda: len(received) < n, limit_ns, step_ns=50_000):
            raise BoardTimeout(
                f"program did not answer within {timeout_s} virtual s: {bytes(received[-200:])!r}"
            )
        data = bytes(received[:n])
        del received[:n]
        return data

    def close(self) -> None:
        """Release the emulator."""
        self.target.stop()


def _ending(code: int, output: bytes) -> str:
    """Describe the end of a process by its exit code and what it printed."""
    text = output.decode(errors="replace").strip()
    if code < 0:
        text = f"ended by {signal.Signals(-code).name} (viper checks no bounds)\n{text}"
    return text or f"ended with exit code {code}"


if sys.byteorder != "little":
    raise RuntimeError("words are exchanged in the host's order, which must be little-endian")
