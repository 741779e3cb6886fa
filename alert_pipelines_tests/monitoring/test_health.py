"""The verdicts on the scanner's health, each on records and alerts that a real scan or a person would leave."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import MaxKey, MinKey
from bson.datetime_ms import DatetimeMS

from alert_pipelines.alerts import OUTSIDE_CONTRACT
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.monitoring import health
from alert_pipelines.monitoring.scan_records import decisions_by_rule
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import alert, fill, rule

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIFTEEN = timedelta(minutes=15)


def scan_record(hours_ago: float, **fields: Any) -> dict[str, Any]:
    """A completed scan that took a minute; `decided` is how many alerts each rule closed."""
    decided = fields.pop("decided", {})
    started = NOW - timedelta(hours=hours_ago)
    return {
        "job_id": f"JOB-{hours_ago}-{len(decided)}",
        "job_type": "auto_close_scanner",
        "status": "completed",
        "started_at": started,
        "completed_at": started + timedelta(minutes=1),
        "alerts_processed": 10,
        "alerts_closed": sum(decided.values()),
        "alerts_escalated": 0,
        "stats": {
            "decisions": [
                {"rule_id": rule_id, "source_type": "OVERSPEEDING", "decision": "close", "alerts": alerts}
                for rule_id, alerts in decided.items()
            ]
        },
    } | fields


def record(db: AlertDatabase, *records: dict[str, Any]) -> None:
    db.background_jobs.insert_many([dict(one) for one in records])


def test_a_scan_that_completed_in_time_is_fresh_and_one_that_did_not_says_what_to_look_at(db: AlertDatabase) -> None:
    record(db, scan_record(0.25))
    assert health.scans_are_fresh(db, NOW, FIFTEEN).passed
    late = health.scans_are_fresh(db, NOW + timedelta(minutes=2), FIFTEEN)
    assert not late.passed
    assert late.numbers == {"minutes since the last scan": 16.0}
    assert "auto_close_schedule is on" in late.description


def test_scans_that_fail_or_only_run_dry_keep_nothing_fresh(db: AlertDatabase) -> None:
    record(db, scan_record(2), scan_record(0.1, status="failed"), scan_record(0.2, job_type="auto_close_dry_run"))
    assert health.scans_are_fresh(db, NOW, FIFTEEN).numbers == {"minutes since the last scan": 119.0}


def test_where_a_limit_blocked_each_scan_a_person_was_sent_to_look_at_runs_that_are_green(db: AlertDatabase) -> None:
    fill(db, [alert(str(number)) for number in range(4)], rule("old", {"expire_after_mins": 1, "max_close": 3}))
    now = server_now(db) + timedelta(seconds=1)
    with pytest.raises(BlastRadiusError):
        run_scan(db, ScanRequest())
    told = health.scans_are_fresh(db, now + timedelta(seconds=9), FIFTEEN).description
    assert told.startswith(
        "No scan has completed in 30 days (limit: 15 min). Scans run and a limit blocks them: rule 'old' would close 4"
    )
    assert told.endswith("The check within_limits has the links for it.")
    assert "auto_close_schedule" not in told
    # Scans that stopped since are the graver fault.
    assert "auto_close_schedule is on" in health.scans_are_fresh(db, now + timedelta(hours=1), FIFTEEN).description


def test_without_any_scan_none_is_fresh_unless_they_are_switched_off(db: AlertDatabase) -> None:
    assert "No scan has completed in 30 days" in health.scans_are_fresh(db, NOW, FIFTEEN).description
    assert health.scans_are_fresh(db, NOW, None).passed


def test_a_silent_rule_is_named_with_whether_its_source_sent_anything(db: AlertDatabase) -> None:
    record(db, scan_record(8 * 24), scan_record(30, decided={"works": 3}))
    fill(
        db,
        [alert(minutes=60)],
        rule("works", {"expire_after_mins": 60}),
        rule("deaf", {"expire_after_mins": 60}),
        rule("starved", {"expire_after_mins": 60}, source_type="SAFETY"),
        rule("young", {"expire_after_mins": 60}, created_at=NOW - timedelta(days=6)),
        rule("shadow", {"expire_after_mins": 60}, mode="shadow", is_active=False),
    )
    found = health.silent_rules(db, NOW, 7)
    assert not found.passed
    assert [row[0] for row in found.rows] == ["deaf", "starved"]
    assert "deaf has decided nothing for 7 days. Of OVERSPEEDING, alerts were raised" in found.description
    assert "starved has decided nothing for 7 days. Of SAFETY, no alert was raised" in found.description
    assert health.silent_rules(db, NOW, 8).description.startswith("Scans have been running for less than 8 days")
    db.rules.delete_many({"rule_id": {"$in": ["deaf", "starved"]}})
    assert health.silent_rules(db, NOW, 7).passed


def test_an_hour_that_closes_three_times_more_than_any_of_the_week_is_a_spike(db: AlertDatabase) -> None:
    record(db, *(scan_record(hours + 0.5, decided={"usual": 40}) for hours in range(1, 30)))
    record(db, scan_record(0.5, decided={"usual": 40, "mad": 60}))
    assert health.spikes(db, NOW).passed, "100 are not more than 3 times 40"
    record(db, scan_record(0.4, decided={"mad": 21}))
    found = health.spikes(db, NOW)
    assert not found.passed
    assert "121 alerts closed in the last hour; at most 40 in any hour of the 7 days before" in found.description
    assert found.rows[0] == ("mad", "OVERSPEEDING", "close", 81)


def test_few_alerts_are_no_spike_and_neither_is_anything_on_the_first_day(db: AlertDatabase) -> None:
    record(db, *(scan_record(hours + 0.5) for hours in range(1, 24)), scan_record(0.5, decided={"mad": 900}))
    assert "fewer than 24 hours" in health.spikes(db, NOW).description
    record(db, scan_record(24.5))
    assert not health.spikes(db, NOW).passed
    db.background_jobs.update_many({"alerts_closed": 900}, {"$set": {"alerts_closed": 100}})
    assert health.spikes(db, NOW).passed


def test_a_flood_of_pending_alerts_is_a_spike(db: AlertDatabase) -> None:
    record(db, *(scan_record(hours + 0.5) for hours in range(1, 30)), scan_record(0.5, alerts_processed=5_000))
    assert "5000 alerts pending in the last hour" in health.spikes(db, NOW).description


def reopen(db: AlertDatabase, how_many: int, by: str = "user") -> None:
    for doc in list(db.alerts.find({"status": "AUTO_CLOSED"}).sort("alert_id").limit(how_many)):
        entry = {"from_status": "AUTO_CLOSED", "to_status": "OPEN", "triggered_by": by, "timestamp": datetime.now(UTC)}
        db.alerts.update_one({"_id": doc["_id"]}, {"$set": {"status": "OPEN"}, "$push": {"state_history": entry}})


def scan_that_closes(db: AlertDatabase, number: int) -> str:
    old = datetime.now(UTC) - timedelta(hours=5)
    fill(db, [alert(timestamp=old) for _ in range(number)], rule("eager", {"expire_after_mins": 60}))
    return run_scan(db, ScanRequest()).job_id


def test_a_rule_whose_closes_people_reopen_is_named(db: AlertDatabase) -> None:
    scan_that_closes(db, 40)
    now = datetime.now(UTC)
    reopen(db, 2)
    assert health.reopened(db, now, 5).passed, "2 of 40 are 5 percent"
    reopen(db, 1)
    found = health.reopened(db, now, 5)
    assert found.rows == [("eager", 40, 3, 7.5)]
    assert "eager: people reopened 3 of the 40 alerts" in found.description
    assert health.reopened(db, now + timedelta(days=8), 5).numbers == {"closed": 0, "reopened": 0, "percent": 0.0}


def test_an_undo_is_no_reopening_and_few_closes_make_no_rate(db: AlertDatabase) -> None:
    undo_job(db, scan_that_closes(db, 30), dry_run=False)
    assert health.reopened(db, datetime.now(UTC), 5).rows == []
    db.rules.delete_many({})
    db.alerts.delete_many({})
    scan_that_closes(db, 19)
    reopen(db, 19)
    assert health.reopened(db, datetime.now(UTC), 5).passed


def test_the_oldest_pending_alert_is_named_with_its_source(db: AlertDatabase) -> None:
    day = 24 * 60
    fill(
        db,
        [
            alert("ancient", minutes=31 * day, source_type="SAFETY", status="ESCALATED"),
            alert("recent", minutes=day, source_type="SAFETY", status="ESCALATED"),
            alert("closed", minutes=90 * day, status="AUTO_CLOSED"),
            alert("old", minutes=30 * day),
            alert("text", timestamp="2020-01-01"),
            # None is a date that could be told: they hide no other alert's.
            alert("dates", timestamp=[datetime(2020, 1, 1, tzinfo=UTC)], source_type="SAFETY", status="ESCALATED"),
            alert("bc", timestamp=DatetimeMS(-(10**14)), source_type="SAFETY", status="ESCALATED"),
        ],
    )
    found = health.oldest_pending(db, NOW, 30)
    assert found.rows == [("OVERSPEEDING", "OPEN", 2, 30.0, "old"), ("SAFETY", "ESCALATED", 4, 31.0, "ancient")]
    assert found.description.startswith("SAFETY: ancient is 31.0 days old (limit 30) and ESCALATED.")
    assert "`alert-pipelines explain ancient`" in found.description
    assert health.oldest_pending(db, NOW, 31).passed


def test_alerts_whose_status_is_outside_the_contract_were_counted_nowhere(db: AlertDatabase) -> None:
    assert (
        health.known_statuses(db).description
        == "Every alert's status is one of OPEN, ESCALATED, AUTO_CLOSED, RESOLVED."
    )
    others: list[Any] = ["open", "OPEN ", "", 3, True, ["OPEN"], [], {"is": "OPEN"}, None, MinKey(), MaxKey()]
    fill(db, [alert(status=status) for status in ("OPEN", "ESCALATED", "AUTO_CLOSED", "RESOLVED", *others)])
    fill(db, [alert(f"A-{n}", status="ACKNOWLEDGED") for n in range(9)])
    db.alerts.update_one({"status": "open"}, {"$unset": {"status": 1}})
    found = health.known_statuses(db)
    assert not found.passed
    assert [row[:2] for row in found.rows[:2]] == [("'ACKNOWLEDGED'", 9), ("None", 2)]
    assert found.numbers == {"statuses": 11, "alerts": 20}
    assert found.description.startswith(
        "'ACKNOWLEDGED' is not a valid status: expected one of OPEN, ESCALATED, AUTO_CLOSED, RESOLVED; got it in 9 "
        "alerts, such as A-0."
    )


def test_statuses_outside_the_contract_are_counted_without_reading_other_alerts(db: AlertDatabase) -> None:
    fill(db, [*(alert(status="RESOLVED") for _ in range(500)), *(alert(f"A{n}", status=f"S{n}") for n in range(25))])
    plan = db.alerts.find(OUTSIDE_CONTRACT).explain()["executionStats"]
    assert plan["nReturned"] == 25
    # The parts of the range may each read one of them.
    assert plan["totalDocsExamined"] <= 50
    found = health.known_statuses(db)
    assert len(found.rows) == 20
    assert "\n5 other statuses are not valid either.\n" in found.description


def test_alerts_of_the_future_had_negative_ages(db: AlertDatabase) -> None:
    ahead = datetime(2106, 2, 7, tzinfo=UTC)
    fill(
        db, [alert("clock", timestamp=ahead, source_type="SAFETY"), alert("soon", minutes=-5), alert("now", minutes=0)]
    )
    found = health.oldest_pending(db, NOW, 30)
    assert found.rows == [("OVERSPEEDING", "OPEN", 2, 0.0, "now"), ("SAFETY", "OPEN", 1, None, None)]
    assert found.numbers["oldest, days"] == 0.0


def test_a_server_clock_that_was_set_back_gave_a_negative_time_since_the_last_scan(db: AlertDatabase) -> None:
    record(db, scan_record(0.25))
    set_back = health.scans_are_fresh(db, NOW - timedelta(minutes=14, seconds=30), FIFTEEN)
    assert set_back.numbers == {"minutes since the last scan": 0.0}


def test_a_record_is_orphaned_once_the_sensor_should_have_swept_it(db: AlertDatabase) -> None:
    running = {"status": "running", "completed_at": None}
    record(
        db,
        scan_record(
            1, **running, job_id="dead", job_type="auto_close_undo", lease_expires_at=NOW - timedelta(minutes=3)
        ),
        scan_record(2, **running, job_id="lately", job_type="other", lease_expires_at=NOW - timedelta(minutes=1)),
        scan_record(3, **running, job_id="alive", job_type="another", lease_expires_at=NOW + timedelta(seconds=9)),
        scan_record(4, **running, job_id="leaseless"),
    )
    assert sorted(health.orphaned_records(db, NOW)) == ["dead", "leaseless"]


def test_records_of_scans_say_what_each_rule_decided(db: AlertDatabase) -> None:
    job_id = scan_that_closes(db, 5)
    assert db.background_jobs.find_one({"job_id": job_id})["stats"]["oldest_pending"] is not None  # type: ignore[index]
    since = datetime.now(UTC) - timedelta(minutes=5)
    assert decisions_by_rule(db, since) == [("eager", "OVERSPEEDING", "close", 5)]


def test_what_is_asked_follows_what_is_recent_and_not_the_years(db: AlertDatabase) -> None:
    years = 4 * 365 * 24
    record(db, *(scan_record(years - hours, decided={"old": 1}, job_id=f"JOB-{hours}") for hours in range(2_000)))
    record(db, scan_record(8 * 24), *(scan_record(hours + 0.5, decided={"r": 1}) for hours in range(1, 30)))
    settled = {"status": "AUTO_CLOSED", "source_type": "SAFETY"}
    history = [{"to_status": "AUTO_CLOSED", "triggered_by": "system", "job_id": "JOB-7", "rule_triggered": "old"}]
    fill(db, [alert(minutes=years * 60, state_history=history, **settled) for _ in range(2_000)])
    fill(db, [alert(), alert()], rule("r", {"expire_after_mins": 60}))
    db.command("profile", 2)
    passed = [
        health.scans_are_fresh(db, NOW, FIFTEEN),
        health.silent_rules(db, NOW, 7),
        health.spikes(db, NOW),
        health.reopened(db, NOW, 5),
        health.oldest_pending(db, NOW, 30),
    ]
    assert health.orphaned_records(db, NOW) == []
    db.command("profile", 0)
    assert [one.passed for one in passed] == [False, True, True, True, True]
    asked = list(db["system.profile"].find({"ns": {"$in": [f"{db.name}.alerts", f"{db.name}.background_jobs"]}}))
    assert len(asked) >= 10
    # The records of the week: one an hour, of 31.
    assert max(one.get("docsExamined", 0) for one in asked) <= 31
    assert max(one.get("keysExamined", 0) for one in asked) <= 100
