"""The image builder: its check of machine code, its reading of apt's configuration, its cache."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def builder():
    """The package boards/builder, which is not installed anywhere."""
    sys.path.insert(0, str(ROOT / "boards"))
    try:
        for name in ("cache", "native", "shell", "source", "toolchain", "targets"):
            importlib.import_module(f"builder.{name}")
        yield importlib.import_module("builder")
    finally:
        sys.path.remove(str(ROOT / "boards"))


# -- the check of machine code -------------------------------------------------------------------

NATIVE = '__attribute__((section(".text,\\"ax\\",%progbits @ "))) __attribute__ ((aligned (2)))'
FROZEN = f"""
// frozen bytecode for file gauge/a.py, scope gauge_a__lt_module_gt_
static const byte fun_data_gauge_a__lt_module_gt_[21] = {{
// frozen native code for file gauge/a.py, scope gauge_a_f
static const byte fun_data_gauge_a_f[40] {NATIVE} = {{
// frozen native code for file gauge/a.py, scope gauge_a_g
static const byte fun_data_gauge_a_g[12] {NATIVE} = {{
"""
SYMBOLS = """\
10000100 t fun_data_gauge_a_f
1000012{last} t fun_data_gauge_a_g
1004c071 r fun_data_gauge_a__lt_module_gt_
         U memcpy
"""


def test_machine_code_at_multiples_of_four_passes(builder):
    symbols = SYMBOLS.format(last=8)
    assert builder.native.check_alignment(FROZEN, symbols, expect_native=True) == 2


@pytest.mark.parametrize("last", [1, 2, 3, 6, "a", "e"])
def test_misplaced_machine_code_fails_the_build(builder, last):
    symbols = SYMBOLS.format(last=last)
    with pytest.raises(builder.shell.BuildError, match=r"1 of 2 .*: fun_data_gauge_a_g\."):
        builder.native.check_alignment(FROZEN, symbols, expect_native=True)


def test_machine_code_absent_from_the_image_fails_the_build(builder):
    symbols = "10000100 t fun_data_gauge_a_f\n"
    with pytest.raises(builder.shell.BuildError, match="not in the image: fun_data_gauge_a_g"):
        builder.native.check_alignment(FROZEN, symbols, expect_native=True)


def test_a_check_that_finds_nothing_to_look_at_fails_the_build(builder):
    bytecode_only = FROZEN.split("// frozen native")[0]
    with pytest.raises(builder.shell.BuildError, match="no machine code was found"):
        builder.native.check_alignment(bytecode_only, SYMBOLS.format(last=8), expect_native=True)
    assert builder.native.check_alignment(bytecode_only, "", expect_native=False) == 0


def test_viper_is_recognised_in_sources(builder):
    assert builder.native.has_native("@micropython.viper\ndef f(): ...")
    assert builder.native.has_native("class A:\n    @micropython.native\n    def f(self): ...")
    assert not builder.native.has_native("# as @micropython.viper would\ndef f(): ...")


# -- apt's configuration -------------------------------------------------------------------------

OS_RELEASE = 'PRETTY_NAME="Debian"\nVERSION_CODENAME=bookworm\nID=debian\n'


@pytest.fixture
def apt(builder, monkeypatch):
    monkeypatch.setattr(builder.toolchain, "has_apt", lambda: True)
    return lambda etc: list(builder.source.debian_mirrors(etc))


def test_mirror_from_deb822(apt, builder, tmp_path):
    (tmp_path / "os-release").write_text(OS_RELEASE)
    parts = tmp_path / "apt" / "sources.list.d"
    parts.mkdir(parents=True)
    (parts / "a-vendor.sources").write_text(
        "Types: deb\nURIs: https://vendor.test/apt\nSuites: nodistro\nComponents: main\n"
    )
    (parts / "debian.sources").write_text(
        "# a comment\nTypes: deb deb-src\nURIs: http://mirror.test/debian\n"
        "Suites: bookworm\n bookworm-updates\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/a.gpg\n\n"
        "Types: deb\nURIs: http://mirror.test/security\nSuites: bookworm-security\n"
        "Components: main\n\n"
        "Types: deb\nEnabled: no\nURIs: http://other.test/debian\nSuites: bookworm\n"
        "Components: main\n"
    )
    mirror = builder.source.Mirror("http://mirror.test/debian", "/usr/share/keyrings/a.gpg")
    assert apt(tmp_path) == [mirror]


def test_mirror_from_one_line_entries(apt, builder, tmp_path):
    (tmp_path / "os-release").write_text(OS_RELEASE)
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt" / "sources.list").write_text(
        "#deb http://commented.test/debian bookworm main\n"
        "deb http://security.test/debian bookworm-security main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib # x\n"
        "deb http://mirror.test/debian bookworm-updates main\n"
        "deb-src http://sources.test/debian bookworm main\n"
    )
    assert apt(tmp_path) == [builder.source.Mirror("http://mirror.test/debian", "/k.gpg")]


@pytest.mark.parametrize("system", ["ID=ubuntu\nVERSION_CODENAME=noble\n", "ID=debian\n", ""])
def test_no_mirror_on_other_systems(apt, tmp_path, system):
    (tmp_path / "os-release").write_text(system)
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt" / "sources.list").write_text("deb http://mirror.test/x noble main\n")
    assert apt(tmp_path) == []


# -- the source and the cache --------------------------------------------------------------------


def test_unsuitable_checkouts_are_refused_with_a_remedy(builder, tmp_path):
    check, error = builder.source.check, builder.shell.BuildError
    with pytest.raises(error, match="no MicroPython source tree.*MICROPYTHON="):
        check(tmp_path)
    header = tmp_path / "py" / "mpconfig.h"
    header.parent.mkdir()
    header.write_text("#define MICROPY_VERSION_MAJOR 1\n#define MICROPY_VERSION_MINOR 24\n")
    with pytest.raises(error, match=r"MicroPython 1\.24; 1\.25 or later"):
        check(tmp_path)
    header.write_text("#define MICROPY_VERSION_MAJOR 1\n#define MICROPY_VERSION_MINOR 25\n")
    with pytest.raises(error, match="submodule update --init --depth 1 lib/pico-sdk lib/tinyusb"):
        check(tmp_path)


def test_synchronise_leaves_equal_files_untouched(builder, tmp_path):
    builder.cache.synchronise(tmp_path, {"a/b.py": b"1", "c.py": b"2"})
    before = (tmp_path / "c.py").stat().st_mtime_ns
    builder.cache.synchronise(tmp_path, {"c.py": b"2", "d/e.py": b"3"})
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"c.py", "d/e.py"}
    assert (tmp_path / "c.py").stat().st_mtime_ns == before
    builder.cache.synchronise(tmp_path, {"c.py": b"4"})
    assert (tmp_path / "c.py").read_bytes() == b"4"


def test_a_folder_is_complete_or_not_there(builder, tmp_path):
    folder = tmp_path / "image"
    with pytest.raises(RuntimeError), builder.cache.filling(folder) as scratch:
        (scratch / "half").touch()
        raise RuntimeError
    assert not folder.exists()
    with builder.cache.filling(folder) as scratch:
        (scratch / "whole").touch()
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_a_build_tree_left_by_a_kill_is_not_trusted(builder, tmp_path):
    tree = tmp_path / "tree"
    with builder.targets.working_in(tree, force=False):
        (tree / "half.o").touch()
    assert (tree / "half.o").exists()  # an orderly end, even by an error: make can go on
    (tree / "in-use").touch()  # what a kill leaves
    with builder.targets.working_in(tree, force=False):
        assert not (tree / "half.o").exists()


def test_a_failing_command_shows_the_end_of_its_log(builder, tmp_path):
    script = "print('make[1]: Entering directory x'); print('the reason'); raise SystemExit(3)"
    with pytest.raises(builder.shell.BuildError) as failure:
        builder.shell.run(
            [sys.executable, "-c", script],
            log=tmp_path / "log",
            doing="compiling",
            remedy="Do that.",
        )
    text = str(failure.value)
    assert text.startswith("compiling failed (exit 3). Do that.")
    assert "the reason" in text and "\n    make[1]" not in text and str(tmp_path / "log") in text
    with pytest.raises(builder.shell.BuildError, match="no-such-program is missing"):
        builder.shell.run(["no-such-program"], log=tmp_path / "log", doing="compiling")


# -- the distribution ----------------------------------------------------------------------------


def test_every_package_is_part_of_the_distribution():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = set()
    for name, folder in settings["package-dir"].items():
        for path in (ROOT / folder).rglob("__init__.py"):
            parts = path.parent.relative_to(ROOT / folder).parts
            found.add(".".join((name, *parts)))
    assert sorted(found) == sorted(settings["packages"])
