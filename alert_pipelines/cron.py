"""Checks cron expressions as Dagster does, without loading Dagster."""

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ALIASES = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})

_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)
"""Lowest value, highest value and names of minute, hour, day of the month, month and day of the week."""
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_PART = re.compile(r"(?:\*|(?P<first>\d+|[a-z]{3})(?:-(?P<last>\d+|[a-z]{3}))?)(?:/(?P<step>\d+))?", re.ASCII)


def is_cron(text: str) -> bool:
    """Whether `text` has five fields of numbers, names, ranges, lists and steps, or is a name such as @hourly."""
    if text.lower() in _ALIASES:
        return True
    fields = text.lower().split()
    if len(fields) != len(_FIELDS):
        return False
    values = [_values(field, *kind) for field, kind in zip(fields, _FIELDS, strict=True)]
    # Without a month that has one of the days it would never tick.
    return all(values) and any(min(values[2]) <= _LONGEST_MONTHS[month - 1] for month in values[3])


def _values(field: str, lowest: int, highest: int, names: dict[str, int]) -> set[int]:
    """The numbers that a field stands for; none if any part of it is not valid."""
    parts = [_part(part, lowest, highest, names) for part in field.split(",")]
    return set().union(*parts) if all(parts) else set()


def _part(part: str, lowest: int, highest: int, names: dict[str, int]) -> set[int]:
    match = _PART.fullmatch(part)
    if match is None:
        return set()
    first, last, step = match["first"], match["last"], int(match["step"] or 1)
    start = lowest if first is None else _number(first, names)
    end = start if match["step"] is None and first is not None else highest
    if last is not None:
        end = _number(last, names)
    if not (lowest <= start <= highest and lowest <= end <= highest and 1 <= step <= highest):
        return set()
    # From Friday to Monday: over the end and on from the beginning.
    values = range(start, end + 1) if start <= end else [*range(start, highest + 1), *range(lowest, end + 1)]
    return set(values[::step])


def _number(text: str, names: dict[str, int]) -> int:
    return int(text) if text.isdecimal() else names.get(text, -1)
