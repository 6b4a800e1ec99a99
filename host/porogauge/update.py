"""A new version onto a board, and back to the one before.

Two slots on the board take the versions in turn (`firmware/porogauge_boot.py`). The new one is
copied beside the one in force and checked there by hash; then one small write has the board start
it once on trial. Only when its self-test has passed it stays: a crash, a hang, a reset or a failed
test bring the version before back, without the host.

    running = ask(port)                    # also has the gauge leave the port to the REPL
    install(board, info, plan, accepted(running, ()))
    follow(port, plan_slot, 60.0)          # how the trial ended

A test that had not passed in the version before does not count on trial: an update does not fail
for a sensor that was not there.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gauge import health, update
from gauge.link import protocol

from .deploy import Board, BoardInfo, DeployError, Plan
from .errors import (
    DeviceAbsent,
    DeviceError,
    PorogaugeError,
    ProtocolMismatch,
    RequestFailed,
    UsageError,
)

__all__ = [
    "TRIAL_S",
    "Changes",
    "Restart",
    "Running",
    "accepted",
    "ask",
    "changes",
    "follow",
    "install",
    "roll_back",
]

TRIAL_S = update.TRIAL_S + 25.0  # with two restarts of the board, and some patience
_LEFT_S = 0.5  # the board sends its last reply and closes before the REPL listens
_STAGE = "deploy.new"  # on the board: files beside the slots, until they were checked
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
_POINT = "import json, porogauge_boot as b\nprint(json.dumps(b.write(%s)))"


@dataclass(frozen=True, slots=True)
class Running:
    """A gauge that was asked to leave: who it is, and which self-tests it had not passed."""

    device: str
    firmware: str
    layout: str
    open_tests: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update changes: pairs of before and after, and names of modules.

    Before is None where it is not known: the modules of an image are not listed.
    """

    firmware: tuple[str | None, str]
    layout: tuple[str | None, str]
    added: list[str] | None = None
    changed: list[str] | None = None
    removed: list[str] | None = None

    def lines(self) -> list[str]:
        """The changes for people."""
        found = [f"firmware {self.firmware[0] or '?'} → {self.firmware[1]}"]
        if self.layout[0] != self.layout[1]:
            found.append(
                f"record layout {self.layout[0] or '?'} → {self.layout[1]}: databases and hosts of"
                " the layout before do not read the new one"
            )
        if self.changed is None:
            found.append("modules: those of the board's image are not listed, so not compared")
        for name in ("added", "changed", "removed"):
            names = getattr(self, name)
            if names:
                found.append(f"{name}: {', '.join(names)}")
        if self.changed is not None and not (self.added or self.changed or self.removed):
            found.append("no module differs")
        return found


def ask(port: str, wait_s: float = 3.0) -> Running | None:
    """Ask a running gauge who it is and to leave the port to the REPL; None: no gauge answered.

    Raises DeviceBusy when another program has the port, KeyDenied without the metrologist's key.
    """
    from .link.client import Client

    with Client(port, timeout_s=wait_s, stream=False) as client:
        tests = None
        try:
            client.connect()
            tests = client.words(protocol.SELF_TEST)
        except DeviceAbsent:
            return None
        except (ProtocolMismatch, RequestFailed):
            pass  # another version: it is asked to leave all the same
        hello = client.hello
        client.request(protocol.REPL)
    time.sleep(_LEFT_S)
    return Running(hello.device, hello.firmware, hello.layout.hex(), _open(tests))


def _open(tests: list[int] | None) -> int:
    """Bit per test that had not passed; of a gauge that does not say: those of what is plugged."""
    if tests is None:
        board = {"memory", "arithmetic", "storage", "outputs"}
        return sum(
            1 << index for index, name in enumerate(health.SELF_TEST_NAMES) if name not in board
        )
    good = {health.SELF_TEST_RESULTS.index(name) for name in ("passed", "absent")}
    return sum(1 << index for index, result in enumerate(tests) if result not in good)


def accepted(running: Running | None, names: Iterable[str]) -> int:
    """Bits of the self-tests that may fail on trial: those of before, and `names`.

    Raises UsageError for a name that is no test.
    """
    mask = _open(None) if running is None else running.open_tests
    for name in names:
        if name not in health.SELF_TEST_NAMES:
            raise UsageError(
                f"--accept: {name} is not a test; legal: {', '.join(health.SELF_TEST_NAMES)}"
            )
        mask |= 1 << health.SELF_TEST_NAMES.index(name)
    return mask


def changes(board: Board, info: BoardInfo, running: Running | None, plan: Plan) -> Changes:
    """Compare a plan with the version in force on the board."""
    pointer = info.pointer
    good = "own" if pointer is None else pointer.good
    before: Mapping[str, str] | None = None
    _, manifest = info.slot(good)
    firmware = running.firmware if running else None
    layout = running.layout if running else None
    if manifest is not None:
        before, firmware, layout = manifest["files"], manifest["firmware"], manifest["layout"]
    elif good == "own" and info.own and not info.frozen:
        before = {f"gauge/{name}": sha for name, sha in _hashes(board, "gauge").items()}
    elif not info.own:
        before = {}
    after = plan.manifest["files"]
    pairs = (firmware, plan.manifest["firmware"]), (layout, plan.manifest["layout"])
    if before is None:
        return Changes(*pairs)
    before = {name: sha for name, sha in before.items() if name in after or name != "board.py"}
    return Changes(
        *pairs,
        added=sorted(after.keys() - before.keys()),
        changed=sorted(
            name for name in after.keys() & before.keys() if after[name] != before[name]
        ),
        removed=sorted(before.keys() - after.keys()),
    )


def _hashes(board: Board, folder: str, timeout_s: float | None = None) -> dict[str, str]:
    found = board.json(_HASHES % (len(folder) + 1, folder), timeout_s=timeout_s)
    assert isinstance(found, dict)
    return found


def _check(board: Board, folder: str, files: Mapping[str, str], patience_s: float) -> None:
    """Raise DeployError unless a folder on the board holds exactly these files."""
    found = _hashes(board, folder, patience_s)
    wrong = sorted(name for name, digest in files.items() if found.get(name) != digest)
    if wrong or len(found) != len(files):
        raise DeployError(
            f"{board.port}: differs on the board: {', '.join(wrong) or 'extra files'}; nothing was"
            " put in force, try again"
        )


def _point(board: Board, *pointer: Any) -> None:
    board.json(_POINT % ", ".join(map(repr, pointer)))


def install(
    board: Board,
    info: BoardInfo,
    plan: Plan,
    accept: int,
    progress: Callable[[str], None] = lambda _: None,
) -> str:
    """Copy a plan into the free slot, check it there, and put it on trial; return the slot.

    The board must be at its REPL and be restarted afterwards. Whatever ends this, the version in
    force stays in force.
    """
    # 2 KiB/s is the slowest seen (an emulated board without its accelerator); then it hangs.
    patience = 60 + plan.total_bytes / 1000
    if not info.frozen:
        progress("writing what starts the version in force")
        _put_root(board, plan.root)
    pointer = info.pointer
    good = "own" if pointer is None else pointer.good
    slot = "a" if pointer is None else pointer.free
    folder = f"slots/{slot}"
    progress(f"clearing slot {slot}")
    _point(board, "settled", good, "")  # from here on there is no version to go back to
    code = _REMOVE + f'remove("{folder}")\n'
    if good != "own" and not info.frozen:  # what lay beside main.py is in no use any more
        code += "for name in ('gauge', 'board.py', 'board.mpy'): remove(name)\n"
    board.json(code + 'print("[]")', patience)
    progress(f"copying {len(plan.files)} files, {plan.total_bytes / 1024:.0f} KiB")
    board.run("fs", "cp", "-r", str(plan.folder), f":{folder}", timeout_s=patience)
    progress("checking them on the board")
    _check(board, folder, plan.files, patience)
    before = good if good != "own" or info.own else ""
    _point(board, "new", slot, before, accept)
    return slot


def _put_root(board: Board, files: Mapping[str, bytes]) -> None:
    """Put files beside the slots, each checked before it takes the place of an old one."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    board.json(_REMOVE + f'remove("{_STAGE}")\nprint("[]")')
    with tempfile.TemporaryDirectory(prefix="porogauge-") as name:
        stage = Path(name) / _STAGE
        stage.mkdir()
        for file, data in files.items():
            (stage / file).write_bytes(data)
        board.run("fs", "cp", "-r", str(stage), f":{_STAGE}")
    _check(board, _STAGE, digests, 60.0)
    names = sorted(files, key=lambda name: name == "main.py")  # what main.py needs comes first
    board.json(
        "import os\n"
        + "".join(f'os.rename("{_STAGE}/{name}", "{name}")\n' for name in names)
        + f'os.rmdir("{_STAGE}")\nprint("[]")'
    )


def roll_back(board: Board, info: BoardInfo, accept: int) -> str:
    """Put the version before on trial; return which one. Raises DeployError when there is none."""
    pointer = info.pointer
    if pointer is None or pointer.state != "settled" or not pointer.other:
        why = f": {pointer.why}" if pointer is not None and pointer.why else ""
        raise DeployError(
            f"{board.port}: there is no version to go back to{why}; deploy the one that you want"
        )
    _point(board, "new", pointer.other, pointer.runs, accept)
    return pointer.other


def follow(
    port: str, version: str, wait_s: float, progress: Callable[[str], None] = lambda _: None
) -> Any:
    """Wait until the trial of a version has ended; return the HELLO of the gauge that runs then.

    Raises DeployError with the board's reason when the version was taken back, DeviceAbsent when
    no gauge answers.
    """
    from .link.client import Client

    end = time.monotonic() + wait_s
    told = False
    while True:
        left = end - time.monotonic()
        text = ""
        try:
            with Client(port, timeout_s=max(1.0, left), stream=False) as client:
                with suppress(ProtocolMismatch):
                    client.connect()
                hello = client.hello
                if protocol.TRIAL_NAMES[hello.trial] == "taken_back" and hello.same_layout:
                    text = "; ".join(client.faults().values())
        except (RequestFailed, DeviceError):
            if left <= 0:
                raise
            continue
        if protocol.TRIAL_NAMES[hello.trial] != "on_trial":
            break
        if not told:
            progress(f"version {version} is on trial: its self-test runs")
            told = True
        if left <= 0:
            raise DeployError(f"{port}: the trial has not ended within {wait_s:g} s")
        time.sleep(1.0)
    if protocol.VERSION_NAMES[hello.version] != version:
        raise DeployError(
            f"{port}: firmware {hello.firmware} runs again, the new version was taken back"
            f" ({text or 'the board does not say why'})"
        )
    return hello


class Restart:
    """Restarts the board at the end of the body, whatever ended it, so that a gauge runs again."""

    def __init__(self, board: Board, wanted: bool = True):
        self.board, self.wanted = board, wanted

    def __enter__(self) -> Restart:
        return self

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        if not self.wanted:
            return
        try:
            self.board.run("reset")
        except PorogaugeError:
            if error is None:
                raise  # else the first error says more
