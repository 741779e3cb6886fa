"""`mapping`: drafts and shows mappings."""

from pathlib import Path

import click

from alert_pipelines.cli.options import FILE
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.loading.mapping_parts import known_encoding
from alert_pipelines.loading.presets import preset_names, preset_text


def _known(_context: click.Context, _parameter: click.Parameter, encoding: str | None) -> str | None:
    try:
        return None if encoding is None else known_encoding(encoding)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


@click.group()
def mapping() -> None:
    """Draft or show the mapping that `load` needs for a file."""


@mapping.command()
@click.argument("file", type=FILE)
@click.option("--encoding", callback=_known, help="Encoding of FILE, such as cp1250. Default: guessed.")
def draft(file: Path, encoding: str | None) -> None:
    """Print a mapping for FILE, for you to correct.

    Reads the whole FILE and adds samples of its values.
    """
    click.echo(draft_mapping(file, encoding), nl=False)


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
