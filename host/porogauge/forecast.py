"""What a gauge would say of a film, before there is one: the board's own arithmetic on a made-up
window.

The window is that of an undisturbed film in the middle of the gap, at the calibration's frame
temperature, 23 C and 50 %RH, after a fresh standardisation: what the calibration and the recipe
state of uncertainty is in it, the web's own scatter is not.

    >>> forecast = Forecast(compile_words(standard_recipe(), standard_calibration()))
    >>> told = forecast.of(25.0, 1.93)
    >>> told.thickness_um, told.u_thickness_um, told.porosity_percent, told.u_porosity_percent
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from gauge import config, record, reference
from gauge.drivers.optoncdt import MODELS
from gauge.film import Film

__all__ = ["Forecast", "Told"]

_SAMPLES = 44  # of a laser in the window, scattered by half a code
_DT_US = 11_000
_FULL = 8_192_000  # aF over all codes of the converter


@dataclass(frozen=True, slots=True)
class Told:
    """Numbers of one window. Porosity has its uncertainty also where it is not reported;
    `reason` is why a number is missing, "ok" when none is."""

    thickness_um: float
    u_thickness_um: float
    permittivity: float
    u_permittivity: float
    porosity_percent: float
    u_porosity_percent: float
    valid: tuple[str, ...]
    reason: str


class Forecast:
    """Tells what a board with these words (`gauge.config`) would say."""

    def __init__(self, words: array):
        words = self._words = array("i", words)
        words[config.REFERENCE_8NM] = 0  # no film is mistaken for the tile
        self._model = MODELS[words[config.LASER_MODEL]]
        words[config.LASER_RATE_HZ] = _SAMPLES * 1_000_000 // _DT_US
        self._film = Film(words)
        fresh = reference.from_calibration(words)
        fresh[reference.WINDOWS] = words[config.STANDARD_WINDOWS]
        self._film.set_reference(fresh)

    def of(self, thickness_um: float, permittivity: float) -> Told:
        """Return what is told of a film without its layers, of this permittivity."""
        words, rec = self._words, record.new()
        t_8nm = 8000 * thickness_um
        rec[record.DT_US] = _DT_US
        rec[record.FRAME_MC] = words[config.FRAME_REF_MC]
        rec[record.AIR_MC], rec[record.RH_PPM] = 23_000, 500_000
        rec[record.CAP_CODE] = self._code(t_8nm * (1 - 1 / permittivity))
        stack = t_8nm + words[config.LAYERS_8NM] - words[config.THICKNESS_OFFSET_8NM]
        distance = (words[config.D_8NM] - stack) / 2
        for base, first_node in (
            (record.A_N, config.A_MAP_00_8NM),
            (record.B_N, config.B_MAP_00_8NM),
        ):
            self._laser(rec, base, distance - self._mapped(first_node, distance))
        self._film.compute(rec)
        return Told(
            rec[record.THICKNESS_8NM] / 8000,
            rec[record.U_THICKNESS_8NM] / 8000,
            rec[record.PERMITTIVITY_E4] / 1e4,
            rec[record.U_PERMITTIVITY_E4] / 1e4,
            rec[record.POROSITY_PPM] / 1e4,
            rec[record.U_POROSITY_PPM] / 1e4,
            tuple(record.names_of(rec[record.VALID], record.VALID_NAMES)),
            record.REASON_NAMES[rec[record.REASON]],
        )

    def _code(self, delta_8nm: float) -> int:
        """The converter's code for a film of this deficit, layers and errors of the head added."""
        words = self._words
        if words[config.POROSITY_MODE] == config.POROSITY_SHIELDED:
            c = 0.0
        else:
            delta = delta_8nm + words[config.LAYERS_DELTA_8NM]
            delta = delta * (1 + words[config.KAPPA_PPM] * 1e-6) + words[config.DELTA_OFFSET_8NM]
            gap = words[config.GAP_8NM]
            c = words[config.C0_AF] * gap / max(gap - delta, 1.0)
        read = c + words[config.STRAY_AF] - words[config.CAPDAC_AF]
        read = read * (1 + words[config.CAP_GAIN_PPM] * 1e-6) + words[config.CAP_OFFSET_AF]
        return min(max(round(read / _FULL * (1 << 24)) + 0x800000, 1), 0xFFFFFF)

    def _mapped(self, first_node: int, distance: float) -> float:
        """What the passline map adds to a reading."""
        words = self._words
        step = words[config.MAP_STEP_8NM]
        if step == 0:
            return 0.0
        place = min(max((distance - words[config.MAP_START_8NM]) / step, 0.0), 32.0)
        node = first_node + min(int(place), 31)
        return words[node] + (words[node + 1] - words[node]) * (place - int(min(place, 31)))

    def _laser(self, rec: array, base: int, distance: float) -> None:
        """Fill in a laser's share of the window: a still target, half a code of scatter."""
        model = self._model
        code = (distance * model.den / model.range_8nm + model.off) / model.num
        whole, period = round(code), _DT_US // _SAMPLES
        first = period // 2
        share = {
            "n": _SAMPLES,
            "sum": round(code * _SAMPLES),
            "first": whole,
            "last": whole,
            "t_first_us": first,
            "t_last_us": first + (_SAMPLES - 1) * period,
            "t_sum_us": _SAMPLES * first + period * _SAMPLES * (_SAMPLES - 1) // 2,
            "min": whole - 1,
            "max": whole + 1,
            "d2": 6 * (_SAMPLES - 2) // 4,
            "n_d2": _SAMPLES - 2,
        }
        for name, value in share.items():
            rec[base + record.FIELD_NAMES.index(f"a_{name}") - record.A_N] = value
