"""Reads CSV: any delimiter and quote, a header on any line. A stray quote spoils its line only."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.mapping_parts import Csv, Layout
from alert_pipelines.loading.readers.header import checked_header
from alert_pipelines.loading.readers.lines import TOO_LONG, Lines
from alert_pipelines.loading.readers.rows import BadRow, Row

_DELIMITERS = (",", ";", "\t", "|")
_MAX_TITLE_LINES = 50
# How exports keep a spreadsheet from reading a text such as 0007 as a number.
_FORMULA = re.compile(r'^="([^"]*)"$')
_RULE = re.compile(r"[-+:=\s]*-[-+:=\s]*")
# What databases write for a character after the escape; N is kept, as the two characters that mean "no value".
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}
_UNDECODED = re.compile("[\udc80-\udcff]")  # what bytes become that are not valid in the encoding


def csv_rows(lines: Lines, layout: Layout) -> Iterator[Row | BadRow]:
    """Yield the rows after the header. Raises LoadError if the header lacks a column of `layout`."""
    header = _header(lines, layout)
    reader = _reader(lines, layout)
    while True:
        start = lines.mark()
        try:
            values = next(reader, None)
            if values is None:
                return
            if is_rule(values, layout.csv.delimiter):
                continue
            if len(values) > len(header) and header[-1:] != [""] and not any(values[len(header) :]):
                values = values[: len(header)]  # each row ends with a delimiter, and the header does not
            fault = f"{len(values)} values for {len(header)} columns" if len(values) != len(header) else None
            whole = fault is None or lines.too_long
        except csv.Error as error:
            hint = (
                ""
                if layout.csv.escape or "\\" not in lines.text
                else '; if \\ escapes quotes, write csv: {escape: "\\\\"}'
            )
            values, fault, whole = [], f"not valid CSV: {error}{hint}", False
            reader = _reader(lines, layout)
        if not whole:
            # A stray quote swallows the lines after it: read these again, as separate rows.
            lines.keep_first()
        if lines.too_long:
            yield BadRow(start, lines.text, TOO_LONG, TOO_LONG)
        elif fault is None:
            text = lines.text
            yield Row(start, text, dict(zip(header, _without_formulas(values, text), strict=True)))
        elif lines.text.strip():
            kind = "not valid CSV" if fault.startswith("not valid CSV") else "more or fewer values than columns"
            yield BadRow(start, lines.text, fault, kind)


def _without_formulas(values: list[str], text: str) -> list[str]:
    return [_FORMULA.sub(r"\1", value) for value in values] if '="' in text else values


def _reader(lines: Iterable[str], layout: Layout) -> Any:
    return csv_reader(lines, layout.csv, trim=layout.trim, strict=True)


def csv_reader(lines: Iterable[str], written: Csv, *, trim: bool, strict: bool) -> Any:
    """Return a reader of rows, each a list of values, for a file that is written in this way."""
    quote, escape = written.quote_character, written.escape
    return csv.reader(
        lines if escape is None else _with_letters(lines, escape),
        strict=strict,
        skipinitialspace=trim,
        delimiter=written.delimiter,
        quotechar=quote,
        escapechar=escape,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )


def _with_letters(lines: Iterable[str], escape: str) -> Iterator[str]:
    """Yield the lines with the characters themselves in place of letters after the escape: a newline for n."""
    escaped = re.compile(f"{re.escape(escape)}(.)", re.DOTALL)

    def character(found: re.Match[str]) -> str:
        letter = found.group(1)
        return f"{escape}{escape}N" if letter == "N" else escape + _LETTERS.get(letter, letter)

    return (escaped.sub(character, line) for line in lines)


def is_rule(values: Sequence[str], delimiter: str) -> bool:
    """Return whether these are a line between the rows of a table, such as `|---|---|` or `+---+---+`."""
    return delimiter == "|" and _RULE.fullmatch("".join(values)) is not None


def _header(lines: Lines, layout: Layout) -> list[str]:
    titles = [next(lines, "") for _ in range(layout.csv.header_line - 1)]
    lines.mark()
    try:
        header: list[str] = next(_reader(lines, layout), [])
    except csv.Error as error:
        raise LoadError(f"{lines.path}: the header is not valid CSV: {error}") from error
    if lines.too_long:
        raise LoadError(f"{lines.path}: the header is {TOO_LONG}: expected the names of the columns")
    first = lines.text
    if layout.trim:
        header = [name.strip() for name in header]

    def hint(wanted: set[str]) -> str:
        rest = (line for line, _ in zip(lines, range(_MAX_TITLE_LINES), strict=False))
        return _guess([*titles, first, *rest], layout, wanted)

    return checked_header(lines.path, header, layout, hint)


class _Guess(NamedTuple):
    found: int
    line: int
    delimiter: str


def _guess(seen: list[str], layout: Layout, wanted: set[str]) -> str:
    """Suggest changes of the mapping that find most of the columns `wanted`, from the first lines of the file."""
    declared = layout.csv
    if next(iter(seen), "").lstrip().startswith(("{", "[")):
        return "\nThe file seems to be JSON: write format: json, or jsonl for one object a line"
    delimiters = (declared.delimiter, *_DELIMITERS)
    guesses = [
        _Guess(_found(text, layout, at, wanted), line, at) for line, text in enumerate(seen, 1) for at in delimiters
    ]
    now = max((one.found for one in guesses if one[1:] == (declared.header_line, declared.delimiter)), default=0)
    best = max(guesses, key=lambda one: (one.found, -one.line), default=_Guess(0, 1, ","))
    hints = []
    if any(map(_UNDECODED.search, seen)):
        hints.append(f"\nThe file is not valid {layout.encoding}: write its encoding, such as encoding: cp1252")
    if best.found <= now:
        return "".join(hints)
    if best.delimiter != declared.delimiter:
        hints.append(
            f"\nThe delimiter seems to be {best.delimiter!r}: write csv: {{delimiter: {json.dumps(best.delimiter)}}}"
        )
    if best.line != declared.header_line:
        hints.append(f"\nThe header seems to be line {best.line}: write csv: {{header_line: {best.line}}}")
    return "".join(hints)


def _found(text: str, layout: Layout, delimiter: str, wanted: set[str]) -> int:
    try:
        written = layout.csv.model_copy(update={"delimiter": delimiter})
        return len(wanted.intersection(next(csv_reader([text], written, trim=layout.trim, strict=True), [])))
    except csv.Error:
        return 0
