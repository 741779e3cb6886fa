"""Random alerts, rules and windows: few different values, so that they meet; most of them awkward.

What the cases must give is the oracle's; this module only says what may be written.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

from bson import Binary, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import strategies as st

AS_OF = datetime(2025, 1, 15, 12, 0, tzinfo=UTC)
SOURCES = ("OVERSPEEDING", "SAFETY", "Lieferverzug ü")
RULE_IDS = ("R1", "r1", "r10", "r2")
JOBS = ("JOB-1", "JOB-2")
MINUTES = (1, 5, 60)

_MS = timedelta(milliseconds=1)
_BEYOND_DOUBLES = 2**53 + 1

# Pairs of these lie exactly 5 and 60 minutes apart, and a millisecond more and less.
_NEAR = [AS_OF - timedelta(minutes=minutes) + shift * _MS for minutes in (0, 1, 5, 60, 65) for shift in (-1, 0, 1)]
_FAR = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    AS_OF + timedelta(minutes=5),
    datetime(9999, 12, 31, tzinfo=UTC),
]
_ELSEWHERE = timezone(timedelta(hours=5, minutes=30))
_OTHERWISE_WRITTEN = [
    AS_OF.replace(tzinfo=None) - timedelta(minutes=60),
    (AS_OF - timedelta(minutes=5)).astimezone(_ELSEWHERE),
]

_NO_DATES: list[Any] = [None, "", "2025-01-15T11:00:00Z", 1736942400, True, {}, Decimal128("NaN")]
_ARRAYS_FOR_DATES: list[Any] = [
    [],
    [AS_OF],
    [AS_OF - timedelta(hours=2), AS_OF],
    [None],
    ["x", AS_OF - timedelta(hours=2)],
]

_SCALARS: list[Any] = ["", "45", "d", "é", "\uffff", "😀", 45, 45.0, 45.5, 1, 0, -0.0, True, False]
_NUMBERS: list[Any] = [Int64(45), Decimal128("45.0"), _BEYOND_DOUBLES, float(2**53), float("nan"), float("inf")]
_DOCUMENTS: list[Any] = [{}, {"x": 45}, {"x": 45.0}, {"x": None}, {"x": ["45", 45]}, {"x": {"x": True}}]
_LISTS: list[Any] = [
    [],
    [None],
    [45],
    ["45", 45.0, True],
    [[45]],
    [{"x": 45}],
    [{"x": None}, {"x": "45"}, 1],
    [{"x": []}],
    [AS_OF - timedelta(minutes=60), "2025"],
]
# Kinds that no test of the language names, limits of numbers, and texts that a query language might read.
_EXOTIC: list[Any] = [
    *(Binary(b"x"), MinKey(), MaxKey(), ObjectId("0" * 24), Timestamp(5, 1), Regex("d"), Regex("^.", "i")),
    *({"$gt": ""}, {"": 1}, {"x": {"$ne": 1}}, [Regex("d"), "y"], [MinKey()], ["d", Regex("d")]),
    *(Int64(2**63 - 1), Int64(-(2**63)), Decimal128("1E+6144"), Decimal128("-0"), Decimal128("0.1"), 0.1, 5e-324),
    *(Decimal128("Infinity"), float("-inf"), "a\x00b", "$a", "$$ROOT", "É", "ß", "İ", "\u017f"),
]
_VALUES = st.sampled_from(
    [None, *_SCALARS, *_NUMBERS, *_DOCUMENTS, *_LISTS, *_EXOTIC, AS_OF - timedelta(minutes=60), *_OTHERWISE_WRITTEN]
)

LEAF_FIELDS = ("metadata.a", "metadata.a.x", "metadata.driver_id", "metadata", "timestamp", "severity", "none.x")
RULE_SCALARS: list[Any] = [*_SCALARS, _BEYOND_DOUBLES, 2**53, 1e300]
_ORDERED_SCALARS = [value for value in RULE_SCALARS if not isinstance(value, bool)]


class Case(NamedTuple):
    """What a scan finds in the database."""

    alerts: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    windows: list[dict[str, Any]]


def _rarely(usual: st.SearchStrategy[Any], awkward: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One time in nine `awkward`, so that an alert with several fields is seldom awkward in all."""
    return st.sampled_from([usual] * 8 + [awkward]).flatmap(lambda chosen: chosen)


def _present(fields: dict[str, Any], absent: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in absent}


def _times() -> st.SearchStrategy[Any]:
    """What may stand where the contract wants a date."""
    usual = _rarely(st.sampled_from(_NEAR), st.sampled_from([*_FAR, *_OTHERWISE_WRITTEN]))
    return _rarely(usual, st.sampled_from([*_NO_DATES, *_ARRAYS_FOR_DATES]))


def _metadata() -> st.SearchStrategy[Any]:
    drivers = _rarely(st.sampled_from(["d", "d", "d", 45, 45.0, "45"]), _VALUES)
    further = {"a": _VALUES, "ok": _rarely(st.booleans(), _VALUES)}
    without_driver = st.fixed_dictionaries({}, optional=further)
    others: st.SearchStrategy[Any] = st.sampled_from([None, "text", [], {}, 45])
    return _rarely(
        st.fixed_dictionaries({"driver_id": drivers}, optional=further),
        st.one_of(without_driver, others, st.lists(without_driver, max_size=2)),
    )


@st.composite
def _decisions(draw: st.DrawFn) -> dict[str, Any]:
    """An entry that a scan left."""
    before = draw(st.sampled_from([None, {}, {"updated_at": None}, {"updated_at": AS_OF - timedelta(hours=2)}]))
    return ({} if before is None else {"before": before}) | {
        "from_status": "OPEN",
        "to_status": draw(st.sampled_from(["AUTO_CLOSED", "ESCALATED"])),
        "timestamp": AS_OF,
        "triggered_by": "system",
        "rule_triggered": draw(st.sampled_from([*RULE_IDS, "expires_at"])),
        "job_id": draw(st.sampled_from(JOBS)),
        "as_of": AS_OF + draw(st.sampled_from([-3_600_000, -60_000, -1, 0, 1])) * _MS,
    }


@st.composite
def _undoings(draw: st.DrawFn) -> dict[str, Any]:
    """An entry that an undo left."""
    undone: dict[str, Any] = {"job_id": draw(st.sampled_from(JOBS)), "rule_id": draw(st.sampled_from(RULE_IDS))}
    if draw(st.booleans()):
        undone["allow_again"] = draw(st.sampled_from([True, False, None, 1]))
    return {
        "from_status": draw(st.sampled_from(["AUTO_CLOSED", "ESCALATED"])),
        "to_status": "OPEN",
        "timestamp": AS_OF,
        "triggered_by": "user",
        "undoes": undone,
    }


def _histories() -> st.SearchStrategy[Any]:
    other_entries: list[Any] = [
        None,
        "closed",
        {},
        {"to_status": "AUTO_CLOSED", "rule_triggered": None, "as_of": None, "job_id": None},
        {"from_status": "AUTO_CLOSED", "to_status": "OPEN", "triggered_by": "user", "undoes": None},
        {"to_status": "AUTO_CLOSED", "rule_triggered": "r1", "triggered_by": "system"},
        {"to_status": "AUTO_CLOSED", "rule_triggered": "", "triggered_by": "system"},
        {"to_status": "AUTO_CLOSED", "triggered_by": "system", "timestamp": AS_OF},
        {"to_status": "AUTO_CLOSED", "triggered_by": "system", "timestamp": AS_OF - 24 * 60 * 60_000 * _MS},
    ]
    entries = st.one_of(_decisions(), _undoings(), st.sampled_from(other_entries))
    return _rarely(
        _rarely(st.just([]), st.lists(entries, min_size=1, max_size=3)),
        st.sampled_from([None, "closed by hand", 45, {"to_status": "AUTO_CLOSED"}]),
    )


@st.composite
def one_alert(draw: st.DrawFn) -> dict[str, Any]:
    """An alert without its id."""
    awkward_fields = ("severity", "timestamp", "metadata", "state_history", "expires_at", "updated_at", "created_at")
    fields = {
        "source_type": draw(
            _rarely(_rarely(st.just(SOURCES[0]), st.sampled_from(SOURCES[1:])), st.sampled_from(["Fuel", "", None, 45]))
        ),
        "severity": draw(_rarely(st.sampled_from(["INFO", "WARNING"]), st.sampled_from(["CRITICAL", None, "odd"]))),
        "status": draw(st.sampled_from(["OPEN", "OPEN", "OPEN", "ESCALATED", "RESOLVED", "AUTO_CLOSED"])),
        "timestamp": draw(_times()),
        "metadata": draw(_metadata()),
        "state_history": draw(_histories()),
        "expires_at": draw(_rarely(st.none(), _times())),
        "updated_at": draw(_rarely(_times(), st.none())),
        "created_at": draw(_rarely(_times(), st.none())),
    }
    if isinstance(fields["timestamp"], list):
        # A server cannot index two arrays of one document, so the index by driver refuses the alert.
        fields["metadata"] = {"driver_id": "d"}
    absent = draw(_rarely(st.just(set()), st.sets(st.sampled_from(awkward_fields), max_size=3)))
    return _present(fields, absent)


def _leaves() -> st.SearchStrategy[dict[str, Any]]:
    def leaf(ops: list[str], values: st.SearchStrategy[Any] | None) -> st.SearchStrategy[dict[str, Any]]:
        parts = {"field": st.sampled_from(LEAF_FIELDS), "op": st.sampled_from(ops)}
        return st.fixed_dictionaries(parts if values is None else {**parts, "value": values})

    return st.one_of(
        leaf(["eq", "ne"], st.sampled_from(RULE_SCALARS)),
        leaf(["lt", "lte", "gt", "gte"], st.sampled_from(_ORDERED_SCALARS)),
        leaf(["in", "not_in"], st.lists(st.sampled_from(RULE_SCALARS), min_size=1, max_size=3)),
        leaf(["exists", "missing"], None),
        leaf(["older_than_mins", "newer_than_mins", "within_mins", "beyond_mins"], st.sampled_from(MINUTES)),
        _text_leaves(),
        _comparing_leaves(),
    )


def _text_leaves() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "field": st.sampled_from(LEAF_FIELDS),
            "op": st.sampled_from(["contains", "starts_with", "ends_with"]),
            "value": st.sampled_from(["d", "5", "45", "É", "\uffff", "o", ".", "OVER"]),
        },
        optional={"ignore_case": st.booleans()},
    )


def _comparing_leaves() -> st.SearchStrategy[dict[str, Any]]:
    numbers = st.sampled_from([0, 1, -45, 0.5, 2])
    return st.fixed_dictionaries(
        {
            "field": st.sampled_from(LEAF_FIELDS),
            "op": st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte"]),
            "value_of": st.sampled_from([*LEAF_FIELDS, "created_at"]),
        },
        optional={"plus": numbers, "times": numbers},
    )


def trees(deepest: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """Condition trees, at most `deepest` inner nodes above a leaf."""
    if not deepest:
        return _leaves()
    parts = st.deferred(lambda: trees(deepest - 1))
    several = st.lists(parts, min_size=1, max_size=3)
    inner: Callable[[str], st.SearchStrategy[dict[str, Any]]] = lambda name: st.fixed_dictionaries({name: several})  # noqa: E731
    return st.one_of(_leaves(), inner("all"), inner("any"), st.fixed_dictionaries({"not": parts}))


def others() -> st.SearchStrategy[dict[str, Any]]:
    """What `close_if_other` and `suppress_if_other` hold."""
    paths = st.sampled_from(["metadata.driver_id", "metadata.driver_id", "metadata.a", "metadata.a.x", "alert_id"])
    return st.fixed_dictionaries(
        {"source_type": st.sampled_from([SOURCES[0], SOURCES[1], list(SOURCES[:2]), "*"])},
        optional={
            "match": st.dictionaries(paths, paths, min_size=1, max_size=2),
            "if": trees(1),
            "statuses": st.lists(st.sampled_from(["OPEN", "ESCALATED", "RESOLVED", "AUTO_CLOSED"]), min_size=1),
            "when": st.sampled_from(["later", "any"]),
        },
    )


_DECIDING: dict[str, st.SearchStrategy[Any]] = {
    "auto_close_if": st.sampled_from(["ok", "a"]),
    "close_if": trees(),
    "expire_after_mins": st.sampled_from(MINUTES),
    "close_if_no_repeat_mins": st.sampled_from(MINUTES),
    "keep_latest": st.just(True),
    "keep_first": st.just(True),
    "close_if_other": others(),
    "escalate_if": trees(1),
    "escalate_after_mins": st.sampled_from(MINUTES),
    "escalate_if_count": st.sampled_from([1, 2, 2, 3]),
}
# Not by what a decision changes, such as severity: the alerts of a key would be others after the scan.
_KEYS = st.sampled_from(
    [
        "metadata.driver_id",
        "metadata.a.x",
        ["metadata.driver_id", "metadata.a"],
        ["metadata.ok"],
        ["metadata.driver_id", "metadata.ok", "metadata.a.x"],
    ]
)


@st.composite
def _conditions(draw: st.DrawFn) -> dict[str, Any]:
    deciding = draw(st.lists(st.sampled_from(list(_DECIDING)), min_size=1, max_size=3, unique=True))
    escalates = any(name.startswith("escalate") for name in deciding)
    statuses = [["OPEN"], ["OPEN", "ESCALATED"]] + ([] if escalates else [["ESCALATED"]])
    limiting = {
        "only_if": trees(1),
        "suppress_if_other": others(),
        "window_mins": st.sampled_from(MINUTES),
        "group_by": _KEYS,
        "ignore_keys": st.lists(st.sampled_from(RULE_SCALARS), min_size=1, max_size=2),
        "severities": st.lists(st.sampled_from(["INFO", "WARNING", "CRITICAL"]), min_size=1, max_size=2),
        "statuses": st.sampled_from(statuses),
        "max_close": st.sampled_from([0, 1, 2]),
        "max_close_fraction": st.sampled_from([0, 0.5, 1]),
    }
    if "escalate_if_count" in deciding:
        limiting["count_if"] = trees(1)
        limiting["count_statuses"] = st.sampled_from([["OPEN"], ["OPEN", "RESOLVED"], ["OPEN", "AUTO_CLOSED"]])
        limiting["count_distinct"] = st.sampled_from(["metadata.a", "metadata.a.x", "severity"])
    if escalates:
        limiting["max_escalate"] = st.sampled_from([0, 1, 2])
        limiting["max_escalate_fraction"] = st.sampled_from([0, 0.5, 1])
    if not all(name.startswith("escalate") for name in deciding):
        limiting["hold_mins"] = st.sampled_from(MINUTES)
    optional = {name: _rarely(values, st.none()) for name, values in limiting.items()}
    names = draw(st.sets(st.sampled_from(list(optional)), max_size=3))
    conditions = {name: draw(_DECIDING[name]) for name in deciding}
    conditions |= {name: draw(optional[name]) for name in sorted(names)}
    return conditions


@st.composite
def rules(draw: st.DrawFn, rule_id: str = "r1") -> dict[str, Any]:
    """A valid rule as the collection holds it."""
    modes = st.one_of(
        st.just({"mode": "active", "is_active": True}),
        st.just({"mode": "shadow", "is_active": False}),
        st.fixed_dictionaries(
            {}, optional={"mode": st.sampled_from(["active", "shadow", "off", None]), "is_active": st.booleans()}
        ),
    )
    return {
        "rule_id": rule_id,
        "source_type": draw(st.sampled_from([SOURCES[0], SOURCES[0], SOURCES[1], list(SOURCES[:2]), "*"])),
        "name": rule_id,
        "conditions": draw(_conditions()),
        "priority": draw(st.sampled_from([-1, 0, 0, 5])),
        **draw(modes),
    }


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """A valid maintenance window; many hold at AS_OF, some begin or end just there."""
    start = draw(st.sampled_from([AS_OF - timedelta(hours=1), AS_OF, AS_OF + _MS]))
    ends = [AS_OF + timedelta(hours=1), AS_OF, AS_OF + _MS]
    end = draw(st.sampled_from([end for end in ends if end > start]))
    scope = draw(
        st.fixed_dictionaries(
            {"reason": st.just("works")},
            optional={"source_types": st.lists(st.sampled_from(SOURCES), min_size=1, max_size=2)},
        )
    )
    if draw(st.integers(0, 3)):
        scope["field"] = draw(st.sampled_from(LEAF_FIELDS))
        scope["values"] = draw(st.lists(st.sampled_from(RULE_SCALARS), min_size=1, max_size=3))
    if draw(st.booleans()):
        scope["covers"] = draw(st.sampled_from(["now", "raised"]))
    if draw(st.integers(0, 2)):
        return {**scope, "from": start, "to": max(end, start + _MS)}
    # An occurrence may begin just at AS_OF, or end there.
    hour = draw(st.sampled_from([AS_OF.hour, (AS_OF.hour + 23) % 24, (AS_OF.hour + 22) % 24]))
    recurs = {"rrule": f"FREQ=DAILY;BYHOUR={hour}", "zone": draw(st.sampled_from(["UTC", "Europe/Berlin"]))}
    return {**scope, **recurs, "duration_mins": draw(st.sampled_from([1, 60, 61, 1_500]))}


@st.composite
def alerts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to ten alerts with ids of their own."""
    return [{"alert_id": f"a{number}", **draw(one_alert())} for number in range(draw(st.integers(1, 10)))]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Alerts, up to four rules of different ids, and now and then a window."""
    rule_ids = draw(st.lists(st.sampled_from(RULE_IDS), min_size=1, max_size=4, unique=True))
    return Case(
        alerts=draw(alerts()),
        rules=[draw(rules(rule_id)) for rule_id in rule_ids],
        windows=draw(_rarely(st.just([]), st.lists(windows(), min_size=1, max_size=2))),
    )
