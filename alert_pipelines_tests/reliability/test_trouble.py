"""A server that is slow, hung, gone, or refuses: the scan ends in bounded time and says what to do, without secrets."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import pytest
from pymongo.errors import PyMongoError

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.errors import AlertPipelinesError, LeaseLostError, MongoAuthenticationError, MongoConnectionError
from alert_pipelines.mongo import AlertDatabase, MongoSettings, ensure_local_mongod, local_mongod_status, open_database
from alert_pipelines.scanner import apply
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines.settings import LEASE_VARIABLE
from alert_pipelines_tests.factories import rule
from alert_pipelines_tests.mongo.servers import foreign_mongod, kill_hard
from alert_pipelines_tests.patience import wait_until
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

SIZE = 3_000
PASSWORD = "s3cret/of:the@scanner"


class OwnServer(NamedTuple):
    """A database on a server that may be stopped and killed."""

    db: AlertDatabase
    pid: int
    settings: MongoSettings


@pytest.fixture
def own_server(local_dir: Path) -> Iterator[OwnServer]:
    uri = f"{ensure_local_mongod(local_dir)}&serverSelectionTimeoutMS=2000"
    mongod = local_mongod_status(local_dir)
    assert mongod is not None
    settings = MongoSettings(uri, "reliability", local_dir)
    with open_database(settings) as db:
        yield OwnServer(db, mongod.pid, settings)


def scan_and_then(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, trouble: "Trouble") -> tuple[float, object]:
    """Scan; at the third batch `trouble` begins. Returns the seconds it took and the outcome."""
    monkeypatch.setattr(apply, "BATCH", 100)
    monkeypatch.setattr(apply, "decision_update", trouble.at_the_third(apply.decision_update))
    began = time.monotonic()
    try:
        outcome: object = scan(db)
    except (PyMongoError, AlertPipelinesError, InterruptedError) as error:
        outcome = error
    finally:
        monkeypatch.undo()
        trouble.over()
    return time.monotonic() - began, outcome


def wait_until_idle(db: AlertDatabase) -> None:
    """Wait until the server works on no write to the alerts."""
    of_alerts = {"op": "update", "ns": f"{db.name}.{COLLECTION}"}
    writes: list[dict[str, Any]] = [{"$currentOp": {"allUsers": True}}, {"$match": of_alerts}]
    wait_until(lambda: not list(db.client.admin.aggregate(writes)), "the end of the writes", every_s=0.05)


class Trouble:
    """Stops the server for `seconds`, or kills it where None."""

    def __init__(self, pid: int, seconds: float | None) -> None:
        self._pid = pid
        self._seconds = seconds
        self._batches = 0
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def at_the_third(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """`update`, beginning the trouble when it is called for the third batch."""

        def wrapped(*args: Any) -> Any:
            with self._lock:
                self._batches += 1
                if self._batches == 3:
                    self._begin()
            return update(*args)

        return wrapped

    def _begin(self) -> None:
        if self._seconds is None:
            kill_hard(self._pid)
            return
        os.kill(self._pid, signal.SIGSTOP)
        self._timer = threading.Timer(self._seconds, os.kill, (self._pid, signal.SIGCONT))
        self._timer.start()

    def over(self) -> None:
        if self._timer is not None:
            self._timer.join()


@pytest.mark.process
def test_a_server_that_hangs_for_a_moment_is_waited_for(
    own_server: OwnServer, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    db, pid, _ = own_server
    originals = fill_fleet(db, SIZE)
    seconds, outcome = scan_and_then(db, monkeypatch, Trouble(pid, 2.0))
    assert not isinstance(outcome, Exception), outcome
    assert seconds > 2
    check_all_decided(db, originals)
    check_records(db, check_whole_or_untouched(db, originals))
    figures(seconds=seconds)


@pytest.mark.process
def test_a_server_that_hangs_for_longer_than_the_lease_ends_the_scan(
    own_server: OwnServer, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    db, pid, _ = own_server
    originals = fill_fleet(db, SIZE)
    monkeypatch.setenv(LEASE_VARIABLE, "2")
    seconds, outcome = scan_and_then(db, monkeypatch, Trouble(pid, 5.0))
    assert isinstance(outcome, LeaseLostError), outcome
    assert "lost its claim" in str(outcome)
    # What the server was told before it hung is over when the decisions are counted, however slow the machine.
    wait_until_idle(db)
    expire_leases(db)
    scan(db)
    check_all_decided(db, originals)
    [failed, _] = check_records(db, check_whole_or_untouched(db, originals))
    assert failed["status"] == "failed"
    figures(seconds=seconds)


@pytest.mark.process
def test_a_server_that_is_gone_ends_the_scan_and_the_next_one_finishes(
    own_server: OwnServer, local_dir: Path, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    db, pid, settings = own_server
    originals = fill_fleet(db, SIZE)
    monkeypatch.setenv(LEASE_VARIABLE, "4")
    seconds, outcome = scan_and_then(db, monkeypatch, Trouble(pid, None))
    assert isinstance(outcome, PyMongoError | LeaseLostError), outcome
    # Long before the socket's own timeout, which is 270 s.
    assert seconds < 200
    with pytest.raises(MongoConnectionError, match="Check that it runs"), open_database(settings):
        pass
    ensure_local_mongod(local_dir)
    expire_leases(db)
    scan(db)
    check_all_decided(db, originals)
    check_records(db, check_whole_or_untouched(db, originals))
    figures(seconds=seconds)


@pytest.fixture
def guarded_port(tmp_path: Path) -> Iterator[int]:
    """A server with access control and three users: one may all, one may read, one has another database."""
    port = free_port()
    users = {
        "scanner": [{"role": "readWrite", "db": "fleet"}],
        "reader": [{"role": "read", "db": "fleet"}],
        "stranger": [{"role": "readWrite", "db": "another"}],
    }
    with foreign_mongod(tmp_path / "open", port) as client:
        for user, roles in {**users, "admin": [{"role": "root", "db": "admin"}]}.items():
            # On disk before the server is killed: otherwise the last of them are gone at times.
            client.admin.command("createUser", user, pwd=PASSWORD, roles=roles, writeConcern={"w": 1, "j": True})
    with foreign_mongod(tmp_path / "open", port, "--auth"):
        yield port


def uri_of(user: str, password: str, port: int) -> str:
    return f"mongodb://{user}:{quote_plus(password)}@127.0.0.1:{port}/?authSource=admin"


def test_a_user_who_may_not_is_told_so(guarded_port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []

    def attempt(user: str, password: str = PASSWORD, name: str = "fleet") -> None:
        with open_database(MongoSettings(uri_of(user, password, guarded_port), name, tmp_path)) as db:
            auto_close_scanner(db)

    attempt("scanner")
    for user, password, name in (
        ("scanner", "wr0ng" + PASSWORD, "fleet"),
        ("nobody", PASSWORD, "fleet"),
        ("stranger", PASSWORD, "fleet"),
        ("scanner", PASSWORD, "flete"),
    ):
        with pytest.raises(MongoAuthenticationError, match=r"Check the user, the password") as refused:
            attempt(user, password, name)
        said.append(str(refused.value))
    with pytest.raises(MongoAuthenticationError, match="lacks the right") as refused:
        attempt("reader")
    said.append(str(refused.value))
    for text in (*said, caplog.text):
        assert PASSWORD not in text
        assert quote_plus(PASSWORD) not in text


def test_a_user_who_may_only_read_changes_nothing(guarded_port: int, tmp_path: Path) -> None:
    with open_database(MongoSettings(uri_of("scanner", PASSWORD, guarded_port), "fleet", tmp_path)) as db:
        prepare_collections(db)
        originals = fill_fleet(db, 30)
    with open_database(MongoSettings(uri_of("reader", PASSWORD, guarded_port), "fleet", tmp_path)) as db:
        with pytest.raises(MongoAuthenticationError):
            scan(db)
        assert not check_whole_or_untouched(db, originals)
        assert db[COLLECTION].count_documents({}) == 30


def test_a_wrong_database_that_is_permitted_is_named(db: AlertDatabase) -> None:
    report = scan(db)
    [error] = report.errors
    assert error.startswith(f"the database {db.name!r} holds neither alerts nor rules: check that MONGODB_DATABASE")
    [record] = db.background_jobs.find()
    assert record["errors"] == [error]
    db.rules.insert_one(rule("expire", {"expire_after_mins": 60}))
    assert scan(db).errors == ()
