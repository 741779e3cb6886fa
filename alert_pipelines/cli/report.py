"""`report`: what was done to alerts on a day."""

from datetime import date
from pathlib import Path

import click

from alert_pipelines.cli.options import day, json_option
from alert_pipelines.cli.output import as_text, print_json, print_table
from alert_pipelines.mongo import open_database
from alert_pipelines.mongo.client import server_now
from alert_pipelines.reports.activity import MAX_DAYS


@click.command()
@click.argument("day", type=day, required=False)
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=30, show_default=True, help="Number of days, ending with DAY."
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Directory for the report's files.")
@json_option
def report(day: date | None, days: int, out: Path | None, as_json: bool) -> None:
    """Show the daily report: what was done to alerts.

    Counts what was opened, closed, escalated and resolved on DAY and in the days that end with it.

    DAY is YYYY-MM-DD, in UTC. Default: today, so far.
    """
    # Both load pandas, which the list of commands must not.
    from alert_pipelines.reports.daily import daily_report  # noqa: PLC0415
    from alert_pipelines.reports.daily_page import export, for_people, plain_rows, tables  # noqa: PLC0415

    with open_database() as db:
        made = daily_report(db, day or server_now(db).date(), days=days)
    files = export(made, out) if out else []
    if as_json:
        frames = tables(made).items()
        print_json(
            {
                name.lower().replace(" ", "_"): [dict(zip(frame, row, strict=True)) for row in plain_rows(frame)]
                for name, frame in frames
            }
        )
        return
    click.echo(f"{made.day}, and the {made.days} days that end with it, in UTC; pending as of {as_text(made.made_at)}")
    for name, shown in for_people(made).items():
        if len(shown):
            click.echo(f"\n{name}:")
            print_table([str(column).replace("_", " ") for column in shown], plain_rows(shown))
    for file in files:
        click.echo(f"\nWritten: {click.format_filename(file)}")
