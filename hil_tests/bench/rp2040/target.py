"""`RP2040Target`: the unmodified RP2040 image, run by `rp2040py` in virtual time.

    >>> target = RP2040Target(service=True)        # REPL, the gauge does not start
    >>> target.boot()
    >>> target.repl_exec("print(6 * 7)")
    '42\\r\\n'

One object is one board for as long as it lives: `reset` and power cuts act on the same flash.
Deterministic: the same calls give the same cycles and time stamps, whatever machine runs them.
Wall time: about 2 s per virtual second of busy CPU with the accelerated emulator (see
`hil_tests/accelerate.py`), 19 s without; next to nothing while the board sleeps.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from rp2040py.device.bootrom import BOOTROM_B1
from rp2040py.device.load_flash import load_uf2
from rp2040py.execute_batch import execute_batch
from rp2040py.peripherals.vreg_and_chip_reset import HAD_POR, HAD_RUN
from rp2040py.rp2040 import RP2040
from rp2040py.simulator import Simulator
from rp2040py.utils.logging import ConsoleLogger, LogLevel

from ..images import image_path
from ..target import INPUTS, OUTPUTS, ReplError, Stats, Target, TargetError
from . import board as board_file
from . import dma, files, uart, upset
from .clock import EmulatorClock, quicken_timer
from .cycles import CYCLE_NS, CycleCounter
from .flash import Flash
from .i2c import I2CMaster
from .pins import Pins
from .sio import SIO
from .usb import CDCHost

START_NS = 60_000_000  # from the opening of the link until main.py has certainly begun
CHIP_TEMPERATURE = 885  # reading of the chip's sensor at 23 C, 12 bit of 3.3 V
UNIQUE_ID = bytes.fromhex("e6605481db318436")


class RP2040Target(Target):
    """The emulated board; see `Target` for what it offers.

    `uf2` is the image (default: the built one), `board` a folder's name under boards/, `files`
    the file system at first power-up, `service` holds the service input active, `unique_id` the
    8 bytes of the flash chip's id, `seed` decides what RAM holds at power-up.

    Beyond `Target`: `mcu` (the emulator), `host` (its USB), `uarts`, `flash`, `streams` (DMA),
    `powered`, `power_off`, `count_cycles`.
    """

    name = "rp2040"

    def __init__(
        self,
        uf2: str | PathLike | None = None,
        *,
        board: str = "POROGAUGE_RP2040",
        files: dict[str, bytes] | None = None,
        service: bool = False,
        unique_id: bytes = UNIQUE_ID,
        seed: int = 1,
    ) -> None:
        self.mcu = mcu = RP2040()
        self._sim = Simulator(rp2040=mcu)
        super().__init__(EmulatorClock(mcu.clock))
        self.board = board_file.load(board)
        self._random = random.Random(seed)
        self._deadline = mcu.clock.create_alarm(self._halt)
        self._running = False
        self._wall_s = 0.0
        self._busy_cycles = 0
        self._resets = 0
        self._repl: bytearray | None = None
        self._in_raw_repl = False
        self.powered = False
        self.on_power_lost: Callable[[], None] | None = None  # in a flash operation

        mcu.logger = ConsoleLogger(LogLevel.ERROR)
        mcu.load_bootrom(BOOTROM_B1)
        self._image = Path(uf2) if uf2 is not None else image_path("rp2040")
        load_uf2(str(self._image), mcu)
        if files is not None:
            self.set_files(files)

        self.host = CDCHost(mcu.usb_ctrl, mcu.clock)
        self.host.on_data = self._from_board
        self.flash = Flash(mcu, self._power_lost, unique_id, seed)
        self.uarts = uart.install(mcu)
        self.streams = dma.Streams(mcu, self.uarts)
        mcu.sio = SIO(mcu)
        quicken_timer(mcu)
        mcu.adc.channel_values[4] = CHIP_TEMPERATURE
        mcu.quick_divider = True  # the same in C, where hil_tests/accelerate.py has compiled it
        self.pins = Pins(mcu)
        self._connect()
        mcu.watchdog.on_watchdog_trigger = self._watchdog_bit
        if service:
            self.press("service")

    def _connect(self) -> None:
        """Put the cables where the board file says."""
        board = self.board
        for name in ("a", "b"):
            number = getattr(board, f"LASER_{name.upper()}_UART")
            cable = uart.UARTCable(
                name, baud=board.LASER_BAUD, clock=self.clock, uart=self.uarts[number]
            )
            self.uarts[number].cable = self.lasers[name] = cable
        I2CMaster(self.mcu, self.i2c, board.I2C_ID, board.PIN_I2C_SDA, board.PIN_I2C_SCL)
        for name in OUTPUTS:
            self.pins.watch(board_file.pin(board, name), self._logger_of(name))
        for name in INPUTS:  # every input has a pull-up, on the board or in the chip
            self.pins.drive(board_file.pin(board, name), True)

    def _logger_of(self, name: str):
        return lambda level: self.output_changed(name, level)

    # -- time

    @property
    def boot_ns(self) -> int:
        return int(self.mcu.timer._epoch_nanos + 0.5)

    def run_until(self, t_ns: int) -> None:
        if self._running:
            raise TargetError("run_until was called from within a run")
        delta = t_ns - self.mcu.clock.nanos
        if delta <= 0:
            return
        sim, clock = self._sim, self.mcu.clock
        self._deadline.schedule(delta)
        sim.stopped = False
        if hasattr(clock, "halt"):
            clock.halt = False
        self._running = True
        start = time.perf_counter()
        try:
            while not sim.stopped:
                execute_batch(sim, 1)
        finally:
            self._deadline.cancel()
            self._running = False
            self._wall_s += time.perf_counter() - start

    def _halt(self) -> None:
        self._sim.stopped = True
        if hasattr(self.mcu.clock, "halt"):
            self.mcu.clock.halt = True

    def stats(self) -> Stats:
        virtual_ns = self.mcu.clock.nanos
        cycles = self._busy_cycles + self.mcu.core.cycles
        share = cycles * CYCLE_NS / virtual_ns if virtual_ns else 0.0
        return Stats(virtual_ns / 1e9, self._wall_s, share, self._resets)

    @property
    def busy_cycles(self) -> int:
        """CPU cycles spent executing instructions since the target was built."""
        return self._busy_cycles + self.mcu.core.cycles

    # -- life

    def boot(self, limit_ns: int = 3_000_000_000) -> None:
        if not self.powered:
            self.reset("power")
        if not self.run_while(lambda: not self.host.is_open, limit_ns):
            raise TargetError(f"the board did not open its USB link within {limit_ns / 1e9:g} s")

    def reset(self, kind: str = "power") -> None:
        mcu = self.mcu
        if kind == "watchdog":
            mcu.watchdog._reason = 1
            self._watchdog_bit()
            return
        if kind not in ("power", "run"):
            raise ValueError(f"reset {kind!r} is not one of power, run, watchdog")
        self.power_off()
        if kind == "power":
            mcu.sram[:] = self._random.randbytes(len(mcu.sram))
        mcu.vreg_and_chip_reset.record_reset_cause(HAD_POR if kind == "power" else HAD_RUN)
        self.powered = True
        mcu.core.waiting = False
        mcu.leave_reset()

    def power_off(self) -> None:
        """Take the board's power away; the world goes on until `reset`."""
        mcu = self.mcu
        if self.powered:
            self._resets += 1
        self.powered = False
        self._in_raw_repl = False
        self._busy_cycles += mcu.core.cycles
        mcu.watchdog.reset()
        self._disarm_watchdog()
        mcu.enter_reset()
        mcu.core.waiting = True  # executes nothing, while events go on
        self.pins.after_reset()

    def _power_lost(self) -> None:
        """Power has failed in a flash operation."""
        self.power_off()
        if self.on_power_lost is not None:
            self.on_power_lost()

    def _disarm_watchdog(self) -> None:
        """No watchdog runs after a reset; the emulator lets it run on."""
        watchdog = self.mcu.watchdog
        watchdog._enable = watchdog.timer.enable = watchdog.alarm.enable = False

    def _watchdog_bit(self) -> None:
        mcu = self.mcu
        self._resets += 1
        self._in_raw_repl = False
        self._busy_cycles += mcu.core.cycles
        self._disarm_watchdog()
        mcu.enter_reset(from_watchdog=True)
        self.pins.after_reset()
        mcu.leave_reset()

    def slow_flash(self, factor: float) -> None:
        self.flash.factor = factor

    def hang(self) -> None:
        upset.hang(self.mcu)

    def crash(self) -> None:
        upset.crash(self.mcu, self._image)

    def stop(self) -> None:
        """Nothing to release: the emulator is memory only."""

    @property
    def files(self) -> dict[str, bytes]:
        return files.read(bytes(self.mcu.flash[files.START : files.START + files.SIZE]))

    def set_files(self, content: dict[str, bytes]) -> None:
        """Replace the board's file system (before it is powered)."""
        self.mcu.flash[files.START : files.START + files.SIZE] = files.build(content)

    # -- link

    def link_send(self, data: bytes) -> None:
        self.host.send(data)

    def link_stall(self, stalled: bool) -> None:
        self.host.stall(stalled)

    def link_plug(self, plugged: bool) -> None:
        self.host.plug(plugged)

    def link_port(self, is_open: bool) -> None:
        """Open or close the host's port: the board sees DTR and RTS."""
        self.host.set_port(is_open)

    def _from_board(self, data: bytes) -> None:
        if self._repl is None:
            self.link_out(data)
        else:
            self._repl += data

    # -- wires

    def set_input(self, name: str, level: bool) -> None:
        self.pins.drive(board_file.pin(self.board, name), bool(level))

    def press(self, name: str, active: bool = True) -> None:
        self.set_input(name, bool(self.board.INPUT_ACTIVE) == active)

    # -- tests of single modules

    def count_cycles(self, pin: int) -> CycleCounter:
        """Count the cycles between rise and fall of a free pin; see `cycles`."""
        return CycleCounter(self.mcu, pin)

    def repl_exec(self, code: str, limit_ns: int = 20_000_000_000) -> str:
        self._repl = received = bytearray()
        try:
            if not self._in_raw_repl:
                self.run_until(self.boot_ns + START_NS)
                self.link_send(b"\r\x03\x03\x01")
                self._await(lambda: received.endswith(b"raw REPL; CTRL-B to exit\r\n>"), limit_ns)
                self._in_raw_repl = True
                received.clear()
            self.link_send(code.encode() + b"\x04")
            self._await(lambda: received.endswith(b"\x04>"), limit_ns)
        finally:
            self._repl = None
        if not received.startswith(b"OK"):
            raise TargetError(f"the REPL did not take the code: {bytes(received[:200])!r}")
        printed, error, _ = bytes(received[2:]).split(b"\x04")
        if error:
            raise ReplError(error.decode(errors="replace"))
        return printed.decode(errors="replace")

    def _await(self, condition, limit_ns: int) -> None:
        if not self.run_while(lambda: not condition(), limit_ns, step_ns=100_000):
            self._in_raw_repl = False
            raise TargetError(
                f"no answer from the REPL within {limit_ns / 1e9:g} s:"
                f" {bytes(self._repl[-300:])!r}"
            )
