"""Rules edited through the alert service's API, which stores conditions without those that it does not know.

It sees those alone that stand in its own collection, where every rule was stored before there were two.
"""

from typing import Any

import pytest

from alert_pipelines.errors import UnusableRulesError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import parse_rules
from alert_pipelines.rules.model import SERVICE_CONDITIONS
from alert_pipelines.rules.publish import export_rules, publish_rules
from alert_pipelines.rules.rule_collections import PIPELINE_RULES
from alert_pipelines.rules.store import load_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

CAREFUL = {"expire_after_mins": 60, "severities": ["INFO"], "statuses": ["OPEN"], "hold_mins": 30}


def publish(db: AlertDatabase, conditions: dict[str, Any], **fields: Any) -> None:
    given = rule("careful", conditions, mode="active", **fields)
    del given["is_active"]
    publish_rules(db, parse_rules([given], "here"))
    for one in db[PIPELINE_RULES].find():
        db.rules.insert_one(one)
    db[PIPELINE_RULES].delete_many({})


def edit_through_the_api(db: AlertDatabase, **changed: Any) -> None:
    """As the service does it: its model knows four conditions, and writes each."""
    stored = db.rules.find_one({"rule_id": "careful"})
    assert stored is not None
    conditions = {name: stored["conditions"].get(name) for name in SERVICE_CONDITIONS} | changed
    db.rules.update_one({"rule_id": "careful"}, {"$set": {"conditions": conditions}})


def as_the_first_edition_published(db: AlertDatabase) -> None:
    db.rules.update_many({}, {"$unset": {"published.conditions": ""}})


@pytest.mark.parametrize("scanned", [True, False])
@pytest.mark.parametrize("first_edition", [True, False])
def test_a_careful_rule_edited_through_the_services_api_closed_every_old_alert(
    db: AlertDatabase, first_edition: bool, scanned: bool
) -> None:
    publish(db, CAREFUL)
    if first_edition:
        as_the_first_edition_published(db)
    if scanned:
        run_scan(db, ScanRequest(as_of=AS_OF))
    fill(db, [alert("critical", minutes=90, severity="CRITICAL")])
    edit_through_the_api(db)
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db) == {"critical": "OPEN"}
    (error,) = report.errors
    assert "'careful'" in error
    assert "publish" in error
    assert ("hold_mins, severities, statuses were removed" in error) is (scanned or not first_edition)


@pytest.mark.parametrize("first_edition", [True, False])
def test_an_edit_through_the_api_that_takes_nothing_is_honoured(db: AlertDatabase, first_edition: bool) -> None:
    publish(db, {"expire_after_mins": 60})
    if first_edition:
        as_the_first_edition_published(db)
        run_scan(db, ScanRequest(as_of=AS_OF))
    edit_through_the_api(db, expire_after_mins=45)
    loaded = load_rules(db)
    assert [one.conditions.expire_after_mins for one in loaded.rule_set.active] == [45]
    assert loaded.errors == ()


def test_a_persons_edit_that_leaves_our_conditions_is_honoured(db: AlertDatabase) -> None:
    publish(db, CAREFUL)
    db.rules.update_one({}, {"$set": {"conditions.hold_mins": 10}})
    assert [one.conditions.hold_mins for one in load_rules(db).rule_set.active] == [10]


def test_a_rule_that_lost_conditions_is_not_exported_as_if_it_were_whole(db: AlertDatabase) -> None:
    publish(db, CAREFUL)
    edit_through_the_api(db)
    with pytest.raises(UnusableRulesError, match="hold_mins, severities, statuses were removed"):
        export_rules(db)


def test_a_rule_that_lost_conditions_is_whole_again_when_its_file_is_published(db: AlertDatabase) -> None:
    publish(db, CAREFUL)
    edit_through_the_api(db)
    careful = parse_rules([{"rule_id": "careful", "source_type": "OVERSPEEDING", "conditions": CAREFUL}], "here")
    assert [(change.kind, change.written) for change in publish_rules(db, careful)] == [("changed_by_person", False)]
    assert len(load_rules(db).errors) == 1
    assert publish_rules(db, careful, overwrite=True)[0].written
    assert [rule.conditions for rule in export_rules(db)] == [careful[0].conditions]
    assert db.rules.count_documents({}) == 0


def test_what_is_left_of_a_rule_can_be_published_as_the_rule(db: AlertDatabase) -> None:
    publish(db, CAREFUL)
    edit_through_the_api(db)
    left = {"rule_id": "careful", "source_type": "OVERSPEEDING", "conditions": {"expire_after_mins": 60}}
    [change] = publish_rules(db, parse_rules([left], "here"))
    assert ([field.path for field in change.fields], change.written) == (["published.hash"], True)
    assert [rule.conditions.expire_after_mins for rule in export_rules(db)] == [60]
