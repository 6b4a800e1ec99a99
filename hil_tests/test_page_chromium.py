"""The page in a real Chromium without a window: fed by the bench, and by databases of a day.

Where there is no Chromium (`make setup` installs it where it may) or no npm, these are skipped and
say so. With POROGAUGE_PAGE_WINDOWS=7900000 the long database is one of 24 hours, with
POROGAUGE_PAGE_LIVE_S=3600 the page is watched for an hour (figures are in PAGE.md).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

import pytest

from gauge import record
from porogauge.book import Book
from porogauge.page import Page, libraries
from porogauge.store import Clock, Store
from porogauge.units import decode

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "host" / "tests"))

from page_client import HOSTILE  # noqa: E402
from roll_data import DEVICE, database, documents, fill, row  # noqa: E402

from chromium import Chromium, program  # noqa: E402

pytestmark = [
    pytest.mark.skipif(program() is None, reason="there is no Chromium: 'make setup' as root"),
    pytest.mark.skipif(bool(libraries.missing()), reason=libraries.missing() or "-"),
]
LIVE_S = float(os.environ.get("POROGAUGE_PAGE_LIVE_S", 5))
READY = "document.body?.dataset.ready"
WINDOWS = int(os.environ.get("POROGAUGE_PAGE_WINDOWS", 400_000))
AXE = libraries.folder() / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def browser():
    with Chromium() as browser:
        yield browser


@pytest.fixture
def path(tmp_path):
    """Windows of which the last 300 are flagged, with the flag latched."""
    hihi = record.FLAG_THICKNESS_HIHI

    def change(seq):
        if seq < 2700:
            return {}
        return {"thickness_8nm": 8000 * 31, "flags": hihi, "latched": hihi, "outputs": 0}

    return database(tmp_path / "roll.db", count=3000, change=change)


@pytest.fixture
def page(path):
    with Page(path, listen=0, book=Book()) as page:
        yield page


def opened(browser, address, **size):
    tab = browser.tab(address, **size)
    tab.until(READY, 60)
    return tab


def text_of(tab, selector):
    return tab.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")


def press(tab, selector, label):
    """Press the button with a label, once it is there."""
    tab.until(
        f"(() => {{ const b = [...document.querySelectorAll({json.dumps(selector)})]"
        f".find((b) => b.innerText.startsWith({json.dumps(label)}));"
        " b?.click(); return Boolean(b); })()"
    )


def fill_in(tab, **fields):
    """Fill the form in front of the page in and send it."""
    for name, value in fields.items():
        tab.until(f"document.querySelector('dialog[open] [name={name}]')")
        tab.js(f"document.querySelector('dialog [name={name}]').value = {json.dumps(value)}")
    tab.js("document.querySelector('dialog form').requestSubmit()")


def append(path, first, count, **values):
    with Store(path) as store:
        store.append(DEVICE, 1, [row(seq, **values) for seq in range(first, first + count)])


# ---------------------------------------------------------------- what is seen


def test_values_on_the_page_are_the_stored_ones(browser, page, path):
    tab = opened(browser, page.url)
    append(path, 3000, 1, thickness_8nm=203_456, porosity_ppm=487_654)
    tab.until("document.querySelector('#state').innerText.includes('measuring')")
    tab.until("document.querySelector('[data-value=thickness]').innerText === '25.43'")
    with Store(path, read_only=True) as store:
        stored = decode(list(store.rows(DEVICE, 1))[-1], 1)
    assert text_of(tab, "[data-value=thickness]") == f"{stored['thickness_nm'] / 1000:.2f}"
    assert text_of(tab, "[data-value=porosity]") == f"{stored['porosity_ppm'] / 10_000:.2f}"
    u95 = 2 * stored["u_thickness_nm"] / 1000
    assert text_of(tab, "[data-u95=thickness]") == f"± {u95:.2f} µm (U95)"
    assert tab.errors == []


def test_old_numbers_are_not_shown_as_current(browser, page):
    tab = opened(browser, page.url)
    tab.until("document.querySelector('#state').innerText.includes('no new windows')")
    assert "last value, not current" in text_of(tab, ".thickness")
    tab.key("o", "o")
    tab.until("document.querySelector('#large').innerText.includes('no new windows')")
    assert "25.0" not in text_of(tab, "#large") and "31.0" not in text_of(tab, "#large")


def test_flags_explain_themselves(browser, page):
    tab = opened(browser, page.url)
    tab.until("document.querySelector('[data-flag=thickness_hihi]')")
    text = text_of(tab, "[data-flag=thickness_hihi]")
    assert "limit HIHI" in text and "guard band" in text and "beyond" in text


def test_no_request_goes_to_another_host(browser, page):
    tab = opened(browser, page.address)
    for key in "123456":
        tab.key(key, key)
        time.sleep(0.4)
    tab.js("1")
    own = (page.url, page.url.replace("http", "ws"), "data:", "about:")
    assert tab.requests and [url for url in tab.requests if not url.startswith(own)] == []
    assert page.token not in " ".join(tab.requests)
    assert page.token not in tab.js("location.href")
    assert tab.errors == []


def test_the_map_shows_what_is_stored_and_zooms(browser, page):
    tab = opened(browser, page.url)
    tab.key("2", "2")
    tab.until("document.querySelector('[data-steps]')")
    canvas = "document.querySelector('.map canvas')"
    tab.js(f"{canvas}.focus()")
    before = float(tab.js("document.querySelector('[aria-label=\"Length of a row\"]').value"))
    tab.key("+", "+")
    tab.until(
        f"Number(document.querySelector('[aria-label=\"Length of a row\"]').value) < {before}"
    )
    tab.key("ArrowRight")
    tab.until("document.querySelector('.readout').innerText.includes('Thickness 25.00')")
    tab.key("Enter")
    # The curve of the whole roll may be there before; the one of the row is of single windows.
    curve = "JSON.parse(document.querySelector('[data-curve]')?.dataset.curve ?? '{}')"
    tab.until(f"{curve}.single && {curve}.windows > 0")


def test_a_preview_and_a_missing_library_are_said(browser, page, monkeypatch, tmp_path):
    monkeypatch.setenv("POROGAUGE_PAGE_LIBRARIES", str(tmp_path))
    tab = opened(browser, page.url)
    tab.until("!document.querySelector('#banner').hidden")
    assert "make setup" in text_of(tab, "#banner")
    assert text_of(tab, "[data-value=thickness]") == "31.00"
    assert "chart library is missing" in text_of(tab, ".no-chart")


# ---------------------------------------------------------------- changing


def test_without_the_token_nothing_can_be_pressed(browser, page):
    tab = opened(browser, page.url)
    tab.until("document.querySelector('[data-flag=thickness_hihi]')")
    assert text_of(tab, "#access") == "look only"
    assert "Shelve" not in text_of(tab, "main") and "Acknowledge" not in text_of(tab, "main")
    status = tab.js(
        "fetch('api/shelve', {method: 'POST', headers: {'Content-Type': 'application/json'},"
        " body: JSON.stringify({flag: 'no_film', minutes: 5, by: 'x'})}).then((a) => a.status)"
    )
    assert status == 401


def test_shelving_with_the_token(browser, page):
    tab = opened(browser, page.address)
    press(tab, "[data-flag=thickness_hihi] button", "Shelve")
    fill_in(tab, minutes="30", why="cut out", by="shift 2")
    tab.until("document.querySelector('[data-flag=thickness_hihi].shelved')")
    assert "shift 2" in text_of(tab, "[data-flag=thickness_hihi]")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_and_notes_are_text(browser, page, path, hostile):
    """Whatever stands in a name, nothing runs, nothing is asked for, and it is seen as it is."""
    tab = opened(browser, page.address)
    with Store(path) as store:
        store.event("console", {"line": hostile}, DEVICE, 1)
        store.document("recipe", 0x13C00C34, hostile, None)
    tab.key("4", "4")
    press(tab, "#view-rolls button", "Start a roll")
    fill_in(tab, name=hostile[:80], why=hostile, by=hostile[:80])
    tab.until("document.querySelector('#view-rolls td button')")
    press(tab, "#view-rolls td button", "Open")
    tab.until("document.querySelectorAll('#view-rolls table').length > 1")
    tab.key("6", "6")
    tab.until("document.querySelector('#view-history td')")
    assert hostile.split()[0] in text_of(tab, "#view-history")
    assert tab.js("document.title") == "porogauge"
    assert tab.js("document.querySelectorAll('main script, main img, main iframe').length") == 0
    # A roll without windows has no verdict, and says so.
    assert [error for error in tab.errors if "api/verdict" not in error] == []


# ---------------------------------------------------------------- live, from the bench


SCENARIO = """
[run]
duration_s = 60
[film]
start_s = 2.0
length_m = 20.0
[line]
speed_m_s = [[0, 0.3]]
[[defect]]
kind = "thick_spot"
at_m = 0.6
length_mm = 200
thickness_um = 8
"""


def test_the_bench_on_the_page_from_film_to_acknowledgement(browser, tmp_path):
    """The logger beside the page, a defect, its flag acknowledged, and the logger's restart."""
    from porogauge.commands.log import send_files
    from porogauge.demo import emulated_board, write_files

    scenario = tmp_path / "scenario.toml"
    scenario.write_text(SCENARIO)
    book, path = Book(), tmp_path / "roll.db"
    files = write_files(tmp_path, scenario)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("latch = []", 'latch = ["thickness_hihi"]'))
    with emulated_board(scenario, "unix32", pace=1.0) as board:
        send_files(board.url, 921_600, 60.0, files, book, "tests", "tests")
        with Page(path, board.url, listen=0, book=book) as page:
            listen = page._socket.getsockname()[1]
            tab = opened(browser, page.address)
            tab.until("document.querySelector('#state').innerText.includes('measuring')", 60)
            tab.until("document.querySelector('[data-flag=thickness_hihi]')", 60)
            press(tab, "[data-flag=thickness_hihi] button", "Acknowledge")
            fill_in(tab, why="cut out", by="shift 2")
            tab.until("!document.querySelector('dialog[open]')", 20)
            tab.until("!document.querySelector('[data-flag=thickness_hihi]')", 30)
        tab.until("document.querySelector('#link').innerText.includes('reconnecting')", 20)
        with Page(path, board.url, listen=listen, book=book):
            tab.until("!document.querySelector('#link').innerText.includes('reconnecting')", 30)
            tab.until("document.querySelector('#state').innerText.includes('measuring')", 60)
            seen = int(text_of(tab, ".side dl dd:nth-of-type(3)").split()[0])
            tab.until(
                "parseInt(document.querySelector('.side dl dd:nth-of-type(3)').innerText)"
                f" > {seen + 100}"
            )
    kinds = [entry["kind"] for entry in book.audit.entries()]
    assert "acknowledgement" in kinds
    with Store(path, read_only=True) as store:
        (boot,) = [b["boot"] for b in store.boots()]
        assert store.completeness(board_device(store), boot).missing == ()


def board_device(store):
    return store.boots()[0]["device"]


def test_live_is_smooth_and_its_memory_does_not_grow(browser, page, path):
    """For LIVE_S; growth can be seen once the curves' five and a half minutes are full."""
    tab = opened(browser, page.url)
    tab.js(
        "window.frames_ = []; let last = 0; requestAnimationFrame(function f(t) {"
        " if (last) frames_.push(t - last); last = t; requestAnimationFrame(f); });"
    )
    heap, begun, first = [], time.monotonic(), 3000
    while time.monotonic() - begun < LIVE_S:
        append(path, first, 9)
        first += 9
        time.sleep(max(0.0, begun + (first - 3000) * 0.011 - time.monotonic()))
        if time.monotonic() - begun > 420 + 20 * len(heap):
            heap.append(tab.heap_bytes())
    frames = tab.js("frames_")
    assert len(frames) > 10 * LIVE_S
    assert statistics.median(frames) < 20
    if len(heap) >= 20:
        early, late = (statistics.median(part) for part in (heap[:10], heap[-10:]))
        assert late < 1.1 * early


# ---------------------------------------------------------------- long databases


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Hours of windows; POROGAUGE_PAGE_DATABASE names one that is there already."""
    named = os.environ.get("POROGAUGE_PAGE_DATABASE")
    if named:
        return Path(named)
    path = tmp_path_factory.mktemp("long") / "long.db"
    with Store(path) as store:
        documents(store)
        fill(store, count=1)
        store.clock(DEVICE, 1, Clock(0, time.time() - 12 * 3600))
        store._db.execute("PRAGMA synchronous=OFF")
        for first in range(1, WINDOWS, 20_000):
            last = min(first + 20_000, WINDOWS)
            rows = [row(seq, thickness_8nm=200_000 + seq % 4001) for seq in range(first, last)]
            store.append(DEVICE, 1, rows)
    return path


def test_a_long_roll_paints_and_zooms_fast(browser, long):
    """First paint when the server has only just been started; then step by step."""
    with Page(long, listen=0, book=Book()) as page:
        tab = opened(browser, page.url)
        tab.key("2", "2")
        tab.until("document.querySelector('[data-steps]')", 20)
        first = json.loads(tab.js("document.querySelector('[data-steps]').dataset.steps"))[0]
        deadline = time.monotonic() + 120
        while page.feed.complete < 1 and time.monotonic() < deadline:
            time.sleep(0.2)
        tab.js("document.querySelector('.map canvas').focus()")
        for key in ["0", *"++++++++++--", "PageDown", "PageDown", "PageUp", *"++++--------"]:
            tab.key(key, key if len(key) == 1 else "")
            time.sleep(0.35)
        steps = json.loads(tab.js("document.querySelector('[data-steps]').dataset.steps"))[-20:]
        assert first < 1000
        assert statistics.median(steps) < 200 and sorted(steps)[-3] < 400
        assert tab.errors == []


# ---------------------------------------------------------------- for everybody


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there: 'make setup' with npm")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(browser, page, theme):
    tab = opened(browser, page.address)
    if tab.js("document.documentElement.dataset.theme") != theme:
        tab.key("t", "t")
    tab.js("true")
    tab.call("Page.setBypassCSP", enabled=True)
    source = AXE.read_text(encoding="utf-8")
    tab.call("Runtime.evaluate", expression=source)
    wrong = {}
    for key in "123456o":
        tab.key(key, key)
        time.sleep(1.5 if key in "23" else 0.6)
        found = tab.js(
            "axe.run().then((r) => r.violations.map((v) =>"
            " [v.id, v.impact, v.nodes.map((n) => n.target.join(' ')).slice(0, 4)]))"
        )
        if found:
            wrong[key] = found
    assert wrong == {}


def test_all_of_it_can_be_reached_by_keys(browser, page):
    tab = opened(browser, page.address)
    for number, name in enumerate(("live", "map", "statistics", "rolls", "gauge", "history"), 1):
        tab.key(str(number), str(number))
        assert tab.js(f"!document.getElementById('view-{name}').hidden")
        assert tab.js("document.activeElement.getAttribute('role')") == "tab"
    tab.key("ArrowRight")
    assert tab.js("!document.getElementById('view-live').hidden")
    tab.key("?", "?")
    assert tab.js("document.querySelector('dialog').open")


@pytest.mark.parametrize("key", list("123456"))
def test_a_phone_needs_no_scrolling_sideways(browser, page, key):
    tab = opened(browser, page.address, width=390, height=844, phone=True)
    tab.key(key, key)
    time.sleep(0.5)
    assert tab.js("document.documentElement.scrollWidth") <= 390


def test_the_operator_view_is_read_at_three_metres(browser, page, path):
    """At 3 m digits want 20 minutes of arc, 17 mm; a 22 inch screen has 0.25 mm a pixel."""
    tab = opened(browser, page.url, width=1920, height=1080)
    tab.key("o", "o")
    append(path, 3000, 1)
    tab.until("document.querySelector('#large b').innerText === '25.0'")
    tall = tab.js("parseFloat(getComputedStyle(document.querySelector('#large b')).fontSize)")
    assert tall * 0.7 * 0.25 > 17
    assert tab.js("document.querySelector('#large').scrollWidth") <= 1920
