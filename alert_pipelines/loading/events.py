"""From the updates of one alert to the alert as it stood after the last of them.

Which row is an update, and in which order they come, is for the callers to say.
"""

from datetime import datetime
from typing import Any, NamedTuple

from alert_pipelines.alerts import PENDING, TRANSITIONS, Severity, Status
from alert_pipelines.mongo.client import AlertDocument

OF_THE_END = ("escalated_at", "closed_at", "resolved_at", "auto_close_reason", "resolved_by", "resolution_notes")
"""What a change of status sets, and a reopening takes away."""
_BY_STATE = "state "
SYSTEM = "system"
UNKNOWN_ACTOR = "unknown"


class Event(NamedTuple):
    """One update of an alert: when, to which status, by which state of the source and by whom."""

    time: datetime
    status: Status
    state: str
    actor: str


def is_of_source(entry: AlertDocument) -> bool:
    """Whether an entry of `state_history` tells an event of the source, and no decision made here."""
    reason = entry.get("reason")
    return (
        isinstance(reason, str)
        and reason.startswith(_BY_STATE)
        and entry.get("rule_triggered") is None
        and "job_id" not in entry
    )


class AlertState:
    """Where an alert stands after the events applied so far; it is born OPEN at its first event.

    Steps that the contract does not know (from one closed status to another, from ESCALATED to OPEN) change
    nothing but `updated_at`.
    """

    def __init__(self, first: datetime) -> None:
        self._status = Status.OPEN
        self._history: list[dict[str, Any]] = []
        self._fields: dict[str, Any] = {"created_at": first}

    @classmethod
    def of_stored(cls, alert: AlertDocument) -> "AlertState":
        """As the alert stands, whatever brought it there."""
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
        """Take one event into account; events come in order of time."""
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
            # As a fresh alert: what the closing had set would belie the status.
            kept = {name: self._fields[name] for name in ("created_at", "updated_at")}
            self._fields = {**kept, **dict.fromkeys(OF_THE_END)}
        if event.status is Status.ESCALATED:
            self._fields.update(escalated_at=event.time, severity=str(Severity.CRITICAL))
        elif event.status is Status.AUTO_CLOSED:
            self._fields.update(closed_at=event.time, auto_close_reason=reason)
        elif event.status is Status.RESOLVED:
            self._fields.update(resolved_at=event.time, resolved_by=event.actor)

    def touch(self, time: datetime) -> None:
        """Take into account that something else changed at `time`."""
        self._fields["updated_at"] = time

    def of(self, document: AlertDocument) -> AlertDocument:
        """The alert that its last update describes as `document`, standing as its events left it."""
        return {**document, **self._fields, "status": str(self._status), "state_history": self._history}
