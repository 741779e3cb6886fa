"""The tables of awkward values on the reference page: each cell is what the server decides."""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.clause import Clause
from alert_pipelines.rules.compiler import compile_expires_at, compile_rule
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines_tests.factories import AS_OF, alert, rule
from alert_pipelines_tests.rules.tables import MISSING

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Awkward values", 1)[-1].split("\n## ", 1)[0]
TEN, ELEVEN, NOON = (datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (10, 11, 12))

Fields = dict[str, Any]
Deciding = list[Clause]


def table(name: str) -> tuple[list[str], list[list[str]]]:
    """The heading and the rows of the table under the heading `name`, cell by cell, without backquotes."""
    lines = SECTION.split(f"### {name}\n", 1)[1].splitlines()
    lines = list(
        itertools.takewhile(
            lambda line: line.startswith("|"), itertools.dropwhile(lambda line: not line.startswith("|"), lines)
        )
    )
    heading, _, *rows = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]
    return heading, rows


def value(text: str) -> Any:
    """A value as the page writes it: as JSON, a time of 1 March 2026 as 11:00, a date as 1970-01-01."""
    if text == "missing":
        return MISSING
    if text == "NaN":
        return math.nan
    if text.startswith("[") and ":" in text and '"' not in text:
        return [value(part) for part in text.strip("[]").split(", ")]
    if text[:4].isdigit() and text[4:5] == "-":
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    if text[:2].isdigit() and text[2:3] == ":":
        return datetime.fromisoformat(f"2026-03-01T{text}").replace(tzinfo=UTC)
    return json.loads(text)


def with_value(path: str, what: Any, **fields: Any) -> Fields:
    """An alert with a value at `path`, or without one where it is MISSING."""
    made = alert(**{"timestamp": TEN, "created_at": TEN, "updated_at": TEN, "metadata": {"driver_id": "D1"}, **fields})
    *outer, name = path.split(".")
    inner = made[outer[0]] if outer else made
    inner.pop(name, None)
    if what is not MISSING:
        inner[name] = what
    return made


def clauses(conditions: Fields) -> Deciding:
    return compile_rule(parse_rule(rule("r", conditions)), AS_OF)


def decided(db: AlertDatabase, alerts: Sequence[Fields], deciding: Deciding) -> list[bool]:
    """Which of `alerts`, in their order, one of the clauses decides."""
    db.alerts.delete_many({})
    db.alerts.insert_many([{**one, "_id": number, "alert_id": f"A{number}"} for number, one in enumerate(alerts)])
    due = {found["_id"] for clause in deciding for found in db.alerts.aggregate(clause.pipeline())}
    return [number in due for number in range(len(alerts))]


def yes(answers: Iterable[bool]) -> list[str]:
    return ["yes" if answer else "no" for answer in answers]


def expected(name: str, column: int) -> list[str]:
    return [row[column] for row in table(name)[1]]


def leaf(text: str, **more: Any) -> Fields:
    """A test of `metadata.x`, as a heading of the page says it: op, value and what else."""
    op, _, given = text.partition(" ")
    return {"field": "metadata.x", "op": op, **yaml.safe_load(f"{{value: {given}}}" if given else "{}"), **more}


WRAPPED: dict[str, Callable[[Fields], Fields]] = {
    "close_if": lambda tree: {"close_if": tree},
    "escalate_if": lambda tree: {"escalate_if": tree},
    "only_if": lambda tree: {"only_if": tree, "expire_after_mins": 1},
    "count_if": lambda tree: {"count_if": tree, "escalate_if_count": 1, "group_by": "alert_id"},
}
TESTS = ("A value", "A date", "A text")


@pytest.mark.parametrize("condition", WRAPPED)
@pytest.mark.parametrize("name", TESTS)
def test_a_leaf_holds_for_the_values_of_the_page_in_every_tree(db: AlertDatabase, name: str, condition: str) -> None:
    heading, rows = table(name)
    alerts = [with_value("metadata.x", value(row[0])) for row in rows]
    for column, text in enumerate(heading[1:], 1):
        assert yes(decided(db, alerts, clauses(WRAPPED[condition](leaf(text))))) == expected(name, column), text


def test_another_field_is_compared_as_the_page_says(db: AlertDatabase) -> None:
    heading, rows = table("Another field of the alert")
    alerts = [
        with_value("metadata.x", value(row[0]), metadata=with_value("metadata.y", value(row[1]))["metadata"])
        for row in rows
    ]
    for column, text in enumerate(heading[2:], 2):
        op, _, more = text.partition(" ")
        tree = {"field": "metadata.x", "op": op, "value_of": "metadata.y", **yaml.safe_load(f"{{{more}}}")}
        assert yes(decided(db, alerts, clauses({"close_if": tree}))) == expected("Another field of the alert", column)


ALWAYS = {"close_if": {"field": "alert_id", "op": "exists"}}
OF_ITS_OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "auto_close_if": ("metadata.x", {"auto_close_if": "x"}),
    "severities": ("severity", {**ALWAYS, "severities": ["INFO"]}),
    "statuses": ("status", {**ALWAYS, "statuses": ["OPEN"]}),
    "expire_after_mins": ("timestamp", {"expire_after_mins": 60}),
    "hold_mins": ("updated_at", {**ALWAYS, "hold_mins": 60}),
    "escalate_after_mins, created_at": ("created_at", {"escalate_after_mins": 60}),
    "escalate_after_mins, updated_at": ("updated_at", {"escalate_after_mins": 60}),
    "expires_at": ("expires_at", {}),
}


@pytest.mark.parametrize("name", ["Severity, status and a fact", "The alert's dates"])
def test_a_condition_on_the_alert_itself_decides_as_the_page_says(db: AlertDatabase, name: str) -> None:
    heading, rows = table(name)
    for column, text in enumerate(heading[1:], 1):
        path, conditions = OF_ITS_OWN[text.partition(":")[0]]
        alerts = [with_value(path, value(row[0])) for row in rows]
        deciding = clauses(conditions) if conditions else [compile_expires_at(AS_OF)]
        assert yes(decided(db, alerts, deciding)) == expected(name, column), text


OTHERS: dict[str, tuple[Fields, int]] = {
    # Whether the earlier of the two, or the later, is decided.
    "keep_latest": ({"keep_latest": True}, 0),
    "keep_first": ({"keep_first": True}, 1),
    "close_if_no_repeat_mins": ({"close_if_no_repeat_mins": 30}, 0),
    "escalate_if_count": ({"escalate_if_count": 2}, 1),
    "close_if_other": ({"close_if_other": {"source_type": "OVERSPEEDING"}}, 0),
    "suppress_if_other": ({**ALWAYS, "suppress_if_other": {"source_type": "OVERSPEEDING"}}, 0),
}


def test_two_alerts_go_together_as_the_page_says(db: AlertDatabase) -> None:
    heading, rows = table("The keys of two alerts")
    for column, text in enumerate(heading[2:], 2):
        conditions, place = OTHERS[text.partition(":")[0]]
        answers = []
        for row in rows:
            pair = [
                with_value("metadata.driver_id", value(row[0]), timestamp=TEN.replace(hour=11, minute=10)),
                with_value("metadata.driver_id", value(row[1]), timestamp=TEN.replace(hour=11, minute=40)),
            ]
            answers.append(decided(db, pair, clauses({**conditions, "ignore_keys": ["unknown"]}))[place])
        assert yes(answers) == expected("The keys of two alerts", column), text


BY_TIME = {
    **{name: conditions for name, (conditions, _) in OTHERS.items()},
    "close_if_no_repeat_mins": {"close_if_no_repeat_mins": 60},
    "escalate_if_count": {"escalate_if_count": 2, "window_mins": 60},
    "close_if_other, any": {"close_if_other": {"source_type": "OVERSPEEDING", "when": "any"}},
    "suppress_if_other, later": {**ALWAYS, "suppress_if_other": {"source_type": "OVERSPEEDING", "when": "later"}},
}


def test_another_alert_counts_by_its_time_as_the_page_says(db: AlertDatabase) -> None:
    heading, rows = table("The time of another alert")
    for column, text in enumerate(heading[1:], 1):
        deciding = clauses(BY_TIME[text.partition(":")[0]])
        answers = [
            decided(db, [with_value("timestamp", ELEVEN), with_value("timestamp", value(row[0]))], deciding)[0]
            for row in rows
        ]
        assert yes(answers) == expected("The time of another alert", column), text


BY_STATUS: dict[str, dict[str, Any]] = {
    "escalate_if_count": {"escalate_if_count": 2},
    "count_statuses": {"escalate_if_count": 2, "count_statuses": ["OPEN", "RESOLVED"]},
    "keep_latest": {"keep_latest": True},
    "keep_first": {"keep_first": True},
    "close_if_no_repeat_mins": {"close_if_no_repeat_mins": 30},
    "close_if_other": {"close_if_other": {"source_type": "OVERSPEEDING", "statuses": ["RESOLVED"], "when": "any"}},
}


def test_another_alert_counts_by_its_status_as_the_page_says(db: AlertDatabase) -> None:
    heading, rows = table("The status of another alert")
    for column, text in enumerate(heading[1:], 1):
        name = text.partition(":")[0]
        # The other alert has to be the newer one where that is what counts.
        minute = 50 if name in ("keep_latest", "close_if_no_repeat_mins") else 0
        at = TEN.replace(hour=11, minute=minute)
        ours = with_value("timestamp", TEN.replace(hour=11, minute=20))
        answers = [
            decided(db, [ours, with_value("status", value(row[0]), timestamp=at)], clauses(BY_STATUS[name]))[0]
            for row in rows
        ]
        assert yes(answers) == expected("The status of another alert", column), text


def test_two_values_differ_as_the_page_says(db: AlertDatabase) -> None:
    heading, rows = table("Two values that are counted")
    deciding = clauses({"escalate_if_count": 2, "count_distinct": "metadata.x"})
    answers = [
        decided(
            db,
            [
                with_value("metadata.x", value(cell), timestamp=TEN.replace(hour=11, minute=minute))
                for cell, minute in zip(row[:2], (10, 40), strict=True)
            ],
            deciding,
        )[1]
        for row in rows
    ]
    assert yes(answers) == expected("Two values that are counted", len(heading) - 1)


def test_every_table_of_the_page_is_read_by_a_test() -> None:
    named = [line.removeprefix("### ") for line in SECTION.splitlines() if line.startswith("### ")]
    assert named == [
        *TESTS,
        "Another field of the alert",
        "Severity, status and a fact",
        "The alert's dates",
        "The keys of two alerts",
        "The time of another alert",
        "The status of another alert",
        "Two values that are counted",
    ]
