"""Files that the host reads: recipes, calibrations, scenarios, settings, points, images."""

from __future__ import annotations

import csv
import random
import struct
import tempfile
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from gauge import config
from porogauge import errors, flash, settings
from porogauge.calibrate.points import columns_of, read_csv, taken_with, write_csv
from porogauge.recipe import (
    compile_words,
    content_id,
    decode_words,
    dumps,
    load,
    load_files,
    normalise,
    split,
    standard_calibration,
    standard_recipe,
    template,
)
from porogauge.recipe_fields import FIELD
from porogauge_bench.scenario import Scenario, ScenarioError

from .mutate import damage, rewrite
from .parser import HostParser, Wrong

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"


def texts(*patterns: str) -> list[str]:
    """Contents of the files of the repository that match."""
    found = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return [path.read_text(encoding="utf-8") for path in found]


class TextParser(HostParser):
    """A reader of a text file: `corpus` of valid ones, `read` the file at `self.path`."""

    corpus: list[str]
    refusals: tuple[type[Exception], ...] = (errors.PorogaugeError,)
    file = "input"

    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="porogauge-fuzz-")
        self.path = Path(self._folder.name) / self.file

    def close(self) -> None:
        self._folder.cleanup()

    def make(self, rnd: random.Random) -> bytes:
        text = rnd.choice(self.corpus)
        if rnd.random() < 0.02:
            return text.encode()
        return rewrite(rnd, text, self.corpus)

    def check(self, case: bytes) -> bool:
        self.path.write_bytes(case)
        try:
            self.read()
        except self.refusals as error:
            if not str(error).strip():
                raise Wrong("refused without a word") from None
            if len(str(error)) > 40_000:
                raise Wrong(f"refused with {len(str(error))} characters") from None
            return False
        return True

    def read(self) -> None:
        """Read the file; look whether what was read is what it says."""
        raise NotImplementedError


# ---------------------------------------------------------------- recipe and calibration


class Recipes(TextParser):
    """Recipe and calibration files: what is compiled means what the file says."""

    name, share, block = "recipe", 8, 50
    file = "recipe.toml"

    def open(self) -> None:
        super().open()
        recipes = [template("recipe"), *texts("host/porogauge/data/recipes/*.toml")]
        recipes += texts("hil_tests/fuzz/corpus/recipe/*.toml")
        heads = [template("calibration"), *texts("hil_tests/fuzz/corpus/calibration/*.toml")]
        plain = [dumps(kind, tables, comments=False) for kind, tables in _standards().items()]
        self.corpus = recipes + heads * 3 + plain * 3
        self._others = _standards()

    def read(self) -> None:
        found = load_files([self.path])
        files = _standards() | {kind: tables for kind, (tables, _) in found.items()}
        words = compile_words(files["recipe"], files["calibration"])
        given = split(tomllib.loads(self.path.read_text(encoding="utf-8"), parse_float=Decimal))
        decoded = dict(zip(("recipe", "calibration"), decode_words(words), strict=True))
        for kind, tables in given.items():
            _compare(kind, tables, decoded[kind])
            values = normalise(kind, tables, kind)
            again = dumps(kind, tables, comments=False)
            self.path.write_text(again, encoding="utf-8")
            if content_id(kind, normalise(kind, load(self.path), kind)) != content_id(
                kind, values
            ):
                raise Wrong(f"{kind} has another id when it is written and read again")
        config.unpack(config.pack(words))


def _standards() -> dict[str, dict[str, Any]]:
    return {"recipe": standard_recipe(), "calibration": standard_calibration()}


def _compare(kind: str, tables: Mapping[str, Any], decoded: Mapping[str, Any]) -> None:
    """Raise Wrong when a number of a file is not what the board would hold, to half a word."""
    for table, content in tables.items():
        if table == "layer":
            continue
        for name, value in content.items():
            field = FIELD[kind].get(f"{table}.{name}")
            if field is None:
                raise Wrong(f"{table}.{name} is taken, which no field is")
            if field.word is None or field.kind not in ("number", "integer"):
                continue
            got = decoded[table][name]
            if abs(Decimal(repr(got)) - Decimal(value)) > Decimal("0.501") / field.factor:
                raise Wrong(f"{table}.{name} is {value} in the file, {got} for the board")


# ---------------------------------------------------------------- scenarios, settings


class Scenarios(TextParser):
    """Scenario files of the bench."""

    name, share, block = "scenario", 8, 50
    refusals = (ScenarioError,)
    file = "scenario.toml"

    def open(self) -> None:
        super().open()
        self.corpus = texts("hil_tests/scenarios/**/*.toml", "hil_tests/fuzz/corpus/scenario/*")

    def read(self) -> None:
        scenario = Scenario.load(self.path)
        data = tomllib.loads(self.path.read_text(encoding="utf-8"))
        for section in ("run", "film", "line", "head", "laser", "capacitance", "climate", "link"):
            for name, value in data.get(section, {}).items():
                got = getattr(getattr(scenario, section), name)
                if value != "auto" and got != value and str(got) != str(value):
                    if not (isinstance(value, (int, float)) and float(got) == float(value)):
                        raise Wrong(f"{section}.{name} is {value!r} in the file, {got!r} taken")
        for name in ("layer", "defect", "fault"):
            if len(getattr(scenario, name + "s")) != len(data.get(name, [])):
                raise Wrong(f"not every {name} of the file was taken")


class Settings(TextParser):
    """The configuration file of the command line."""

    name, share, block = "settings", 8, 100
    file = "config.toml"
    tree = {"log": {"to": None, "port": None}, "bench": {"run": {"target": None, "port": None}}}

    def open(self) -> None:
        super().open()
        self.corpus = texts("hil_tests/fuzz/corpus/settings/*.toml")

    def read(self) -> None:
        stored = settings.read(self.path)
        merged = settings.default_map(stored, self.tree, "config.toml")
        wanted = stored.get("log", {}).get("to", stored.get("to"))
        if wanted is not None and merged["log"]["to"] != wanted:
            raise Wrong(f"to is {wanted!r} in the file, {merged['log']['to']!r} was taken")


# ---------------------------------------------------------------- points


class Points(TextParser):
    """Points of a calibration procedure, CSV."""

    name, share, block = "points", 20, 100
    file = "points.csv"

    def open(self) -> None:
        super().open()
        self.tables = {
            path.stem: path.read_text(encoding="utf-8")
            for path in sorted((CORPUS / "points").glob("*.csv"))
        }
        self.corpus = list(self.tables.values())
        self.legal = {name: {c[0]: c for c in columns_of(name)} for name in self.tables}

    def make(self, rnd: random.Random) -> tuple[str, bytes]:  # type: ignore[override]
        name = rnd.choice(sorted(self.tables))
        text = self.tables[name]
        return name, rewrite(rnd, text, self.corpus) if rnd.random() > 0.02 else text.encode()

    def check(self, case: tuple[str, bytes]) -> bool:  # type: ignore[override]
        self.procedure = case[0]
        return super().check(case[1])

    def read(self) -> None:
        points = read_csv(self.path, self.procedure)
        taken_with(self.path)
        for point in points:
            for name, (_, _, low, high, required, _) in self.legal[self.procedure].items():
                value = point.get(name)
                if value is None:
                    if required:
                        raise Wrong(f"{name} is missing and was taken")
                elif low is not None and not low <= value <= high:
                    raise Wrong(f"{name} of {value} was taken; legal: {low} to {high}")
        text = self.path.read_text(encoding="utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
        rows = list(csv.reader(lines))
        if len(rows) == len(points) + 1:
            for row, point in zip(rows[1:], points, strict=True):
                for name, cell in zip(rows[0], row, strict=True):
                    value = point[name.strip()]
                    if isinstance(value, (int, float)) and float(cell) != value:
                        raise Wrong(f"{name} is {cell!r} in the file, {value} was taken")
        again = self.path.with_suffix(".again")
        write_csv(again, points)
        if read_csv(again, self.procedure) != points:
            raise Wrong("comes back different when it is written and read again")


# ---------------------------------------------------------------- images


def _uf2(blocks: int) -> bytes:
    made = []
    for number in range(blocks):
        head = (0x0A324655, 0x9E5D5157, 0x2000, 0x10000000 + 256 * number, 256, number, blocks)
        made.append(struct.pack("<8I", *head, 0xE48BFF56) + bytes(476))
        made.append(struct.pack("<I", 0x0AB16F30))
    return b"".join(made)


class Images(HostParser):
    """UF2 and ESP32 images: nothing that the boot loader would take for another board or place."""

    name, share, block = "images", 20, 200

    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="porogauge-fuzz-")
        self.path = Path(self._folder.name) / "image"
        esp = b"\xe9\x03\x02\x20" + bytes(8) + b"\x00\x00" + bytes(5000)
        self.corpus = [_uf2(1), _uf2(3), _uf2(6), esp]

    def close(self) -> None:
        self._folder.cleanup()

    def make(self, rnd: random.Random) -> bytes:
        data = rnd.choice(self.corpus)
        return damage(rnd, data, self.corpus, 4) if rnd.random() > 0.02 else data

    def check(self, case: bytes) -> bool:
        self.path.write_bytes(case)
        taken = False
        try:
            image = flash.read_uf2(self.path)
            taken = True
            heads = [struct.unpack_from("<8I", case, at) for at in range(0, len(case), 512)]
            places = {head[3] for head in heads}
            if len(places) != len(heads) or {head[4] for head in heads} != {256}:
                raise Wrong("two blocks for one place, or of another size")
            if image.start != min(places) or image.end != max(places) + 256:
                raise Wrong("begins or ends where no block is")
        except flash.FlashError:
            pass
        try:
            flash.read_esp32(self.path)
            taken = True
        except flash.FlashError:
            pass
        return taken


HOST_FILES = (Recipes, Scenarios, Settings, Points, Images)
