"""Values of the oracle: kinds never mix."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bson.decimal128 import Decimal128

Document = Mapping[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000
"""In milliseconds."""


def ms(instant: datetime) -> int:
    """Milliseconds, as BSON keeps a date; a naive one is UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(milliseconds=1)


def at_or_before(value: object, limit: int) -> bool:
    return isinstance(value, datetime) and ms(value) <= limit


def is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal | Decimal128) and not isinstance(value, bool)


def number_of(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value


def identity(value: Any) -> tuple[str, object]:
    """Equal for two values that are one value to the language."""
    if is_number(value):
        number = number_of(value)
        return ("number", "NaN" if number != number else number)  # noqa: PLR0124 - only NaN differs from itself
    if isinstance(value, datetime):
        return ("date", ms(value))
    if isinstance(value, list):
        return ("array", [identity(entry) for entry in value])
    if isinstance(value, Mapping):
        return ("document", [(name, identity(entry)) for name, entry in value.items()])
    return (type(value).__name__, value)


def is_ordered(op: str, value: Any, wanted: Any) -> bool:
    if isinstance(value, datetime) and isinstance(wanted, datetime):
        value, wanted = ms(value), ms(wanted)
    texts = isinstance(value, str) and isinstance(wanted, str)
    if not texts and not (is_number(value) and is_number(wanted)):
        return False
    left, right = (value.encode(), wanted.encode()) if texts else (number_of(value), number_of(wanted))
    if left != left or right != right:  # noqa: PLR0124 - NaN
        return False
    orders: dict[str, bool] = {
        "lt": left < right,
        "lte": left <= right,
        "gt": left > right,
        "gte": left >= right,
    }
    return orders[op]
