"""Reads a file row by row, in constant memory: CSV, JSON Lines or one JSON document, gzipped or not; Excel and Parquet.

Malformed rows are yielded with their text, and reading goes on. Only a file that cannot be read at all is an error.
`documents` decides what the columns mean.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.paths import steps
from alert_pipelines.loading.readers.csv_rows import csv_rows
from alert_pipelines.loading.readers.json_document import document_rows
from alert_pipelines.loading.readers.json_rows import json_line_rows
from alert_pipelines.loading.readers.json_shape import is_document
from alert_pipelines.loading.readers.kinds import refuse_other_kinds
from alert_pipelines.loading.readers.lines import KEPT_OF_LINE, MAX_LINE, Lines, beginning, open_text
from alert_pipelines.loading.readers.rows import BadRow, Row, Values
from alert_pipelines.loading.readers.table_files import excel_rows, parquet_rows

__all__ = ["KEPT_OF_LINE", "MAX_LINE", "BadRow", "LoadError", "Row", "Values", "read_rows"]


def read_rows(path: Path, layout: Layout, on_open: Callable[[TextIO], None] | None = None) -> Iterator[Row | BadRow]:
    """Yield the rows of the file, without blank lines; `on_open` gets the text stream that they are read from.

    Raises LoadError if the file cannot be opened or read to its end, has no header, or lacks a column of `layout`.
    """
    if layout.format == "xlsx":
        yield from excel_rows(path, layout)
        return
    if layout.format == "parquet":
        yield from parquet_rows(path)
        return
    with open_text(path, layout.encoding) as stream:
        refuse_other_kinds(path, beginning(stream, path))
        if on_open is not None:
            on_open(stream)
        yield from _text_rows(stream, path, layout)


def _text_rows(stream: TextIO, path: Path, layout: Layout) -> Iterator[Row | BadRow]:
    of_document = steps(layout.document_rows) if layout.document_rows else []
    if layout.format == "json":
        yield from document_rows(stream, path, layout)
    elif of_document and is_document(str(beginning(stream, path), stream.encoding, "ignore"), of_document):
        yield from document_rows(stream, path, Layout(format="json", rows=layout.document_rows))
    elif layout.format == "jsonl":
        yield from json_line_rows(Lines(stream, path), layout)
    else:
        yield from csv_rows(Lines(stream, path, layout.csv.quote_character or "\0"), layout)
