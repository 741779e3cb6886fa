"""From a row of a file to an alert's document, which follows the contract that `alerts` holds.

Reading files is `reader`'s task; what several rows of one alert make of it, `history`'s.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

from alert_pipelines.alerts import Severity, Status
from alert_pipelines.loading.history import Event
from alert_pipelines.loading.mapping import (
    Actor,
    AlertId,
    Choice,
    DateColumn,
    Events,
    Mapping,
    MetadataColumn,
    template_parts,
)
from alert_pipelines.loading.readers.rows import Values
from alert_pipelines.loading.values import PLAIN, BadValueError, Converter, NumberReader, date_converter, to_text
from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.rules.clause import MAX_ID_BYTES
from alert_pipelines.spelling import nearest

T = TypeVar("T")
Read = Callable[[Values], T]

SYSTEM = "system"
UNKNOWN_ACTOR = "unknown"


class RowError(ValueError):
    """A row cannot become an alert, or an update of one; the message is the reason.

    `kind` says the same of all such rows, without this row's `value`: rejects are counted by it.
    """

    def __init__(self, message: str, kind: str, value: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.value = value


def new_alert(
    alert_id: str,
    *,
    source_type: str,
    severity: Severity,
    timestamp: datetime,
    metadata: dict[str, Any],
    expires_at: datetime | None = None,
) -> AlertDocument:
    """An OPEN alert that nobody has touched since its timestamp, with every field of the contract."""
    return {
        "alert_id": alert_id,
        "source_type": str(source_type),
        "severity": str(severity),
        "status": str(Status.OPEN),
        "timestamp": timestamp,
        "metadata": metadata,
        "state_history": [],
        "escalated_at": None,
        "closed_at": None,
        "resolved_at": None,
        "auto_close_reason": None,
        "expires_at": expires_at,
        "resolved_by": None,
        "resolution_notes": None,
        "created_at": timestamp,
        "updated_at": timestamp,
    }


class RowReader:
    """Reads by one mapping what a row says. Every method raises RowError for what the row lacks or misstates."""

    def __init__(self, mapping: Mapping) -> None:
        self._columns = dict.fromkeys((column for _, column in mapping.columns()), False)
        self._missing = frozenset(mapping.missing) | {""}
        self._dates = mapping.dates
        numbers = NumberReader(mapping.numbers.decimal, mapping.numbers.thousands)
        self._converters = {**PLAIN, "int": numbers.to_int, "float": numbers.to_float}
        self._alert_id = self._id_reader(mapping.alert_id)
        self._timestamp = self._date(mapping.timestamp)
        self._source_type = self._choice(mapping.source_type, to_text)
        self._severity = self._choice(mapping.severity, _Lookup({str(name): name for name in Severity}))
        self._expires_at = self._optional_date(mapping.expires_at)
        self._metadata = {name: self._metadata_column(field) for name, field in mapping.metadata.items()}
        self._event = self._event_reader(mapping.events) if mapping.events else None

    @property
    def columns_without_value(self) -> list[str]:
        """The columns of the mapping in which no row so far had a value."""
        return [column for column, had_value in self._columns.items() if not had_value]

    def alert(self, values: Values) -> AlertDocument:
        """The row as an OPEN alert that nobody has touched since its timestamp."""
        alert_id = self._alert_id(values)
        if (size := len(alert_id.encode())) > MAX_ID_BYTES:
            raise RowError(
                f"its alert_id has {size:,} bytes, an id may have {MAX_ID_BYTES:,}: make it of shorter columns, or use "
                "content_hash",
                "alert_id is too long",
            )
        metadata = {name: read(values) for name, read in self._metadata.items()}
        return new_alert(
            alert_id,
            source_type=self._source_type(values),
            severity=self._severity(values),
            timestamp=self._timestamp(values),
            metadata={name: value for name, value in metadata.items() if value is not None},
            expires_at=self._expires_at(values),
        )

    def event(self, values: Values) -> Event:
        """The row as an update of its alert; the mapping has to declare `events`."""
        assert self._event is not None
        return self._event(values)

    def _id_reader(self, spec: AlertId) -> Read[str]:
        if spec.content_hash is not None:
            return lambda values: f"{spec.content_hash}-{_content_hash(values)}"
        if spec.template is not None:
            parts = [
                (literal, self._required(column, to_text) if column is not None else None)
                for literal, column in template_parts(spec.template)
            ]
            return lambda values: "".join(text + (read(values) if read else "") for text, read in parts)
        return self._required(str(spec.column), to_text)

    def _choice(self, choice: Choice[T], as_it_is: Callable[[Any], T]) -> Read[T]:
        if choice.column is not None:
            return self._required(choice.column, _Lookup(choice.map) if choice.map is not None else as_it_is)
        constant: Any = choice.constant
        return lambda _: constant

    def _metadata_column(self, field: MetadataColumn) -> Read[Any]:
        if field.type == "date":
            return self._optional_date(DateColumn(column=field.column, format=field.format))
        return self._optional(field.column, self._converters[field.type])

    def _event_reader(self, events: Events) -> Read[Event]:
        time, state = self._date(events.time), self._required(events.state, to_text)
        status, actor = self._required(events.state, _Lookup(events.states)), self._actor_reader(events.actor)
        return lambda values: Event(time(values), status(values), state(values), actor(values))

    def _actor_reader(self, spec: Actor | None) -> Read[str]:
        if spec is None:
            return lambda _: UNKNOWN_ACTOR
        system, read = frozenset(spec.system), self._optional(spec.column, to_text)

        def actor(values: Values) -> str:
            by = read(values)
            return SYSTEM if by in system else by or UNKNOWN_ACTOR

        return actor

    def _date(self, spec: DateColumn) -> Read[datetime]:
        return self._required(spec.column, self._date_converter(spec))

    def _optional_date(self, spec: DateColumn | None) -> Read[datetime | None]:
        if spec is None:
            return lambda _: None
        return self._optional(spec.column, self._date_converter(spec))

    def _date_converter(self, spec: DateColumn) -> Converter:
        return date_converter(spec.format or self._dates.format, self._dates.zone)

    def _required(self, column: str, convert: Callable[[Any], T]) -> Read[T]:
        optional = self._optional(column, convert)

        def read(values: Values) -> T:
            value = optional(values)
            if value is None:
                raise RowError(f"column {column!r} is missing or empty", f"{column} is missing or empty")
            return value

        return read

    def _optional(self, column: str, convert: Callable[[Any], T]) -> Read[T | None]:
        find, found = _finder(column), self._columns

        def read(values: Values) -> T | None:
            value = find(values)
            if value is None or (isinstance(value, str) and value in self._missing):
                return None
            found[column] = True
            try:
                return convert(value)
            except BadValueError as error:
                raise RowError(f"column {column!r}: {error}", f"{column} {error.problem}", error.value) from error

        return read


class _Lookup(Generic[T]):
    """A converter by a declared map; what the map lacks is no value."""

    def __init__(self, known: dict[str, T]) -> None:
        self._known = known

    def __call__(self, value: Any) -> T:
        text = to_text(value)
        if text in self._known:
            return self._known[text]
        near = nearest(text, list(self._known))
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(self._known)}"
        raise BadValueError("is not in the mapping", text, f"; {hint}")


def _finder(column: str) -> Read[Any]:
    if "." not in column:
        return lambda values: values.get(column)
    steps = column.split(".")

    def find(values: Values) -> Any:
        if column in values:
            return values[column]
        found: Any = values
        for step in steps:
            found = found.get(step) if isinstance(found, dict) else None
        return found

    return find


def _content_hash(values: Values) -> str:
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
