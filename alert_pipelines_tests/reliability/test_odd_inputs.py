"""Odd job records, edited histories, odd ids in an undo, instants beyond reason: no one of them stops all scans."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import DatetimeMS

from alert_pipelines import job_records
from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.errors import InvalidTimestampError
from alert_pipelines.mongo import AlertDatabase, server_now
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.settings import DEFAULT_LEASE_S
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, stored
from alert_pipelines_tests.reliability.fleet import Document, scan

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=DEFAULT_LEASE_S)
DEAD: Document = {"job_id": "JOB-DEAD", "job_type": "auto_close_scanner", "status": "running", "started_at": LONG_AGO}


def check_next_scan_claims(db: AlertDatabase, record: Document, *alerts: Document) -> Document:
    """The dead record as the next scan has left it."""
    fill(db, [alert("good", minutes=120), *alerts], rule("expire", {"expire_after_mins": 60}))
    left = db.background_jobs.insert_one(dict(record)).inserted_id
    scan(db)
    assert stored(db, "good")["status"] == "AUTO_CLOSED"
    swept = db.background_jobs.find_one({"_id": left})
    assert swept is not None
    assert swept["status"] == "failed"
    return swept


@pytest.mark.parametrize(
    "lease", [datetime(9999, 1, 1, tzinfo=UTC), "soon", 5, [LONG_AGO + timedelta(days=10**6)], {}], ids=str
)
def test_a_record_with_a_lease_that_never_ends(db: AlertDatabase, lease: Any) -> None:
    check_next_scan_claims(db, {**DEAD, "lease_expires_at": lease})


def test_a_record_of_before_the_servers_clock_was_put_back(db: AlertDatabase) -> None:
    later = server_now(db) + timedelta(hours=1)
    check_next_scan_claims(db, {**DEAD, "started_at": later, "lease_expires_at": later + LEASE})


@pytest.mark.parametrize("lease_s", [None, "long", -1, 10**9, float("nan"), {}], ids=str)
def test_a_record_whose_length_of_a_lease_is_missing_or_was_edited(db: AlertDatabase, lease_s: Any) -> None:
    later = server_now(db) + timedelta(hours=1)
    check_next_scan_claims(db, {**DEAD, "lease_expires_at": later, "lease_s": lease_s})


def test_a_record_without_lease_by_a_clock_that_is_hours_ahead(db: AlertDatabase) -> None:
    check_next_scan_claims(db, {**DEAD, "started_at": server_now(db) + timedelta(hours=5.5)})


@pytest.mark.parametrize("late", [timedelta(minutes=2), timedelta(hours=1)])
def test_a_sweep_that_was_held_up_leaves_what_has_started_or_was_renewed_meanwhile(
    db: AlertDatabase, late: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = server_now(db)
    db.background_jobs.insert_one({**DEAD, "started_at": now, "lease_expires_at": now + LEASE})
    db.background_jobs.insert_one({**DEAD, "job_id": "JOB-OLD", "job_type": "other", "started_at": now})
    monkeypatch.setattr(job_records, "server_now", lambda _: now - late)
    assert job_records.fail_stalled_jobs(db) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"errors": {"a": 1}, "run_id": 5},
        {"job_id": None},
        {"job_id": {"$gt": 1}},
        {"job_id": 7, "run_id": [1]},
        {"job_id": "$"},
        {"job_id": "$$no_such_variable"},
        {"stats": {"undone_job_id": "$"}},
        {"started_at": "x"},
        {"started_at": None},
    ],
    ids=str,
)
def test_a_record_with_odd_values(db: AlertDatabase, fields: Document) -> None:
    check_next_scan_claims(db, DEAD | fields)


@pytest.mark.parametrize("entry", [{"to_status": "CLOSED", "rule_triggered": 5}, {"to_status": ["OPEN"]}, {}], ids=str)
def test_a_dead_scan_whose_history_entries_were_edited(db: AlertDatabase, entry: Document) -> None:
    """What cannot be counted must not keep the record from being swept, and with it every later scan from its claim."""
    mark = {"job_id": "JOB-DEAD", "triggered_by": "system"}
    true = alert("true", state_history=[{**mark, "to_status": "AUTO_CLOSED"}], status="RESOLVED")
    swept = check_next_scan_claims(db, DEAD, alert("edited", state_history=[{**mark, **entry}]), true)
    assert (swept["alerts_closed"], swept["alerts_escalated"]) == (1, 0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("ids", [({"a": 1}, {"a": 2}), (True, 1, 0, False), (float("nan"),)], ids=str)
def test_an_undo_whose_writes_are_refused_ends_whatever_the_ids(db: AlertDatabase, ids: tuple[Any, ...]) -> None:
    fill(db, [alert(minutes=120, _id=_id) for _id in ids], rule("expire", {"expire_after_mins": 60}))
    report = scan(db)
    assert report.closed == len(ids)
    db.command("collMod", "alerts", validator={"$nor": [{"status": "OPEN"}]})
    undone = undo_job(db, report.job_id, dry_run=False)
    assert undone.restored == 0
    assert sum("refused the write" in one.why for one in undone.skipped) == len(ids)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+05:00", "0050-01-01", "0999-12-31", "9001-01-01", "9999-12-31"])
def test_an_as_of_beyond_reason(db: AlertDatabase, at: str, dry_run: bool) -> None:
    fill(db, [alert("old", minutes=120)], rule("expire", {"expire_after_mins": 60}))
    with pytest.raises(InvalidTimestampError):
        run_scan(db, ScanRequest(as_of=datetime.fromisoformat(at), dry_run=dry_run))
    with pytest.raises(InvalidTimestampError):
        explain_alert(db, "old", as_of=datetime.fromisoformat(at))


@pytest.mark.parametrize(
    "at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), DatetimeMS(-(2**62))]
)
def test_an_alert_of_the_first_or_the_last_date_is_explained(db: AlertDatabase, at: Any) -> None:
    repeated = rule("repeated", {"escalate_if_count": 1, "window_mins": 1_000, "close_if_no_repeat_mins": 5})
    fill(db, [alert("old", timestamp=at)], repeated, rule("expire", {"expire_after_mins": 60}))
    assert len(explain_alert(db, "old", as_of=AS_OF).clauses) == 3
