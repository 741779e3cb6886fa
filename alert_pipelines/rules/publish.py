"""Publishing rules: what a file would change in the collection, and changing it without treading on a person's edit.

A published rule keeps a hash of what was published. A rule whose hash no longer fits, or that has none, is a
person's or the service's.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.model import Rule, canonical_json, content_hash
from alert_pipelines.rules.store import COLLECTION, ensure_indexes, usable_rules
from alert_pipelines.rules.validation import RuleError, parse_rule


class UnusableRulesError(AlertPipelinesError):
    """Raised when stored rules cannot be used, so that a file of all rules would lack them; `errors` name each."""

    def __init__(self, errors: Sequence[RuleError]) -> None:
        which = "1 rule" if len(errors) == 1 else f"{len(errors)} rules"
        lines = [f"{which} cannot be exported, so nothing was. Fix or delete:", *map(str, errors)]
        super().__init__("\n  ".join(lines))
        self.errors = tuple(errors)


class ChangeKind(StrEnum):
    """How a rule of a file stands to the collection."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    CHANGED_BY_PERSON = "changed_by_person"
    ONLY_IN_COLLECTION = "only_in_collection"


class FieldChange(NamedTuple):
    """One field's value in the collection and in the file; None where it is absent."""

    path: str
    before: Any
    after: Any


class RuleChange(NamedTuple):
    """One rule: how it stands, which fields differ, and whether publishing wrote it."""

    rule_id: str
    kind: ChangeKind
    fields: tuple[FieldChange, ...] = ()
    written: bool = False


@at_the_door
def diff_rules(db: AlertDatabase, rules: Iterable[Rule]) -> list[RuleChange]:
    """What publishing `rules` would change; rules that only the collection has come last and are never deleted."""
    given = list(rules)
    return [*(_compare(rule, _stored(db, rule)) for rule in given), *_others(db, given)]


@at_the_door
def publish_rules(db: AlertDatabase, rules: Iterable[Rule], *, overwrite: bool = False) -> list[RuleChange]:
    """Write the new and changed of `rules`; those that a person changed only with `overwrite`.

    Returns what `diff_rules` says, with what was written. An edit that a person makes in the same moment wins.
    """
    ensure_indexes(db)
    given, now = list(rules), server_now(db)
    wanted = {ChangeKind.NEW, ChangeKind.CHANGED} | ({ChangeKind.CHANGED_BY_PERSON} if overwrite else set())
    changes = []
    for rule in given:
        document = _stored(db, rule)
        change = _compare(rule, document)
        changes.append(change._replace(written=change.kind in wanted and _write(db, rule, document, now)))
    return [*changes, *_others(db, given)]


@at_the_door
def export_rules(db: AlertDatabase) -> list[Rule]:
    """Every rule of the collection, by rule id. Raises UnusableRulesError, which names all that cannot be used."""
    rules, errors = usable_rules(db)
    if errors:
        raise UnusableRulesError(errors)
    return rules


def _stored(db: AlertDatabase, rule: Rule) -> dict[str, Any] | None:
    return db[COLLECTION].find_one({"rule_id": rule.rule_id})


def _others(db: AlertDatabase, given: Iterable[Rule]) -> list[RuleChange]:
    others = db[COLLECTION].find({"rule_id": {"$nin": [rule.rule_id for rule in given]}}, {"rule_id": 1})
    names = sorted(str(document.get("rule_id")) for document in others)
    return [RuleChange(name, ChangeKind.ONLY_IN_COLLECTION) for name in names]


def _compare(rule: Rule, document: Mapping[str, Any] | None) -> RuleChange:
    after = rule.canonical()
    if document is None:
        return RuleChange(rule.rule_id, ChangeKind.NEW, _differences({}, after))
    before = _content(document)
    differences = _differences(before, after)
    if not differences:
        return RuleChange(rule.rule_id, ChangeKind.SAME)
    published = document.get("published")
    ours = isinstance(published, Mapping) and published.get("hash") == content_hash(before)
    return RuleChange(rule.rule_id, ChangeKind.CHANGED if ours else ChangeKind.CHANGED_BY_PERSON, differences)


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return parse_rule(document).canonical()
    except RuleError as error:
        return {"unreadable": str(error)}


def _write(db: AlertDatabase, rule: Rule, document: Mapping[str, Any] | None, now: datetime) -> bool:
    """Write `rule` over `document`, unless somebody wrote meanwhile."""
    content = rule.canonical()
    published = {"hash": content_hash(content), "conditions": list(content["conditions"]), "at": now}
    fields = {**content, "published": published, "updated_at": now}
    if document is None:
        try:
            db[COLLECTION].insert_one({**fields, "created_at": now})
        except DuplicateKeyError:
            return False
        return True
    # All that was compared is repeated.
    compared = {name: {"$eq": document.get(name)} for name in (*content, "updated_at")}
    return db[COLLECTION].update_one({"_id": document["_id"], **compared}, {"$set": fields}).matched_count == 1


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], under: str = "") -> tuple[FieldChange, ...]:
    found: list[FieldChange] = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping) and not under:
            found += _differences(old, new, f"{name}.")
        elif canonical_json(old) != canonical_json(new):  # Python takes 1 and true for equal
            found.append(FieldChange(f"{under}{name}", old, new))
    return tuple(found)
