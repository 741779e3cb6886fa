"""Publishing rules: what a file would change in the collections, and changing it without treading on a person's edit.

A published rule keeps a hash of what was published. A rule whose hash no longer fits, or that has none, is a
person's or the service's.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from alert_pipelines.errors import RuleError, RuleIdTakenError, UnusableRulesError
from alert_pipelines.mongo.client import AlertDatabase, is_standalone, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.model import Rule, canonical_json, content_hash
from alert_pipelines.rules.rule_calendars import CALENDAR_FIELDS
from alert_pipelines.rules.rule_collections import PIPELINE_RULES, SERVICE_RULES, StoredRule, home_of, stored_rules
from alert_pipelines.rules.store import ensure_indexes, intact_rule, load_rules, sign_version, usable_rules
from alert_pipelines.rules.validation import each_once, parse_rule
from alert_pipelines.signature import UNSIGNED, Signature

NOT_ATOMIC = (
    "the MongoDB server is standalone, so rules are not published all at once: a scan that runs meanwhile may use old "
    "and new ones together. A replica set publishes them in one transaction"
)

_log = logging.getLogger(__name__)


class ChangeKind(StrEnum):
    """The difference between a rule of a file and the collections."""

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
    """One rule: how it stands, which fields differ, and whether publishing wrote it.

    The field `collection` differs if the rule belongs in the other collection of rules.
    """

    rule_id: str
    kind: ChangeKind
    fields: tuple[FieldChange, ...] = ()
    written: bool = False

    def is_to_write(self, *, overwrite: bool) -> bool:
        """Whether publishing writes the rule, or moves it."""
        return bool(self.fields) and (overwrite or self.kind is not ChangeKind.CHANGED_BY_PERSON)


class _Step(NamedTuple):
    """What publishing does about one rule: `content` None leaves what the rule says as it stands."""

    change: RuleChange
    standing: Sequence[StoredRule] = ()
    home: str = PIPELINE_RULES
    content: Mapping[str, Any] | None = None


@at_the_door
def diff_rules(db: AlertDatabase, rules: Iterable[Rule]) -> list[RuleChange]:
    """Return what publishing `rules` would change. Rules only in the collections come last and are never deleted.

    Raises AlertPipelinesError where two of the rules have one rule_id.
    """
    return [step.change for step in _steps(db, each_once(rules), stored_rules(db))]


@at_the_door
def publish_rules(
    db: AlertDatabase, rules: Iterable[Rule], *, overwrite: bool = False, signature: Signature = UNSIGNED
) -> list[RuleChange]:
    """Publish rules: write the new and changed ones, all or none.

    Each rule is written to the collection that it belongs in. A stored rule that the alert service cannot store
    completely is moved to the other collection. A concurrent edit by a person is kept. A standalone server has no
    transactions, so rules are written one by one.

    Args:
        db: The database of the alerts.
        rules: The rules to publish.
        overwrite: Whether to replace rules that a person changed since they were published.
        signature: Who publishes and why, stored in the history of the rules.

    Returns:
        The changes as from `diff_rules`, with those that were written.

    Raises:
        AlertPipelinesError: Two of the rules have one rule_id.
        RuleIdTakenError: The collection has another rule with the same id.
        IndexConflictError: The collections cannot be indexed.
        PyMongoError: The database fails.

    Example:
        >>> from pathlib import Path
        >>> from alert_pipelines.rules.files import read_rules
        >>> changes = publish_rules(db, read_rules(Path("rules.yaml")))
        >>> [change.rule_id for change in changes if change.written]
        ['overspeed']
    """
    given, now = each_once(rules), server_now(db)
    ensure_indexes(db)

    def publish(session: ClientSession | None) -> list[RuleChange]:
        return [
            step.change._replace(
                written=step.change.is_to_write(overwrite=overwrite) and _write(db, step, now, session)
            )
            for step in _steps(db, given, stored_rules(db, session))
        ]

    if is_standalone(db):
        _log.warning(NOT_ATOMIC)
        changes = publish(None)
    else:
        with db.client.start_session() as session:
            changes = session.with_transaction(
                publish, ReadConcern("snapshot"), db.write_concern, ReadPreference.PRIMARY
            )
    if signature.fields and any(change.written for change in changes):
        sign_version(db, load_rules(db).rule_set, signature)
    return changes


@at_the_door
def export_rules(db: AlertDatabase) -> list[Rule]:
    """Return all published rules, sorted by rule id. Raises UnusableRulesError, which names all that are not valid."""
    rules, errors = usable_rules(db)
    if errors:
        raise UnusableRulesError(errors)
    return rules


def _steps(db: AlertDatabase, given: Sequence[Rule], stored: Iterable[StoredRule]) -> list[_Step]:
    """The rules of a file, then those that only the collections have, each with what stands under its id."""
    by_id = defaultdict[str, list[StoredRule]](list)
    others: list[_Step] = []
    for one in stored:
        rule_id = one.document.get("rule_id")
        # JavaScript code is a str to Python, and no text.
        if type(rule_id) is str:
            by_id[rule_id].append(one)
        else:
            others.append(_Step(RuleChange(str(rule_id), ChangeKind.ONLY_IN_COLLECTION)))
    steps = [_compare(rule, by_id.pop(rule.rule_id, [])) for rule in given]
    others += [_other(db, rule_id, standing) for rule_id, standing in by_id.items()]
    return [*steps, *sorted(others, key=lambda step: step.change.rule_id)]


def _compare(rule: Rule, standing: Sequence[StoredRule]) -> _Step:
    after, home = rule.canonical(), home_of(rule)
    if not standing:
        return _Step(RuleChange(rule.rule_id, ChangeKind.NEW, differences({}, after)), standing, home, after)
    document = next((one.document for one in standing if one.collection == home), standing[0].document)
    before = _content(document)
    differing = differences(before, after)
    published, hashed = document.get("published"), content_hash(before)
    stamp = published.get("hash") if isinstance(published, Mapping) else None
    # Of another text than it was published with, it would stay a person's, and one that lost conditions idle.
    stamped = () if differing or stamp in (None, hashed) else (FieldChange("published.hash", stamp, hashed),)
    fields = (*_move(standing, home), *differing, *stamped)
    ours = not differing or stamp == hashed
    kind = ChangeKind.CHANGED if fields else ChangeKind.SAME
    if not ours or len(standing) > 1:
        # Which of two is meant, a person has to say.
        kind = ChangeKind.CHANGED_BY_PERSON
    return _Step(RuleChange(rule.rule_id, kind, fields), standing, home, after)


def _other(db: AlertDatabase, rule_id: str, standing: Sequence[StoredRule]) -> _Step:
    """A rule that the file lacks: it stays as it is, but out of reach of the service if that cannot store all of it."""
    change = RuleChange(rule_id, ChangeKind.ONLY_IN_COLLECTION)
    if [one.collection for one in standing] != [SERVICE_RULES]:
        return _Step(change)
    try:
        home = home_of(intact_rule(db, standing[0].document))
    except RuleError:
        return _Step(change)
    return _Step(change._replace(fields=_move(standing, home)), standing, home)


def _move(standing: Sequence[StoredRule], home: str) -> tuple[FieldChange, ...]:
    here = ", ".join(one.collection for one in standing)
    return () if here == home else (FieldChange("collection", here, home),)


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return parse_rule(document).canonical()
    except RuleError as error:
        return {"unreadable": str(error)}


def _write(db: AlertDatabase, step: _Step, now: datetime, session: ClientSession | None) -> bool:
    """Write a rule where it belongs and nowhere else, unless somebody wrote meanwhile."""
    here = next((one.document for one in step.standing if one.collection == step.home), None)
    kept = here or (step.standing[0].document if step.standing else {"created_at": now})
    document = dict(kept) if step.content is None else _published(kept, step.content, step.home, now)
    if here is None:
        done = _insert(db, step.home, document, session)
    else:
        done = db[step.home].replace_one(_as_compared(here), document, session=session).matched_count == 1
    for other in step.standing:
        if done and other.collection != step.home:
            done = db[other.collection].delete_one(_as_compared(other.document), session=session).deleted_count == 1
    return done


def _published(kept: Mapping[str, Any], content: Mapping[str, Any], home: str, now: datetime) -> dict[str, Any]:
    """The document to store for a rule; what else the one before it held is kept."""
    stamp = {"hash": content_hash(content), "conditions": list(content["conditions"]), "at": now}
    # A calendar that the rule no longer goes by goes.
    kept = {name: value for name, value in kept.items() if name not in CALENDAR_FIELDS}
    document = {**kept, **content, "published": stamp, "updated_at": now}
    if home == SERVICE_RULES:
        # The service switches a rule by `is_active` alone, and a mode of off would outrank that.
        del document["mode"]
    return document


def _insert(db: AlertDatabase, home: str, document: dict[str, Any], session: ClientSession | None) -> bool:
    try:
        return db[home].insert_one(document, session=session).acknowledged
    except DuplicateKeyError as error:
        raise RuleIdTakenError(
            f"rule {document['rule_id']!r}: the collection {home!r} already holds a rule that its unique index takes "
            "for the same one. See which with `alert-pipelines rules diff`, then publish again"
        ) from error


def _as_compared(document: Mapping[str, Any]) -> dict[str, Any]:
    """A filter for `document` as long as the rule in it is the one that was compared."""
    return {name: {"$eq": document.get(name)} for name in ("_id", *Rule.model_fields, "updated_at")}


def differences(before: Mapping[str, Any], after: Mapping[str, Any], under: str = "") -> tuple[FieldChange, ...]:
    """The fields in which two contents of rules differ, conditions one by one."""
    found: list[FieldChange] = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping) and not under:
            found += differences(old, new, f"{name}.")
        elif canonical_json(old) != canonical_json(new):  # Python takes 1 and true for equal
            found.append(FieldChange(f"{under}{name}", old, new))
    return tuple(found)
