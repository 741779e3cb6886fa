"""The document of an alert: its fields, and which status can follow which."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SourceType(StrEnum):
    """The sources that the alert service writes. Documents can have others."""

    OVERSPEEDING = "OVERSPEEDING"
    COMPLIANCE = "COMPLIANCE"
    FEEDBACK_NEGATIVE = "FEEDBACK_NEGATIVE"
    FEEDBACK_POSITIVE = "FEEDBACK_POSITIVE"
    DOCUMENT_EXPIRY = "DOCUMENT_EXPIRY"
    SAFETY = "SAFETY"


class Severity(StrEnum):
    """The severity of an alert; an escalation sets it to CRITICAL."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class Status(StrEnum):
    """The status of an alert; OPEN and ESCALATED are pending."""

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
    """The facts that the source sent with the alert."""

    driver_id: str | int | None = Field(None, description="The driver; what rules group by if they name no other key.")
    vehicle_id: str | int | None = Field(None, description="The vehicle.")
    speed: Number = Field(None, description="The speed, in the source's unit.")
    speed_limit: Number = Field(None, description="The limit that was exceeded, in the same unit.")
    location: Any = Field(None, description="Where it happened, as the source says it.")
    document_type: Text = Field(None, description="The document that expires.")
    expiry_date: Time = Field(None, description="When it expires, UTC.")
    document_valid: bool | int | str | None = Field(None, description="Whether it was renewed.")
    feedback_rating: Number = Field(None, description="The rating, 1 to 5.")
    feedback_comment: Text = Field(None, description="What the passenger wrote.")
    event_count: Number = Field(None, description="How many events the source put into this alert.")
    additional_data: Any = Field(None, description="Whatever else the source says.")


class StateChange(_Document):
    """One entry of an alert's `state_history`."""

    from_status: Text = Field(None, description="The status before.")
    to_status: Text = Field(None, description="The status after.")
    timestamp: Time = Field(None, description="When it changed, UTC.")
    reason: Text = Field(None, description="Why.")
    triggered_by: Text = Field(None, description="Who changed it: system for a scan, undo, or a person.")
    rule_triggered: Text = Field(None, description="The rule that decided it.")


class Alert(_Document):
    """A document of `alerts`."""

    alert_id: str = Field(description="Unique id.")
    source_type: str = Field(description="What kind of alert it is; a rule is for one source type, some or all.")
    severity: Text = Field(None, description="INFO, WARNING or CRITICAL; escalating makes it CRITICAL.")
    status: str = Field(description="OPEN or ESCALATED (pending), AUTO_CLOSED or RESOLVED.")
    timestamp: Time = Field(None, description="When the event happened, UTC.")
    metadata: AlertMetadata | None = Field(None, description="What the source says of the event, such as driver_id.")
    state_history: list[StateChange] | str | None = Field(
        None, description="Every change of status, by whom, when and why; the one truth about decisions."
    )
    escalated_at: Time = Field(None, description="When it was escalated, UTC.")
    closed_at: Time = Field(None, description="When it was closed automatically, UTC.")
    resolved_at: Time = Field(None, description="When a person resolved it, UTC.")
    auto_close_reason: Text = Field(None, description="Why it was closed automatically.")
    expires_at: Time = Field(None, description="When it closes by itself, if it does, UTC.")
    resolved_by: Text = Field(None, description="Who resolved it.")
    resolution_notes: Text = Field(None, description="What they said.")
    created_at: Time = Field(None, description="When the document was made, UTC.")
    updated_at: Time = Field(None, description="When it last changed, UTC.")
