"""`forecast`: what the rules will decide in the coming hours."""

from datetime import datetime

import click

from alert_pipelines.audit.forecast import HOURS, MAX_HOURS, Forecast
from alert_pipelines.audit.forecast import forecast as make_forecast
from alert_pipelines.cli.options import as_of_option, json_option
from alert_pipelines.cli.output import as_text, print_json, print_table
from alert_pipelines.mongo import open_database


@click.command()
@as_of_option
@click.option("--hours", type=click.IntRange(1, MAX_HOURS), default=HOURS, show_default=True, help="Number of hours.")
@json_option
def forecast(as_of: datetime | None, hours: int, as_json: bool) -> None:
    """Show what the rules will close and escalate, hour by hour.

    Assumes that no alert changes and no new alert arrives. Changes nothing.
    """
    with open_database() as db:
        found = make_forecast(db, as_of=as_of, hours=hours)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Forecast) -> None:
    click.echo(
        f"As of {as_text(found.as_of)}, in {found.hours} hours: {found.count('close')} to close, "
        f"{found.count('escalate')} to escalate, if no alert changes and no new one comes"
    )
    if found.blocked:
        blocked = "; ".join(one.in_short for one in found.blocked)
        click.echo(f"A scan now would be blocked: {blocked}. See `scan --dry-run`.")
    if found.due:
        click.echo("")
        by_rule = [(one.rule_id, one.decision, one.alerts, _when(one.first, found)) for one in found.by_rule()]
        print_table(["rule", "decision", "alerts", "first due by"], by_rule)
        click.echo("")
        by_hour = [(_when(one.at, found), one.close, one.escalate, one.rules_in_short) for one in found.by_hour()]
        print_table(["due by", "close", "escalate", "rules"], by_hour)
    for error in found.errors:
        click.echo(f"Error: {error}", err=True)


def _when(at: datetime, found: Forecast) -> str:
    return "now" if at == found.as_of else f"{at:%a %d %b %H:%M}"
