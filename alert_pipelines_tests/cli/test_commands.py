"""The commands that only pass their arguments on: loading, indexes, the local MongoDB."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.cli.conftest import MAPPING, Run
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule


@pytest.fixture
def files(environment: Path) -> tuple[str, ...]:
    (environment / "mapping.yaml").write_text(MAPPING)
    (environment / "alerts.csv").write_text("id,at\nX1,2026-02-01\nX2,2026-04-01\nX3,never\n")
    return ("load", "alerts.csv", "--mapping", "mapping.yaml")


def test_load_counts_and_names_the_reject_file(
    run: Run, files: tuple[str, ...], db: AlertDatabase, environment: Path
) -> None:
    out = run(*files, "--until", "2026-03-01", code=4).stdout
    assert "1 alerts inserted, 0 already there, 1 rows after --until, 1 rejected" in out
    assert f"Rejected rows, each with its reason: {environment / 'alerts.rejects.jsonl'}" in out
    assert "1 alerts inserted, 1 already there" in run(*files, "--reject", "mine.jsonl", code=4).stdout
    assert json.loads((environment / "mine.jsonl").read_text())["line"] == 4
    assert sorted(db.alerts.distinct("alert_id")) == ["X1", "X2"]


def test_a_load_that_rejected_every_row_exited_as_if_it_had_loaded_them(
    run: Run, files: tuple[str, ...], db: AlertDatabase, environment: Path
) -> None:
    (environment / "alerts.csv").write_text("id,at\nX1,never\nX2,soon\nX3,never\n,2026-01-01\n")
    result = run(*files, code=1)
    assert "  3 × at is not a valid date: expected the form iso: 'never', 'soon' (first: line 2)\n" in result.stdout
    assert "  1 × id is missing or empty (first: line 5)\n" in result.stdout
    assert "no row could be used: correct the mapping" in result.stderr
    assert db.alerts.count_documents({}) == 0


def test_a_check_wrote_nothing_and_showed_nothing(
    run: Run, files: tuple[str, ...], db: AlertDatabase, environment: Path
) -> None:
    out = run(*files, "--check", code=4).stdout
    assert out.startswith(
        "Of all 3 rows: 2 alerts, 1 rejected\nTimestamps from 2026-02-01T00:00:00+00:00 to 2026-04-01"
    )
    assert "1 × at is not a valid date: expected the form iso: 'never' (first: line 4)" in out
    shown = list(yaml.safe_load_all(out.split("---\n", 1)[1]))
    assert [(each["alert_id"], each["status"]) for each in shown] == [("X1", "OPEN"), ("X2", "OPEN")]
    assert shown[0]["timestamp"] == datetime(2026, 2, 1, tzinfo=UTC)
    assert "created_at: 2026-02-01 00:00:00+00:00\n" in out
    assert db.alerts.count_documents({}) == 0
    assert not (environment / "alerts.rejects.jsonl").exists()


def test_a_check_passed_a_file_of_which_a_load_reads_a_part(
    run: Run, files: tuple[str, ...], environment: Path
) -> None:
    (environment / "mapping.yaml").write_text(MAPPING.replace("csv", "json"))
    (environment / "alerts.csv").write_text('[{"id": "X1", "at": "2026-02-01"},\n {"id": "X2",,}]')
    checked = run(*files, "--check", code=1)
    assert checked.stdout.startswith("Of the first 1 rows: 1 alerts, 0 rejected\n")
    assert "alerts.csv, line 2, column 14: not valid JSON: Expecting property name" in checked.stderr


def test_a_check_looks_at_a_thousand_rows_and_shows_ten(run: Run, files: tuple[str, ...], environment: Path) -> None:
    rows = "".join(f"P{n},2026-02-01T08:00\n" for n in range(1_001))
    (environment / "alerts.csv").write_text(f"id,at\n{rows}P,never\n")
    out = run(*files, "--check").stdout
    assert out.startswith("Of the first 1,000 rows: 1,000 alerts, 0 rejected\n")
    assert out.count("---\n") == 10


def test_a_mapping_that_would_load_nothing_or_all_at_midnight_wrote_first(
    run: Run, files: tuple[str, ...], db: AlertDatabase, environment: Path
) -> None:
    (environment / "alerts.rejects.jsonl").write_text("of the load before")
    (environment / "alerts.csv").write_text("id,at\n" + "".join(f"P{n},never\n" for n in range(1_500)))
    told = run(*files, code=1).stderr
    assert "none of the first 1,000 rows can be used:\n  1,000 × at is not a valid date" in told
    assert "Nothing was loaded" in told
    (environment / "alerts.csv").write_text("id,at,t\n" + "".join(f"P{n},2026-02-01,08:{n}\n" for n in range(10, 40)))
    told = run(*files, code=1).stderr
    assert "the first 30 alerts would all be at midnight (the time may be in 't')" in told
    assert "at midnight" in run(*files, "--check", code=1).stderr
    assert (db.alerts.count_documents({}), (environment / "alerts.rejects.jsonl").read_text()) == (
        0,
        "of the load before",
    )
    (environment / "mapping.yaml").write_text(MAPPING + "dates: {whole_days: true}\n")
    assert "30 alerts inserted" in run(*files).stdout


def test_load_logs_its_progress(run: Run, files: tuple[str, ...], environment: Path) -> None:
    rows = "".join(f"P{n},2026-02-01T08:00\n" for n in range(5000))
    (environment / "alerts.csv").write_text(f"id,at\n{rows}")
    told = run(*files).stderr
    assert re.search(r"5,000 rows read \([\d,]+ a second, \d+% of the file\), 0 alerts inserted\n", told)
    assert re.search(r"5,000 rows read \([\d,]+ a second, 100% of the file\), 5,000 alerts inserted\n", told)


def test_a_later_state_of_the_same_alerts_was_counted_as_already_there(
    run: Run, db: AlertDatabase, environment: Path
) -> None:
    header = "id,status,service,urgency,created_on,last_change,resolved_on\n"
    open_one = "P1,triggered,s,high,2026-01-01T08:00Z,2026-01-01T08:00Z,\n"
    (environment / "a.csv").write_text(header + open_one + open_one.replace("P1", "P2"))
    run("load", "a.csv", "--preset", "pagerduty")
    resolved = open_one.replace("triggered", "resolved").replace(",\n", ",2026-01-01T09:00Z\n")
    (environment / "a.csv").write_text(header + resolved + open_one.replace("P1", "P2"))
    out = run("load", "a.csv", "--preset", "pagerduty").stdout
    assert "0 alerts inserted, 2 already there" in out
    assert "1 differs from the file: --update applies the file\n" in out
    assert (
        "0 alerts inserted, 1 updated, 1 unchanged" in run("load", "a.csv", "--preset", "pagerduty", "--update").stdout
    )
    db.alerts.update_one({"alert_id": "P1"}, {"$set": {"status": "OPEN"}})
    out = run("load", "a.csv", "--preset", "pagerduty", "--update").stdout
    assert "1 of them keep the status that a rule or a person decided here; the file has another status\n" in out


def test_sample_week_may_be_repeated(run: Run, db: AlertDatabase) -> None:
    assert "4013 alerts inserted, 0 already there" in run("sample-week").stdout
    assert db.alerts.count_documents({}) == 4013
    assert "4000 alerts inserted" in run("sample-week", "--seed", "2").stdout


def test_the_sample_week_told_nothing_of_its_incidents_and_of_what_is_malformed_on_purpose(
    run: Run, db: AlertDatabase
) -> None:
    assert "no week of seed 3" in run("sample-week", "--seed", "3", "--story", code=1).stderr
    assert db.alerts.count_documents({}) == 0
    told = run("sample-week", "--seed", "3").stdout
    assert re.search(r"Storm at depot Bremen: .*  24 OPEN$", told, re.MULTILINE)
    assert (
        "Of them, scans report these as malformed: AWKWARD-TIMESTAMP-TEXT, AWKWARD-EXPIRES-TEXT, AWKWARD-HISTORY"
        in told
    )
    assert run("sample-week", "--seed", "3", "--story").stdout == told.partition("\n")[2]


def test_indexes_are_advised_and_then_created(run: Run, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_pipelines.index_advice.choice.MIN_EXAMINED", 100)
    fill(db, [alert(metadata={"done": n == 7}) for n in range(200)], rule("done", {"auto_close_if": "done"}))
    at = ("--as-of", AS_OF.isoformat())
    out = run("indexes", "advise", *at).stdout
    assert "done, auto_close_if: it examines 200 documents for 1" in out
    assert "db.alerts.createIndex(" in out
    [advice] = json.loads(run("indexes", "advise", *at, "--json").stdout)
    [index] = advice["indexes"]
    assert index["paths"] == ["source_type", "status", "metadata.done", "timestamp"]
    name = "advised_source_type_status_metadata.done_timestamp_pending"
    assert f"Created: {name}." in run("indexes", "create", *at).stdout
    assert name in {spec["name"] for spec in db.alerts.list_indexes()}
    assert "reads too many documents" in run("indexes", "advise", *at).stdout
    assert "Created: none." in run("indexes", "create", *at).stdout


def test_the_local_mongodb_that_does_not_run(run: Run) -> None:
    result = run("mongo", "status", code=1)
    assert "No local MongoDB runs on" in result.stdout
    assert "MONGODB_URI is set" in result.stderr
    assert run("mongo", "stop").stdout == "It was not running.\n"
