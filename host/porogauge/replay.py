"""The board's own program, fed with stored records: what it would have reported.

`Replay` is the application of the firmware (`gauge.app.App`) without hardware: film, state, edge
of the film, limits and outputs are computed by the very modules that run on the board, in their
integers. What the board knew besides the raw readings is taken from the stored record: whether
it was warming up, held or standardising, what its sensors and its link reported, which flags were
acknowledged, and the reference in force.

    >>> replay = Replay(words)                      # words of gauge.config, of one configuration
    >>> replay.use(reference_of(row, words))
    >>> replay.window(row)[record.THICKNESS_8NM]    # the record, recomputed

`References` brings a reference to another calibration.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from types import SimpleNamespace

from gauge import config, health, record, reference
from gauge.app import App
from gauge.film import Film
from gauge.judge import Judge
from gauge.kernels import muldiv, per_kelvin
from gauge.standardise import REPORT_CAUSE, REPORT_RESULT, Standardiser
from gauge.state import Machine

from .errors import PorogaugeError

__all__ = ["References", "Replay", "ReplayError", "reference_of", "refusals"]

# Flags that the application raises, or may have raised: not the ones of limits and numbers.
_SENSORS = record.FLAG_LASER_A_FAULT | record.FLAG_LASER_B_FAULT | record.FLAG_CAPACITANCE_FAULT
_STANDARD = record.FLAG_STANDARDISATION_DUE | record.FLAG_STANDARDISATION_REFUSED
_CONDITIONS = (
    _SENSORS
    | record.FLAG_ENVIRONMENT_FAULT
    | record.FLAG_OVERRUN
    | record.FLAG_RECORD_GAP
    | record.FLAG_WATCHDOG_RESTART
    | record.FLAG_CRASH_RESTART
    | record.FLAG_FLASH_WRITE
)
_HEAD = config.RECIPE_ID  # the words before it are those of the head
_MAPS = slice(config.A_MAP_00_8NM, config.B_MAP_00_8NM + 33)

Row = Sequence[int]


class ReplayError(PorogaugeError):
    """A roll cannot be recomputed as asked for; the message says what is not known."""


class _Film(Film):
    """Keeps the flags that follow from the numbers alone."""

    found = 0

    def compute(self, rec):
        super().compute(rec)
        self.found = rec[record.FLAGS]


class _Past:
    """What the standardiser was doing when the record was made."""

    running = False
    flags = 0

    def update(self, rec, automatic=True):
        return False


class Replay(App):
    """The application with one configuration; give it the rows of a boot in order.

    After a hole in the rows, `resume` tells it what its history would have left behind.
    """

    def __init__(self, words: Sequence[int]):
        self.words = words
        self.film = _Film(words)
        self.judge = Judge(words)
        self.standardiser = _Past()
        self.machine = Machine()
        self.session = SimpleNamespace(clock=SimpleNamespace(s=0))
        self._warm_up_s = 0
        self._electrode_mm = words[config.ELECTRODE_MM] + 1
        self._covered = False
        self._edge_mm = 0
        self._keep_reference = False
        self._latched = 0
        self._edge_known = True

    def use(self, ref: array) -> None:
        """Measure against this reference from now on."""
        self.film.set_reference(ref)

    def resume(self, row: Row) -> None:
        """The row that comes next is not the first one after a start, and what was before it is
        not known: take from it whether film covered the electrodes, and what was latched."""
        self._edge_known = False
        self.judge.latched = self._latched = row[record.LATCHED]

    def follow(self, other: Replay) -> None:
        """Take over from another configuration: what a board keeps when it gets a new one."""
        self.machine = other.machine
        self._covered, self._edge_mm = other._covered, other._edge_mm
        self._edge_known = other._edge_known

    def window(self, row: Row, raised: int = 0) -> array:
        """Recompute a row. `raised`: flags in it that the film raised with the configuration that
        was in force, so that no sensor stands behind them."""
        rec = array("i", row)
        state = row[record.STATE]
        if not self._edge_known:
            edge = row[record.REASON] == record.REASON_EDGE_OF_FILM and not row[record.VALID]
            self._covered = not edge
            self._edge_mm = row[record.POSITION_MM]
            self._edge_known = not edge
        if state != record.STATE_FAULT:
            self.machine.hold = state == record.STATE_HOLD
        self._warm_up_s = 1 if state == record.STATE_WARM_UP else 0
        self.standardiser.running = state == record.STATE_STANDARDISING
        self.standardiser.flags = row[record.FLAGS] & _STANDARD
        acknowledged = self._latched & ~row[record.LATCHED]
        self._latched = row[record.LATCHED]
        if acknowledged:
            self.judge.acknowledge(acknowledged)
        if not 0 < row[record.CAP_CODE] < 0xFFFFFF:
            raised &= ~record.FLAG_CAPACITANCE_FAULT  # no conversion: that is the sensor's
        self._measure(rec, row[record.FLAGS] & _CONDITIONS & ~(raised & _SENSORS))
        rec[record.OUTPUTS] |= row[record.OUTPUTS] & record.OUT_HEARTBEAT
        return rec


def reference_of(row: Row, words: Sequence[int]) -> array:
    """The reference in force for a row, as `gauge.reference` has it."""
    ref = reference.from_calibration(words)
    ref[reference.C0_AF] = row[record.C0_AF]
    ref[reference.C0_FRAME_MC] = row[record.C0_FRAME_MC]
    growth = per_kelvin(
        words[config.D_TEMP_8NM_PER_K], row[record.FRAME_MC] - row[record.D_FRAME_MC]
    )
    ref[reference.D_8NM] = row[record.D_8NM] - growth
    ref[reference.D_FRAME_MC] = row[record.D_FRAME_MC]
    ref[reference.U_D_8NM] = row[record.U_D_8NM]
    ref[reference.WINDOWS] = row[record.STANDARD_WINDOWS]
    return ref


def refusals(old: Sequence[int], new: Sequence[int]) -> tuple[list[str], list[str]]:
    """What makes the new words unfit for rows that were taken with the old ones: why it is
    refused, and what the user has to know when it is not."""
    refused, told = [], []
    for name, text in (
        ("head_id", "it is that of another head"),
        ("laser_model", "the distance codes are those of another laser"),
        ("laser_rate_hz", "the lasers ran at another rate"),
        ("capdac_code", "the capacitance was taken with another CAPDAC code"),
        ("cap_rate", "the converter ran at another rate"),
    ):
        index = getattr(config, name.upper())
        if old[index] != new[index]:
            refused.append(f"{name} is {new[index]}, the roll's {old[index]}: {text}")
    for name, text in (
        ("a_latency_us", "samples stay in the windows in which the board counted them"),
        ("b_latency_us", "samples stay in the windows in which the board counted them"),
        ("counts_per_m", "lengths stay as the board counted them"),
    ):
        index = getattr(config, name.upper())
        if old[index] != new[index]:
            told.append(f"{name} is {new[index]}, the roll's {old[index]}: {text}")
    return refused, told


class References:
    """Brings the references of one configuration to another calibration.

    `new(ref, before, rows)` gives the reference and how it was found:

    same        the calibration is the same: the reference as it was
    stated      none was taken: the calibration's own
    recomputed  the windows of the standardisation are stored: standardised anew from them
    converted   they are not: C0 through both converters, D by the tile's thickness
    """

    def __init__(self, old: Sequence[int], new: Sequence[int]):
        self._old, self._new = old, new
        self._same = list(old[:_HEAD]) == list(new[:_HEAD]) and old[_MAPS] == new[_MAPS]

    def new(
        self, ref: array, before: tuple[array, array] | None, rows: Sequence[Row]
    ) -> tuple[array, str]:
        """Return the reference that belongs to `ref`.

        `before`: the one that was in force before it, old and new, None where it is not known;
        `rows`: the windows in front of the first one with it, without holes. Raises ReplayError
        when it cannot be known, or when the new calibration would have refused it.
        """
        words = self._new
        if self._same:
            return ref, "same"
        windows = ref[reference.WINDOWS]
        if windows == 0:
            return reference.from_calibration(words), "stated"
        if before is not None and len(rows) >= windows:
            taken = rows[-windows:]
            again, _ = _standardise(self._old, before[0], taken)
            if again is not None and again[:6] == ref[:6]:
                made, why = _standardise(words, before[1], taken)
                if made is None:
                    raise ReplayError(
                        f"with this calibration the gauge would have refused the standardisation"
                        f" before window {rows[-1][record.SEQ] + 1}: {why}"
                    )
                return made, "recomputed"
        return self._convert(ref), "converted"

    def _convert(self, ref: array) -> array:
        old, new = self._old, self._new
        made = reference.from_calibration(new)
        made[reference.C0_AF] = _through(new, _back(old, ref[reference.C0_AF]))
        for index in (reference.C0_FRAME_MC, reference.WINDOWS):
            made[index] = ref[index]
        if (ref[reference.D_8NM], ref[reference.D_FRAME_MC], ref[reference.U_D_8NM]) != (
            old[config.D_8NM],
            old[config.FRAME_REF_MC],
            0,
        ):  # else D was never taken, and the new calibration's own holds
            if _maps(old) != _maps(new):
                raise ReplayError(
                    "the lasers' map is another one, and the windows of the standardisation are"
                    " not stored: what D would have been cannot be known"
                )
            tile = new[config.REFERENCE_8NM] - old[config.REFERENCE_8NM]
            made[reference.D_8NM] = ref[reference.D_8NM] + tile
            made[reference.D_FRAME_MC] = ref[reference.D_FRAME_MC]
            made[reference.U_D_8NM] = ref[reference.U_D_8NM]
        c0 = reference.c0_drift(made[reference.C0_AF], made[reference.C0_FRAME_MC], new)
        d = reference.d_drift(made[reference.D_8NM], made[reference.D_FRAME_MC], new)
        if c0 > reference.c0_limit(new) or d > new[config.D_DRIFT_8NM]:
            raise ReplayError(
                "with this calibration the gauge would have refused the reference in force:"
                f" C0 differs from the calibration by {c0} aF (limit {reference.c0_limit(new)}),"
                f" D by {d / 8000:.3f} um (limit {new[config.D_DRIFT_8NM] / 8000:.3f})"
            )
        return made


def _maps(words: Sequence[int]) -> list[int]:
    if not words[config.MAP_STEP_8NM]:
        return []
    return [words[config.MAP_START_8NM], words[config.MAP_STEP_8NM], *words[_MAPS]]


def _standardise(
    words: Sequence[int], before: array, rows: Sequence[Row]
) -> tuple[array | None, str]:
    """Have the board's standardiser take these windows; the reference, or None and why not."""
    words = array("i", words)
    words[config.STANDARD_WINDOWS] = len(rows)
    film = Film(words)
    film.set_reference(before)
    standardiser = Standardiser(words, film)
    standardiser.reference = array("i", before)
    standardiser.request()
    for row in rows:
        rec = array("i", row)
        film.compute(rec)
        if standardiser.update(rec, False):
            return standardiser.reference, ""
    report = standardiser.report
    names = [
        record.REASON_NAMES[report[REPORT_RESULT]],
        health.STANDARD_CAUSES[report[REPORT_CAUSE]],
    ]
    return None, ", ".join(name.replace("_", " ") for name in names if name != "none")


def _converter(words: Sequence[int]) -> tuple[int, int]:
    """(1 + gain) in ppm, and what is added to reading / (1 + gain), aF (`gauge.film`)."""
    gain = 1_000_000 + words[config.CAP_GAIN_PPM]
    base = words[config.CAPDAC_AF] - words[config.STRAY_AF]
    return gain, base - muldiv(words[config.CAP_OFFSET_AF], 1_000_000, gain, 8)


def _back(words: Sequence[int], c_af: int) -> int:
    """What the converter read for a corrected capacitance, in 1e-6 aF."""
    gain, base = _converter(words)
    return (c_af - base) * gain


def _through(words: Sequence[int], read: int) -> int:
    gain, base = _converter(words)
    return (2 * read + gain) // (2 * gain) + base
