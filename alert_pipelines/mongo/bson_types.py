"""The names of BSON types, as `$type` takes them, and the kinds that people call them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Decimal128
from bson.datetime_ms import DatetimeMS

# Every type but null and the deprecated undefined; `exists` means: some value of these at the path.
NOT_NULL_TYPES = [
    *("double", "string", "object", "array", "binData", "objectId", "bool", "date", "regex", "javascript"),
    *("javascriptWithScope", "symbol", "dbPointer", "int", "timestamp", "long", "decimal", "minKey", "maxKey"),
]

# An array has no separate range in an index, so it is asked for by itself.
NEITHER_DATE_NOR_ARRAY = [kind for kind in NOT_NULL_TYPES if kind not in ("date", "array")]

_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("boolean", (bool,)),
    ("number", (int, float, Decimal128)),
    ("text", (str,)),
    ("date", (datetime, DatetimeMS)),
    ("array", (list, tuple)),
    ("document", (Mapping,)),
)
_KINDS_OF_TYPES = {
    "bool": "boolean",
    **dict.fromkeys(("double", "int", "long", "decimal"), "number"),
    "string": "text",
    "object": "document",
}


def is_date(expression: str) -> dict[str, Any]:
    """Return an expression: whether `expression` is a BSON date."""
    return {"$eq": [{"$type": expression}, "date"]}


def kind_of(value: Any) -> str:
    """Return the kind of a value that the driver read: number, text, date and so on; else the name of its type."""
    return next((kind for kind, types in _KINDS if isinstance(value, types)), type(value).__name__)


def kind_of_type(name: str) -> str:
    """Return the kind of values of a BSON type, as `kind_of` calls it."""
    return _KINDS_OF_TYPES.get(name, name)
