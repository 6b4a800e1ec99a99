"""Certificates of rolls: what was claimed, measured and found, and what all of it rests on.

    from porogauge.certificate import write, verify
    write(store, roll, "A-17", who="shift 2")        # A-17.html, A-17.pdf
    verify(Path("A-17.html").read_bytes(), store)    # [] while it holds

`content` makes the data out of the database, `document` a document out of the data, `page` and
`paper` a file out of the document; `check` goes the same way again and compares.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from ..export import target
from ..rolls import Roll
from ..store import Store
from .check import CertificateError, read, roll_of, verify
from .content import certify, issued

__all__ = ["CertificateError", "certify", "issued", "read", "roll_of", "verify", "write"]


def write(
    store: Store, roll: Roll, to: str | Path, *, who: str
) -> tuple[dict[str, Any], list[Path]]:
    """Write the certificate of a roll as `to`.html and `to`.pdf; return its data and the files.

    Raises RollError when the roll has no windows yet, PorogaugeError when a file cannot be
    written.
    """
    # The library of the PDF takes a second to load: meanwhile the roll is read.
    loading = Thread(target=import_module, args=(f"{__package__}.paper",))
    loading.start()
    certified = certify(store, roll)[0]
    loading.join()
    from . import page, paper

    content = {"issued": issued(who)} | certified
    made = []
    for suffix, data in (
        (".html", page.render(content).encode("utf-8")),
        (".pdf", paper.render(content)),
    ):
        path = Path(f"{to}{suffix}")
        with target(str(path), binary=True) as stream:
            stream.write(data)
        made.append(path)
    return content, made
