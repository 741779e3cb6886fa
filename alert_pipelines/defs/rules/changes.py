"""What a publication of rules, or of maintenance windows, changes, as a table of the UI."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dagster import TableMetadataValue

from alert_pipelines.defs.tables import table
from alert_pipelines.rules.maintenance import WindowChange
from alert_pipelines.rules.publish import RuleChange


def change_table(
    what: str, changes: Iterable[RuleChange] | Iterable[WindowChange], as_text: Callable[[Any], str]
) -> TableMetadataValue:
    """A row for each field that differs; `what` names the first column, `as_text` writes the values of the fields."""
    columns = (what, "change", "written", "field", "before", "after")
    return table(columns, (row for change in changes for row in _rows(change, as_text)))


def _rows(change: RuleChange | WindowChange, as_text: Callable[[Any], str]) -> Iterator[tuple[str | bool, ...]]:
    which, kind, fields, written = change
    for path, before, after in fields or [("", None, None)]:
        yield which, str(kind), written, path, as_text(before), as_text(after)
