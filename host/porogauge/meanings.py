"""What the names in a record mean: flags, states and reasons, a sentence each."""

from __future__ import annotations

from gauge import record

__all__ = ["CONDITIONS", "FLAGS", "REASONS", "STATES"]

# Flags that are no limits: what they mean, and what to do.
CONDITIONS = {
    "not_physical": (
        "the numbers are outside of what the mixing law allows",
        "check the recipe's permittivity of the solid and structure factor, then the reference",
    ),
    "not_resolvable": (
        "U95 of porosity is beyond the recipe's limit: no porosity is reported",
        "film too thin or too dense for this head, or a drifted reference: standardise",
    ),
    "no_film": ("the gap is empty", "thread the web, or look for a break"),
    "laser_a_fault": ("laser A gives no distances", "clean its window, check cable and power"),
    "laser_b_fault": ("laser B gives no distances", "clean its window, check cable and power"),
    "capacitance_fault": ("the converter does not answer", "check its cable and the electrodes"),
    "environment_fault": (
        "air temperature or humidity is not known",
        "check the climate sensor: humidity is not compensated meanwhile",
    ),
    "overrun": ("a conversion or bytes of a laser were lost", "see gauge health for the counters"),
    "standardisation_due": (
        "the reference is old, or the frame's temperature has changed since",
        "standardise at the next empty gap",
    ),
    "standardisation_refused": (
        "the last reference drifted beyond its limit and was not taken",
        "clean electrodes and windows, check the head's position, standardise again",
    ),
    "calibration_missing": (
        "the board has no valid calibration and recipe",
        "send them: porogauge recipe push",
    ),
    "outside_envelope": (
        "thickness, porosity, climate or web height is outside of the calibrated range",
        "the uncertainty was not proven there: bring it back, or calibrate for it",
    ),
    "record_gap": (
        "records were dropped before they were stored",
        "the host was away for longer than the board's memory: see the history",
    ),
    "watchdog_restart": ("the board was restarted by its watchdog", "see gauge health"),
    "crash_restart": ("the board's program ended with an error", "see gauge health"),
    "flash_write": (
        "the board wrote its memory: the conversions before were not measured",
        "nothing: the windows are counted as lost",
    ),
}

_ENDS = {
    "lolo": "below LOLO, the lower reject limit",
    "lo": "below LO, the lower warning limit",
    "hi": "above HI, the upper warning limit",
    "hihi": "above HIHI, the upper reject limit",
    "high": "above its highest value",
}


def _flag(name: str) -> str:
    if name in CONDITIONS:
        return CONDITIONS[name][0]
    quantity, _, end = name.rpartition("_")
    return f"{quantity} is {_ENDS[end]}"


FLAGS = {name: _flag(name) for name in record.FLAG_NAMES}

STATES = {
    "warm_up": "the gauge warms up: no numbers",
    "off_sheet": "no film in the gap, or the head beside the web",
    "standardising": "a new reference is being taken",
    "measuring": "film in the gap, numbers are reported",
    "hold": "stopped by a command: no numbers",
    "fault": "a sensor, or the calibration, is missing: no numbers",
}

REASONS = {
    "ok": "no number is missing",
    "warming_up": "the time of warm-up, or the drift of temperature, has not ended",
    "no_film": "the capacitance says that the gap is empty",
    "standardising": "a reference is being taken",
    "hold_requested": "a command asked for it",
    "laser_a_fault": "laser A gives no distances that can be used",
    "laser_b_fault": "laser B gives no distances that can be used",
    "capacitance_fault": "the converter gives no capacitance that can be used",
    "calibration_missing": "there is no valid calibration and recipe on the board",
    "not_physical": "the numbers are outside of what the mixing law allows",
    "not_resolvable": "U95 of porosity exceeds the recipe's limit",
    "edge_of_film": "film came or went within the window",
    "film_present": "ready, with film in the gap",
    "standardisation_refused": "the reference drifted beyond its limit",
    "sensor_start": "a sensor has not yet been verified after its start",
    "not_identifiable": "the recipe's layers hide porosity: thickness alone is measured",
}
