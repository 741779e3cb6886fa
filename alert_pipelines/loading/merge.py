"""Merges an alert of a file into the stored alert of the same id.

Changes of the source and its new events are taken over. Decisions of rules and people made here are kept.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import bson

from alert_pipelines.alerts import PENDING, Status
from alert_pipelines.loading.durations import end_of
from alert_pipelines.loading.events import OF_THE_END, AlertState, Event, is_of_source
from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.mongo.door import KNOWN_CODEC
from alert_pipelines.timestamps import as_stored

_TAKEN_OVER = ("source_type", "severity", "timestamp", "expires_at")
_STATUSES = frozenset(map(str, Status))


class Merged(NamedTuple):
    """The stored alert after the merge, and whether it keeps a decision that the file contradicts."""

    alert: AlertDocument
    decision_kept: bool


class Scope(NamedTuple):
    """What the rows of a file contain: these fields of `metadata`, an `expires_at`, and when a row was written.

    If rows are not dated, a row counts as later than the stored alert.
    """

    metadata: tuple[str, ...]
    expires_at: bool
    is_dated: bool


class Snapshot(NamedTuple):
    """A row with the current state of its alert; `event` is None if the row has no state."""

    alert: AlertDocument
    event: Event | None
    scope: Scope

    def merge_into(self, stored: AlertDocument) -> Merged:
        """Return the stored alert in the state of this row. An older row changes nothing."""
        known = _Known.of(stored)
        if known is None:
            return Merged(stored, decision_kept=True)
        given = bson.decode(bson.encode(self.alert), KNOWN_CODEC)
        given["metadata"] = {**dict.fromkeys(self.scope.metadata), **given["metadata"]}
        if not self.scope.expires_at:
            del given["expires_at"]
        time, is_dated = given["updated_at"], self.scope.is_dated
        alert, status = stored, known.status
        if not is_dated or time >= known.latest:
            # The row has a state, not an event: it is an event if the state is new.
            new = [self.event] if self.event is not None and self.event.status is not status else []
            alert, status = known.after(stored, new)
            if alert["status"] == given["status"] and (new or not known.decided_here):
                alert |= {name: given[name] for name in OF_THE_END if new or given[name] is not None}
        if not is_dated or time >= known.latest_word(stored):
            alert = {**alert, **_taken_over(alert, given), "updated_at": max(alert["updated_at"], time)}
        kept = known.decided_here and self.event is not None and str(status) != alert["status"]
        return Merged(alert, kept)


class Updates(NamedTuple):
    """The rows of a log about one alert: the event and the fields of each."""

    rows: list[tuple[Event, dict[str, Any]]]

    def merge_into(self, stored: AlertDocument) -> Merged:
        """Return the stored alert after the updates that are later than its last known change."""
        known = _Known.of(stored)
        if known is None:
            return Merged(stored, decision_kept=True)
        rows = [(event._replace(time=as_stored(event.time)), given) for event, given in self.rows]
        new = [(event, given) for event, given in rows if event.time > known.latest]
        alert, status = known.after(stored, [event for event, _ in new])
        for event, given in new:
            if event.time >= known.latest_word(stored):
                alert |= _taken_over(alert, _with_end(given, alert))
        return Merged(alert, known.decided_here and str(status) != alert["status"])


class _Known(NamedTuple):
    """What came from the source in a stored alert, and what was decided here."""

    status: Status
    """The last status of the source."""
    latest: datetime
    """When the source last changed it."""
    last_decision: datetime | None
    decided_here: bool

    @classmethod
    def of(cls, stored: AlertDocument) -> "_Known | None":
        """Return None if the stored alert is malformed: it is then left unchanged."""
        if not _is_well_formed(stored):
            return None
        history = stored["state_history"]
        of_source = [entry for entry in history if is_of_source(entry)]
        decided = [entry["timestamp"] for entry in history if not is_of_source(entry)]
        last = history[-1]["to_status"] if history else str(Status.OPEN)
        return cls(
            status=Status(of_source[-1]["to_status"]) if of_source else Status.OPEN,
            latest=max([stored["created_at"], *(entry["timestamp"] for entry in of_source)]),
            last_decision=max(decided, default=None),
            decided_here=bool(decided) or last != stored["status"],
        )

    def latest_word(self, stored: AlertDocument) -> datetime:
        """When the source last changed anything, as far as is known."""
        return self.latest if self.decided_here else max(self.latest, stored["updated_at"])

    def after(self, stored: AlertDocument, events: Iterable[Event]) -> tuple[AlertDocument, Status]:
        """Return the alert after the source's new events, and the status according to the source.

        An alert that was closed here is reopened only if the source closed it and raised it again later.
        """
        alert_state, status = AlertState.of_stored(stored), self.status
        for event in events:
            reopens = event.status in PENDING and alert_state.status not in PENDING
            again = status not in PENDING and (self.last_decision is None or event.time > self.last_decision)
            if again or not reopens:
                alert_state.apply(event)
            status = event.status
        alert = alert_state.of(stored)
        return {**alert, "updated_at": max(stored["updated_at"], alert["updated_at"])}, status


def _is_well_formed(stored: AlertDocument) -> bool:
    history = stored.get("state_history")
    times = (stored.get(name) for name in ("timestamp", "created_at", "updated_at"))
    return (
        stored.get("status") in _STATUSES
        and isinstance(stored.get("metadata"), dict)
        and all(isinstance(time, datetime) for time in times)
        and isinstance(history, list)
        and all(map(_is_entry, history))
    )


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict) and isinstance(entry.get("timestamp"), datetime) and entry.get("to_status") in _STATUSES
    )


def _taken_over(stored: AlertDocument, given: dict[str, Any]) -> AlertDocument:
    """Return the fields of the source that replace stored ones."""
    taken = {name: given[name] for name in _TAKEN_OVER if name in given}
    if stored.get("escalated_at") is not None:
        taken.pop("severity", None)
    metadata = {**stored["metadata"], **given["metadata"]}
    return {**taken, "metadata": {name: value for name, value in metadata.items() if value is not None}}


def _with_end(given: dict[str, Any], alert: AlertDocument) -> dict[str, Any]:
    if "expires_after" not in given:
        return given
    start: datetime = {**alert, **given}["timestamp"]
    return {**given, "expires_at": end_of(timedelta(seconds=given["expires_after"]), start)}
