"""The page's answers and changes, over the network as a browser asks."""

import json
import sqlite3
import time

import pytest
from page_client import HOSTILE, Client, served
from roll_data import DEVICE, database, row
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from gauge import record
from porogauge import rolls
from porogauge.audit import verify
from porogauge.book import Book
from porogauge.page import Page
from porogauge.page.limits import explain, limits
from porogauge.store import Store
from porogauge.store_file import StoreError
from porogauge.units import decode

CHANGES = {
    "acknowledge": {"flags": ["thickness_hihi"], "by": "tests"},
    "shelve": {"flag": "thickness_hi", "minutes": 5, "by": "tests"},
    "unshelve": {"flag": "thickness_hi", "by": "tests"},
    "note": {"text": "a note", "by": "tests"},
    "roll/start": {"name": "A-17", "by": "tests"},
    "roll/end": {"name": "A-17", "by": "tests"},
}


@pytest.fixture
def path(tmp_path):
    return database(tmp_path / "roll.db", count=500)


@pytest.fixture
def page(path):
    with served(path) as (page, _):
        yield page


@pytest.fixture
def anyone(page):
    return Client(page)


@pytest.fixture
def owner(page):
    return Client(page, page.token)


def content_of(path):
    """All that a database holds, but when it was opened last."""
    with sqlite3.connect(path) as db:
        return [line for line in db.iterdump() if "VALUES('opened'" not in line]


# ---------------------------------------------------------------- reading


def test_the_newest_window_is_the_stored_one(anyone, path):
    found = anyone.get("now")
    with Store(path, read_only=True) as store:
        stored = list(store.rows(DEVICE, 1))[-1]
    assert found["newest"] == decode(stored, 1)
    assert found["device"] == DEVICE and found["roll"] is None and found["complete"] == 1
    assert found["recipe"]["name"] == "film"


def test_live_windows_come_as_they_are_stored(page, path):
    with connect(page.url.replace("http", "ws") + "api/live") as socket:
        socket.ping().wait(5)
        with Store(path) as store:
            store.append(DEVICE, 1, [row(seq) for seq in range(500, 510)])
        told = []
        while len(told) < 10:
            message = json.loads(socket.recv(10))
            assert message["device"] == DEVICE
            told += message["windows"]
    assert told == [decode(row(seq), 1) for seq in range(500, 510)]


def test_every_answer_can_be_had_without_a_token(anyone):
    for what in ("access", "now", "lines", "rolls", "history", "gauge", "trend"):
        assert isinstance(anyone.get(what), dict)
    assert anyone.get("access")["may_change"] is False
    assert anyone.get("statistics", value="thickness")["windows"] == 500


@pytest.mark.parametrize(
    "path_and_reason",
    [
        ("trend?axis=sideways", "axis"),
        ("trend?columns=0.5e9", "columns"),
        ("trend?from=nan", "from"),
        ("trend?roll=none", "no roll none"),
        ("trend?device=0000", "device"),
        ("map?value=colour", "value"),
        ("map?rows=1e6&columns=4000", "rows times columns"),
        ("statistics?value=colour", "value"),
        ("verdict", "roll"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(anyone, path_and_reason):
    path, reason = path_and_reason
    status, _, content = anyone.ask("GET", f"/api/{path}")
    assert status in (400, 422) and reason in json.loads(content)["error"]


def test_a_roll_is_a_piece_of_the_web(page, owner, path):
    with Store(path) as store:
        rolls.start(store, Book(), "A-17", DEVICE, 1, 100, who="tests", why="tests")
        rolls.end(store, Book(), "A-17", DEVICE and 1, 299, who="tests", why="tests")
    [roll] = owner.get("rolls")["rolls"]
    assert roll["name"] == "A-17" and roll["metres"] == pytest.approx(199 * 0.005)
    found = owner.get("trend", roll="A-17", columns=1000)
    assert found["windows"] == 200 and found["x"][0] == 0
    assert owner.get("verdict", roll="A-17")["outcome"] == "undecided"
    assert owner.get("lab", roll="A-17")["results"] == []
    assert [r["name"] for r in owner.get("rolls", search="a-17 FILM")["rolls"]] == ["A-17"]
    assert owner.get("rolls", search="another")["rolls"] == []


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(StoreError, match="no such file"):
        Page(tmp_path / "none.db", listen=0).start()


# ---------------------------------------------------------------- who may do what


@pytest.mark.parametrize("token", [None, "wrong", "", "x" * 4000, "\u00e9"])
def test_nothing_changes_without_the_token(page, path, token, book):
    before = content_of(path)
    client = Client(page, token and token.encode("utf-8").decode("latin-1"))
    for what, body in CHANGES.items():
        status, _, content = client.ask("POST", f"/api/{what}", body)
        assert status == 401 and "token" in json.loads(content)["error"]
        for method in ("PUT", "DELETE", "PATCH"):
            assert client.ask(method, f"/api/{what}", body)[0] == 401
        assert client.ask("GET", f"/api/{what}")[0] in (404, 405)
    assert content_of(path) == before
    assert not Book(book).audit.path.exists()


def test_the_token_is_no_part_of_an_address(page, anyone):
    """In an address it would stand in histories and logs."""
    for where in (f"?token={page.token}", f"?access_token={page.token}"):
        status, _, _ = anyone.ask("POST", f"/api/note{where}", CHANGES["note"])
        assert status == 401
    assert page.address.startswith(page.url + "#")


def test_each_start_has_a_token_of_its_own(path):
    tokens = set()
    for _ in range(3):
        with Page(path, listen=0) as page:
            tokens.add(page.token)
    assert len(tokens) == 3 and min(map(len, tokens)) >= 24


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_other_sites_change_nothing_even_with_the_token(owner, path, headers, status):
    before = content_of(path)
    assert owner.ask("POST", "/api/note", CHANGES["note"], **headers)[0] == status
    assert content_of(path) == before


def test_other_sites_do_not_listen(page):
    address = page.url.replace("http", "ws") + "api/live"
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        with pytest.raises(WebSocketException), connect(address, additional_headers=headers) as s:
            s.recv(5)


def test_other_computers_need_the_token_to_read(path, monkeypatch):
    from porogauge.page import guard

    with served(path, host="0.0.0.0") as (page, client):
        assert client.ask("GET", "/api/now")[0] == 200  # this computer
        monkeypatch.setattr(guard, "_loopback", lambda _: False)
        assert client.ask("GET", "/api/now")[0] == 401
        assert client.ask("GET", "/")[0] == 200  # the page itself tells nothing
        with pytest.raises(WebSocketException):
            connect(page.url.replace("http", "ws") + "api/live")
        assert Client(page, page.token).ask("GET", "/api/now")[0] == 200


def test_the_page_forbids_what_it_does_not_need(anyone):
    for address in ("/", "/static/main.js", "/api/now", "/none"):
        _, headers, _ = anyone.ask("GET", address)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_has_no_script_of_its_own_in_its_text(anyone):
    _, _, content = anyone.ask("GET", "/")
    text = content.decode()
    assert " on" + "click" not in text and "<script>" not in text and "http" not in text


def test_no_file_beside_the_page_is_served(anyone):
    for address in ("/static/../app.py", "/static/%2e%2e/app.py", "/library/../../package.json"):
        assert anyone.ask("GET", address)[0] == 404


# ---------------------------------------------------------------- changes


def test_shelving_has_an_end_and_is_in_the_log(owner, path, book):
    status, told = owner.post("shelve", flag="thickness_hi", minutes=30, by="tests", why="known")
    assert status == 200 and told["until"] > time.time() + 1700
    assert owner.get("now")["shelved"]["thickness_hi"]["why"] == "known"
    assert owner.post("unshelve", flag="thickness_hi", by="tests")[0] == 200
    assert owner.get("now")["shelved"] == {}
    kinds = [entry["kind"] for entry in Book(book).audit.entries()]
    assert kinds == ["shelved", "unshelved"] and verify(book).ok


def test_a_shelf_ends_by_itself(owner, monkeypatch):
    assert owner.post("shelve", flag="no_film", minutes=1, by="tests")[0] == 200
    later = time.time() + 61
    monkeypatch.setattr("porogauge.page.answers.time.time", lambda: later)
    assert owner.get("now")["shelved"] == {}


@pytest.mark.parametrize(
    "what, body, reason",
    [
        ("shelve", {"flag": "none", "minutes": 5}, "flag"),
        ("shelve", {"flag": "no_film", "minutes": 0}, "minutes"),
        ("shelve", {"flag": "no_film", "minutes": 1e9}, "minutes"),
        ("shelve", {"flag": "no_film", "minutes": True}, "minutes"),
        ("shelve", {"flag": ["no_film"], "minutes": 5}, "flag"),
        ("note", {"text": ""}, "text"),
        ("note", {"text": "x" * 501}, "text"),
        ("note", {"text": "a\u0000b"}, "text"),
        ("note", {"text": "a\u202eb"}, "text"),
        ("note", {"text": "a", "roll": "none"}, "no roll"),
        ("roll/start", {"name": "a\nb"}, "name"),
        ("roll/end", {"name": "none"}, "no roll"),
        ("acknowledge", {"flags": []}, "flags"),
        ("acknowledge", {"flags": ["none"]}, "flag"),
        ("acknowledge", {"flags": ["no_film"]}, "--port"),
        ("everything", {}, "legal"),
    ],
)
def test_a_change_that_cannot_be_says_why_and_changes_nothing(owner, path, what, body, reason):
    before = content_of(path)
    status, told = owner.post(what, **{"by": "tests"} | body)
    assert 400 <= status < 500 and reason in told["error"]
    assert content_of(path) == before


def test_who_does_it_has_to_be_named(owner):
    status, told = owner.post("note", text="a note")
    assert status == 400 and "by" in told["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"[" * 16_000, b"x" * 20_000])
def test_a_body_that_is_no_object_is_refused(owner, body):
    assert owner.ask("POST", "/api/note", body, Content_Type="application/json")[0] in (400, 413)


def test_a_roll_begins_and_ends_on_the_page(owner):
    assert owner.post("roll/start", name="B-1", by="tests", why="order 8")[0] == 200
    assert owner.get("now")["roll"] == "B-1"
    status, told = owner.post("roll/start", name="B-2", by="tests")
    assert status == 422 and "B-1 runs" in told["error"]
    assert owner.post("roll/end", name="B-1", by="tests")[0] == 200
    assert owner.get("now")["roll"] is None


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_come_back_as_they_were_and_as_json(owner, text):
    name = text[:80]
    assert owner.post("roll/start", name=name, by="tests", why=text)[0] == 200
    assert owner.post("note", roll=name, text=text, by=text[:80])[0] == 200
    [roll] = owner.get("rolls", search=text.split()[0])["rolls"]
    assert roll["name"] == name and roll["events"][0]["why"] == text
    _, headers, _ = owner.ask("GET", "/api/rolls")
    assert headers["content-type"] == "application/json"
    assert any(text in event["text"] for event in owner.get("history")["history"])


# ---------------------------------------------------------------- limits explained


def explained(flag, **values):
    from porogauge.recipe import compile_words, standard_calibration, standard_recipe

    words = compile_words(standard_recipe(), standard_calibration())
    return explain(flag, decode(row(7, **values), 1), words), limits(words)


def test_a_flag_tells_limit_margin_and_guard_band():
    found, stated = explained("thickness_hi", thickness_8nm=8000 * 28)
    limit, u = stated["thickness"]["hi"], 1600 / 8000
    assert found["limit"] == limit and found["u95"] == 2 * u
    assert found["guard_band"] == stated["guard"] * u
    assert found["excess"] == pytest.approx(28 - limit + stated["guard"] * u)
    assert "beyond" in found["sentence"] and found["causes"]


def test_a_porosity_flag_tells_what_else_it_could_be():
    found, _ = explained("porosity_hihi", porosity_ppm=700_000, solid_8nm=60_000, delta_8nm=48_000)
    text = " ".join(found["causes"])
    assert "thickness off by" in text and "electrode gap off by" in text


def test_every_flag_is_explained():
    for name in record.FLAG_NAMES:
        found, _ = explained(name)
        assert found["sentence"] and found["flag"] == name
