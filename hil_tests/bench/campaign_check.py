"""A finished roll held against the undisturbed truth: what a fault did, and what it must not do.

    >>> outcome = judge(roll, run, witness)
    >>> outcome.problems
    []

The rules, window by window (`expected` says what each kind of fault has to lead to):

- lost      each window is stored once, or is in a hole that the log tells of with its cause;
- wrong     a number that is given is within 6 standard uncertainties of the truth, whatever else
            is broken; outside of faults the records hold exactly what the sensors sent;
- flag      each fault raises its flag within its time, nothing else does, and the flag goes again;
- output    `good` is energised for windows alone that are measured and valid, and while a fault
            makes that impossible never beyond its detection time;
- back      when its time to recover is over, the gauge measures as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import campaign_flags, campaign_log
from .campaign_draw import FIRST_S, Roll
from .campaign_result import Outcome
from .campaign_view import View
from .runner import Run
from .witness import Witness

WILD = 6.0  # standard uncertainties: a number farther from the truth looks right and is not
LATE_S = 0.25  # from the end of a window to the host, batch and all
_TOLD = 3  # differences of a stretch of windows that are told
_NUMBERS = (
    # of the record, of the truth, their ratio, standard uncertainty
    ("thickness_nm", "thickness_nm", 1, "u_thickness_nm"),
    ("porosity_ppm", "porosity_ppm", 1, "u_porosity_ppm"),
    ("permittivity_e4", "permittivity", 10_000, "u_permittivity_e4"),
)


def judge(roll: Roll, run: Run, witness: Witness) -> Outcome:
    """Hold a finished run against what its faults may and must lead to."""
    view = View(roll, run)
    view.outcome.windows = len(view.rows)
    campaign_log.check(view)
    numbers(view)
    recovery(view)
    campaign_flags.check(view)
    delivery(view)
    sensors(view, witness)
    return view.ended()


def numbers(view: View) -> None:
    """No number is far from the truth, and its uncertainty covers it as often as it says."""
    counts = view.outcome.covered
    for i, row in enumerate(view.rows):
        if all(row[name] is None for name, *_ in _NUMBERS):
            continue
        group = view.near(view.begins[i], view.ends[i])
        truth = view.run.truth_of(row)
        if truth["film"] < 1.0:
            view.problem("wrong", view.ends[i], group, "a number where there was no film")
            continue
        if truth["step"]:
            continue
        for name, key, ratio, u in _NUMBERS:
            if row[name] is None:
                continue
            error = row[name] - ratio * truth[key]
            # what is told is rounded, its uncertainty too
            if abs(error) > WILD * max(1, row[u]):
                text = f"{name} is {row[name]:g}, {error:+.0f} from the truth, u {row[u]:g}"
                view.problem("wrong", view.ends[i], group, text)
            count = counts.setdefault(f"{name} {'near' if group else 'far'}", [0, 0])
            count[0] += 1
            count[1] += abs(error) <= 2 * row[u]


def recovery(view: View) -> None:
    """Which windows a fault hit; after its time to recover all must be well."""
    bad_since: int | None = None
    for i in range(len(view.rows) + 1):
        bad = False
        if i < len(view.rows):
            phase, group = view.phase(i), view.near(view.begins[i], view.ends[i])
            if phase == "edge" or view.begins[i] < FIRST_S:
                continue
            well = view.well(i, phase)
            if group is not None and not well:
                for index in group.indices:
                    view.outcome.effects[index].affected += 1
                late = view.ends[i] - group.end_s
                if late > 0:
                    for index in group.indices:
                        view.outcome.effects[index].back_s = late
            bad = group is None and not well
        if bad and bad_since is None:
            bad_since = i
        elif not bad and bad_since is not None:
            row, n = view.rows[bad_since], i - bad_since
            text = (
                f"{n} windows are not well: {row['state']} ({row['reason']}),"
                f" flags {', '.join(row['flags']) or 'none'}"
            )
            at = view.begins[bad_since]
            view.problem("back", at, view.before(at), text)
            bad_since = None
    for group in view.groups:
        for index in group.indices:
            effect = view.outcome.effects[index]
            if effect.affected and effect.back_s is None:
                effect.back_s = 0.0


def delivery(view: View) -> None:
    """Records come in time; those of an outage soon after it."""
    arrivals = view.run.arrivals
    last = None
    for i, row in enumerate(view.rows):
        came = 1e-9 * arrivals.get((row["boot"], row["seq"]), 0)  # 0: out of the journal
        group = view.near(view.ends[i], view.ends[i] + LATE_S, view.link_groups)
        if came - view.ends[i] <= LATE_S or view.ends[i] < FIRST_S:
            continue
        if group is None:
            if last is None or view.ends[i] - last > 0.5:
                text = f"window {row['seq']} came {came - view.ends[i]:.2f} s late"
                view.problem("back", view.ends[i], view.before(view.ends[i]), text)
            last = view.ends[i]
            continue
        if came > group.deadline_s and last is None:
            text = f"window {row['seq']} came {came - group.end_s:.2f} s after the link was back"
            view.problem("back", view.ends[i], group, text)
        for index in group.indices:
            effect = view.outcome.effects[index]
            effect.affected += 1
            effect.back_s = max(effect.back_s or 0.0, came - group.end_s)


def sensors(view: View, witness: Witness) -> None:
    """Outside of faults each record holds what the sensors sent, nothing less or more."""
    run = view.run
    words = {
        boot: {row[0]: row for row in run.rows(boot, run.first_kept(boot))} for boot in view.judged
    }
    for stretch in _stretches(view):
        first = view.rows[stretch[0]]
        boot, end = first["boot"], view.ends[stretch[0]]
        rows = [words[boot][view.rows[i]["seq"]] for i in stretch]
        for text in witness.problems(boot, rows)[:_TOLD]:
            view.problem("wrong", end, view.before(end), text)


def _stretches(view: View) -> Iterator[list[int]]:
    """Successive records of which no fault is near."""
    stretch: list[int] = []
    for i, row in enumerate(view.rows):
        near = view.near(view.begins[i] - 0.05, view.ends[i])
        clear = near is None and view.begins[i] > FIRST_S + 0.2
        last = view.rows[stretch[-1]] if stretch else row
        if not clear or (row["boot"], row["seq"] - 1) != (last["boot"], last["seq"]):
            if len(stretch) > 1:
                yield stretch
            stretch = []
        if clear:
            stretch.append(i)
    if len(stretch) > 1:
        yield stretch
