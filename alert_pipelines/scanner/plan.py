"""The plan: every decision of a scan, found on the server before anything is written.

Of each due alert only the `_id` reaches this process, so its memory follows what is due, not what is pending.
"""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import bson
from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from alert_pipelines.alerts import A_DATE, COLLECTION, IS_PENDING, Status
from alert_pipelines.alerts.decision_counts import Decision, DecisionCount, decision_of
from alert_pipelines.alerts.malformed import MAX_NAMED, name_malformed, why_unwritable
from alert_pipelines.alerts.pending import count_pending
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.reasons import reason_of
from alert_pipelines.mongo.retry import retry_transient
from alert_pipelines.rules.clause import Clause
from alert_pipelines.rules.compiler import compile_rules
from alert_pipelines.rules.key_indexes import KeyIndexes
from alert_pipelines.rules.model import EXPIRES_AT, Rule, RuleSet
from alert_pipelines.rules.window_compiler import WindowsAt
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.scanner.bisection import in_stored_order
from alert_pipelines.scanner.changes import Changes
from alert_pipelines.scanner.readings import Query, Readings
from alert_pipelines.scanner.result import Sample
from alert_pipelines.scanner.scopes import Scopes
from alert_pipelines.scanner.shadow import by_turn, in_time
from alert_pipelines.scanner.side_by_side import as_late_as, meanwhile, side_by_side

MAX_PLAN_SECONDS = 240
SAMPLES_PER_CLAUSE = 5
_CURSOR_BATCH = 10_000
# About this number of lines of the log says how far a rule is, where it takes as many queries or more.
_PROGRESS_LINES = 10
# Unauthorized and AuthenticationFailed concern the whole scan, never one rule.
_FATAL_CODES = frozenset({13, 18})
_QUERY_PLAN_KILLED = 175

PROGRESS_LOG = f"{__name__}.progress"
"""The logger of how far a long plan is, for those who want that and nothing else."""

_log = logging.getLogger(__name__)
_progress_log = logging.getLogger(PROGRESS_LOG)
Answer = TypeVar("Answer")


@dataclass
class PlannedClause:
    """The alerts that one clause decides, after precedence.

    `ids` are the `_id`s that can be written, `unwritable` the due alerts whose history takes no entry (as PLANNED),
    and `unnamed` the `_id`s of those past the first MAX_NAMED; `by_source` counts all.
    """

    clause: Clause
    ids: list[Any] = field(default_factory=list)
    unwritable: list[dict[str, Any]] = field(default_factory=list)
    unnamed: list[Any] = field(default_factory=list)
    by_source: Counter[str] = field(default_factory=Counter)

    def add(self, due: dict[str, Any]) -> None:
        """Take in one due alert, as PLANNED."""
        # The server sends the same few texts over and over.
        self.by_source[sys.intern(str(due.get("source_type")))] += 1
        if "unwritable" in due and len(self.unwritable) < MAX_NAMED:
            self.unwritable.append(due)
        elif "unwritable" in due:
            self.unnamed.append(due["_id"])
        else:
            self.ids.append(due["_id"])

    def take_in(self, part: "PlannedClause") -> None:
        """Add what another query of the clause has found."""
        self.ids += part.ids
        self.by_source += part.by_source
        room = MAX_NAMED - len(self.unwritable)
        self.unwritable += part.unwritable[:room]
        self.unnamed += part.unwritable_ids()[min(room, len(part.unwritable)) :]

    def keys(self) -> Iterator[Hashable]:
        """What identifies each due alert."""
        return map(hashable, chain(self.ids, self.unwritable_ids()))

    def unwritable_ids(self) -> list[Any]:
        """The `_id`s of the due alerts whose history takes no entry: planned, and failed before any write."""
        return [*(due["_id"] for due in self.unwritable), *self.unnamed]

    def counts(self) -> Iterator[DecisionCount]:
        """Alerts per source."""
        for source_type, alerts in sorted(self.by_source.items()):
            yield DecisionCount(self.clause.rule_id, source_type, decision_of(self.clause.to_status), alerts)


@dataclass
class Plan:
    """All decisions of a scan, clause by clause in precedence order, and what stood in their way.

    `errors` are about alerts, `failed_rules` about rules that the server could not evaluate. `shadow` counts what the
    `shadow_rules` would do, which were evaluated; for those of `shadow_left` there was no time.
    """

    pending: dict[str, int]
    oldest_pending: datetime | None
    clauses: list[PlannedClause] = field(default_factory=list)
    shadow: list[DecisionCount] = field(default_factory=list)
    shadow_rules: list[str] = field(default_factory=list)
    shadow_left: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    failed_rules: list[str] = field(default_factory=list)

    def unwritable_ids(self) -> list[Any]:
        """The `_id`s of the due alerts whose history takes no entry."""
        return [_id for planned in self.clauses for _id in planned.unwritable_ids()]

    def batches(self, size: int) -> Iterator[tuple[Clause, list[Any]]]:
        """The `_id`s to write, clause by clause and about as their alerts lie on the disk, at most `size` together."""
        for planned in self.clauses:
            ids = in_stored_order(planned.ids)
            for start in range(0, len(ids), size):
                yield planned.clause, ids[start : start + size]

    def decided(self, to_status: Status, rule_id: str | None = None) -> int:
        """Alerts planned to be closed, or escalated, by one rule or by all."""
        return sum(
            len(planned.ids)
            for planned in self.clauses
            if planned.clause.to_status is to_status and rule_id in (None, planned.clause.rule_id)
        )

    def counts(self, *, to_write: bool = False) -> tuple[DecisionCount, ...]:
        """The planned decisions by rule and source; or only those of clauses that have something to write."""
        clauses = (planned for planned in self.clauses if planned.ids or not to_write)
        return merge_counts(count for planned in clauses for count in planned.counts())


def make_plan(
    db: AlertDatabase,
    rule_set: RuleSet,
    windows: Sequence[MaintenanceWindow],
    as_of: datetime,
    *,
    rule_ids: Sequence[str] | None = None,
    changes: Changes | None = None,
    session: ClientSession | None = None,
    check: Callable[[], None] = lambda: None,
    log_level: int = logging.DEBUG,
) -> Plan:
    """Plan the decisions of `rule_set` at `as_of`; `rule_ids` limits which rules are looked at.

    With `changes`, unless they ask for a full plan, active rules look only at the keys touched since an earlier scan,
    wherever that is enough, and shadow rules, which always look at all, take turns; without them each shadow rule is
    evaluated. All is read in `session`, which has to be the one that read the changes. `check` is called between
    queries and may raise to stop. A rule whose query the server cannot finish is named in `failed_rules` and decides
    nothing; the others go on, but no alert that it may have closed is escalated. `log_level` is that of what is
    evaluated and how far it is: people follow a scan, and not a preview.
    Raises PyMongoError where the database is away or refuses.
    """
    scopes = Scopes(db, changes, as_of, session) if changes and not changes.full else None
    indexes = scopes.indexes if scopes else KeyIndexes(db[COLLECTION], session)
    planner = _Planner(db, as_of, session, indexes, check, log_level=log_level)

    def wanted(rules: Iterable[Rule]) -> list[Rule]:
        return [rule for rule in rules if rule_ids is None or rule.rule_id in rule_ids]

    with_expires_at, at = rule_ids is None or EXPIRES_AT in rule_ids, WindowsAt(windows, as_of)
    active = compile_rules(wanted(rule_set.active), as_of, at, with_expires_at=with_expires_at)
    with meanwhile(planner.pending) as pending:
        clauses = planner.run(active, rule_set.active, scopes)
        plan = Plan(pending(), planner.oldest_pending(), clauses)
    shadow = wanted(rule_set.shadow)
    if changes:
        shadow = by_turn(db, shadow, session)
    for rule in in_time(shadow) if changes else shadow:
        alone = planner.run(compile_rules([rule], as_of, at, with_expires_at=False), [rule])
        plan.shadow += merge_counts(count for planned in alone for count in planned.counts())
        plan.shadow_rules.append(rule.rule_id)
    plan.shadow_left = [rule.rule_id for rule in shadow[len(plan.shadow_rules) :]]
    refused = (error for planned in plan.clauses for error in _all_unwritable(planned))
    plan.failed_rules = planner.failures
    plan.errors = [*planner.malformed(), *refused]
    return plan


def plan_decisions(db: AlertDatabase, rule_set: RuleSet, windows: Sequence[MaintenanceWindow], as_of: datetime) -> Plan:
    """What the active rules would decide at `as_of`, as `make_plan` finds it, and nothing of what is pending besides.

    Raises PyMongoError.
    """
    planner = _Planner(db, as_of, None, KeyIndexes(db[COLLECTION]), lambda: None)
    clauses = planner.run(compile_rules(rule_set.active, as_of, WindowsAt(windows, as_of)), rule_set.active)
    return Plan({}, None, clauses, failed_rules=planner.failures)


class _Planner:
    """The queries of one plan."""

    def __init__(
        self,
        db: AlertDatabase,
        as_of: datetime,
        session: ClientSession | None,
        indexes: KeyIndexes,
        check: Callable[[], None],
        *,
        log_level: int = logging.DEBUG,
    ) -> None:
        self.failures: list[str] = []
        self._failed_rules: set[str] = set()
        self._as_of = as_of
        self._db = db
        self._alerts = db[COLLECTION]
        self._session = session
        self._indexes = indexes
        self._readings = Readings(self._alerts, indexes, session)
        self._check = check
        self._log_level = log_level

    def pending(self) -> dict[str, int]:
        """May be asked from another thread than all else."""
        with as_late_as(self._session) as session:
            pending = self._ask(lambda: count_pending(self._db, session))
        _log.log(self._log_level, "Evaluating %d pending alerts for auto-close conditions", sum(pending.values()))
        return pending

    def oldest_pending(self) -> datetime | None:
        dated = {"timestamp": {**A_DATE, "$lte": self._as_of}}
        query = {**IS_PENDING, **dated}
        oldest = {"sort": [("timestamp", 1)], "session": self._session}
        found = self._ask(lambda: self._alerts.find_one(query, {"timestamp": 1}, **oldest))
        return found["timestamp"] if found else None

    def malformed(self) -> list[str]:
        return name_malformed(self._alerts, self._as_of, self._session, self._ask)

    def run(
        self, clauses: Iterable[Clause], rules: Iterable[Rule], scopes: Scopes | None = None
    ) -> list[PlannedClause]:
        """The due alerts of each clause of `rules` that no clause before it decides.

        Close beats escalate: while nobody knows what a close would have taken, its sources' alerts are not escalated.
        """
        by_id = {rule.rule_id: rule for rule in rules}
        failed: list[Rule | None] = []
        decided: set[Hashable] = set()
        plan = []
        for clause in clauses:
            rule = by_id.get(clause.rule_id)
            concerned = (not rule or not other or rule.shares_source(other) for other in failed)
            if clause.to_status is Status.ESCALATED and any(concerned):
                _log.warning("Rule %r escalates nothing in this scan: a close of its source failed", clause.rule_id)
                plan.append(PlannedClause(clause))
                continue
            planned = self._due(clause, decided, scopes)
            if clause.to_status is Status.AUTO_CLOSED and clause.rule_id in self._failed_rules:
                # The alerts' own expiry has no rule: it may close alerts of every source.
                failed.append(rule)
            plan.append(planned)
        return plan

    def _due(self, clause: Clause, decided: set[Hashable], scopes: Scopes | None) -> PlannedClause:
        if clause.rule_id in self._failed_rules:
            return PlannedClause(clause)

        planned = PlannedClause(clause)
        try:
            self._read_all(planned, decided, scopes)
        except OperationFailure as failure:
            if failure.code in _FATAL_CODES:
                raise
            decided.difference_update(planned.keys())
            self._failed_rules.add(clause.rule_id)
            lost = ", and no alert that it may close was escalated" * (clause.to_status is Status.AUTO_CLOSED)
            self.failures.append(
                f"rule {clause.rule_id!r}: the server could not evaluate {clause.condition} ({reason_of(failure)}); "
                f"the rule decided nothing more in this scan{lost}. `alert-pipelines indexes advise` names"
                " an index that may help"
            )
            return PlannedClause(clause)
        return planned

    def _read_all(self, planned: PlannedClause, decided: set[Hashable], scopes: Scopes | None) -> None:
        """Add to `planned`, and to `decided`, what is due, query by query: a fault costs one of them."""
        clause = planned.clause
        of_touched_keys = self._ask(lambda: scopes.of(clause)) if scopes else None
        if of_touched_keys is None:
            queries = self._ask(lambda: self._readings.of(clause))
            parts = self._read_slices(queries, decided)
        else:
            queries = self._ask(lambda: self._readings.within(clause, of_touched_keys))
            parts = (self._ask(partial(self._read, query, decided, self._session)) for query in queries)
        for number, part in enumerate(parts, start=1):
            # Queries may overlap, and what is touched meanwhile may be met again.
            decided.update(part.keys())
            planned.take_in(part)
            if len(queries) >= _PROGRESS_LINES and number % (len(queries) // _PROGRESS_LINES) == 0:
                counts = (clause.rule_id, clause.condition, number, len(queries), sum(planned.by_source.values()))
                _progress_log.log(self._log_level, "Rule %r, %s: %d of %d queries done, %d alerts due", *counts)

    def _read_slices(self, queries: Sequence[Query], decided: Set[Hashable]) -> Iterator[PlannedClause]:
        if len(queries) == 1:
            yield self._ask(partial(self._read, queries[0], decided, self._session))
            return

        def read(query: Query) -> PlannedClause:
            with as_late_as(self._session) as session:
                return self._ask(partial(self._read, query, decided, session))

        parts = side_by_side(partial(read, query) for query in queries)
        for query, part in zip(queries, parts, strict=True):
            # What was touched meanwhile was met in both of two slices: it is decided once.
            yield part if decided.isdisjoint(part.keys()) else read(query)

    def _read(self, query: Query, decided: Set[Hashable], session: ClientSession | None) -> PlannedClause:
        part = PlannedClause(query.clause)
        for due in self._run(query, session):
            if hashable(due["_id"]) not in decided:
                part.add(due)
        return part

    def _run(self, query: Query, session: ClientSession | None) -> Iterator[dict[str, Any]]:
        self._check()
        with self._alerts.aggregate(
            query.pipeline,
            session=session,
            allowDiskUse=True,
            batchSize=_CURSOR_BATCH,
            maxTimeMS=MAX_PLAN_SECONDS * 1000,
        ) as cursor:
            yield from cursor

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        self._check()
        try:
            return retry_transient(question, before_retry=self._check)
        except OperationFailure as failure:
            if failure.code != _QUERY_PLAN_KILLED:
                raise
            _log.warning("The server ended a query, as an index was dropped; trying again (%s)", failure)
            return retry_transient(question, before_retry=self._check)


def merge_counts(counts: Iterable[DecisionCount]) -> tuple[DecisionCount, ...]:
    """Sum the counts of one rule, source and decision, keeping the order of first sight."""
    total: Counter[tuple[str, str, Decision]] = Counter()
    for count in counts:
        total[count.rule_id, count.source_type, count.decision] += count.alerts
    return tuple(DecisionCount(*which, alerts) for which, alerts in total.items())


def take_samples(db: AlertDatabase, plan: Plan) -> tuple[Sample, ...]:
    """A few planned decisions of each clause, with their reasons."""
    chosen = [(planned.clause, _id) for planned in plan.clauses for _id in planned.ids[:SAMPLES_PER_CLAUSE]]
    query = {"_id": {"$in": [_id for _, _id in chosen]}}
    fields = {"alert_id": 1, "source_type": 1}
    found = {hashable(doc["_id"]): doc for doc in db[COLLECTION].find(query, fields)} if chosen else {}
    return tuple(
        Sample(
            rule_id=clause.rule_id,
            source_type=str(found[hashable(_id)].get("source_type")),
            decision=decision_of(clause.to_status),
            alert_id=str(found[hashable(_id)].get("alert_id")),
            reason=clause.reason,
        )
        for clause, _id in chosen
        if hashable(_id) in found
    )


def _all_unwritable(planned: PlannedClause) -> Iterator[str]:
    rule, decision = f"rule {planned.clause.rule_id!r}", decision_of(planned.clause.to_status)
    for due in planned.unwritable:
        found = due["unwritable"]
        alert = f"alert {found.get('alert_id', due['_id'])!r:.200}"
        yield f"{alert}: {rule} would {decision} it, but {why_unwritable(found)}"
    if planned.unnamed:
        yield f"{rule}: {len(planned.unnamed)} more alerts are in the way of their own decision"


def hashable(_id: Any) -> Hashable:
    """What stands for one `_id` in a set."""
    # Any value but an array may be an `_id`: some cannot be hashed, and Python's sets take true for 1.
    return _id if type(_id) in (ObjectId, str, int) else bson.encode({"_id": _id})
