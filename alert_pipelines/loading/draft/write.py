"""Writes the draft: a mapping with comments on what was found and what to check."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.draft.columns import ISO_CLOCKS, Column, clock_format, column_path, flat
from alert_pipelines.loading.draft.layout import layout_of
from alert_pipelines.loading.draft.numbers import NumberStyle
from alert_pipelines.loading.draft.roles import Roles, clock_of, is_of_end, roles_of, severity_of, status_of, words_of
from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.paths import ColumnPath, shown
from alert_pipelines.loading.readers import BadRow, read_rows

_PLAIN = re.compile(r"[A-Za-z_](?:[\w.@/-]|[ ](?![ #]))*(?<! )", re.ASCII)
# A date with an offset behind its time of day, or with the name of its zone in brackets.
_ZONED = re.compile(r"\dZ$|:\d\d([.,]\d+)?\s?[+-]\d\d(:?\d\d)?$|\]$|\)/$", re.ASCII)
# The number that a spreadsheet holds for a time between 1982 and 2036.
_EXCEL_DAYS = re.compile(r"[34]\d{4}([.,]\d+)?", re.ASCII)
_MAX_SAMPLE = 40
_MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)
_MAX_COLUMNS = 500
_NAMES = {"driver": "driver_id", "fahrer": "driver_id", "vehicle": "vehicle_id", "fahrzeug": "vehicle_id"}
_TYPES = {"bool": "bool", "date": "date", "list": "list"}


def draft_mapping(path: Path, encoding: str | None = None) -> str:
    """Draft a mapping for `path` from its rows, read in `encoding`, or in one that is guessed.

    Raises LoadError if it cannot be read or has no rows.
    """
    return _drafted(path, layout_of(path, encoding))


def _drafted(path: Path, layout: Layout) -> str:
    columns: dict[tuple[str, ...], Column] = {}
    rows = 0
    bad: list[int] = []
    fault = ""
    for row in read_rows(path, layout):
        if isinstance(row, BadRow):
            bad.append(row.line)
            fault = fault or f"line {row.line} is {row.reason}"
        else:
            rows += 1
            for keys, value in flat(row.values):
                column = columns.get(keys)
                if column is None and len(columns) < _MAX_COLUMNS and all(key and key.isprintable() for key in keys):
                    column = columns[keys] = Column(column_path(keys), trim=layout.trim)
                if column is not None:
                    column.add(value)
    if not columns and rows:
        raise LoadError(
            f"{path} has no names of columns that can be read as {layout.encoding}. Name its encoding, "
            "such as --encoding cp1250, or save it as UTF-8."
        )
    if not columns:
        raise LoadError(f"{path} has no rows to draft a mapping from{fault and ': '}{fault}")
    if not layout.trim and any(column.is_padded for column in columns.values()):
        return _drafted(path, layout.model_copy(update={"trim": True}))
    unread = f"{len(bad):,} rows cannot be read, and would be rejected: {fault}" if bad else None
    return _Draft(path, layout, list(columns.values()), rows).text(unread)


class _Draft:
    """The findings of a file, to be written as a mapping."""

    def __init__(self, path: Path, layout: Layout, columns: list[Column], rows: int) -> None:
        self._path = path
        self._layout = layout
        self._columns = columns
        self._rows = rows
        self._roles = roles_of(columns)
        starts = self._roles.timestamps
        self._format = _best_format(starts[0]) if starts else "iso"
        self._numbers = NumberStyle(columns, layout)

    def text(self, unread: str | None) -> str:
        """Return the whole mapping, with a note on rows that could not be read."""
        name = _comment(self._path.name)
        lines = [
            f"# A draft for {name}, {self._rows:,} rows. Correct it, and try it:",
            "#   alert-pipelines load FILE --mapping THIS_FILE --check",
            *([f"# {_printable(unread)}"] if unread else []),
            *self._header_lines(),
            *self._layout_lines(),
            *self._value_lines(),
            "",
            *self._id_lines(),
            *self._source_lines(),
            *self._severity_lines(),
            *self._timestamp_lines(),
            *self._course_lines(self._roles),
            "",
            *self._metadata_lines(),
        ]
        return "\n".join(lines) + "\n"

    def _header_lines(self) -> Iterator[str]:
        """A question where the names of columns are what rows hold, or there is one column only."""
        if self._layout.format == "csv" and len(self._columns) == 1:
            yield "# Only one column: no delimiter was found. Columns of a fixed width are not read: export them as CSV"
        for column in self._columns:
            named = Column(column.path)
            named.add(shown(column.path))
            if self._layout.format == "csv" and named.formats:
                yield f"# {_comment(shown(column.path))} is a date. If the file has no header, put one above the rows"

    def _layout_lines(self) -> Iterator[str]:
        layout = self._layout
        yield f"format: {layout.format}"
        if layout.rows is not None:
            yield f"rows: {_path(layout.rows)}"
        if layout.row_key is not None:
            yield f"row_key: {layout.row_key}  # each row stands under a key, which becomes the column of this name"
        if layout.row_columns is not None:
            names = layout.row_columns
            text = names if isinstance(names, str) else f"[{', '.join(map(_scalar, names))}]"
            yield f"row_columns: {text}  # each row is a list: what its columns are called"
        if layout.encoding != "utf-8":
            yield f"encoding: {layout.encoding}  # if names or values look wrong, draft again with --encoding NAME"
        if layout.trim:
            yield "trim: true  # spaces around names and values are not part of them"
        quote = "" if layout.csv.quote == '"' else f", quote: {json.dumps(layout.csv.quote)}"
        if layout.csv.escape:
            quote += f", escape: {json.dumps(layout.csv.escape)}"
        if layout.format == "csv" and (layout.csv.delimiter, layout.csv.header_line, quote) != (",", 1, ""):
            delimiter = json.dumps(layout.csv.delimiter)
            yield f"csv: {{delimiter: {delimiter}, header_line: {layout.csv.header_line}{quote}}}"

    def _value_lines(self) -> Iterator[str]:
        if line := self._numbers.line():
            yield line
        if found := sorted(set().union(*(column.not_values for column in self._columns))):
            yield f"missing: [{', '.join(map(_scalar, found))}]  # each of these was taken for no value"
        if not self._roles.timestamps:
            return
        start = self._roles.timestamps[0]
        if {True, False} <= {_is_day_first(each) for each in start.formats}:
            yield f"# Day or month first? All values fit {' and '.join(start.formats)}: {_samples(start)}"
        days = ", whole_days: true" if start.midnight and clock_of(start, self._roles) is None else ""
        yield f"dates: {{format: {_scalar(self._format)}, zone: {start.zone}{days}}}{_zone_note(start, self._format)}"

    def _id_lines(self) -> Iterator[str]:
        if not self._roles.ids:
            yield "# No column looks like an id: the alert gets a hash of its row."
            yield f"alert_id: {{content_hash: {self._source_name()}}}"
            return
        best = self._roles.ids[0]
        repeats = ", which repeats: each row is taken for an update" if self._roles.is_log else ""
        yield f"alert_id: {{column: {_path(best.path)}}}  # {_others(self._roles.ids)}{_samples(best)}{repeats}"

    def _source_lines(self) -> Iterator[str]:
        for column in self._roles.sources:
            yield f"# or source_type: {{column: {_path(column.path)}}}, which holds {_values(column)}"
        yield f"source_type: {{constant: {self._source_name()}}}"

    def _source_name(self) -> str:
        name = re.sub(r"[^A-Z0-9]+", "_", self._path.name.split(".")[0].upper()).strip("_")
        return name if name[:1].isalpha() else f"FILE_{name}".rstrip("_")

    def _severity_lines(self) -> Iterator[str]:
        if not self._roles.severities:
            yield "severity: {constant: WARNING}  # no column looks like one"
            return
        column = self._roles.severities[0]
        yield f"severity:  # {_others(self._roles.severities)}INFO, WARNING or CRITICAL for each value that occurs"
        if column.kind == "int":
            yield "  # Numbers: is the lowest the worst, as taken here, or the highest?"
        yield f"  column: {_path(column.path)}"
        yield from _map(column, severity_of)
        if not self._roles.is_log and column.rows < self._rows:
            yield "  default: WARNING  # some rows have none"

    def _timestamp_lines(self) -> Iterator[str]:
        starts = self._roles.timestamps
        if not starts:
            for column in self._columns:
                if column.samples and all(map(_EXCEL_DAYS.fullmatch, column.samples)):
                    source = f"{{column: {_path(column.path)}, format: excel}}"
                    yield f"# A spreadsheet's days? {source}  # {_samples(column)}"
            yield "timestamp: {column: WHICH}  # no column holds dates of a known form"
            return
        yield f"timestamp: {self._timestamp(starts[0])}  # {_others(starts)}{self._seen(starts[0])}"

    def _timestamp(self, column: Column) -> str:
        """The source of a date, put together with its time of day where another column has that."""
        clock = clock_of(column, self._roles)
        if clock is None:
            return self._date(column)
        template = _scalar(f"{{{shown(column.path)}}} {{{shown(clock.path)}}}")
        day, time = _at_midnight(column, _best_format(column, self._format)), clock_format(clock.samples[0])
        if day == "iso" and time in ISO_CLOCKS:
            return f"{{template: {template}}}"
        day = "%Y-%m-%d" if day == "iso" else day
        return f"{{template: {template}, format: {_scalar(f'{day} {time}')}}}"

    def _seen(self, column: Column) -> str:
        clock = clock_of(column, self._roles)
        return _samples(column) + (f", with the time {_samples(clock)}" if clock else "")

    def _course_lines(self, roles: Roles) -> Iterator[str]:
        for column in roles.expiries[:1]:
            yield f"# expires_at: {self._date(column)}  # {_samples(column)}: only if the alert is over then"
        if roles.is_log:
            yield from self._event_lines(roles.statuses[0], (roles.updates or roles.timestamps)[0])
            return
        if roles.statuses:
            yield f"status:  # {_others(roles.statuses)}OPEN, ESCALATED, AUTO_CLOSED or RESOLVED for each value"
            yield f"  column: {_path(roles.statuses[0].path)}"
            yield from _map(roles.statuses[0], status_of)
        for name, found in (("resolved_at", roles.ends), ("updated_at", roles.updates)):
            if found:
                yield f"{name}: {self._timestamp(found[0])}  # {_others(found)}{self._seen(found[0])}"

    def _event_lines(self, state: Column, time: Column) -> Iterator[str]:
        yield "events:  # each row is an update of its alert"
        yield f"  time: {self._date(time)}  # when the row was written: {_samples(time)}"
        yield f"  state: {_path(state.path)}"
        yield from _map(state, status_of, "states")

    def _date(self, column: Column) -> str:
        date_format = _best_format(column, self._format)
        own = "" if date_format == self._format else f", format: {_scalar(date_format)}"
        return f"{{column: {_path(column.path)}{own}}}"

    def _metadata_lines(self) -> Iterator[str]:
        if self._roles.keys:
            yield f"# Rules may group by: {', '.join(shown(column.path) for column in self._roles.keys)}"
        used = {id(column) for column in (*self._roles.ids[:1], *self._roles.timestamps[:1])}
        names: set[str] = set()
        for column in self._columns:
            if id(column) in used or (not column.rows and not column.is_list):
                continue
            if not names:
                yield "metadata:"
            name = _field_name(column.path, names)
            label = "# known at the end only? " if self._roles.is_log and is_of_end(column) else ""
            yield f"  {label}{name}: {self._metadata(column)}  # {_values(column)}"

    def _metadata(self, column: Column) -> str:
        kind = self._numbers.type_of(column) or _TYPES.get(column.kind, "str")
        own = f", type: {kind}" if kind != "str" else ""
        if kind == "date" and (date_format := _best_format(column, self._format)) != self._format:
            own += f", format: {_scalar(date_format)}"
        return f"{{column: {_path(column.path)}{own}}}"


def _best_format(column: Column, wanted: str | None = None) -> str:
    """Return the format `wanted` if it fits the values; else the most likely one that does."""
    if wanted in column.formats:
        return str(wanted)
    month_first = [name for name in column.formats if name.startswith("%m/") and "%p" in name]
    return (month_first or column.formats)[0]


def _at_midnight(column: Column, date_format: str) -> str:
    """Return the format with the midnight that all dates of `column` have, since another column has the time."""
    if date_format == "iso":
        clock = column.samples[0].strip()[10:]
        return f"%Y-%m-%d{clock}" if clock else "iso"
    day = re.split(r"%[HI]", date_format)[0]
    return day + _MIDNIGHT.strftime(date_format.removeprefix(day))


def _is_day_first(date_format: str) -> bool | None:
    """Whether the day is before the month, both as numbers; None for other formats."""
    return date_format.find("%d") < date_format.find("%m") if "%d" in date_format and "%m" in date_format else None


def _zone_note(column: Column, date_format: str) -> str:
    if "%Z" in date_format and column.zone != "UTC":
        return "  # a guess at the zone by its short name in the dates: write yours"
    zoned = all(_ZONED.search(sample.strip()) for sample in column.samples)
    if zoned or date_format.startswith("epoch") or "%z" in date_format.lower():
        return ""
    return "  # the dates name no zone: write yours, say Europe/Berlin"


def _map(column: Column, guess: Callable[[str], str], key: str = "map") -> Iterator[str]:
    yield f"  {key}:"
    for value, times in sorted((column.values or {}).items(), key=lambda each: -each[1]):
        yield f"    {_scalar(value)}: {guess(value)}  # {times:,} {'row' if times == 1 else 'rows'}"


def _others(columns: Sequence[Column]) -> str:
    return f"or {', '.join(_comment(shown(column.path)) for column in columns[1:4])}; " if len(columns) > 1 else ""


def _samples(column: Column) -> str:
    return ", ".join(_comment(sample) for sample in column.samples)


def _values(column: Column) -> str:
    if column.is_list:
        return "lists"
    if not column.values or len(column.values) > 8:
        return _samples(column)
    return ", ".join(_comment(value) for value in column.values)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{MIDDLE DOT}" for character in text)


def _comment(text: str) -> str:
    shown_text = _printable(text)
    return shown_text if len(shown_text) <= _MAX_SAMPLE else f"{shown_text[:_MAX_SAMPLE]}…"


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) or text.isdecimal():
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _path(path: ColumnPath) -> str:
    return _scalar(path) if isinstance(path, str) else f"[{', '.join(map(_scalar, path))}]"


def _field_name(path: ColumnPath, taken: set[str]) -> str:
    words = words_of(shown(path) if isinstance(path, str) else path[-1])
    name = "_".join(word for word in words if word.isascii()) or "field"
    name = _NAMES.get(name, name if name[0].isalpha() else f"field_{name}")
    while name in taken:
        name += "_"
    taken.add(name)
    return name
