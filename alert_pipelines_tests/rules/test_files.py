"""Rule files."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from alert_pipelines.alerts import SourceType
from alert_pipelines.errors import RuleFileError
from alert_pipelines.rules.files import default_rules, dump_rules, language_schema, read_rules
from alert_pipelines.rules.model import Mode


def written(tmp_path: Path, text: str, name: str = "rules.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_short_form_is_expanded(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "overspeed": {"escalate_if_count": 3, "window_mins": 60},
            "feedback_negative": {"escalate_if_count": 2, "window_mins": 1440},
            "compliance": {"auto_close_if": "document_valid"},
        }
    )
    rules = read_rules(written(tmp_path, text, "rules.json"))
    assert [(rule.rule_id, rule.source_type) for rule in rules] == [
        ("overspeed", "OVERSPEEDING"),
        ("feedback_negative", "FEEDBACK_NEGATIVE"),
        ("compliance", "COMPLIANCE"),
    ]
    assert rules[0].conditions.escalate_if_count == 3


def test_an_unknown_name_in_the_short_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RuleFileError, match="'overspede' is not a valid source of the short form; did you mean 'overspeed'"
    ):
        read_rules(written(tmp_path, "overspede: {escalate_if_count: 3}"))


def test_mode_off_in_yaml_is_a_mode_and_no_boolean(tmp_path: Path) -> None:
    text = "rules: [{rule_id: r, source_type: SAFETY, mode: off, conditions: {keep_latest: true}}]"
    assert read_rules(written(tmp_path, text))[0].effective_mode is Mode.OFF


def test_a_leading_zero_in_yaml_makes_no_octal_number(tmp_path: Path) -> None:
    text = "rules: [{rule_id: r, source_type: S, conditions: {close_if: {field: metadata.id, op: eq, value: 0045}}}]"
    [read] = read_rules(written(tmp_path, text))
    assert read.canonical()["conditions"]["close_if"]["value"] == "0045"
    with pytest.raises(RuleFileError, match="expected a valid integer; got '060'"):
        read_rules(written(tmp_path, "overspeed: {expire_after_mins: 060}"))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps({"overspeed": {"keep_latest": True}})
    assert len(read_rules(written(tmp_path, text, "rules.json"))) == 1


@pytest.mark.parametrize("file_format", ["yaml", "json"])
def test_what_is_dumped_reads_back_the_same(tmp_path: Path, file_format: str) -> None:
    dumped = dump_rules(default_rules(), file_format)  # type: ignore[arg-type]
    read = read_rules(written(tmp_path, dumped, f"rules.{file_format}"))
    assert [rule.canonical() for rule in read] == [rule.canonical() for rule in default_rules()]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("rules: [", "r.yaml", "not valid YAML"),
        ("{", "r.json", "not valid JSON"),
        ('{"overspeed": {"keep_latest": true, "keep_latest": false}}', "r.json", "'keep_latest' is given twice"),
        ("overspeed: {keep_latest: true}\noverspeed: {keep_latest: true}", "r.yaml", "given twice"),
        ("rules: []\nrulse: []", "r.yaml", "unknown next to 'rules': rulse"),
        ("just text", "r.yaml", "expected 'rules:'"),
        ("x: {close_if: {all: &x [*x]}}", "r.yaml", "it contains itself"),
        ("rules: [{rule_id: a}, {rule_id: b}]", "r.yaml", "rule 'b': source_type: is missing"),
    ],
)
def test_a_bad_file_is_named_with_all_that_is_wrong(tmp_path: Path, text: str, name: str, expected: str) -> None:
    path = written(tmp_path, text, name)
    with pytest.raises(RuleFileError, match=expected) as refused:
        read_rules(path)
    assert str(path) in str(refused.value)


def test_two_rules_with_one_id_are_refused(tmp_path: Path) -> None:
    one = "{rule_id: r, source_type: SAFETY, conditions: {keep_latest: true}}"
    with pytest.raises(RuleFileError, match="rule 'r': given twice"):
        read_rules(written(tmp_path, f"[{one}, {one}]"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match=r"none\.yaml cannot be read"):
        read_rules(tmp_path / "none.yaml")


def test_the_default_rules_cover_the_six_sources_and_have_names() -> None:
    assert {rule.source_type for rule in default_rules()} == set(SourceType)
    assert all(rule.name and rule.description for rule in default_rules())


def test_the_schema_accepts_the_default_rules_and_refuses_a_misspelling() -> None:
    validator = Draft202012Validator(language_schema())
    content = json.loads(dump_rules(default_rules(), "json"))
    validator.validate(content)
    content["rules"][0]["conditions"]["keep_lastest"] = True
    assert not validator.is_valid(content)
