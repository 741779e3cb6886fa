"""What the default rules make of alerts that arrive days after they were raised, and what holds an alert back."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

DAYS = 24 * 60


def scan(db: AlertDatabase, as_of: datetime) -> None:
    run_scan(db, ScanRequest(as_of=as_of))


@pytest.fixture
def by_default_rules(db: AlertDatabase) -> AlertDatabase:
    publish_rules(db, default_rules())
    scan(db, ago(10))
    return db


def test_alerts_of_days_ago_were_closed_unseen_by_the_default_rules_in_the_scan_after_they_arrived(
    by_default_rules: AlertDatabase,
) -> None:
    late = {"severity": "CRITICAL", "created_at": ago(1), "updated_at": None}
    fill(by_default_rules, [alert(f"L{n}", minutes=3 * DAYS - 10 * n, **late) for n in range(3)])

    scan(by_default_rules, AS_OF)

    assert statuses(by_default_rules) == {"L0": "OPEN", "L1": "OPEN", "L2": "ESCALATED"}


def test_no_default_rule_that_closes_by_age_closes_what_just_arrived_and_each_does_a_day_later(
    by_default_rules: AlertDatabase,
) -> None:
    sources = ("OVERSPEEDING", "FEEDBACK_NEGATIVE", "FEEDBACK_POSITIVE")
    late: dict[str, Any] = {"minutes": 20 * DAYS, "created_at": ago(1), "updated_at": None}
    fill(by_default_rules, [alert(source, source_type=source, **late) for source in sources])

    scan(by_default_rules, AS_OF)
    assert statuses(by_default_rules) == dict.fromkeys(sources, "OPEN")

    scan(by_default_rules, AS_OF + timedelta(days=1))
    assert statuses(by_default_rules) == dict.fromkeys(sources, "AUTO_CLOSED")


def test_an_escalation_by_a_scan_held_its_alert_back_as_if_somebody_had_updated_it(db: AlertDatabase) -> None:
    pile_up = rule("pile-up", {"escalate_if_count": 2}, priority=1)
    fill(db, [alert("A", minutes=50), alert("B", minutes=49)], pile_up)
    fill(db, [], rule("latest", {"keep_latest": True, "hold_mins": 60, "statuses": ["OPEN", "ESCALATED"]}))
    fill(db, [alert("C", minutes=45)])

    scan(db, AS_OF)
    assert statuses(db) == {"A": "OPEN", "B": "ESCALATED", "C": "ESCALATED"}

    for minutes in (5, 10, 11):
        assert statuses(db)["B"] == "ESCALATED"
        scan(db, AS_OF + timedelta(minutes=minutes))

    assert statuses(db) == {"A": "AUTO_CLOSED", "B": "AUTO_CLOSED", "C": "ESCALATED"}
