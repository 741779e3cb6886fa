"""Reads Excel and Parquet, whose values have types. The extra `files` installs their libraries."""

import importlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from alert_pipelines.errors import LoadError
from alert_pipelines.extras import how_to_install
from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.readers.header import checked_header
from alert_pipelines.loading.readers.rows import Row

_BATCH = 1_000


def excel_rows(path: Path, layout: Layout) -> Iterator[Row]:
    """Yield the rows below the header of one sheet; lines are numbered as in the spreadsheet.

    Raises LoadError if it is not a workbook, has no such sheet, or its header lacks a column of `layout`.
    """
    openpyxl = _needed("openpyxl", path)
    with ExitStack() as stack:
        try:
            # Opened here: openpyxl refuses a path with another suffix.
            book = openpyxl.load_workbook(stack.enter_context(path.open("rb")), read_only=True, data_only=True)
        except Exception as error:  # a zip file, XML, or openpyxl's own: it raises what it meets
            raise _unreadable(path, "an Excel workbook (.xlsx)", error) from error
        stack.callback(book.close)
        yield from _sheet_rows(book, path, layout)


def _sheet_rows(book: Any, path: Path, layout: Layout) -> Iterator[Row]:
    name = layout.excel.sheet
    if name is not None and name not in book.sheetnames:
        raise LoadError(f"{path} has no sheet {name!r}. Its sheets: {', '.join(book.sheetnames)}")
    sheet = book[name] if name is not None else book.worksheets[0]
    header: list[str] | None = None
    for line, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        if line < layout.excel.header_line:
            continue
        if header is None:
            names = ["" if cell is None else str(cell).strip() for cell in cells]
            header = checked_header(path, names, layout)
        elif any(cell is not None for cell in cells):
            values = {name: cell for name, cell in zip(header, cells, strict=False) if name}
            yield Row(line, json.dumps(values, default=str), values)
    if header is None:
        raise LoadError(
            f"{path}: the sheet {sheet.title!r} has no line {layout.excel.header_line} with the names of the columns"
        )


def parquet_rows(path: Path) -> Iterator[Row]:
    """Yield the rows, numbered from 1. Raises LoadError if it is not a Parquet file."""
    parquet = _needed("pyarrow.parquet", path)
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, json.dumps(values, default=str), values)
    except (OSError, ValueError) as error:  # pyarrow's own errors are these
        raise _unreadable(path, "a Parquet file", error) from error


def _needed(module: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LoadError(
            f"{path} needs {module.partition('.')[0]}, which is not installed. Install it with "
            f"{how_to_install('files')}"
        ) from error


def _unreadable(path: Path, kind: str, error: Exception) -> LoadError:
    return LoadError(f"{path} cannot be read as {kind}: {error}. Check its format, or fetch it again.")
