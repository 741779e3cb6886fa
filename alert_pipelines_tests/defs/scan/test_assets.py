"""The scan's op, in this process, on a real MongoDB and a real Dagster instance."""

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterInvalidSubsetError,
    Definitions,
    validate_run_config,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.asset_specs import SCAN_CHECKS
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.scan import attempt
from alert_pipelines.defs.scan.events import UNDO_OR_EXPLAIN
from alert_pipelines.defs.scan.run_records import JOB_ID_TAG, close_records_of_run
from alert_pipelines.job_records import COMPLETED, SCANNER, create_job_record, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.settings import LEASE_VARIABLE
from alert_pipelines_tests.defs.conftest import (
    OWN,
    Execute,
    check_verdicts,
    dry_run_metadata,
    failure_text,
    scan_metadata,
)
from alert_pipelines_tests.defs.scan.scans import ALL_PASSED, ESCALATE, EXPIRE, fill_with_work
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

DRY_RUN = ("dry_run_job", "dry_run")


def test_the_oldest_pending_alert_has_no_negative_age_where_timestamps_lie_ahead(
    execute: Execute, db: AlertDatabase
) -> None:
    fill(db, [alert("clock", timestamp=datetime(2106, 2, 7, tzinfo=UTC))])
    assert "oldest_pending_days" not in scan_metadata(execute())["background_jobs"], "no age can be told"
    fill(db, [alert("soon", minutes=-5), alert("now", minutes=0)])
    assert scan_metadata(execute(as_of=AS_OF.isoformat()))["background_jobs"]["oldest_pending_days"] == 0.0


def test_a_scan_materializes_its_outcome_with_numbers_that_plot(execute: Execute, db: AlertDatabase) -> None:
    fill_with_work(db)
    result = execute(as_of=AS_OF.isoformat())
    assert result.success
    assert statuses(db) == {"old": "AUTO_CLOSED", "first": "OPEN", "second": "ESCALATED", "lone": "OPEN"}
    metadata = scan_metadata(result)
    assert metadata["closed_alerts"]["closed"] == 1
    assert metadata["escalated_alerts"]["escalated"] == 1
    record = metadata["background_jobs"]
    numbers = {
        "pending": 4,
        "pending open": 4,
        "pending escalated": 0,
        "closed": 1,
        "escalated": 1,
        "errors": 0,
        "blocked": 0,
        "oldest_pending_days": 0.083,
    }
    assert {name: record[name] for name in numbers} == numbers
    assert record["duration_s"] > 0
    assert record["oldest pending"] == "2 h 0 min"
    rows = [row.data for row in metadata["closed_alerts"]["by rule and source"].records]
    assert rows == [{"rule": "old", "source": "OVERSPEEDING", "alerts": 1}]
    samples = [row.data for row in metadata["escalated_alerts"]["samples"].records]
    (sample,) = samples
    assert (sample["alert"], sample["rule and source"]) == ("second", "often\nOVERSPEEDING")
    assert "decision" not in sample
    assert check_verdicts(result) == ALL_PASSED


def test_the_page_leads_to_the_alerts_their_explanation_and_the_way_back(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("old](x)`", minutes=120)], EXPIRE)
    metadata = scan_metadata(execute(location=OWN, as_of=AS_OF.isoformat()))
    job_id = metadata["background_jobs"]["job_id"]
    leads = metadata["closed_alerts"][UNDO_OR_EXPLAIN]
    assert f"`alert-pipelines jobs show {job_id} --alerts`" in leads
    assert f"`alert-pipelines undo {job_id}`" in leads
    assert next(iter(metadata["closed_alerts"])) == UNDO_OR_EXPLAIN
    undo, explain, all_of_them = (
        json.loads(unquote(config))
        for config in re.findall(r"\(/locations/alert_pipelines/jobs/\w+/playground/setup\?config=(\S+?)\)", leads)
    )
    assert explain == {"ops": {"explain": {"config": {"alert_id": "old](x)`"}}}}
    assert undo == {"ops": {"undo": {"config": {"job_id": job_id}}}}
    assert "old&#93;&#40;x&#41;&#96;" in leads
    made = build_defs()
    jobs = {"explain_alert_job": explain, "undo_job": undo, "list_decisions_job": all_of_them}
    for job, config in jobs.items():
        assert validate_run_config(made.resolve_job_def(job), config)


@pytest.mark.parametrize(
    ("location", "paths"),
    [
        (Location("alert_pipelines.definitions", "__repository__"), {"alert_pipelines.definitions"}),
        (Location("north", "alerts_of_north"), {"alerts_of_north%40north"}),
        (None, set()),
    ],
)
def test_under_another_name_of_the_location_the_links_to_explain_and_undo_led_nowhere(
    execute: Execute, db: AlertDatabase, location: Location | None, paths: set[str]
) -> None:
    fill(db, [alert("old", minutes=120)], EXPIRE)
    metadata = scan_metadata(execute(location=location, as_of=AS_OF.isoformat()))
    leads = metadata["closed_alerts"][UNDO_OR_EXPLAIN]
    assert set(re.findall(r"\(/locations/(.+?)/jobs/", leads)) == paths
    assert "old" in leads
    assert "`alert-pipelines undo JOB-" in leads


def test_the_run_and_its_job_record_name_each_other(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance
) -> None:
    result = execute()
    (record,) = db.background_jobs.find()
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert record["run_id"] == result.run_id
    assert run.tags[JOB_ID_TAG] == record["job_id"]
    shown = scan_metadata(result)["background_jobs"]["job record"]
    assert shown["status"] == "completed"
    assert shown["started_at"] == record["started_at"].isoformat()
    json.dumps(shown)


def test_a_row_of_the_runs_page_did_not_say_what_the_run_did(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance
) -> None:
    limited = rule("old", {"expire_after_mins": 60, "max_close": 0})
    fill(db, [alert("old", minutes=120), alert("a", driver="D9"), alert("b", driver="D9")], limited, ESCALATE)

    def tags_of(*job: str, **config: Any) -> dict[str, str]:
        run = instance.get_run_by_id(execute(*job, as_of=AS_OF.isoformat(), **config).run_id)
        assert run is not None
        return {name: text for name, text in run.tags.items() if "/" not in name and name != JOB_ID_TAG}

    looked = {"dry_run": "true", "would_close": "1", "would_escalate": "2", "database": db.name}
    assert tags_of(*DRY_RUN) == looked
    assert tags_of() == {"closed": "0", "escalated": "2", "blocked": "1", "database": db.name}
    assert tags_of(allow_over_limit=["old"], confirm=True) == {"closed": "1", "escalated": "0", "database": db.name}


@pytest.mark.slow
def test_the_data_version_of_the_rules_changes_only_with_them(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance
) -> None:
    fill(db, [], EXPIRE)

    def version() -> str:
        execute()
        event = instance.get_latest_materialization_event(AssetKey("alert_rules"))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.tags is not None
        return event.asset_materialization.tags["dagster/data_version"]

    first = version()
    assert version() == first
    db.rules.update_one({}, {"$set": {"conditions.expire_after_mins": 61}})
    assert version() != first


def test_config_limits_the_rules(execute: Execute, db: AlertDatabase) -> None:
    fill_with_work(db)
    assert execute(rules=["often"], as_of=AS_OF.isoformat()).success
    assert statuses(db)["old"] == "OPEN"
    assert statuses(db)["second"] == "ESCALATED"


def test_a_dry_run_shows_the_decisions_and_is_no_scan(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance
) -> None:
    fill_with_work(db)
    before = list(db.alerts.find())
    result = execute(*DRY_RUN, as_of=AS_OF.isoformat())
    assert result.success
    assert list(db.alerts.find()) == before
    assert scan_metadata(result) == {}
    assert check_verdicts(result) == {}
    seen = dry_run_metadata(result)
    assert (seen["would close"], seen["would escalate"]) == (1, 1)
    assert {row.data["alert"] for row in seen["samples"].records} == {"old", "second"}
    assert not db.background_jobs.find_one({"job_type": SCANNER})


def test_a_run_of_the_scans_job_was_green_and_had_scanned_nothing(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance
) -> None:
    with pytest.raises(DagsterInvalidConfigError, match='unexpected config entry "dry_run"'):
        execute(dry_run=True)
    assert (instance.get_runs_count(), db.background_jobs.count_documents({})) == (0, 0)


def test_a_dry_run_gave_the_verdicts_of_other_runs_again_as_its_own(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance
) -> None:
    fill(db, [alert("old", minutes=120)], rule("old", {"expire_after_mins": 60, "max_close": 0}))
    keys = [spec.key for spec in SCAN_CHECKS]

    def verdicts() -> list[tuple[str, AssetCheckExecutionRecordStatus]]:
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        return [(found[key].run_id, found[key].status) for key in keys]

    red = execute(as_of=AS_OF.isoformat())
    before = verdicts()
    assert {run_id for run_id, _ in before} == {red.run_id}
    assert AssetCheckExecutionRecordStatus.FAILED in {status for _, status in before}
    result = execute(*DRY_RUN, as_of=AS_OF.isoformat())
    assert result.success
    assert check_verdicts(result) == {}
    assert verdicts() == before


def test_a_dry_run_that_meets_a_limit_shows_it_and_does_not_fail(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=120)], rule("old", {"expire_after_mins": 60, "max_close": 0}))
    result = execute(*DRY_RUN, as_of=AS_OF.isoformat())
    assert result.success
    seen = dry_run_metadata(result)
    assert "'old'" in seen["blocked"]


def test_empty_tables_are_not_shown(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [], EXPIRE)
    shown = scan_metadata(execute())
    assert shown["closed_alerts"] == {"closed": 0, "database": db.name}
    assert shown["escalated_alerts"] == {"escalated": 0, "database": db.name}
    looked = dry_run_metadata(execute(*DRY_RUN))
    assert not {"by rule and source", "by status and severity", "samples"} & looked.keys()


def test_a_run_that_found_another_scan_running_was_green_and_gave_old_verdicts_as_its_own(
    execute: Execute, db: AlertDatabase, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_with_work(db)
    holder = create_job_record(SCANNER, db).job_id
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    result = execute(as_of=AS_OF.isoformat())
    assert not result.success
    assert failure_text(result).startswith(f"another auto_close_scanner is running: {holder}, started ")
    assert (scan_metadata(result), check_verdicts(result)) == ({}, {})
    assert set(statuses(db).values()) == {"OPEN"}
    assert db.background_jobs.count_documents({}) == 1


def test_a_scan_waits_for_another_that_is_about_to_end(
    execute: Execute, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_with_work(db)
    holder = create_job_record(SCANNER, db).job_id
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    begun: list[Any] = []

    def end_the_other(*args: Any) -> list[str]:
        begun.append(args)
        if len(begun) == attempt.MAX_RETRIES:
            update_job_record(holder, {}, COMPLETED, [], db)
        return close_records_of_run(*args)

    monkeypatch.setattr(attempt, "close_records_of_run", end_the_other)
    result = execute(as_of=AS_OF.isoformat())
    assert result.success
    assert check_verdicts(result) == ALL_PASSED
    record = db.background_jobs.find_one({"run_id": result.run_id}) or {}
    assert (record["status"], record["attempt"]) == (COMPLETED, attempt.MAX_RETRIES + 1)
    waits = [event.step_retry_data.seconds_to_wait or 0 for event in result.all_events if event.is_step_up_for_retry]
    assert sum(waits) == pytest.approx(2), "they are shorter than the lease of a scan that died"


def test_a_limit_stops_its_rule_alone_and_fails_the_run_loudly(execute: Execute, db: AlertDatabase) -> None:
    limited = rule("old", {"expire_after_mins": 60, "max_close": 0})
    fill(db, [alert("old", minutes=120), alert("a", driver="D9"), alert("b", driver="D9")], limited, ESCALATE)
    result = execute(as_of=AS_OF.isoformat())
    assert not result.success
    assert "allow_over_limit: ['old']" in failure_text(result)
    assert not [event for event in result.all_events if event.event_type is DagsterEventType.STEP_UP_FOR_RETRY]
    assert check_verdicts(result) == ALL_PASSED | {"within_limits": False}
    metadata = scan_metadata(result)["background_jobs"]
    assert (metadata["blocked"], metadata["escalated"]) == (1, 2)
    assert metadata["job record"]["status"] == "failed"
    assert statuses(db)["old"] == "OPEN"
    allowed = execute(as_of=AS_OF.isoformat(), allow_over_limit=["old"], confirm=True)
    assert allowed.success
    assert statuses(db)["old"] == "AUTO_CLOSED"


@pytest.mark.parametrize(
    "part",
    [{"asset_selection": {AssetKey("closed_alerts")}}, {"asset_check_selection": {spec.key for spec in SCAN_CHECKS}}],
)
def test_a_run_of_a_part_of_a_scan_scanned_and_did_not_show_what_it_did(part: dict[str, Any]) -> None:
    with pytest.raises(DagsterInvalidSubsetError):
        build_defs().resolve_implicit_global_asset_job_def().get_subset(**part)


def test_definitions_take_other_resources(instance: DagsterInstance, mongodb_env: None, db: AlertDatabase) -> None:
    made: Definitions = build_defs(resource_overrides={"mongo": MongoResource(database=f"{db.name}_other")})
    try:
        assert made.resolve_job_def("auto_close_job").execute_in_process(instance=instance).success
        assert db.client[f"{db.name}_other"].background_jobs.count_documents({}) == 1
        assert db.background_jobs.count_documents({}) == 0
    finally:
        db.client.drop_database(f"{db.name}_other")
