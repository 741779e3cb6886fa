"""Chooses the index that would spare a wasteful condition what it reads in vain.

What an index would leave to be read is counted on the server, not guessed. Whether a condition is wasteful at all is
found out by `advice`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pymongo import ASCENDING, IndexModel

from alert_pipelines.alerts import COLLECTION, PENDING_IN_INDEX
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.simple_collation import SIMPLE
from alert_pipelines.rules.clause import LOOKED_UP, Clause, Filter
from alert_pipelines.rules.hours import Clock
from alert_pipelines.rules.key_indexes import KeyIndexes
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.tree import ORDERED, TIMED, Any_, Leaf, Not, Op, Tree
from alert_pipelines.rules.tree_compiler import compile_tree

MIN_EXAMINED = 5_000
"""Fewer documents than these are read in some hundredths of a second, whatever the index."""
MAX_RATIO = 10
MAX_MEASURE_SECONDS = 30

_TOUCHED, _BY, _OF_ALL_BY = "touched", "by ", "of all by "
_UNIQUE = ("_id", "alert_id")
_ANY_TIMESTAMP = datetime(2000, 1, 1, tzinfo=UTC)

_POINT_OPS = frozenset({Op.EQ, Op.IN})
_RANGE_OPS = ORDERED | TIMED
# Served by the project's own indexes of pending alerts, and part of every index that is advised.
_ALWAYS_INDEXED = ("source_type", "status", "timestamp")


class AdvisedIndex(NamedTuple):
    """An index of `alerts`: ascending over `paths`, of pending alerts only or of all, and only where `present` are."""

    paths: tuple[str, ...]
    pending_only: bool
    present: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`advised_…`, the same for the same index."""
        pending = ["pending"] if self.pending_only else []
        return "_".join(["advised", *self.paths, *pending, *(f"with_{path}" for path in self.present)])

    @property
    def partial(self) -> dict[str, Any]:
        """The partialFilterExpression, empty for an index of all alerts."""
        pending = PENDING_IN_INDEX if self.pending_only else {}
        return pending | {path: {"$exists": True} for path in self.present}

    def model(self) -> IndexModel:
        """The index as the driver creates it."""
        options = {"partialFilterExpression": self.partial} if self.partial else {}
        return IndexModel([(path, ASCENDING) for path in self.paths], name=self.name, **options)

    def command(self) -> str:
        """The index as mongosh creates it."""
        options: dict[str, Any] = {"name": self.name, "collation": SIMPLE}
        if self.partial:
            options["partialFilterExpression"] = self.partial
        keys = dict.fromkeys(self.paths, 1)
        return f"db.{COLLECTION}.createIndex({json.dumps(keys)}, {json.dumps(options)})"

    def is_same(self, spec: Mapping[str, Any]) -> bool:
        """Whether `spec`, as list_indexes gives it, is this index, under whatever name."""
        keys = [(path, 1) for path in self.paths]
        return list(spec["key"].items()) == keys and dict(spec.get("partialFilterExpression", {})) == self.partial


class Choice(NamedTuple):
    """The indexes that would help, none where none can, and why in words."""

    indexes: tuple[AdvisedIndex, ...]
    description: str


def is_wasteful(examined: int, returned: int) -> bool:
    """Whether `examined` is at least MIN_EXAMINED and more than MAX_RATIO for each one returned."""
    return examined >= MIN_EXAMINED and examined > MAX_RATIO * returned


def unindexed(clause: Clause, indexes: KeyIndexes) -> set[str]:
    """What of a clause that looks at other alerts no index finds: the alerts of a `touched` key, the others that are
    looked up, or those that the clock brings into play, as `by path`, or `of all by path` where settled ones are."""
    missing = {_TOUCHED for ours in _sought_by(clause) if not indexes.find_path(ours[0])}
    looked_up_by = [others.theirs[0] for others in clause.all_others]
    if any(not indexes.find_path(path) and path not in _UNIQUE for path in looked_up_by):
        missing.add(LOOKED_UP)
    for part in clause.all_that_became_eligible(_ANY_TIMESTAMP):
        pending = "status" in part.filter
        if not indexes.find_path(part.path, pending_only=pending):
            missing.add(f"{_BY if pending else _OF_ALL_BY}{part.path}")
    return missing


def _sought_by(clause: Clause) -> list[tuple[str, ...]]:
    """The paths by which alerts are found that go with touched ones; none where all pending ones are looked at."""
    return list(dict.fromkeys(link.ours for link in clause.links or ()))


def by_key(clause: Clause, wasteful: Set[str]) -> Choice:
    """For a clause that looks at other alerts; `wasteful` names its reads: the candidates, a lookup, or `unindexed`."""

    def over(key: Sequence[str], *, pending_only: bool = False) -> AdvisedIndex:
        return AdvisedIndex(("source_type", *key, "timestamp"), pending_only)

    indexes = []
    if "newest" in wasteful:
        indexes.append(over(clause.key))
    if _TOUCHED in wasteful:
        indexes += map(over, _sought_by(clause))
    if "due" in wasteful:
        # An index of all alerts would read all the settled ones of a key to find its few pending ones.
        indexes.append(over(clause.key, pending_only=True))
    if LOOKED_UP in wasteful:
        indexes += [over(others.theirs) for others in clause.all_others if others.theirs[0] not in _UNIQUE]
    for prefix, pending_only in ((_BY, True), (_OF_ALL_BY, False)):
        dates = sorted(name.removeprefix(prefix) for name in wasteful if name.startswith(prefix))
        indexes += [AdvisedIndex(("source_type", path), pending_only=pending_only) for path in dates]
    indexes = list(dict.fromkeys(indexes))
    if indexes:
        return Choice(tuple(indexes), "with these a scan finds the alerts of one key at once, and looks at no others")
    return Choice((), f"no index can help: most of what it reads has no {' and '.join(clause.key)}")


def by_tests(db: AlertDatabase, rule: Rule, clause: Clause, as_of: datetime, returned: int) -> Choice:
    """For a clause that looks at the alert alone and is due for `returned` alerts. Raises ExecutionTimeout."""
    indexes: list[AdvisedIndex] = []
    reads = 0
    branches = _branches_of(rule, clause, as_of)
    for branch in branches:
        # Every branch of an `any` has to be served, and all of them are read.
        chosen, left = _narrowest(db, clause, branch, returned, len(branches))
        if chosen is None:
            return Choice((), _why_none(clause, left))
        if chosen:
            indexes.append(_index_over(chosen))
        reads += left
    if not indexes:
        return Choice((), "the project's own indexes serve it, and the server does not choose them: see its explain")
    return Choice(tuple(dict.fromkeys(indexes)), f"with these it would examine about {reads}")


def _why_none(clause: Clause, left: int) -> str:
    return (
        f"no index can help: {left} alerts remain when all is asked that an index can answer. It cannot answer ne, "
        "not_in, missing, not, contains, ends_with, ignore_case, value_of, and exists within any, nor what the history "
        f"says ({clause.reason})"
    )


@dataclass(frozen=True)
class _Narrowing:
    """A test that an index over `path` answers. `point`: by single values; `present`: only by leaving out alerts
    without the path."""

    path: str
    filter: Filter
    point: bool = False
    present: bool = False


_Branch = list[_Narrowing]


def _branches_of(rule: Rule, clause: Clause, as_of: datetime) -> list[_Branch]:
    """The alternatives by which an alert becomes due, each with what an index can answer of it."""
    tests = {test.name: test for test in clause.predicates}
    everywhere = []
    if "severities" in tests:
        everywhere.append(_Narrowing("severity", tests["severities"].filter, point=True))
    if "hold_mins" in tests:
        everywhere.append(_Narrowing("updated_at", tests["hold_mins"].filter))
    tree = {"close_if": rule.conditions.close_if, "escalate_if": rule.conditions.escalate_if}.get(clause.condition)
    own: list[_Branch] | None
    if tree:
        own = _branches(tree, as_of)
    else:
        path, *_ = tests[clause.condition].fields
        own = [[_Narrowing(path, tests[clause.condition].filter, point=clause.condition == "auto_close_if")]]
    only = _branches(rule.conditions.only_if, as_of) if rule.conditions.only_if else None
    own = _together([part for part in (own, only) if part])
    branches = [[*branch, *everywhere] for branch in own or [[]]]
    if len(branches) == 1:
        return branches
    # For one part of an $or the server uses no partial index whose filter that part alone implies.
    return [[narrowing for narrowing in branch if not narrowing.present] for branch in branches]


def _branches(tree: Tree, as_of: datetime) -> list[_Branch] | None:
    """The same for a condition tree; None where no index can answer any of it."""
    if isinstance(tree, Leaf):
        narrowing = _narrowing(tree, as_of)
        return [[narrowing]] if narrowing else None
    if isinstance(tree, Not):
        return None
    if isinstance(tree, Any_):
        alternatives = [_branches(part, as_of) for part in tree.any]
        return None if None in alternatives else [branch for some in alternatives for branch in some or ()]
    return _together([found for part in tree.all if (found := _branches(part, as_of))])


def _together(parts: list[list[_Branch]]) -> list[_Branch] | None:
    """What holds at once: the narrowings of the plain parts, or else the alternatives of one part."""
    plain = [narrowing for part in parts if len(part) == 1 for narrowing in part[0]]
    if plain:
        return [plain]
    return parts[0] if parts else None


def _narrowing(leaf: Leaf, as_of: datetime) -> _Narrowing | None:
    if leaf.value_of:
        return None
    asked = compile_tree(leaf, Clock(as_of))
    if leaf.op is Op.EXISTS:
        return _Narrowing(leaf.field, asked, present=True)
    prefix = leaf.op is Op.STARTS_WITH and not leaf.ignore_case
    if prefix or leaf.op in _POINT_OPS or leaf.op in _RANGE_OPS:
        return _Narrowing(leaf.field, asked, point=leaf.op in _POINT_OPS)
    return None


def _narrowest(
    db: AlertDatabase, clause: Clause, branch: _Branch, returned: int, branches: int
) -> tuple[list[_Narrowing] | None, int]:
    """As few narrowings as suffice, the strongest first, and what then remains to be read; None if all do not."""

    def remaining(narrowings: Iterable[_Narrowing]) -> int:
        asked = [*base, *(narrowing.filter for narrowing in narrowings)]
        limit_ms = MAX_MEASURE_SECONDS * 1000
        return db[COLLECTION].count_documents({"$and": asked}, maxTimeMS=limit_ms)

    base = [test.filter for test in clause.predicates if test.name in _ALWAYS_INDEXED]
    base += [narrowing.filter for narrowing in branch if narrowing.path in _ALWAYS_INDEXED]
    left = [narrowing for narrowing in branch if narrowing.path not in _ALWAYS_INDEXED]
    chosen: list[_Narrowing] = []
    reads = remaining(chosen)
    while is_wasteful(reads * branches, returned) and left:
        counted = [(remaining([*chosen, narrowing]), position) for position, narrowing in enumerate(left)]
        reads, position = min(counted)
        chosen.append(left.pop(position))
    return (None if is_wasteful(reads * branches, returned) else chosen), reads


def _index_over(chosen: list[_Narrowing]) -> AdvisedIndex:
    """Single values before ranges: a range ends what an index can pin down."""
    ordered = sorted(chosen, key=lambda narrowing: (not narrowing.point, narrowing.present))
    tested = dict.fromkeys(narrowing.path for narrowing in ordered)
    present = dict.fromkeys(narrowing.path for narrowing in ordered if narrowing.present)
    return AdvisedIndex(("source_type", "status", *tested, "timestamp"), pending_only=True, present=tuple(present))
