"""The columns of the collections, as the UI shows them on the assets."""

from dagster import TableColumn, TableSchema

_ALERTS = {
    "alert_id": ("string", "Unique id."),
    "source_type": ("string", "What kind of alert it is; a rule is for one source type."),
    "severity": ("string", "INFO, WARNING or CRITICAL; escalating makes it CRITICAL."),
    "status": ("string", "OPEN or ESCALATED (pending), AUTO_CLOSED or RESOLVED."),
    "timestamp": ("date", "When the event happened, UTC."),
    "metadata": ("object", "What the source says of the event: driver_id, vehicle_id, document_valid …"),
    "state_history": ("array", "Every change of status, by whom, when and why; the one truth about decisions."),
    "escalated_at": ("date", "When it was escalated."),
    "closed_at": ("date", "When it was closed automatically."),
    "resolved_at": ("date", "When a person resolved it."),
    "auto_close_reason": ("string", "Why it was closed automatically."),
    "expires_at": ("date", "When it closes by itself, if it does."),
    "resolved_by": ("string", "Who resolved it."),
    "resolution_notes": ("string", "What they said."),
    "created_at": ("date", "When the document was made."),
    "updated_at": ("date", "When it last changed."),
}
_RULES = {
    "rule_id": ("string", "Unique id."),
    "source_type": ("string", "The source whose alerts it decides."),
    "name": ("string", "What people call it."),
    "description": ("string", "What it is for."),
    "conditions": ("object", "When to close, escalate or hold."),
    "is_active": ("bool", "Whether it writes."),
    "priority": ("int", "Higher goes first."),
    "mode": ("string", "active, shadow (only counted) or off."),
    "calendar": ("string", "The calendar in whose open hours its minutes run."),
    "only_during": ("string", "The calendar during whose open hours it decides."),
    "calendars": ("array", "The calendars that came with it in its file."),
    "created_at": ("date", "When the document was made."),
    "updated_at": ("date", "When it last changed."),
}
_JOBS = {
    "job_id": ("string", "Unique id, as JOB-20250115-143022-a1b2c3d4."),
    "job_type": ("string", "auto_close_scanner, or auto_close_dry_run."),
    "status": ("string", "running, completed or failed."),
    "run_id": ("string", "The Dagster run it belongs to."),
    "attempt": ("int", "Which attempt of that run it is, from 1: a run whose database was away tries again."),
    "started_at": ("date", "When it began, by the server's clock."),
    "completed_at": ("date", "When it ended."),
    "alerts_processed": ("int", "Pending alerts it looked at."),
    "alerts_closed": ("int", "Alerts it closed, counted from their histories."),
    "alerts_escalated": ("int", "Alerts it escalated, counted from their histories."),
    "errors": ("array", "What could not be handled, at most 100 entries."),
    "errors_total": ("int", "How many errors there were."),
    "execution_time_ms": ("int", "How long it took."),
    "stats": ("object", "The rest of the scan's report: by rule and source, conflicts, blocked, rule set version."),
}


def _schema(columns: dict[str, tuple[str, str]]) -> TableSchema:
    return TableSchema(columns=[TableColumn(name, kind, description) for name, (kind, description) in columns.items()])


ALERTS, RULES, JOBS = _schema(_ALERTS), _schema(_RULES), _schema(_JOBS)
