"""The trial of a new version: it stays when its self-test passes, else the one before runs again.

The chooser (`porogauge_boot`) starts a new version once on trial. Here it is decided how that
ends: well, as soon as every self-test that counts has passed and the loop has gone round; badly,
when that is not so TRIAL_S after the start. A test counts unless it was accepted when the update
was made: one that had failed in the version before, a sensor that was not there for example.
"""

try:
    import porogauge_boot as boot
except ImportError:  # started without the chooser: no slots, no trials
    boot = None

from micropython import const

from gauge import health, journal
from gauge.link import protocol

TRIAL_S = const(20)
_LEAST_S = const(2)
_ROUNDS = const(100)
_WAITING = health.SELF_TEST_RESULTS.index("waiting")
_FAILED = health.SELF_TEST_RESULTS.index("failed")

ON_TRIAL = protocol.TRIAL_NAMES.index("on_trial")
TAKEN_BACK = protocol.TRIAL_NAMES.index("taken_back")


def _found():
    return None if boot is None else boot.found


def version():
    """Return where the running version lies: an index into protocol.VERSION_NAMES."""
    found = _found()
    return 0 if found is None else protocol.VERSION_NAMES.index(found[boot.RUNS])


def trial():
    """Return how far the last update is: an index into protocol.TRIAL_NAMES."""
    found = _found()
    if found is None:
        return 0
    return {boot.TRIED: ON_TRIAL, boot.FAILED: TAKEN_BACK}.get(found[boot.STATE], 0)


def why():
    """Return why the last update was taken back; empty: it was not."""
    if trial() != TAKEN_BACK:
        return ""
    return "version %s was taken back: %s" % (boot.found[boot.OTHER] or "?", boot.found[boot.WHY])


class Trial:
    """The trial of the version that runs the application `app`, if it is on trial."""

    def __init__(self, app):
        self._app = app
        self.running = trial() == ON_TRIAL  # it has begun and not ended
        self._rounds = 0
        self._start_s = app.session.clock.s
        app.session.tell_version(version(), trial())
        if version() or trial():
            app.journal.put(journal.UPDATE, self._text())

    def _text(self):
        name = protocol.VERSION_NAMES[version()]
        return ("version %s, %s. %s" % (name, protocol.TRIAL_NAMES[trial()], why())).encode()

    def round(self):
        """Count a round of the loop, and end the trial when it is time."""
        app = self._app
        self._rounds += 1
        passed_s = app.session.clock.s - self._start_s
        if passed_s < _LEAST_S or self._rounds < _ROUNDS:
            return
        app.selftest.look_at_sensors(app.head, app.climate)
        left = self._left()
        if left and passed_s < TRIAL_S:
            return
        self.running = False
        try:
            if left:
                boot.take_back("not passed within %d s: %s" % (TRIAL_S, ", ".join(left)))
            else:
                boot.confirm()
                app.session.tell_version(version(), trial())
            app.journal.put(journal.UPDATE, self._text())
        except OSError:
            left = ["pointer"]  # the next start finds a trial that did not end well
        app.head.pass_over()  # the flash was written
        if left:
            app.leave(protocol.RESET)

    def _left(self):
        """Return the names of the tests that count and have not passed."""
        accepted, words = boot.found[boot.ACCEPTED], self._app.selftest.words
        return [
            health.SELF_TEST_NAMES[index]
            for index, word in enumerate(words)
            if not accepted >> index & 1 and word in (_WAITING, _FAILED)
        ]
