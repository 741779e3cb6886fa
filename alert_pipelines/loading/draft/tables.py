"""Finds rows that are lists, as databases and dashboards export them, and the names of their columns."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.draft.columns import column_path
from alert_pipelines.loading.mapping_parts import Layout, RowColumns
from alert_pipelines.loading.readers.rows import are_names

_NAME_KEYS = ("name", "fieldName", "field", "id", "title", "text")


def table_of(beginning: str, encoding: str) -> Layout | None:
    """Return the layout of a file that begins with a list: its first row, if it is alone on its line, or all rows."""
    line, *others = beginning.lstrip().splitlines()
    if any(map(str.strip, others)) and _is_row(row := _parsed(line)):
        return Layout(format="jsonl", row_columns=_columns(row, None), encoding=encoding)
    rows = _parsed(beginning)
    if _is_table(rows):
        return Layout(format="json", row_columns=_columns(rows[0], None), encoding=encoding)
    return None


def table_in(document: Any, encoding: str) -> Layout | None:
    """Return the layout of a document with rows at a path of keys, those nearest to the top; None if there are none."""
    for path, rows in _tables(document, ()):
        columns = _columns(rows[0], document)
        return Layout(format="json", rows=column_path(path), row_columns=columns, encoding=encoding)
    return None


def refuse_columns(path: Path, document: Any) -> None:
    """Raise LoadError if the document has columns, each with a value for each row, as pandas writes them by default."""
    columns = list(document.values()) if isinstance(document, dict) else []
    rows = [list(each) if isinstance(each, dict) else _numbered(each) for each in columns]
    if len(rows) > 1 and rows[0] and all(each == rows[0] for each in rows) and all(map(str.isdecimal, rows[0])):
        raise LoadError(
            f"{path} has columns, not rows: expected an object for each row. From pandas, write it with "
            "to_json(path, orient='records', lines=True)."
        )


def _numbered(value: Any) -> list[str]:
    is_column = isinstance(value, list) and not any(isinstance(each, dict) for each in value)
    return [str(number) for number, _ in enumerate(value)] if is_column else []


def _parsed(text: str) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text.lstrip())[0]
    except (ValueError, RecursionError):
        return None


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and not any(isinstance(each, dict) for each in value)


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(_is_row(each) and len(each) == len(value[0]) for each in value)
    )


def _tables(value: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[list[Any]]]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if _is_table(inner):
                yield (*above, key), inner
        for key, inner in value.items():
            yield from _tables(inner, (*above, key))


def _columns(first: list[Any], document: Any) -> RowColumns:
    """Return the names of the columns: a list of the document, the first row, or numbers."""
    names = next(_lists_of_names(document, len(first)), None)
    if names is None and are_names(first):
        return "first"
    return names or [f"column_{number}" for number in range(1, len(first) + 1)]


def _lists_of_names(value: Any, length: int) -> Iterator[list[str]]:
    if isinstance(value, list) and len(value) == length:
        for names in (value, *([each.get(key) for each in value if isinstance(each, dict)] for key in _NAME_KEYS)):
            if len(names) == length and are_names(names):
                yield names
    if isinstance(value, dict):
        for inner in value.values():
            yield from _lists_of_names(inner, length)
