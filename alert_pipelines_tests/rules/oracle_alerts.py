"""Which alerts a scan looks at, as the oracle reads docs/rules.md: their history, and maintenance windows."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from alert_pipelines_tests.rules.oracle_trees import equals_one_of
from alert_pipelines_tests.rules.oracle_values import EPOCH, MINUTE, Document, at_or_before, ms

OPEN, ESCALATED, AUTO_CLOSED = "OPEN", "ESCALATED", "AUTO_CLOSED"
PENDING = (OPEN, ESCALATED)
EXPIRES_AT = "expires_at"


def is_evidence(alert: Document, now: int) -> bool:
    return at_or_before(alert.get("timestamp"), now)


def is_of_its_sources(alert: Document, rule: Document) -> bool:
    source, given = alert.get("source_type"), rule["source_type"]
    return isinstance(source, str) and (given == "*" or source in ([given] if isinstance(given, str) else given))


def may_be_decided(alert: Document, windows: Sequence[Document], now: int) -> bool:
    return (
        alert["status"] in PENDING
        and is_evidence(alert, now)
        and not _is_decided_since(alert, now)
        and not any(_covers(window, alert, now) for window in windows)
    )


def history_of(alert: Document) -> list[Document]:
    history = alert.get("state_history")
    return [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []


def _undoes(entry: Document) -> Document:
    undoes = entry.get("undoes")
    return undoes if isinstance(undoes, dict) else {}


def _is_decided_since(alert: Document, now: int) -> bool:
    undone = {_undoes(entry).get("job_id") for entry in history_of(alert)} - {None}
    return any(
        isinstance(entry.get("as_of"), datetime) and ms(entry["as_of"]) >= now and entry.get("job_id") not in undone
        for entry in history_of(alert)
    )


def was_closed_by(alert: Document, rule_id: str) -> bool:
    return any(
        entry.get("to_status") == AUTO_CLOSED
        and (entry.get("rule_triggered") == rule_id or _is_by_a_job_that_names_no_rule(entry))
        and not _is_of_an_earlier_occurrence(entry, alert)
        and entry.get("job_id") not in _allowed_again(alert)
        for entry in history_of(alert)
    )


def _allowed_again(alert: Document) -> set[object]:
    undos = [_undoes(entry) for entry in history_of(alert)]
    return {undo.get("job_id") for undo in undos if undo.get("allow_again") is True}


def _is_by_a_job_that_names_no_rule(entry: Document) -> bool:
    return entry.get("triggered_by") == "system" and entry.get("rule_triggered") in (None, "")


def _is_of_an_earlier_occurrence(entry: Document, alert: Document) -> bool:
    own = alert.get("timestamp")
    dates = [entry[name] for name in ("as_of", "timestamp") if isinstance(entry.get(name), datetime)]
    return bool(dates) and isinstance(own, datetime) and ms(dates[0]) < ms(own)


def escalation_was_undone(alert: Document, rule_id: str) -> bool:
    bygone = [
        entry.get("job_id")
        for entry in history_of(alert)
        if entry.get("to_status") == ESCALATED and _is_of_an_earlier_occurrence(entry, alert)
    ]
    return any(
        entry.get("from_status") == ESCALATED
        and _undoes(entry).get("rule_id") == rule_id
        and _undoes(entry).get("allow_again") is not True
        and _undoes(entry).get("job_id") not in bygone
        for entry in history_of(alert)
    )


def _covers(window: Document, alert: Document, now: int) -> bool:
    return window_names(window, alert) and (_is_in(window, now) or was_raised_in(window, alert, now))


def window_names(window: Document, alert: Document) -> bool:
    sources = window.get("source_types")
    return (sources is None or alert.get("source_type") in sources) and (
        window.get("field") is None or equals_one_of(alert, window["field"], window["values"])
    )


def was_raised_in(window: Document, alert: Document, now: int) -> bool:
    at = ms(alert["timestamp"])
    # A thousand days, since these recur daily.
    looks_back = "rrule" not in window or now - at < 1_000 * 24 * 60 * MINUTE
    return window.get("covers") == "raised" and looks_back and at <= now and _is_in(window, at)


def _is_in(window: Document, at: int) -> bool:
    if "rrule" not in window:
        return ms(window["from"]) <= at < ms(window["to"])
    # Every day at the hour that the last number of the rule says, by the clock of the zone.
    hour, zone = int(window["rrule"].rpartition("=")[2]), ZoneInfo(window["zone"])
    days = [(EPOCH + timedelta(milliseconds=at, days=n)).date() for n in range(-3, 2)]
    starts = [ms(datetime.combine(day, time(hour), zone)) for day in days]
    return any(start <= at < start + window["duration_mins"] * MINUTE for start in starts)
