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

# Each has a module of its name, imported when it is used, so that a command starts without what the others need. The
# list of them imports none: it takes from here what each says of itself.
_COMMANDS = {
    "alerts": "List alerts.",
    "backtest": "Compare what rules would have decided with what happened.",
    "explain": "Explain past and future decisions about an alert.",
    "forecast": "Show what the rules will close and escalate, hour by hour.",
    "history": "List the automatic decisions about an alert.",
    "indexes": "Find slow conditions, and create indexes for them.",
    "init": "Write the files that Dagster and MongoDB need.",
    "jobs": "List and show job records: scans, dry runs, undos.",
    "load": "Load alerts from CSV, JSON, Excel or Parquet.",
    "mapping": "Draft or show the mapping that `load` needs for a file.",
    "metrics": "Export metrics for Prometheus.",
    "mongo": "Start, stop and find the local MongoDB.",
    "notify": "Send test notifications.",
    "pending": "Count the pending alerts by source and age.",
    "report": "Show the daily report: what was done to alerts.",
    "rules": "Validate, compare, publish, export and list rules.",
    "sample-week": "Insert a generated week of fleet alerts.",
    "scan": "Close and escalate pending alerts that match a rule.",
    "snooze": "Exempt one alert from scans for a time.",
    "undo": "Undo the decisions of a job.",
    "windows": "Check, list, add and end maintenance windows.",
}

# These need Dagster, so they stand above the command line, which knows them by name alone.
_ABOVE = {
    "doctor": ("alert_pipelines.defs.monitoring.doctor", "Check that scans can run: Dagster and the database."),
    "schedule": ("alert_pipelines.schedule", "Show the schedule of scans, and switch it on or off."),
}


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
        module_name = _ABOVE[cmd_name][0] if cmd_name in _ABOVE else f"alert_pipelines.cli.{name}"
        module = importlib.import_module(module_name)
        command = getattr(module, name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; click itself would import each for the line about it."""
        said = _COMMANDS | {name: line for name, (_, line) in _ABOVE.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, said[name]) for name in self.list_commands(ctx)])

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
