import json
import re
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, stored


@pytest.fixture
def job_id(db: AlertDatabase) -> str:
    fill(
        db,
        [alert("A", minutes=100), alert("B", minutes=90, source_type="SAFETY"), alert("C", minutes=5)],
        rule("speed", {"expire_after_mins": 60}),
        rule("safety", {"expire_after_mins": 60}, source_type="SAFETY"),
    )
    return run_scan(db, ScanRequest(as_of=AS_OF)).job_id


def _rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_list_shows_the_newest_first(run: Run, job_id: str) -> None:
    run("scan", "--dry-run")
    rows = _rows(run("jobs", "list").stdout)
    assert [row[1] for row in rows[1:]] == ["auto_close_dry_run", "auto_close_scanner"]
    assert rows[2][0] == job_id
    assert rows[2][-4:] == ["3", "2", "0", "0"]
    assert len(json.loads(run("jobs", "list", "--limit", "1", "--json").stdout)) == 1
    run("jobs", "list", "--limit", "0", code=2)


def test_show_has_the_record_and_what_was_decided(run: Run, job_id: str) -> None:
    for arguments in ((), ("latest",), (job_id,)):
        out = run("jobs", "show", *arguments).stdout
        assert f"job_id: {job_id}" in out
        assert "as_of: 2026-03-01T12:00:00+00:00" in out
        assert ["safety", "SAFETY", "AUTO_CLOSED", "1", "0"] in _rows(out)
        assert "checkpoint: " not in out
        assert "rule_set_version: " not in out
        assert [line.split(":")[0] for line in out.splitlines()[:4]] == ["job_id", "job_type", "status", "as_of"]
        assert not [line for line in out.splitlines() if line.endswith(": -")]
    assert "checkpoint" in json.loads(run("jobs", "show", "--json").stdout)["record"]["stats"]


def test_show_lists_the_alerts_on_request(run: Run, job_id: str) -> None:
    assert "timestamp is 1 hour" not in run("jobs", "show").stdout
    out = run("jobs", "show", "--alerts").stdout
    assert [row[0] for row in _rows(out) if "timestamp" in row and "hour" in row] == ["A", "B"]
    assert "Rule speed as of rule set version" in out
    shown: dict[str, Any] = json.loads(run("jobs", "show", "--alerts", "--json").stdout)
    assert [one["alert_id"] for one in shown["alerts"]] == ["A", "B"]
    assert shown["record"]["alerts_closed"] == 2


def test_a_dry_run_shows_what_it_planned(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(minutes=100)], rule("speed", {"expire_after_mins": 60}))
    run("scan", "--dry-run")
    assert ["speed", "OVERSPEEDING", "close", "1"] in _rows(run("jobs", "show").stdout)


@pytest.mark.parametrize(
    "fields",
    [
        {"stats": ["a"]},
        {"stats": "a text"},
        {"errors": 3},
        {"errors": "a text"},
        {"errors_total": None},
        {"errors_total": "many"},
    ],
)
def test_a_record_that_another_service_wrote_otherwise_is_shown(
    run: Run, db: AlertDatabase, fields: dict[str, Any]
) -> None:
    db.background_jobs.insert_one({"job_id": "JOB-X", "job_type": "import", "status": "completed"} | fields)
    assert _rows(run("jobs", "list").stdout)[1][-1] == "0"
    out = run("jobs", "show").stdout
    assert "status: completed" in out
    assert "error: " not in out
    assert all(f"{name}: {value}\n" in out for name, value in fields.items() if isinstance(value, str))


def test_a_record_without_an_id_has_decided_nothing(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert("A", state_history=[{"to_status": "RESOLVED", "triggered_by": "anna"}])])
    db.background_jobs.insert_one({"job_type": "import", "status": "completed"})
    assert run("jobs", "show", "--alerts").stdout == "job_type: import\nstatus: completed\n"


def test_no_record_at_all(run: Run) -> None:
    assert run("jobs", "list").stdout == ""
    assert "no job record 'latest'" in run("jobs", "show", code=1).stderr


def test_undo_is_a_dry_run_unless_told(run: Run, db: AlertDatabase, job_id: str) -> None:
    foretold = run("undo", job_id).stdout
    assert "Dry run: 2 decisions would be undone" in foretold
    assert {tuple(row) for row in _rows(foretold)} >= {
        ("speed", "AUTO_CLOSED", "OPEN", "1"),
        ("safety", "AUTO_CLOSED", "OPEN", "1"),
    }
    assert stored(db, "A")["status"] == "AUTO_CLOSED"
    assert ": 1 decision undone." in run("undo", job_id, "--rule", "speed", "--yes").stdout
    assert (stored(db, "A")["status"], stored(db, "B")["status"]) == ("OPEN", "AUTO_CLOSED")
    assert json.loads(run("undo", job_id, "--json").stdout)["restored"] == 1


def test_undo_lists_what_was_touched_since(run: Run, db: AlertDatabase, job_id: str) -> None:
    db.alerts.update_one({"alert_id": "A"}, {"$set": {"updated_at": AS_OF}})
    out = run("undo", job_id).stdout
    assert "Left as they are, since they changed: 1 alert:" in out
    assert _rows(out)[-1][:2] == ["A", "it"]


def test_explain_says_why_and_why_not(run: Run, db: AlertDatabase, job_id: str) -> None:
    out = run("explain", "C", "--as-of", AS_OF.isoformat()).stdout
    assert "C: OVERSPEEDING, OPEN" in out
    assert "NO   timestamp is 1 hour old or more  [timestamp = 2026-03-01T11:55:00+00:00 (date)]" in out
    assert "Rules that concern it:\n  speed: Closes OVERSPEEDING alerts when they are 1 hour old." in out
    later = json.loads(run("explain", "C", "--as-of", "2026-03-01T13:00", "--json").stdout)
    assert later["decided_by"]["rule_id"] == "speed"
    settled = run("explain", "A").stdout
    assert "Decided before:" in settled
    # The answer comes first, and without a double negation.
    assert re.match(r"A: .*\nClosed .* UTC by rule speed: .* would leave it: it is not pending, but ", settled)


def test_explain_left_out_what_a_past_decision_saw_and_its_run(
    run: Run, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_PIPELINES_UI_URL", "https://dagster.fleet.example")
    entry = {"from_status": "OPEN", "to_status": "ESCALATED", "timestamp": AS_OF, "triggered_by": "system"}
    matched = [{"field": "metadata.driver_id", "value": "D1"}, {"field": "metadata.location"}]
    seen = {"as_of": AS_OF, "matched": matched, "run_id": "R1", "job_id": "J1", "rule_triggered": "often"}
    # The first is as the older service and older releases of ours wrote it.
    fill(db, [alert("P", status="ESCALATED", state_history=[entry | {"reason": "many"}, entry | seen])])
    _, past = run("explain", "P").stdout.split("Decided before:\n")
    at = AS_OF.isoformat()
    assert past.splitlines() == [
        f"  {at}  OPEN  ESCALATED  -  many",
        f"  {at}  OPEN  ESCALATED  J1  -",
        f"    as of {at}",
        "    matched metadata.driver_id = 'D1', no metadata.location",
        "    run https://dagster.fleet.example/runs/R1",
    ]
    first, second = json.loads(run("explain", "P", "--json").stdout)["past"]
    assert (first["run_url"], second["run_url"]) == (None, "https://dagster.fleet.example/runs/R1")
    assert (second["as_of"], second["matched"]) == (at, matched)


def test_explain_names_the_evidence(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(f"E{n}", minutes=n) for n in range(3)], rule("count", {"escalate_if_count": 3}))
    out = run("explain", "E0", "--as-of", AS_OF.isoformat()).stdout
    assert "evidence: E1, E2" in out
    assert "rule 'count' would escalate it" in out


def test_history_lists_decisions_with_the_rule_of_then(run: Run, db: AlertDatabase, job_id: str) -> None:
    db.rules.delete_many({})
    out = run("history", "A").stdout
    assert job_id in out
    assert '"expire_after_mins": 60' in out
    [decision] = json.loads(run("history", "A", "--json").stdout)
    assert decision["entry"]["before"]["status"] == "OPEN"


def test_history_of_an_alert_without_decisions_and_of_none(run: Run, job_id: str) -> None:
    assert run("history", "C").stdout == "No automatic decision.\n"
    assert "no alert 'NOBODY'" in run("history", "NOBODY", code=1).stderr


def test_a_second_undo_did_not_say_that_it_was_already_done(run: Run, db: AlertDatabase, job_id: str) -> None:
    assert f"The last scan that decided anything: {job_id}" in run("undo", "latest", "--allow-again", "--yes").stdout
    assert run("undo", "latest").stdout.splitlines()[1:] == [
        "Undone already: 2 decisions.",
        "Dry run: 0 decisions would be undone.",
    ]
