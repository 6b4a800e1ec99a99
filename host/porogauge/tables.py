"""Tables of a gauge's database with units, for notebooks and scripts.

    >>> import porogauge
    >>> data = porogauge.open("roll.db")
    >>> data.rolls["name"].values
    array(['A-17'], dtype=object)
    >>> film = data.windows(roll="A-17")
    >>> thickness = film["thickness_nm"]
    >>> thickness.unit, thickness.meaning, thickness.uncertainty
    ('nm', 'thickness of the film without known layers on it, nanometres', 'u_thickness_nm')
    >>> thickness.values.mean(), film.to_pandas().describe()

A table is a mapping of names to columns; a column has `values` (a numpy array), `unit`, `meaning`
and `uncertainty`. A number that is not valid is NaN. Nothing is written to the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gauge import record

from . import rolls, segments
from .dictionary import columns
from .errors import UsageError
from .store import Store

if TYPE_CHECKING:
    import pandas

__all__ = ["Column", "Table", "Tables"]


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one kind. `uncertainty`: name of the column with their standard uncertainty, or
    what is known of it in words; None for what is counted or named."""

    values: np.ndarray
    unit: str = ""
    meaning: str = ""
    uncertainty: str | None = None


class Table(Mapping[str, Column]):
    """Columns of equal length, by name, in order."""

    def __init__(self, found: Mapping[str, Column]):
        self._columns = dict(found)

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(next(iter(self._columns.values())).values) if self._columns else 0

    def to_pandas(self) -> pandas.DataFrame:
        """The table for pandas; `attrs["units"]` has the units. Needs pandas installed."""
        try:
            import pandas
        except ImportError:
            raise UsageError("to_pandas needs pandas: pip install pandas") from None
        frame = pandas.DataFrame({name: column.values for name, column in self.items()})
        frame.attrs["units"] = {name: column.unit for name, column in self.items()}
        return frame

    def __repr__(self) -> str:
        lines = [f"{self.rows} rows"]
        for name, column in self.items():
            unit = f" [{column.unit}]" if column.unit else ""
            lines.append(f"  {name}{unit}: {column.meaning}".rstrip(": "))
        return "\n".join(lines)


# Column of a window's table -> word of the record, words per unit, bit of `valid` that it needs
_NUMBERS = {
    "position_mm": ("position_mm", 1, 0),
    "thickness_nm": ("thickness_8nm", 8, record.VALID_THICKNESS),
    "permittivity_e4": ("permittivity_e4", 1, record.VALID_PERMITTIVITY),
    "porosity_ppm": ("porosity_ppm", 1, record.VALID_POROSITY),
    "solid_nm": ("solid_8nm", 8, record.VALID_SOLID),
    "u_thickness_nm": ("u_thickness_8nm", 8, record.VALID_THICKNESS),
    "u_porosity_ppm": ("u_porosity_ppm", 1, record.VALID_POROSITY),
    "u_permittivity_e4": ("u_permittivity_e4", 1, record.VALID_PERMITTIVITY),
    "dt_us": ("dt_us", 1, 0),
    "lost": ("lost", 1, 0),
    "c_af": ("c_af", 1, 0),
    "c0_af": ("c0_af", 1, 0),
    "gap_nm": ("gap_8nm", 8, 0),
    "d_nm": ("d_8nm", 8, 0),
    "delta_nm": ("delta_8nm", 8, 0),
    "frame_c": ("frame_mc", 1000, 0),
    "air_c": ("air_mc", 1000, 0),
    "rh_percent": ("rh_ppm", 10_000, 0),
    "a_samples": ("a_n", 1, 0),
    "b_samples": ("b_n", 1, 0),
}
_NAMES = {
    "state": record.STATE_NAMES,
    "state_reason": record.REASON_NAMES,
    "reason": record.REASON_NAMES,
}
_MASKS = {"flags": record.FLAG_NAMES, "latched": record.FLAG_NAMES}
_MASKS["outputs"] = record.OUTPUT_NAMES


class Tables:
    """What a database has, as tables. May be used as a context manager; `close` closes it."""

    def __init__(self, path: str | Path):
        self._store = Store(path, read_only=True)

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    @property
    def rolls(self) -> Table:
        """Every roll: its gauge, grade, ids in force, and when."""
        known = rolls.rolls(self._store)
        return _texts(
            ("name", "device", "grade", "recipe", "calibration", "started", "ended"),
            [
                (
                    roll.name,
                    roll.device,
                    roll.grade,
                    f"{roll.recipe:08x}",
                    f"{roll.calibration:08x}",
                    roll.started,
                    roll.events[-1].time if roll.ended else None,
                )
                for roll in known
            ],
            {"started": "s since 1970", "ended": "s since 1970"},
        )

    @property
    def gaps(self) -> Table:
        """Windows that are not stored, with the cause."""
        names = ("device", "boot", "from_seq", "to_seq", "cause")
        return _texts(names, [[row[name] for name in names] for row in self._store.gaps()])

    def laboratory(self, roll: str) -> Table:
        """Results of the laboratory that were not withdrawn."""
        from .lab import results

        names = ("property", "value", "u", "unit", "at_m", "method", "operator", "instrument")
        found = results(self._store, rolls.find(self._store, roll))
        rows = [[getattr(result, name) for name in names] for result in found]
        return _texts(names, rows, {"value": "see unit", "u": "see unit", "at_m": "m"})

    def segments(self, roll: str, length_m: float | None = None) -> Table:
        """Segments of a roll (`porogauge.segments`); u_...: standard uncertainties."""
        made = segments.segments(self._store, rolls.find(self._store, roll), length_m)
        found = {
            "section": Column(np.array([p.section for p in made]), "", "splices before it"),
            "start_m": Column(np.array([p.start_m for p in made]), "m", "where it begins"),
            "end_m": Column(np.array([p.end_m for p in made]), "m", "where it ends"),
            "windows": Column(np.array([p.windows for p in made]), "windows", "with film"),
        }
        units = {
            "thickness_um": "um",
            "porosity_percent": "%",
            "permittivity": "",
            "solid_um": "um",
        }
        for name, unit in units.items():
            pairs = [getattr(p, name) or (np.nan, np.nan) for p in made]
            value, u = np.array(pairs, dtype=float).reshape(-1, 2).T
            text = name.rsplit("_", 1)[0]
            found[name] = Column(value, unit, f"mean {text} of the segment", f"u_{name}")
            found[f"u_{name}"] = Column(u, unit, f"standard uncertainty of {text}")
        return Table(found)

    def windows(
        self,
        roll: str | None = None,
        device: str | None = None,
        boot: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Table:
        """Windows of a roll, or of a device (or of one of its boots), by boot and number.

        Columns are those of an export, with `metres` of web since the first window; `columns`
        chooses some of them, which is quicker. Names (state, reasons) and lists of names (flags,
        joined by blanks) are texts.
        """
        if roll is not None:
            found = rolls.find(self._store, roll)
            device, spans = found.device, rolls.spans(self._store, found)
        else:
            device = self._device(device)
            known = [rolls.Span(*extent) for extent in self._store.extents(device)]
            spans = [span for span in known if boot in (None, span.boot)]
        names = tuple(columns) if columns is not None else _ALL
        for name in names:
            if name not in _ALL:
                raise UsageError(f"{name} is not a column of windows; there: {', '.join(_ALL)}")
        return _windows(self._store, device, spans, names)

    def _device(self, device: str | None) -> str:
        known = [name for (name,) in self._store.query("SELECT device FROM devices ORDER BY 1")]
        if device is None and len(known) == 1:
            return known[0]
        if device not in known:
            raise UsageError(
                f"{self._store.path}: name one of its devices: {', '.join(known) or 'none'}"
            )
        return device


_ALL = ("boot", "seq", "t_us", "wall_time", "metres", *_NAMES, *_MASKS, *_NUMBERS)


def _windows(
    store: Store, device: str, spans: Sequence[rolls.Span], names: Sequence[str]
) -> Table:
    wanted = {"valid", "t_s", "t_us", "position_mm"}
    wanted |= {name for name in names if name in _NAMES or name in _MASKS}
    wanted |= {_NUMBERS[name][0] for name in names if name in _NUMBERS}
    words = segments.read(store, device, spans, sorted(wanted))
    about = columns(with_raw=False)
    t_us = words["t_s"].astype(np.int64) * 1_000_000 + words["t_us"]
    found = {}
    for name in names:
        if name in _NUMBERS:
            word, factor, bit = _NUMBERS[name]
            values = words[word] if factor == 1 and not bit else words[word] / factor
            if bit:
                values = np.where(words["valid"] & bit, values, np.nan)
        elif name in _NAMES:
            values = _decoded(words[name], lambda code, n=_NAMES[name]: n[code])
        elif name in _MASKS:
            values = _decoded(
                words[name], lambda mask, n=_MASKS[name]: " ".join(record.names_of(mask, n))
            )
        elif name == "wall_time":
            values = _wall(store, device, words["boot"], t_us)
        else:
            values = t_us if name == "t_us" else words[name]
        if name == "metres":
            found[name] = Column(values, "m", "length of web since the first of these windows")
        else:
            entry = about[name]
            found[name] = Column(values, entry.unit, entry.meaning, entry.uncertainty)
    return Table(found)


def _decoded(words: np.ndarray, text: Any) -> np.ndarray:
    codes, place = np.unique(words, return_inverse=True)
    return np.array([text(int(code)) for code in codes], dtype=object)[place]


def _wall(store: Store, device: str, boot: np.ndarray, t_us: np.ndarray) -> np.ndarray:
    """UTC by the clock relation of each boot; NaT where it is not known."""
    found = np.full(len(boot), "NaT", "datetime64[ms]")
    for its in store.boots():
        clock = its["clock"]
        if its["device"] == device and clock is not None:
            mine = boot == its["boot"]
            wall = clock.wall_s + (t_us[mine] - clock.board_us) * clock.rate
            found[mine] = np.round(wall * 1000).astype(np.int64).astype("datetime64[ms]")
    return found


def _texts(
    names: Sequence[str], rows: Sequence[Sequence[Any]], units: Mapping[str, str] | None = None
) -> Table:
    """A small table; a column of numbers has NaN where there is none."""
    found = {}
    for index, name in enumerate(names):
        values = [row[index] for row in rows]
        numbers = all(value is None or isinstance(value, (int, float)) for value in values)
        array = np.array(values, dtype=float if numbers and values else object)
        found[name] = Column(array, (units or {}).get(name, ""), name.replace("_", " "))
    return Table(found)
