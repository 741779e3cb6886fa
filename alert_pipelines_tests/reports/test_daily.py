"""The daily report's numbers, change by change."""

import math
import random
import statistics
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from bson import Decimal128, Int64

from alert_pipelines.audit.undo import undo_job
from alert_pipelines.errors import ActivityTimeoutError, ReportError
from alert_pipelines.mongo import AlertDatabase, server_now
from alert_pipelines.reports import activity
from alert_pipelines.reports.daily import DailyReport, daily_report
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import alert, fill, rule

DAY = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def entry(to: str, hours: float, *, was: str | None = "OPEN", by: str = "system", **fields: Any) -> dict[str, Any]:
    """A change so many hours after midnight of DAY."""
    return {
        "from_status": was,
        "to_status": to,
        "timestamp": MIDNIGHT + hours * HOUR,
        "triggered_by": by,
        "rule_triggered": "r" if by == "system" else None,
    } | fields


def with_history(alert_id: str, *entries: dict[str, Any], born: float = -48, **fields: Any) -> dict[str, Any]:
    at = MIDNIGHT + born * HOUR
    return alert(alert_id, timestamp=at, created_at=at, state_history=list(entries), **fields)


def summary(report: DailyReport) -> dict[str, tuple[int, int]]:
    """What was done on the day and in the days, without what was not."""
    rows = report.summary().to_dict("records")
    return {row["what"]: (row["on_the_day"], row["in_all_days"]) for row in rows if row["in_all_days"]}


def test_each_change_counts_as_what_it_is(db: AlertDatabase) -> None:
    fill(
        db,
        [
            with_history("closed", entry("AUTO_CLOSED", 1), born=0),
            with_history("by hand", entry("AUTO_CLOSED", 1, by="user", rule_triggered="r")),
            with_history("escalated", entry("ESCALATED", 1), entry("RESOLVED", 2, was="ESCALATED", by="user")),
            with_history("service", entry("OPEN", 3, was=None), entry("ESCALATED", 4, by="anna"), born=3),
            with_history("reopened", entry("AUTO_CLOSED", 1), entry("OPEN", 2, was="AUTO_CLOSED", by="user")),
            with_history(
                "undone",
                entry("ESCALATED", 1, job_id="J"),
                entry("OPEN", 2, was="ESCALATED", by="undo", undoes={"job_id": "J"}),
            ),
            with_history("automation", entry("RESOLVED", 1, rule_triggered=None)),
            with_history("week", entry("AUTO_CLOSED", -100), born=-200),
        ],
    )
    assert summary(daily_report(db, DAY, days=7)) == {
        "opened": (2, 7),
        "closed by rules": (2, 3),
        "closed by people": (1, 1),
        "escalated by rules": (1, 1),
        "escalated by people": (1, 1),
        "resolved by people": (1, 1),
        "resolved by automation": (1, 1),
        "reopened": (1, 1),
        "undone": (1, 1),
    }


def test_what_scans_and_undos_leave_is_what_is_counted(db: AlertDatabase) -> None:
    old = datetime.now(UTC) - timedelta(hours=5)
    fill(db, [alert(timestamp=old, created_at=old) for _ in range(7)], rule("eager", {"expire_after_mins": 60}))
    first = run_scan(db, ScanRequest())
    undo_job(db, first.job_id, dry_run=False)
    fill(db, [alert(timestamp=old, created_at=old) for _ in range(3)])
    run_scan(db, ScanRequest())
    record, _ = db.background_jobs.find({"job_type": "auto_close_scanner"})
    report = daily_report(db, record["started_at"].date(), days=2)
    done = summary(report)
    assert (done["closed by rules"][1], done["undone"][1]) == (3, 7)
    assert report.by_rule()["rule"].tolist() == ["eager"]
    (row,) = report.time_to_close().query("by == 'rules' and of == 'all days'").itertuples()
    assert row.median_min == pytest.approx(300, abs=5)


def test_what_a_rule_does_was_to_be_looked_up_beside_what_it_did(db: AlertDatabase) -> None:
    names = ["eager", "tried", "gone", "expires_at", None]
    closes = [entry("AUTO_CLOSED", 1, rule_triggered=name) for name in names]
    fill(db, [with_history(f"{n}", close) for n, close in enumerate(closes)], rule("eager", {"expire_after_mins": 60}))
    fill(db, [], rule("tried", {"keep_latest": True}, source_type="SAFETY", mode="shadow"))
    by_rule = daily_report(db, DAY, days=1).by_rule()
    assert dict(zip(by_rule["rule"], by_rule["what_it_does"], strict=True)) == {
        "eager": "Closes OVERSPEEDING alerts when they are 1 hour old.",
        "tried": "Closes SAFETY alerts when a newer one with the same metadata.driver_id exists.",
        "expires_at": "Closes alerts of every source when their own expires_at has passed.",
        "gone": "",
        "(no rule named)": "",
    }


def test_a_day_is_from_midnight_to_before_midnight_in_utc(db: AlertDatabase) -> None:
    just_before = -1 / 3_600_000
    fill(
        db,
        [
            with_history("first", entry("AUTO_CLOSED", 0)),
            with_history("last", entry("AUTO_CLOSED", 24 + just_before)),
            with_history("day before", entry("AUTO_CLOSED", just_before)),
            with_history("day after", entry("AUTO_CLOSED", 24)),
            with_history("born at midnight", born=0),
            with_history("born the next", born=24),
        ],
    )
    assert summary(daily_report(db, DAY, days=1)) == {"closed by rules": (2, 2), "opened": (1, 1)}


@pytest.mark.parametrize("created", [None, "2020-01-01", 7, "missing"])
def test_an_alert_whose_creation_is_no_date_was_opened_at_its_timestamp(db: AlertDatabase, created: Any) -> None:
    document = with_history("A", entry("AUTO_CLOSED", 6), born=1) | {"created_at": created}
    if created == "missing":
        del document["created_at"]
    fill(db, [document])
    report = daily_report(db, DAY, days=1)
    assert summary(report) == {"opened": (1, 1), "closed by rules": (1, 1)}
    assert report.time_to_close()["median_min"].tolist()[:2] == [300, 300]


def test_what_bears_no_date_is_on_no_day_and_spoils_nothing(db: AlertDatabase) -> None:
    fill(
        db,
        [
            with_history("text", entry("AUTO_CLOSED", 1, timestamp="2026-03-01"), entry("OPEN", 2, was="AUTO_CLOSED")),
            with_history("no entries", "later", None, entry("AUTO_CLOSED", 3)),  # type: ignore[arg-type]
            alert("history is text", state_history="closed", timestamp="soon", created_at=None),
            alert("no history", state_history=None, timestamp=MIDNIGHT - 50 * HOUR, created_at=None),
            # Its creation lies after its end: no time to close can be told.
            with_history("made later", entry("AUTO_CLOSED", 1), born=2),
            {"alert_id": "bare", "created_at": MIDNIGHT, "status": "OPEN"},
        ],
    )
    report = daily_report(db, DAY, days=1)
    assert summary(report) == {"closed by rules": (2, 2), "reopened": (1, 1), "opened": (2, 2)}
    assert report.time_to_close()["alerts"].tolist() == [1, 1, 0, 0, 1, 1]
    assert set(report.by_source()["source"]) == {"OVERSPEEDING", "None"}


def test_days_without_anything_are_rows_of_zeros_and_an_empty_report_has_all_tables(db: AlertDatabase) -> None:
    fill(db, [with_history("A", entry("AUTO_CLOSED", -47), born=-48)])
    per_day = daily_report(db, DAY, days=4).per_day()
    assert per_day["day"].tolist() == ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"]
    assert per_day["closed"].tolist() == [0, 1, 0, 0]
    assert per_day["median_min"].fillna(-1).tolist() == [-1, 60, -1, -1]
    empty = daily_report(db, date(2020, 1, 1), days=2)
    assert summary(empty) == {}
    assert empty.per_day()["opened"].tolist() == [0, 0]
    for frame in (empty.by_rule(), empty.by_source(), empty.top_keys()):
        assert frame.empty
        assert len(frame.columns) > 2


@pytest.mark.parametrize("number", [1, 2, 3, 10, 101])
def test_median_and_90th_percentile_are_those_of_all_the_times(db: AlertDatabase, number: int) -> None:
    hours = [random.Random(number + n).choice((0.5, 1, 2, 7.25, 20)) for n in range(number)]
    fill(db, [with_history(f"A{n}", entry("RESOLVED", took, by="user"), born=0) for n, took in enumerate(hours)])
    (row,) = daily_report(db, DAY).time_to_close().query("by == 'people' and of == 'the day'").itertuples()
    minutes = sorted(60 * took for took in hours)
    place = 0.9 * (number - 1)
    below, above = minutes[math.floor(place)], minutes[math.ceil(place)]
    assert row.alerts == number
    assert row.median_min == pytest.approx(statistics.median(minutes))
    assert row.p90_min == pytest.approx(below + (place - math.floor(place)) * (above - below))


def test_keys_are_those_by_which_the_rules_group(db: AlertDatabase) -> None:
    grouped = rule("g", {"escalate_if_count": 9, "group_by": ["metadata.short", "metadata.host"]}, source_type="IDS")

    def seen(short: Any, host: Any, born: float = 1) -> dict[str, Any]:
        return with_history("", born=born, source_type="IDS", metadata={"short": short, "host": host})

    alerts = [seen("a", 1), seen("a", 1, -5), seen("b", 1), seen("b", None), seen(["a"], 1), with_history("", born=1)]
    fill(db, [one | {"alert_id": str(n)} for n, one in enumerate(alerts)], grouped)
    top = daily_report(db, DAY).top_keys()
    assert list(top[["source", "key", "opened", "opened_on_the_day"]].itertuples(index=False, name=None)) == [
        ("IDS", "a / 1", 2, 1),
        ("IDS", "b / 1", 1, 1),
        ("OVERSPEEDING", "D1", 1, 1),
    ]


def opened_by_key(report: DailyReport) -> dict[str, int]:
    return dict(report.top_keys()[["key", "opened"]].itertuples(index=False, name=None))


def test_numbers_are_one_key_and_texts_that_look_like_them_others_as_in_the_rules(db: AlertDatabase) -> None:
    drivers = [45, 45.0, Int64(45), Decimal128("45.00"), "45", "45.0", True, 1, "true", 0.5, Decimal128("0.50")]
    fill(db, [with_history(str(n), born=1, driver=driver) for n, driver in enumerate(drivers)])
    # What a rule finds together is what the report counts together.
    groups = db.alerts.aggregate([{"$group": {"_id": "$metadata.driver_id", "alerts": {"$sum": 1}}}])
    expected = {"45": 4, '"45"': 1, '"45.0"': 1, "true": 1, "1": 1, '"true"': 1, "0.5": 2}
    assert sorted(group["alerts"] for group in groups) == sorted(expected.values())
    assert opened_by_key(daily_report(db, DAY)) == expected


def test_keys_of_several_parts_do_not_fall_together(db: AlertDatabase) -> None:
    grouped = rule("g", {"escalate_if_count": 9, "group_by": ["metadata.short", "metadata.host"]})
    pairs = [("a / b", "c"), ("a", "b / c"), ("a /", "b"), ("a", "/ b"), ("a", ""), ("a/b", "c d"), ('"a" / "b"', "c")]
    fill(
        db,
        [with_history(str(n), born=1, metadata={"short": one, "host": two}) for n, (one, two) in enumerate(pairs)],
        grouped,
    )
    assert opened_by_key(daily_report(db, DAY)) == dict.fromkeys(
        [
            '"a / b" / c',
            'a / "b / c"',
            '"a /" / b',
            'a / "/ b"',
            'a / ""',
            "a/b / c d",
            r'"\"a\" / \"b\"" / c',
        ],
        1,
    )


@pytest.mark.parametrize(
    "key", ["D1", "10.0.0.5", "W-45 LS", "2026-03-01", "Zürich", "it's 5\"", "a/b", "Infinite", "-"]
)
def test_usual_texts_are_keys_as_they_are(db: AlertDatabase, key: str) -> None:
    fill(db, [with_history("A", born=1, driver=key)])
    assert opened_by_key(daily_report(db, DAY)) == {key: 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        (" D1", '" D1"'),
        ("a\nb", r'"a\nb"'),
        ('"45"', r'"\"45\""'),
        ("1e3", '"1e3"'),
        ("nan", '"nan"'),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (-0.0, "0"),
        (1e30, "1e+30"),
        (Decimal128("1E+6000"), '{"$numberDecimal": "1E+6000"}'),
        (Decimal128("sNaN"), '{"$numberDecimal": "NaN"}'),
        ({"a": 1}, '{"a": 1}'),
        ('{"a": 1}', r'"{\"a\": 1}"'),
        (MIDNIGHT, '{"$date": "2026-03-01T00:00:00Z"}'),
    ],
)
def test_any_other_key_is_shown_so_that_it_cannot_be_taken_for_another(
    db: AlertDatabase, value: Any, text: str
) -> None:
    fill(db, [with_history("A", born=1, driver=value)])
    assert opened_by_key(daily_report(db, DAY)) == {text: 1}


def test_batches_add_up_to_the_same_report(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    made = random.Random(3)
    fill(
        db,
        [
            with_history(
                f"A{n}", entry("AUTO_CLOSED", made.randrange(24)), born=-made.randrange(200), driver=made.randrange(9)
            )
            for n in range(150)
        ],
    )
    whole = daily_report(db, DAY)
    monkeypatch.setattr(activity, "BATCH", 7)
    parts = daily_report(db, DAY)
    for frame in ("counts", "ages", "keys"):
        pd.testing.assert_frame_equal(getattr(whole, frame), getattr(parts, frame))
    assert whole.count("closed") == 150


def test_pending_is_as_of_now(db: AlertDatabase) -> None:
    fill(db, [alert(timestamp=datetime.now(UTC) - timedelta(days=3))])
    (row,) = daily_report(db, date(2020, 1, 1)).pending_now().itertuples()
    assert (row.source, row.status, row.pending) == ("OVERSPEEDING", "OPEN", 1)
    assert row.oldest_days == pytest.approx(3, abs=0.1)


def test_pending_alerts_whose_timestamp_lies_ahead_have_no_negative_age(db: AlertDatabase) -> None:
    now = datetime.now(UTC)
    clock, unset = now + timedelta(days=28_923), now + timedelta(days=2)
    fill(db, [alert(timestamp=clock), alert(timestamp=unset, source_type="SAFETY"), alert(timestamp=now - 2 * HOUR)])
    rows = {row["source"]: row for row in daily_report(db, DAY).pending_now().to_dict("records")}
    speeding, safety = rows["OVERSPEEDING"], rows["SAFETY"]
    assert (speeding["pending"], safety["pending"]) == (2, 1)
    assert speeding["oldest_days"] == pytest.approx(2 / 24, abs=0.05)
    assert math.isnan(safety["oldest_days"])


def test_an_alert_that_was_closed_before_it_began_has_no_negative_time_to_close(db: AlertDatabase) -> None:
    fill(db, [with_history("before", entry("AUTO_CLOSED", 1), born=5), with_history("after", entry("RESOLVED", 2))])
    report = daily_report(db, DAY)
    assert report.count("closed") == 1
    assert report.ages["minutes"].tolist() == [50 * 60.0]


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_number_of_days_that_makes_no_sense_is_refused(db: AlertDatabase, days: int) -> None:
    with pytest.raises(ReportError, match=r"from 1 to 366"):
        daily_report(db, DAY, days=days)


def test_the_report_on_a_day_in_the_future_was_one_of_zeros(db: AlertDatabase) -> None:
    today = server_now(db).date()
    with pytest.raises(ReportError, match=rf"lies in the future \(the server's clock says {today} "):
        daily_report(db, today + timedelta(days=1))
    assert daily_report(db, today, days=1).day == today


def test_one_that_would_keep_scans_waiting_is_stopped(db: AlertDatabase) -> None:
    fill(db, [with_history(str(n), *(entry("AUTO_CLOSED", 1) for _ in range(40))) for n in range(3_000)])
    with pytest.raises(ActivityTimeoutError, match="needs over 0 s"):
        daily_report(db, DAY, max_seconds=0.001)


def test_with_the_two_indexes_of_the_docs_only_the_days_own_alerts_are_read(db: AlertDatabase) -> None:
    fill(db, [with_history(str(n), entry("AUTO_CLOSED", -24 * n + 1), born=-24 * n) for n in range(1, 300)])
    fill(db, [with_history("text", born=-24 * 99) | {"created_at": "text"}, with_history("today", born=5)])
    db.alerts.create_index("created_at")
    db.alerts.create_index("state_history.timestamp", sparse=True)
    start = MIDNIGHT - 24 * HOUR
    command = {"aggregate": "alerts", "pipeline": activity._pipeline(db, start, start + 48 * HOUR), "cursor": {}}
    explained = db.command("explain", command, verbosity="executionStats")
    stats = explained.get("executionStats") or explained["stages"][0]["$cursor"]["executionStats"]
    # The one of each of the two days, twice where both indexes name it, and the one whose creation is text.
    assert stats["totalDocsExamined"] <= 4


def test_a_day_on_average_counted_the_days_before_there_was_any_data(db: AlertDatabase) -> None:
    fill(db, [with_history(f"{n}", born=-24 * n) for n in range(3) for _ in (1,)])
    rows = {row.what: row for row in daily_report(db, DAY, days=30).summary().itertuples(index=False)}
    assert (rows["opened"].in_all_days, rows["opened"].a_day_on_average) == (3, 1.0)
