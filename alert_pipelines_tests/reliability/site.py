"""Where Dagster's scans are broken: its processes, and a mongod of their own that may be killed, too."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from alert_pipelines.job_records import RUNNING
from alert_pipelines.mongo import AlertDatabase, MongoSettings, ensure_local_mongod, open_database
from alert_pipelines.monitoring.notifications import NOTIFY_VARIABLE
from alert_pipelines.scanner.collections import prepare_collections
from alert_pipelines_tests.dagster_processes import CHECKOUT, DagsterProcesses, dagster_processes, wait_until
from alert_pipelines_tests.factories import AS_OF
from alert_pipelines_tests.receivers import Inbox, webhook
from alert_pipelines_tests.reliability.fleet import Document

# Two of three are to be decided, in batches of 5,000: some of them are still to be written when the first are.
SIZE = 60_000
MINUTE = 60.0
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
            MINUTE,
        )
        return run_id

    def wait_for_record(self, run_id: str, limit_s: float = MINUTE) -> Document:
        """The newest record of the run, once it has ended."""

        def ended() -> Document | None:
            record = self.record(run_id)
            return record if record is not None and record["status"] != RUNNING else None

        return wait_until(ended, f"the end of the record of {run_id}", limit_s)

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
                NOTIFY_VARIABLE: f"json://127.0.0.1:{inbox.port}",
            }
            with dagster_processes(settings, config=config) as dagster:
                yield Site(dagster, db, directory, inbox)
