"""The reference page, sentence by sentence, on awkward values: conditions on the alert itself.

Each row names the sentence that it holds to. Condition trees are in test_trees, conditions on other alerts in
test_grouping, which of several due decisions an alert gets in test_precedence, random cases in test_properties.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from alert_pipelines.alerts.malformed import BAD_TIMESTAMP, holds_array
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.compiler import compile_expires_at
from alert_pipelines_tests.rules.tables import (
    ALWAYS,
    AS_OF,
    MISSING,
    MS,
    Fields,
    Row,
    ago,
    clause_of,
    due,
    each,
    insert,
    leaf,
    names,
    windows_of,
    x,
)


def closed_by(rule_id: str, **more: Any) -> Fields:
    return {"to_status": "AUTO_CLOSED", "rule_triggered": rule_id, "triggered_by": "system", **more}


def old_close(timestamp: object) -> Fields:
    """What the job that this package replaces leaves of a close."""
    return closed_by("", timestamp=timestamp) | {"rule_triggered": None}


def scans_entry(replaced: object, written: datetime) -> Fields:
    """A scan's escalation, written at `written`, of an alert whose `updated_at` was `replaced`."""
    before = {} if replaced is MISSING else {"updated_at": replaced}
    return {"to_status": "ESCALATED", "rule_triggered": "r2", "triggered_by": "system", "timestamp": written} | {
        "before": before
    }


def escalated(replaced: object) -> Fields:
    """What is pending since a scan escalated it two minutes ago."""
    return {"status": "ESCALATED", "updated_at": ago(2), "state_history": [scans_entry(replaced, ago(2))]}


def decided(as_of: object) -> Fields:
    return closed_by("other", as_of=as_of, job_id="JOB-1")


def escalation(**dates: object) -> Fields:
    return {"to_status": "ESCALATED", "triggered_by": "system", "rule_triggered": "r1", "job_id": "J", **dates}


def undone(job_id: str, from_status: str = "AUTO_CLOSED", rule_id: str = "other") -> Fields:
    undoes = {"job_id": job_id, "rule_id": rule_id}
    return {"from_status": from_status, "to_status": "OPEN", "triggered_by": "user", "undoes": undoes}


OWN_TESTS = [
    Row(
        "pending is OPEN or ESCALATED",
        ALWAYS,
        each("status", "OPEN", "ESCALATED"),
        each("status", "RESOLVED", "AUTO_CLOSED"),
    ),
    Row(
        "an alert after as_of is never decided, nor one whose timestamp is no date",
        ALWAYS,
        each("timestamp", AS_OF, AS_OF.replace(tzinfo=None), datetime(1, 1, 1, tzinfo=UTC)),
        each("timestamp", AS_OF + MS, MISSING, None, "2025-01-15T11:00:00Z", 0, [ago(5)], []),
    ),
    Row(
        "`expire_after_mins`: at or before as_of - n minutes",
        {"expire_after_mins": 60},
        each(
            "timestamp",
            ago(60),
            ago(60) - MS,
            ago(60).replace(tzinfo=None),
            ago(60).astimezone(timezone(timedelta(hours=-8))),
            datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        ),
        each("timestamp", ago(60) + MS, AS_OF, ago(-60), MISSING, None, "2020-01-01", 0, [ago(90)], [ago(90), "x"]),
    ),
    Row(
        "`auto_close_if`: `metadata.name` is true",
        {"auto_close_if": "ok"},
        each("metadata.ok", True),
        [*each("metadata.ok", False, 1, "true", None, MISSING, []), *each("metadata", None, MISSING, "text")],
    ),
    Row("a `null` counts as absent", {**ALWAYS, "expire_after_mins": None, "severities": None}, [{}], []),
    Row(
        "`only_if`: the rule decides only alerts for which the tree holds",
        {"expire_after_mins": 10, "only_if": leaf("eq", 45)["close_if"]},
        x(45, 45.0, ["a", 45]),
        [*x("45", None, MISSING), *({"metadata": {"x": 45}, "timestamp": ago(9)},)],
    ),
    Row(
        "`only_if` limits escalating, too",
        {"escalate_after_mins": 10, "only_if": leaf("eq", 45)["close_if"]},
        x(45),
        x("45"),
    ),
    Row(
        "`escalate_if`: an OPEN alert for which the tree holds",
        {"escalate_if": leaf("eq", 45)["close_if"]},
        x(45, 45.0),
        [*x("45", MISSING), {"metadata": {"x": 45}, "status": "ESCALATED"}],
    ),
    Row(
        "`escalate_after_mins`: an OPEN alert that nobody attended to",
        {"escalate_after_mins": 10},
        [
            {},
            *each("timestamp", ago(10) - MS, ago(10).replace(tzinfo=None)),
            *each("created_at", ago(10), None),
            *each("updated_at", ago(10), None),
        ],
        [
            *each("timestamp", ago(10) + MS),
            *each("created_at", ago(10) + MS, ago(-5), "2020-01-01", 0, "", [], [ago(90)]),
            *each("updated_at", ago(10) + MS, AS_OF, "2020-01-01", 0, "", [], [ago(90)]),
            {"status": "ESCALATED"},
        ],
    ),
    Row(
        "`severities`: decide only these",
        {**ALWAYS, "severities": ["INFO", "WARNING"]},
        each("severity", "INFO", "WARNING"),
        each("severity", "CRITICAL", "info", None, MISSING, ""),
    ),
    Row(
        "`statuses`: decide only these",
        {**ALWAYS, "statuses": ["ESCALATED"]},
        [{"status": "ESCALATED"}],
        [{"status": "OPEN"}],
    ),
    Row(
        "`hold_mins`: `updated_at` at or before; where null or missing `created_at`; with neither it is held",
        {**ALWAYS, "hold_mins": 60},
        [
            *each("updated_at", ago(60), ago(90)),
            {"updated_at": None, "created_at": ago(60)},
            {"created_at": ago(60)},
            {"updated_at": ago(60), "created_at": AS_OF},
        ],
        [
            *each("updated_at", ago(60) + MS, AS_OF, "2020-01-01", 0, MISSING, None),
            {"updated_at": ago(1), "created_at": ago(90)},
            {"updated_at": "", "created_at": ago(90)},
            {"updated_at": None, "created_at": ago(60) + MS},
            {"created_at": "2020-01-01"},
        ],
    ),
    Row(
        "`hold_mins`: a scan's own write is no update: the `updated_at` that it replaced counts",
        {**ALWAYS, "hold_mins": 60},
        [
            escalated(ago(60)),
            escalated(None) | {"created_at": ago(60)},
            escalated(MISSING) | {"created_at": ago(60)},
            {**escalated(ago(60)), "state_history": [scans_entry(ago(70), ago(3)), scans_entry(ago(3), ago(2))]},
        ],
        [
            escalated(ago(60) + MS),
            escalated(None) | {"created_at": ago(59)},
            escalated(None),
            escalated(ago(60)) | {"status": "OPEN"},
            escalated(ago(60)) | {"updated_at": ago(1)},
            escalated(ago(60)) | {"updated_at": "text"},
            {**escalated(ago(60)), "state_history": [scans_entry(ago(70), ago(2)) | {"triggered_by": "ana"}]},
            {**escalated(ago(60)), "state_history": [{**scans_entry(ago(70), ago(2)), "before": None}]},
            {**escalated(ago(60)), "state_history": [scans_entry(ago(59), ago(3)), scans_entry(ago(3), ago(2))]},
        ],
    ),
    Row(
        "a rule does not close an alert that it closed before",
        ALWAYS,
        [
            *each("state_history", MISSING, None, [], [None, "AUTO_CLOSED"], [closed_by("r2")]),
            {"state_history": [{"to_status": "ESCALATED", "rule_triggered": "r1"}]},
        ],
        each(
            "state_history",
            [closed_by("r1")],
            ["text", closed_by("r1"), closed_by("r2")],
            [closed_by("r1"), undone("J")],
        ),
    ),
    Row(
        "a close before the alert's present timestamp belongs to an earlier occurrence",
        ALWAYS,
        each(
            "state_history",
            [closed_by("r1", as_of=ago(10) - MS)],
            [closed_by("r1", timestamp=ago(10) - MS)],
            [closed_by("r1", timestamp=ago(10) - MS), closed_by("r1", as_of=ago(200), timestamp=AS_OF)],
            [closed_by("r1", as_of=None, timestamp=ago(11))],
            [old_close(ago(10) - MS)],
        ),
        each(
            "state_history",
            [closed_by("r1", as_of=ago(10))],
            [closed_by("r1", timestamp=ago(10))],
            [closed_by("r1", as_of=ago(10), timestamp=ago(500))],
            [closed_by("r1", as_of="long ago", timestamp="long ago")],
            [closed_by("r1", timestamp=ago(500)), closed_by("r1", timestamp=ago(9))],
        ),
    ),
    Row(
        "a close by a job that names no rule counts for every rule",
        ALWAYS,
        each(
            "state_history",
            [{**old_close(ago(5)), "triggered_by": "ana"}],
            [{**old_close(ago(5)), "to_status": "ESCALATED"}],
            [{**old_close(ago(5)), "rule_triggered": ["r1"]}],
        ),
        each(
            "state_history",
            [old_close(ago(5))],
            [{**old_close(ago(5)), "rule_triggered": ""}],
            [{"to_status": "AUTO_CLOSED", "triggered_by": "system"}],
            [old_close(ago(5)), undone("J")],
        ),
    ),
    Row(
        "a decision with an `as_of` at or after this one is left alone; one that was undone does not count",
        ALWAYS,
        each(
            "state_history",
            [decided(AS_OF - MS)],
            [decided("2099-01-01")],
            [decided(None)],
            [decided(AS_OF), undone("JOB-1")],
            [decided(AS_OF - MS), undone("JOB-2")],
        ),
        each(
            "state_history",
            [decided(AS_OF)],
            [decided(AS_OF + MS)],
            [decided(AS_OF), undone("JOB-2")],
            [decided(AS_OF), decided(AS_OF - MS), {"undoes": None}, "text"],
            [decided(AS_OF), undone("JOB-1"), {**decided(AS_OF), "job_id": "JOB-3"}],
        ),
    ),
    Row(
        "a rule does not repeat an escalation of the same occurrence that was undone",
        {"escalate_if_count": 1, "group_by": "alert_id"},
        each(
            "state_history",
            [],
            [escalation(as_of=ago(31)), undone("J", "ESCALATED", "r1")],
            [escalation(timestamp=ago(31)), undone("J", "ESCALATED", "r1")],
            [undone("J", "ESCALATED", "r2")],
            [undone("J", "AUTO_CLOSED", "r1")],
            [closed_by("r1")],
        ),
        each(
            "state_history",
            [undone("J", "ESCALATED", "r1")],
            ["text", undone("J", "ESCALATED", "r1")],
            [escalation(), undone("J", "ESCALATED", "r1")],
            [escalation(as_of=ago(5)), undone("J", "ESCALATED", "r1")],
            [escalation(as_of=ago(31)), escalation(as_of=ago(5)) | {"job_id": "K"}, undone("K", "ESCALATED", "r1")],
        ),
    ),
]


@pytest.mark.parametrize("row", OWN_TESTS, ids=lambda row: row.sentence)
def test_a_condition_on_the_alert_itself(db: AlertDatabase, row: Row) -> None:
    insert(db, [*row.holds, *row.fails])

    assert due(db, clause_of(row.conditions)) == names(range(len(row.holds)))


EXPIRES_AT = Row(
    "a pending alert whose `expires_at` is from its timestamp to as_of is closed, of whatever source",
    {},
    [
        *each("expires_at", AS_OF, ago(1).replace(tzinfo=None)),
        {"expires_at": ago(1), "timestamp": ago(1)},
        {"expires_at": AS_OF, "source_type": "nobody's"},
        {"expires_at": AS_OF, "source_type": MISSING},
        {"expires_at": AS_OF, "status": "ESCALATED", "state_history": [closed_by("r1")]},
    ],
    [
        *each("expires_at", AS_OF + MS, None, MISSING, "2020-01-01", 0, ""),
        *each("expires_at", datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 7, 20, tzinfo=UTC)),
        {"expires_at": ago(1) - MS, "timestamp": ago(1)},
        *({"expires_at": zero, "timestamp": zero} for zero in (datetime(year, 1, 1, tzinfo=UTC) for year in (1, 1970))),
        {"expires_at": AS_OF, "status": "RESOLVED"},
        {"expires_at": AS_OF, "timestamp": AS_OF + MS},
        {"expires_at": AS_OF, "timestamp": "2020-01-01"},
        {"expires_at": AS_OF, "state_history": [closed_by("expires_at")]},
        {"expires_at": AS_OF, "state_history": [decided(AS_OF)]},
    ],
)


def test_the_alerts_own_expiry(db: AlertDatabase) -> None:
    insert(db, [*EXPIRES_AT.holds, *EXPIRES_AT.fails])

    assert due(db, compile_expires_at(AS_OF)) == names(range(len(EXPIRES_AT.holds)))


@pytest.mark.parametrize("field", ["expires_at", "updated_at", "created_at"])
def test_an_array_is_no_date(db: AlertDatabase, field: str) -> None:
    insert(db, each(field, [ago(90)], [ago(90), AS_OF], [], [None]))

    assert due(db, clause_of({**ALWAYS, "hold_mins": 60})) == []
    assert due(db, compile_expires_at(AS_OF)) == []


def test_a_timestamp_that_is_no_date_is_named(db: AlertDatabase) -> None:
    named = each("timestamp", MISSING, None, "2025-01-15", "", 0, True, {}, [], [None], ["x"], [ago(5), "x"], [ago(5)])
    insert(db, [*named, *each("timestamp", ago(5), AS_OF + MS)])

    found = [alert["_id"] for kind in (BAD_TIMESTAMP, holds_array("timestamp")) for alert in db.alerts.find(kind)]
    assert sorted(found) == names(range(len(named)))


HOUR = {"from": ago(60), "to": ago(-60)}


SCOPE = {"field": "metadata.x", "values": [45, "depot", True]}


WINDOWS: list[tuple[str, Fields, list[Fields], list[Fields]]] = [
    ("every source, all alerts", HOUR, [], [{}]),
    ("from is in it", {"from": AS_OF, "to": AS_OF + MS}, [], [{}]),
    ("to is not", {"from": ago(60), "to": AS_OF}, [{}], []),
    ("not yet", {"from": AS_OF + MS, "to": ago(-60)}, [{}], []),
    ("its sources", {**HOUR, "source_types": ["SAFETY", "COMPLIANCE"]}, [], [{}]),
    ("other sources", {**HOUR, "source_types": ["COMPLIANCE"]}, [{}], []),
    ("`values` as `in`", {**HOUR, **SCOPE}, x("45", 1, None, MISSING, []), x(45.0, ["depot"], True)),
    ("source and field", {**HOUR, **SCOPE, "source_types": ["COMPLIANCE"]}, x(45), []),
]


@pytest.mark.parametrize(
    ("window", "decided_on", "exempt"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS]
)
def test_a_maintenance_window(
    db: AlertDatabase, window: Fields, decided_on: list[Fields], exempt: list[Fields]
) -> None:
    insert(db, [{"expires_at": AS_OF, **fields} for fields in [*decided_on, *exempt]])
    expected = names(range(len(decided_on)))

    assert due(db, clause_of(ALWAYS, [window])) == expected
    assert due(db, clause_of({"escalate_if_count": 1, "group_by": "alert_id"}, [window])) == expected
    assert due(db, compile_expires_at(AS_OF, windows_of([window]))) == expected
