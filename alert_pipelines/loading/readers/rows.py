"""The rows that readers yield: rows with values, and rows that cannot be used."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

from alert_pipelines.errors import LoadError

Values: TypeAlias = dict[str, Any]


class Row(NamedTuple):
    """A row that was parsed: its first line in the file (from 1), its text and its values."""

    line: int
    text: str
    values: Values


class BadRow(NamedTuple):
    """A row, or a part of the file, that cannot be used, with the reason; rejects are counted by `kind`."""

    line: int
    text: str
    reason: str
    kind: str


class JsonRows:
    """Makes rows of JSON values: of objects, and of lists, whose columns are declared or named by the first list."""

    def __init__(self, columns: Literal["first"] | list[str] | None) -> None:
        self._is_first = columns == "first"
        self._names = columns if isinstance(columns, list) else []

    def __call__(self, line: int, text: str, value: Any) -> Iterator[Row | BadRow]:
        """Yield the row of `value`; nothing for the list that names the columns.

        Raises LoadError if that list has no valid names.
        """
        if isinstance(value, dict):
            yield Row(line, text, value)
        elif isinstance(value, list) and self._is_first:
            self._names, self._is_first = _names(line, value), False
        elif isinstance(value, list) and not self._names:
            reason = "a list where an object is expected: write row_columns for rows that are lists"
            yield BadRow(line, text, reason, "not a JSON object")
        elif isinstance(value, list) and len(value) == len(self._names):
            yield Row(line, text, dict(zip(self._names, value, strict=True)))
        elif isinstance(value, list):
            reason = f"a list of {len(value)} values, where row_columns has {len(self._names)} names"
            yield BadRow(line, text, reason, "a list with more or fewer values than row_columns has names")
        else:
            yield BadRow(line, text, f"a {type(value).__name__} where an object is expected", "not a JSON object")


def _names(line: int, value: list[Any]) -> list[str]:
    if not are_names(value):
        raise LoadError(
            f"line {line}: row_columns: first: the first row does not hold names of columns, each a text that differs "
            "from the others. Write the names in the mapping: row_columns: [NAME, NAME]"
        )
    return value


def are_names(value: list[Any]) -> bool:
    """Return whether these can be the names of columns."""
    return bool(value) and all(isinstance(each, str) and each for each in value) and len(set(value)) == len(value)
