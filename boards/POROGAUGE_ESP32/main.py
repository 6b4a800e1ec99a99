"""Start of the board: the gauge, unless the service pin keeps the REPL."""

import micropython

micropython.alloc_emergency_exception_buf(100)

from gauge.hw import service_pin  # noqa: E402

if not service_pin():
    from gauge import app

    app.main()
