"""A rule whose query fails: what it would have closed is not known, so none of it is escalated."""

from collections.abc import Callable
from typing import Any

import pytest

from alert_pipelines.errors import RuleQueryError
from alert_pipelines.job_records import recent_records
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.clause import Clause
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, stored

Fail = Callable[[str], None]
KEEP = rule("keep", {"keep_latest": True})
PILE = rule("pile", {"escalate_if_count": 10})


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Have the server fail the queries of one rule."""
    pipeline = Clause.pipeline

    def queries_of(rule_id: str) -> None:
        def broken(clause: Clause, *args: Any) -> list[dict[str, Any]]:
            stages = pipeline(clause, *args)
            return [*stages, {"$set": {"x": {"$divide": [1, 0]}}}] if clause.rule_id == rule_id else stages

        monkeypatch.setattr(Clause, "pipeline", broken)

    return queries_of


def scan(db: AlertDatabase, **request: Any) -> ScanReport:
    return run_scan(db, ScanRequest(as_of=AS_OF, **request))


def failed_scan(db: AlertDatabase, **request: Any) -> ScanReport:
    with pytest.raises(RuleQueryError, match="could not evaluate") as failed:
        scan(db, **request)
    return failed.value.report


def pile(source: str = "OVERSPEEDING") -> list[dict[str, Any]]:
    return [alert(f"{source}-{n}", minutes=n, source_type=source) for n in range(50)]


def test_alerts_of_a_close_rule_whose_query_failed_were_escalated(db: AlertDatabase, fail: Fail) -> None:
    safety_pile = rule("safety pile", {"escalate_if_count": 10}, source_type="SAFETY")
    late = rule("late", {"expire_after_mins": 49}, priority=-1)
    fill(db, [*pile(), *pile("SAFETY")], KEEP, PILE, safety_pile, late)
    fail("keep")
    report = failed_scan(db)
    assert db.alerts.count_documents({"source_type": "OVERSPEEDING", "status": "ESCALATED"}) == 0
    # All that does not depend on it goes on: other closes, and the escalations of other sources.
    assert stored(db, "OVERSPEEDING-49")["status"] == "AUTO_CLOSED"
    assert (report.closed, report.escalated, report.reconciles) == (1, 41, True)
    record = recent_records(1, db)[0]
    assert (record["status"], record["alerts_closed"], record["alerts_escalated"]) == ("failed", 1, 41)
    assert "'keep'" in record["errors"][0]
    assert "no alert that it may close was escalated" in record["errors"][0]


def test_the_scan_after_one_whose_query_failed_decides_all_that_was_left(
    db: AlertDatabase, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, pile(), KEEP, PILE)
    fail("keep")
    failed_scan(db)
    monkeypatch.undo()
    assert scan(db).closed == 49


def test_no_alert_is_escalated_if_the_query_of_expires_at_failed(db: AlertDatabase, fail: Fail) -> None:
    fill(db, [*pile(), alert("own", minutes=2, driver="D2", expires_at=ago(1))], PILE)
    fail("expires_at")
    assert (failed_scan(db).escalated, stored(db, "own")["status"]) == (0, "OPEN")


def test_a_failed_escalation_keeps_no_other_rule_from_deciding(db: AlertDatabase, fail: Fail) -> None:
    every = rule("every", {"escalate_if_count": 1}, priority=-1)
    fill(db, pile(), PILE, every)
    fail("pile")
    assert failed_scan(db).escalated == 50


def test_a_shadow_rule_whose_query_failed_withholds_nothing_and_is_a_failure(db: AlertDatabase, fail: Fail) -> None:
    fill(db, pile(), rule("trial", {"keep_latest": True}, mode="shadow"), PILE)
    fail("trial")
    assert failed_scan(db).escalated == 41


def test_a_dry_run_whose_query_failed_is_a_failure_too(db: AlertDatabase, fail: Fail) -> None:
    fill(db, pile(), KEEP, PILE)
    fail("keep")
    assert failed_scan(db, dry_run=True).planned == ()
    assert recent_records(1, db)[0]["status"] == "failed"


def test_a_failed_query_was_recorded_with_the_servers_cluster_time_and_signature(db: AlertDatabase, fail: Fail) -> None:
    fill(db, pile(), KEEP)
    fail("keep")
    report = failed_scan(db)
    (error,) = recent_records(1, db)[0]["errors"]
    assert "can't $divide by zero" in error
    assert not [raw for raw in ("clusterTime", "signature", "full error") if raw in error or raw in str(report.errors)]
