"""Previews changed rules on the current alerts, compared with the published rules."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from alert_pipelines.alerts.decision_counts import Decision, decision_of
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.model import Rule, RuleSet
from alert_pipelines.rules.store import LoadedRules, load_rules, load_windows, rules_if_published
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.scanner.limits import find_violations
from alert_pipelines.scanner.plan import Plan, hashable, make_plan
from alert_pipelines.scanner.preview import preview_of
from alert_pipelines.scanner.result import LimitViolation, ScanRequest
from alert_pipelines.timestamps import as_of_utc

DECISIONS: tuple[Decision, ...] = ("close", "escalate")


class ChangedGroup(NamedTuple):
    """Alerts of one source and status that only one of the two rule sets decides so, and by which of its rules.

    `change`: `more`, those that only the changed rules decide so; `fewer`, those that only the rules in force do.
    """

    change: str
    decision: Decision
    rule_id: str
    source_type: str
    status: str
    alerts: int


@dataclass(frozen=True)
class PlannedBy:
    """What one rule set would decide: alerts by decision, the limits that it would exceed, what cannot be evaluated."""

    alerts: dict[Decision, int]
    blocked: tuple[LimitViolation, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class RulePreview:
    """What a scan at `as_of` would decide by the rules in force and by the changed ones, limits aside."""

    as_of: datetime
    in_force: PlannedBy
    changed: PlannedBy
    groups: tuple[ChangedGroup, ...]


@at_the_door
def preview_rules(db: AlertDatabase, rules: Sequence[Rule], *, as_of: datetime | None = None) -> RulePreview:
    """Compare what is decided now with what would be if `rules` were published, also over a person's edits.

    Writes nothing. Raises InvalidTimestampError, PyMongoError, and AlertPipelinesError where two of `rules` have one
    rule_id.
    """
    at = server_now(db) if as_of is None else as_of_utc(as_of)
    windows = load_windows(db, at).windows
    before, in_force = _planned(db, load_rules(db), windows, at)
    after, changed = _planned(db, rules_if_published(db, rules), windows, at)
    groups = [*_only_in(db, "more", after, before), *_only_in(db, "fewer", before, after)]
    return RulePreview(at, in_force, changed, tuple(sorted(groups, key=lambda group: -group.alerts)))


def _planned(
    db: AlertDatabase, loaded: LoadedRules, windows: Sequence[MaintenanceWindow], at: datetime
) -> tuple[Plan, PlannedBy]:
    rule_set: RuleSet = loaded.rule_set._replace(shadow=())
    plan = make_plan(db, rule_set, windows, at)
    alerts = {decision: len(_decided(plan)[decision]) for decision in DECISIONS}
    blocked = find_violations(db, plan, rule_set, ScanRequest(dry_run=True))
    return plan, PlannedBy(alerts, blocked, (*map(str, loaded.errors), *plan.failed_rules))


def _decided(plan: Plan) -> dict[Decision, set[Hashable]]:
    found: dict[Decision, set[Hashable]] = {decision: set() for decision in DECISIONS}
    for planned in plan.clauses:
        found[decision_of(planned.clause.to_status)].update(map(hashable, planned.ids))
    return found


def _only_in(db: AlertDatabase, change: str, plan: Plan, other: Plan) -> Iterator[ChangedGroup]:
    """What `plan` decides about alerts that the other does not decide so."""
    decided = _decided(other)
    clauses = []
    for planned in plan.clauses:
        known = decided[decision_of(planned.clause.to_status)]
        clauses.append(replace(planned, ids=[_id for _id in planned.ids if hashable(_id) not in known]))
    alerts: Counter[ChangedGroup] = Counter()
    for group in preview_of(db, Plan({}, None, clauses)):
        alerts[ChangedGroup(change, group.decision, group.rule_id, group.source_type, group.status, 0)] += group.alerts
    for which, number in alerts.items():
        yield which._replace(alerts=number)
