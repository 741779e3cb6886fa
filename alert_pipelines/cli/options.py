"""Arguments that several commands share."""

from datetime import UTC, datetime
from pathlib import Path

import click


def instant(text: str) -> datetime:
    """Read an ISO 8601 instant; one that names no zone is UTC. Raises BadParameter."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no instant: write it as 2026-03-01T12:00 (UTC)") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

as_of_option = click.option("--as-of", type=instant, help="The instant to judge at; default now.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
