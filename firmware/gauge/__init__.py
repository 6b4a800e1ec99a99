"""Firmware of the porogauge film gauge; the overview of its rooms is in OVERVIEW.md."""

VERSION = "0.1.0"
