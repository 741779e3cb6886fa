"""Random alerts and rules on a real mongod, against the oracle."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.job_records import COLLECTION as JOB_RECORDS
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.rules.clause import Clause
from alert_pipelines.rules.compiler import compile_expires_at, compile_rule
from alert_pipelines.rules.key_indexes import KeyIndexes
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.window_compiler import WindowsAt
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.scanner import readings
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.rules import oracle
from alert_pipelines_tests.rules.examples import examples
from alert_pipelines_tests.rules.oracle import Decision
from alert_pipelines_tests.rules.oracle_alerts import AUTO_CLOSED, ESCALATED, PENDING
from alert_pipelines_tests.rules.strategies import AS_OF, Case, cases


@pytest.mark.slow
@examples(150)
@given(case=cases())
def test_each_condition_is_due_for_the_alerts_that_the_page_says(db: AlertDatabase, case: Case) -> None:
    names = {alert["_id"]: alert_id for alert_id, alert in _fill(db, case).items()}
    windows = WindowsAt(map(MaintenanceWindow.model_validate, case.windows), AS_OF)
    for document in case.rules:
        clauses = compile_rule(Rule.model_validate(document), AS_OF, windows)
        expected = oracle.due(case.alerts, document, case.windows, AS_OF)
        due = {name: sorted(alert_ids) for name, alert_ids in expected.items()}
        found = {clause.condition: _alert_ids(db, names, clause.pipeline()) for clause in clauses}
        assert found == due, document
        without_index = KeyIndexes(db.no_such_collection)
        in_one_pass = readings.Readings(db.alerts, without_index)
        found = {
            clause.condition: [
                found for query in in_one_pass.within(clause) for found in _alert_ids(db, names, query.pipeline)
            ]
            for clause in clauses
        }
        assert found == due, document
        for indexes in (KeyIndexes(db.alerts), without_index):
            # Slices may meet an alert with an array as its key twice; a plan decides it once.
            found = {clause.condition: sorted(set(_in_slices(db, names, clause, indexes))) for clause in clauses}
            assert found == due, document
    by_expiry = _alert_ids(db, names, compile_expires_at(AS_OF, windows).pipeline())
    assert by_expiry == sorted(oracle.due_by_expires_at(case.alerts, case.windows, AS_OF))


@pytest.mark.slow
@examples(150)
@given(case=cases())
def test_a_scan_decides_what_the_page_says_and_names_what_it_cannot(db: AlertDatabase, case: Case) -> None:
    _fill(db, case)
    decided = oracle.decide(case.alerts, case.rules, case.windows, AS_OF)
    planned = oracle.plan(case.alerts, case.rules, case.windows, AS_OF)
    unwritable = {alert["alert_id"] for alert in case.alerts if oracle.takes_no_entry(alert)}
    reasons = _reasons(case)

    report = _scan(db)

    expected = {
        alert_id: (decision.rule_id, decision.to_status, reasons[decision]) for alert_id, decision in decided.items()
    }
    assert _decisions(db, report) == expected
    clock = max(AS_OF, server_now(db))
    malformed = {
        alert["alert_id"]
        for alert in case.alerts
        if alert["status"] in PENDING
        and (
            oracle.has_reportable_timestamp(alert)
            or oracle.has_reportable_expiry(alert)
            or oracle.is_far_ahead(alert, clock)
        )
    }
    assert _named(report, case) == malformed | (unwritable & planned.keys())
    assert report.reconciles


@pytest.mark.slow
@examples(40)
@given(case=cases())
def test_a_scan_leaves_no_alert_but_those_it_decided_changed(db: AlertDatabase, case: Case) -> None:
    before = _fill(db, case)

    report = _scan(db)

    decided = {alert_id for alert_id, _ in _entries(db, report)}
    after = _stored(db)
    assert {name for name, alert in after.items() if repr(alert) != repr(before[name])} == decided
    for alert_id in decided:
        former = before[alert_id].get("state_history") or []
        history = after[alert_id]["state_history"]
        assert repr(history[:-1]) == repr(former), "one entry is appended, the former ones stand"
        assert after[alert_id]["status"] == history[-1]["to_status"]
        assert history[-1]["from_status"] == before[alert_id]["status"]
        assert history[-1]["as_of"] == AS_OF


@pytest.mark.slow
@examples(40)
@given(case=cases())
def test_a_second_scan_at_the_same_instant_decides_only_what_the_first_made_due(db: AlertDatabase, case: Case) -> None:
    _fill(db, case)
    _scan(db)
    first = _stored(db)
    # Most often none. A parent that the first scan closed may now close its children, and a severity it set may count.
    due = oracle.decide(list(first.values()), case.rules, case.windows, AS_OF)
    reasons = _reasons(case)

    again = _scan(db)

    assert _decisions(db, again) == {
        alert_id: (decision.rule_id, decision.to_status, reasons[decision]) for alert_id, decision in due.items()
    }
    untouched = first.keys() - due.keys()
    assert {name: repr(alert) for name, alert in _stored(db).items() if name in untouched} == {
        name: repr(first[name]) for name in untouched
    }


@pytest.mark.slow
@examples(40)
@given(case=cases(), order=st.randoms(use_true_random=False))
def test_the_order_of_insertion_changes_nothing(db: AlertDatabase, case: Case, order: random.Random) -> None:
    _fill(db, case)
    first = _decisions(db, _scan(db))
    shuffled = Case(*(order.sample(documents, len(documents)) for documents in case))

    _fill(db, shuffled)

    assert _decisions(db, _scan(db)) == first


@pytest.mark.slow
@examples(40)
@given(case=cases())
def test_a_shadow_rule_counts_what_it_would_do_alone(db: AlertDatabase, case: Case) -> None:
    _fill(db, case)

    report = _scan(db)

    to_status = {"close": AUTO_CLOSED, "escalate": ESCALATED}
    found: Counter[tuple[str, str]] = Counter()
    for counted in report.shadow:
        found[counted.rule_id, to_status[counted.decision]] += counted.alerts
    assert found == oracle.shadow_counts(case.alerts, case.rules, case.windows, AS_OF)


def _in_slices(db: AlertDatabase, names: dict[Any, str], clause: Clause, indexes: KeyIndexes) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readings, "SLICE", 1)
        patch.setattr(readings, "MUST_SLICE", 0)
        for query in readings.Readings(db.alerts, indexes).of(clause):
            yield from _alert_ids(db, names, query.pipeline)


def _fill(db: AlertDatabase, case: Case) -> dict[str, dict[str, Any]]:
    """Put `case` in place of what the database held; return the alerts by id as they are stored."""
    for collection in (db.alerts, db.rules, db.maintenance_windows, db[JOB_RECORDS]):
        collection.delete_many({})
    # Copies, since inserting adds an _id.
    db.alerts.insert_many([{"_id": ObjectId(), **alert} for alert in case.alerts])
    db.rules.insert_many([{"_id": ObjectId(), **rule} for rule in case.rules])
    if case.windows:
        db.maintenance_windows.insert_many([{"_id": ObjectId(), **window} for window in case.windows])
    return _stored(db)


def _alert_ids(db: AlertDatabase, names: dict[Any, str], pipeline: list[dict[str, Any]]) -> list[str]:
    """The alerts that a clause yields, sorted; one yielded twice stands there twice."""
    return sorted(names[due["_id"]] for due in db.alerts.aggregate(pipeline, allowDiskUse=True))


def _scan(db: AlertDatabase) -> ScanReport:
    try:
        return run_scan(db, ScanRequest(as_of=AS_OF))
    except BlastRadiusError as error:
        return error.report


def _entries(db: AlertDatabase, report: ScanReport) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every history entry of the scan with its alert; fails where an alert has two."""
    for alert in db.alerts.find({"state_history.job_id": report.job_id}):
        entries = [entry for entry in alert["state_history"] if isinstance(entry, dict)]
        (entry,) = (entry for entry in entries if entry.get("job_id") == report.job_id)
        yield alert["alert_id"], entry


def _decisions(db: AlertDatabase, report: ScanReport) -> dict[str, tuple[str, str, str]]:
    return {
        alert_id: (entry["rule_triggered"], entry["to_status"], entry["reason"])
        for alert_id, entry in _entries(db, report)
    }


def _named(report: ScanReport, case: Case) -> set[str]:
    """The alerts that the scan's errors name."""
    return {alert["alert_id"] for alert in case.alerts for error in report.errors if f"{alert['alert_id']!r}" in error}


def _reasons(case: Case) -> dict[Decision, str]:
    """The reason that each possible decision of `case` gives."""
    clauses = [clause for rule in case.rules for clause in compile_rule(Rule.model_validate(rule), AS_OF)]
    return {
        Decision(clause.rule_id, clause.condition, str(clause.to_status)): f"{clause.rule_id}: {clause.reason}"
        for clause in [*clauses, compile_expires_at(AS_OF)]
    }


def _stored(db: AlertDatabase) -> dict[str, dict[str, Any]]:
    return {alert["alert_id"]: alert for alert in db.alerts.find()}
