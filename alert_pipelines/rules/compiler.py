"""Compiles a rule to MongoDB: the only place where the language gets its meaning.

A rule becomes clauses, one per deciding condition. A clause is an aggregation over `alerts` whose only clock is
as_of; scan, dry run, explanation and back-test all run it. Nothing here talks to the database.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from alert_pipelines.alerts import COLLECTION, HISTORY, PENDING, UNDONE_JOBS, Status, entries_where, one_of
from alert_pipelines.alerts.filters import at_or_before, dated, of_sources
from alert_pipelines.mongo.bson_types import is_date
from alert_pipelines.rules.clause import NONE, Clause, Filter, Predicate, Slice, all_of, status_among
from alert_pipelines.rules.evidence import escalate, keep_first, keep_latest, no_repeat, old_enough
from alert_pipelines.rules.grouping import between, by_the_clock, crossed, dated_since, pending_of
from alert_pipelines.rules.hours import Clock
from alert_pipelines.rules.model import EXPIRES_AT, Rule
from alert_pipelines.rules.never_again import no_undone_escalation, not_closed_before
from alert_pipelines.rules.other_compiler import close_if_other, compile_others, suppressed
from alert_pipelines.rules.tree_compiler import can_use_an_index, tree_test
from alert_pipelines.rules.window_compiler import NO_WINDOWS, WindowsAt

Brought = Callable[[datetime], Sequence[Slice]]
"""Which alerts the clock alone has brought into play since an earlier time."""
_TREES = ("close_if", "escalate_if")


_ABSENT: Filter = {"$eq": None, "$not": {"$type": "array"}}
ZERO_DATE = datetime(1970, 1, 1, tzinfo=UTC)
"""Up to here a date means "none". As a bound of the index it spares a scan the alerts that never expire."""


def compile_rules(
    rules: Iterable[Rule],
    as_of: datetime,
    windows: WindowsAt = NO_WINDOWS,
    *,
    with_expires_at: bool = True,
    collection: str = COLLECTION,
) -> list[Clause]:
    """The clauses of `rules`, which come in precedence order, in theirs: the first that an alert is due by decides it.

    Closes come before escalations, and the alert's own expiry last of the closes. `collection` is what the clauses
    will be run over, since some look up other alerts in it.
    """
    clauses = [clause for rule in rules for clause in compile_rule(rule, as_of, windows, collection)]
    closes = [clause for clause in clauses if clause.to_status is Status.AUTO_CLOSED]
    escalations = [clause for clause in clauses if clause.to_status is Status.ESCALATED]
    if with_expires_at:
        closes.append(compile_expires_at(as_of, windows))
    return [*closes, *escalations]


def compile_rule(
    rule: Rule, as_of: datetime, windows: WindowsAt = NO_WINDOWS, collection: str = COLLECTION
) -> list[Clause]:
    """The clauses of `rule` at `as_of`, closes first, each in the order of the language's table."""
    judged, evidence = _judged(rule, as_of, windows), windows.counted(rule.sources)
    clauses = [*_closes(rule, judged, as_of, collection, evidence=evidence)]
    others = compile_others(rule, as_of, windows, collection)
    if closing := others.get("close_if_other"):
        clauses.append(close_if_other(rule, _closing(rule, judged, as_of), as_of, closing))
    clauses += _escalations(rule, judged, as_of, evidence=evidence)
    if suppressing := others.get("suppress_if_other"):
        clauses = [suppressed(clause, suppressing) for clause in clauses]
    hours = rule.only_hours()
    return (
        clauses if hours is None or hours.is_open(as_of) else [replace(clause, candidates=NONE) for clause in clauses]
    )


def _closing(rule: Rule, judged: Sequence[Predicate], as_of: datetime) -> list[Predicate]:
    return [*judged, not_closed_before(rule.rule_id), *_settled(rule.conditions.hold_mins, rule.clock(as_of))]


def _closes(
    rule: Rule, judged: Sequence[Predicate], as_of: datetime, collection: str, *, evidence: Filter
) -> Iterator[Clause]:
    conditions = rule.conditions
    closing = _closing(rule, judged, as_of)
    on_itself = partial(_on_itself, rule, Status.AUTO_CLOSED, closing, as_of=as_of)

    if conditions.auto_close_if:
        path = f"metadata.{conditions.auto_close_if}"
        yield on_itself(Predicate("auto_close_if", f"{path} is true", {path: {"$eq": True}}, (path,)))
    if tree := conditions.close_if:
        test = tree_test("close_if", tree, rule.clock(as_of))
        yield on_itself(test, lambda since: crossed(rule, tree, since, as_of))
    if minutes := conditions.expire_after_mins:
        test = old_enough("expire_after_mins", rule.clock(as_of), minutes)
        yield on_itself(test, lambda since: [dated_since(rule, since, as_of, minutes)])
    if conditions.close_if_no_repeat_mins:
        yield no_repeat(rule, closing, as_of, conditions.close_if_no_repeat_mins, evidence)
    if conditions.keep_latest:
        yield keep_latest(rule, closing, as_of, collection, evidence)
    if conditions.keep_first:
        yield keep_first(rule, closing, as_of, evidence)


def _escalations(rule: Rule, judged: Sequence[Predicate], as_of: datetime, *, evidence: Filter) -> Iterator[Clause]:
    conditions = rule.conditions
    escalating = [*judged, status_among([Status.OPEN]), no_undone_escalation(rule.rule_id)]

    on_itself = partial(_on_itself, rule, Status.ESCALATED, escalating, as_of=as_of)

    if tree := conditions.escalate_if:
        yield on_itself(
            tree_test("escalate_if", tree, rule.clock(as_of)), lambda since: crossed(rule, tree, since, as_of)
        )
    if minutes := conditions.escalate_after_mins:
        yield on_itself(_unattended(minutes, rule.clock(as_of)), lambda since: _left(rule, since, as_of))
    if conditions.escalate_if_count:
        yield escalate(rule, escalating, as_of, conditions.escalate_if_count, evidence)


def _on_itself(
    rule: Rule,
    to_status: Status,
    judged: Sequence[Predicate],
    test: Predicate,
    became_eligible: Brought = lambda _: (),
    *,
    as_of: datetime,
) -> Clause:
    """The clause of a condition that looks at the alert alone; `became_eligible` are those of `test` alone."""
    tests = (*judged, test)
    clause = Clause(rule.rule_id, test.name, to_status, test.description, tests, all_of(tests))
    if _can_use_an_index(rule, test.name):
        # What is due an index has at once, so it need not be known what was touched.
        return clause

    by_clock = by_the_clock(rule, as_of, closes=to_status is Status.AUTO_CLOSED)
    return replace(clause, became_eligible=lambda since: [*by_clock(since), *became_eligible(since)], by_touch=True)


def _can_use_an_index(rule: Rule, condition: str) -> bool:
    trees = [getattr(rule.conditions, name) for name in ("only_if", condition) if name in ("only_if", *_TREES)]
    return not rule.conditions.suppress_if_other and all(can_use_an_index(tree) for tree in trees if tree)


def _left(rule: Rule, since: datetime, as_of: datetime) -> list[Slice]:
    """The pending alerts of which the clock alone may have made the latest date old enough after `since`."""
    minutes = rule.conditions.escalate_after_mins or 0
    old = between(rule, since, as_of, minutes)
    pending = pending_of(rule)
    return [
        Slice("timestamp", {**pending, "timestamp": old}),
        # Most alerts have the same date thrice: one look at them is enough.
        Slice("created_at", {**pending, "created_at": old, "$nor": [{"timestamp": old}]}),
        Slice("updated_at", {**pending, "updated_at": old, "$nor": [{"timestamp": old}, {"created_at": old}]}),
    ]


def _unattended(minutes: int, clock: Clock) -> Predicate:
    """The latest of the dates is at least `minutes` old; one that is there and not a date keeps the alert as it is."""
    old = at_or_before(clock.before(minutes))
    description = f"nobody has attended to it for {minutes} or more {clock.minutes}"
    dates = ("timestamp", "created_at", "updated_at")
    test: Filter = {"timestamp": old, "$and": [{"$or": [{name: old}, {name: _ABSENT}]} for name in dates[1:]]}

    def note(alert: Mapping[str, Any]) -> str:
        last = max((alert[name] for name in dates if isinstance(alert.get(name), datetime)), default=None)
        return clock.counted(last, minutes)

    return Predicate("escalate_after_mins", description, test, dates, note)


def compile_expires_at(as_of: datetime, windows: WindowsAt = NO_WINDOWS) -> Clause:
    """The alert's own `expires_at`, for every source; it ranks behind all rules.

    Many programs write year 1 or 1970 for "never", so one before the alert's timestamp does not expire it.
    """
    description = "its own expires_at has passed"
    not_before = {"$expr": {"$gte": ["$expires_at", "$timestamp"]}}
    tests = (
        status_among(PENDING),
        *_at_as_of(as_of),
        *windows.in_no_window(None),
        not_closed_before(EXPIRES_AT),
        Predicate(EXPIRES_AT, description, {"expires_at": {"$gt": ZERO_DATE, **at_or_before(as_of)}}, ("expires_at",)),
        Predicate(
            EXPIRES_AT, "its own expires_at is not before its timestamp", not_before, ("expires_at", "timestamp")
        ),
    )
    return Clause(EXPIRES_AT, EXPIRES_AT, Status.AUTO_CLOSED, description, tests, all_of(tests))


def _judged(rule: Rule, as_of: datetime, windows: WindowsAt) -> list[Predicate]:
    """The tests that every clause of `rule` makes on the alert itself."""
    conditions = rule.conditions
    named = "any text" if rule.sources is None else " or ".join(rule.sources)
    tests = [
        Predicate("source_type", f"source_type is {named}", of_sources(rule.sources), ("source_type",)),
        status_among(conditions.statuses or PENDING),
        *_at_as_of(as_of),
    ]
    if conditions.severities:
        severities = [str(severity) for severity in conditions.severities]
        among = {"severity": one_of(severities)}
        tests.append(Predicate("severities", f"severity is {' or '.join(severities)}", among, ("severity",)))
    if conditions.only_if:
        tests.append(tree_test("only_if", conditions.only_if, rule.clock(as_of)))
    return [*tests, *_only_during(rule, as_of), *windows.in_no_window(rule.sources)]


def _only_during(rule: Rule, as_of: datetime) -> list[Predicate]:
    hours = rule.only_hours()
    if hours is None:
        return []
    is_open = hours.is_open(as_of)
    opens = None if is_open else hours.next_opening(as_of)
    note = "" if is_open else f"outside calendar {rule.only_during!r}, which opens {opens or 'within no ten years'}"
    description = f"calendar {rule.only_during!r} is open"
    return [Predicate("only_during", description, {} if is_open else NONE, (), lambda _: note)]


def _at_as_of(as_of: datetime) -> list[Predicate]:
    description = "all decisions in state_history that stand are before as_of"
    return [
        Predicate("timestamp", "timestamp is a date at or before as_of", dated(as_of), ("timestamp",)),
        Predicate("undecided", description, _undecided_since(as_of), ("state_history",)),
    ]


def _undecided_since(as_of: datetime) -> Filter:
    """No decision at `as_of` or later stands in the alert's history; one that was undone does not count."""
    decided_since = {"as_of": {"$gte": as_of}, "triggered_by": "system"}
    stands = entries_where(
        {"$eq": ["$$entry.triggered_by", "system"]},
        is_date("$$entry.as_of"),
        {"$gte": ["$$entry.as_of", as_of]},
        {"$not": [{"$in": ["$$entry.job_id", UNDONE_JOBS]}]},
    )
    return {
        "$or": [
            {"state_history": {"$not": {"$elemMatch": decided_since}}},
            {"$expr": {"$eq": [{"$size": stands}, 0]}},
        ]
    }


def _settled(hold_mins: int | None, clock: Clock) -> list[Predicate]:
    if hold_mins is None:
        return []
    cutoff = clock.before(hold_mins)
    settled = at_or_before(cutoff)
    own_write = {"triggered_by": "system", "before": {"$type": "object"}}
    last = {"$ifNull": [_last_update_by_others(), "$created_at"]}
    is_settled = {"$and": [is_date("$$last"), {"$lte": ["$$last", cutoff]}]}
    held = {
        "$or": [
            {"updated_at": settled},
            {"updated_at": _ABSENT, "created_at": settled},
            {
                # What a scan decided and a person set back is as the person left it.
                "status": str(Status.ESCALATED),
                "updated_at": {"$gt": cutoff},
                "state_history": {"$elemMatch": own_write},
                "$expr": {"$let": {"vars": {"last": last}, "in": is_settled}},
            },
        ]
    }
    description = f"it was not updated in the last {hold_mins} {clock.minutes}, but by scans"
    return [
        Predicate(
            "hold_mins",
            description,
            held,
            ("updated_at", "created_at"),
            lambda alert: clock.counted(alert.get("updated_at") or alert.get("created_at"), hold_mins),
        )
    ]


def _last_update_by_others() -> dict[str, object]:
    """The alert's `updated_at`; where a scan's decision set it, the one that it replaced, and so on; null for none."""
    is_scans = {
        "$and": [
            {"$eq": ["$$this.triggered_by", "system"]},
            {"$eq": [{"$type": "$$this.before"}, "object"]},
            is_date("$$this.timestamp"),
            # What a back-test rebuilds has the as_of where the scan wrote its clock.
            {"$in": ["$$value", ["$$this.timestamp", "$$this.as_of"]]},
        ]
    }
    replaced = {"$ifNull": ["$$this.before.updated_at", None]}
    return {
        "$reduce": {
            "input": {"$reverseArray": HISTORY},
            "initialValue": "$updated_at",
            "in": {"$cond": [is_scans, replaced, "$$value"]},
        }
    }
