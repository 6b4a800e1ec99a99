"""Faults of the board as a whole, of the link's cable and of the host, carried out on a run.

    >>> run.interruptions.off_ns       # when the board was without power
    [(4_000_000_000, 4_300_000_000)]

They come at any instant, also within a bus transfer or a flash operation; hangs and crashes come
with the host's next look at its port. A board that has no power cannot be reset, hang or crash.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runner import Run

LONGEST_WAIT_NS = 1_000_000_000  # for a flash operation in which power is to fail

SLOW = 7.5  # from what the flash's data sheet calls typical to the longest


class Interruptions:
    """What happens to a run's board, cable and host; called by its `FaultPlan`."""

    def __init__(self, run: Run):
        self._run = run
        self.off_ns: list[tuple[int, int]] = []  # without power: from, to
        self._off_since: int | None = None
        self._cuts: list[SimpleNamespace] = []  # that have begun and not ended
        self._next: list[Callable[[], None]] = []
        self._hosts = 0  # processes that are down, or cables that are out
        self._cables = 0
        self._slow = 0

    def __call__(self, fault: SimpleNamespace, begins: bool) -> None:
        getattr(self, "_" + fault.kind, lambda *_: None)(fault, begins)

    def between_runs(self) -> None:
        """Do what cannot be done while the target runs."""
        while self._next:
            do = self._next.pop(0)
            if self._run.target.powered:
                do()

    # -- the board

    def _board_reset(self, fault: SimpleNamespace, begins: bool) -> None:
        if self._run.target.powered:
            self._run.target.reset("run")

    def _board_hang(self, fault: SimpleNamespace, begins: bool) -> None:
        self._next.append(self._run.target.hang)

    def _board_crash(self, fault: SimpleNamespace, begins: bool) -> None:
        self._next.append(self._run.target.crash)

    # -- power

    def _power_cut(self, fault: SimpleNamespace, begins: bool) -> None:
        """Cut, at once or in a flash operation; back when the last cut ends."""
        target, clock = self._run.target, self._run.target.clock
        flash = getattr(target, "flash", None)
        if not begins:
            self._cuts.remove(fault)
            self._restore()
            return
        self._cuts.append(fault)
        if not fault.operation or flash is None:
            self._cut()
            return
        flash.cut(fault.operation, fault.fraction)
        target.on_power_lost = self._lost
        end = clock.now_ns + min(LONGEST_WAIT_NS, round(0.9e9 * fault.for_s))
        clock.call_at(end, lambda: self._cut() if fault in self._cuts else None)

    def _cut(self) -> None:
        if self._off_since is None:
            self._run.target.power_off()
            self._lost()

    def _lost(self) -> None:
        """The board has no power: neither have the sensors."""
        self._off_since = self._run.target.now_ns
        flash = getattr(self._run.target, "flash", None)
        if flash is not None:
            flash.cut(None)
        for laser in self._run.instruments.lasers:
            laser.unplug()

    def _restore(self) -> None:
        if self._cuts or self._off_since is None:
            return
        run = self._run
        self.off_ns.append((self._off_since, run.target.now_ns))
        self._off_since = None
        instruments = run.instruments
        instruments.ad7746.power_up()
        instruments.sht4x.power_up()
        unplugged = {fault.laser for fault in instruments.faults.going("laser_unplugged")}
        for laser in instruments.lasers:
            if not unplugged & {laser.which, "both"}:
                laser.plug()
        run.target.reset("power")

    # -- flash

    def _flash_slow(self, fault: SimpleNamespace, begins: bool) -> None:
        self._slow += 1 if begins else -1
        self._run.target.slow_flash(SLOW if self._slow else 1.0)

    # -- cable and host

    def _usb_unplugged(self, fault: SimpleNamespace, begins: bool) -> None:
        self._cables += 1 if begins else -1
        if self._cables == begins:  # the first that begins, the last that ends
            self._run.target.link_plug(not begins)
            self._run.session.link_down()

    def _host_killed(self, fault: SimpleNamespace, begins: bool) -> None:
        self._hosts += 1 if begins else -1
        if self._hosts == begins:
            self._run.kill_host() if begins else self._run.start_host()

    _journal_full = _host_killed  # for longer than the target's small journal can hold
