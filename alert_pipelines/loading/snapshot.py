"""Reads the state of an alert from a row with its last state: when it changed and whether and when it ended."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from alert_pipelines.alerts import PENDING, Status
from alert_pipelines.loading.durations import duration_reader, end_of
from alert_pipelines.loading.events import UNKNOWN_ACTOR, AlertState, Event
from alert_pipelines.loading.mapping import SNAPSHOT_KEYS, Mapping
from alert_pipelines.loading.mapping_parts import Choice, End, Source
from alert_pipelines.loading.merge import Scope, Snapshot
from alert_pipelines.loading.readers.rows import Values
from alert_pipelines.loading.row_values import Lookup, Read, ValueReader, missing
from alert_pipelines.loading.values import to_text
from alert_pipelines.mongo.client import AlertDocument

S = TypeVar("S", bound=Source)
T = TypeVar("T")


def tells_status(mapping: Mapping) -> bool:
    """Return whether the mapping reads more about the state of an alert than its start."""
    return any(getattr(mapping, name) is not None for name in SNAPSHOT_KEYS)


class SnapshotReader:
    """Reads the state of an alert. Its methods raise RowError."""

    def __init__(self, mapping: Mapping, values: ValueReader, scope: Scope) -> None:
        self._scope = scope
        self._status = _status_reader(mapping.status, values) if mapping.status else None
        of_column = mapping.status if mapping.status and mapping.status.constant is None else None

        def text(source: Source) -> Read[str | None]:
            return values.optional(source, to_text)

        self._state = _optional(of_column, text)
        self._ended = end_reader(mapping.resolved_at, values)
        self._changed = _optional(mapping.updated_at, values.date)
        self._by = _optional(mapping.resolved_by, text)
        self._notes = _optional(mapping.resolution_notes, text)

    def snapshot(self, alert: AlertDocument, values: Values, until: datetime | None) -> Snapshot:
        """Return the new `alert` in the state of its row at `until`; later changes are ignored."""
        start: datetime = alert["timestamp"]
        status, ended = self._what(values, start)
        changed = self._changed(values)
        closed = status not in PENDING
        at = (ended if closed else None) or changed or start
        if until is not None and at > until:
            return Snapshot(alert, None, self._scope)
        alert_state = AlertState(start)
        state = self._state(values) or str(status)
        event = Event(at, status, state, self._by(values) or UNKNOWN_ACTOR)
        alert_state.apply(event)
        if changed is not None and changed > at and (until is None or changed <= until):
            alert_state.touch(changed)
        notes = self._notes(values) if closed else None
        return Snapshot({**alert_state.of(alert), "resolution_notes": notes}, event, self._scope)

    def _what(self, values: Values, start: datetime) -> tuple[Status, datetime | None]:
        ended = end_of(self._ended(values), start)
        if self._status is not None:
            return self._status(values), ended
        return (Status.OPEN if ended is None else Status.RESOLVED), ended


def _status_reader(source: Choice[Status], values: ValueReader) -> Read[Status]:
    read = values.choice(source, Lookup({str(name): name for name in Status}))

    def status(row: Values) -> Status:
        found = read(row) or source.default
        if found is None:
            raise missing(source)
        return found

    return status


def _optional(source: S | None, reader: Callable[[S], Read[T | None]]) -> Read[T | None]:
    return reader(source) if source is not None else lambda _: None


def end_reader(spec: End | None, values: ValueReader) -> Read[datetime | timedelta | None]:
    """Return a reader of an end: a time, or a duration after the start."""
    if spec is None:
        return lambda _: None
    if spec.after is not None:
        return values.optional(Source(column=spec.after), duration_reader(spec.unit))
    return values.end(spec)
