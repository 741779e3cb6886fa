"""The command line: `alert-pipelines`, one module a group of commands.

Commands read arguments and print; what they do is done by the packages below. Nothing here imports dagster.
"""

import os
import sys
from typing import NoReturn

from alert_pipelines.cli.root import cli


def main() -> None:
    """Run the command line and exit.

    0 done, 1 failed, 2 wrong usage, 3 a blast-radius limit stopped closes, 4 some rows of a file were rejected.
    """
    try:
        try:
            cli(prog_name="alert-pipelines")
        finally:
            # At the exit of the process Python would say it with a traceback.
            sys.stdout.flush()
    except OSError as error:
        _end_without_output(error)


def _end_without_output(error: OSError) -> NoReturn:
    """Exit with 1 where the output, or even the message of an error, could not be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    try:
        # Whoever reads the first lines alone, as `head` does, knows.
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"Error: the output cannot be written: {error.strerror}\n")
        sys.stderr.flush()
    except OSError:
        os.dup2(nowhere, sys.stderr.fileno())
    sys.exit(1)


__all__ = ["main"]
