"""The roles of deploy/mongodb-roles.json: what each is for works whole, and what it is not for the server refuses."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.backtesting.backtest import backtest_day
from alert_pipelines.errors import MongoAuthenticationError
from alert_pipelines.index_advice.advice import advise
from alert_pipelines.job_records import fail_stalled_jobs
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import as_permission_error
from alert_pipelines.monitoring.fitness import database_findings
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.maintenance import add_windows, end_window, list_windows, snooze_alert
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.rules.rule_collections import COLLECTIONS
from alert_pipelines.rules.store import load_rules
from alert_pipelines.rules.validation import parse_rule, parse_window
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF
from alert_pipelines_tests.reliability.fleet import REQUEST, check_all_decided, fill_fleet
from alert_pipelines_tests.security.conftest import ROLES, SecuredServer

SIZE = 90
UNAUTHORIZED = 13

Act = Callable[[AlertDatabase], Any]

INSERT_ALERT: Act = lambda db: db.alerts.insert_one({"alert_id": "forged"})  # noqa: E731
CHANGE_ALERT: Act = lambda db: db.alerts.update_one({}, {"$set": {"status": "RESOLVED"}})  # noqa: E731
DELETE_ALERT: Act = lambda db: db.alerts.delete_one({})  # noqa: E731
DROP_ALERTS: Act = lambda db: db.drop_collection("alerts")  # noqa: E731
DROP_INDEX: Act = lambda db: db.alerts.drop_indexes()  # noqa: E731
CHANGE_RULE: Act = lambda db: db.rules.update_one({}, {"$set": {"priority": 9}})  # noqa: E731
CHANGE_PIPELINE_RULE: Act = lambda db: db.pipeline_rules.insert_one({"rule_id": "forged"})  # noqa: E731
DELETE_RULE: Act = lambda db: db.rules.delete_one({})  # noqa: E731
CHANGE_WINDOW: Act = lambda db: db.maintenance_windows.insert_one({"from": AS_OF})  # noqa: E731
DELETE_RECORD: Act = lambda db: db.background_jobs.delete_one({})  # noqa: E731
READ_ALERTS: Act = lambda db: db.alerts.find_one()  # noqa: E731
OTHER_COLLECTION: Act = lambda db: db.users.insert_one({})  # noqa: E731
OTHER_DATABASE: Act = lambda db: db.client["other"].alerts.find_one()  # noqa: E731
MAKE_USER: Act = lambda db: db.command("createUser", "more", pwd="x", roles=[])  # noqa: E731

FORBIDDEN_TO_ALL = (DELETE_RECORD, OTHER_DATABASE, MAKE_USER)
KEEPS_RULES = (CHANGE_RULE, CHANGE_PIPELINE_RULE, DELETE_RULE, CHANGE_WINDOW)
KEEPS_ALERTS = (INSERT_ALERT, DELETE_ALERT, DROP_ALERTS, DROP_INDEX, OTHER_COLLECTION)
FORBIDDEN: dict[str, tuple[Act, ...]] = {
    "scanner": (*FORBIDDEN_TO_ALL, *KEEPS_ALERTS, *KEEPS_RULES),
    "viewer": (*FORBIDDEN_TO_ALL, *KEEPS_ALERTS, *KEEPS_RULES, CHANGE_ALERT),
    "publisher": (*FORBIDDEN_TO_ALL, *KEEPS_ALERTS, READ_ALERTS, CHANGE_ALERT),
    "undo": (*FORBIDDEN_TO_ALL, *KEEPS_ALERTS, *KEEPS_RULES),
    "backtest": (OTHER_DATABASE, MAKE_USER),
}


def test_the_scanner_scans(secured: SecuredServer, fleet_db: AlertDatabase) -> None:
    originals = fill_fleet(fleet_db, SIZE)
    with secured.open("scanner") as db:
        report = run_scan(db, REQUEST)
        assert run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True)).planned == ()
        with db.watch(max_await_time_ms=1) as changes:
            assert changes.try_next() is None
        assert advise(db, AS_OF) == []
        assert fail_stalled_jobs(db) == []
    assert (report.reconciles, report.errors) == (True, ())
    check_all_decided(fleet_db, originals)


def test_the_scanner_makes_the_collections_and_indexes_of_an_empty_database(
    secured: SecuredServer, fleet_db: AlertDatabase
) -> None:
    for name in fleet_db.list_collection_names():
        fleet_db.drop_collection(name)
    with secured.open("scanner") as db:
        assert prepare_collections(db) == ()
        assert {"alert_id_unique", "pending_by_time"} <= set(db.alerts.index_information())
        assert "one_scan_at_a_time" in db.background_jobs.index_information()
        run_scan(db, REQUEST)


def test_the_viewer_makes_a_dry_run_and_explains(secured: SecuredServer, fleet_db: AlertDatabase) -> None:
    fill_fleet(fleet_db, SIZE)
    with secured.open("viewer") as db:
        assert sum(row.alerts for row in run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True)).planned) == SIZE * 2 // 3
        assert explain_alert(db, "close-0", as_of=AS_OF).decided_by is not None
        # The claim would be his; what a scan then does to alerts is not.
        with pytest.raises(OperationFailure, match="not authorized"):
            run_scan(db, REQUEST)
    assert fleet_db.alerts.count_documents({"status": "OPEN"}) == SIZE


def test_the_publisher_publishes(secured: SecuredServer, fleet_db: AlertDatabase) -> None:
    rules = default_rules()
    with secured.open("publisher") as db:
        assert all(change.written for change in publish_rules(db, rules))
        raised = [rule.model_copy(update={"priority": 77}) for rule in rules]
        assert all(change.written for change in publish_rules(db, raised))
        moved = [parse_rule(rule.canonical() | {"mode": "shadow", "is_active": False}) for rule in raised]
        assert all(change.written for change in publish_rules(db, moved))
        assert fleet_db.rules.count_documents({}) == 0
        assert all(change.written for change in publish_rules(db, raised))
    assert {rule.priority for rule in load_rules(fleet_db).rule_set.active} == {77}


def test_the_publisher_adds_lists_and_ends_windows_and_snoozes_only_if_he_also_reads_alerts(
    secured: SecuredServer, fleet_db: AlertDatabase
) -> None:
    fill_fleet(fleet_db, SIZE)
    window = parse_window({"window_id": "w", "from": AS_OF, "to": AS_OF + timedelta(days=36_500)})
    with secured.open("publisher") as db:
        assert add_windows(db, [window], dry_run=False)[0].written
        assert end_window(db, "w", dry_run=False)[0].ended_at is not None
        assert [one.window_id for one in list_windows(db, with_over=True)] == ["w"]
        with pytest.raises(OperationFailure, match="not authorized"):
            snooze_alert(db, "close-0", timedelta(hours=1), reason="r", created_by="b")


def test_the_undoer_undoes(secured: SecuredServer, fleet_db: AlertDatabase) -> None:
    fill_fleet(fleet_db, SIZE)
    job_id = run_scan(fleet_db, REQUEST).job_id
    with secured.open("undo") as db:
        assert undo_job(db, job_id, dry_run=True).restored == SIZE * 2 // 3
        assert undo_job(db, job_id, dry_run=False).restored == SIZE * 2 // 3
    assert fleet_db.alerts.count_documents({"status": "OPEN"}) == SIZE


def test_the_backtester_backtests(secured: SecuredServer, fleet_db: AlertDatabase) -> None:
    fill_fleet(fleet_db, SIZE)
    with secured.open("backtest") as db:
        outcome = backtest_day(db, load_rules(db).rule_set.active, datetime(2026, 3, 1, tzinfo=UTC).date())
    assert sum(rule.would_close for rule in outcome.proposed) == SIZE // 3
    assert not fleet_db.list_collection_names(filter={"name": {"$regex": "^backtest_"}})


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_is_not_for_is_refused(secured: SecuredServer, fleet_db: AlertDatabase, role: str) -> None:
    fill_fleet(fleet_db, 3)
    before = list(fleet_db.alerts.find()), *(list(fleet_db[name].find()) for name in COLLECTIONS)
    with secured.open(role) as db:
        for act in FORBIDDEN[role]:
            with pytest.raises(OperationFailure, match="not authorized") as refused:
                act(db)
            assert refused.value.code == UNAUTHORIZED
    assert before == (list(fleet_db.alerts.find()), *(list(fleet_db[name].find()) for name in COLLECTIONS))


@pytest.mark.parametrize("role", ["publisher", "undo"])
def test_a_scan_by_another_role_is_a_clear_error(secured: SecuredServer, fleet_db: AlertDatabase, role: str) -> None:
    fill_fleet(fleet_db, 3)
    with pytest.raises(MongoAuthenticationError, match="lacks the right"), secured.open(role) as db:
        run_scan(db, REQUEST)


def test_a_right_that_is_lacking_in_the_midst_of_a_task_is_named(
    secured: SecuredServer, fleet_db: AlertDatabase
) -> None:
    fill_fleet(fleet_db, SIZE)
    job_id = run_scan(fleet_db, REQUEST).job_id
    says = r"lacks the right to do this in the database 'fleet': update on alerts\. Give the user the role"
    with pytest.raises(MongoAuthenticationError, match=says), secured.open("viewer") as db:
        undo_job(db, job_id, dry_run=False)
    assert fleet_db.alerts.count_documents({"status": "OPEN"}) == SIZE // 3
    [failed] = fleet_db.background_jobs.find({"status": "failed"})
    assert re.search(says, failed["errors"][0])
    fleet_db.alerts.drop_index("pending_by_source")
    # An index that he may not make is a warning: the dry run needs it only to be fast.
    with secured.open("viewer") as db:
        (warning,) = run_scan(db, replace(REQUEST, dry_run=True)).errors
    assert "createIndexes on alerts" in warning


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{ update: "alerts", ordered: true, lsid: {} }', ": update on alerts."),
        ('{ getMore: 123, collection: "alerts", batchSize: 1 }', ": getMore on alerts."),
        ("{ aggregate: 1, pipeline: [ { $changeStream: {} } ], cursor: {} }", ": aggregate on all of it."),
        ("nothing of the kind", ": what was asked."),
    ],
)
def test_the_right_is_read_from_any_command(text: str, says: str) -> None:
    refused = OperationFailure(f"not authorized on fleet to execute command {text}", UNAUTHORIZED)
    assert says in str(as_permission_error(refused, "fleet"))


def test_the_window_of_a_publisher(secured: SecuredServer, fleet_db: AlertDatabase) -> None:
    fill_fleet(fleet_db, SIZE)
    with secured.open("publisher") as db:
        db.maintenance_windows.insert_one({"from": AS_OF, "to": AS_OF + timedelta(hours=1)})
    with secured.open("scanner") as db:
        assert run_scan(db, REQUEST).planned == ()


@pytest.mark.parametrize(
    ("role", "level", "says"),
    [
        ("scanner", "ok", "the user has all rights that scans need"),
        ("viewer", "missing", "scans need update on alerts"),
        ("admin", "ok", "the user has all rights that scans need"),
    ],
)
def test_the_doctor_names_the_rights_that_scans_lack(
    secured: SecuredServer, fleet_db: AlertDatabase, role: str, level: str, says: str
) -> None:
    with secured.open(role) as db:
        (rights,) = [finding for finding in database_findings(db) if finding.name == "rights"]
    assert rights.level == level
    assert says in rights.description
