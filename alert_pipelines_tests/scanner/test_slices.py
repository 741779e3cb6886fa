"""A look at all alerts in slices: what it decides, what a fault costs, and what it tells."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any, TypeAlias

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect

from alert_pipelines.alerts.pending import count_pending
from alert_pipelines.errors import RuleQueryError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.door import known_form
from alert_pipelines.rules.clause import Clause
from alert_pipelines.rules.compiler import compile_rule
from alert_pipelines.rules.key_indexes import KeyIndexes
from alert_pipelines.rules.model import Rule
from alert_pipelines.scanner import plan, readings
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.commands import recorded
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses
from alert_pipelines_tests.patience import LIMIT_S

Stages: TypeAlias = list[dict[str, Any]]
ThirdQuery: TypeAlias = Callable[[Callable[[Stages], Stages]], list[str]]

PILE = rule("pile", {"escalate_if_count": 3}, priority=1)
EVERY = rule("every", {"escalate_if_count": 1})


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "SLICE", 5)


@pytest.fixture
def third_query(monkeypatch: pytest.MonkeyPatch) -> ThirdQuery:
    """Have something happen to the third query of PILE; lists its queries."""
    asked, numbers = list[str](), count(1)

    def happen(what: Callable[[Stages], Stages]) -> list[str]:
        def changed(query: readings.Query) -> Stages:
            stages = query.clause.pipeline(query.scope)
            if query.clause.rule_id != "pile":
                return stages
            asked.append(query.clause.rule_id)
            return what(stages) if next(numbers) == 3 else stages

        monkeypatch.setattr(readings.Query, "pipeline", property(changed))
        return asked

    return happen


def piles(drivers: int) -> list[dict[str, Any]]:
    return [alert(f"{n}-{driver}", minutes=n, driver=f"D{driver}") for driver in range(drivers) for n in range(4)]


def scan(db: AlertDatabase) -> int:
    return run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,))).escalated


def slices_of(db: AlertDatabase, document: dict[str, Any] = PILE) -> list[readings.Query]:
    alerts = known_form(db).alerts
    [clause] = compile_rule(Rule.model_validate(document), AS_OF)
    return readings.Readings(alerts, KeyIndexes(alerts)).of(clause)


def test_a_first_look_tells_how_far_it_is(db: AlertDatabase, caplog: pytest.LogCaptureFixture) -> None:
    fill(db, piles(60), PILE)
    with caplog.at_level(logging.INFO, "alert_pipelines"):
        assert scan(db) == 120
    told = [record.getMessage() for record in caplog.records if "queries done" in record.getMessage()]
    assert 10 <= len(told) < 20
    assert all(line.startswith("Rule 'pile', escalate_if_count: ") for line in told)
    assert len(set(told)) == len(told)


def test_slices_were_asked_for_one_after_the_other(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, mongo_uri: str
) -> None:
    fill(db, piles(20), PILE)
    numbers, both = count(1), threading.Barrier(2, timeout=LIMIT_S)

    def met(query: readings.Query) -> Stages:
        if query.clause.key and next(numbers) <= 2:
            both.wait()
        return query.clause.pipeline(query.scope)

    monkeypatch.setattr(readings.Query, "pipeline", property(met))
    with recorded(db, mongo_uri) as (watched, recorder):
        assert scan(watched) == 40
    of_slices = [one for one in recorder.commands if "$setWindowFields" in str(one.get("pipeline"))]
    assert len(of_slices) == len(slices_of(db))
    # Each sees what the scan was told of by the change stream: the first read after it says so.
    told = next(one for one in recorder.commands if "$changeStream" in str(one.get("pipeline")))
    sessions = {one["lsid"]["id"] for one in of_slices}
    assert told["lsid"]["id"] not in sessions
    for one in of_slices:
        assert one["readConcern"]["level"] == "majority"
        assert one["readConcern"]["afterClusterTime"] >= told["readConcern"]["afterClusterTime"]


def test_no_rule_was_evaluated_before_all_alerts_were_counted(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, piles(3), PILE)
    numbers, both = count(1), threading.Barrier(2, timeout=LIMIT_S)

    def met(query: readings.Query) -> Stages:
        if next(numbers) == 1:
            both.wait()
        return query.clause.pipeline(query.scope)

    def counted(*args: Any) -> dict[str, int]:
        both.wait()
        return count_pending(*args)

    monkeypatch.setattr(readings.Query, "pipeline", property(met))
    monkeypatch.setattr(plan, "count_pending", counted)
    report = run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True))
    assert (report.total_checked, report.pending) == (12, {"OPEN": 12, "ESCALATED": 0})


def test_an_alert_that_two_slices_meet_is_decided_once(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, piles(20), PILE)
    monkeypatch.setattr(readings.Readings, "of", lambda _, clause: [readings.Query(clause)] * 3)
    report = run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,)))
    assert (report.escalated, report.conflicts, report.reconciles) == (40, 0, True)


def test_a_fault_within_a_first_look_once_made_it_begin_again(db: AlertDatabase, third_query: ThirdQuery) -> None:
    fill(db, piles(20), PILE)

    def away(_: Stages) -> Stages:
        raise AutoReconnect("the primary steps down")

    asked = third_query(away)
    looks = len(slices_of(db))
    assert scan(db) == 40
    assert len(asked) == looks + 1


def test_a_scan_that_breaks_off_within_a_first_look_has_lost_nothing(
    db: AlertDatabase, third_query: ThirdQuery
) -> None:
    fill(db, [*piles(20), alert("old", minutes=600, driver="none")], PILE, rule("expire", {"expire_after_mins": 500}))

    def broken_off(_: Stages) -> Stages:
        raise KeyboardInterrupt

    third_query(broken_off)
    with pytest.raises(KeyboardInterrupt):
        scan(db)
    # Nothing is written before all is planned, and the claim is free again.
    assert set(statuses(db).values()) == {"OPEN"}
    assert scan(db) == 40
    assert statuses(db)["old"] == "AUTO_CLOSED"


def test_a_rule_of_which_the_server_could_not_answer_one_slice_decides_nothing(
    db: AlertDatabase, third_query: ThirdQuery
) -> None:
    fill(db, piles(20), PILE, EVERY)
    third_query(lambda stages: [*stages, {"$set": {"x": {"$divide": [1, 0]}}}])
    with pytest.raises(RuleQueryError) as failed:
        scan(db)
    # What it had found by then is left to the rules behind it.
    assert {count.rule_id: count.alerts for count in failed.value.report.decisions} == {"every": 80}
    assert set(statuses(db).values()) == {"ESCALATED"}


@pytest.mark.parametrize(
    ("cuts", "kept"),
    [
        ([1, "a", "b", "b", ObjectId(), True], ["a", "b"]),
        ([float("nan"), 1, 2.5], [1, 2.5]),
        (["a", "x" * 2_000], ["a"]),
        ([None, {"x": 1}, True], []),
        ([], []),
    ],
)
def test_cuts_are_of_one_kind(cuts: list[Any], kept: list[Any]) -> None:
    assert readings._of_one_kind(cuts) == kept


def test_what_cannot_be_written_is_counted_over_all_slices_and_the_first_are_named(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_NAMED", 7)
    fill(db, [alert(f"A{n}", minutes=n, driver=f"D{n}", state_history="text") for n in range(90)], EVERY)
    report = run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,)))
    assert (report.failed, report.escalated, report.reconciles) == (90, 0, True)
    assert len([error for error in report.errors if "state_history" in error]) == 7


def test_the_newest_of_each_key_was_looked_up_though_all_had_to_be_read(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "SLICE", 100)
    monkeypatch.setattr(readings, "_FEW", 50)
    keep = rule("keep", {"keep_latest": True})
    fill(db, piles(20), keep)
    [look] = slices_of(db, keep)
    assert look.clause.in_one_pass is None
    # Of years of settled alerts only the newest of each pending key is read.
    fill(db, [{**one, "alert_id": f"S{n}", "status": "RESOLVED"} for n, one in enumerate(piles(20) * 5)])
    [look] = slices_of(db, keep)
    assert (look.clause.in_one_pass is None, look.scope) == (False, None)


def test_a_key_with_most_of_the_alerts_was_one_slice_however_many_they_are(
    db: AlertDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    pile = [alert(f"A{n}", minutes=90 * n, driver="D1") for n in range(300)]
    beside = [alert(f"B{n}", minutes=1, driver=f"D{n}") for n in range(2, 30)]
    two = rule("two", {"escalate_if_count": 2, "window_mins": 100})
    fill(db, [*pile, *beside], two)
    looks = slices_of(db, two)
    assert len(looks) > 10
    assert all(look.scope is None for look in looks)
    # Of each pair the later one, in whichever slice its neighbour is.
    assert scan(db) == 299


@pytest.mark.parametrize("conditions", [{"keep_latest": True}, {"keep_first": True}, {"close_if_no_repeat_mins": 1}])
def test_without_an_index_by_key_millions_of_alerts_were_one_query(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, conditions: dict[str, Any]
) -> None:
    monkeypatch.setattr(readings, "MUST_SLICE", 40)
    by_region = rule("by-region", {**conditions, "group_by": "metadata.region"})
    # Of each region two alerts; and some with regions of other kinds, which no cut lies between.
    regions = [*(f"R{n:03}" for n in range(90)), 5, 7.5, {"x": 1}, True]
    pairs = [
        alert(f"{n}-{m}", minutes=10 * m, metadata={"region": region})
        for n, region in enumerate(regions)
        for m in (1, 2)
    ]
    fill(db, [*pairs, alert("none")], by_region)
    assert 3 <= len(slices_of(db, by_region)) <= 6
    report = run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,)))
    assert report.closed == (len(pairs) if "close_if_no_repeat_mins" in conditions else len(regions))


@pytest.mark.parametrize("conditions", [{"expire_after_mins": 1}, {"escalate_after_mins": 1}])
def test_a_look_at_all_that_may_be_suppressed_was_one_query_however_many_there_were(
    db: AlertDatabase, conditions: dict[str, Any]
) -> None:
    kept = rule("kept", {**conditions, "suppress_if_other": {"source_type": "OFFLINE"}})
    # Two of each time, so that a cut lies between equals, and some without a key, which nothing suppresses.
    alerts = [alert(f"{driver}-{n}", minutes=5 * n, driver=driver) for n in range(1, 61) for driver in ("D1", "D2")]
    alerts += [alert(f"none-{n}", minutes=5 * n, metadata={}) for n in range(1, 11)]
    fill(db, [*alerts, alert("off", source_type="OFFLINE", driver="D2")], kept)
    looks = slices_of(db, kept)
    assert len(looks) > 10
    due = [found["_id"] for look in looks for found in db.alerts.aggregate(look.clause.pipeline(look.scope))]
    assert len(due) == len(set(due)) == 70
    run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,)))
    left = {name for name, status in statuses(db).items() if status == "OPEN"}
    assert left == {"off", *(f"D2-{n}" for n in range(1, 61))}


def test_to_find_alerts_that_nothing_can_suppress_all_were_read_a_second_time(db: AlertDatabase) -> None:
    kept = rule("kept", {"expire_after_mins": 1, "suppress_if_other": {"source_type": "OFFLINE"}})
    fill(db, [alert(f"A{n}", minutes=n, driver=f"D{n}") for n in range(1, 101)], kept)
    looks = slices_of(db, kept)
    assert len(looks) > 10
    assert sum(documents_read(db, look.clause.pipeline(look.scope)) for look in looks) <= 100


@pytest.mark.parametrize(
    "conditions",
    [
        {"expire_after_mins": 1, "suppress_if_other": {"source_type": "OFFLINE"}},
        {"close_if_no_repeat_mins": 1},
        {"keep_latest": True},
        {"escalate_if_count": 1, "window_mins": 1},
    ],
)
def test_since_one_alert_had_an_array_as_its_key_each_slice_read_half_of_all_alerts(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, conditions: dict[str, Any]
) -> None:
    monkeypatch.setattr(readings, "_FEW", 10)
    decided = rule("decided", conditions)
    fill(db, [alert("array", driver=["D1", "D2"])])
    db.alerts.delete_many({})
    fill(db, [alert(f"A{n}", minutes=n, driver=f"D{n}") for n in range(1, 101)], decided)
    assert sum(documents_read(db, look.pipeline) for look in slices_of(db, decided)) <= 200


def test_a_partial_index_by_key_beside_the_full_one_was_asked_for_arrays_and_knew_of_some_alerts_only(
    bare_db: AlertDatabase,
) -> None:
    keys = [("source_type", 1), ("metadata.driver_id", 1)]
    bare_db.alerts.create_index(keys, name="theirs", partialFilterExpression={"severity": "CRITICAL"})
    prepare_collections(bare_db)
    assert [spec["name"] for spec in KeyIndexes(bare_db.alerts).specs][1] == "theirs"
    assert not KeyIndexes(bare_db.alerts).holds_arrays("metadata.driver_id")
    fill(bare_db, [alert("array", driver=["D1", "D2"])])
    assert KeyIndexes(bare_db.alerts).holds_arrays("metadata.driver_id")


def documents_read(db: AlertDatabase, pipeline: Stages) -> int:
    asked = {"aggregate": "alerts", "pipeline": pipeline, "cursor": {}}
    explained = db.command("explain", asked, verbosity="executionStats")
    first = explained["stages"][0]["$cursor"] if "stages" in explained else explained
    return int(first["executionStats"]["totalDocsExamined"])


def test_an_alert_with_an_array_as_its_key_was_met_in_two_slices_and_is_decided_once(db: AlertDatabase) -> None:
    kept = rule("kept", {"expire_after_mins": 1, "suppress_if_other": {"source_type": "OFFLINE"}})
    arrays: list[Any] = [["D05", "D55"], [None, "D55"], [None], [], [["D05"]], ["D05", 7]]
    odd = [alert(f"array-{n}", minutes=n + 2, driver=array) for n, array in enumerate(arrays)]
    odd.append(alert("rows", minutes=9, metadata=[{"driver_id": "D05"}, {"driver_id": "D55"}]))
    odd.append(alert("numbers", minutes=9, metadata=[5]))
    plain = [alert(f"A{n}", minutes=n, driver=f"D{n:02}") for n in range(1, 61)]
    fill(db, [*odd, *plain, alert("off", source_type="OFFLINE", driver="D55")], kept)
    looks = slices_of(db, kept)
    due = [found["_id"] for look in looks for found in db.alerts.aggregate(look.clause.pipeline(look.scope))]
    assert len(due) == len(set(due)) == 67
    report = run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,)))
    assert report.closed == 67
    assert report.reconciles
    assert {name for name, status in statuses(db).items() if status == "OPEN"} == {"off", "A55"}


@pytest.mark.parametrize(
    "conditions",
    [
        {"keep_latest": True},
        {"keep_first": True},
        {"close_if_no_repeat_mins": 60},
        {"escalate_if_count": 2},
        {"expire_after_mins": 1},
        {"close_if_other": {"source_type": "RETURNED"}},
    ],
    ids=lambda conditions: next(iter(conditions)),
)
def test_without_an_index_what_suppresses_was_looked_up_for_each_key(
    db: AlertDatabase, conditions: dict[str, Any]
) -> None:
    suppressing = {"group_by": "metadata.vin", "suppress_if_other": {"source_type": "OFFLINE"}}
    fill(db, [alert("A", metadata={"vin": "V1"})])
    alerts = known_form(db).alerts
    [clause] = compile_rule(Rule.model_validate(rule("kept", {**conditions, **suppressing})), AS_OF)
    [query] = readings.Readings(alerts, KeyIndexes(alerts)).within(clause)
    assert not [stage for stage in query.pipeline if "$lookup" in stage]


def test_an_older_alert_that_came_while_others_were_read_once_was_closed_though_one_of_them_suppressed_it(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = {"source_type": "OFFLINE", "when": "later"}
    gone = {"expire_after_mins": 1, "group_by": "metadata.vin", "suppress_if_other": offline}
    fill(db, [alert("A", minutes=5, metadata={"vin": "V1"})], rule("gone", gone))
    late = [
        alert("B", minutes=30, metadata={"vin": "V2"}),
        alert("offline", minutes=20, source_type="OFFLINE", metadata={"vin": "V2"}),
    ]
    ask = readings.Readings._oldest_pending

    def asked(self: readings.Readings, clause: Clause) -> datetime | None:
        oldest = ask(self, clause)
        while late:
            db.alerts.insert_one(late.pop())
        return oldest

    monkeypatch.setattr(readings.Readings, "_oldest_pending", asked)
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert not late
    assert statuses(db) == {"A": "AUTO_CLOSED", "B": "OPEN", "offline": "OPEN"}
    run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db)["B"] == "OPEN"
