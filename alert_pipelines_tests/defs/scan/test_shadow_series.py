"""Shadow rules scan by scan: numbers that the UI plots, beside those of the active rules."""

from typing import Any

import pytest
from dagster import DagsterEventType

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute, dry_run_metadata, observed
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

SCAN_AT = {"as_of": AS_OF.isoformat()}
ACTIVE = rule("old", {"expire_after_mins": 100})
SHADOW: dict[str, Any] = {"mode": "shadow", "is_active": False}


def test_each_shadow_rule_has_its_numbers_also_where_it_would_do_nothing(execute: Execute, db: AlertDatabase) -> None:
    sooner = rule("sooner", {"expire_after_mins": 60}, **SHADOW)
    later = rule("later", {"expire_after_mins": 600, "escalate_if_count": 2}, **SHADOW)
    fill(db, [alert("A", minutes=120, driver="D1"), alert("B", minutes=80, driver="D2")], ACTIVE, sooner, later)
    seen = observed(execute(**SCAN_AT))
    assert seen["asset"] == "shadow_rules"
    numbers = {name: value for name, value in seen.items() if ": " in name}
    assert numbers == {
        "sooner: would close": 2,
        "sooner: would escalate": 0,
        "later: would close": 0,
        "later: would escalate": 0,
        "old: closed": 1,
    }
    assert statuses(db) == {"A": "AUTO_CLOSED", "B": "OPEN"}


def test_only_the_shadow_rules_that_were_asked_have_numbers(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=120)], rule("one", {"expire_after_mins": 60}, **SHADOW))
    fill(db, [], rule("two", {"expire_after_mins": 60}, **SHADOW))
    seen = observed(execute(rules=["one"], **SCAN_AT))
    assert {name for name in seen if ": " in name} == {"one: would close", "one: would escalate"}


def test_a_dry_run_is_no_part_of_the_series(execute: Execute, db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=120)], rule("one", {"expire_after_mins": 60}, **SHADOW))
    result = execute("dry_run_job", "dry_run", **SCAN_AT)
    assert dry_run_metadata(result)["shadow rules would have"].records
    assert not [event for event in result.all_events if event.event_type is DagsterEventType.ASSET_OBSERVATION]


def test_the_shadow_rules_that_a_scan_did_not_come_to_are_named(
    execute: Execute, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_pipelines.scanner.shadow.SECONDS_A_SCAN", 0)
    rules = [rule(name, {"expire_after_mins": 60}, **SHADOW) for name in ("one", "other", "third")]
    fill(db, [alert("A", minutes=120)], *rules)
    seen = observed(execute(**SCAN_AT))
    assert {name for name in seen if ": " in name} == {"one: would close", "one: would escalate"}
    assert str(seen["waiting for their turn"]).startswith("not evaluated by this scan: other, third.")
