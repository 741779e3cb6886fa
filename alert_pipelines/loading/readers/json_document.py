"""Reads the rows of one JSON document piece by piece: an array at the top, or at a path of keys.

Also reads rows in an object, each under a key, and objects one after the other.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.paths import steps
from alert_pipelines.loading.readers.lines import READ_ERRORS
from alert_pipelines.loading.readers.rows import BadRow, JsonRows, Row

# The maximum length of a row, and of any other value in the document.
MAX_VALUE = 16_000_000
_CHUNK = 65_536
_DECODER = json.JSONDecoder()
T = TypeVar("T")
_NO_ROWS = "not a valid JSON document of rows: expected an array or an object. Is its format another?"
_KEYED = "if each of its keys holds a row, for the column that the keys become"


class _Value(NamedTuple):
    line: int
    text: str
    value: Any


def document_rows(stream: TextIO, path: Path, layout: Layout) -> Iterator[Row | BadRow]:
    """Yield the rows of the array at the keys `layout.rows`, or of the document if it is an array.

    With `layout.row_key`, an object may be there: its values are rows, and their keys become the column of that name.
    Raises LoadError, with line and column, if the document is not valid or lacks that array.
    """
    text = _Text(stream, path)
    if layout.rows is None and layout.row_key is None and text.peek() == "{":
        yield from _objects(text, path)
        return
    yield from _rows_of_one(text, path, layout)
    while text.peek():  # pages of answers, one after the other
        yield from _rows_of_one(text, path, layout)


def _rows_of_one(text: "_Text", path: Path, layout: Layout) -> Iterator[Row | BadRow]:
    rows = steps(layout.rows) if layout.rows else []
    above = [] if text.peek() == "[" else rows
    for depth, key in enumerate(above):
        text.enter(key, rows[:depth])
    row = JsonRows(layout.row_columns)
    if text.peek() == "[":
        for found in text.elements():
            yield from row(*found)
    elif text.peek() == "{" and layout.row_key is not None:
        yield from _keyed_rows(text, row, layout.row_key)
    else:
        raise LoadError(f"{path}: {_not_an_array(text, rows)}")
    for _ in above:
        text.leave()


def _keyed_rows(text: "_Text", row: JsonRows, row_key: str) -> Iterator[Row | BadRow]:
    for key, found in text.members():
        for each in row(*found):
            yield Row(each.line, each.text, {**each.values, row_key: key}) if isinstance(each, Row) else each


def _objects(text: "_Text", path: Path) -> Iterator[Row | BadRow]:
    """Yield objects of a file that has them one after the other, as jq prints them."""
    first = text.value()
    if not text.peek():
        lists = ", ".join(key for key, inner in first.value.items() if isinstance(inner, list))
        raise LoadError(
            f"{path}: is one object, not an array: write rows: KEY, the key that holds them (lists here: {lists}), or "
            f"row_key: NAME {_KEYED}"
        )
    row = JsonRows(None)
    yield from row(*first)
    while text.peek():
        yield from row(*text.value())


def _not_an_array(text: "_Text", rows: list[str]) -> str:
    if rows and text.peek() == "{":
        return f"rows: {'.'.join(rows)} is an object, not a list. Write row_key: NAME {_KEYED}, or name the list"
    return f"rows: {'.'.join(rows)} is not a list. Name the key that holds the rows" if rows else _NO_ROWS


class _Text:
    """The part of the document that is not read yet."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._buffer = ""
        self._at = 0
        self._line = 1
        self._before = 0  # how much of the line on which the buffer begins stands before it
        self._ended = False

    def enter(self, key: str, above: list[str]) -> None:
        """Go to the value of `key` in the object at this position."""
        self._expect("{", f"an object with the key {key!r}")
        known = []
        while self.peek() != "}":
            found = self._key()
            known.append(found)
            if found == key:
                return
            self.value()
            if self.peek() != ",":
                break
            self._expect(",", "','")
        place = f"rows: {'.'.join([*above, key])}"
        raise LoadError(f"{self._path} has nothing at {place}. Keys there: {', '.join(known)}")

    def leave(self) -> None:
        """Go to the end of the object of which a value was read."""
        while self.peek() == ",":
            self._expect(",", "','")
            self._key()
            self.value()
        self._expect("}", "',' or '}'")

    def members(self) -> Iterator[tuple[str, _Value]]:
        """Yield the keys and values of the object at this position."""
        return self._items("{", "}", "an object", lambda: (self._key(), self.value()))

    def elements(self) -> Iterator[_Value]:
        """Yield the elements of the array at this position."""
        return self._items("[", "]", "an array", self.value)

    def _items(self, opening: str, closing: str, expected: str, read: Callable[[], T]) -> Iterator[T]:
        self._expect(opening, expected)
        while self.peek() != closing:
            yield read()
            if self.peek() != closing:
                self._expect(",", f"',' or {closing!r}")
        self._expect(closing, repr(closing))

    def _key(self) -> str:
        key = self.value().value
        self._expect(":", "':'")
        return str(key)

    def value(self) -> _Value:
        """Read the value at this position."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError) as error:
                if self._ended or len(self._buffer) - self._at > MAX_VALUE:
                    raise self._invalid(error) from error
            else:
                if end < len(self._buffer) or self._ended:
                    break
            self._more()
        found = _Value(self._line, self._buffer[self._at : end], value)
        self._go_to(end)
        return found

    def peek(self) -> str:
        """Return the next character that is not white space, or "" at the end."""
        while True:
            rest = self._buffer[self._at : self._at + 1]
            if rest and not rest.isspace():
                return rest
            if rest:
                self._go_to(self._at + 1)
            elif self._ended:
                return ""
            else:
                self._more()

    def _expect(self, mark: str, expected: str) -> None:
        if (found := self.peek()) != mark:
            seen = repr(found) if found else "the end of the file"
            place = f"line {self._line}, column {self._column(self._at)}"
            raise self._fault(f"{place}: not valid JSON: expected {expected}; got {seen}")
        self._go_to(self._at + 1)

    def _go_to(self, end: int) -> None:
        self._line += self._buffer.count("\n", self._at, end)
        self._at = end

    def _more(self) -> None:
        # Twice as much each time, so that a long value is not tried over and over.
        try:
            piece = self._stream.read(max(_CHUNK, len(self._buffer) - self._at))
        except READ_ERRORS as error:
            raise LoadError(f"{self._path} cannot be read after line {self._line}: {error}. Fetch it again.") from error
        self._before = self._column(self._at) - 1
        self._buffer = self._buffer[self._at :] + piece
        self._at = 0
        self._ended = not piece

    def _column(self, at: int) -> int:
        """The column of the character at `at` in the buffer, from 1."""
        ended = self._buffer.rfind("\n", 0, at)
        return at - ended if ended >= 0 else self._before + at + 1

    def _invalid(self, error: Exception) -> LoadError:
        message, at = str(error), self._at
        if isinstance(error, json.JSONDecodeError):
            message, at = error.msg, error.pos
        line = self._line + self._buffer.count("\n", self._at, at)
        return self._fault(f"line {line}, column {self._column(at)}: not valid JSON: {message}")

    def _fault(self, fault: str) -> LoadError:
        # A draft and a check load nothing: this holds for them, too.
        return LoadError(
            f"{self._path}, {fault}. Fetch it again, and load it again: alerts that are loaded already are not changed."
        )
