"""A second reading of docs/rules.md, by brute force: what a scan must decide, in plain Python.

Written from the reference page and sharing no code with the package, so that a fault has to be made twice to
go unseen. It is slow and knows only valid rules and windows. Nothing here reads or writes a database.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from bson.decimal128 import Decimal128

Document = Mapping[str, Any]

OPEN, ESCALATED, AUTO_CLOSED = "OPEN", "ESCALATED", "AUTO_CLOSED"
PENDING = (OPEN, ESCALATED)
EXPIRES_AT = "expires_at"
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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = 60_000
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
    now = _ms(as_of)
    conditions = {name: value for name, value in rule["conditions"].items() if value is not None}
    judged = [
        alert
        for alert in alerts
        if _is_of_its_sources(alert, rule)
        and _may_be_decided(alert, windows, now)
        and alert.get("severity") in conditions.get("severities", [alert.get("severity")])
        and alert["status"] in conditions.get("statuses", PENDING)
        and ("only_if" not in conditions or _holds(conditions["only_if"], alert, now))
    ]
    evidence = [
        alert
        for alert in alerts
        if _is_of_its_sources(alert, rule)
        and _is_evidence(alert, now)
        and not any(_names(window, alert) and _was_raised_in(window, alert, now) for window in windows)
    ]
    speaking = [
        other
        for other in alerts
        if _is_evidence(other, now)
        and not any(_names(window, other) and _was_raised_in(window, other, now) for window in windows)
    ]
    if "suppress_if_other" in conditions:
        judged = [alert for alert in judged if not _other_says(alert, "suppress_if_other", conditions, speaking, now)]
    found: dict[str, set[str]] = {}
    for name in CLOSING:
        if conditions.get(name, False) is not False:
            found[name] = {
                alert["alert_id"]
                for alert in judged
                if not _was_closed_by(alert, rule["rule_id"])
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
                and not _escalation_was_undone(alert, rule["rule_id"])
                and _escalates(alert, name, conditions, evidence, now)
            }
    return found


def due_by_expires_at(alerts: Sequence[Document], windows: Sequence[Document], as_of: datetime) -> set[str]:
    """The `alert_id`s that their own `expires_at` closes, whatever the rules say."""
    now = _ms(as_of)
    return {
        alert["alert_id"]
        for alert in alerts
        if _may_be_decided(alert, windows, now)
        and not _was_closed_by(alert, EXPIRES_AT)
        and _at_or_before(alert.get("expires_at"), now)
        and _ms(alert["expires_at"]) >= max(_ms(alert["timestamp"]), 1)
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
    return isinstance(timestamp, datetime) and _ms(timestamp) >= _ms(clock) + 24 * 60 * _MINUTE


def holds(tree: Document, alert: Document, as_of: datetime) -> bool:
    """Whether a condition tree holds for one alert."""
    return _holds(tree, alert, _ms(as_of))


# Which alerts a scan looks at


def _is_evidence(alert: Document, now: int) -> bool:
    return _at_or_before(alert.get("timestamp"), now)


def _is_of_its_sources(alert: Document, rule: Document) -> bool:
    source, given = alert.get("source_type"), rule["source_type"]
    return isinstance(source, str) and (given == "*" or source in ([given] if isinstance(given, str) else given))


def _may_be_decided(alert: Document, windows: Sequence[Document], now: int) -> bool:
    return (
        alert["status"] in PENDING
        and _is_evidence(alert, now)
        and not _is_decided_since(alert, now)
        and not any(_covers(window, alert, now) for window in windows)
    )


def _history(alert: Document) -> list[Document]:
    history = alert.get("state_history")
    return [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []


def _undoes(entry: Document) -> Document:
    undoes = entry.get("undoes")
    return undoes if isinstance(undoes, dict) else {}


def _is_decided_since(alert: Document, now: int) -> bool:
    undone = {_undoes(entry).get("job_id") for entry in _history(alert)} - {None}
    return any(
        isinstance(entry.get("as_of"), datetime) and _ms(entry["as_of"]) >= now and entry.get("job_id") not in undone
        for entry in _history(alert)
    )


def _was_closed_by(alert: Document, rule_id: str) -> bool:
    return any(
        entry.get("to_status") == AUTO_CLOSED
        and (entry.get("rule_triggered") == rule_id or _is_by_a_job_that_names_no_rule(entry))
        and not _is_of_an_earlier_occurrence(entry, alert)
        and entry.get("job_id") not in _allowed_again(alert)
        for entry in _history(alert)
    )


def _allowed_again(alert: Document) -> set[object]:
    undos = [_undoes(entry) for entry in _history(alert)]
    return {undo.get("job_id") for undo in undos if undo.get("allow_again") is True}


def _is_by_a_job_that_names_no_rule(entry: Document) -> bool:
    return entry.get("triggered_by") == "system" and entry.get("rule_triggered") in (None, "")


def _is_of_an_earlier_occurrence(entry: Document, alert: Document) -> bool:
    own = alert.get("timestamp")
    dates = [entry[name] for name in ("as_of", "timestamp") if isinstance(entry.get(name), datetime)]
    return bool(dates) and isinstance(own, datetime) and _ms(dates[0]) < _ms(own)


def _escalation_was_undone(alert: Document, rule_id: str) -> bool:
    bygone = [
        entry.get("job_id")
        for entry in _history(alert)
        if entry.get("to_status") == ESCALATED and _is_of_an_earlier_occurrence(entry, alert)
    ]
    return any(
        entry.get("from_status") == ESCALATED
        and _undoes(entry).get("rule_id") == rule_id
        and _undoes(entry).get("allow_again") is not True
        and _undoes(entry).get("job_id") not in bygone
        for entry in _history(alert)
    )


def _covers(window: Document, alert: Document, now: int) -> bool:
    return _names(window, alert) and (_is_in(window, now) or _was_raised_in(window, alert, now))


def _names(window: Document, alert: Document) -> bool:
    sources = window.get("source_types")
    return (sources is None or alert.get("source_type") in sources) and (
        window.get("field") is None or _equals_one_of(alert, window["field"], window["values"])
    )


def _was_raised_in(window: Document, alert: Document, now: int) -> bool:
    at = _ms(alert["timestamp"])
    # A thousand days, since these recur daily.
    looks_back = "rrule" not in window or now - at < 1_000 * 24 * 60 * _MINUTE
    return window.get("covers") == "raised" and looks_back and at <= now and _is_in(window, at)


def _is_in(window: Document, at: int) -> bool:
    if "rrule" not in window:
        return _ms(window["from"]) <= at < _ms(window["to"])
    # Every day at the hour that the last number of the rule says, by the clock of the zone.
    hour, zone = int(window["rrule"].rpartition("=")[2]), ZoneInfo(window["zone"])
    days = [(_EPOCH + timedelta(milliseconds=at, days=n)).date() for n in range(-3, 2)]
    starts = [_ms(datetime.combine(day, time(hour), zone)) for day in days]
    return any(start <= at < start + window["duration_mins"] * _MINUTE for start in starts)


def _stopped(
    planned: Iterable[Decision], rules: Sequence[Document], alerts: Sequence[Document]
) -> set[tuple[str, str]]:
    """The rules past a limit, each with the status that it would have set."""
    decided = Counter((decision.rule_id, decision.to_status) for decision in planned)
    stopped = set()
    for rule in rules:
        for to_status, verb, statuses in ((AUTO_CLOSED, "close", PENDING), (ESCALATED, "escalate", (OPEN,))):
            of_source = sum(alert["status"] in statuses and _is_of_its_sources(alert, rule) for alert in alerts)
            count, fraction = (rule["conditions"].get(name) for name in (f"max_{verb}", f"max_{verb}_fraction"))
            due = decided[rule["rule_id"], to_status]
            if (count is not None and due > count) or (fraction is not None and due > fraction * of_source):
                stopped.add((rule["rule_id"], to_status))
    return stopped


# Conditions


def _is_held(alert: Document, conditions: Document, now: int) -> bool:
    if "hold_mins" not in conditions:
        return False
    limit = now - conditions["hold_mins"] * _MINUTE
    updates = (alert.get("updated_at"), _last_update_by_others(alert))
    return not any(_at_or_before(alert.get("created_at") if updated is None else updated, limit) for updated in updates)


def _last_update_by_others(alert: Document) -> object:
    """Which update was the last that no scan made; an array or a text is none that a scan made."""
    updated = alert.get("updated_at")
    if alert["status"] != ESCALATED:
        return updated
    for entry in reversed(_history(alert)):
        if entry.get("triggered_by") != "system" or not isinstance(entry.get("before"), dict):
            continue
        written = [entry[name] for name in ("timestamp", "as_of") if isinstance(entry.get(name), datetime)]
        if isinstance(entry.get("timestamp"), datetime) and updated in written:
            updated = entry["before"].get("updated_at")
    return updated


def _closes(alert: Document, name: str, conditions: Document, evidence: Sequence[Document], now: int) -> bool:
    value: Any = conditions[name]
    if name == "auto_close_if":
        return _equals_one_of(alert, f"metadata.{value}", [True])
    if name == "close_if":
        return _holds(value, alert, now)
    if name == "expire_after_mins":
        return _at_or_before(alert["timestamp"], now - value * _MINUTE)
    of_key = [_ms(other["timestamp"]) for other in _same_key(alert, conditions, evidence)]
    if name == "keep_first":
        pending = [other for other in _same_key(alert, conditions, evidence) if other["status"] in PENDING]
        return any(_ms(other["timestamp"]) < _ms(alert["timestamp"]) for other in pending)
    if name == "close_if_no_repeat_mins":
        return bool(of_key) and max(of_key) <= now - value * _MINUTE
    return any(instant > _ms(alert["timestamp"]) for instant in of_key)


def _escalates(alert: Document, name: str, conditions: Document, evidence: Sequence[Document], now: int) -> bool:
    if name == "escalate_if":
        return _holds(conditions[name], alert, now)
    if name == "escalate_after_mins":
        dates = [alert.get(name) for name in ("timestamp", "created_at", "updated_at")]
        return all(date is None or _at_or_before(date, now - conditions[name] * _MINUTE) for date in dates)
    own = _ms(alert["timestamp"])
    start = own - conditions.get("window_mins", 60) * _MINUTE
    wanted: int = conditions[name]
    counted = [
        other
        for other in _same_key(alert, conditions, evidence)
        if other["status"] in conditions.get("count_statuses", PENDING)
        and start <= _ms(other["timestamp"]) <= own
        and ("count_if" not in conditions or _holds(conditions["count_if"], other, now))
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
        and _is_of_its_sources(candidate, other)
        and _key(candidate, list(match), {}) == own
        and candidate["status"] in other.get("statuses", [candidate["status"]])
        and (not later or _ms(candidate["timestamp"]) >= _ms(alert["timestamp"]))
        and ("if" not in other or _holds(other["if"], candidate, now))
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
    key: list[object] = [_identity(value) for value in values]
    ignored = [_identity(value) for value in conditions.get("ignore_keys", [])]
    return None if any(part in ignored for part in key) else key


def _value_at(alert: Document, path: str) -> object:
    value: object = alert
    for name in path.split("."):
        if isinstance(value, list):
            return value
        value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
    return value


# Condition trees


def _holds(tree: Document, alert: Document, now: int) -> bool:
    if "all" in tree:
        return all(_holds(part, alert, now) for part in tree["all"])
    if "any" in tree:
        return any(_holds(part, alert, now) for part in tree["any"])
    if "not" in tree:
        return not _holds(tree["not"], alert, now)
    values = list(_values_at(alert, tree["field"].split(".")))
    if "value_of" in tree:
        others = list(_values_at(alert, tree["value_of"].split(".")))
        return _compared_holds(tree["op"], values, [_shifted(other, tree) for other in others])
    if tree["op"] in ("contains", "starts_with", "ends_with"):
        return any(isinstance(value, str) and _has_text(value, tree) for value in values)
    return _leaf_holds(tree["op"], values, tree.get("value"), now)


def _has_text(value: str, leaf: Document) -> bool:
    whole, part = (text.casefold() if leaf.get("ignore_case") else text for text in (value, leaf["value"]))
    if leaf["op"] == "contains":
        return part in whole
    return whole.startswith(part) if leaf["op"] == "starts_with" else whole.endswith(part)


def _shifted(value: Any, leaf: Document) -> Any:
    """The other field's value, times and plus; what is then compared with nothing is an array."""
    if leaf.get("times") is None and leaf.get("plus") is None:
        return value if isinstance(value, str | bool | datetime) or _is_number(value) else []
    if not _is_number(value):
        return []
    times, plus, number = leaf.get("times"), leaf.get("plus"), _number(value)
    if isinstance(number, Decimal):
        times, plus = (None if one is None else Decimal(one) for one in (times, plus))
    number = number if times is None else number * times
    return number if plus is None else number + plus


def _compared_holds(op: str, values: list[object], others: list[Any]) -> bool:
    if op == "ne":
        return not _compared_holds("eq", values, others)
    pairs = [(value, other) for value in values for other in others if not isinstance(other, list)]
    if op == "eq":
        return any(_identity(value) == _identity(other) for value, other in pairs)
    return any(_is_ordered(op, value, other) for value, other in pairs)


def _leaf_holds(op: str, values: list[object], wanted: Any, now: int) -> bool:
    opposites = {"ne": "eq", "not_in": "in", "missing": "exists"}
    if op in opposites:
        return not _leaf_holds(opposites[op], values, wanted, now)
    if op in ("eq", "in"):
        listed = wanted if op == "in" else [wanted]
        return any(_identity(value) == _identity(one) for value in values for one in listed)
    if op == "exists":
        return any(value is not None for value in values)
    if op.endswith("_mins"):
        span, dates = wanted * _MINUTE, [_ms(value) for value in values if isinstance(value, datetime)]
        return any(
            {
                "older_than_mins": date <= now - span,
                "newer_than_mins": date > now - span,
                "within_mins": now < date <= now + span,
                "beyond_mins": date > now + span,
            }[op]
            for date in dates
        )
    return any(_is_ordered(op, value, wanted) for value in values)


def _values_at(value: object, names: Sequence[str]) -> Iterator[object]:
    if not names:
        yield value
        if isinstance(value, list):
            yield from value
        return
    for document in value if isinstance(value, list) else [value]:
        if isinstance(document, Mapping) and names[0] in document:
            yield from _values_at(document[names[0]], names[1:])


def _equals_one_of(alert: Document, path: str, wanted: Sequence[object]) -> bool:
    identities = [_identity(one) for one in wanted]
    return any(_identity(value) in identities for value in _values_at(alert, path.split(".")))


# Values: kinds never mix


def _ms(instant: datetime) -> int:
    """Milliseconds, as BSON keeps a date; a naive one is UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _at_or_before(value: object, limit: int) -> bool:
    return isinstance(value, datetime) and _ms(value) <= limit


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal128) and not isinstance(value, bool)


def _number(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value


def _identity(value: Any) -> tuple[str, object]:
    """Equal for two values that are one value to the language."""
    if _is_number(value):
        number = _number(value)
        return ("number", "NaN" if number != number else number)  # noqa: PLR0124 - only NaN differs from itself
    if isinstance(value, datetime):
        return ("date", _ms(value))
    if isinstance(value, list):
        return ("array", [_identity(entry) for entry in value])
    if isinstance(value, Mapping):
        return ("document", [(name, _identity(entry)) for name, entry in value.items()])
    return (type(value).__name__, value)


def _is_ordered(op: str, value: Any, wanted: Any) -> bool:
    if isinstance(value, datetime) and isinstance(wanted, datetime):
        value, wanted = _ms(value), _ms(wanted)
    texts = isinstance(value, str) and isinstance(wanted, str)
    if not texts and not (_is_number(value) and _is_number(wanted)):
        return False
    left, right = (value.encode(), wanted.encode()) if texts else (_number(value), _number(wanted))
    if left != left or right != right:  # noqa: PLR0124 - NaN
        return False
    orders: dict[str, bool] = {
        "lt": left < right,
        "lte": left <= right,
        "gt": left > right,
        "gte": left >= right,
    }
    return orders[op]
