"""Every statement that a scan, a dry run, an undo and an explanation send, against what sharded collections forbid.

There is no mongos here to try it on: the statements are recorded on their way to a real server, and the rules are
MongoDB's, each with the page of its manual that states it. Only `alerts` is taken to be sharded, see docs/scaling.md.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.audit.decisions import decisions_of_alert
from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner import readings
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.commands import Recorder, recorded
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule

Command = dict[str, Any]

SHARDED = "alerts"
# What an alert may be spread by: none of it may ever be changed by a multi-update.
SHARD_KEY_FIELDS = frozenset({"_id", "alert_id", "source_type", "metadata", "timestamp", "created_at"})

_MANUAL = "https://www.mongodb.com/docs/manual/"
_RESTRICTIONS = f"{_MANUAL}core/sharded-cluster-requirements/"

RULES = [
    rule("valid", {"auto_close_if": "document_valid"}, priority=9),
    rule("fast", {"close_if": {"any": [{"field": "metadata.speed", "op": "gt", "value": 200}]}, "hold_mins": 5}),
    rule("old", {"expire_after_mins": 1000, "severities": ["WARNING"], "statuses": ["OPEN"], "max_close_fraction": 1}),
    rule("quiet", {"close_if_no_repeat_mins": 500}),
    rule("latest", {"keep_latest": True, "group_by": ["metadata.vehicle_id", "metadata.document_type"]}),
    rule("pile", {"escalate_if_count": 3, "window_mins": 60}),
    rule("maybe", {"escalate_if_count": 2}, mode="shadow", is_active=False),
]


def _alerts() -> Iterator[dict[str, Any]]:
    for n in range(4):
        yield alert(f"pile{n}", driver="P", minutes=10 + n)
    yield alert("valid", driver="V", metadata={"driver_id": "V", "document_valid": True})
    yield alert("fast", driver="F", metadata={"driver_id": "F", "speed": 300})
    yield alert("old", driver="O", minutes=2000)
    yield alert("quiet", driver="Q", minutes=600)
    for n in range(2):
        yield alert(
            f"latest{n}", minutes=60 + n, metadata={"driver_id": f"L{n}", "vehicle_id": "L", "document_type": "T"}
        )
    yield alert("expired", driver="E", source_type="COMPLIANCE", expires_at=ago(1))
    yield alert("broken", driver="B", minutes=2000, state_history="text")
    yield alert("undated", driver="U", timestamp="yesterday")


@dataclass(frozen=True)
class Sent:
    """All that was sent, and, after the scan and after the undo, how many alerts its updates reach a second time."""

    commands: list[Command]
    reached_twice: dict[str, int]


@pytest.fixture(scope="module")
def sent(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """From the making of the indexes to the undoing of what was done."""
    settings = MongoSettings(mongo_uri, "test_sharding", tmp_path_factory.getbasetemp())
    with open_database(settings) as plain:
        window = {"source_types": ["SAFETY"], "from": ago(60), "to": AS_OF + timedelta(hours=1), "reason": "drill"}
        plain.maintenance_windows.insert_one(window)
        with recorded(plain, mongo_uri) as (db, recorder):
            yield _do_all(plain, db, recorder)
        plain.client.drop_database(plain.name)


def _do_all(plain: AlertDatabase, db: AlertDatabase, recorder: Recorder) -> Sent:
    reached = {}
    run_scan(db, ScanRequest(as_of=AS_OF))
    fill(plain, list(_alerts()), *RULES)
    dry = run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readings, "SLICE", 2)
        assert run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True)).planned == dry.planned
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    reached["scan"] = _send_again(plain, recorder.commands)
    assert report.planned == dry.planned
    assert len(report.decisions) >= 6
    for alert_id in ("pile0", "latest1", "quiet"):
        explain_alert(db, alert_id, as_of=AS_OF)
        decisions_of_alert(db, alert_id)
    undo_job(db, report.job_id, dry_run=True)
    assert undo_job(db, report.job_id, dry_run=False).restored
    reached["undo"] = _send_again(plain, recorder.commands)
    return Sent(recorder.of_the_program(), reached)


def _send_again(db: AlertDatabase, commands: list[Command]) -> int:
    """How many alerts the updates of many in `commands` match when they come once more."""
    many = [update for command in commands for update in _updates(command) if update.get("multi")]
    assert many
    return sum(db[SHARDED].update_many(update["q"], update["u"]).matched_count for update in many)


@dataclass(frozen=True)
class Forbidden:
    """What `page` says that a sharded cluster refuses, or answers wrongly; `breaks` finds it in one command."""

    what: str
    page: str
    breaks: Callable[[Command], bool]


def _name(command: Command) -> str:
    return next(iter(command))


def _on_alerts(command: Command) -> bool:
    return bool(command[_name(command)] == SHARDED)


def _updates(command: Command) -> list[dict[str, Any]]:
    return list(command.get("updates", [])) if _on_alerts(command) else []


def _names_one(query: dict[str, Any]) -> bool:
    return "_id" in query and not (isinstance(query["_id"], dict) and set(query["_id"]) != {"$eq"})


def _stages(value: Any, name: str) -> Iterator[Any]:
    """The value of each `name` anywhere within `value`: stages stand in pipelines, lookups and facets alike."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from _stages(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _stages(inner, name)


def _fields_written(update: Any) -> set[str]:
    stages = update if isinstance(update, list) else [update]
    written: set[str] = set()
    for stage in stages:
        for changes in stage.values():
            names = [changes] if isinstance(changes, str) else list(changes)
            written |= {name.partition(".")[0] for name in names}
    return written


def _written_into(stage: Any) -> str | None:
    into = stage.get("into") if isinstance(stage, dict) and "into" in stage else stage
    return str(into.get("coll")) if isinstance(into, dict) else into


FORBIDDEN = [
    Forbidden(
        "an update or delete of one document that names neither _id nor shard key",
        _RESTRICTIONS,
        lambda command: (
            any(not one.get("multi") and not _names_one(one["q"]) for one in _updates(command))
            or (_on_alerts(command) and any(one.get("limit") == 1 for one in command.get("deletes", [])))
        ),
    ),
    Forbidden(
        "findAndModify without an equality on the shard key",
        _RESTRICTIONS,
        lambda command: _name(command) == "findAndModify" and _on_alerts(command),
    ),
    Forbidden(
        "an upsert whose filter lacks the shard key",
        f"{_MANUAL}reference/method/db.collection.updateMany/",
        lambda command: any(one.get("upsert") for one in _updates(command)),
    ),
    Forbidden(
        "an update of many that may change a shard key",
        f"{_MANUAL}core/sharding-change-shard-key-value/",
        lambda command: any(
            one.get("multi") and _fields_written(one["u"]) & SHARD_KEY_FIELDS for one in _updates(command)
        ),
    ),
    Forbidden(
        "$where, $function, $accumulator or mapReduce",
        _RESTRICTIONS,
        lambda command: (
            _name(command) == "mapReduce"
            or any(True for name in ("$where", "$function", "$accumulator") for _ in _stages(command, name))
        ),
    ),
    Forbidden(
        "$out into a sharded collection",
        f"{_MANUAL}reference/operator/aggregation/out/",
        lambda command: any(_written_into(into) == SHARDED for into in _stages(command, "$out")),
    ),
    Forbidden(
        "$merge into a sharded collection on fields that no unique index with the shard key covers",
        f"{_MANUAL}reference/operator/aggregation/merge/",
        lambda command: any(_written_into(into) == SHARDED for into in _stages(command, "$merge")),
    ),
    Forbidden(
        "$lookup from a sharded collection within a transaction",
        f"{_MANUAL}reference/operator/aggregation/lookup/",
        lambda command: "txnNumber" in command and command.get("autocommit") is False,
    ),
    Forbidden(
        "count, which counts orphaned documents and those that are on the move twice, but for an estimate of all",
        f"{_MANUAL}reference/method/db.collection.count/",
        lambda command: _name(command) == "count" and _on_alerts(command) and bool(command.get("query")),
    ),
    Forbidden(
        "a read of the databases local or config: a router has no local, and so no oplog",
        f"{_MANUAL}reference/local-database/",
        lambda command: command["$db"] in ("local", "config"),
    ),
    Forbidden(
        "commands that a router does not know",
        f"{_MANUAL}reference/command/profile/",
        lambda command: _name(command) in ("profile", "replSetGetStatus", "cloneCollectionAsCapped", "geoSearch"),
    ),
    Forbidden(
        "a capped collection or a tailable cursor on one",
        f"{_MANUAL}core/capped-collections/",
        lambda command: bool(command.get("capped") or command.get("tailable")),
    ),
]


def test_the_recorded_statements_are_of_every_kind(sent: Sent) -> None:
    on_alerts = {_name(command) for command in sent.commands if _on_alerts(command)}
    assert {"createIndexes", "listIndexes", "aggregate", "find", "update"} <= on_alerts
    conditions = {
        entry["condition"]["$literal"] if isinstance(entry["condition"], dict) else entry["condition"]
        for command in sent.commands
        for update in _updates(command)
        for entry in (found for array in _stages(update["u"], "$concatArrays") for found in array[1])
        if "condition" in entry
    }
    assert {"auto_close_if", "close_if", "expire_after_mins", "keep_latest", "escalate_if_count"} <= conditions
    assert {"close_if_no_repeat_mins", "expires_at"} <= conditions
    assert any(True for command in sent.commands for _ in _stages(command, "$setWindowFields"))
    assert any(True for command in sent.commands for _ in _stages(command, "$sample"))


@pytest.mark.parametrize("forbidden", FORBIDDEN, ids=lambda forbidden: forbidden.what.partition(",")[0][:50])
def test_no_statement_is_one_that_sharded_collections_forbid(sent: Sent, forbidden: Forbidden) -> None:
    broken = [command for command in sent.commands if forbidden.breaks(command)]
    assert not broken, f"{forbidden.what} ({forbidden.page}): {json.dumps(broken[0], default=str)[:2000]}"


def test_the_one_unique_index_of_alerts_is_over_alert_id(sent: Sent) -> None:
    # A unique index has to begin with the whole shard key, so this one decides what alerts may be sharded by, or has
    # to be made by hand without `unique`: see docs/scaling.md.
    unique = [
        index["key"]
        for command in sent.commands
        if _name(command) == "createIndexes" and _on_alerts(command)
        for index in command["indexes"]
        if index.get("unique")
    ]
    assert unique == [{"alert_id": 1}]


@pytest.mark.parametrize("after", ["scan", "undo"])
def test_an_update_of_many_that_reaches_an_alert_twice_changes_it_once(sent: Sent, after: str) -> None:
    # It is not kept apart from chunk migrations, and may reach an alert twice, or not at all.
    assert sent.reached_twice[after] == 0


@pytest.mark.parametrize(
    "command",
    [
        {"update": "alerts", "updates": [{"q": {"alert_id": "A"}, "u": {"$set": {"status": "OPEN"}}}]},
        {"update": "alerts", "updates": [{"q": {}, "u": [{"$set": {"metadata.driver_id": 1}}], "multi": True}]},
        {"update": "alerts", "updates": [{"q": {"_id": 1}, "u": [{"$set": {}}], "upsert": True}]},
        {"findAndModify": "alerts", "query": {"alert_id": "A"}},
        {"aggregate": "alerts", "pipeline": [{"$match": {"$expr": {"$function": {}}}}]},
        {"aggregate": "alerts", "pipeline": [{"$facet": {"one": [{"$out": "alerts"}]}}]},
        {"aggregate": "alerts", "pipeline": [{"$merge": {"into": {"db": "d", "coll": "alerts"}}}]},
        {"count": "alerts", "query": {"status": "OPEN"}},
        {"find": "oplog.rs", "$db": "local"},
        {"profile": 2},
        {"find": "alerts", "tailable": True},
        {"find": "alerts", "txnNumber": 1, "autocommit": False},
    ],
    ids=lambda command: json.dumps(command)[:60],
)
def test_the_rules_find_what_they_are_to_find(command: Command) -> None:
    asked = command | {"$db": command.get("$db", "alert_management")}
    assert len([one for one in FORBIDDEN if one.breaks(asked)]) == 1
