"""The scan's op where something is wrong: its config, a rule, an alert, a query, the database."""

import itertools
import json
from typing import Any

import pytest
from dagster import (
    DagsterEventType,
    DagsterInstance,
    ExecuteInProcessResult,
    serialize_value,
)
from pymongo.errors import AutoReconnect, OperationFailure

from alert_pipelines.defs.scan import attempt
from alert_pipelines.mongo import AlertDatabase, retry
from alert_pipelines.rules.clause import Clause
from alert_pipelines.scanner import apply
from alert_pipelines.settings import LEASE_VARIABLE
from alert_pipelines_tests.defs.conftest import Execute, check_verdicts, dry_run_metadata, failure_text
from alert_pipelines_tests.defs.scan.scans import ALL_PASSED, EXPIRE, fill_with_work
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"as_of": "yesterday"}, "as_of: 'yesterday' is not a valid time"),
        ({"rules": ["nosuch"]}, "no active or shadow rule is called 'nosuch'"),
        ({"as_of": "2999-01-01"}, "lies in the future"),
    ],
)
def test_config_that_makes_no_sense_fails_at_once_and_says_why(
    execute: Execute, config: dict[str, Any], expected: str
) -> None:
    result = execute(**config)
    assert not result.success
    assert expected in failure_text(result)
    assert not [event for event in result.all_events if event.event_type is DagsterEventType.STEP_UP_FOR_RETRY]


@pytest.mark.parametrize("op", ["auto_close", "dry_run"])
def test_a_run_was_green_though_the_query_of_a_rule_had_failed(
    execute: Execute, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, op: str
) -> None:
    fill_with_work(db)
    pipeline = Clause.pipeline

    def broken(clause: Clause, *args: Any) -> list[dict[str, Any]]:
        return [*pipeline(clause, *args), *([{"$set": {"x": {"$divide": [1, 0]}}}] if clause.rule_id == "old" else [])]

    monkeypatch.setattr(Clause, "pipeline", broken)
    result = execute(f"{op}_job", op, as_of=AS_OF.isoformat())
    assert not result.success
    assert "rule 'old': the server could not evaluate" in failure_text(result, op)
    assert not [event for event in result.all_events if event.event_type is DagsterEventType.STEP_UP_FOR_RETRY]
    assert set(statuses(db).values()) == {"OPEN"}
    (record,) = db.background_jobs.find()
    assert record["status"] == "failed"
    if op == "auto_close":
        assert check_verdicts(result) == ALL_PASSED | {"rules_valid": False}
    else:
        assert dry_run_metadata(result)["errors"] == 1


def test_a_poison_alert_is_a_warning_and_names_itself(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("poison", minutes=120, state_history="none"), alert("old", minutes=120)], EXPIRE)
    result = execute(as_of=AS_OF.isoformat())
    assert result.success
    assert statuses(db) == {"poison": "OPEN", "old": "AUTO_CLOSED"}
    assert check_verdicts(result) == ALL_PASSED | {"no_alert_errors": False}
    (verdict,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert verdict.severity.value == "WARN"
    assert "'poison'" in json.dumps(verdict.metadata["list"].value)
    assert verdict.description is not None
    assert "- alert 'poison'" in verdict.description


def test_a_bad_rule_is_named_by_its_check_and_the_others_work(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=120)], EXPIRE, rule("typo", {"expire_after": 5}))
    result = execute(as_of=AS_OF.isoformat())
    assert result.success
    assert statuses(db) == {"old": "AUTO_CLOSED"}
    assert check_verdicts(result) == ALL_PASSED | {"rules_valid": False}
    (verdict,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert "typo" in json.dumps(verdict.metadata["list"].value)
    assert verdict.description is not None
    assert "- rule 'typo'" in verdict.description


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, execute: Execute) -> str:
    """A MongoDB that is away, with a password in its URI."""
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    password = "hunter2secret"
    monkeypatch.setenv("MONGODB_URI", f"mongodb://scanner:{password}@127.0.0.1:9/?serverSelectionTimeoutMS=50")
    return password


def test_a_database_that_is_away_is_tried_again_and_its_password_is_never_shown(
    unreachable: str, execute: Execute, instance: DagsterInstance
) -> None:
    result = execute()
    assert not result.success
    retries = [event for event in result.all_events if event.event_type is DagsterEventType.STEP_UP_FOR_RETRY]
    assert len(retries) == attempt.MAX_RETRIES
    logs = "".join(serialize_value(entry) for entry in instance.all_logs(result.run_id))
    assert "127.0.0.1:9" in logs
    assert unreachable not in logs


def retries(result: ExecuteInProcessResult) -> int:
    return sum(event.event_type is DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)


@pytest.mark.slow
def test_a_scan_that_loses_its_database_is_tried_again_and_each_attempt_leaves_a_record_that_says_which_it_was(
    execute: Execute, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_with_work(db)
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    monkeypatch.setattr(retry, "PAUSES", ())
    update, calls = apply.decision_update, itertools.count(1)

    def lost_twice(*args: Any) -> Any:
        if next(calls) in {1, 2}:
            raise AutoReconnect("the primary has stepped down")
        return update(*args)

    monkeypatch.setattr(apply, "decision_update", lost_twice)
    result = execute(as_of=AS_OF.isoformat())
    assert result.success
    chain = list(db.background_jobs.find({"run_id": result.run_id}).sort("started_at", 1))
    assert [record["attempt"] for record in chain] == list(range(1, len(chain) + 1))
    assert [record["status"] for record in chain] == ["failed"] * retries(result) + ["completed"]
    assert retries(result) > 0
    assert all("the primary has stepped down" in record["errors"][0] for record in chain[:-1])
    assert sum(record["alerts_closed"] for record in chain) == 1
    assert sum(record["alerts_escalated"] for record in chain) == 1


@pytest.mark.parametrize("fault", [OperationFailure("not authorized", 13), KeyError("a defect")])
def test_a_fault_that_would_come_again_is_not_tried_again(
    execute: Execute, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    fill_with_work(db)

    def refuse(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr(apply, "decision_update", refuse)
    result = execute(as_of=AS_OF.isoformat())
    assert not result.success
    assert retries(result) == 0
    (record,) = db.background_jobs.find()
    assert (record["status"], record["attempt"]) == ("failed", 1)
