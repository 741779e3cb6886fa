"""The scan as Dagster runs it, broken from outside: its processes killed, cancelled, frozen, its database killed.

One set of processes and one mongod of its own for all; each fault meets a scan in the midst of its writes.
"""

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from dagster import DagsterEventType, DagsterRunStatus
from dagster._daemon.sensor import MIN_INTERVAL_LOOP_TIME

from alert_pipelines.defs.scan.sensor import dead_scan_sensor
from alert_pipelines.errors import ScanAlreadyRunningError
from alert_pipelines.job_records import (
    _LAST_WRITE_S,
    COMPLETED,
    FAILED,
    RUNNING,
    SCANNER,
    create_job_record,
    update_job_record,
)
from alert_pipelines.leases import Lease
from alert_pipelines.mongo import ensure_local_mongod, local_mongod_status
from alert_pipelines.settings import DEFAULT_LEASE_S
from alert_pipelines_tests.conftest import guarded_local_dir
from alert_pipelines_tests.mongo.servers import kill_hard
from alert_pipelines_tests.patience import LIMIT_S, wait_until
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import (
    Document,
    check_all_decided,
    check_records,
    check_whole_or_untouched,
    fill_fleet,
    scan,
    wait_for_server,
)
from alert_pipelines_tests.reliability.site import SCAN, SCAN_ASSETS, SIZE, Site, open_site

TERMINATE = """
mutation Terminate($run: String!) {
  terminateRun(runId: $run) { __typename ... on PythonError { message } }
}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with guarded_local_dir() as directory, open_site(directory) as made:
        yield made


def kill_code_server_and_worker(site: Site, run_id: str) -> None:
    site.dagster.kill("code_server")
    # As whatever keeps services up does.
    site.dagster.start("code_server")


def kill_worker(site: Site, run_id: str) -> None:
    site.signal_workers(signal.SIGKILL)


def terminate_worker(site: Site, run_id: str) -> None:
    site.signal_workers(signal.SIGTERM)


def cancel_in_the_ui(site: Site, run_id: str) -> None:
    answer = site.dagster.graphql(TERMINATE, run=run_id)["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer


Break = Callable[[Site, str], None]
ENDS: dict[Break, DagsterRunStatus] = {
    kill_code_server_and_worker: DagsterRunStatus.FAILURE,
    kill_worker: DagsterRunStatus.FAILURE,
    terminate_worker: DagsterRunStatus.FAILURE,
    cancel_in_the_ui: DagsterRunStatus.CANCELED,
}


def break_a_scan(site: Site, break_it: Break) -> dict[str, float]:
    """Break a scan in the midst of its writes, check all that is promised, and return the figures."""
    originals = fill_fleet(site.db, SIZE)
    run_id = site.launch_and_wait_for_writes()
    began = datetime.now(UTC)
    break_it(site, run_id)
    record, run, run_ended_at = site.wait_for_end_of_broken(run_id)
    assert record["status"] == FAILED
    assert run.status is ENDS[break_it]
    wait_for_server(site.db)
    decisions = check_whole_or_untouched(site.db, originals)
    assert 0 < decisions.total() < SIZE * 2 // 3
    check_records(site.db, decisions)
    # The queue is free, and the next scan does the rest.
    site.dagster.wait_for_success(site.dagster.launch(run_config=SCAN))
    ends = {
        "record_failed_s": record["completed_at"],
        "run_ended_s": run_ended_at,
        "next_scan_done_s": datetime.now(UTC),
    }
    check_end(site, originals)
    return {name: (at - began).total_seconds() for name, at in ends.items()} | {"decided": decisions.total()}


def check_end(site: Site, originals: dict[str, Document]) -> Sequence[Document]:
    check_all_decided(site.db, originals)
    return check_records(site.db, check_whole_or_untouched(site.db, originals))


def test_the_first_look_after_a_lease_comes_within_a_minute_of_the_death_of_its_scan() -> None:
    looks_every = timedelta(seconds=(dead_scan_sensor.minimum_interval_seconds or 0) + MIN_INTERVAL_LOOP_TIME)
    assert timedelta(seconds=DEFAULT_LEASE_S + _LAST_WRITE_S) + looks_every < timedelta(minutes=1)


@pytest.mark.process
@pytest.mark.parametrize("break_it", ENDS, ids=lambda break_it: break_it.__name__)
def test_a_scan_broken_from_outside_is_failed_by_the_first_look_after_its_lease_and_the_next_finishes(
    site: Site, break_it: Break, figures: Figures
) -> None:
    figures(**break_a_scan(site, break_it))
    # Told once: those that follow within the hour are for a digest. What the receiver answers late, it gets again.
    [told] = wait_until(site.told, "a message to people")
    assert told.endswith(": Alert scanner: 1 scan failed.")
    assert set(site.inbox.titles) == {"Alert scanner: 1 scan failed"}


@pytest.mark.process
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("break_it", ENDS, ids=lambda break_it: break_it.__name__)
def test_scan_after_scan_broken_from_outside(site: Site, break_it: Break, figures: Figures) -> None:
    rounds = [break_a_scan(site, break_it) for _ in range(5)]
    figures(
        faults=len(rounds),
        decisions_checked=len(rounds) * SIZE * 2 // 3,
        **{f"slowest_{name}": max(one[name] for one in rounds) for name in rounds[0] if name.endswith("_s")},
    )


def launchpad(site: Site) -> None:
    site.dagster.launch(run_config=SCAN)


def materialize(site: Site) -> None:
    site.dagster.launch(run_config=SCAN, assets=SCAN_ASSETS)


def job_launch(site: Site) -> None:
    site.dagster.dagster("job", "launch", "-j", "auto_close_job")


def job_execute(site: Site) -> None:
    site.dagster.dagster("job", "execute", "-m", "alert_pipelines.definitions", "-j", "auto_close_job")


@pytest.mark.process
@pytest.mark.parametrize("start", [launchpad, materialize, job_launch, job_execute], ids=lambda start: start.__name__)
def test_a_scan_that_another_host_is_making_is_waited_for_however_the_next_is_started(
    site: Site, start: Callable[[Site], None]
) -> None:
    # None is decided while it waits, and nothing breaks the scan: it need not take long.
    originals = fill_fleet(site.db, 300)
    known = site.scans()
    # All that is seen of a scan of another host: its claim, renewed.
    elsewhere = create_job_record(SCANNER, site.db).job_id
    with ThreadPoolExecutor() as pool:
        with Lease(site.db, elsewhere):
            started = pool.submit(start, site)
            [new] = wait_until(lambda: site.scans() - known, "a run")
            again = DagsterEventType.STEP_UP_FOR_RETRY
            wait_until(lambda: site.dagster.instance.all_logs(new, of_type=again), "a wait")
            entries = site.dagster.instance.all_logs(new)
            assert any(elsewhere in entry.user_message for entry in entries if entry.level == logging.WARNING)
            [record] = site.db.background_jobs.find()
            assert (record["job_id"], record["status"]) == (elsewhere, RUNNING)
            assert check_whole_or_untouched(site.db, originals).total() == 0
        update_job_record(elsewhere, {}, COMPLETED, [], site.db)
        started.result()
        site.dagster.wait_for_success(new)
    assert site.scans() == {*known, new}
    assert (site.db.background_jobs.find_one({"run_id": new}) or {})["status"] == COMPLETED


@pytest.mark.process
def test_the_daemon_alone_killed_does_not_disturb_the_scan_and_all_goes_on_when_it_is_back(
    site: Site, figures: Figures
) -> None:
    originals = fill_fleet(site.db, SIZE)
    run_id = site.launch_and_wait_for_writes()
    site.dagster.kill("daemon")
    site.dagster.wait_for_success(run_id)
    [record] = check_end(site, originals)
    assert record["status"] == COMPLETED
    waiting = site.dagster.launch(run_config=SCAN)
    began = time.monotonic()
    site.dagster.start("daemon")
    site.dagster.wait_for_success(waiting)
    figures(next_scan_done_after_its_return_s=time.monotonic() - began)


@pytest.mark.process
def test_all_killed_the_next_claim_sweeps_and_the_queue_is_free_when_they_are_back(
    site: Site, figures: Figures
) -> None:
    originals = fill_fleet(site.db, SIZE)
    run_id = site.launch_and_wait_for_writes()
    began = time.monotonic()
    site.dagster.kill()

    def claimed() -> bool:
        with suppress(ScanAlreadyRunningError):
            scan(site.db)
            return True
        return False

    wait_until(claimed, "a claim", limit_s=2 * DEFAULT_LEASE_S)
    claimed_s = time.monotonic() - began
    dead, _ = check_end(site, originals)
    assert (dead["run_id"], dead["status"]) == (run_id, FAILED)
    site.dagster.start()
    back = time.monotonic()
    # Its record was swept by a scan that knows nothing of Dagster.
    next_run = site.dagster.launch(run_config=SCAN)
    assert site.dagster.wait_for_end(run_id).status is DagsterRunStatus.FAILURE
    site.dagster.wait_for_success(next_run)
    figures(claimed_by_another_s=claimed_s, next_run_done_after_their_return_s=time.monotonic() - back)


@pytest.mark.process
def test_the_mongod_killed_and_restarted_beneath_a_scan_loses_and_doubles_nothing(site: Site, figures: Figures) -> None:
    originals = fill_fleet(site.db, SIZE)
    run_id = site.launch_and_wait_for_writes()
    mongod = local_mongod_status(site.mongod_dir)
    assert mongod is not None
    kill_hard(mongod.pid)
    ensure_local_mongod(site.mongod_dir)
    began = time.monotonic()
    run = site.dagster.wait_for_end(run_id)
    ended_s = time.monotonic() - began
    records = check_end(site, originals) if run.status is DagsterRunStatus.SUCCESS else []
    if not records:
        site.wait_for_record(run_id)
        site.dagster.wait_for_success(site.dagster.launch(run_config=SCAN))
        records = check_end(site, originals)
    figures(run_succeeded=run.is_success, run_ended_s=ended_s, records=len(records))


@pytest.mark.process
def test_a_frozen_scan_from_materialize_is_ended_and_blocks_nobody(site: Site, figures: Figures) -> None:
    originals = fill_fleet(site.db, SIZE)
    run_id = site.launch_and_wait_for_writes(assets=SCAN_ASSETS)
    assert "dagster/max_runtime" not in site.dagster.run(run_id).tags
    began = datetime.now(UTC)
    frozen = site.signal_workers(signal.SIGSTOP)
    try:
        record, run, _ = site.wait_for_end_of_broken(run_id)
        assert record["status"] == FAILED
        assert run.status is DagsterRunStatus.FAILURE
        site.dagster.wait_for_success(site.dagster.launch(run_config=SCAN))
    finally:
        for worker in frozen:
            worker.send_signal(signal.SIGCONT)
    # What it still sends when it wakes changes nothing that was decided.
    psutil.wait_procs(frozen, timeout=LIMIT_S)
    check_end(site, originals)
    figures(record_failed_s=(record["completed_at"] - began).total_seconds())
