"""A real daemon under a queue that people fill, and one that was away: scans come in time, and not twice.

Each test waits for ticks of a schedule of one minute, so they are among the long ones.
"""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

from alert_pipelines.defs.scan.schedule import AUTO_CLOSE_SCHEDULE
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines_tests.dagster_processes import FINISHED, DagsterProcesses, dagster_processes
from alert_pipelines_tests.factories import alert, rule
from alert_pipelines_tests.patience import wait_until

pytestmark = [pytest.mark.process, pytest.mark.long]

DAYS = 60
SCHEDULED = RunsFilter(tags={"dagster/schedule_name": AUTO_CLOSE_SCHEDULE})
BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


@pytest.fixture
def database(mongo_uri: str) -> Iterator[AlertDatabase]:
    with open_database(MongoSettings(mongo_uri, f"test_{uuid.uuid4().hex}", Path())) as made:
        prepare_collections(made)
        made.rules.insert_one(rule("old", {"expire_after_mins": 60}))
        made.alerts.insert_many([alert(timestamp=datetime(2025, 1, day, tzinfo=UTC)) for day in range(1, 29)])
        yield made
        made.client.drop_database(made.name)


@pytest.fixture
def dagster(mongo_uri: str, database: AlertDatabase) -> Iterator[DagsterProcesses]:
    settings = {"MONGODB_URI": mongo_uri, "MONGODB_DATABASE": database.name, "AUTO_CLOSE_CRON": "* * * * *"}
    with dagster_processes(settings) as processes:
        yield processes


def days_of(instance: DagsterInstance) -> list[RunRecord]:
    """The runs of the backfill."""
    return [record for record in instance.get_run_records() if "dagster/backfill" in record.dagster_run.tags]


def started(record: RunRecord) -> float:
    assert record.start_time is not None
    return record.start_time


def test_a_backfill_in_the_queue_delays_a_scheduled_scan_by_one_short_run_at_most(
    dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    first = date(2025, 1, 1)
    params = {
        "assetSelection": [{"path": ["backtest"]}],
        "partitionNames": [(first + timedelta(days=n)).isoformat() for n in range(DAYS)],
    }
    answer = dagster.graphql(BACKFILL, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    wait_until(lambda: len(days_of(dagster.instance)) == DAYS, "all days in the queue")
    queued_at = time.time()

    def scans_behind_the_backfill() -> list[RunRecord] | None:
        records = dagster.instance.get_run_records(SCHEDULED)
        ended = [
            record
            for record in records
            if record.create_timestamp.timestamp() > queued_at and record.dagster_run.status in FINISHED
        ]
        return ended if len(ended) >= 2 else None

    scans = wait_until(scans_behind_the_backfill, "two scans by the schedule")
    days = [record for record in days_of(dagster.instance) if record.start_time is not None]
    waiting = [record for record in days_of(dagster.instance) if record.dagster_run.status is DagsterRunStatus.QUEUED]
    assert waiting, "the backfill was over before the second scan: it shows nothing"
    for scan in scans:
        assert scan.dagster_run.status is DagsterRunStatus.SUCCESS
        between = [day for day in days if scan.create_timestamp.timestamp() < started(day) < started(scan)]
        assert len(between) <= 1
    spans = sorted((started(record), record.end_time) for record in (*days, *scans) if record.end_time is not None)
    for (_, ended), (start, _) in pairwise(spans):
        assert ended is not None
        assert ended <= start, "two runs at once"


def test_ticks_missed_while_the_daemon_was_away_become_one(dagster: DagsterProcesses, database: AlertDatabase) -> None:
    def scheduled() -> list[datetime]:
        """The instants for which ticks made a scan, oldest first."""
        ticks = dagster.ticks(AUTO_CLOSE_SCHEDULE)
        return sorted(datetime.fromtimestamp(tick.timestamp, UTC) for tick in ticks if tick.run_ids)

    before = wait_until(scheduled, "a first scan by the schedule")[-1]
    dagster.stop("daemon")
    last_missed = before + timedelta(minutes=2)
    time.sleep((last_missed - datetime.now(UTC)).total_seconds() + 5)

    def two_since() -> list[datetime] | None:
        since = [at for at in scheduled() if at > before]
        return since if len(since) >= 2 else None

    dagster.start("daemon")
    since = wait_until(two_since, "two scans after the daemon is back")
    # It may take the daemon another minute or two to come up: what was missed by then is made up for by one.
    assert since[0] >= last_missed
    assert since[1] - since[0] >= timedelta(minutes=1)
