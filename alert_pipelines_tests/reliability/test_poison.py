"""Poison alerts: each that cannot be handled is named, and everything else goes through."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import bson
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, Regex, Timestamp
from bson.raw_bson import RawBSONDocument

from alert_pipelines.job_records import MAX_ERRORS
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanReport
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, stored
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import Document, scan

# One rule for each way of reading an alert, all after the one that decides.
RULES = (
    rule("expire", {"expire_after_mins": 60, "hold_mins": 1}, priority=9),
    rule("valid", {"auto_close_if": "document_valid"}),
    rule("slow", {"close_if": {"field": "metadata.speed", "op": "lt", "value": 1}}),
    rule("quiet", {"close_if_no_repeat_mins": 600}),
    rule("latest", {"keep_latest": True, "severities": ["INFO"]}),
    rule("pile-up", {"escalate_if_count": 10_000}),
)
WRONG: tuple[Any, ...] = (
    *(None, True, 1, 1.5, float("nan"), float("inf"), Int64(2**62), Decimal128("NaN"), "text", "", "$status"),
    *(b"\0", Binary(b"x" * 16, 4), Regex("a"), Code("f()"), MinKey(), MaxKey(), Timestamp(1, 1), bson.ObjectId()),
    *([], [None], [[]], ["OPEN"], [1, {"job_id": 5}], [AS_OF], {}, {"$gt": 1}, {"driver_id": []}, ago(600)),
    *(DatetimeMS(-(2**62)), DatetimeMS(2**62)),
)
FIELDS = (
    *("source_type", "severity", "status", "timestamp", "metadata", "state_history", "expires_at", "updated_at"),
    *("created_at", "escalated_at", "closed_at", "auto_close_reason"),
)
GOOD = 300


def fill_among_good(db: AlertDatabase, poison: list[Document], *rules: Document) -> None:
    good = [alert(f"good-{number}", minutes=120, driver=f"G{number}") for number in range(GOOD)]
    fill(db, [*good, *poison], *(dict(one) for one in rules or RULES))


def check_good_closed(db: AlertDatabase, report: ScanReport) -> Document:
    assert db.alerts.count_documents({"alert_id": {"$regex": "^good-"}, "status": "AUTO_CLOSED"}) == GOOD
    assert report.reconciles
    record = db.background_jobs.find_one({"job_id": report.job_id})
    assert record is not None
    assert record["status"] == "completed"
    assert (record["alerts_closed"], record["errors_total"]) == (report.closed, len(report.errors))
    return record


def test_any_value_in_any_field(db: AlertDatabase, figures: Figures) -> None:
    poison = [
        alert(f"{field}-{number}", minutes=120, driver=f"{field}{number}", **{field: value})
        for field in FIELDS
        for number, value in enumerate(WRONG)
    ]
    fill_among_good(db, poison)
    report = scan(db)
    check_good_closed(db, report)
    appendable = {"array", "missing", "null"}
    for number, value in enumerate(WRONG):
        named = [error for error in report.errors if f"'state_history-{number}'" in error]
        [kind] = db.alerts.aggregate(
            [
                {"$match": {"alert_id": f"state_history-{number}"}},
                {"$project": {"type": {"$type": "$state_history"}, "status": 1}},
            ]
        )
        assert bool(named) == (kind["type"] not in appendable), (value, named, kind)
        assert (kind["status"] == "AUTO_CLOSED") == (not named), (value, kind)
        if value == [AS_OF]:
            # Only a read of every pending alert would find it: it is decided by nothing, and not named.
            assert stored(db, f"timestamp-{number}")["status"] == "OPEN"
            continue
        is_fine = isinstance(value, datetime) or (isinstance(value, DatetimeMS) and int(value) < 0)
        assert any(f"'timestamp-{number}'" in error for error in report.errors) == (not is_fine), value
    again = scan(db)
    assert (again.closed, again.escalated) == (0, 0)
    figures(alerts=len(poison), closed=report.closed - GOOD, named=len(report.errors))


@pytest.mark.parametrize(
    "ids",
    [(True, 1, 0, False), (1.0, 2, float("nan")), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), (b"x", "x", None, MinKey())],
)
def test_any_id(db: AlertDatabase, ids: tuple[Any, ...]) -> None:
    fill_among_good(db, [alert(f"odd-{number}", minutes=120, _id=_id) for number, _id in enumerate(ids)])
    report = scan(db)
    check_good_closed(db, report)
    assert report.closed == GOOD + len(ids)


def test_text_that_is_no_utf_8(db: AlertDatabase) -> None:
    fill_among_good(db, [])
    for number, field in enumerate(("alert_id", "source_type", "severity", "status")):
        document = alert(f"odd-{number}", minutes=120, expires_at=ago(1), state_history="bad") | {field: "????"}
        db.alerts.insert_one(
            RawBSONDocument(bson.encode({"_id": number, **document}).replace(b"????", b"\xff\xfe\xff\xff"))
        )
    report = scan(db)
    check_good_closed(db, report)
    assert report.failed == 3


def near_16_mb(_: int) -> Document:
    return {"resolution_notes": "x" * (16 * 2**20 - 600)}


def long_history(_: int) -> Document:
    return {"state_history": [{"to_status": "OPEN", "reason": f"entry {n}", "timestamp": AS_OF} for n in range(10_000)]}


@pytest.mark.parametrize(("make", "fits"), [(near_16_mb, False), (long_history, True)])
def test_large_documents(db: AlertDatabase, make: Callable[[int], Document], fits: bool) -> None:
    poison = [alert(f"large-{number}", minutes=120, driver=f"L{number}", **make(number)) for number in range(3)]
    fill_among_good(db, poison)
    report = scan(db)
    check_good_closed(db, report)
    assert (report.closed, report.failed) == ((GOOD + 3, 0) if fits else (GOOD, 3))
    assert all(len(error) < 1000 for error in report.errors)
    for number in range(0 if fits else 3):
        assert any(f"'large-{number}'" in error for error in report.errors)


def refuse_some(db: AlertDatabase, size: int) -> tuple[ScanReport, list[Document]]:
    poison = [alert(f"refused-{number}", minutes=120, driver=f"R{number}") for number in range(size)]
    fill_among_good(db, poison)
    refused = {"alert_id": {"$regex": "^refused-"}, "status": "AUTO_CLOSED"}
    db.command("collMod", "alerts", validator={"$nor": [refused]})
    return scan(db), poison


def check_refused(db: AlertDatabase, report: ScanReport, poison: list[Document]) -> None:
    record = check_good_closed(db, report)
    assert (report.closed, report.failed, report.conflicts) == (GOOD, len(poison), 0)
    assert len(report.errors) == record["errors_total"] == len(poison)
    assert len(record["errors"]) == MAX_ERRORS + 1
    assert all(any(f"'{one['alert_id']}'" in error for error in report.errors) for one in poison[:100])


def test_a_validator_that_refuses_some_writes(db: AlertDatabase) -> None:
    check_refused(db, *refuse_some(db, 150))


@pytest.mark.long
def test_a_validator_that_refuses_thousands_of_writes(db: AlertDatabase, figures: Figures) -> None:
    report, poison = refuse_some(db, 10_000)
    check_refused(db, report, poison)
    figures(refused=report.failed, apply_seconds=report.seconds["apply"])
