"""Condition trees of the oracle."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

from alert_pipelines_tests.rules.oracle_values import MINUTE, Document, identity, is_number, is_ordered, ms, number_of


def tree_holds(tree: Document, alert: Document, now: int) -> bool:
    if "all" in tree:
        return all(tree_holds(part, alert, now) for part in tree["all"])
    if "any" in tree:
        return any(tree_holds(part, alert, now) for part in tree["any"])
    if "not" in tree:
        return not tree_holds(tree["not"], alert, now)
    values = list(_values_at(alert, tree["field"].split(".")))
    if "value_of" in tree:
        others = list(_values_at(alert, tree["value_of"].split(".")))
        if _is_shifted(tree):
            values = [_decimal(value) for value in values if is_number(value)]
        return _compared_holds(tree["op"], values, [_shifted(other, tree) for other in others])
    if tree["op"] in ("contains", "starts_with", "ends_with"):
        return any(isinstance(value, str) and _has_text(value, tree) for value in values)
    return _leaf_holds(tree["op"], values, tree.get("value"), now)


def _has_text(value: str, leaf: Document) -> bool:
    whole, part = (text.casefold() if leaf.get("ignore_case") else text for text in (value, leaf["value"]))
    if leaf["op"] == "contains":
        return part in whole
    return whole.startswith(part) if leaf["op"] == "starts_with" else whole.endswith(part)


def _shifted(value: Any, leaf: Document) -> Any:
    """The other field's value, times and plus; what is then compared with nothing is an array."""
    if not _is_shifted(leaf):
        return value if isinstance(value, str | bool | datetime) or is_number(value) else []
    if not is_number(value):
        return []
    number = _decimal(value)
    for name, reckon in (("times", _DECIMALS.multiply), ("plus", _DECIMALS.add)):
        if leaf.get(name) is not None:
            number = reckon(number, Decimal(str(leaf[name])))
    return number


def _is_shifted(leaf: Document) -> bool:
    return any(leaf.get(name) is not None for name in ("times", "plus"))


def _decimal(value: Any) -> Decimal:
    """A number as a decimal; of a double 15 digits count."""
    number = number_of(value)
    return Decimal(f"{number:.15g}") if isinstance(number, float) else Decimal(number)


# As many digits as Decimal128 has; what has no result is NaN.
_DECIMALS = Context(prec=34, traps=[])


def _compared_holds(op: str, values: list[object], others: list[Any]) -> bool:
    if op == "ne":
        return not _compared_holds("eq", values, others)
    pairs = [(value, other) for value in values for other in others if not isinstance(other, list)]
    if op == "eq":
        return any(identity(value) == identity(other) for value, other in pairs)
    return any(is_ordered(op, value, other) for value, other in pairs)


def _leaf_holds(op: str, values: list[object], wanted: Any, now: int) -> bool:
    opposites = {"ne": "eq", "not_in": "in", "missing": "exists"}
    if op in opposites:
        return not _leaf_holds(opposites[op], values, wanted, now)
    if op in ("eq", "in"):
        listed = wanted if op == "in" else [wanted]
        return any(identity(value) == identity(one) for value in values for one in listed)
    if op == "exists":
        return any(value is not None for value in values)
    if op.endswith("_mins"):
        span, dates = wanted * MINUTE, [ms(value) for value in values if isinstance(value, datetime)]
        return any(
            {
                "older_than_mins": date <= now - span,
                "newer_than_mins": date > now - span,
                "within_mins": now < date <= now + span,
                "beyond_mins": date > now + span,
            }[op]
            for date in dates
        )
    return any(is_ordered(op, value, wanted) for value in values)


def _values_at(value: object, names: Sequence[str]) -> Iterator[object]:
    if not names:
        yield value
        if isinstance(value, list):
            yield from value
        return
    for document in value if isinstance(value, list) else [value]:
        if isinstance(document, Mapping) and names[0] in document:
            yield from _values_at(document[names[0]], names[1:])


def equals_one_of(alert: Document, path: str, wanted: Sequence[object]) -> bool:
    identities = [identity(one) for one in wanted]
    return any(identity(value) in identities for value in _values_at(alert, path.split(".")))
