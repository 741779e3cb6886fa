"""Guesses how a file is written: its encoding, its format, its delimiter, where its rows are."""

import csv
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.draft.columns import column_path
from alert_pipelines.loading.draft.tables import refuse_columns, table_in, table_of
from alert_pipelines.loading.mapping_parts import Csv, Layout
from alert_pipelines.loading.paths import ColumnPath
from alert_pipelines.loading.readers.csv_rows import csv_reader, is_rule
from alert_pipelines.loading.readers.json_shape import lists_of_objects
from alert_pipelines.loading.readers.kinds import refuse_other_kinds
from alert_pipelines.loading.readers.lines import beginning as bytes_at
from alert_pipelines.loading.readers.lines import open_bytes, open_text

_DELIMITERS = (",", ";", "\t", "|")
_QUOTES = ('"', "'")
_PARQUET = b"PAR1"
# How databases write "no value" between tabs, where a backslash escapes tabs and newlines and nothing is quoted.
_TAB_NULL, _TAB_QUOTE = re.compile(r"(^|\t)\\N(\t|$)", re.MULTILINE), re.compile(r'(^|\t)"', re.MULTILINE)
_LINES = 60
_PIECE = 1_000_000
_UNDECODED, _NOT_ASCII = re.compile("[\udc80-\udcff]"), re.compile(r"[^\x00-\x7f]")
_SAMPLE = 20_000
_NOT_ASCII_BYTES = re.compile(rb"[\x80-\xff]+")
_SCRIPTS = ("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp932", "euc_jp", "gb18030", "big5", "cp949")
_BEGINNING = 16_000_000
_TEXT = 1_000
_ROW_KEY = "row_key"


def layout_of(path: Path, encoding: str | None = None) -> Layout:
    """Guess the layout, and the encoding if it is None. Raises LoadError if the file cannot be read, or is empty."""
    if not path.is_file():
        raise LoadError(f"{path} is not a regular file: a draft reads it several times. Save it as a file first.")
    if _is_workbook(path):
        return Layout(format="xlsx")
    encoding = encoding or _encoding(path)
    with open_text(path, encoding) as stream:
        if (start := bytes_at(stream, path)).startswith(_PARQUET):
            return Layout(format="parquet")
        refuse_other_kinds(path, start)
        beginning = stream.read(_PIECE)
        if not beginning.strip():
            raise LoadError(f"{path} is empty: there is nothing to draft a mapping from")
        if "\0" in beginning[:_TEXT]:
            raise LoadError(
                f"{path} is not a text in {encoding}: it holds zero bytes. Export it as CSV, JSON, Excel or Parquet, "
                "or name its encoding, such as --encoding utf-16-le."
            )
        if beginning.lstrip().startswith(("{", "[")):
            return _json(path, beginning + stream.read(_BEGINNING), encoding)
    return _csv(beginning, encoding)


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "[Content_Types].xml" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False  # what it is then, or why it cannot be read, is told by those that read it as a text


def _encoding(path: Path) -> str:
    """Return UTF-16 by its first bytes, with or without a mark; UTF-8 if most non-ASCII bytes are valid; or a guess."""
    try:
        with open_bytes(path) as stream:
            start = stream.read(2)
            if start in (b"\xff\xfe", b"\xfe\xff"):
                return "utf-16"
            if start.count(0) == 1:
                return "utf-16-le" if start.endswith(b"\0") else "utf-16-be"
        # A line or two in another encoding do not make the others cp1252: they are rejected, and named.
        with open_text(path, "utf-8") as text:
            wrong, right, sample = 0, 0, ""
            while piece := text.read(_PIECE):
                bad = len(_UNDECODED.findall(piece))
                wrong, right = wrong + bad, right + len(_NOT_ASCII.findall(piece)) - bad
                if len(sample) < _SAMPLE:
                    lines = piece.splitlines(keepends=True)
                    sample += "".join(line for line in lines if not line.isascii())[:_SAMPLE]
            if wrong > right:
                return _guessed(sample.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}. Check its name and rights.") from error
    except (EOFError, zlib.error) as error:
        raise LoadError(f"{path} is cut off, or not valid gzip: {error}. Fetch it again.") from error
    return "utf-8"


def _guessed(sample: bytes) -> str:
    """Return the encoding of another script than Latin whose text looks most like a language; cp1252 for Latin letters.

    In Latin script, letters outside of ASCII stand alone or in twos, which is too little to tell its encodings apart.
    """
    runs = _NOT_ASCII_BYTES.findall(sample)
    if 2 * sum(len(run) for run in runs if len(run) > 2) < sum(map(len, runs)):
        return "cp1252"
    best = from_bytes(sample, cp_isolation=[*_SCRIPTS, "cp1252"]).best()
    return "cp1252" if best is None else best.encoding


def _json(path: Path, beginning: str, encoding: str) -> Layout:
    first, *others = beginning.lstrip().splitlines()
    if first.startswith("["):
        return table_of(beginning, encoding) or Layout(format="json", encoding=encoding)
    try:
        whole = json.loads(first)
    except (ValueError, RecursionError):
        whole = None
    if whole is not None and any(line.strip() for line in others):
        return Layout(format="jsonl", encoding=encoding)
    return _of_documents(path, beginning, encoding)


def _of_documents(path: Path, beginning: str, encoding: str) -> Layout:
    try:
        document, end = json.JSONDecoder().raw_decode(beginning.lstrip())
    except (ValueError, RecursionError):
        # Longer than what was looked at, or cut off.
        return _document(next(lists_of_objects(beginning), None), encoding)
    if table := table_in(document, encoding):
        return table
    refuse_columns(path, document)
    if lists := list(_lists(document, [])):
        return _document(max(lists, key=lambda each: each[0])[1], encoding)
    if (keyed := next(_keyed(document, []), None)) is not None:
        return Layout(format="json", rows=_path(keyed), row_key=_ROW_KEY, encoding=encoding)
    several = beginning.lstrip()[end:].strip()
    return Layout(format="json", encoding=encoding) if several else _document(None, encoding)


def _document(rows: list[str] | None, encoding: str) -> Layout:
    return Layout(format="jsonl" if rows is None else "json", rows=_path(rows), encoding=encoding)


def _path(keys: list[str] | None) -> ColumnPath | None:
    return column_path(tuple(keys)) if keys else None


def _lists(value: Any, path: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Return the paths of keys that lead to a list of objects, with the list's size: rows are most of a file."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, list) and inner and all(isinstance(each, dict) for each in inner):
                yield len(json.dumps(inner)), [*path, key]
            yield from _lists(inner, [*path, key])


def _keyed(value: Any, path: list[str]) -> Iterator[list[str]]:
    """Return the paths of keys that lead to an object of rows: objects with common keys, which are words."""
    if not isinstance(value, dict):
        return
    rows = [inner for inner in value.values() if isinstance(inner, dict)]
    if len(rows) > 1 and len(rows) == len(value):
        shared = set(rows[0]).intersection(*rows)
        if 2 * len(shared) >= len(rows[0]) and not all(map(str.isdecimal, shared)):
            yield path
    for key, inner in value.items():
        yield from _keyed(inner, [*path, key])


def _csv(beginning: str, encoding: str) -> Layout:
    lines = beginning.splitlines(keepends=True)[:_LINES]
    escapes = (None, "\\") if "\\" in beginning else (None,)
    ways = itertools.product(_DELIMITERS, _QUOTES, (False, True), escapes)
    guesses = [
        (*_header(lines, (written := Csv(delimiter=delimiter, quote=quote, escape=escape)), trim), written, trim)
        for delimiter, quote, trim, escape in ways
    ]
    # What most rows fit, then as many columns as can be, then the header that stands first.
    _, columns, above, written, trim = max(guesses, key=lambda guess: guess[:3])
    changes: dict[str, Any] = {"header_line": -above, **({} if columns > 1 else {"delimiter": ","})}
    if written.delimiter == "\t" and (written.escape or _TAB_NULL.search(beginning)):
        changes |= {"escape": "\\", **({} if _TAB_QUOTE.search(beginning) else {"quote": "none"})}
    return Layout(format="csv", encoding=encoding, trim=trim, csv=written.model_copy(update=changes))


def _header(lines: list[str], written: Csv, trim: bool) -> tuple[int, int, int]:
    """Return how many rows fit the header, how many columns it has, and minus its line.

    The header is the first line that most of the later ones fit; line 1, with one column, if most fit none.
    """
    none = (0, 1, -1)
    reader = csv_reader(lines, written, trim=trim, strict=False)
    rows: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for row in reader:
            if row and not is_rule(row, written.delimiter):
                rows.append((start, row))
            start = reader.line_num + 1
    except csv.Error:
        return none
    found = []
    for index, (line, row) in enumerate(rows):
        columns, after = _width(row), rows[index + 1 :]
        fitting = sum(_fits(values, columns) for _, values in after)
        # One column may have no name, such as the first of a table that was written with its row numbers.
        if sum(map(bool, row)) >= max(2, columns - 1) and 2 * fitting >= len(after):
            found.append((fitting, columns, -line))
    return max(found, key=lambda each: (each[0], each[2]), default=none)


def _width(values: list[str]) -> int:
    """Return the number of columns up to the last that has a name."""
    return max((at for at, value in enumerate(values, 1) if value), default=0)


def _fits(values: list[str], columns: int) -> bool:
    """Whether the row has a value for each column, and no more."""
    return len(values) >= columns and not any(values[columns:])
