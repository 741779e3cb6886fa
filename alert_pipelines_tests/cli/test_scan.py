import json
import re
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.clause import Clause
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, stored

AT = ("--as-of", AS_OF.isoformat())


@pytest.fixture
def filled(db: AlertDatabase) -> AlertDatabase:
    fill(
        db,
        [alert("OLD", minutes=100), *(alert(f"NEW{n}", minutes=n, driver="D2") for n in range(3))],
        rule("expire", {"expire_after_mins": 60}),
        rule("count", {"escalate_if_count": 3}),
        rule("watch", {"expire_after_mins": 1}, mode="shadow"),
    )
    return db


def test_a_dry_run_that_finds_nothing_to_do_did_not_say_so(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=1)], rule("expire", {"expire_after_mins": 60}))
    assert "Nothing would be closed or escalated." in run("scan", "--dry-run", *AT).stdout


def test_a_dry_run_shows_counts_and_samples_and_writes_nothing(run: Run, filled: AlertDatabase) -> None:
    out = run("scan", "--dry-run", *AT).stdout
    assert "dry run as of 2026-03-01T12:00:00+00:00, 4 pending alerts checked" in out
    rows = [re.split("  +", line) for line in out.splitlines()]
    assert ["expire", "OVERSPEEDING", "OPEN", "WARNING", "close", "1"] in rows
    assert ["watch", "OVERSPEEDING", "close", "3"] in rows
    assert ["OLD", "close", "expire", "OVERSPEEDING", "timestamp is 1 hour old or more"] in rows
    assert filled.alerts.count_documents({"status": "OPEN"}) == 4


def test_a_scan_decides(run: Run, filled: AlertDatabase) -> None:
    out = run("scan", *AT).stdout
    assert "1 closed, 1 escalated, 0 conflicts" in out
    assert stored(filled, "OLD")["status"] == "AUTO_CLOSED"
    assert stored(filled, "NEW0")["status"] == "ESCALATED"


def test_a_dry_run_did_not_say_of_which_status_and_severity_its_alerts_are(run: Run, filled: AlertDatabase) -> None:
    metadata = {"driver_id": "D7"}
    fill(filled, [alert("OLD2", minutes=100, status="ESCALATED", severity="CRITICAL", metadata=metadata)])
    shown = run("scan", *AT, "--dry-run").stdout
    table = [line.split() for line in shown.partition("Would be done:\n")[2].partition("\n\n")[0].splitlines()]
    assert table == [
        ["rule", "source", "status", "severity", "decision", "alerts"],
        ["expire", "OVERSPEEDING", "ESCALATED", "CRITICAL", "close", "1"],
        ["expire", "OVERSPEEDING", "OPEN", "WARNING", "close", "1"],
        ["count", "OVERSPEEDING", "OPEN", "WARNING", "escalate", "1"],
    ]


def test_only_the_named_rules_are_looked_at(run: Run, filled: AlertDatabase) -> None:
    report = json.loads(run("scan", *AT, "--rule", "count", "--rule", "expires_at", "--json").stdout)
    assert report["decisions"] == [
        {"rule_id": "count", "source_type": "OVERSPEEDING", "decision": "escalate", "alerts": 1}
    ]
    assert report["as_of"] == AS_OF.isoformat()
    run("scan", "--rule", "unknown", code=1)


def test_a_limit_exits_with_3_after_its_report_and_can_be_lifted_once(run: Run, filled: AlertDatabase) -> None:
    filled.rules.update_one({"rule_id": "expire"}, {"$set": {"conditions.max_close": 0}})
    result = run("scan", *AT, code=3)
    assert "0 closed, 1 escalated" in result.stdout
    assert "--allow-over-limit expire" in result.stderr
    assert stored(filled, "OLD")["status"] == "OPEN"
    assert "1 closed" in run("scan", *AT, "--allow-over-limit", "expire", "--yes").stdout


def test_a_blocked_scan_said_everything_twice(run: Run, filled: AlertDatabase) -> None:
    filled.rules.update_many({"rule_id": {"$ne": "watch"}}, {"$set": {"conditions.max_close": 0}})
    filled.rules.update_one({"rule_id": "count"}, {"$set": {"conditions.max_escalate": 0}})
    result = run("scan", *AT, code=3)
    assert "\nBlocked: count to escalate 1; expire to close 1.\n" in result.stdout
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert [line.partition(", so")[0] for line in errors] == [
        "Error: rule 'count' would escalate 1 alert, more than its limit of 0",
        "Error: rule 'expire' would close 1 alert, more than its limit of 0",
    ]
    assert (result.stdout + result.stderr).count("more than its limit") == 2


def test_a_limit_of_a_json_scan_leaves_json_on_stdout(run: Run, filled: AlertDatabase) -> None:
    filled.rules.update_one({"rule_id": "expire"}, {"$set": {"conditions.max_close": 0}})
    [stop] = json.loads(run("scan", *AT, "--json", code=3).stdout)["violations"]
    assert (stop["blocked"], stop["planned"], stop["limit"]) == ("expire", 1, 0)


def test_a_rule_that_the_server_could_not_evaluate_exits_with_1_after_its_report(
    run: Run, filled: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Clause.pipeline

    def broken(clause: Clause, *args: Any) -> list[dict[str, Any]]:
        return [
            *pipeline(clause, *args),
            *([{"$set": {"x": {"$divide": [1, 0]}}}] if clause.rule_id == "expire" else []),
        ]

    monkeypatch.setattr(Clause, "pipeline", broken)
    result = run("scan", *AT, code=1)
    assert "0 closed, 0 escalated" in result.stdout
    assert "Error: rule 'expire': the server could not evaluate" in result.stderr
    # It was listed below "Errors:", too.
    assert "could not evaluate" not in result.stdout


def test_errors_are_printed(run: Run, filled: AlertDatabase) -> None:
    filled.rules.insert_one({"rule_id": "bad"})
    assert "rule 'bad'" in run("scan", *AT).stdout


def test_a_limit_was_lifted_without_a_question_and_nobody_could_say_by_whom(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=100)], rule("expire", {"expire_after_mins": 60, "max_close": 0}))
    allow = ("scan", *AT, "--allow-over-limit", "expire", "--by", "Ada", "--reason", "the outage")
    refused = run(*allow, typed="n\n", code=1)
    assert "1  OPEN alerts of OVERSPEEDING: close by expire" in refused.stderr
    assert f"Do it in {db.name}? [y/N]: n" in refused.stderr
    assert stored(db, "A")["status"] == "OPEN"
    assert "1 closed" in run(*allow, typed="y\n").stdout
    shown = run("jobs", "show").stdout
    for line in ("by: Ada", "reason: the outage", "limits lifted: expire"):
        assert f"{line}\n" in shown


def test_a_signature_that_is_too_long_is_refused_before_anything_is_written(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=100)], rule("expire", {"expire_after_mins": 60}))
    said = run("scan", *AT, "--reason", "x" * 501, code=1).stderr
    assert "reason is too long: expected up to 500 characters; got 501." in said
    assert stored(db, "A")["status"] == "OPEN"
