"""What the sensors really sent, to hold a run's records against: nothing lost, nothing doubled.

    >>> run = Run(scenario, "unix32")
    >>> witness = Witness(run)          # before the board is powered
    >>> run.go()
    >>> witness.problems()              # [] when every value of every sensor is in its window
    []

A `Witness` stands at the lasers' cables and notes every distance with the instant at which its
last byte had arrived, before any damage on the way; conversions are those of the AD7746's log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gauge import record

from .calibration import latency_us

if TYPE_CHECKING:
    from .runner import Run

# Board times are whole microseconds, and the sensor's latency is known to 1 us: a sample closer
# than this to the border of two windows may be in either of them.
BORDER_NS = 4_000
_FIRST_OF = {"a": record.A_N, "b": record.B_N}
_N, _SUM, _FIRST, _LAST = range(4)
_MIN, _MAX = record.A_MIN - record.A_N, record.A_MAX - record.A_N
_ERRORS = record.A_ERRORS - record.A_N
Row = Sequence[int]

# Each end of a window is noted by an interrupt, which another one may hold up by some microseconds
_JITTER_NS = 20_000


class Witness:
    """Stands at the cables of a run's lasers."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._chunks: dict[str, list[tuple[bytes, np.ndarray]]] = {"a": [], "b": []}
        for name, cable in run.target.lasers.items():
            chunks = self._chunks[name]
            if getattr(cable, "pull", None) is not None:
                cable.pull = self._pulled(cable.pull, chunks)
            else:
                cable.send = self._sent(cable, cable.send, chunks)

    @staticmethod
    def _pulled(pull, chunks):
        def take(until_ns):
            data, times = pull(until_ns)
            if data:
                chunks.append((data, np.asarray(times)))
            return data, times

        return take

    @staticmethod
    def _sent(cable, send, chunks):
        def note(data, at_ns=None):
            end = send(data, at_ns)
            chunks.append((data, end - cable.byte_ns * np.arange(len(data) - 1, -1, -1)))
            return end

        return note

    def forget(self, before_ns: int) -> None:
        """Forget what the lasers had sent before an instant."""
        for chunks in self._chunks.values():
            kept = next((i for i, (_, t) in enumerate(chunks) if t[-1] >= before_ns), len(chunks))
            del chunks[:kept]

    def distances(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (codes, instants in ns at which they were taken) of all that a laser sent."""
        chunks = self._chunks[name]
        if not chunks:
            return np.zeros(0, int), np.zeros(0)
        data = np.frombuffer(b"".join(part for part, _ in chunks), np.uint8).astype(int)
        times = np.concatenate([times for _, times in chunks])
        kind = data >> 6
        low = np.nonzero((kind[:-2] == 0) & (kind[1:-1] == 1) & (kind[2:] == 2))[0]
        codes = data[low] | (data[low + 1] & 63) << 6 | (data[low + 2] & 63) << 12
        return codes, times[low + 2] - 1000 * round(latency_us(self.run.scenario, name))

    def window_ns(self, boot: int, row: Row) -> tuple[int, int]:
        """Return begin and end of a record's window in virtual time."""
        end = self.run.boots[boot] + 1_000_000_000 * row[record.T_S] + 1000 * row[record.T_US]
        return end - 1000 * row[record.DT_US], end

    # -- comparisons

    def problems(self, boot: int | None = None, rows: Iterable[Row] | None = None) -> list[str]:
        """Return what does not fit between sensors and records, in words; at best nothing.

        `rows` are words of successive records (default: all stored ones from the first on for
        which all sensors were at work). Windows in which a laser counted errors are passed over.
        """
        boot = max(self.run.boots) if boot is None else boot
        rows = list(self.at_work(boot) if rows is None else rows)
        found = [] if rows else ["there are no records"]
        return found + self._order(rows) + self._converter(boot, rows) + self.lasers(boot, rows)

    def at_work(self, boot: int) -> list[Row]:
        """Records of a boot from the first one in which converter and both lasers were well."""
        rows = self.run.rows(boot)
        for i, row in enumerate(rows):
            if not row[record.FLAGS] & (
                record.FLAG_LASER_A_FAULT
                | record.FLAG_LASER_B_FAULT
                | record.FLAG_CAPACITANCE_FAULT
                | record.FLAG_OVERRUN
            ):
                return rows[i + 3 :]  # the stream had begun within one of those before
        return []

    @staticmethod
    def _order(rows: list[Row]) -> list[str]:
        found = []
        for before, row in zip(rows, rows[1:], strict=False):
            if row[record.SEQ] != before[record.SEQ] + 1:
                found.append(f"record {row[record.SEQ]} follows {before[record.SEQ]}")
            old, new = (1_000_000 * r[record.T_S] + r[record.T_US] for r in (before, row))
            if new - row[record.DT_US] < old - 1:
                found.append(f"window {row[record.SEQ]} begins before the one before ends")
        return found

    def _converter(self, boot: int, rows: list[Row]) -> list[str]:
        """Each record has the code of the conversion that ended with its window, and none is
        left out but those of which the record says so."""
        log = list(self.run.instruments.ad7746.log)
        ends = np.array([done.end_ns for done in log])
        found = []
        before = None
        for row in rows:
            end = self.window_ns(boot, row)[1]
            i = int(np.argmin(np.abs(ends - end)))
            name = f"window {row[record.SEQ]}"
            if abs(ends[i] - end) > 50_000:
                found.append(
                    f"{name} ends {(end - ends[i]) / 1000:.0f} us from a conversion's end"
                )
            elif log[i].code != row[record.CAP_CODE]:
                found.append(f"{name} has code {row[record.CAP_CODE]}, converted {log[i].code}")
            elif abs(log[i].end_ns - log[i].start_ns - 1000 * row[record.DT_US]) > _JITTER_NS:
                found.append(f"{name} is {row[record.DT_US]} us long, its conversion was not")
            if before is not None and i != before + 1 and not row[record.LOST]:
                found.append(f"{name} leaves out {i - before - 1} conversions and does not say so")
            before = i
        return found

    def lasers(self, boot: int, rows: list[Row], names: str = "ab") -> list[str]:
        """Each distance is in the window in which it was taken, in none else, with its value."""
        found = []
        for name in names:
            codes, taken = self.distances(name)
            at, sums = _FIRST_OF[name], np.concatenate([[0], np.cumsum(codes)])
            close, stop = None, 0  # of the window before
            for row in rows:
                laser = row[at : at + 13]
                begin, end = self.window_ns(boot, row)
                if laser[_ERRORS]:
                    close = None
                    continue
                start = int(np.searchsorted(taken, begin))
                if close is not None and abs(close - begin) <= 1000:
                    start = stop  # right behind the window before: nothing may be left out
                elif laser[_N]:
                    near = [k for k in (start, start - 1, start + 1) if 0 <= k < len(codes)]
                    start = next((k for k in near if codes[k] == laser[_FIRST]), start)
                stop, close = start + laser[_N], end
                text = self._differs(laser, codes, sums, taken, start, stop, begin, end)
                if text:
                    found.append(f"laser {name}, window {row[record.SEQ]}: {text}")
                    close = None
        return found

    @staticmethod
    def _differs(laser, codes, sums, taken, start, stop, begin, end) -> str:
        inside = f"{start}..{stop - 1}"
        if not laser[_N]:
            return "it is empty"
        if taken[start] < begin - BORDER_NS or taken[stop - 1] > end + BORDER_NS:
            return f"samples {inside} are not all of this window"
        if stop < len(taken) and taken[stop] < end - BORDER_NS:
            return f"samples from {stop} on are missing"
        if start and taken[start - 1] > begin + BORDER_NS:
            return f"samples up to {start - 1} are missing"
        part = codes[start:stop]
        seen = (int(sums[stop] - sums[start]), part[0], part[-1], part.min(), part.max())
        told = [laser[k] for k in (_SUM, _FIRST, _LAST, _MIN, _MAX)]
        if list(seen) != told:
            return f"sum, first, last, min, max are {told}; sent {[int(x) for x in seen]}"
        return ""
