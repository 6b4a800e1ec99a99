"""The logger between a client and a store: nothing is acknowledged that is not on disk."""

import json
from types import SimpleNamespace

import pytest

from gauge import record
from porogauge import live, output
from porogauge.errors import DeviceBusy, DeviceError, ProtocolError
from porogauge.link import events
from porogauge.logger import Logger, Stop
from porogauge.store import ConflictError, Store, StoreError

DEVICE = "aa"
HELLO = SimpleNamespace(device=DEVICE, boot=1, board="B", firmware="F", next_seq=0)


def row(seq, thickness=0):
    words = record.new()
    words[record.SEQ] = seq
    words[record.STATE] = record.STATE_MEASURING
    words[record.VALID] = record.VALID_ALL
    words[record.THICKNESS_8NM] = thickness
    return tuple(words)


def records(*seqs, boot=1, replay=False):
    return events.Records(DEVICE, boot, [row(seq) for seq in seqs], replay)


class FakeClient:
    """Hands out lists of events, one a call; remembers what was acknowledged and when."""

    def __init__(self, *batches):
        self.batches = list(batches)
        self.commits = []
        self.entries = []
        self.fetching = False
        self.on_commit = lambda: None

    def pump(self, _):
        found = self.batches.pop(0) if self.batches else []
        if isinstance(found, Exception):
            raise found
        return found

    def commit(self, boot, next_seq):
        self.on_commit()
        self.commits.append((boot, next_seq))

    def commit_entries(self, device, number):
        self.on_commit()
        self.entries.append((device, number))

    def read_config(self):
        return b""


class Silence:
    def __init__(self):
        self.messages, self.snapshots = [], []

    def update(self, snapshot):
        self.snapshots.append(snapshot)

    def message(self, text):
        self.messages.append(text)


def run(client, store, steps=None, **options):
    """Run until the client has nothing more to say."""
    logger = Logger(client, store, Silence(), commit_every_s=0, **options)
    summary = logger.run(until=lambda _: not client.batches)
    return logger, summary


def test_acknowledged_after_the_commit(tmp_path):
    path = tmp_path / "roll.db"
    client = FakeClient([events.Connected(HELLO, False)], [records(0, 1)], [records(2)])
    seen = []
    with Store(path, lock=True) as store, Store(path, read_only=True) as reader:
        client.on_commit = lambda: seen.append(reader.count())
        _, summary = run(client, store)
    assert client.commits == [(1, 2), (1, 3)] and seen == [2, 3]
    assert (summary.stored, summary.lost, summary.boots) == (3, 0, [(DEVICE, 1)])


def test_nothing_is_acknowledged_that_could_not_be_stored(tmp_path):
    path = tmp_path / "roll.db"
    with Store(path) as store:
        store.append(DEVICE, 1, [row(1, thickness=9)])
        client = FakeClient([records(0, 1)])
        with pytest.raises(ConflictError):
            run(client, store)
        assert client.commits == [] and store.count() == 1


def test_full_disk_is_told_and_not_acknowledged(tmp_path):
    with Store(tmp_path / "roll.db") as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages}")
        client = FakeClient([records(*range(3000))])
        with pytest.raises(StoreError, match="free some space"):
            run(client, store)
        assert client.commits == []


def test_gaps_are_rows_and_count_as_lost():
    gap = events.Gap(DEVICE, 1, 2, 4, "overwritten")
    with Store(":memory:") as store:
        client = FakeClient(
            [records(0, 1), gap, records(5)], [events.Gap(DEVICE, 1, 6, 9, "overwritten")]
        )
        logger, summary = run(client, store)
        assert [(g["from_seq"], g["to_seq"]) for g in store.gaps()] == [(2, 4), (6, 9)]
        assert logger.view.snapshots[-1].gaps == 7
    assert client.commits == [(1, 6), (1, 10)] and summary.lost == 7


def test_replayed_records_fill_a_hole():
    with Store(":memory:") as store:
        store.append(DEVICE, 1, [row(0), row(4)])
        client = FakeClient([records(5)], [records(1, 2, 3, replay=True)])
        _, summary = run(client, store)
        assert store.known(DEVICE, 1) == [(0, 5)] and summary.lost == 0
        assert client.commits[0] == (1, 6)


def test_a_restart_belongs_to_both_boots():
    second = SimpleNamespace(**vars(HELLO) | {"boot": 2})
    client = FakeClient(
        [events.Connected(HELLO, False), records(0, 1)],
        [events.LinkDown("unplugged")],
        [events.LinkUp(), events.Restarted(DEVICE, 1, 2, 2), events.Connected(second, False)],
        [records(0, boot=2)],
    )
    with Store(":memory:") as store:
        logger, summary = run(client, store)
        assert [b["boot"] for b in store.boots()] == [1, 2]
        kinds = [event["kind"] for event in store.events()]
    assert summary.interruptions == 1 and summary.boots == [(DEVICE, 1), (DEVICE, 2)]
    assert kinds == ["connected", "link_down", "restarted", "connected", "log_stopped"]
    assert "the gauge restarted: boot 1 → 2" in logger.view.messages


def test_what_the_board_says_outside_of_frames_is_kept():
    client = FakeClient([events.Console("MemoryError: 12")])
    with Store(":memory:") as store:
        logger, _ = run(client, store)
        assert store.events("console")[0]["text"] == {"line": "MemoryError: 12"}
    assert logger.view.messages == ["the board says: MemoryError: 12"]


def test_latest_is_shown_but_never_stored():
    values = {"seq": 7, "state": record.STATE_MEASURING, "valid": 1, "thickness_8nm": 200_000}
    client = FakeClient([records(3)], [events.Latest(DEVICE, 1, values)])
    with Store(":memory:") as store:
        logger, _ = run(client, store)
        assert store.count() == 1
    assert logger.view.snapshots[-1].values["thickness_nm"] == 25_000
    assert logger.view.snapshots[-1].values["porosity_ppm"] is None


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (events.Mismatch("other firmware", None), ProtocolError),
        (events.Busy(HELLO), DeviceError),
        (DeviceBusy("in use"), DeviceError),
    ],
)
def test_what_ends_it_still_stores_what_came_before(event, error):
    last = event if isinstance(event, Exception) else [event]
    client = FakeClient([records(0)], last)
    with Store(":memory:") as store:
        logger = Logger(client, store, Silence(), commit_every_s=60)
        with pytest.raises(error):
            logger.run()
        assert store.count() == 1 and client.commits == [(1, 1)]


def test_stop_is_orderly_and_the_second_signal_is_not():
    import os
    import signal

    client = FakeClient([records(0)], [records(1)])
    with Store(":memory:") as store, Stop().on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        summary = Logger(client, store, Silence()).run(stop=stop)
        assert summary.stopped
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            stop.requested = stop.requested  # the handler runs between two instructions
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---------------------------------------------------------------- views


def snapshot(**changes):
    from porogauge.units import decode

    words = list(row(5, 200_000))
    words[record.U_THICKNESS_8NM] = 800
    words[record.FLAGS] = record.FLAG_THICKNESS_HI
    for name, value in changes.items():
        words[record.FIELD_NAMES.index(name)] = value
    return live.Snapshot(decode(words, 1), DEVICE, "up", stored=6, gaps=1, rate_hz=90.9)


def test_a_line_has_what_matters():
    line = live.state_line(snapshot())
    for text in ("measuring", "t 25.00 ± 0.20 µm", "flags: thickness hi", "90.9/s", "1 lost"):
        assert text in line
    assert "(warming up)" in live.state_line(snapshot(state=0, state_reason=1))
    assert live.state_line(live.Snapshot()) == "connecting, 0 stored"


def test_lines_come_now_and_then_and_when_the_state_changes(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    lines = []
    view = live.LinesView(lines.append, every_s=5)
    for _ in range(60):  # 6 s
        now[0] += 0.1
        view.update(snapshot())
    assert len(lines) == 2
    view.update(snapshot(flags=0))
    assert len(lines) == 3


def test_json_lines(monkeypatch, capsys):
    monkeypatch.setattr(output, "_machine", True)
    view = live.JSONView()
    view.update(snapshot())
    view.update(snapshot())
    view.message("text")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["event"] == "progress" and first["latest"]["thickness_nm"] == 25_000
    assert first["stored"] == 6 and second == {"event": "message", "text": "text"}


def test_the_panel_draws(capsys):
    view = live.PanelView("title")
    view.message("something happened")
    view.update(snapshot())
    view.close()
    text = capsys.readouterr().err
    for expected in ("title aa", "25.00 ± 0.20 µm", "thickness hi", "something happened"):
        assert expected in text


def test_bars_of_a_history():
    assert live.bars([None, None]) == ""
    assert live.bars([0, None, 7]) == "▁ █"
    assert live.bars([5, 5]) == "▁▁"
