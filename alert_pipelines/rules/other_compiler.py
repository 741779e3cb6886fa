"""Compiles `close_if_other` and `suppress_if_other`: is there such another alert for one that may be decided?

The others are looked up by the values that go together, for one alert after the other. So the cost follows the alerts
that may be decided and, with an index, not the other source's years.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from alert_pipelines.alerts import Status
from alert_pipelines.alerts.filters import dated, of_sources
from alert_pipelines.rules.clause import (
    LOOKED_UP,
    Clause,
    Filter,
    OtherAlerts,
    Predicate,
    Slice,
    Stage,
    all_of,
    status_among,
)
from alert_pipelines.rules.grouping import by_the_clock, has_values
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.others import Other, When
from alert_pipelines.rules.tree import leaves
from alert_pipelines.rules.tree_compiler import compile_tree, crossings
from alert_pipelines.rules.tree_words import in_words
from alert_pipelines.rules.window_compiler import counted
from alert_pipelines.rules.windows import MaintenanceWindow


def compile_others(
    rule: Rule, condition: str, other: Other, as_of: datetime, windows: Sequence[MaintenanceWindow]
) -> OtherAlerts:
    """The other alerts that `condition` of `rule` looks for at `as_of`."""
    match = other.match or {path: path for path in rule.conditions.key}
    theirs, ours = tuple(match), tuple(match.values())
    later = other.when is When.LATER or (other.when is None and condition == "close_if_other")
    groups: Filter = {**of_sources(other.sources), **has_values(theirs)}
    tests: list[Filter] = [groups, dated(as_of)]
    if raised_in_no_window := counted(windows, other.sources, as_of):
        tests.append(raised_in_no_window)
    if other.statuses:
        tests.append(status_among(other.statuses).filter)
    if other.if_:
        tests.append(compile_tree(other.if_, rule.clock(as_of)))

    def became_eligible(since: datetime) -> list[Slice]:
        of_them = of_sources(other.sources)
        crossed = crossings(other.if_, rule.clock(since), rule.clock(as_of)) if other.if_ else {}
        slices = [Slice(path, {**of_them, path: crossing}) for path, spans in crossed.items() for crossing in spans]
        return [Slice("timestamp", {**of_them, "timestamp": {"$gt": since, "$lte": as_of}}), *slices]

    return OtherAlerts(
        condition,
        _in_words(other, match, later=later),
        theirs,
        ours,
        groups,
        {"$and": tests},
        later,
        tuple(path for leaf in leaves(other.if_) for path in leaf.fields) if other.if_ else (),
        became_eligible,
    )


def close_if_other(
    rule: Rule, closing: Sequence[Predicate], as_of: datetime, collection: str, others: OtherAlerts
) -> Clause:
    """Closes where another alert says so."""
    ignored = rule.conditions.ignore_keys
    description = f"it has {' and '.join(others.ours)}, none an array{' or ignored' if ignored else ''}"
    tests = (*closing, Predicate("group_by", description, has_values(others.ours, ignored), others.ours))

    return Clause(
        rule.rule_id,
        "close_if_other",
        Status.AUTO_CLOSED,
        others.description,
        tests,
        all_of(tests),
        (_look_up(others, collection), {"$match": {LOOKED_UP: {"$ne": []}}}),
        others.ours,
        became_eligible=by_the_clock(rule, as_of),
        others=others,
        by_touch=True,
    )


def suppressed(clause: Clause, others: OtherAlerts, collection: str) -> Clause:
    """`clause`, which decides no alert while one of `others` says so."""
    in_one_pass = clause.in_one_pass
    return replace(
        clause,
        stages=(*clause.stages, _look_up(others, collection), {"$match": {LOOKED_UP: []}}),
        depends_on_removals=True,
        suppressed_by=others,
        in_one_pass=in_one_pass and (lambda oldest: suppressed(in_one_pass(oldest), others, collection)),
    )


def _look_up(others: OtherAlerts, collection: str) -> Stage:
    names = [f"k{n}" for n in range(len(others.ours))]
    let = dict(zip(names, (f"${path}" for path in others.ours), strict=True))
    same = [{"$eq": [f"${path}", f"$${name}"]} for name, path in zip(names, others.theirs, strict=True)]
    asked = [*same, {"$ne": ["$_id", "$$self"]}]
    if others.later:
        asked.append({"$gte": ["$timestamp", "$$at"]})
    return {
        "$lookup": {
            "from": collection,
            # These use an index also where some alert holds an array; the exact test follows in $expr.
            "localField": others.ours[0],
            "foreignField": others.theirs[0],
            "let": {**let, "self": "$_id", "at": "$timestamp"},
            "pipeline": [
                {"$match": {**others.filter, "$expr": {"$and": asked}}},
                {"$limit": 1},
                {"$project": {"_id": 1}},
            ],
            "as": LOOKED_UP,
        }
    }


def _in_words(other: Other, match: dict[str, str], *, later: bool) -> str:
    same = [path for path, ours in match.items() if path == ours]
    equal = [f"{path} equal to its {ours}" for path, ours in match.items() if path != ours]
    goes_with = " and ".join([*([f"the same {' and '.join(same)}"] if same else []), *equal])
    source = "any source" if other.sources is None else " or ".join(other.sources)
    status = f" that is {' or '.join(map(str, other.statuses))}" if other.statuses else ""
    where = f", where {in_words(other.if_)}," if other.if_ else ""
    return f"{'equally late or later ' if later else ''}alert of {source} with {goes_with}{status}{where}"
