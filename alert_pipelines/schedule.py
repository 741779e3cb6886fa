"""`alert-pipelines schedule`: shows the schedule, and switches it on and off.

The command needs Dagster, so it is not in `cli`, which loads it by its name. Its help does not load Dagster.
"""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from alert_pipelines.cli.options import json_option, text
from alert_pipelines.cli.output import as_text, print_json
from alert_pipelines.settings import CRON_VARIABLE, OFF
from alert_pipelines.timestamps import as_age

if TYPE_CHECKING:
    from alert_pipelines.scheduler import ScheduleState

_location = click.option(
    "--location", type=text, help="Code location, if the Dagster instance has the schedule of several."
)


@click.group()
def schedule() -> None:
    """Show the schedule of scans, and switch it on or off.

    Works on the Dagster instance of DAGSTER_HOME.
    """


@schedule.command()
@_location
@json_option
def status(location: str | None, as_json: bool) -> None:
    """Show whether the schedule is on, and the next scan.

    Exits with 1 if no scan will be made.
    """
    from alert_pipelines.scheduler import schedule_state  # noqa: PLC0415

    state = schedule_state(location)
    if as_json:
        print_json(state)
    else:
        click.echo(_in_words(state))
    sys.exit(state.next_tick is None)


@schedule.command()
@_location
def on(location: str | None) -> None:
    """Switch the schedule on."""
    from alert_pipelines.scheduler import schedule_state, start_scheduler  # noqa: PLC0415

    start_scheduler(location=location)
    click.echo(_in_words(schedule_state(location)))


@schedule.command()
@_location
def off(location: str | None) -> None:
    """Switch the schedule off. A running scan continues."""
    from alert_pipelines.scheduler import schedule_state, shutdown_scheduler  # noqa: PLC0415

    shutdown_scheduler(location=location)
    click.echo(_in_words(schedule_state(location)))


def _in_words(state: "ScheduleState") -> str:
    if state.cron is None:
        return f"No scan will be made: {CRON_VARIABLE} is {OFF}. Set a cron expression, or unset it."
    name = f"{state.name} of {state.location}"
    if not state.switched_on:
        return f"{name} is off: no scan will be made. `alert-pipelines schedule on` switches it on."
    if state.next_tick is None:
        return (
            f"{name} is on, but no scan will be made: {' and '.join(state.missing)} of dagster-daemon gave no sign of "
            "life lately. Start dagster-daemon, or see its log."
        )
    when = f"{as_text(state.next_tick)}, {as_age(state.next_tick, datetime.now(UTC))}"
    return f"{name} is on ({state.cron}, {state.timezone}). The next scan is at {when}."
