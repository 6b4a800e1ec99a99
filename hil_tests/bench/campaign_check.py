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

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from .campaign_draw import EDGE_S, FIRST_S, Roll
from .campaign_result import Effect, Outcome, Problem
from .expected import EXPECT, LINK, MOMENTARY, end_s, expect, lasers_of
from .runner import Run
from .witness import Witness

WILD = 6.0  # standard uncertainties: a number farther from the truth looks right and is not
LATE_S = 0.25  # from the end of a window to the host, batch and all
BACK_LINK_S = 3.0  # from the end of a fault of the link until all is there that was made meanwhile
ON_THE_WAY_S = 0.0015  # distances of a window come so long after its end, and may be hit as well
SILENT_S = 0.25  # a laser without bytes is set up anew, whatever the gauge knows of the gap
RESTART_S = 0.4  # of windows at most that a restart takes with it out of the board's memory
TWICE_S = 0.0001  # of a window that the one before has as well: each end is an interrupt's
MADE_S = 0.006  # from the end of a window to its outputs
_VAGUE = 0.02  # of a thickness: a standard uncertainty that reaches its limits by itself
_TOLD = 3  # differences of a stretch of windows that are told
_HOLE_MOST = 5  # conversions that a frame temperature costs
_NUMBERS = (
    # of the record, of the truth, their ratio, standard uncertainty
    ("thickness_nm", "thickness_nm", 1, "u_thickness_nm"),
    ("porosity_ppm", "porosity_ppm", 1, "u_porosity_ppm"),
    ("permittivity_e4", "permittivity", 10_000, "u_permittivity_e4"),
)


@dataclass
class Group:
    """Faults whose effects overlap."""

    indices: list[int]
    begin_s: float
    end_s: float
    deadline_s: float  # until then all must be well again
    may: frozenset[str]  # flags that can come


def _group(roll: Roll, indices: list[int], link: bool) -> Group | None:
    """The faults of a group that hit the measurement, or (`link`) the way to the host."""
    stops = (*LINK, "board_reset") if link else tuple(k for k in EXPECT if k not in LINK)
    indices = [i for i in indices if roll.faults[i].kind in stops]
    if not indices:
        return None
    master_slave = roll.scenario.laser.sync == "master_slave"
    faults = [roll.faults[i] for i in indices]
    expected = [expect(fault, master_slave) for fault in faults]
    end = max(map(end_s, faults))
    # each may begin to recover only when the one before has
    back = len(faults) * BACK_LINK_S if link else sum(e.back_s for e in expected)
    may = frozenset(name for e in expected for name in (*e.flags, *e.also))
    return Group(indices, min(f.at_s for f in faults) - ON_THE_WAY_S, end, end + back, may)


class _Judge:
    def __init__(self, roll: Roll, run: Run, witness: Witness):
        self.roll, self.run, self.witness = roll, run, witness
        self.outcome = Outcome(roll.number, roll.scenario.run.seed)
        self.outcome.effects = [Effect(f.kind, f.at_s) for f in roll.faults]
        master_slave = roll.scenario.laser.sync == "master_slave"
        self.expected = [expect(fault, master_slave) for fault in roll.faults]
        self.groups = [g for i in roll.groups if (g := _group(roll, i, False))]
        self.link_groups = [g for i in roll.groups if (g := _group(roll, i, True))]
        self.rows = run.records()
        self.ends = [1e-9 * run.window_end_ns(row) for row in self.rows]
        self.begins = [
            end - 1e-6 * row["dt_us"] for end, row in zip(self.ends, self.rows, strict=True)
        ]
        edges = [edge for edge in run.target.outputs if edge.name == "good"]
        self.edges_s = [1e-9 * edge.t_ns for edge in edges]
        self.levels = [edge.level for edge in edges]
        # a reference that was not renewed, or of another boot, is told of until the next empty gap
        self.may_be_due = any(fault.kind == "board_reset" for fault in roll.faults) or any(
            group.begin_s < b + 2 and a < group.deadline_s
            for group in self.groups
            for a, b in roll.empty_s
        )

    # -- small questions

    def problem(self, what: str, at_s: float, group: Group | None, text: str) -> None:
        """Note a problem, for each fault of the group."""
        indices = group.indices if group else []
        kinds = tuple(self.roll.faults[i].kind for i in indices)
        self.outcome.problems.append(Problem(what, round(at_s, 4), kinds, text))
        for i in indices:
            self.outcome.effects[i].problems[what] += 1

    def near(self, begin_s: float, stop_s: float, groups: list[Group] | None = None):
        """Return the latest group whose faults or their effects overlap a time, or None."""
        for group in reversed(self.groups if groups is None else groups):
            if group.begin_s <= stop_s and begin_s <= group.deadline_s:
                return group
        return None

    def before(self, at_s: float) -> Group | None:
        """Return the last group that had begun at an instant."""
        begun = [g for g in (*self.groups, *self.link_groups) if g.begin_s <= at_s]
        return max(begun, key=lambda g: g.begin_s, default=None)

    def phase(self, i: int) -> str:
        """Return film, empty or edge: what was in the gap in a window and around it."""
        for a, b in self.roll.empty_s:
            if a + EDGE_S < self.begins[i] and self.ends[i] < b - 0.05:
                return "empty"
            if a - 0.1 < self.ends[i] and self.begins[i] < b + EDGE_S:
                return "edge"
        return "film"

    def good_at(self, t_s: float) -> bool:
        """Level of the output `good` at an instant."""
        k = bisect.bisect_right(self.edges_s, t_s)
        return self.levels[k - 1] if k else False

    def energised(self, begin_s: float, stop_s: float) -> float:
        """Return for how long `good` was energised within a time."""
        k = bisect.bisect_right(self.edges_s, begin_s)
        level, at, total = self.levels[k - 1] if k else False, begin_s, 0.0
        while at < stop_s:
            until = min(stop_s, self.edges_s[k]) if k < len(self.edges_s) else stop_s
            total += (until - at) * level
            at = until
            if k < len(self.levels):
                level = self.levels[k]
            k += 1
        return total

    def made_s(self, i: int) -> float:
        """Return when a window was made: without its converter a period later, by the clock."""
        late = "capacitance_fault" in self.rows[i]["flags"]
        return self.ends[i] + late * 1e-3 * self.roll.scenario.capacitance.conversion_ms

    def well(self, i: int, phase: str) -> bool:
        """Whether a window is as if there were no faults."""
        row = self.rows[i]
        flags = set(row["flags"])
        if self.may_be_due:
            flags -= {"standardisation_due", "standardisation_refused"}
        if "record_gap" in flags and self.near(self.ends[i], self.ends[i], self.link_groups):
            flags.remove("record_gap")  # it told the ring's end, which stops nothing
        if phase == "film":
            return row["state"] == "measuring" and row["valid"] and not flags
        return row["state"] in ("off_sheet", "standardising") and flags <= {
            "no_film",
            "standardisation_due",
        }

    # -- the rules

    def judge(self) -> Outcome:
        """Apply all rules."""
        self.outcome.windows = len(self.rows)
        self.completeness()
        self.timeline()
        self.restarts()
        self.numbers()
        self.recovery()
        self.flags()
        self.outputs()
        self.delivery()
        self.sensors()
        self.outcome.problems.sort(key=lambda problem: problem.at_s)
        for effect in self.outcome.effects:
            for name in ("flagged_s", "back_s"):
                value = getattr(effect, name)
                setattr(effect, name, None if value is None else round(value, 4))
        return self.outcome

    def completeness(self) -> None:
        """Each sequence number is stored, or in a gap with its cause."""
        run, device = self.run, self.run.session.device
        for boot in sorted(run.boots):
            state = run.store.completeness(device, boot, 0)
            missing = list(state.missing)
            if boot == run.session.boot and run.newest_made > state.last:
                missing.append((state.last + 1, run.newest_made))
            for first, last in missing:
                at = self._time_of(boot, first)
                text = f"windows {first} to {last} of boot {boot} are not there, nor told of"
                self.problem("lost", at, self.before(at), text)
            for gap in run.store.gaps(device, boot):
                first, last = gap["from_seq"], gap["to_seq"]
                at = self._time_of(boot, first)
                group = self.near(at - 2, at + 2, self.groups + self.link_groups)
                count = last - first + 1
                if gap["cause"] == "board_restart":
                    continue  # counted by time, in `restarts`
                if group is None:
                    text = f"{count} windows are in a gap ({gap['cause']}) without a fault"
                    self.problem("lost", at, None, text)
                else:
                    self.gone(group, count)

    def _time_of(self, boot: int, seq: int) -> float:
        """About when a window that is not there ended."""
        here = [(row["seq"], end) for row, end in self.of_boot(boot) if row["seq"] < seq]
        return here[-1][1] if here else 1e-9 * self.run.boots[boot]

    def of_boot(self, boot: int) -> Iterator[tuple[dict[str, Any], float]]:
        """Records of a boot with their ends."""
        pairs = zip(self.rows, self.ends, strict=True)
        return ((row, end) for row, end in pairs if row["boot"] == boot)

    def gone(self, group: Group, windows: int) -> None:
        """Windows do not exist, and the log says so."""
        self.outcome.gaps += windows
        for i in group.indices:
            self.outcome.effects[i].in_gaps += windows

    def timeline(self) -> None:
        """One window follows the other; a hole between them is told of, and has a cause."""
        rows = self.rows
        period = 1e-3 * self.roll.scenario.capacitance.conversion_ms
        told_s = -60.0  # of the last hole for a frame temperature
        for i in range(1, len(rows)):
            row, old = rows[i], rows[i - 1]
            if row["boot"] != old["boot"] or row["seq"] != old["seq"] + 1:
                continue
            hole = self.begins[i] - self.ends[i - 1]
            if self.ends[i] < FIRST_S:
                continue  # the board is brought into service
            group = self.near(self.ends[i - 1], self.ends[i])
            blamed = group or self.before(self.ends[i])
            if hole < -TWICE_S:
                text = (
                    f"window {row['seq']} begins {-1e3 * hole:.1f} ms before the end of the last"
                )
                self.problem("lost", self.ends[i], blamed, text)
            missing = round(hole / period)
            if missing != row["lost"]:
                text = f"{missing} windows are missing before {row['seq']}, it says {row['lost']}"
                self.problem("lost", self.ends[i], blamed, text)
            elif row["lost"] and group:
                self.gone(group, row["lost"])
            elif row["lost"]:
                planned = row["lost"] <= _HOLE_MOST and "overrun" not in row["flags"]
                if not planned or self.ends[i] - told_s < 55:
                    text = f"{row['lost']} conversions were lost without a fault"
                    self.problem("lost", self.ends[i], blamed, text)
                told_s = self.ends[i]

    def restarts(self) -> None:
        """What a restart takes with it, and how long it takes."""
        run = self.run
        period = 1e-3 * self.roll.scenario.capacitance.conversion_ms
        boots = sorted(run.boots)
        for old, new in zip(boots, boots[1:], strict=False):
            reset_s = 1e-9 * run.boots[new]
            group = self.near(reset_s, reset_s)
            if group is None:
                self.problem("lost", reset_s, None, "the board has restarted without a fault")
                continue
            first = next((end for _, end in self.of_boot(new)), None)
            last = max((end for _, end in self.of_boot(old)), default=reset_s)
            cut = self.near(last, reset_s, self.link_groups)
            cut_off = cut and any(self.roll.faults[i].kind in LINK for i in cut.indices)
            if reset_s - last > RESTART_S and not cut_off:
                text = f"{(reset_s - last) / period:.0f} windows before a restart never came"
                self.problem("lost", reset_s, group, text)
            if first is not None:
                self.gone(group, round((first - last) / period) - 1)

    def numbers(self) -> None:
        """No number is far from the truth, and its uncertainty covers it as often as it says."""
        counts = self.outcome.covered
        for i, row in enumerate(self.rows):
            if all(row[name] is None for name, *_ in _NUMBERS):
                continue
            group = self.near(self.begins[i], self.ends[i])
            truth = self.run.truth_of(row)
            if truth["film"] < 1.0:
                self.problem("wrong", self.ends[i], group, "a number where there was no film")
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
                    self.problem("wrong", self.ends[i], group, text)
                count = counts.setdefault(f"{name} {'near' if group else 'far'}", [0, 0])
                count[0] += 1
                count[1] += abs(error) <= 2 * row[u]

    def recovery(self) -> None:
        """Which windows a fault hit; after its time to recover all must be well."""
        bad_since: int | None = None
        for i in range(len(self.rows) + 1):
            bad = False
            if i < len(self.rows):
                phase, group = self.phase(i), self.near(self.begins[i], self.ends[i])
                if phase == "edge" or self.begins[i] < FIRST_S:
                    continue
                well = self.well(i, phase)
                if group is not None and not well:
                    for index in group.indices:
                        self.outcome.effects[index].affected += 1
                    late = self.ends[i] - group.end_s
                    if late > 0:
                        for index in group.indices:
                            self.outcome.effects[index].back_s = late
                bad = group is None and not well
            if bad and bad_since is None:
                bad_since = i
            elif not bad and bad_since is not None:
                row, n = self.rows[bad_since], i - bad_since
                text = (
                    f"{n} windows are not well: {row['state']} ({row['reason']}),"
                    f" flags {', '.join(row['flags']) or 'none'}"
                )
                at = self.begins[bad_since]
                self.problem("back", at, self.before(at), text)
                bad_since = None
        for group in self.groups:
            for index in group.indices:
                effect = self.outcome.effects[index]
                if effect.affected and effect.back_s is None:
                    effect.back_s = 0.0

    def flags(self) -> None:
        """Each fault raises its flag in time, and nothing raises a flag without a fault."""
        for group in self.groups:
            inside = range(
                bisect.bisect_left(self.ends, group.begin_s),
                bisect.bisect_right(self.begins, group.deadline_s),
            )
            self._without_cause(group, inside)
            for index in group.indices:
                for flag in self.expected[index].flags:
                    self._in_time(group, index, flag, inside)

    def _without_cause(self, group: Group, inside: range) -> None:
        allowed = {*group.may, "no_film", "record_gap"}
        if self.may_be_due:
            allowed |= {"standardisation_due", "standardisation_refused"}
        for i in inside:
            row, phase = self.rows[i], self.phase(i)
            extra = set(row["flags"]) - allowed
            if "no_film" in row["flags"] and phase == "film" and "no_film" not in group.may:
                extra.add("no_film")
            if phase == "edge":
                extra -= {"not_physical", "laser_a_fault", "laser_b_fault", "overrun"}
            if (row["u_thickness_nm"] or 0) > _VAGUE * (row["thickness_nm"] or 0):
                extra = {name for name in extra if not name.startswith("thickness_")}
            if extra and self.near(self.begins[i], self.ends[i]) is group:
                text = f"window {row['seq']} has {', '.join(sorted(extra))} without a cause"
                self.problem("flag", self.ends[i], group, text)

    def _in_time(self, group: Group, index: int, flag: str, inside: range) -> None:
        fault, expected = self.roll.faults[index], self.expected[index]
        effect, stop = self.outcome.effects[index], end_s(fault)
        for i in inside:
            row, end = self.rows[i], self.ends[i]
            if not fault.at_s < end <= stop:
                continue
            if flag in row["flags"]:
                if effect.flagged_s is None:
                    effect.flagged_s = end - fault.at_s
            elif (
                end > fault.at_s + expected.within_s
                and expected.steady
                and not self._hidden(group, fault, flag, i)
            ):
                text = (
                    f"window {row['seq']} has no {flag} {end - fault.at_s:.3f} s after its begin"
                )
                self.problem("flag", end, group, text)
        bytes_hit = 12_000 * getattr(fault, "rate", 0) * (stop - fault.at_s)
        if not expected.steady and effect.flagged_s is None and bytes_hit > 20:
            kinds = {self.roll.faults[k].kind for k in group.indices}
            if len(kinds) == 1 and self.phase(inside[0]) == self.phase(inside[-1]) == "film":
                self.problem("flag", fault.at_s, group, f"{flag} never came")

    def _hidden(self, group: Group, fault: SimpleNamespace, flag: str, i: int) -> bool:
        """Whether a flag cannot be told in a window: others of the group stand in its way."""
        row = self.rows[i]
        others = [self.roll.faults[k] for k in group.indices if self.roll.faults[k] is not fault]
        if any(other.kind == "board_reset" for other in others):
            return self.near_restart(i)
        silent = fault.kind == "laser_unplugged" and self.ends[i] > fault.at_s + SILENT_S
        if flag.startswith("laser") and not silent:
            # whether lasers should see anything is known from the capacitance alone
            if self.phase(i) != "film" or {"capacitance_fault", "no_film"} & {*row["flags"]}:
                return True
            both = {name for other in (fault, *others) for name in lasers_of(other)} == {*"ab"}
            return both and row["reason"] in ("edge_of_film", "laser_a_fault", "laser_b_fault")
        return False

    def near_restart(self, i: int) -> bool:
        """Whether a window is among the first of a boot."""
        boot = self.rows[i]["boot"]
        return boot > min(self.run.boots) and self.begins[i] - 1e-9 * self.run.boots[boot] < 4.0

    def outputs(self) -> None:
        """`good` is energised for valid windows alone, and in no time that a fault takes away."""
        for group in self.groups:
            for index in group.indices:
                fault, expected = self.roll.faults[index], self.expected[index]
                if expected.numbers or not expected.steady or fault.kind in MOMENTARY:
                    continue
                begin = self._known_s(group, index) + MADE_S
                on = self.energised(begin, end_s(fault))
                if on > 0:
                    text = f"good is energised for {on:.3f} s while a {fault.kind} lasts"
                    self.problem("output", begin, group, text)
        for i, row in enumerate(self.rows):
            good = "good" in row["outputs"]
            if good and not (row["valid"] and row["state"] == "measuring"):
                group = self.near(self.begins[i], self.ends[i])
                self.problem("output", self.ends[i], group, "good in a window that is not valid")
            following = self.rows[i + 1] if i + 1 < len(self.rows) else row
            if following["boot"] != row["boot"]:
                continue
            # the outputs of a window stay until the next one's
            if following["seq"] == row["seq"] + 1 and not good:
                made = self.made_s(i) + 2 * MADE_S
                on = self.energised(made, max(made, self.made_s(i + 1)))
                if on > 0:
                    group = self.near(self.begins[i], self.ends[i])
                    text = f"good stays energised after window {row['seq']}, which is not good"
                    self.problem("output", self.ends[i], group, text)
        for boot in sorted(self.run.boots)[1:]:
            begin = 1e-9 * self.run.boots[boot]
            first = next((end for _, end in self.of_boot(boot)), None)
            on = self.energised(begin + MADE_S, begin + 0.05 if first is None else first)
            if on > 0:
                self.problem("output", begin, self.near(begin, begin), "good while it starts")

    def _known_s(self, group: Group, index: int) -> float:
        """When a fault must be known: a converter that is silent gives no window to see it in."""
        known = self.roll.faults[index].at_s + self.expected[index].within_s
        for k in group.indices:
            other = self.roll.faults[k]
            if other.kind in ("cap_lost", "ready_open") and other.at_s <= known:
                silent = min(end_s(other), other.at_s + self.expected[k].within_s)
                known = max(known, silent + EXPECT["i2c_nack"].within_s)
        return known

    def delivery(self) -> None:
        """Records come in time; those of an outage soon after it."""
        arrivals = self.run.arrivals
        last = None
        for i, row in enumerate(self.rows):
            came = 1e-9 * arrivals[row["boot"], row["seq"]]
            group = self.near(self.ends[i], self.ends[i] + LATE_S, self.link_groups)
            if came - self.ends[i] <= LATE_S:
                continue
            if group is None:
                if last is None or self.ends[i] - last > 0.5:
                    text = f"window {row['seq']} came {came - self.ends[i]:.2f} s late"
                    self.problem("back", self.ends[i], self.before(self.ends[i]), text)
                last = self.ends[i]
                continue
            if came > group.deadline_s and last is None:
                text = (
                    f"window {row['seq']} came {came - group.end_s:.2f} s after the link was back"
                )
                self.problem("back", self.ends[i], group, text)
            for index in group.indices:
                effect = self.outcome.effects[index]
                effect.affected += 1
                effect.back_s = max(effect.back_s or 0.0, came - group.end_s)

    def sensors(self) -> None:
        """Outside of faults each record holds what the sensors sent, nothing less or more."""
        words = {boot: {row[0]: row for row in self.run.rows(boot)} for boot in self.run.boots}
        for stretch in self._stretches():
            first = self.rows[stretch[0]]
            boot, end = first["boot"], self.ends[stretch[0]]
            rows = [words[boot][self.rows[i]["seq"]] for i in stretch]
            for text in self.witness.problems(boot, rows)[:_TOLD]:
                self.problem("wrong", end, self.before(end), text)

    def _stretches(self) -> Iterator[list[int]]:
        """Successive records of which no fault is near."""
        stretch: list[int] = []
        for i, row in enumerate(self.rows):
            near = self.near(self.begins[i] - 0.05, self.ends[i])
            clear = near is None and self.begins[i] > FIRST_S + 0.2
            last = self.rows[stretch[-1]] if stretch else row
            if not clear or (row["boot"], row["seq"] - 1) != (last["boot"], last["seq"]):
                if len(stretch) > 1:
                    yield stretch
                stretch = []
            if clear:
                stretch.append(i)
        if len(stretch) > 1:
            yield stretch


def judge(roll: Roll, run: Run, witness: Witness) -> Outcome:
    """Hold a finished run against what its faults may and must lead to."""
    return _Judge(roll, run, witness).judge()
