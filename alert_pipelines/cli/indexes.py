"""`indexes`: finds slow conditions, and creates indexes for them."""

from collections.abc import Sequence
from datetime import datetime

import click

from alert_pipelines.cli.options import as_of_option, json_option
from alert_pipelines.cli.output import print_json
from alert_pipelines.index_advice.advice import Advice, create_advised
from alert_pipelines.index_advice.advice import advise as find_advice
from alert_pipelines.mongo import open_database, server_now


@click.group()
def indexes() -> None:
    """Find slow conditions, and create indexes for them."""


@indexes.command()
@as_of_option
@json_option
def advise(as_of: datetime | None, as_json: bool) -> None:
    """List slow conditions and the indexes that would help. Creates nothing."""
    with open_database() as db:
        advice = find_advice(db, as_of or server_now(db))
    if as_json:
        print_json(advice)
    else:
        _print_advice(advice)


@indexes.command()
@as_of_option
def create(as_of: datetime | None) -> None:
    """Create the indexes that `advise` lists."""
    with open_database() as db:
        advice = find_advice(db, as_of or server_now(db))
        _print_advice(advice)
        names = create_advised(db, advice)
    click.echo(f"Created: {', '.join(names) or 'none'}.")


def _print_advice(advice: Sequence[Advice]) -> None:
    if not advice:
        click.echo("No condition reads too many documents.")
    for one in advice:
        click.echo(f"{one.rule_id}, {one.condition}: {one.description}")
