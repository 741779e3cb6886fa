"""What a limit blocks: red once and not with each tick, its message without stacks of calls, and the way out."""

import json
import re
from datetime import timedelta
from urllib.parse import unquote

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult, TableMetadataValue, validate_run_config

from alert_pipelines.definitions import build_defs
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring.scan_records import first_blocked
from alert_pipelines_tests.defs.conftest import OWN, Execute, check_verdicts, execute_in, failure_text
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

LIMITED = rule("old", {"expire_after_mins": 60, "max_close": 0})
TICK = {"dagster/schedule_name": "auto_close_schedule"}


def tick(instance: DagsterInstance) -> ExecuteInProcessResult:
    """A scan that the schedule launched."""
    config = {"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}}
    return execute_in(OWN, instance, "auto_close_job", run_config=config, tags=TICK, raise_on_error=False)


def says(result: ExecuteInProcessResult) -> str:
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "within_limits"]
    return check.description or ""


def test_a_blocked_rule_turned_288_runs_a_day_red(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    fill(db, [alert("old", minutes=120)], LIMITED)
    first, *later = (tick(instance) for _ in range(3))
    assert [one.success for one in (first, *later)] == [False, True, True]
    assert not any(check_verdicts(one)["within_limits"] for one in (first, *later))
    job_ids = [one["job_id"] for one in db.background_jobs.find(sort=[("started_at", 1)])]
    assert "Blocked since" not in says(first)
    assert all(f"{job_ids[0]}. Later scheduled runs that the same limits block are green" in says(one) for one in later)
    # The records, from which people are told, stay failed.
    assert db.background_jobs.distinct("status") == ["failed"]


@pytest.mark.slow
def test_another_limit_is_red_again_and_so_is_the_same_one_after_it_was_allowed(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    fill(db, [alert("old", minutes=120)], LIMITED)
    assert not tick(instance).success
    fill(db, [alert("S", minutes=120, source_type="SAFETY")], LIMITED | {"rule_id": "safety", "source_type": "SAFETY"})
    assert not tick(instance).success
    assert tick(instance).success
    assert execute(as_of=AS_OF.isoformat(), allow_over_limit=["old", "safety"], confirm=True).success
    fill(db, [alert("again", minutes=120)])
    assert not tick(instance).success


def test_a_blocked_scan_that_a_person_launches_is_red_each_time(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=120)], LIMITED)
    assert [execute(as_of=AS_OF.isoformat()).success for _ in range(2)] == [False, False]


def test_a_blocked_run_showed_two_stacks_of_calls(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=120)], LIMITED)
    data = execute(as_of=AS_OF.isoformat()).failure_data_for_node("auto_close")
    assert data is not None
    assert data.error is not None
    assert data.error.cause is None
    assert data.error.context is None
    assert "rule 'old' would close 1 alert," in data.error.message


def test_limits_were_lifted_from_the_launchpad_without_a_question(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=120)], LIMITED)
    before = list(db.alerts.find())
    asked = execute(as_of=AS_OF.isoformat(), allow_over_limit=["old"])
    assert not asked.success
    assert list(db.alerts.find()) == before
    assert f"In {db.name} it would close 1 and escalate 0 alerts" in failure_text(asked)
    data = asked.failure_data_for_node("auto_close")
    assert data is not None
    assert data.user_failure_data is not None
    told = data.user_failure_data.metadata["it would"]
    assert isinstance(told, TableMetadataValue)
    [row] = told.records
    assert (row.data["rule"], row.data["status"], row.data["alerts"]) == ("old", "OPEN", 1)
    assert execute(as_of=AS_OF.isoformat(), allow_over_limit=["old"], confirm=True).success
    assert statuses(db) == {"old": "AUTO_CLOSED"}


def test_from_the_check_it_took_ten_steps_to_preview_what_is_blocked_or_to_allow_it_once(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    fill(db, [alert("old", minutes=120)], LIMITED)
    found = re.findall(
        r"\[([^\]]+)\]\(/locations/\S+/jobs/(\w+)/playground/setup\?config=(\S+?)\)", says(tick(instance))
    )
    links = {text: (job, json.loads(unquote(config))) for text, job, config in found}
    assert links == {
        "Preview": ("dry_run_job", {"ops": {"dry_run": {"config": {}}}}),
        "Allow once": (
            "auto_close_job",
            {"ops": {"auto_close": {"config": {"allow_over_limit": ["old"], "confirm": False}}}},
        ),
    }
    for job, config in links.values():
        assert validate_run_config(build_defs().resolve_job_def(job), config)


def test_scans_that_failed_before_they_had_a_plan_do_not_make_what_is_blocked_new(db: AlertDatabase) -> None:
    def record(number: int, **stats: object) -> dict[str, object]:
        started_at = AS_OF + timedelta(minutes=5 * number)
        made = {"job_id": f"J{number}", "job_type": "auto_close_scanner", "run_id": f"R{number}", "stats": stats}
        return {**made, "started_at": started_at, "lease_expires_at": started_at, "status": "failed"}

    limit = {"planned": 3, "limit": 2, "message": "", "decision": "close"}
    # The second is of a release that called it otherwise.
    blocked, before = {"blocked": [limit | {"blocked": "old"}]}, {"stopped": [limit | {"stopped": "old"}]}
    records = [
        record(0, planned=[]),
        record(1, planned=[], **before),
        record(2),
        record(3, planned=[], **blocked),
        record(4, planned=[], **blocked),
    ]
    db.background_jobs.insert_many([dict(one) for one in records])
    found = first_blocked(db, records[4])
    assert found is not None
    assert found["job_id"] == "J1"
    assert first_blocked(db, records[1]) is None
