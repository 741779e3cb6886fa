"""Lays out the tables of the command line, also on a terminal that is narrower than they are. Nothing is cut."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from math import ceil
from typing import NamedTuple

_GAP, _INDENT = "  ", "    "
_READABLE = 20
"""A column of sentences is not narrower than this."""
_LONG = 12
"""Columns of longer words, such as ids and times, are the first that have no room; then the last column has none."""
_UNBROKEN = 7
"""A header that is not longer than this, such as "< 1 h", is not broken."""


class Column(NamedTuple):
    """A column: its texts, the header first, which of them are numbers, how narrow it may be, and whether it is a key.

    Keys say which row it is, so they always have room.
    """

    texts: tuple[str, ...]
    numbers: tuple[bool, ...]
    natural: int
    least: int
    is_key: bool

    @classmethod
    def of(cls, texts: Sequence[str], numbers: Sequence[bool], *, is_key: bool = False) -> "Column":
        """The column of these texts."""
        longest_word = max((len(word) for text in texts for word in text.split()), default=0)
        longest_cell = max(map(len, texts[1:]), default=0)
        header = len(texts[0]) if len(texts[0]) <= _UNBROKEN else 0
        least = max(longest_word, header, min(longest_cell, _READABLE))
        return cls(tuple(texts), tuple(numbers), max(map(len, texts)), least, is_key)

    @property
    def is_same(self) -> bool:
        """Whether all of several rows have the same here."""
        return len(self.texts) > 2 and len(set(self.texts[1:])) == 1


def table_lines(columns: Sequence[Column], width: int | None) -> Iterator[str]:
    """The lines of a table, at most `width` wide if its words allow that; None: as wide as it is.

    Cells are wrapped between words. If that is not enough, what all rows have in common is said once, above them. Then
    whole columns stand below their row or, if they are short and have something to say of most rows, in a second table.
    """
    if width is not None and not _has_room(columns, width) and any(one.is_same for one in columns[1:]):
        # Rows that are alike in everything are still rows.
        differing = [one for one in columns if not one.is_same] or columns[:1]
        same = [f"{one.texts[0]} {one.texts[1]}" for one in columns if not any(one is other for other in differing)]
        yield from _wrapped(f"In all rows: {'; '.join(same)}", width)
        columns = differing
    shown = _shown(columns, width)
    below = [column for column in columns if not any(column is one for one in shown)]
    tables = [] if width is None or any(one.least > _LONG for one in below) else _tables(columns, width)
    if not tables or _are_rare(below):
        yield from _rows(shown, below, width)
        return
    for number, table in enumerate(tables):
        if number:
            yield ""
        yield from _rows(table, [], width)


def _rows(shown: Sequence[Column], below: Sequence[Column], width: int | None) -> Iterator[str]:
    room = None if width is None else width - len(_GAP) * (len(shown) - 1)
    widths = fitted([one.natural for one in shown], [one.least for one in shown], room)
    for number in range(len(shown[0].texts)):
        cells = [_wrapped(column.texts[number], wide) for column, wide in zip(shown, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            aligned = (
                part.rjust(wide) if column.numbers[number] else part.ljust(wide)
                for part, wide, column in zip(parts, widths, shown, strict=True)
            )
            yield _GAP.join(aligned).rstrip()
        if number and width is not None:
            told = [f"{one.texts[0]}: {one.texts[number]}" for one in below if not _is_nothing(one, number)]
            yield from (_INDENT + line for line in _wrapped("; ".join(told), width - len(_INDENT)) if line)


def _is_nothing(column: Column, number: int) -> bool:
    """Whether a cell below its row would only say that there is none, as not all cells of its column do."""
    text, others = column.texts[number], set(column.texts[1:]) - {"", "-", "0"}
    return text in ("", "-") or (text == "0" and bool(others))


def _are_rare(below: Sequence[Column]) -> bool:
    """Whether most rows have nothing in any of these columns."""
    rows = range(1, len(below[0].texts) if below else 1)
    told = sum(not all(_is_nothing(one, number) for one in below) for number in rows)
    return 2 * told < len(rows) or not below


def _has_room(columns: Sequence[Column], width: int) -> bool:
    return sum(one.least + len(_GAP) for one in columns) <= width + len(_GAP)


def _shown(columns: Sequence[Column], width: int | None) -> list[Column]:
    """The columns that have room beside each other; the first and the keys always have."""
    shown = list(columns)
    while width is not None and not _has_room(shown, width):
        others = [place for place, one in enumerate(shown) if place and not one.is_key]
        if not others:
            break
        lengths = [one.least if one.least > _LONG else 0 for one in shown]
        del shown[max(others, key=lambda place: (lengths[place], place))]
    return shown


def _tables(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns in as few tables as have room for them, with about as many in each and the keys in all; or none."""
    keys = [one for place, one in enumerate(columns) if one.is_key or not place]
    others = [one for one in columns if not any(one is key for key in keys)]
    for number in range(1, len(others) + 1):
        size = ceil(len(others) / number)
        tables = [[*keys, *others[start : start + size]] for start in range(0, len(others), size)]
        if all(_has_room(table, width) for table in tables):
            return tables
    return []


def fitted(natural: Sequence[int], least: Sequence[int], room: int | None) -> list[int]:
    """The widths of columns that together have `room`, None for any: the widest give way, as far as `least` allows."""
    widths = list(natural)
    while room is not None and sum(widths) > room:
        wrappable = [place for place, width in enumerate(widths) if width > least[place]]
        if not wrappable:
            break
        widths[max(wrappable, key=widths.__getitem__)] -= 1
    return widths


def _wrapped(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    return textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False) or [""]
