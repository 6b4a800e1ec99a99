"""Single wires of the emulated board: inputs, outputs with time stamps, edges into PIO programs.

Mended in the emulator: an output pin reads back its own level (`Pin.value()` of an output), and a
PIO program that waits for an edge runs the instructions behind its `wait` at the edge. The
emulator runs one PIO instruction per CPU instruction or idle jump, so that with the CPU asleep a
program would look at the second encoder channel only at the next event, after that had changed.
"""

from __future__ import annotations

from collections.abc import Callable

from rp2040py.gpio_pin import GPIOPinState

NEVER_DUE = 1 << 62  # the emulator's mark: every state machine waits or is off
SETTLE_INSTRUCTIONS = 24  # more than any waiting program runs between two waits


class Pins:
    """Drives inputs and logs outputs of one emulator."""

    def __init__(self, mcu) -> None:
        self._mcu = mcu
        self._levels: dict[int, bool] = {}
        self._watched: list[Callable] = []

    def drive(self, number: int, level: bool) -> None:
        """Drive pin `number` from outside; nothing happens when it has that level already."""
        if self._levels.get(number) == level:
            return
        self._levels[number] = level
        waiting = [pio for pio in self._mcu.pio if not pio.stopped and self._all_wait(pio)]
        self._mcu.gpio[number].set_input_value(level)
        for pio in waiting:
            self._settle(pio)

    @staticmethod
    def _all_wait(pio) -> bool:
        return pio.next_due_fp >= NEVER_DUE

    @staticmethod
    def _settle(pio) -> None:
        """Run the state machines until all of them wait again."""
        for _ in range(SETTLE_INSTRUCTIONS):
            due = pio.next_due_fp
            if due >= NEVER_DUE:
                return
            pio.advance(max(1, (due - pio.cycle_fp + 255) >> 8))

    def watch(self, number: int, changed: Callable[[bool], None]) -> None:
        """Call `changed(level)` whenever the board changes the output `number`.

        A pin that is not (or no longer) an output counts as low: the relay's driver has a
        pull-down resistor.
        """
        pin = self._mcu.gpio[number]
        last = False

        def listener(new, old) -> None:
            nonlocal last
            level = new == GPIOPinState.HIGH
            if new in (GPIOPinState.HIGH, GPIOPinState.LOW):
                pin.set_input_value(level)
            else:
                pin.release_input()
            if level != last:
                last = level
                changed(level)

        pin.add_listener(listener)
        self._watched.append(lambda: listener(pin.value, None))

    def after_reset(self) -> None:
        """Look at all watched outputs: a reset lets go of the pins without telling."""
        for look in self._watched:
            look()
