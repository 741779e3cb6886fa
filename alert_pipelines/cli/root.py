"""The root command: the list of commands, the handling of errors, and the log."""

import importlib
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.spelling import nearest

# Each has a module of its name, imported when it is used, so that a command starts without what the others need.
_COMMANDS = (
    "alerts",
    "backtest",
    "explain",
    "forecast",
    "history",
    "indexes",
    "init",
    "jobs",
    "load",
    "mapping",
    "metrics",
    "mongo",
    "notify",
    "pending",
    "report",
    "rules",
    "sample-week",
    "scan",
    "snooze",
    "undo",
    "windows",
)


# These need Dagster, so they stand above the command line, which knows them by name alone.
_ABOVE = {"doctor": "alert_pipelines.defs.monitoring.doctor", "schedule": "alert_pipelines.schedule"}


class _Root(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, imported or not."""
        return sorted([*_COMMANDS, *_ABOVE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of `cmd_name`."""
        if cmd_name not in (known := self.list_commands(ctx)):
            if near := nearest(cmd_name, known):
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {near!r}?")
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(_ABOVE.get(cmd_name) or f"alert_pipelines.cli.{name}")
        command = getattr(module, name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors that a person can act upon end it with their message alone."""
        try:
            return super().invoke(ctx)
        except AlertPipelinesError as error:
            raise click.ClickException(str(error)) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except OSError as error:
            # If it is the output that cannot be written, this raises again, and `main` says so, once.
            sys.stdout.flush()
            raise click.ClickException(str(error)) from error
        except Exception as error:
            raise click.ClickException(_without_trace(error)) from error


def _without_trace(error: Exception) -> str:
    # Imported only now: without it `--help` starts in a third of the time.
    from pymongo.errors import PyMongoError  # noqa: PLC0415

    from alert_pipelines.mongo.reasons import reason_of  # noqa: PLC0415

    if isinstance(error, PyMongoError):
        return f"MongoDB failed: {reason_of(error)}"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__}: {error!s:.500} (line {where.lineno} of {Path(where.filename).name}). This is a "
        "defect of alert-pipelines: report it with this message and the command."
    )


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-q", "--quiet", is_flag=True, help="Log warnings only.")
@click.version_option(package_name="alert-pipelines")
@click.pass_context
def cli(ctx: click.Context, quiet: bool) -> None:
    """Close and escalate alerts by rule, on MongoDB.

    Uses the server in MONGODB_URI and the database in MONGODB_DATABASE (default: alert_management). Without
    MONGODB_URI, starts a local MongoDB.
    """
    log = logging.getLogger("alert_pipelines")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    ctx.call_on_close(lambda: log.removeHandler(handler))
