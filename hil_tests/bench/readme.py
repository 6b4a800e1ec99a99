"""Writes the tables of scenario fields into hil_tests/README.md.

python -m porogauge_bench.readme          # a test fails when that was forgotten
"""

from __future__ import annotations

from pathlib import Path

from .fields import markdown

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- scenario fields: written by `python -m porogauge_bench.readme` -->"
END = "<!-- end of scenario fields -->"


def current(text: str) -> str:
    """Return `text` with the tables as they are to be. Raises ValueError without the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} has no marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(current(README.read_text(encoding="utf-8")), encoding="utf-8")
