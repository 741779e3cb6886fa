"""What stands at a path, as an expression: for tests that a filter cannot make, on each of the values by itself.

As in a filter, these are the value itself and, if it is an array, each of its elements; a path goes on through an
array into every one of its documents.
"""

from datetime import datetime
from typing import Any

from bson.decimal128 import Decimal128

from alert_pipelines.mongo.bson_types import is_date

Expression = dict[str, Any]

_ORDERED_KINDS = ("number", "string", "date")
_EQUAL_KINDS = (*_ORDERED_KINDS, "bool")


def any_value(path: str, name: str, test: Any) -> Expression:
    """Whether some value at `path`, which `test` calls `$$name`, passes `test`."""
    return {"$anyElementTrue": [{"$map": {"input": _values_at(path), "as": name, "in": test}}]}


def types_at(path: str) -> Expression:
    """The BSON types of the values at `path`, each once."""
    return {"$setUnion": [{"$map": {"input": _values_at(path), "as": "value", "in": {"$type": "$$value"}}}]}


def in_span(path: str, after: datetime, until: datetime) -> Expression:
    """The filter of the documents that have a date at `path` after `after` and not after `until`."""
    test = {"$and": [is_date("$$value"), {"$gt": ["$$value", after]}, {"$lte": ["$$value", until]}]}
    return {"$expr": any_value(path, "value", test)}


def compares(operator: str, *, ordered: bool, plus: float | None, times: float | None) -> Expression:
    """Whether `$$one` stands as `operator` says to `$$other`, times `times`, plus `plus`: two values of one kind.

    With `plus` or `times` both must be numbers, and are reckoned with as decimals. NaN is not ordered.
    """
    kinds: tuple[str, ...] = _ORDERED_KINDS if ordered else _EQUAL_KINDS
    given: Any = "$$one"
    shifted: Any = "$$other"
    if (plus, times) != (None, None):
        kinds, given, shifted = ("number",), {"$toDecimal": "$$one"}, _shifted(plus, times)
    same_kind = {"$or": [{"$and": [_is_of(kind, "$$one"), _is_of(kind, "$$other")]} for kind in kinds]}
    nan = float("nan")
    ordering = [{"$ne": ["$$given", nan]}, {"$ne": ["$$shifted", nan]}] if ordered else []
    test = {"$and": [*ordering, {operator: ["$$given", "$$shifted"]}]}
    # The branch that is not taken is not evaluated: a text cannot be added to.
    return {"$cond": [same_kind, {"$let": {"vars": {"given": given, "shifted": shifted}, "in": test}}, False]}


def _shifted(plus: float | None, times: float | None) -> Expression:
    # In doubles 1.1 times 100 is more than 110.
    shifted: Expression = {"$toDecimal": "$$other"}
    if times is not None:
        shifted = {"$multiply": [shifted, Decimal128(str(times))]}
    return shifted if plus is None else {"$add": [shifted, Decimal128(str(plus))]}


def _is_of(kind: str, value: str) -> Expression:
    return {"$isNumber": value} if kind == "number" else {"$eq": [{"$type": value}, kind]}


def _values_at(path: str) -> Any:
    first, *rest = path.split(".")
    values = _itself_and_elements(f"${first}")
    for name in rest:
        documents = {"$filter": {"input": values, "cond": {"$eq": [{"$type": "$$this"}, "object"]}}}
        further = {"$concatArrays": ["$$value", _itself_and_elements(f"$$this.{name}")]}
        values = {"$reduce": {"input": documents, "initialValue": [], "in": further}}
    return values


def _itself_and_elements(value: str) -> Expression:
    return {"$cond": [{"$isArray": value}, {"$concatArrays": [[value], value]}, [value]]}
