"""When a maintenance window begins or ends, the next scan looks at its alerts, and not at all that are pending."""

from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.store import LoadedWindows, load_windows
from alert_pipelines.scanner import changes
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses
from alert_pipelines_tests.scanner.test_changes_properties import decisions, whole_plan, writable

LATEST = rule("latest", {"keep_latest": True})
D1: dict[str, Any] = {"field": "metadata.driver_id", "values": ["D1"]}
NOON = {"rrule": "FREQ=DAILY;BYHOUR=12;BYMINUTE=3", "zone": "UTC", "duration_mins": 4}


def scan(db: AlertDatabase, minutes: float) -> ScanReport:
    """A scan `minutes` after AS_OF, which is at noon."""
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes)))


@pytest.fixture
def held(db: AlertDatabase) -> AlertDatabase:
    """Two alerts of D1 and two of D2, the older of each due but for a window of D1 until minute 10, and a scan."""
    pairs = [alert(f"{driver}-{age}", minutes=age, driver=driver) for driver in ("D1", "D2") for age in (40, 30)]
    fill(db, pairs, LATEST)
    db.maintenance_windows.insert_one({"window_id": "w", "from": ago(10), "to": ago(-10), **D1})
    assert scan(db, 0).closed == 1
    return db


@pytest.mark.parametrize("covers", [None, "raised"])
@pytest.mark.parametrize(
    "window",
    [
        {"from": ago(-3), "to": ago(-7)},
        {"from": ago(-3), "to": ago(-60), "ended_at": ago(-7)},
        {**NOON, "from": ago(10_000)},
        {**NOON, "from": ago(10_000), "source_types": ["OVERSPEEDING"], **D1},
        {"from": ago(-3), "to": ago(-7), "source_types": ["OVERSPEEDING", "SAFETY"]},
        {"from": ago(-3), "to": ago(-7), "field": "alert_id", "values": ["old", 7]},
    ],
    ids=["once", "ended early", "recurring", "of one driver", "of two sources", "of one alert"],
)
def test_each_window_that_began_or_ended_made_a_full_scan(
    db: AlertDatabase, window: dict[str, Any], covers: str | None
) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    db.maintenance_windows.insert_one({**window, "covers": covers})
    scan(db, 0)
    fill(db, [alert("new", minutes=30)])

    during, after, later = (scan(db, minutes) for minutes in (5, 10, 15))

    assert [report.closed for report in (during, after, later)] == [0, 1, 0]
    assert [report.full_scan_reason for report in (during, after, later)] == [None] * 3
    assert statuses(db) == {"old": "AUTO_CLOSED", "new": "OPEN"}


def test_a_window_that_is_added_for_now_and_ended_by_a_person_makes_no_full_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=40), alert("other", minutes=50, driver="D2")], LATEST)
    scan(db, 0)
    db.maintenance_windows.insert_one({"window_id": "w", "from": ago(-1), "to": ago(-500), **D1})
    fill(db, [alert("new", minutes=30)])
    assert (scan(db, 5).closed, statuses(db)["old"]) == (0, "OPEN")
    db.maintenance_windows.update_one({}, {"$set": {"ended_at": ago(-7), "ended_by": "desk", "end_reason": "done"}})
    report = scan(db, 10)
    assert (report.full_scan_reason, report.closed) == (None, 1)


@pytest.mark.parametrize(
    "act",
    [
        {"$set": {"values": ["D2"]}},
        {"$set": {"source_types": ["SAFETY"]}},
        {"$set": {"to": ago(5)}},
        {"$set": {"ended_at": ago(5)}},
        {"$set": {"from": ago(-3)}},
        {"$set": {"form": ago(5)}},
        None,
    ],
    ids=["other alerts", "other sources", "ended before", "cancelled before", "begins later", "not valid", "deleted"],
)
def test_a_window_of_which_is_not_known_any_more_what_it_left_out_means_a_full_scan(
    held: AlertDatabase, act: dict[str, Any] | None
) -> None:
    before = held.background_jobs.find_one({}, sort=[("started_at", -1)])
    assert before is not None
    if act:
        held.maintenance_windows.update_one({}, act)
    else:
        held.maintenance_windows.delete_one({})

    report = scan(held, 12)

    why = f"maintenance windows that left alerts out of {before['job_id']} have changed"
    assert (report.full_scan_reason, report.closed) == (why, 1)


def test_a_window_that_is_added_after_its_beginning_means_a_full_scan_only_when_it_was_to_be_known(
    held: AlertDatabase,
) -> None:
    held.maintenance_windows.insert_one({"from": ago(5), "to": ago(-12)})
    assert scan(held, 5).full_scan_reason is not None
    assert scan(held, 11).full_scan_reason is None
    report = scan(held, 15)
    assert (report.full_scan_reason, report.closed) == (None, 1)


def test_a_new_reason_or_a_later_end_of_a_window_makes_no_full_scan(held: AlertDatabase) -> None:
    held.maintenance_windows.update_one({}, {"$set": {"reason": "parts are late", "to": ago(-20)}})
    assert (scan(held, 12).full_scan_reason, statuses(held)["D1-40"]) == (None, "OPEN")
    report = scan(held, 22)
    assert (report.full_scan_reason, report.closed) == (None, 1)


def test_more_alerts_left_a_window_than_a_query_may_name(held: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_TOUCHED", 1)
    held.background_jobs.update_many({}, {"$set": {"job_id": "before"}})
    report = scan(held, 12)
    why = "more than 1 alerts changed, or left a maintenance window, since before"
    assert (report.full_scan_reason, report.closed) == (why, 1)
    assert scan(held, 15).full_scan_reason is None


def test_a_window_that_was_prolonged_while_a_scan_read_it_hid_its_alerts_from_all_scans(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=40), alert("new", minutes=30)], LATEST)
    db.maintenance_windows.insert_one({"from": ago(10), "to": ago(-3)})
    scan(db, 0)

    def prolonged(*args: Any) -> LoadedWindows:
        db.maintenance_windows.update_one({}, {"$set": {"to": ago(-8)}})
        return load_windows(*args)

    monkeypatch.setattr(changes, "load_windows", prolonged)
    report = scan(db, 5)
    assert (report.full_scan_reason, report.closed) == (None, 1)


@pytest.mark.parametrize(
    ("conditions", "vehicles"),
    [({"keep_latest": True}, ("V1", "V2")), ({"close_if_no_repeat_mins": 60}, ("V2", "V1"))],
    ids=["latest", "repeat"],
)
def test_one_update_that_settled_an_alert_and_moved_it_out_of_or_into_a_window_was_not_noticed(
    db: AlertDatabase, conditions: dict[str, Any], vehicles: tuple[str, str]
) -> None:
    before, after = vehicles
    pending = alert("A", minutes=70, metadata={"driver_id": "D1", "vehicle_id": "V2"})
    other = alert("R", minutes=10, metadata={"driver_id": "D1", "vehicle_id": before})
    fill(db, [pending, other], rule("r", conditions))
    window = {"from": ago(20), "to": ago(5), "field": "metadata.vehicle_id", "values": ["V1"], "covers": "raised"}
    db.maintenance_windows.insert_one(window)
    assert scan(db, 0).closed == 0
    db.alerts.update_one({"alert_id": "R"}, {"$set": {"status": "RESOLVED", "metadata.vehicle_id": after}})

    expected = writable(whole_plan(db, AS_OF + timedelta(minutes=5)))
    report = scan(db, 5)

    assert report.full_scan_reason is None
    assert decisions(db, report) == expected
    assert len(expected) == 1


def test_the_oldest_of_a_thousand_occurrences_is_forgotten_by_a_full_scan(db: AlertDatabase) -> None:
    oldest = AS_OF - timedelta(days=1_000) + timedelta(minutes=4)
    fill(db, [alert("old", timestamp=oldest), alert("new", minutes=1)], rule("aged", {"expire_after_mins": 60}))
    db.maintenance_windows.insert_one({**NOON, "covers": "raised"})
    assert scan(db, 0).closed == 0
    report = scan(db, 5)
    assert report.full_scan_reason is not None
    assert scan(db, 10).closed == 1
