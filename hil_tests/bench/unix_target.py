"""`UnixTarget`: the gauge on the 32-bit unix MicroPython, its buses served over a pipe.

    >>> target = UnixTarget(program="from gauge.hw import Hardware; Hardware().idle(5)")
    >>> target.boot()
    >>> target.run_for(1_000_000_000)
    >>> target.stop()

The same package with the same numbers as on the RP2040, many times faster than real time, for
long runs. What differs: computing takes no virtual time, files are written in no time, and the
link has no packets. Deterministic: the board is asked to go on at exact virtual instants only,
so that the same seed gives the same bytes. Lasers and encoder are best connected by `pull` and
`encoder_count`, which are asked when the board looks; sent bytes and driven encoder wires work
like on every target.

One object is one board for as long as it lives; `stop()` ends its process and removes its files.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .clock import EventClock
from .images import image_path
from .target import INPUTS, OUTPUTS, ReplError, Stats, Target, TargetError
from .unix_process import FOLDER, UnixProcess, constants, pipe
from .unix_wires import I2CMaster, LaserLine, LinkLine, Steps, UnixCable

START_NS = 50_000_000  # from reset to the first line of the firmware, about that of the RP2040
USB_BUFFER_BYTES = 2048
UNIQUE_ID = bytes.fromhex("e6605481db318436")
TICKS_MASK = (1 << 30) - 1
MOST_CALLS_AT_ONCE = 10_000
# In one frame of an answer, so that its payload stays below pipe.PAYLOAD_BYTES
MOST_BYTES = 1536
MOST_STAMPS = MOST_BYTES // 3 + 1
MOST_LINK_BYTES = 256
TRANSFERS = (pipe.I2C_WRITE, pipe.I2C_READ, pipe.I2C_READ_REG, pipe.I2C_FREE)


class UnixTarget(Target):
    """The unix port as a board; see `Target` for what it offers.

    `binary` is the MicroPython (default: the built one), `files` the board's files at first,
    `service` holds the service input active, `program` is source that runs instead of the gauge,
    `path` holds folders in which modules are looked for first, `link` is the link that `on_link`
    and `link_send` use ("usb" or "uart"), `ticks_at_start` what the board's ticks show at its
    start (to test their wrap), `limit_s` the longest wall time between two calls of the firmware,
    `journal_sectors` the size of the journal's flash (default: as the board file has it).

    Beyond `Target`: `console`, `powered`, `power_off`, `set_files`, `encoder_count`.
    """

    name = "unix32"

    def __init__(
        self,
        binary: Path | None = None,
        *,
        files: dict[str, bytes] | None = None,
        service: bool = False,
        unique_id: bytes = UNIQUE_ID,
        program: str | None = None,
        path: Sequence[Path] = (),
        link: str = "usb",
        ticks_at_start: int = 0,
        heap_kib: int = 2048,
        limit_s: float = 30.0,
        journal_sectors: int | None = None,
    ) -> None:
        super().__init__(EventClock())
        self.clock: EventClock
        if link not in ("usb", "uart"):
            raise ValueError(f"link {link!r} is not one of usb, uart")
        self.board = board = constants("board")
        self._binary = Path(binary) if binary is not None else image_path("unix32")
        self._folder = tempfile.TemporaryDirectory(prefix="porogauge-unix-")
        self._files = Path(self._folder.name) / "files"
        self._files.mkdir()
        self._program = Path(self._folder.name) / "program.py" if program is not None else None
        if program is not None:
            self._program.write_text(program)
        self._path, self._heap_kib, self._limit_s = path, heap_kib, limit_s
        self._unique_id = unique_id
        self._ticks_at_start = ticks_at_start
        self._boot_ns = 0
        self._wall_s = 0.0
        self._resets = 0
        self._console = ""
        self.powered = False
        self.bootloader = False  # the firmware has gone to the boot loader

        self._process: UnixProcess | None = None
        self._steps: Steps | None = None  # the call under way
        self._until_ns = 0  # when it goes on
        self._idle = False  # it ends when something happens
        self._transfer = False  # it is one over I2C
        self._wake = False
        self._running = False
        self._repl: tuple[bool, str] | None = None  # outcome of the code, once it has ended
        self._code: Path | None = None
        self._in_repl = False
        self._cause = pipe.CAUSES[0]
        self._watchdog_ns = self._watchdog_limit_ns = 0
        self._free = (0, 0)

        self._levels = dict.fromkeys(INPUTS, True)
        self._level_bits = pipe.LEVEL_READY
        self._flash_factor = 1.0
        self._upset = 0  # LEVEL_HANG or LEVEL_CRASH, to be told once
        self._edges: list[int] = []  # ticks of the falls of /RDY since the last answer
        self._counts = 0
        # counts of the web encoder at an instant, in place of the wires encoder_a and encoder_b
        self.encoder_count: Callable[[int], int] | None = None
        self._encoder_start = 0
        self._output_levels = dict.fromkeys(OUTPUTS, False)
        self._laser_lines = []
        for name in ("a", "b"):
            cable = UnixCable(name, baud=board.LASER_BAUD, clock=self.clock)
            self.lasers[name] = cable
            self._laser_lines.append(LaserLine(cable))
        self._master = I2CMaster(self.i2c, board.I2C_HZ, board.I2C_TIMEOUT_US)
        usb = LinkLine(self.clock, USB_BUFFER_BYTES, 0.0)
        uart = LinkLine(self.clock, board.LINK_UART_RING, 1e10 / board.LINK_BAUD)
        self._links = (usb, uart)
        self._link = usb if link == "usb" else uart
        self._link.out = self.link_out
        usb.on_arrival = self._wake_up  # as on the RP2040, whose second link wakes nobody
        self._notices = {
            pipe.OUTPUT: self._on_output,
            pipe.LASER_SEND: self._on_laser_send,
            pipe.LASER_START: self._on_laser_start,
            pipe.LASER_BAUD: self._on_laser_baud,
            pipe.LINK_SEND: self._on_link_send,
            pipe.LINK_OPEN: self._on_link_open,
            pipe.LINK_CLOSE: self._on_link_close,
            pipe.WATCHDOG_START: self._on_watchdog_start,
            pipe.WATCHDOG_FEED: self._on_watchdog_feed,
        }
        if journal_sectors is not None:
            self._path = [*path, self._other_board(JOURNAL_SECTORS=journal_sectors)]
        if files is not None:
            self.set_files(files)
        if service:
            self.press("service")

    def _other_board(self, **changes: int) -> Path:
        """A folder with a board file that differs."""
        folder = Path(self._folder.name) / "board"
        folder.mkdir()
        text = (FOLDER / "board.py").read_text()
        text += "".join(f"\n{name} = {value}" for name, value in changes.items())
        (folder / "board.py").write_text(text)
        return folder

    # -- time

    @property
    def boot_ns(self) -> int:
        return self._boot_ns

    def _ticks(self, t_ns: int) -> int:
        """Microseconds of the board's timer at an instant, not wrapped."""
        return (t_ns - self._boot_ns) // 1000

    def run_until(self, t_ns: int) -> None:
        if self._running:
            raise TargetError("run_until was called from within a run")
        clock = self.clock
        if t_ns <= clock.now_ns:
            return
        start = time.perf_counter()
        self._running = True
        try:
            while True:
                if self._steps is not None and (
                    self._until_ns <= clock.now_ns or (self._idle and self._wake)
                ):
                    self._go_on(t_ns)
                    continue
                if clock.now_ns >= t_ns:
                    return
                end = t_ns if self._steps is None else min(t_ns, self._until_ns)
                if self._idle or self._steps is None:
                    due = clock.next_ns()
                    if due is not None and due < end:
                        end = due
                # a due event may lie in the past of an event that let time pass
                clock.run_until(max(end, clock.now_ns))
        except TargetError:
            self._end_process()
            raise
        finally:
            self._running = False
            self._wall_s += time.perf_counter() - start

    def stats(self) -> Stats:
        return Stats(self.now_ns / 1e9, self._wall_s, None, self._resets)

    # -- life

    def boot(self, limit_ns: int = 3_000_000_000) -> None:
        if not self.powered:
            self.reset("power")
        if not self.run_while(lambda: not self._is_up(), limit_ns):
            raise TargetError(
                f"the board did not open its link within {limit_ns / 1e9:g} s; its console:\n"
                f"{self.console}"
            )

    def _is_up(self) -> bool:
        """The link is open, or a program of its own or the REPL runs."""
        running = self._steps is not None and self._program is not None
        return self._link.is_open or running or self._in_repl

    def reset(self, kind: str = "power") -> None:
        causes = {"power": 0, "run": 0, "watchdog": 1, "soft": 2}
        if kind not in causes:
            raise ValueError(f"reset {kind!r} is not one of power, run, watchdog")
        self.power_off()
        self._cause = causes[kind]
        self.powered = True
        now = self.clock.now_ns
        self._boot_ns = now - 1000 * self._ticks_at_start
        boot_ns = self._boot_ns

        def begin() -> None:
            if self.powered and self._process is None and self._boot_ns == boot_ns:
                self._begin()

        self.clock.call_at(now + START_NS, begin)

    def power_off(self) -> None:
        """Take the board's power away; the world goes on until `reset`."""
        if self.powered:
            self._resets += 1
        self.powered = False
        self._end_process()
        for line in self._links:
            line.restart()
        for laser in self._laser_lines:
            laser.start()
            laser.set_baud(self.board.LASER_BAUD)
        self.i2c.stop()
        self._edges.clear()
        self._upset = 0
        self._counts = 0
        self._encoder_start = self._encoder_now()
        self._watchdog_limit_ns = 0
        for name in OUTPUTS:
            self._set_output(name, False)

    def _end_process(self) -> None:
        self._steps = None
        self._idle = self._wake = self._in_repl = False
        if self._process is not None:
            process, self._process = self._process, None
            self._console += process.close()

    def slow_flash(self, factor: float) -> None:
        self._flash_factor = factor

    def hang(self) -> None:
        self._upset = pipe.LEVEL_HANG
        self._wake = True

    def crash(self) -> None:
        self._upset = pipe.LEVEL_CRASH
        self._wake = True

    def stop(self) -> None:
        self._end_process()
        self.powered = False
        self._folder.cleanup()

    @property
    def console(self) -> str:
        """What the firmware has printed since the target was built."""
        return self._console + (self._process.console if self._process is not None else "")

    @property
    def files(self) -> dict[str, bytes]:
        found = sorted(path for path in self._files.rglob("*") if path.is_file())
        return {str(path.relative_to(self._files)): path.read_bytes() for path in found}

    def set_files(self, content: dict[str, bytes]) -> None:
        """Replace the board's files (before it is powered)."""
        for path in self._files.rglob("*"):
            if path.is_file():
                path.unlink()
        for name, data in content.items():
            path = self._files / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    # -- the firmware's calls

    def _begin(self) -> None:
        """Start the process and take its first request."""
        self._process = UnixProcess(
            self._binary,
            self._files,
            program=self._program,
            path=self._path,
            heap_kib=self._heap_kib,
            limit_s=self._limit_s,
        )
        self._calls_at = (-1, 0)
        self._take_request()

    def _take_request(self) -> None:
        """Take the board's next request: notices at once, and the call that it ends with."""
        free_usb, free_uart, operations = self._process.request()
        self._free = (free_usb, free_uart)
        now, n = self._calls_at
        n = n + 1 if now == self.clock.now_ns else 0
        if n > MOST_CALLS_AT_ONCE:
            raise TargetError(
                f"the firmware made {n} calls without letting time pass; its console:\n"
                f"{self.console}"
            )
        self._calls_at = (self.clock.now_ns, n)
        process = self._process
        *notices, (code, argument, value, data) = operations
        for notice in notices:
            self._notices[notice[0]](notice[1], notice[2], notice[3])
        if self._process is not process:
            return  # somebody who was told of an output has reset the board
        self._idle = code == pipe.IDLE
        self._in_repl = code == pipe.REPL
        self._transfer = code in TRANSFERS
        self._until_ns = self.clock.now_ns
        if code == pipe.IDLE:
            self._steps = self._wait(value)
            if not self._wake:
                self._until_ns += 1000 * value
        else:
            self._steps = self._call(code, argument, value, data)

    def _go_on(self, limit_ns: int) -> None:
        """Continue the call under way, at most up to `limit_ns`.

        When it is done, answer and take the next request.
        """
        steps, clock = self._steps, self.clock
        try:
            while True:
                self._until_ns = until_ns = next(steps)
                if until_ns > limit_ns:
                    return
                clock.run_until(max(until_ns, clock.now_ns))
                if self._steps is not steps:
                    return  # an event has reset the board
        except StopIteration as done:
            result, data = done.value
        self._steps = None
        self._idle = False
        self._answer(result, data, self._transfer)
        self._take_request()

    def _wait(self, _us: int) -> Steps:
        """IDLE: the time is in `_until_ns`; ends at it or when the board is woken."""
        self._wake = False
        return 0, b""
        yield

    def _call(self, code: int, argument: int, value: int, data: bytes) -> Steps:
        """All calls but IDLE."""
        master = self._master
        if code == pipe.I2C_WRITE:
            return (yield from master.write(argument, data, value != 0))
        if code == pipe.I2C_READ:
            stop = bool(value & pipe.STOP)
            return (yield from master.read(argument, value & (pipe.STOP - 1), stop))
        if code == pipe.I2C_READ_REG:
            return (yield from master.read_register(argument, data, value))
        if code == pipe.I2C_FREE:
            return (yield from master.free())
        if code in (pipe.PASS, pipe.FLASH):
            if value > 0:
                factor = self._flash_factor if code == pipe.FLASH else 1.0
                yield self.clock.now_ns + round(1000 * value * factor)
            return 0, b""
        if code == pipe.HELLO:
            return self._cause, self._unique_id
        if code == pipe.REPL:
            self._repl = (bool(argument), data.decode(errors="replace"))
            while self._code is None:
                yield self.clock.now_ns + 1_000_000
            path, self._code = self._code, None
            self._repl = None
            return 0, str(path).encode()
        if code in (pipe.RESET, pipe.BOOTLOADER):
            now = self.clock.now_ns
            if code == pipe.RESET:
                self.clock.call_at(now, lambda: self.reset("soft"))
            else:
                self.bootloader = True
                self.clock.call_at(now, self.power_off)
            while True:
                yield self.clock.now_ns + 1_000_000_000
        raise TargetError(f"the firmware made the unknown call {code}; pipe.py differs?")

    def _answer(self, result: int, data: bytes, transfer: bool) -> None:
        """Send all that has happened since the answer before, in as many frames as it takes.

        Laser bytes wait for the end of a `transfer` over I2C, which is soon: to ask for them is
        what costs most.
        """
        ticks = self._ticks(self.clock.now_ns)
        edges, self._edges = self._edges, []
        stamps_a, bytes_a, errors_a = stamps_b, bytes_b, errors_b = [], b"", 0
        if not transfer:
            laser_a, laser_b = self._laser_lines
            stamps_a, bytes_a, errors_a = laser_a.take(self._boot_ns)
            stamps_b, bytes_b, errors_b = laser_b.take(self._boot_ns)
        usb, uart = self._links
        to_usb = usb.to_board(min(self._free[0], MOST_LINK_BYTES))
        to_uart = uart.to_board(min(self._free[1], MOST_LINK_BYTES))
        if len(usb):
            self._wake = True  # the rest has arrived, too: the board need not sleep
        counts = self._encoder_now() - self._encoder_start
        counts = ((counts + (1 << 29)) & TICKS_MASK) - (1 << 29)
        more = True
        while more:
            more = len(bytes_a) > MOST_BYTES or len(bytes_b) > MOST_BYTES
            words = edges + stamps_a[:MOST_STAMPS] + stamps_b[:MOST_STAMPS]
            parts = (bytes_a[:MOST_BYTES], bytes_b[:MOST_BYTES], to_usb, to_uart)
            answer = b"" if more else data
            head = (
                ticks & TICKS_MASK,
                ticks // 1000 & TICKS_MASK,
                result,
                counts,
                self._level_bits | self._upset * (not more),
                more,
                errors_a,
                errors_b,
                usb.room,
                uart.room,
                len(edges),
                min(len(stamps_a), MOST_STAMPS),
                min(len(stamps_b), MOST_STAMPS),
                *map(len, parts),
                len(answer),
            )
            self._process.answer(head, words, b"".join((*parts, answer)))
            edges, to_usb, to_uart, errors_a, errors_b = [], b"", b"", 0, 0
            stamps_a, bytes_a = stamps_a[MOST_STAMPS:], bytes_a[MOST_BYTES:]
            stamps_b, bytes_b = stamps_b[MOST_STAMPS:], bytes_b[MOST_BYTES:]
        self._upset = 0

    # -- notices

    def _on_output(self, index: int, level: int, _data: bytes) -> None:
        self._set_output(OUTPUTS[index], bool(level))

    def _set_output(self, name: str, level: bool) -> None:
        if self._output_levels[name] != level:
            self._output_levels[name] = level
            self.output_changed(name, level)

    def _on_laser_send(self, laser: int, _value: int, data: bytes) -> None:
        self._laser_lines[laser].from_board(data)

    def _on_laser_start(self, laser: int, _value: int, _data: bytes) -> None:
        self._laser_lines[laser].start()

    def _on_laser_baud(self, laser: int, baud: int, _data: bytes) -> None:
        self._laser_lines[laser].set_baud(baud)

    def _on_link_send(self, link: int, _value: int, data: bytes) -> None:
        self._links[link].from_board(data)

    def _on_link_open(self, link: int, _value: int, _data: bytes) -> None:
        self._links[link].is_open = True

    def _on_link_close(self, link: int, _value: int, _data: bytes) -> None:
        self._links[link].is_open = False

    def _on_watchdog_start(self, _argument: int, ms: int, _data: bytes) -> None:
        armed = self._watchdog_limit_ns > 0
        self._watchdog_limit_ns = 1_000_000 * ms
        self._on_watchdog_feed(0, 0, b"")
        if ms and not armed:
            self._watch(self._boot_ns)

    def _on_watchdog_feed(self, _argument: int, _value: int, _data: bytes) -> None:
        self._watchdog_ns = self.clock.now_ns + self._watchdog_limit_ns

    def _watch(self, boot_ns: int) -> None:
        """Restart a board whose watchdog was not fed; look again when it may bite next."""
        if not self._watchdog_limit_ns or boot_ns != self._boot_ns:
            return
        if self.clock.now_ns >= self._watchdog_ns:
            self.reset("watchdog")
        else:
            self.clock.call_at(self._watchdog_ns, lambda: self._watch(boot_ns))

    # -- link

    def link_send(self, data: bytes) -> None:
        self._link.send(data)

    def link_stall(self, stalled: bool) -> None:
        self._link.stall(stalled)

    def link_plug(self, plugged: bool) -> None:
        self._link.plug(plugged)

    # -- wires

    def _wake_up(self) -> None:
        self._wake = True

    def set_input(self, name: str, level: bool) -> None:
        if name not in self._levels:
            raise KeyError(f"the board has no input {name!r}; there are {', '.join(INPUTS)}")
        level = bool(level)
        if level == self._levels[name]:
            return
        self._levels[name] = level
        if name == "ready":
            if not level:
                self._edges.append(self._ticks(self.clock.now_ns) & TICKS_MASK)
                self._wake = True
        elif name == "encoder_a":
            self._counts += 1 if level != self._levels["encoder_b"] else -1
        levels = self._levels
        active = bool(self.board.INPUT_ACTIVE)
        self._level_bits = (
            levels["ready"] * pipe.LEVEL_READY
            | (levels["standardise"] == active) * pipe.LEVEL_STANDARDISE
            | (levels["acknowledge"] == active) * pipe.LEVEL_ACKNOWLEDGE
            | (levels["service"] == active) * pipe.LEVEL_SERVICE
        )

    def press(self, name: str, active: bool = True) -> None:
        self.set_input(name, bool(self.board.INPUT_ACTIVE) == active)

    def _encoder_now(self) -> int:
        return self._counts if self.encoder_count is None else self.encoder_count(self.now_ns)

    # -- tests of single modules

    def repl_exec(self, code: str, limit_ns: int = 20_000_000_000) -> str:
        if not self.run_while(lambda: not self._in_repl, START_NS + 1_000_000_000):
            raise TargetError("the gauge is running: boot with the service pin active")
        printed = len(self.console)
        path = Path(self._folder.name) / "repl.py"
        path.write_text(code)
        self._code, self._repl = path, None
        self._until_ns = self.now_ns  # it begins at once
        if not self.run_while(lambda: self._repl is None, limit_ns, step_ns=1_000_000):
            raise TargetError(f"no answer from the REPL within {limit_ns / 1e9:g} s")
        failed, text = self._repl
        if failed:
            raise ReplError(text)
        return self.console[printed:]
