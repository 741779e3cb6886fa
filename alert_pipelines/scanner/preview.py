"""Previews a plan by the status and severity of its alerts, so that people can check it before they allow it."""

from collections import Counter
from collections.abc import Collection, Iterator

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.alerts.decision_counts import MAX_COUNTS, OTHER_SOURCES, Decision, decision_of, truncate
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.rules.clause import Stage
from alert_pipelines.scanner.plan import Plan
from alert_pipelines.scanner.result import PlannedGroup

_BATCH = 10_000


def preview_of(
    db: AlertDatabase, plan: Plan, without: Collection[tuple[str, Decision]] = ()
) -> tuple[PlannedGroup, ...]:
    """The writable decisions of `plan`, the largest groups first, except those of the rules in `without`.

    Past the 200 largest, those of one rule and decision are summed as of OTHER_SOURCES.
    """
    alerts: Counter[PlannedGroup] = Counter()
    for group in _groups(db, plan):
        if (group.rule_id, group.decision) not in without:
            alerts[group._replace(alerts=0)] += group.alerts
    largest = alerts.most_common(MAX_COUNTS)
    rest: Counter[PlannedGroup] = Counter()
    for group, number in alerts.most_common()[MAX_COUNTS:]:
        rest[group._replace(source_type=OTHER_SOURCES, status="", severity="")] += number
    return tuple(group._replace(alerts=number) for group, number in (*largest, *rest.items()))


def _groups(db: AlertDatabase, plan: Plan) -> Iterator[PlannedGroup]:
    for clause, ids in plan.batches(_BATCH):
        batch: Stage = {"$match": {"_id": {"$in": ids}}}
        group: Stage = {"$group": {"_id": ["$source_type", "$status", "$severity"], "alerts": {"$sum": 1}}}
        # Groups of one size keep this order, so that two previews of the same alerts read the same.
        for row in db[COLLECTION].aggregate([batch, group, {"$sort": {"_id": 1}}]):
            source, status, severity = (truncate(str(value)) for value in row["_id"])
            yield PlannedGroup(clause.rule_id, source, status, severity, decision_of(clause.to_status), row["alerts"])
