"""`report`: what was done to alerts on a day."""

from datetime import datetime
from pathlib import Path

import click

from alert_pipelines.cli.options import json_option
from alert_pipelines.cli.output import print_json, print_table
from alert_pipelines.mongo import open_database
from alert_pipelines.reports.activity import MAX_DAYS


@click.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--days", type=click.IntRange(1, MAX_DAYS), default=30, show_default=True, help="So many, DAY included.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write its files into this directory.")
@json_option
def report(day: datetime, days: int, out: Path | None, as_json: bool) -> None:
    """Say what was opened, closed, escalated and resolved on DAY (YYYY-MM-DD, UTC) and in the days that end with it."""
    # Both load pandas, which the list of commands must not.
    from alert_pipelines.reports.daily import daily_report  # noqa: PLC0415
    from alert_pipelines.reports.daily_page import export, plain_rows, tables  # noqa: PLC0415

    with open_database() as db:
        made = daily_report(db, day.date(), days=days)
    files = export(made, out) if out else []
    frames = tables(made).items()
    if as_json:
        print_json(
            {_key(name): [dict(zip(frame, row, strict=True)) for row in plain_rows(frame)] for name, frame in frames}
        )
        return
    for name, frame in frames:
        click.echo(f"{name}:")
        print_table([str(column).replace("_", " ") for column in frame], plain_rows(frame))
        click.echo("" if len(frame) else "nothing\n")
    for file in files:
        click.echo(f"Written: {click.format_filename(file)}")


def _key(name: str) -> str:
    return name.lower().replace(" ", "_")
