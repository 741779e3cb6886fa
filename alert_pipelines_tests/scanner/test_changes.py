"""The short way, which looks only at touched keys, decides what the long one does; and the long one where it must."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.store import load_rules, load_windows
from alert_pipelines.scanner import apply, changes
from alert_pipelines.scanner.limits import BlastRadiusError
from alert_pipelines.scanner.plan import Plan, make_plan
from alert_pipelines.scanner.report import ALLOW_SCAN, ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.scanner.undo import undo_job
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses
from alert_pipelines_tests.rules import strategies
from alert_pipelines_tests.rules.examples import examples

PILE = rule("pile-up", {"escalate_if_count": 3, "window_mins": 60})
QUIET = rule("quiet", {"close_if_no_repeat_mins": 60})
LATEST = rule("latest", {"keep_latest": True})


def scan(db: AlertDatabase, minutes: float = 0) -> ScanReport:
    """A scan `minutes` after AS_OF."""
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes)))


def looked_at_all(report: ScanReport) -> bool:
    assert (report.since is None) == (report.whole_because is not None)
    return report.since is None


class Acts:
    """What may happen to alerts between two scans, drawn at random."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
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
        for name in ("max_close", "max_close_fraction"):
            one["conditions"].pop(name, None)
    return list(rules)


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
    acts, as_of = Acts(data.draw), strategies.AS_OF + timedelta(minutes=1)
    for _ in range(data.draw(st.integers(2, 4))):
        whole = whole_plan(db, as_of)

        report = run_scan(db, ScanRequest(as_of=as_of))

        assert decisions(db, report) == writable(whole), report.whole_because
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
    st.just({"keep_latest": True, "severities": ["INFO"]}),
)
DRIVERS = st.sampled_from(["D1", "D1", "D2"])


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
        return alert(f"A{number}", minutes=age, driver=data.draw(DRIVERS), severity=severity)

    fill(db, [some_alert() for _ in range(data.draw(st.integers(2, 6)))])
    for _ in range(4):
        as_of = AS_OF + timedelta(minutes=minutes)
        expected = writable(whole_plan(db, as_of))
        report = run_scan(db, ScanRequest(as_of=as_of, allow_over_limit=(ALLOW_SCAN,)))
        assert decisions(db, report) == expected
        for _ in range(data.draw(st.integers(0, 2))):
            which = {"alert_id": f"A{data.draw(st.integers(1, number))}"}
            age = data.draw(st.integers(-2, 14)) - minutes
            data.draw(
                st.sampled_from(
                    [
                        lambda: db.alerts.insert_one(some_alert()),
                        lambda which=which: db.alerts.delete_one(which),
                        lambda which=which: db.alerts.update_one(which, {"$set": {"metadata.driver_id": "D2"}}),
                        lambda which=which: db.alerts.update_one(which, {"$set": {"metadata": {"driver_id": "D1"}}}),
                        lambda which=which, age=age: db.alerts.update_one(which, {"$set": {"timestamp": ago(age)}}),
                        lambda which=which: db.alerts.update_one(which, {"$set": {"status": "RESOLVED"}}),
                        lambda which=which: db.alerts.update_one(which, {"$set": {"severity": "INFO"}}),
                        lambda which=which: db.alerts.update_one(
                            which, {"$set": {"status": "OPEN", "state_history": []}}
                        ),
                        lambda which=which, as_of=as_of: db.alerts.update_one(which, {"$set": {"updated_at": as_of}}),
                    ]
                )
            )()
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


def test_a_second_scan_builds_on_the_first(db: AlertDatabase) -> None:
    fill(db, [alert(driver=f"D{number}") for number in range(5)], PILE, QUIET, LATEST)
    first = scan(db)
    assert first.whole_because == "no completed scan of the last day has left a checkpoint"
    second = scan(db, 5)
    assert second.since == first.job_id
    third = scan(db, 10)
    assert third.since == second.job_id


@pytest.mark.parametrize(
    ("conditions", "late", "closed"),
    [
        (PILE["conditions"], [alert("late", minutes=35, driver="D1")], {"A40", "A30", "late"}),
        (LATEST["conditions"], [alert("late", minutes=-2, driver="D1")], {"A40", "A30"}),
    ],
)
def test_a_late_arrival_brings_its_key_into_play(
    db: AlertDatabase, conditions: dict[str, Any], late: list[dict[str, Any]], closed: set[str]
) -> None:
    old = [alert("A40", minutes=40), alert("A30", minutes=40 if "keep_latest" in conditions else 30)]
    others = [alert(f"other-{number}", driver=f"X{number}") for number in range(3)]
    fill(db, [*old, *others], rule("one", conditions))
    scan(db)
    assert set(statuses(db).values()) == {"OPEN"}
    fill(db, late)
    report = scan(db, 5)
    assert not looked_at_all(report)
    decided = {name for name, status in statuses(db).items() if status != "OPEN"}
    assert decided <= closed
    assert decided


def test_what_the_clock_alone_makes_due_is_seen(db: AlertDatabase) -> None:
    fill(db, [alert("A58", minutes=58), alert("A10", minutes=10, driver="D2")], QUIET)
    scan(db)
    assert statuses(db) == {"A58": "OPEN", "A10": "OPEN"}
    report = scan(db, 5)
    assert not looked_at_all(report)
    assert statuses(db) == {"A58": "AUTO_CLOSED", "A10": "OPEN"}


def test_a_held_alert_is_looked_at_again_when_it_is_held_no_longer(db: AlertDatabase) -> None:
    db.alerts.create_index([("source_type", 1), ("updated_at", 1)])
    held = rule("latest", {"keep_latest": True, "hold_mins": 10})
    fill(db, [alert("old", minutes=40, updated_at=ago(2)), alert("new", minutes=30)], held)
    scan(db)
    assert statuses(db)["old"] == "OPEN"
    report = scan(db, 9)
    assert not looked_at_all(report)
    assert statuses(db)["old"] == "AUTO_CLOSED"


def test_a_deleted_repeat_makes_its_key_due_though_nobody_knows_which_key_that_was(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=90), alert("repeat", minutes=5)], QUIET)
    scan(db)
    db.alerts.delete_one({"alert_id": "repeat"})
    scan(db, 1)
    assert statuses(db) == {"old": "AUTO_CLOSED"}


def test_a_repeat_that_moves_to_another_key_makes_the_key_it_leaves_due(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=90), alert("repeat", minutes=5)], QUIET)
    scan(db)
    db.alerts.update_one({"alert_id": "repeat"}, {"$set": {"metadata.driver_id": "D2"}})
    scan(db, 1)
    assert statuses(db) == {"old": "AUTO_CLOSED", "repeat": "OPEN"}


def test_what_a_limit_stopped_is_looked_at_again(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=40), alert("new", minutes=30)], rule("latest", {"keep_latest": True}))
    scan(db)
    db.alerts.update_many({}, {"$set": {"status": "OPEN", "state_history": []}})
    db.rules.update_one({}, {"$set": {"conditions.max_close": 0}})
    for minutes in (1, 2):
        with pytest.raises(BlastRadiusError):
            scan(db, minutes)
    allowed = run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=3), allow_over_limit=("latest",)))
    assert allowed.closed == 1


@pytest.mark.parametrize("history", ["text", None])
def test_what_could_not_be_written_is_looked_at_again(db: AlertDatabase, history: str | None) -> None:
    fill(db, [alert("old", minutes=40, state_history=history), alert("new", minutes=30)], LATEST)
    refused = {"alert_id": "old", "status": "AUTO_CLOSED"}
    db.command("collMod", COLLECTION, validator={"$nor": [refused]})
    first = scan(db)
    again = scan(db, 5)
    assert not looked_at_all(again)
    assert (first.failed, again.failed) == (1, 1)
    assert "'old'" in again.errors[0]
    db.command("collMod", COLLECTION, validator={})
    db.alerts.update_one({"alert_id": "old", "state_history": "text"}, {"$set": {"state_history": []}})
    assert scan(db, 10).closed == 1


def test_a_changed_rule_means_a_full_scan(db: AlertDatabase) -> None:
    fill(db, [alert()], PILE)
    first = scan(db)
    db.rules.update_one({}, {"$set": {"conditions.escalate_if_count": 1}})
    report = scan(db, 5)
    assert report.whole_because == f"rules or maintenance windows have changed since {first.job_id}"
    assert report.escalated == 1


def test_a_maintenance_window_that_ends_means_a_full_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=40), alert("new", minutes=30)], LATEST)
    db.maintenance_windows.insert_one({"from": ago(10), "to": ago(-3)})
    assert scan(db).closed == 0
    report = scan(db, 5)
    assert looked_at_all(report)
    assert report.closed == 1


def test_an_earlier_as_of_means_a_full_scan_that_is_nothing_to_build_on(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=-1), alert(minutes=-2)], PILE)
    late = scan(db, 10)
    early = scan(db, 5)
    assert early.whole_because == f"{late.job_id} scanned at a later as_of"
    assert early.checkpoint is None
    assert scan(db, 15).since == late.job_id


def test_a_scan_of_some_rules_is_nothing_to_build_on(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=40), alert("new", minutes=30)], LATEST, PILE)
    some = run_scan(db, ScanRequest(as_of=AS_OF, rule_ids=("pile-up",)))
    assert (some.since, some.checkpoint) == (None, None)
    report = scan(db, 5)
    assert looked_at_all(report)
    assert report.closed == 1


def test_a_scan_that_crashed_leaves_the_one_before_it_to_build_on(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    first = scan(db)
    fill(db, [alert("new", minutes=30)])

    def crash(*_: object) -> None:
        raise RuntimeError("crashed")

    with monkeypatch.context() as patched:
        patched.setattr("alert_pipelines.scanner.scan.apply_plan", crash)
        with pytest.raises(RuntimeError):
            scan(db, 5)
    report = scan(db, 10)
    assert (report.since, report.closed) == (first.job_id, 1)


def test_too_many_touched_alerts_mean_a_full_scan(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_TOUCHED", 10)
    fill(db, [alert()], LATEST)
    first = scan(db)
    fill(db, [alert(driver="D2", minutes=number) for number in range(11)])
    report = scan(db, 5)
    assert report.whole_because == f"more than 10 alerts were touched since {first.job_id}"
    assert report.closed == 10
    assert scan(db, 10).since == report.job_id


def test_its_own_closes_are_not_looked_at_again(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_TOUCHED", 10)
    monkeypatch.setattr(apply, "BATCH", 5)
    fill(db, [alert(minutes=90, driver=f"D{number}") for number in range(30)], QUIET)
    first = scan(db)
    assert first.closed == 30
    assert scan(db, 5).since == first.job_id


def test_a_key_without_an_index_means_looking_at_all(db: AlertDatabase) -> None:
    by_location = rule("latest", {"keep_latest": True, "group_by": "metadata.location"})
    fill(db, [alert(f"A{n}", minutes=n, metadata={"location": "Depot"}) for n in range(3)], by_location)
    scan(db)
    fill(db, [alert("newest", minutes=-2, metadata={"location": "Depot"})])
    assert scan(db, 5).closed == 1


@pytest.mark.parametrize("long", [{"_id": "x" * 2_000}, {"driver": "x" * 2_000}])
def test_what_is_too_long_to_ask_for_means_looking_at_all(db: AlertDatabase, long: dict[str, Any]) -> None:
    fill(db, [alert("old", minutes=40, **long)], LATEST)
    scan(db)
    other = {"driver": long.get("driver", "D1")}
    fill(db, [alert("new", minutes=30, **other), alert("newer", minutes=20, **other)])
    if "_id" in long:
        db.alerts.update_one({"alert_id": "old"}, {"$set": {"severity": "INFO"}})
    report = scan(db, 5)
    assert looked_at_all(report) == ("_id" in long)
    # The first can be named in no command, and so is not closed.
    assert report.closed == (1 if "_id" in long else 2)


@pytest.mark.parametrize("kind", ["drop", "rename"])
def test_a_collection_that_was_put_in_the_place_of_the_other_means_a_full_scan(db: AlertDatabase, kind: str) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    scan(db)
    if kind == "rename":
        db.other.insert_many([alert("other-old", minutes=40), alert("other-new", minutes=30)])
        db.other.rename(COLLECTION, dropTarget=True)
    else:
        db.alerts.drop()
        fill(db, [alert("other-old", minutes=40), alert("other-new", minutes=30)])
    report = scan(db, 5)
    assert looked_at_all(report)
    assert report.closed == 1


def test_a_token_that_the_oplog_no_longer_knows_means_a_full_scan(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    scan(db)
    checkpoint = changes.Checkpoint.load(db.background_jobs.find_one({})["stats"]["checkpoint"])  # type: ignore[index]
    token = {"_data": "82" + "5" * 7 + checkpoint.token["_data"][9:]}
    db.background_jobs.update_one({}, {"$set": {"stats.checkpoint": checkpoint._replace(token=token).dump()}})
    fill(db, [alert("new", minutes=30)])
    report = scan(db, 5)
    assert looked_at_all(report)
    assert report.closed == 1
    assert scan(db, 10).since == report.job_id


def test_a_user_who_may_not_watch_has_all_looked_at(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    # The driver refuses a pipeline stage that the server would refuse the user.
    fill(db, [alert("old", minutes=40), alert("new", minutes=30)], LATEST)
    monkeypatch.setattr(changes, "_stream_pipeline", lambda _: [{"$forbidden": 1}])
    report = scan(db)
    assert looked_at_all(report)
    assert (report.closed, report.checkpoint) == (1, None)
