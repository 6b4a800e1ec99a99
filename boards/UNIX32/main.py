"""What the unix port runs: the gauge, or a test's program, and then code sent by the bench."""

# ruff: noqa: E402, I001
import sys

sys.path.pop(0)  # this folder, which MICROPYPATH has, too: a test may put another one ahead of it

import porogauge_boot

porogauge_boot.choose()
import gauge.hw.unix as hw  # before others: puts virtual time in place of the module `time`
import io
import os
import pipe


def execute(path, names):
    with open(path) as file:
        program = compile(file.read(), path.split("/")[-1], "exec")
    exec(program, names)


def repl():
    """Execute what the bench sends, for ever; stands for the board's REPL."""
    names = {"__name__": "__main__"}
    failed, text = 0, b""
    while True:
        end = hw.PIPE
        end.call(pipe.REPL, failed, 0, text, len(text))
        n = end.head[pipe.N_DATA]
        path = bytes(end.payload[end.data_at : end.data_at + n]).decode()
        failed, text = 0, b""
        try:
            execute(path, names)
        except Exception as error:  # told to the test, as a REPL shows it
            out = io.StringIO()
            sys.print_exception(error, out)
            failed, text = 1, out.getvalue().encode()


program = os.getenv(pipe.PROGRAM)
if program:
    execute(program, {"__name__": "__main__"})
elif not hw.service_pin():
    from gauge import app

    app.main()
repl()
