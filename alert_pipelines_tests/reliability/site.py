"""Where Dagster's scans are broken: its processes, and a mongod of their own that may be killed, too."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from dagster import DagsterRun
from dagster._core.scheduler.instigation import TickStatus

from alert_pipelines.defs.monitoring.notification_sensor import notification_sensor
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.scan.runs import is_scan
from alert_pipelines.defs.scan.sensor import dead_scan_sensor
from alert_pipelines.job_records import RUNNING
from alert_pipelines.mongo import AlertDatabase, MongoSettings, ensure_local_mongod, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.settings import NOTIFY_VARIABLE, RATE_VARIABLE
from alert_pipelines_tests.dagster_processes import CHECKOUT, DagsterProcesses, dagster_processes
from alert_pipelines_tests.factories import AS_OF
from alert_pipelines_tests.patience import wait_until
from alert_pipelines_tests.receivers import Inbox, webhook
from alert_pipelines_tests.reliability.fleet import Document

# Two of three are to be decided, so many a second: most of them are still to be written when the first are.
SIZE, WRITES_PER_S = 15_000, 1_000
SCAN = {"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}}
SCAN_ASSETS = ("alert_rules", "closed_alerts", "escalated_alerts", "background_jobs")


@dataclass(frozen=True)
class Site:
    """Where the scans run: Dagster's processes, the database, its mongod's directory, and what people are told."""

    dagster: DagsterProcesses
    db: AlertDatabase
    mongod_dir: Path
    inbox: Inbox

    def record(self, run_id: str) -> Document | None:
        """The newest record of a run."""
        return self.db.background_jobs.find_one({"run_id": run_id}, sort=[("started_at", -1)])

    def launch_and_wait_for_writes(self, **how: Any) -> str:
        """Launch a scan and return its run's id when its first decisions are written."""
        run_id = self.dagster.launch(run_config=SCAN, **how)
        wait_until(
            lambda: self.db.alerts.find_one({"state_history.run_id": run_id, "status": {"$ne": "OPEN"}}),
            "the first decision of the run",
        )
        return run_id

    def scans(self) -> set[str]:
        """The ids of all runs that are scans: the schedules of other jobs go on."""
        return {run.run_id for run in self.dagster.instance.get_runs() if is_scan(run, Names())}

    def wait_for_record(self, run_id: str) -> Document:
        """The newest record of the run, once it has ended."""

        def ended() -> Document | None:
            record = self.record(run_id)
            return record if record is not None and record["status"] != RUNNING else None

        return wait_until(ended, f"the end of the record of {run_id}")

    def wait_for_end_of_broken(self, run_id: str) -> tuple[Document, DagsterRun, datetime]:
        """The record and the run of a scan that was just broken, once both have ended, and when the run did.

        Fails the test where a look of the sensor passed over them when the lease was over.
        """
        lease_ends = (self.record(run_id) or {}).get("lease_expires_at")
        record, run = self.wait_for_record(run_id), self.dagster.wait_for_end(run_id)
        ended_at = datetime.fromtimestamp(self._end_of(run_id), UTC)
        # Where none is left the record has ended already.
        if lease_ends:
            assert self._looks(lease_ends, max(record["completed_at"], ended_at)) <= 1
        return record, run, ended_at

    def _end_of(self, run_id: str) -> float:
        record = self.dagster.instance.get_run_record_by_id(run_id)
        assert record is not None
        assert record.end_time is not None
        return record.end_time

    def _looks(self, after: datetime, before: datetime) -> int:
        """How many ticks of the sensor began between the two; one that failed had no code server to look from."""
        ticks = self.dagster.ticks(
            dead_scan_sensor.name,
            after=after.timestamp(),
            before=before.timestamp(),
            statuses=[TickStatus.STARTED, TickStatus.SKIPPED, TickStatus.SUCCESS],
        )
        return len(ticks)

    def told(self) -> list[str]:
        """What each tick that told people of something says that it sent."""
        ticks = self.dagster.ticks(notification_sensor.name)
        return [tick.skip_reason for tick in ticks if tick.skip_reason and tick.skip_reason.startswith("Sent to ")]

    def signal_workers(self, number: signal.Signals) -> list[psutil.Process]:
        """Send the processes in which runs are executed now a signal, and return them."""
        workers = self.dagster.run_workers()
        assert workers
        for worker in workers:
            worker.send_signal(number)
        return workers


@contextmanager
def open_site(directory: Path, config: Path = CHECKOUT / "dagster.yaml") -> Iterator[Site]:
    """Start all of it; the mongod works in `directory`, which a guard looks after, and no schedule makes scans."""
    uri = ensure_local_mongod(directory)
    with open_database(MongoSettings(uri, "reliability", directory)) as db:
        prepare_collections(db)
        with webhook() as inbox:
            settings = {
                "MONGODB_URI": uri,
                "MONGODB_DATABASE": db.name,
                "AUTO_CLOSE_CRON": "off",
                RATE_VARIABLE: str(WRITES_PER_S),
                NOTIFY_VARIABLE: f"json://127.0.0.1:{inbox.port}",
            }
            with dagster_processes(settings, config=config) as dagster:
                yield Site(dagster, db, directory, inbox)
