"""The request and the report of a scan: plain values, shared by the scan, the CLI and the Dagster layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from alert_pipelines.alerts.decision_counts import Decision, DecisionCount, count, limit_rows
from alert_pipelines.rules.model import Rule
from alert_pipelines.signature import UNSIGNED, Signature

ALLOW_SCAN = "scan"
"""What `ScanRequest.allow_over_limit` names to lift the scan's own limit once; a rule is named by its id."""


@dataclass(frozen=True)
class ScanRequest:
    """The options of a scan.

    Attributes:
        as_of: The time that the scan is for; UTC if it has no zone. None: the server's clock.
        rule_ids: The rules to evaluate; `expires_at` is the expiry of the alerts. None: all rules.
        dry_run: Whether to plan only, and write nothing.
        max_close_fraction: The limit of the scan, a fraction of the pending alerts from 0 to 1. None:
            AUTO_CLOSE_MAX_FRACTION, or 0.5.
        allow_over_limit: The rules whose limits are lifted for this scan; ALLOW_SCAN for those of the scan.
        run_id: The Dagster run that the scan belongs to.
        attempt: The number of this attempt of the run, from 1.
        signature: Who lifts the limits, and why.
        rules: For a dry run, the rules to evaluate instead of the published ones.
    """

    as_of: datetime | None = None
    rule_ids: tuple[str, ...] | None = None
    dry_run: bool = False
    max_close_fraction: float | None = None
    allow_over_limit: tuple[str, ...] = ()
    run_id: str | None = None
    attempt: int = 1
    signature: Signature = UNSIGNED
    rules: tuple[Rule, ...] | None = None

    @property
    def allowance(self) -> dict[str, Any]:
        """What the job record keeps of the limits that are lifted, and of who asked for it."""
        return {**({"allowed": list(self.allow_over_limit)} if self.allow_over_limit else {}), **self.signature.fields}


class Sample(NamedTuple):
    """One planned decision, to look at."""

    rule_id: str
    source_type: str
    decision: Decision
    alert_id: str
    reason: str


class PlannedGroup(NamedTuple):
    """Planned decisions of one rule about alerts of one source, status and severity."""

    rule_id: str
    source_type: str
    status: str
    severity: str
    decision: Decision
    alerts: int


class LimitViolation(NamedTuple):
    """A limit of a rule, or of the scan, that the planned closes or escalations exceed, so none of them was written."""

    blocked: str
    planned: int
    limit: int
    message: str
    decision: Decision

    @property
    def in_short(self) -> str:
        """As `night-shift to close 900, limit 500`."""
        return f"{self.blocked} to {self.decision} {self.planned}{f', limit {self.limit}' if self.limit else ''}"


def stored_violations(stats: Any) -> tuple[LimitViolation, ...]:
    """The violations in the `stats` of a job record, also of an older one; anybody may have edited it."""
    stored = stats.get("blocked", stats.get("stopped")) if isinstance(stats, Mapping) else None
    return tuple(
        _stored_violation(one) for one in (stored if isinstance(stored, list) else ()) if isinstance(one, dict)
    )


def _stored_violation(one: Mapping[str, Any]) -> LimitViolation:
    planned, limit = (number if isinstance(number, int) else 0 for number in (one.get("planned"), one.get("limit")))
    # Records from before escalations had limits name no decision.
    decision: Decision = "escalate" if one.get("decision") == "escalate" else "close"
    blocked = one.get("blocked", one.get("stopped"))
    return LimitViolation(str(blocked), planned, limit, str(one.get("message")), decision)


@dataclass(frozen=True)
class ScanReport:
    """The result of a scan.

    planned = closed + escalated + conflicts + failed + blocked.

    Attributes:
        job_id: The job record of the scan.
        as_of: The time that the scan was for, UTC.
        rule_set_version: The hash of the rules that it evaluated.
        dry_run: Whether the scan was a dry run, which writes nothing.
        pending: The number of pending alerts at the start, by status.
        planned: The decisions before any write, by rule, source and decision.
        decisions: The decisions that were written, counted from the alerts' histories; for a dry run, those planned.
        shadow: What shadow rules would have decided.
        conflicts: Planned decisions whose alert changed before the write.
        failed: Planned decisions that could not be written.
        errors: An entry for each alert and rule that could not be processed.
        samples: Some of the planned decisions, with their reasons.
        violations: The limits that blocked decisions.
        bad_rules: The entries of `errors` that are about rules.
        preview: For a dry run, the decisions within limits, by the status and severity of the alerts.
        failed_rules: The rules whose query failed on the server.
        shadow_rules: The shadow rules that were evaluated, also those that would have decided nothing.
        shadow_left: The shadow rules that the next scans will evaluate.
        oldest_pending: The timestamp of the oldest pending alert, UTC.
        incremental_since: The scan since which changed keys were read; None for a full scan.
        full_scan_reason: Why the scan was full.
        checkpoint: The starting point for the next incremental scan.
        overlooked: The due alerts that an incremental scan would have missed; None if this was not checked.
        defects: The entries of `errors` about overlooked alerts.
        seconds: The duration of each step.
        allowance: The limits that were lifted, and by whom.
    """

    job_id: str
    as_of: datetime
    rule_set_version: str
    dry_run: bool
    pending: Mapping[str, int]
    planned: tuple[DecisionCount, ...]
    decisions: tuple[DecisionCount, ...]
    shadow: tuple[DecisionCount, ...]
    conflicts: int
    failed: int
    errors: tuple[str, ...]
    samples: tuple[Sample, ...] = ()
    violations: tuple[LimitViolation, ...] = ()
    bad_rules: tuple[str, ...] = ()
    preview: tuple[PlannedGroup, ...] = ()
    failed_rules: tuple[str, ...] = ()
    shadow_rules: tuple[str, ...] = ()
    shadow_left: tuple[str, ...] = ()
    oldest_pending: datetime | None = None
    incremental_since: str | None = None
    full_scan_reason: str | None = None
    checkpoint: str | None = None
    overlooked: int | None = None
    defects: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    allowance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total_checked(self) -> int:
        """Pending alerts at the start of the scan."""
        return sum(self.pending.values())

    @property
    def closed(self) -> int:
        """Alerts closed; 0 for a dry run."""
        return 0 if self.dry_run else count(self.decisions, "close")

    @property
    def escalated(self) -> int:
        """Alerts escalated; 0 for a dry run."""
        return 0 if self.dry_run else count(self.decisions, "escalate")

    @property
    def blocked(self) -> int:
        """Closes and escalations planned and not written since a limit blocked them."""
        return sum(violation.planned for violation in self.violations)

    @property
    def reconciles(self) -> bool:
        """Whether every planned decision is accounted for."""
        done = self.closed + self.escalated + self.conflicts + self.failed + self.blocked
        return self.dry_run or count(self.planned) == done

    def summary(self) -> dict[str, int]:
        """The counts as the old job's callers know them."""
        return {
            "total_checked": self.total_checked,
            "auto_closed": self.closed,
            "alerts_processed": self.total_checked,
            "alerts_closed": self.closed,
            "alerts_escalated": self.escalated,
        }

    def record_stats(self) -> dict[str, Any]:
        """What the job record keeps of this scan, as BSON values."""
        return {
            "alerts_processed": self.total_checked,
            "alerts_closed": self.closed,
            "alerts_escalated": self.escalated,
            "oldest_pending": self.oldest_pending,
            "rule_set_version": self.rule_set_version,
            "planned": [entry._asdict() for entry in limit_rows(self.planned)],
            "decisions": [entry._asdict() for entry in limit_rows(self.decisions)],
            "shadow": [entry._asdict() for entry in limit_rows(self.shadow)],
            "shadow_rules": list(self.shadow_rules),
            "shadow_left": list(self.shadow_left),
            "conflicts": self.conflicts,
            "failed": self.failed,
            "blocked": [violation._asdict() for violation in self.violations],
            "incremental_since": self.incremental_since,
            "full_scan_reason": self.full_scan_reason,
            "checkpoint": self.checkpoint,
            "overlooked": self.overlooked,
            "seconds": dict(self.seconds),
            **self.allowance,
        }
