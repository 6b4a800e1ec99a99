"""The board's flash journal on the host: fetched in order, stored once, holes filled and told."""

from __future__ import annotations

import json
from array import array

import plausible
import pytest
import roll_data
from click.testing import CliRunner
from fake_journal import PIECE, FakeJournal, gap, records, sealed, summary, v, words, z
from link_pair import ID, WHO, Pair

from gauge import config, health, journal, record
from gauge.link import protocol
from gauge.link.session import BoardSession
from porogauge import recipe, rolls
from porogauge.book import Book
from porogauge.cli import cli
from porogauge.journal import describe, entries, keep, kind_name, sentence
from porogauge.link import events
from porogauge.segments import segments, table
from porogauge.store import Clock, ConflictError, Store

DEVICE = ID.hex()
ROWS = plausible.rows(400)


class Board(Pair):
    """A board with a journal and a host with a store, which commits what it is told."""

    def __init__(self, flash: FakeJournal, store: Store, boot: int = 7) -> None:
        self.flash, self.store = flash, store
        super().__init__(boot, store.settled, self.answer, fetched=store.fetched)

    def answer(self, op, request, reply):
        status = self.flash.handle(op, request, reply)
        return protocol.UNKNOWN if status is None else status

    def run(self, seconds: float, step: float = 0.005) -> list:
        found = []
        for _ in range(round(seconds / step)):
            told = super().run(step, step)
            for event in told:
                self.keep(event)
            found += told
        return found

    def keep(self, event) -> None:
        match event:
            case events.Records(device, boot, rows):
                self.store.append(device, boot, rows)
            case events.Gap(device, boot, first, last, cause):
                self.store.gap(device, boot, first, last, cause)
            case events.Entries(device) | events.EntriesLost(device):
                self.host.commit_entries(device, keep(self.store, event).next)


@pytest.fixture
def store():
    with Store(":memory:") as made:
        yield made


def fetched(found: list) -> list[int]:
    """Numbers of the entries that were told, in order."""
    return [
        e.number for event in found if isinstance(event, events.Entries) for e in event.entries
    ]


def entry(number: int, boot: int, kind: int, payload: bytes) -> events.Entries:
    return events.Entries(DEVICE, [events.Entry(number, boot, kind, payload)])


# ---------------------------------------------------------------- fetching


def test_entries_of_every_length_come_in_order_once_and_are_acknowledged(store):
    flash = FakeJournal()
    lengths = [1, 5, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7, 1056] * 5
    payloads = [bytes([n % 251 + 1]) * length for n, length in enumerate(lengths)]
    for payload in payloads:
        flash.add(journal.CRASH, 3, payload)
    board = Board(flash, store)
    found = board.run(6)
    assert fetched(found) == list(range(len(lengths)))
    assert [e.payload for _, e in entries(store)] == payloads
    assert flash.acknowledged == len(lengths) == store.fetched(DEVICE)
    assert not board.host.fetching
    flash.add(journal.CRASH, 7, b"new")
    assert fetched(board.run(6)) == [len(lengths)] and flash.acknowledged == len(lengths) + 1
    # another host with the same database: nothing comes again
    again = Board(flash, store)
    assert fetched(again.run(6)) == [] and not again.host.fetching


def test_a_bad_cable_changes_nothing(store):
    flash = FakeJournal()
    payloads = [bytes([n + 1]) * (100 + 20 * n) for n in range(40)]
    for payload in payloads:
        flash.add(journal.UPDATE, 3, payload)
    board = Board(flash, store)
    board.wire.error_rate = 2e-4
    for n in range(30):
        board.wire.cut = n % 10 == 4
        board.run(1)
    board.wire.error_rate, board.wire.cut = 0.0, False
    board.run(12)
    assert [e.payload for _, e in entries(store)] == payloads and flash.acknowledged == 40


@pytest.mark.parametrize("answer", [protocol.UNKNOWN, protocol.FAILED, "no sectors"])
def test_a_board_without_a_journal_is_left_alone(store, answer):
    asked = []

    def refuse(op, request, reply):
        asked.append(op)
        if answer == "no sectors":
            for _ in journal.STATE_NAMES:
                reply.word(0)
            return protocol.OK
        return answer

    board = Board(FakeJournal(), store)
    board.flash.handle = refuse
    for row in ROWS[:50]:
        board.board.append(array("i", row))
    board.run(12)
    assert asked == [protocol.JOURNAL_STATE] and not board.host.fetching
    assert store.known(DEVICE, 7) == [(0, 49)] and store.fetched(DEVICE) is None


def test_a_new_database_begins_where_no_host_has_been(store):
    flash = FakeJournal()
    for n in range(10):
        flash.add(journal.UPDATE, 3, bytes([n + 1]))
    flash.acknowledged = 6
    assert fetched(Board(flash, store).run(3)) == [6, 7, 8, 9]


def test_what_was_erased_meanwhile_is_told(store):
    flash = FakeJournal()
    for n in range(10):
        flash.add(journal.UPDATE, 3, bytes([n + 1]))
    Board(flash, store).run(3)
    for n in range(20):
        flash.add(journal.UPDATE, 3, bytes([n + 1]))
    flash.erase(25)
    found = Board(flash, store).run(3)
    assert fetched(found) == [25, 26, 27, 28, 29]
    assert events.EntriesLost(DEVICE, 10, 24, "erased") in found
    (told,) = store.events("journal_lost")
    assert told["text"] == {"first": 10, "last": 24, "cause": "erased"}
    # all of it, and nothing written since
    flash.add(journal.UPDATE, 3, b"x")
    flash.erase(31)
    found = Board(flash, store).run(3)
    assert events.EntriesLost(DEVICE, 30, 30, "erased") in found and store.fetched(DEVICE) == 31


def test_erased_while_it_is_read(store):
    flash = FakeJournal()
    for n in range(30):
        flash.add(journal.UPDATE, 3, bytes([n + 1]) * 1000)
    board = Board(flash, store)
    found = board.run(0.15)
    assert 0 < len(fetched(found)) < 18
    flash.erase(20)
    found += board.run(5)
    told = fetched(found)
    (lost,) = [event for event in found if isinstance(event, events.EntriesLost)]
    assert told == [*range(lost.first), *range(20, 30)] and lost.last == 19


def test_an_entry_that_cannot_be_read_is_passed_over_and_told(store):
    flash = FakeJournal()
    for n in range(5):
        flash.add(journal.UPDATE, 3, bytes([n + 1]))
    flash.damaged = {2}
    found = Board(flash, store).run(10)
    assert fetched(found) == [0, 1, 3, 4]
    assert events.EntriesLost(DEVICE, 2, 2, "unreadable") in found


def test_a_journal_that_began_anew_is_fetched_from_its_start(store):
    flash = FakeJournal()
    for n in range(10):
        flash.add(journal.UPDATE, 3, bytes([n + 1]))
    Board(flash, store).run(3)
    flash = FakeJournal()
    flash.add(journal.UPDATE, 8, b"erased")
    assert fetched(Board(flash, store, 8).run(3)) == [0] and store.fetched(DEVICE) == 1


# ---------------------------------------------------------------- what it is for


def test_records_out_of_the_flash_fill_what_the_ring_had_lost(store):
    """The host is away, the ring runs over, flash has the rest: complete all the same."""
    flash = FakeJournal()
    board = Board(flash, store)
    rows = plausible.rows(1200)
    for row in rows[:100]:
        board.board.append(array("i", row))
    board.run(2)
    board.wire.cut = True
    for row in rows[100:]:
        board.board.append(array("i", row))
    for at in range(96, 1000, 8):  # one batch that the host has as well
        flash.add(journal.RECORDS, 7, records(7, rows[at : at + 8]))
    board.run(4)
    board.wire.cut = False
    found = board.run(15)
    assert [e.cause for e in found if isinstance(e, events.Gap)] == ["overwritten"]
    assert list(store.rows(DEVICE, 7)) == rows
    state = store.completeness(DEVICE, 7, 0)
    assert state.complete and store.gaps() == []
    assert list(entries(store)) == []  # batches are records


def test_a_gap_shrinks_to_what_did_not_come(store):
    store.gap(DEVICE, 7, 100, 199, "overwritten")
    keep(store, entry(0, 7, journal.RECORDS, records(7, ROWS[120:128])))
    assert [(g["from_seq"], g["to_seq"], g["cause"]) for g in store.gaps()] == [
        (100, 119, "overwritten"),
        (128, 199, "overwritten"),
    ]
    # told again, by the ring or by the journal: nothing new
    assert not store.gap(DEVICE, 7, 100, 199, "board_restart")
    keep(store, entry(1, 7, journal.GAP, gap(7, 150, 210, protocol.GAP_NOT_RECORDED)))
    assert [(g["from_seq"], g["cause"]) for g in store.gaps()][2:] == [(200, "not_recorded")]
    assert store.completeness(DEVICE, 7).missing == ()


def test_a_boot_that_is_over_is_explained_to_its_end(store):
    """Windows that the board's own journal counts, and that came on neither way."""
    flash = FakeJournal()
    flash.add(journal.BOOT, 7, words(0, 0, 6) + b"1.2")
    for at in (0, 8, 16, 40, 48):
        flash.add(journal.RECORDS, 7, records(7, ROWS[at : at + 8]))
    flash.add(journal.SUMMARY, 7, summary(t_s=1, seq=50, windows=30))
    flash.add(journal.BOOT, 8, words(1, 0, 7) + b"1.3")
    Board(flash, store, 8).run(3)
    assert [(g["boot"], g["from_seq"], g["to_seq"], g["cause"]) for g in store.gaps()] == [
        (7, 24, 39, "overwritten"),
        (7, 56, 79, "board_restart"),
    ]
    state = store.completeness(DEVICE, 7)
    assert (state.first, state.last, state.stored, state.gaps) == (0, 79, 40, 40)
    assert [(b["boot"], b["firmware"]) for b in store.boots()] == [(7, "1.2"), (8, "1.3")]


def test_what_was_lost_before_the_first_window_of_a_database_is_not_its_loss(store):
    flash = FakeJournal()
    flash.add(journal.RECORDS, 7, records(7, ROWS[80:88]))
    flash.add(journal.BOOT, 8, words(1, 0, 7) + b"1.3")
    Board(flash, store, 8).run(3)
    assert store.completeness(DEVICE, 7).first == 80 and store.gaps() == []


def test_records_of_another_layout_stay_as_they_came(store):
    payload = bytearray(records(7, ROWS[:8]))
    payload[-1] ^= 1  # as the seed of another layout gives it
    for kind, damaged in ((journal.RECORDS, payload), (journal.GAP, b"g"), (journal.RECORDS, b"")):
        number = len(list(entries(store)))
        kept = keep(store, entry(number, 7, kind, bytes(damaged)))
        assert kept.records == 0 and "kept as it came" in kept.news[0]
    assert store.count() == 0 and bytes(payload) in [e.payload for _, e in entries(store)]


def test_the_configuration_of_a_boot_that_nobody_saw(store):
    in_force = recipe.compile_words(recipe.standard_recipe(), recipe.standard_calibration())
    blobs = [config.pack(in_force)]
    in_force[config.MARKER_LENGTH_MM] += 1
    blobs.append(config.pack(in_force))
    for from_seq, blob in enumerate(blobs):
        store.configuration(DEVICE, 6, from_seq, blob)

    def told(blob):
        return blob[-4:] + words(config.unpack(blob)[config.RECIPE_ID], 5)

    keep(store, entry(0, 7, journal.CONFIGURATION, told(blobs[0])))
    keep(store, entry(1, 7, journal.SUMMARY, summary(seq=0, windows=90)))
    keep(store, entry(2, 7, journal.CONFIGURATION, told(blobs[1])))
    keep(store, entry(3, 7, journal.CONFIGURATION, bytes(12)))  # not known: passed over
    assert [(c["from_seq"], c["blob"]) for c in store.configurations(DEVICE, 7)] == [
        (0, blobs[0]),
        (90, blobs[1]),
    ]


def test_another_entry_under_a_key_that_is_taken(store):
    one = events.Entry(0, 7, journal.CRASH, b"first")
    other = events.Entry(1, 7, journal.CRASH, b"second")
    keep(store, events.Entries(DEVICE, [one, other]))
    assert keep(store, events.Entries(DEVICE, [one, other])).news == []
    clash = [
        events.Entry(5, 7, journal.CRASH, b"new"),
        events.Entry(1, 7, journal.CRASH, b"other"),
    ]
    with pytest.raises(ConflictError, match="entry 1 of device"):
        keep(store, events.Entries(DEVICE, clash))
    assert [e.number for _, e in entries(store)] == [0, 1] and store.fetched(DEVICE) == 2


def test_records_that_come_late_belong_to_their_roll(tmp_path):
    path = tmp_path / "roll.db"
    by = {"who": "shift 1", "why": "test"}
    film = [roll_data.row(seq) for seq in range(600)]
    with Store(path) as store:
        roll_data.documents(store)
        roll_data.fill(store, count=200)
        roll = rolls.start(store, Book(), "A-1", roll_data.DEVICE, 1, 100, **by)
        store.gap(roll_data.DEVICE, 1, 200, 399, "overwritten")
        store.append(roll_data.DEVICE, 1, film[400:])
        rolls.end(store, Book(), "A-1", 1, 579, **by)
        before = segments(store, roll)
        late = [
            events.Entry(n, 1, journal.RECORDS, records(1, film[200 + 8 * n : 208 + 8 * n]))
            for n in range(25)
        ]
        assert keep(store, events.Entries(roll_data.DEVICE, late)).records == 200
        roll = rolls.find(store, "A-1")
        assert list(table(store, roll, ())["seq"]) == list(range(100, 580))
        after = segments(store, roll)
        assert sum(s.windows for s in before) < sum(s.windows for s in after) == 480
    shown = CliRunner().invoke(cli, ["export", str(path), "--to", "-", "--strict"])
    assert shown.exit_code == 0 and shown.output.count("\n") == 601


# ---------------------------------------------------------------- in words


LATEST = dict.fromkeys(protocol.LATEST_FIELDS, 0) | {
    "seq": 9,
    "state": record.STATE_MEASURING,
    "flags": record.FLAG_NO_FILM,
}


@pytest.mark.parametrize(
    ("kind", "payload", "text"),
    [
        (journal.BOOT, words(1, 0, 6) + b"1.2", "started after watchdog, firmware 1.2"),
        (
            journal.CHANGE,
            sealed(bytes([protocol.LATEST]) + v(7) + b"".join(map(z, LATEST.values()))),
            "window 9: measuring (ok), no_film",
        ),
        (
            journal.SUMMARY,
            summary(
                seq=90, windows=91, state=3, n_thickness=9, thickness_8nm=200_000, n_porosity=9
            ),
            "91 windows from 90 on, measuring, 25.000 µm, 0.00 %",
        ),
        (journal.HEALTH, words(*range(len(health.HEALTH_NAMES))), "health after 0 s, 4 windows"),
        (journal.CRASH, b"Traceback\n  File\nMemoryError: 9\n", "crash: MemoryError: 9"),
        (journal.KEY, words(1, 3), "wrong key refused, role 1, 3 times"),
        (
            journal.CONFIGURATION,
            words(-1, 10, 11),
            "in force: recipe 0000000a, calibration 0000000b",
        ),
        (journal.GAP, gap(7, 3, 5, 1), "windows 3 to 5 of boot 7: not_recorded"),
        (journal.RECORDS, records(7, ROWS[8:16]), "windows 8 to 15 of boot 7"),
        (journal.UPDATE, b"1.2 -> 1.3", "update: 1.2 -> 1.3"),
        (99, b"abc", "unknown_99: 3 bytes"),
        (journal.SUMMARY, b"\x01", "summary: cannot be read"),
        (journal.BOOT, b"\x01", "boot: cannot be read"),
        (journal.CRASH, b"\xff", "crash: cannot be read"),
    ],
)
def test_every_kind_in_one_line(kind, payload, text):
    assert sentence(kind, payload).startswith(text)
    assert describe(kind, payload) and kind_name(kind)


def test_the_command_lists_them(tmp_path):
    path = tmp_path / "roll.db"
    with Store(path) as made:
        keep(made, entry(0, 7, journal.BOOT, words(3, 0b100000000, 6) + b"1.2"))
        keep(made, entry(1, 7, journal.CRASH, b"Traceback\nMemoryError: 9"))
        keep(made, entry(2, 7, journal.SUMMARY, summary(t_s=9, seq=8, windows=2)))
        keep(made, entry(3, 7, 99, b"from the future"))
        made.clock(DEVICE, 7, Clock(0, 1_700_000_000.0))

    def run(*arguments):
        return CliRunner().invoke(cli, ["journal", str(path), *arguments])

    lines = run().output.splitlines()
    assert lines == [
        "      0  boot 7     -                    started after crash, firmware 1.2,"
        " self-test failed: capacitance",
        "      1  boot 7     -                    crash: MemoryError: 9",
        "      3  boot 7     -                    unknown_99: 15 bytes",
    ]
    [line] = [json.loads(line) for line in run("--kind", "summary", "--json").output.splitlines()][
        :1
    ]
    assert (line["event"], line["entry"], line["kind"]) == ("entry", 2, "summary")
    assert line["time"] == "2023-11-14 22:13:29" and line["words"]["windows"] == 2
    assert run("--kind", "nothing").exit_code == 2 and run("--boot", "8").output == ""


def test_a_younger_or_older_board_has_more_or_fewer_words():
    assert describe(journal.HEALTH, words(5)) == {"uptime_s": 5}
    found = describe(journal.SUMMARY, summary(seq=4) + z(-17))
    assert found["seq"] == 4 and len(found) == len(journal.SUMMARY_NAMES)


def test_two_boots_of_one_board_and_the_ring_of_the_second(store):
    """A reset while the host is away: nothing of the first boot is known but by its journal."""
    flash = FakeJournal()
    board = Board(flash, store)
    for row in ROWS[:80]:
        board.board.append(array("i", row))
    board.run(2)
    board.wire.cut = True
    for at in range(80, 160, 8):
        flash.add(journal.RECORDS, 7, records(7, ROWS[at : at + 8]))
    flash.add(journal.BOOT, 8, words(2, 0, 7) + b"1.2")
    board.board = BoardSession(16384, WHO, 8, board.answer)
    for row in ROWS[:30]:
        board.board.append(array("i", row))
    board.run(2)
    board.wire.cut = False
    board.run(6)
    assert list(store.rows(DEVICE, 7)) == ROWS[:160]
    assert list(store.rows(DEVICE, 8)) == ROWS[:30]
    assert store.completeness(DEVICE, 7).complete and store.completeness(DEVICE, 8).complete
