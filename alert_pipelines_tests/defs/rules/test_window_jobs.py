"""Maintenance windows by jobs: added, listed, ended, and one alert snoozed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute, failure_text, in_one_line, output_metadata
from alert_pipelines_tests.factories import alert, fill

WORKSHOP = "- {window_id: workshop, source_types: [SAFETY], from: 2026-03-01, to: 2126-03-01}"


def stored(db: AlertDatabase) -> list[dict[str, Any]]:
    return list(db.maintenance_windows.find())


def test_windows_are_added_listed_and_ended_and_only_shown_by_default(
    execute: Execute, db: AlertDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "windows.yaml"
    file.write_text(WORKSHOP)

    seen = output_metadata(execute("add_windows_job", "add_windows", file=str(file)))
    assert (seen["written"], [row.data["change"] for row in seen["changes"].records]) == (0, ["new"])
    assert stored(db) == []

    assert output_metadata(execute("add_windows_job", "add_windows", file=str(file), dry_run=False))["written"] == 1
    [row] = output_metadata(execute("list_windows_job", "list_windows"))["windows"].records
    assert (row.data["window"], row.data["state"], row.data["alerts"]) == ("workshop", "holds", "SAFETY")
    assert "from 01 Mar 2026 00:00 UTC" in row.data["when"].replace("\N{NO-BREAK SPACE}", " ")

    [row] = output_metadata(execute("end_window_job", "end_window", window_id="workshop"))["windows"].records
    assert row.data["ended_at"] == ""
    assert "ended_at" not in stored(db)[0]

    execute("end_window_job", "end_window", window_id="workshop", dry_run=False)
    assert "ended_at" in stored(db)[0]
    assert output_metadata(execute("list_windows_job", "list_windows"))["windows"].records == []


def test_who_added_and_ended_a_window_and_why_could_not_be_said_in_the_launchpad(
    execute: Execute, db: AlertDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "windows.yaml"
    file.write_text(WORKSHOP)
    given = {"window_id": "workshop", "dry_run": False}
    execute("add_windows_job", "add_windows", file=str(file), dry_run=False, by="Ada", reason="new sensors")
    execute("end_window_job", "end_window", **given, by="Bob", reason="done early")
    [window] = stored(db)
    kept = {"created_by": "Ada", "reason": "new sensors", "ended_by": "Bob", "end_reason": "done early"}
    assert {name: window[name] for name in kept} == kept
    db.maintenance_windows.update_one({}, {"$set": {"ended_at": datetime(2126, 1, 1, tzinfo=UTC)}})
    [row] = output_metadata(execute("list_windows_job", "list_windows"))["windows"].records
    assert in_one_line(row.data["reason"]) == "new sensors (by Ada) (ended by Bob: done early)"


def test_the_list_fails_and_names_a_window_that_is_not_valid(execute: Execute, db: AlertDatabase) -> None:
    db.maintenance_windows.insert_one({"window_id": "odd", "source_type": "GPS", "from": 1, "to": 2})
    text = failure_text(execute("list_windows_job", "list_windows"), "list_windows")
    assert "source_type: unknown; did you mean 'source_types'?" in text


def test_an_alert_is_snoozed(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("one")])
    config = {"alert_id": "one", "reason": "on the phone", "by": "night shift"}
    seen = output_metadata(execute("snooze_alert_job", "snooze_alert", duration="8h", **config))
    [window] = stored(db)
    assert (seen["window"], window["values"], window["created_by"]) == (window["window_id"], ["one"], "night shift")
    text = failure_text(execute("snooze_alert_job", "snooze_alert", duration="long", **config), "snooze_alert")
    assert "'long' is not a valid duration" in text
