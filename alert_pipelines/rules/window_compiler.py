"""Compiles maintenance windows: which alerts are not decided, and which do not count as evidence."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from alert_pipelines.alerts import one_of
from alert_pipelines.rules.clause import Filter, Predicate
from alert_pipelines.rules.windows import MaintenanceWindow, Span
from alert_pipelines.timestamps import FIRST_DATE

_Kind: TypeAlias = tuple[tuple[str, ...] | None, str | None]
"""The sources of windows, None for every source, and their field, None for all alerts."""


class _Exempt(NamedTuple):
    """What windows of the same sources leave out: the alerts of them that pass `test`, which looks at `fields`."""

    source_types: tuple[str, ...] | None
    test: Filter
    fields: tuple[str, ...]

    def concerns(self, sources: Sequence[str] | None) -> bool:
        return sources is None or self.source_types is None or not set(sources).isdisjoint(self.source_types)

    def among(self, sources: Sequence[str] | None) -> Filter:
        """The alerts that are left out, among those of `sources`."""
        return _both(_of_sources(self.source_types, sources), self.test)


class WindowsAt:
    """Maintenance windows at one as_of, for all clauses.

    The windows of the same sources and field become one test, so that what it costs the server does not follow how many
    alerts are snoozed, nor how often windows were in force.
    """

    def __init__(self, windows: Iterable[MaintenanceWindow] = (), as_of: datetime = FIRST_DATE) -> None:
        alike = _alike(windows)
        self._held = list(_held(alike, as_of))
        self._raised = list(_raised(alike, as_of))

    def in_no_window(self, sources: Sequence[str] | None) -> list[Predicate]:
        """The tests of an alert of `sources`, None for any source, that no window keeps from a decision."""
        held = [exempt for exempt in self._held if exempt.concerns(sources)]
        raised = self.counted(sources)
        tests = []
        if held:
            fields = dict.fromkeys(["source_type", *(field for exempt in held for field in exempt.fields)])
            outside = {"$nor": [exempt.among(sources) for exempt in held]}
            tests.append(Predicate("maintenance", "it is outside all maintenance windows", outside, tuple(fields)))
        if raised:
            description = "it was raised outside all maintenance windows"
            tests.append(Predicate("maintenance", description, raised, ("timestamp",)))
        return tests

    def counted(self, sources: Sequence[str] | None) -> Filter:
        """The filter of the alerts of `sources` that count as evidence: those that no `raised` window covers."""
        raised = [exempt.among(sources) for exempt in self._raised if exempt.concerns(sources)]
        return {"$nor": raised} if raised else {}


def alerts_of(windows: Iterable[MaintenanceWindow]) -> Filter:
    """The alerts that one or more windows name."""
    named = _alike(windows).items()
    return {"$or": [_both(_of_sources(sources, None), _named(field, alike)) for (sources, field), alike in named]}


def _alike(windows: Iterable[MaintenanceWindow]) -> dict[_Kind, list[MaintenanceWindow]]:
    alike = defaultdict[_Kind, list[MaintenanceWindow]](list)
    for window in windows:
        sources = tuple(sorted(set(window.source_types))) if window.source_types else None
        alike[sources, window.field].append(window)
    return alike


def _held(alike: Mapping[_Kind, Sequence[MaintenanceWindow]], as_of: datetime) -> Iterator[_Exempt]:
    for (source_types, field), windows in alike.items():
        held = [window for window in windows if window.holds_at(as_of)]
        if held:
            yield _Exempt(source_types, _named(field, held), (field,) if field else ())


def _raised(alike: Mapping[_Kind, Sequence[MaintenanceWindow]], as_of: datetime) -> Iterator[_Exempt]:
    for (source_types, field), windows in alike.items():
        # As values of Python 1 and True are equal, and not as the server's.
        spans_of = defaultdict[tuple[bool, Any], list[Span]](list)
        for window in windows:
            spans = window.raised_spans(as_of)
            for value in window.values or (None,):
                spans_of[isinstance(value, bool), value] += spans
        values_of = defaultdict[tuple[Span, ...], list[Any]](list)
        for (_, value), raised in spans_of.items():
            if raised:
                values_of[_united(raised)].append(value)
        if values_of:
            yield _Exempt(source_types, _raised_in(field, values_of), ("timestamp",))


def _of_sources(source_types: Sequence[str] | None, sources: Sequence[str] | None) -> Filter:
    if source_types is None or (sources and set(sources) <= set(source_types)):
        return {}
    return {"source_type": one_of(source_types)}


def _named(field: str | None, windows: Iterable[MaintenanceWindow]) -> Filter:
    return _one_of(field, [value for window in windows for value in window.values or ()])


def _one_of(field: str | None, values: Sequence[Any]) -> Filter:
    return {field: {"$in": values}} if field else {}


def _both(sources: Filter, test: Filter) -> Filter:
    """The alerts of `sources` that pass `test`, which may look at the source as well."""
    return {"$and": [sources, test]} if sources and test else sources or test


def _united(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same times as spans in order of which none meets the next."""
    united: list[Span] = []
    for span in sorted(spans):
        if united and span.start <= united[-1].end:
            united[-1] = Span(united[-1].start, max(united[-1].end, span.end))
        else:
            united.append(span)
    return tuple(united)


def _raised_in(field: str | None, values_of: Mapping[tuple[Span, ...], Sequence[Any]]) -> Filter:
    """The alerts that have one of some values in `field` and a timestamp in the spans of that value.

    The server does not keep to the order of an `$and` or `$or`: it would make all tests of all values, or of a tree of
    ranges, for each alert. An expression looks up the spans of the value, and there does a binary search.
    """
    values = [value for alike in values_of.values() for value in alike]
    longest = max(map(len, values_of))
    match list(values_of):
        case [[(start, end)]]:
            within: Filter = {"timestamp": {"$gte": start, "$lt": end}}
        case [spans]:
            within = {"$expr": _in_spans(*_newest_first(spans), longest)}
        case all_spans:
            numbers = [number for number, alike in enumerate(values_of.values()) for _ in alike]
            within = {"$expr": _in_spans_of_value(f"${field}", values, numbers, all_spans, longest)}
    return {"$and": [_one_of(field, values), within]}


def _in_spans_of_value(
    path: str, values: Sequence[Any], numbers: Sequence[int], all_spans: Sequence[Sequence[Span]], longest: int
) -> dict[str, Any]:
    """Whether the timestamp lies in the spans of a value at `path`: in those of `all_spans` with the value's number."""
    # The number of what is not found is at -1, the last: that of no spans.
    number_of = [*numbers, len(all_spans)]
    starts, ends = zip(*map(_newest_first, [*all_spans, ()]), strict=True)
    number = {"$arrayElemAt": [number_of, {"$indexOfArray": [{"$literal": values}, "$$one"]}]}
    in_spans = _in_spans(_numbered(starts), _numbered(ends), longest)
    of_one = {"$let": {"vars": {"number": number}, "in": in_spans}}
    return {"$anyElementTrue": [{"$map": {"input": _elements(path), "as": "one", "in": of_one}}]}


def _numbered(dates: Sequence[Sequence[datetime]]) -> dict[str, Any]:
    return {"$arrayElemAt": [list(dates), "$$number"]}


def _elements(path: str) -> dict[str, Any]:
    """The values at `path`; of arrays, on the way to it or there, their elements."""
    elements: Any = path
    for _ in path.split("."):
        as_list = {"$cond": [{"$isArray": ["$$this"]}, "$$this", ["$$this"]]}
        joined = {"$concatArrays": ["$$value", as_list]}
        elements = {"$reduce": {"input": elements, "initialValue": [], "in": joined}}
    return {"$cond": [{"$isArray": path}, elements, [path]]}


def _newest_first(spans: Sequence[Span]) -> tuple[list[datetime], list[datetime]]:
    return [span.start for span in reversed(spans)], [span.end for span in reversed(spans)]


def _in_spans(starts: Any, ends: Any, longest: int) -> dict[str, Any]:
    """Whether the timestamp lies in one of up to `longest` spans that are apart, the latest first.

    If all of them begin later, no end is found, and a missing value is never greater than a timestamp.
    """
    steps = [1 << power for power in reversed(range(longest.bit_length()))]
    ahead = {"$add": ["$$value", "$$this"]}
    last_skipped = {"$arrayElemAt": ["$$starts", {"$subtract": [ahead, 1]}]}
    skip = {"$cond": [{"$gt": [last_skipped, "$timestamp"]}, ahead, "$$value"]}
    begin_later = {"$reduce": {"input": steps, "initialValue": 0, "in": skip}}
    ends_later = {"$gt": [{"$arrayElemAt": ["$$ends", begin_later]}, "$timestamp"]}
    return {"$let": {"vars": {"starts": starts, "ends": ends}, "in": ends_later}}


NO_WINDOWS = WindowsAt()
