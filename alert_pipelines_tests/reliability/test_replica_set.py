"""The primary steps down or is killed in mid-scan: no acknowledged decision is lost, none is made twice."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient, WriteConcern, monitoring
from pymongo.errors import PyMongoError

from alert_pipelines.errors import LeaseLostError
from alert_pipelines.mongo import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import known_form
from alert_pipelines.scanner import apply
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.settings import RATE_VARIABLE
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule
from alert_pipelines_tests.mongo.servers import data_dir
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import (
    check_all_decided,
    check_records,
    check_whole_or_untouched,
    expire_leases,
    fill_fleet,
    scan,
)
from alert_pipelines_tests.reliability.replica_set import ReplicaSet, replica_set
from alert_pipelines_tests.scanner.test_changes_properties import decisions, whole_plan, writable

pytestmark = pytest.mark.process

BATCH = 100
ELECTIONS = 6
STEP_DOWN, KILL = "stepped down", "killed"


class Acknowledged(monitoring.CommandListener):
    """The `_id`s whose decision the server has acknowledged to a majority; `reached` once `fault_after` batches are."""

    def __init__(self) -> None:
        self.ids: set[ObjectId] = set()
        self.batches = 0
        self.reached = threading.Event()
        self.fault_after = 0
        self._sent: dict[int, list[ObjectId]] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "update" and event.command["update"] == "alerts":
            self._sent[event.request_id] = event.command["updates"][0]["q"]["_id"]["$in"]

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        ids = self._sent.pop(event.request_id, None)
        reply = event.reply
        if ids is None or "writeConcernError" in reply or reply.get("writeErrors") or reply["nModified"] != len(ids):
            return
        self.ids.update(ids)
        self.batches += 1
        if self.batches >= self.fault_after:
            self.reached.set()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._sent.pop(event.request_id, None)


class AtCommand(monitoring.CommandListener):
    """Calls `fault` just before the `step`-th command of a scan is sent."""

    def __init__(self, step: int, fault: Callable[[], None]) -> None:
        self.count = 0
        self.step = step
        self._fault = fault

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        del event
        self.count += 1
        if self.count == self.step:
            self._fault()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


# Well within a lease, and so long that a member which is held up for a moment is not voted out.
@pytest.fixture(params=[5_000])
def three(request: pytest.FixtureRequest) -> Iterator[ReplicaSet]:
    with data_dir() as home, replica_set(home, election_ms=request.param) as servers:
        yield servers


@contextmanager
def database(three: ReplicaSet, *listeners: monitoring.CommandListener) -> Iterator[AlertDatabase]:
    """The database through a client like the project's own, heard by `listeners`."""
    with MongoClient[AlertDocument](three.uri, tz_aware=True, w="majority", event_listeners=listeners) as client:
        yield client["reliability"]


def scan_under_faults(three: ReplicaSet, faults: tuple[str, ...], size: int, total: Counter[str]) -> None:
    """Scan until each of the `faults` has befallen the primary of a scan, in as many scans as that takes."""
    failed_before = 0
    while faults:
        befell, completed = _scan_under_faults(three, faults, size, total)
        assert befell or not completed, "the scan was over before its first fault"
        failed_before += not befell
        assert failed_before < 3, "scans fail without a fault"
        faults = faults[befell:]


def _scan_under_faults(three: ReplicaSet, faults: tuple[str, ...], size: int, total: Counter[str]) -> tuple[int, bool]:
    """Scan while the `faults` befall the primary, evenly spread over the batches, then let a second scan finish.

    Returns how many of them did, and whether the first scan completed: it may end cleanly at one, before the next.
    """
    acknowledged = Acknowledged()
    with database(three) as db:
        originals = fill_fleet(db, size)
    with database(three, acknowledged) as db:
        spread = (size * 2 // 3) // BATCH // (len(faults) + 1)
        acknowledged.fault_after = spread
        outcome: list[BaseException] = []
        scanning = threading.Thread(target=_try_scan, args=(db, outcome))
        began = time.monotonic()
        scanning.start()
        befell = 0
        for fault in faults:
            if not _wait_for(acknowledged.reached, scanning):
                break
            three.step_down() if fault == STEP_DOWN else three.kill_primary()
            befell += 1
            total[fault] += 1
            three.revive()
            acknowledged.fault_after = spread * (befell + 1)
            acknowledged.reached.clear()
        scanning.join(LIMIT_S)
        assert not scanning.is_alive(), "the scan does not end"
        total["longest_s"] = max(total["longest_s"], int(time.monotonic() - began))
        three.revive()
        _check(db, originals, acknowledged.ids, outcome, total)
    return befell, not outcome


def _wait_for(reached: threading.Event, scanning: threading.Thread) -> bool:
    while scanning.is_alive():
        if reached.wait(0.05):
            return True
    return False


def _try_scan(db: AlertDatabase, outcome: list[BaseException]) -> None:
    try:
        report = scan(db)
        assert report.reconciles
    except BaseException as error:
        outcome.append(error)


def _check(
    db: AlertDatabase,
    originals: dict[str, Any],
    acknowledged: set[ObjectId],
    outcome: list[BaseException],
    total: Counter[str],
) -> None:
    for error in outcome:
        assert isinstance(error, PyMongoError | LeaseLostError), error
    decisions = check_whole_or_untouched(db, originals)
    decided = {stored["_id"] for stored in db.alerts.find({"state_history.0": {"$exists": True}})}
    lost = acknowledged - decided
    assert not lost, f"{len(lost)} acknowledged decisions are lost"
    total["acknowledged"] += len(acknowledged)
    total["failed_cleanly" if outcome else "completed"] += 1
    if outcome:
        total[type(outcome[0]).__name__] += 1
        expire_leases(db)
        scan(db)
        decisions = check_whole_or_untouched(db, originals)
    else:
        # Where the last word could not be written, the record is swept.
        expire_leases(db)
        scan(db)
    check_all_decided(db, originals)
    check_records(db, decisions)
    total["decisions_checked"] += decisions.total()


@pytest.mark.proof
def test_the_primary_steps_down_in_mid_scan(
    three: ReplicaSet, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(apply, "BATCH", BATCH)
    total: Counter[str] = Counter()
    scan_under_faults(three, (STEP_DOWN,), 2_000, total)
    figures(**total)


def test_the_primary_steps_down_and_is_killed(
    three: ReplicaSet, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(apply, "BATCH", BATCH)
    total: Counter[str] = Counter()
    # Slow enough that the scan is not over before the second fault, however long the set takes to recover.
    monkeypatch.setenv(RATE_VARIABLE, "400")
    scan_under_faults(three, (STEP_DOWN, KILL), 12_000, total)
    figures(**total)


def test_an_election_made_the_next_scan_look_at_all_pending_alerts(three: ReplicaSet, figures: Figures) -> None:
    rules = [rule("pile", {"escalate_if_count": 3}), rule("latest", {"keep_latest": True, "severities": ["INFO"]})]
    decided = 0
    with database(three) as given:
        db = known_form(given)
        fill(db, [alert(driver=n, minutes=10) for n in range(200)], *rules)
        before = run_scan(db, ScanRequest(as_of=AS_OF))
        for number in range(1, ELECTIONS + 1):
            # Acknowledged by one member: what an election takes back must be in no plan, and all else in each.
            unsure = given.get_collection("alerts", write_concern=WriteConcern(w=1))
            for driver in range(20):
                unsure.insert_one(alert(driver=driver * number, minutes=10 - number, severity="INFO"))
            three.kill_primary() if number % 3 == 0 else three.step_down()
            three.revive()
            db.settled.insert_one({})
            as_of = AS_OF + timedelta(minutes=number)
            expected = writable(whole_plan(db, as_of))

            report = run_scan(db, ScanRequest(as_of=as_of))

            assert report.incremental_since == before.job_id, report.full_scan_reason
            assert decisions(db, report) == expected
            decided += len(expected)
            before = report
    assert decided
    figures(elections=ELECTIONS, decisions=decided)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_primary_steps_down_at_each_step(
    three: ReplicaSet, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(apply, "BATCH", BATCH)
    total: Counter[str] = Counter()
    step, steps = 0, 1
    while step < steps:
        step += 1
        with database(three) as db:
            originals = fill_fleet(db, 600)
        acknowledged, at_command = Acknowledged(), AtCommand(step, three.step_down)
        outcome: list[BaseException] = []
        with database(three, acknowledged, at_command) as db:
            _try_scan(db, outcome)
            at_command.step = 0
            steps = max(steps, at_command.count)
            three.revive()
            _check(db, originals, acknowledged.ids, outcome, total)
    figures(steps=steps, **total)


@pytest.mark.long
@pytest.mark.timeout(1800)
# The second is MongoDB's own default: an election then outlasts a lease more often than not.
@pytest.mark.parametrize(("three", "scans"), [(5_000, 6), (10_000, 3)], indirect=["three"])
def test_the_primary_steps_down_and_is_killed_many_times(
    three: ReplicaSet, scans: int, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(apply, "BATCH", BATCH)
    total: Counter[str] = Counter()
    for number in range(scans):
        scan_under_faults(three, (STEP_DOWN, KILL, STEP_DOWN) if number % 2 else (KILL, STEP_DOWN, KILL), 15_000, total)
    figures(**total)
