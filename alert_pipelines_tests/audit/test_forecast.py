"""What the rules will decide in the coming hours."""

from collections import Counter
from datetime import datetime, timedelta

import pytest

from alert_pipelines.audit.forecast import forecast
from alert_pipelines.errors import InvalidTimestampError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

Counts = Counter[tuple[datetime, str, str]]

RULES = (
    rule("expire", {"expire_after_mins": 180}),
    rule("pile", {"escalate_if_count": 3, "window_mins": 30}, priority=1),
    rule("idle", {"close_if_no_repeat_mins": 120}, source_type="IDLING"),
)


def hour(number: int) -> datetime:
    return AS_OF + timedelta(hours=number)


def foretold(db: AlertDatabase, hours: int = 5) -> Counts:
    counts: Counts = Counter()
    for one in forecast(db, as_of=AS_OF, hours=hours).due:
        counts[one.at, one.rule_id, one.decision] += one.alerts
    return counts


def test_what_is_foretold_is_what_scans_then_do(db: AlertDatabase) -> None:
    aging = [alert(minutes=minutes, driver=f"D{minutes}") for minutes in (0, 60, 61, 119, 121, 200)]
    pile = [alert(minutes=70 + n, driver="D9") for n in range(3)]
    own = [alert("own", driver="D8", minutes=1, expires_at=hour(2)), alert("off", driver="D7", status="RESOLVED")]
    idle = [alert(minutes=minutes, source_type="IDLING", driver="V1") for minutes in (300, 30)]
    fill(db, [*aging, *pile, *own, *idle], *RULES)
    told = foretold(db)
    done: Counts = Counter()
    for number in range(6):
        for one in run_scan(db, ScanRequest(as_of=hour(number))).decisions:
            done[hour(number), one.rule_id, one.decision] += one.alerts
    assert told == done
    # One is escalated now, and closed two hours later, and both are foretold.
    assert (told[AS_OF, "pile", "escalate"], told[hour(2), "expire", "close"]) == (1, 6)
    assert (told[hour(2), "expires_at", "close"], told[hour(2), "idle", "close"]) == (1, 2)


def test_a_forecast_changes_nothing_and_leaves_no_record(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=300)], *RULES)
    assert foretold(db) == {(AS_OF, "expire", "close"): 1}
    assert statuses(db) == {"A": "OPEN"}
    assert db.background_jobs.count_documents({}) == db.rule_versions.count_documents({}) == 0


def test_a_window_holds_alerts_back_until_it_is_over(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=300)], *RULES)
    db.maintenance_windows.insert_one({"window_id": "w", "from": hour(-1), "to": hour(3)})
    assert foretold(db) == {(hour(3), "expire", "close"): 1}


def test_shadow_rules_are_not_foretold(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=300)], rule("trial", {"expire_after_mins": 5}, mode="shadow"))
    assert foretold(db) == {}


def test_what_blocks_a_scan_now_is_said(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=300) for _ in range(3)], rule("few", {"expire_after_mins": 5, "max_close": 2}))
    (stop,) = forecast(db, as_of=AS_OF, hours=1).blocked
    assert (stop.blocked, stop.decision, stop.planned, stop.limit) == ("few", "close", 3, 2)


def test_a_rule_and_a_window_that_cannot_be_read_are_named_once(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=300)], rule("bad", {"expire_after_min": 5}))
    db.maintenance_windows.insert_one({"window_id": "w", "from": hour(0), "until": hour(3)})
    assert [error.split()[1] for error in forecast(db, as_of=AS_OF).errors] == ["'bad':", "window"]


def test_an_instant_too_far_ahead_is_refused(db: AlertDatabase) -> None:
    with pytest.raises(InvalidTimestampError):
        forecast(db, as_of=datetime.fromisoformat("8999-12-31T23:30+00:00"), hours=1)
