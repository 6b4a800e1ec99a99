"""The gauge's one state machine: from what is known to a state and the reason for it (pure).

The states are `record.STATE_NAMES`. They are decided anew after every window from facts, in the
order of their weight; only a hold is remembered:

    fault          no legal calibration and recipe, or a sensor without which nothing is measured
    hold           asked for by a command, until resumed
    warm_up        until the warm-up time of the head has passed
    off_sheet      no film in the gap
    standardising  no film in the gap, and windows are being averaged for a new reference
    measuring      film in the gap

    >>> machine = Machine()
    >>> machine.decide(facts, film_present=True, warming=False, standardising=False)
    >>> record.STATE_NAMES[machine.state], record.REASON_NAMES[machine.reason]
    ('measuring', 'film_present')
"""

from gauge import record as r


class Machine:
    """State and reason; `hold` is set and cleared by commands."""

    def __init__(self):
        self.state = r.STATE_WARM_UP
        self.reason = r.REASON_SENSOR_START
        self.hold = False

    def decide(self, faults, film_present, warming, standardising):
        """Take the facts of one window; return True when the state or its reason changed.

        `faults` are FLAG_* bits of what is broken now (calibration missing, capacitance, lasers).
        """
        if faults & r.FLAG_CALIBRATION_MISSING:
            state, reason = r.STATE_FAULT, r.REASON_CALIBRATION_MISSING
        elif faults & r.FLAG_CAPACITANCE_FAULT:
            state, reason = r.STATE_FAULT, r.REASON_CAPACITANCE_FAULT
        elif self.hold:
            state, reason = r.STATE_HOLD, r.REASON_HOLD_REQUESTED
        elif warming:
            state, reason = r.STATE_WARM_UP, r.REASON_WARMING_UP
        elif not film_present:
            if standardising:
                state, reason = r.STATE_STANDARDISING, r.REASON_STANDARDISING
            else:
                state, reason = r.STATE_OFF_SHEET, r.REASON_NO_FILM
        elif faults & r.FLAG_LASER_A_FAULT:
            state, reason = r.STATE_FAULT, r.REASON_LASER_A_FAULT
        elif faults & r.FLAG_LASER_B_FAULT:
            state, reason = r.STATE_FAULT, r.REASON_LASER_B_FAULT
        else:
            state, reason = r.STATE_MEASURING, r.REASON_FILM_PRESENT
        changed = state != self.state or reason != self.reason
        self.state = state
        self.reason = reason
        return changed
