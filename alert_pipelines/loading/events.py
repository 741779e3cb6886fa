"""Applies the updates of one alert and returns its state after the last one.

Callers decide which rows are updates, and their order.
"""

from datetime import datetime
from typing import Any, NamedTuple

from alert_pipelines.alerts import PENDING, TRANSITIONS, Severity, Status
from alert_pipelines.mongo.client import AlertDocument

OF_THE_END = ("escalated_at", "closed_at", "resolved_at", "auto_close_reason", "resolved_by", "resolution_notes")
"""Fields that a change of status sets, and reopening removes."""
_BY_STATE = "state "
SYSTEM = "system"
UNKNOWN_ACTOR = "unknown"


class Event(NamedTuple):
    """One update of an alert: its time, the new status, the state in the source's words, and who made it."""

    time: datetime
    status: Status
    state: str
    actor: str


def is_of_source(entry: AlertDocument) -> bool:
    """Return whether an entry of `state_history` is an event of the source, not a decision made here."""
    reason = entry.get("reason")
    return (
        isinstance(reason, str)
        and reason.startswith(_BY_STATE)
        and entry.get("rule_triggered") is None
        and "job_id" not in entry
    )


class AlertState:
    """The state of an alert after the events applied so far; it is OPEN at its first event.

    Transitions that the contract does not allow (between closed statuses, from ESCALATED to OPEN) change only
    `updated_at`.
    """

    def __init__(self, first: datetime) -> None:
        self._status = Status.OPEN
        self._history: list[dict[str, Any]] = []
        self._fields: dict[str, Any] = {"created_at": first}

    @classmethod
    def of_stored(cls, alert: AlertDocument) -> "AlertState":
        """Return the state of a stored alert."""
        alert_state = cls(alert["created_at"])
        alert_state._status = Status(alert["status"])
        alert_state._history = list(alert["state_history"])
        alert_state._fields["updated_at"] = alert["updated_at"]
        return alert_state

    @property
    def status(self) -> Status:
        """The status after the events so far."""
        return self._status

    def apply(self, event: Event) -> None:
        """Apply one event. Events must come in order of time."""
        self._fields["updated_at"] = event.time
        reopened = self._status not in PENDING and event.status in PENDING
        if not reopened and event.status not in TRANSITIONS[self._status]:
            return
        reason = f"{_BY_STATE}{event.state}"
        self._history.append(
            {
                "from_status": str(self._status),
                "to_status": str(event.status),
                "timestamp": event.time,
                "reason": reason,
                "triggered_by": event.actor,
                "rule_triggered": None,
            }
        )
        self._status = event.status
        if reopened:
            # Like a new alert: fields that the close set would contradict the status.
            kept = {name: self._fields[name] for name in ("created_at", "updated_at")}
            self._fields = {**kept, **dict.fromkeys(OF_THE_END)}
        if event.status is Status.ESCALATED:
            self._fields.update(escalated_at=event.time, severity=str(Severity.CRITICAL))
        elif event.status is Status.AUTO_CLOSED:
            self._fields.update(closed_at=event.time, auto_close_reason=reason)
        elif event.status is Status.RESOLVED:
            self._fields.update(resolved_at=event.time, resolved_by=event.actor)

    def touch(self, time: datetime) -> None:
        """Record that something else changed at `time`."""
        self._fields["updated_at"] = time

    def of(self, document: AlertDocument) -> AlertDocument:
        """Return `document`, the fields of the alert's last update, with the state that the events left."""
        return {**document, **self._fields, "status": str(self._status), "state_history": self._history}
