"""The host's side of the link alone: text, silence, restarts, holes, requests, clock."""

from __future__ import annotations

import random
from array import array

import plausible
import pytest
from link_pair import ID, WHO, Pair

from gauge.link import protocol
from gauge.link.session import BoardSession
from porogauge.link import events
from porogauge.link.clock import ClockRelation
from porogauge.link.session import HostSession


def append(pair: Pair, n: int) -> list:
    """Have the board make `n` records; return them."""
    rows = plausible.rows(n, first_seq=pair.board.next_seq)
    for row in rows:
        pair.board.append(array("i", row))
    return rows


def test_text_of_the_board_becomes_lines():
    pair = Pair()
    pair.run(0.3)
    text = b'Traceback (most recent call last):\r\n  File "main.py", line 3\r\nOSError: 5\r\n'
    pair.wire.to_host[:0] = text
    append(pair, 8)
    found = pair.run(0.3)
    lines = [event.line for event in found if isinstance(event, events.Console)]
    assert lines == text.decode().split("\r\n")[:-1]
    assert pair.host.next_seq == 8  # the frame that followed at once was not lost
    host = HostSession(first_id=1)
    banner = b"MicroPython v1.25.0 on 2025-04-15; Raspberry Pi Pico\r\n>>> "
    found = host.receive(banner, 0.1)
    assert [event.line for event in found] == [banner.decode().split("\r\n")[0]]


def test_noise_is_no_text():
    host = HostSession(first_id=1)
    assert host.receive(random.Random(4).randbytes(30_000), 0.1) == []


def test_silence_is_told_and_the_stream_resumes():
    pair = Pair()
    rows = append(pair, 20)
    pair.run(0.5)
    pair.wire.cut = True
    rows += append(pair, 10)
    found = pair.run(3)
    assert [type(e) for e in found if not isinstance(e, events.Records)] == [events.Silent]
    pair.wire.cut = False
    found = pair.run(0.6)
    assert events.Connected in [type(event) for event in found]
    assert [r for e in found if isinstance(e, events.Records) for r in e.rows] == rows[20:]
    assert next(e for e in found if isinstance(e, events.Connected)).resumed


def test_a_restart_of_the_board_ends_the_boot():
    pair = Pair(boot=9)
    append(pair, 40)
    pair.run(1.2)
    pair.wire.cut = True
    append(pair, 5)
    pair.run(0.05)
    pair.wire.cut = False
    pair.wire.to_host.clear()
    pair.host.inbox.newest_seq = 44  # as a LATEST frame had said
    pair.board = BoardSession(16384, WHO, 10, pair.handler)
    append(pair, 3)
    found = pair.run(2.5)
    kinds = [e for e in found if isinstance(e, (events.Gap, events.Restarted, events.Records))]
    assert isinstance(kinds[0], events.Gap) and kinds[0].cause == "board_restart"
    assert (kinds[0].boot, kinds[0].first, kinds[0].last) == (9, 40, 44)
    assert kinds[1] == events.Restarted(ID.hex(), 9, 45, 10)
    assert [row[0] for row in kinds[2].rows] == [0, 1, 2] and kinds[2].boot == 10


def test_another_gauge_on_the_same_port_is_not_taken_for_the_first():
    pair = Pair(boot=9)
    append(pair, 40)
    pair.run(0.5)
    who = {"device_id": ID[::-1], "board": "TEST", "firmware": "1"}
    pair.board = BoardSession(8192, who, 9, lambda *_: 0)  # the same boot number
    rows = append(pair, 60)
    pair.host.link_down()
    found = [e for e in pair.run(1) if isinstance(e, (events.Records, events.Gap))]
    assert [row for event in found for row in event.rows] == rows
    assert {event.device for event in found} == {ID[::-1].hex()}


def test_a_boot_counter_that_began_again_is_refused():
    pair = Pair(boot=1, known=lambda device, boot: 5000)
    append(pair, 3)
    found = pair.run(1)
    assert [type(event) for event in found] == [events.Mismatch]
    assert "5000 of it are stored" in found[0].text


def test_holes_in_the_store_are_read_again():
    asked = []

    def known(device, boot):
        asked.append((device, boot))
        return [(0, 9), (14, 29)]

    pair = Pair(known=known)
    rows = append(pair, 40)
    found = [e for e in pair.run(2) if isinstance(e, events.Records)]
    assert asked[0] == (ID.hex(), 7)
    replayed = [row for event in found if event.replay for row in event.rows]
    assert replayed == rows[10:14]
    assert [row for event in found if not event.replay for row in event.rows] == rows[30:]


def test_commit_goes_no_further_than_what_was_told():
    pair = Pair()
    append(pair, 5)
    pair.run(0.5)
    with pytest.raises(ValueError, match="only 5 were told"):
        pair.host.commit(7, 6)
    pair.host.commit(8, 100)  # another boot: nothing to say to this board


def test_requests_are_repeated_and_expire():
    pair = Pair()
    pair.run(0.3)
    pair.wire.cut = True
    request = pair.host.request(protocol.STATUS, timeout_s=0.1, tries=3)
    pair.run(0.5)
    assert request.expired and request.sent == 3 and request.text == "no answer to status"


def test_without_stream_only_answers_come():
    pair = Pair(stream=False)
    append(pair, 40)
    found = pair.run(1)
    assert [type(event) for event in found] == [events.Connected]
    request = pair.host.request(protocol.STATUS)
    pair.run(0.2)
    assert request.done


@pytest.mark.parametrize("ppm", [-80, 0, 35])
def test_clock_relation_finds_offset_and_rate(ppm):
    rnd = random.Random(6)
    clock = ClockRelation()
    rate = 1 + ppm / 1e6
    for k in range(120):
        board_s = 100 + k
        there, back = rnd.uniform(0.0005, 0.011), rnd.uniform(0.0005, 0.002)
        host_s = 5000 + rate * board_s
        clock.add(host_s - there, host_s + back, board_s)
    relation = clock.relation
    assert abs(relation.rate - rate) < 20e-6
    for board_s in (100.0, 220.0, 400.0):
        error = abs(relation.host_s(board_s) - (5000 + rate * board_s))
        assert error < 3 * relation.u_s(board_s) < 0.03


def test_a_clock_that_stood_still_begins_another_relation():
    """The host slept: its clock and the board's are apart by as much, older pairs are void."""
    clock = ClockRelation()
    for k in range(30):
        clock.add(5000 + k, 5000 + k + 0.01, 100 + k)
    assert abs(clock.relation.host_s(130) - 5030) < 0.02
    clock.add(5030, 5030.01, 700)  # ten minutes later for the board
    assert abs(clock.relation.host_s(701) - 5031) < 0.02
    clock.add(5031, 5034, 701)  # a late answer is none of that
    assert abs(clock.relation.host_s(701) - 5031) < 0.02
    clock.add(5035, 5035.01, 705)
    clock.clear()
    assert clock.relation is None
