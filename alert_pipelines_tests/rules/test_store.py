"""Rules, versions and windows as a scan reads them."""

import hashlib
import json

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.store import keep_version, load_rules, load_windows, rule_text
from alert_pipelines_tests.factories import AS_OF, ago, fill, rule

GIVEN: dict[str, dict[str, object]] = {
    "e": {"escalate_if_count": 3},
    "c": {"auto_close_if": "document_valid"},
    "x": {"expire_after_mins": 60},
}
A, B = rule("a", {"keep_latest": True}), rule("b", {"expire_after_mins": 5}, priority=7)


def test_rules_come_in_precedence_order_and_by_mode(db: AlertDatabase) -> None:
    off = rule("off", {"keep_latest": True}, is_active=False)
    half_on = rule("half-on", {"keep_latest": True}, is_active=False, mode="active")
    fill(db, [], A, B, off, half_on, rule("ghost", {"keep_latest": True}, mode="shadow"))
    loaded = load_rules(db).rule_set
    assert [r.rule_id for r in loaded.active] == ["b", "a"]
    assert [r.rule_id for r in loaded.shadow] == ["ghost"]


def test_the_version_is_the_hash_of_what_the_active_rules_mean(db: AlertDatabase) -> None:
    fill(db, [], A, B)
    rule_set = load_rules(db).rule_set
    assert rule_set.version == hashlib.sha256(rule_set.text.encode()).hexdigest()
    assert [r["rule_id"] for r in json.loads(rule_set.text)] == ["a", "b"]
    db.rules.update_one({"rule_id": "a"}, {"$set": {"updated_at": AS_OF, "tenant": "x"}})
    fill(db, [], rule("ghost", {"keep_latest": True}, mode="shadow"))
    assert load_rules(db).rule_set.version == rule_set.version
    db.rules.update_one({"rule_id": "a"}, {"$set": {"priority": 1}})
    assert load_rules(db).rule_set.version != rule_set.version


def test_two_documents_with_one_rule_id_are_both_left_out_and_named(bare_db: AlertDatabase) -> None:
    fill(bare_db, [], dict(A), dict(A), B)
    loaded = load_rules(bare_db)
    assert [r.rule_id for r in loaded.rule_set.active] == ["b"]
    assert "2 documents" in str(loaded.errors[0])


def test_of_two_documents_with_one_rule_id_an_unusable_one_does_not_hide_the_other(bare_db: AlertDatabase) -> None:
    fill(bare_db, [], A, rule("a", {"expire_after_mins": -1}), B)
    assert [r.rule_id for r in load_rules(bare_db).rule_set.active] == ["b"]


def test_a_document_that_is_no_rule_at_all_is_named(db: AlertDatabase) -> None:
    db.rules.insert_many([{"rule_id": ["x"], "conditions": "all"}, B])
    loaded = load_rules(db)
    assert len(loaded.rule_set.active) == len(loaded.errors) == 1


@pytest.mark.parametrize("absent", [0, 0.0, "", None], ids=repr)
def test_a_zero_or_an_empty_text_in_the_services_own_conditions_disabled_the_rule(
    db: AlertDatabase, absent: object
) -> None:
    services = dict.fromkeys(["escalate_if_count", "window_mins", "auto_close_if", "expire_after_mins"], absent)
    fill(db, [], *(rule(name, services | given) for name, given in GIVEN.items()), rule("nothing", services))
    loaded = load_rules(db)
    assert {r.rule_id: r.conditions.model_dump(exclude_none=True) for r in loaded.rule_set.active} == GIVEN
    assert ["decides nothing" in str(error) for error in loaded.errors] == [True]


@pytest.mark.parametrize("conditions", [{"hold_mins": 0}, {"expire_after_mins": False}, {"max_close": ""}], ids=str)
def test_a_zero_elsewhere_is_still_refused(db: AlertDatabase, conditions: dict[str, object]) -> None:
    fill(db, [], rule("a", {"keep_latest": True} | conditions))
    assert len(load_rules(db).errors) == 1


def test_whole_numbers_stored_as_doubles_disabled_the_rule_and_the_window(db: AlertDatabase) -> None:
    doubles = {"escalate_if_count": 3.0, "window_mins": 60.0, "expire_after_mins": 1440.0, "max_close": 5.0}
    conditions = {**doubles, "close_if": {"field": "updated_at", "op": "older_than_mins", "value": 60.0}}
    fill(db, [], rule("a", conditions, priority=7.0), rule("part", {"expire_after_mins": 60.5}))
    recurring = {"rrule": "FREQ=DAILY;BYHOUR=0", "zone": "UTC", "duration_mins": 1440.0}
    db.maintenance_windows.insert_one({"source_types": ["SAFETY"], **recurring})
    loaded, windows = load_rules(db), load_windows(db, AS_OF)
    (found,) = loaded.rule_set.active
    assert (found.priority, found.conditions.model_dump(exclude_none=True)) == (7, conditions)
    assert [type(found.conditions.expire_after_mins), type(found.priority)] == [int, int]
    assert ["got 60.5" in str(error) for error in loaded.errors] == [True]
    assert ([window.duration_mins for window in windows.windows], windows.errors) == ([1440], ())


def test_a_version_is_kept_once_with_its_text(db: AlertDatabase) -> None:
    fill(db, [], A, B)
    rule_set = load_rules(db).rule_set
    keep_version(db, rule_set)
    first = db.rule_versions.find_one({})
    db.rules.delete_many({})
    keep_version(db, rule_set)
    assert list(db.rule_versions.find()) == [first]
    kept = rule_text(db, rule_set.version, "b")
    assert kept is not None
    assert kept["conditions"] == {"expire_after_mins": 5}
    assert rule_text(db, rule_set.version, "c") is rule_text(db, "0", "b") is None


def test_windows_that_cannot_hold_are_left_out_and_unreadable_ones_named(db: AlertDatabase) -> None:
    db.maintenance_windows.insert_many(
        [
            {"_id": "holds", "source_types": ["SAFETY"], "from": AS_OF, "to": ago(-1)},
            {"_id": "over", "from": ago(9), "to": AS_OF},
            {"_id": "to come", "from": ago(-1), "to": ago(-2)},
            {"_id": "text", "from": "2026-01-01", "to": ago(-2)},
            {"_id": "half", "field": "metadata.x", "from": ago(1), "to": ago(-2)},
            {"_id": "misspelt", "from": ago(9), "to": AS_OF, "cover": "raised"},
            {"_id": "capitals", "from": ago(9), "to": AS_OF, "covers": "RAISED"},
        ]
    )
    loaded = load_windows(db, AS_OF)
    assert [window.source_types for window in loaded.windows] == [["SAFETY"]]
    assert [error.partition(" is ")[0] for error in loaded.errors] == [
        "maintenance window text",
        "maintenance window half",
        "maintenance window misspelt",
        "maintenance window capitals",
    ]
