"""When a scan builds on an earlier one, and when it looks at all pending alerts."""

from datetime import timedelta
from typing import Any

import pytest
from bson import DatetimeMS

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner import apply, changes
from alert_pipelines.scanner.checkpoint import Checkpoint
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

PILE = rule("pile-up", {"escalate_if_count": 3, "window_mins": 60})
QUIET = rule("quiet", {"close_if_no_repeat_mins": 60})
LATEST = rule("latest", {"keep_latest": True})
DAMAGES: list[dict[str, Any]] = [
    {"$unset": {"as_of": ""}},
    {"$set": {"as_of": "2026-03-01T12:00:00Z"}},
    {"$set": {"completed_at": DatetimeMS(2**60)}},
    {"$unset": {"job_id": ""}},
    {"$set": {"stats.checkpoint": ""}},
    {"$set": {"stats.checkpoint": "[]"}},
    {"$set": {"stats.checkpoint": "{"}},
    {"$set": {"stats.checkpoint": '{"token": 1}'}},
    {"$set": {"stats.checkpoint": '{"token": {}, "fingerprint": "f", "left": []}'}},
    {"$set": {"stats.checkpoint": '{"token": {}, "meaning": "f", "left": []}'}},
    {"$set": {"stats.checkpoint": '{"token": 1, "meaning": {"rules": "r", "windows": "w"}, "left": []}'}},
    {"$set": {"stats.checkpoint": '{"token": {}, "meaning": {"rules": "r", "windows": "w"}, "left": 1}'}},
    {"$set": {"stats.checkpoint": '{"token": {}, "meaning": {"rules": "r", "windows": "w"}, "left": ["\\ud800"]}'}},
    {"$set": {"stats.checkpoint": '{"$uuid": "none"}'}},
]
"""What an upgrade, a roll-back or anybody may do to a job record."""


def scan(db: AlertDatabase, minutes: float = 0) -> ScanReport:
    """A scan `minutes` after AS_OF."""
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes)))


def looked_at_all(report: ScanReport) -> bool:
    assert (report.incremental_since is None) == (report.full_scan_reason is not None)
    return report.incremental_since is None


def test_a_second_scan_builds_on_the_first(db: AlertDatabase) -> None:
    fill(db, [alert(driver=f"D{number}") for number in range(5)], PILE, QUIET, LATEST)
    first = scan(db)
    assert first.full_scan_reason == "no completed scan of the last day has left a checkpoint"
    second = scan(db, 5)
    assert second.incremental_since == first.job_id
    third = scan(db, 10)
    assert third.incremental_since == second.job_id


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
    assert report.full_scan_reason == f"rules have changed since {first.job_id}"
    assert report.escalated == 1


def test_an_earlier_as_of_means_a_full_scan_that_is_nothing_to_build_on(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=-1), alert(minutes=-2)], PILE)
    late = scan(db, 10)
    early = scan(db, 5)
    assert early.full_scan_reason == f"{late.job_id} scanned at the same or a later as_of"
    assert early.checkpoint is None
    assert scan(db, 15).incremental_since == late.job_id


def test_a_scan_of_some_rules_is_nothing_to_build_on(db: AlertDatabase) -> None:
    fill(db, [alert("old", minutes=40), alert("new", minutes=30)], LATEST, PILE)
    some = run_scan(db, ScanRequest(as_of=AS_OF, rule_ids=("pile-up",)))
    assert (some.incremental_since, some.checkpoint) == (None, None)
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
    assert (report.incremental_since, report.closed) == (first.job_id, 1)


def test_too_many_touched_alerts_mean_a_full_scan(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_TOUCHED", 10)
    fill(db, [alert()], LATEST)
    first = scan(db)
    fill(db, [alert(driver="D2", minutes=number) for number in range(11)])
    report = scan(db, 5)
    assert report.full_scan_reason == f"more than 10 alerts changed, or left a maintenance window, since {first.job_id}"
    assert report.closed == 10
    assert scan(db, 10).incremental_since == report.job_id


def test_its_own_closes_are_not_looked_at_again(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_TOUCHED", 10)
    monkeypatch.setattr(apply, "BATCH", 5)
    fill(db, [alert(minutes=90, driver=f"D{number}") for number in range(30)], QUIET)
    first = scan(db)
    assert first.closed == 30
    assert scan(db, 5).incremental_since == first.job_id


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
    checkpoint = Checkpoint.load(db.background_jobs.find_one({})["stats"]["checkpoint"])  # type: ignore[index]
    token = {"_data": "82" + "5" * 7 + checkpoint.token["_data"][9:]}
    db.background_jobs.update_one({}, {"$set": {"stats.checkpoint": checkpoint._replace(token=token).dump()}})
    fill(db, [alert("new", minutes=30)])
    report = scan(db, 5)
    assert looked_at_all(report)
    assert report.closed == 1
    assert scan(db, 10).incremental_since == report.job_id


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_checkpoint_or_record_that_cannot_be_read_once_crashed_every_scan_of_a_day(
    db: AlertDatabase, damage: dict[str, Any]
) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    scan(db)
    db.background_jobs.update_one({}, damage)
    fill(db, [alert("new", minutes=30)])
    assert scan(db, 5).closed == 1
    assert not looked_at_all(scan(db, 10))


def test_what_an_earlier_version_read_may_have_been_rolled_back_so_its_checkpoint_means_a_full_scan(
    db: AlertDatabase,
) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    first = scan(db)
    assert first.checkpoint is not None
    theirs = first.checkpoint.replace('"meaning"', '"election": "7fffffff0000000000000001", "meaning"')
    db.background_jobs.update_one({}, {"$set": {"stats.checkpoint": theirs}})
    assert scan(db, 5).full_scan_reason == f"the checkpoint of {first.job_id} cannot be read (ValueError)"


@pytest.mark.parametrize("token", [{}, {"_data": "no token"}, {"_data": 5}])
def test_a_token_that_is_not_valid_means_a_full_scan(db: AlertDatabase, token: dict[str, Any]) -> None:
    fill(db, [alert("old", minutes=40)], LATEST)
    scan(db)
    checkpoint = Checkpoint.load(db.background_jobs.find_one({})["stats"]["checkpoint"])  # type: ignore[index]
    db.background_jobs.update_one({}, {"$set": {"stats.checkpoint": checkpoint._replace(token=token).dump()}})
    fill(db, [alert("new", minutes=30)])
    report = scan(db, 5)
    assert (looked_at_all(report), report.closed) == (True, 1)
    assert scan(db, 10).incremental_since == report.job_id


def test_what_a_scan_left_alone_was_forgotten_if_the_record_of_another_at_its_as_of_had_lost_that(
    db: AlertDatabase,
) -> None:
    both = rule("both", {"escalate_if_count": 2, "window_mins": 10, "keep_latest": True})
    fill(db, [alert("a1", minutes=61), alert("a2", minutes=60)], both)
    first = scan(db)
    db.alerts.update_many({}, {"$set": {"status": "OPEN"}})
    db.background_jobs.update_one({}, {"$unset": {"as_of": ""}})
    again = scan(db)
    assert again.full_scan_reason == f"{first.job_id} scanned at the same or a later as_of"
    assert again.checkpoint is None
    assert scan(db, 5).checkpoint is not None


@pytest.mark.parametrize("first", ["all rules", "one rule"])
def test_what_a_second_scan_at_one_as_of_left_alone_was_forgotten(db: AlertDatabase, first: str) -> None:
    both = rule("both", {"escalate_if_count": 2, "window_mins": 10, "keep_latest": True})
    pile = rule("pile", {"escalate_if_count": 2, "window_mins": 10})
    fill(db, [alert("a1", minutes=61), alert("a2", minutes=60)], both if first == "all rules" else pile)
    base = scan(db)
    if first == "one rule":
        db.alerts.update_many({}, {"$set": {"status": "OPEN", "state_history": []}})
        fill(db, [], rule("latest", {"keep_latest": True}))
        run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=5), rule_ids=("pile",)))
        assert statuses(db) == {"a1": "OPEN", "a2": "ESCALATED"}
    fill(db, [alert("a3", minutes=30)])
    again = scan(db, 0 if first == "all rules" else 5)
    assert again.full_scan_reason is not None
    assert "scanned at the same or a later as_of" in again.full_scan_reason
    assert again.checkpoint is None
    later = scan(db, 60)
    assert (later.incremental_since == base.job_id) == (first == "all rules")
    scan(db, 65)
    assert statuses(db) == {"a1": "AUTO_CLOSED", "a2": "AUTO_CLOSED", "a3": "OPEN"}


def test_a_user_who_may_not_watch_has_all_looked_at(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    # The driver refuses a pipeline stage that the server would refuse the user.
    fill(db, [alert("old", minutes=40), alert("new", minutes=30)], LATEST)
    monkeypatch.setattr(changes, "_stream_pipeline", lambda *_: [{"$forbidden": 1}])
    report = scan(db)
    assert looked_at_all(report)
    assert (report.closed, report.checkpoint) == (1, None)
