"""The alert's document: its statuses, what may follow on them, and its fields."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class SourceType(StrEnum):
    """The sources that the service itself writes; documents may name others."""

    OVERSPEEDING = "OVERSPEEDING"
    COMPLIANCE = "COMPLIANCE"
    FEEDBACK_NEGATIVE = "FEEDBACK_NEGATIVE"
    FEEDBACK_POSITIVE = "FEEDBACK_POSITIVE"
    DOCUMENT_EXPIRY = "DOCUMENT_EXPIRY"
    SAFETY = "SAFETY"


class Severity(StrEnum):
    """How grave an alert is; escalating makes it CRITICAL."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class Status(StrEnum):
    """Where an alert stands; OPEN and ESCALATED are pending."""

    OPEN = "OPEN"
    ESCALATED = "ESCALATED"
    AUTO_CLOSED = "AUTO_CLOSED"
    RESOLVED = "RESOLVED"


PENDING = (Status.OPEN, Status.ESCALATED)
SETTLED = (Status.AUTO_CLOSED, Status.RESOLVED)

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.OPEN: frozenset({Status.ESCALATED, Status.AUTO_CLOSED, Status.RESOLVED}),
    Status.ESCALATED: frozenset({Status.AUTO_CLOSED, Status.RESOLVED}),
    Status.AUTO_CLOSED: frozenset(),
    Status.RESOLVED: frozenset(),
}
"""What the scan may do. A person or an undo may besides set a closed alert pending again, and an undo may set
ESCALATED back to OPEN."""


class _Document(BaseModel):
    """Loads what the service wrote unchanged: no field required, unknown ones kept, nothing coerced."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    def to_document(self) -> dict[str, Any]:
        """The document as it was loaded: only the fields it had."""
        return self.model_dump(exclude_unset=True)


Text = str | None
Number = int | float | str | None
"""Sources keep numbers as texts, too. docs/rules.md says how a rule reads them."""
Time = datetime | str | None
"""UTC; a naive one is read as UTC. No rule reads a text as a time."""


class AlertMetadata(_Document):
    """What the source says of the event."""

    driver_id: str | int | None = None
    vehicle_id: str | int | None = None
    speed: Number = None
    speed_limit: Number = None
    location: Any = None
    document_type: Text = None
    expiry_date: Time = None
    document_valid: bool | int | str | None = None
    feedback_rating: Number = None
    feedback_comment: Text = None
    event_count: Number = None
    additional_data: Any = None


class StateChange(_Document):
    """One entry of an alert's `state_history`."""

    from_status: Text = None
    to_status: Text = None
    timestamp: Time = None
    reason: Text = None
    triggered_by: Text = None
    rule_triggered: Text = None


class Alert(_Document):
    """A document of `alerts`."""

    alert_id: str
    source_type: str
    severity: Text = None
    status: str
    timestamp: Time = None
    metadata: AlertMetadata | None = None
    state_history: list[StateChange] | str | None = None
    escalated_at: Time = None
    closed_at: Time = None
    resolved_at: Time = None
    auto_close_reason: Text = None
    expires_at: Time = None
    resolved_by: Text = None
    resolution_notes: Text = None
    created_at: Time = None
    updated_at: Time = None
