"""The relation of the board's clock to the host's, from answers whose way there and back is known.

    host_s = offset_s + rate * board_s

The board answers a PING with its time. It read that time between sending and receiving, so half
of the round trip bounds the error of a single pair whatever the asymmetry. Only the quickest
answers are kept; a straight line through them gives offset and rate.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

_KEEP = 128  # pairs
_SHORT = 1.5  # round trips up to this many times the shortest are used
_SLACK_S = 0.001
_SPAN_S = 10.0  # pairs closer together than this say nothing about the rate
_CRYSTAL = 200e-6  # rates off by more than this are not believed
_JUMP_S = 0.05  # a pair that is off by more than this begins another relation


@dataclass(frozen=True, slots=True)
class Relation:
    """host_s = host_zero_s + (board_s - board_zero_s) * rate, with its standard uncertainty."""

    board_zero_s: float
    host_zero_s: float
    rate: float
    u_zero_s: float  # at board_zero_s
    u_rate: float  # grows with the distance from it

    def host_s(self, board_s: float) -> float:
        """Host time of a board time."""
        return self.host_zero_s + (board_s - self.board_zero_s) * self.rate

    def u_s(self, board_s: float) -> float:
        """Standard uncertainty of host_s(board_s)."""
        return math.hypot(self.u_zero_s, self.u_rate * (board_s - self.board_zero_s))


class ClockRelation:
    """Collects pairs of one boot; `relation` is None until the first one."""

    def __init__(self) -> None:
        self._pairs: deque[tuple[float, float, float]] = deque(maxlen=_KEEP)
        self._relation: Relation | None = None
        self._stale = False

    def clear(self) -> None:
        """Forget everything: another boot has another clock."""
        self._pairs.clear()
        self._relation = None
        self._stale = False

    def add(self, sent_s: float, received_s: float, board_s: float) -> None:
        """Take in an answer: host times of asking and answer, board time within it."""
        trip = received_s - sent_s
        if trip < 0:
            return
        host_s = (sent_s + received_s) / 2
        known = self.relation
        if known is not None:
            drift = _CRYSTAL * abs(board_s - known.board_zero_s)
            if abs(host_s - known.host_s(board_s)) > trip / 2 + drift + _JUMP_S:
                self.clear()  # one of the clocks stood still: the host has slept
        self._pairs.append((board_s, host_s, trip))
        self._stale = True

    @property
    def relation(self) -> Relation | None:
        """The relation that the pairs give."""
        if self._stale:
            self._relation = self._fit()
            self._stale = False
        return self._relation

    def _fit(self) -> Relation:
        shortest = min(trip for _, _, trip in self._pairs)
        used = [pair for pair in self._pairs if pair[2] <= _SHORT * shortest + _SLACK_S]
        n = len(used)
        board0 = sum(board for board, _, _ in used) / n
        host0 = sum(host for _, host, _ in used) / n
        # Uniform within half a round trip; answers share their asymmetry, so no sqrt(n).
        u_zero = max(trip for _, _, trip in used) / 2 / math.sqrt(3)
        spread = sum((board - board0) ** 2 for board, _, _ in used)
        span = max(board for board, _, _ in used) - min(board for board, _, _ in used)
        rate, u_rate = 1.0, 100e-6 / math.sqrt(3)  # a crystal is within 100 ppm
        if span >= _SPAN_S and n >= 4:
            covariance = sum((board - board0) * (host - host0) for board, host, _ in used)
            fitted = covariance / spread
            if abs(fitted - 1) <= _CRYSTAL:
                rate, u_rate = fitted, min(u_rate, u_zero / math.sqrt(spread))
        return Relation(board0, host0, rate, u_zero, u_rate)
