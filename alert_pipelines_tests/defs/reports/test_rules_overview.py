"""The page `rules_overview`: which rules there are, in words, and what each did."""

from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterInstance

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute, in_one_line
from alert_pipelines_tests.defs.reports.test_today import page_of
from alert_pipelines_tests.factories import alert, fill, rule


def plain(cell: str) -> str:
    """What a cell says, wherever its lines may end."""
    return str(in_one_line(cell)).replace("\N{NO-BREAK SPACE}", " ")


def test_no_page_said_what_the_rules_are_and_what_each_of_them_did(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase
) -> None:
    now = datetime.now(UTC)
    limits = {"max_close": 5, "max_close_fraction": 1.0}
    old = rule("old", {"expire_after_mins": 90, **limits}, priority=1)
    late = rule("late", {"escalate_after_mins": 60}, source_type="SAFETY", priority=9)
    quiet = rule("quiet", {"auto_close_if": "ended"}, is_active=False)
    ages = [alert(timestamp=now - timedelta(hours=2), source_type=source) for source in ("OVERSPEEDING", "SAFETY")]
    fill(db, [one | {"created_at": one["timestamp"], "updated_at": one["timestamp"]} for one in ages], old, late, quiet)
    db.rules.insert_one(rule("bad", {"expire_after_mins": "soon"}))
    execute()
    page = page_of(instance, "rules_overview")
    closes = "Closes OVERSPEEDING alerts when they are 90 minutes old"
    assert [tuple(map(plain, row.values())) for row in page["rules"]] == [
        ("late active, priority 9", "Escalates OPEN SAFETY alerts when nobody attended to them for 1 hour."),
        ("old active, priority 1", f"{closes}; closing at most 5 and 100% of the alerts in a scan."),
        ("quiet off, priority 0", "Closes OVERSPEEDING alerts when metadata.ended is true."),
    ]
    numbers = page["what they did, in 24 hours · in 7 days"]
    assert not any(" " in cell for row in numbers for cell in row.values()), "a cell that is drawn in two lines"
    did = {row["rule"]: {name: plain(cell) for name, cell in row.items()} for row in numbers}
    assert [did["old"][column] for column in ("closed", "escalated", "reopened")] == ["1 · 1", "0 · 0", "0 · 0"]
    assert did["late"]["escalated"] == "1 · 1"
    assert did["quiet"]["last decided"] == "not in 30 days"
    assert f"{now:%b}" in did["old"]["last decided"]
    (limit,) = page["limits"]
    assert tuple(map(in_one_line, limit.values())) == ("old", "close 5 or 100% of pending", 1)
    assert "rule 'bad'" in page["not valid"]
    assert "quiet" in page["honoured by the alert service, too"]
    assert page["closed in 24 h by old"] == 1
    assert page["database"] == db.name


@pytest.mark.usefixtures("mongodb_env")
def test_a_limit_of_no_alert_at_all_was_not_shown(instance: DagsterInstance, db: AlertDatabase) -> None:
    fill(db, [], rule("held", {"expire_after_mins": 90, "max_close_fraction": 0.0}))
    (limit,) = page_of(instance, "rules_overview")["limits"]
    assert tuple(map(in_one_line, limit.values())) == ("held", "close 0% of pending", 0)
