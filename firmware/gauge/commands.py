"""What the host may ask for, and what the board answers (operations of `gauge.link.protocol`)."""

from gauge import config, crash, health, reference, standardise, update
from gauge import record as r
from gauge.link import protocol

# Words of STATUS that are fields of the newest record: those of the same name (`lost`, which
# STATUS counts since boot, is filled in afterwards)
_COPIES = tuple(
    (to, r.FIELD_NAMES.index(name))
    for to, name in enumerate(health.STATUS_NAMES)
    if name in r.FIELD_NAMES
)


class Commands:
    """The handler that the link's session calls: `commands(op, request, reply)` -> status."""

    def __init__(self, app):
        self._app = app
        self._status = health.new(health.STATUS_NAMES)
        self._does = {
            protocol.STATUS: self._send_status,
            protocol.HEALTH: self._send_health,
            protocol.WHY: self._send_why,
            protocol.SELF_TEST: self._send_self_test,
            protocol.JOURNAL_STATE: self._answer_journal,
            protocol.JOURNAL_READ: self._answer_journal,
            protocol.JOURNAL_DONE: self._answer_journal,
            protocol.STANDARDISE: self._standardise,
            protocol.ACKNOWLEDGE: self._acknowledge,
            protocol.HOLD: self._hold,
            protocol.RESUME: self._resume,
            protocol.REPL: self._leave,
            protocol.RESET: self._leave,
            protocol.BOOTLOADER: self._leave,
        }

    def __call__(self, op, request, reply):
        does = self._does.get(op)
        if does is None:
            return protocol.UNKNOWN
        return does(op, request, reply)

    def _send_status(self, op, request, reply):
        app, words, rec = self._app, self._status, self._app.rec
        for to, field in _COPIES:
            words[to] = rec[field]
        words[health.STATUS_WINDOWS] = app.seq
        words[health.STATUS_LOST] = app.lost
        words[health.STATUS_CONFIGURED] = 0 if app.words is None else 1
        words[health.STATUS_STANDARD_S] = -1
        if app.words is not None:
            self._add_configuration(words)
        reply.words(words, len(words))
        return protocol.OK

    def _add_configuration(self, words):
        """What is in force: ids, and the reference as the last standardisation left it."""
        app = self._app
        words[health.STATUS_HEAD_ID] = app.words[config.HEAD_ID]
        words[health.STATUS_CALIBRATION_ID] = app.words[config.CALIBRATION_ID]
        words[health.STATUS_RECIPE_ID] = app.words[config.RECIPE_ID]
        standardiser = app.standardiser
        t_s = standardiser.reference[reference.T_S]
        words[health.STATUS_STANDARD_S] = -1 if t_s < 0 else app.session.clock.s - t_s
        report = standardiser.report
        words[health.STATUS_STANDARD_RESULT] = report[standardise.REPORT_RESULT]
        words[health.STATUS_STANDARD_CAUSE] = report[standardise.REPORT_CAUSE]
        words[health.STATUS_AS_FOUND_C0_AF] = report[standardise.REPORT_AS_FOUND_C0_AF]
        words[health.STATUS_AS_LEFT_C0_AF] = report[standardise.REPORT_AS_LEFT_C0_AF]
        words[health.STATUS_AS_FOUND_D_8NM] = report[standardise.REPORT_AS_FOUND_D_8NM]
        words[health.STATUS_AS_LEFT_D_8NM] = report[standardise.REPORT_AS_LEFT_D_8NM]

    def _send_health(self, op, request, reply):
        first = request.word(0) if request.n_words else 0
        if first < 0:
            return protocol.BAD
        self._app.vitals.answer(first, reply)
        return protocol.OK

    def _send_self_test(self, op, request, reply):
        app = self._app
        app.selftest.look_at_sensors(app.head, app.climate)
        reply.words(app.selftest.words, len(app.selftest.words))
        return protocol.OK

    def _send_why(self, op, request, reply):
        app, rec = self._app, self._app.rec
        part = request.word(0)
        if not 0 <= part < len(health.PART_NAMES):
            return protocol.BAD
        name = health.PART_NAMES[part]
        if name == "configuration":
            text = app.installed.fault
        elif name == "capacitance":
            text = app.head.capacitance.why()
        elif name == "climate":
            text = app.climate.why()
        elif name == "laser_a":
            text = app.head.a.why(rec[r.A_ERROR_CODE])
        elif name == "laser_b":
            text = app.head.b.why(rec[r.B_ERROR_CODE])
        elif name == "self_test":
            text = app.selftest.why()
        elif name == "update":
            text = update.why()
        else:
            reply.data(crash.last(app.hw.store))
            return protocol.OK
        reply.text(text)
        return protocol.OK

    def _answer_journal(self, op, request, reply):
        return self._app.journal.answer(op, request, reply)

    def _standardise(self, op, request, reply):
        refusal = self._app.ask_to_standardise()
        if refusal:
            reply.text(refusal)
            return protocol.REFUSED
        return protocol.OK

    def _acknowledge(self, op, request, reply):
        if request.n_words != 1:
            return protocol.BAD
        reply.word(self._app.acknowledge(request.word(0)))
        return protocol.OK

    def _hold(self, op, request, reply):
        self._app.machine.hold = True
        return protocol.OK

    def _resume(self, op, request, reply):
        self._app.machine.hold = False
        return protocol.OK

    def _leave(self, op, request, reply):
        self._app.leave(op)
        return protocol.OK
