"""Maintenance windows from the command line: checked, listed, added, ended; one alert snoozed."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.rules.store import load_windows
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import alert, fill, rule, statuses

WORKSHOP = """
windows:
  - window_id: workshop
    source_types: [OVERSPEEDING]
    field: metadata.vehicle_id
    values: [VEH-004]
    from: 2026-03-01T08:00:00+01:00
    to: 2126-03-01
    reason: new sensors
    created_by: fleet desk
"""


@pytest.fixture
def file(environment: Path) -> str:
    (environment / "windows.yaml").write_text(WORKSHOP)
    return "windows.yaml"


def windows_of(db: AlertDatabase) -> list[dict[str, Any]]:
    return list(db.maintenance_windows.find({}, {"_id": 0}))


def test_a_file_of_windows_is_checked_without_a_database(run: Run, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=1")
    assert run("windows", "validate", file).stdout == "1 windows, all valid.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {window_id: a, source_type: GPS, from: 2026-03-01, to: 2026-03-02}", "did you mean 'source_types'?"),
        ("- {window_id: a, from: 2026-03-02, to: 2026-03-01}", "maintenance window a is not valid and suppresses"),
        ("- {window_id: a, from: 2026-03-02, to: 2026-03-02}", "never occurs: expected a time after from"),
        ("- {window_id: a, from: 2026-03-02, to: soon}", "'soon' is not a valid time: write ISO 8601"),
        ("- {window_id: a, from: 2026-03-02, to: 7}", "to: expected a valid datetime; got 7"),
        ("- {window_id: a, to: 2026-03-02}", "from missing: give from and to, or rrule, duration_mins and zone"),
        ("- {from: 2026-03-01, to: 2026-03-02}", "maintenance window 1: window_id is missing"),
        ("- 7", "maintenance window 1: expected fields such as from and to; got 7"),
        ("{a: 1}", "expected 'windows:' with a list of maintenance windows; got a dict"),
        ("- {window_id: a, from: 2026-03-01, from: 2026-03-02, to: 2026-03-03}", "is not valid YAML"),
        (
            "[{window_id: a, from: 2026-03-01, to: 2026-03-02}, {window_id: a, from: 2026-03-01, to: 2026-03-02}]",
            "maintenance window a: given twice",
        ),
    ],
)
def test_all_that_is_wrong_with_a_file_is_named_and_nothing_added(
    run: Run, environment: Path, db: AlertDatabase, text: str, said: str
) -> None:
    (environment / "bad.yaml").write_text(text)
    for command in (["validate", "bad.yaml"], ["add", "bad.yaml", "--yes"]):
        assert said in run("windows", *command, code=1).stderr
    assert windows_of(db) == []


def test_a_misspelt_source_is_warned_of(run: Run, environment: Path) -> None:
    (environment / "w.yaml").write_text(WORKSHOP.replace("OVERSPEEDING", "OVERSPEDING"))
    assert "did you mean 'OVERSPEEDING'?" in run("windows", "validate", "w.yaml").stderr


def test_a_question_that_nobody_answers_ended_with_aborted_and_not_with_what_to_do(
    run: Run, file: str, db: AlertDatabase
) -> None:
    unanswered = run("windows", "add", file, code=1)
    assert "Write 1 window to " in unanswered.stdout
    assert unanswered.stderr == "Error: Nothing was written, as the question got no answer: add --yes.\n"
    assert run("windows", "add", file, typed="n\n", code=1).stderr == "Aborted!\n"
    assert windows_of(db) == []


def test_added_windows_are_asked_about_listed_and_added_once(run: Run, file: str, db: AlertDatabase) -> None:
    run("windows", "add", file, typed="n\n", code=1)
    assert windows_of(db) == []
    assert "1 window written" in run("windows", "add", file, typed="y\n").stdout
    [added] = windows_of(db)
    assert added["from"] == datetime.fromisoformat("2026-03-01T07:00:00Z")
    assert "0 windows written" in run("windows", "add", file).stdout
    assert windows_of(db) == [added]

    listed = run("windows", "list").stdout.splitlines()
    assert listed[1].split()[:2] == ["workshop", "holds"]
    assert listed[1].endswith("OVERSPEEDING  metadata.vehicle_id: VEH-004  new sensors  fleet desk")


def test_a_window_of_the_same_id_is_replaced_and_the_difference_shown(
    run: Run, file: str, environment: Path, db: AlertDatabase
) -> None:
    run("windows", "add", file, "--yes")
    (environment / "more.yaml").write_text(WORKSHOP.replace("[VEH-004]", "[VEH-004, VEH-009]"))
    shown = run("windows", "add", "more.yaml", "--yes").stdout
    assert "values: ['VEH-004'] -> ['VEH-004', 'VEH-009']" in shown
    [stored] = windows_of(db)
    assert stored["values"] == ["VEH-004", "VEH-009"]


def test_an_id_that_two_stored_windows_share_is_not_replaced(run: Run, file: str, db: AlertDatabase) -> None:
    db.maintenance_windows.insert_many([{"window_id": "workshop"}, {"window_id": "workshop"}])
    assert "several windows in" in run("windows", "add", file, "--yes", code=1).stderr


def test_the_list_fails_where_a_window_is_not_valid_and_an_end_silences_it(run: Run, db: AlertDatabase) -> None:
    db.maintenance_windows.insert_one({"window_id": "odd", "source_type": "GPS", "from": 1, "to": 2})
    listed = run("windows", "list", code=1)
    assert listed.stdout.splitlines()[1].split()[:3] == ["odd", "not", "valid"]
    assert "source_type: unknown; did you mean 'source_types'?" in listed.stderr
    run("windows", "end", "odd", "--yes")
    assert run("windows", "list").stdout == "No maintenance windows.\n"
    assert load_windows(db, server_now(db)).errors == ()


def test_an_end_asks_first_and_the_next_scan_judges_the_alerts_again(run: Run, file: str, db: AlertDatabase) -> None:
    fill(db, [alert("one", metadata={"vehicle_id": "VEH-004"})], rule("expire", {"expire_after_mins": 5}))
    run("windows", "add", file, "--yes")
    run_scan(db, ScanRequest())
    assert statuses(db) == {"one": "OPEN"}

    assert "workshop (holds) would be ended. To do it, add --yes." in run("windows", "end", "workshop").stdout
    run_scan(db, ScanRequest())
    assert statuses(db) == {"one": "OPEN"}
    before = server_now(db)

    assert "workshop ended at" in run("windows", "end", "workshop", "--yes").stdout
    run_scan(db, ScanRequest())
    assert statuses(db) == {"one": "AUTO_CLOSED"}
    assert "workshop is already over." in run("windows", "end", "workshop", "--yes").stdout
    assert run("windows", "list").stdout == "No maintenance windows.\n"
    [over] = json.loads(run("windows", "list", "--all", "--json").stdout)
    assert over["state"] == "over"
    # What was decided before the end is explained as it was.
    [window] = explain_alert(db, "one", as_of=before - timedelta(seconds=1)).windows
    assert window.window_id == "workshop"


def test_a_window_without_a_window_id_is_ended_by_its_object_id(run: Run, db: AlertDatabase) -> None:
    now = server_now(db)
    added = db.maintenance_windows.insert_one({"from": now, "to": now + timedelta(hours=1)}).inserted_id
    assert run("windows", "list").stdout.splitlines()[1].startswith(f"{added}  holds")
    run("windows", "end", str(added), "--yes")
    assert run("windows", "list").stdout == "No maintenance windows.\n"


def test_the_end_of_a_window_that_is_not_there_names_the_command_that_lists_them(run: Run) -> None:
    assert "`alert-pipelines windows list`" in run("windows", "end", "none", "--yes", code=1).stderr


def test_a_snoozed_alert_is_left_alone_and_its_neighbours_are_not(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert("one"), alert("two")], rule("expire", {"expire_after_mins": 5}))
    said = run("snooze", "one", "--for", "8h", "--reason", "on the phone", "--by", "night shift").stdout
    run_scan(db, ScanRequest())
    assert statuses(db) == {"one": "OPEN", "two": "AUTO_CLOSED"}
    [window] = windows_of(db)
    assert said.startswith("one is snoozed until ")
    first, how_to_end = said.splitlines()
    assert first.endswith(f" by the maintenance window {window['window_id']}.")
    assert how_to_end.endswith(f"alert-pipelines windows end {window['window_id']}")
    assert window["to"] - window["from"] == timedelta(hours=8)
    assert (window["reason"], window["created_by"]) == ("on the phone", "night shift")


@pytest.mark.parametrize("duration", ["8", "h", "-8h", "0m", "1.5h", "9999d", "8 weeks"])
def test_a_snooze_for_what_is_no_duration_is_refused(run: Run, db: AlertDatabase, duration: str) -> None:
    fill(db, [alert("one")])
    asked = ["snooze", "one", f"--for={duration}", "--reason", "r", "--by", "b"]
    assert "not a valid duration" in run(*asked, code=1 if duration == "9999d" else 2).stderr
    assert windows_of(db) == []


def test_a_snooze_of_an_alert_that_is_not_there_adds_nothing(run: Run, db: AlertDatabase) -> None:
    assert "check the id" in run("snooze", "none", "--for", "8h", "--reason", "r", "--by", "b", code=1).stderr
    assert windows_of(db) == []


def test_who_ended_a_window_and_why_was_kept_nowhere(run: Run, file: str, environment: Path, db: AlertDatabase) -> None:
    run("windows", "add", file, "--yes", "--by", "Eve", "--reason", "another")
    run("windows", "end", "workshop", "--yes", "--by", "Ada", "--reason", "done early")
    (kept,) = windows_of(db)
    assert (kept["created_by"], kept["reason"]) == ("fleet desk", "new sensors")
    assert (kept["ended_by"], kept["end_reason"]) == ("Ada", "done early")
    assert "new sensors (ended by Ada: done early)" in run("windows", "list", "--all").stdout
    (environment / "w.yaml").write_text("- {window_id: w, from: 2026-03-01, to: 2126-03-02}")
    run("windows", "add", "w.yaml", "--yes", "--by", "Eve", "--reason", "another")
    assert [one.get("created_by") for one in windows_of(db)] == ["fleet desk", "Eve"]
