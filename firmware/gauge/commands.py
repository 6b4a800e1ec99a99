"""What the host may ask for, and what the board answers (operations of `gauge.link.protocol`)."""

import gc

from gauge import health
from gauge import record as r
from gauge.link import protocol

_OF_RECORD = (  # words of STATUS that are fields of the newest record
    "state",
    "state_reason",
    "flags",
    "latched",
    "outputs",
    "valid",
    "reason",
    "frame_mc",
    "air_mc",
    "rh_ppm",
    "position_mm",
    "thickness_8nm",
    "permittivity_e4",
    "porosity_ppm",
    "solid_8nm",
    "u_thickness_8nm",
    "u_porosity_ppm",
)
_COPIES = tuple((health.STATUS_NAMES.index(n), r.FIELD_NAMES.index(n)) for n in _OF_RECORD)


class Commands:
    """The handler that the link's session calls: `commands(op, request, reply)` -> status."""

    def __init__(self, app):
        self._app = app
        self._status = health.new(health.STATUS_NAMES)
        self._health = health.new(health.HEALTH_NAMES)
        self._does = {
            protocol.STATUS: self._send_status,
            protocol.HEALTH: self._send_health,
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
        app.report(words)
        reply.words(words, len(words))
        return protocol.OK

    def _send_health(self, op, request, reply):
        words = self._health
        self._app.report_health(words)
        words[health.HEALTH_HEAP_ALLOC] = gc.mem_alloc()
        words[health.HEALTH_HEAP_FREE] = gc.mem_free()
        reply.words(words, len(words))
        return protocol.OK

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
