"""Random histories with calendars and windows: the short way decides what looking at everything would."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, rule
from alert_pipelines_tests.rules.examples import examples
from alert_pipelines_tests.scanner.test_changes_properties import decisions, whole_plan, writable

# AS_OF is at noon: the scans are before, in and after the closed minutes, and look back over others.
SPANS = [
    ["00:00-11:50", "11:54-12:02", "12:05-24:00"],
    ["11:40-11:55", "12:01-12:03", "12:08-24:00"],
    ["00:00-24:00"],
    ["12:04-12:06"],
]
CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"close_if_no_repeat_mins": 4},
        {"close_if_no_repeat_mins": 3, "hold_mins": 2},
        {"keep_latest": True, "hold_mins": 3},
        {"keep_first": True, "hold_mins": 1},
        {"expire_after_mins": 6},
        {"escalate_after_mins": 5},
        {"escalate_if_count": 2, "window_mins": 4},
        {"escalate_if_count": 2, "only_if": {"field": "updated_at", "op": "older_than_mins", "value": 3}},
        {"escalate_if_count": 2, "count_if": {"field": "updated_at", "op": "older_than_mins", "value": 2}},
        {"keep_latest": True, "only_if": {"not": {"field": "updated_at", "op": "newer_than_mins", "value": 3}}},
    ]
)
TIMES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"rrule": "FREQ=DAILY;BYHOUR=12;BYMINUTE=3", "zone": "UTC", "duration_mins": 3, "from": ago(10_000)},
        {"rrule": "FREQ=DAILY;BYHOUR=12;BYMINUTE=57", "zone": "Europe/Berlin", "duration_mins": 5},
        {"rrule": "FREQ=DAILY;BYHOUR=11;BYMINUTE=52", "zone": "UTC", "duration_mins": 4},
        {"from": ago(4), "to": ago(-4)},
        {"from": ago(9), "to": ago(-1)},
    ]
)
ALERTS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"field": "metadata.driver_id", "values": ["D1"]}, {"field": "severity", "values": ["INFO"]}]
)
SEVERITIES = st.sampled_from(["INFO", "WARNING"])
COUNT_MINUTES = {
    "expire_after_mins",
    "close_if_no_repeat_mins",
    "hold_mins",
    "escalate_after_mins",
    "only_if",
    "count_if",
}


@st.composite
def _rules(draw: st.DrawFn, rule_id: str) -> dict[str, Any]:
    conditions = draw(CONDITIONS)
    fields = {"only_during": "duty"} if draw(st.integers(0, 3)) == 0 else {}
    if not COUNT_MINUTES.isdisjoint(conditions) and draw(st.booleans()):
        fields["calendar"] = "office"
    return rule(rule_id, conditions, **fields)


WINDOW = st.builds(
    lambda times, alerts, covers: {**times, **alerts, "covers": covers},
    TIMES,
    ALERTS,
    st.sampled_from(["now", "raised"]),
)


class World:
    """What befalls alerts and windows between two scans, drawn at random."""

    def __init__(self, db: AlertDatabase, data: st.DataObject) -> None:
        self._db = db
        self._draw = data.draw
        self._added = 0
        self.minutes = 0

    def act(self) -> None:
        acts = [self.add, self._edit, self._edit, self._add_window, self._change_window]
        self._draw(st.sampled_from(acts))()

    def add(self) -> None:
        self._added += 1
        at, driver = self._time(), self._draw(st.sampled_from(["D1", "D2"]))
        one = alert(f"A{self._added}", timestamp=at, created_at=at, updated_at=at, driver=driver)
        self._db.alerts.insert_one({**one, "severity": self._draw(SEVERITIES)})

    def _edit(self) -> None:
        which = {"alert_id": f"A{self._draw(st.integers(1, self._added))}"}
        changes: list[dict[str, Any]] = [
            {"metadata.driver_id": "D2"},
            {"timestamp": self._time()},
            {"updated_at": self._time()},
            {"status": "RESOLVED"},
            {"status": "RESOLVED", "severity": self._draw(SEVERITIES)},
            {"severity": self._draw(SEVERITIES)},
            {"status": "OPEN", "state_history": []},
        ]
        self._db.alerts.update_one(which, {"$set": self._draw(st.sampled_from(changes))})

    def _add_window(self) -> None:
        """One that begins a few minutes before or after the last scan."""
        start, lasts = self.minutes + self._draw(st.integers(-3, 3)), self._draw(st.sampled_from([1, 3, 6]))
        alerts, covers = self._draw(ALERTS), self._draw(st.sampled_from(["now", "now", "raised"]))
        self._db.maintenance_windows.insert_one(
            {**alerts, "from": ago(-start), "to": ago(-start - lasts), "covers": covers}
        )

    def _change_window(self) -> None:
        windows = self._db.maintenance_windows
        if not (names := sorted(found["_id"] for found in windows.find({}, {"_id": 1}))):
            return
        which = {"_id": self._draw(st.sampled_from(names))}
        now = AS_OF + timedelta(minutes=self.minutes, seconds=30)
        changes: list[dict[str, Any]] = [
            {"ended_at": now},
            {"ended_at": now},
            {"to": now + timedelta(minutes=7)},
            {"field": "metadata.driver_id", "values": ["D2"]},
            {"covers": "raised"},
            {},
        ]
        if change := self._draw(st.sampled_from(changes)):
            windows.update_one(which, {"$set": change})
        else:
            windows.delete_one(which)

    def _time(self) -> datetime:
        return AS_OF + timedelta(minutes=self.minutes - self._draw(st.integers(-2, 14)))


@pytest.mark.slow
@examples(50)
@given(data=st.data(), windows=st.lists(WINDOW, min_size=1, max_size=2), rules=st.tuples(_rules("r1"), _rules("r2")))
def test_calendars_and_windows_make_the_short_way_no_shorter_than_it_may_be(
    db: AlertDatabase, data: st.DataObject, windows: list[dict[str, Any]], rules: tuple[dict[str, Any], ...]
) -> None:
    for name in ("alerts", "pipeline_rules", "calendars", "maintenance_windows", "background_jobs"):
        db[name].delete_many({})
    db.alerts.create_index([("source_type", 1), ("updated_at", 1)])
    for name in ("office", "duty"):
        spans = {"mon-sun": data.draw(st.sampled_from(SPANS))}
        db.calendars.insert_one({"name": name, "zone": "UTC", "open": spans})
    db.pipeline_rules.insert_many([dict(one) for one in rules])
    db.maintenance_windows.insert_many([dict(one) for one in windows])
    world = World(db, data)
    for _ in range(data.draw(st.integers(2, 6))):
        world.add()
    for _ in range(5):
        as_of = AS_OF + timedelta(minutes=world.minutes)
        expected = whole_plan(db, as_of)
        report = run_scan(db, ScanRequest(as_of=as_of, allow_over_limit=(ALLOW_SCAN,)))
        assert (report.errors, expected.errors) == ((), [])
        assert decisions(db, report) == writable(expected), report.full_scan_reason
        for _ in range(data.draw(st.integers(0, 2))):
            world.act()
        world.minutes += data.draw(st.integers(0, 4))
