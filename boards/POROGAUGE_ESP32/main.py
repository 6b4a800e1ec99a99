"""Start of the board: the version of the gauge that is in force (see porogauge_boot)."""

import micropython

micropython.alloc_emergency_exception_buf(100)

import porogauge_boot  # noqa: E402

porogauge_boot.start()
