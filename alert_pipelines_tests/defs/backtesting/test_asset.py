"""The back-test as a partitioned asset: its page, its report, and its place in the queue."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, ExecuteInProcessResult
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.backtesting import asset as backtest_asset
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import failure_text
from alert_pipelines_tests.defs.scan.test_schedules import make_run, tick
from alert_pipelines_tests.factories import alert, fill, rule

DAY = date(2024, 5, 6)
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
PROPOSED = "rules:\n  - {rule_id: sooner, source_type: OVERSPEEDING, conditions: {expire_after_mins: 60}}\n"


def past_alert(alert_id: str, opened: datetime, *, closed: datetime | None = None) -> dict[str, Any]:
    """One that a person resolved at `closed`, if ever."""
    resolved = {
        "from_status": "OPEN",
        "to_status": "RESOLVED",
        "timestamp": closed,
        "triggered_by": "user",
    }
    return alert(
        alert_id,
        timestamp=opened,
        created_at=opened,
        updated_at=closed or opened,
        status="RESOLVED" if closed else "OPEN",
        state_history=[resolved] if closed else [],
    )


def fill_past(db: AlertDatabase) -> None:
    """Two due by `sooner` in DAY, of which today's `later` decides the one that stayed open."""
    resolved = past_alert("R", NOON - timedelta(hours=3), closed=NOON + timedelta(hours=10))
    fill(db, [resolved, past_alert("O", NOON - timedelta(hours=2))], rule("later", {"expire_after_mins": 11 * 60}))


def run_day(instance: DagsterInstance, day: date = DAY, **config: Any) -> ExecuteInProcessResult:
    return (
        build_defs()
        .resolve_job_def("backtest_job")
        .execute_in_process(
            instance=instance,
            partition_key=day.isoformat(),
            run_config={"ops": {"backtest": {"config": config}}},
            raise_on_error=False,
        )
    )


def shown(result: ExecuteInProcessResult) -> dict[str, Any]:
    assert result.success
    (materialization,) = result.asset_materializations_for_node("backtest")
    return {name: value.value for name, value in materialization.metadata.items()}


@pytest.fixture
def proposed(tmp_path: Path) -> str:
    file = tmp_path / "proposed.yaml"
    file.write_text(PROPOSED)
    return str(file)


def test_a_days_numbers_are_shown_and_plotted_and_alerts_are_only_read(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase, proposed: str
) -> None:
    fill_past(db)
    before = list(db.alerts.find())
    seen = shown(run_day(instance, rules_file=proposed))
    assert list(db.alerts.find()) == before
    numbers = {
        "sooner: would close": 2,
        "sooner: would escalate": 0,
        "sooner: false closes": 0,
        # Due at 12:00, resolved at 22:00.
        "sooner: hours earlier": 10.0,
    }
    assert {name: seen[name] for name in numbers} == numbers
    on_trial = {record.data["rule"]: record.data for record in seen["proposed rules"].records}
    assert (on_trial["sooner"]["never closed"], on_trial["sooner"]["closes shared"]) == (1, 1)
    sentence = " ".join(on_trial["sooner"]["what it does"].split())
    assert sentence == "Closes OVERSPEEDING alerts when they are 1 hour old."
    todays = {record.data["rule"]: record.data for record in seen["today's rules"].records}
    assert (todays["later"]["would close"], todays["later"]["never closed"]) == (1, 1)
    really = {record.data["what"]: record.data["alerts"] for record in seen["what really happened"].records}
    assert (really["resolved"], really["closed by rules"]) == (1, 0)
    assert seen["plot: sooner"].startswith("![sooner](data:image/svg+xml;base64,")


@pytest.mark.slow
def test_the_report_grows_with_the_days_and_stays_in_the_home_unless_told_otherwise(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase, proposed: str, tmp_path: Path
) -> None:
    fill_past(db)
    first = shown(run_day(instance, rules_file=proposed))
    second = shown(run_day(instance, DAY + timedelta(days=1), rules_file=proposed))
    again = shown(run_day(instance, rules_file=proposed))
    assert [seen["days in the report"] for seen in (first, second, again)] == [1, 2, 2]
    report = Path(again["report"])
    assert report.is_relative_to(instance.root_directory)
    assert "Back-test 2024-05-06 to 2024-05-07" in report.read_text()
    elsewhere = shown(run_day(instance, rules_file=proposed, report_dir=str(tmp_path / "reports")))
    assert Path(elsewhere["report"]).is_relative_to(tmp_path / "reports")
    assert elsewhere["days in the report"] == 1


def test_a_rule_with_brackets_in_its_id_has_its_picture(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    fill_past(db)
    fill(db, [], rule("speed](#", {"expire_after_mins": 60}))
    assert re.fullmatch(
        r"!\[speed \(#\]\(data:image/svg\+xml;base64,[\w+/=]+\)", shown(run_day(instance))["plot: speed](#"]
    )


def test_without_a_file_the_rules_of_today_are_on_trial(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    fill_past(db)
    fill(db, [], rule("silent", {"expire_after_mins": 60}, mode="shadow", is_active=False))
    seen = shown(run_day(instance))
    assert (seen["later: would close"], seen["silent: would close"]) == (1, 2)


def test_a_rule_file_that_is_not_there_is_named(instance: DagsterInstance, mongodb_env: None, tmp_path: Path) -> None:
    result = run_day(instance, rules_file=str(tmp_path / "none.yaml"))
    assert "none.yaml" in failure_text(result, "backtest")


def test_reports_are_not_kept_among_the_system_s_files(instance: DagsterInstance, mongodb_env: None) -> None:
    assert "the system's own" in failure_text(run_day(instance, report_dir="/dev/shm/../shm/reports"), "backtest")


def test_one_that_takes_long_stops_before_it_keeps_a_scan_waiting(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_past(db)
    monkeypatch.setattr(backtest_asset, "MAX_SECONDS", 0.0)
    assert "`alert-pipelines backtest 2024-05-06`" in failure_text(run_day(instance), "backtest")
    assert not [name for name in db.list_collection_names() if name.startswith("backtest_")]


def queued(instance: DagsterInstance, job: str, selection: frozenset[AssetKey]) -> DagsterRun:
    """A run that waits with the tags that its job gives it."""
    tags = build_defs().resolve_job_def(job).tags
    return make_run(instance, job, DagsterRunStatus.QUEUED, asset_selection=selection, tags=tags)


def test_scans_go_before_all_days_of_a_backfill_and_are_made_beside_it(instance: DagsterInstance) -> None:
    day = frozenset({AssetKey("backtest")})
    backfill = [queued(instance, "backtest_job", day) for _ in range(3)]
    from_materialize = make_run(instance, "__ASSET_JOB", DagsterRunStatus.QUEUED, asset_selection=day)
    assert tick(instance) is None
    scan = queued(instance, "auto_close_job", frozenset({AssetKey("closed_alerts")}))
    order = QueuedRunCoordinatorDaemon(5)._priority_sort(reversed(instance.get_runs()))
    assert [run.run_id for run in order] == [
        from_materialize.run_id,
        scan.run_id,
        *(run.run_id for run in backfill),
    ]


def test_the_partitions_are_the_days_that_are_over() -> None:
    days = backtest_asset.DAYS.get_partition_keys(current_time=datetime(2026, 3, 2, 0, 1, tzinfo=UTC))
    assert (days[0], days[-1]) == ("2016-01-01", "2026-03-01")
