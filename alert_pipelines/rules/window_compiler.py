"""Compiles maintenance windows: which alerts are not decided, and which do not count as evidence."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from alert_pipelines.alerts import one_of
from alert_pipelines.rules.clause import Filter, Predicate
from alert_pipelines.rules.windows import MaintenanceWindow, Span

_PARTS = 32


def in_no_window(
    windows: Iterable[MaintenanceWindow], sources: Sequence[str] | None, as_of: datetime
) -> list[Predicate]:
    """The tests of an alert of `sources`, None for any source, that no window at `as_of` keeps from a decision."""
    concerned = _concerning(windows, sources)
    held = [window for window in concerned if window.holds_at(as_of)]
    raised = _raised(concerned, sources, as_of)
    tests = []
    if held:
        fields = dict.fromkeys(["source_type", *(window.field for window in held if window.field)])
        exempt = {"$nor": [alerts_of(window, sources) for window in held]}
        tests.append(Predicate("maintenance", "it is outside all maintenance windows", exempt, tuple(fields)))
    if raised:
        description = "it was raised outside all maintenance windows"
        tests.append(Predicate("maintenance", description, {"$nor": raised}, ("timestamp",)))
    return tests


def counted(windows: Iterable[MaintenanceWindow], sources: Sequence[str] | None, as_of: datetime) -> Filter:
    """The filter of the alerts of `sources` that count as evidence: those that no `raised` window covers."""
    raised = _raised(_concerning(windows, sources), sources, as_of)
    return {"$nor": raised} if raised else {}


def _concerning(windows: Iterable[MaintenanceWindow], sources: Sequence[str] | None) -> list[MaintenanceWindow]:
    return [
        window
        for window in windows
        if sources is None or window.source_types is None or set(sources) & set(window.source_types)
    ]


def alerts_of(window: MaintenanceWindow, sources: Sequence[str] | None) -> Filter:
    """The alerts that the window names, among those of `sources`."""
    found: Filter = {}
    if window.source_types and not (sources and set(sources) <= set(window.source_types)):
        found["source_type"] = one_of(window.source_types)
    if window.field and window.values:
        found[window.field] = {"$in": list(window.values)}
    return found


def _raised(windows: Iterable[MaintenanceWindow], sources: Sequence[str] | None, as_of: datetime) -> list[Filter]:
    found = []
    for window in windows:
        spans = window.raised_spans(as_of)
        if spans:
            found.append({"$and": [alerts_of(window, sources), _within(spans)]})
    return found


def _within(spans: Sequence[Span]) -> Filter:
    """The alerts whose timestamp lies in one of `spans`, which are in order: few comparisons, however many spans."""
    if len(spans) <= _PARTS:
        return {"$or": [{"timestamp": {"$gte": span.start, "$lt": span.end}} for span in spans]}
    size = -(-len(spans) // _PARTS)
    parts = [spans[start : start + size] for start in range(0, len(spans), size)]
    return {
        "$or": [
            {"timestamp": {"$gte": part[0].start, "$lt": max(span.end for span in part)}, **_within(part)}
            for part in parts
        ]
    }
