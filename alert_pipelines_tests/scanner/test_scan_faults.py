"""The scan where something fails in its midst: what its record says, and what stands."""

from typing import Any

import pytest
from pymongo.errors import PyMongoError

from alert_pipelines.alerts.decision_counts import decisions_of
from alert_pipelines.errors import RuleQueryError
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.rules.clause import Clause
from alert_pipelines.scanner import scan as scan_module
from alert_pipelines.scanner.plan import take_samples
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import (
    run_scan,
)
from alert_pipelines_tests.factories import AS_OF, alert, fill, statuses
from alert_pipelines_tests.scanner.scans import ESCALATE, EXPIRE, last_job, scan


def test_a_write_that_the_server_refuses_fails_alone_and_is_named(db: AlertDatabase) -> None:
    fill(db, [alert(f"A{n}", minutes=60) for n in range(50)], EXPIRE)
    refuse = {"$nor": [{"alert_id": "A33", "status": "AUTO_CLOSED"}]}
    db.command("collMod", "alerts", validator=refuse)
    report = scan(db)
    assert (report.closed, report.failed, report.conflicts, report.reconciles) == (49, 1, 0, True)
    assert statuses(db)["A33"] == "OPEN"
    assert "'A33'" in report.errors[0]


def test_a_scan_that_fails_in_the_midst_is_recorded_with_its_true_counts(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)

    def fail_after_writing(*_: Any) -> None:
        monkeypatch.setattr(scan_module, "decisions_of", decisions_of)
        raise KeyboardInterrupt("cancelled")

    monkeypatch.setattr(scan_module, "decisions_of", fail_after_writing)
    with pytest.raises(KeyboardInterrupt):
        scan(db)
    record = last_job(db)
    assert (record["status"], record["alerts_processed"], record["alerts_closed"]) == ("failed", 1, 1)
    assert record["stats"]["decisions"] == [
        {"rule_id": "expire", "source_type": "OVERSPEEDING", "decision": "close", "alerts": 1}
    ]
    assert record["errors"] == ["cancelled (KeyboardInterrupt: cancelled)"]


def test_a_database_that_is_gone_surfaces_and_nothing_is_recorded_as_done(
    db: AlertDatabase, mongo_uri: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)
    monkeypatch.setattr("alert_pipelines.mongo.retry.PAUSES", (0.01,))
    with open_database(MongoSettings(mongo_uri, db.name, tmp_path)) as own:

        def then_the_connection_is_gone(*args: Any) -> Any:
            samples = take_samples(*args)
            own.client.close()
            return samples

        monkeypatch.setattr(scan_module, "take_samples", then_the_connection_is_gone)
        with pytest.raises(PyMongoError):
            scan(own)
    assert last_job(db)["status"] == "running"
    assert "the next claim does it" in caplog.text
    assert statuses(db) == {"old": "OPEN"}


def test_a_record_that_cannot_be_finished_leaves_the_result_standing(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)

    def then_the_record_is_swept(*args: Any) -> Any:
        db.background_jobs.update_many({}, {"$set": {"status": "failed"}})
        return decisions_of(*args)

    monkeypatch.setattr(scan_module, "decisions_of", then_the_record_is_swept)
    assert scan(db).closed == 1
    assert "its decisions stand" in caplog.text


def test_progress_that_cannot_be_told_does_not_end_the_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE)

    def fail(*_: int) -> None:
        raise OSError("the log is full")

    assert run_scan(db, ScanRequest(as_of=AS_OF), fail).closed == 1


def test_a_rule_that_the_server_cannot_evaluate_is_a_bad_rule(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=60)], EXPIRE, ESCALATE)
    pipeline = Clause.pipeline

    def broken(clause: Clause, *args: Any) -> list[dict[str, Any]]:
        stages = pipeline(clause, *args)
        return [*stages, {"$set": {"x": {"$divide": [1, 0]}}}] if clause.rule_id == "expire" else stages

    monkeypatch.setattr(Clause, "pipeline", broken)
    with pytest.raises(RuleQueryError, match="'expire'") as failed:
        scan(db)
    report = failed.value.report
    assert len(report.bad_rules) == 1
    assert "'expire'" in report.bad_rules[0]
    assert report.bad_rules[0] in report.errors
