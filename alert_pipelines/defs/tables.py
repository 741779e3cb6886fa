"""Rows as a table of the UI."""

from collections.abc import Iterable, Mapping
from typing import Any

from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

MAX_LISTED = 50


def table(columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> TableMetadataValue:
    """`rows` as a table of the UI; `columns` gives each column's type."""
    return MetadataValue.table(
        [TableRecord(dict(zip(columns, row, strict=True))) for row in rows],
        schema=TableSchema(columns=[TableColumn(name, kind) for name, kind in columns.items()]),
    )


def unbroken(text: str) -> str:
    """`text`, an age or a time, as one line of a narrow column."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def without_empty_tables(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata` without the tables that have no rows: an empty one says nothing and pushes the rest out of sight."""
    return {
        name: value
        for name, value in metadata.items()
        if not (isinstance(value, TableMetadataValue) and not value.records)
    }
