"""`sample-week`: a generated week of alerts, to try things out."""

import click

from alert_pipelines.cli.output import print_table
from alert_pipelines.loading import insert_week
from alert_pipelines.loading.sample_edge_cases import MALFORMED
from alert_pipelines.loading.sample_story import find_chapters, latest_week, week_id
from alert_pipelines.mongo import open_database, server_now


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random numbers.")
@click.option("--story", is_flag=True, help="Insert nothing. Show the state of the latest week's incidents.")
def sample_week(seed: int, *, story: bool) -> None:
    """Insert a generated week of fleet alerts.

    For trying things out. On one day, the same seed gives the same alerts.
    """
    with open_database() as db:
        if story:
            week = latest_week(db, seed)
            if week is None:
                raise click.ClickException(f"no week of seed {seed} is in the database: insert it with sample-week")
        else:
            until = server_now(db)
            week, done = week_id(seed, until), insert_week(db, seed, until)
            click.echo(
                f"{done.inserted} alerts inserted, {done.already_there} already there, {len(done.refused)} refused"
            )
        chapters = find_chapters(db, week)
    print_table(("from", "what happened", "now"), chapters)
    click.echo("The alerts AWKWARD-… are odd on purpose.")
    click.echo(f"Of them, scans report these as malformed: {', '.join(MALFORMED)}.")
