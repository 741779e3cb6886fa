"""The scan's process ends at every step of a scan; every alert is whole, the record true, the next scan finishes."""

import signal

import pytest

from alert_pipelines.job_records import fail_stalled_jobs
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.reliability.child import (
    start_scan,
    thaw,
    wait_for_end,
    wait_until_frozen,
    wait_until_unheard,
)
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import (
    check_all_decided,
    check_records,
    check_whole_or_untouched,
    expire_leases,
    fill_fleet,
    scan,
    wait_for_server,
)

pytestmark = pytest.mark.process

SHORT = (600, 100)
# An interrupt takes effect a moment late: with so many batches some are still to be written then.
INTERRUPTED = (1_200, 50)
LONG = (3_000, 250)

Form = tuple[int, int]


def steps_of_a_scan(db: AlertDatabase, uri: str, form: Form) -> int:
    size, batch = form
    fill_fleet(db, size)
    process, counted = start_scan(uri, db.name, batch=batch)
    assert wait_for_end(process) == 0
    return int(counted.value)


def end_at_each_step(
    db: AlertDatabase, uri: str, form: Form, number: int, moments: tuple[str, ...], *, every: int = 1
) -> dict[str, int]:
    """End a scan at each (or `every` so many) of its commands and check all that is promised; return the counts."""
    size, batch = form
    steps = steps_of_a_scan(db, uri, form)
    figures = dict.fromkeys(("tried", "faults", "halfway", "swept", "decisions_checked"), 0)
    for moment in moments:
        for step in range(1, steps + 1, every):
            originals = fill_fleet(db, size)
            process, _ = start_scan(uri, db.name, batch=batch, step=step, moment=moment, number=number)
            code = wait_for_end(process)
            figures["faults"] += code != 0
            wait_until_unheard(db)
            crashed = check_whole_or_untouched(db, originals)
            figures["halfway"] += 0 < crashed.total() < size * 2 // 3
            if db.background_jobs.find_one({"status": "running"}):
                # Interrupted as it got its claim, a scan has written nothing yet, and its lease runs out.
                assert number == signal.SIGKILL or not crashed
                figures["swept"] += 1
                expire_leases(db)
                fail_stalled_jobs(db)
            check_records(db, crashed)
            scan(db)
            check_all_decided(db, originals)
            check_records(db, check_whole_or_untouched(db, originals))
            figures["decisions_checked"] += size * 2 // 3
            figures["tried"] += 1
    # A scan may be over before a signal that comes a moment late.
    assert figures["faults"] >= figures["tried"] * (0.5 if "worked on" in moments else 0.9)
    assert figures["halfway"] > 0, "no scan was ended in the midst of its writes"
    return figures


def test_killed_at_each_step(db: AlertDatabase, mongo_uri: str, figures: Figures) -> None:
    figures(**end_at_each_step(db, mongo_uri, SHORT, signal.SIGKILL, ("sent",)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_each_step(db: AlertDatabase, mongo_uri: str, number: int, figures: Figures) -> None:
    figures(**end_at_each_step(db, mongo_uri, INTERRUPTED, number, ("answered",), every=3))


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_ended_before_during_and_after_each_step(
    db: AlertDatabase, mongo_uri: str, number: int, figures: Figures
) -> None:
    figures(**end_at_each_step(db, mongo_uri, LONG, number, ("sent", "worked on", "answered")))


def test_frozen_for_longer_than_its_lease_while_another_scan_does_the_work(
    db: AlertDatabase, mongo_uri: str, figures: Figures
) -> None:
    size, batch = SHORT
    steps = steps_of_a_scan(db, mongo_uri, SHORT)
    for step in range(2, steps, 3):
        originals = fill_fleet(db, size)
        process, _ = start_scan(mongo_uri, db.name, batch=batch, step=step, number=signal.SIGSTOP)
        wait_until_frozen(process)
        # What its other writer had sent before is over long before a lease runs out.
        wait_for_server(db)
        expire_leases(db)
        scan(db)
        thaw(process)
        # What it was about to send as it froze is sent now: every write is guarded.
        wait_for_end(process)
        check_all_decided(db, originals)
        check_records(db, check_whole_or_untouched(db, originals))
    figures(frozen=len(range(2, steps, 3)))
