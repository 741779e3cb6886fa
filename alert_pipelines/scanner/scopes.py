"""Finds the keys that a condition on other alerts must read, from the alerts that changed.

The clauses decide which of their alerts are due.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import bson
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.alerts.filters import MAX_ID_BYTES, dated, equal_to_any
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.rules.clause import Clause, Filter, Link, key_values
from alert_pipelines.rules.key_indexes import KeyIndexes
from alert_pipelines.scanner.changes import MAX_TOUCHED, Changes

_KEYS_A_QUERY = 500
_IDS_A_QUERY = 5_000


class Scopes:
    """Turns what was touched into the keys that a clause has to look at."""

    def __init__(
        self, db: AlertDatabase, changes: Changes, as_of: datetime, session: ClientSession | None = None
    ) -> None:
        self._options = db.codec_options.with_options(unicode_decode_error_handler="strict")
        self._alerts = db[COLLECTION]
        self._changes = changes
        self._as_of = as_of
        self._session = session
        self.indexes = KeyIndexes(self._alerts, session)

    def of(self, clause: Clause) -> list[Filter] | None:
        """Filters that together select every key of which something may have become due; None for all pending alerts.

        They may select more. Raises PyMongoError.
        """
        since, changes = self._changes.since_as_of, self._changes
        links = clause.links
        if links is None or since is None or (clause.depends_on_removals and changes.has_removals):
            return None
        if not all(self.indexes.find_path(link.ours[0]) for link in links) or not all(
            self.indexes.find_path(part.path, pending_only="status" in part.filter)
            for part in clause.all_that_became_eligible(since)
        ):
            return None
        touched: list[Filter] = [
            {"_id": {"$in": changes.touched[start : start + _IDS_A_QUERY]}}
            for start in range(0, len(changes.touched), _IDS_A_QUERY)
        ]
        eligible = [part.filter for part in clause.became_eligible(since)]
        scopes = [*touched, *eligible] if clause.by_touch else []
        for link in links:
            try:
                # An alert that came of age is not news to those that go with it, as long as it has no say about them.
                keys = self._keys(link, [*touched, *(part.filter for part in link.became_eligible(since))])
            except InvalidBSON:
                return None
            if len(keys) > MAX_TOUCHED:
                return None
            # What other alerts bring into play may lie anywhere in time.
            scopes += _selecting(link, keys, clause.lookback if link.theirs == link.ours == clause.key else None)
        return scopes

    def _keys(self, link: Link, asked: Iterable[Filter]) -> list["_Key"]:
        key = key_values(link.theirs)
        group = {"_id": key, "first": {"$min": "$timestamp"}, "last": {"$max": "$timestamp"}}
        raw_rows = self._alerts.with_options(codec_options=self._options.with_options(document_class=RawBSONDocument))
        found: list[_Key] = []
        for part in asked:
            match = {"$match": {"$and": [part, link.groups, dated(self._as_of)]}}
            for row in raw_rows.aggregate([match, {"$group": group}], session=self._session, allowDiskUse=True):
                values = self._as_stored(row["_id"].raw)
                found.append(_Key(tuple(values[name] for name in key), row["first"], row["last"]))
        return found

    def _as_stored(self, key: bytes) -> dict[str, Any]:
        """The values of a key; what is not exactly what is stored would not be found again."""
        values: dict[str, Any] = bson.decode(key, self._options)
        if len(key) > MAX_ID_BYTES or bson.encode(values, codec_options=self._options) != key:
            raise InvalidBSON("too long to ask for with others, or not sent back as it is stored")
        return values


class _Key(NamedTuple):
    """One key, and between which timestamps the alerts lie that bring it into play."""

    values: tuple[Any, ...]
    first: Any
    last: Any


def _selecting(link: Link, keys: Sequence[_Key], lookback: timedelta | None) -> Iterator[Filter]:
    ordered = sorted(keys, key=_at)
    for start in range(0, len(ordered), _KEYS_A_QUERY):
        part = ordered[start : start + _KEYS_A_QUERY]
        # Of several paths this selects also what mixes the values of two keys: whole keys, so no harm is done.
        keys_of = [equal_to_any(path, [key.values[n] for key in part]) for n, path in enumerate(link.ours)]
        yield {"$and": [*keys_of, _within_reach(lookback, part)]}


def _at(key: _Key) -> float:
    # Neighbours in time go together, so that the span of each query is narrow.
    return key.first.timestamp() if isinstance(key.first, datetime) else 0.0


def _within_reach(lookback: timedelta | None, keys: Sequence[_Key]) -> Filter:
    bounds = [bound for key in keys for bound in (key.first, key.last)]
    if lookback is None or not all(isinstance(bound, datetime) for bound in bounds):
        return {}
    try:
        return {"timestamp": {"$gte": min(bounds) - lookback, "$lte": max(bounds) + lookback}}
    except OverflowError:
        return {}
