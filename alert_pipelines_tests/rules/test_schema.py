"""The JSON Schema of rule files, as editors use it: current, and of one mind with the parser."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from alert_pipelines.errors import RuleFileError
from alert_pipelines.rules.files import language_schema, parse_rules

CHECKOUT = Path(__file__).parents[2]
SCHEMA = CHECKOUT / "alert_pipelines" / "rules" / "rules.schema.json"
RULE_FILES = [CHECKOUT / "alert_pipelines" / "rules" / "default_rules.yaml", *CHECKOUT.glob("mappings/rules/*.yaml")]


def is_valid(conditions: Any, **fields: Any) -> bool:
    rule = {"rule_id": "r", "source_type": "SAFETY", "conditions": conditions} | fields
    valid: bool = Draft202012Validator(language_schema()).is_valid({"rules": [rule]})
    return valid


def test_the_schema_beside_the_package_is_current() -> None:
    renew = f"run: alert-pipelines rules schema > {SCHEMA.relative_to(CHECKOUT)}"
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == language_schema(), renew


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_a_rule_file_of_the_project_names_the_schema_to_editors_and_keeps_to_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named is not None
    assert (path.parent / named[1]).resolve() == SCHEMA
    Draft202012Validator(language_schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize("page", ["rules.md", "rules-howto.md", "backtest.md", "tour.md"])
def test_the_long_forms_in_the_docs_keep_to_the_schema(page: str) -> None:
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^rules:\n(?:[ ]+.*\n|\n)+", text, re.MULTILINE)
    assert found
    for example in found:
        Draft202012Validator(language_schema()).validate(yaml.safe_load(example))


@pytest.mark.parametrize(
    "conditions",
    [
        {"keep_latest": True, "group_by": "metadata.vehicle_id"},
        {"keep_latest": True, "group_by": ["metadata.vehicle_id", "metadata.document_type"]},
        {"auto_close_if": None, "expire_after_mins": 60},
        {"close_if": {"not": {"any": [{"field": "a.b", "op": "in", "value": ["x", 1, True, 0.5]}]}}},
    ],
)
def test_what_the_parser_takes_the_schema_takes(conditions: dict[str, Any]) -> None:
    rule = {"rule_id": "r", "source_type": "SAFETY", "conditions": conditions}
    assert parse_rules({"rules": [rule]}, "test")
    assert is_valid(conditions)


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        ({"keep_lastest": True}, {}),
        ({"expire_after_mins": "60"}, {}),
        ({"expire_after_mins": 0}, {}),
        ({"keep_latest": True, "group_by": []}, {}),
        ({"close_if": {"field": "a", "op": "equals", "value": 1}}, {}),
        ({"close_if": {"all": [], "any": []}}, {}),
        ({"keep_latest": True}, {"mode": "shaddow"}),
        ({"keep_latest": True}, {"pirority": 1}),
    ],
)
def test_what_the_schema_refuses_the_parser_refuses(conditions: dict[str, Any], fields: dict[str, Any]) -> None:
    assert not is_valid(conditions, **fields)
    with pytest.raises(RuleFileError):
        parse_rules([{"rule_id": "r", "source_type": "SAFETY", "conditions": conditions} | fields], "test")
