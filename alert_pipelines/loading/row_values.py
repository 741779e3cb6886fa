"""Reads single values of a row, as the mapping declares. `documents` makes alerts of them."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

from alert_pipelines.loading.durations import duration_reader
from alert_pipelines.loading.mapping import Mapping
from alert_pipelines.loading.mapping_parts import Choice, DateColumn, MetadataColumn, Source, template_parts
from alert_pipelines.loading.paths import finder, shown
from alert_pipelines.loading.readers.rows import Values
from alert_pipelines.loading.values import (
    PLAIN,
    BadValueError,
    Converter,
    NumberReader,
    date_converter,
    end_converter,
    list_reader,
    to_text,
)
from alert_pipelines.spelling import nearest

T = TypeVar("T")
Read = Callable[[Values], T]

# Conversions remembered for each column: about 100 KB.
_KNOWN_TEXTS = 1_000
_KNOWN_LENGTH = 100


class RowError(ValueError):
    """Raised when a row cannot become an alert, or an update of one; the message is the reason.

    `kind` is the reason without this row's `value`: rejects are counted by it.
    """

    def __init__(self, message: str, kind: str, value: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.value = value


def missing(source: Source, rows: str = "") -> RowError:
    """Return the error for a row in which no column of `source` has a value."""
    names = [shown(path) for path in source.paths]
    columns = f"column {names[0]!r} is" if len(names) == 1 else f"columns {', '.join(map(repr, names))} are"
    return RowError(f"{columns} missing or empty{rows}", f"{' and '.join(names)} is missing or empty{rows}")


class ValueReader:
    """Makes functions that read a value from a row, for the sources of a mapping; a bad value raises RowError."""

    def __init__(self, mapping: Mapping) -> None:
        self._had_value: dict[str, bool] = {}
        self._missing = frozenset(mapping.missing) | {""}
        self._trim = mapping.trim
        self._dates = mapping.dates
        numbers = NumberReader(mapping.numbers.decimal, mapping.numbers.thousands)
        self._converters = {**PLAIN, "int": numbers.to_int, "float": numbers.to_float}

    @property
    def columns_without_value(self) -> list[str]:
        """The columns of the mapping in which no row so far had a value; those of a coalesce count as one."""
        return [columns for columns, had_value in self._had_value.items() if not had_value]

    def optional(self, source: Source, convert: Callable[[Any], T]) -> Read[T | None]:
        """Return a reader of the first column with a value; it returns None if there is none."""
        if source.template is not None:
            return self._template(source, source.template, convert)
        finds = [(shown(path), finder(path)) for path in source.paths]
        no_value, trim = self._missing, self._trim
        found, name = self._had_value, " or ".join(column for column, _ in finds)
        found.setdefault(name, False)
        known: dict[str, T] = {}

        def read(values: Values) -> T | None:
            for column, find in finds:
                value = find(values)
                raw = value
                if isinstance(value, str):
                    if value in known:
                        return known[value]
                    value = value.strip() if trim else value
                    if value in no_value:
                        continue
                elif value is None or (isinstance(value, float) and math.isnan(value)):  # as pandas writes no number
                    continue
                found[name] = True
                converted = _converted(column, convert, value)
                if isinstance(value, str):
                    _remember(known, raw, converted)
                return converted
            return None

        return read

    def required(self, source: Source, convert: Callable[[Any], T]) -> Read[T]:
        """Like `optional`, but a row without a value raises RowError."""
        optional = self.optional(source, convert)

        def read(values: Values) -> T:
            value = optional(values)
            if value is None:
                raise missing(source)
            return value

        return read

    def choice(self, choice: Choice[Any], as_it_is: Callable[[Any], T]) -> Read[T | None]:
        """Return a reader of the constant, or of the column, translated by the map. Callers apply the default."""
        if choice.constant is not None:
            constant: T | None = choice.constant
            return lambda _: constant
        return self.optional(choice, as_it_is if choice.map is None else Lookup(choice.map, choice.otherwise))

    def metadata(self, field: MetadataColumn) -> Read[Any]:
        """Return a reader of a value of `metadata`, converted to its type. Callers apply the default."""
        convert = self._converter(field)
        if field.map is None:
            return self.optional(field, convert)
        lookup = Lookup(field.map, field.otherwise)
        return self.optional(field, lambda value: convert(lookup(value)))

    def default(self, field: MetadataColumn) -> Any:
        """Return the default of a field of `metadata`, converted to its type; None if it has none."""
        return None if field.default is None else _converted("default", self._converter(field), field.default)

    def date(self, spec: DateColumn) -> Read[datetime | None]:
        """Return a reader of a time."""
        return self.optional(spec, self.date_converter(spec))

    def date_converter(self, spec: DateColumn) -> Converter:
        """Return the converter for a column of times."""
        return date_converter(spec.format or self._dates.format, self._dates.zone)

    def end(self, spec: DateColumn) -> Read[datetime | None]:
        """Return a reader of a time; it returns None also for values that mean "never"."""
        return self.optional(spec, end_converter(spec.format or self._dates.format, self._dates.zone))

    def _converter(self, field: MetadataColumn) -> Converter:
        if field.type == "date":
            return end_converter(field.format or self._dates.format, self._dates.zone)
        if field.type == "list":
            return list_reader(field.separator)
        if field.type == "duration":
            duration = duration_reader(field.unit)
            return lambda value: duration(value).total_seconds()
        return self._converters[field.type]

    def _template(self, source: Source, template: str, convert: Callable[[Any], T]) -> Read[T | None]:
        parts = [
            (literal, self.optional(Source(column=column), to_text) if column is not None else None)
            for literal, column in template_parts(template)
        ]
        names = ", ".join(shown(path) for path in source.paths)

        def read(values: Values) -> T | None:
            text = ""
            for literal, part in parts:
                text += literal
                if part is not None:
                    if (value := part(values)) is None:
                        return None
                    text += value
            return _converted(names, convert, text)

        return read


def _remember(known: dict[str, T], text: str, converted: T) -> None:
    """Keep a conversion, since most columns repeat the same texts. Lists are not shared between alerts."""
    if len(text) <= _KNOWN_LENGTH and not isinstance(converted, list):
        if len(known) == _KNOWN_TEXTS:
            known.clear()
        known[text] = converted


def _converted(column: str, convert: Callable[[Any], T], value: Any) -> T:
    try:
        return convert(value)
    except BadValueError as error:
        raise RowError(f"column {column!r}: {error}", f"{column} {error.problem}", error.value) from error


class Lookup(Generic[T]):
    """A converter by a map; values that are not in the map become `otherwise`, or are refused."""

    def __init__(self, known: dict[str, T], otherwise: T | None = None) -> None:
        self._known = known
        self._otherwise = otherwise

    def __call__(self, value: Any) -> T:
        """Return the value that the map has for `value`."""
        text = to_text(value)
        if text in self._known:
            return self._known[text]
        if self._otherwise is not None:
            return self._otherwise
        near = nearest(text, list(self._known))
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(self._known)}"
        raise BadValueError("is not in the mapping", text, f"; {hint}")
