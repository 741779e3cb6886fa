"""Checks the header of a table: names are unique, and every column of the mapping is there."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.paths import shown
from alert_pipelines.spelling import nearest


def checked_header(
    path: Path, header: list[str], layout: Layout, hint: Callable[[set[str]], str] | None = None
) -> list[str]:
    """Return the names of the columns; repeated names get a number each: `Labels (1)`, `Labels (2)`.

    Raises LoadError if the header lacks a column of `layout`, or has several of its name. `hint` suggests a correction.
    """
    wanted = [(place, [shown(column) for column in columns]) for place, columns in layout.columns()]
    _refuse_repeated(path, header, wanted)
    header = _told_apart(header)
    missing = [(place, columns) for place, columns in wanted if not set(header).intersection(columns)]
    if not missing:
        return header
    advice = hint({column for _, columns in wanted for column in columns}) if hint else ""
    if not header and not advice:
        raise LoadError(f"{path} has no header: expected the names of the columns in the first line")
    faults = [f"  {place}: no column {_instead(columns, header)}" for place, columns in missing]
    lines = [f"{path} does not fit the mapping:", *faults, f"Its columns: {', '.join(header)}{advice}"]
    raise LoadError("\n".join(lines))


def _refuse_repeated(path: Path, header: list[str], wanted: list[tuple[str, list[str]]]) -> None:
    for place, columns in wanted:
        if twice := next((column for column in columns if header.count(column) > 1), None):
            raise LoadError(
                f"{path}: the header has several columns {twice}: for {place}, write '{twice} (1)' for the first, "
                f"'{twice} (2)' for the second"
            )


def _told_apart(header: list[str]) -> list[str]:
    times, so_far = Counter(header), Counter[str]()
    told = []
    for name in header:
        so_far[name] += 1
        told.append(f"{name} ({so_far[name]})" if name and times[name] > 1 else name)
    return told


def _instead(columns: list[str], header: list[str]) -> str:
    named = " or ".join(map(repr, columns))
    near = next((near for column in columns if (near := nearest(column, header))), None)
    return named if near is None else f"{named}, did you mean {near!r}?"
