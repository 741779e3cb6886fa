"""A rule in one English sentence."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from alert_pipelines.rules.files import read_rules
from alert_pipelines.rules.sentences import sentence
from alert_pipelines.rules.tree_words import reason_in_words
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines_tests.factories import rule
from alert_pipelines_tests.rules import strategies
from alert_pipelines_tests.rules.examples import examples

PAGE = Path(__file__).parents[2] / "docs" / "rules-howto.md"
SPEED = {"field": "metadata.speed", "op": "lte", "value_of": "metadata.speed_limit", "plus": 5}


def key(*paths: str) -> dict[str, Any]:
    return {"group_by": list(paths)}


SENTENCES: list[tuple[dict[str, Any], Any, str]] = [
    (
        {"close_if": SPEED},
        "OVERSPEEDING",
        "Closes OVERSPEEDING alerts when metadata.speed is at most metadata.speed_limit + 5.",
    ),
    (
        {"auto_close_if": "valid", "expire_after_mins": 2880, "hold_mins": 15},
        ["A", "B"],
        "Closes A or B alerts when metadata.valid is true, or they are 2 days old, if not updated for 15 minutes.",
    ),
    (
        {"escalate_after_mins": 30, "notify": True},
        "A",
        "Escalates OPEN A alerts when nobody attended to them for 30 minutes; and people are told.",
    ),
    ({"keep_latest": True, **key("a", "b")}, "A", "Closes A alerts when a newer one with the same a and b exists."),
    (
        {"keep_first": True, "escalate_after_mins": 90, "severities": ["INFO"], **key("a")},
        "*",
        (
            "Closes INFO alerts of every source when an older pending one with the same a exists; "
            "escalates those that are OPEN when nobody attended to them for 90 minutes."
        ),
    ),
    (
        {
            "escalate_if_count": 3,
            "window_mins": 10_080,
            "count_statuses": ["OPEN", "RESOLVED"],
            "count_distinct": "v",
            **key("a"),
        },
        "A",
        (
            "Escalates OPEN A alerts when there are 3 different v among OPEN or RESOLVED ones with the same a "
            "within 1 week."
        ),
    ),
    (
        {
            "close_if_no_repeat_mins": 30,
            "only_if": {"not": {"field": "x", "op": "eq", "value": True}},
            "ignore_keys": [""],
            "max_close": 5,
            "suppress_if_other": {"source_type": "OFF", "statuses": ["OPEN"]},
            **key("a"),
        },
        "A",
        (
            "Closes A alerts when none with the same a (other than '') was raised for 30 minutes; only if not (x is "
            "true); not while an OPEN alert of OFF with the same a exists; closing at most 5 in a scan."
        ),
    ),
    (
        {
            "close_if_other": {
                "source_type": "*",
                "match": {"alert_id": "parent"},
                "if": {"field": "x", "op": "in", "value": [1, "a"]},
            },
            "statuses": ["ESCALATED"],
        },
        "A",
        (
            "Closes ESCALATED A alerts when a later alert of any source with alert_id equal to their parent, "
            "for which x is one of 1, 'a', exists."
        ),
    ),
]


@pytest.mark.parametrize(("conditions", "source", "expected"), SENTENCES)
def test_a_rule_is_said_in_one_sentence(conditions: dict[str, Any], source: Any, expected: str) -> None:
    assert sentence(parse_rule(rule("r", conditions, source_type=source))) == expected


@pytest.mark.slow
@examples(200)
@given(document=strategies.rules())
def test_any_rule_is_one_line_that_names_its_sources_and_says_what_it_does(document: dict[str, Any]) -> None:
    parsed = parse_rule(document)
    said = sentence(parsed)
    assert re.fullmatch(r"(Closes|Escalates) .+ when .+\.", said)
    assert all(source in said for source in parsed.sources or ("every source",))
    assert ("scalates" in said) == bool(parsed.conditions.escalations)
    assert ("not while" in said) == bool(parsed.conditions.suppress_if_other)


def test_the_page_shows_what_the_command_says(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    [written] = re.findall(r"`my-rules.yaml`:\n\n```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my-rules.yaml").write_text(written)
    for one in read_rules(tmp_path / "my-rules.yaml"):
        assert f"{one.rule_id} (active): {sentence(one)}\n" in text


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("timestamp is 2880 or more minutes old", "timestamp is 2 days old or more"),
        ("nobody has attended to it for 90 or more minutes", "nobody has attended to it for 90 minutes or more"),
        (
            "2 or more pending alerts of the same key within 1440 minutes",
            "2 or more pending alerts of the same key within 1 day",
        ),
        (
            "it was not updated in the last 120 minutes, but by scans",
            "it was not updated in the last 2 hours, but by scans",
        ),
        (
            "timestamp is 60 or more open minutes of calendar 'c' old",
            "timestamp is 60 or more open minutes of calendar 'c' old",
        ),
        ("note is 'in 60 minutes', \"it's 60 minutes\"", "note is 'in 60 minutes', \"it's 60 minutes\""),
        ("within 12345678901 minutes", "within 12345678901 minutes"),
    ],
)
def test_a_reason_was_read_in_minutes_by_people_who_count_in_days(stored: str, read: str) -> None:
    assert reason_in_words(stored) == read
