"""Deploying: what goes onto which board, what is refused, that nothing is put in force before it
was checked, and the way back. `mpremote` is replaced by a board that is a folder, on CPython."""

import contextlib
import hashlib
import importlib
import io
import json
import os
import shutil
import sys

import pytest

from gauge import health
from porogauge import deploy, update
from porogauge.errors import DeviceError, ProtocolError, UsageError

RP2040 = deploy.BoardInfo("rp2", (1, 25, 0), 4870, 1 << 20, None)
ESP32 = deploy.BoardInfo("esp32", (1, 26, 0), 10 << 10 | 3 << 8 | 6, 1 << 20, True)
RISCV = deploy.BoardInfo("esp32", (1, 26, 0), 11 << 10 | 3 << 8 | 6, 1 << 20, True)


@pytest.mark.parametrize(
    ("info", "architecture"), [(RP2040, "armv6m"), (ESP32, "xtensawin"), (RISCV, "rv32imc")]
)
def test_every_module_compiles_for_the_board(tmp_path, info, architecture):
    assert info.architecture == architecture
    info.check()
    plan = deploy.make_plan(info, tmp_path)
    expected = {"board.py", "manifest.json", "gauge/record.mpy", "gauge/link/session.mpy"}
    assert expected <= set(plan.files) and set(plan.root) == {"main.py", "porogauge_boot.py"}
    others = {"rp2", "esp32", "unix"} - {info.platform}
    assert not {f"gauge/hw/{port}.mpy" for port in others} & set(plan.files)
    for name, digest in plan.files.items():
        data = (plan.folder / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        if name.endswith(".mpy"):
            assert data[:2] == b"M\x06"
    assert plan.total_bytes == sum((plan.folder / name).stat().st_size for name in plan.files)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"platform": "stm32"}, "port 'stm32'; the gauge runs on rp2, esp32"),
        ({"version": (1, 24, 1)}, "has MicroPython 1.24.1; the gauge needs 1.25"),
        ({"mpy": 4 << 10 | 2 << 8 | 6}, r"loads .mpy 6.2"),
        ({"mpy": 0}, "loads .mpy 0.0"),
    ],
)
def test_boards_that_cannot_run_it(change, text):
    fields = {name: getattr(RP2040, name) for name in deploy.BoardInfo.__slots__} | change
    with pytest.raises(ProtocolError, match=text):
        deploy.BoardInfo(**fields).check()


def test_unknown_board_or_source(tmp_path):
    with pytest.raises(deploy.DeployError, match="NONE is not a board; known: POROGAUGE_ESP32, "):
        deploy.make_plan(RP2040, tmp_path, board="NONE")
    with pytest.raises(deploy.DeployError, match="name a checkout"):
        deploy.make_plan(RP2040, tmp_path, source=str(tmp_path))


def test_a_module_that_does_not_compile(tmp_path):
    (tmp_path / "bad.py").write_text("def f(:\n")
    with pytest.raises(deploy.DeployError, match="bad.py: does not compile for armv6m: .*Syntax"):
        deploy._compile(tmp_path / "bad.py", tmp_path / "bad.mpy", "gauge/bad.mpy", "armv6m")


class FolderBoard(deploy.Board):
    """A board's file system as a folder; code is run by CPython with that folder as its root."""

    def __init__(self, root, damage=None):
        super().__init__("folder")
        self.root, self.damage, self.calls = root, damage, []

    def run(self, *arguments, timeout_s=None):
        self.calls.append(arguments[:2])
        if arguments[:3] == ("fs", "cp", "-r"):
            target = self.root / arguments[4].removeprefix(":")
            shutil.copytree(arguments[3], target)
            if self.damage and target.parent.name == "slots":
                self.damage(target)
        elif arguments[0] == "exec":
            out, before, path = io.StringIO(), os.getcwd(), list(sys.path)
            os.chdir(self.root)
            sys.path.insert(0, "")
            sys.modules.pop("porogauge_boot", None)
            importlib.invalidate_caches()
            try:
                with contextlib.redirect_stdout(out):
                    exec(arguments[1].replace('statvfs("/")', 'statvfs(".")'), {})
            finally:
                os.chdir(before)
                sys.path[:] = path
                sys.modules.pop("porogauge_boot", None)
            return out.getvalue()
        return ""


def tree(root):
    found = (p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in found}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return deploy.make_plan(RP2040, tmp_path_factory.mktemp("build"))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "board"
    (folder / "gauge").mkdir(parents=True)
    (folder / "gauge" / "old.mpy").write_bytes(b"old")
    (folder / "gauge" / "record.mpy").write_bytes(b"old, too")
    (folder / "main.py").write_bytes(b"old main of the gauge")
    (folder / "config").write_bytes(b"recipe and calibration")
    return folder


def start(root):
    """What the board does when it starts: the pointer then."""
    code = "import json, porogauge_boot\nprint(json.dumps(porogauge_boot.choose()))"
    return FolderBoard(root).json(code)


def confirm(root):
    FolderBoard(root).json("import porogauge_boot as b\nb.found = b.read()\nb.confirm()\nprint(0)")


def test_beside_what_is_there_tried_and_back(root, plan):
    board = FolderBoard(root)
    info = board.info()
    assert info.own_main is True and info.own and not info.frozen and info.pointer is None
    (root / "deploy.new").mkdir()
    (root / "deploy.new" / "rest").write_bytes(b"of an interrupted copy")
    found = update.changes(board, info, None, plan)
    assert found.removed == ["gauge/old.mpy"] and found.changed == ["gauge/record.mpy"]
    assert "gauge/app.mpy" in found.added

    assert update.install(board, info, plan, 12) == "a"
    slot = {f"slots/a/{name}": (plan.folder / name).read_bytes() for name in plan.files}
    there = tree(root)
    assert slot.items() <= there.items() and there["gauge/old.mpy"] == b"old"
    assert there["main.py"] == plan.root["main.py"] and "deploy.new/rest" not in there
    assert board.info().pointer == deploy.Pointer("new", "a", "own", 12, "")

    assert start(root)[1:5] == ["tried", "a", "own", 12]
    confirm(root)
    info = board.info()
    assert info.pointer == deploy.Pointer("settled", "a", "own", 0, "")
    assert info.slot("a")[1] == plan.manifest
    found = update.changes(board, info, None, plan)
    assert not (found.added or found.changed or found.removed)
    assert "no module differs" in found.lines()

    assert update.install(board, info, plan, 0) == "b"  # beside slot a; what lay at the top goes
    assert not (root / "gauge").exists()
    assert start(root)[1:4] == ["tried", "b", "a"]
    assert start(root)[1:4] == ["failed", "a", "b"]  # it ended before it was confirmed
    with pytest.raises(deploy.DeployError, match="no version to go back to: it ended before"):
        update.roll_back(board, board.info(), 0)

    assert update.install(board, board.info(), plan, 0) == "b"
    start(root)
    confirm(root)
    assert update.roll_back(board, board.info(), 7) == "a"
    assert start(root)[1:5] == ["tried", "a", "b", 7]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "gauge" / "record.mpy").write_bytes(b"damaged"),
        lambda folder: (folder / "board.py").unlink(),
        lambda folder: (folder / "stranger").write_bytes(b""),
    ],
)
def test_a_damaged_copy_is_not_put_in_force(root, plan, damage):
    board = FolderBoard(root, damage)
    with pytest.raises(deploy.DeployError, match="nothing was put in force"):
        update.install(board, board.info(), plan, 0)
    assert start(root)[1:4] == ["settled", "own", ""]
    assert (root / "gauge" / "old.mpy").read_bytes() == b"old"


def test_cut_off_between_any_two_steps(root, plan):
    """Whatever was the last thing that came through, the version in force is in force."""

    class Cut(Exception):
        pass

    class CutBoard(FolderBoard):
        left = 0

        def run(self, *arguments, timeout_s=None):
            if not self.left:
                raise Cut
            self.left -= 1
            return super().run(*arguments, timeout_s=timeout_s)

    board = FolderBoard(root)
    update.install(board, board.info(), plan, 0)
    start(root)
    confirm(root)
    before = board.info()
    steps = 0
    while True:
        cut = CutBoard(root)
        cut.left = steps
        try:
            update.install(cut, before, plan, 0)
            break
        except Cut:
            pointer = start(root)
            assert pointer[1:3] == ["settled", "a"]
        steps += 1
    assert steps > 5 and start(root)[1:3] == ["tried", "b"]


def test_self_tests_that_do_not_count():
    names = health.SELF_TEST_NAMES
    bits = {name: 1 << index for index, name in enumerate(names)}
    results = [health.SELF_TEST_RESULTS.index("passed")] * len(names)
    results[names.index("laser_b")] = health.SELF_TEST_RESULTS.index("failed")
    running = update.Running("aa", "1", "00", update._open(results))
    assert update.accepted(running, ()) == bits["laser_b"]
    assert update.accepted(running, ["bus"]) == bits["laser_b"] | bits["bus"]
    unknown = update.accepted(None, ())
    assert unknown & bits["laser_a"] and not unknown & (bits["memory"] | bits["arithmetic"])
    with pytest.raises(UsageError, match="--accept: lasr is not a test; legal: memory"):
        update.accepted(running, ["lasr"])


def test_answers_that_are_not_json(root):
    class Silent(FolderBoard):
        def run(self, *arguments, timeout_s=None):
            return "Traceback\n"

    with pytest.raises(deploy.DeployError, match="unexpected answer"):
        Silent(root).info()


def test_a_port_that_is_not_there(tmp_path):
    """The real mpremote."""
    with pytest.raises(DeviceError, match="is it the right port"):
        deploy.Board(str(tmp_path / "none")).run("eval", "1")


def test_json_of_the_board_is_the_last_line(root):
    board = FolderBoard(root)
    assert board.json('print("banner")\nprint("[1, 2]")') == [1, 2]
    assert json.loads("[]") == board.json('print("[]")')
