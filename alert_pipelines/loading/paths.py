"""Where a value stands in a row: a column's name, a path with dots, or a list of keys that may themselves hold dots."""

from collections.abc import Callable
from typing import Any, TypeAlias

ColumnPath: TypeAlias = str | list[str]


def shown(column: ColumnPath) -> str:
    """The path as a message names it."""
    return column if isinstance(column, str) else ".".join(column)


def steps(column: ColumnPath) -> list[str]:
    """The keys that lead to the value."""
    return column.split(".") if isinstance(column, str) else column


def finder(column: ColumnPath) -> Callable[[dict[str, Any]], Any]:
    """A function from a row to its value at `column`, None where there is none.

    A name that the row has as it is goes before the path that its dots make of it; in a list a number is a position.
    """
    if isinstance(column, str) and "." not in column:
        return lambda values: values.get(column)
    path = steps(column)

    def find(values: dict[str, Any]) -> Any:
        if isinstance(column, str) and column in values:
            return values[column]
        found: Any = values
        for step in path:
            found = _step(found, step)
        return found

    return find


def holder(column: ColumnPath) -> Callable[[dict[str, Any]], bool]:
    """A function that tells whether a row has `column` at all, with or without a value."""
    *above, last = steps(column)
    find = finder(above)

    def has(values: dict[str, Any]) -> bool:
        if isinstance(column, str) and column in values:
            return True
        inner = find(values)
        return _step(inner, last) is not None or (isinstance(inner, dict) and last in inner)

    return has


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return None
