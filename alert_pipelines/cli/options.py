"""Arguments that several commands share."""

from datetime import datetime
from pathlib import Path

import click

from alert_pipelines.instants import InvalidInstantError, read_instant


def instant(text: str) -> datetime:
    """Read an ISO 8601 instant; one that names no zone is UTC. Raises BadParameter."""
    try:
        return read_instant(text)
    except InvalidInstantError as error:
        raise click.BadParameter(str(error)) from error


def text(value: str) -> str:
    """Read a text that the database is asked for. Raises BadParameter for bytes that are no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter(f"{value!r} is not valid UTF-8 text") from error
    return value


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

as_of_option = click.option("--as-of", type=instant, help="The instant to judge at; default now.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
