"""Compiles a condition tree to a filter."""

import re
from datetime import datetime, timedelta

from alert_pipelines.mongo.bson_types import NOT_NULL_TYPES
from alert_pipelines.rules.clause import Filter, Predicate
from alert_pipelines.rules.hours import Clock
from alert_pipelines.rules.path_values import any_value, compares, in_span
from alert_pipelines.rules.tree import AGING, ORDERED, TEXTUAL, TIMED, All, Any_, Leaf, Not, Op, Tree, leaves
from alert_pipelines.rules.tree_words import in_words

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


def compile_tree(tree: Tree, clock: Clock) -> Filter:
    """The filter of a condition tree at the as_of of `clock`, which says how old a date is."""
    if isinstance(tree, All):
        return {"$and": [compile_tree(part, clock) for part in tree.all]}
    if isinstance(tree, Any_):
        return {"$or": [compile_tree(part, clock) for part in tree.any]}
    if isinstance(tree, Not):
        return {"$nor": [compile_tree(tree.not_, clock)]}
    return _leaf_test(tree, clock)


def tree_test(condition: str, tree: Tree, clock: Clock) -> Predicate:
    """The test of the alert itself that `condition` makes by its `tree`."""
    fields = dict.fromkeys(path for leaf in leaves(tree) for path in leaf.fields)
    return Predicate(condition, in_words(tree), compile_tree(tree, clock), tuple(fields))


def _leaf_test(leaf: Leaf, clock: Clock) -> Filter:
    if leaf.value_of:
        return _compared(leaf, leaf.value_of)
    if isinstance(leaf.value, int) and leaf.op in TIMED:
        return _timed(leaf.field, leaf.op, clock, leaf.value)
    if isinstance(leaf.value, str) and leaf.op in TEXTUAL:
        return _text_test(leaf.field, leaf.op, leaf.value, ignore_case=bool(leaf.ignore_case))
    if leaf.op is Op.EXISTS:
        return {leaf.field: {"$type": NOT_NULL_TYPES}}
    if leaf.op is Op.MISSING:
        return {leaf.field: {"$not": {"$type": NOT_NULL_TYPES}}}
    return {leaf.field: {_LEAF_OPERATORS[leaf.op]: leaf.value}}


def _timed(path: str, op: Op, clock: Clock, minutes: int) -> Filter:
    if op is Op.OLDER_THAN_MINS:
        return {path: {"$lte": clock.before(minutes)}}
    if op is Op.NEWER_THAN_MINS:
        return {path: {"$gt": clock.before(minutes)}}
    as_of, end = clock.as_of, clock.as_of + timedelta(minutes=minutes)
    if op is Op.BEYOND_MINS:
        return {path: {"$gt": end}}
    # The range serves an index; of an array two different dates could meet it, so each is asked by itself, too.
    return {path: {"$gt": as_of, "$lte": end}, **in_span(path, as_of, end)}


def can_use_an_index(tree: Tree) -> bool:
    """Whether an index may narrow each test of `tree`: none does for a part of a text, nor for two fields compared."""
    return not any(leaf.value_of or leaf.op in TEXTUAL for leaf in leaves(tree))


def crossings(tree: Tree, since: Clock, now: Clock) -> dict[str, list[Filter]]:
    """By path, the tests of a date by which the clock alone may have changed what `tree` says after `since`."""
    found: dict[str, list[Filter]] = {}
    for leaf in leaves(tree):
        for before, after in zip(_edges(leaf, since), _edges(leaf, now), strict=True):
            found.setdefault(leaf.field, []).append({"$gt": before, "$lte": after})
    return found


def _edges(leaf: Leaf, clock: Clock) -> list[datetime]:
    """The dates at which what the leaf says of a date changes."""
    if leaf.op not in TIMED or not isinstance(leaf.value, int):
        return []
    if leaf.op in AGING:
        return [clock.before(leaf.value)]
    end = clock.as_of + timedelta(minutes=leaf.value)
    return [clock.as_of, end] if leaf.op is Op.WITHIN_MINS else [end]


def _text_test(path: str, op: Op, text: str, *, ignore_case: bool) -> Filter:
    # Every other way to ask either cannot ignore case beyond ASCII, or fails as a whole at one text that is not UTF-8.
    pattern = _ANCHORED[op].format(re.escape(text).replace("\0", r"\x00"))
    # A stored regular expression would match one that is written the same.
    return {"$and": [{path: {"$regex": pattern, "$options": "i" if ignore_case else ""}}, {path: {"$type": "string"}}]}


def _compared(leaf: Leaf, other: str) -> Filter:
    test = compares(
        "$eq" if leaf.op is Op.NE else _LEAF_OPERATORS[leaf.op],
        ordered=leaf.op in ORDERED,
        plus=leaf.plus,
        times=leaf.times,
    )
    holds = any_value(leaf.field, "one", any_value(other, "other", test))
    return {"$expr": {"$not": [holds]} if leaf.op is Op.NE else holds}
