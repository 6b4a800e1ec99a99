"""Lets the desk's Python import the board's pure modules (`gauge.link`, `gauge.record`, ...).

Importing this module puts a stand-in for `micropython` into `sys.modules`: `const` and the code
emitters `viper` and `native` return what they are given. The casts that viper code uses (`ptr8`,
`ptr16`, `ptr32`, `uint`) become builtins that do nothing. On MicroPython itself nothing happens.

What decides a *number* is tested on the 32-bit runtime, never with this.
"""

from __future__ import annotations

import builtins
import sys
import types


def _same(value):
    return value


def _nothing(*_args):
    return None


def install() -> None:
    """Install the stand-in, unless there is a `micropython` already."""
    if sys.implementation.name != "micropython" and "micropython" not in sys.modules:
        module = types.ModuleType("micropython", "Stand-in for MicroPython's module.")
        for name in ("const", "viper", "native"):
            setattr(module, name, _same)
        for name in (
            "heap_lock",
            "heap_unlock",
            "kbd_intr",
            "alloc_emergency_exception_buf",
            "opt_level",
        ):
            setattr(module, name, _nothing)
        module.schedule = lambda function, argument: function(argument)
        sys.modules["micropython"] = module
    for name in ("ptr8", "ptr16", "ptr32", "uint"):
        if not hasattr(builtins, name):
            setattr(builtins, name, _same)


install()
