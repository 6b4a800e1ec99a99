"""Where the time of a window goes: the gauge as it is, its parts with a stopwatch around each.

The board is the emulated RP2040 with emulated sensors, film in the gap, and a host that stores
and acknowledges. First it runs undisturbed, and the bench counts the cycles in which the CPU was
not asleep; then each part of `PARTS` is replaced on the board by a function that calls it and
counts with SysTick. The stopwatches' own cost is measured and taken off.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from porogauge_bench.calibration import exact_words
from porogauge_bench.rp2040 import RP2040Target
from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario
from porogauge_bench.target import TargetError

SETTLED_NS = 2_000_000_000  # all start-up is over, film is in the gap
UNDISTURBED_NS = 2_000_000_000
SETTLING = 370  # windows before the stopwatches: longer than both
WINDOWS = 180  # with them
LIMIT_NS = 10_000_000_000

# What is timed: depth in the tree, the call as the firmware makes it (from `App`, or from a module
# of `MODULES`), and what it does. A part lies within the one above it of less depth.
PARTS = (
    (0, "round()", "whole round of the loop"),
    (1, "head.work(now)", "work on the window"),
    (2, "head.capacitance.take(now)", "fetch the capacitance over I2C"),
    (2, "head._begin_window(t_close, code, counts)", "open the window"),
    (2, "head.a.window.take()", "parse laser A, 44 samples"),
    (2, "head.b.window.take()", "parse laser B, 44 samples"),
    (2, "head._deliver(now)", "make the record"),
    (3, "head.a.window.put(rec, at)", "laser A's fields"),
    (3, "head.b.window.put(rec, at)", "laser B's fields"),
    (3, "_move_web(counts)", "position of the web"),
    (3, "_conditions()", "faults of the sensors"),
    (3, "_measure(rec, conditions)", "numbers, state, flags"),
    (4, "film.compute(rec)", "film.compute"),
    (4, "standardiser.update(rec, automatic)", "standardiser.update"),
    (4, "machine.decide(faults, film, warming, running)", "state"),
    (4, "judge.update(rec, conditions)", "judge.update"),
    (3, "session.append(rec, urgent)", "session.append"),
    (4, "session._close()", "close a batch"),
    (5, "session.ring.put(frame, n, first, end, count)", "COBS into the ring"),
    (1, "_do_slow_duties(now)", "slow duties"),
    (2, "head.capacitance.watch(now)", "is the converter alive"),
    (2, "head.a.poll(now)", "is laser A alive"),
    (2, "head.b.poll(now)", "is laser B alive"),
    (2, "climate.poll(now)", "air temperature, humidity"),
    (2, "head.capacitance.look_after(now)", "read the converter's settings back"),
    (2, "session.poll(now, transport)", "session.poll"),
    (3, "session._look_at_timers(now)", "timers of the link"),
    (3, "hw.usb.readinto(buf)", "look for bytes from the host"),
    (3, "session._receive(port, rx, n)", "take in frames of the host"),
    (3, "session._send(port)", "send frames"),
    (1, "hw.idle(ms)", "sleep"),
)

BOOT = """
from array import array

import gauge.app
import micropython
from gauge.hw import Hardware

SPANS = array("i", bytes(4 * {n}))
CALLS = array("i", bytes(4 * {n}))


@micropython.viper
def count() -> int:
    return ptr32(0xE000E018)[0]


@micropython.viper
def start():
    systick = ptr32(0xE000E010)
    systick[1] = 0xFFFFFF
    systick[2] = 0
    systick[0] = 5


def nothing():
    pass


def cost(function):
    function()
    t = count()
    function()
    function()
    function()
    function()
    return (t - count()) >> 2


{stopwatches}


def main():
    global PART_{last}
    app = gauge.app.App(Hardware())
    app.run({settling})
    start()
    micropython.heap_lock()
    PART_{last} = nothing
    bare = cost(nothing)
    timed = cost(stopwatch_{last})
    micropython.heap_unlock()
    inside = SPANS[{last}] // CALLS[{last}]
    put_stopwatches_on(app)
    app.run({windows})
    app.hw.watchdog_stop()
    with open("spans", "w") as file:
        for words in ((inside, timed - bare), SPANS, CALLS):
            print(*words, file=file)


gauge.app.main = main
"""

STOPWATCH = """
@micropython.viper
def stopwatch_{i}({arguments}):
    systick = ptr32(0xE000E010)
    t = systick[2]
    result = PART_{i}({arguments})
    t -= systick[2]
    spans = ptr32(SPANS)
    spans[{i}] += t & 0xFFFFFF
    calls = ptr32(CALLS)
    calls[{i}] += 1
    return result
"""


class Share(NamedTuple):
    """What a part costs: cycles of a call, calls and cycles in a window."""

    depth: int
    name: str
    cycles: float
    calls: float
    per_window: float


@dataclass
class Window:
    """A window's cost: cycles in which the CPU was awake, length in us, and the parts."""

    cycles: float
    period_us: float
    parts: list[Share] = field(default_factory=list)


def _boot_file() -> str:
    """Return the board's boot.py: stopwatches, and a `main` that puts them on."""
    source, put_on = "", "def put_stopwatches_on(app):\n"
    for i, (_, call, _) in enumerate(PARTS):
        path, arguments = call.rstrip(")").split("(")
        source += STOPWATCH.format(i=i, arguments=arguments)
        put_on += f"    global PART_{i}\n    PART_{i} = app.{path}\n"
        put_on += f"    app.{path} = stopwatch_{i}\n"
    last = len(PARTS)
    source += STOPWATCH.format(i=last, arguments="")
    return BOOT.format(
        n=last + 1, last=last, stopwatches=source + put_on, settling=SETTLING, windows=WINDOWS
    )


def measure() -> Window:
    """Run the gauge and return what a window costs."""
    scenario = Scenario.from_dict({"film": {"start_s": 0.5}})
    target = RP2040Target(files={"boot.py": _boot_file().encode()})
    run = Run(scenario, target)
    run.boot()
    run.configure(exact_words(scenario))
    run.run_until(SETTLED_NS)
    cycles = target.busy_cycles
    run.run_until(SETTLED_NS + UNDISTURBED_NS)
    cycles = target.busy_cycles - cycles
    while not target.files.get("spans"):  # it is empty while it is being written
        if target.now_ns > LIMIT_NS:
            raise TargetError("the stopwatches told nothing: " + " | ".join(run.console[-20:]))
        run.run_until(target.now_ns + 500_000_000)
    lengths = [row[3] for row in run.rows()[SETTLING // 2 : SETTLING]]
    period_us = sum(lengths) / len(lengths)
    lines = target.files["spans"].decode().splitlines()
    overhead, spans, calls = ([int(word) for word in line.split()] for line in lines)
    window = Window(cycles * 1000 * period_us / UNDISTURBED_NS, period_us)
    window.parts = _shares(overhead, spans, calls)
    return window


def _shares(overhead: list[int], spans: list[int], calls: list[int]) -> list[Share]:
    """Take the stopwatches' cost off: `inside` each one's own span, `outside` in those around."""
    inside, outside = overhead
    shares = []
    for i, (depth, _, name) in enumerate(PARTS):
        within = 0
        for j in range(i + 1, len(PARTS)):
            if PARTS[j][0] <= depth:
                break
            within += calls[j]
        total = spans[i] - inside * calls[i] - outside * within
        shares.append(
            Share(depth, name, total / max(1, calls[i]), calls[i] / WINDOWS, total / WINDOWS)
        )
    return shares
