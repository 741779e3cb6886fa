"""Lays out the tables of the command line, also on a terminal that is narrower than they are. Nothing is cut."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

_GAP, _INDENT = "  ", "    "
_READABLE = 20
"""A column of sentences is not narrower than this."""
_LONG = 12
"""Columns of longer words, such as ids and times, are the first that go below their row; then the last column does."""


class Column(NamedTuple):
    """A column: its texts, the header first, which of them are numbers, and how narrow it may be."""

    texts: tuple[str, ...]
    numbers: tuple[bool, ...]
    natural: int
    least: int

    @classmethod
    def of(cls, texts: Sequence[str], numbers: Sequence[bool]) -> "Column":
        """The column of these texts."""
        longest_word = max((len(word) for text in texts for word in text.split()), default=0)
        longest_cell = max(map(len, texts[1:]), default=0)
        least = max(longest_word, min(longest_cell, _READABLE))
        return cls(tuple(texts), tuple(numbers), max(map(len, texts)), least)


def table_lines(columns: Sequence[Column], width: int | None) -> Iterator[str]:
    """The lines of a table, at most `width` wide if its words allow that; None: as wide as it is.

    Cells are wrapped between words. If that is not enough, whole columns stand below their row.
    """
    shown = _shown(columns, width)
    below = [column for column in columns if not any(column is one for one in shown)]
    room = None if width is None else width - len(_GAP) * (len(shown) - 1)
    widths = fitted([one.natural for one in shown], [one.least for one in shown], room)
    for number in range(len(columns[0].texts)):
        cells = [_wrapped(column.texts[number], wide) for column, wide in zip(shown, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            aligned = (
                part.rjust(wide) if column.numbers[number] else part.ljust(wide)
                for part, wide, column in zip(parts, widths, shown, strict=True)
            )
            yield _GAP.join(aligned).rstrip()
        if number and width is not None:
            told = [f"{one.texts[0]}: {one.texts[number]}" for one in below if one.texts[number] not in ("", "-")]
            yield from (_INDENT + line for line in _wrapped("; ".join(told), width - len(_INDENT)) if line)


def _shown(columns: Sequence[Column], width: int | None) -> list[Column]:
    """The columns that have room beside each other; the first always has."""
    shown = list(columns)
    while width is not None and len(shown) > 1 and sum(one.least + len(_GAP) for one in shown) > width + len(_GAP):
        lengths = [one.least if one.least > _LONG else 0 for one in shown]
        del shown[max(range(1, len(shown)), key=lambda place: (lengths[place], place))]
    return shown


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
