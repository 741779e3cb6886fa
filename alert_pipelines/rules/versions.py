"""Rule sets of the past, which scans keep with their text: what changed from one to the next, and how to return to one.

A rule set is the active rules: rules in shadow, or off, are part of none.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pymongo import DESCENDING

from alert_pipelines.errors import UnknownVersionError
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.edits import VERSIONS
from alert_pipelines.rules.files import parse_rules
from alert_pipelines.rules.model import Mode, Rule, contents_of
from alert_pipelines.rules.publish import FieldChange, differences
from alert_pipelines.rules.store import USED, load_rules, usable_rules

CURRENT = "current"
"""What stands for the rules that the next scan uses, where a version is asked for."""
MIN_CHARS = 4
_UNREADABLE = f"its text in {VERSIONS} is not valid: expected a JSON list of rules, as a scan stores it"

_log = logging.getLogger(__name__)


class PastRuleSet(NamedTuple):
    """A rule set; `first_used_at` is None for one that no scan has used, `rules` has each rule's content by its id."""

    version: str
    first_used_at: datetime | None
    rules: Mapping[str, Mapping[str, Any]]
    published: Mapping[str, Any] = {}


class VersionChange(NamedTuple):
    """How one rule differs between two rule sets."""

    rule_id: str
    change: Literal["added", "changed", "removed"]
    fields: tuple[FieldChange, ...] = ()


class HistoryEntry(NamedTuple):
    """A rule set that scans used: how many rules it has, and what is different from the one before it.

    `published` says when it was last published, `by` whom and for which `reason`, if that was said.
    """

    version: str
    first_used_at: datetime | None
    rules: int
    changes: list[VersionChange]
    published: Mapping[str, Any]


@at_the_door
def history_of_rules(db: AlertDatabase, limit: int, rule_id: str | None = None) -> list[HistoryEntry]:
    """The `limit` newest rule sets by their first use, the newest first; with `rule_id`, those in which it changed."""
    order = [("first_used_at", DESCENDING), ("_id", DESCENDING)]
    newest = db[VERSIONS].find(USED).sort(order).allow_disk_use(True)
    entries: list[HistoryEntry] = []
    after: PastRuleSet | None = None
    for document in newest:
        before = _as_kept(document)
        if before is None:
            _log.warning("The rule set %r was left out: %s", document.get("version"), _UNREADABLE)
            continue
        _add(entries, before, after, rule_id)
        if len(entries) == limit:
            return entries
        after = before
    _add(entries, PastRuleSet("", None, {}), after, rule_id)
    return entries


@at_the_door
def find_rule_set(db: AlertDatabase, version: str) -> PastRuleSet:
    """The rule set that `version` means: a version, or how it begins, or CURRENT. Raises UnknownVersionError."""
    if version == CURRENT:
        current = load_rules(db).rule_set
        kept = db[VERSIONS].find_one({"version": current.version})
        contents = {rule.rule_id: rule.canonical() for rule in current.active}
        return PastRuleSet(current.version, kept.get("first_used_at") if kept else None, contents)
    # No regular expression: what was typed is text.
    begins_so = {"version": {"$gte": version, "$lt": f"{version}\U0010ffff"}}
    found = [] if len(version) < MIN_CHARS else list(db[VERSIONS].find(begins_so).limit(2))
    if len(found) != 1:
        raise UnknownVersionError(
            f"{version!r:.100} is not a valid version of the rules: expected {CURRENT!r}, or the first {MIN_CHARS} or "
            f"more characters of a version; {'several versions begin' if found else 'no version begins'} so. "
            "`alert-pipelines rules history` lists the versions"
        )
    rule_set = _as_kept(found[0])
    if rule_set is None:
        raise UnknownVersionError(f"the rule set {found[0]['version']!r} cannot be used: {_UNREADABLE}")
    return rule_set


def changes_between(before: PastRuleSet, after: PastRuleSet) -> list[VersionChange]:
    """What is different in `after`, by rule id."""
    changes: list[VersionChange] = []
    for rule_id in sorted({*before.rules, *after.rules}):
        if rule_id not in before.rules:
            changes.append(VersionChange(rule_id, "added"))
        elif rule_id not in after.rules:
            changes.append(VersionChange(rule_id, "removed"))
        elif fields := differences(before.rules[rule_id], after.rules[rule_id]):
            changes.append(VersionChange(rule_id, "changed", fields))
    return changes


@at_the_door
def rules_to_return(db: AlertDatabase, version: str) -> list[Rule]:
    """What to publish so that scans use the rule set `version` again: its rules, and those that it lacks, off.

    Its rules bring the calendars of that version. Raises UnknownVersionError, and RuleFileError for rules that this
    edition does not accept.
    """
    wanted = find_rule_set(db, version)
    rules = parse_rules(list(wanted.rules.values()), f"the rule set {wanted.version}")
    active = (rule for rule in usable_rules(db)[0] if rule.effective_mode is Mode.ACTIVE)
    others = (rule.model_copy(update={"mode": Mode.OFF}) for rule in active if rule.rule_id not in wanted.rules)
    return [*rules, *others]


def _add(entries: list[HistoryEntry], before: PastRuleSet, after: PastRuleSet | None, rule_id: str | None) -> None:
    if after is not None:
        changes = [one for one in changes_between(before, after) if rule_id in (None, one.rule_id)]
        if changes or rule_id is None:
            entries.append(HistoryEntry(after.version, after.first_used_at, len(after.rules), changes, after.published))


def _as_kept(document: Mapping[str, Any]) -> PastRuleSet | None:
    contents = contents_of(document.get("text"))
    if contents is None:
        return None
    published = document.get("published")
    signed = published if isinstance(published, dict) else {}
    return PastRuleSet(str(document.get("version")), document.get("first_used_at"), contents, signed)
