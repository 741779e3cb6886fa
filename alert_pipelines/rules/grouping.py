"""Groups alerts by source and key: which count as evidence, and which become due by the clock alone."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from alert_pipelines.alerts import PENDING, Status
from alert_pipelines.alerts.filters import dated, of_sources
from alert_pipelines.rules.clause import Filter, Predicate, Slice, key_values, status_among
from alert_pipelines.rules.model import DEFAULT_KEY, Rule
from alert_pipelines.rules.tree import Scalar, Tree
from alert_pipelines.rules.tree_compiler import crossings

NO_KEY_TYPES = ["missing", "null", "undefined", "array"]


class KeysOfSources(NamedTuple):
    """The paths by which the alerts of a source go together, and those of every other source."""

    of_source: dict[str, tuple[str, ...]]
    of_others: tuple[str, ...]

    @property
    def values(self) -> dict[str, Any]:
        """The values of an alert's key as an expression; null without one."""
        branches = [
            {"case": {"$eq": ["$source_type", {"$literal": source}]}, "then": _values(paths)}
            for source, paths in self.of_source.items()
        ]
        others = _values(self.of_others)
        return {"$switch": {"branches": branches, "default": others}} if branches else others

    def with_part(self, values: Sequence[Any]) -> Filter:
        """The filter of the alerts whose key has one of `values` at one of its paths."""
        part = {"$in": list(values), "$not": {"$type": "array"}}
        return {
            "$or": [
                *({"source_type": source, path: part} for source, paths in self.of_source.items() for path in paths),
                *({"source_type": {"$nin": list(self.of_source)}, path: part} for path in self.of_others),
            ]
        }


def _values(paths: Sequence[str]) -> dict[str, Any]:
    values = [f"${path}" for path in paths]
    lacking = {"$or": [{"$in": [{"$type": value}, NO_KEY_TYPES]} for value in values]}
    return {"$cond": [lacking, None, values]}


def keys_of_sources(rules: Iterable[Rule]) -> KeysOfSources:
    """The key of each source as its rules group, those of the highest priority first; else by driver."""
    keys: dict[str, tuple[str, ...]] = {}
    of_others: tuple[str, ...] = (DEFAULT_KEY,)
    for rule in sorted((rule for rule in rules if rule.conditions.group_by), key=lambda rule: rule.priority):
        if rule.sources is None:
            keys, of_others = {}, rule.conditions.key
        keys |= dict.fromkeys(rule.sources or (), rule.conditions.key)
    return KeysOfSources(keys, of_others)


def same_key(key: Sequence[str]) -> str:
    """The key in words."""
    return f"the same {' and '.join(key)}"


def key_of(rule: Rule) -> Any:
    """The source and key as an expression: of one source, the path itself for one, so that an index can serve; else a
    document."""
    key = rule.conditions.key
    return f"${key[0]}" if _is_of_one_source(rule) and len(key) == 1 else source_and_key(rule)


def _is_of_one_source(rule: Rule) -> bool:
    return rule.sources is not None and len(rule.sources) == 1


def source_and_key(rule: Rule) -> dict[str, Any]:
    """The key as a document, with the source where it tells alerts apart."""
    source = {} if _is_of_one_source(rule) else {"source": "$source_type"}
    return {**source, **key_values(rule.conditions.key)}


def has_key(rule: Rule) -> Filter:
    """Matches the alerts that group with others."""
    return has_values(rule.conditions.key, rule.conditions.ignore_keys)


def has_values(paths: Sequence[str], ignored: Sequence[Scalar] | None = None) -> Filter:
    """Matches the alerts with a value at each of `paths`: it is there, not null, no array and not ignored."""
    lacking = [{"$in": [{"$type": f"${path}"}, NO_KEY_TYPES]} for path in paths]
    lacking += [{"$in": [f"${path}", {"$literal": list(ignored)}]} for path in paths if ignored]
    return {"$expr": {"$and": [{"$not": [reason]} for reason in lacking]}}


def keyed(rule: Rule) -> Predicate:
    """The test that an alert groups with others."""
    key, ignored = rule.conditions.key, rule.conditions.ignore_keys
    but = f", outside the {len(ignored)} values of ignore_keys" if ignored else ""
    return Predicate("group_by", f"it has a single value in {' and '.join(key)}{but}", has_key(rule), tuple(key))


def pending_evidence(rule: Rule, as_of: datetime, counted: Filter) -> Filter:
    """The pending alerts of a key that count."""
    return {**counted, **pending_of(rule), **dated(as_of), **has_key(rule)}


def any_status_evidence(rule: Rule, timestamp: Filter, as_of: datetime, counted: Filter) -> Filter:
    """The alerts of a key that count, of any status, with such a `timestamp`."""
    return {
        **counted,
        **of_sources(rule.sources),
        "timestamp": {**dated(as_of)["timestamp"], **timestamp},
        **has_key(rule),
    }


def between(rule: Rule, since: datetime, as_of: datetime, minutes: int = 0) -> Filter:
    """The test of a date that came to be `minutes` old, by the clock of `rule`, after `since` and by `as_of`."""
    # Without minutes, it is whether the date has come: a calendar has no say in that.
    bounds = [rule.clock(at).before(minutes) if minutes else at for at in (since, as_of)]
    return {"$gt": bounds[0], "$lte": bounds[1]}


def dated_since(rule: Rule, since: datetime, as_of: datetime, minutes: int = 0) -> Slice:
    """The alerts that came to be `minutes` old, by the clock of the rule, after `since`."""
    return Slice("timestamp", {**of_sources(rule.sources), "timestamp": between(rule, since, as_of, minutes)})


def by_the_clock(
    rule: Rule, as_of: datetime, minutes: int = 0, *, closes: bool = True
) -> Callable[[datetime], list[Slice]]:
    """What the clock alone brings into play: alerts that came to be `minutes` old, are admitted, or held no longer."""
    return lambda since: [
        dated_since(rule, since, as_of, minutes),
        *admitted(rule, since, as_of),
        # What holds an alert holds its closes only.
        *(held_until(rule, since, as_of) if closes else ()),
    ]


def admitted(rule: Rule, since: datetime, as_of: datetime) -> list[Slice]:
    """The pending alerts for which the clock alone may have made `only_if` hold after `since`."""
    return crossed_of(pending_of(rule), rule, rule.conditions.only_if, since, as_of)


def crossed(rule: Rule, tree: Tree, since: datetime, as_of: datetime) -> list[Slice]:
    """The pending alerts for which the clock alone may have made `tree` hold after `since`."""
    return crossed_of(pending_of(rule), rule, tree, since, as_of)


def crossed_of(alerts: Filter, rule: Rule, tree: Tree | None, since: datetime, as_of: datetime) -> list[Slice]:
    """Those of `alerts` for which the clock of `rule` alone may have made `tree`, if any, hold after `since`."""
    tests = crossings(tree, rule.clock(since), rule.clock(as_of)) if tree else {}
    return [Slice(path, {**alerts, path: crossing}) for path, found in tests.items() for crossing in found]


def pending_of(rule: Rule) -> Filter:
    """The filter of the pending alerts of the rule's sources."""
    return {**of_sources(rule.sources), **status_among(PENDING).filter}


def held_until(rule: Rule, since: datetime, as_of: datetime) -> list[Slice]:
    """The pending alerts that `hold_mins` held at `since` and no longer at `as_of`."""
    if rule.conditions.hold_mins is None:
        return []
    settled = between(rule, since, as_of, rule.conditions.hold_mins)
    pending = pending_of(rule)
    by_scan = {"triggered_by": "system", "before": {"$type": "object"}}
    return [
        Slice("updated_at", {**pending, "updated_at": settled}),
        Slice("updated_at", {**pending, "updated_at": None, "created_at": settled}),
        # A scan's escalation does not count as an update; what it replaced is what held the alert until now.
        Slice(
            "updated_at",
            {
                **pending,
                "status": str(Status.ESCALATED),
                "updated_at": {"$gt": settled["$gt"]},
                "$or": [
                    {"state_history": {"$elemMatch": {**by_scan, "before.updated_at": settled}}},
                    {"state_history": {"$elemMatch": {**by_scan, "before.updated_at": None}}, "created_at": settled},
                ],
            },
        ),
    ]
