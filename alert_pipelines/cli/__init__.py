"""The command line: `alert-pipelines`, one module a group of commands.

Commands read arguments and print; what they do is done by the packages below. Nothing here imports dagster.
"""

from alert_pipelines.cli.root import cli


def main() -> None:
    """Run the command line and exit.

    0 done, 1 failed, 2 wrong usage, 3 a blast-radius limit stopped closes, 4 some rows of a file were rejected.
    """
    cli(prog_name="alert-pipelines")


__all__ = ["main"]
