"""Random histories: the short way, which looks only at touched keys, decides what looking at everything would."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from alert_pipelines.audit.undo import undo_job
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.store import load_rules, load_windows
from alert_pipelines.scanner.plan import Plan, make_plan
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule
from alert_pipelines_tests.rules import strategies
from alert_pipelines_tests.rules.examples import examples


class Acts:
    """What may happen to alerts between two scans, drawn at random."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw
        self._added = 0

    def act(self, db: AlertDatabase) -> None:
        ids = [found["_id"] for found in db.alerts.find({}, {"_id": 1}, sort=[("alert_id", 1)])]
        kind = self._draw(st.sampled_from(["insert", "edit", "edit", "edit", "replace", "delete", "undo"]))
        if kind == "insert" or not ids:
            self._added += 1
            db.alerts.insert_one({"alert_id": f"b{self._added}", **self._draw(strategies.one_alert())})
            return
        which = {"_id": self._draw(st.sampled_from(ids))}
        if kind == "edit":
            self._edit(db, which)
        elif kind == "replace":
            found = db.alerts.find_one(which)
            assert found is not None
            self._write(db, which, {"alert_id": found["alert_id"], **self._draw(strategies.one_alert())})
        elif kind == "delete":
            db.alerts.delete_one(which)
        elif record := db.background_jobs.find_one({"job_type": "auto_close_scanner"}, sort=[("started_at", -1)]):
            undo_job(db, record["job_id"], dry_run=False)

    def _edit(self, db: AlertDatabase, which: dict[str, Any]) -> None:
        found = db.alerts.find_one(which)
        assert found is not None
        other = self._draw(strategies.one_alert())
        paths = ["status", "severity", "timestamp", "updated_at", "created_at", "metadata", "source_type"]
        for path in self._draw(st.sets(st.sampled_from(paths), min_size=1, max_size=2)):
            found[path] = other.get(path)
        self._write(db, which, found)

    def _write(self, db: AlertDatabase, which: dict[str, Any], wanted: dict[str, Any]) -> None:
        if isinstance(wanted.get("timestamp"), list):
            # A server cannot index two arrays of one document.
            wanted["metadata"] = {"driver_id": "d"}
        if self._draw(st.booleans()):
            db.alerts.replace_one(which, wanted)
        else:
            db.alerts.update_one(which, [{"$set": {"metadata": {"$literal": wanted.pop("metadata", None)}}}])
            wanted.pop("_id", None)
            db.alerts.update_one(which, {"$set": wanted})


def unlimited(rules: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without limits, whose stops are another test's."""
    for one in rules:
        for name in ("max_close", "max_close_fraction", "max_escalate", "max_escalate_fraction"):
            one["conditions"].pop(name, None)
    return list(rules)


@pytest.mark.slow
@examples(60)
@given(data=st.data(), case=strategies.cases())
def test_the_short_way_decides_what_the_long_one_would(
    db: AlertDatabase, data: st.DataObject, case: strategies.Case
) -> None:
    for collection in (db.alerts, db.rules, db.maintenance_windows, db.background_jobs):
        collection.delete_many({})
    for path in ("metadata.ok", "metadata.a.x", "updated_at"):
        db.alerts.create_index([("source_type", 1), (path, 1)])
    db.alerts.insert_many([{"_id": ObjectId(), **one} for one in case.alerts])
    db.rules.insert_many([{"_id": ObjectId(), **one} for one in unlimited(case.rules)])
    if case.windows:
        db.maintenance_windows.insert_many([{"_id": ObjectId(), **window} for window in case.windows])
    # After all decisions that the histories hold from the start: those are of no scan that has a record.
    acts, as_of = Acts(data), strategies.AS_OF + timedelta(minutes=1)
    for _ in range(data.draw(st.integers(2, 4))):
        whole = whole_plan(db, as_of)

        report = run_scan(db, ScanRequest(as_of=as_of))

        assert decisions(db, report) == writable(whole), report.full_scan_reason
        assert sorted(report.errors) == sorted(whole.errors)
        for _ in range(data.draw(st.integers(0, 4))):
            acts.act(db)
        as_of += timedelta(minutes=data.draw(st.sampled_from([0, 1, 4, 5, 60])))


EVIDENCE = st.one_of(
    st.builds(
        lambda count, mins: {"escalate_if_count": count, "window_mins": mins}, st.integers(2, 3), st.integers(2, 5)
    ),
    st.builds(lambda mins: {"close_if_no_repeat_mins": mins}, st.integers(2, 6)),
    st.builds(lambda mins: {"close_if_no_repeat_mins": mins, "hold_mins": 3}, st.integers(2, 6)),
    st.just({"keep_latest": True, "hold_mins": 2}),
    st.just({"keep_first": True}),
    st.builds(
        lambda conditions, **other: conditions | {"suppress_if_other": {"source_type": "SAFETY", **other}},
        st.sampled_from(
            [{"keep_latest": True}, {"escalate_if_count": 2, "window_mins": 3}, {"close_if_no_repeat_mins": 4}]
        ),
        statuses=st.sampled_from([["OPEN"], ["RESOLVED"]]),
        when=st.sampled_from(["later", "any"]),
    ),
    st.builds(
        lambda **other: {"close_if_other": {"source_type": "SAFETY", **other}, "hold_mins": 2},
        statuses=st.sampled_from([["OPEN"], ["RESOLVED"], ["OPEN", "RESOLVED"]]),
        when=st.sampled_from(["later", "any"]),
        **{"if": st.sampled_from([{"field": "updated_at", "op": "older_than_mins", "value": 3}])},
    ),
    st.just({"keep_first": True, "hold_mins": 2, "ignore_keys": ["D2"]}),
    st.builds(
        lambda counted: {"escalate_if_count": 2, "window_mins": 5, **counted},
        st.sampled_from(
            [
                {"count_statuses": ["OPEN", "RESOLVED"]},
                {"count_if": {"field": "updated_at", "op": "older_than_mins", "value": 3}},
                {"count_if": {"field": "severity", "op": "eq", "value": "INFO"}},
                {"count_distinct": "severity"},
            ]
        ),
    ),
    st.just({"keep_latest": True, "severities": ["INFO"]}),
    st.builds(
        lambda conditions, tree: {**conditions, "only_if": tree},
        st.sampled_from([{"keep_latest": True}, {"escalate_if_count": 2, "window_mins": 3}]),
        st.sampled_from(
            [
                {"field": "updated_at", "op": "older_than_mins", "value": 3},
                {"not": {"field": "updated_at", "op": "newer_than_mins", "value": 4}},
                {"field": "timestamp", "op": "older_than_mins", "value": 5},
                {"not": {"field": "updated_at", "op": "within_mins", "value": 2}},
                {"field": "updated_at", "op": "within_mins", "value": 3},
                {"not": {"field": "updated_at", "op": "beyond_mins", "value": 2}},
                {"field": "severity", "op": "eq", "value": "INFO"},
            ]
        ),
    ),
)
DRIVERS = st.sampled_from(["D1", "D1", "D2"])


@pytest.mark.slow
@examples(80)
@given(data=st.data(), conditions=st.lists(EVIDENCE, min_size=1, max_size=2))
def test_late_arrivals_edits_and_deletions_make_the_short_way_no_shorter_than_it_may_be(
    db: AlertDatabase, data: st.DataObject, conditions: list[dict[str, Any]]
) -> None:
    for collection in (db.alerts, db.rules, db.background_jobs):
        collection.delete_many({})
    db.alerts.create_index([("source_type", 1), ("updated_at", 1)])
    fill(db, [], *(rule(f"r{number}", one) for number, one in enumerate(conditions)))
    minutes, number = 0, 0

    def some_alert() -> dict[str, Any]:
        nonlocal number
        number += 1
        age = data.draw(st.integers(-2, 14)) - minutes
        severity = data.draw(st.sampled_from(["INFO", "WARNING"]))
        source = data.draw(st.sampled_from(["OVERSPEEDING", "OVERSPEEDING", "OVERSPEEDING", "SAFETY"]))
        driver = data.draw(DRIVERS)
        return alert(f"A{number}", minutes=age, driver=driver, severity=severity, source_type=source)

    fill(db, [some_alert() for _ in range(data.draw(st.integers(2, 6)))])
    for _ in range(4):
        as_of = AS_OF + timedelta(minutes=minutes)
        expected = writable(whole_plan(db, as_of))
        report = run_scan(db, ScanRequest(as_of=as_of, allow_over_limit=(ALLOW_SCAN,)))
        assert decisions(db, report) == expected
        for _ in range(data.draw(st.integers(0, 2))):
            which = {"alert_id": f"A{data.draw(st.integers(1, number))}"}
            age = data.draw(st.integers(-2, 14)) - minutes
            edits: list[dict[str, Any]] = [
                {"metadata.driver_id": "D2"},
                {"metadata": {"driver_id": "D1"}},
                {"timestamp": ago(age)},
                {"status": "RESOLVED"},
                {"severity": "INFO"},
                {"status": "OPEN", "state_history": []},
                {"updated_at": as_of},
                {"updated_at": as_of + timedelta(minutes=6)},
            ]
            act = data.draw(st.sampled_from(["insert", "delete", *edits]))
            if isinstance(act, dict):
                db.alerts.update_one(which, {"$set": act})
            elif act == "insert":
                db.alerts.insert_one(some_alert())
            else:
                db.alerts.delete_one(which)
        minutes += data.draw(st.integers(0, 4))


def whole_plan(db: AlertDatabase, as_of: datetime) -> Plan:
    """The plan of a scan that looks at everything."""
    rule_set, windows = load_rules(db).rule_set, load_windows(db, as_of).windows
    return make_plan(db, rule_set, windows, as_of, rule_ids=None, check=lambda: None)


def writable(plan: Plan) -> set[tuple[str, str, str, str]]:
    """What `plan` would write, as `decisions` has it."""
    return {
        (str(_id), planned.clause.rule_id, str(planned.clause.to_status), planned.clause.condition)
        for planned in plan.clauses
        for _id in planned.ids
    }


def decisions(db: AlertDatabase, report: ScanReport) -> set[tuple[str, str, str, str]]:
    found = set()
    for one in db.alerts.find({"state_history.job_id": report.job_id}):
        entries = [entry for entry in one["state_history"] if isinstance(entry, dict)]
        [entry] = [entry for entry in entries if entry.get("job_id") == report.job_id]
        found.add((str(one["_id"]), entry["rule_triggered"], entry["to_status"], entry["condition"]))
    return found
