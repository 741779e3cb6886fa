"""Finds a value in a row: by a column's name, a path with dots, or a list of keys, which may contain dots."""

from collections.abc import Callable
from typing import Any, TypeAlias

ColumnPath: TypeAlias = str | list[str]


def shown(column: ColumnPath) -> str:
    """Return the path as messages show it."""
    return column if isinstance(column, str) else ".".join(column)


def steps(column: ColumnPath) -> list[str]:
    """Return the keys that lead to the value."""
    return column.split(".") if isinstance(column, str) else column


def finder(column: ColumnPath) -> Callable[[dict[str, Any]], Any]:
    """Return a function from a row to its value at `column`, or to None.

    A key that contains the dots takes precedence over a path of several keys. In a list, a number is a position.
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
    """Return a function that says whether a row has `column`, with or without a value."""
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
