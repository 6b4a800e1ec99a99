"""Deploying: what goes onto which board, what is refused, and that nothing is put in place
before it was checked. `mpremote` is replaced by a board that is a folder and runs on CPython."""

import hashlib
import json
import shutil

import pytest

from porogauge import deploy
from porogauge.errors import DeviceError, ProtocolError

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
    assert {"board.py", "main.py", "gauge/record.mpy", "gauge/link/session.mpy"} <= set(plan.files)
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
            target = self.root / arguments[3].rstrip("/").split("/")[-1]
            shutil.copytree(arguments[3], target)
            if self.damage:
                self.damage(target)
        elif arguments[0] == "exec":
            import contextlib
            import io
            import os

            out, before = io.StringIO(), os.getcwd()
            os.chdir(self.root)
            try:
                with contextlib.redirect_stdout(out):
                    exec(arguments[1].replace('statvfs("/")', 'statvfs(".")'), {})
            finally:
                os.chdir(before)
            return out.getvalue()
        return ""


def tree(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return deploy.make_plan(RP2040, tmp_path_factory.mktemp("build"))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "board"
    (folder / "gauge").mkdir(parents=True)
    (folder / "gauge" / "old.mpy").write_bytes(b"old")
    (folder / "main.py").write_bytes(b"old main of the gauge")
    (folder / "config").write_bytes(b"recipe and calibration")
    (folder / "board.mpy").write_bytes(b"would hide board.py")
    return folder


def test_deployed_and_restarted(root, plan):
    board = FolderBoard(root)
    assert board.info().own_main is True
    (root / "deploy.new").mkdir()
    (root / "deploy.new" / "rest").write_bytes(b"of an interrupted copy")
    deploy.deploy(board, plan)
    assert board.calls[-1] == ("reset",)
    expected = {name: (plan.folder / name).read_bytes() for name in plan.files}
    assert tree(root) == expected | {"config": b"recipe and calibration"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "gauge" / "record.mpy").write_bytes(b"damaged"),
        lambda folder: (folder / "main.py").unlink(),
        lambda folder: (folder / "stranger").write_bytes(b""),
    ],
)
def test_a_damaged_copy_is_not_put_in_place(root, plan, damage):
    before = tree(root)
    with pytest.raises(deploy.DeployError, match="nothing was put in place"):
        deploy.deploy(FolderBoard(root, damage), plan)
    after = {n: d for n, d in tree(root).items() if not n.startswith("deploy.new/")}
    assert after == before


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
