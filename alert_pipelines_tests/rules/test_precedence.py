"""Which decision an alert gets, by the reference page: precedence, modes, limits, and what disables itself."""

from typing import Any

import pytest

from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.rules.tables import ALWAYS, AS_OF, Fields, ago, insert

ESCALATES = {"escalate_if_count": 1, "group_by": "alert_id"}
OLD = {"expire_after_mins": 5}
CLOSED, RAISED = "AUTO_CLOSED", "ESCALATED"


def rule(rule_id: str, conditions: dict[str, Any] = ALWAYS, **fields: Any) -> Fields:
    return {"rule_id": rule_id, "source_type": "SAFETY", "conditions": conditions, **fields}


def scan(db: AlertDatabase, rules: list[Fields], *alerts: Fields) -> ScanReport:
    db.rules.insert_many([{**rule} for rule in rules])
    insert(db, alerts)
    try:
        return run_scan(db, ScanRequest(as_of=AS_OF))
    except BlastRadiusError as stopped:
        return stopped.report


def decisions(db: AlertDatabase) -> list[tuple[str, str, str] | None]:
    """Each alert's only decision: rule, new status, reason."""
    found: list[tuple[str, str, str] | None] = []
    for alert in db.alerts.find(sort=[("_id", 1)]):
        history = alert.get("state_history", [])
        assert len(history) <= 1
        found += [(entry["rule_triggered"], entry["to_status"], entry["reason"]) for entry in history] or [None]
    return found


DUE = {"timestamp": ago(10), "expires_at": AS_OF}
PRECEDENCE: list[tuple[str, list[Fields], tuple[str, str] | None]] = [
    ("close beats escalate, whatever the priority", [rule("a", ESCALATES, priority=9), rule("b")], ("b", CLOSED)),
    ("close beats escalate within one rule", [rule("a", {**ESCALATES, **OLD})], ("a", CLOSED)),
    ("the higher priority closes", [rule("a", priority=1), rule("b", priority=2)], ("b", CLOSED)),
    ("negative priorities rank too", [rule("a", priority=-2), rule("b", priority=-1)], ("b", CLOSED)),
    ("then the lower rule_id", [rule("b"), rule("a")], ("a", CLOSED)),
    ("rule_ids are texts", [rule("r2"), rule("r10")], ("r10", CLOSED)),
    ("`expires_at` ranks behind every rule that closes", [rule("z", priority=-9)], ("z", CLOSED)),
    ("and before every escalation", [rule("a", ESCALATES, priority=9)], ("expires_at", CLOSED)),
    ("a rule of another source decides nothing", [rule("a", source_type="COMPLIANCE")], ("expires_at", CLOSED)),
    ("a shadow rule gives way to all", [rule("a", mode="shadow", priority=9), rule("b")], ("b", CLOSED)),
    ("a shadow rule is not written", [rule("a", mode="shadow", is_active=True)], ("expires_at", CLOSED)),
    ("a rule that is off is not written", [rule("a", mode="off", is_active=True)], ("expires_at", CLOSED)),
    ("nor where is_active is false", [rule("a", mode="active", is_active=False)], ("expires_at", CLOSED)),
    ("without mode is_active decides", [rule("a", is_active=False), rule("b", is_active=True)], ("b", CLOSED)),
    ("a mode of null is none", [rule("a", mode=None, is_active=False)], ("expires_at", CLOSED)),
    (
        "a rule stopped by its limit leaves no decision",
        [rule("a", {**ALWAYS, "max_close": 0}, priority=1), rule("b")],
        None,
    ),
]


@pytest.mark.parametrize(("rules", "expected"), [row[1:] for row in PRECEDENCE], ids=[row[0] for row in PRECEDENCE])
def test_precedence(db: AlertDatabase, rules: list[Fields], expected: tuple[str, str] | None) -> None:
    scan(db, rules, DUE)

    (decision,) = decisions(db)
    assert (decision and decision[:2]) == expected


def test_among_escalations_priority_then_rule_id(db: AlertDatabase) -> None:
    rules = [rule("b", ESCALATES), rule("a", ESCALATES, priority=-1), rule("c", ESCALATES)]

    scan(db, rules, {})

    (decision,) = decisions(db)
    assert decision is not None
    assert decision[:2] == ("b", RAISED)


def test_the_first_condition_of_the_table_gives_the_reason(db: AlertDatabase) -> None:
    conditions = {"keep_latest": True, "expire_after_mins": 5, "close_if": ALWAYS["close_if"], "auto_close_if": "ok"}
    driver = {"driver_id": "d"}

    scan(
        db,
        [rule("a", conditions), rule("b", {"keep_latest": True, "expire_after_mins": 5}, source_type="COMPLIANCE")],
        {"metadata": {**driver, "ok": True}},
        {"metadata": {**driver, "ok": False}},
        {"metadata": driver, "source_type": "COMPLIANCE", "timestamp": ago(5)},
        {"metadata": driver, "source_type": "COMPLIANCE", "timestamp": ago(4)},
        {"metadata": driver, "source_type": "COMPLIANCE", "timestamp": ago(3)},
    )

    assert decisions(db) == [
        ("a", CLOSED, "a: metadata.ok is true"),
        ("a", CLOSED, "a: alert_id has a value"),
        ("b", CLOSED, "b: timestamp is 5 or more minutes old"),
        ("b", CLOSED, "b: a newer alert of the same metadata.driver_id exists"),
        None,
    ]


@pytest.mark.parametrize(
    ("limit", "closed"),
    [
        ({"max_close": 3}, 3),
        ({"max_close": 2}, 0),
        ({"max_close_fraction": 0.75}, 3),
        ({"max_close_fraction": 0.74}, 0),
        ({"max_close_fraction": 0}, 0),
        ({"max_close_fraction": 1}, 3),
        ({"max_close": 3, "max_close_fraction": 0.5}, 0),
    ],
    ids=str,
)
def test_a_limit_lets_through_what_it_says_and_else_nothing(db: AlertDatabase, limit: Fields, closed: int) -> None:
    # Three of the four pending alerts of the source are due; alerts of other sources do not enlarge the fraction.
    others = [{"source_type": "COMPLIANCE"}] * 4
    due = [{"timestamp": ago(10)}] * 3

    report = scan(
        db, [rule("a", {**OLD, **limit})], *due, {"timestamp": ago(1)}, {**due[0], "status": "RESOLVED"}, *others
    )

    assert report.closed == closed
    assert [stop.blocked for stop in report.violations] == ([] if closed else ["a"])


@pytest.mark.parametrize(
    ("limit", "escalated"),
    [
        ({"max_escalate": 3}, 3),
        ({"max_escalate": 2}, 0),
        ({"max_escalate": 0}, 0),
        ({"max_escalate_fraction": 0.75}, 3),
        ({"max_escalate_fraction": 0.74}, 0),
        ({"max_escalate": 3, "max_escalate_fraction": 0.5}, 0),
        ({"max_close": 0, "max_close_fraction": 0}, 3),
    ],
    ids=str,
)
def test_escalations_had_no_limit(db: AlertDatabase, limit: Fields, escalated: int) -> None:
    # Three of the four OPEN alerts of the source are due. One that is ESCALATED, or of another source, does not enlarge
    # the fraction.
    due = [{"timestamp": ago(1), "metadata": {"driver_id": f"d{number}"}} for number in range(3)]
    keyless = {"timestamp": ago(1), "metadata": {}}
    others: list[Fields] = [{"timestamp": ago(1), "metadata": {}, "status": "ESCALATED"}, {"source_type": "COMPLIANCE"}]

    report = scan(db, [rule("a", {"escalate_if_count": 1, **limit})], *due, keyless, *others)

    assert (report.escalated, report.reconciles) == (escalated, True)
    assert [(stop.blocked, stop.decision) for stop in report.violations] == ([] if escalated else [("a", "escalate")])


def test_a_limit_is_for_closes_alone(db: AlertDatabase) -> None:
    scan(db, [rule("a", {**ESCALATES, **OLD, "max_close": 0})], {"timestamp": ago(1)}, {"timestamp": ago(10)})

    assert [decision and decision[1] for decision in decisions(db)] == [RAISED, None]


def test_29_of_100_are_not_more_than_a_fraction_of_0_29(db: AlertDatabase) -> None:
    due = [{"timestamp": ago(10)}] * 29

    report = scan(db, [rule("a", {**OLD, "max_close_fraction": 0.29})], *due, *[{"timestamp": ago(1)}] * 71)

    assert report.closed == 29


def test_a_bad_rule_disables_itself_alone(db: AlertDatabase) -> None:
    bad = [
        rule("bad", {"close_if": {"field": "$where", "op": "exists"}}),
        rule("worse", {"expire_after_mins": "5"}),
        {"rule_id": "worst"},
    ]

    report = scan(db, [*bad, rule("good")], {})

    (decision,) = decisions(db)
    assert decision is not None
    assert decision[:2] == ("good", CLOSED)
    for named in ("bad", "worse", "worst"):
        assert sum(f"{named!r}" in error for error in report.errors) == 1


def test_a_window_that_cannot_be_read_is_named_and_stops_nothing(db: AlertDatabase) -> None:
    db.maintenance_windows.insert_many(
        [
            {"from": "yesterday", "to": ago(-60), "reason": "bad"},
            {"from": ago(60), "to": ago(-60), "source_types": ["X"]},
        ]
    )

    report = scan(db, [rule("a")], {})

    (decision,) = decisions(db)
    assert decision is not None
    assert len(report.errors) == 1
