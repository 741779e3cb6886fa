"""Tests of rules that cannot hold since alerts keep a field as another kind: named, with how many alerts."""

from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring import health
from alert_pipelines.rules.field_kinds import KindFault, kind_faults
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import ago, alert, fill, rule, statuses


def faults(db: AlertDatabase, conditions: dict[str, Any], **fields: Any) -> list[KindFault]:
    return kind_faults(db, [parse_rule(rule("r", conditions, **fields))])


def leaf(op: str, value: Any, field: str = "metadata.x") -> dict[str, Any]:
    return {"close_if": {"field": field, "op": op, "value": value}}


def having(*values: Any) -> list[dict[str, Any]]:
    return [alert(f"T{n}", metadata={"x": value}) for n, value in enumerate(values)]


def test_a_rule_on_numbers_that_alerts_keep_as_text_was_silent(db: AlertDatabase) -> None:
    fill(db, having("5", "1", 5, None), rule("good", leaf("gte", 4)))
    fill(db, [alert(status="RESOLVED", metadata={"x": "5"}), alert(source_type="SAFETY", metadata={"x": "5"})])
    found = health.comparable_fields(db)
    assert not found.passed
    assert found.description == (
        "rule 'good': metadata.x is not a valid field for close_if (metadata.x is at least 4): expected number; got "
        "text in 2 of 4 pending alerts (OVERSPEEDING), such as T0. The test cannot hold for them. Store the field as "
        "the rule expects it, or write the test for what is stored."
    )
    assert found.rows == [("good\nOVERSPEEDING", "metadata.x is at least 4", "number", "text", "2 of 4", "T0")]
    # What it says is so: of the four the scan closes one.
    run_scan(db, ScanRequest(as_of=ago(0), max_close_fraction=1))
    assert statuses(db)["T2"] == "AUTO_CLOSED"
    assert health.comparable_fields(db).rows[0][4] == "2 of 3"


@pytest.mark.parametrize(
    ("conditions", "good", "bad", "kind"),
    [
        (leaf("eq", 5), [5, 5.5, [5], ["5", 5]], ["5", True, ["5"]], "array of text or boolean or text"),
        (leaf("eq", "5"), ["5"], [5, ago(1)], "date or number"),
        (leaf("eq", True), [True], ["true", 1], "number or text"),
        (leaf("ne", 5), [6], ["6"], "text"),
        (leaf("in", [1, "1"]), [2, "2"], [True], "boolean"),
        (leaf("older_than_mins", 5), [ago(1), [ago(1)]], ["2026-03-01T12:00:00Z", 1_772_366_400], "number or text"),
        (leaf("within_mins", 5), [ago(-9)], ["2026-03-01"], "text"),
        (leaf("contains", "a"), ["b"], [1, {"a": 1}], "document or number"),
        ({"auto_close_if": "x"}, [True, False, None], ["true", "yes", 1], "number or text"),
        ({"escalate_if": {"not": {"field": "metadata.x", "op": "lt", "value": 4}}}, [5], ["5"], "text"),
        ({"only_if": {"field": "metadata.x", "op": "gt", "value": 4}, "keep_latest": True}, [5], ["5"], "text"),
    ],
)
def test_each_test_takes_its_kinds(
    db: AlertDatabase, conditions: dict[str, Any], good: list[Any], bad: list[Any], kind: str
) -> None:
    fill(db, having(*good, None))
    assert faults(db, conditions) == []
    fill(db, [alert(f"B{n}", metadata={"x": value}) for n, value in enumerate(bad)])
    (fault,) = faults(db, conditions)
    assert (fault.alerts, fault.found, fault.example) == (len(bad), kind, "B0")
    assert ("always holds" in str(fault)) == ("ne" in str(conditions))


def test_presence_has_no_kind_and_a_test_for_each_kind_is_no_fault(db: AlertDatabase) -> None:
    fill(db, having("5", 5))
    assert faults(db, {"close_if": {"field": "metadata.x", "op": "exists"}}) == []
    one, other = leaf("gte", 4)["close_if"], leaf("in", ["4", "5"])["close_if"]
    assert faults(db, {"close_if": {"any": [one, other]}}) == []
    assert [fault.found for fault in faults(db, {"close_if": {"all": [one, other]}})] == ["text", "number"]


def test_two_fields_of_an_alert_are_of_one_kind(db: AlertDatabase) -> None:
    pair = [{"x": 1, "y": 2}, {"x": 1}, {"x": "1", "y": "2"}, {"x": "1", "y": 2}]
    fill(db, [alert(f"A{n}", metadata=metadata) for n, metadata in enumerate(pair)])
    compared = {"field": "metadata.x", "op": "lt", "value_of": "metadata.y"}
    (fault,) = faults(db, {"close_if": compared})
    assert (fault.field, fault.found, fault.alerts, fault.example) == (
        "metadata.x and metadata.y",
        "text beside number",
        1,
        "A3",
    )
    (fault,) = faults(db, {"close_if": {**compared, "plus": 1}})
    assert (fault.expected, fault.alerts) == ("values of one kind, number", 2)


def test_dates_that_hold_and_wait_are_tests_too(db: AlertDatabase) -> None:
    text, date = "2026-03-01T11:00:00Z", ago(60)
    fill(db, [alert("A", updated_at=text), alert("B", created_at=text, updated_at=date), alert("C", created_at=text)])
    db.alerts.update_many({"alert_id": {"$in": ["C"]}}, {"$unset": {"updated_at": 1}})
    hold = faults(db, {"expire_after_mins": 5, "hold_mins": 5})
    assert [(fault.field, fault.alerts, fault.example) for fault in hold] == [
        ("updated_at", 1, "A"),
        ("created_at", 1, "C"),
    ]
    wait = faults(db, {"escalate_after_mins": 5})
    assert [(fault.field, fault.alerts) for fault in wait] == [("updated_at", 1), ("created_at", 2)]
    fill(db, [alert("D", severity=3)])
    assert [fault.found for fault in faults(db, {"keep_latest": True, "severities": ["INFO"]})] == ["number"]


def test_a_rule_for_several_sources_reads_them_all(db: AlertDatabase) -> None:
    fill(
        db, [*having("5"), alert(source_type="SAFETY", metadata={"x": "6"}), alert(source_type="X", metadata={"x": 7})]
    )
    found = {
        str(sources): [(fault.sources, fault.alerts, fault.pending) for fault in faults(db, leaf("gte", 4), **sources)]
        for sources in ({"source_type": ["OVERSPEEDING", "X"]}, {"source_type": "*"})
    }
    assert list(found.values()) == [[("OVERSPEEDING, X", 1, 2)], [("*", 2, 3)]]


def test_a_rule_that_is_off_is_left_out(db: AlertDatabase) -> None:
    fill(db, having("5"))
    assert faults(db, leaf("gte", 4), mode="off") == []
    assert len(faults(db, leaf("gte", 4), mode="shadow")) == 1
