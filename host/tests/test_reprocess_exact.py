"""100 000 windows, made by the firmware on the 32-bit runtime and recomputed on the host.

The raw readings of a bench run are taken again and again, each time shifted a little, and given
to the application as it runs on the board, without hardware: film, standardiser, state, limits.
"""

from __future__ import annotations

from array import array

from runtime import Unix32

from gauge import config, record
from porogauge import rolls
from porogauge.book import Book
from porogauge.reprocess import reprocess
from porogauge.store import Store
from porogauge_bench.calibration import exact_words
from porogauge_bench.runner import Run
from porogauge_bench.scenario import Scenario

WINDOWS = 100_000
AT_ONCE = 500

BOARD = """
from array import array
from gauge import app, config, record
from gauge.film import Film
from gauge.judge import Judge
from gauge.standardise import Standardiser
from gauge.state import Machine


class Thing:
    pass


class Bare(app.App):
    def __init__(self, words):
        self.words = words
        self.film = Film(words)
        self.judge = Judge(words)
        self.standardiser = Standardiser(words, self.film)
        self.machine = Machine()
        self.session = Thing()
        self.session.clock = Thing()
        self._warm_up_s = words[config.WARM_UP_S]
        self._electrode_mm = words[config.ELECTRODE_MM] + 1
        self._covered = False
        self._edge_mm = 0
        self._keep_reference = False


bare = None
N = record.N_FIELDS
rec = record.new()


def begin(words):
    global bare
    bare = Bare(words)


def take(rows):
    # conditions of each window are in its `latched`
    out = array("i", rows)
    for at in range(0, len(rows), N):
        for i in range(N):
            rec[i] = rows[at + i]
        bare.session.clock.s = rec[record.T_S]
        conditions = rec[record.LATCHED]
        bare._measure(rec, conditions)
        for i in range(N):
            out[at + i] = rec[i]
    return out
"""


def _run():
    """Raw readings of a run, and its configuration."""
    scenario = Scenario.load("hil_tests/scenarios/demo.toml")
    run = Run(scenario, "unix32")
    run.go()
    device, boot, _ = rolls.newest(run.store)
    rows = [row for row in run.store.rows(device, boot) if row[record.STATE_REASON] != 8]
    run.store.close()
    return rows, exact_words(scenario)


def _raw(rows):
    """Rows of another run and yet another, each with its own film and weather."""
    for seq in range(WINDOWS):
        lap, at = divmod(seq, len(rows))
        rec = list(rows[at])
        rec[record.SEQ] = seq
        rec[record.T_S], rec[record.T_US] = divmod(seq * 11_000, 1_000_000)
        rec[record.LATCHED] = rec[record.FLAGS] & (
            record.FLAG_OVERRUN | record.FLAG_ENVIRONMENT_FAULT
        )
        lift = 37 * lap % 101 - 50
        for base, codes in ((record.A_N, lift), (record.B_N, 7 * lap % 23 - lift)):
            if rec[base]:
                rec[base + 1] += codes * rec[base]
                for place in (2, 3, 7, 8):  # first, last, lowest, highest
                    rec[base + place] += codes
        rec[record.FRAME_MC] += 40 * lap
        rec[record.RH_PPM] += 4_000 * lap - 90_000
        rec[record.AIR_MC] -= 25 * lap
        yield rec


def test_100_000_windows_are_what_the_board_made_of_them():
    rows, words = _run()
    device = "e661a4d4178c2b2f"
    with Store(":memory:") as store, Unix32(heap_kib=16_384).load(BOARD, 120) as board:
        board.call("begin", words)
        store.configuration(device, 1, 0, config.pack(words))
        batch = array("i")
        states = [0] * len(record.STATE_NAMES)
        for rec in _raw(rows):
            batch.extend(rec)
            if len(batch) == AT_ONCE * record.N_FIELDS:
                made = board.call("take", batch)
                made = [
                    made[at : at + record.N_FIELDS] for at in range(0, len(made), record.N_FIELDS)
                ]
                for row in made:
                    states[row[record.STATE]] += 1
                store.append(device, 1, made)
                batch = array("i")
        assert store.count() == WINDOWS
        who = {"who": "operator", "why": "a test"}
        rolls.start(store, Book(), "R", device, 1, 0, grade="base", **who)
        roll = rolls.end(store, Book(), "R", 1, WINDOWS - 1, **who)
        report = reprocess(store, Book(), roll, {}, **who)
        assert report.windows == WINDOWS
        assert report.differences["identical_windows"] == WINDOWS
        assert not report.unsettled and len(report.references) > 40
        # film, no film, standardisations: all of it was in there
        assert states[record.STATE_MEASURING] > WINDOWS // 2
        assert min(states[record.STATE_OFF_SHEET], states[record.STATE_STANDARDISING]) > 1000
