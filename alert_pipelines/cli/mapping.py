"""`mapping`: how a file is read."""

from pathlib import Path

import click

from alert_pipelines.cli.options import FILE
from alert_pipelines.loading.draft import draft_mapping


@click.group()
def mapping() -> None:
    """Draft the mapping that `load` needs to know of a file."""


@mapping.command()
@click.argument("file", type=FILE)
def draft(file: Path) -> None:
    """Look at all of FILE, and print a mapping for it: what it seems to hold, with samples, for you to correct."""
    click.echo(draft_mapping(file), nl=False)
