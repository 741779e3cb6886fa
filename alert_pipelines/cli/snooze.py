"""`snooze`: exempts one alert from scans for a time."""

from datetime import timedelta

import click

from alert_pipelines.cli.options import duration, text
from alert_pipelines.cli.output import as_text
from alert_pipelines.mongo import open_database
from alert_pipelines.rules.maintenance import snooze_alert


@click.command()
@click.argument("alert_id", type=text)
@click.option("--for", "lasting", type=duration, required=True, help="Duration, such as 90m, 8h or 2d.")
@click.option("--reason", type=text, required=True, help="Reason, shown by `explain`.")
@click.option("--by", "created_by", type=text, required=True, help="Your name.")
def snooze(alert_id: str, lasting: timedelta, reason: str, created_by: str) -> None:
    """Exempt one alert from scans for a time.

    Adds a maintenance window for this alert.
    """
    with open_database() as db:
        window = snooze_alert(db, alert_id, lasting, reason=reason, created_by=created_by)
    click.echo(f"{alert_id} is snoozed until {as_text(window.to)} by the maintenance window {window.window_id}.")
    click.echo(f"To end it earlier: alert-pipelines windows end {window.window_id}")
