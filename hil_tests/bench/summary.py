"""What a run was worth: the keys of its summary, and its records held against the truth."""

from __future__ import annotations

import math
from typing import Any

SUMMARY = {
    "scenario": "name of the scenario",
    "target": "rp2040 or unix32",
    "seed": "seed of the run",
    "windows": "records stored",
    "lost": "records that the board made and that are neither stored nor in a reported gap",
    "gaps": "records that are missing and reported as a gap",
    "duplicated": "records stored more than once",
    "conversions_lost": "conversions of the converter that made no window, after the first one",
    "boots": "starts of the board",
    "wall_s": "time the run took",
    "virtual_s": "time that passed in the run",
    "busy_share": "share of time in which the board's CPU was busy; null: not measured",
    "loop_max_us": "longest round of the board's loop while measuring; null: not measured",
    "heap_bytes_per_1000_windows": "allocated on the board's heap while measuring; null: unknown",
    "link_bytes_per_record": "bytes from the board, everything included, for each record",
    "states": "windows in each state",
    "flags": "windows with each flag",
    "compared": "windows compared with the truth: all numbers valid, film throughout, no step",
    "thickness_error_nm": "worst and root mean square difference to the truth",
    "porosity_error_ppm": "the same of porosity",
    "thickness_covered": "share of windows whose U95 (two u) covers the truth",
    "porosity_covered": "the same of porosity",
}


def counted(lists: Any) -> dict[str, int]:
    """How often each name is in the lists."""
    counts: dict[str, int] = {}
    for names in lists:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return counts


def against_truth(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Differences of (record, truth) pairs, see `SUMMARY`."""
    found: dict[str, Any] = {"compared": len(pairs)}
    for name, key, unit in (
        ("thickness", "thickness_nm", "nm"),
        ("porosity", "porosity_ppm", "ppm"),
    ):
        errors = [row[key] - truth[key] for row, truth in pairs]
        covered = sum(
            abs(error) <= 2 * row[f"u_{key}"]
            for error, (row, _) in zip(errors, pairs, strict=True)
        )
        n = len(errors)
        found[f"{name}_error_{unit}"] = (
            {
                "worst": round(max(map(abs, errors)), 3),
                "rms": round(math.sqrt(sum(e * e for e in errors) / n), 3),
                "mean": round(sum(errors) / n, 3),
            }
            if n
            else None
        )
        found[f"{name}_covered"] = round(covered / n, 4) if n else None
    return found
