"""What is hinted at for a word that the rule language does not know: never the opposite of what was written."""

from typing import Any

import pytest

from alert_pipelines.errors import RuleError
from alert_pipelines.rules.hints import meant
from alert_pipelines.rules.model import Conditions, Mode
from alert_pipelines.rules.tree import Leaf, Op
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines_tests.factories import rule

OPS = [op.value for op in Op]
TREE = ["all", "any", "not", *Leaf.model_fields]
CONDITIONS = list(Conditions.model_fields)
MODES = [mode.value for mode in Mode]
STATUSES = ["OPEN", "ESCALATED", "AUTO_CLOSED", "RESOLVED"]


@pytest.mark.parametrize(
    ("known", "word", "opposite", "hint"),
    [
        (TREE, "and", "any", "all"),
        (TREE, "or", "all", "any"),
        (OPS, "<", "gt", "lt"),
        (OPS, ">=", "lt", "gte"),
        (OPS, "greater", "gte", "gt"),
        (OPS, "like", "lte", "contains"),
        (OPS, "regex", "gte", "contains"),
        (OPS, "nin", "in", "not_in"),
        (OPS, "isnull", "in", "missing"),
        (OPS, "not_exists", "exists", "missing"),
        (OPS, "not_null", "missing", "exists"),
        (OPS, "not_contains", "contains", None),
        (OPS, "not starts with", "starts_with", None),
        (OPS, "younger_than_mins", "older_than_mins", "newer_than_mins"),
        (OPS, "less_than_mins", "older_than_mins", "newer_than_mins"),
        (TREE, "nor", "any", None),
        (TREE, "case_sensitive", "ignore_case", None),
        (OPS, "eqals", "ne", "eq"),
        (MODES, "inactive", "active", "off"),
        (MODES, "deactivated", "active", None),
        (STATUSES, "UNRESOLVED", "RESOLVED", None),
        (STATUSES, "NOT_ESCALATED", "ESCALATED", None),
        (["later", "any"], "earlier", "later", None),
        (["now", "raised"], "not", "now", None),
        (CONDITIONS, "keep_oldest", "keep_latest", "keep_first"),
        (CONDITIONS, "close_unless", "close_if", None),
        (CONDITIONS, "skip_if", "close_if", None),
        (CONDITIONS, "exclude_severities", "severities", None),
        (CONDITIONS, "include_keys", "ignore_keys", None),
        (CONDITIONS, "min_close", "max_close", None),
        (CONDITIONS, "deescalate_if", "escalate_if", None),
        (CONDITIONS, "dont_notify", "notify", None),
    ],
)
def test_a_hint_said_the_opposite_of_what_was_written(known: list[str], word: str, opposite: str, hint: str) -> None:
    assert opposite in known
    assert meant(word, known) == hint


@pytest.mark.parametrize("word", ["ignor_keys", "ignoreKeys", "ignore-keys", "IGNORE_KEYS", "close_if_no_repeat_min"])
def test_a_misspelt_word_that_says_not_has_its_hint_all_the_same(word: str) -> None:
    assert meant(word, CONDITIONS) == ("close_if_no_repeat_mins" if word.startswith("close") else "ignore_keys")


@pytest.mark.parametrize("name", [name for name in (*CONDITIONS, *OPS, *TREE, *MODES) if len(name) > 4])
def test_a_letter_too_few_or_too_many_hints_at_the_word_itself(name: str) -> None:
    known = next(words for words in (CONDITIONS, OPS, TREE, MODES) if name in words)
    assert {meant(misspelt, known) for misspelt in (name[:-1], f"{name}s", name.upper())} == {name}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"and": []}, "close_if.and: unknown; did you mean 'all'?"),
        (
            {"field": "x", "op": "not_contains", "value": "a"},
            "got 'not_contains'. To negate a test, write {not: {field, op, value}}",
        ),
        (
            [{"field": "x", "op": "exists"}],
            "close_if: expected a leaf {field, op, value}, or one of all, any, not; got [",
        ),
        ({"any": [3]}, "close_if.any[0]: expected a leaf {field, op, value}, or one of all, any, not; got 3"),
    ],
)
def test_what_is_not_a_tree_is_answered_with_what_is(tree: Any, expected: str) -> None:
    with pytest.raises(RuleError) as error:
        parse_rule(rule("r", {"close_if": tree}))
    assert expected in str(error.value)
