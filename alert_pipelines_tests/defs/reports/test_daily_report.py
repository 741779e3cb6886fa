"""The daily report as a partitioned asset: its page, its files, and its place in the queue."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    ExecuteInProcessResult,
    build_schedule_context,
)

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.reports import daily_report as daily_report_asset
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import failure_text, in_one_line
from alert_pipelines_tests.defs.scan.test_schedules import make_run, tick
from alert_pipelines_tests.factories import alert, fill, rule
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.reports.test_daily import DAY, entry, with_history


def run_day(instance: DagsterInstance, day: date = DAY, **config: Any) -> ExecuteInProcessResult:
    return (
        build_defs()
        .resolve_job_def("daily_report_job")
        .execute_in_process(
            instance=instance,
            partition_key=day.isoformat(),
            run_config={"ops": {"daily_report": {"config": config}}},
            raise_on_error=False,
        )
    )


def shown(result: ExecuteInProcessResult) -> dict[str, Any]:
    assert result.success
    (materialization,) = result.asset_materializations_for_node("daily_report")
    return {name: value.value for name, value in materialization.metadata.items()}


def rows(metadata: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [{column: in_one_line(cell) for column, cell in row.data.items()} for row in metadata[name].records]


@pytest.fixture
def past(db: AlertDatabase) -> None:
    resolved = entry("RESOLVED", 8, was="ESCALATED", by="anna")
    fill(
        db,
        [
            with_history("A", entry("AUTO_CLOSED", 5), born=1, status="AUTO_CLOSED"),
            with_history("B", entry("ESCALATED", 5), resolved, born=2, status="RESOLVED"),
            with_history("C", entry("AUTO_CLOSED", -30), status="AUTO_CLOSED"),
            alert("pending", source_type="SAFETY"),
        ],
        rule("r", {"expire_after_mins": 60}),
    )


@pytest.mark.usefixtures("mongodb_env", "past")
def test_a_days_numbers_are_shown_and_plotted_and_alerts_are_only_read(
    instance: DagsterInstance, db: AlertDatabase
) -> None:
    before = list(db.alerts.find())
    seen = shown(run_day(instance))
    assert list(db.alerts.find()) == before
    numbers = {
        "opened": 3,
        "closed by rules": 1,
        "escalated": 1,
        "resolved by people": 1,
        "reopened": 0,
        "hours to close, median": 5.0,
        "hours to close, p90": 5.8,
    }
    assert {name: seen[name] for name in numbers} == numbers
    assert rows(seen, "By rule")[0] == {
        "rule": "r",
        "closed": 1,
        "escalated": 1,
        "closed_in_all_days": 2,
        "escalated_in_all_days": 1,
        "what_it_does": "Closes OVERSPEEDING alerts when they are 1 hour old.",
    }
    assert [row["source"] for row in rows(seen, "Pending now")] == ["SAFETY"]
    # Not the 27 days before the first on which anything was done: nothing but zeros.
    assert len(rows(seen, "Day by day")) == 3
    last = rows(seen, "Day by day")[-1]
    assert (last["day"], last["median"], last["p90"]) == (
        "01\xa0Mar\xa02026",
        "5\xa0h\xa00\xa0min",
        "5\xa0h\xa048\xa0min",
    )
    for plot in ("Opened, closed, escalated and resolved", "Closed by rule", "Time to close"):
        assert any(str(value).startswith(f"![{plot}](data:image/svg+xml;base64,") for value in seen.values()), plot
    assert len(json.dumps([str(value) for value in seen.values()])) < 500_000, "kept with every run"


@pytest.mark.slow
@pytest.mark.usefixtures("mongodb_env", "past")
def test_its_files_stay_in_the_home_unless_told_otherwise(instance: DagsterInstance, tmp_path: Path) -> None:
    page = Path(shown(run_day(instance))["page"])
    assert page.is_relative_to(instance.root_directory)
    assert "Alerts on 2026-03-01" in page.read_text()
    elsewhere = shown(run_day(instance, DAY - timedelta(days=1), report_dir=str(tmp_path), days=2))
    assert Path(elsewhere["page"]) == tmp_path / "2026-02-28" / "report.html"
    assert elsewhere["data"]
    assert all(Path(path).is_file() for path in elsewhere["data"])
    assert len(rows(elsewhere, "Day by day")) == 2


@pytest.mark.usefixtures("mongodb_env")
def test_a_day_on_which_nothing_was_done_is_a_report_as_well(instance: DagsterInstance) -> None:
    seen = shown(run_day(instance, date(2020, 1, 1)))
    assert (seen["opened"], rows(seen, "By rule")) == (0, [])
    assert "hours to close, median" not in seen


@pytest.mark.usefixtures("mongodb_env")
def test_its_files_are_not_kept_among_the_system_s(instance: DagsterInstance) -> None:
    assert "the system's own" in failure_text(run_day(instance, report_dir="/proc/self"), "daily_report")


@pytest.mark.usefixtures("mongodb_env")
def test_one_that_takes_long_stops_before_it_keeps_a_scan_waiting(
    instance: DagsterInstance, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [with_history(str(n), *(entry("AUTO_CLOSED", 1) for _ in range(40))) for n in range(3_000)])
    monkeypatch.setattr(daily_report_asset, "MAX_SECONDS", 0.001)
    assert "`alert-pipelines report 2026-03-01`" in failure_text(run_day(instance), "daily_report")


def test_yesterdays_is_made_every_night_behind_all_else(instance: DagsterInstance) -> None:
    made = build_defs()
    schedule = made.get_repository_def().get_schedule_def("daily_report_schedule")
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "18 0 * * *"
    context = build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 3, 2, 0, 18, tzinfo=UTC),
        repository_def=made.get_repository_def(),
    )
    (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.partition_key == "2026-03-01"
    assert int(made.resolve_job_def("daily_report_job").tags["dagster/priority"]) < 0
    make_run(
        instance, "daily_report_job", DagsterRunStatus.STARTED, asset_selection=frozenset({AssetKey("daily_report")})
    )
    assert tick(instance) is None


def test_the_lineage_leads_to_it_in_the_group_of_the_pages_for_people() -> None:
    node = build_defs().resolve_asset_graph().get(AssetKey("daily_report"))
    # One line, from what is made last: with one from each of the four the lineage is hard to read.
    assert {key.to_user_string() for key in node.parent_keys} == {"background_jobs"}
    assert (node.group_name, node.kinds) == ("reports", {"mongodb", "pandas"})


def test_only_a_run_that_makes_one_loads_pandas() -> None:
    code = "import sys, alert_pipelines.defs.reports.daily_report; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT_S)
    assert done.stdout.strip() == "False"
