"""Where MicroPython's source comes from.

In this order: the checkout that the user names; what an earlier build left in the cache; Debian's
source packages, from the mirror that this machine's apt is configured with; a clone from the
internet. Debian's source comes without submodules: the two libraries that the RP2040 needs are
binary packages of the same release, mbedtls another source package.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import cache, toolchain
from .shell import BuildError, run, say

RELEASE = "trixie"  # Debian's release with MicroPython 1.25.0, pico-sdk 2.1.1 and tinyusb 0.18
SOURCE_PACKAGES = ("micropython", "mbedtls")
BINARY_PACKAGES = {"pico-sdk-source": "pico-sdk", "tinyusb-source": "tinyusb"}

REPOSITORY = "https://github.com/micropython/micropython"
TAG = "v1.25.0"
SUBMODULES = ("lib/pico-sdk", "lib/tinyusb", "lib/mbedtls", "lib/micropython-lib")

VERSION = (1, 25)  # the oldest that will do
PARTS = {  # a file of each submodule, by which its presence is known
    "lib/pico-sdk": "pico_sdk_init.cmake",
    "lib/tinyusb": "src/tusb.h",
    "lib/mbedtls": "library/sha256.c",
    "lib/micropython-lib": "README.md",
}

HOW_TO_NAME_ONE = (
    "Name a checkout of MicroPython 1.25 or later with MICROPYTHON=/path/to/it (or --micropython)."
)


@dataclass(frozen=True)
class Source:
    """A complete source tree and a text that changes whenever it does."""

    folder: Path
    identity: str


def find(checkout: Path | None) -> Source | None:
    """Return the source if it is there already: the user's checkout or what the cache holds."""
    if checkout:
        return from_checkout(checkout)
    for kind in ("debian", "git"):
        folder = cache.root() / "sources" / kind
        note = folder / "identity.json"
        if note.is_file():
            return Source(folder / "micropython", json.loads(note.read_text())["identity"])
    return None


def get(checkout: Path | None) -> Source:
    """Return the source, fetching it first where necessary."""
    source = find(checkout)
    if source:
        return source
    mirrors = list(debian_mirrors())
    if mirrors:
        return from_debian(mirrors)
    if shutil.which("git"):
        return from_git()
    raise BuildError(
        "no source of MicroPython: apt has no Debian mirror configured on this machine "
        f"(/etc/apt), and git is missing. Install git, or: {HOW_TO_NAME_ONE}"
    )


# -- the user's checkout -------------------------------------------------------------------------


def from_checkout(folder: Path) -> Source:
    """Return the user's checkout, after looking whether it is complete."""
    folder = folder.expanduser().resolve()
    check(folder)
    states = []
    for part in ("py", "shared", "extmod", "drivers", "tools", "ports/rp2", "ports/unix", "lib"):
        for path in sorted((folder / part).glob("**/*.[chpmS]*")):
            if "build" not in path.relative_to(folder).as_posix():
                state = path.stat()
                states.append(f"{path} {state.st_size} {state.st_mtime_ns}")
    return Source(folder, f"checkout {cache.digest(states)}")


def check(folder: Path) -> None:
    """Raise BuildError when a source tree is not MicroPython, too old or without a submodule."""
    header = folder / "py" / "mpconfig.h"
    if not header.is_file():
        raise BuildError(f"{folder} is no MicroPython source tree. {HOW_TO_NAME_ONE}")
    numbers = dict(re.findall(r"#define MICROPY_VERSION_(MAJOR|MINOR) +(\d+)", header.read_text()))
    version = int(numbers.get("MAJOR", 0)), int(numbers.get("MINOR", 0))
    if version < VERSION:
        raise BuildError(
            f"{folder} is MicroPython {version[0]}.{version[1]}; 1.25 or later is needed. "
            + HOW_TO_NAME_ONE
        )
    absent = [part for part, file in PARTS.items() if not (folder / part / file).is_file()]
    if absent:
        raise BuildError(
            f"{folder} lacks {', '.join(absent)}. Run:\n"
            f"    git -C {folder} submodule update --init --depth 1 {' '.join(absent)}"
        )


# -- Debian --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mirror:
    """A Debian mirror as apt is configured with it: its address and the key that signs it."""

    uri: str
    signed_by: str


def debian_mirrors(etc: Path = Path("/etc")) -> Iterator[Mirror]:
    """Yield the mirrors of Debian's main archive that this machine's apt uses.

    Those are the entries for the running release itself (third parties name theirs otherwise)
    with its component `main`.
    """
    release = etc / "os-release"
    if not (toolchain.has_apt() and release.is_file()):
        return
    system = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    codename = system.get("VERSION_CODENAME", "").strip('"')
    if system.get("ID", "").strip('"') != "debian" or not codename:
        return
    wanted = {codename, RELEASE}
    seen = set()
    for uri, suites, components, signed_by in apt_entries(etc / "apt"):
        if wanted & set(suites) and "main" in components and uri not in seen:
            seen.add(uri)
            yield Mirror(uri, signed_by)


def apt_entries(folder: Path) -> Iterator[tuple[str, list[str], list[str], str]]:
    """Yield address, suites, components and key of every binary archive in apt's configuration."""
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        for text in re.split(r"\n\s*\n", path.read_text()):
            yield from deb822_entries(text)
    for path in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        for line in path.read_text().splitlines() if path.is_file() else []:
            yield from one_line_entries(line)


def deb822_entries(text: str) -> Iterator[tuple[str, list[str], list[str], str]]:
    """Yield the archives of one paragraph of a .sources file."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "").lower() == "no":
        return
    key = fields.get("signed-by", "")
    for uri in fields.get("uris", "").split():
        yield (
            uri,
            fields.get("suites", "").split(),
            fields.get("components", "").split(),
            key if key.startswith("/") else "",
        )


def one_line_entries(line: str) -> Iterator[tuple[str, list[str], list[str], str]]:
    """Yield the archive of one line of a .list file."""
    found = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)", line)
    if found:
        options, uri, suite, components = found.groups()
        key = re.search(r"signed-by=(/\S+)", options or "")
        yield uri, [suite], components.split(), key[1] if key else ""


def from_debian(mirrors: list[Mirror]) -> Source:
    """Fetch and unpack Debian's source packages; apt checks the signatures and hashes."""
    toolchain.require("source")
    say("image", f"fetching MicroPython's source (Debian {RELEASE}), about 10 s")
    target = cache.root() / "sources" / "debian"
    log = cache.root() / "source.log"
    log.unlink(missing_ok=True)
    with cache.filling(target) as scratch:
        packages = scratch / "packages"
        packages.mkdir()
        for mirror in mirrors:
            try:
                fetch_debian(mirror, packages, log)
                break
            except BuildError as error:
                failure = error
        else:
            raise BuildError(f"{failure}\n{HOW_TO_NAME_ONE}")
        names = sorted(path.name for path in packages.iterdir() if path.is_file())
        unpack_debian(packages, scratch / "micropython", log)
        shutil.rmtree(packages)
        note = {"identity": cache.digest(names), "packages": names}
        (scratch / "identity.json").write_text(json.dumps(note, indent=1))
    return find(None)


def fetch_debian(mirror: Mirror, folder: Path, log: Path) -> None:
    """Download the packages into `folder` with an apt configuration of their own."""
    private = folder.parent / "apt"
    shutil.rmtree(private, ignore_errors=True)
    for name in ("lists/partial", "cache/archives/partial"):
        (private / name).mkdir(parents=True)
    key = mirror.signed_by or "/usr/share/keyrings/debian-archive-keyring.gpg"
    options = f"[signed-by={key}] " if Path(key).exists() else ""
    lines = [f"{kind} {options}{mirror.uri} {RELEASE} main\n" for kind in ("deb", "deb-src")]
    (private / "sources.list").write_text("".join(lines))
    settings = {
        "Dir::Etc::sourcelist": private / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": private / "lists",
        "Dir::Cache": private / "cache",
        "Dir::Cache::pkgcache": "pkgcache.bin",  # containers switch these two off
        "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "--quiet"]
    for key, value in settings.items():
        apt += ["-o", f"{key}={value}"]
    remedy = f"Is the mirror reachable, and does it carry {RELEASE} with sources?"
    run([*apt, "update", "--error-on=any"], log=log, doing="reading the mirror", remedy=remedy)
    doing = "downloading MicroPython's source"
    for command in (
        [*apt, "source", "--download-only", *SOURCE_PACKAGES],
        [*apt, "download", *BINARY_PACKAGES],
    ):
        run(command, cwd=folder, log=log, doing=doing, remedy=remedy)
    shutil.rmtree(private)


def unpack_debian(packages: Path, folder: Path, log: Path) -> None:
    """Assemble the source tree out of Debian's packages."""

    def only(pattern: str) -> Path:
        found = list(packages.glob(pattern))
        if len(found) != 1:
            raise BuildError(f"{len(found)} files are named {pattern} among Debian's packages")
        return found[0]

    def untar(archive: Path, into: Path) -> None:
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        run(
            ["tar", "--strip-components=1", "-xf", archive, "-C", into],
            log=log,
            doing=f"unpacking {archive.name}",
        )

    untar(only("micropython_*.orig.tar.*"), folder)
    untar(only("mbedtls_*.orig.tar.*"), folder / "lib" / "mbedtls")
    for package, name in BINARY_PACKAGES.items():
        into = packages / package
        run(["dpkg-deb", "-x", only(f"{package}_*.deb"), into], log=log, doing="unpacking")
        shutil.rmtree(folder / "lib" / name, ignore_errors=True)
        (into / "usr" / "src" / name).rename(folder / "lib" / name)
    # The library itself is not packaged; the build only asks for this file.
    library = folder / "lib" / "micropython-lib"
    library.mkdir(exist_ok=True)
    (library / "README.md").touch()
    check(folder)


# -- git -----------------------------------------------------------------------------------------


def from_git() -> Source:
    """Clone MicroPython and the submodules that are needed."""
    say("image", f"cloning MicroPython {TAG}, about 60 s")
    target = cache.root() / "sources" / "git"
    log = cache.root() / "source.log"
    log.unlink(missing_ok=True)
    with cache.filling(target) as scratch:
        folder = scratch / "micropython"
        settings = {"log": log, "doing": "cloning MicroPython", "remedy": HOW_TO_NAME_ONE}
        run(["git", "clone", "--depth", "1", "--branch", TAG, REPOSITORY, folder], **settings)
        update = ["git", "-C", folder, "submodule", "update", "--init", "--depth", "1"]
        run([*update, *SUBMODULES], **settings)
        check(folder)
        note = {"identity": f"git {TAG}", "repository": REPOSITORY}
        (scratch / "identity.json").write_text(json.dumps(note, indent=1))
    return find(None)
