"""The header of a table: each column named once, and every column there that the mapping needs."""

from collections.abc import Callable
from pathlib import Path

from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.paths import shown
from alert_pipelines.loading.readers.rows import LoadError
from alert_pipelines.spelling import nearest


def check_header(path: Path, header: list[str], layout: Layout, hint: Callable[[set[str]], str] | None = None) -> None:
    """Raise LoadError where `header` names a column twice, or lacks one of `layout`.

    `hint` is asked what to write instead so that the columns are found.
    """
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise LoadError(f"{path}: the header names {', '.join(twice)} twice: rename one of them")
    wanted = [(place, [shown(column) for column in columns]) for place, columns in layout.columns()]
    missing = [(place, columns) for place, columns in wanted if not set(header).intersection(columns)]
    if not missing:
        return
    advice = hint({column for _, columns in wanted for column in columns}) if hint else ""
    if not header and not advice:
        raise LoadError(f"{path} has no header: its first line has to name the columns")
    faults = [f"  {place}: no column {_instead(columns, header)}" for place, columns in missing]
    told = [f"{path} does not fit the mapping:", *faults, f"Its columns: {', '.join(header)}{advice}"]
    raise LoadError("\n".join(told))


def _instead(columns: list[str], header: list[str]) -> str:
    named = " or ".join(map(repr, columns))
    near = next((near for column in columns if (near := nearest(column, header))), None)
    return named if near is None else f"{named}, did you mean {near!r}?"
