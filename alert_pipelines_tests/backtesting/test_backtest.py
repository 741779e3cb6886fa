"""Back-tests on a real server: the days of real scans above all."""

import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from bson import Code, DatetimeMS, DBRef, Decimal128, MinKey

from alert_pipelines.audit.undo import undo_job
from alert_pipelines.backtesting.backtest import DayOutcome, RuleOutcome, backtest, backtest_day
from alert_pipelines.errors import BacktestError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.rules.model import Mode, Rule
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import fill
from alert_pipelines_tests.factories import rule as rule_document

DAY = date(2026, 3, 1)
START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hours: float) -> datetime:
    """So many hours after the start of the day."""
    return START + hours * HOUR


def alert(alert_id: str, hours: float, *history: dict[str, Any], driver: str = "D1", **fields: Any) -> dict[str, Any]:
    """An overspeeding alert raised at that hour, as its history left it."""
    status = history[-1]["to_status"] if history else "OPEN"
    return {
        "alert_id": alert_id,
        "source_type": "OVERSPEEDING",
        "severity": "WARNING",
        "status": status,
        "timestamp": at(hours),
        "metadata": {"driver_id": driver},
        "state_history": list(history),
        "created_at": at(hours),
        "updated_at": history[-1]["timestamp"] if history else at(hours),
    } | fields


def change(from_status: str, to_status: str, hours: float, by: str = "dispatcher") -> dict[str, Any]:
    return {
        "from_status": from_status,
        "to_status": to_status,
        "timestamp": at(hours),
        "reason": "",
        "triggered_by": by,
        "rule_triggered": None,
    }


def rule(rule_id: str, conditions: Mapping[str, Any], /, **fields: Any) -> Rule:
    return parse_rule(rule_document(rule_id, conditions, **fields))


def proposed(outcome: DayOutcome, rule_id: str) -> RuleOutcome:
    return next(one for one in outcome.proposed if one.rule_id == rule_id)


EXPIRE = rule("expire", {"expire_after_mins": 240})


def test_a_day_counts_what_became_due_within_it(db: AlertDatabase) -> None:
    fill(
        db,
        [
            alert("due at the day's start", -4),
            alert("due a moment later", -4 + 1 / 60),
            alert("due at the day's end", 20),
            alert("due the next day", 20 + 1 / 60),
        ],
    )
    assert proposed(backtest_day(db, [EXPIRE], DAY), "expire").would_close == 2
    days = [DAY + timedelta(days=offset) for offset in range(-1, 2)]
    assert [proposed(outcome, "expire").would_close for outcome in backtest(db, [EXPIRE], days)] == [1, 2, 1]


@pytest.mark.parametrize(
    ("entry", "known"),
    [
        ({"triggered_by": "anna"}, ("severity",)),
        ({"triggered_by": "system", "rule_triggered": "theirs"}, ("severity",)),
        ({"triggered_by": "system", "as_of": at(6), "before": {"status": "OPEN", "severity": "INFO"}}, ()),
        ({"triggered_by": "anna", "from_status": "RESOLVED"}, ()),
        ({"triggered_by": "anna", "timestamp": at(-1)}, ()),
    ],
    ids=["a person", "the old job", "a scan", "a reopening", "before the day"],
)
def test_a_severity_that_an_escalation_by_others_replaced_was_passed_off_as_known(
    db: AlertDatabase, entry: dict[str, Any], known: tuple[str, ...]
) -> None:
    escalated = {"from_status": "OPEN", "to_status": "ESCALATED", "timestamp": at(6), **entry}
    fill(db, [alert("A", 1, status="ESCALATED", severity="CRITICAL", state_history=[escalated])])
    rules = [
        rule("mild", {"expire_after_mins": 60, "severities": ["INFO"]}),
        rule("any", {"expire_after_mins": 60}),
        rule("other", {"expire_after_mins": 60, "severities": ["INFO"]}, source_type="SAFETY"),
    ]
    told = {one.rule_id: one.known_as_of_now for one in backtest_day(db, rules, DAY).proposed}
    assert told == {"mild": known, "any": (), "other": (), "expires_at": ("expires_at",)}


def test_a_rule_that_looks_at_what_is_known_as_of_now_only_was_not_told_apart(db: AlertDatabase) -> None:
    leaf = {"field": "metadata.speed", "op": "lt", "value": 50}
    rules = [
        EXPIRE,
        rule("held", {"expire_after_mins": 60, "hold_mins": 5, "severities": ["INFO"]}),
        rule("fact", {"auto_close_if": "document_valid"}),
        rule("tree", {"close_if": leaf}, mode="shadow"),
        rule("keyed", {"escalate_if_count": 2}),
    ]
    told = {one.rule_id: one.known_as_of_now for one in backtest_day(db, rules, DAY).proposed}
    assert told == {
        "expire": (),
        "held": ("updated_at",),
        "fact": ("metadata.document_valid",),
        "tree": ("metadata.speed",),
        "keyed": ("metadata.driver_id",),
        "expires_at": ("expires_at",),
    }


def test_what_became_of_the_closes(db: AlertDatabase) -> None:
    resolved = change("OPEN", "RESOLVED", 12)
    fill(
        db,
        [
            alert("escalated", 0, change("OPEN", "ESCALATED", 6)),
            alert("worked on", 0, resolved, resolution_notes="called the driver"),
            alert("clicked away", 0, resolved, resolution_notes=" "),
            alert("closed", 0, change("OPEN", "AUTO_CLOSED", 30, by="system")),
            alert("reopened", 0, change("OPEN", "AUTO_CLOSED", 6, by="system"), change("AUTO_CLOSED", "OPEN", 50)),
            alert("left alone", 0),
            alert("gone before it was due", 0, change("OPEN", "RESOLVED", 3)),
        ],
    )
    outcome = backtest_day(db, [EXPIRE], DAY, step=2 * HOUR)
    assert proposed(outcome, "expire") == RuleOutcome(
        "expire",
        Mode.ACTIVE,
        would_close=6,
        false_closes=2,
        escalated_later=1,
        resolved_with_work=1,
        reopened_later=1,
        closed_later=3,
        auto_closed_later=2,
        never_closed=1,
        # All were due at 04:00 and closed at 12:00, 06:00 the next day and 06:00.
        hours_earlier_total=8 + 26 + 2,
        hours_earlier_median=8,
        what_it_does="Closes OVERSPEEDING alerts when they are 4 hours old.",
    )
    assert (outcome.really.resolved, outcome.really.resolved_with_work, outcome.really.closed_by_rules) == (3, 1, 1)
    assert (outcome.really.escalated_by_people, outcome.really.reopened) == (1, 0)


@pytest.mark.parametrize(
    "_id",
    [None, "", b"x", True, float("nan"), {"a.b": 1}, DBRef("alerts", 7), Decimal128("1.50"), Code("x"), MinKey()],
    ids=repr,
)
def test_one_alert_whose_id_is_null_ended_every_back_test(db: AlertDatabase, _id: Any) -> None:
    closed = change("OPEN", "AUTO_CLOSED", 20)
    # Born, and then closed, within the day: the snapshot takes it in and changes it on the way.
    fill(db, [alert("A", 2, closed, driver="D2", _id=_id), alert("B", 2, closed)])
    [outcome] = backtest(db, [rule("old", {"expire_after_mins": 60})], [DAY], step=6 * HOUR)
    assert (outcome.proposed[0].would_close, outcome.proposed[0].closed_later) == (2, 2)


@pytest.mark.parametrize("ms", [253402300800000, 2**62])
def test_a_change_dated_beyond_the_year_9999_ended_every_back_test(db: AlertDatabase, ms: int) -> None:
    closed = change("OPEN", "AUTO_CLOSED", 20) | {"timestamp": DatetimeMS(ms)}
    fill(db, [alert("A", 2, closed, updated_at=at(20))])
    [outcome] = backtest(db, [rule("old", {"expire_after_mins": 60})], [DAY], step=6 * HOUR)
    [old, _] = outcome.proposed
    assert (old.would_close, old.closed_later, old.hours_earlier_median) == (1, 1, None)


def test_an_alert_that_a_person_reopened_is_judged_as_it_stood(db: AlertDatabase) -> None:
    closed = change("OPEN", "AUTO_CLOSED", -30, by="system") | {"rule_triggered": "expire"}
    reopened = change("AUTO_CLOSED", "OPEN", 5)
    fill(db, [alert("A", -40, closed, reopened, change("OPEN", "RESOLVED", 40))])
    other = rule("other", {"expire_after_mins": 240})
    outcome = backtest_day(db, [EXPIRE, other], DAY)
    assert proposed(outcome, "expire").would_close == 0, "a rule does not close again what a person reopened"
    assert proposed(outcome, "other").would_close == 1
    assert proposed(outcome, "other").hours_earlier_total == 40 - 6
    assert outcome.really.reopened == 1


def test_an_alert_is_escalated_and_then_closed_but_never_the_other_way_round(db: AlertDatabase) -> None:
    fill(db, [alert("A", 0.5), alert("B", 1)])
    pair = rule("pair", {"escalate_if_count": 2})
    outcome = backtest_day(db, [pair, EXPIRE], DAY, step=2 * HOUR)
    assert (proposed(outcome, "pair").would_escalate, proposed(outcome, "expire").would_close) == (1, 2)
    at_once = rule("at-once", {"expire_after_mins": 1})
    outcome = backtest_day(db, [pair, at_once], DAY, step=2 * HOUR)
    assert (proposed(outcome, "pair").would_escalate, proposed(outcome, "at-once").would_close) == (0, 2)


def test_todays_rules_stand_beside_the_proposed_ones(db: AlertDatabase) -> None:
    fill(
        db,
        [alert("early", 0), alert("late", 15), alert("own expiry", 1, source_type="OTHER", expires_at=at(3))],
        rule_document("slow", {"expire_after_mins": 720}),
        rule_document("bad", {"expire_after_mins": "soon"}),
        rule_document("resting", {"expire_after_mins": 1}, is_active=False, mode="shadow"),
    )
    outcome = backtest_day(db, [EXPIRE], DAY)
    assert [(one.rule_id, one.would_close, one.closes_shared) for one in outcome.proposed] == [
        ("expire", 2, 1),
        ("expires_at", 1, 1),
    ]
    assert [(one.rule_id, one.would_close, one.closes_shared) for one in outcome.today] == [
        ("slow", 1, 1),
        ("expires_at", 1, 1),
    ]
    assert [error for error in outcome.bad_rules if "soon" in error]


def test_a_shadow_rule_is_counted_as_if_it_were_alone(db: AlertDatabase) -> None:
    fill(db, [alert("A", 0)])
    shadow = rule("shadow", {"expire_after_mins": 240}, mode="shadow", is_active=False)
    outcome = backtest_day(db, [EXPIRE, shadow], DAY)
    assert [(one.rule_id, one.mode, one.would_close) for one in outcome.proposed] == [
        ("expire", Mode.ACTIVE, 1),
        ("expires_at", Mode.ACTIVE, 0),
        ("shadow", Mode.SHADOW, 1),
    ]


def test_a_maintenance_window_held_then_as_it_would_now(db: AlertDatabase) -> None:
    fill(db, [alert("A", 0)])
    db.maintenance_windows.insert_one({"from": at(3), "to": at(9)})
    assert proposed(backtest_day(db, [EXPIRE], DAY, step=24 * HOUR), "expire").would_close == 1
    db.maintenance_windows.insert_one({"from": at(20), "to": at(25)})
    assert proposed(backtest_day(db, [EXPIRE], DAY, step=24 * HOUR), "expire").would_close == 0


def test_hold_mins_goes_by_the_update_that_was_the_last_then(db: AlertDatabase) -> None:
    held = rule("held", {"expire_after_mins": 1, "hold_mins": 360})
    fill(
        db,
        [
            alert("reopened", -30, change("OPEN", "RESOLVED", -20), change("RESOLVED", "OPEN", 20), updated_at=at(30)),
            alert("long quiet", -30, updated_at=at(40)),
        ],
    )
    assert proposed(backtest_day(db, [held], DAY), "held").would_close == 0
    assert proposed(backtest_day(db, [held], DAY + timedelta(days=1)), "held").would_close == 1


def test_a_scratch_collection_is_dropped_also_on_failure(db: AlertDatabase) -> None:
    fill(db, [alert("A", 0)])
    before = set(db.list_collection_names())
    backtest_day(db, [EXPIRE], DAY)
    calls = 0

    def fail_midway() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest_day(db, [EXPIRE], DAY, check=fail_midway)
    assert set(db.list_collection_names()) == before


def test_a_back_test_writes_nothing_to_the_alerts(db: AlertDatabase) -> None:
    fill(db, random_alerts(200))
    before = list(db.alerts.find().sort("_id"))
    backtest_day(db, RULES, DAY)
    assert list(db.alerts.find().sort("_id")) == before
    assert db.background_jobs.count_documents({}) == 0


def test_a_day_that_is_not_over_and_an_odd_step_are_refused(db: AlertDatabase) -> None:
    with pytest.raises(BacktestError, match="is not over"):
        backtest_day(db, [EXPIRE], server_now(db).date())
    for step in (timedelta(hours=7), timedelta(), -HOUR):
        with pytest.raises(BacktestError, match="multiple"):
            backtest_day(db, [EXPIRE], DAY, step=step)


RULE_DOCUMENTS = [
    rule_document("pile-up", {"escalate_if_count": 3, "window_mins": 240}),
    rule_document("expire", {"expire_after_mins": 1200, "severities": ["INFO", "WARNING"]}),
    rule_document("critical", {"expire_after_mins": 900, "severities": ["CRITICAL"]}, priority=2),
    rule_document("latest", {"keep_latest": True, "group_by": "metadata.vehicle_id"}, priority=1),
    rule_document(
        "quiet", {"close_if_no_repeat_mins": 600, "group_by": "metadata.vehicle_id", "severities": ["WARNING"]}
    ),
    rule_document("paperwork", {"auto_close_if": "document_valid"}, source_type="DOCUMENT_EXPIRY"),
]
RULES = [parse_rule(document) for document in RULE_DOCUMENTS]


def random_alerts(count: int) -> list[dict[str, Any]]:
    rng = random.Random(7)
    alerts = [
        alert(
            f"R{n}",
            rng.uniform(-24, 30),
            driver=f"D{rng.randrange(count // 10)}",
            severity=rng.choice(["INFO", "WARNING", "CRITICAL"]),
            source_type=rng.choice(["OVERSPEEDING", "OVERSPEEDING", "OVERSPEEDING", "DOCUMENT_EXPIRY"]),
            expires_at=at(rng.uniform(-10, 60)),
        )
        for n in range(count)
    ]
    for one in alerts:
        one["metadata"] |= {"vehicle_id": rng.randrange(count // 2), "document_valid": rng.random() < 0.3}
    return alerts


@pytest.mark.parametrize("step", [24 * HOUR, 6 * HOUR])
def test_the_back_test_of_a_day_of_real_scans_agrees_with_them(db: AlertDatabase, step: timedelta) -> None:
    # The first scan clears out what was due at 00:00. Alerts are inserted as they are raised.
    fill(db, [], *RULE_DOCUMENTS)
    alerts = random_alerts(1500)
    really: Counter[tuple[str, str]] = Counter()
    instant = START
    while instant <= START + 24 * HOUR:
        arrived = [one for one in alerts if one["timestamp"] <= instant]
        alerts = [one for one in alerts if one["timestamp"] > instant]
        fill(db, arrived)
        report = run_scan(db, ScanRequest(as_of=instant, max_close_fraction=1))
        if instant > START:
            for counted in report.decisions:
                really[counted.rule_id, counted.decision] += counted.alerts
        instant += step
    fill(db, alerts)
    # What happened after the day does not change what was due within it.
    assert undo_job(db, report.job_id, dry_run=False).restored > 0
    assert {rule_id for rule_id, _ in really} == {one["rule_id"] for one in RULE_DOCUMENTS} | {"expires_at"}

    outcome = backtest_day(db, RULES, DAY, step=step)
    would = {(one.rule_id, "close"): one.would_close for one in outcome.proposed} | {
        (one.rule_id, "escalate"): one.would_escalate for one in outcome.proposed
    }
    assert {key: count for key, count in would.items() if count} == dict(really)
    for one in outcome.proposed:
        assert one.would_escalate == one.really_escalated == one.escalates_shared
        assert one.would_close == one.closes_shared
        # Some were scanned again in the day, so were escalated before they were closed; none was after.
        assert (one.false_closes, one.never_closed, one.hours_earlier_total) == (0, 0, 0)
    assert outcome.proposed == outcome.today


def test_decisions_of_scans_between_the_instants_are_seen(db: AlertDatabase) -> None:
    """The old scanner ran every five minutes: it must not hide what the same rules on trial would do."""
    fill(db, [], rule_document("expire", {"expire_after_mins": 240}))
    rng = random.Random(1)
    for n in range(24):
        fill(db, [alert(f"A{n}-{one}", n - 4 - rng.uniform(0, 1)) for one in range(3)])
        run_scan(db, ScanRequest(as_of=at(n)))
    # The first three were due at 00:00 already.
    outcome = backtest_day(db, [EXPIRE], DAY)
    assert (proposed(outcome, "expire").would_close, outcome.really.closed_by_rules) == (69, 72)
    assert proposed(outcome, "expire").auto_closed_later == 69


def test_the_years_before_do_not_slow_a_day(db: AlertDatabase) -> None:
    """The alerts that were settled before the day are not even rebuilt, unless a rule asks about repeats."""
    closed = change("OPEN", "AUTO_CLOSED", -100, by="system")
    fill(db, [alert(f"old{n}", -200, closed) for n in range(50)] + [alert("A", 0)])
    copied: list[int] = []

    def count_scratch() -> None:
        copied.extend(
            db[name].count_documents({}) for name in db.list_collection_names() if name.startswith("backtest_")
        )

    backtest_day(db, [EXPIRE], DAY, check=count_scratch)
    assert max(copied) == 1
