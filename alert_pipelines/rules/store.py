"""Reads rules, `rule_versions` and `maintenance_windows` for a scan, and stores rule set versions.

`publish` changes rules.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pymongo import ASCENDING, IndexModel

from alert_pipelines.errors import AlertPipelinesError, RuleError
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.indexes import create_missing_indexes
from alert_pipelines.rules.calendar_store import with_calendars
from alert_pipelines.rules.edits import VERSIONS, lost_conditions
from alert_pipelines.rules.model import Rule, RuleSet, contents_of
from alert_pipelines.rules.rule_collections import COLLECTIONS, PIPELINE_RULES, SERVICE_RULES, StoredRule, stored_rules
from alert_pipelines.rules.validation import each_once, parse_rule, parse_window
from alert_pipelines.rules.windows import Covers, MaintenanceWindow
from alert_pipelines.signature import Signature

MAINTENANCE_WINDOWS = "maintenance_windows"

INDEXES = (IndexModel([("rule_id", ASCENDING)], name="rule_id_unique", unique=True),)
VERSION_INDEXES = (IndexModel([("version", ASCENDING)], name="version_unique", unique=True),)


USED: dict[str, Any] = {"$nor": [{"first_used_at": None, "published": {"$ne": None}}]}
"""The filter of the rule set versions that a scan used; the others were published with a signature."""


class LoadedRules(NamedTuple):
    """The usable rules of both collections, and what is wrong with the others."""

    rule_set: RuleSet
    errors: tuple[RuleError, ...]


class LoadedWindows(NamedTuple):
    """The maintenance windows that leave something out, and what is wrong with those that cannot be read."""

    windows: tuple[MaintenanceWindow, ...]
    errors: tuple[str, ...]


@at_the_door
def ensure_indexes(db: AlertDatabase) -> list[str]:
    """Create the indexes that the collections of rules and `rule_versions` lack; return their names.

    Raises IndexConflictError, as DuplicateKeyValuesError where rules share an id and all else is made.
    """
    return [
        *create_missing_indexes(db, VERSIONS, VERSION_INDEXES),
        *create_missing_indexes(db, PIPELINE_RULES, INDEXES),
        *create_missing_indexes(db, SERVICE_RULES, INDEXES),
    ]


@at_the_door
def load_rules(db: AlertDatabase) -> LoadedRules:
    """Read every rule with its calendars; a bad one is left out and named, and so are all that share one rule_id."""
    rules, errors = usable_rules(db)
    complete = with_calendars(db, rules)
    return LoadedRules(RuleSet.of(complete.rules), (*errors, *complete.errors))


@at_the_door
def rules_if_published(db: AlertDatabase, given: Iterable[Rule]) -> LoadedRules:
    """What a scan would use if the rules `given` were published, also over a person's edits.

    Raises AlertPipelinesError where two of them have one rule_id.
    """
    replacing = each_once(given)
    stored, errors = usable_rules(db)
    complete = with_calendars(db, {rule.rule_id: rule for rule in (*stored, *replacing)}.values())
    # A list: the id of a rule that is not valid may be of any kind, also of one that cannot be hashed.
    replaced = [rule.rule_id for rule in replacing]
    left = [error for error in errors if error.rule_id not in replaced]
    return LoadedRules(RuleSet.of(complete.rules), (*left, *complete.errors))


@at_the_door
def usable_rules(db: AlertDatabase) -> tuple[list[Rule], list[RuleError]]:
    """Every rule that can be used, of whichever mode, by rule id; and what is wrong with each of the others."""
    found = stored_rules(db)
    rules: list[Rule] = []
    errors: list[RuleError] = []
    for collection, document in found:
        try:
            # Only the service edits rules that it does not know whole, and only where it sees them.
            rules.append(intact_rule(db, document) if collection == SERVICE_RULES else parse_rule(document))
        except RuleError as error:
            errors.append(error)
    shared = _shared_ids(found)
    errors += [RuleError(rule_id, [why]) for rule_id, why in shared.items()]
    usable = (rule for rule in rules if rule.rule_id not in shared)
    return sorted(usable, key=lambda rule: rule.rule_id), errors


def _shared_ids(found: Sequence[StoredRule]) -> dict[str, str]:
    """The rule ids that more than one document has, with what is to be done."""
    named = ((one.document.get("rule_id"), one.collection) for one in found)
    times = Counter((rule_id, collection) for rule_id, collection in named if type(rule_id) is str)
    shared = {
        rule_id: f"{count} documents have this rule_id: keep one" for (rule_id, _), count in times.items() if count > 1
    }
    for rule_id in {rule_id for rule_id, _ in times}:
        if all((rule_id, collection) in times for collection in COLLECTIONS):
            shared[rule_id] = (
                f"{' and '.join(COLLECTIONS)} both have a rule of this rule_id, and neither decides anything: publish "
                "its file with --overwrite, or delete one of the two"
            )
    return dict(sorted(shared.items()))


@at_the_door
def intact_rule(db: AlertDatabase, document: Mapping[str, Any]) -> Rule:
    """The rule of a stored document. Raises RuleError if it is not valid, or lost conditions since it was published."""
    rule = parse_rule(document)
    if lost := lost_conditions(db, document, rule):
        raise RuleError(rule.rule_id, [lost])
    return rule


@at_the_door
def load_windows(db: AlertDatabase, as_of: datetime) -> LoadedWindows:
    """Read the maintenance windows that leave something out at `as_of`, and name those that are not valid."""
    windows: list[MaintenanceWindow] = []
    errors: list[str] = []
    for document in db[MAINTENANCE_WINDOWS].find({"$nor": _surely_not_holding(as_of)}):
        try:
            window = parse_window(document)
        except AlertPipelinesError as error:
            ended = document.get("ended_at")
            # One that was ended is not named any more.
            errors += [] if isinstance(ended, datetime) and ended <= as_of else [str(error)]
        else:
            windows += [window] if window.matters_at(as_of) else []
    return LoadedWindows(tuple(windows), tuple(errors))


def _surely_not_holding(as_of: datetime) -> list[dict[str, Any]]:
    """Filters of the windows that are to come, or over with nothing raised in them to leave out.

    A window of which a date is missing, or comes before the other, passes them until it is over, so that it is named;
    one that says more of what it covers than `now` passes them for good.
    """
    return [
        {"from": {"$gt": as_of}, "$expr": {"$gt": ["$to", "$from"]}, "rrule": None},
        {"to": {"$lte": as_of}, "from": {"$not": {"$gt": as_of}}, **_covers_now()},
        {"ended_at": {"$lte": as_of}, **_covers_now()},
    ]


def _covers_now() -> dict[str, Any]:
    """The test that a window leaves nothing out for good, by any misspelling of `covers` or its value either."""
    values = {"$map": {"input": {"$objectToArray": "$$ROOT"}, "in": "$$this.v"}}
    return {"covers": {"$in": [None, Covers.NOW.value]}, "$expr": {"$not": {"$in": [Covers.RAISED.value, values]}}}


@at_the_door
def keep_version(db: AlertDatabase, rule_set: RuleSet) -> None:
    """Keep the full text of the rule set's version, once."""
    if db[VERSIONS].find_one({"version": rule_set.version, **USED}, {"_id": 1}) is None:
        fields = {"text": {"$literal": rule_set.text}, "first_used_at": {"$ifNull": ["$first_used_at", "$$NOW"]}}
        db[VERSIONS].update_one({"version": rule_set.version}, [{"$set": fields}], upsert=True)


@at_the_door
def sign_version(db: AlertDatabase, rule_set: RuleSet, signature: Signature) -> None:
    """Keep who published the rule set's version, and why. Until a scan uses it, it is not part of the history."""
    published = {"at": "$$NOW", **{name: {"$literal": text} for name, text in signature.fields.items()}}
    fields = {"text": {"$literal": rule_set.text}, "published": published}
    db[VERSIONS].update_one({"version": rule_set.version}, [{"$set": fields}], upsert=True)


@at_the_door
def rule_text(db: AlertDatabase, version: str, rule_id: str) -> dict[str, Any] | None:
    """A rule as it was in a rule set version, or None where that version or rule was never kept."""
    return rule_texts(db, version).get(rule_id)


@at_the_door
def rule_texts(db: AlertDatabase, version: str) -> dict[str, dict[str, Any]]:
    """The active rules of a rule set version as they were, by rule id; none where it was never kept."""
    kept = db[VERSIONS].find_one({"version": {"$eq": version}}) or {}
    return contents_of(kept.get("text")) or {}
