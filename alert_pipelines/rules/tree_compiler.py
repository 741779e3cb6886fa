"""Compiles a condition tree to a filter, and says it in words."""

from datetime import datetime, timedelta

from alert_pipelines.mongo.bson_types import NOT_NULL_TYPES
from alert_pipelines.rules.clause import Filter, Test
from alert_pipelines.rules.path_values import any_value, compares, in_span
from alert_pipelines.rules.tree import ORDERED, TEXTUAL, TIMED, All, Any_, Leaf, Not, Op, Tree, leaves

MAX_REASON = 1_000
_LEAF_OPERATORS = {
    Op.EQ: "$eq",
    Op.NE: "$ne",
    Op.LT: "$lt",
    Op.LTE: "$lte",
    Op.GT: "$gt",
    Op.GTE: "$gte",
    Op.IN: "$in",
    Op.NOT_IN: "$nin",
}
_ANCHORED = {Op.CONTAINS: "{}", Op.STARTS_WITH: "^{}", Op.ENDS_WITH: r"{}\z"}


def compile_tree(tree: Tree, as_of: datetime) -> Filter:
    """The filter of a condition tree at `as_of`."""
    if isinstance(tree, All):
        return {"$and": [compile_tree(part, as_of) for part in tree.all]}
    if isinstance(tree, Any_):
        return {"$or": [compile_tree(part, as_of) for part in tree.any]}
    if isinstance(tree, Not):
        return {"$nor": [compile_tree(tree.not_, as_of)]}
    return _leaf_test(tree, as_of)


def tree_test(condition: str, tree: Tree, as_of: datetime) -> Test:
    """The test of the alert itself that `condition` makes by its `tree`."""
    fields = dict.fromkeys(path for leaf in leaves(tree) for path in leaf.fields)
    return Test(condition, in_words(tree), compile_tree(tree, as_of), tuple(fields))


def in_words(tree: Tree) -> str:
    """`describe`, cut: it is written into every alert that is decided. The whole rule is kept once, in
    rule_versions."""
    text = describe(tree)
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"


def _leaf_test(leaf: Leaf, as_of: datetime) -> Filter:
    if leaf.value_of:
        return _compared(leaf, leaf.value_of)
    if isinstance(leaf.value, int) and leaf.op in TIMED:
        return _timed(leaf.field, leaf.op, as_of, timedelta(minutes=leaf.value))
    if isinstance(leaf.value, str) and leaf.op in TEXTUAL:
        return _text_test(leaf.field, leaf.op, leaf.value, ignore_case=bool(leaf.ignore_case))
    if leaf.op is Op.EXISTS:
        return {leaf.field: {"$type": NOT_NULL_TYPES}}
    if leaf.op is Op.MISSING:
        return {leaf.field: {"$not": {"$type": NOT_NULL_TYPES}}}
    return {leaf.field: {_LEAF_OPERATORS[leaf.op]: leaf.value}}


def _timed(path: str, op: Op, as_of: datetime, span: timedelta) -> Filter:
    if op is Op.OLDER_THAN_MINS:
        return {path: {"$lte": as_of - span}}
    if op is Op.NEWER_THAN_MINS:
        return {path: {"$gt": as_of - span}}
    if op is Op.BEYOND_MINS:
        return {path: {"$gt": as_of + span}}
    # The range serves an index; of an array two different dates could meet it, so each is asked by itself, too.
    return {path: {"$gt": as_of, "$lte": as_of + span}, **in_span(path, as_of, as_of + span)}


def crossings(tree: Tree, since: datetime, as_of: datetime) -> dict[str, list[Filter]]:
    """By path, the tests of a date by which the clock alone may have changed what `tree` says after `since`."""
    found: dict[str, list[Filter]] = {}
    for leaf in leaves(tree):
        for span in _edges(leaf):
            found.setdefault(leaf.field, []).append({"$gt": since + span, "$lte": as_of + span})
    return found


def _edges(leaf: Leaf) -> list[timedelta]:
    """How far after as_of a date lies when what the leaf says of it changes."""
    if leaf.op not in TIMED or not isinstance(leaf.value, int):
        return []
    span = timedelta(minutes=leaf.value)
    if leaf.op is Op.WITHIN_MINS:
        return [timedelta(), span]
    return [span if leaf.op is Op.BEYOND_MINS else -span]


def _text_test(path: str, op: Op, text: str, *, ignore_case: bool) -> Filter:
    # Every other way to ask either cannot ignore case beyond ASCII, or fails as a whole at one text that is not UTF-8.
    pattern = _ANCHORED[op].format("".join(map(_literal, text)))
    # A stored regular expression would match one that is written the same.
    return {"$and": [{path: {"$regex": pattern, "$options": "i" if ignore_case else ""}}, {path: {"$type": "string"}}]}


def _literal(character: str) -> str:
    """The one character as a pattern that matches just this one, whatever it is."""
    if not character.isascii() or character.isalnum():
        return character
    return f"\\{character}" if character.isprintable() else f"\\x{ord(character):02x}"


def _compared(leaf: Leaf, other: str) -> Filter:
    test = compares(
        "$eq" if leaf.op is Op.NE else _LEAF_OPERATORS[leaf.op],
        ordered=leaf.op in ORDERED,
        plus=leaf.plus,
        times=leaf.times,
    )
    holds = any_value(leaf.field, "one", any_value(other, "other", test))
    return {"$expr": {"$not": [holds]} if leaf.op is Op.NE else holds}


def describe(tree: Tree) -> str:
    """A condition tree as a person would say it."""
    if isinstance(tree, Leaf):
        return f"{tree.field} {tree.op.value}{_compared_with(tree)}"
    if isinstance(tree, Not):
        return f"not ({describe(tree.not_)})"
    word, parts = ("and", tree.all) if isinstance(tree, All) else ("or", tree.any)
    return f" {word} ".join(describe(part) if isinstance(part, Leaf) else f"({describe(part)})" for part in parts)


def _compared_with(leaf: Leaf) -> str:
    if leaf.value_of:
        times = "" if leaf.times is None else f" * {leaf.times}"
        plus = "" if leaf.plus is None else f" + {leaf.plus}" if leaf.plus >= 0 else f" - {-leaf.plus}"
        return f" {leaf.value_of}{times}{plus}"
    return ("" if leaf.value is None else f" {leaf.value!r}") + (" (any case)" if leaf.ignore_case else "")
