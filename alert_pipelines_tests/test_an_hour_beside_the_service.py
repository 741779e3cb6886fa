"""An hour beside the older service, whose job uses a Motor client in an event loop that is not the client's.

The hour passes by making every record older, since leases and claims go by the server's clock.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from alert_pipelines.errors import ScanAlreadyRunningError
from alert_pipelines.job_records import SCANNER, STALLED_WITHOUT_LEASE
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines_tests.factories import alert, fill, rule, statuses


class MotorLike:
    """As Motor does it: each call runs in a thread, and its outcome is for the loop that the client was made in."""

    def __init__(self, db: AlertDatabase, loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor) -> None:
        self._records = db.background_jobs
        self._loop = loop
        self._threads = threads

    def insert_one(self, record: dict[str, Any]) -> "asyncio.Future[Any]":
        """As Motor's, to be awaited."""
        return self._loop.run_in_executor(self._threads, self._records.insert_one, record)

    def update_one(self, which: dict[str, Any], update: dict[str, Any]) -> "asyncio.Future[Any]":
        """As Motor's, to be awaited."""
        return self._loop.run_in_executor(self._threads, self._records.update_one, which, update)


class Service:
    """The service: an event loop of its own in a thread, and a scheduler that runs its job in another loop."""

    def __init__(self, db: AlertDatabase) -> None:
        self._db = db
        self.home = asyncio.new_event_loop()
        self.threads = ThreadPoolExecutor(1)
        self._thread = threading.Thread(target=self.home.run_forever)
        self._thread.start()
        self._ticks = 0

    def tick(self, *, works: bool = False, until: Callable[[], None] = lambda: None) -> None:
        """Run the job as its scheduler does; where it `works`, its client is of the loop that it runs in."""
        self._ticks += 1

        async def job() -> None:
            loop = asyncio.get_running_loop() if works else self.home
            client = MotorLike(self._db, loop, self.threads)
            job_id = f"JOB-SERVICE-{self._ticks}"
            record = {"job_id": job_id, "job_type": SCANNER, "status": "running", "started_at": datetime.now(UTC)}
            await client.insert_one({**record, "completed_at": None, "alerts_processed": 0, "errors": []})
            await asyncio.to_thread(until)
            ended = {"status": "completed", "completed_at": datetime.now(UTC), "alerts_processed": 3}
            await client.update_one({"job_id": job_id}, {"$set": ended})

        # What is sent takes its time, in which the job comes to wait for it.
        answers = threading.Event()
        self.threads.submit(answers.wait)
        if works:
            answers.set()
        try:
            asyncio.run(job())
        finally:
            answers.set()

    def sent(self) -> None:
        """Return when the server has answered what was sent, whoever waits for it."""
        self.threads.submit(lambda: None).result()

    def close(self) -> None:
        """End its loop and its threads."""
        self.home.call_soon_threadsafe(self.home.stop)
        self._thread.join()
        self.threads.shutdown()
        self.home.close()


@pytest.fixture
def service(db: AlertDatabase) -> Iterator[Service]:
    """The older service on the same database."""
    running = Service(db)
    yield running
    running.close()


def pass_minutes(db: AlertDatabase, minutes: float) -> None:
    """Make every job record so much older."""
    older = {
        name: {"$cond": [{"$eq": [{"$type": f"${name}"}, "date"]}, {"$subtract": [f"${name}", minutes * 60_000]}, None]}
        for name in ("started_at", "completed_at", "lease_expires_at")
    }
    db.background_jobs.update_many({}, [{"$set": older}])


def refused(db: AlertDatabase) -> str | None:
    """Scan; why that was refused, None if it was not."""
    try:
        auto_close_scanner(db)
    except ScanAlreadyRunningError as refusal:
        return str(refusal)
    return None


def test_the_services_job_never_ends_its_record_since_its_client_is_of_another_loop(
    db: AlertDatabase, service: Service
) -> None:
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        service.tick()
    service.sent()
    assert [one["status"] for one in db.background_jobs.find()] == ["running"]


@pytest.mark.slow
def test_in_an_hour_of_the_services_ticks_two_of_three_scans_were_refused(db: AlertDatabase, service: Service) -> None:
    fill(db, [], rule("expire", {"expire_after_mins": 60}))
    refusals = []
    for minute in range(60):
        if minute % 5 == 0:
            with pytest.raises((RuntimeError, DuplicateKeyError)):
                service.tick()
            service.sent()
        fill(db, [alert(f"A{minute}", minutes=minute + 100_000)])
        refusals.append(refused(db))
        pass_minutes(db, 1)
    assert len([one for one in refusals if one]) <= 60 / 20
    assert set(statuses(db).values()) == {"AUTO_CLOSED"}
    assert db.background_jobs.count_documents({"job_id": {"$regex": "^JOB-SERVICE"}}) == 12


def test_a_job_of_the_service_that_works_is_respected_for_as_long_as_it_takes(
    db: AlertDatabase, service: Service
) -> None:
    service.tick(works=True)
    seen: list[str | None] = []

    def works_for_a_quarter_of_an_hour() -> None:
        for _ in range(5):
            seen.append(refused(db))
            pass_minutes(db, 3)

    service.tick(works=True, until=works_for_a_quarter_of_an_hour)
    because = "another auto_close_scanner is running: JOB-SERVICE-2, started "
    assert [(one or "")[: len(because)] for one in seen] == [because] * 5
    assert [one["status"] for one in db.background_jobs.find()] == ["completed", "completed"]
    assert refused(db) is None


def test_a_refusal_says_when_the_claim_of_this_holder_ends(db: AlertDatabase, service: Service) -> None:
    service.tick(works=True)

    def is_refused() -> None:
        holder = db.background_jobs.find_one({"job_id": "JOB-SERVICE-2"})
        assert holder is not None
        said = refused(db)
        assert said is not None
        assert said.endswith(
            "its claim ends when that service starts its next job, at the latest at "
            f"{holder['started_at'] + STALLED_WITHOUT_LEASE}."
        )

    service.tick(works=True, until=is_refused)
    pass_minutes(db, STALLED_WITHOUT_LEASE / timedelta(minutes=1))
    assert refused(db) is None
