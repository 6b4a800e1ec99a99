"""The process of a unix board: started, spoken to over its pipe, and reaped, whatever happens.

One object is one life of the board, from power-up to reset. Requests and answers are those of
boards/UNIX32/pipe.py. The firmware's `print` and tracebacks go to a console of their own, which
is part of every error. Waits are in seconds of wall time, because virtual time stands still while
the board computes.
"""

from __future__ import annotations

import os
import runpy
import select
import signal
import struct
import subprocess
import tempfile
import weakref
from array import array
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from .images import ROOT
from .target import TargetError

FOLDER = ROOT / "boards" / "UNIX32"
FIRMWARE = ROOT / "firmware"


def constants(name: str) -> SimpleNamespace:
    """Return the constants of a file in boards/UNIX32. Raises FileNotFoundError."""
    values = runpy.run_path(str(FOLDER / f"{name}.py"))
    return SimpleNamespace(**{key: value for key, value in values.items() if key.isupper()})


pipe = constants("pipe")

_REQUEST = struct.Struct(pipe.REQUEST)
_OPERATION = struct.Struct(pipe.OPERATION)
_HEAD = struct.Struct(f"<{pipe.HEAD_WORDS}i")


class UnixProcess:
    """One process of the 32-bit unix MicroPython, running boards/UNIX32/main.py.

    `folder` is its working directory (the board's files), `program` the path of a program that
    runs instead of the gauge, `path` where modules are looked for first.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        program: Path | None = None,
        path: Sequence[Path] = (),
        heap_kib: int = 2048,
        limit_s: float = 30.0,
    ) -> None:
        self._limit_s = limit_s
        self._console = tempfile.TemporaryFile()
        self._buffer = b""
        folders = [*path, FIRMWARE, FOLDER, ".frozen"]
        board_in, self._to_board = os.pipe()
        self._from_board, board_out = os.pipe()
        environment = {
            "MICROPYPATH": ":".join(map(str, folders)),
            pipe.FDS: f"{board_in},{board_out}",
        }
        if program is not None:
            environment[pipe.PROGRAM] = str(program)
        try:
            self._process = subprocess.Popen(
                [str(binary), "-X", f"heapsize={heap_kib}k", str(FOLDER / "main.py")],
                stdin=subprocess.DEVNULL,
                stdout=self._console,
                stderr=subprocess.STDOUT,
                pass_fds=(board_in, board_out),
                env=environment,
                cwd=folder,
                start_new_session=True,  # Ctrl-C on the desk is for the bench, which reaps it
            )
        finally:
            os.close(board_in)
            os.close(board_out)
        self._poll = select.poll()
        self._poll.register(self._from_board, select.POLLIN)
        self._reaper = weakref.finalize(
            self, _reap, self._process, (self._to_board, self._from_board)
        )

    @property
    def console(self) -> str:
        """What the firmware has printed so far."""
        position = self._console.seek(0, os.SEEK_END)
        return os.pread(self._console.fileno(), position, 0).decode(errors="replace")

    def request(self) -> tuple[int, int, list[tuple[int, int, int, bytes]]]:
        """Wait for the board's next request.

        Returns the free bytes of its two link buffers and the operations (code, argument, value,
        data). Raises TargetError when the firmware ended or made no call in time.
        """
        buffer = self._buffer
        needed = _REQUEST.size
        while len(buffer) < needed:
            if not self._poll.poll(1000 * self._limit_s):
                raise TargetError(self._hung())
            chunk = os.read(self._from_board, 65536)
            if not chunk:
                raise TargetError(self._ended())
            buffer += chunk
            if needed == _REQUEST.size and len(buffer) >= needed:
                needed += _REQUEST.unpack_from(buffer)[0]
        _, free_usb, free_uart = _REQUEST.unpack_from(buffer)
        operations = []
        at = _REQUEST.size
        while at < needed:
            code, argument, n, value = _OPERATION.unpack_from(buffer, at)
            at += _OPERATION.size
            operations.append((code, argument, value, buffer[at : at + n]))
            at += n
        self._buffer = buffer[needed:]
        return free_usb, free_uart, operations

    def answer(self, head: Sequence[int], words: list[int], data: bytes) -> None:
        """Send one frame of an answer: its head, and a payload of words and bytes."""
        data = _HEAD.pack(*head) + array("I", words).tobytes() + data
        try:
            # the board reads an answer at once: 64 KiB of pipe hold it in any case
            os.write(self._to_board, data)
        except BrokenPipeError:
            raise TargetError(self._ended()) from None

    def close(self) -> str:
        """End the process; returns what it had printed."""
        text = self.console
        self._reaper()
        return text

    def _ended(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        how = f"by {signal.Signals(-code).name}" if code and code < 0 else f"with code {code}"
        return f"the firmware ended {how}; its console:\n{self.close()}"

    def _hung(self) -> str:
        """Interrupt the firmware so that its console shows where it was."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            pass
        return (
            f"the firmware made no call for {self._limit_s:g} s; a loop that never waits? "
            f"Its console:\n{self.close()}"
        )


def _reap(process: subprocess.Popen, fds: Sequence[int]) -> None:
    """Kill and collect a process and close its pipe."""
    process.kill()
    process.wait()
    for fd in fds:
        os.close(fd)


__all__ = ["FIRMWARE", "FOLDER", "UnixProcess", "constants", "pipe"]
