"""The command dialogue of an optoNCDT: lines in, replies out, settings kept.

Sources: optoNCDT 1420 operating instructions, appendix A 3 (ASCII communication), of which the
1900 and the 2300 share form and names; the 1900's own list was not at hand, its SYNC command has
the 2300's form. A command without argument is a question, answered by `NAME value` in a form that
can be sent again; a reply ends with the prompt `->`; `Exxx text` refuses, `Wxxx text` warns and
executes. Numbers of errors other than E104 are from memory of the same family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .optoncdt import OptoNCDT

PROMPT = "->"
BAUDRATES = (
    "9600 19200 56000 115200 128000 230400 256000 460800 691200 921600 1000000"
).split()  # fmt: skip
ADDITIONAL = ("SHUTTER", "COUNTER", "TIMESTAMP", "INTENSITY", "STATE", "DIST_RAW")
_RATES_1420 = (0.25, 0.5, 1, 2, 4)
_UNKNOWN = "E210 Unknown command"
_COUNT = "E232 Wrong parameter count"
_WRONG = "E234 Wrong or unknown parameter type"
_RANGE = "E236 Value is out of range or the format is invalid"

# name: legal single words
_WORDS = {
    "OUTPUT": ("NONE", "RS422", "ANALOG"),
    "LASERPOW": ("FULL", "OFF"),
    "ECHO": ("ON", "OFF"),
    "MEASPEAK": ("DISTA", "DISTW", "DIST1"),
    "TRIGGER": ("NONE", "EDGE", "PULSE", "SOFTWARE"),
    "TRIGGERAT": ("INPUT", "OUTPUT"),
    "MFILEVEL": ("HTL_HIGH", "HTL_LOW"),
}
_SYNC = ("NONE", "MASTER", "SLAVE", "MASTER_ALT", "SLAVE_ALT")
_FACTORY = {
    "OUTPUT": "RS422",
    "MEASRATE": "4.000",
    "BAUDRATE": "921600",
    "LASERPOW": "FULL",
    "ECHO": "ON",
    "MEASPEAK": "DISTA",
    "AVERAGE": "NONE",
    "TRIGGER": "NONE",
    "TRIGGERAT": "INPUT",
    "TRIGGERCOUNT": "1",
    "MFILEVEL": "HTL_HIGH",
    "OUTREDUCEDEVICE": "NONE",
    "OUTREDUCECOUNT": "1",
    "OUTADD_RS422": "NONE",
    "OUTHOLD": "NONE",
    "MASTERMV": "NONE",
    "SYNC": "NONE",
}
# what a sensor may have stored by whoever used it before
_OTHER = {
    "MEASRATE": "1.000",
    "AVERAGE": "MOVING 8",
    "OUTADD_RS422": "SHUTTER COUNTER",
    "OUTHOLD": "100",
    "ECHO": "OFF",
}


class Dialogue:
    """Settings and commands of one laser."""

    def __init__(self, laser: OptoNCDT):
        self.laser = laser
        self.settings: dict[str, str] = {}
        self.stored: dict[str, str] | None = None

    def power_up(self, kind: str) -> None:
        """Load the settings of a start: stored ones, else those of the scenario's `kind`."""
        self.settings = dict(_FACTORY)
        if self.laser.model.series == "1420":
            self.settings["MEASRATE"] = "2.000"
        if kind == "silent":
            self.settings["OUTPUT"] = "NONE"
        elif kind in ("other", "other_baud"):
            self.settings.update(_OTHER)
            if kind == "other_baud":
                self.settings["BAUDRATE"] = "115200"
        if self.stored is not None:
            self.settings = dict(self.stored)

    def additional(self) -> tuple[str, ...]:
        """Names of the additional values, in the order in which they are sent."""
        chosen = self.settings["OUTADD_RS422"].split()
        return tuple(name for name in ADDITIONAL if name in chosen)

    def average(self) -> int:
        """How many distances each output is the mean of."""
        words = self.settings["AVERAGE"].split()
        return int(words[1]) if len(words) == 2 else 1

    def answer(self, line: str) -> str:
        """Execute one line and return the whole reply, prompt included."""
        words = line.upper().split()
        if not words:
            return PROMPT
        name, arguments = words[0], words[1:]
        before = dict(self.settings)
        text = self._do(name, arguments)
        if text is None:
            return ""  # RESET: the sensor is gone
        if text == "" and self.settings["ECHO"] == "ON":
            text = f"{line.strip()} ok"
        if before != self.settings:
            self.laser.changed()
        return f"{text}\r\n{PROMPT}" if text else f"\r\n{PROMPT}"

    def _do(self, name: str, arguments: list[str]) -> str | None:
        """Return a reply without prompt; "" for done, None for a restart."""
        if name == "GETINFO":
            return self._info()
        if name == "PRINT":
            return "\r\n".join(f"{key} {value}" for key, value in self._shown().items())
        if name == "GETOUTINFO_RS422":
            return " ".join(("GETOUTINFO_RS422", "DIST1", *self.additional()))
        if name == "HELP":
            return "\r\n".join(sorted(self._shown()))
        if name == "RESET":
            self.laser.reset()
            return None
        if name == "SETDEFAULT":
            self.stored = None
            self.power_up("factory")
            return ""
        if name in ("BASICSETTINGS", "MEASSETTINGS"):
            if arguments[:1] == ["STORE"]:
                self.stored = dict(self.settings)
            elif arguments[:1] != ["READ"]:
                return _WRONG
            return ""
        if name in ("RESETCNT", "LOGIN", "LOGOUT", "TRIGGERSW", "LANGUAGE"):
            return ""
        if name not in self._shown():
            return _UNKNOWN
        if not arguments:
            return f"{name} {self.settings[name]}"
        value, error = self._checked(name, arguments)
        if error:
            return error
        self.settings[name] = value
        return ""

    def _shown(self) -> dict[str, str]:
        """The settings that this model has."""
        if self.laser.model.series == "1420":
            return {k: v for k, v in self.settings.items() if k != "SYNC"}
        return self.settings

    def _info(self) -> str:
        model = self.laser.model
        return "\r\n".join(
            (
                f"Name: ILD{model.series}-{model.range_mm}",
                f"Serial: {self.laser.serial}",
                "Option: 000",
                "Article: 4120212",
                "Cable head: Wire",
                f"Measuring range: {model.range_mm:.2f}mm",
                "Version: 001.010",
                "Hardware-rev: 00",
                "Boot-version: 001.000",
            )
        )

    def _checked(self, name: str, arguments: list[str]) -> tuple[str, str]:
        """Return (setting, "") or ("", error)."""
        text = " ".join(arguments)
        if name in _WORDS:
            if len(arguments) != 1:
                return "", _COUNT
            return (text, "") if text in _WORDS[name] else ("", _WRONG)
        if name == "SYNC":
            legal = arguments[0] in _SYNC and arguments[1:] in ([], ["TERMON"], ["TERMOFF"])
            return (arguments[0], "") if legal else ("", _WRONG)
        if name == "BAUDRATE":
            return (text, "") if text in BAUDRATES else ("", _RANGE)
        if name == "MEASRATE":
            return self._rate(text)
        if name == "AVERAGE":
            if text == "NONE":
                return text, ""
            legal = len(arguments) == 2 and arguments[0] in ("MOVING", "RECURSIVE", "MEDIAN")
            if not legal or not arguments[1].isdigit():
                return "", _WRONG
            return (text, "") if 1 <= int(arguments[1]) <= 4096 else ("", _RANGE)
        if name == "OUTADD_RS422":
            known = text == "NONE" or all(word in ADDITIONAL for word in arguments)
            return (text, "") if known else ("", _WRONG)
        if name == "OUTREDUCEDEVICE":
            known = text == "NONE" or all(word in ("RS422", "ANALOG") for word in arguments)
            return (text, "") if known else ("", _WRONG)
        if name == "OUTHOLD" and text in ("NONE", "INFINITE"):
            return text, ""
        if name == "MASTERMV":
            if text == "NONE":
                return text, ""
            return (text, "") if arguments[0] == "MASTER" and len(arguments) == 2 else ("", _WRONG)
        top = {"OUTHOLD": 1024, "OUTREDUCECOUNT": 3_000_000, "TRIGGERCOUNT": 16_383}[name]
        if not text.isdigit():
            return "", _WRONG
        return (text, "") if 0 <= int(text) <= top else ("", _RANGE)

    def _rate(self, text: str) -> tuple[str, str]:
        try:
            khz = float(text)
        except ValueError:
            return "", _WRONG
        if self.laser.model.series == "1420":
            legal = khz in _RATES_1420
        else:
            legal = 0.25 <= khz <= 10
        return (f"{khz:.3f}", "") if legal else ("", _RANGE)
