"""The server answers with an error, by its own fail points, to any one command of a scan: no alert is half decided."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient, monitoring
from pymongo.errors import PyMongoError, WriteConcernError

from alert_pipelines.errors import AlertPipelinesError, RuleQueryError
from alert_pipelines.mongo import AlertDatabase, AlertDocument
from alert_pipelines.rules.clause import Clause
from alert_pipelines.scanner import apply, plan
from alert_pipelines_tests.mongo.servers import data_dir, foreign_mongod
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.ports import free_port
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import (
    check_all_decided,
    check_records,
    check_whole_or_untouched,
    expire_leases,
    fill_fleet,
    scan,
)

pytestmark = pytest.mark.process

SIZE, BATCH = 300, 50
ERRORS: dict[str, dict[str, Any]] = {
    "interrupted": {"errorCode": 11601},
    "time limit": {"errorCode": 50},
    "out of disk": {"errorCode": 14031},
    "memory limit": {"errorCode": 146},
    "conflict": {"errorCode": 112},
    "rights withdrawn": {"errorCode": 13},
    "not primary": {"errorCode": 10107},
    "shutting down": {"errorCode": 91},
    "connection closed": {"closeConnection": True},
    "majority not reached": {"writeConcernError": {"code": 64, "errmsg": "late", "errInfo": {"wtimeout": True}}},
    "majority cut short": {"writeConcernError": {"code": 50, "errmsg": "operation exceeded time limit"}},
    "majority impossible": {"writeConcernError": {"code": 100, "errmsg": "not enough data-bearing nodes"}},
}
IN_SHORT = ("interrupted", "connection closed", "majority cut short", "majority impossible")


class FailAt(monitoring.CommandListener):
    """Lets the server fail the `step`-th command of its client, once."""

    def __init__(self, admin: Any, data: dict[str, Any], step: int) -> None:
        self.count = 0
        self._admin = admin
        self._data = data
        self._step = step

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.count += 1
        if self.count == self._step:
            data = {"failCommands": [event.command_name], "appName": "failing", **self._data}
            self._admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=data)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@pytest.fixture(scope="module")
def failing_port() -> Iterator[int]:
    """A replica set of one whose fail points may be set."""
    port, options = free_port(), ("--replSet", "rs0", "--setParameter", "enableTestCommands=1")
    with data_dir() as data, foreign_mongod(data, port, *options) as client:
        members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        with MongoClient[dict[str, Any]](uri_of(port), serverSelectionTimeoutMS=int(LIMIT_S * 1000)) as waiting:
            waiting.admin.command("ping")
        yield port


def uri_of(port: int, options: str = "") -> str:
    return f"mongodb://127.0.0.1:{port}/?replicaSet=rs0&serverSelectionTimeoutMS=10000{options}"


def client_of(port: int, *listeners: monitoring.CommandListener) -> MongoClient[AlertDocument]:
    options = "&w=majority&appName=failing" if listeners else "&w=majority"
    return MongoClient(uri_of(port, options), tz_aware=True, event_listeners=listeners)


def try_scan(db: AlertDatabase) -> str:
    try:
        report = scan(db)
    except (PyMongoError, AlertPipelinesError) as error:
        return type(error).__name__
    assert report.reconciles, report
    assert report.failed == 0, report.errors
    return "named" if report.errors else "completed"


def fail_at_each_step(port: int, error: dict[str, Any], every: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    with client_of(port) as client:
        db = client["reliability"]
        for step in range(1, steps_of_a_scan(port, client) + 1, every):
            originals = fill_fleet(db, SIZE)
            with client_of(port, FailAt(client.admin, error, step)) as failing:
                outcomes[try_scan(failing["reliability"])] += 1
            client.admin.command("configureFailPoint", "failCommand", mode="off")
            check_records_end(db, originals)
            outcomes["decisions_checked"] += SIZE * 2 // 3
    return outcomes


def steps_of_a_scan(port: int, client: MongoClient[AlertDocument]) -> int:
    """The commands of a scan that nothing disturbs: one that fails says nothing of those it did not come to."""
    fill_fleet(client["reliability"], SIZE)
    undisturbed = FailAt(client.admin, {}, 0)
    with client_of(port, undisturbed) as watched:
        scan(watched["reliability"])
    assert undisturbed.count > 20
    return undisturbed.count


def check_records_end(db: AlertDatabase, originals: dict[str, Any]) -> None:
    check_whole_or_untouched(db, originals)
    expire_leases(db)
    scan(db)
    check_all_decided(db, originals)
    check_records(db, check_whole_or_untouched(db, originals))


@pytest.mark.parametrize("kind", IN_SHORT)
def test_an_error_at_some_commands(
    failing_port: int, kind: str, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(apply, "BATCH", BATCH)
    figures(**fail_at_each_step(failing_port, ERRORS[kind], every=7))


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_at_every_command(
    failing_port: int, kind: str, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(apply, "BATCH", BATCH)
    figures(**fail_at_each_step(failing_port, ERRORS[kind], every=1))


def test_written_decisions_that_no_majority_can_confirm_are_not_called_refused(
    failing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(failing_port) as client:
        db = client["reliability"]
        originals = fill_fleet(db, SIZE)
        update = apply.decision_update

        def update_from_now_on(*args: Any) -> Any:
            data = {"failCommands": ["update"], "appName": "failing", **ERRORS["majority impossible"]}
            client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
            return update(*args)

        monkeypatch.setattr(apply, "decision_update", update_from_now_on)
        with client_of(failing_port, FailAt(client.admin, {}, 0)) as failing, pytest.raises(WriteConcernError):
            scan(failing["reliability"])
        monkeypatch.undo()
        client.admin.command("configureFailPoint", "failCommand", mode="off")
        check_records_end(db, originals)
        [failed, _] = db.background_jobs.find().sort("started_at", 1)
        assert not any("refused" in error for error in failed["errors"])


def test_a_query_that_an_index_drop_ended_is_tried_once_more(
    failing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, tries = Clause.pipeline, 0
    with client_of(failing_port) as client, client_of(failing_port, FailAt(client.admin, {}, 0)) as failing:
        db = client["reliability"]

        def plan_killed(clause: Clause, *args: Any) -> Any:
            nonlocal tries
            tries += 1
            data = {"failCommands": ["aggregate"], "appName": "failing", "errorCode": 175}
            mode = {"times": 1} if tries <= kills else "off"
            client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)
            return pipeline(clause, *args)

        @contextmanager
        def before(question: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
            answer = question()
            yield lambda: answer

        monkeypatch.setattr(Clause, "pipeline", plan_killed)
        # Pending alerts are counted by an aggregation, too, which would meet the failure in place of a rule's query.
        monkeypatch.setattr(plan, "meanwhile", before)
        fill_fleet(db, SIZE)
        # The fingerprint of the rules asks for the pipelines as well, before the plan does.
        monkeypatch.setattr("alert_pipelines.scanner.incremental.rules_fingerprint", lambda *_: "the same")
        kills = 1
        scan(failing["reliability"])
        assert tries > 1
        fill_fleet(db, SIZE)
        tries, kills = 0, 2
        with pytest.raises(RuleQueryError, match="could not evaluate"):
            scan(failing["reliability"])
        client.admin.command("configureFailPoint", "failCommand", mode="off")
