"""Reads all alerts in slices: queries of bounded size, for any number of alerts.

A condition on other alerts needs whole keys, so its slices are ranges of keys, which an index finds. Where none does,
or one key has most of the alerts, a count in a window goes by spans of time instead. What a slice holds is estimated
from a sample: where the cuts lie changes how long a query takes, never what is due.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from alert_pipelines.alerts.filters import MAX_ID_BYTES
from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.rules.clause import Clause, Filter
from alert_pipelines.scanner.key_indexes import KeyIndexes, in_one_pass

SLICE = 100_000
"""About this number of alerts a query: a few seconds."""
MAX_KEYED = 4
"""An index by key holds the settled alerts, too: with more alerts for each candidate, ranges of it cost more than
one look at what is pending."""
MUST_SLICE = 5_000_000
"""Above this one look would come near the limit of a query, so ranges are used whatever they cost."""
MAX_UNEVEN = 3
"""A slice of more than this number of slices is of one key, which ranges of keys cannot cut; spans of time can."""
_FEW = 5_000
_ALERTS_A_SAMPLE = 2_000
_SAMPLES = (1_000, 20_000)
_WINDOWS_A_SPAN = 4


class Query(NamedTuple):
    """One query of a clause: within `scope`, or at all that the clause looks at."""

    clause: Clause
    scope: Filter | None = None


class _Estimate(NamedTuple):
    """What a sample tells of a clause: how many candidates there are, of how many with a key, and where to cut them.

    `largest` is about what the largest slice will hold: one value cannot be cut.
    """

    candidates: float
    keyed: float
    cuts: list[Any]
    largest: float


class Slices:
    """Cuts the looks at all alerts of one plan."""

    def __init__(
        self, alerts: Collection[AlertDocument], indexes: KeyIndexes, session: ClientSession | None = None
    ) -> None:
        self._alerts = alerts
        self._indexes = indexes
        self._session = session
        self._stored: int | None = None

    def of(self, clause: Clause) -> list[Query]:
        """Looks that together yield what `clause` yields, each alert once; only one where there is little to look at.

        Raises PyMongoError.
        """
        # Decided alone, alerts may be cut anywhere: best between keys, each of which is a look-up.
        alone = clause.by_touch and bool(clause.all_others)
        cut = replace(clause, key=clause.all_others[0].ours, lookback=timedelta()) if alone else clause
        # The newest of each key by a look-up costs more than reading all, unless most of it is settled.
        least = min(2 * SLICE, _FEW) if clause.in_one_pass else 2 * SLICE
        if self._indexes.scattered(clause):
            # Each slice would read all the others.
            least = MUST_SLICE
        return self._cut(cut) if cut.key and self._all_stored() >= least else [Query(clause)]

    def _cut(self, clause: Clause) -> list[Query]:
        if self._indexes.find_path(clause.key[0]):
            found = self._estimate(clause, clause.key[0])
            by_key = found.candidates > MUST_SLICE or found.keyed <= MAX_KEYED * found.candidates
            if by_key and (clause.lookback is None or found.largest <= MAX_UNEVEN * SLICE):
                one_pass = in_one_pass(clause, self._alerts, self._session)
                ranges = [Query(one_pass, scope) for scope in _ranges(clause.key[0], found.cuts)]
                return [*ranges, *self._without_key(clause)]
        if clause.lookback is not None:
            return self._in_spans(clause, _WINDOWS_A_SPAN * clause.lookback)
        if self._all_stored() > MUST_SLICE:
            # Without an index each range reads all alerts, so there are as few ranges as can be.
            cuts = self._estimate(clause, clause.key[0], MUST_SLICE).cuts
            return [Query(clause, scope) for scope in _ranges(clause.key[0], cuts)] if cuts else [Query(clause)]
        return [Query(clause)]

    def _without_key(self, clause: Clause) -> list[Query]:
        """Looks at the alerts that ranges of keys leave out, if one without a key can be due: nothing suppresses it.

        An array that holds a null may be met here and in a range, and one with far apart values in two ranges.
        """
        if not clause.by_touch or clause.others:
            return []
        return self._in_spans(replace(clause, suppressed_by=None).within({clause.key[0]: None}), timedelta())

    def _in_spans(self, clause: Clause, least: timedelta) -> list[Query]:
        spans = _spans(self._estimate(clause, "timestamp").cuts, least)
        return [Query(clause.of_span(since, until)) for since, until in spans]

    def _all_stored(self) -> int:
        if self._stored is None:
            # From the collection's own figures, whatever it holds; nothing but the sizes of slices goes by it.
            self._stored = self._alerts.estimated_document_count()
        return self._stored

    def _estimate(self, clause: Clause, path: str, slice_size: int | None = None) -> _Estimate:
        slice_size = slice_size or SLICE
        stored = self._all_stored()
        size = min(max(stored // _ALERTS_A_SAMPLE, _SAMPLES[0]), _SAMPLES[1])
        cut = {"$bucketAuto": {"groupBy": f"${path}", "buckets": max(1, stored // slice_size)}}
        pipeline: list[dict[str, Any]] = [
            {"$sample": {"size": size}},
            {"$match": clause.groups},
            {"$facet": {"keyed": [{"$count": "alerts"}], "candidates": [{"$match": clause.candidates}, cut]}},
        ]
        [found] = self._alerts.aggregate(pipeline, session=self._session, allowDiskUse=True)
        buckets, each_stands_for = found["candidates"], stored / min(size, stored)
        candidates = sum(bucket["count"] for bucket in buckets) * each_stands_for
        keyed = sum(counted["alerts"] for counted in found["keyed"]) * each_stands_for
        largest = max((bucket["count"] for bucket in buckets), default=0) * each_stands_for
        wanted = math.ceil(candidates / slice_size)
        starts = [bucket["_id"]["min"] for bucket in buckets]
        step = max(1, len(starts) // max(1, wanted))
        return _Estimate(candidates, keyed, _of_one_kind(starts[step::step]), largest)


def _of_one_kind(values: Sequence[Any]) -> list[Any]:
    """Those of the sorted `values` that are of the kind most of them are, each once."""
    kinds = Counter(kind for value in values if (kind := _kind(value)))
    return list(dict.fromkeys(value for value in values if kinds and _kind(value) == max(kinds, key=kinds.__getitem__)))


def _kind(value: Any) -> str | None:
    """What the server compares `value` with; None for what is not a good place to cut."""
    if isinstance(value, str):
        return "text" if len(value.encode()) <= MAX_ID_BYTES else None
    if isinstance(value, bool) or value != value:  # noqa: PLR0124 - NaN is less than every number
        return None
    kinds = (((int, float), "number"), (datetime, "date"), (ObjectId, "id"))
    return next((name for types, name in kinds if isinstance(value, types)), None)


def _ranges(path: str, cuts: Sequence[Any]) -> Iterator[Filter]:
    """Filters that together select every value at `path` but null; each but arrays in one of them."""
    # What is of another kind than the cuts is in the first. Where candidates have a key, to leave out null again lets
    # the server do so by its index.
    first: Filter = {path: {"$ne": None}}
    yield {**first, "$nor": [{path: {"$gte": cuts[0]}}]} if cuts else first
    for since, until in zip(cuts, [*cuts, None][1:], strict=True):
        yield {path: {"$gte": since, **({} if until is None else {"$lt": until})}}


def _spans(cuts: Sequence[datetime], least: timedelta) -> Iterator[tuple[datetime | None, datetime | None]]:
    """The spans between `cuts` that are at least so long, the first without a beginning and the last without an end."""
    since: datetime | None = None
    for cut in cuts:
        if since is None or cut - since >= least:
            yield since, cut
            since = cut
    yield since, None
