"""Are flags and outputs as the faults want them?

Flags: each fault raises its flag within its time, and nothing else raises one. Outputs, as the
bench sees them at the board's pins: `good` is energised for windows alone that are measured and
valid, and while a fault makes that impossible never beyond its detection time. All functions note
what is not as it must be in the roll's `View`.
"""

from __future__ import annotations

import bisect
from types import SimpleNamespace

from .campaign_view import STAYING, Group, View
from .expected import EXPECT, MOMENTARY, RESTARTS, WATCHDOG_S, end_s, lasers_of

SILENT_S = 0.25  # a laser without bytes is set up anew, whatever the gauge knows of the gap
MADE_S = 0.006  # from the end of a window to its outputs
SILENCE_S = 0.14  # without a window: then the gauge itself says that there is none
_VAGUE = 0.02  # of a thickness: a standard uncertainty that reaches its limits by itself


def check(view: View) -> None:
    """All that this module looks at."""
    flags(view)
    causes(view)
    faults_off(view)
    windows_off(view)
    restarts_off(view)


def flags(view: View) -> None:
    """Each fault raises its flag in time, and nothing raises a flag without a fault."""
    for group in view.groups:
        inside = range(
            bisect.bisect_left(view.ends, group.begin_s),
            bisect.bisect_right(view.begins, group.deadline_s),
        )
        _without_cause(view, group, inside)
        for index in group.indices:
            for flag in {*view.expected[index].flags} - {*STAYING}:
                _in_time(view, group, index, flag, inside)


def _without_cause(view: View, group: Group, inside: range) -> None:
    allowed = {*group.may, "no_film", "record_gap", "flash_write"}
    if view.may_be_due:
        allowed |= {"standardisation_due", "standardisation_refused"}
    for i in inside:
        row, phase = view.rows[i], view.phase(i)
        extra = set(row["flags"]) - allowed - view.staying(view.ends[i])
        if "no_film" in row["flags"] and phase == "film" and "no_film" not in group.may:
            extra.add("no_film")
        if "flash_write" in row["flags"]:
            extra.discard("overrun")
        if phase == "edge":
            extra -= {"not_physical", "laser_a_fault", "laser_b_fault", "overrun"}
        if (row["u_thickness_nm"] or 0) > _VAGUE * (row["thickness_nm"] or 0):
            extra = {name for name in extra if not name.startswith("thickness_")}
        if extra and view.near(view.begins[i], view.ends[i]) is group:
            text = f"window {row['seq']} has {', '.join(sorted(extra))} without a cause"
            view.problem("flag", view.ends[i], group, text)


def _in_time(view: View, group: Group, index: int, flag: str, inside: range) -> None:
    fault, expected = view.roll.faults[index], view.expected[index]
    effect, stop = view.outcome.effects[index], end_s(fault)
    for i in inside:
        row, end = view.rows[i], view.ends[i]
        if not fault.at_s < end <= stop:
            continue
        if flag in row["flags"]:
            if effect.flagged_s is None:
                effect.flagged_s = end - fault.at_s
        elif (
            end > fault.at_s + expected.within_s
            and expected.steady
            and not _hidden(view, group, fault, flag, i)
        ):
            text = f"window {row['seq']} has no {flag} {end - fault.at_s:.3f} s after its begin"
            view.problem("flag", end, group, text)
    bytes_hit = 12_000 * getattr(fault, "rate", 0) * (stop - fault.at_s)
    if not expected.steady and effect.flagged_s is None and bytes_hit > 20:
        kinds = {view.roll.faults[k].kind for k in group.indices}
        if len(kinds) == 1 and view.phase(inside[0]) == view.phase(inside[-1]) == "film":
            view.problem("flag", fault.at_s, group, f"{flag} never came")


def _hidden(view: View, group: Group, fault: SimpleNamespace, flag: str, i: int) -> bool:
    """Whether a flag cannot be told in a window: others of the group stand in its way."""
    row = view.rows[i]
    others = [view.roll.faults[k] for k in group.indices if view.roll.faults[k] is not fault]
    if any(other.kind in RESTARTS for other in others):
        return view.near_restart(i)
    silent = fault.kind == "laser_unplugged" and view.ends[i] > fault.at_s + SILENT_S
    if flag.startswith("laser") and not silent:
        # whether lasers should see anything is known from the capacitance alone
        if view.phase(i) != "film" or {"capacitance_fault", "no_film"} & {*row["flags"]}:
            return True
        both = {name for other in (fault, *others) for name in lasers_of(other)} == {*"ab"}
        return both and row["reason"] in ("edge_of_film", "laser_a_fault", "laser_b_fault")
    return False


def causes(view: View) -> None:
    """The first window after a hang or a crash says so, and none says it without that."""
    for group in view.groups:
        faults = [view.roll.faults[k] for k in group.indices]
        if sum(fault.kind in RESTARTS for fault in faults) > 1:
            continue  # the first one may leave the next nothing to stop
        for index in group.indices:
            fault, flag = view.roll.faults[index], view.expected[index].flag
            if flag not in STAYING:
                continue
            after = [i for i, begin in enumerate(view.begins) if begin > fault.at_s]
            new = next((i for i in after if view.near_restart(i)), None)
            if new is None or flag not in view.rows[new]["flags"]:
                view.problem("flag", fault.at_s, group, f"{flag} never came")
            else:
                view.outcome.effects[index].flagged_s = view.ends[new] - fault.at_s


def faults_off(view: View) -> None:
    """`good` is off for as long as a fault takes the numbers away."""
    for group in view.groups:
        for index in group.indices:
            fault, expected = view.roll.faults[index], view.expected[index]
            momentary = fault.kind in (*MOMENTARY, *RESTARTS)  # see `restarts_off`
            if expected.numbers or not expected.steady or momentary:
                continue
            begin = _known_s(view, group, index) + MADE_S
            on = view.energised(begin, end_s(fault)) - _hung(view, group, begin, end_s(fault))
            if on > 1e-6:
                text = f"good is energised for {on:.3f} s while a {fault.kind} lasts"
                view.problem("output", begin, group, text)


def _hung(view: View, group: Group, begin_s: float, stop_s: float) -> float:
    """For how long `good` was energised within a time because the program had stopped."""
    total = 0.0
    for fault in (view.roll.faults[k] for k in group.indices):
        if fault.kind == "board_hang":
            since, until = fault.at_s, fault.at_s + WATCHDOG_S + MADE_S
            total += view.energised(max(begin_s, since), max(begin_s, min(stop_s, until)))
    return total


def windows_off(view: View) -> None:
    """`good` is energised by windows alone that are measured and valid, and not without any."""
    for i, row in enumerate(view.rows):
        good = "good" in row["outputs"]
        group = view.near(view.begins[i], view.ends[i])
        if good and not (row["valid"] and row["state"] == "measuring"):
            view.problem("output", view.ends[i], group, "good in a window that is not valid")
        following = view.rows[i + 1] if i + 1 < len(view.rows) else row
        if following["boot"] != row["boot"]:
            continue
        # the outputs of a window stay until the next one's, but not for ever
        made, until = view.made_s(i) + 2 * MADE_S, view.made_s(min(i + 1, len(view.rows) - 1))
        begin = made + SILENCE_S if good else made
        on = view.energised(begin, until) if until > begin else 0
        if on > 0 and following["seq"] == row["seq"] + 1:
            what = "without a window after it" if good else "which is not good"
            text = f"good stays energised after window {row['seq']}, {what}"
            view.problem("output", view.ends[i], group, text)


def restarts_off(view: View) -> None:
    """`good` goes off when the board stops, and stays so until it measures again."""
    for restart in view.restarts:
        group = view.near(restart.stopped_s, restart.began_s)
        within = max((view.expected[k].within_s for k in group.indices), default=0) if group else 0
        begin = min(restart.stopped_s + within, restart.began_s) + MADE_S
        first_s = restart.began_s + 0.05 if restart.first_s is None else restart.first_s
        on = view.energised(begin, first_s)
        if on > 0:
            view.problem("output", begin, group, f"good for {on:.3f} s while it starts")


def _known_s(view: View, group: Group, index: int) -> float:
    """When a fault must be known: a converter that is silent gives no window to see it in."""
    known = view.roll.faults[index].at_s + view.expected[index].within_s
    for k in group.indices:
        other = view.roll.faults[k]
        if other.kind in ("cap_lost", "ready_open") and other.at_s <= known:
            silent = min(end_s(other), other.at_s + view.expected[k].within_s)
            known = max(known, silent + EXPECT["i2c_nack"].within_s)
    return known
