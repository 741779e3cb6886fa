"""Scan after scan while people work on the alerts: the process that scans does not grow in anything."""

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil
import pytest

from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.reliability.actors import acting
from alert_pipelines_tests.reliability.child import PROCESSES
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import fill_fleet, scan

pytestmark = pytest.mark.process

ALERTS = 3_000
# What Python's allocator takes and gives back between two scans.
RSS_NOISE_MB = 4.0


class Sample(NamedTuple):
    """What the scanning process holds after a scan."""

    rss_mb: float
    threads: int
    files: int
    connections: int
    cursors: int
    decided: int


def _scan_on(uri: str, name: str, scans: int, samples: Any) -> None:
    process = psutil.Process(os.getpid())
    with open_database(MongoSettings(f"{uri}&appName=soak", name, Path())) as db:
        for _ in range(scans):
            # The same work each time, whatever people inserted and deleted.
            fill_fleet(db, ALERTS)
            report = scan(db)
            samples.put(
                Sample(
                    process.memory_info().rss / 2**20,
                    process.num_threads(),
                    process.num_fds(),
                    _own_connections(db),
                    db.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"],
                    report.closed + report.escalated,
                )
            )


def _own_connections(db: AlertDatabase) -> int:
    operations = db.client.admin.aggregate([{"$currentOp": {"idleConnections": True, "allUsers": True}}])
    return sum(operation.get("appName") == "soak" for operation in operations)


def soak(db: AlertDatabase, uri: str, scans: int) -> list[Sample]:
    ids = list(fill_fleet(db, ALERTS))
    samples = PROCESSES.Queue()
    scanner = PROCESSES.Process(target=_scan_on, args=(uri, db.name, scans, samples), daemon=True)
    with acting(uri, db.name, ids):
        scanner.start()
        try:
            taken = [samples.get(timeout=LIMIT_S) for _ in range(scans)]
            scanner.join(LIMIT_S)
        finally:
            scanner.kill()
            scanner.join()
    return taken


def growth(values: Sequence[float]) -> float:
    """How much higher the last third lies than the second."""
    third = len(values) // 3
    return median(values[-third:]) - median(values[third:-third])


def check_no_growth(samples: list[Sample], figures: Figures) -> None:
    columns = Sample(*(growth(column) for column in zip(*samples, strict=True)))  # type: ignore[arg-type]
    last = samples[-1]
    figures(
        scans=len(samples),
        decisions=sum(sample.decided for sample in samples),
        rss_mb=last.rss_mb,
        rss_growth_mb=columns.rss_mb,
        threads=last.threads,
        files=last.files,
        connections=last.connections,
        cursors=last.cursors,
    )
    assert all(sample.decided for sample in samples)
    assert columns.rss_mb < RSS_NOISE_MB
    # One may be about to go at the moment of a sample; a leak of one a scan makes more.
    assert max(columns[1:5]) <= 1, columns


def test_fifteen_scans(db: AlertDatabase, mongo_uri: str, figures: Figures) -> None:
    check_no_growth(soak(db, mongo_uri, 15), figures)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_hundred_scans(db: AlertDatabase, mongo_uri: str, figures: Figures) -> None:
    check_no_growth(soak(db, mongo_uri, 200), figures)
