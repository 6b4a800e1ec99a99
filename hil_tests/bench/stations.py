"""Emulated operators: what a calibration procedure asks for is put into an emulated head and read.

    >>> station = ModelStation(hidden_head(7), 7)
    >>> station.perform(Step("empty", "Nothing in the gap.", {"kind": "empty"})).windows
    64

`ModelStation` makes the board's raw records from the bench's models of head, converter and lasers
directly: no firmware, about a millisecond a reading. `FirmwareStation` has the firmware make them
and reads them over the link. Both are stations of `porogauge.calibrate.procedure`;
`run_procedures` brings a head into service with either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from gauge import config, record
from gauge.drivers.optoncdt import MODELS as READ_BY
from porogauge.calibrate import reading
from porogauge.calibrate.procedure import Reading, Result, Step
from porogauge.recipe import compile_words

from . import noise
from .calibration import latency_us
from .chips import ad7746
from .chips.optoncdt import MODELS
from .chips.optoncdt import as_read as laser_reads
from .fields import CONVERSIONS_MS
from .fixture import Setup, standard
from .heads import nominal_tables
from .runner import Run
from .scenario import Scenario
from .target import Target, TargetError
from .world import World

BETWEEN_S = 60.0  # from one reading to the next
PROCEDURES = ("converter", "gap", "scale", "lasers", "environment", "recipe")

_LASER_FIELDS = ("n", "sum", "first", "last", "t_first_us", "t_last_us", "t_sum_us")
_LASER_FIELDS += ("min", "max", "d2", "n_d2")


class ModelStation:
    """A head without its board. `tables` are the files in force (assign to change them)."""

    def __init__(self, scenario: Scenario, seed: int | None = None):
        self.scenario = scenario
        if seed is not None:
            scenario.run.seed = seed
        self.world = World(scenario)
        self.tables: Mapping[str, Any] = nominal_tables()
        self.readings = 0
        self._now_s = 0.0
        self._seq = 0

    def perform(self, step: Step) -> Reading:
        """Have a step set up and read. Raises ValueError for what the fixture cannot do."""
        setup = standard(step.setting, self.scenario, self.readings)
        words = self._words(step.capdac_code)
        rows = self.rows(setup, step.windows, words)
        return reading.from_rows(rows, words, step.setting.get("frequency_hz"))

    def window(self, t_um: float, porosity_percent: float, **conditions: Any) -> list[int]:
        """Return one raw record of a porous film that flutters a little at mid-gap.

        `conditions` are fields of `fixture.Setup`, flutter and climate.
        """
        film = {"amplitude_um": 5.0, "frequency_hz": 7.3} | conditions
        setup = Setup(thickness_um=t_um, porosity=porosity_percent / 100, **film)
        return self.rows(setup, 1, self._words(None))[0]

    def _words(self, capdac_code: int | None) -> Sequence[int]:
        calibration = self.tables["calibration"]
        words = config.new()
        lasers, capacitance = calibration["lasers"], calibration["capacitance"]
        words[config.LASER_MODEL] = [m.name for m in READ_BY].index(lasers["model"])
        words[config.A_LATENCY_US] = round(float(lasers["a_latency_us"]))
        words[config.B_LATENCY_US] = round(float(lasers["b_latency_us"]))
        code = capacitance["capdac_code"] if capdac_code is None else capdac_code
        words[config.CAPDAC_CODE] = int(code)
        return words

    def rows(self, setup: Setup | None, windows: int, words: Sequence[int]) -> list[list[int]]:
        """Return raw records of `setup`, one window behind the other."""
        self.readings += 1
        self._now_s = BETWEEN_S * self.readings
        self.world.fixture = type(self.world.fixture)()
        self.world.fixture.put(setup, 0.0)
        cap = self.scenario.capacitance
        dt_s = cap.conversion_ms / 1000 / (1 + 1e-6 * cap.clock_ppm)
        ends_s = self._now_s + dt_s * np.arange(windows + 1)
        table = np.zeros((windows, record.N_FIELDS), np.int64)
        table[:, record.SEQ] = self._seq + np.arange(windows)
        end_us = np.rint(1e6 * ends_s).astype(np.int64)
        table[:, record.T_S], table[:, record.T_US] = np.divmod(end_us[1:], 1_000_000)
        table[:, record.DT_US] = np.diff(end_us)
        self._seq += windows
        self._converter(table, ends_s, int(words[config.CAPDAC_CODE]))
        for which, base, latency in (
            ("a", record.A_N, config.A_LATENCY_US),
            ("b", record.B_N, config.B_LATENCY_US),
        ):
            self._laser(table, ends_s, which, base, words[latency])
        self._slow(table)
        return table.tolist()

    def _noise(self, stream: int, count: int) -> np.ndarray:
        return noise.generator(self.scenario.run.seed, stream, self.readings).standard_normal(
            count
        )

    def _converter(self, table: np.ndarray, ends_s: np.ndarray, code: int) -> None:
        cap = self.scenario.capacitance
        cap_f = self.world.capacitance_at((ends_s[1:] + ends_s[:-1]) / 2)
        cap_f = ad7746.as_read(cap_f - code * cap.capdac_step_ff * 1e-15, cap)
        rms = ad7746.NOISE_AF[CONVERSIONS_MS.index(cap.conversion_ms)] * 1e-18 * cap.noise
        cap_f = cap_f + rms * self._noise(noise.CAPACITANCE, len(table))
        codes = 0x800000 + np.rint(cap_f / ad7746.LSB_F)
        table[:, record.CAP_CODE] = np.clip(codes, 0, 0xFFFFFF)

    def _laser(
        self, table: np.ndarray, ends_s: np.ndarray, which: str, base: int, stated_us: int
    ) -> None:
        """One laser's share, as `gauge.windows` makes it of its bytes."""
        spec, scenario = self.scenario.laser, self.scenario
        index = "ab".index(which)
        # B samples with A, and a stamp is early or late by what the latency is not known
        period_s = (1 + 1e-6 * spec.clock_ppm[0]) ** -1 / spec.rate_hz
        early_s = 1e-6 * (latency_us(scenario, which) - stated_us)
        first = int(np.ceil((ends_s[0] - early_s) / period_s)) - 2  # two for second differences
        last = int(np.floor((ends_s[-1] - early_s) / period_s)) + 1
        taken_s = period_s * np.arange(first, last + 1)
        mm = laser_reads(self.world.distances_mm(taken_s * 1e9, which), spec, which)
        mm = mm + spec.noise_um / 1000 * self._noise(noise.LASER_A + index, len(mm))
        model = MODELS[spec.model]
        code = model.codes(mm).astype(np.int64)
        stamp_s = taken_s + early_s
        at = np.searchsorted(stamp_s, ends_s)
        seen = code <= model.max_code
        if not seen.all():
            table[:, base + 11] = np.diff(at)
            table[:, base + 12] = code[~seen][-1]
            return
        bend = np.zeros(len(code), np.int64)
        bend[2:] = np.clip(code[2:] - 2 * code[1:-1] + code[:-2], -2047, 2047) ** 2
        starts, end = at[:-1], at[-1]
        window = np.repeat(np.arange(len(table)), np.diff(at))
        us = np.rint(1e6 * (stamp_s[starts[0] : end] - ends_s[window])).astype(np.int64)
        inside, code, bend = starts - starts[0], code[starts[0] : end], bend[starts[0] : end]
        found = {
            "n": np.diff(at),
            "sum": np.add.reduceat(code, inside),
            "first": code[inside],
            "last": code[at[1:] - starts[0] - 1],
            "t_first_us": us[inside],
            "t_last_us": us[at[1:] - starts[0] - 1],
            "t_sum_us": np.add.reduceat(us, inside),
            "min": np.minimum.reduceat(code, inside),
            "max": np.maximum.reduceat(code, inside),
            "d2": np.add.reduceat(bend, inside),
            "n_d2": np.diff(at),
        }
        for offset, name in enumerate(_LASER_FIELDS):
            table[:, base + offset] = found[name]

    def _slow(self, table: np.ndarray) -> None:
        """Frame temperature and climate, as read once before the windows."""
        cap, climate, at_ns = self.scenario.capacitance, self.scenario.climate, self._now_s * 1e9
        drawn = self._noise(noise.TEMPERATURE, 3)
        frame = self.world.frame_c(at_ns) + cap.temperature_error_k
        table[:, record.FRAME_MC] = round(1000 * (frame + cap.temperature_noise_k * drawn[0]))
        air = self.world.air_c(at_ns) + climate.air_noise_c * drawn[1]
        table[:, record.AIR_MC] = round(1000 * air)
        rh = self.world.rh_percent(at_ns) + climate.rh_noise_percent * drawn[2]
        table[:, record.RH_PPM] = round(10_000 * min(100.0, max(0.0, rh)))


class FirmwareStation:
    """A head with its board: the firmware on `target` ("unix32", "rp2040", or one made before).

    Booted with the first reading; `close()` stops it. `tables` as in `ModelStation`.
    """

    SETTLE_S = 0.05
    CLIMATE_S = 1.5  # longer than the climate sensor takes from one reading to the next
    LONGEST = 50  # times what the windows take, until they must have come

    def __init__(self, scenario: Scenario, target: str | Target = "unix32"):
        self.scenario = scenario
        self.tables: Mapping[str, Any] = nominal_tables()
        self.readings = 0
        self._target = target
        self._run: Run | None = None
        self._configured: bytes = b""
        self._conditions: tuple[float, ...] = ()

    def __enter__(self) -> FirmwareStation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the board."""
        if self._run is not None:
            self._run.target.stop()
            self._run.store.close()
            self._run = None

    @property
    def run(self) -> Run:
        """The run on which the head stands, booted."""
        if self._run is None:
            self._run = Run(self.scenario, self._target)
            self._run.boot()
        return self._run

    def perform(self, step: Step) -> Reading:
        """Have a step set up, wait until board and sensors have settled, and read.

        Raises ValueError for what the fixture cannot do, TargetError when the board fails.
        """
        setup = standard(step.setting, self.scenario, self.readings)
        words = compile_words(self.tables["recipe"], self.tables["calibration"])
        if step.capdac_code is not None:
            words[config.CAPDAC_CODE] = step.capdac_code
        rows = self.rows(setup, step.windows, words)
        return reading.from_rows(rows, words, step.setting.get("frequency_hz"))

    def rows(self, setup: Setup | None, windows: int, words: Any) -> list[tuple[int, ...]]:
        """Return the board's records of `setup`, computed with `words`."""
        self.readings += 1
        run = self.run
        fixture = run.instruments.world.fixture
        # lasers have computed whole blocks of samples ahead
        block_s = noise.BLOCK / self.scenario.laser.rate_hz
        change_s = run.target.now_ns * 1e-9 + 2 * block_s
        fixture.put(setup, change_s)
        run.run_until(round(1e9 * change_s) + 1000)
        world, now = run.instruments.world, run.target.now_ns
        conditions = (world.frame_c(now), world.air_c(now), world.rh_percent(now))
        blob = config.pack(words)
        settle_s = self.SETTLE_S
        if blob != self._configured or conditions != self._conditions:
            run.configure(words)  # the frame's temperature is measured anew soon after it
            self._configured, self._conditions = blob, conditions
            settle_s = self.CLIMATE_S
        ready_ns = run.target.now_ns + round(1e9 * settle_s)
        first = run.session.next_seq
        wait_ns = round(1e6 * windows * self.scenario.capacitance.conversion_ms)
        end_ns = ready_ns
        rows: list[tuple[int, ...]] = []
        while len(rows) < windows:
            end_ns += wait_ns
            if end_ns > ready_ns + self.LONGEST * wait_ns:
                raise TargetError(f"only {len(rows)} of {windows} windows came in time")
            run.run_until(end_ns)
            rows = [row for row in run.rows(first=first) if self._begin_ns(row) >= ready_ns]
        return rows[:windows]

    def _begin_ns(self, row: Sequence[int]) -> int:
        """Virtual instant at which a record's window began."""
        us = 1_000_000 * row[record.T_S] + row[record.T_US] - row[record.DT_US]
        return max(self.run.boots.values()) + 1000 * us


def run_procedures(
    station: ModelStation | FirmwareStation,
    tables: Mapping[str, Any],
    names: Sequence[str] = PROCEDURES,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Any], dict[str, Result]]:
    """Do procedures one after the other; return the files as left and each one's result.

    `options` are those of each procedure, by its name. What a procedure finds is in force for
    the next, also when it was not accepted.
    """
    from porogauge.calibrate.procedures import PROCEDURES as MODULES

    done: dict[str, Result] = {}
    tables = dict(tables)
    for name in names:
        module, own = MODULES[name], dict((options or {}).get(name, {}))
        station.tables = tables
        points = [
            {**step.setting, "id": step.id, **asdict(station.perform(step))}
            for step in module.steps(tables, own)
        ]
        done[name] = module.fit(points, tables, own)
        tables = done[name].apply(tables)
    station.tables = tables
    return tables, done
