"""Explaining an alert and undoing a job, as the run's page shows it."""

from typing import Any

import pytest
from dagster import DagsterInstance

from alert_pipelines.defs.audit import jobs as trust_jobs
from alert_pipelines.defs.scan.run_records import JOB_ID_TAG
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute, failure_text, in_one_line, observed, output_metadata
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

EXPIRE = rule("old", {"expire_after_mins": 60})
ESCALATE = rule("often", {"escalate_if_count": 2, "window_mins": 60})
SCAN_AT = {"as_of": AS_OF.isoformat()}


def rows(table: Any) -> list[dict[str, Any]]:
    return [record.data for record in table.records]


def test_the_page_of_an_explanation_holds_the_decision_each_test_and_the_evidence(
    execute: Execute, db: AlertDatabase
) -> None:
    fill(db, [alert("first", minutes=20), alert("second", minutes=10)], EXPIRE, ESCALATE)
    result = execute("explain_alert_job", "explain", alert_id="second", **SCAN_AT)
    assert result.success
    seen = output_metadata(result)
    assert seen["explanation"].startswith("A scan at 01 Mar 2026 12:00 UTC: rule 'often' would escalate it: ")
    assert seen["alert"].startswith("second: OVERSPEEDING, OPEN, ")
    assert "rule 'often' would escalate it" in seen["explanation"]
    tests = rows(seen["clauses and tests"])
    verdicts = {row["rule"]: row["holds"] for row in tests}
    assert verdicts["often: escalate, due\nescalate_if_count"] == "yes"
    assert verdicts["old: close, not due\nexpire_after_mins"] == "NO"
    (age,) = [
        row for row in tests if row["rule"].startswith("old") and "timestamp = " in row["test"] and row["holds"] == "NO"
    ]
    assert ago(10).isoformat() in age["test"]
    asked = [row["test"].splitlines()[0] for row in tests if row["rule"].startswith("old")]
    assert len(asked) == len(set(asked)), "a test was listed twice, as one of the alert and as what the rule says"
    assert rows(seen["evidence"]) == [
        {"rule": "often", "condition": "escalate_if_count", "newest": "first", "more": ""}
    ]
    assert {row["rule"]: in_one_line(row["description"]) for row in rows(seen["rules that concern it"])} == {
        "old": "Closes OVERSPEEDING alerts when they are 1 hour old.",
        "often": "Escalates OPEN OVERSPEEDING alerts when there are 2 pending ones with the same metadata.driver_id "
        "within 1 hour.",
    }
    assert "decided before" not in seen
    assert "maintenance windows that cover it" not in seen


def test_an_explanation_links_past_decisions_to_their_runs_with_the_rules_text_of_then(
    execute: Execute, db: AlertDatabase
) -> None:
    fill(db, [alert("A", minutes=120)], EXPIRE)
    scan = execute(**SCAN_AT)
    db.rules.update_one({}, {"$set": {"conditions.expire_after_mins": 600}})
    seen = output_metadata(execute("explain_alert_job", "explain", alert_id="A", **SCAN_AT))
    (past,) = rows(seen["decided before"])
    assert past["from, to"] == "OPEN,\nAUTO_CLOSED"
    # The reason begins with the rule, which is said once.
    *reason, matched, as_of, job_id = past["why"].replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert " ".join(reason).startswith("old: timestamp is 1 hour old or more")
    assert matched == f"timestamp = {ago(120).isoformat()}"
    assert as_of == "as of 01 Mar 2026 12:00 UTC"
    assert "by rule old: timestamp is 1 hour old or more" in seen["explanation"]
    assert seen["explanation"].startswith("Closed ")
    assert seen[f"run of {job_id}"] == scan.run_id
    (text,) = [value for name, value in seen.items() if name.startswith("rule old in ")]
    assert text["conditions"]["expire_after_mins"] == 60


def test_an_explanation_shows_the_maintenance_windows_that_hold_its_alert(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=120)], EXPIRE)
    holds = {"from": ago(60), "to": ago(-60)}
    db.maintenance_windows.insert_many(
        [
            {
                "source_types": ["OVERSPEEDING"],
                "field": "metadata.driver_id",
                "values": ["D1"],
                "reason": "yard",
                **holds,
            },
            {"source_types": ["SAFETY"], "reason": "other", **holds},
            {"source_types": ["OVERSPEEDING"], "reason": "over", "from": ago(60), "to": ago(1)},
        ]
    )
    seen = output_metadata(execute("explain_alert_job", "explain", alert_id="A", **SCAN_AT))
    (window,) = rows(seen["maintenance windows that cover it"])
    assert (window["of"], window["reason"]) == ("metadata.driver_id: D1", "yard")
    assert "would leave it: a maintenance window exempts it until " in seen["explanation"]
    assert "UTC: yard." in seen["explanation"]
    assert "other" not in seen["explanation"]


def test_explaining_an_alert_that_is_not_there_fails_and_names_it(execute: Execute) -> None:
    result = execute("explain_alert_job", "explain", alert_id="nosuch")
    assert not result.success
    assert "no alert 'nosuch'" in failure_text(result, "explain")


def scanned_job(db: AlertDatabase, execute: Execute) -> str:
    fill(
        db,
        [alert("old", minutes=120, driver="D0"), alert("first", minutes=20), alert("second", minutes=10)],
        EXPIRE,
        ESCALATE,
    )
    assert execute(**SCAN_AT).success
    assert statuses(db) == {"old": "AUTO_CLOSED", "first": "OPEN", "second": "ESCALATED"}
    record = db.background_jobs.find_one({"job_type": "auto_close_scanner"})
    assert record is not None
    return str(record["job_id"])


def test_the_decisions_of_a_job_are_counted_and_listed(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=120, driver="D2"), alert("a", minutes=20), alert("b", minutes=10)], EXPIRE, ESCALATE)
    execute(**SCAN_AT)
    (record,) = db.background_jobs.find()
    seen = output_metadata(execute("list_decisions_job", "list_decisions", job_id=record["job_id"]))
    assert seen["decisions"] == 2
    assert {(row["rule"], row["to"], row["alerts"]) for row in rows(seen["by rule and source"])} == {
        ("old", "AUTO_CLOSED", 1),
        ("often", "ESCALATED", 1),
    }
    assert [(row["alert"], row["from"], row["to"], row["rule"]) for row in rows(seen["alerts"])] == [
        ("b", "OPEN", "ESCALATED", "often"),
        ("old", "OPEN", "AUTO_CLOSED", "old"),
    ]
    assert "all of them" not in seen


def test_of_many_decisions_the_page_lists_some_and_says_how_to_see_all(
    execute: Execute, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_jobs, "MAX_DECISIONS", 2)
    fill(db, [alert(minutes=120) for _ in range(3)], EXPIRE)
    execute(**SCAN_AT)
    (record,) = db.background_jobs.find()
    seen = output_metadata(execute("list_decisions_job", "list_decisions", job_id=record["job_id"]))
    assert (seen["decisions"], len(rows(seen["alerts"]))) == (3, 2)
    assert seen["all of them"] == f"alert-pipelines jobs show {record['job_id']} --alerts"


def test_the_decisions_of_a_job_that_is_not_there_fail_and_name_it(execute: Execute) -> None:
    assert "'JOB-X'" in failure_text(execute("list_decisions_job", "list_decisions", job_id="JOB-X"), "list_decisions")


def test_an_undo_is_a_dry_run_unless_told_otherwise(execute: Execute, db: AlertDatabase) -> None:
    job_id = scanned_job(db, execute)
    before = list(db.alerts.find())
    seen = observed(execute("undo_job", "undo", job_id=job_id))
    assert list(db.alerts.find()) == before
    assert (seen["asset"], seen["would be restored"], seen["would be skipped"]) == ("alerts", 2, 0)
    scan = db.background_jobs.find_one({"job_id": job_id}) or {}
    assert seen["run of the undone job"] == scan["run_id"]
    assert sorted(map(tuple, (row.values() for row in rows(seen["would be restored: alerts"])))) == [
        ("old", "old", "AUTO_CLOSED", "OPEN"),
        ("second", "often", "ESCALATED", "OPEN"),
    ]
    assert db.background_jobs.count_documents({"job_type": "auto_close_undo"}) == 0


def test_an_undo_shows_what_it_restored_and_skipped_and_its_record_names_the_run(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance
) -> None:
    job_id = scanned_job(db, execute)
    db.alerts.update_one({"alert_id": "second"}, {"$set": {"severity": "INFO", "updated_at": AS_OF}})
    result = execute("undo_job", "undo", job_id=job_id, dry_run=False)
    seen = observed(result)
    assert statuses(db) == {"old": "OPEN", "first": "OPEN", "second": "ESCALATED"}
    assert rows(seen["restored by rule"]) == [{"rule": "old", "from": "AUTO_CLOSED", "to": "OPEN", "alerts": 1}]
    assert [row["alert"] for row in rows(seen["skipped: touched since"])] == ["second"]
    record = db.background_jobs.find_one({"job_type": "auto_close_undo"})
    assert record is not None
    assert (record["run_id"], record["job_id"]) == (result.run_id, seen["undo's own job"])
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[JOB_ID_TAG] == record["job_id"]
    assert (run.tags["undone"], run.tags["database"]) == ("1", db.name)


def test_an_undo_of_one_rule_leaves_the_others_decisions(execute: Execute, db: AlertDatabase) -> None:
    job_id = scanned_job(db, execute)
    assert observed(execute("undo_job", "undo", job_id=job_id, rule="often", dry_run=False))["restored"] == 1
    assert statuses(db) == {"old": "AUTO_CLOSED", "first": "OPEN", "second": "OPEN"}


def test_an_undo_of_a_job_that_is_not_there_fails_and_names_it(execute: Execute) -> None:
    result = execute("undo_job", "undo", job_id="JOB-none")
    assert not result.success
    assert "no job record 'JOB-none'" in failure_text(result, "undo")
