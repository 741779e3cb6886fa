"""Checks that incremental scans miss nothing: compares the plan of a full scan with that of an incremental one.

Such an alert is a defect of this project, so nothing else may be taken for one. The plan sees also what was touched
after the claim, of which no incremental plan is told: what lies in the keys of that is left out.
"""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from pymongo.errors import PyMongoError

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.alerts.decision_counts import decision_of
from alert_pipelines.errors import UnknownChangesError
from alert_pipelines.rules.clause import Clause, Filter
from alert_pipelines.scanner.changes import Changes, changes_since_claim
from alert_pipelines.scanner.context import PlanContext
from alert_pipelines.scanner.plan import Plan, hashable
from alert_pipelines.scanner.readings import Query, Readings
from alert_pipelines.scanner.scopes import Scopes

MAX_NAMED = 20
_BATCH = 5_000

WOULD_OVERLOOK = "an incremental scan would have overlooked"
"""In each sentence about such an alert."""

_log = logging.getLogger(__name__)


class Overlooked(NamedTuple):
    """How many due alerts an incremental scan would have overlooked, None if not checked; sentences about the first."""

    alerts: int | None = None
    errors: tuple[str, ...] = ()


def find_overlooked(context: PlanContext, plan: Plan, changes: Changes) -> Overlooked:
    """What the full `plan` decides and an incremental one on `changes` would not, asked before any of it is written.

    Both were made with `context`. It counts None if nothing was to be checked, or could be: a fault is logged and stops
    no scan.
    """
    if not changes.full or changes.token is None:
        return Overlooked()
    db, job_id, as_of, session = context.db, context.job_id, context.as_of, context.session
    look = _Look(context)
    try:
        suspects = look.not_due(plan, Scopes(db, changes, as_of, session))
        if not suspects:
            return Overlooked(0)
        later = changes_since_claim(context, changes.token)
        if later.has_removals:
            # An alert may have left its key since the claim: what was due in that key cannot be told any more.
            _log.warning("What incremental scans look at was not checked: alerts changed while %s was planned", job_id)
            return Overlooked()
        for scopes in (Scopes(db, changes, as_of, session), Scopes(db, later, as_of, session)):
            suspects = look.outside(suspects, scopes)
        return Overlooked(sum(len(ids) for _, ids in suspects), tuple(look.names(suspects)))
    except (UnknownChangesError, PyMongoError):
        _log.warning("What incremental scans look at could not be checked by %s", job_id, exc_info=True)
        return Overlooked()


_Suspects = list[tuple[Clause, list[Any]]]


class _Look:
    """The queries of one check."""

    def __init__(self, context: PlanContext) -> None:
        self._alerts = context.db[COLLECTION]
        self._session = context.session
        self._check = context.check

    def not_due(self, plan: Plan, scopes: Scopes) -> _Suspects:
        """What `plan` decides, and is not due in `scopes`."""
        found = []
        for planned in plan.clauses:
            filters = scopes.of(planned.clause) if planned.ids else None
            # Without filters, an incremental scan looks at all alerts as well.
            if filters is not None:
                queries = Readings(self._alerts, scopes.indexes, self._session).within(planned.clause, filters)
                due = {hashable(_id) for query in queries for _id in self._due(query)}
                ids = [_id for _id in planned.ids if hashable(_id) not in due]
                found += [(planned.clause, ids)] if ids else []
        return found

    def outside(self, suspects: _Suspects, scopes: Scopes) -> _Suspects:
        """Those of `suspects` that lie outside of `scopes`, whether they are due there or not."""
        found = []
        for clause, ids in suspects:
            filters = scopes.of(clause)
            ids_left = ids if filters is not None else []
            for one in filters or ():
                ids_left = list(self._not_selected(one, ids_left))
            found += [(clause, ids_left)] if ids_left else []
        return found

    def names(self, suspects: _Suspects) -> Iterator[str]:
        """A sentence about each of the first of `suspects`."""
        first = [(clause, _id) for clause, ids in suspects for _id in ids[:MAX_NAMED]][:MAX_NAMED]
        for clause, _id in first:
            found = self._alerts.find_one({"_id": _id}, {"alert_id": 1}, session=self._session) or {}
            yield (
                f"alert {found.get('alert_id', _id)!r:.200}: {WOULD_OVERLOOK} what rule "
                f"{clause.rule_id!r} decides ({decision_of(clause.to_status)}). This is a defect of alert_pipelines: "
                "report it together with this job record."
            )

    def _due(self, query: Query) -> Iterator[Any]:
        self._check()
        rows = self._alerts.aggregate(query.pipeline, session=self._session, allowDiskUse=True)
        yield from (row["_id"] for row in rows)

    def _not_selected(self, selected: Filter, ids: list[Any]) -> Iterator[Any]:
        for start in range(0, len(ids), _BATCH):
            self._check()
            query = {"_id": {"$in": ids[start : start + _BATCH]}, "$nor": [selected]}
            yield from (found["_id"] for found in self._alerts.find(query, {"_id": 1}, session=self._session))
