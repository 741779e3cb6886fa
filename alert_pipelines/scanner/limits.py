"""The limits: the most that a rule, or the scan, may decide.

Checked after the plan, before any write."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from fractions import Fraction
from shlex import quote

from alert_pipelines.alerts import COLLECTION, PENDING, Status, one_of
from alert_pipelines.alerts.decision_counts import Decision, decision_of
from alert_pipelines.alerts.filters import of_sources
from alert_pipelines.alerts.pending import PendingOfSources
from alert_pipelines.job_model import JOB_RECORDS
from alert_pipelines.job_records import COMPLETED, SCANNER
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.rules.model import Rule, RuleSet
from alert_pipelines.scanner.plan import Plan
from alert_pipelines.scanner.preview import preview_of
from alert_pipelines.scanner.result import ALLOW_SCAN, LimitViolation, ScanRequest
from alert_pipelines.settings import read_settings

SMALL_SCAN = 100
"""Up to this many pending alerts the scan's own limits do not apply."""
_COMPLETED_SCAN_OF_OURS = {"job_type": SCANNER, "status": COMPLETED, "stats.planned": {"$exists": True}}
_MAX_PREVIEWED = 20
_DECIDED = {Status.AUTO_CLOSED: PENDING, Status.ESCALATED: (Status.OPEN,)}
"""The statuses of the alerts that may be closed, and of those that may be escalated."""


def find_violations(
    db: AlertDatabase, plan: Plan, rule_set: RuleSet, request: ScanRequest
) -> tuple[LimitViolation, ...]:
    """The limits that `plan` exceeds; what they block is not to be written. Raises SettingsError."""
    # Read by each scan, so that a bad setting shows at once and not first in a flood.
    settings = read_settings()
    fraction = settings.max_close_fraction if request.max_close_fraction is None else request.max_close_fraction
    limits = {
        Status.AUTO_CLOSED: _fraction_of(sum(plan.pending.values()), fraction),
        Status.ESCALATED: _fraction_of(plan.pending[Status.OPEN], settings.max_escalate_fraction),
    }
    violations = []
    for rule in rule_set.active:
        for to_status in () if rule.rule_id in request.allow_over_limit else _DECIDED:
            planned = plan.decided(to_status, rule.rule_id)
            limit = _limit(db, rule, to_status) if planned else None
            if limit is not None and planned > limit:
                violations.append(_violation(rule.rule_id, f"rule {rule.rule_id!r}", planned, limit, to_status))
    if ALLOW_SCAN in request.allow_over_limit:
        return tuple(violations)
    return (*violations, *_violations_of_scan(db, plan, violations, limits))


def remove_blocked(plan: Plan, violations: tuple[LimitViolation, ...]) -> None:
    """Take out of `plan` the decisions that `violations` block to write; they keep their place in the counts."""
    blocked = {(violation.blocked, violation.decision) for violation in violations}
    for planned in plan.clauses:
        decision = decision_of(planned.clause.to_status)
        if blocked & {(ALLOW_SCAN, decision), (planned.clause.rule_id, decision)}:
            planned.ids.clear()


def _limit(db: AlertDatabase, rule: Rule, to_status: Status) -> int | None:
    conditions = rule.conditions
    if to_status is Status.AUTO_CLOSED:
        most, fraction = conditions.max_close, conditions.max_close_fraction
    else:
        most, fraction = conditions.max_escalate, conditions.max_escalate_fraction
    limits = [] if most is None else [most]
    if fraction is not None:
        limits.append(_fraction_of(_count(db, rule, _DECIDED[to_status]), fraction))
    return min(limits, default=None)


def _count(db: AlertDatabase, rule: Rule, statuses: Sequence[Status]) -> int:
    """The alerts of the rule's sources that have one of `statuses`."""
    if rule.sources is None:
        return db[COLLECTION].count_documents({**of_sources(None), "status": one_of(statuses)})
    of_sources_ = PendingOfSources(db)
    return sum(of_sources_.count(source, status) for source in rule.sources for status in statuses)


def _violations_of_scan(
    db: AlertDatabase, plan: Plan, violations: Sequence[LimitViolation], limits: Mapping[Status, int]
) -> tuple[LimitViolation, ...]:
    """What the scan's own `limits` block of the decisions that `violations` leave."""
    left = {to_status: plan.decided(to_status) for to_status in limits}
    for to_status in limits:
        left[to_status] -= sum(
            violation.planned for violation in violations if violation.decision == decision_of(to_status)
        )
    exceeded = [to_status for to_status, limit in limits.items() if left[to_status] > limit]
    if sum(plan.pending.values()) <= SMALL_SCAN or not exceeded:
        return ()
    found = [
        _violation(ALLOW_SCAN, "the scan", left[to_status], limits[to_status], to_status) for to_status in exceeded
    ]
    if db[JOB_RECORDS].find_one(_COMPLETED_SCAN_OF_OURS, {"_id": 1}) is not None:
        would = _preview(db, plan, violations, {violation.decision for violation in found})
        return (_with(found[0], f"Check what it would do: {would}."), *found[1:])
    # Nobody has seen yet what these rules do to these alerts: as long as that is not looked at, they do nothing.
    would = _preview(db, plan, violations, {decision_of(to_status) for to_status in limits})
    found[0] = _with(found[0], f"No scan has completed here before, so check what it would do: {would}.")
    others = (to_status for to_status in limits if left[to_status] and to_status not in exceeded)
    return (*found, *(_blocked_with_first(to_status, left[to_status]) for to_status in others))


def _with(violation: LimitViolation, further: str) -> LimitViolation:
    return violation._replace(message=f"{violation.message} {further}")


def _blocked_with_first(to_status: Status, planned: int) -> LimitViolation:
    decision = decision_of(to_status)
    message = (
        f"the scan would {decision} {planned} alerts: none was {decision}d, because its other decisions were blocked "
        "and no scan has completed here before. Allowing those also allows these."
    )
    return LimitViolation(ALLOW_SCAN, planned, 0, message, decision)


def _preview(db: AlertDatabase, plan: Plan, violations: Sequence[LimitViolation], decisions: Set[Decision]) -> str:
    """Which of `decisions` the `plan` holds by rule, source and status, but for what `violations` block already."""
    alerts: Counter[tuple[str, Decision, str, str]] = Counter()
    for group in preview_of(db, plan, {(violation.blocked, violation.decision) for violation in violations}):
        if group.decision in decisions:
            alerts[group.rule_id, group.decision, group.status, group.source_type] += group.alerts
    lines = [
        f"rule {rule_id!r} would {decision} {number} {status} alerts of {source}"
        for (rule_id, decision, status, source), number in alerts.most_common(_MAX_PREVIEWED)
    ]
    more = [f"{len(alerts) - _MAX_PREVIEWED} more such groups"] if len(alerts) > _MAX_PREVIEWED else []
    return "; ".join([*lines, *more])


def _fraction_of(pending: int, fraction: float) -> int:
    # As written: 0.29 of 100 is 29, where the float next to it would give 28.
    return int(Fraction(str(fraction)) * pending)


def _violation(blocked: str, who: str, planned: int, limit: int, to_status: Status) -> LimitViolation:
    decision = decision_of(to_status)
    alerts = "1 alert" if planned == 1 else f"{planned} alerts"
    message = (
        f"{who} would {decision} {alerts}, more than its limit of {limit}, so none was {decision}d. To allow it "
        f"once, run with allow_over_limit: [{blocked!r}] and confirm: true (Launchpad) or `alert-pipelines scan "
        f"--allow-over-limit {quote(blocked)}`."
    )
    return LimitViolation(blocked, planned, limit, message, decision)
