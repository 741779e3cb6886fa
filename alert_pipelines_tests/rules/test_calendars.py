"""Calendars: how minutes run in open hours, what a rule with one decides, and what is refused."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.backtesting.backtest import backtest_day
from alert_pipelines.errors import AlertPipelinesError, RuleFileError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import dump_rules, parse_rules, read_rules
from alert_pipelines.rules.hours import Hours
from alert_pipelines.rules.lint import warnings_of
from alert_pipelines.rules.publish import ChangeKind, diff_rules, export_rules, publish_rules
from alert_pipelines.rules.store import keep_version, load_rules, rule_text
from alert_pipelines.rules.validation import parse_calendar
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import alert, fill, rule, statuses
from alert_pipelines_tests.rules.examples import examples

OFFICE = {"name": "office", "zone": "Europe/Berlin", "open": {"mon-fri": ["08:00-18:00"]}}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(**changes: Any) -> Hours:
    return parse_calendar({**OFFICE, **changes}).hours


@pytest.mark.parametrize(
    ("changes", "now", "minutes", "before"),
    [
        # Friday 13:00 to 18:00 and Monday 8:00 to 13:00 in Berlin.
        ({}, "2026-03-02T12:00", 600, "2026-02-27T12:00"),
        ({}, "2026-03-02T12:00", 1, "2026-03-02T11:59"),
        # All five hours of Monday: also what was raised on Sunday is that old.
        ({}, "2026-03-02T12:00", 300, "2026-03-02T07:00"),
        ({}, "2026-03-01T12:00", 60, "2026-02-27T16:00"),
        ({"holidays": ["2026-02-27"]}, "2026-03-02T12:00", 600, "2026-02-26T12:00"),
        # The clocks go forward on Sunday 29 March: Friday's hours are an hour later in UTC.
        ({}, "2026-03-30T06:30", 60, "2026-03-27T16:30"),
        # An hour that is skipped has no minutes, and one that comes twice has them twice.
        ({"open": {"sun": ["01:00-04:00"]}}, "2026-03-29T02:00", 120, "2026-03-29T00:00"),
        ({"open": {"sun": ["02:00-03:00"]}}, "2026-10-25T02:00", 120, "2026-10-25T00:00"),
        ({"open": {"sun": ["02:30-03:00"]}}, "2026-03-29T12:00", 30, "2026-03-22T01:30"),
        ({"open": {"mon-sun": ["00:00-24:00"]}}, "2026-03-02T12:00", 50_000, "2026-01-26T18:40"),
        # Sunday and Monday.
        ({"open": {"sun-mon": ["12:00-13:00"]}}, "2026-03-03T12:00", 120, "2026-03-01T11:00"),
        ({"open": {"mon": ["08:00-12:00", "13:00-17:00"]}}, "2026-03-02T12:30", 60, "2026-03-02T10:30"),
    ],
)
def test_minutes_run_in_open_hours_alone(changes: dict[str, Any], now: str, minutes: int, before: str) -> None:
    assert hours(**changes).before(at(now), minutes) == at(before)


def test_minutes_that_there_never_were_lie_before_every_alert() -> None:
    weekly = hours(open={"sun": ["00:00-00:01"]})
    assert weekly.before(at("2026-03-01T12:00"), 60_000) == datetime.min.replace(tzinfo=UTC)


_ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Santiago", "UTC"]
_SPANS = [["08:00-18:00"], ["00:00-24:00"], ["01:30-02:30", "02:45-03:15"], ["00:00-00:30", "23:30-24:00"], []]


@st.composite
def _calendars(draw: st.DrawFn) -> dict[str, Any]:
    days = {day: draw(st.sampled_from(_SPANS)) for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    days["sun"] = days["sun"] or ["02:00-03:00"]
    # Around both changes of summer time in the north, and one in the south.
    holidays = draw(st.lists(st.sampled_from(["2026-03-29", "2026-03-30", "2026-10-25", "2026-04-05"]), max_size=2))
    return {"name": "c", "zone": draw(st.sampled_from(_ZONES)), "open": days, "holidays": holidays}


def _is_open_on_the_wall(calendar: dict[str, Any], now: datetime) -> bool:
    wall = now.astimezone(ZoneInfo(calendar["zone"]))
    if wall.date().isoformat() in calendar["holidays"]:
        return False
    text = f"{wall:%H:%M}"
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[wall.weekday()]
    return any(span[:5] <= text < span[6:] for span in calendar["open"][day])


@pytest.mark.slow
@examples(120)
@given(
    calendar=_calendars(),
    day=st.sampled_from(["2026-03-28", "2026-03-30", "2026-10-25", "2026-10-26", "2026-04-05", "2026-07-01"]),
    minute=st.integers(0, 2 * 24 * 60),
    wanted=st.integers(1, 1_500),
)
def test_the_arithmetic_of_calendars_agrees_with_counting_minute_by_minute(
    calendar: dict[str, Any], day: str, minute: int, wanted: int
) -> None:
    found, now = parse_calendar(calendar).hours, at(day) + timedelta(minutes=minute)
    cutoff = found.before(now, wanted)

    counted, back = 0, now
    while counted < wanted and now - back < timedelta(days=9):
        back -= timedelta(minutes=1)
        is_open = _is_open_on_the_wall(calendar, back)
        assert found.is_open(back) == is_open, back
        counted += is_open

    if counted == wanted:
        assert cutoff == back
        assert found.minutes_between(back, now) == wanted
    else:
        assert cutoff < back
        assert found.minutes_between(back, now) == counted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"zone": "Europe/Berln"}, "zone: expected an IANA time zone such as 'Europe/Berlin'; got 'Europe/Berln'; did"),
        ({"opens": {}}, "opens: unknown; did you mean 'open'?"),
        ({"open": {}}, "open: the calendar never opens"),
        ({"open": {"mon": []}}, "open: the calendar never opens"),
        ({"open": {"monday": ["08:00-18:00"]}}, "open: 'monday' is not a valid day: expected one of mon, tue"),
        ({"open": {"mon-": ["08:00-18:00"]}}, "open: 'mon-' is not a valid day"),
        ({"open": {"mon": ["8-18"]}}, "open: '8-18' is not a valid span: expected a start before an end"),
        ({"open": {"mon": ["18:00-08:00"]}}, "a night is two spans"),
        ({"open": {"mon": ["08:00-24:01"]}}, "open: '08:00-24:01' is not a valid span"),
        ({"open": {"mon": ["08:00-12:00"], "mon-fri": ["11:00-13:00"]}}, "open: two spans of a day overlap"),
        ({"holidays": ["25.12.2026"]}, "holidays[0]: expected a date such as 2026-12-25; got '25.12.2026'"),
        ({"holidays": [at("2026-12-25T10:00")]}, "which has a time"),
        ({"name": "two\nlines"}, "name: 'two\\nlines' has control characters"),
        ({"name": None}, "name: expected a valid string; got None"),
    ],
)
def test_a_calendar_that_is_not_valid_is_refused_with_its_path(change: dict[str, Any], said: str) -> None:
    with pytest.raises(AlertPipelinesError) as refused:
        parse_calendar({**OFFICE, **change})
    assert said in str(refused.value)


def test_holidays_are_dates_as_a_file_or_a_document_has_them() -> None:
    days = ["2026-12-25", date(2026, 12, 25), at("2026-12-25T00:00")]
    assert {hours(holidays=[day]).holidays for day in days} == {frozenset([date(2026, 12, 25)])}


FRIDAY_NOON, MONDAY_NOON = at("2026-02-27T11:00"), at("2026-03-02T11:00")
AGING = {"expire_after_mins": 600}


@pytest.mark.parametrize(
    ("conditions", "closed_at"),
    [
        # Ten hours of Berlin after Friday noon: Monday noon.
        ({"expire_after_mins": 600}, MONDAY_NOON),
        ({"close_if_no_repeat_mins": 600}, MONDAY_NOON),
        ({"close_if": {"field": "timestamp", "op": "older_than_mins", "value": 600}}, MONDAY_NOON),
        ({"close_if": {"not": {"field": "timestamp", "op": "newer_than_mins", "value": 600}}}, MONDAY_NOON),
        ({"auto_close_if": "ok", "hold_mins": 600}, MONDAY_NOON),
        ({"escalate_after_mins": 600}, MONDAY_NOON),
        ({"escalate_if": {"field": "created_at", "op": "older_than_mins", "value": 600}}, MONDAY_NOON),
    ],
)
def test_forty_eight_hours_closed_fridays_alerts_before_monday(
    db: AlertDatabase, conditions: dict[str, Any], closed_at: datetime
) -> None:
    dates: dict[str, Any] = dict.fromkeys(("timestamp", "created_at", "updated_at"), FRIDAY_NOON)
    fill(db, [alert("a", **dates, metadata={"driver_id": "D", "ok": True})])
    db.pipeline_rules.insert_one(rule("r", conditions, calendar="office"))
    db.calendars.insert_one({**OFFICE})
    for as_of in (FRIDAY_NOON + timedelta(hours=48), closed_at - timedelta(milliseconds=1)):
        assert run_scan(db, ScanRequest(as_of=as_of)).errors == ()
        assert statuses(db) == {"a": "OPEN"}
    report = run_scan(db, ScanRequest(as_of=closed_at))
    assert statuses(db) != {"a": "OPEN"}
    # It was found by looking at what came due since, not at everything.
    assert report.incremental_since is not None


def test_a_rule_decides_only_while_its_calendar_is_open_and_then_all_that_came_due_meanwhile(
    db: AlertDatabase,
) -> None:
    fill(db, [alert(f"a{n}", timestamp=FRIDAY_NOON - timedelta(minutes=n), driver="D") for n in range(2)])
    db.pipeline_rules.insert_one(
        rule("r", {"escalate_if_count": 2, "window_mins": 5}, only_during="office", mode="active")
    )
    db.calendars.insert_one({**OFFICE})
    fill(db, [alert(f"b{n}", timestamp=at("2026-02-28T11:00"), driver="E") for n in range(2)])
    for as_of in ("2026-02-28T11:00", "2026-02-28T12:00", "2026-03-02T06:59:59"):
        report = run_scan(db, ScanRequest(as_of=at(as_of)))
        assert (report.errors, report.escalated) == ((), 0)
    assert run_scan(db, ScanRequest(as_of=at("2026-03-02T07:00"))).escalated == 3


def test_an_explanation_says_how_far_the_open_minutes_have_come(db: AlertDatabase) -> None:
    fill(db, [alert("a", timestamp=FRIDAY_NOON, created_at=FRIDAY_NOON, updated_at=FRIDAY_NOON)])
    db.pipeline_rules.insert_one(rule("r", {"expire_after_mins": 480}, calendar="office", only_during="office"))
    db.calendars.insert_one({**OFFICE})
    at_two = explain_alert(db, "a", as_of=at("2026-02-27T13:00"))
    old = "timestamp is 480 or more open minutes of calendar 'office' old"
    assert at_two.why == f"not decided: r: not so: {old}; counts 120 of 480 open minutes"
    on_saturday = explain_alert(db, "a", as_of=at("2026-02-28T13:00"))
    assert "calendar 'office' is open; outside calendar 'office', which opens 2026-03-02 07:00:00+00:00" in (
        on_saturday.why
    )
    closed = explain_alert(db, "a", as_of=at("2026-03-02T12:00"))
    assert closed.decided_by is not None
    assert closed.why == f"rule 'r' would close it: {old}"


@pytest.mark.parametrize(
    ("fields", "stored", "said"),
    [
        ({"calendar": "ofice"}, [OFFICE], "calendar: expected a calendar of the file or of the collection calendars; "),
        ({"calendar": "ofice"}, [OFFICE], "got 'ofice'; did you mean 'office'?"),
        ({"only_during": "night"}, [], "only_during: expected a calendar of the file or of the collection calendars"),
        ({"calendar": "office"}, [{**OFFICE, "zone": "Berlin"}], "calendar: calendar 'office' is not valid: zone: "),
        ({"calendar": "office"}, [{**OFFICE, "holiday": []}], "holiday: unknown; did you mean 'holidays'?"),
        ({"calendar": "office"}, [OFFICE, OFFICE], "2 documents have this name"),
        ({"calender": "office"}, [OFFICE], "calender: unknown; did you mean 'calendar'?"),
        ({"only_durring": "office"}, [OFFICE], "only_durring: unknown; did you mean 'only_during'?"),
    ],
)
def test_a_rule_whose_calendar_cannot_be_used_decides_nothing_and_is_named(
    db: AlertDatabase, fields: dict[str, Any], stored: list[dict[str, Any]], said: str
) -> None:
    fill(db, [alert("a", timestamp=FRIDAY_NOON)], rule("other", AGING, source_type="SAFETY"))
    db.pipeline_rules.insert_one(rule("r", AGING, **fields))
    if stored:
        db.calendars.insert_many([dict(one) for one in stored])
    report = run_scan(db, ScanRequest(as_of=at("2026-03-09T11:00")))
    assert statuses(db) == {"a": "OPEN"}
    [error] = report.errors
    assert error.startswith("rule 'r': ")
    assert said in error


RULES = {
    "calendars": [OFFICE],
    "rules": [{"rule_id": "r", "source_type": "SAFETY", "conditions": AGING, "calendar": "office"}],
}


def test_the_calendars_of_a_file_go_with_its_rules_and_outrank_the_collections(db: AlertDatabase) -> None:
    rules = parse_rules(RULES, "file")
    db.calendars.insert_one({**OFFICE, "open": {"sun": ["08:00-18:00"]}})
    publish_rules(db, rules)
    # The service has no calendars.
    assert [one["rule_id"] for one in db.pipeline_rules.find()] == ["r"]
    assert db.rules.count_documents({}) == 0
    loaded = load_rules(db)
    assert loaded.errors == ()
    [active] = loaded.rule_set.active
    assert active.clock(MONDAY_NOON).before(600) == FRIDAY_NOON
    assert [change.kind for change in diff_rules(db, rules)] == [ChangeKind.SAME]
    keep_version(db, loaded.rule_set)
    kept = rule_text(db, loaded.rule_set.version, "r")
    assert kept is not None
    assert kept["calendars"][0]["open"] == OFFICE["open"]


def test_a_changed_calendar_of_the_collection_is_another_rule_set_and_means_a_full_scan(db: AlertDatabase) -> None:
    fill(db, [alert("a", timestamp=FRIDAY_NOON)])
    db.pipeline_rules.insert_one(rule("r", {"close_if_no_repeat_mins": 600}, calendar="office"))
    db.calendars.insert_one({**OFFICE})
    first = run_scan(db, ScanRequest(as_of=FRIDAY_NOON))
    assert run_scan(db, ScanRequest(as_of=FRIDAY_NOON + timedelta(minutes=5))).incremental_since == first.job_id
    db.calendars.update_one({}, {"$set": {"holidays": ["2026-02-26"]}})
    after = run_scan(db, ScanRequest(as_of=FRIDAY_NOON + timedelta(minutes=10)))
    assert after.incremental_since is None
    assert after.rule_set_version != first.rule_set_version


def test_a_rule_that_no_longer_goes_by_a_calendar_is_published_without(db: AlertDatabase) -> None:
    publish_rules(db, parse_rules(RULES, "file"))
    plain = [{name: value for name, value in RULES["rules"][0].items() if name != "calendar"}]
    publish_rules(db, parse_rules({"rules": plain}, "file"))
    [loaded] = load_rules(db).rule_set.active
    assert (loaded.calendar, loaded.calendars) == (None, None)
    assert db.pipeline_rules.count_documents({}) == 0


def test_exported_rules_bring_their_calendars(db: AlertDatabase, tmp_path: Path) -> None:
    publish_rules(db, parse_rules(RULES, "file"))
    (tmp_path / "rules.yaml").write_text(dump_rules(export_rules(db)))
    assert [one.canonical() for one in read_rules(tmp_path / "rules.yaml")] == [
        one.canonical() for one in parse_rules(RULES, "file")
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calendars": [{**OFFICE, "zone": "Berlin"}]}, "calendar 'office' is not valid: zone: expected an IANA"),
        ({"calendars": [OFFICE, OFFICE]}, "calendar 'office': given twice"),
        ({"calendars": OFFICE}, "calendars: expected a list; got"),
        ({"calendars": ["office"]}, "expected a calendar with name, zone and open; got 'office'"),
        ({"calender": []}, "unknown next to 'rules': calender"),
        ({"rules": [{**RULES["rules"][0], "calender": "office"}]}, "calender: unknown; did you mean 'calendar'?"),
        (
            {"rules": [{**RULES["rules"][0], "conditions": {"keep_latest": True}}]},
            "calendar: no condition of the rule counts minutes in its open hours",
        ),
        (
            {"rules": [{**RULES["rules"][0], "calendars": [{**OFFICE, "opens": 1}]}]},
            "calendars[0].opens: unknown; did you mean 'open'?",
        ),
    ],
)
def test_what_is_wrong_with_the_calendars_of_a_file_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RuleFileError) as refused:
        parse_rules({**RULES, **change}, "file")
    assert said in str(refused.value)


def test_a_calendar_that_is_not_in_the_file_is_warned_of_with_the_nearest_spelling() -> None:
    other = {**RULES["rules"][0], "rule_id": "s", "calendar": "ofice"}
    [warning] = warnings_of(parse_rules({**RULES, "rules": [*RULES["rules"], other]}, "file"))
    assert warning.startswith("rule 's': the calendar 'ofice' is not in the file; did you mean 'office'?")


def test_a_back_test_goes_by_the_calendars_of_file_and_collection(db: AlertDatabase) -> None:
    fill(db, [alert("a", timestamp=FRIDAY_NOON, created_at=FRIDAY_NOON, updated_at=FRIDAY_NOON)])
    plain = {"rule_id": "r", "source_type": "OVERSPEEDING", "conditions": AGING}
    for day, closes in ((date(2026, 2, 28), 0), (date(2026, 3, 2), 1)):
        for content in ({**RULES, "rules": [{**plain, "calendar": "office"}]}, [{**plain, "calendar": "stored"}]):
            db.calendars.replace_one({"name": "stored"}, {**OFFICE, "name": "stored"}, upsert=True)
            outcome = backtest_day(db, parse_rules(content, "file"), day, step=timedelta(hours=1))
            [row] = [row for row in outcome.proposed if row.rule_id == "r"]
            assert row.would_close == closes, (day, content)
    with pytest.raises(AlertPipelinesError, match="got 'gone'"):
        backtest_day(db, parse_rules([{**plain, "calendar": "gone"}], "file"), date(2026, 3, 2))


def test_a_json_file_holds_calendars_as_well(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(json.dumps(RULES))
    [read] = read_rules(tmp_path / "rules.json")
    assert read.calendar_of("office") == parse_calendar(OFFICE)
