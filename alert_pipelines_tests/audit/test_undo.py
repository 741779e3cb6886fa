"""Taking decisions back."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alert_pipelines.audit import undo as undo_module
from alert_pipelines.audit.undo import LATEST, Skipped, undo_job
from alert_pipelines.errors import UndoError
from alert_pipelines.job_records import SCANNER, create_job_record, recent_records
from alert_pipelines.leases import Lease
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.signature import Signature
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses, stored

EXPIRE = rule("expire", {"expire_after_mins": 60})
ESCALATE = rule("pile-up", {"escalate_if_count": 2})


def scan(db: AlertDatabase, minutes_later: int = 0) -> str:
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes_later))).job_id


def but_for(document: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in fields}


@pytest.fixture
def decided(db: AlertDatabase) -> tuple[AlertDatabase, str]:
    """Two closed, one escalated, one untouched; the fields a decision writes absent, null and given."""
    closed = [
        alert("absent", minutes=90),
        alert("null", minutes=80, driver="D3", closed_at=None, auto_close_reason=None),
    ]
    pile = [alert("pile", minutes=1, driver="D2", severity="INFO"), alert("first", minutes=2, driver="D2")]
    fill(db, [*closed, *pile], EXPIRE, ESCALATE)
    return db, scan(db)


def test_who_undid_a_scan_and_why_was_kept_nowhere(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    undo_job(db, job_id, dry_run=False, signature=Signature("Ada", "sensor fault"))
    record = recent_records(1, db)[0]
    assert (record["stats"]["by"], record["stats"]["reason"]) == ("Ada", "sensor fault")
    assert stored(db, "pile")["state_history"][-1]["reason"] == f"undo of {job_id} by Ada: sensor fault"


def test_each_alert_is_what_it_was_and_its_history_is_longer(db: AlertDatabase) -> None:
    fill(db, [alert("absent", minutes=90), alert("null", minutes=80, closed_at=None)], EXPIRE)
    fill(db, [alert("pile", minutes=1, driver="D2", severity="INFO"), alert("first", minutes=2, driver="D2")], ESCALATE)
    before = {doc["alert_id"]: doc for doc in db.alerts.find()}
    job_id = scan(db)
    decided = {doc["alert_id"]: doc for doc in db.alerts.find()}
    report = undo_job(db, job_id, dry_run=False)
    assert (report.restored, report.skipped) == (3, ())
    for alert_id, was in before.items():
        now = stored(db, alert_id)
        assert but_for(now, "updated_at", "state_history") == but_for(was, "updated_at", "state_history")
        assert now["state_history"][: len(decided[alert_id]["state_history"])] == decided[alert_id]["state_history"]
    entry = stored(db, "pile")["state_history"][-1]
    assert (entry["from_status"], entry["to_status"], entry["triggered_by"]) == ("ESCALATED", "OPEN", "undo")
    assert entry["undoes"] == {"job_id": job_id, "rule_id": "pile-up"}
    record = recent_records(1, db)[0]
    assert (record["job_type"], record["status"], record["stats"]["restored"]) == ("auto_close_undo", "completed", 3)


def test_a_dry_run_is_the_default_says_what_would_be_and_writes_nothing(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    before, jobs = list(db.alerts.find()), db.background_jobs.count_documents({})
    report = undo_job(db, job_id)
    assert (report.dry_run, report.restored, report.undo_job_id) == (True, 3, None)
    assert list(db.alerts.find()) == before
    assert db.background_jobs.count_documents({}) == jobs


def test_undoing_twice_does_nothing(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    undo_job(db, job_id, dry_run=False)
    before = list(db.alerts.find())
    for dry_run in (True, False):
        report = undo_job(db, job_id, dry_run=dry_run)
        assert (report.restored, report.skipped, report.already_undone) == (0, (), 3)
    assert list(db.alerts.find()) == before


def test_one_rules_decisions_may_be_undone_alone(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    assert undo_job(db, job_id, rule_id="pile-up", dry_run=False).restored == 1
    assert statuses(db) == {"absent": "AUTO_CLOSED", "null": "AUTO_CLOSED", "pile": "OPEN", "first": "OPEN"}


def test_a_rule_that_decided_nothing_is_named_and_nothing_is_undone(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    before, jobs = list(db.alerts.find()), db.background_jobs.count_documents({})
    with pytest.raises(UndoError, match=r"rule 'pileup' decided nothing in .*; did you mean 'pile-up'\?"):
        undo_job(db, job_id, rule_id="pileup", dry_run=False)
    assert (list(db.alerts.find()), db.background_jobs.count_documents({})) == (before, jobs)


def test_alerts_touched_since_are_skipped_and_listed(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    reopened = {"to_status": "OPEN", "triggered_by": "user", "timestamp": AS_OF}
    db.alerts.update_one({"alert_id": "absent"}, {"$set": {"status": "OPEN"}, "$push": {"state_history": reopened}})
    db.alerts.update_one({"alert_id": "pile"}, {"$set": {"metadata.note": "looked at", "updated_at": AS_OF}})
    before = [stored(db, "absent"), stored(db, "pile")]
    for dry_run in (True, False):
        report = undo_job(db, job_id, dry_run=dry_run)
        assert report.restored == 1
        assert {skipped.alert_id for skipped in report.skipped} == {"absent", "pile"}
        assert report.skipped_total == 2
    assert [stored(db, "absent"), stored(db, "pile")] == before
    assert isinstance(report.skipped[0], Skipped)


@pytest.mark.parametrize(
    ("alert_id", "changed"),
    [
        ("absent", {"auto_close_reason": "The driver left"}),
        ("absent", {"closed_at": AS_OF}),
        ("pile", {"severity": "WARNING"}),
        ("pile", {"escalated_at": None}),
    ],
    ids=str,
)
def test_what_somebody_changed_without_a_new_updated_at_was_overwritten_by_an_undo(
    decided: tuple[AlertDatabase, str], alert_id: str, changed: dict[str, Any]
) -> None:
    db, job_id = decided
    db.alerts.update_one({"alert_id": alert_id}, {"$set": changed})
    before = stored(db, alert_id)
    for dry_run in (True, False):
        report = undo_job(db, job_id, dry_run=dry_run)
        assert report.restored == 2
        assert report.skipped == (
            Skipped(alert_id, "a field that the decision wrote was changed since, and updated_at was not"),
        )
    assert stored(db, alert_id) == before


def test_an_undo_may_allow_the_rules_to_decide_those_alerts_again(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    before = statuses(db)
    undo_job(db, job_id, allow_again=True, dry_run=False)
    assert set(statuses(db).values()) == {"OPEN"}
    again = scan(db, minutes_later=5)
    assert statuses(db) == before
    undo_job(db, again, dry_run=False)
    scan(db, minutes_later=10)
    assert set(statuses(db).values()) == {"OPEN"}


def test_the_latest_is_the_last_scan_of_ours_that_decided_anything(db: AlertDatabase) -> None:
    with pytest.raises(UndoError, match="has decided anything yet"):
        undo_job(db, LATEST)
    fill(db, [alert("old", minutes=90)], EXPIRE)
    job_id = scan(db)
    scan(db, minutes_later=1)
    service = {"job_id": "JOB-OLD", "job_type": SCANNER, "status": "completed", "alerts_closed": 5}
    db.background_jobs.insert_one(service | {"started_at": datetime.now(UTC)})
    assert undo_job(db, LATEST, dry_run=False).job_id == job_id
    assert undo_job(db, LATEST).already_undone == 1


def test_the_decisions_of_two_scans_are_both_undone_the_last_one_first(db: AlertDatabase) -> None:
    fill(db, [alert("first", minutes=5), alert("pile", minutes=1, severity="INFO")], EXPIRE, ESCALATE)
    was = stored(db, "pile")
    escalated, closed = scan(db), scan(db, minutes_later=120)
    assert statuses(db) == {"first": "AUTO_CLOSED", "pile": "AUTO_CLOSED"}
    early = undo_job(db, escalated, dry_run=False)
    assert (early.restored, early.skipped) == (0, (Skipped("pile", "system set it to AUTO_CLOSED since"),))
    assert undo_job(db, closed, dry_run=False).restored == 2
    assert (stored(db, "pile")["status"], stored(db, "pile")["severity"]) == ("ESCALATED", "CRITICAL")
    foretold = undo_job(db, escalated)
    assert foretold.alerts == undo_job(db, escalated, dry_run=False).alerts
    assert [tuple(one) for one in foretold.alerts] == [("pile", "pile-up", "ESCALATED", "OPEN")]
    assert but_for(stored(db, "pile"), "updated_at", "state_history") == but_for(was, "updated_at", "state_history")
    assert [entry["triggered_by"] for entry in stored(db, "pile")["state_history"]] == ["system"] * 2 + ["undo"] * 2
    for job_id in (escalated, closed):
        again = undo_job(db, job_id, dry_run=False)
        assert (again.restored, again.skipped) == (0, ())


def test_an_entry_that_is_no_object_is_a_touch_like_any_other(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    db.alerts.update_one({"alert_id": "absent"}, {"$push": {"state_history": "seen by Ann"}})
    report = undo_job(db, job_id, dry_run=False)
    assert (report.restored, [skipped.alert_id for skipped in report.skipped]) == (2, ["absent"])
    assert "it was changed since, at" in report.skipped[0].why


def test_what_a_person_did_after_an_undo_is_not_undone(db: AlertDatabase) -> None:
    fill(db, [alert("first", minutes=5), alert("pile", minutes=1)], EXPIRE, ESCALATE)
    escalated, closed = scan(db), scan(db, minutes_later=120)
    undo_job(db, closed, dry_run=False)
    acknowledged = {"to_status": "ESCALATED", "triggered_by": "user", "timestamp": AS_OF}
    db.alerts.update_one(
        {"alert_id": "pile"}, {"$set": {"updated_at": AS_OF}, "$push": {"state_history": acknowledged}}
    )
    assert undo_job(db, escalated, dry_run=False).skipped == (Skipped("pile", "user set it to ESCALATED since"),)


def test_an_undone_decision_is_not_taken_again_by_the_same_rule(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    undo_job(db, job_id, dry_run=False)
    scan(db)
    scan(db, minutes_later=30)
    assert statuses(db) == {"absent": "OPEN", "null": "OPEN", "pile": "OPEN", "first": "OPEN"}
    fill(db, [], rule("other", {"expire_after_mins": 60}))
    scan(db, minutes_later=35)
    assert statuses(db)["absent"] == "AUTO_CLOSED"


def test_a_crashed_scan_is_undone_as_far_as_it_came(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_pipelines.scanner.apply.BATCH", 10)
    monkeypatch.setattr("alert_pipelines.scanner.apply.WRITERS", 1)
    fill(db, [alert(minutes=90) for _ in range(40)], EXPIRE)

    def crash_half_way(_: Lease) -> None:
        if db.alerts.count_documents({"status": "AUTO_CLOSED"}) >= 20:
            raise RuntimeError("killed")

    monkeypatch.setattr(Lease, "check", crash_half_way)
    with pytest.raises(RuntimeError, match="killed"):
        scan(db)
    monkeypatch.undo()
    record = recent_records(1, db)[0]
    closed = db.alerts.count_documents({"status": "AUTO_CLOSED"})
    assert (record["status"], record["alerts_closed"]) == ("failed", closed)
    assert 20 <= closed < 40
    assert undo_job(db, record["job_id"], dry_run=False).restored == closed
    assert db.alerts.count_documents({"status": "OPEN"}) == 40


def test_an_undo_racing_a_person_leaves_the_persons_word(
    decided: tuple[AlertDatabase, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    db, job_id = decided
    update_many = type(db.alerts).update_many

    def person_first(self: Any, *args: Any, **kwargs: Any) -> Any:
        person = {"$set": {"status": "RESOLVED", "resolved_by": "Ann", "updated_at": AS_OF}}
        db.alerts.update_one({"alert_id": "null"}, person)
        return update_many(self, *args, **kwargs)

    monkeypatch.setattr(type(db.alerts), "update_many", person_first)
    report = undo_job(db, job_id, dry_run=False)
    assert report.restored == 2
    assert [skipped.alert_id for skipped in report.skipped] == ["null"]
    assert stored(db, "null")["status"] == "RESOLVED"


def test_an_undo_that_was_cancelled_says_so_and_the_next_one_finishes(
    decided: tuple[AlertDatabase, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    db, job_id = decided
    monkeypatch.setattr(undo_module, "BATCH", 1)
    checks = iter([None, KeyboardInterrupt("cancelled")])

    def cancelled_at_the_second_write(_: Lease) -> None:
        if cancel := next(checks, None):
            raise cancel

    monkeypatch.setattr(Lease, "check", cancelled_at_the_second_write)
    with pytest.raises(KeyboardInterrupt):
        undo_job(db, job_id, dry_run=False)
    record = recent_records(1, db)[0]
    assert (record["job_type"], record["status"]) == ("auto_close_undo", "failed")
    assert "cancelled" in record["errors"][0]
    assert (record["stats"]["undone_job_id"], record["stats"]["restored"]) == (job_id, 1)
    assert db.alerts.count_documents({"state_history.job_id": record["job_id"]}) == 1
    assert undo_job(db, job_id, dry_run=False).restored == 2
    assert db.alerts.count_documents({"state_history.undoes.job_id": job_id}) == 3


def test_two_undos_at_once_restore_each_alert_once(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=60) for _ in range(2_500)], rule("old", {"expire_after_mins": 60}))
    job_id = run_scan(db, ScanRequest(as_of=AS_OF)).job_id
    with ThreadPoolExecutor(2) as pool:
        undos = [pool.submit(undo_job, db, job_id, dry_run=False) for _ in range(2)]
        reports = [undo.result() for undo in undos]
    assert sum(report.restored for report in reports) == 2_500
    assert [report.skipped_total for report in reports] == [0, 0]
    assert db.alerts.count_documents({"status": "OPEN", "state_history": {"$size": 2}}) == 2_500


def test_an_unknown_or_running_job_cannot_be_undone(db: AlertDatabase) -> None:
    with pytest.raises(UndoError, match="JOB-nobody"):
        undo_job(db, "JOB-nobody")
    with pytest.raises(UndoError, match="still running"):
        undo_job(db, create_job_record(SCANNER, db).job_id)


def test_a_scan_whose_process_died_can_be_undone_before_anybody_swept_it(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    died = {"status": "running", "lease_expires_at": AS_OF}
    db.background_jobs.update_one({"job_id": job_id}, {"$set": died})
    assert undo_job(db, job_id, dry_run=False).restored == 3


def test_an_alert_whose_write_the_server_refuses_is_named_and_stops_nothing(decided: tuple[AlertDatabase, str]) -> None:
    db, job_id = decided
    db.command("collMod", "alerts", validator={"$nor": [{"alert_id": "null", "status": "OPEN"}]})
    report = undo_job(db, job_id, dry_run=False)
    assert report.restored == 2
    assert [skipped.alert_id for skipped in report.skipped] == ["null"]
    assert "refused" in report.skipped[0].why
    assert recent_records(1, db)[0]["status"] == "completed"


def test_an_undo_once_read_again_with_each_batch_what_it_had_undone(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo_module, "BATCH", 20)
    fill(db, [alert(f"A{n}", minutes=60) for n in range(400)], rule("old", {"expire_after_mins": 30}))
    job_id = run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,))).job_id
    db.command("profile", 2)
    assert undo_job(db, job_id, dry_run=False).restored == 400
    db.command("profile", 0)
    examined = [query.get("docsExamined", 0) for query in db["system.profile"].find({"ns": f"{db.name}.alerts"})]
    # Looked for, written, looked for in vain, and counted a few times for the report and for the job's figures.
    assert sum(examined) <= 10 * 400


def test_the_table_by_rule_once_counted_the_first_thousand_only(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo_module, "MAX_LISTED", 3)
    monkeypatch.setattr(undo_module, "BATCH", 5)
    old = [alert(f"O{n}", minutes=60, source_type="SAFETY") for n in range(8)]
    pile = [alert(f"P{n}", minutes=5) for n in range(4)]
    rules = rule("old", {"expire_after_mins": 30}, source_type="SAFETY"), rule("pile", {"escalate_if_count": 4})
    fill(db, [*old, *pile], *rules)
    job_id = scan(db)
    for dry_run in (True, False):
        report = undo_job(db, job_id, dry_run=dry_run)
        assert len(report.alerts) == 3
        assert report.by_rule() == [("old", "AUTO_CLOSED", "OPEN", 8), ("pile", "ESCALATED", "OPEN", 4)]


def test_an_undo_tells_how_far_it_is_of_how_many(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(undo_module, "BATCH", 3)
    fill(db, [alert(f"A{n}", minutes=60) for n in range(8)], rule("old", {"expire_after_mins": 30}))
    job_id = scan(db)
    with caplog.at_level(logging.INFO, "alert_pipelines"):
        undo_job(db, job_id, dry_run=False)
    told = [record.getMessage() for record in caplog.records if "looked at" in record.getMessage()]
    assert told == [f"Undo of {job_id}: {done} of 8 alerts looked at" for done in (3, 6, 8)]
