"""Converts a row of a file to the document of an alert, as `alerts` defines it.

`row_values` reads single values; `events` and `fold` make one alert of several rows.
"""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from alert_pipelines.alerts import Severity, Status
from alert_pipelines.alerts.filters import MAX_ID_BYTES
from alert_pipelines.loading.durations import end_of
from alert_pipelines.loading.events import SYSTEM, UNKNOWN_ACTOR, Event
from alert_pipelines.loading.mapping import Mapping
from alert_pipelines.loading.mapping_parts import Actor, AlertId, Choice, Events, MetadataColumn, Source, Timestamp
from alert_pipelines.loading.merge import Scope, Snapshot
from alert_pipelines.loading.paths import holder
from alert_pipelines.loading.readers.rows import Values
from alert_pipelines.loading.row_values import Lookup, Read, RowError, ValueReader, missing
from alert_pipelines.loading.snapshot import SnapshotReader, end_reader, tells_status
from alert_pipelines.loading.values import to_text
from alert_pipelines.mongo.client import AlertDocument

Fields = dict[str, Any]


def new_alert(
    alert_id: str,
    *,
    source_type: str,
    severity: Severity,
    timestamp: datetime,
    metadata: dict[str, Any],
    expires_at: datetime | None = None,
) -> AlertDocument:
    """Return an OPEN alert that was not changed since its timestamp, with every field of the contract."""
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
    """Reads rows by a mapping. Every method raises RowError for a value that is missing or not valid."""

    def __init__(self, mapping: Mapping) -> None:
        self.values = values = ValueReader(mapping)
        self._alert_id = self._id_reader(mapping.alert_id)
        severities = Lookup({str(name): name for name in Severity})
        self._required: dict[str, tuple[Choice[Any] | Timestamp, Read[Any]]] = {
            "source_type": (mapping.source_type, values.choice(mapping.source_type, to_text)),
            "severity": (mapping.severity, values.choice(mapping.severity, severities)),
        }
        if not mapping.starts_with_first_event:
            self._required["timestamp"] = (mapping.timestamp, values.date(mapping.timestamp))
        self._expires_at = end_reader(mapping.expires_at, values)
        # A field that a single row lacks is missing; a field that an update lacks is unchanged.
        self._metadata = [
            (name, values.metadata(field), _holder(field) if mapping.events else lambda _: False)
            for name, field in mapping.metadata.items()
        ]
        self._with_default = {name: field for name, field in mapping.metadata.items() if field.default is not None}
        self._event = self._event_reader(mapping.events) if mapping.events else None
        self._scope = Scope(tuple(mapping.metadata), mapping.expires_at is not None, mapping.updated_at is not None)
        self._snapshot = SnapshotReader(mapping, values, self._scope) if tells_status(mapping) else None

    def alert(self, values: Values, until: datetime | None = None) -> Snapshot:
        """Return the row as an alert, in its state at `until`; OPEN if the row has no state."""
        alert = self.complete(self.fields(values))
        return self._snapshot.snapshot(alert, values, until) if self._snapshot else Snapshot(alert, None, self._scope)

    def fields(self, values: Values) -> Fields:
        """Return the fields of the alert that the row has. Of the required fields, only `alert_id` must be there."""
        fields: Fields = {"alert_id": self._checked_id(values)}
        for name, (_, read) in self._required.items():
            if (value := read(values)) is not None:
                fields[name] = value
        if (end := self._expires_at(values)) is not None:
            if isinstance(end, timedelta):
                fields["expires_after"] = end.total_seconds()
            else:
                fields["expires_at"] = end
        metadata = fields["metadata"] = {}
        for name, read, has in self._metadata:
            value = read(values)
            if value is not None or has(values):
                metadata[name] = value
        return fields

    def complete(self, fields: Fields, rows: str = "") -> AlertDocument:
        """Return `fields`, as found by `fields()`, as an OPEN alert that was not changed since its timestamp.

        Raises RowError if a required field is missing; `rows` names the rows that were read, for the message.
        """
        for name, (source, _) in self._required.items():
            if fields.setdefault(name, source.default if isinstance(source, Choice) else None) is None:
                raise missing(source, rows)
        metadata = {name: value for name, value in fields["metadata"].items() if value is not None}
        for name, field in self._with_default.items():
            metadata.setdefault(name, self.values.default(field))
        start, after = fields["timestamp"], fields.get("expires_after")
        return new_alert(
            fields["alert_id"],
            source_type=fields["source_type"],
            severity=fields["severity"],
            timestamp=start,
            metadata=metadata,
            expires_at=fields.get("expires_at") if after is None else end_of(timedelta(seconds=after), start),
        )

    def event(self, values: Values) -> Event:
        """Return the row as an update of its alert; the mapping must declare `events`."""
        assert self._event is not None
        return self._event(values)

    def _checked_id(self, values: Values) -> str:
        alert_id = self._alert_id(values)
        if (size := len(alert_id.encode())) > MAX_ID_BYTES:
            raise RowError(
                f"alert_id is not valid: expected at most {MAX_ID_BYTES:,} bytes; got {size:,}. Make it of shorter "
                "columns, or use content_hash.",
                "alert_id is too long",
            )
        return alert_id

    def _id_reader(self, spec: AlertId) -> Read[str]:
        if spec.content_hash is not None:
            return lambda values: f"{spec.content_hash}-{_content_hash(values)}"
        return self.values.required(spec, to_text)

    def _event_reader(self, events: Events) -> Read[Event]:
        column = Source(column=events.state)
        time, state = (
            self.values.required(events.time, self.values.date_converter(events.time)),
            self.values.required(column, to_text),
        )
        status, actor = self.values.required(column, Lookup(events.states)), self._actor_reader(events.actor)
        return lambda values: Event(time(values), status(values), state(values), actor(values))

    def _actor_reader(self, spec: Actor | None) -> Read[str]:
        if spec is None:
            return lambda _: UNKNOWN_ACTOR
        system, read = frozenset(spec.system), self.values.optional(spec, to_text)

        def actor(values: Values) -> str:
            by = read(values)
            return SYSTEM if by in system else by or UNKNOWN_ACTOR

        return actor


def _holder(field: MetadataColumn) -> Read[bool]:
    holders = [holder(path) for path in field.paths]
    return lambda values: any(has(values) for has in holders)


def _content_hash(values: Values) -> str:
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
