"""What is legal and surely not meant is warned of, and what may be meant is not."""

from typing import Any

import pytest

from alert_pipelines.rules.lint import lint
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines_tests.factories import rule


def leaf(op: str, value: Any = None, field: str = "x") -> dict[str, Any]:
    return {"field": field, "op": op} | ({} if value is None else {"value": value})


def both(*leaves: dict[str, Any]) -> dict[str, Any]:
    return {"close_if": {"all": list(leaves)}}


def warnings(*conditions: dict[str, Any], **fields: Any) -> list[str]:
    rules = [parse_rule(rule(f"r{number}", one, **fields)) for number, one in enumerate(conditions)]
    return lint(rules)


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (
            [{"expire_after_mins": 30}, {"escalate_after_mins": 60}],
            "rule 'r1': escalate_after_mins waits 1 hour, and expire_after_mins of rule 'r0' closes after",
        ),
        (
            [{"expire_after_mins": 60, "escalate_after_mins": 60}],
            "expire_after_mins of the same rule closes after 1 hour",
        ),
        (
            [{"close_if": leaf("eq", 1)}, {"escalate_if": leaf("eq", 1)}],
            "rule 'r1': escalate_if says what close_if of rule 'r0' says, and closes come first",
        ),
        (
            [both(leaf("gt", 100), leaf("lt", 50))],
            "rule 'r0': close_if: x is more than 100, and x is less than 50: both",
        ),
        ([both(leaf("gte", 5), leaf("lt", 5))], "both never hold"),
        ([both(leaf("eq", "a"), leaf("eq", "b"))], "x is 'a', and x is 'b'"),
        ([both(leaf("exists"), leaf("missing"))], "x has a value, and x has no value"),
        ([both(leaf("in", [1, 2]), leaf("not_in", [1, 2]))], "both never hold"),
        ([{"only_if": leaf("eq", 1), "close_if": leaf("ne", 1)}], "close_if: x is 1, and x is not 1"),
        (
            [{"only_if": both(leaf("eq", 1), leaf("eq", 2))["close_if"], "keep_latest": True}],
            "only_if: x is 1, and x is 2",
        ),
        ([{"expire_after_mins": 5, "group_by": "a"}], "rule 'r0': group_by has no effect"),
        ([{"expire_after_mins": 5, "ignore_keys": [""]}], "rule 'r0': ignore_keys has no effect"),
    ],
)
def test_what_is_surely_not_meant_is_named(conditions: list[dict[str, Any]], said: str) -> None:
    [warning] = warnings(*conditions)
    assert said in warning
    assert warnings(*conditions, mode="off") == []


@pytest.mark.parametrize(
    "conditions",
    [
        [{"expire_after_mins": 61}, {"escalate_after_mins": 60}],
        [{"expire_after_mins": 30, "severities": ["INFO"]}, {"escalate_after_mins": 60}],
        [{"expire_after_mins": 30, "hold_mins": 90}, {"escalate_after_mins": 60}],
        [{"expire_after_mins": 30, "only_if": leaf("exists")}, {"escalate_after_mins": 60}],
        [{"close_if": leaf("eq", 1)}, {"escalate_if": leaf("eq", 2)}],
        [both(leaf("gt", 50), leaf("lt", 100))],
        [both(leaf("gte", 5), leaf("lte", 5))],
        [both(leaf("gt", 100), leaf("gt", 50))],
        [both(leaf("lt", 50), leaf("lt", 100))],
        [both(leaf("eq", 1), leaf("ne", 2))],
        [both(leaf("eq", 1), leaf("ne", True))],
        [both(leaf("gt", 100), leaf("lt", 50, "y"))],
        [both(leaf("gt", "b"), leaf("lt", 1))],
        [{"close_if": {"any": [leaf("gt", 100), leaf("lt", 50)]}}],
        [both({"not": leaf("eq", 1)}, leaf("eq", 2))],
        [both(leaf("eq", 1), leaf("eq", 1))],
        [{"keep_first": True, "group_by": "a", "ignore_keys": [""]}],
    ],
)
def test_what_may_be_meant_is_not(conditions: list[dict[str, Any]]) -> None:
    assert warnings(*conditions) == []


@pytest.mark.parametrize(
    ("closing", "escalating"),
    [({"calendar": "office"}, {}), ({"only_during": "office"}, {}), ({}, {"calendar": "office"})],
)
def test_a_close_by_other_hours_leaves_escalations_alone(closing: dict[str, Any], escalating: dict[str, Any]) -> None:
    expire, escalate = {"expire_after_mins": 5}, {"escalate_after_mins": 60}
    assert lint([parse_rule(rule("a", expire, **closing)), parse_rule(rule("b", escalate, **escalating))]) == []


def test_a_close_of_another_source_leaves_the_escalation_alone() -> None:
    closing = parse_rule(rule("a", {"expire_after_mins": 5}, source_type="SAFETY"))
    escalating = parse_rule(rule("b", {"escalate_after_mins": 60}, source_type="*"))
    assert lint([closing, escalating]) == []
