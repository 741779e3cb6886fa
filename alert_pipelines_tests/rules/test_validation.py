"""A wrong rule is refused with what, where, and what was probably meant."""

from datetime import UTC, datetime
from typing import Any

import pytest

from alert_pipelines.errors import AlertPipelinesError, RuleError
from alert_pipelines.rules.model import CLOSE_CONDITIONS, ESCALATE_CONDITIONS, RESERVED_IDS
from alert_pipelines.rules.validation import parse_rule, parse_window
from alert_pipelines.scanner.result import ALLOW_SCAN
from alert_pipelines_tests.factories import rule


def refusal(conditions: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(RuleError) as refused:
        parse_rule(rule("r", conditions, **fields), strict=True)
    return str(refused.value)


def leaf(**fields: Any) -> dict[str, Any]:
    return {"close_if": {"field": "metadata.x", "op": "eq", "value": 1} | fields}


def other(**fields: Any) -> dict[str, Any]:
    return {"source_type": "SAFETY"} | fields


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"escalate_if_cuont": 3}, "conditions.escalate_if_cuont: unknown; did you mean 'escalate_if_count'?"),
        ({"escalate_after_min": 30}, "conditions.escalate_after_min: unknown; did you mean 'escalate_after_mins'?"),
        ({"esclate_if": {}}, "did you mean 'escalate_if'?"),
        ({"clsoe_if": {}}, "did you mean 'close_if'?"),
        ({"raise_after_mins": 30}, "conditions.raise_after_mins: unknown; known here: "),
        ({"escalate_if": leaf(opp="eq")["close_if"]}, "conditions.escalate_if.opp: unknown; did you mean 'op'?"),
        ({"keep_latest": True, "only_if": {"$where": "1"}}, "conditions.only_if.$where: unknown"),
        ({"keep_latest": True, "only_if": leaf(value={})["close_if"]}, "only_if.value: expected a text, a number"),
        ({"only_if": leaf()["close_if"]}, "decides nothing"),
        ({"escalate_after_mins": 5, "statuses": ["ESCALATED"]}, "statuses: escalate_after_mins decides OPEN alerts"),
        ({"keep_latest": True, "max_escalate": 5}, "the rule has no condition that escalates"),
        ({"expire_after_mins": -5}, "conditions.expire_after_mins: expected greater than or equal to 1; got -5"),
        ({"expire_after_mins": "60"}, "conditions.expire_after_mins: expected a valid integer; got '60'"),
        ({"expire_after_mins": True}, "conditions.expire_after_mins: expected a valid integer; got True"),
        ({"escalate_if_count": 2, "window_mins": -1}, "conditions.window_mins: expected greater than or equal to 1"),
        (leaf(op="eqals"), "conditions.close_if.op: expected one of eq, ne, lt"),
        (leaf(op="eqals"), "Did you mean 'eq'?"),
        (
            {"close_if": {"all": [leaf()["close_if"], leaf(opp="eq")["close_if"]]}},
            "conditions.close_if.all[1].opp: unknown",
        ),
        (leaf(value={"$where": "sleep(1)"}), "conditions.close_if.value: expected a text, a number, a boolean"),
        ({"close_if": {"$where": "1"}}, "conditions.close_if.$where: unknown"),
        (leaf(field="$where"), "conditions.close_if.field: field path '$where' holds '$'"),
        (leaf(field="metadata.$function"), "holds '$'"),
        (leaf(field="metadata.\0"), "control character"),
        (leaf(field="metadata..x"), "empty part"),
        (leaf(field="items.0"), "position in an array"),
        (leaf(op="in", value=3), "op 'in' needs a list"),
        (leaf(value=[1]), "op 'eq' needs one text, number or boolean"),
        (leaf(value=None), "op 'eq' needs one text, number or boolean (several: 'in', 'not_in'; null or missing"),
        (leaf(op="missing"), "op 'missing' takes no value"),
        (leaf(op="gt", value=True), "op 'gt' needs a number or a text"),
        (leaf(op="older_than_mins", value=-1), "op 'older_than_mins' needs a whole number of minutes"),
        (leaf(op="gt", value=datetime(2026, 1, 1, tzinfo=UTC)), "use older_than_mins or newer_than_mins"),
        (leaf(op="contains", value=""), "op 'contains' needs a text of 1 to 1000 characters; got ''"),
        (leaf(op="contains", value="x" * 1001), "needs a text of 1 to 1000"),
        (leaf(op="starts_with", value=5), "op 'starts_with' needs a text"),
        (leaf(op="within_mins", value="1"), "op 'within_mins' needs a whole number of minutes"),
        (leaf(ignore_case=True), "op 'eq' does not take ignore_case: only contains, starts_with, ends_with do"),
        (leaf(value_of="metadata.y"), "op 'eq' takes value or value_of, and both are given"),
        (leaf(op="in", value=None, value_of="metadata.y"), "only eq, ne, lt, lte, gt, gte do"),
        (leaf(plus=1), "op 'eq' takes plus and times only with value_of"),
        (leaf(value=None, value_of="$$ROOT"), "conditions.close_if.value_of: field path '$$ROOT' holds '$'"),
        (leaf(value=None, value_of="metadata.y", plus="5"), "conditions.close_if.plus: expected a valid"),
        (leaf(value=None, value_of="metadata.y", times=True), "conditions.close_if.times: expected a valid"),
        (leaf(value=None, valueof="metadata.y"), "did you mean 'value_of'?"),
        (leaf(value=float("nan")), "conditions.close_if.value"),
        ({"close_if": {"all": []}}, "conditions.close_if.all"),
        ({"auto_close_if": "$where"}, "conditions.auto_close_if: field path '$where' holds '$'"),
        ({"auto_close_if": "metadata.document_valid"}, "name a field of metadata"),
        ({"keep_latest": True, "group_by": ["a", "a"]}, "group_by: names a path twice"),
        ({"escalate_if_count": 2, "group_by": "severity"}, "group_by: a scan writes severity"),
        ({"keep_latest": True, "group_by": ["a.$b"]}, "conditions.group_by[0]"),
        ({}, "decides nothing"),
        (
            {"keep_latest": True, "count_distinct": "a"},
            "count_distinct: defines what escalate_if_count counts, and the rule has none",
        ),
        (
            {"escalate_if_count": 2, "count_statuses": ["RESOLVED"]},
            "count_statuses: the alert that is escalated is OPEN",
        ),
        ({"escalate_if_count": 2, "count_statuses": ["DONE"]}, "conditions.count_statuses[0]: expected one of OPEN"),
        ({"escalate_if_count": 2, "count_if": leaf(opp=1)["close_if"]}, "conditions.count_if.opp: unknown"),
        ({"escalate_if_count": 2, "count_distinct": "$a"}, "conditions.count_distinct: field path '$a' holds '$'"),
        ({"close_if_other": {"match": {}}}, "conditions.close_if_other.source_type: is missing"),
        ({"close_if_other": other(sorce_type="A")}, "close_if_other.sorce_type: unknown; did you mean 'source_type'?"),
        ({"close_if_other": other(match={"status": "metadata.x"})}, "match: status cannot be a key: a scan writes it"),
        ({"close_if_other": other(match={"alert_id": "updated_at"})}, "match: updated_at cannot be a key"),
        ({"close_if_other": other(match={"$where": "a"})}, "conditions.close_if_other.match.$where: field path"),
        ({"close_if_other": other(match={"a": "b.0"})}, "match.a: field path 'b.0' names a position"),
        ({"close_if_other": other(match={})}, "conditions.close_if_other.match"),
        (
            {"close_if_other": other(**{"if": leaf(opp=1)["close_if"]})},
            "close_if_other.if.opp: unknown; did you mean 'op'?",
        ),
        ({"close_if_other": other(**{"if": {"close_if_other": {}}})}, "close_if_other.if.close_if_other: unknown"),
        ({"close_if_other": other(when="latr")}, "conditions.close_if_other.when: expected one of later, any"),
        ({"close_if_other": other(statuses=["SETTLED"])}, "close_if_other.statuses[0]: expected one of OPEN"),
        ({"suppress_if_other": other()}, "decides nothing"),
        ({"suppres_if_other": other(), "keep_first": True}, "did you mean 'suppress_if_other'?"),
        ({"keep_first": True, "ignore_keys": [None]}, "conditions.ignore_keys[0]"),
        ({"keep_first": True, "ignore_keys": []}, "conditions.ignore_keys"),
        ({"hold_mins": 5, "escalate_if_count": 3}, "hold_mins: holds back close conditions"),
        ({"keep_latest": True, "statuses": ["RESOLVED"]}, "pending alerts only"),
        ({"escalate_if_count": 3, "statuses": ["ESCALATED"]}, "decides OPEN alerts: add OPEN"),
        ({"keep_latest": True, "severities": ["CRITCAL"]}, "conditions.severities[0]: expected one of"),
        ({"keep_latest": True, "severities": ["CRITCAL"]}, "Did you mean 'CRITICAL'?"),
        ({"close_if": {"all": ["x"]}}, "conditions.close_if.all[0]: expected a leaf {field, op, value}"),
        ({"close_if": {"all": leaf()["close_if"]}}, "conditions.close_if.all: expected a valid list"),
        ({"close_if": {"all": [leaf()["close_if"]], "any": []}}, "is not valid next to the other keys"),
        ({"keep_latest": True, "max_close_fraction": 1.5}, "conditions.max_close_fraction"),
    ],
)
def test_wrong_conditions_are_refused(conditions: dict[str, Any], expected: str) -> None:
    message = refusal(conditions)
    assert message.startswith("rule 'r': ")
    assert expected in message


@pytest.mark.parametrize(
    ("source_type", "expected"),
    [
        (["SAFETY", "*"], "source_type: '*' stands for every source: give it by itself, not in a list"),
        (["SAFETY", "SAFETY"], "source_type: names a source twice"),
        ([], "source_type: "),
        (["SAFETY", ""], "source_type[1]: "),
        (["SAFETY", 3], "source_type[1]: expected a valid string; got 3"),
        (3, "source_type: expected a valid string; got 3"),
        ({"$ne": "SAFETY"}, "source_type: expected a valid string"),
    ],
)
def test_wrong_sources_are_refused(source_type: Any, expected: str) -> None:
    assert expected in refusal({"keep_latest": True}, source_type=source_type)


def test_a_list_of_one_source_means_what_the_source_means() -> None:
    one, listed = (parse_rule(rule("r", {"keep_latest": True}, source_type=given)) for given in ("A", ["A"]))
    assert one.canonical() == listed.canonical()


def test_every_problem_is_named() -> None:
    message = refusal({"expire_after_mins": -1, "keep_latest": "yes"}, mode="shaddow")
    for place in ("conditions.expire_after_mins", "conditions.keep_latest", "mode: expected one of"):
        assert place in message


def test_a_tree_too_deep_is_refused_and_one_at_the_limit_is_not() -> None:
    def nested(levels: int) -> dict[str, Any]:
        tree: dict[str, Any] = leaf()["close_if"]
        for _ in range(levels - 1):
            tree = {"not": tree}
        return {"close_if": tree}

    assert parse_rule(rule("r", nested(10)))
    assert "10 deep" in refusal(nested(11))
    assert "10 deep" in refusal(nested(5000))


@pytest.mark.parametrize("side", ["escalate", "close"])
def test_escalate_after_mins_was_answered_with_a_condition_that_closes(side: str) -> None:
    names = {"escalate": ESCALATE_CONDITIONS, "close": CLOSE_CONDITIONS}
    others = set(names["close" if side == "escalate" else "escalate"])
    for name in names[side]:
        for misspelt in (name[:-1], name + "s", name.replace("_", "__"), name[1:], name.replace("a", "e")):
            message = refusal({misspelt: 30}) if misspelt not in names[side] else ""
            assert not any(f"did you mean {other!r}" in message for other in others), message


def test_an_unknown_field_is_a_mistake_in_a_file_and_the_services_own_in_the_collection() -> None:
    document = rule("r", {"keep_latest": True}, tenant="north", pirority=3)
    assert parse_rule(document).priority == 0
    with pytest.raises(RuleError, match="pirority: unknown; did you mean 'priority'"):
        parse_rule(document, strict=True)


def test_conditions_as_the_service_writes_them_are_taken() -> None:
    absent = {"escalate_if_count": 3, "window_mins": 60, "auto_close_if": None, "expire_after_mins": None}
    assert parse_rule(rule("r", absent)).conditions.closes == ()


@pytest.mark.parametrize("document", [None, [], "rule", {"rule_id": 3}, {}])
def test_what_is_no_rule_is_named(document: Any) -> None:
    with pytest.raises(RuleError):
        parse_rule(document)


@pytest.mark.parametrize(
    ("rule_id", "expected"),
    [
        ("expires_at", "rule_id: 'expires_at' is reserved for the alert's own expiry; choose another"),
        ("scan", "rule_id: 'scan' is reserved for the scan's own limit; choose another"),
        ("two\nlines", "has control characters"),
        ("\0", "has control characters"),
        ("zero\u200bwidth", "has control characters"),
        (" padded", "or spaces around it"),
        ("", "at least 1 character"),
        ("x" * 101, "at most 100 characters"),
        (7, "expected a valid string"),
    ],
)
def test_a_rule_id_that_cannot_be_told_is_refused(rule_id: Any, expected: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse_rule(rule(rule_id, {"keep_latest": True}))
    assert expected in str(refused.value)


@pytest.mark.parametrize("rule_id", ["Zu schnell: Überholverbot #1", "$status", "$$NOW", "a.b", "'; drop", "](#"])
def test_a_rule_id_of_the_service_may_be_any_other_text(rule_id: str) -> None:
    assert parse_rule(rule(rule_id, {"keep_latest": True}), strict=True).rule_id == rule_id


def test_the_name_of_the_scans_own_limit_is_reserved() -> None:
    assert ALLOW_SCAN in RESERVED_IDS


HALF = "a\ud800"
TOO_LARGE = 2**63


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (rule(HALF, {"keep_latest": True}), "rule_id: expected text"),
        (rule("r", {"keep_latest": True}, source_type=HALF), "source_type: expected text"),
        (rule("r", {"keep_latest": True}, name=HALF), "name: expected text"),
        (rule("r", {"keep_latest": True}, description=HALF), "description: expected text"),
        (rule("r", {"keep_latest": True}, **{HALF: 1}), "expected text"),
        (rule("r", {"keep_latest": True, HALF: 1}), "conditions: expected text"),
        (rule("r", {"keep_latest": True, HALF: {"x": HALF}}), r"conditions.a\ud800.x: expected text"),
        (rule("r", {"keep_latest": True, "group_by": ["b", HALF]}), "conditions.group_by[1]: expected text"),
        (rule("r", {"auto_close_if": HALF}), "conditions.auto_close_if: expected text"),
        (rule("r", leaf(field=f"metadata.{HALF}")), "conditions.close_if.field: expected text"),
        (rule("r", leaf(value=HALF)), "conditions.close_if.value: expected text"),
        (rule("r", leaf(op="in", value=["b", HALF])), "conditions.close_if.value[1]: expected text"),
        (rule("r", leaf(value=TOO_LARGE)), "conditions.close_if.value: expected a whole number"),
        (rule("r", leaf(value=-TOO_LARGE - 1)), "conditions.close_if.value: expected a whole number"),
        (rule("r", leaf(op="lt", value=TOO_LARGE)), "conditions.close_if.value: expected a whole number"),
        (rule("r", leaf(op="not_in", value=[1, 2**64])), "conditions.close_if.value[1]: expected a whole number"),
        (rule("r", {"close_if": {"not": leaf(value=2**70)["close_if"]}}), "conditions.close_if.not.value: expected"),
    ],
)
@pytest.mark.parametrize("strict", [True, False], ids=["file", "collection"])
def test_what_mongodb_cannot_hold_was_valid_and_broke_the_publish_or_was_stored_as_another_value(
    document: dict[str, Any], place: str, strict: bool
) -> None:
    with pytest.raises(RuleError) as refused:
        parse_rule(document, strict=strict)
    said = str(refused.value)
    assert said.startswith(f"rule {document['rule_id']!r}: ")
    assert place in said
    assert said.encode()


def test_the_largest_numbers_that_64_bits_hold_stay_whole_numbers() -> None:
    edges = [2**63 - 1, -(2**63)]
    conditions = parse_rule(rule("r", leaf(op="in", value=edges))).canonical()["conditions"]
    assert [(one, type(one)) for one in conditions["close_if"]["value"]] == [(one, int) for one in edges]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"window_id": HALF}, "window_id: expected text"),
        ({"reason": HALF}, "reason: expected text"),
        ({"created_by": HALF}, "created_by: expected text"),
        ({"source_types": [HALF]}, "source_types[0]: expected text"),
        ({"field": f"metadata.{HALF}", "values": [1]}, "field: expected text"),
        ({"field": "metadata.x", "values": [1, HALF]}, "values[1]: expected text"),
        ({"field": "metadata.x", "values": [1, TOO_LARGE]}, "values[1]: expected a whole number"),
        ({HALF: 1}, "expected text"),
    ],
)
def test_a_window_that_mongodb_cannot_hold_was_valid(fields: dict[str, Any], place: str) -> None:
    span = {"from": datetime(2026, 1, 1, tzinfo=UTC), "to": datetime(2026, 1, 2, tzinfo=UTC)}
    with pytest.raises(AlertPipelinesError) as refused:
        parse_window({"window_id": "w"} | span | fields)
    said = str(refused.value)
    assert said.startswith("maintenance window ")
    assert f"is not valid and suppresses nothing: {place}" in said
    assert said.encode()
