"""The digest of a day: what the daily report counts of it, what limits block, which alerts are malformed; a few lines.

It is made by the sensor that sends it, so it loads no pandas and takes a bounded time. The numbers are those of the
daily report: docs/daily-report.md says what each counts.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.alerts.malformed import name_malformed
from alert_pipelines.errors import ActivityTimeoutError
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.monitoring.notices import Digest
from alert_pipelines.monitoring.scan_records import first_blocked, last_ended_scan
from alert_pipelines.reports.activity import changes
from alert_pipelines.scanner.result import stored_violations

MAX_SECONDS = 15.0
"""Less than what Dagster gives a sensor's tick, minus the time that the delivery may take."""

_MAX_RULES = 5
_MAX_ALERTS = 3
_LONGEST = 300

_Counts = Counter[tuple[str, str, str]]


@at_the_door
def day_digest(db: AlertDatabase, day: date, *, ui_url: str | None = None, report: str = "daily_report") -> Digest:
    """The digest of `day`; nothing is written. `report` is the asset of the daily report, for a link with `ui_url`.

    If the server needs longer than MAX_SECONDS to count what was done, the digest says so and has the rest.
    """
    try:
        counts = _counts(db, day)
    except ActivityTimeoutError as error:
        done = f"{error}: make the two indexes of docs/daily-report.md."
        short = "what was done was not counted"
    else:
        done, short = "\n".join(_done(counts)), _in_short(counts)
    lines = [
        f"{day} (UTC), database {db.name}:",
        done,
        *_blocked(db, ui_url),
        *_malformed(db),
        _report(day, ui_url, report),
    ]
    return Digest(day=day, title=f"{day}: {short}", text="\n".join(lines))


def _counts(db: AlertDatabase, day: date) -> _Counts:
    """The changes of the day by what, by whom, and rule."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    counts: _Counts = Counter()
    for batch in changes(db, start, start + timedelta(days=1), max_seconds=MAX_SECONDS):
        counts.update((change.what, change.by, change.rule) for change in batch)
    return counts


def _in_short(counts: _Counts) -> str:
    return ", ".join(f"{_total(counts, what):,} {what}" for what in ("closed", "escalated", "reopened", "undone"))


def _done(counts: _Counts) -> Iterator[str]:
    for what in ("closed", "escalated", "resolved"):
        rules, people = _total(counts, what, "rules"), _total(counts, what, "people")
        if what == "resolved" and not rules + people:
            continue
        yield f"{what.capitalize()}: {rules:,} by rules{_by_rule(counts, what)}, {people:,} by people"
    yield f"Reopened: {_total(counts, 'reopened'):,}. Undone: {_total(counts, 'undone'):,}"


def _by_rule(counts: _Counts, what: str) -> str:
    of_rule = Counter({rule: alerts for (done, by, rule), alerts in counts.items() if (done, by) == (what, "rules")})
    # By name among equals, so that the same day makes the same digest.
    ordered = sorted(of_rule.items(), key=lambda one: (-one[1], one[0]))
    named = [f"{rule} {alerts:,}" for rule, alerts in ordered[:_MAX_RULES]]
    more = [f"{len(ordered) - _MAX_RULES} more rules"] if len(ordered) > _MAX_RULES else []
    return f" ({', '.join([*named, *more])})" if named else ""


def _total(counts: _Counts, what: str, by: str | None = None) -> int:
    return sum(alerts for (done, who, _), alerts in counts.items() if done == what and by in (None, who))


def _blocked(db: AlertDatabase, ui_url: str | None) -> Iterator[str]:
    record = last_ended_scan(db, server_now(db))
    found = stored_violations(record.get("stats")) if record else ()
    if record is None or not found:
        yield "Blocked by a limit: nothing"
        return
    since = (first_blocked(db, record) or record)["started_at"]
    run = f" {ui_url}/runs/{record['run_id']}" if ui_url and record.get("run_id") else ""
    yield f"Blocked by a limit since {since:%Y-%m-%d %H:%M}, last in {record['job_id']}:{run}"
    yield from (f"- {one.message:.{_LONGEST}}" for one in found)


def _malformed(db: AlertDatabase) -> Iterator[str]:
    found = name_malformed(db[COLLECTION], server_now(db), None, lambda query: query())
    yield f"Malformed pending alerts: {len(found):,}" if found else "Malformed pending alerts: none"
    yield from (f"- {one:.{_LONGEST}}" for one in found[:_MAX_ALERTS])
    if len(found) > _MAX_ALERTS:
        yield f"- … and {len(found) - _MAX_ALERTS:,} more"


def _report(day: date, ui_url: str | None, report: str) -> str:
    page = f"{ui_url}/assets/{quote(report)}?view=partitions&partition={day} or " if ui_url else ""
    return f"Report: {page}`alert-pipelines report {day}`"
