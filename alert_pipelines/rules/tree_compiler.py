"""Compiles a `close_if` tree to a filter, and says it in words."""

from datetime import datetime, timedelta

from alert_pipelines.rules.clause import NOT_NULL_TYPES, Filter
from alert_pipelines.rules.tree import All, Any_, Leaf, Not, Op, Tree

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


def compile_tree(tree: Tree, as_of: datetime) -> Filter:
    """The filter of a `close_if` tree at `as_of`."""
    if isinstance(tree, All):
        return {"$and": [compile_tree(part, as_of) for part in tree.all]}
    if isinstance(tree, Any_):
        return {"$or": [compile_tree(part, as_of) for part in tree.any]}
    if isinstance(tree, Not):
        return {"$nor": [compile_tree(tree.not_, as_of)]}
    return {tree.field: _leaf_test(tree, as_of)}


def _leaf_test(leaf: Leaf, as_of: datetime) -> Filter:
    if leaf.op is Op.EXISTS:
        return {"$type": NOT_NULL_TYPES}
    if leaf.op is Op.MISSING:
        return {"$not": {"$type": NOT_NULL_TYPES}}
    if isinstance(leaf.value, int) and leaf.op is Op.OLDER_THAN_MINS:
        return {"$lte": as_of - timedelta(minutes=leaf.value)}
    if isinstance(leaf.value, int) and leaf.op is Op.NEWER_THAN_MINS:
        return {"$gt": as_of - timedelta(minutes=leaf.value)}
    return {_LEAF_OPERATORS[leaf.op]: leaf.value}


def describe(tree: Tree) -> str:
    """A `close_if` tree as a person would say it."""
    if isinstance(tree, Leaf):
        value = "" if tree.value is None else f" {tree.value!r}"
        return f"{tree.field} {tree.op.value}{value}"
    if isinstance(tree, Not):
        return f"not ({describe(tree.not_)})"
    word, parts = ("and", tree.all) if isinstance(tree, All) else ("or", tree.any)
    return f" {word} ".join(describe(part) if isinstance(part, Leaf) else f"({describe(part)})" for part in parts)
