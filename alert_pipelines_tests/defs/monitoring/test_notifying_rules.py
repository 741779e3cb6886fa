"""What rules with `notify` decided reaches people: one message a scan and receiver; the receivers are real ones."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterInstance

from alert_pipelines.audit.undo import undo_job
from alert_pipelines.defs.scan.sensor import dead_scan_sensor
from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.settings import NOTIFY_VARIABLE
from alert_pipelines_tests.defs.conftest import sensor_context
from alert_pipelines_tests.defs.monitoring.notification_ticks import Ticks
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule
from alert_pipelines_tests.receivers import Inbox, webhook

pytestmark = pytest.mark.usefixtures("mongodb_env")

UNATTENDED = {"escalate_after_mins": 30, "notify": True}


def scan(db: AlertDatabase, minutes: int = 0, **request: Any) -> ScanReport:
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes), **request))


def test_an_escalation_was_a_row_in_a_database_of_which_nobody_was_told(
    tick: Ticks, hook: Inbox, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_PIPELINES_UI_URL", "https://dagster.example/")
    tick()
    fill(db, [alert(f"a{number}", minutes=60, driver=f"D{number}") for number in range(7)], rule("late", UNATTENDED))
    report = scan(db, run_id="run-1")
    assert "rule 'late' escalated 7 alerts" in tick()
    [(title, body)] = hook.got
    assert title == "Alert scanner: rule 'late' escalated 7 alerts"
    name, *lines = body.splitlines()
    assert name.startswith(f"{report.job_id} (")
    assert name.endswith(", Dagster run https://dagster.example/runs/run-1):")
    assert lines == [
        "Rule 'late' escalated 7 alerts:",
        *(
            f"- a{number} (metadata.driver_id D{number}): nobody has attended to it for 30 minutes or more"
            for number in range(5)
        ),
        "- … and 2 more",
        f"To list all of them, run `alert-pipelines jobs show {report.job_id} --alerts`",
    ]
    scan(db, minutes=5)
    assert [tick(), tick()] == ["Nothing to send."] * 2
    assert len(hook.got) == 1


def test_one_message_has_all_that_was_decided_by_rules_that_notify_and_nothing_of_the_others(
    tick: Ticks, hook: Inbox, db: AlertDatabase
) -> None:
    tick()
    both = {"expire_after_mins": 600, "escalate_if_count": 2, "notify": True}
    fill(
        db,
        [
            *(alert(f"old-{number}", minutes=700, source_type="SAFETY", driver="E") for number in range(2)),
            *(alert(f"new-{number}", minutes=5, source_type="SAFETY") for number in range(2)),
            *(alert(f"other-{number}", minutes=60) for number in range(3)),
            alert("loud", minutes=60, source_type="COMPLIANCE"),
        ],
        rule("both", both, source_type="SAFETY"),
        rule("loud", UNATTENDED, source_type="COMPLIANCE"),
        rule("silent", {"expire_after_mins": 60}),
        rule("shadow", {"expire_after_mins": 60, "notify": True}, mode="shadow"),
    )
    scan(db, allow_over_limit=("scan",))
    tick()
    [(title, body)] = hook.got
    assert title == "Alert scanner: 2 rules escalated 3 and closed 2 alerts"
    assert "Rule 'both' escalated 2 and closed 2 alerts:" in body
    assert "Rule 'loud' escalated 1 alert:\n- loud (metadata.driver_id D1): " in body
    assert "silent" not in body
    assert "shadow" not in body


def test_dry_runs_and_scans_that_decided_nothing_by_such_a_rule_tell_nothing(
    tick: Ticks, hook: Inbox, db: AlertDatabase
) -> None:
    tick()
    fill(db, [alert("a", minutes=60)], rule("late", UNATTENDED))
    scan(db, dry_run=True)
    scan(db, minutes=-40)
    assert tick() == "Nothing to send."
    assert hook.got == []


def test_a_receiver_that_is_down_fails_no_scan_and_gets_one_message_when_it_is_back_and_the_other_nothing_twice(
    tick: Ticks, hook: Inbox, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as other:
        port = other.port
    monkeypatch.setenv(NOTIFY_VARIABLE, f"json://127.0.0.1:{hook.port} json://127.0.0.1:{port}")
    tick()
    fill(db, [], rule("late", UNATTENDED))
    for number in range(7):
        fill(db, [alert(f"a{number}", minutes=60)])
        scan(db, minutes=number)
        assert "Not sent, to be retried at the next tick: receiver 2 of 2" in tick()
    with webhook(port) as back:
        tick()
        assert tick() == "Nothing to send."
    assert hook.titles == ["Alert scanner: rule 'late' escalated 1 alert"] * 7
    [(title, body)] = back.got
    assert title == "Alert scanner: rule 'late' escalated 7 alerts"
    assert "- a6 (" in body
    assert "… and 2 scans before that, since " in body
    assert body.endswith(": rule 'late' escalated 2 alerts.")


def test_a_scan_that_was_killed_after_it_had_escalated_is_told_of_when_it_is_swept(
    tick: Ticks, hook: Inbox, db: AlertDatabase, instance: DagsterInstance
) -> None:
    tick()
    fill(db, [alert("a", minutes=60)], rule("late", UNATTENDED))
    scan(db)
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    killed = {"$set": {"status": "running", "lease_expires_at": long_ago}, "$unset": {"stats": 1, "completed_at": 1}}
    db.background_jobs.update_one({}, killed)
    assert tick() == "Nothing to send."
    dead_scan_sensor(sensor_context(instance))
    tick()
    [(title, body)] = hook.got
    assert title == "Alert scanner: rule 'late' escalated 1 alert; 1 scan failed"
    assert "- a (metadata.driver_id D1): " in body


def test_what_was_undone_before_it_was_told_is_not_told(tick: Ticks, hook: Inbox, db: AlertDatabase) -> None:
    tick()
    fill(db, [alert("a", minutes=60)], rule("late", UNATTENDED))
    undo_job(db, scan(db).job_id, dry_run=False)
    assert tick() == "Nothing to send."
    assert hook.got == []


def test_what_the_rules_that_notify_did_is_told_though_a_limit_failed_the_scan(
    tick: Ticks, hook: Inbox, db: AlertDatabase
) -> None:
    tick()
    late, limited = alert("a", minutes=60), alert("b", minutes=60, source_type="SAFETY")
    fill(
        db,
        [late, limited],
        rule("late", UNATTENDED),
        rule("no", {"expire_after_mins": 5, "max_close": 0}, source_type="SAFETY"),
    )
    with pytest.raises(BlastRadiusError):
        scan(db)
    tick()
    assert hook.titles == ["Alert scanner: rule 'late' escalated 1 alert; rule 'no' was blocked by a limit"]


def test_texts_of_alerts_break_no_line_and_odd_records_keep_nothing_from_being_told(
    tick: Ticks, hook: Inbox, db: AlertDatabase
) -> None:
    tick()
    odd = alert("a\nTold: b", minutes=60, metadata={"driver_id": "D\r1" * 500})
    fill(db, [odd, alert(alert_id=["x"], minutes=60)], rule("late", UNATTENDED))
    scan(db)
    edited: list[Any] = [5, {"rule_id": "late"}, {"rule_id": ["late"], "alerts": 3}, {"rule_id": "late", "alerts": "3"}]
    db.background_jobs.update_one({}, {"$push": {"stats.decisions": {"$each": edited}}})
    for damaged in ({"stats": {"decisions": "text"}}, {"stats": [{"decisions": [5]}]}, {"job_id": 5}):
        record = db.background_jobs.find_one({}, {"_id": 0})
        assert record is not None
        db.background_jobs.insert_one({**record, "job_id": repr(damaged), **damaged})
    tick()
    [(title, body)] = hook.got
    assert title == "Alert scanner: rule 'late' escalated 2 alerts"
    assert '- "a\\nTold: b" (metadata.driver_id "D\\r1D' in body
    assert max(map(len, body.splitlines())) < 400
    assert tick() == "Nothing to send."


def test_a_cursor_of_before_there_was_notify_is_read(tick: Ticks, hook: Inbox, db: AlertDatabase) -> None:
    tick()
    remembered = json.loads(tick.cursor)
    for receiver in remembered["receivers"]:
        del receiver["decided"], receiver["decided_since"]
    tick.cursor = json.dumps(remembered)
    fill(db, [alert("a", minutes=60)], rule("late", UNATTENDED))
    scan(db)
    tick()
    assert hook.titles == ["Alert scanner: rule 'late' escalated 1 alert"]
    assert json.loads(tick.cursor)["began"] == remembered["began"]


def test_what_the_sensor_remembers_of_scans_is_bounded(tick: Ticks, hook: Inbox, db: AlertDatabase) -> None:
    tick()
    fill(db, [alert("a", minutes=60)], rule("late", UNATTENDED))
    scan(db)
    tick()
    tick.let_pass(minutes=30)
    assert tick() == "Nothing to send."
    assert json.loads(tick.cursor)["receivers"][0]["decided"] == {}
    assert len(hook.got) == 1
