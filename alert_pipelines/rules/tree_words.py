"""Says a condition tree as a person would."""

import re
from typing import Any

from alert_pipelines.rules.tree import TEXTUAL, TIMED, All, Leaf, Not, Op, Tree

MAX_REASON = 1_000
_VERBS = {
    Op.EQ: "is",
    Op.NE: "is not",
    Op.LT: "is less than",
    Op.LTE: "is at most",
    Op.GT: "is more than",
    Op.GTE: "is at least",
    Op.IN: "is one of",
    Op.NOT_IN: "is none of",
    Op.EXISTS: "has a value",
    Op.MISSING: "has no value",
    Op.CONTAINS: "contains",
    Op.STARTS_WITH: "starts with",
    Op.ENDS_WITH: "ends with",
}
_TIMES = {
    Op.OLDER_THAN_MINS: "is {} or more ago",
    Op.NEWER_THAN_MINS: "is less than {} ago",
    Op.WITHIN_MINS: "is within the next {}",
    Op.BEYOND_MINS: "is more than {} ahead",
}
_UNITS = (("week", 10_080), ("day", 1_440), ("hour", 60), ("minute", 1))
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_MINUTES = re.compile(rf"{_QUOTED}|\b(?P<number>[1-9]\d{{0,8}})(?P<more> or more)? minutes\b(?P<old> old)?")


def describe(tree: Tree) -> str:
    """The whole of `tree`, as "metadata.speed is at most metadata.speed_limit + 5"."""
    if isinstance(tree, Leaf):
        return _leaf(tree)
    if isinstance(tree, Not):
        return f"not ({describe(tree.not_)})"
    word, parts = ("and", tree.all) if isinstance(tree, All) else ("or", tree.any)
    return f" {word} ".join(describe(part) if isinstance(part, Leaf) else f"({describe(part)})" for part in parts)


def in_words(tree: Tree) -> str:
    """The same, cut: it is written into every alert that is decided. The whole rule is kept once, in rule_versions."""
    text = describe(tree)
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"


def span_in_words(minutes: int) -> str:
    """A number of minutes in the largest unit that needs no fraction, as "2 hours"."""
    unit, size = next((unit, size) for unit, size in _UNITS if minutes % size == 0)
    number = minutes // size
    return f"{number} {unit}{'' if number == 1 else 's'}"


def reason_in_words(reason: str) -> str:
    """A stored reason as people read it: "1440 or more minutes old" as "1 day old or more". What is quoted stays."""

    def span(found: re.Match[str]) -> str:
        if found["number"] is None:
            return found[0]
        return f"{span_in_words(int(found['number']))}{found['old'] or ''}{found['more'] or ''}"

    return _MINUTES.sub(span, reason)


def _leaf(leaf: Leaf) -> str:
    if leaf.op in TIMED and isinstance(leaf.value, int):
        return f"{leaf.field} {_TIMES[leaf.op].format(span_in_words(leaf.value))}"
    said = f"{leaf.field} {_VERBS[leaf.op]}"
    if leaf.value_of:
        return f"{said} {leaf.value_of}{_shifted(leaf)}"
    if leaf.value is None:
        return said
    any_case = ", in upper or lower case" if leaf.op in TEXTUAL and leaf.ignore_case else ""
    return f"{said} {_value(leaf.value)}{any_case}"


def _shifted(leaf: Leaf) -> str:
    times = "" if leaf.times is None else f" * {leaf.times}"
    if leaf.plus is None:
        return times
    return f"{times} {'+' if leaf.plus >= 0 else '-'} {abs(leaf.plus)}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return str(value).lower() if isinstance(value, bool) else repr(value)
