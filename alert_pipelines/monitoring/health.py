"""Health checks: evaluate job records and alerts, and say what to do.

Each check reads recent data, or what an index counts. `scan_records` reads the records; the Dagster layer decides when
to run checks and how the UI shows them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from alert_pipelines.alerts import A_DATE, COLLECTION, OUTSIDE_CONTRACT, PENDING, Status
from alert_pipelines.alerts.decision_counts import COUNT_COLUMNS
from alert_pipelines.alerts.filters import of_sources
from alert_pipelines.alerts.pending import PendingOfSources, of_one_source
from alert_pipelines.job_model import JOB_RECORDS
from alert_pipelines.job_records import RUNNING, SCANNER, STALLED_WITHOUT_LEASE
from alert_pipelines.mongo.client import STANDALONE, AlertDatabase, is_standalone
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.monitoring.rule_activity import IS_REOPENED, closes_by
from alert_pipelines.monitoring.scan_records import (
    HOUR,
    closing_jobs,
    completed_before,
    decisions_by_rule,
    hours_of_scans,
    last_checked_scan,
    last_completed_scan,
    last_ended_scan,
)
from alert_pipelines.rules.field_kinds import kind_faults
from alert_pipelines.rules.rule_collections import COLLECTIONS as RULES
from alert_pipelines.rules.store import load_rules
from alert_pipelines.scanner.overlooked import WOULD_OVERLOOK
from alert_pipelines.scanner.result import stored_violations

SPIKE_DAYS = 7
SPIKE_FACTOR = 3
SPIKE_AT_LEAST = 100
"""At most this many alerts an hour are never a spike."""

REOPEN_DAYS = 7
REOPEN_AT_LEAST = 20
"""With fewer closes by a rule, a percentage means little."""

MAX_STATUSES = 20
"""At most this many statuses outside the contract are named."""

STALLED_GRACE = timedelta(minutes=2)
"""The sensor ends stalled jobs every 15 s; after this time, nobody ends a job."""


class HealthResult(NamedTuple):
    """Whether a check passed, a description with what to do if not, and the figures behind it.

    `rows` is a table with `columns`.
    """

    passed: bool
    description: str
    numbers: Mapping[str, int | float] = {}
    columns: Sequence[str] = ()
    rows: Sequence[tuple[Any, ...]] = ()


class PendingOfSource(NamedTuple):
    """The pending alerts of one source and status; `oldest` is their earliest timestamp up to now."""

    source_type: str
    status: Status
    alerts: int
    oldest: datetime | None
    oldest_alert: str | None


@at_the_door
def scans_are_fresh(db: AlertDatabase, now: datetime, stale_after: timedelta | None) -> HealthResult:
    """Check that a scan completed within `stale_after` before `now`; None if no scan is scheduled."""
    last = last_completed_scan(db, now)
    ended = last.get("completed_at") if last else None
    # The server's clock may have been set back since.
    minutes = max((now - ended).total_seconds() / 60, 0.0) if isinstance(ended, datetime) else None
    numbers = {} if minutes is None else {"minutes since the last scan": round(minutes, 1)}
    if stale_after is None:
        return HealthResult(True, "Scans are switched off by AUTO_CLOSE_CRON.", numbers)
    limit = stale_after.total_seconds() / 60
    if minutes is not None and minutes <= limit:
        return HealthResult(True, f"The last scan completed {minutes:.0f} min ago.", numbers)
    since = f"for {minutes:.0f} min" if minutes is not None else "in 30 days"
    return HealthResult(
        False, f"No scan has completed {since} (limit: {limit:.0f} min). {_why_none(db, now, stale_after)}", numbers
    )


def _why_none(db: AlertDatabase, now: datetime, stale_after: timedelta) -> str:
    """Why no scan completed within `stale_after`, and what to do."""
    last = last_ended_scan(db, now)
    if last and last["started_at"] >= now - stale_after and (blocked := stored_violations(last.get("stats"))):
        # Its run is red the first time only.
        return f"Scans run and a limit blocks them: {blocked[0].message} The check within_limits has the links for it."
    return (
        "Check that auto_close_schedule is on and the daemon is running (Deployment → Daemons), and why the last runs "
        "of auto_close_job failed. To scan immediately, run `alert-pipelines scan`."
    )


@at_the_door
def silent_rules(db: AlertDatabase, now: datetime, days: int) -> HealthResult:
    """Check that each active rule decided something in the last `days`, except rules that changed since."""
    since = now - timedelta(days=days)
    if not completed_before(db, since):
        return HealthResult(True, f"Scans have been running for less than {days} days: silent rules are not known yet.")
    heard = {total.rule_id for total in decisions_by_rule(db, since)}
    changed = {"$or": [{"created_at": {"$gte": since}}, {"updated_at": {"$gte": since}}]}
    for name in RULES:
        heard |= {str(document.get("rule_id")) for document in db[name].find(changed, {"rule_id": 1})}
    silent = [rule for rule in load_rules(db).rule_set.active if rule.rule_id not in heard]
    rows = []
    for rule in silent:
        came = db[COLLECTION].find_one({**of_sources(rule.sources), "timestamp": {"$gte": since}}, {"_id": 1})
        advice = (
            "alerts were raised. Check why the rule decides none of them (`alert-pipelines explain ALERT_ID`), and "
            "switch it off if you do not need it"
            if came
            else "no alert was raised. Check that the source still sends alerts"
        )
        rows.append((rule.rule_id, rule.source_names, advice))
    description = "\n".join(
        f"{rule_id} has decided nothing for {days} days. Of {of}, {what}." for rule_id, of, what in rows
    )
    return HealthResult(
        not rows,
        description or f"Every rule decided something in the last {days} days.",
        {"silent": len(rows)},
        ("rule", "source", "what to do"),
        rows,
    )


@at_the_door
def spikes(db: AlertDatabase, now: datetime) -> HealthResult:
    """Compare the closes, escalations and pending alerts of the last hour with the week before."""
    hours = hours_of_scans(db, now, SPIKE_DAYS * 24 + 1)
    last = [hour for hour in hours if hour.age == 0]
    before = [hour for hour in hours if hour.age > 0]
    if not last or len(before) < 24:
        return HealthResult(True, "There are job records for fewer than 24 hours: spikes are not known yet.")
    numbers: dict[str, int | float] = {}
    found = []
    for what in ("closed", "escalated", "pending"):
        now_, peak = getattr(last[0], what), max(getattr(hour, what) for hour in before)
        numbers |= {f"{what}, last hour": now_, f"{what}, busiest hour before": peak}
        if now_ > max(SPIKE_AT_LEAST, SPIKE_FACTOR * peak):
            found.append(
                f"{now_} alerts {what} in the last hour; at most {peak} in any hour of the {SPIKE_DAYS} days before."
            )
    if not found:
        return HealthResult(True, f"Within {SPIKE_FACTOR} times the busiest hour of {SPIKE_DAYS} days.", numbers)
    totals = decisions_by_rule(db, now - HOUR)
    found.append(
        "Find the rule and source in the table, or with `alert-pipelines jobs show`. If alerts were closed wrongly, "
        "run `alert-pipelines undo JOB_ID` and give the rule a max_close. If too many are pending, check what sends "
        "them."
    )
    return HealthResult(False, "\n".join(found), numbers, COUNT_COLUMNS, totals)


@at_the_door
def reopened(db: AlertDatabase, now: datetime, percent: int) -> HealthResult:
    """Check that people reopened at most `percent` of the closes of each rule in seven days; undos do not count."""
    jobs = closing_jobs(db, now - timedelta(days=REOPEN_DAYS))
    rows = []
    for row in db[COLLECTION].aggregate(_reopened_by_rule(jobs)) if jobs else ():
        share = 100 * row["reopened"] / row["closed"]
        rows.append((str(row["_id"]), row["closed"], row["reopened"], round(share, 1)))
    bad = [row for row in rows if row[1] >= REOPEN_AT_LEAST and row[3] > percent]
    description = "\n".join(
        f"{rule_id}: people reopened {again} of the {closed} alerts that it closed in {REOPEN_DAYS} days ({share} %, "
        f"limit {percent} %). Back-test a stricter form (docs/backtest.md), give it hold_mins, or set it to shadow."
        for rule_id, closed, again, share in bad
    )
    closed, again = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return HealthResult(
        not bad,
        description or f"People reopened {again} of {closed} alerts that rules closed in {REOPEN_DAYS} days.",
        {"closed": closed, "reopened": again, "percent": round(100 * again / closed, 2) if closed else 0.0},
        ("rule", "closed", "reopened", "percent"),
        rows,
    )


@at_the_door
def oldest_pending(db: AlertDatabase, now: datetime, days: int) -> HealthResult:
    """Check that no pending alert is older than `days`; the table has the pending alerts by source."""
    found = pending_by_source(db, now)
    rows = [(one.source_type, str(one.status), one.alerts, _age_days(one, now), one.oldest_alert) for one in found]
    old = [one for one in found if (_age_days(one, now) or 0) > days]
    description = "\n".join(
        f"{one.source_type}: {one.oldest_alert} is {_age_days(one, now)} days old (limit {days}) and {one.status}. "
        f"To see why no rule closes it, run `alert-pipelines explain {one.oldest_alert}`. A rule with "
        "expire_after_mins would."
        for one in old
    )
    ages = [age for one in found if (age := _age_days(one, now)) is not None]
    return HealthResult(
        not old,
        description or f"No pending alert is older than {days} days.",
        {"pending": sum(one.alerts for one in found), "oldest, days": max(ages, default=0.0)},
        ("source", "status", "pending", "oldest, days", "oldest alert"),
        rows,
    )


@at_the_door
def pending_by_source(db: AlertDatabase, now: datetime) -> list[PendingOfSource]:
    """Return the pending alerts by source and status, counted from the index; alerts without a source are left out."""
    counted = []
    # In the index's order the server jumps from source to source, as in a distinct (which the strict stable API lacks).
    sources = db[COLLECTION].aggregate([{"$sort": {"source_type": 1}}, {"$group": {"_id": "$source_type"}}])
    of_sources_ = PendingOfSources(db)
    for source in sorted((row["_id"] for row in sources if row["_id"] is not None), key=str):
        for status in PENDING:
            alerts = of_sources_.count(source, status)
            if alerts:
                dated = {**of_one_source(source, status), "timestamp": {**A_DATE, "$lte": now}}
                oldest = db[COLLECTION].find_one(dated, {"alert_id": 1, "timestamp": 1}, sort=[("timestamp", 1)]) or {}
                counted.append(
                    PendingOfSource(str(source), status, alerts, oldest.get("timestamp"), oldest.get("alert_id"))
                )
    return counted


@at_the_door
def none_overlooked(db: AlertDatabase, now: datetime) -> HealthResult:
    """Check that the last full scan that checked incremental scans found nothing that they would overlook."""
    last = last_checked_scan(db, now)
    if last is None:
        return HealthResult(True, "No scan has checked incremental scans yet. This happens once a day.")
    overlooked, job_id = last["stats"]["overlooked"], last["job_id"]
    if overlooked == 0:
        return HealthResult(True, f"{job_id} decided nothing that an incremental scan would have overlooked.")
    named = "".join(f"\n- {error}" for error in last.get("errors") or () if WOULD_OVERLOOK in error)
    return HealthResult(
        False,
        f"An incremental scan would have overlooked {overlooked} due alerts, which the full scan {job_id} decided. "
        f"Keep its job record and report a defect.{named}",
        {"overlooked": overlooked},
    )


@at_the_door
def known_statuses(db: AlertDatabase) -> HealthResult:
    """Check that every alert has a status of the contract; the table has the others, the most frequent first."""
    group = {"_id": "$status", "alerts": {"$sum": 1}, "example": {"$min": "$alert_id"}}
    order = {"alerts": -1, "_id": 1}
    found = list(db[COLLECTION].aggregate([{"$match": OUTSIDE_CONTRACT}, {"$group": group}, {"$sort": order}]))
    rows = [(f"{row['_id']!r:.100}", row["alerts"], str(row["example"])) for row in found[:MAX_STATUSES]]
    expected = ", ".join(Status)
    lines = [
        f"{status} is not a valid status: expected one of {expected}; got it in {alerts} "
        f"alert{'s' if alerts > 1 else ''}, such as {example}."
        for status, alerts, example in rows
    ]
    if len(found) > MAX_STATUSES:
        lines.append(f"{len(found) - MAX_STATUSES} other statuses are not valid either.")
    lines.append("No rule decides these alerts. Correct what writes them; set those that need work to OPEN.")
    alerts = sum(row["alerts"] for row in found)
    return HealthResult(
        not found,
        "\n".join(lines) if found else f"Every alert's status is one of {expected}.",
        {"statuses": len(found), "alerts": alerts},
        ("status", "alerts", "such as"),
        rows,
    )


@at_the_door
def comparable_fields(db: AlertDatabase) -> HealthResult:
    """Check that rules test no field that pending alerts store as another kind, such as numbers as text."""
    faults = kind_faults(db, load_rules(db).rule_set.rules)
    return HealthResult(
        not faults,
        "\n".join(f"{fault}." for fault in faults) or "Every rule compares fields with values of the same kind.",
        {"tests": len(faults)},
        # As wide as the page of a check: a wider table pushes the end of each line above it out of sight.
        ("rule and source", "test", "expected", "got", "alerts", "such as"),
        [
            (
                f"{one.rule_id}\n{one.sources}",
                one.test,
                one.expected,
                one.found,
                f"{one.alerts} of {one.pending}",
                one.example,
            )
            for one in faults
        ],
    )


@at_the_door
def replica_set(db: AlertDatabase) -> HealthResult:
    """Check that the server is a member of a replica set or a cluster, so that scans can be incremental."""
    if is_standalone(db):
        return HealthResult(False, STANDALONE)
    return HealthResult(True, "The MongoDB server is a member of a replica set or of a cluster.")


@at_the_door
def orphaned_records(db: AlertDatabase, now: datetime) -> list[str]:
    """Return the job ids of running records that stalled more than two minutes ago and that nobody ended."""
    overdue = now - STALLED_GRACE
    orphaned = {
        "status": RUNNING,
        "$or": [
            {"lease_expires_at": {"$lt": overdue}},
            {
                "job_type": SCANNER,
                "lease_expires_at": None,
                "started_at": {"$not": {"$gte": overdue - STALLED_WITHOUT_LEASE}},
            },
        ],
    }
    return [str(record.get("job_id")) for record in db[JOB_RECORDS].find(orphaned, {"job_id": 1})]


def _reopened_by_rule(jobs: Sequence[str]) -> list[dict[str, Any]]:
    return [
        *closes_by(jobs),
        {"$match": {"undone": False}},
        {"$group": {"_id": "$rule", "closed": {"$sum": 1}, "reopened": {"$sum": {"$cond": [IS_REOPENED, 1, 0]}}}},
        {"$sort": {"_id": 1}},
    ]


def _age_days(one: PendingOfSource, now: datetime) -> float | None:
    return None if one.oldest is None else round((now - one.oldest) / timedelta(days=1), 1)
