"""Certificates: what they say is what was measured, and nobody can change it unseen."""

import hashlib
import json
import random
import re
import sqlite3
from html import unescape

import numpy as np
import pytest
import roll_data
from click.testing import CliRunner

from gauge import config, record
from porogauge import certificate, grades, lab, rolls
from porogauge.book import Book
from porogauge.certificate import page
from porogauge.cli import cli
from porogauge.output import visible
from porogauge.recipe import dumps, standard_recipe
from porogauge.store import Store

TOLD = {"who": "shift 2", "why": "order 8"}
LAB = {
    "mean_pore_um": (0.32, 0.02),
    "max_pore_um": (4, 0.2),
    "air_resistance_s_per_100cc": (200, 5),
    "heat_resistance_c": (250, 5),
    "heat_shrinkage_percent": (0.4, 0.05),
}


def film(seq):
    """A film with noise, a bump beyond a limit, and a piece without film."""
    noise = random.Random(seq)
    t, p = 25 + noise.gauss(0, 0.2), 50 + noise.gauss(0, 0.5)
    if 1500 <= seq < 1540:
        t += 6
    if 2000 <= seq < 2060:
        return {
            "state": record.STATE_OFF_SHEET,
            "state_reason": record.REASON_NO_FILM,
            "valid": 0,
            "reason": record.REASON_NO_FILM,
            "flags": record.FLAG_NO_FILM,
        }
    return {
        "thickness_8nm": int(t * 8000),
        "porosity_ppm": int(p * 1e4),
        "solid_8nm": int(t * (1 - p / 100) * 8000),
        "permittivity_e4": int(19_300 + noise.gauss(0, 50)),
        "flags": record.FLAG_THICKNESS_HI if t > 27.5 else 0,
        "a_sum": noise.getrandbits(22),
        "rh_ppm": 450_000,
    }


@pytest.fixture(scope="module")
def rolled(tmp_path_factory):
    """A roll over two boots with a gap, a splice, laboratory results; database and book."""
    folder = tmp_path_factory.mktemp("roll")
    book = Book(folder / "book")
    with Store(folder / "roll.db") as store:
        words = roll_data.documents(store)
        roll_data.fill(store, count=3000, change=film, words=words)
        store.gap(roll_data.DEVICE, 1, 3000, 3020, "ring overrun")
        roll_data.fill(store, first=3021, count=400, change=film, words=words)
        roll_data.fill(store, boot=2, count=600, change=film, words=words)
        rolls.start(store, book, "A-17", roll_data.DEVICE, 1, 100, grade="through-pore", **TOLD)
        rolls.splice(store, book, "A-17", 1, 900, **TOLD)
        rolls.end(store, book, "A-17", 2, 499, **TOLD)
        for name, (value, u) in LAB.items():
            lab.add(store, book, "A-17", name, value, u=u, method="m", **TOLD)
        lab.add(store, book, "A-17", "thickness_um", 25.1, u=0.2, at_m=3, **TOLD)
        wrong = lab.add(store, book, "A-17", "basis_weight_g_m2", 99, **TOLD)
        lab.withdraw(store, book, "A-17", wrong.number, **TOLD)
    with Store(folder / "roll.db", read_only=True) as store:
        certificate.write(store, rolls.find(store, "A-17"), folder / "A-17", who="QA")
    return folder


@pytest.fixture
def copy(rolled, tmp_path):
    """A copy of the database that may be changed."""
    path = tmp_path / "copy.db"
    path.write_bytes((rolled / "roll.db").read_bytes())
    return path


def data(folder):
    return certificate.read((folder / "A-17.html").read_bytes())


def check(folder, database, suffix=".html", content=None):
    content = (folder / f"A-17{suffix}").read_bytes() if content is None else content
    with Store(database, read_only=True) as store:
        return certificate.verify(content, store)


def change(database, sql, *values):
    db = sqlite3.connect(database)
    assert db.execute(sql, values).rowcount
    db.commit()
    db.close()


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


# ---------------------------------------------------------------- what it says


@pytest.mark.parametrize("suffix", [".html", ".pdf"])
def test_it_holds(rolled, suffix):
    assert check(rolled, rolled / "roll.db", suffix) == []


def test_page_and_paper_have_the_same_data(rolled):
    assert certificate.read((rolled / "A-17.pdf").read_bytes()) == data(rolled)


def test_statistics_are_those_of_the_command(rolled):
    result = run("stats", rolled / "roll.db", "--roll", "A-17", "--json")
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(reports) == 2
    for ours, theirs in zip(data(rolled)["statistics"], reports, strict=True):
        for name in ours.keys() - {"charts"}:
            assert ours[name] == theirs[name], name
        for name, chart in ours["charts"].items():
            theirs_chart = theirs["charts"][name]
            assert chart["reason"] == theirs_chart["reason"]
            for key in chart.keys() - {"signals"}:
                assert chart[key] == theirs_chart[key]
            for rule, found in chart["signals"].items():
                assert found["count"] == theirs_chart["signals"][rule]["count"]


def test_the_verdict_is_that_of_the_command(rolled):
    result = run("roll", "verdict", "A-17", "--db", rolled / "roll.db", "--json")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    claims = {found["property"]: found for found in told if found["event"] == "claim"}
    found = data(rolled)
    assert found["outcome"] == next(t["outcome"] for t in told if t["event"] == "verdict")
    for claim in found["claims"]:
        its = claims.pop(claim["property"])
        assert (claim["outcome"], claim["sentence"]) == (its["outcome"], its["sentence"])
        assert (claim["value"], claim["u95"]) == (its["value"], its["u"] and 2 * its["u"])
    assert not claims


@pytest.mark.parametrize("grade", grades.GRADES)
@pytest.mark.parametrize("known", ["nothing", "near", "inside", "outside"])
def test_every_claim_of_every_grade_has_its_line(tmp_path, grade, known):
    """Not measured, or too near to its limit for its uncertainty: cannot be decided."""
    claims = grades.GRADES[grade].claims
    book = Book(tmp_path / "book")
    with Store(tmp_path / "roll.db") as store:
        words = roll_data.documents(store)
        words_u = ("u_thickness_8nm", "u_porosity_ppm", "u_permittivity_e4")
        inline = words_u if known == "near" else ()
        off = {"nothing": {"valid": 0}}.get(known, {})
        change = {name: 300_000 for name in inline} | off
        roll_data.fill(store, count=300, change=lambda seq: change, words=words)
        rolls.start(store, book, "A-17", roll_data.DEVICE, 1, 0, grade=grade, **TOLD)
        rolls.end(store, book, "A-17", 1, 299, **TOLD)
        for claim in claims:
            if claim.property in LAB and known != "nothing":
                limit = claim.high if claim.high is not None else claim.low
                sign = 1 if claim.high is not None else -1
                factor = {"near": 1, "inside": 1 - 0.2 * sign, "outside": 1 + 0.2 * sign}[known]
                lab.add(
                    store, book, "A-17", claim.property, limit * factor, u=limit * 0.02, **TOLD
                )
        content = {"issued": certificate.issued("QA")}
        content |= certificate.certify(store, rolls.find(store, "A-17"))[0]
    assert [c["property"] for c in content["claims"]] == [c.property for c in claims]
    shown = page.render(content)
    rows = [re.findall(r"<bdi>(.*?)</bdi>", row) for row in re.findall(r"<tr>.*?</tr>", shown)]
    lines = {row[0]: row for row in rows if len(row) == 6}
    for claim, its in zip(claims, content["claims"], strict=True):
        line = [unescape(cell) for cell in lines[grades.PROPERTIES[claim.property].text]]
        assert line[1] == claim.text and line[5] == visible(its["sentence"])
        expected = {"nothing": "undecided", "near": "undecided", "inside": "pass"}.get(known)
        if known == "outside":
            expected = "fail" if claim.property in LAB else "pass"
        if claim.property == "porosity_percent" and grades.GRADES[grade].laboratory:
            expected = "undecided"  # nobody told the laboratory's value
        assert its["outcome"] == expected, its
        words = {"undecided": "cannot be decided"}.get(expected, expected)
        assert line[4] == words
        if known == "nothing":
            assert line[2] == "not measured" and its["value"] is None


def test_what_is_not_there_is_told_with_its_cause(rolled):
    found = data(rolled)["completeness"]
    assert found["gaps"] == [[1, 3000, 3020, "ring overrun"]]
    assert found["due"] - found["stored"] == 21 and not found["missing"]
    assert "ring overrun" in (rolled / "A-17.html").read_text(encoding="utf-8")


def test_flags_by_metre(rolled):
    flags = {found["flag"]: found for found in data(rolled)["flags"]}
    assert flags.keys() == {"thickness_hi", "no_film"}
    ((low, high, count),) = flags["no_film"]["stretches"]
    assert count == 60 and low == pytest.approx((2000 - 100) * 0.005)
    assert high - low == pytest.approx(59 * 0.005)


def test_the_hash_by_other_means(rolled):
    """As CERTIFICATE.md tells to compute it."""
    db = sqlite3.connect(rolled / "roll.db")
    names = ["boot"] + [row[1] for row in db.execute("PRAGMA table_info(records)")][2:]
    rows = db.execute(
        f"SELECT {', '.join(names)} FROM records WHERE boot=1 AND seq>=100 OR boot=2 AND seq<=499"
        " ORDER BY boot, seq"
    )
    digest = hashlib.sha256()
    while block := rows.fetchmany(8192):
        digest.update(np.array(block, dtype="<i4").T.tobytes())
    db.close()
    assert data(rolled)["records"]["sha256"] == digest.hexdigest()


def test_a_page_that_needs_nothing_and_runs_nothing(rolled):
    text = (rolled / "A-17.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|javascript:|https?://|<link|<iframe|<img|\son\w+=|url\(", text)
    assert "default-src 'none'" in text


# ---------------------------------------------------------------- whether it holds


@pytest.mark.parametrize("seed", range(12))
def test_any_word_that_changed_is_named(rolled, copy, seed):
    rng = random.Random(seed)
    names = [name for name in record.FIELD_NAMES if name != "seq"]
    name, boot = rng.choice(names), rng.choice((1, 1, 2))
    seq = rng.randrange(100, 3000) if boot == 1 else rng.randrange(500)
    step = rng.choice((1, -1, 2, 77, 123_456))
    change(copy, f"UPDATE records SET {name}={name}+? WHERE boot=? AND seq=?", step, boot, seq)
    with Store(copy, read_only=True) as store:
        value = next(store.columns((name,), roll_data.DEVICE, boot, seq, seq))[0]
    told = f"boot {boot}, window {seq}: {name} is {value}, {value - step} in the certificate"
    assert f"records: {told}" in check(rolled, copy)
    assert f"records: {told}" in check(rolled, copy, ".pdf")


def test_several_words_that_changed(rolled, copy):
    for seq, name in ((200, "a_sum"), (201, "b_sum"), (2500, "t_us")):
        change(copy, f"UPDATE records SET {name}={name}+1 WHERE boot=1 AND seq=?", seq)
    change(copy, "UPDATE records SET cap_code=cap_code+seq WHERE boot=1 AND seq IN (300, 301)")
    found = "\n".join(check(rolled, copy))
    assert "window 200: a_sum" in found and "window 201: b_sum" in found
    assert "window 2500: t_us" in found and "several values of cap_code differ" in found


def test_changes_that_keep_the_sums(rolled, copy):
    for seq, step in ((300, 1), (301, -2), (302, 1)):
        change(copy, "UPDATE records SET cap_code=cap_code+? WHERE boot=1 AND seq=?", step, seq)
    assert any("several values were changed" in text for text in check(rolled, copy))


def test_windows_that_went_or_came(rolled, copy):
    change(copy, "DELETE FROM records WHERE boot=1 AND seq BETWEEN 500 AND 502")
    change(copy, "UPDATE records SET seq=3005 WHERE boot=1 AND seq=700")
    found = check(rolled, copy)
    assert "records: boot 1, windows 500 to 502 is not in the database any more" in found
    assert "records: boot 1, window 700 is not in the database any more" in found
    assert any("boot 1, window 3005 was not there" in text for text in found)


@pytest.mark.parametrize(
    "sql, told",
    [
        ("UPDATE lab SET value=0.33 WHERE id=1", "laboratory[1].value: 0.32"),
        ("UPDATE lab SET u=0.03 WHERE id=1", "laboratory[1].u: 0.02"),
        ("UPDATE lab SET method='x' WHERE id=2", "laboratory[2].method"),
        ("UPDATE lab SET withdraws=NULL WHERE withdraws IS NOT NULL", "withdraws"),
        ("DELETE FROM lab WHERE id=3", "laboratory: 8 in the certificate, 7"),
        ("UPDATE roll_events SET seq=seq+1 WHERE kind='splice'", "roll.events[2].seq: 900"),
        ("UPDATE roll_events SET who='me' WHERE kind='end'", "roll.events[3].who"),
        ("UPDATE rolls SET grade='base'", 'roll.grade: "through-pore"'),
        ("UPDATE rolls SET started=started+1", "roll.started"),
        ("UPDATE gaps SET cause='nothing'", 'completeness.gaps[1][4]: "ring overrun"'),
        ("DELETE FROM gaps", "completeness.gaps: 1 in the certificate, 0"),
        ("UPDATE boots SET firmware='9' WHERE boot=1", 'instrument.firmware.1: "1.0"'),
        (
            "UPDATE recipes SET toml=replace(toml, 'thickness_hihi_um = 30', "
            "'thickness_hihi_um = 31')",
            'recipe.fields.limits.thickness_hihi_um: "30"',
        ),
        ("UPDATE recipes SET toml=toml || '# note'", "recipe.sha256"),
        (
            "UPDATE calibrations SET toml=replace(toml, 'gap_um = 500', 'gap_um = 501')",
            'calibration.fields.capacitance.gap_um: "500"',
        ),
    ],
)
def test_anything_else_that_changed_is_named(rolled, copy, sql, told):
    change(copy, sql)
    found = check(rolled, copy)
    assert any(told in text for text in found), found


def test_a_configuration_that_changed(rolled, copy):
    with Store(copy, read_only=True) as store:
        words = config.unpack(store.configurations(roll_data.DEVICE, 1)[0]["blob"])
    words[config.GAP_8NM] += 8
    change(copy, "UPDATE configurations SET blob=? WHERE boot=1", bytes(config.pack(words)))
    assert any("configurations[1].words.gap_8nm: 4000000" in t for t in check(rolled, copy))
    change(copy, "UPDATE configurations SET blob=x'00' WHERE boot=1")
    assert any("cannot be computed again" in text for text in check(rolled, copy))


@pytest.mark.parametrize("suffix", [".html", ".pdf"])
def test_any_byte_of_the_file(rolled, suffix):
    """A byte that changed is found, wherever it is; nothing but our errors comes of it."""
    content = (rolled / f"A-17{suffix}").read_bytes()
    rng = random.Random(3)
    for _ in range(10):
        damaged = bytearray(content)
        place = rng.randrange(len(content))
        damaged[place] ^= rng.choice((1, 2, 32))
        try:
            found = check(rolled, rolled / "roll.db", content=bytes(damaged))
        except certificate.CertificateError:
            continue
        assert found, place


def test_edits_of_the_page(rolled):
    text = (rolled / "A-17.html").read_text(encoding="utf-8")
    for old, new, told in (
        ("<strong>pass</strong>", "<strong>fail</strong>", None),
        (">25.1 ± 0.4 um<", ">25.2 ± 0.4 um<", "line"),
        ("</body>", "<p>approved</p></body>", None),
        ("</html>\n", "</html>\n<!-- -->", "added"),
        ("&quot;" if "&quot;" in text else '"form":1', '"form":2', None),
    ):
        if old not in text:
            continue
        edited = text.replace(old, new)
        try:
            found = check(rolled, rolled / "roll.db", content=edited.encode())
        except certificate.CertificateError:
            continue
        assert found
        assert told is None or told in found[0]


def test_a_page_made_of_changed_data(rolled):
    """Who makes a whole new page of changed numbers is told which ones."""
    changed = data(rolled)
    changed["claims"][0]["outcome"] = "fail"
    changed["laboratory"][0]["value"] = 0.5
    found = check(rolled, rolled / "roll.db", content=page.render(changed).encode())
    assert any("claims[1].outcome" in text for text in found)
    assert any("laboratory[1].value: 0.5" in text for text in found)
    changed = data(rolled)
    changed["issued"]["approved"] = "yes"
    assert check(rolled, rolled / "roll.db", content=page.render(changed).encode())
    changed = data(rolled)
    changed["issued"]["time"] = "soon"
    assert check(rolled, rolled / "roll.db", content=page.render(changed).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"%PDF-1.3",
        b"\xff\xfe",
        b"<html></html>",
        b'<pre id="porogauge-data">[]</pre>',
        b'<pre id="porogauge-data">{"form":1}</pre>',
        b'<pre id="porogauge-data">{"form":1,"roll":{"name":7}}</pre>',
        b'<pre id="porogauge-data">' + b"[" * 100_000 + b"</pre>",
        b"%PDF-1.3 /Type /EmbeddedFile\nstream\nnothing",
    ],
)
def test_what_is_no_certificate(rolled, content):
    with pytest.raises(certificate.CertificateError):
        check(rolled, rolled / "roll.db", content=content)


# ---------------------------------------------------------------- forged texts


NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></td></table><h1>pass</h1>",
    "&lt;b&gt; &amp; &#60;",
    "\u202egnitseretni\u202c \u2066x\u2069",
    "null\x00 bell\x07 escape\x1b[31m line\nfeed\r",
    "שלום עולם",
    "مرحبا",
    "漢字 😀",
    "a" * 5000,
    "-->]]><![CDATA[<svg/onload=alert(1)>",
    "{nb} %PDF \\) endstream",
]


@pytest.mark.parametrize("text", NASTY)
def test_names_and_notes_stay_texts(tmp_path, text):
    book = Book(tmp_path / "book")
    with Store(tmp_path / "roll.db") as store:
        words = roll_data.documents(store)
        roll_data.fill(store, count=400, words=words)
        store.gap(roll_data.DEVICE, 1, 400, 410, text)
        roll_data.fill(store, first=411, count=100, words=words)
        rolls.start(store, book, "A-17", roll_data.DEVICE, 1, 0, grade="base", **TOLD)
        rolls.end(store, book, "A-17", 1, 510, **TOLD)
        lab.add(store, book, "A-17", "mean_pore_um", 0.3, u=0.01, **TOLD)
        recipe = standard_recipe()
        recipe["recipe"]["name"] = "x"
        toml = dumps("recipe", standard_recipe(), False)
        store.change("UPDATE recipes SET name=?, toml=?", (text, toml))
        store.change("UPDATE lab SET method=?, why=?, who=?", (text, text, text))
        store.change("UPDATE roll_events SET who=?, why=?", (text, text))
        store.change("UPDATE devices SET board=?", (text,))
        store.change("UPDATE boots SET firmware=?", (text,))
        store.change("UPDATE rolls SET name=?", (text,))
        content, files = certificate.write(
            store, rolls.find(store, text), tmp_path / "forged", who="QA"
        )
        html = files[0].read_text(encoding="utf-8")
        for path in files:
            assert certificate.read(path.read_bytes()) == content
            assert certificate.verify(path.read_bytes(), store) == []
    tags = set(re.findall(r"<([a-z]\w*)", html))
    assert tags <= set(
        "html head meta title style colgroup col body h1 h2 p bdi strong table thead tbody tr th"
        " td figure figcaption svg polyline polygon rect text details summary pre".split()
    )
    assert not re.search(r"<[^>]*\son\w+\s*=", html)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", html)
    assert html.count("<h1>") == 1 and html.count("</pre>") == 1


# ---------------------------------------------------------------- the command


def test_the_command(rolled, tmp_path):
    place = ("--db", rolled / "roll.db", "--book", rolled / "book")
    made = run("certificate", "A-17", "--to", tmp_path / "x.pdf", *place, "--json")
    (line,) = map(json.loads, made.stdout.splitlines())
    assert made.exit_code == 0 and line["event"] == "certificate"
    for path in (line["html"], line["pdf"]):
        result = run("certificate", "verify", path, "--book", rolled / "book")
        assert (result.exit_code, "holds" in result.stdout) == (0, True), result.output
    assert run("certificate", "--to", tmp_path / "y", *place, "A-17").exit_code == 0
    wrong = run("certificate", "B-1", *place)
    assert wrong.exit_code == 1 and "A-17" in wrong.stderr
    assert run("certificate").exit_code == 2
    assert run("certificate", "verify", tmp_path / "none.html", *place).exit_code == 1


def test_the_command_names_what_differs(rolled, copy):
    change(copy, "UPDATE records SET thickness_8nm=thickness_8nm+1 WHERE boot=1 AND seq=1234")
    result = run("certificate", "verify", rolled / "A-17.html", "--db", copy)
    assert result.exit_code == 1
    assert "boot 1, window 1234: thickness_8nm is" in result.stdout
    result = run("certificate", "verify", rolled / "A-17.html", "--db", copy, "--json")
    (line, error) = map(json.loads, result.stdout.splitlines())
    assert not line["holds"] and error["event"] == "error"


def test_a_roll_that_runs_and_one_without_windows(tmp_path):
    book = Book(tmp_path / "book")
    with Store(tmp_path / "roll.db") as store:
        words = roll_data.documents(store)
        roll_data.fill(store, count=30, words=words)
        rolls.start(store, book, "A-17", roll_data.DEVICE, 1, 0, grade="base", **TOLD)
        roll = rolls.find(store, "A-17")
        content, files = certificate.write(store, roll, tmp_path / "A-17", who="QA")
        assert content["roll"]["ended"] is None and content["outcome"] == "undecided"
        assert certificate.verify(files[0].read_bytes(), store) == []
        rolls.end(store, book, "A-17", 1, 29, **TOLD)
        assert certificate.verify(files[0].read_bytes(), store)
        rolls.start(store, book, "A-18", roll_data.DEVICE, 1, 30, grade="base", **TOLD)
        with pytest.raises(rolls.RollError, match="no windows"):
            certificate.write(store, rolls.find(store, "A-18"), tmp_path / "x", who="QA")
