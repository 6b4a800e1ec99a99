"""`demo` and `bench run` on the 32-bit unix board, from the command line to the files."""

import json
import os
import re
import subprocess
import sys

import pytest

from porogauge.store import Store

pytest.importorskip("porogauge_bench", reason="the bench is part of a checkout")

SCENARIO = """
[run]
name = "short"
duration_s = 5
seed = 3

[film]
start_s = 2.5
thickness_um = 25
porosity_percent = 50

[[defect]]
kind = "thick_spot"
at_m = 0.4
length_mm = 200
thickness_um = 8
"""
# what every reader of records.jsonl may count on
RECORD = {
    *("boot", "seq", "t_us", "position_mm", "state", "flags", "valid", "reason"),
    *("thickness_nm", "permittivity_e4", "porosity_ppm", "solid_nm"),
    *("u_thickness_nm", "u_porosity_ppm"),
}


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    path = tmp_path / "short.toml"
    path.write_text(SCENARIO)
    return path


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "porogauge", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_demo_leaves_what_it_says(scenario, tmp_path):
    out = tmp_path / "out"
    arguments = ("demo", "--scenario", scenario, "--target", "unix32", "--pace", 0, "--out", out)
    code, text, err = run(*arguments)
    assert code == 0, err
    assert "0 lost" in text and "of the truth in every window" in text and "roll.png" in text
    summary = json.loads((out / "summary.json").read_text())
    records, truth = lines(out / "records.jsonl"), lines(out / "truth.jsonl")
    assert summary["windows"] == len(records) == len(truth) > 400
    assert [(r["boot"], r["seq"]) for r in records] == [(t["boot"], t["seq"]) for t in truth]
    assert summary["truth"]["compared"] > 100
    assert summary["truth"]["thickness_nm"]["worst"] < 500
    assert summary["flags"]["thickness_hi"] > 0
    assert (out / "roll.png").read_bytes()[:4] == b"\x89PNG"
    # Both addresses are told; without a terminal it ends by itself.
    assert f"certificate: {out / 'certificate.html'}" in text
    assert re.search(r"page: +http://127\.0\.0\.1:\d+/#token=\S+", text)
    assert (out / "certificate.pdf").read_bytes()[:4] == b"%PDF"
    place = ("--db", out / "roll.db", "--book", out / "book")
    code, told, err = run("certificate", "verify", out / "certificate.html", *place)
    assert code == 0, told + err
    with Store(out / "roll.db", read_only=True) as store:
        (boot,) = store.boots()
        assert store.completeness(boot["device"], boot["boot"]).complete
        (stored,) = store.configurations(boot["device"], boot["boot"])
        assert stored["recipe"] and stored["calibration"]


def test_bench_run_writes_its_files_and_repeats(scenario, tmp_path):
    found = []
    for folder in ("a", "b"):
        out = tmp_path / folder
        code, text, err = run("bench", "run", scenario, "--target", "unix32", "--out", out)
        assert code == 0, err
        assert "written" in text and "5.0 s of 5 s" in err
        found.append((out / "records.jsonl").read_bytes() + (out / "truth.jsonl").read_bytes())
    assert found[0] == found[1]
    records, truth = lines(out / "records.jsonl"), lines(out / "truth.jsonl")
    assert set(records[0]) >= RECORD
    assert set(truth[-1]) >= {"boot", "seq", "thickness_nm", "permittivity", "porosity_ppm"}
    summary = json.loads((out / "summary.json").read_text())
    assert {"windows", "lost", "duplicated", "wall_s", "virtual_s", "busy_share"} <= set(summary)
    code, text, _ = run(
        *("bench", "run", scenario, "--target", "unix32", "--out", tmp_path / "c"),
        *("--seed", 4, "--json"),
    )
    assert code == 0 and json.loads(text)["seed"] == 4
    assert (tmp_path / "c" / "records.jsonl").read_bytes() != (out / "records.jsonl").read_bytes()
