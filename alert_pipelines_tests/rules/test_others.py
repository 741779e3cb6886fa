"""The reference page, sentence by sentence: another alert closes an alert, or keeps a rule from deciding it."""

from datetime import timedelta
from typing import Any

import pytest
import yaml
from pymongo import ASCENDING

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.index_advice.advice import advise, create_advised
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules import other_compiler
from alert_pipelines.rules.files import dump_rules, parse_rules
from alert_pipelines.rules.publish import export_rules, publish_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses

OFFLINE = {
    "source_type": "DEVICE_OFFLINE",
    "match": {"metadata.driver_id": "metadata.driver_id"},
    "statuses": ["OPEN", "ESCALATED"],
}
PARENT = {"source_type": "*", "match": {"alert_id": "metadata.parent_id"}, "statuses": ["RESOLVED"], "when": "any"}
RETURNED = {"field": "metadata.event", "op": "eq", "value": "returned"}


def ok(name: str = "ok", /, **fields: Any) -> dict[str, Any]:
    return alert(name, **({"source_type": "GEOFENCE"} | fields))


def scan(db: AlertDatabase, minutes: float = 0) -> str | None:
    """Scan `minutes` after AS_OF; what it built on."""
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes))).incremental_since


@pytest.mark.parametrize(
    ("other", "found", "closes"),
    [
        ({}, ok(minutes=10), True),
        ({}, ok(minutes=30), True),
        ({}, ok(minutes=31), False),
        ({"when": "any"}, ok(minutes=31), True),
        ({}, ok(minutes=-1), False),
        ({"when": "any"}, ok(timestamp=None), False),
        ({}, ok(minutes=10, status="RESOLVED"), True),
        ({"statuses": ["OPEN"]}, ok(minutes=10, status="RESOLVED"), False),
        ({}, ok(minutes=10, driver="D2"), False),
        ({}, ok(minutes=10, driver=["D1"]), False),
        ({}, ok(minutes=10, source_type="SAFETY"), False),
        ({"source_type": ["SAFETY", "GEOFENCE"]}, ok(minutes=10, source_type="SAFETY"), True),
        ({"source_type": "*"}, ok(minutes=10, source_type="SAFETY"), True),
        ({"source_type": "*"}, ok(minutes=10, source_type=None), False),
        ({"if": RETURNED}, ok(minutes=10), False),
        ({"if": RETURNED}, ok(minutes=10, metadata={"driver_id": "D1", "event": "returned"}), True),
        ({"match": {"metadata.by": "metadata.driver_id"}}, ok(minutes=10, metadata={"by": "D1"}), True),
        ({"match": {"metadata.by": "metadata.driver_id"}}, ok(minutes=10), False),
        ({"match": {"metadata.by": "metadata.none"}}, ok(minutes=10, metadata={}), False),
        ({"source_type": "OVERSPEEDING", "when": "any"}, ok(minutes=10), False),
    ],
    ids=str,
)
def test_an_alert_that_another_closes(
    db: AlertDatabase, other: dict[str, Any], found: dict[str, Any], closes: bool
) -> None:
    fill(db, [alert("A", minutes=30), found], rule("r", {"close_if_other": {"source_type": "GEOFENCE"} | other}))
    explained = explain_alert(db, "A", as_of=AS_OF)
    scan(db)
    assert (statuses(db)["A"] == "AUTO_CLOSED") is closes
    assert (explained.decided_by is not None) is closes
    assert explained.clauses[0].evidence == (("ok",) if closes else ())


def test_a_tie_in_time_does_not_leave_the_trigger_open_for_ever(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=30), ok(minutes=30)], rule("r", {"close_if_other": {"source_type": "GEOFENCE"}}))
    scan(db)
    assert statuses(db)["A"] == "AUTO_CLOSED"


def test_an_alert_does_not_close_itself_and_one_of_its_own_source_may(db: AlertDatabase) -> None:
    conditions = {"close_if_other": {"source_type": "OVERSPEEDING"}}
    fill(
        db, [alert("alone", driver="D2"), alert("older", minutes=40), alert("newer", minutes=30)], rule("r", conditions)
    )
    scan(db)
    assert statuses(db) == {"alone": "OPEN", "older": "AUTO_CLOSED", "newer": "OPEN"}


@pytest.mark.parametrize("at_once", [1, 2, 500])
@pytest.mark.parametrize(("when", "without_other"), [("later", {"D", "F", "none"}), ("any", {"D", "none"})])
@pytest.mark.parametrize("condition", ["close_if_other", "suppress_if_other"])
def test_alerts_of_one_key_that_are_others_to_each_other(
    db: AlertDatabase,
    monkeypatch: pytest.MonkeyPatch,
    *,
    condition: str,
    when: str,
    without_other: set[str],
    at_once: int,
) -> None:
    monkeypatch.setattr(other_compiler, "ALERTS_A_LOOK_UP", at_once)
    # Three of one key, the latest two equally late; the only one of its key; two of a third; one without a key.
    ages = {"A": (30, "D1"), "B": (10, "D1"), "C": (10, "D1"), "D": (5, "D2"), "E": (30, "D3"), "F": (10, "D3")}
    alerts = [alert(name, minutes=minutes, driver=driver) for name, (minutes, driver) in ages.items()]
    decides = {"expire_after_mins": 1} if condition == "suppress_if_other" else {}
    conditions = {condition: {"source_type": "OVERSPEEDING", "when": when}, **decides}
    fill(db, [*alerts, alert("none", driver=None)], rule("r", conditions))
    scan(db)
    kept = without_other if condition == "close_if_other" else {*ages, "none"} - without_other
    assert {name for name, status in statuses(db).items() if status == "OPEN"} == kept


def test_a_value_of_ignore_keys_closes_nothing(db: AlertDatabase) -> None:
    conditions = {"close_if_other": {"source_type": "GEOFENCE"}, "ignore_keys": [""]}
    fill(db, [alert("A", driver=""), ok(minutes=1, driver=""), alert("B"), ok("ok2", minutes=1)], rule("r", conditions))
    scan(db)
    assert statuses(db) == {"A": "OPEN", "ok": "OPEN", "B": "AUTO_CLOSED", "ok2": "OPEN"}


SUPPRESSED: list[dict[str, Any]] = [
    {"expire_after_mins": 30},
    {"close_if": {"field": "metadata.driver_id", "op": "eq", "value": "D1"}},
    {"escalate_after_mins": 30},
    {"escalate_if_count": 2},
    {"keep_latest": True, "group_by": "metadata.vehicle_id"},
    {"keep_first": True},
    {"close_if_no_repeat_mins": 20},
    {"close_if_other": {"source_type": "GEOFENCE"}},
]


@pytest.mark.parametrize("conditions", SUPPRESSED, ids=str)
def test_while_another_alert_suppresses_it_a_rule_decides_nothing(
    db: AlertDatabase, conditions: dict[str, Any]
) -> None:
    db.alerts.create_index([("source_type", ASCENDING), ("metadata.vehicle_id", ASCENDING)])
    metadata = {"driver_id": "D1", "vehicle_id": "V"}
    pair = [alert(name, minutes=minutes, metadata=metadata) for name, minutes in (("A", 60), ("B", 50))]
    offline = alert("off", source_type="DEVICE_OFFLINE", minutes=90)
    fill(db, [*pair, offline, ok(minutes=1)], rule("r", conditions | {"suppress_if_other": OFFLINE}))
    explained = [explain_alert(db, name, as_of=AS_OF) for name in ("A", "B")]
    scan(db)
    assert set(statuses(db).values()) == {"OPEN"}
    clauses = [clause for one in explained for clause in one.clauses if clause.rule_id == "r"]
    tests = [test for clause in clauses for test in clause.tests if test.name == "suppress_if_other"]
    assert [(test.holds, test.values["suppressed by"]) for test in tests] == [(False, "off")] * 2
    db.alerts.update_one({"alert_id": "off"}, {"$set": {"status": "RESOLVED"}})
    assert scan(db, 1) is not None
    assert set(statuses(db).values()) - {"OPEN", "RESOLVED"}


@pytest.mark.parametrize("conditions", SUPPRESSED, ids=str)
@pytest.mark.parametrize("end", ["deleted", "moved", "by the clock"])
def test_the_end_of_what_suppressed_is_seen(db: AlertDatabase, conditions: dict[str, Any], end: str) -> None:
    young = {"field": "timestamp", "op": "newer_than_mins", "value": 95}
    metadata = {"driver_id": "D1", "vehicle_id": "V"}
    pair = [alert(name, minutes=minutes, metadata=metadata) for name, minutes in (("A", 60), ("B", 50))]
    offline = alert("off", source_type="DEVICE_OFFLINE", minutes=90)
    fill(db, [*pair, offline, ok(minutes=1)], rule("r", conditions | {"suppress_if_other": OFFLINE | {"if": young}}))
    scan(db)
    assert set(statuses(db).values()) == {"OPEN"}
    if end == "deleted":
        db.alerts.delete_one({"alert_id": "off"})
    elif end == "moved":
        db.alerts.update_one({"alert_id": "off"}, {"$set": {"metadata.driver_id": "D9"}})
    scan(db, 10 if end == "by the clock" else 1)
    assert set(statuses(db).values()) != {"OPEN"}


CAME: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"source_type": "GEOFENCE"}, {}, ok(minutes=1)),
    ({"source_type": "GEOFENCE", "match": {"metadata.by": "metadata.driver_id"}}, {}, ok(metadata={"by": "D1"})),
    (PARENT, {"driver_id": "D1", "parent_id": "ok"}, ok(minutes=90, status="RESOLVED")),
]


@pytest.mark.parametrize(("other", "metadata", "came"), CAME, ids=["key", "match", "parent"])
def test_an_other_that_comes_or_is_settled_brings_the_alerts_that_go_with_it_into_play(
    db: AlertDatabase, other: dict[str, Any], metadata: dict[str, Any], came: dict[str, Any]
) -> None:
    db.alerts.create_index([("source_type", ASCENDING), ("metadata.parent_id", ASCENDING)])
    own = alert("A", metadata=metadata or {"driver_id": "D1", "parent_id": "x"})
    crowd = [alert(driver=f"X{number}") for number in range(5)]
    later = [came | {"alert_id": "settled later", "status": "OPEN"}]
    fill(db, [own, *crowd, *later], rule("r", {"close_if_other": other | {"statuses": ["RESOLVED"]}}))
    scan(db)
    assert set(statuses(db).values()) == {"OPEN"}
    if other is PARENT:
        fill(db, [came])
    else:
        db.alerts.update_one({"alert_id": "settled later"}, {"$set": {"status": "RESOLVED"}})
    assert scan(db, 1) is not None
    assert statuses(db)["A"] == "AUTO_CLOSED"


@pytest.mark.parametrize("minutes", [0, 5])
@pytest.mark.parametrize(
    ("conditions", "decided"),
    [
        ({"close_if_other": PARENT | {"statuses": ["AUTO_CLOSED"]}}, "AUTO_CLOSED"),
        ({"escalate_after_mins": 1, "suppress_if_other": PARENT | {"statuses": ["OPEN"]}}, "ESCALATED"),
    ],
    ids=["close", "suppress"],
)
def test_what_a_scan_decides_is_what_other_alerts_say_at_the_next(
    db: AlertDatabase, conditions: dict[str, Any], decided: str, minutes: int
) -> None:
    parent, child = ok("parent", minutes=90), alert("child", minutes=90, metadata={"parent_id": "parent"})
    closes_parents = rule("parents", {"expire_after_mins": 60}, source_type="GEOFENCE")
    fill(db, [parent, child], rule("children", conditions), closes_parents)
    scan(db)
    assert statuses(db) == {"parent": "AUTO_CLOSED", "child": "OPEN"}
    # At the same as_of it is a full scan, later an incremental one.
    assert (scan(db, minutes) is not None) is (minutes > 0)
    assert statuses(db) == {"parent": "AUTO_CLOSED", "child": decided}
    scan(db, minutes)
    assert statuses(db) == {"parent": "AUTO_CLOSED", "child": decided}


@pytest.mark.parametrize("index", [True, False])
def test_an_other_that_says_so_by_the_clock_alone_is_seen(db: AlertDatabase, index: bool) -> None:
    if index:
        db.alerts.create_index([("source_type", ASCENDING), ("metadata.until", ASCENDING)])
    past = {"field": "metadata.until", "op": "older_than_mins", "value": 5}
    event = ok(minutes=1, metadata={"driver_id": "D1", "until": ago(3)})
    fill(db, [alert("A"), event], rule("r", {"close_if_other": {"source_type": "GEOFENCE", "if": past}}))
    scan(db)
    assert statuses(db)["A"] == "OPEN"
    assert scan(db, 5) is not None
    assert statuses(db)["A"] == "AUTO_CLOSED"


def test_an_other_that_was_ahead_of_the_clock_is_seen_when_its_time_has_come(db: AlertDatabase) -> None:
    fill(db, [alert("A"), ok(minutes=-3)], rule("r", {"close_if_other": {"source_type": "GEOFENCE"}}))
    scan(db)
    assert statuses(db)["A"] == "OPEN"
    assert scan(db, 5) is not None
    assert statuses(db)["A"] == "AUTO_CLOSED"


def test_the_indexes_it_wants_are_advised_and_spare_the_other_source_s_years(db: AlertDatabase) -> None:
    db.alerts.insert_many(ok(f"ok{n}", minutes=n, metadata={"vehicle_id": f"V{n}"}) for n in range(6_000))
    db.alerts.insert_many(alert(f"A{n}", metadata={"car": f"W{n}"}) for n in range(20))
    other = {"source_type": "GEOFENCE", "match": {"metadata.vehicle_id": "metadata.car"}, "when": "any"}
    fill(db, [], rule("r", {"close_if_other": other}))
    db.alerts.drop_index("by_vehicle")
    [advice] = advise(db, AS_OF)
    paths = {index.paths for index in advice.indexes}
    assert paths == {(("source_type", path, "timestamp")) for path in ("metadata.vehicle_id", "metadata.car")}
    create_advised(db, [advice])
    assert advise(db, AS_OF) == []


def test_it_is_published_and_exported_as_it_was_written(db: AlertDatabase) -> None:
    conditions = {"keep_first": True, "close_if_other": PARENT, "suppress_if_other": OFFLINE | {"if": RETURNED}}
    rules = parse_rules([rule("r", conditions, source_type=["A", "B"])], "test")
    publish_rules(db, rules)
    assert [one.canonical() for one in export_rules(db)] == [rules[0].canonical()]
    assert [one.canonical() for one in parse_rules(yaml.safe_load(dump_rules(rules)), "test")] == [rules[0].canonical()]
