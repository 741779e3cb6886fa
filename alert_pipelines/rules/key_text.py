"""Writes the key of a group of alerts as a text: equal for equal keys, different for different keys."""

import json
import re
from collections.abc import Iterable
from typing import Any

from bson import json_util
from bson.decimal128 import Decimal128

_BETWEEN = " / "
# As numbers and booleans are written here, and the first characters of what is written as JSON.
_NOT_PLAIN = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf)|true|false|["{\[].*', re.I | re.A | re.S)


def key_text(values: Iterable[Any]) -> str:
    """The values of a key, as MongoDB has them, in one line.

    Texts stand as they are unless they could be taken for another value or for two; then they are quoted. Numbers that
    are equal are written alike, whatever their type.
    """
    return _BETWEEN.join(map(_part, values))


def _part(value: Any) -> str:
    if isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, Decimal128):
        exact = value.to_decimal()
        value = float(exact) if exact.is_finite() and float(exact) == exact else value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return json_util.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    return (
        text.isprintable()
        and text == text.strip() != ""
        and _BETWEEN not in f" {text} "
        and _NOT_PLAIN.fullmatch(text) is None
    )
