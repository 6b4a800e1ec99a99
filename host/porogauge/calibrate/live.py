"""A gauge on a port as the place where steps are done.

    with Client(port) as client, LiveStation(client, book.unfinished, ask=ask) as station:
        reading = station.perform(step)

While a station is open the gauge is on hold: it reports no numbers, does not standardise by
itself, and the reject output says 'not good'. A step that wants another CAPDAC code gets it by a
configuration that differs from the one in force in that code alone and carries an id of its own.
The one that was in force is written into the book's work folder before, and put back when the
station is closed, whatever ended it; where that was not possible (cable off, process killed) the
next station on this gauge does it first.

Records of a calibration are not stored: a database of 'porogauge log' shows them as a gap.
"""

from __future__ import annotations

import json
import os
import signal
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from gauge import config, health, record
from gauge.link import protocol

from .. import notation
from ..errors import PorogaugeError, ProtocolMismatch, RequestFailed
from .procedure import Reading, Step
from .reading import from_rows

__all__ = ["Limits", "LiveStation", "put_in_order", "unsteady"]

_SETTLE = 8  # windows after a step began that are not used
_LOOK = 8  # windows between two looks at whether readings are steady
_SILENT_S = 10.0  # without a window: the gauge does not measure
# What a reading of a kind is for: capacitance, distances
_CAP = frozenset(("empty", "capacitor", "stage", "plate", "solid", "sample"))
_LASERS = frozenset(("block", "vibrate", "plate", "solid", "sample"))
# setting -> (field of the reading, what it is, how near it must be, unit)
_CONDITIONS = {
    "frame_set_c": ("frame_c", "the frame", 2.0, "°C"),
    "air_set_c": ("air_c", "the air", 2.0, "°C"),
    "rh_set_percent": ("rh_percent", "the humidity", 5.0, "%RH"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """When readings are steady. Scatter is that of single windows over one reading's windows;
    drift is the difference of its two halves beyond what scatter explains."""

    cap_sd_pf: float = 0.001
    cap_drift_pf: float = 0.00002
    distance_sd_um: float = 1.0
    distance_drift_um: float = 0.03
    frame_drift_c: float = 0.05
    within_s: float = 120.0  # how long to wait for it
    conditioned_within_s: float = 4 * 3600.0  # the same where frame or air are conditioned
    soak_s: float = 300.0  # conditions must hold: the frame is read once a minute


class _Soak:
    """How long frame and air of a conditioned step have been what they are."""

    def __init__(self, step: Step, limits: Limits) -> None:
        self._names = [
            (_CONDITIONS[name][0], near)
            for name, near in (
                ("frame_set_c", limits.frame_drift_c),
                ("air_set_c", 0.5),
                ("rh_set_percent", 1.0),
            )
            if step.setting.get(name) is not None
        ]
        self._limit_s = limits.soak_s
        self._since: float | None = None
        self._then: Reading | None = None

    @property
    def wanted(self) -> bool:
        return bool(self._names)

    def left(self, now: float, found: Reading) -> str:
        """What is still to be waited for, at a time with a steady reading; "" when nothing."""
        if not self.wanted:
            return ""
        then = self._then
        if then is None or any(
            abs(getattr(found, name) - getattr(then, name)) > near for name, near in self._names
        ):
            self._since, self._then = now, found
        held = now - self._since
        if held >= self._limit_s:
            return ""
        return f"conditions have held for {held:.0f} of {self._limit_s:.0f} s"


def _needs(step: Step, words: Sequence[int]) -> tuple[str, ...]:
    """Names of the readings that the step is for."""
    kind = step.setting["kind"]
    names = ("cap_pf",) if kind in _CAP else ()
    if kind in _LASERS or (kind == "empty" and words[config.REFERENCE_8NM] > 0):
        names += ("a_um", "b_um")
    return names


_SPOKEN = {"cap_pf": "the capacitance", "a_um": "laser A", "b_um": "laser B"}


def unsteady(
    rows: Sequence[Sequence[int]], words: Sequence[int], step: Step, limits: Limits
) -> str:
    """Return what speaks against taking these records as the reading of a step; "" when nothing.

    `words` are those of the configuration with which the board made the records.
    """
    half = len(rows) // 2
    whole, early, late = (from_rows(part, words) for part in (rows, rows[:half], rows[half:]))
    for setting, (name, what, near, unit) in _CONDITIONS.items():
        wanted = step.setting.get(setting)
        if wanted is not None and abs(getattr(whole, name) - wanted) > near:
            return f"{what} is at {getattr(whole, name):.1f} {unit}, {wanted:g} {unit} is wanted"
    change = late.frame_c - early.frame_c
    if abs(change) > limits.frame_drift_c:
        return f"the frame's temperature moves by {change:+.2f} K"
    for name in _needs(step, words):
        said = _blind(rows, name) or _moves(whole, early, late, name, step, limits)
        if said:
            return said
    return ""


def _blind(rows: Sequence[Sequence[int]], name: str) -> str:
    """What is said of a sensor that does not see in more than one window of ten."""
    if name == "cap_pf":
        good = sum(0 < row[record.CAP_CODE] < 0xFFFFFF for row in rows)
        if good < 0.9 * len(rows):
            return "the converter is at its end: the capacitance does not belong to this step"
        return ""
    base = record.A_N if name == "a_um" else record.B_N
    good = sum(row[base] > 0 and not row[base + 11] for row in rows)
    if good < 0.9 * len(rows):
        return f"{_SPOKEN[name]} sees its target in {good} of {len(rows)} windows"
    return ""


def _moves(
    whole: Reading, early: Reading, late: Reading, name: str, step: Step, limits: Limits
) -> str:
    """What is said of a sensor whose readings scatter or drift."""
    if step.setting["kind"] == "vibrate":
        return ""
    if name == "cap_pf":
        most, least, unit = limits.cap_sd_pf, limits.cap_drift_pf, "pF"
    else:
        most, least, unit = limits.distance_sd_um, limits.distance_drift_um, "µm"
    sd = getattr(whole, name.replace("_", "_sd_"))
    change = getattr(late, name) - getattr(early, name)
    if abs(change) > least + 3 * sd * 2 / sqrt(whole.windows):
        return f"{_SPOKEN[name]} drifts by {change:+.3g} {unit}"
    if sd > most:
        return f"{_SPOKEN[name]} scatters by {sd:.3g} {unit} (at most {most:g})"
    return ""


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Nothing that a user presses ends this block: a gauge is being put in order."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread: no signal arrives here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _kept_file(work: Path, device: str) -> Path:
    return work / f"{device}.restore.json"


def put_in_order(client: Any, work: Path) -> bool:
    """Put back what a station that was killed has left on a gauge; return whether there was any.

    `client` is connected. Raises PorogaugeError when what is kept cannot be read.
    """
    path = _kept_file(work, client.hello.device)
    try:
        kept = notation.json(path.read_text(encoding="utf-8"))
        blob = bytes.fromhex(kept["configuration"])
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PorogaugeError(
            f"{path}: cannot be read ({error}), and holds the configuration that the gauge must"
            " have: push recipe and calibration, then delete the file"
        ) from None
    client.push_config(blob)
    client.request(protocol.RESUME)
    path.unlink()
    return True


class LiveStation:
    """See the module. `client` streams records and is connected when the station is entered.

    `ask(step)` returns when the operator has done what the step says. `progress(done, total,
    why)` is called a few times a second: windows that are in, and what is waited for.
    `work`: folder in which the configuration to be put back is kept meanwhile.
    """

    def __init__(
        self,
        client: Any,
        work: Path,
        ask: Callable[[Step], None] = lambda _: None,
        progress: Callable[[int, int, str], None] = lambda *_: None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.words: array = array("i")  # in force before, and after
        self._client = client
        self._work = work
        self._ask = ask
        self._progress = progress
        self._limits = limits or Limits()
        self._clock = clock
        self._blob = b""
        self._in_use: array = array("i")
        self._kept = work
        self._was_held = False

    def __enter__(self) -> LiveStation:
        client = self._client
        hello = client.connect()
        put_in_order(client, self._work)
        self._kept = _kept_file(self._work, hello.device)
        self._blob = bytes(client.read_config())
        if not self._blob:
            raise PorogaugeError(
                "the gauge has no calibration and recipe: 'porogauge recipe push' sends the files"
                " to start from"
            )
        try:
            self.words = self._in_use = config.unpack(self._blob)
        except ValueError as error:
            raise ProtocolMismatch(
                f"the board's configuration cannot be read: {error}; flash this version's firmware"
            ) from None
        state = client.status()["state"]
        self._was_held = state == record.STATE_HOLD
        client.request(protocol.HOLD)
        return self

    def __exit__(self, *_: object) -> None:
        with _undisturbed():
            try:
                self._put_back()
            finally:
                if not self._was_held:
                    with suppress(PorogaugeError):
                        self._client.request(protocol.RESUME)

    # -- the configuration

    def _use(self, code: int | None) -> None:
        """Have the board measure with a CAPDAC code; None: the one of the calibration."""
        code = self.words[config.CAPDAC_CODE] if code is None else code
        if code == self._in_use[config.CAPDAC_CODE]:
            return
        if code == self.words[config.CAPDAC_CODE]:
            self._put_back()
            return
        words = array("i", self.words)
        words[config.CAPDAC_CODE] = code
        # nothing may take its numbers for those of the calibration
        words[config.CALIBRATION_ID] ^= 1 + code
        if not self._kept.exists():
            kept = {"configuration": self._blob.hex(), "capdac_code": code}
            draft = self._kept.with_suffix(".draft")
            with draft.open("w", encoding="utf-8") as stream:
                json.dump(kept, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(draft, self._kept)
        self._client.push_config(config.pack(words))
        self._in_use = words

    def _put_back(self) -> None:
        """Give the board the configuration that it had."""
        if self._in_use is self.words:
            return
        try:
            self._client.push_config(self._blob)
        except PorogaugeError as error:
            raise PorogaugeError(
                f"the gauge still has CAPDAC code {self._in_use[config.CAPDAC_CODE]} and measures"
                f" nothing with it: {error}; the next 'porogauge calibrate' on this gauge puts"
                " its configuration back"
            ) from None
        self._in_use = self.words
        self._kept.unlink(missing_ok=True)

    # -- readings

    def perform(self, step: Step) -> Reading:
        """Have a step set up, wait until readings are steady, and read.

        Raises PorogaugeError when they do not get steady in time, saying what moves.
        """
        self._use(step.capdac_code)
        self._ask(step)
        rows = self._steady(step)
        return from_rows(rows, self._in_use, step.setting.get("frequency_hz"))

    def _steady(self, step: Step) -> list[Sequence[int]]:
        limits = self._limits
        soak = _Soak(step, limits)
        end = self._clock() + (limits.conditioned_within_s if soak.wanted else limits.within_s)
        first, boot = self._next_window()
        rows: deque[Sequence[int]] = deque(maxlen=step.windows)
        unseen, why, heard = 0, "", self._clock()
        while True:
            for event_boot, row in self._arrived():
                if event_boot != boot:  # the board started anew: so does the reading
                    boot, first = event_boot, _SETTLE
                    rows.clear()
                if row[record.SEQ] >= first:
                    rows.append(row)
                    unseen += 1
                    heard = self._clock()
            if len(rows) == step.windows and unseen >= _LOOK:
                unseen = 0
                taken = list(rows)
                why = unsteady(taken, self._in_use, step, limits)
                if not why:
                    why = soak.left(self._clock(), from_rows(taken, self._in_use))
                if not why:
                    self._progress(step.windows, step.windows, "")
                    return taken
            self._progress(len(rows), step.windows, why)
            now = self._clock()
            if now - heard > _SILENT_S:
                raise RequestFailed(
                    "no windows arrive: the converter does not measure ('porogauge status' says)"
                )
            if now > end:
                raise PorogaugeError(
                    f"step {step.id}: readings did not get steady in time: {why or 'too few'};"
                    " set it up again and start the same command: it goes on with this step"
                )

    def _next_window(self) -> tuple[int, int]:
        """First window that shows what is in the gap now, and the boot that it is of."""
        status = self._client.words(protocol.STATUS)
        made = status[health.STATUS_WINDOWS]
        return made + _SETTLE, self._client.boot

    def _arrived(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Records that came within a tenth of a second: (boot, words)."""
        from ..link import events

        for event in self._client.pump(0.1):
            if isinstance(event, events.Records):
                for row in event.rows:
                    yield event.boot, row
        # The board may forget them: nobody stores what a calibration reads.
        self._client.commit(self._client.boot, self._client.next_seq)
