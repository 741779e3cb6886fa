"""`init`: the files that an installation without a checkout needs."""

from importlib.resources import files
from pathlib import Path

import click

from alert_pipelines.files import write_file

# Beside this package's own: what each is for.
TEMPLATES = {
    "dagster.yaml": "settings of the Dagster instance: start Dagster with DAGSTER_HOME set to this directory",
    "workspace.yaml": "the code location: dagster-webserver -w workspace.yaml, dagster-daemon run -w workspace.yaml",
    "mongodb-roles.json": "roles of the least rights in MongoDB: docs/security.md says how to create them",
}


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write the files that Dagster and MongoDB need.

    Writes dagster.yaml, workspace.yaml and the MongoDB roles into DIRECTORY. Does not replace existing files.

    Use it after installing from a wheel. A checkout has these files.
    """
    there = [name for name in TEMPLATES if (directory / name).exists()]
    if there:
        raise click.ClickException(
            f"{directory} holds {', '.join(there)} already: no file was written. Choose another directory, or move them"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for name, purpose in TEMPLATES.items():
        write_file(directory / name, (files("alert_pipelines") / "templates" / name).read_bytes())
        click.echo(f"{directory / name}: {purpose}")
