"""What a reader yields: rows with their values, and rows that cannot be used."""

from typing import Any, NamedTuple, TypeAlias

Values: TypeAlias = dict[str, Any]


class Row(NamedTuple):
    """A row that could be parsed: the line of the file it starts on (from 1), its text and its values."""

    line: int
    text: str
    values: Values


class BadRow(NamedTuple):
    """A row, or a part of the file, that cannot be used, and why; rejects are counted by `kind`."""

    line: int
    text: str
    reason: str
    kind: str
