"""What is asked of a scan and what it answers: plain values, shared by the scan, the CLI and the Dagster layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from alert_pipelines.alerts.decisions import Decision, DecisionCount, count, limit_rows
from alert_pipelines.rules.model import Rule
from alert_pipelines.signature import UNSIGNED, Signature

ALLOW_SCAN = "scan"
"""What `ScanRequest.allow_over_limit` names to lift the scan's own limit once; a rule is named by its id."""


@dataclass(frozen=True)
class ScanRequest:
    """What to scan and how.

    `as_of`: None is the server's clock; naive is read as UTC. `rule_ids`: None is every rule; `expires_at` names the
    alerts' own expiry. `max_close_fraction`: the scan's own limit, a fraction of the pending alerts;
    None is what AUTO_CLOSE_MAX_FRACTION says, or a half. `allow_over_limit`: rule ids, or ALLOW_SCAN, whose limit is
    lifted this once, and `signature` who asked for that. `run_id`: the Dagster run, and `attempt` which of its attempts
    this is, from 1. `rules`: for a dry run, as if these were published.
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
    """A rule, or the scan, that planned more closes or escalations than its limit allows and wrote none of them."""

    blocked: str
    planned: int
    limit: int
    message: str
    decision: Decision


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
    """The outcome of a scan.

    `decisions` are those written, counted from the alerts' histories; of a dry run, and in `planned` always, those
    planned. `shadow` counts what shadow rules would have done; `shadow_rules` names all that were evaluated, also
    those that would have done nothing, and `shadow_left` those whose turn is in the next scans. planned = closed +
    escalated + conflicts + failed + blocked. `errors` has an entry for each alert and rule that could not be handled;
    `bad_rules` are those of them that are about rules, and `failed_rules` those of these whose query the server did
    not finish.
    `incremental_since` is the scan since which touched keys were looked at; None where all were: `full_scan_reason`
    then says why.
    `checkpoint` is what a later scan can build on. `overlooked` counts the due alerts outside of what an incremental
    scan would have looked at; None if this one did not check that. `defects` are those of `errors` that name them.
    `allowance` names the limits that were lifted, and who asked for it.
    `preview`, of a dry run only, has what could be written of `planned` by the status and severity of its alerts.
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
