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
