"""What the tables of the language's meaning are made of: rows, alerts with one awkward value, and who is due."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.clause import Clause
from alert_pipelines.rules.compiler import compile_rule
from alert_pipelines.rules.key_indexes import KeyIndexes
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.window_compiler import WindowsAt
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.scanner.readings import Readings

AS_OF = datetime(2025, 1, 15, 12, 0, tzinfo=UTC)
MS = timedelta(milliseconds=1)
MISSING = object()
ALWAYS = {"close_if": {"field": "alert_id", "op": "exists"}}

Fields = dict[str, Any]


class Row(NamedTuple):
    """A sentence, the conditions that it speaks of, and alerts for which they hold and do not hold."""

    sentence: str
    conditions: dict[str, Any]
    holds: list[Fields]
    fails: list[Fields]


def ago(minutes: float) -> datetime:
    """So many minutes before as_of."""
    return AS_OF - timedelta(minutes=minutes)


def each(path: str, *values: object) -> list[Fields]:
    """One alert a value, with it at `path`; where it is MISSING, with all but the last part of `path`."""
    *outer, name = path.split(".")
    alerts = []
    for value in values:
        fields: Fields = {} if outer and value is MISSING else {name: value}
        for part in reversed(outer):
            fields = {part: fields}
        alerts.append(fields)
    return alerts


def leaf(op: str, value: object = MISSING, field: str = "metadata.x") -> dict[str, Any]:
    """A close condition of one test, of `metadata.x` by default; without a value where it is MISSING."""
    return {"close_if": {"field": field, "op": op} | ({} if value is MISSING else {"value": value})}


def x(*values: object) -> list[Fields]:
    """One alert a value, with it at `metadata.x`."""
    return each("metadata.x", *values)


def names(numbers: Iterable[int]) -> list[str]:
    """The ids that `insert` gives to the alerts at these places."""
    return [f"a{number:02}" for number in numbers]


def insert(db: AlertDatabase, alerts: Sequence[Fields]) -> None:
    """Insert `alerts` under `names`; what they leave out is usual, what is MISSING stays out."""
    usual = {"source_type": "SAFETY", "severity": "INFO", "status": "OPEN", "timestamp": ago(10)}
    for name, fields in zip(names(range(len(alerts))), alerts, strict=True):
        alert = {"_id": name, "alert_id": name, **usual, **fields}
        db.alerts.insert_one({field: value for field, value in alert.items() if value is not MISSING})


def clause_of(conditions: dict[str, Any], windows: Sequence[Fields] = ()) -> Clause:
    """The one clause of a rule "r1" with one deciding condition."""
    rule = Rule.model_validate({"rule_id": "r1", "source_type": "SAFETY", "conditions": conditions})
    (clause,) = compile_rule(rule, AS_OF, windows_of(windows))
    return clause


def windows_of(documents: Sequence[Fields]) -> WindowsAt:
    """The maintenance windows of these documents at AS_OF."""
    return WindowsAt(map(MaintenanceWindow.model_validate, documents), AS_OF)


def due(db: AlertDatabase, clause: Clause) -> list[str]:
    """The names of the alerts that `clause` yields, with an index by its key as without; one yielded twice stands
    there twice."""
    [without_index] = Readings(db.alerts, KeyIndexes(db.no_such_collection)).within(clause)
    found, in_one_pass = (
        sorted(alert["_id"] for alert in db.alerts.aggregate(pipeline, allowDiskUse=True))
        for pipeline in (clause.pipeline(), without_index.pipeline)
    )
    assert found == in_one_pass
    return found
