"""Prints results: aligned tables for people, JSON for programs."""

import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from alert_pipelines.cli.table_layout import Column, table_lines


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, keys: int = 1) -> None:
    """Print `rows` under `headers`, columns aligned, numbers to the right. Without rows, print nothing.

    On a terminal, the table fits its width. The first `keys` columns say which row it is.
    """
    table = [list(row) for row in rows]
    if not table:
        return
    columns = [
        Column.of(
            [header, *map(as_text, values)],
            [isinstance(value, int) for value in (values[0], *values)],
            is_key=place < keys,
        )
        for place, (header, values) in enumerate(zip(headers, zip(*table, strict=True), strict=True))
    ]
    click.echo("\n".join(table_lines(columns, terminal_width())))


def terminal_width() -> int | None:
    """The width of the terminal that shows the output; None for a file or a pipe, which take lines of any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_fields(name: str, fields: Iterable[tuple[str, Any, Any]]) -> None:
    """Print what changes in the one of this name, if anything: the path of each field, its value before and after."""
    lines = [f"  {path}: {as_text(before)} -> {as_text(after)}" for path, before, after in fields]
    if lines:
        click.echo("\n".join(["", name, *lines]))


def print_json(value: Any) -> None:
    """Print `value`, whatever MongoDB or a report may hold, as JSON."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def number_of(number: int, noun: str) -> str:
    """`number` with its noun, as "1 rule" or "2,919 rules"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def as_text(value: Any) -> str:
    """`value` as one line; times as ISO 8601, what is absent as a dash, what would steer a terminal as a dot."""
    if value is None:
        return "-"
    text = value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)
    return "".join(character if character.isprintable() else "\N{MIDDLE DOT}" for character in " ".join(text.split()))


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    # JSON has no NaN and no infinity.
    known = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if known else str(value)
