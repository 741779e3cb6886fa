"""Reading a CSV or JSON Lines file row by row, gzipped or not, in memory that does not grow with the file.

A row that is malformed is yielded as such with its text and the reading goes on; only a file that cannot be
read at all is an error. What the columns mean is `documents`' matter.
"""

import codecs
import csv
import gzip
import json
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self, TextIO, TypeAlias

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.loading.mapping import Mapping
from alert_pipelines.spelling import nearest

# A line is shorter than this, or rejected and only its beginning kept, so that no line can fill the memory.
MAX_LINE = 1_000_000
KEPT_OF_LINE = 1_000
_TOO_LONG = f"a line of {MAX_LINE:,} characters or more"

Values: TypeAlias = dict[str, Any]


class LoadError(AlertPipelinesError):
    """A file cannot be loaded at all."""


class Row(NamedTuple):
    """A row that could be parsed: the line of the file it starts on (from 1), its text and its values."""

    line: int
    text: str
    values: Values


class BadRow(NamedTuple):
    """A row, or a part of the file, that cannot be used, and why; rejects are counted by `kind`."""

    line: int
    text: str
    reason: str
    kind: str


def read_rows(path: Path, mapping: Mapping) -> Iterator[Row | BadRow]:
    """Yield the rows of the file, blank lines left out.

    Raises LoadError when the file cannot be opened or read on, has no header, or lacks a column that
    `mapping` names.
    """
    try:
        stream = _open(path, mapping.encoding)
    except OSError as error:
        raise LoadError(f"{path} cannot be opened: {error.strerror or error}. Check its name and rights.") from error
    with stream:
        lines = _Lines(stream, path)
        yield from _csv_rows(lines, mapping) if mapping.format == "csv" else _json_rows(lines)


def _open(path: Path, encoding: str) -> TextIO:
    if codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"  # a byte order mark, as spreadsheets write it, is no part of the first column
    # Bytes that are not valid become surrogates: they spoil their own row and not the whole file.
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, errors="surrogateescape", newline="")
    return path.open(encoding=encoding, errors="surrogateescape", newline="")


class _Line(NamedTuple):
    """A line of the file, or its beginning where it is too long; then `instead` is what a CSV parser is given."""

    text: str
    instead: str | None = None


class _Lines:
    """The lines of a file, numbered; those taken since the last `mark` can be given back but for the first."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self.path = path
        self.number = 0
        self._stream = stream
        self._taken: list[_Line] = []
        self._returned: deque[_Line] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else self._read()
        if not line.text:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        return line.text if line.instead is None else line.instead

    def _read(self) -> _Line:
        text = piece = self._read_piece()
        if not _goes_on(piece):
            return _Line(text)
        quotes = piece.count('"')
        while _goes_on(piece):
            piece = self._read_piece()
            quotes += piece.count('"')
        # Opens or closes a quoted value as the whole line does, so that the row is found to end where it does.
        return _Line(text[:KEPT_OF_LINE], '"' * (quotes % 2) + "\n")

    def _read_piece(self) -> str:
        try:
            return self._stream.readline(MAX_LINE)
        except (OSError, EOFError, UnicodeError, zlib.error) as error:
            raise LoadError(
                f"{self.path} cannot be read beyond line {self.number}: {error}. Get the file anew and load it "
                "again: what is loaded already stays as it is."
            ) from error

    def mark(self) -> int:
        """Forget the lines taken; return the number of the next one."""
        self._taken.clear()
        return self.number + 1

    def keep_first(self) -> None:
        """Give back all lines taken but the first."""
        self._returned.extendleft(reversed(self._taken[1:]))
        self.number -= len(self._taken) - 1
        del self._taken[1:]

    @property
    def text(self) -> str:
        """The lines taken, without the last one's end."""
        return "".join(line.text for line in self._taken).rstrip("\r\n")

    @property
    def too_long(self) -> bool:
        """Whether any line taken is too long, and so only its beginning is in `text`."""
        return any(line.instead is not None for line in self._taken)


def _goes_on(piece: str) -> bool:
    return len(piece) == MAX_LINE and not piece.endswith(("\n", "\r"))


def _csv_rows(lines: _Lines, mapping: Mapping) -> Iterator[Row | BadRow]:
    header = _header(lines, mapping)
    reader = csv.reader(lines, strict=True)
    while True:
        start = lines.mark()
        try:
            values = next(reader, None)
            if values is None:
                return
            fault = f"{len(values)} values for {len(header)} columns" if len(values) != len(header) else None
            whole = fault is None or lines.too_long
        except csv.Error as error:
            values, fault, whole = [], f"no valid CSV: {error}", False
            reader = csv.reader(lines, strict=True)
        if not whole:
            # A stray quote swallows the lines after it; they are rows of their own and get their chance.
            lines.keep_first()
        if lines.too_long:
            yield BadRow(start, lines.text, _TOO_LONG, _TOO_LONG)
        elif fault is None:
            yield Row(start, lines.text, dict(zip(header, values, strict=True)))
        elif lines.text.strip():
            kind = "not valid CSV" if fault.startswith("no valid CSV") else "more or fewer values than columns"
            yield BadRow(start, lines.text, fault, kind)


def _header(lines: _Lines, mapping: Mapping) -> list[str]:
    try:
        header = next(csv.reader(lines, strict=True), [])
    except csv.Error as error:
        raise LoadError(f"{lines.path}: the header is no valid CSV: {error}") from error
    if lines.too_long:
        raise LoadError(f"{lines.path}: the header is {_TOO_LONG}: its first line has to name the columns")
    if not header:
        raise LoadError(f"{lines.path} has no header: its first line has to name the columns")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise LoadError(f"{lines.path}: the header names {', '.join(twice)} twice: rename one of them")
    faults = [
        f"{place}: no column {column!r}" + (f", did you mean {near!r}?" if (near := nearest(column, header)) else "")
        for place, column in mapping.columns()
        if column not in header
    ]
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise LoadError(f"{lines.path} does not fit the mapping:\n{listed}\nIts columns: {', '.join(header)}")
    return header


def _json_rows(lines: _Lines) -> Iterator[Row | BadRow]:
    for start, _ in enumerate(lines, start=1):
        text, too_long = lines.text, lines.too_long
        lines.mark()
        if not text.strip() and not too_long:
            continue
        if start == 1 and text.lstrip().startswith("["):
            raise LoadError(
                f"{lines.path} is a JSON array, not JSON Lines: turn it into one object a line (jq -c '.[]')"
            )
        if too_long:
            yield BadRow(start, text, _TOO_LONG, _TOO_LONG)
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield BadRow(start, text, f"no valid JSON: {error}", "not valid JSON")
            continue
        if isinstance(values, dict):
            yield Row(start, text, values)
        else:
            yield BadRow(start, text, f"a {type(values).__name__} where an object is expected", "not a JSON object")
