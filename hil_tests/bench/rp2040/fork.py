"""Work in a copy of a booted target.

Booting takes longer than most tests, and a test must not leave traces in the next one. The
operating system copies a process in milliseconds, booted emulator included:

    answer = forked(lambda: target.repl_exec("print(6 * 7)"))

    @in_copy
    def test_something(board): ...

The function runs in the copy; what it returns must be picklable. An exception is raised here with
the same text (assertion errors stay assertion errors). Not where os.fork is missing (Windows).
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class ForkError(RuntimeError):
    """The function failed in the copy; the text holds its traceback."""


def forked(fn: Callable[..., Result], *args, **kwargs) -> Result:
    """Call `fn(*args, **kwargs)` in a forked copy of this process and return its result."""
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            try:
                answer = (True, fn(*args, **kwargs))
                blob = pickle.dumps(answer)
            except BaseException as error:
                text = traceback.format_exc()
                blob = pickle.dumps((False, (isinstance(error, AssertionError), text)))
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(blob)
            status = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        blob = pipe.read()
    os.waitpid(child, 0)
    if not blob:
        raise ForkError("the copy died without an answer")
    done, answer = pickle.loads(blob)
    if done:
        return answer
    failed_assertion, text = answer
    raise (AssertionError if failed_assertion else ForkError)(text)


def in_copy(test: Callable) -> Callable:
    """Decorate a test: its body runs in a forked copy, so it leaves no traces."""

    @functools.wraps(test)
    def run(*args, **kwargs) -> None:
        forked(lambda: test(*args, **kwargs) and None)

    return run
