"""Maintenance windows: those that are not valid suppress nothing and are named, and many cost no more than one."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.validation import parse_window
from alert_pipelines.rules.window_compiler import WindowsAt
from alert_pipelines.rules.windows import MaintenanceWindow, Span
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses
from alert_pipelines_tests.rules.oracle_alerts import was_raised_in, window_names
from alert_pipelines_tests.rules.oracle_values import ms

HOUR = {"from": ago(60), "to": ago(-60)}
EVERY_KEY = {
    "window_id": "works",
    "source_types": ["GPS"],
    "field": "metadata.vehicle_id",
    "values": ["V9"],
    "reason": "new sensors",
    "created_by": "ops@fleet",
}


def fill_fleet(db: AlertDatabase, window: dict[str, Any]) -> None:
    """Alerts of two sources, a rule for each, and one window, which would suppress all of them without its odd key."""
    alerts = [
        alert("v9", minutes=90, driver="d1", source_type="GPS", metadata={"vehicle_id": "V9"}),
        alert("v1", minutes=90, driver="d1", source_type="GPS", metadata={"vehicle_id": "V1"}),
        alert("s1", minutes=90, driver="d1", source_type="SAFETY"),
    ]
    gps = rule("gps", {"expire_after_mins": 60}, source_type="GPS")
    fill(db, alerts, gps, rule("safety", {"escalate_if_count": 1}, source_type="SAFETY"))
    db.maintenance_windows.insert_one({**HOUR, **window})


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({"source_type": "GPS"}, "source_type: unknown; did you mean 'source_types'?"),
        ({"source_types": ["GPS"], "vehicle_id": "V9"}, "vehicle_id: unknown; "),
        ({"source_types": ["GPS"], "rule": "FREQ=DAILY"}, "rule: unknown; did you mean 'rrule'?"),
        ({"source_types": ["GPS"], "rrule": "FREQ=DAILY"}, "rrule, duration_mins and zone go together"),
        ({"From": ago(60)}, "From: unknown; did you mean 'from'?"),
        ({"source_types": []}, "source_types: "),
        ({"window_id": "two\nlines"}, "window_id: 'two\\nlines' has control characters"),
        ({"created_by": 7}, "created_by: "),
    ],
    ids=[
        "misspelt",
        "a field of the alert",
        "a recurrence",
        "half a recurrence",
        "capitals",
        "no source",
        "id of two lines",
        "no text",
    ],
)
def test_a_window_with_an_unknown_key_suppressed_more_than_it_said(
    db: AlertDatabase, window: dict[str, Any], said: str
) -> None:
    fill_fleet(db, window)

    report = run_scan(db, ScanRequest(as_of=AS_OF))

    assert statuses(db) == {"v9": "AUTO_CLOSED", "v1": "AUTO_CLOSED", "s1": "ESCALATED"}
    record = db.background_jobs.find_one({"job_id": report.job_id})
    assert record is not None
    (error,) = record["errors"]
    assert "is not valid and suppresses nothing" in error
    assert said in error


def test_a_window_with_every_key_that_is_known_suppresses_its_alerts_alone(db: AlertDatabase) -> None:
    fill_fleet(db, EVERY_KEY)

    report = run_scan(db, ScanRequest(as_of=AS_OF))

    assert statuses(db) == {"v9": "OPEN", "v1": "AUTO_CLOSED", "s1": "ESCALATED"}
    assert report.errors == ()


def test_a_window_of_the_source_that_means_every_one_suppressed_nothing(db: AlertDatabase) -> None:
    fill_fleet(db, {"source_types": ["*"]})
    assert run_scan(db, ScanRequest(as_of=AS_OF)).errors == ()
    assert set(statuses(db).values()) == {"OPEN"}


@pytest.mark.parametrize("covers", ["now", "raised"])
def test_a_window_whose_field_is_the_source_covered_other_sources_than_its_own(db: AlertDatabase, covers: str) -> None:
    fill_fleet(db, {"source_types": ["GPS"], "field": "source_type", "values": ["SAFETY"], "covers": covers})
    db.maintenance_windows.update_one({}, {"$set": {"from": ago(100)}})
    explained = explain_alert(db, "s1", as_of=AS_OF)
    assert (run_scan(db, ScanRequest(as_of=AS_OF)).escalated, explained.windows) == (1, ())


def test_an_explanation_does_not_show_a_window_that_suppresses_nothing(db: AlertDatabase) -> None:
    fill_fleet(db, {"source_type": "GPS"})
    assert explain_alert(db, "v1", as_of=AS_OF).windows == ()


def test_a_window_is_named_by_its_window_id_and_shortly_whatever_its_keys_are() -> None:
    many = {f"key{n}" * 100_000: 1 for n in range(30)}
    with pytest.raises(AlertPipelinesError) as refused:
        parse_window({**HOUR, **many, "_id": 1, "window_id": "works"})
    assert str(refused.value).startswith("maintenance window works is not valid and suppresses nothing: ")
    assert str(refused.value).endswith("; and 10 more")
    assert len(str(refused.value)) < 20_000


RAISED = {"window_id": "works", "from": ago(60), "to": ago(30), "covers": "raised"}


def raised_fleet() -> list[dict[str, Any]]:
    """Two alerts that were raised in RAISED, one just before and one after it."""
    return [alert(f"at-{minutes}", minutes=minutes) for minutes in (61, 60, 31, 30)]


@pytest.mark.parametrize(
    ("conditions", "decided"),
    [
        # Of the four alerts of the key two count.
        ({"escalate_if_count": 3, "window_mins": 120}, {}),
        ({"escalate_if_count": 2, "window_mins": 120}, {"at-30": "ESCALATED"}),
        ({"expire_after_mins": 5}, {"at-61": "AUTO_CLOSED", "at-30": "AUTO_CLOSED"}),
        ({"close_if": {"field": "severity", "op": "exists"}}, {"at-61": "AUTO_CLOSED", "at-30": "AUTO_CLOSED"}),
        ({"keep_latest": True}, {"at-61": "AUTO_CLOSED"}),
    ],
)
def test_what_was_raised_in_a_window_was_decided_after_it_and_counted(
    db: AlertDatabase, conditions: dict[str, Any], decided: dict[str, str]
) -> None:
    fill(db, raised_fleet(), rule("r", conditions))
    db.maintenance_windows.insert_one({**RAISED})
    assert run_scan(db, ScanRequest(as_of=AS_OF)).errors == ()
    assert {name: status for name, status in statuses(db).items() if status != "OPEN"} == decided


def test_a_repeat_that_was_raised_in_a_window_does_not_keep_its_key_open(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=61), alert("repeat", minutes=45)], rule("r", {"close_if_no_repeat_mins": 61}))
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db) == {"old": "OPEN", "repeat": "OPEN"}
    db.maintenance_windows.insert_one({**RAISED})
    run_scan(db, ScanRequest(as_of=AS_OF + timedelta(seconds=1)))
    assert statuses(db) == {"old": "AUTO_CLOSED", "repeat": "OPEN"}


def test_only_the_alerts_that_the_window_names_are_left_out_by_when_they_were_raised(db: AlertDatabase) -> None:
    alerts = [alert(name, minutes=45, metadata={"vehicle_id": name, "driver_id": "D1"}) for name in ("v4", "v5")]
    fill(db, alerts, rule("r", {"expire_after_mins": 5}))
    db.maintenance_windows.insert_one({**RAISED, "field": "metadata.vehicle_id", "values": ["v4"]})
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db) == {"v4": "OPEN", "v5": "AUTO_CLOSED"}


def test_the_own_expiry_of_an_alert_that_was_raised_in_a_window_does_not_close_it(db: AlertDatabase) -> None:
    fill(db, [alert("in", minutes=45, expires_at=ago(1)), alert("out", minutes=61, expires_at=ago(1))])
    db.maintenance_windows.insert_one({**RAISED})
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db) == {"in": "OPEN", "out": "AUTO_CLOSED"}


def test_an_explanation_shows_the_window_in_which_its_alert_was_raised(db: AlertDatabase) -> None:
    fill(db, raised_fleet(), rule("r", {"expire_after_mins": 5}))
    db.maintenance_windows.insert_one({**RAISED})
    explained = explain_alert(db, "at-31", as_of=AS_OF)
    assert [window.window_id for window in explained.windows] == ["works"]
    assert "it was raised outside all maintenance windows" in explained.why
    assert explain_alert(db, "at-30", as_of=AS_OF).windows == ()


def test_an_explanation_listed_the_snoozes_of_other_alerts(db: AlertDatabase) -> None:
    fill(db, raised_fleet(), rule("r", {"expire_after_mins": 5}))
    snoozes = [{**HOUR, "window_id": name, "field": "alert_id", "values": [name]} for name in ("at-31", "at-30")]
    elsewhere = {**RAISED, "window_id": "elsewhere", "field": "metadata.driver_id", "values": ["D2"]}
    db.maintenance_windows.insert_many([*snoozes, elsewhere, {**RAISED}])
    explained = explain_alert(db, "at-31", as_of=AS_OF)
    assert [window.window_id for window in explained.windows] == ["at-31", "works"]
    assert [window.window_id for window in explained.held_by] == ["at-31"]


def test_an_end_keeps_what_was_raised_before_it_and_a_window_to_come_that_is_ended_leaves_nothing_out(
    db: AlertDatabase,
) -> None:
    fill(db, raised_fleet(), rule("r", {"expire_after_mins": 5}))
    db.maintenance_windows.insert_one({**RAISED, "ended_at": ago(31)})
    db.maintenance_windows.insert_one({**RAISED, "window_id": "never", "ended_at": ago(70)})
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db) == {"at-61": "AUTO_CLOSED", "at-60": "OPEN", "at-31": "AUTO_CLOSED", "at-30": "AUTO_CLOSED"}


def test_each_of_a_thousand_occurrences_leaves_out_what_was_raised_in_it_and_older_ones_none(
    db: AlertDatabase,
) -> None:
    nights = {"rrule": "FREQ=DAILY;BYHOUR=2", "zone": "UTC", "duration_mins": 60, "covers": "raised"}
    at_two = AS_OF.replace(hour=2)
    ages = (0, 1, 500, 999, 1_000)
    inside = [alert(f"in-{age}", timestamp=at_two - timedelta(days=age)) for age in ages]
    beside = [alert(f"out-{age}", timestamp=at_two - timedelta(days=age, milliseconds=1)) for age in ages]
    fill(db, [*inside, *beside], rule("r", {"expire_after_mins": 5}))
    db.maintenance_windows.insert_one(nights)
    run_scan(db, ScanRequest(as_of=AS_OF))
    left = {name for name, status in statuses(db).items() if status == "OPEN"}
    assert left == {"in-0", "in-1", "in-500", "in-999"}


FIELDS = ["metadata.driver_id", "metadata.trips.driver", "severity", None]
VALUES = [["D1"], ["D2"], ["D1", "D2"], [1], [True], ["D3", 1.5], ["$D4"]]


def many_windows() -> list[dict[str, Any]]:
    """Windows of each field, with from one to twelve spans a value; some meet and some overlap."""
    windows = []
    for number in range(36):
        field, values = FIELDS[number % len(FIELDS)], VALUES[number % len(VALUES)]
        start = 8 + 7 * number % 60
        named = {} if field is None else {"field": field, "values": values if field != "severity" else ["WARNING"]}
        named |= {"source_types": ["OVERSPEEDING"]} if number % 3 else {}
        windows.append({"from": ago(start), "to": ago(start - 1 - number % 5), "covers": "raised", **named})
    return windows


def odd_alerts() -> list[dict[str, Any]]:
    """An alert of each kind of value at both ends of each minute, and one millisecond before."""
    drivers = ["D1", "D3", "$D4", 1, 1.0, 1.5, True, None, {"D1": 1}, ["D2", "D9"], [["D1"]], []]
    of_drivers = [{"driver_id": driver} for driver in drivers]
    trips = [
        [{"driver": "D1"}, {"driver": "D2"}],
        [{"driver": ["D1", 5]}],
        {"driver": "D2"},
        [[{"driver": "D1"}]],
        "D1",
    ]
    kinds = [*of_drivers, *({"trips": trip} for trip in trips), {}]
    times = [ago(minutes) - timedelta(milliseconds=early) for minutes in range(70) for early in (0, 1)]
    return [
        alert(timestamp=at, metadata=metadata, source_type=source)
        for at in times
        for metadata in kinds
        for source in ("OVERSPEEDING", "GPS")
    ]


def test_many_windows_leave_out_what_was_raised_in_each_of_them(db: AlertDatabase) -> None:
    windows, alerts = many_windows(), odd_alerts()
    db.alerts.insert_many(alerts)
    for chosen in (windows, windows[:1], windows[1::4], windows[::4], windows[3::4], windows[2::4]):
        compiled = WindowsAt(map(MaintenanceWindow.model_validate, chosen), AS_OF)
        in_none = {
            one["alert_id"]
            for one in alerts
            if not any(window_names(window, one) and was_raised_in(window, one, ms(AS_OF)) for window in chosen)
        }
        assert 0 < len(in_none) < len(alerts)
        assert {one["alert_id"] for one in db.alerts.find(compiled.counted(None))} == in_none
        (test,) = compiled.in_no_window(["OVERSPEEDING"])
        of_source = {one["alert_id"] for one in alerts if one["source_type"] == "OVERSPEEDING"}
        found = db.alerts.find({"source_type": "OVERSPEEDING", **test.filter})
        assert {one["alert_id"] for one in found} == in_none & of_source


@pytest.mark.parametrize("kind", ["snoozed", "one_after_another", "of_each_vehicle", "recurring"])
def test_each_snoozed_alert_and_each_past_window_was_a_test_of_every_alert(kind: str) -> None:
    def tests_with(count: int) -> int:
        at = [{"from": ago(60 * n + 30), "to": ago(60 * n), "covers": "raised"} for n in range(count)]
        daily = {"rrule": "FREQ=DAILY;BYHOUR=2", "zone": "UTC", "duration_mins": 60, "covers": "raised"}
        windows: dict[str, list[dict[str, Any]]] = {
            "snoozed": [{**HOUR, "field": "alert_id", "values": [f"A{n}"]} for n in range(count)],
            "one_after_another": at,
            "of_each_vehicle": [
                {**one, "field": "metadata.vehicle_id", "values": [f"V{n}"]} for n, one in enumerate(at)
            ],
            "recurring": [{**daily, "from": AS_OF - timedelta(days=count)}],
        }
        compiled = WindowsAt(map(MaintenanceWindow.model_validate, windows[kind]), AS_OF)
        return sum(operators(test.filter) for test in compiled.in_no_window(["OVERSPEEDING"]))

    assert tests_with(900) == tests_with(3)


def operators(filter_: object) -> int:
    """How many operators a filter has."""
    if isinstance(filter_, dict):
        return sum(name.startswith("$") + operators(below) for name, below in filter_.items())
    return sum(map(operators, filter_)) if isinstance(filter_, list) else 0


def test_each_rule_once_asked_each_window_when_it_was_in_force(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[MaintenanceWindow] = []
    raised_spans = MaintenanceWindow.raised_spans

    def counting(window: MaintenanceWindow, as_of: datetime) -> list[Span]:
        asked.append(window)
        return raised_spans(window, as_of)

    monkeypatch.setattr(MaintenanceWindow, "raised_spans", counting)
    fill(db, raised_fleet())
    db.maintenance_windows.insert_one({**RAISED})

    def asked_with(*rules: dict[str, Any]) -> int:
        db.rules.delete_many({})
        db.rules.insert_many([*rules])
        asked.clear()
        assert run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True)).errors == ()
        return len(asked)

    several = [
        rule(f"{mode}-{n}", {"expire_after_mins": 5}, mode=mode) for n in range(3) for mode in ("active", "shadow")
    ]
    assert asked_with(*several) == asked_with(several[0]) > 0
