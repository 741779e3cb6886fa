"""The blast-radius limits: what a rule, or a whole scan, may decide at most.

Asked after the plan, before any write."""

import math
import os
from collections.abc import Mapping
from fractions import Fraction
from shlex import quote

from alert_pipelines.alerts import COLLECTION, PENDING, Status
from alert_pipelines.decisions import decision_of
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.job_records import COLLECTION as JOB_RECORDS
from alert_pipelines.job_records import COMPLETED, SCANNER
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.rules.model import Rule, RuleSet
from alert_pipelines.scanner.plan import Plan
from alert_pipelines.scanner.report import ALLOW_SCAN, LimitStop, ScanIncompleteError, ScanReport, ScanRequest

FRACTION_VARIABLE = "AUTO_CLOSE_MAX_FRACTION"
SMALL_SCAN = 100
"""Up to so many pending alerts the scan's own limit does not apply."""
_DECIDED = {Status.AUTO_CLOSED: PENDING, Status.ESCALATED: (Status.OPEN,)}
"""The statuses of the alerts that may be closed, and of those that may be escalated."""


class BlastRadiusError(ScanIncompleteError):
    """Limits stopped closes or escalations; all else of the scan was done. `report` says what."""

    def __init__(self, report: ScanReport) -> None:
        super().__init__(report, (stop.message for stop in report.stops))


class InvalidFractionError(AlertPipelinesError):
    """AUTO_CLOSE_MAX_FRACTION is no number from 0 to 1."""


def fraction_setting(environ: Mapping[str, str] = os.environ) -> float:
    """The scan's own limit as AUTO_CLOSE_MAX_FRACTION sets it, by default a half. Raises InvalidFractionError."""
    text = environ.get(FRACTION_VARIABLE, "").strip() or "0.5"
    try:
        fraction = float(text)
    except ValueError:
        fraction = math.nan
    if not 0 <= fraction <= 1:
        raise InvalidFractionError(f"{FRACTION_VARIABLE}={text!r}: expected a number from 0 to 1, such as 0.5")
    return fraction


def find_stops(db: AlertDatabase, plan: Plan, rule_set: RuleSet, request: ScanRequest) -> tuple[LimitStop, ...]:
    """The limits that `plan` exceeds; what they stop is not to be written. Raises InvalidFractionError."""
    # Read by each scan, so that a bad setting shows at once and not first in a flood.
    fraction = fraction_setting() if request.max_close_fraction is None else request.max_close_fraction
    stops = []
    for rule in rule_set.active:
        for to_status in () if rule.rule_id in request.allow_over_limit else _DECIDED:
            planned = plan.decided(to_status, rule.rule_id)
            limit = _limit(db, rule, to_status) if planned else None
            if limit is not None and planned > limit:
                stops.append(_stop(rule.rule_id, f"rule {rule.rule_id!r}", planned, limit, to_status))
    remaining = plan.decided(Status.AUTO_CLOSED) - sum(stop.planned for stop in stops if stop.decision == "close")
    limit = _scan_limit(db, plan, request, fraction)
    if limit is not None and remaining > limit:
        stops.append(_stop(ALLOW_SCAN, "the scan", remaining, limit, Status.AUTO_CLOSED))
    return tuple(stops)


def drop_stopped(plan: Plan, stops: tuple[LimitStop, ...]) -> None:
    """Take out of `plan` the decisions that `stops` forbid to write; they keep their place in the counts."""
    stopped = {(stop.stopped, stop.decision) for stop in stops}
    for planned in plan.clauses:
        decision = decision_of(planned.clause.to_status)
        if stopped & {(ALLOW_SCAN, decision), (planned.clause.rule_id, decision)}:
            planned.ids.clear()


def _limit(db: AlertDatabase, rule: Rule, to_status: Status) -> int | None:
    conditions = rule.conditions
    if to_status is Status.AUTO_CLOSED:
        most, fraction = conditions.max_close, conditions.max_close_fraction
    else:
        most, fraction = conditions.max_escalate, conditions.max_escalate_fraction
    limits = [] if most is None else [most]
    if fraction is not None:
        of_source = sum(
            db[COLLECTION].count_documents({"source_type": rule.source_type, "status": str(status)})
            for status in _DECIDED[to_status]
        )
        limits.append(_fraction_of(of_source, fraction))
    return min(limits, default=None)


def _scan_limit(db: AlertDatabase, plan: Plan, request: ScanRequest, fraction: float) -> int | None:
    pending = sum(plan.pending.values())
    if pending <= SMALL_SCAN or ALLOW_SCAN in request.allow_over_limit:
        return None
    # The first scan ever meets the backlog that it was installed for. One that a limit stopped has met it as well.
    came_through = {"job_type": SCANNER, "$or": [{"status": COMPLETED}, {"stats.stopped.0": {"$exists": True}}]}
    if db[JOB_RECORDS].find_one(came_through, {"_id": 1}) is None:
        return None
    return _fraction_of(pending, fraction)


def _fraction_of(pending: int, fraction: float) -> int:
    # As written: 0.29 of 100 is 29, where the float next to it would give 28.
    return int(Fraction(str(fraction)) * pending)


def _stop(stopped: str, who: str, planned: int, limit: int, to_status: Status) -> LimitStop:
    decision = decision_of(to_status)
    message = (
        f"{who} would {decision} {planned} alerts, its limit is {limit}: none of them was {decision}d. To allow it "
        f"once, run with allow_over_limit: [{stopped!r}] (Launchpad) or `alert-pipelines scan --allow-over-limit "
        f"{quote(stopped)}`."
    )
    return LimitStop(stopped, planned, limit, message, decision)
