"""What changed rules would decide about the alerts of now."""

from collections.abc import Mapping
from typing import Any

import pytest

from alert_pipelines.audit.rule_preview import preview_rules
from alert_pipelines.errors import InvalidScanError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses


def changed(rule_id: str, conditions: Mapping[str, Any], **fields: Any) -> Rule:
    return parse_rule(rule(rule_id, conditions, **fields))


@pytest.fixture
def fleet(db: AlertDatabase) -> AlertDatabase:
    """Three alerts that the rule in force closes, two that a stricter one would not, and one of another source."""
    mine = [alert(f"A{minutes}", minutes=minutes, driver=f"D{minutes}") for minutes in (10, 40, 70, 100, 130)]
    other = alert("B", minutes=500, source_type="SAFETY", status="ESCALATED")
    fill(db, [*mine, other], rule("expire", {"expire_after_mins": 60}))
    return db


def test_a_changed_rule_took_a_publish_to_be_seen_at_work(fleet: AlertDatabase) -> None:
    seen = preview_rules(fleet, [changed("expire", {"expire_after_mins": 30})], as_of=AS_OF)
    assert (seen.in_force.alerts, seen.changed.alerts) == ({"close": 3, "escalate": 0}, {"close": 4, "escalate": 0})
    assert [tuple(group) for group in seen.groups] == [("more", "close", "expire", "OVERSPEEDING", "OPEN", 1)]
    assert set(statuses(fleet).values()) == {"OPEN", "ESCALATED"}
    assert fleet.background_jobs.count_documents({}) == 0


def test_more_and_fewer_are_by_source_and_status(fleet: AlertDatabase) -> None:
    rules = [
        changed("expire", {"expire_after_mins": 90}),
        changed("safety", {"expire_after_mins": 60}, source_type="SAFETY"),
    ]
    seen = preview_rules(fleet, rules, as_of=AS_OF)
    assert {tuple(group) for group in seen.groups} == {
        ("more", "close", "safety", "SAFETY", "ESCALATED", 1),
        ("fewer", "close", "expire", "OVERSPEEDING", "OPEN", 1),
    }


def test_an_alert_that_another_rule_decides_alike_is_no_difference(fleet: AlertDatabase) -> None:
    seen = preview_rules(fleet, [changed("first", {"expire_after_mins": 60}, priority=9)], as_of=AS_OF)
    assert seen.groups == ()


def test_what_the_changed_rules_would_have_blocked_is_said(fleet: AlertDatabase) -> None:
    seen = preview_rules(fleet, [changed("expire", {"expire_after_mins": 60, "max_close": 2})], as_of=AS_OF)
    assert seen.in_force.blocked == ()
    assert [(one.blocked, one.planned, one.limit) for one in seen.changed.blocked] == [("expire", 3, 2)]


def test_rules_that_the_file_lacks_stay_and_a_bad_one_that_it_replaces_is_no_error(fleet: AlertDatabase) -> None:
    fill(fleet, [], rule("bad", {"expire_after_min": 5}), rule("worse", {"expire_after_min": 5}))
    seen = preview_rules(fleet, [changed("bad", {"expire_after_mins": 9999})], as_of=AS_OF)
    assert seen.changed.alerts["close"] == 3
    assert (len(seen.in_force.errors), len(seen.changed.errors)) == (2, 1)


def test_a_dry_run_uses_rules_that_are_not_published_and_a_scan_refuses_them(fleet: AlertDatabase) -> None:
    rules = (changed("expire", {"expire_after_mins": 30}),)
    request = ScanRequest(as_of=AS_OF, dry_run=True, rules=rules)
    assert sum(group.alerts for group in run_scan(fleet, request).preview) == 4
    with pytest.raises(InvalidScanError, match="only a dry run can use rules that are not published"):
        run_scan(fleet, ScanRequest(as_of=AS_OF, rules=rules))
    assert set(statuses(fleet).values()) == {"OPEN", "ESCALATED"}


@pytest.mark.parametrize("rule_id", [["another"], {"a": 1}, 5, None])
def test_a_stored_rule_whose_id_cannot_be_hashed_ended_the_preview_in_a_type_error(
    fleet: AlertDatabase, rule_id: Any
) -> None:
    fleet.rules.insert_one(rule(rule_id, {"keep_first": True}))
    rules = [changed("expire", {"expire_after_mins": 30})]
    assert preview_rules(fleet, rules, as_of=AS_OF).changed.alerts["close"] == 4
    report = run_scan(fleet, ScanRequest(as_of=AS_OF, dry_run=True, rules=tuple(rules)))
    [error] = report.errors
    assert error.startswith(f"rule {rule_id!r}: ")
