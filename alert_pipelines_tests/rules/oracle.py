"""A second reading of docs/rules.md, by brute force: what a scan must decide, in plain Python.

Written from the reference page and sharing no code with the package, so that a fault has to be made twice to
go unseen. It is slow and knows only valid rules and windows. Nothing here reads or writes a database.
oracle_alerts, oracle_trees and oracle_values are parts of it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from alert_pipelines_tests.rules.oracle_alerts import (
    AUTO_CLOSED,
    ESCALATED,
    EXPIRES_AT,
    OPEN,
    PENDING,
    escalation_was_undone,
    history_of,
    is_evidence,
    is_of_its_sources,
    may_be_decided,
    was_closed_by,
    was_raised_in,
    window_names,
)
from alert_pipelines_tests.rules.oracle_trees import equals_one_of, tree_holds
from alert_pipelines_tests.rules.oracle_values import MINUTE, Document, at_or_before, identity, ms

CLOSING = (
    "auto_close_if",
    "close_if",
    "expire_after_mins",
    "close_if_no_repeat_mins",
    "keep_latest",
    "keep_first",
    "close_if_other",
)
ESCALATING = ("escalate_if", "escalate_after_mins", "escalate_if_count")

_MISSING = object()


class Decision(NamedTuple):
    """What happens to one alert: the rule, its condition that gives the reason, the status to come."""

    rule_id: str
    condition: str
    to_status: str


def decide(
    alerts: Sequence[Document], rules: Sequence[Document], windows: Sequence[Document], as_of: datetime
) -> dict[str, Decision]:
    """The decisions that a scan writes, by `alert_id`."""
    unwritable = {alert["alert_id"] for alert in alerts if takes_no_entry(alert)}
    planned = plan(alerts, rules, windows, as_of)
    writable = {alert_id: decision for alert_id, decision in planned.items() if alert_id not in unwritable}
    stopped = _stopped(writable.values(), rules, alerts)
    return {
        alert_id: decision
        for alert_id, decision in writable.items()
        if (decision.rule_id, decision.to_status) not in stopped
    }


def plan(
    alerts: Sequence[Document], rules: Sequence[Document], windows: Sequence[Document], as_of: datetime
) -> dict[str, Decision]:
    """The decisions that are due, by `alert_id`, also those that a limit or a bad history keeps from a write."""
    writing = [rule for rule in rules if mode(rule) == "active"]
    writing.sort(key=lambda rule: (-rule.get("priority", 0), rule["rule_id"]))
    ranked = [(rule["rule_id"], due(alerts, rule, windows, as_of)) for rule in writing]
    expiring = due_by_expires_at(alerts, windows, as_of)
    candidates = [
        *(
            (Decision(rule_id, name, AUTO_CLOSED), found[name])
            for rule_id, found in ranked
            for name in CLOSING
            if name in found
        ),
        (Decision(EXPIRES_AT, EXPIRES_AT, AUTO_CLOSED), expiring),
        *(
            (Decision(rule_id, name, ESCALATED), found[name])
            for rule_id, found in ranked
            for name in ESCALATING
            if name in found
        ),
    ]
    planned: dict[str, Decision] = {}
    for decision, alert_ids in candidates:
        for alert_id in alert_ids:
            planned.setdefault(alert_id, decision)
    return planned


def shadow_counts(
    alerts: Sequence[Document], rules: Sequence[Document], windows: Sequence[Document], as_of: datetime
) -> Counter[tuple[str, str]]:
    """How many alerts each shadow rule would close and escalate, by rule id and status to come."""
    counts: Counter[tuple[str, str]] = Counter()
    for rule in rules:
        if mode(rule) == "shadow":
            found = due(alerts, rule, windows, as_of)
            closed = set().union(*(ids for name, ids in found.items() if name in CLOSING))
            counts[rule["rule_id"], AUTO_CLOSED] += len(closed)
            escalated = set().union(*(ids for name, ids in found.items() if name in ESCALATING))
            counts[rule["rule_id"], ESCALATED] += len(escalated - closed)
    return +counts


def due(
    alerts: Sequence[Document], rule: Document, windows: Sequence[Document], as_of: datetime
) -> dict[str, set[str]]:
    """The `alert_id`s for which each deciding condition holds by itself, in the order of the page's table."""
    now = ms(as_of)
    conditions = {name: value for name, value in rule["conditions"].items() if value is not None}
    judged = [
        alert
        for alert in alerts
        if is_of_its_sources(alert, rule)
        and may_be_decided(alert, windows, now)
        and alert.get("severity") in conditions.get("severities", [alert.get("severity")])
        and alert["status"] in conditions.get("statuses", PENDING)
        and ("only_if" not in conditions or tree_holds(conditions["only_if"], alert, now))
    ]
    evidence = [
        alert
        for alert in alerts
        if is_of_its_sources(alert, rule)
        and is_evidence(alert, now)
        and not any(window_names(window, alert) and was_raised_in(window, alert, now) for window in windows)
    ]
    speaking = [
        other
        for other in alerts
        if is_evidence(other, now)
        and not any(window_names(window, other) and was_raised_in(window, other, now) for window in windows)
    ]
    if "suppress_if_other" in conditions:
        judged = [alert for alert in judged if not _other_says(alert, "suppress_if_other", conditions, speaking, now)]
    found: dict[str, set[str]] = {}
    for name in CLOSING:
        if conditions.get(name, False) is not False:
            found[name] = {
                alert["alert_id"]
                for alert in judged
                if not was_closed_by(alert, rule["rule_id"])
                and not _is_held(alert, conditions, now)
                and (
                    _other_says(alert, name, conditions, speaking, now)
                    if name == "close_if_other"
                    else _closes(alert, name, conditions, evidence, now)
                )
            }
    for name in ESCALATING:
        if name in conditions:
            found[name] = {
                alert["alert_id"]
                for alert in judged
                if alert["status"] == OPEN
                and not escalation_was_undone(alert, rule["rule_id"])
                and _escalates(alert, name, conditions, evidence, now)
            }
    return found


def due_by_expires_at(alerts: Sequence[Document], windows: Sequence[Document], as_of: datetime) -> set[str]:
    """The `alert_id`s that their own `expires_at` closes, whatever the rules say."""
    now = ms(as_of)
    return {
        alert["alert_id"]
        for alert in alerts
        if may_be_decided(alert, windows, now)
        and not was_closed_by(alert, EXPIRES_AT)
        and at_or_before(alert.get("expires_at"), now)
        and ms(alert["expires_at"]) >= max(ms(alert["timestamp"]), 1)
    }


def mode(rule: Document) -> str:
    """What the rule may do: active, shadow or off, the more cautious of `mode` and `is_active`."""
    is_active = rule.get("is_active", True)
    if rule.get("mode") is None:
        return "active" if is_active else "off"
    return "off" if rule["mode"] == "active" and not is_active else str(rule["mode"])


def takes_no_entry(alert: Document) -> bool:
    """Whether the alert's history is no history, so that a decision for it can only be reported."""
    return not isinstance(alert.get("state_history"), list | None)


def has_reportable_timestamp(alert: Document) -> bool:
    """Whether a scan names the pending alert in its errors because its timestamp is no date."""
    return not isinstance(alert.get("timestamp"), datetime)


def has_reportable_expiry(alert: Document) -> bool:
    """Whether a scan names the pending alert in its errors because its `expires_at` is not a date."""
    return not isinstance(alert.get("expires_at"), datetime | None)


def is_far_ahead(alert: Document, clock: datetime) -> bool:
    """Whether the alert's timestamp is a day or more after `clock`, the later of as_of and the server's time."""
    timestamp = alert.get("timestamp")
    return isinstance(timestamp, datetime) and ms(timestamp) >= ms(clock) + 24 * 60 * MINUTE


def holds(tree: Document, alert: Document, as_of: datetime) -> bool:
    """Whether a condition tree holds for one alert."""
    return tree_holds(tree, alert, ms(as_of))


def _stopped(
    planned: Iterable[Decision], rules: Sequence[Document], alerts: Sequence[Document]
) -> set[tuple[str, str]]:
    """The rules past a limit, each with the status that it would have set."""
    decided = Counter((decision.rule_id, decision.to_status) for decision in planned)
    stopped = set()
    for rule in rules:
        for to_status, verb, statuses in ((AUTO_CLOSED, "close", PENDING), (ESCALATED, "escalate", (OPEN,))):
            of_source = sum(alert["status"] in statuses and is_of_its_sources(alert, rule) for alert in alerts)
            count, fraction = (rule["conditions"].get(name) for name in (f"max_{verb}", f"max_{verb}_fraction"))
            due = decided[rule["rule_id"], to_status]
            if (count is not None and due > count) or (fraction is not None and due > fraction * of_source):
                stopped.add((rule["rule_id"], to_status))
    return stopped


def _is_held(alert: Document, conditions: Document, now: int) -> bool:
    if "hold_mins" not in conditions:
        return False
    limit = now - conditions["hold_mins"] * MINUTE
    updates = (alert.get("updated_at"), _last_update_by_others(alert))
    return not any(at_or_before(alert.get("created_at") if updated is None else updated, limit) for updated in updates)


def _last_update_by_others(alert: Document) -> object:
    """Which update was the last that no scan made; an array or a text is none that a scan made."""
    updated = alert.get("updated_at")
    if alert["status"] != ESCALATED:
        return updated
    for entry in reversed(history_of(alert)):
        if entry.get("triggered_by") != "system" or not isinstance(entry.get("before"), dict):
            continue
        written = [entry[name] for name in ("timestamp", "as_of") if isinstance(entry.get(name), datetime)]
        if isinstance(entry.get("timestamp"), datetime) and updated in written:
            updated = entry["before"].get("updated_at")
    return updated


def _closes(alert: Document, name: str, conditions: Document, evidence: Sequence[Document], now: int) -> bool:
    value: Any = conditions[name]
    if name == "auto_close_if":
        return equals_one_of(alert, f"metadata.{value}", [True])
    if name == "close_if":
        return tree_holds(value, alert, now)
    if name == "expire_after_mins":
        return at_or_before(alert["timestamp"], now - value * MINUTE)
    of_key = [ms(other["timestamp"]) for other in _same_key(alert, conditions, evidence)]
    if name == "keep_first":
        pending = [other for other in _same_key(alert, conditions, evidence) if other["status"] in PENDING]
        return any(ms(other["timestamp"]) < ms(alert["timestamp"]) for other in pending)
    if name == "close_if_no_repeat_mins":
        return bool(of_key) and max(of_key) <= now - value * MINUTE
    return any(instant > ms(alert["timestamp"]) for instant in of_key)


def _escalates(alert: Document, name: str, conditions: Document, evidence: Sequence[Document], now: int) -> bool:
    if name == "escalate_if":
        return tree_holds(conditions[name], alert, now)
    if name == "escalate_after_mins":
        dates = [alert.get(name) for name in ("timestamp", "created_at", "updated_at")]
        return all(date is None or at_or_before(date, now - conditions[name] * MINUTE) for date in dates)
    own = ms(alert["timestamp"])
    start = own - conditions.get("window_mins", 60) * MINUTE
    wanted: int = conditions[name]
    counted = [
        other
        for other in _same_key(alert, conditions, evidence)
        if other["status"] in conditions.get("count_statuses", PENDING)
        and start <= ms(other["timestamp"]) <= own
        and ("count_if" not in conditions or tree_holds(conditions["count_if"], other, now))
    ]
    if alert["alert_id"] not in [other["alert_id"] for other in counted]:
        return False
    if "count_distinct" not in conditions:
        return len(counted) >= wanted
    keys = [_key(other, [conditions["count_distinct"]], conditions={}) for other in counted]
    different: list[object] = []
    for key in keys:
        if key is not None and key not in different:
            different.append(key)
    return len(different) >= wanted


def _other_says(alert: Document, name: str, conditions: Document, speaking: Sequence[Document], now: int) -> bool:
    other = conditions[name]
    group_by = conditions.get("group_by", "metadata.driver_id")
    match = other.get("match") or {path: path for path in ([group_by] if isinstance(group_by, str) else group_by)}
    own = _key(alert, list(match.values()), conditions if name == "close_if_other" else {})
    later = other.get("when", "later" if name == "close_if_other" else "any") == "later"
    return own is not None and any(
        candidate["alert_id"] != alert["alert_id"]
        and is_of_its_sources(candidate, other)
        and _key(candidate, list(match), {}) == own
        and candidate["status"] in other.get("statuses", [candidate["status"]])
        and (not later or ms(candidate["timestamp"]) >= ms(alert["timestamp"]))
        and ("if" not in other or tree_holds(other["if"], candidate, now))
        for candidate in speaking
    )


def _same_key(alert: Document, conditions: Document, evidence: Sequence[Document]) -> list[Document]:
    """The evidence of the alert's key, the alert itself among it; empty where it groups with nothing."""
    group_by = conditions.get("group_by", "metadata.driver_id")
    paths = [group_by] if isinstance(group_by, str) else group_by
    key = _key(alert, paths, conditions)
    same_source = [other for other in evidence if other["source_type"] == alert["source_type"]]
    return [other for other in same_source if _key(other, paths, conditions) == key] if key is not None else []


def _key(alert: Document, paths: Sequence[str], conditions: Document) -> list[object] | None:
    values = [_value_at(alert, path) for path in paths]
    if any(value is _MISSING or value is None or isinstance(value, list) for value in values):
        return None
    key: list[object] = [identity(value) for value in values]
    ignored = [identity(value) for value in conditions.get("ignore_keys", [])]
    return None if any(part in ignored for part in key) else key


def _value_at(alert: Document, path: str) -> object:
    value: object = alert
    for name in path.split("."):
        if isinstance(value, list):
            return value
        value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
    return value
