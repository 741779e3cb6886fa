"""Which rules make the server examine far more documents than they need, and the index that would help.

The plans are read with `explain`; which index to choose is decided in `choice`. Nothing is created but by
`create_advised`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pymongo.errors import ExecutionTimeout

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.index_advice.choice import (
    MAX_MEASURE_SECONDS,
    MIN_EXAMINED,
    AdvisedIndex,
    Choice,
    by_key,
    by_tests,
    is_wasteful,
    unindexed,
)
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.indexes import create_missing_indexes
from alert_pipelines.mongo.simple_collation import SIMPLE
from alert_pipelines.rules.calendar_store import with_calendars
from alert_pipelines.rules.clause import Clause, Stage
from alert_pipelines.rules.compiler import compile_rule
from alert_pipelines.rules.key_indexes import KeyIndexes
from alert_pipelines.rules.model import Mode, Rule
from alert_pipelines.rules.store import load_rules
from alert_pipelines.timestamps import as_of_utc


@dataclass(frozen=True)
class Advice:
    """One condition whose plan examines far more documents than it returns, or the same ones with every scan.

    Returned are the due alerts and, for a condition on other alerts too, those that are evidence for their key. Both
    numbers are None where the plan was not done in time. `indexes` is empty where none is to be created; `description`
    says all of it in words.
    """

    rule_id: str
    condition: str
    examined: int | None
    returned: int | None
    indexes: tuple[AdvisedIndex, ...]
    description: str


@at_the_door
def advise(db: AlertDatabase, as_of: datetime) -> list[Advice]:
    """Run each condition of each active and shadow rule at `as_of` under `explain` and name the wasteful ones.

    What is_wasteful says: 5,000 documents or more examined, and more than ten for each one returned; or 5,000 by a
    condition on other alerts that lacks the index by which a scan looks only at touched keys. It costs
    about what planning a scan costs and changes nothing; maintenance windows, which pass, are left aside. Raises
    InvalidTimestampError, PyMongoError.
    """
    as_of = as_of_utc(as_of)
    indexes = KeyIndexes(db[COLLECTION])
    judged = (
        _advice(db, rule, clause, as_of, indexes)
        for rule in load_rules(db).rule_set.rules
        for clause in compile_rule(rule, as_of)
    )
    return [advice for advice in judged if advice is not None]


@at_the_door
def lacking_indexes(db: AlertDatabase, rules: Iterable[Rule]) -> list[str]:
    """Which conditions of `rules`, published or not, would make each scan look at all alerts for want of an index.

    Nothing is evaluated, so it costs the same however many alerts there are; of fewer than MIN_EXAMINED none is named.
    """
    if db[COLLECTION].estimated_document_count() < MIN_EXAMINED:
        return []
    indexes = KeyIndexes(db[COLLECTION])
    usable = with_calendars(db, [rule for rule in rules if rule.effective_mode is not Mode.OFF]).rules
    found = []
    for rule in usable:
        for clause in compile_rule(rule, server_now(db)):
            missing = by_key(clause, unindexed(clause, indexes)).indexes
            if commands := _commands(missing, indexes):
                lacking = f"rule {rule.rule_id!r}: for want of an index each scan looks at all alerts by "
                create = "`alert-pipelines indexes create`, or " if _absent(missing, indexes) else ""
                found.append(f"{lacking}{clause.condition}: {create}{'; '.join(commands)}")
    return found


@at_the_door
def create_advised(db: AlertDatabase, advice: Sequence[Advice]) -> list[str]:
    """Create the indexes that `advice` names; return the names of those that were not there.

    Raises IndexConflictError, also where a document holds arrays at two of an index's paths.
    """
    wanted = {index.name: index.model() for one in advice for index in one.indexes}
    return create_missing_indexes(db, COLLECTION, list(wanted.values()))


class _Access(NamedTuple):
    """One place of a plan where documents are read: candidates, or the lookups `newest` and `due` of keep_latest."""

    place: str
    examined: int
    returned: int

    @property
    def wasteful(self) -> bool:
        return is_wasteful(self.examined, self.returned)


def _advice(db: AlertDatabase, rule: Rule, clause: Clause, as_of: datetime, indexes: KeyIndexes) -> Advice | None:
    try:
        accesses = _accesses(db, clause)
    except ExecutionTimeout:
        # What was going to be read cannot be told apart, so all that may help is named.
        wasteful, examined, returned = {"candidates", *_lookups(clause)}, None, None
        found = f"its plan was not done within {MAX_MEASURE_SECONDS} s"
    else:
        wasteful = {access.place for access in accesses if access.wasteful}
        examined = sum(access.examined for access in accesses)
        returned = sum(access.returned for access in accesses)
        found = f"it examines {examined} documents for {returned}"
    if examined is None or examined >= MIN_EXAMINED:
        # Evidence is not read in vain, but all of it again and again: an index spares that.
        wasteful |= unindexed(clause, indexes)
    if not wasteful:
        return None
    choice = (
        by_key(clause, wasteful)
        if clause.key or wasteful - {"candidates"}
        else _measured(db, rule, clause, as_of, returned or 0)
    )
    description = f"{found}; {_help(choice, indexes)}"
    absent = _absent(choice.indexes, indexes)
    return Advice(rule.rule_id, clause.condition, examined, returned, absent, description)


def _measured(db: AlertDatabase, rule: Rule, clause: Clause, as_of: datetime, returned: int) -> Choice:
    try:
        return by_tests(db, rule, clause, as_of, returned)
    except ExecutionTimeout:
        return Choice((), f"which index would help was not found out within {MAX_MEASURE_SECONDS} s")


def _help(choice: Choice, indexes: KeyIndexes) -> str:
    commands = _commands(choice.indexes, indexes)
    if choice.indexes and not commands:
        names = ", ".join(index.name for index in choice.indexes)
        return f"what would help ({names}) is there, and the server does not choose it: see its explain"
    return "; ".join([choice.description, *commands])


def _commands(advised: Sequence[AdvisedIndex], indexes: KeyIndexes) -> list[str]:
    """What makes them usable, in mongosh: to create an index that is hidden changes nothing."""
    hidden = [spec for spec in indexes.specs if spec.get("hidden") and any(index.is_same(spec) for index in advised)]
    unhide = [f"db.{COLLECTION}.unhideIndex({json.dumps(spec['name'])})" for spec in hidden]
    return unhide + [index.command() for index in _absent(advised, indexes)]


def _absent(advised: Sequence[AdvisedIndex], indexes: KeyIndexes) -> tuple[AdvisedIndex, ...]:
    return tuple(index for index in advised if not any(map(index.is_same, indexes.specs)))


def _accesses(db: AlertDatabase, clause: Clause) -> list[_Access]:
    # The candidates are explained alone: newer servers fold a $group into the read, which then "returns" the groups.
    candidates = _explain(db, [{"$match": clause.candidates}])
    [read] = (
        [stage["$cursor"] for stage in candidates["stages"] if "$cursor" in stage]
        if "stages" in candidates
        else [candidates]
    )
    stats = read["executionStats"]
    accesses = [_Access("candidates", stats["totalDocsExamined"], stats["nReturned"])]
    if lookups := _lookups(clause):
        stages = [stage for stage in _explain(db, clause.pipeline())["stages"] if "$lookup" in stage]
        # A lookup with an $unwind behind it is one stage, whose nReturned counts what was unwound.
        accesses += [
            _Access(place, stage["totalDocsExamined"], stage["nReturned"])
            for place, stage in zip(lookups, stages, strict=True)
        ]
    return accesses


def _lookups(clause: Clause) -> list[str]:
    return [stage["$lookup"]["as"] for stage in clause.pipeline() if "$lookup" in stage]


def _explain(db: AlertDatabase, pipeline: list[Stage]) -> dict[str, Any]:
    command = {"aggregate": COLLECTION, "pipeline": pipeline, "cursor": {}, "allowDiskUse": True, "collation": SIMPLE}
    return db.command("explain", command, verbosity="executionStats", maxTimeMS=MAX_MEASURE_SECONDS * 1000)
