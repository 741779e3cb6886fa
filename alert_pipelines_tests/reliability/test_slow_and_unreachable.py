"""The network between scan and server: slow, cut, silent; the scan ends in bounded time and the next one finishes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, monitoring
from pymongo.uri_parser import parse_uri

from alert_pipelines.errors import LeaseLostError, MongoConnectionError
from alert_pipelines.mongo import AlertDatabase, AlertDocument, MongoSettings, open_database
from alert_pipelines.scanner import apply
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines.settings import LEASE_VARIABLE
from alert_pipelines_tests.mongo.proxy import Proxy, black_hole, proxy_to, silent_server
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

SIZE = 600


@pytest.fixture
def proxy(mongo_uri: str) -> Iterator[Proxy]:
    [(_, port)] = parse_uri(mongo_uri)["nodelist"]
    with proxy_to(port) as made:
        yield made


def through(proxy: Proxy, name: str, options: str = "") -> AbstractContextManager[AlertDatabase]:
    return open_database(MongoSettings(proxy.uri(options), name, Path()))


def test_a_slow_server_is_waited_for(
    db: AlertDatabase, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    originals = fill_fleet(db, SIZE)
    monkeypatch.setattr(apply, "BATCH", 100)
    with through(proxy, db.name) as slow:
        proxy.delay_s = 0.1
        report = scan(slow)
    assert report.reconciles
    check_all_decided(db, originals)
    check_records(db, check_whole_or_untouched(db, originals))
    figures(seconds=sum(report.seconds.values()))


def test_an_answer_slower_than_a_write_may_take_ends_the_scan_and_the_next_one_finishes(
    db: AlertDatabase, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    originals = fill_fleet(db, SIZE)
    monkeypatch.setattr(apply, "BATCH", 100)
    with through(proxy, db.name, "&serverSelectionTimeoutMS=2000") as slow:
        monkeypatch.setenv(LEASE_VARIABLE, "3")
        monkeypatch.setattr(apply, "decision_update", slowing(proxy, 5.0))
        with pytest.raises(LeaseLostError, match="could not be renewed") as ended:
            scan(slow)
    monkeypatch.undo()
    expire_leases(db)
    halfway = check_whole_or_untouched(db, originals)
    scan(db)
    check_all_decided(db, originals)
    check_records(db, check_whole_or_untouched(db, originals))
    assert "What it wrote stands" in str(ended.value)
    figures(decided_before=halfway.total())


def slowing(proxy: Proxy, seconds: float) -> Any:
    """`decision_update`, from whose first call on answers take `seconds`."""
    update = apply.decision_update

    def slowed(*args: Any) -> Any:
        proxy.delay_s = seconds
        return update(*args)

    return slowed


class Silence(monitoring.CommandListener):
    """Mutes the proxy at the first command `name` that concerns the alerts."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        self._proxy = proxy
        self._name = name

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command.get(self._name) == "alerts":
            self._proxy.mute = True

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@pytest.mark.parametrize("command", ["aggregate", "update"])
def test_a_connection_that_falls_silent_ends_the_scan_and_the_next_one_finishes(
    db: AlertDatabase, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, command: str, figures: Figures
) -> None:
    """While it plans and while it writes: in both the driver's heartbeat, not the socket's timeout, ends the wait."""
    originals = fill_fleet(db, SIZE)
    # The defaults of ten, five and ten seconds come to the same, only later.
    options = "&w=majority&serverSelectionTimeoutMS=4000&connectTimeoutMS=2000&heartbeatFrequencyMS=500"
    silence = Silence(proxy, command)
    with MongoClient[AlertDocument](proxy.uri(options), tz_aware=True, event_listeners=[silence]) as client:
        muted = client[db.name]
        monkeypatch.setenv(LEASE_VARIABLE, "3")
        with pytest.raises(LeaseLostError, match="lost its claim"):
            scan(muted)
    monkeypatch.undo()
    expire_leases(db)
    scan(db)
    check_all_decided(db, originals)
    [failed, completed] = check_records(db, check_whole_or_untouched(db, originals))
    assert (failed["status"], completed["status"]) == ("failed", "completed")
    figures(size=SIZE)


@pytest.mark.parametrize("server", [black_hole, silent_server])
def test_a_server_that_cannot_be_reached_is_an_error_that_says_what_to_check(
    server: Any, tmp_path: Path, figures: Figures
) -> None:
    with server() as port:
        uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=1500&connectTimeoutMS=500"
        settings = MongoSettings(uri, "fleet", tmp_path)
        with (
            pytest.raises(MongoConnectionError, match=r"Check that it runs.*host, port") as raised,
            open_database(settings) as db,
        ):
            auto_close_scanner(db)
    assert "timed out" in str(raised.value)
    figures(length=len(str(raised.value)))
