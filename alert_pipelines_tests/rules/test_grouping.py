"""The reference page, sentence by sentence, on awkward values: conditions that look at other alerts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.decimal128 import Decimal128

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.tree import MAX_MINUTES
from alert_pipelines_tests.rules.tables import AS_OF, MISSING, MS, Fields, ago, clause_of, due, each, insert, names

ESCALATE: dict[str, Any] = {"escalate_if_count": 2, "window_mins": 60}
NO_REPEAT: dict[str, Any] = {"close_if_no_repeat_mins": 30}
LATEST: dict[str, Any] = {"keep_latest": True}
DRIVER: Fields = {"metadata": {"driver_id": "d"}}

Expected = list[tuple[dict[str, Any], list[str]]]

# Two alerts, the first 40 and the second 5 minutes old: who is due where they are of one key, where each has a
# key of its own, and where the first groups with nothing.
OLDER, NEWER = ["a00"], ["a01"]
ONE_KEY: Expected = [(ESCALATE, NEWER), (NO_REPEAT, []), (LATEST, OLDER)]
TWO_KEYS: Expected = [(ESCALATE, []), (NO_REPEAT, OLDER), (LATEST, [])]
NO_KEY: Expected = [(ESCALATE, []), (NO_REPEAT, []), (LATEST, [])]

TWO_PATHS = ["metadata.a", "metadata.b"]
DRIVERS: list[tuple[object, object, Expected]] = [
    ("d", "d", ONE_KEY),
    (45, 45.0, ONE_KEY),
    (45, Decimal128("45.0"), ONE_KEY),
    ("", "", ONE_KEY),
    (True, True, ONE_KEY),
    (0, -0.0, ONE_KEY),
    (float("nan"), float("nan"), ONE_KEY),
    (AS_OF, AS_OF, ONE_KEY),
    ({"x": 1}, {"x": 1.0}, ONE_KEY),
    (45, "45", TWO_KEYS),
    (True, 1, TWO_KEYS),
    (False, 0, TWO_KEYS),
    ("", " ", TWO_KEYS),
    ("d", "D", TWO_KEYS),
    ({"x": 1}, {"x": "1"}, TWO_KEYS),
    ("d", ["d"], TWO_KEYS),
    ("d", None, TWO_KEYS),
    (None, None, NO_KEY),
    (None, "d", NO_KEY),
    (["d"], ["d"], NO_KEY),
    (["d"], "d", NO_KEY),
    ([], [], NO_KEY),
]
KEYS: list[tuple[str, str | list[str] | None, Fields, Fields, Expected]] = [
    ("the first has none", None, {}, {"driver_id": "d"}, NO_KEY),
    ("the second has none", None, {"driver_id": "d"}, {}, TWO_KEYS),
    ("both have none", None, {}, {}, NO_KEY),
    ("through a document", "metadata.a.b", {"a": {"b": 1}}, {"a": {"b": 1}}, ONE_KEY),
    ("through an array", "metadata.a.b", {"a": [{"b": 1}]}, {"a": [{"b": 1}]}, NO_KEY),
    ("one through an array", "metadata.a.b", {"a": {"b": 1}}, {"a": [{"b": 1}]}, TWO_KEYS),
    ("both parts are the same", TWO_PATHS, {"a": 1, "b": "x"}, {"b": "x", "a": 1.0}, ONE_KEY),
    ("one part differs", TWO_PATHS, {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, TWO_KEYS),
    ("the parts change places", TWO_PATHS, {"a": 1, "b": 2}, {"a": 2, "b": 1}, TWO_KEYS),
    ("one part is missing", TWO_PATHS, {"a": 1}, {"a": 1}, NO_KEY),
    ("one part is null", TWO_PATHS, {"a": 1, "b": None}, {"a": 1, "b": None}, NO_KEY),
    ("one part is an array", TWO_PATHS, {"a": [1], "b": 1}, {"a": [1], "b": 1}, NO_KEY),
]


@pytest.mark.parametrize(("older", "newer", "expected"), DRIVERS)
def test_keys_of_one_path(db: AlertDatabase, older: object, newer: object, expected: Expected) -> None:
    check_keys(db, None, {"driver_id": older}, {"driver_id": newer}, expected)


@pytest.mark.parametrize(
    ("group_by", "older", "newer", "expected"), [row[1:] for row in KEYS], ids=[row[0] for row in KEYS]
)
def test_keys(
    db: AlertDatabase,
    group_by: str | list[str] | None,
    older: Fields,
    newer: Fields,
    expected: Expected,
) -> None:
    check_keys(db, group_by, older, newer, expected)


def check_keys(
    db: AlertDatabase, group_by: str | list[str] | None, older: Fields, newer: Fields, expected: Expected
) -> None:
    insert(db, [{"metadata": older, "timestamp": ago(40)}, {"metadata": newer, "timestamp": ago(5)}])

    assert [due(db, clause_of({**conditions, "group_by": group_by})) for conditions, _ in expected] == [
        alerts for _, alerts in expected
    ]


@pytest.mark.parametrize(
    "metadata",
    [MISSING, None, "text", [], [{"driver_id": "d"}]],
    ids=["missing", "null", "text", "empty array", "array of documents"],
)
def test_without_metadata_there_is_no_key(db: AlertDatabase, metadata: object) -> None:
    insert(db, [{"metadata": metadata, "timestamp": timestamp} for timestamp in (ago(40), ago(40), ago(5))])

    assert [due(db, clause_of(conditions)) for conditions, _ in NO_KEY] == [[], [], []]


def at(*timestamps: object, **fields: object) -> list[Fields]:
    return [fields | alert for alert in each("timestamp", *timestamps)]


EVIDENCE: list[tuple[str, dict[str, Any], list[Fields], list[int]]] = [
    ("the start of the window is in it", ESCALATE, at(ago(65), ago(5)), [1]),
    ("a millisecond before it is not", ESCALATE, at(ago(65) - MS, ago(5)), []),
    ("alerts of one instant count each other", ESCALATE, at(ago(5), ago(5)), [0, 1]),
    ("also three of them, where three are wanted", {"escalate_if_count": 3}, at(ago(5), ago(5), ago(5)), [0, 1, 2]),
    ("a later alert does not count", {"escalate_if_count": 3}, at(ago(9), ago(8), ago(7)), [2]),
    ("itself included", {"escalate_if_count": 1}, at(ago(5)), [0]),
    ("as_of itself is not the future", ESCALATE, at(AS_OF, AS_OF), [0, 1]),
    ("the window is 60 minutes by default", {"escalate_if_count": 2}, at(ago(65), ago(5)), [1]),
    ("and no more", {"escalate_if_count": 2, "window_mins": None}, at(ago(65) - MS, ago(5)), []),
    (
        "a window of thirty days",
        {"escalate_if_count": 2, "window_mins": 43_200},
        at(ago(43_205), ago(5)),
        [1],
    ),
    (
        "a window of a century",
        {"escalate_if_count": 2, "window_mins": MAX_MINUTES},
        at(ago(MAX_MINUTES), AS_OF, datetime(1, 1, 1, tzinfo=UTC)),
        [1],
    ),
    ("an old pair still counts", ESCALATE, at(ago(9000), ago(8999)), [1]),
    ("before 1970", ESCALATE, at(AS_OF - timedelta(days=25000), AS_OF - timedelta(days=25000) + MS), [1]),
    ("ESCALATED counts and is not decided", ESCALATE, [*at(ago(5), status="ESCALATED"), *at(ago(5))], [1]),
    ("RESOLVED does not count", ESCALATE, [*at(ago(5), status="RESOLVED"), *at(ago(5))], []),
    ("AUTO_CLOSED does not count", ESCALATE, [*at(ago(5), status="AUTO_CLOSED"), *at(ago(5))], []),
    ("another source does not count", ESCALATE, [*at(ago(5), source_type="COMPLIANCE"), *at(ago(5))], []),
    (
        "`severities` do not limit the evidence",
        {**ESCALATE, "severities": ["WARNING"]},
        [*at(ago(6), severity="INFO"), *at(ago(5), severity="WARNING"), *at(ago(4), severity=MISSING)],
        [1],
    ),
    (
        "`statuses` do not limit the evidence",
        {**ESCALATE, "statuses": ["OPEN"]},
        [*at(ago(6), status="ESCALATED"), *at(ago(5))],
        [1],
    ),
    (
        "dateless alerts are no evidence",
        ESCALATE,
        at(ago(5), MISSING, None, "2025-01-15", 0, [ago(5)], [], AS_OF + MS),
        [],
    ),
    ("the newest is at as_of - n minutes", NO_REPEAT, at(ago(40), ago(30)), [0, 1]),
    ("a millisecond later", NO_REPEAT, at(ago(40), ago(30) + MS), []),
    ("the newest is at as_of", NO_REPEAT, at(ago(40), AS_OF), []),
    ("before 1970, alone", NO_REPEAT, at(AS_OF - timedelta(days=25000)), [0]),
    ("of any status", NO_REPEAT, [*at(ago(40)), *at(ago(5), status="RESOLVED")], []),
    ("of another source", NO_REPEAT, [*at(ago(40)), *at(ago(5), source_type="COMPLIANCE")], [0]),
    ("no repeat to come", NO_REPEAT, at(ago(40), AS_OF + MS), [0]),
    ("no dateless repeat", NO_REPEAT, at(ago(40), MISSING, None, "2025-01-15", 0, [ago(5)]), [0]),
    (
        "`severities` do not limit the repeats",
        {**NO_REPEAT, "severities": ["WARNING"]},
        [*at(ago(50), severity="WARNING"), *at(ago(40), severity="INFO"), *at(ago(5), severity="INFO")],
        [],
    ),
    (
        "`statuses` do not limit the repeats",
        {**NO_REPEAT, "statuses": ["OPEN"]},
        [*at(ago(50)), *at(ago(5), status="ESCALATED")],
        [],
    ),
    ("strictly later", LATEST, at(ago(5), ago(5)), []),
    ("by a millisecond", LATEST, at(ago(5), ago(5) + MS, ago(5)), [0, 2]),
    ("later, at as_of", LATEST, at(ago(5), AS_OF), [0]),
    ("later than as_of", LATEST, at(ago(5), AS_OF + MS), []),
    ("later before 1970", LATEST, at(AS_OF - timedelta(days=25000), AS_OF - timedelta(days=24999)), [0]),
    ("later, of any status", LATEST, [*at(ago(5)), *at(ago(4), status="RESOLVED")], [0]),
    ("later, of another source", LATEST, [*at(ago(5)), *at(ago(4), source_type="COMPLIANCE")], []),
    ("later, but dateless", LATEST, at(ago(5), MISSING, None, "2025-01-15", 0, [ago(4)]), []),
    (
        "`statuses` do not limit what is later",
        {**LATEST, "statuses": ["OPEN"]},
        [*at(ago(5)), *at(ago(4), status="ESCALATED"), *at(ago(3), status="ESCALATED")],
        [0],
    ),
    (
        "`severities` do not limit what is later",
        {**LATEST, "severities": ["WARNING"]},
        [*at(ago(5), severity="WARNING"), *at(ago(4), severity="INFO"), *at(ago(3), severity="INFO")],
        [0],
    ),
]


@pytest.mark.parametrize(
    ("conditions", "alerts", "expected"), [row[1:] for row in EVIDENCE], ids=[row[0] for row in EVIDENCE]
)
def test_evidence(db: AlertDatabase, conditions: dict[str, Any], alerts: list[Fields], expected: list[int]) -> None:
    insert(db, [{**DRIVER, **alert} for alert in alerts])

    assert due(db, clause_of(conditions)) == names(expected)


@pytest.mark.parametrize(("conditions", "expected"), [(ESCALATE, ["a01"]), (NO_REPEAT, []), (LATEST, ["a00"])])
def test_an_alert_in_a_window_is_evidence_for_others(
    db: AlertDatabase, conditions: dict[str, Any], expected: list[str]
) -> None:
    exempt = "a00" if conditions is ESCALATE else "a01"
    insert(db, [{**DRIVER, "timestamp": ago(40)}, {**DRIVER, "timestamp": ago(5)}])
    window = {"field": "alert_id", "values": [exempt], "from": ago(1), "to": ago(-1)}

    assert due(db, clause_of(conditions, [window])) == expected


@pytest.mark.slow
def test_a_hundred_thousand_alerts_of_one_key(db: AlertDatabase) -> None:
    # Two alerts a second: pairs of one instant, and more than a day's length.
    db.alerts.insert_many(
        {
            "alert_id": f"a{number}",
            "source_type": "SAFETY",
            "status": "OPEN",
            "timestamp": AS_OF - timedelta(seconds=number // 2),
            **DRIVER,
        }
        for number in range(100_000)
    )

    def count(conditions: dict[str, Any]) -> int:
        pipeline = [*clause_of(conditions).pipeline(), {"$count": "due"}]
        (counted,) = db.alerts.aggregate(pipeline, allowDiskUse=True)
        return int(counted["due"])

    # An hour with both its ends holds 3,601 seconds; the oldest alerts have less than an hour behind them.
    assert count({"escalate_if_count": 7202}) == 100_000 - 2 * 3600
    assert count(LATEST) == 99_998
    assert due(db, clause_of(NO_REPEAT)) == []
    db.alerts.update_many({}, [{"$set": {"timestamp": {"$subtract": ["$timestamp", 30 * 60_000]}}}])
    assert count(NO_REPEAT) == 100_000
