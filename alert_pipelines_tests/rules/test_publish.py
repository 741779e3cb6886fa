"""Publishing rules, beside a service and beside people."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules import publish
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.publish import ChangeKind, FieldChange, diff_rules, export_rules, publish_rules
from alert_pipelines.rules.rule_collections import PIPELINE_RULES
from alert_pipelines_tests.factories import rule


def rules(**conditions: Any) -> list[Rule]:
    return [Rule.model_validate(rule("r", conditions or {"expire_after_mins": 60}))]


class ServiceConditions(BaseModel):
    model_config = ConfigDict(strict=True)
    escalate_if_count: int | None = None
    window_mins: int = 60
    auto_close_if: str | None = None
    expire_after_mins: int | None = None


class ServiceRule(BaseModel):
    """A rule as the older service's model reads it: one value of another type fails its whole source."""

    model_config = ConfigDict(strict=True)
    rule_id: str
    source_type: str
    name: str
    description: str
    conditions: ServiceConditions
    is_active: bool
    priority: int


def test_new_rules_are_published_once(db: AlertDatabase) -> None:
    assert {change.kind for change in diff_rules(db, default_rules())} == {ChangeKind.NEW}
    assert all(change.written for change in publish_rules(db, default_rules()))
    again = publish_rules(db, default_rules())
    assert {(change.kind, change.written) for change in again} == {(ChangeKind.SAME, False)}
    assert sorted(r.rule_id for r in export_rules(db)) == sorted(r.rule_id for r in default_rules())


def test_the_older_service_reads_every_published_rule(db: AlertDatabase) -> None:
    shadow = Rule.model_validate(rule("ghost", {"keep_latest": True, "group_by": ["metadata.x"]}, mode="shadow"))
    tree = {"close_if": {"not": {"field": "a", "op": "exists"}}}
    off = Rule.model_validate(rule("off", {"expire_after_mins": 5}, mode="off"))
    publish_rules(db, [*default_rules(), shadow, off, Rule.model_validate(rule("tree", tree))])
    read = {doc["rule_id"]: ServiceRule.model_validate(doc) for doc in db.rules.find()}
    assert read.keys() == {"overspeed", "compliance", "document-renewed", "feedback_negative", "safety", "off"}
    assert not read["off"].is_active
    assert read["compliance"].conditions.auto_close_if == "document_valid"


def test_a_changed_rule_is_written_with_its_difference_and_its_age_kept(db: AlertDatabase) -> None:
    publish_rules(db, rules())
    created = db.rules.find_one({})["created_at"]  # type: ignore[index]
    [change] = publish_rules(db, rules(expire_after_mins=90))
    assert change == ("r", ChangeKind.CHANGED, (FieldChange("conditions.expire_after_mins", 60, 90),), True)
    stored = db.rules.find_one({})
    assert stored is not None
    assert (stored["conditions"], stored["created_at"]) == ({"expire_after_mins": 90}, created)


@pytest.mark.parametrize(("op", "before", "after"), [("eq", 1, True), ("in", [0, 1], [False, True])])
def test_one_and_true_are_two(db: AlertDatabase, op: str, before: Any, after: Any) -> None:
    publish_rules(db, rules(close_if={"field": "metadata.x", "op": op, "value": before}))
    [change] = publish_rules(db, rules(close_if={"field": "metadata.x", "op": op, "value": after}))
    assert (change.kind, change.written) == (ChangeKind.CHANGED, True)
    assert repr(db[PIPELINE_RULES].find_one({})["conditions"]["close_if"]["value"]) == repr(after)  # type: ignore[index]


def test_a_rule_that_a_person_changed_is_left_unless_told(db: AlertDatabase) -> None:
    publish_rules(db, rules())
    db.rules.update_one({}, {"$set": {"conditions.expire_after_mins": 45}})
    [change] = publish_rules(db, rules(expire_after_mins=90))
    assert (change.kind, change.written) == (ChangeKind.CHANGED_BY_PERSON, False)
    assert change.fields == (FieldChange("conditions.expire_after_mins", 45, 90),)
    [change] = publish_rules(db, rules(expire_after_mins=90), overwrite=True)
    assert change.written
    [change] = publish_rules(db, rules(expire_after_mins=100))
    assert (change.kind, change.written) == (ChangeKind.CHANGED, True)


def test_a_rule_of_the_service_is_a_persons(db: AlertDatabase) -> None:
    db.rules.insert_many([rule("r", {"expire_after_mins": 5}), rule("theirs", {"expire_after_mins": 5})])
    changes = publish_rules(db, rules())
    assert [(change.rule_id, change.kind, change.written) for change in changes] == [
        ("r", ChangeKind.CHANGED_BY_PERSON, False),
        ("theirs", ChangeKind.ONLY_IN_COLLECTION, False),
    ]


def test_an_unreadable_rule_is_a_persons_and_can_be_overwritten(db: AlertDatabase) -> None:
    db.rules.insert_one(rule("r", {"expire_after_mins": -1}))
    assert publish_rules(db, rules())[0].kind is ChangeKind.CHANGED_BY_PERSON
    assert publish_rules(db, rules(), overwrite=True)[0].written


def test_an_edit_in_the_same_moment_wins(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_rules(db, rules())
    write = publish._write

    def a_person_is_faster(*args: Any) -> bool:
        db.rules.update_one({}, {"$set": {"conditions.expire_after_mins": 45}})
        return write(*args)

    monkeypatch.setattr(publish, "_write", a_person_is_faster)
    assert not publish_rules(db, rules(expire_after_mins=90))[0].written
    assert export_rules(db)[0].conditions.expire_after_mins == 45


def test_the_services_default_window_is_no_change(db: AlertDatabase) -> None:
    publish_rules(db, rules(escalate_if_count=3))
    db.rules.update_one({}, {"$set": {"conditions.window_mins": 60, "conditions.auto_close_if": None}})
    assert diff_rules(db, rules(escalate_if_count=3))[0].kind is ChangeKind.SAME
