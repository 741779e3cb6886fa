"""The sensor that tells people, tick by tick, with real receivers on the loopback and real job records."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, DefaultSensorStatus

from alert_pipelines import scheduler
from alert_pipelines.defs.monitoring.notification_sensor import Cursor, notification_sensor
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.defs.scan.sensor import dead_scan_sensor
from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.job_records import COMPLETED, FAILED, SCANNER, create_job_record, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.settings import NOTIFY_VARIABLE
from alert_pipelines_tests.defs.conftest import OWN, Execute, daemons_tick, sensor_context
from alert_pipelines_tests.defs.monitoring.notification_ticks import Ticks
from alert_pipelines_tests.defs.scan.test_schedules import make_run
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule
from alert_pipelines_tests.receivers import Inbox, webhook

pytestmark = pytest.mark.usefixtures("mongodb_env")


def fail(db: AlertDatabase, error: str = "PyMongoError: gone", **stats: Any) -> str:
    job_id = create_job_record(SCANNER, db, run_id="run-1").job_id
    update_job_record(job_id, stats, FAILED, [error], db)
    return job_id


def complete(db: AlertDatabase) -> None:
    update_job_record(create_job_record(SCANNER, db).job_id, {}, COMPLETED, [], db)


def let_pass(tick: Ticks, db: AlertDatabase, **time: float) -> None:
    """Let so much time have passed, for the sensor and for the records of all scans that ended."""
    tick.let_pass(**time)
    earlier = {"$subtract": ["$completed_at", timedelta(**time) / timedelta(milliseconds=1)]}
    db.background_jobs.update_many({}, [{"$set": {"completed_at": earlier}}])


def test_a_failed_scan_is_told_once_with_its_counts_and_its_error(tick: Ticks, hook: Inbox, db: AlertDatabase) -> None:
    tick()
    job_id = fail(db, "ServerGone: no answer", alerts_closed=12, alerts_escalated=3)
    assert tick() == f"Sent to receiver 1 of 1 in {NOTIFY_VARIABLE}: Alert scanner: 1 scan failed."
    assert [tick(), tick()] == ["Nothing to send."] * 2
    [(title, body)] = hook.got
    assert title == "Alert scanner: 1 scan failed"
    assert job_id in body
    assert "Dagster run run-1) closed 12 and escalated 3 alerts, then: ServerGone: no answer" in body


def test_a_scan_that_died_is_told_once_it_is_swept(
    tick: Ticks, hook: Inbox, db: AlertDatabase, instance: DagsterInstance
) -> None:
    tick()
    job_id = create_job_record(SCANNER, db).job_id
    assert tick() == "Nothing to send."
    db.background_jobs.update_one({}, {"$set": {"lease_expires_at": datetime.now(UTC) - timedelta(minutes=1)}})
    dead_scan_sensor(sensor_context(instance))
    tick()
    assert f"the process that ran {job_id} died" in hook.got[0][1]


def test_a_limit_that_stopped_a_rule_is_told_with_its_count_its_limit_and_how_to_allow_it_once(
    tick: Ticks, hook: Inbox, db: AlertDatabase, execute: Execute
) -> None:
    tick()
    fill(db, [alert("a", minutes=120), alert("b", minutes=120)], rule("old", {"expire_after_mins": 60, "max_close": 1}))
    assert not execute(as_of=AS_OF.isoformat()).success
    tick()
    [(title, body)] = hook.got
    assert title == "Alert scanner: rule 'old' was blocked by a limit"
    assert "rule 'old' would close 2 alerts, more than its limit of 1" in body
    assert "allow_over_limit: ['old']" in body


def test_of_a_rule_stopped_in_closing_and_in_escalating_only_one_was_told(
    tick: Ticks, hook: Inbox, db: AlertDatabase, execute: Execute
) -> None:
    tick()
    both = {"expire_after_mins": 60, "max_close": 1, "escalate_if_count": 3, "max_escalate": 2}
    fill(db, [*(alert(minutes=120) for _ in range(2)), *(alert(minutes=5) for _ in range(3))], rule("both", both))
    assert not execute(as_of=AS_OF.isoformat()).success
    tick()
    [(title, body)] = hook.got
    by_limit = "rule 'both' was blocked by a limit"
    assert title == f"Alert scanner: {by_limit}; {by_limit} of escalations"
    assert "would close 2 alerts, more than its limit of 1" in body
    assert "would escalate 3 alerts, more than its limit of 2" in body


def test_what_comes_again_with_every_scan_is_told_again_after_an_hour_and_what_is_new_at_once(
    tick: Ticks, hook: Inbox, db: AlertDatabase
) -> None:
    tick()
    fill(db, [alert("a", minutes=120)], rule("old", {"expire_after_mins": 60, "max_close": 0}))

    def stopped() -> None:
        with pytest.raises(BlastRadiusError):
            run_scan(db, ScanRequest(as_of=AS_OF))

    stopped()
    tick()
    stopped()
    stopped()
    assert tick() == "Nothing to send."
    fail(db)
    assert "1 scan failed" in tick()
    let_pass(tick, db, minutes=61)
    tick()
    assert "rule 'old' was blocked by a limit" in hook.titles[-1]
    assert "The same happened in 1 scan before." in hook.got[-1][1]
    assert tick() == "Nothing to send."
    assert len(hook.got) == 3


def test_a_backlog_of_500_failed_scans_is_one_message(tick: Ticks, hook: Inbox, db: AlertDatabase) -> None:
    tick()
    now = datetime.now(UTC)
    db.background_jobs.insert_many(
        {
            "job_id": f"JOB-{number}",
            "job_type": SCANNER,
            "status": FAILED,
            "completed_at": now - timedelta(seconds=number),
            "errors": [f"error {number}"],
            "errors_total": 1,
        }
        for number in range(500)
    )
    tick()
    assert tick() == "Nothing to send."
    [(title, body)] = hook.got
    assert title == "Alert scanner: 500 scans failed"
    assert "JOB-0 " in body
    assert "… and 495 more" in body
    let_pass(tick, db, minutes=30)
    tick()
    assert len(tick.cursor) < 500


@pytest.mark.parametrize(
    "odd",
    [
        {"errors": "text"},
        {"errors": None, "stats": 5},
        {"stats": {"blocked": "rule"}},
        {"stats": {"blocked": [7, {"message": 1}]}},
        {"stats": {"stopped": "rule"}},
        {"stats": {"stopped": [7, {"message": 1}]}},
        {"run_id": 5, "alerts_closed": "many"},
    ],
)
def test_a_failed_record_with_odd_fields_is_told_as_far_as_it_can_be_read(
    tick: Ticks, hook: Inbox, db: AlertDatabase, odd: dict[str, Any]
) -> None:
    tick()
    job_id = fail(db)
    db.background_jobs.update_one({"job_id": job_id}, {"$set": odd})
    tick()
    assert job_id in hook.got[0][1]


def test_a_receiver_that_is_down_is_named_and_gets_a_digest_when_it_is_back_and_the_other_nothing_twice(
    tick: Ticks, hook: Inbox, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as other:
        port = other.port
    monkeypatch.setenv(NOTIFY_VARIABLE, f"json://127.0.0.1:{hook.port} json://127.0.0.1:{port}")
    tick()
    fail(db)
    said = tick()
    assert f"Not sent, to be retried at the next tick: receiver 2 of 2 in {NOTIFY_VARIABLE} (JSON)" in said
    fail(db)
    assert "receiver 2 of 2" in tick()
    with webhook(port) as back:
        tick()
        assert tick() == "Nothing to send."
    assert back.titles == ["Alert scanner: 2 scans failed"]
    assert hook.titles == ["Alert scanner: 1 scan failed"]


def test_no_completed_scan_for_15_minutes_is_told_once_and_so_is_its_end(
    tick: Ticks, hook: Inbox, db: AlertDatabase
) -> None:
    complete(db)
    tick()
    let_pass(tick, db, minutes=14)
    assert tick() == "Nothing to send."
    let_pass(tick, db, minutes=6)
    tick()
    assert tick() == "Nothing to send."
    complete(db)
    tick()
    assert tick() == "Nothing to send."
    assert hook.titles == ["Alert scanner: no scan completes", "Alert scanner: scans complete again"]
    assert "No scan has completed since " in hook.got[0][1]
    assert "the schedule (*/5 * * * *) is on" in hook.got[0][1]


def test_a_schedule_that_is_off_or_has_just_been_switched_on_is_not_stale(
    tick: Ticks, hook: Inbox, db: AlertDatabase, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(db)
    tick()
    let_pass(tick, db, hours=2)
    scheduler.shutdown_scheduler(instance, location=OWN.name)
    assert tick() == "Nothing to send."
    scheduler.start_scheduler(instance)
    assert tick() == "Nothing to send."
    monkeypatch.setenv("AUTO_CLOSE_CRON", "off")
    assert tick() == "Nothing to send."
    assert hook.got == []


def test_the_schedule_and_the_runs_of_another_copy_were_taken_for_ours(
    tick: Ticks, hook: Inbox, db: AlertDatabase, instance: DagsterInstance
) -> None:
    complete(db)
    tick()
    let_pass(tick, db, hours=2)
    # Theirs has just been switched on, which would be a reason not to miss a scan.
    daemons_tick(instance, build_schedule("*/5 * * * *"), Location("another_copy", "__repository__"))
    theirs = make_run(instance, "auto_close_job", DagsterRunStatus.STARTED, Location("another_copy", "__repository__"))
    tick()
    [(title, body)] = hook.got
    assert title == "Alert scanner: no scan completes"
    assert theirs.run_id not in body


def test_a_schedule_of_longer_intervals_is_stale_later(
    tick: Ticks, hook: Inbox, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "0 * * * *")
    complete(db)
    tick()
    let_pass(tick, db, hours=1, minutes=59)
    assert tick() == "Nothing to send."
    let_pass(tick, db, hours=1, minutes=2)
    tick()
    assert hook.titles == ["Alert scanner: no scan completes"]


def test_a_database_that_is_away_is_told_too_and_what_failed_meanwhile_is_not_lost(
    tick: Ticks, hook: Inbox, db: AlertDatabase, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(db)
    tick()
    let_pass(tick, db, minutes=16)
    monkeypatch.setenv("MONGODB_URI", "mongodb://scanner:hunter2secret@127.0.0.1:9/?serverSelectionTimeoutMS=50")
    tick()
    [(title, body)] = hook.got
    assert title == "Alert scanner: no scan completes"
    assert "The job records cannot be read: the MongoDB server of MONGODB_URI cannot be used" in body
    assert "hunter2secret" not in body
    fail(db)
    let_pass(tick, db, minutes=30)
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    complete(db)
    tick()
    assert hook.titles[1:] == ["Alert scanner: scans complete again; 1 scan failed"]


def test_nobody_to_tell_is_said_and_a_later_receiver_gets_no_old_news(
    tick: Ticks, hook: Inbox, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"json://127.0.0.1:{hook.port}"
    monkeypatch.delenv(NOTIFY_VARIABLE)
    assert tick() == f"{NOTIFY_VARIABLE} is not set: no notifications are sent."
    fail(db)
    let_pass(tick, db, hours=1)
    monkeypatch.setenv(NOTIFY_VARIABLE, url)
    assert tick() == "Nothing to send."
    assert url not in tick.cursor


def test_a_cursor_that_cannot_be_read_begins_anew(tick: Ticks, hook: Inbox) -> None:
    tick.cursor = '{"of": "another version"}'
    assert tick() == "Nothing to send."
    assert Cursor.model_validate_json(tick.cursor).receivers


def test_the_sensor_runs_by_default_and_in_a_thread_of_its_own(instance: DagsterInstance) -> None:
    assert notification_sensor.default_status is DefaultSensorStatus.RUNNING
    assert instance.get_settings("sensors")["use_threads"]
