"""Names the tests of rules that cannot hold since pending alerts keep the field as another kind: numbers as text, say.

A test compares only like with like, so such a rule is silent. All paths of a source's rules are read in one pass.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from alert_pipelines.alerts import COLLECTION, IS_PENDING
from alert_pipelines.alerts.filters import of_sources
from alert_pipelines.mongo.bson_types import kind_of, kind_of_type
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.clause import Filter
from alert_pipelines.rules.model import Conditions, Mode, Rule
from alert_pipelines.rules.path_values import types_at
from alert_pipelines.rules.tree import BARE, ORDERED, TEXTUAL, TIMED, Any_, Leaf, Op, Tree, parts
from alert_pipelines.rules.tree_words import describe

MAX_READ = 100_000
"""Of each source at most this many alerts are read, the newest."""

_ABSENT = frozenset({"missing", "null", "undefined"})
_NEGATIVE = frozenset({Op.NE, Op.NOT_IN})

Kinds = frozenset[str]

_TEXT, _DATE, _NUMBER = Kinds({"text"}), Kinds({"date"}), Kinds({"number"})
_ORDERED_KINDS = _TEXT | _DATE | _NUMBER


@dataclass(frozen=True)
class KindFault:
    """One test of one rule and the pending alerts whose field is of a kind that it cannot compare.

    `alerts` of the `pending` of the source that were read have such a field; `found` says of which kinds, `example`
    names one of them. `negative`: the test asks for what is unlike, so it always holds for them.
    """

    rule_id: str
    sources: str
    condition: str
    test: str
    field: str
    expected: str
    found: str
    alerts: int
    pending: int
    example: str
    negative: bool

    def __str__(self) -> str:
        return (
            f"rule {self.rule_id!r}: {self.field} is not a valid field for {self.condition} ({self.test}): expected "
            f"{self.expected}; got {self.found} in {self.alerts} of {self.pending} pending alerts ({self.sources}), "
            f"such as {self.example}. The test {'always holds' if self.negative else 'cannot hold'} for them. Store "
            "the field as the rule expects it, or write the test for what is stored"
        )


class _Expectation(NamedTuple):
    """What one test compares: the kinds that it takes at `field`, or at `field` and `other`, where both are the same.

    It is not asked of alerts that have a value at `unless`.
    """

    condition: str
    test: str
    field: str
    kinds: Kinds
    other: str | None = None
    unless: str | None = None
    negative: bool = False

    @property
    def paths(self) -> list[str]:
        return [path for path in (self.field, self.other, self.unless) if path]

    @property
    def expected(self) -> str:
        kinds = " or ".join(sorted(self.kinds))
        return f"values of one kind, {kinds}" if self.other else kinds

    def fails(self, at: Mapping[str, Kinds]) -> bool:
        """Whether an alert with the kinds `at` each path has values that the test cannot compare."""
        if self.unless and at[self.unless]:
            return False
        sides = [at[path] for path in (self.field, self.other) if path]
        return all(sides) and not self.kinds.intersection(*sides)

    def found(self, at: Mapping[str, Kinds]) -> str:
        """The kinds `at` the field, and at the other."""
        return " beside ".join(_in_words(at[path]) for path in (self.field, self.other) if path)


def _in_words(kinds: Kinds) -> str:
    words = "/".join(sorted(kinds - {"array"}))
    return " of ".join(filter(None, ("array" if "array" in kinds else "", words)))


class AlikeAlerts(NamedTuple):
    """Alerts that are alike in the `kinds` of values at each of some paths, of none where nothing is."""

    kinds: dict[str, Kinds]
    alerts: int
    example: str


@at_the_door
def kind_faults(db: AlertDatabase, rules: Iterable[Rule]) -> list[KindFault]:
    """The tests of `rules` that pending alerts cannot pass for the kind of a field; rules that are off are left out."""
    by_sources: dict[tuple[str, ...] | None, list[Rule]] = {}
    for rule in rules:
        if rule.effective_mode is not Mode.OFF:
            by_sources.setdefault(rule.sources, []).append(rule)
    return [fault for together in by_sources.values() for fault in _faults_of(db, together)]


def _faults_of(db: AlertDatabase, rules: Sequence[Rule]) -> Iterator[KindFault]:
    """The faults of `rules`, which decide alerts of the same sources."""
    expectations = [(rule, one) for rule in rules for one in _expectations(rule.conditions)]
    paths = dict.fromkeys(path for _, one in expectations for path in one.paths)
    pending = {**of_sources(rules[0].sources), **IS_PENDING}
    groups = alike_in_kinds(db, pending, list(paths)) if paths else []
    for rule, one in expectations:
        failing = [group for group in groups if one.fails(group.kinds)]
        if failing:
            yield KindFault(
                rule_id=rule.rule_id,
                sources=rule.source_names,
                condition=one.condition,
                test=one.test,
                field=" and ".join(path for path in (one.field, one.other) if path),
                expected=one.expected,
                found=" or ".join(sorted({one.found(group.kinds) for group in failing})),
                alerts=sum(group.alerts for group in failing),
                pending=sum(group.alerts for group in groups),
                example=min(group.example for group in failing),
                negative=one.negative,
            )


@at_the_door
def alike_in_kinds(db: AlertDatabase, which: Filter, paths: Sequence[str]) -> list[AlikeAlerts]:
    """The newest alerts of `which`, together by the kinds of values that they have at each of `paths`."""
    names = {f"k{n}": path for n, path in enumerate(paths)}
    rows = db[COLLECTION].aggregate(
        [
            {"$match": which},
            {"$sort": {"timestamp": -1}},
            {"$limit": MAX_READ},
            {
                "$group": {
                    "_id": {name: types_at(path) for name, path in names.items()},
                    "alerts": {"$sum": 1},
                    "example": {"$min": "$alert_id"},
                }
            },
        ],
        allowDiskUse=True,
    )
    return [
        AlikeAlerts(
            {path: frozenset(map(kind_of_type, set(row["_id"][name]) - _ABSENT)) for name, path in names.items()},
            row["alerts"],
            str(row["example"]),
        )
        for row in rows
    ]


def _expectations(conditions: Conditions) -> Iterator[_Expectation]:
    if conditions.auto_close_if:
        path = f"metadata.{conditions.auto_close_if}"
        yield _Expectation("auto_close_if", f"{path} is true", path, frozenset({"boolean"}))
    for name, tree in conditions.trees.items():
        yield from _of_tree(name, tree)
    if conditions.severities:
        yield _Expectation("severities", f"severity is {' or '.join(conditions.severities)}", "severity", _TEXT)
    if conditions.hold_mins:
        yield _Expectation("hold_mins", "updated_at is a date", "updated_at", _DATE)
        yield _Expectation("hold_mins", "created_at is a date", "created_at", _DATE, unless="updated_at")
    if conditions.escalate_after_mins:
        for path in ("updated_at", "created_at"):
            yield _Expectation("escalate_after_mins", f"{path} is a date", path, _DATE)


def _of_tree(condition: str, tree: Tree, siblings: Sequence[Leaf] = ()) -> Iterator[_Expectation]:
    if isinstance(tree, Leaf):
        if tree.op not in BARE:
            yield _of_leaf(condition, tree, siblings)
        return
    # Whoever writes a test for each kind has seen that there are several.
    alternatives = [part for part in parts(tree) if isinstance(part, Leaf)] if isinstance(tree, Any_) else ()
    for part in parts(tree):
        yield from _of_tree(condition, part, alternatives)


def _of_leaf(condition: str, leaf: Leaf, siblings: Sequence[Leaf]) -> _Expectation:
    negative = leaf.op in _NEGATIVE
    if leaf.value_of:
        kinds = _ORDERED_KINDS if leaf.op in ORDERED else _ORDERED_KINDS | {"boolean"}
        if (leaf.plus, leaf.times) != (None, None):
            kinds = _NUMBER
        return _Expectation(condition, describe(leaf), leaf.field, kinds, leaf.value_of, negative=negative)
    kinds = _kinds_of(leaf).union(*(_kinds_of(other) for other in siblings if other.field == leaf.field))
    return _Expectation(condition, describe(leaf), leaf.field, kinds, negative=negative)


def _kinds_of(leaf: Leaf) -> Kinds:
    if leaf.op in TIMED:
        return _DATE
    if leaf.op in TEXTUAL:
        return _TEXT
    values: list[Any] = leaf.value if isinstance(leaf.value, list) else [leaf.value]
    return frozenset(kind_of(value) for value in values if value is not None)
