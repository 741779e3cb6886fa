"""Ids, sources, rules and windows of any size: what is too large is named, the scan goes through, its record fits."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import bson
import pytest

from alert_pipelines.alerts.decision_counts import MAX_COUNTS, OTHER_SOURCES, DecisionCount, limit_rows
from alert_pipelines.alerts.malformed import MAX_NAMED
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.tree_words import MAX_REASON
from alert_pipelines.scanner.result import ScanReport
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, stored
from alert_pipelines_tests.reliability.fleet import Document, scan

MB = 2**20
EXPIRE = rule("expire", {"expire_after_mins": 60})


def scan_with(db: AlertDatabase, alerts: list[Document], *rules: Document) -> tuple[ScanReport, Document]:
    """The report and the record of a scan that closes one good alert besides all else."""
    fill(db, [alert("good", minutes=120, driver="good"), *alerts], dict(EXPIRE))
    for one in rules:
        db.rules.insert_one(dict(one))
    report = scan(db)
    record = db.background_jobs.find_one({"job_id": report.job_id})
    assert record is not None
    assert record["status"] == "completed"
    assert report.reconciles
    assert stored(db, "good")["status"] == "AUTO_CLOSED"
    return report, record


@pytest.mark.parametrize(("size", "number"), [(6 * MB, 4), (20_000, 3_000), (1_025, 10)])
def test_ids_too_long_for_a_command(db: AlertDatabase, size: int, number: int) -> None:
    poison = [alert(f"long-{n}", minutes=120, _id=f"{n:05}".ljust(size, "x")) for n in range(number)]
    report, record = scan_with(db, poison)
    assert (report.closed, report.failed, record["errors_total"]) == (1, number, min(number, MAX_NAMED + 1))
    assert sum("_id is not valid: expected at most 1024 bytes; got" in error for error in report.errors) == min(
        number, MAX_NAMED
    )


def test_more_broken_alerts_than_can_be_named(db: AlertDatabase) -> None:
    """Each is counted; what the scan holds of them does not grow with their number."""
    poison = [alert(f"bad-{n}", minutes=120, state_history="bad") for n in range(MAX_NAMED + 500)]
    report, _ = scan_with(db, poison)
    assert (report.closed, report.failed, len(report.errors)) == (1, MAX_NAMED + 500, MAX_NAMED + 1)
    assert report.errors[-1] == "rule 'expire': 500 more alerts are in the way of their own decision"


@pytest.mark.slow
def test_ids_just_short_enough(db: AlertDatabase) -> None:
    poison = [alert(f"long-{n}", minutes=120, _id=f"{n:05}".ljust(1_000, "x")) for n in range(20_000)]
    report, _ = scan_with(db, poison)
    assert (report.closed, report.errors) == (20_001, ())


@pytest.mark.parametrize("history", [[], "bad"])
def test_sources_that_together_are_larger_than_a_document(db: AlertDatabase, history: Any) -> None:
    poison = [
        alert(f"large-{n}", source_type=f"{n}".ljust(5 * MB, "x"), expires_at=ago(1), state_history=history)
        for n in range(4)
    ]
    report, record = scan_with(db, poison)
    assert (report.closed, report.failed) == ((5, 0) if history == [] else (1, 4))
    assert len(bson.encode(record)) < 10_000


def test_more_sources_than_a_record_holds(db: AlertDatabase) -> None:
    report, record = scan_with(db, [alert(f"a{n}", source_type=f"S{n}" * 9, expires_at=ago(1)) for n in range(5_000)])
    assert report.closed == 5_001
    assert sum(row["alerts"] for row in record["stats"]["decisions"]) == 5_001
    assert len(record["stats"]["decisions"]) == MAX_COUNTS + 1


def test_the_largest_counts_are_kept_and_the_others_summed() -> None:
    counts = [DecisionCount("r", f"S{n}", "close", n) for n in range(1, 1_000)]
    shown = limit_rows(counts)
    assert shown[:-1] == tuple(counts[-MAX_COUNTS:])
    assert shown[-1] == DecisionCount("r", OTHER_SOURCES, "close", sum(range(1, 1_000 - MAX_COUNTS)))
    assert limit_rows(counts[:MAX_COUNTS]) == tuple(counts[:MAX_COUNTS])


def tree(leaves: int) -> Document:
    leaf = {"field": "metadata.a", "op": "not_in", "value": ["x" * 100] * 20}
    return {"close_if": {"all": [leaf] * leaves}}


@pytest.mark.parametrize(
    "make",
    [
        lambda n: rule(f"{n}" * 5 * MB, {"keep_latest": True}, name="long id"),
        lambda n: rule(f"r{n}", {"keep_latest": True}, description="x" * 9 * MB),
        lambda n: rule(f"r{n}", tree(2_000)),
        lambda n: rule(f"r{n}", {"keep_latest": True, **{f"unknown{i}": 1 for i in range(5_000)}}),
        lambda n: rule(f"r{n}", {"keep_latest": True, "x" * 9 * MB: 1}),
    ],
    ids=["id", "description", "tree", "unknown fields", "long name of a field"],
)
def test_rules_that_are_too_large_disable_themselves_alone(db: AlertDatabase, make: Callable[[int], Document]) -> None:
    report, record = scan_with(db, [], *(make(n) for n in range(3)))
    assert len(report.bad_rules) == record["errors_total"] == 3
    assert all(len(error) < 20_000 for error in report.bad_rules)
    assert len(bson.encode(record)) < 100_000


def test_the_reason_of_a_long_rule_is_cut_short_in_the_alerts(db: AlertDatabase) -> None:
    _, record = scan_with(db, [alert("closed", minutes=20)], rule("long", tree(40)))
    closed = stored(db, "closed")
    assert closed["status"] == "AUTO_CLOSED"
    assert len(closed["auto_close_reason"]) < MAX_REASON + 20
    assert record["errors"] == []


def test_windows_that_are_too_large_are_named(db: AlertDatabase) -> None:
    holds = {"from": ago(10), "to": AS_OF + timedelta(days=1), "field": "metadata.a"}
    for n in range(2):
        db.maintenance_windows.insert_one({"_id": f"{n}" * 4 * MB, "from": "x", "to": "y"})
        db.maintenance_windows.insert_one({"_id": n, **holds, "values": [f"{n}" * 9 * MB]})
    report, record = scan_with(db, [])
    assert len(report.errors) == 4
    assert len(bson.encode(record)) < 100_000
