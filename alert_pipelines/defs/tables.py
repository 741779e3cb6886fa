"""Rows as a table of the UI."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

from alert_pipelines.cli.table_layout import fitted

MAX_LISTED = 50

ROOM = 68
"""How many characters the UI has for a table next to its name, on a screen 1440 pixels wide."""
PADDING = 2
"""What a column takes beside its text, in characters."""
_LONGEST_WORD = 40
_NARROWEST = 24
_KINDS: Mapping[type, str] = {bool: "bool", int: "int", float: "float"}


def table(columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> TableMetadataValue:
    """`rows` as a table of the UI, under the names of the `columns`.

    Long texts are broken into lines here. The UI would take the room for them from all columns alike, and break dates,
    ids and words anywhere.
    """
    listed = list(rows)
    widths = _widths(columns, listed)
    return MetadataValue.table(
        [TableRecord(dict(zip(columns, map(_in_lines, row, widths), strict=True))) for row in listed],
        schema=TableSchema(
            columns=[TableColumn(name, _kind(row[n] for row in listed)) for n, name in enumerate(columns)]
        ),
    )


def _kind(values: Iterable[Any]) -> str:
    """What a column holds, told by the first value that is there."""
    return _KINDS.get(type(next((value for value in values if value is not None), None)), "string")


def _widths(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """The width of each column in characters; the widest ones give way, as far as their longest words allow."""
    columns = [[name, *(str(row[number]) for row in rows)] for number, name in enumerate(names)]
    wanted = [max(len(line) for text in column for line in text.split("\n")) for column in columns]
    words = [max(len(word) for text in column for word in re.split("[ \n]", text)) for column in columns]
    least = [max(min(want, _NARROWEST), min(word, _LONGEST_WORD)) for want, word in zip(wanted, words, strict=True)]
    return fitted(wanted, least, ROOM - PADDING * len(names))


def _in_lines(value: Any, width: int) -> Any:
    if not isinstance(value, str):
        return value
    lines = (textwrap.wrap(line, width, break_on_hyphens=False) or [""] for line in value.split("\n"))
    return "\n".join(part for line in lines for part in line)


def unbroken(text: str) -> str:
    """`text`, an age or a time, as one line of a narrow column."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def without_empty(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata` without None and the tables that have no rows: these say nothing and push the rest out of sight."""
    return {
        name: value
        for name, value in metadata.items()
        if value is not None and not (isinstance(value, TableMetadataValue) and not value.records)
    }
