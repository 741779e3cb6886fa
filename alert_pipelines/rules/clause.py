"""What a rule is compiled to: clauses of tests and aggregation stages, and what a plan reads of an alert.

`compiler` and `evidence` make them of conditions.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from alert_pipelines.alerts import Status, one_of
from alert_pipelines.alerts.malformed import UNWRITABLE
from alert_pipelines.timestamps import earlier

Filter = dict[str, Any]
Stage = dict[str, Any]

NONE: Filter = {"_id": {"$in": []}}
"""Matches no alert, without looking at any."""
LOOKED_UP = "__others"
"""Where an aggregation puts the other alerts that it looked up."""

PLANNED: Stage = {"$project": {"source_type": 1, "unwritable": UNWRITABLE}}
"""What a plan reads of a due alert: `_id`, `source_type`, and `unwritable` if no decision can be written to it."""
_AS_PLANNED: Stage = {"$project": dict.fromkeys(PLANNED["$project"], 1)}


@dataclass(frozen=True)
class Predicate:
    """One test on the alert itself: what it asks, as a person would say it, and the `fields` it looks at.

    `note` is what an explanation adds of an alert, as how far its minutes have come; empty for nothing.
    """

    name: str
    description: str
    filter: Filter
    fields: tuple[str, ...]
    note: Callable[[Mapping[str, Any]], str] = lambda _: ""


@dataclass(frozen=True)
class Slice:
    """The alerts of one source whose date at `path` lies in a certain span, as a filter."""

    path: str
    filter: Filter


@dataclass(frozen=True)
class OtherAlerts:
    """Other alerts that decide at one as_of: an alert goes with those whose values at `theirs` equal its own at `ours`.

    `groups` selects the others that have such values, and `filter` those of them that meet the condition. With `later`,
    they must also be as late as the alert or later. `fields` are the paths that the condition reads in them. For an
    earlier time, `became_eligible` gives the others that count since then because of the clock alone.

    The stages of `look_up` start from alerts as PLANNED, with their key at `key_field`, and yield those that the others
    let decide. `in_one_pass` gives stages that do the same and read each of the others once, for others that no
    index finds by key. Its argument is the oldest timestamp of the candidates.
    """

    condition: str
    words: str
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    groups: Filter
    filter: Filter
    later: bool
    fields: tuple[str, ...]
    became_eligible: Callable[[datetime], Sequence[Slice]]
    look_up: tuple[Stage, ...] = ()
    in_one_pass: Callable[[datetime], tuple[Stage, ...]] = lambda _: ()

    @property
    def key_field(self) -> str:
        """Where an aggregation puts the `key`."""
        return f"__{self.condition}"

    @property
    def key(self) -> dict[str, Any]:
        """The values at `ours` as an expression: of one path the value itself, which is sorted faster than a document.

        No partition can be by an array: like null, it equals nothing.
        """
        if len(self.ours) > 1:
            return key_values(self.ours)
        value = f"${self.ours[0]}"
        return {"$cond": [{"$isArray": [value]}, None, value]}

    @property
    def description(self) -> str:
        """That there is one."""
        return f"an {self.words} exists"

    def of(self, timestamp: datetime) -> Filter:
        """The filter of those that speak for an alert of `timestamp` with which they go."""
        return {"$and": [self.filter, {"timestamp": {"$gte": timestamp}}]} if self.later else self.filter


class Link(NamedTuple):
    """Which touched alerts bring others into play, by which of their paths, and the others' paths with equal values.

    `became_eligible` gives those that the clock alone has given a say since an earlier time.
    """

    groups: Filter
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    became_eligible: Callable[[datetime], Sequence[Slice]]


@dataclass(frozen=True)
class Clause:
    """One deciding condition of one rule at one as_of.

    The aggregation starts with `candidates`, and `stages` lead to the alerts that are due. `others` then decide for an
    alert and `suppressed_by` against it. `predicates` are the tests of the alert alone; the write repeats them.

    `key` are the paths that group alerts. For a timestamp, `evidence` gives the filter of the alerts with the same key
    that decide for an alert, or against it for `close_if_no_repeat_mins`. `lookback` is the longest time between an
    alert and one that it makes due; None means any time.

    An incremental scan examines the keys of alerts that changed. For an earlier time, `became_eligible` gives the
    alerts that count since then because of the clock alone. With `depends_on_removals`, an alert that is deleted or
    leaves its key can make others due. With `by_touch`, no other alert of the key counts, so only the changed alerts,
    those of `became_eligible` and those that go with such an alert of the others are examined.

    Where no index finds the alerts of a key, `in_one_pass` gives a clause that decides the same and reads each alert
    once. Its argument is the oldest timestamp of the candidates.
    """

    rule_id: str
    condition: str
    to_status: Status
    reason: str
    predicates: tuple[Predicate, ...]
    candidates: Filter
    stages: tuple[Stage, ...] = ()
    key: tuple[str, ...] = ()
    evidence: Callable[[datetime], Filter] | None = None
    became_eligible: Callable[[datetime], Sequence[Slice]] = lambda _: ()
    lookback: timedelta | None = None
    depends_on_removals: bool = False
    others: OtherAlerts | None = None
    suppressed_by: OtherAlerts | None = None
    in_one_pass: Callable[[datetime], "Clause"] | None = None
    by_touch: bool = False

    @property
    def all_others(self) -> tuple[OtherAlerts, ...]:
        """The other alerts that decide, for it or against it."""
        return tuple(one for one in (self.others, self.suppressed_by) if one)

    @property
    def links(self) -> tuple[Link, ...] | None:
        """How touched alerts bring others into play; None where all that is pending has to be looked at."""
        others = [Link(one.groups, one.theirs, one.ours, one.became_eligible) for one in self.all_others]
        if self.by_touch:
            return tuple(others)
        if not self.key or (self.suppressed_by and self.suppressed_by.ours != self.key):
            # Of a key by which other alerts count, no part may be left out.
            return None
        return (Link(self.groups, self.key, self.key, self.became_eligible), *others)

    def all_that_became_eligible(self, since: datetime) -> list[Slice]:
        """What the clock alone has brought into play since an earlier time, the others included."""
        others = [part for one in self.all_others for part in one.became_eligible(since)]
        return [*self.became_eligible(since), *others]

    @property
    def alert_filter(self) -> Filter:
        """The filter of the alerts that pass every test."""
        return all_of(self.predicates)

    @property
    def deciding_fields(self) -> tuple[str, ...]:
        """The alert's own fields that the condition looks at."""
        return tuple(
            dict.fromkeys(
                field
                for test in self.predicates
                if test.name in (self.condition, "only_if", "group_by")
                for field in test.fields
            )
        )

    @property
    def groups(self) -> Filter:
        """The filter of the alerts that have a key, of the rule's source."""
        return all_of(test for test in self.predicates if test.name in ("source_type", "group_by"))

    def pipeline(self, scope: Filter | None = None) -> list[Stage]:
        """The aggregation over `alerts` that yields the due alerts as PLANNED; `scope` narrows the candidates."""
        due = [{"$match": _within(self.candidates, scope) if scope else self.candidates}, *self.stages]
        if not self.all_others:
            return [*due, PLANNED]
        keys = {others.key_field: others.key for others in self.all_others}
        look_ups = [stage for others in self.all_others for stage in others.look_up]
        return [*due, {"$project": {**PLANNED["$project"], "timestamp": 1, **keys}}, *look_ups, _AS_PLANNED]

    def reading_others_once(self, scattered: Collection[OtherAlerts], oldest: datetime) -> "Clause":
        """The clause where no index finds the `scattered` others by key, and no candidate is older than `oldest`."""

        def once(others: OtherAlerts | None) -> OtherAlerts | None:
            return replace(others, look_up=others.in_one_pass(oldest)) if others and others in scattered else others

        return replace(self, others=once(self.others), suppressed_by=once(self.suppressed_by))

    def within(self, scope: Filter) -> "Clause":
        """The clause for those of its candidates that are in `scope`."""
        return replace(self, candidates=_within(self.candidates, scope))

    def of_span(self, since: datetime | None, until: datetime | None) -> "Clause":
        """The clause for the alerts from `since` on and before `until`: its candidates begin `lookback` earlier."""
        until_then = {"$lt": until} if until else {}
        in_reach = {
            "timestamp": {**({"$gte": earlier(since, self.lookback or timedelta())} if since else {}), **until_then}
        }
        due = {"timestamp": {**({"$gte": since} if since else {}), **until_then}}
        if not until_then and since is None:
            return self
        return replace(self, candidates=_within(self.candidates, in_reach), stages=(*self.stages, {"$match": due}))


def key_values(paths: Iterable[str]) -> dict[str, Any]:
    """The values at the paths of a key as an expression: a document of `k0`, `k1` and so on."""
    return {f"k{n}": f"${path}" for n, path in enumerate(paths)}


def lookup_by_key(collection: str, path: str, let: Mapping[str, str], stages: Sequence[Stage], into: str) -> Stage:
    """The stage that puts what `stages` make of other alerts `into` a field: of those whose value at `path` is `k0`.

    `let` are the variables of the stages, which have to test the whole key: of an array each element counts here. With
    these two fields the server finds an index also where some alert holds an array.
    """
    return {
        "$lookup": {
            "from": collection,
            "localField": let["k0"].removeprefix("$"),
            "foreignField": path,
            "let": let,
            "pipeline": stages,
            "as": into,
        }
    }


def _within(candidates: Filter, scope: Filter) -> Filter:
    """The part of `candidates` in `scope`, alternative by alternative, so that the server finds an index for each."""
    if list(candidates) == ["$or"]:
        return {"$or": [{"$and": [part, scope]} for part in candidates["$or"]]}
    return {"$and": [candidates, scope]}


def all_of(tests: Iterable[Predicate]) -> Filter:
    """The filter of the alerts that pass all of `tests`."""
    return {"$and": [test.filter for test in tests]}


def status_among(statuses: Iterable[Status]) -> Predicate:
    """The test for one of `statuses`."""
    names = [str(status) for status in statuses]
    return Predicate("status", f"status is {' or '.join(names)}", {"status": one_of(names)}, ("status",))
