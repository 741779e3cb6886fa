"""`forecast` as people and programs read it."""

import json
from datetime import timedelta

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule

_RULES = [rule(f"r{n}", {"expire_after_mins": 90}, source_type=f"S{n}") for n in range(5)]


def test_a_forecast_reads_by_rule_and_by_hour(run: Run, db: AlertDatabase) -> None:
    old = [alert(source_type=f"S{n}", minutes=100) for n in range(5) for _ in range(n + 1)]
    fill(db, [*old, alert(source_type="S4", minutes=0)], *_RULES)
    lines = run("forecast", "--as-of", AS_OF.isoformat()).stdout.splitlines()
    assert lines[0].startswith("As of 2026-03-01T12:00:00+00:00, in 24 hours: 16 to close, 0 to escalate, if no alert")
    assert lines[3].split() == ["r4", "close", "6", "now"]
    assert lines[-2].split() == ["now", "15", "0", "r4", "5,", "r3", "4,", "r2", "3,", "2", "more"]
    assert lines[-1].split() == ["Sun", "01", "Mar", "14:00", "1", "0", "r4", "1"]


def test_a_forecast_with_nothing_due_is_one_line(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(minutes=0)], *_RULES)
    assert len(run("forecast", "--as-of", AS_OF.isoformat(), "--hours", "2").stdout.splitlines()) == 1


def test_a_forecast_says_that_a_scan_now_would_be_blocked(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(minutes=300) for _ in range(3)], rule("few", {"expire_after_mins": 5, "max_close": 2}))
    lines = run("forecast", "--as-of", AS_OF.isoformat()).stdout.splitlines()
    assert lines[1] == "A scan now would be blocked: few to close 3, limit 2. See `scan --dry-run`."


def test_a_forecast_names_a_rule_that_cannot_be_used(run: Run, db: AlertDatabase) -> None:
    fill(db, [], rule("bad", {"expire_after_min": 5}))
    assert "'bad'" in run("forecast").stderr


def test_a_forecast_as_json_has_each_hour_rule_and_source(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(source_type="S1", minutes=60)], *_RULES)
    told = json.loads(run("forecast", "--as-of", AS_OF.isoformat(), "--json").stdout)
    at = (AS_OF + timedelta(hours=1)).isoformat()
    assert told["due"] == [{"at": at, "rule_id": "r1", "source_type": "S1", "decision": "close", "alerts": 1}]
