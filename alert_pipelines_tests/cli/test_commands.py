"""The commands that only pass their arguments on: loading, indexes, the local MongoDB."""

import json
from pathlib import Path

import pytest

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


def test_load_logs_its_progress(run: Run, files: tuple[str, ...], environment: Path) -> None:
    rows = "".join(f"P{n},2026-02-01\n" for n in range(5000))
    (environment / "alerts.csv").write_text(f"id,at\n{rows}")
    assert "5000 rows read" in run(*files).stderr


def test_sample_week_may_be_repeated(run: Run, db: AlertDatabase) -> None:
    assert "4013 alerts inserted, 0 already there" in run("sample-week").stdout
    assert db.alerts.count_documents({}) == 4013
    assert "4000 alerts inserted" in run("sample-week", "--seed", "2").stdout


def test_indexes_are_advised_and_then_created(run: Run, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_pipelines.rules.index_choice.MIN_EXAMINED", 100)
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
    assert "reads about what it needs" in run("indexes", "advise", *at).stdout
    assert "Created: none." in run("indexes", "create", *at).stdout


def test_the_local_mongodb_that_does_not_run(run: Run) -> None:
    result = run("mongo", "status", code=1)
    assert "No local MongoDB runs on" in result.stdout
    assert "MONGODB_URI is set" in result.stderr
    assert run("mongo", "stop").stdout == "It was not running.\n"
