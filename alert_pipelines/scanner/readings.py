"""How the alerts of a clause are read: `Readings.of` decides it, for a scan that looks at all of them.

1. All in one query, where few alerts are stored.
2. In ranges of keys, where an index finds the alerts by key: a condition on other alerts needs whole keys.
3. In spans of time, where no index does, an alert had an array as its key, or one key has most of the alerts, and where
   alerts of any key can be cut: a count in a window, or a look at others alone.
4. In as few ranges of keys as a query can bear, or in one.

Scopes of an incremental scan, and the alerts of a back-test, are read as they are given: `Readings.within`. In each of
these ways, what no index finds by key is read in one pass and not looked up key by key. What a slice holds is estimated
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

from alert_pipelines.alerts import A_DATE, IS_PENDING
from alert_pipelines.alerts.filters import MAX_ID_BYTES
from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.rules.clause import NONE, Clause, Filter, Stage
from alert_pipelines.rules.key_indexes import KeyIndexes

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

    @property
    def pipeline(self) -> list[Stage]:
        """The aggregation that yields the due alerts as PLANNED."""
        return self.clause.pipeline(self.scope)


class _Estimate(NamedTuple):
    """What a sample tells of a clause: how many candidates there are, of how many with a key, and where to cut them.

    `largest` is about what the largest slice will hold: one value cannot be cut.
    """

    candidates: float
    keyed: float
    cuts: list[Any]
    largest: float


class Readings:
    """Decides for one plan in which queries the alerts of a clause are read."""

    def __init__(
        self, alerts: Collection[AlertDocument], indexes: KeyIndexes, session: ClientSession | None = None
    ) -> None:
        self._alerts = alerts
        self._indexes = indexes
        self._session = session
        self._stored: int | None = None

    def of(self, clause: Clause) -> list[Query]:
        """Queries that together yield what `clause` yields, each alert once; only one where there is little to read.

        Raises PyMongoError.
        """
        # Decided alone, alerts may be cut anywhere: best between keys, each of which is a look-up.
        alone = clause.by_touch and bool(clause.all_others)
        cut = replace(clause, key=clause.all_others[0].ours, lookback=timedelta()) if alone else clause
        if not cut.key or self._all_stored() < self._least_to_cut(clause):
            return self.within(clause)
        path = cut.key[0]
        if self._indexes.find_path(path):
            found = self._estimate(cut, path)
            by_key = found.candidates > MUST_SLICE or found.keyed <= MAX_KEYED * found.candidates
            even = cut.lookback is None or found.largest <= MAX_UNEVEN * SLICE
            if by_key and even and not self._indexes.holds_arrays(path):
                one_pass = self._chosen(cut, in_one_pass=True)
                return [*(Query(one_pass, scope) for scope in _ranges(path, found.cuts)), *self._without_key(cut)]
        if cut.lookback is not None:
            return self._in_spans(cut, _WINDOWS_A_SPAN * cut.lookback)
        # Without an index each range reads all alerts, so there are as few ranges as can be.
        cuts = self._estimate(cut, path, MUST_SLICE).cuts if self._all_stored() > MUST_SLICE else []
        return self.within(cut, list(_ranges(path, cuts)) if cuts else [None])

    def within(self, clause: Clause, scopes: Sequence[Filter | None] = (None,)) -> list[Query]:
        """A query of `clause` in each of `scopes`, None for all that it looks at. Raises PyMongoError."""
        if not scopes:
            return []
        chosen = self._chosen(clause, in_one_pass=not self._indexes.find_key(clause.key))
        return [Query(chosen, scope) for scope in scopes]

    def _chosen(self, clause: Clause, *, in_one_pass: bool) -> Clause:
        """What decides the same as `clause`, and reads only once what no index finds by key.

        A look-up for each key would read all alerts as often as there are keys.
        """
        one_pass = clause.in_one_pass if in_one_pass else None
        scattered = self._indexes.scattered(clause)
        if one_pass is None and not scattered:
            return clause
        oldest = self._oldest_pending(clause)
        if oldest is None:
            return replace(clause, candidates=NONE)
        chosen = one_pass(oldest) if one_pass else clause
        # An older alert that comes meanwhile waits: others are read from the oldest on, so one that speaks against it
        # would not be met.
        return chosen.reading_others_once(scattered, oldest).of_span(oldest, None) if scattered else chosen

    def _oldest_pending(self, clause: Clause) -> datetime | None:
        """The oldest timestamp that is pending, with a key or without: no later than those of the candidates."""
        [of_sources] = [test.filter for test in clause.predicates if test.name == "source_type"]
        pending = {**of_sources, **IS_PENDING, "timestamp": A_DATE}
        oldest = self._alerts.find_one(pending, {"timestamp": 1}, sort=[("timestamp", 1)], session=self._session)
        return oldest["timestamp"] if oldest else None

    def _least_to_cut(self, clause: Clause) -> int:
        """How many alerts are stored where it takes more than one query."""
        if self._indexes.scattered(clause):
            # Each slice would read all the others.
            return MUST_SLICE
        # The newest of each key by a look-up costs more than reading all, unless most of it is settled.
        return min(2 * SLICE, _FEW) if clause.in_one_pass else 2 * SLICE

    def _without_key(self, clause: Clause) -> list[Query]:
        """Reads the alerts that ranges of keys leave out, if one without a key can be due: nothing suppresses it.

        An array that holds a null may be met here and in a range, and one with far apart values in two ranges.
        """
        if not clause.by_touch or clause.others:
            return []
        return self._in_spans(replace(clause, suppressed_by=None).within({clause.key[0]: None}), timedelta())

    def _in_spans(self, clause: Clause, least: timedelta) -> list[Query]:
        chosen = self._chosen(clause, in_one_pass=False)
        return [Query(chosen.of_span(*span)) for span in _spans(self._estimate(clause, "timestamp").cuts, least)]

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
