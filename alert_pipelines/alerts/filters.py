"""Tests of an alert's fields, as MongoDB's query language."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from bson import DBRef, Regex

from alert_pipelines.alerts.model import PENDING, SETTLED, Status
from alert_pipelines.mongo.bson_types import NOT_NULL_TYPES
from alert_pipelines.timestamps import FIRST_DATE

# An array of dates would match by its elements, and a date before Python's first does not count here.
A_DATE: dict[str, Any] = {"$gte": FIRST_DATE, "$not": {"$type": "array"}}
"""The test of a field that holds one date, as Python knows dates."""


MAX_ID_BYTES = 1_024
"""The most that an `_id`, or a value that alerts are grouped by, may have: batches of them must fit into a command."""
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


def of_sources(sources: Sequence[str] | None) -> dict[str, Any]:
    """The filter of the alerts of one of `sources`; for None, of every source that is a text."""
    if sources is None:
        return {"source_type": {"$type": "string", "$not": {"$type": "array"}}}
    return {"source_type": one_of(sources)}


def equal_to_any(path: str, values: Sequence[Any]) -> dict[str, Any]:
    """The filter of the documents whose value at `path` equals one of `values`, which anybody may have stored."""
    # In a list the server takes {"$gt": ""} for an operator, and a regex for the texts that it matches.
    odd = [value for value in values if isinstance(value, dict | DBRef | Regex)]
    if not odd:
        return {path: {"$in": list(values)}}
    plain = [value for value in values if not isinstance(value, dict | DBRef | Regex)]
    return {"$or": [{path: {"$in": plain}}, *({path: {"$eq": value}} for value in odd)]}


def at_or_before(timestamp: datetime) -> dict[str, Any]:
    """The test of a field that holds one date, at or before `timestamp`."""
    # The server compares dates with dates only, but an array of them would match by its elements.
    return {"$lte": timestamp, "$not": {"$type": "array"}}


def dated(as_of: datetime) -> dict[str, Any]:
    """The filter of the alerts whose timestamp is a date at or before `as_of`."""
    return {"timestamp": at_or_before(as_of)}
