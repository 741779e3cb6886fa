"""Tests of an alert's fields, as MongoDB's query language."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from alert_pipelines.alerts.model import PENDING, SETTLED, Status
from alert_pipelines.mongo.bson_types import NOT_NULL_TYPES

# An array of dates would match by its elements, and a date before Python's first does not count here.
A_DATE: dict[str, Any] = {"$gte": datetime.min.replace(tzinfo=UTC), "$not": {"$type": "array"}}
"""The test of a field that holds one date, as Python knows dates."""


_BY_NAME = sorted(map(str, Status))
OUTSIDE_CONTRACT: dict[str, Any] = {
    "$or": [
        {"status": {"$lt": _BY_NAME[0]}},
        *({"status": {"$gt": one, "$lt": next_}} for one, next_ in pairwise(_BY_NAME)),
        {"status": {"$gt": _BY_NAME[-1]}},
        {"status": None},
        {"status": {"$type": [kind for kind in NOT_NULL_TYPES if kind != "string"]}},
    ]
}
"""The alerts whose status is none of the four. In ranges, since the filter of an index cannot say `$nin`."""

PENDING_NAMES = [str(status) for status in PENDING]
SETTLED_NAMES = [str(status) for status in SETTLED]
PENDING_IN_INDEX: dict[str, Any] = {"status": {"$in": PENDING_NAMES}}
"""The filter of the pending alerts as the filter of an index can say it: an array with such a status passes, too."""
WITH_STATUS_ARRAY: dict[str, Any] = {"status": {"$type": "array"}}
WITH_SOURCE_ARRAY: dict[str, Any] = {**PENDING_IN_INDEX, "source_type": {"$type": "array"}}


def one_of(texts: Iterable[str]) -> dict[str, Any]:
    """The test of a field that is one of `texts`: an array that holds one of them is not."""
    return {"$in": [str(text) for text in texts], "$not": {"$type": "array"}}


IS_PENDING: dict[str, Any] = {"status": one_of(PENDING)}
"""The filter of the pending alerts."""
