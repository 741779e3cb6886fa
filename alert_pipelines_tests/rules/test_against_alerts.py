"""Rules are compared with the alerts of a database: sources that nobody sends, fields that no alert has."""

from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.against_alerts import warnings_against_alerts
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines_tests.factories import alert, fill, rule


def warnings(db: AlertDatabase, conditions: dict[str, Any], **fields: Any) -> list[str]:
    return warnings_against_alerts(db, [parse_rule(rule("r", conditions, **fields))])


def test_a_source_that_nobody_sends_is_named(db: AlertDatabase) -> None:
    fill(db, [alert(), alert(source_type="SAFETY"), alert(source_type=None)])
    other = {"source_type": ["SAFETY", "GEOFENCE"]}
    misspelt = warnings(db, {"keep_first": True}, source_type=["SAFTY", "OVERSPEEDING"])
    assert misspelt == ["rule 'r': source_type: no alert has the source 'SAFTY'. Did you mean 'SAFETY'"]
    assert warnings(db, {"close_if_other": other}, source_type="*") == [
        "rule 'r': close_if_other.source_type: no alert has the source 'GEOFENCE'"
    ]


@pytest.mark.parametrize(
    ("conditions", "path", "hint"),
    [
        ({"close_if": {"field": "metadata.spead", "op": "lt", "value": 5}}, "close_if: {}spead", "speed"),
        (
            {"only_if": {"not": {"field": "metadata.spead", "op": "exists"}}, "keep_first": True},
            "only_if: {}spead",
            "speed",
        ),
        (
            {"escalate_if": {"field": "metadata.speed", "op": "gt", "value_of": "metadata.limit"}},
            "escalate_if: {}limit",
            None,
        ),
        ({"auto_close_if": "validd"}, "auto_close_if: {}validd", "valid"),
        (
            {"keep_latest": True, "group_by": ["metadata.driver_id", "metadata.fleet"]},
            "group_by: {}fleet",
            None,
        ),
        ({"escalate_if_count": 2, "count_distinct": "metadata.speeds"}, "count_distinct: {}speeds", "speed"),
        (
            {"close_if_other": {"source_type": "SAFETY", "match": {"metadata.driver_id": "metadata.driver"}}},
            "close_if_other: {}driver",
            "driver_id",
        ),
    ],
)
def test_a_misspelt_field_made_a_rule_that_no_alert_can_match_in_silence(
    db: AlertDatabase, conditions: dict[str, Any], path: str, hint: str | None
) -> None:
    given = {"driver_id": "D1", "speed": 80, "valid": True, "van": None}
    fill(db, [alert(metadata=given, status="RESOLVED"), alert(source_type="SAFETY", metadata={**given, "spead": 1})])
    condition, _, name = path.partition(": {}")
    meant = f". Did you mean 'metadata.{hint}'" if hint else ""
    said = f"rule 'r': {condition}: no alert of OVERSPEEDING has a value at 'metadata.{name}'{meant}"
    assert warnings(db, conditions) == [said]


def test_a_field_of_the_other_alert_is_looked_for_at_the_other_source(db: AlertDatabase) -> None:
    other = {"source_type": "SAFETY", "if": {"field": "metadata.event", "op": "eq", "value": "back"}}
    fill(db, [alert(metadata={"driver_id": "D1", "event": "back"}), alert(source_type="SAFETY")])
    assert warnings(db, {"close_if_other": other}) == [
        "rule 'r': close_if_other: no alert of SAFETY has a value at 'metadata.event'"
    ]


def test_fields_that_an_alert_has_within_arrays_and_rules_that_are_off_are_not_warned_of(db: AlertDatabase) -> None:
    fill(db, [alert(metadata={"driver_id": "D1", "items": [7, {"speed": 5}]}), alert()])
    assert warnings(db, {"close_if": {"field": "metadata.items.speed", "op": "lt", "value": 9}}) == []
    assert warnings(db, {"auto_close_if": "none"}, mode="off") == []
    assert warnings(db, {"expire_after_mins": 5, "hold_mins": 5}) == []


def test_where_no_alert_of_a_source_is_there_its_fields_are_not_warned_of(db: AlertDatabase) -> None:
    fill(db, [alert()])
    assert warnings(db, {"auto_close_if": "ok"}, source_type="NEW") == [
        "rule 'r': source_type: no alert has the source 'NEW'"
    ]
