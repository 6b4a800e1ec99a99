"""Is every window there, once, or in a hole that the log tells of with its cause?

All functions note what is not as it must be in the roll's `View`.
"""

from __future__ import annotations

from gauge import journal
from porogauge.journal import entries

from .campaign_draw import FIRST_S
from .campaign_view import View
from .expected import LINK

# Of windows, at most, that a restart takes with it: a batch that was neither sent nor in flash
RESTART_S = 0.15
SILENCE_S = 3.2  # the same when the host has just gone: until the board knows, nothing is in flash
TWICE_S = 0.0001  # of a window that the one before has as well: each end is an interrupt's
_HOLE_MOST = 5  # conversions that a frame temperature costs


def check(view: View) -> None:
    """All that this module looks at."""
    completeness(view)
    timeline(view)
    restarts(view)


def completeness(view: View) -> None:
    """Each sequence number is stored, or in a gap with its cause."""
    run, device = view.run, view.run.device
    for boot in view.judged:
        state = run.store.completeness(device, boot, run.first_kept(boot))
        missing = list(state.missing)
        if boot == run.session.boot and run.newest_made > state.last:
            missing.append((state.last + 1, run.newest_made))
        for first, last in missing:
            at = view.time_of(boot, first)
            text = f"windows {first} to {last} of boot {boot} are not there, nor told of"
            view.problem("lost", at, view.before(at), text)
        for gap in run.store.gaps(device, boot):
            first, last = gap["from_seq"], gap["to_seq"]
            at = view.time_of(boot, first)
            group = view.near(at - 2, at + 2, view.groups + view.link_groups)
            count = last - first + 1
            if gap["cause"] == "board_restart" or last < run.first_kept(boot):
                continue  # counted by time, in `restarts`
            if group is None:
                text = f"{count} windows are in a gap ({gap['cause']}) without a fault"
                view.problem("lost", at, None, text)
            else:
                view.gone(group, count)


def timeline(view: View) -> None:
    """One window follows the other; a hole between them is told of, and has a cause."""
    rows = view.rows
    period = 1e-3 * view.roll.scenario.capacitance.conversion_ms
    told_s = -60.0  # of the last hole for a frame temperature
    for i in range(1, len(rows)):
        row, old = rows[i], rows[i - 1]
        if row["boot"] != old["boot"] or row["seq"] != old["seq"] + 1:
            continue
        hole = view.begins[i] - view.ends[i - 1]
        if view.ends[i] < FIRST_S:
            continue  # the board is brought into service
        group = view.near(view.ends[i - 1], view.ends[i])
        blamed = group or view.before(view.ends[i])
        if hole < -TWICE_S:
            text = f"window {row['seq']} begins {-1e3 * hole:.1f} ms before the end of the last"
            view.problem("lost", view.ends[i], blamed, text)
        missing = round(hole / period)
        if missing != row["lost"]:
            text = f"{missing} windows are missing before {row['seq']}, it says {row['lost']}"
            view.problem("lost", view.ends[i], blamed, text)
        elif row["lost"] and group:
            view.gone(group, row["lost"])
        elif row["lost"]:
            if "flash_write" in row["flags"] and view.phase(i) != "film":
                continue
            planned = row["lost"] <= _HOLE_MOST and "overrun" not in row["flags"]
            if not planned or view.ends[i] - told_s < 55:
                text = f"{row['lost']} conversions were lost without a fault"
                view.problem("lost", view.ends[i], blamed, text)
            told_s = view.ends[i]


def restarts(view: View) -> None:
    """What a restart takes with it, how long it takes, and that the log says why it was."""
    period = 1e-3 * view.roll.scenario.capacitance.conversion_ms
    stored = entries(view.run.store, view.run.device)
    causes = {entry.boot for _, entry in stored if entry.kind == journal.BOOT}
    for restart in view.restarts:
        stopped_s, began_s = restart.stopped_s, restart.began_s
        group = view.near(stopped_s, began_s)
        if group is None:
            view.problem("lost", began_s, None, "the board has restarted without a fault")
            continue
        last = max((end for _, end in view.of_boot(restart.before)), default=stopped_s)
        cut = view.near(last, began_s, view.link_groups)
        kinds = {view.roll.faults[i].kind for i in cut.indices} if cut else set()
        longest = SILENCE_S if kinds & {*LINK} else RESTART_S
        if stopped_s - last > longest and "journal_full" not in kinds:
            text = f"{(stopped_s - last) / period:.0f} windows before a restart never came"
            view.problem("lost", began_s, group, text)
        if restart.boot not in causes:
            text = f"boot {restart.boot} began, and the log does not tell why"
            view.problem("lost", began_s, group, text)
        if restart.first_s is not None:
            view.gone(group, max(0, round((restart.first_s - last) / period) - 1))
