"""`package.json` (mip) and `manifest.py` (freezing) hold the whole firmware.

python firmware/tests/test_package.py        writes package.json anew
"""

import json
from pathlib import Path
from types import SimpleNamespace

FIRMWARE = Path(__file__).resolve().parents[1]
PACKAGE = FIRMWARE / "package.json"
ONLY_BENCH = {"gauge/hw/unix.py", "gauge/hw/unix_pipe.py"}
OPTIONAL = "usb-device-cdc"  # of micropython-lib, see gauge/hw/second_usb.py


def version() -> str:
    values: dict = {}
    exec((FIRMWARE / "gauge" / "__init__.py").read_text(), values)
    return values["VERSION"]


def content() -> str:
    names = sorted(str(p.relative_to(FIRMWARE)) for p in (FIRMWARE / "gauge").rglob("*.py"))
    urls = [[name, name] for name in [*names, "porogauge_boot.py"] if name not in ONLY_BENCH]
    lines = ",\n".join(f"    {json.dumps(url)}" for url in urls)
    return (
        f'{{\n  "version": "{version()}",\n  "deps": [["{OPTIONAL}", "latest"]],\n'
        f'  "urls": [\n{lines}\n  ]\n}}\n'
    )


def test_package_lists_every_module():
    assert PACKAGE.read_text() == content(), (
        "package.json is out of date: python firmware/tests/test_package.py"
    )


def test_manifest_runs_without_micropython_lib():
    for second_usb in (False, True):
        calls = []

        class Options(SimpleNamespace):
            def defaults(self, **values):
                for name, value in values.items():
                    if not hasattr(self, name):
                        setattr(self, name, value)

        names = {
            "metadata": lambda calls=calls, **values: calls.append(("version", values["version"])),
            "options": Options(second_usb=True) if second_usb else Options(),
            "package": lambda name, calls=calls: calls.append(("package", name)),
            "module": lambda name, calls=calls: calls.append(("module", name)),
            "require": lambda name, calls=calls: calls.append(("require", name)),
        }
        exec((FIRMWARE / "manifest.py").read_text(), names)
        assert ("version", version()) in calls and ("package", "gauge") in calls
        assert ("module", "porogauge_boot.py") in calls
        assert (("require", OPTIONAL) in calls) == second_usb


if __name__ == "__main__":
    PACKAGE.write_text(content())
