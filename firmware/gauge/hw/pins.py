"""Single wires of the boards with `machine.Pin`: outputs, inputs, service pin."""

import time

import board
from machine import Pin


class Outputs:
    """The board's outputs, active high; all are off from reset to the first call."""

    def __init__(self):
        self._good = Pin(board.PIN_GOOD, Pin.OUT, value=0)
        self._marker = Pin(board.PIN_MARKER, Pin.OUT, value=0)
        self._heartbeat = Pin(board.PIN_HEARTBEAT, Pin.OUT, value=0)
        self._led = None if board.PIN_LED is None else Pin(board.PIN_LED, Pin.OUT, value=0)

    def good(self, on):
        """Energise the reject relay: the film is good."""
        self._good.value(on)

    def marker(self, on):
        self._marker.value(on)

    def heartbeat(self, on):
        self._heartbeat.value(on)
        if self._led is not None:
            self._led.value(on)

    def all_off(self):
        """The safe state: reject, no mark."""
        self.good(0)
        self.marker(0)
        self.heartbeat(0)

    def any_on(self):
        """Whether a wire is high: after all_off(), one with a short circuit to its supply."""
        pins = (self._good, self._marker, self._heartbeat)
        return any([pin.value() for pin in pins])


class Inputs:
    """The board's inputs; debouncing is up to the caller."""

    def __init__(self):
        self._standardise = Pin(board.PIN_STANDARDISE, Pin.IN, Pin.PULL_UP)
        self._acknowledge = Pin(board.PIN_ACKNOWLEDGE, Pin.IN, Pin.PULL_UP)

    def standardise(self):
        return self._standardise.value() == board.INPUT_ACTIVE

    def acknowledge(self):
        return self._acknowledge.value() == board.INPUT_ACTIVE


def service_pin():
    """Whether the service pin is active, which keeps the gauge from starting."""
    pin = Pin(board.PIN_SERVICE, Pin.IN, Pin.PULL_UP)
    time.sleep_us(100)  # the pull-up charges the wire
    return pin.value() == board.INPUT_ACTIVE
