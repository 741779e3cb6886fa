"""Whatever client a caller's database came from: the same decisions, the same answers."""

import asyncio
import inspect
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest
from bson import Binary, Decimal128
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo import AsyncMongoClient, MongoClient
from pymongo.server_api import ServerApi

import alert_pipelines
from alert_pipelines.audit.backlog import AlertFilter, list_alerts, pending_by_age
from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.audit.forecast import forecast
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.backtesting.backtest import backtest_day
from alert_pipelines.errors import UnusableDatabaseError
from alert_pipelines.index_advice.advice import advise
from alert_pipelines.job_records import create_job_record, get_recent_jobs, update_job_record
from alert_pipelines.loading.sample_week import insert_week
from alert_pipelines.mongo import AlertDatabase, MongoSettings, known_form, open_database
from alert_pipelines.monitoring.health import oldest_pending, pending_by_source, reopened, scans_are_fresh
from alert_pipelines.monitoring.metrics import ScannerCollector
from alert_pipelines.monitoring.scan_records import hours_of_scans
from alert_pipelines.reports.daily import daily_report
from alert_pipelines.rules.publish import export_rules, publish_rules
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import auto_close_scanner, run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

RULES = [
    rule("pile-up", {"escalate_if_count": 2, "window_mins": 60}),
    rule("expire", {"expire_after_mins": 2880, "hold_mins": 5}),
    rule("latest", {"keep_latest": True}, source_type="IDLING"),
]
KEY = Binary.from_uuid(uuid.UUID(int=7))
BEYOND = DatetimeMS(400_000_000_000_000)

CLIENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "zone of its own": {"tz_aware": True, "tzinfo": timezone(timedelta(hours=5, minutes=30))},
    "dates as milliseconds": {"datetime_conversion": "DATETIME_MS"},
    "dates clamped": {"datetime_conversion": "DATETIME_CLAMP", "tz_aware": True},
    "uuid standard": {"uuidRepresentation": "standard"},
    "uuid legacy": {"uuidRepresentation": "pythonLegacy", "tz_aware": True},
    "raw documents": {"document_class": RawBSONDocument},
    "ordered documents": {"document_class": SON},
    "unacknowledged": {"w": 0},
    "one member": {"w": 1, "journal": False},
    "more members than there are": {"w": 2},
    "linearizable": {"readConcernLevel": "linearizable"},
    "snapshot": {"readConcernLevel": "snapshot"},
    "available": {"readConcernLevel": "available"},
    "secondary": {"readPreference": "secondaryPreferred"},
    "strict texts": {"unicode_decode_error_handler": "strict"},
    "no retries": {"retryWrites": False, "retryReads": False},
    "strict api": {"server_api": ServerApi("1", strict=True, deprecation_errors=True)},
    "bounded": {"timeoutMS": 20_000},
}


@pytest.fixture(params=list(CLIENTS.values()), ids=list(CLIENTS))
def callers_db(request: pytest.FixtureRequest, mongo_uri: str, bare_db: AlertDatabase) -> Iterator[AlertDatabase]:
    """`bare_db` as a caller opened it."""
    with MongoClient[dict[str, Any]](mongo_uri, **request.param) as client:
        yield client[bare_db.name]


def the_work_of_a_day(db: AlertDatabase, seen: AlertDatabase) -> dict[str, Any]:
    """All that the public functions decide and answer through `db`, as far as no clock is in it."""
    told: dict[str, Any] = {}
    publish_rules(db, [parse_rule(one) for one in RULES])
    told["rules"] = [one.canonical() for one in export_rules(db)]
    first = [
        alert("a1", minutes=20, driver=KEY, _id=Decimal128("1.50")),
        alert("far", driver="D2", metadata={"driver_id": "D2", "due": BEYOND}, expires_at=BEYOND),
        alert("never", timestamp=BEYOND),
        alert("idle", minutes=9, source_type="IDLING", driver=KEY),
    ]
    fill(seen, first)
    told["first"] = auto_close_scanner(db, as_of=AS_OF)
    fill(
        seen,
        [
            alert("a2", minutes=5, driver=KEY, _id=Binary.from_uuid(uuid.UUID(int=1))),
            alert("old", minutes=3000, driver="D3"),
            alert("newer", minutes=-1, source_type="IDLING", driver=KEY),
        ],
    )
    at = AS_OF + timedelta(minutes=5)
    explained = {name: explain_alert(db, name, as_of=at) for name in ("a1", "a2", "old", "far", "idle")}
    told["explained"] = {name: (one.why, one.timestamp, one.clauses, one.past) for name, one in explained.items()}
    dry = run_scan(db, ScanRequest(as_of=at, dry_run=True))
    told["forecast"] = forecast(db, as_of=at, hours=2)
    second = run_scan(db, ScanRequest(as_of=at))
    told["planned"] = (dry.planned, dry.samples, dry.errors)
    told["second"] = (
        second.decisions,
        second.incremental_since is not None,
        second.full_scan_reason,
        second.errors,
        second.pending,
    )
    told["statuses"] = statuses(seen)
    day = backtest_day(db, [parse_rule(RULES[0])], AS_OF.date())
    told["backtest"] = (day.proposed, day.today, day.really)
    told["advice"] = [str(one) for one in advise(db, at)]
    undone = undo_job(db, second.job_id, dry_run=False)
    told["undone"] = (undone.restored, undone.alerts, undone.skipped)
    told["statuses after undo"] = statuses(seen)
    told["pending"] = (pending_by_source(db, at), pending_by_age(db, at))
    told["listed"] = list_alerts(db, AlertFilter(), 25, at)
    told["oldest"] = oldest_pending(db, at, 1)
    told["fresh"] = scans_are_fresh(db, datetime.now().astimezone(), timedelta(hours=1)).passed
    told["reopened"] = reopened(db, datetime.now().astimezone(), 10)
    told["hours"] = hours_of_scans(db, datetime.now().astimezone(), 1)
    told["metrics"] = [family.name for family in ScannerCollector(db).collect()]
    told["report"] = daily_report(db, AS_OF.date(), days=2).day
    update_job_record(create_job_record("a_job", db).job_id, {"n": 1}, "completed", [], db)
    jobs = get_recent_jobs(9, db)
    told["jobs"] = [(one.job_type, one.status, one.alerts_closed, one.errors) for one in jobs]
    told["kinds"] = [{name: type(value) for name, value in one.model_dump().items()} for one in jobs]
    return told


@pytest.fixture(scope="module")
def told_plainly(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the work of that day tells who opens the database as the project does."""
    with open_database(MongoSettings(mongo_uri, "test_door", tmp_path_factory.getbasetemp())) as db:
        yield the_work_of_a_day(db, db)
        db.client.drop_database(db.name)


def test_what_a_callers_client_was_opened_with_changed_decisions_and_answers(
    callers_db: AlertDatabase, bare_db: AlertDatabase, told_plainly: dict[str, Any]
) -> None:
    told = the_work_of_a_day(callers_db, bare_db)
    assert told == told_plainly
    assert told["statuses"]["a2"] == "ESCALATED"
    assert told["statuses"]["idle"] == "AUTO_CLOSED"
    assert told["second"][1]


def test_an_asynchronous_database_was_answered_with_nonsense(mongo_uri: str) -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_uri, connect=False)
    with pytest.raises(UnusableDatabaseError, match="AsyncDatabase is not a database") as raised:
        get_recent_jobs(1, client["fleet"])  # type: ignore[arg-type]
    asyncio.run(client.close())
    assert str(raised.value).splitlines()[1:] == [
        "    from pymongo import MongoClient",
        '    db = MongoClient("mongodb://...")["fleet"]',
    ]


class AsyncIOMotorDatabase:
    """Like Motor's: it has a collection under any name that is asked of it."""

    __module__ = "motor.motor_asyncio"

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> "AsyncIOMotorDatabase":
        return AsyncIOMotorDatabase(f"{self.name}.{name}")


def test_a_database_of_motor_ended_in_a_type_error_about_something_else() -> None:
    db: Any = AsyncIOMotorDatabase("moveinsync_db")
    asked: list[Callable[[], object]] = [
        lambda: auto_close_scanner(db),
        lambda: explain_alert(db, "A"),
        lambda: get_recent_jobs(1, db),
        lambda: ScannerCollector(db),
        lambda: create_job_record("a_job", db),
    ]
    for ask in asked:
        with pytest.raises(UnusableDatabaseError, match=r"^motor's AsyncIOMotorDatabase is not a database") as raised:
            ask()
        assert str(raised.value).splitlines()[2] == '    db = MongoClient("mongodb://...")["moveinsync_db"]'


@pytest.mark.parametrize("given", [None, "mongodb://localhost", 5, MongoClient(connect=False)], ids=repr)
def test_what_is_no_database_at_all_is_refused_by_name(given: Any) -> None:
    with pytest.raises(UnusableDatabaseError, match=f"{type(given).__name__} is not a database"):
        known_form(given)


OTHER_KINDS: dict[str, dict[str, Any]] = {
    "view": {"viewOn": "elsewhere", "pipeline": []},
    "time-series collection": {"timeseries": {"timeField": "timestamp", "metaField": "metadata"}},
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("name", ["alerts", "background_jobs", "rules", "rule_versions"])
def test_a_view_or_a_time_series_collection_was_worked_with_until_a_write_failed(
    bare_db: AlertDatabase, name: str, kind: str
) -> None:
    bare_db.create_collection(name, **OTHER_KINDS[kind])
    work: dict[str, Callable[[], object]] = {
        "scan": lambda: auto_close_scanner(bare_db, as_of=AS_OF),
        "dry run": lambda: run_scan(bare_db, ScanRequest(as_of=AS_OF, dry_run=True)),
        "undo": lambda: undo_job(bare_db, "a_job", dry_run=False),
    }
    if name in ("rules", "rule_versions"):
        work["publish"] = lambda: publish_rules(bare_db, [parse_rule(RULES[0])])
    if name == "alerts":
        work["load"] = lambda: insert_week(bare_db, 1, AS_OF, 10)
    for does in work.values():
        with pytest.raises(UnusableDatabaseError, match=rf"\.{name} is a {kind}, whose documents cannot be updated"):
            does()
    if name != "background_jobs":
        assert get_recent_jobs(1, bare_db) == []


@pytest.mark.parametrize("name", ["rules", "pipeline_rules"])
def test_rules_in_a_capped_collection_were_published_for_two_minutes_and_ended_in_a_network_timeout(
    bare_db: AlertDatabase, name: str
) -> None:
    bare_db.create_collection(name, capped=True, size=100_000)
    for does in (
        lambda: publish_rules(bare_db, [parse_rule(RULES[0])]),
        lambda: run_scan(bare_db, ScanRequest(as_of=AS_OF, dry_run=True)),
        lambda: auto_close_scanner(bare_db, as_of=AS_OF),
    ):
        with pytest.raises(UnusableDatabaseError, match=rf"\.{name} is a capped collection, .*: expected an ordinary"):
            does()
    [record] = [job for job in get_recent_jobs(9, bare_db) if job.job_type == "auto_close_scanner"]
    assert record.status == "failed"


def test_capped_alerts_and_job_records_are_worked_with(bare_db: AlertDatabase) -> None:
    for name in ("alerts", "background_jobs", "maintenance_windows"):
        bare_db.create_collection(name, capped=True, size=1_000_000)
    publish_rules(bare_db, [parse_rule(rule("old", {"expire_after_mins": 60}))])
    bare_db.alerts.insert_many([alert("A", minutes=90), alert("B", minutes=5)])
    report = run_scan(bare_db, ScanRequest(as_of=AS_OF))
    assert (report.closed, report.errors) == (1, ())
    assert undo_job(bare_db, report.job_id, dry_run=False).restored == 1


COLLECTIONS = ("alerts", "background_jobs", "rules", "rule_versions", "maintenance_windows")
CASE_INSENSITIVE = {"locale": "en", "strength": 2, "numericOrdering": True}


@pytest.fixture
def collated(bare_db: AlertDatabase) -> AlertDatabase:
    """`bare_db` with collections by whose own collation `open` is OPEN."""
    for name in COLLECTIONS:
        bare_db.create_collection(name, collation=CASE_INSENSITIVE)
    return bare_db


def test_a_collection_of_another_collation_changed_decisions_and_answers(
    collated: AlertDatabase, mongo_uri: str, told_plainly: dict[str, Any]
) -> None:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        assert the_work_of_a_day(client[collated.name], collated) == told_plainly


def test_texts_that_a_collation_calls_equal_are_two(collated: AlertDatabase, mongo_uri: str) -> None:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        callers = client[collated.name]
        publish_rules(callers, [parse_rule(RULES[0]), parse_rule(rule("Pile-Up", {"keep_latest": True}))])
        odd = [alert("A1", minutes=3), alert("a1", minutes=2, driver="d1"), alert("a01", minutes=1, driver="D01")]
        odd += [alert("small", status="open", driver="D2"), alert("other", source_type="Overspeeding", driver="D2")]
        fill(collated, [*odd, alert("late", minutes=3000, driver="D2", expires_at=AS_OF)])
        auto_close_scanner(callers, as_of=AS_OF)
        assert {"A1": "OPEN", "a1": "OPEN", "a01": "OPEN", "small": "open", "other": "OPEN"}.items() <= statuses(
            collated
        ).items()
        assert explain_alert(callers, "a1", as_of=AS_OF).alert_id == "a1"
        assert sum(one.alerts for one in pending_by_source(callers, AS_OF)) == 4


def test_the_indexes_serve_a_collection_of_another_collation(collated: AlertDatabase) -> None:
    prepare_collections(collated)
    fill(collated, [alert(f"A{n}", driver=f"D{n}") for n in range(100)])
    asked: list[dict[str, Any]] = [
        {"alert_id": "A7"},
        {"status": "ESCALATED"},
        {"source_type": "OVERSPEEDING", "metadata.driver_id": "D7"},
    ]
    for query in asked:
        stats = collated.alerts.find(query).explain()["executionStats"]
        assert stats["totalDocsExamined"] == stats["nReturned"] <= 1


@pytest.mark.parametrize("collection", ["alerts", "background_jobs", "rules"])
def test_a_case_insensitive_index_passed_for_one_that_tells_every_text_from_every_other(
    bare_db: AlertDatabase, collection: str
) -> None:
    path, name = {
        "alerts": ("alert_id", "alert_id_unique"),
        "background_jobs": ("job_id", "job_id_unique"),
        "rules": ("rule_id", "rule_id_unique"),
    }[collection]
    bare_db[collection].create_index(path, name=name, unique=True, collation=CASE_INSENSITIVE)
    [fault] = prepare_collections(bare_db)
    assert f"index '{name}' of '{collection}' exists with another definition" in fault
    bare_db[collection].drop_index(name)
    bare_db[collection].create_index(path, name="mine", unique=True, collation=CASE_INSENSITIVE)
    assert prepare_collections(bare_db) == ()
    assert {"mine", name} <= {spec["name"] for spec in bare_db[collection].list_indexes()}


def test_the_known_form_of_a_known_form_is_itself(bare_db: AlertDatabase) -> None:
    assert known_form(bare_db) is bare_db


def test_every_public_function_that_takes_a_database_goes_through_the_door() -> None:
    internal = ("alert_pipelines.defs", "alert_pipelines.cli", "alert_pipelines.mongo")
    behind = {
        "apply",
        "changes",
        "context",
        "limits",
        "overlooked",
        "plan",
        "preview",
        "activity",
        "choice",
        "incremental",
        "shadow",
    }
    open_to_all = []
    for info in walk_packages(alert_pipelines.__path__, "alert_pipelines."):
        if info.name.startswith(internal) or info.name.endswith("__main__") or info.name.split(".")[-1] in behind:
            continue
        for name, function in inspect.getmembers(import_module(info.name), inspect.isfunction):
            public = function.__module__ == info.name and not name.startswith("_")
            if public and "db" in inspect.signature(function).parameters and not hasattr(function, "__wrapped__"):
                open_to_all.append(f"{info.name}.{name}")
    assert not open_to_all
