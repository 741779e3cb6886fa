"""The page `today`: one look instead of 288 green ticks."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import DagsterEventType, DagsterInstance, DefaultScheduleStatus, TableMetadataValue

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.reports import today
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import OWN, Execute, execute_in
from alert_pipelines_tests.factories import alert, fill, rule

EXPIRE = rule("old", {"expire_after_mins": 90})


def page_of(instance: DagsterInstance, asset: str = "today") -> dict[str, Any]:
    """What the page of that asset shows, as the rows of its tables and as plain values."""
    done = execute_in(OWN, instance, "overview_job", raise_on_error=True)
    events = [event for event in done.all_events if event.event_type is DagsterEventType.ASSET_MATERIALIZATION]
    (shown,) = [event.materialization.metadata for event in events if event.asset_key.path == [asset]]  # type: ignore[union-attr]
    return {
        name: [row.data for row in one.records] if isinstance(one, TableMetadataValue) else one.value
        for name, one in shown.items()
    }


def test_five_minutes_after_a_scan_nothing_said_what_was_done_today(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    now = datetime.now(UTC)
    limited = rule("few", {"expire_after_mins": 60, "max_close": 0}, source_type="SAFETY")
    ages = [alert("old", timestamp=now - timedelta(hours=2)), alert("next", timestamp=now)]
    fill(db, [*ages, alert(timestamp=now - timedelta(hours=2), source_type="SAFETY")], EXPIRE, limited)
    execute()
    execute()
    page = page_of(instance)
    (row,) = page["by rule"]
    assert (row["rule"], row["what"], row["24 h"], row["7 days"]) == ("old", "closed", 1, 1)
    assert [(row["source"], row["pending"], row["older"]) for row in page["pending by source and age"]] == [
        ("OVERSPEEDING", 1, 0),
        ("SAFETY", 1, 0),
    ]
    due = {row["rule"]: (row["alerts"], row["first by"]) for row in page["next 24 hours by rule"]}
    assert due["few"] == (1, "now")
    assert due["old"][0] == 1
    assert [row["rules"] for row in page["next 24 hours by hour"]] == ["few 1", "old 1"]
    assert "rule 'few' would close 1 alert" in page["blocked by limits in the last scan"]
    assert page["database"] == db.name


def test_a_day_on_which_nothing_happened_shows_no_empty_tables(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase
) -> None:
    page = page_of(instance)
    assert not [name for name, value in page.items() if isinstance(value, list)]
    assert page["in short"].startswith("Today, since midnight UTC: closed 0, escalated 0, reopened 0, undone 0.")


def test_with_very_many_pending_alerts_the_page_does_not_plan_a_day_of_scans(
    instance: DagsterInstance, mongodb_env: None, db: AlertDatabase, monkeypatch: Any
) -> None:
    monkeypatch.setattr(today, "MAX_FORECAST", 0)
    fill(db, [alert(timestamp=datetime.now(UTC))], EXPIRE)
    page = page_of(instance)
    assert "run `alert-pipelines forecast`" in page["in short"]
    assert "next 24 hours by rule" not in page


def test_it_is_made_hourly_behind_all_else() -> None:
    schedule = build_defs().get_repository_def().get_schedule_def("overview_schedule")
    assert (schedule.job_name, schedule.default_status) == ("overview_job", DefaultScheduleStatus.RUNNING)
    assert int(build_defs().resolve_job_def("overview_job").tags["dagster/priority"]) < 0
