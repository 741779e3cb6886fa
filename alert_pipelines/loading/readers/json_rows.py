"""Reads JSON Lines: each line is an object or list, which is a row or has rows at a path of keys.

Of a bulk request of Elasticsearch, each action and the document after it become one row.
"""

import json
from collections.abc import Iterator
from typing import Any

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.paths import finder, holder, steps
from alert_pipelines.loading.readers.json_shape import lists_of_objects
from alert_pipelines.loading.readers.lines import TOO_LONG, Lines
from alert_pipelines.loading.readers.rows import BadRow, JsonRows, Row


def json_line_rows(lines: Lines, layout: Layout) -> Iterator[Row | BadRow]:
    """Yield each line as a row, or the rows of the list at `layout.rows` in it.

    Raises LoadError if the file seems to be one JSON document.
    """
    rows = steps(layout.rows) if layout.rows else []
    find = finder(rows)
    row, bulk = JsonRows(layout.row_columns), _Bulk()
    for start, _ in enumerate(lines, start=1):
        text, too_long = lines.text, lines.too_long
        if start == 1:
            _refuse_document(text, lines, layout)
        lines.mark()
        if not text.strip() and not too_long:
            continue
        if too_long:
            yield BadRow(start, text, TOO_LONG, TOO_LONG)
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield BadRow(start, text, _why(error), "not valid JSON")
            continue
        if rows and isinstance(values, dict):
            yield from _inner_rows(start, text, find(values), layout)
        else:
            for each in bulk.joined(values):
                yield from row(start, text, each)


class _Bulk:
    """Joins an action of an Elasticsearch bulk request and its document, in the form in which a search answers them."""

    def __init__(self) -> None:
        self._target: dict[str, Any] | None = None

    def joined(self, values: Any) -> Iterator[Any]:
        """Yield nothing for an action, such as `{"index": {"_id": "a1"}}`; `values` with its `_id` for its document."""
        target, self._target = self._target, _target(values)
        if self._target is None:
            yield values if target is None else {**target, "_source": values}


def _target(values: Any) -> dict[str, Any] | None:
    if not isinstance(values, dict) or len(values) != 1:
        return None
    [(action, target)] = values.items()
    is_target = isinstance(target, dict) and (not target or not target.keys().isdisjoint(("_index", "_id")))
    return target if action in ("index", "create", "update") and is_target else None


def _why(error: Exception) -> str:
    # What json says of the line is that of its text: one line, whichever of the file it is.
    place = f" at column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else f": {error}"
    return f"not valid JSON{place}"


def _refuse_document(text: str, lines: Lines, layout: Layout) -> None:
    if text.lstrip().startswith("[") and layout.row_columns is None:
        raise LoadError(f"{lines.path} is a JSON array, not JSON Lines: write format: json")
    if text.strip() == "{":
        raise LoadError(
            f"{lines.path} seems to be JSON over several lines: write format: json, and rows: KEY where a key holds "
            "the rows"
        )
    inner = next(lists_of_objects(text), None) if layout.rows is None else None
    if inner and _lacks_all_columns(text, layout) and _is_all(lines):
        raise LoadError(
            f"{lines.path} seems to be one JSON document, with its rows at {'.'.join(inner)}: write format: json, and "
            f"rows: {'.'.join(inner)}"
        )


def _lacks_all_columns(text: str, layout: Layout) -> bool:
    """Whether the object has none of the columns that every row needs, if there are any."""
    needed = [path for _, paths in layout.columns() for path in paths]
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return bool(needed)
    return bool(needed) and not any(holder(path)(values) for path in needed)


def _is_all(lines: Lines) -> bool:
    """Whether no line follows the one that was taken."""
    following = next(lines, "")
    lines.keep_first()
    return not following.strip()


def _inner_rows(line: int, text: str, inner: Any, layout: Layout) -> Iterator[Row | BadRow]:
    if not isinstance(inner, list):
        reason = f"no list at rows: {'.'.join(steps(layout.rows or []))}"
        yield BadRow(line, text, reason, reason)
        return
    row = JsonRows(layout.row_columns)
    for values in inner:
        yield from row(line, json.dumps(values), values)
