"""`mapping`: how a file is read."""

from pathlib import Path

import click

from alert_pipelines.cli.options import FILE
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.loading.presets import preset_names, preset_text


@click.group()
def mapping() -> None:
    """Draft the mapping that `load` needs to know of a file, or show one that comes with the package."""


@mapping.command()
@click.argument("file", type=FILE)
def draft(file: Path) -> None:
    """Look at all of FILE, and print a mapping for it: what it seems to hold, with samples, for you to correct."""
    click.echo(draft_mapping(file), nl=False)


@mapping.command()
@click.argument("name", required=False)
def show(name: str | None) -> None:
    """Print the preset NAME, to be edited; without NAME, what each preset is for."""
    if name is not None:
        click.echo(preset_text(name), nl=False)
        return
    for each in preset_names():
        click.echo(f"{each:<20} {preset_text(each).splitlines()[0].removeprefix('# ')}")
