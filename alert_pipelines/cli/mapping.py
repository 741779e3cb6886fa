"""`mapping`: drafts and shows mappings."""

from pathlib import Path

import click

from alert_pipelines.cli.options import FILE
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.loading.presets import preset_names, preset_text


@click.group()
def mapping() -> None:
    """Draft or show the mapping that `load` needs for a file."""


@mapping.command()
@click.argument("file", type=FILE)
def draft(file: Path) -> None:
    """Print a mapping for FILE, for you to correct.

    Reads the whole FILE and adds samples of its values.
    """
    click.echo(draft_mapping(file), nl=False)


@mapping.command()
@click.argument("name", required=False)
def show(name: str | None) -> None:
    """Print the preset NAME, for you to edit.

    Without NAME, lists the presets.
    """
    if name is not None:
        click.echo(preset_text(name), nl=False)
        return
    for each in preset_names():
        click.echo(f"{each:<20} {preset_text(each).splitlines()[0].removeprefix('# ')}")
