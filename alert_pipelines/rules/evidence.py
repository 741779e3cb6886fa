"""Compiles the conditions that look at other alerts of the same source and key: counts, repeats, the latest.

Of all of them `counted` is the filter of the alerts that count as evidence, empty where all do.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alert_pipelines.alerts import PENDING, Status
from alert_pipelines.alerts.filters import dated, of_sources
from alert_pipelines.rules.clause import Clause, Filter, Predicate, Slice, Stage, all_of, lookup_by_key, status_among
from alert_pipelines.rules.grouping import (
    NO_KEY_TYPES,
    any_status_evidence,
    by_the_clock,
    crossed_of,
    key_of,
    keyed,
    pending_evidence,
    pending_of,
    same_key,
    source_and_key,
)
from alert_pipelines.rules.hours import Clock
from alert_pipelines.rules.model import DEFAULT_WINDOW_MINS, Rule
from alert_pipelines.rules.tree_compiler import tree_test
from alert_pipelines.rules.tree_words import in_words
from alert_pipelines.timestamps import earlier


def old_enough(condition: str, clock: Clock, minutes: int) -> Predicate:
    """The test of an alert whose timestamp is at least `minutes` old by `clock`."""
    return Predicate(
        condition,
        f"timestamp is {minutes} or more {clock.minutes} old",
        {"timestamp": {"$lte": clock.before(minutes)}},
        ("timestamp",),
        lambda alert: clock.counted(alert.get("timestamp"), minutes),
    )


def no_repeat(rule: Rule, closing: Sequence[Predicate], as_of: datetime, minutes: int, counted: Filter) -> Clause:
    """Closes when the newest alert of the key, of any status, is at least `minutes` old."""
    key, clock, condition = rule.conditions.key, rule.clock(as_of), "close_if_no_repeat_mins"
    cutoff, description = clock.before(minutes), f"no alert of {same_key(key)} for {minutes} or more {clock.minutes}"
    old = old_enough(condition, clock, minutes)
    tests = (*closing, keyed(rule), old)
    # A pending alert after the cutoff is its own repeat, and an old settled one proves nothing.
    repeats = any_status_evidence(rule, {"$gt": cutoff}, as_of, counted)
    candidates = {"$or": [pending_evidence(rule, cutoff, counted), repeats]}
    newest = {"$setWindowFields": {"partitionBy": key_of(rule), "output": {"__newest": {"$max": "$timestamp"}}}}
    stages = (newest, {"$match": {"__newest": {"$lte": cutoff}}}, {"$match": all_of(tests)})

    return Clause(
        rule.rule_id,
        condition,
        Status.AUTO_CLOSED,
        description,
        tests,
        candidates,
        stages,
        key,
        evidence=lambda _: repeats,
        became_eligible=by_the_clock(rule, as_of, minutes),
        depends_on_removals=True,
    )


def keep_latest(rule: Rule, closing: Sequence[Predicate], as_of: datetime, collection: str, counted: Filter) -> Clause:
    """Closes where a newer alert of the key exists.

    Per key of the pending: its newest alert of any status by an index seek, then its older pending ones. So the cost
    follows the pending keys and not the years of settled alerts. Without such an index `in_one_pass` is the way.
    """
    key = rule.conditions.key
    tests = (*closing, keyed(rule))
    stages = _seek_newer(rule, tests, as_of, collection, counted)
    description, candidates = f"a newer alert of {same_key(key)} exists", pending_evidence(rule, as_of, counted)

    def newer(timestamp: datetime) -> Filter:
        return any_status_evidence(rule, {"$gt": timestamp}, as_of, counted)

    clause = Clause(
        rule.rule_id,
        "keep_latest",
        Status.AUTO_CLOSED,
        description,
        tests,
        candidates,
        stages,
        key,
        evidence=newer,
        became_eligible=by_the_clock(rule, as_of),
    )
    last = {"$setWindowFields": {"partitionBy": key_of(rule), "output": {"__newest": {"$max": "$timestamp"}}}}
    is_older = {"$expr": {"$lt": ["$timestamp", "$__newest"]}}

    def in_one_pass(oldest: datetime) -> Clause:
        # What settled no later than the oldest pending alert is newer than none.
        return replace(
            clause,
            candidates={"$or": [pending_evidence(rule, oldest, counted), newer(oldest)]},
            stages=(last, {"$match": is_older}, {"$match": all_of(tests)}),
            in_one_pass=None,
        )

    return replace(clause, in_one_pass=in_one_pass)


def _seek_newer(
    rule: Rule, tests: Sequence[Predicate], as_of: datetime, collection: str, counted: Filter
) -> tuple[Stage, ...]:
    """From the pending alerts to those of them of whose key a newer one exists, by two lookups a key."""
    path, key = rule.conditions.key[0], source_and_key(rule)
    let = {name: f"$_id.{name}" for name in key}
    same_values = [{"$eq": [value, f"$${name}"]} for name, value in key.items()]
    newest: list[Stage] = [
        {"$match": {**counted, **of_sources(rule.sources), **dated(as_of), "$expr": {"$and": same_values}}},
        {"$sort": {"timestamp": -1}},
        {"$limit": 1},
        {"$project": {"_id": 0, "timestamp": 1}},
    ]
    older: list[Stage] = [
        {"$match": all_of(tests)},
        {"$match": {"$expr": {"$and": [*same_values, {"$lt": ["$timestamp", "$$newest"]}]}}},
    ]
    return (
        {"$group": {"_id": key, "oldest": {"$min": "$timestamp"}}},
        lookup_by_key(collection, path, let, newest, "newest"),
        {"$set": {"newest": {"$first": "$newest.timestamp"}}},
        {"$match": {"$expr": {"$gt": ["$newest", "$oldest"]}}},
        lookup_by_key(collection, path, {**let, "newest": "$newest"}, older, "due"),
        {"$unwind": "$due"},
        {"$replaceRoot": {"newRoot": "$due"}},
    )


def keep_first(rule: Rule, closing: Sequence[Predicate], as_of: datetime, counted: Filter) -> Clause:
    """Closes where an older pending alert of the key exists."""
    key = rule.conditions.key
    tests = (*closing, keyed(rule))
    candidates = pending_evidence(rule, as_of, counted)
    oldest = {"$setWindowFields": {"partitionBy": key_of(rule), "output": {"__oldest": {"$min": "$timestamp"}}}}
    is_newer = {"$expr": {"$gt": ["$timestamp", "$__oldest"]}}

    def older(timestamp: datetime) -> Filter:
        return {"$and": [candidates, {"timestamp": {"$lt": timestamp}}]}

    return Clause(
        rule.rule_id,
        "keep_first",
        Status.AUTO_CLOSED,
        f"an older pending alert of {same_key(key)} exists",
        tests,
        candidates,
        (oldest, {"$match": is_newer}, {"$match": all_of(tests)}),
        key,
        evidence=older,
        became_eligible=by_the_clock(rule, as_of),
    )


def escalate(rule: Rule, escalating: Sequence[Predicate], as_of: datetime, count: int, counted: Filter) -> Clause:
    """Escalates when the window before an OPEN alert, itself included, holds `count` alerts of its key that count."""
    key, minutes = rule.conditions.key, rule.conditions.window_mins or DEFAULT_WINDOW_MINS
    counts = tree_test("count_if", rule.conditions.count_if, rule.clock(as_of)) if rule.conditions.count_if else None
    tests = (*escalating, keyed(rule), *([counts] if counts else []))
    candidates: Filter = {
        **pending_evidence(rule, as_of, counted),
        **status_among(rule.conditions.count_statuses or PENDING).filter,
        **({"$and": [counts.filter]} if counts else {}),
    }

    def in_window(timestamp: datetime) -> Filter:
        since = earlier(timestamp, timedelta(minutes=minutes))
        return {"$and": [candidates, {"timestamp": {"$gte": since, "$lte": timestamp}}]}

    admitted = by_the_clock(rule, as_of, closes=False)

    return Clause(
        rule.rule_id,
        "escalate_if_count",
        Status.ESCALATED,
        f"{count} or more {_counted_in_words(rule)} of {same_key(key)} within {minutes} minutes",
        tests,
        candidates,
        (*_counting(rule, minutes), {"$match": {"__count": {"$gte": count}}}, {"$match": all_of(tests)}),
        key,
        evidence=in_window,
        became_eligible=lambda since: [*admitted(since), *_counted(rule, since, as_of)],
        lookback=timedelta(minutes=minutes),
    )


def _counting(rule: Rule, minutes: int) -> list[Stage]:
    """Sets `__count`: how many alerts of the key, or different values of them, are in the window before each."""
    path = rule.conditions.count_distinct
    # As numbers: mongod 6.0 shifts a date before 1970 a second too far, and takes bounds in ms only up to int32.
    prepared: Filter = {"__at": {"$toLong": "$timestamp"}}
    if path:
        prepared["__value"] = {"$cond": [{"$in": [{"$type": f"${path}"}, NO_KEY_TYPES]}, None, f"${path}"]}
    # "current" would miss alerts of the very same time; 0 takes them in.
    window = {"range": [-minutes * 60_000, 0]}
    values: Filter = {"__values": {"$addToSet": "$__value", "window": window}}
    alerts: Filter = {"__count": {"$sum": 1, "window": window}}
    sorting = {
        "$setWindowFields": {
            "partitionBy": key_of(rule),
            "sortBy": {"__at": 1},
            "output": values if path else alerts,
        }
    }
    sizes = [{"$set": {"__count": {"$size": {"$setDifference": ["$__values", [None]]}}}}] if path else []
    return [{"$set": prepared}, sorting, *sizes]


def _counted(rule: Rule, since: datetime, as_of: datetime) -> list[Slice]:
    """The alerts for which the clock alone may have made `count_if` hold after `since`."""
    alerts = of_sources(rule.sources) if rule.conditions.counts_settled else pending_of(rule)
    return crossed_of(alerts, rule, rule.conditions.count_if, since, as_of)


def _counted_in_words(rule: Rule) -> str:
    conditions = rule.conditions
    statuses = conditions.count_statuses
    words = f"{'pending' if statuses is None else ' or '.join(map(str, statuses))} alerts"
    if conditions.count_if:
        words += f" with {in_words(conditions.count_if)}"
    return f"different {conditions.count_distinct} among {words}" if conditions.count_distinct else words
