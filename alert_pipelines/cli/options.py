"""Arguments that several commands share."""

import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import click

from alert_pipelines.errors import InvalidTimestampError, InvalidWindowError
from alert_pipelines.rules.maintenance import read_duration
from alert_pipelines.signature import Signature
from alert_pipelines.timestamps import parse_timestamp


def timestamp(text: str) -> datetime:
    """Read an ISO 8601 time; one that names no zone is UTC. Raises BadParameter."""
    try:
        return parse_timestamp(text)
    except InvalidTimestampError as error:
        raise click.BadParameter(str(error)) from error


def text(value: str) -> str:
    """Read a text that the database is asked for. Raises BadParameter for bytes that are no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter(f"{value!r} is not valid UTF-8 text") from error
    return value


def duration(value: str) -> timedelta:
    """Read a duration such as 90m, 8h or 2d. Raises BadParameter."""
    try:
        return read_duration(value)
    except InvalidWindowError as error:
        raise click.BadParameter(str(error)) from error


def day(value: str) -> date:
    """Read a day such as 2026-03-01. Raises BadParameter."""
    try:
        return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 - a day, not a time
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a valid day: expected a date such as 2026-03-01.") from error


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

as_of_option = click.option("--as-of", type=timestamp, help="Evaluate at this time. Default: now.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def ask(question: str, *, err: bool = False) -> None:
    """Ask whether to go on. Raises click.Abort for no, ClickException if nobody is there to answer."""
    try:
        agreed = click.confirm(question, err=err)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        raise click.ClickException("Nothing was written, as the question got no answer: add --yes.") from error
    if not agreed:
        raise click.Abort


def signed(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the options --by and --reason, as its argument `signature`."""

    @click.option("--by", type=text, help="Your name, kept in the record.")
    @click.option("--reason", type=text, help="Reason, kept in the record.")
    @wraps(command)
    def signing(*args: Any, by: str | None, reason: str | None, **kwargs: Any) -> None:
        command(*args, signature=Signature.of(by, reason), **kwargs)

    return signing
