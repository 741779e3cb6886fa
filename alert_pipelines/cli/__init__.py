"""The command line `alert-pipelines`: one module for each command or group of commands, with its name.

Commands only read arguments and print; other packages do the work. Nothing here imports Dagster.
"""

import io
import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run the command line and exit.

    0 done, 1 failed, 2 wrong usage, 3 a limit blocked closes or escalations, 4 some rows of a file were rejected.
    """
    try:
        _prepare_streams()
        try:
            # Only here, where Ctrl-C is caught: importing takes longer than many a command.
            from alert_pipelines.cli.root import cli  # noqa: PLC0415

            cli(prog_name="alert-pipelines")
        finally:
            # At the exit of the process Python would say it with a traceback.
            sys.stdout.flush()
    except KeyboardInterrupt:
        # Like the commands themselves, which click ends with this word.
        _end("\nAborted!")
    except OSError as error:
        # Whoever reads the first lines alone, as `head` does, knows.
        _end(None if isinstance(error, BrokenPipeError) else f"Error: the output cannot be written: {error.strerror}")
    finally:
        # What is left to do is Python's own, which answers Ctrl-C with a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _prepare_streams() -> None:
    """Make the output take every text, and the streams that the caller closed, as `>&-` does, take and give nothing.

    A file or a connection that is opened later would get the number of a closed one, and the output with it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, io.open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, UP020
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An encoding such as ASCII has not all characters; stderr does so anyway.
        sys.stdout.reconfigure(errors="backslashreplace")


def _end(message: str | None) -> NoReturn:
    """Exit with 1, whether the message can be written or not; what is left of the output is dropped."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    try:
        if message is not None:
            sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    except OSError:
        os.dup2(nowhere, sys.stderr.fileno())
    sys.exit(1)


__all__ = ["main"]
