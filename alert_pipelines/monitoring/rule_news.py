"""Finds the scans that decided alerts by rules with `notify`, with their first alerts.

It reads job records and histories after a scan, so it also covers scans that died, and cannot delay or fail one.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from pymongo import DESCENDING

from alert_pipelines.alerts import COLLECTION as ALERTS
from alert_pipelines.alerts import entries_where
from alert_pipelines.alerts.decision_counts import truncate
from alert_pipelines.job_records import COLLECTION, COMPLETED, FAILED, SCANS
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.clause import Stage
from alert_pipelines.rules.key_text import key_text
from alert_pipelines.rules.model import DEFAULT_KEY
from alert_pipelines.rules.store import rule_texts
from alert_pipelines.rules.tree_words import reason_in_words

_MAX_READ = 1000
_MAX_SCANS = 5
_MAX_RULES = 10
_MAX_ALERTS = 5
_LONGEST_LINE = 300


class RuleNews(NamedTuple):
    """What one scan did by one rule that notifies; `alerts` has a line for each of the first."""

    rule_id: str
    closed: int
    escalated: int
    alerts: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """The number of alerts that it decided."""
        return self.closed + self.escalated


class ScanNews(NamedTuple):
    """A scan that decided alerts by rules that notify."""

    job_id: str
    run_id: str | None
    ended_at: datetime
    rules: tuple[RuleNews, ...]


@at_the_door
def rule_news(db: AlertDatabase, since: datetime, known: Collection[str], now: datetime) -> list[ScanNews]:
    """Return the scans since `since`, except `known`, that decided something by a rule that notifies.

    Newest first, at most 1000; the newest five scans have their first alerts.
    """
    query = {
        **SCANS,
        "status": {"$in": [COMPLETED, FAILED]},
        "completed_at": {"$gte": since, "$lte": now},
        "job_id": {"$nin": [*known]},
        "stats.decisions.0": {"$exists": True},
    }
    fields = ("job_id", "run_id", "completed_at", "stats.decisions", "stats.rule_set_version")
    found = db[COLLECTION].find(query, fields).sort("completed_at", DESCENDING).limit(_MAX_READ)
    keys_of_rules = cache(partial(_keys_of_rules, db))
    scans: list[ScanNews] = []
    for record in found:
        if isinstance(record["job_id"], str) and isinstance(record["stats"], dict):
            keys = keys_of_rules(_version(db, record))
            rules = _decided_by(record, keys)
            if rules:
                named = rules[:_MAX_RULES] if len(scans) < _MAX_SCANS else []
                with_alerts = [_with_alerts(db, record["job_id"], one, keys[one.rule_id]) for one in named]
                rules = (*with_alerts, *rules[len(named) :])
                scans.append(ScanNews(record["job_id"], record.get("run_id"), record["completed_at"], rules))
    return scans


def headline(scans: Sequence[ScanNews]) -> str:
    """Return the title of a message about `scans`."""
    rules = [news for scan in scans for news in scan.rules]
    rule_ids = {news.rule_id for news in rules}
    who = f"rule {rules[0].rule_id!r}" if len(rule_ids) == 1 else f"{len(rule_ids)} rules"
    return f"{who} {_did(sum(news.closed for news in rules), sum(news.escalated for news in rules))}"


def lines_of(scan: ScanNews) -> Iterator[str]:
    """Yield the lines of a message about `scan`, below its name."""
    for news in scan.rules[:_MAX_RULES]:
        yield f"Rule {news.rule_id!r} {_did(news.closed, news.escalated)}{':' if news.alerts else '.'}"
        yield from (f"- {line}" for line in news.alerts)
        if news.alerts and news.total > len(news.alerts):
            yield f"- … and {news.total - len(news.alerts)} more"
    if len(scan.rules) > _MAX_RULES:
        yield f"… and {len(scan.rules) - _MAX_RULES} more rules."
    yield f"To list all of them, run `alert-pipelines jobs show {scan.job_id} --alerts`"


def _did(closed: int, escalated: int) -> str:
    parts = [f"{verb} {number}" for verb, number in (("escalated", escalated), ("closed", closed)) if number]
    return f"{' and '.join(parts)} {'alert' if closed + escalated == 1 else 'alerts'}"


def _keys_of_rules(db: AlertDatabase, version: str) -> dict[str, list[str]]:
    """The paths of the key of each rule that notifies, as the rules stood in the rule set `version`."""
    conditions = {rule_id: rule["conditions"] for rule_id, rule in rule_texts(db, version).items()}
    return {
        rule_id: given.get("group_by") or [DEFAULT_KEY] for rule_id, given in conditions.items() if given.get("notify")
    }


def _version(db: AlertDatabase, record: Mapping[str, Any]) -> str:
    """The rule set of a scan; the record of one that died does not say, and the alerts that it decided do."""
    if isinstance(version := record["stats"].get("rule_set_version"), str):
        return version
    job_id = record["job_id"]
    decided = db[ALERTS].find_one({"state_history.job_id": {"$eq": job_id}}, {"state_history": 1})
    entries = decided["state_history"] if decided else []
    versions = [one.get("rule_set_version") for one in entries if isinstance(one, dict) and one.get("job_id") == job_id]
    return str(versions[0]) if versions else ""


def _decided_by(record: Mapping[str, Any], rule_ids: Collection[str]) -> tuple[RuleNews, ...]:
    """Return what the scan did by `rule_ids`, the most first. Undone decisions are not counted."""
    counts: Counter[tuple[str, str]] = Counter()
    # Anybody may edit a record; an invalid entry must not prevent other reports.
    entries = record["stats"]["decisions"]
    for entry in entries if isinstance(entries, list) else ():
        rule_id, alerts = (entry.get("rule_id"), entry.get("alerts")) if isinstance(entry, dict) else (None, None)
        if isinstance(rule_id, str) and rule_id in rule_ids and isinstance(alerts, int):
            counts[rule_id, str(entry.get("decision"))] += alerts
    decided = (RuleNews(rule_id, counts[rule_id, "close"], counts[rule_id, "escalate"]) for rule_id in rule_ids)
    return tuple(sorted((news for news in decided if news.total), key=lambda news: (-news.total, news.rule_id)))


def _with_alerts(db: AlertDatabase, job_id: str, news: RuleNews, key: Sequence[str]) -> RuleNews:
    found = db[ALERTS].aggregate(_first_alerts(job_id, news.rule_id, key))
    return news._replace(alerts=tuple(_line(alert, news.rule_id, key) for alert in found))


def _first_alerts(job_id: str, rule_id: str, key: Sequence[str]) -> list[Stage]:
    mine = {"job_id": {"$eq": job_id}, "rule_triggered": {"$eq": rule_id}}
    is_mine = [{"$eq": [f"$$entry.{name}", {"$literal": value["$eq"]}]} for name, value in mine.items()]
    entry = {"$first": entries_where(*is_mine)}
    return [
        {"$match": {"state_history": {"$elemMatch": mine}, "state_history.undoes.job_id": {"$ne": job_id}}},
        {"$limit": _MAX_ALERTS},
        {"$project": {"alert_id": 1, "key": [f"${path}" for path in key], "entry": entry}},
    ]


def _line(alert: Mapping[str, Any], rule_id: str, key: Sequence[str]) -> str:
    named = [f"{path} {key_text([value])}" for path, value in zip(key, alert["key"], strict=True) if value is not None]
    of_key = f" ({', '.join(named)})" if named else ""
    reason = reason_in_words(str(alert["entry"].get("reason")).removeprefix(f"{rule_id}: "))
    return truncate(f"{key_text([alert.get('alert_id')])}{of_key}: {reason}", _LONGEST_LINE)
