"""What a year of scans leaves in Dagster's SQLite, with old runs deleted and without: room on disk, and time to read.

    python -m benchmarks.retention [--days 365] [--directory DIR]

One real scan is run; its rows in runs.db and index.db, which all runs share, are then copied row by row under other run
ids and earlier times, 288 a day. What each run has on disk by itself is really there only where it is deleted
here; else it is multiplied. All times are of Dagster's own calls on the instance that so comes about.
"""

import argparse
import logging
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dagster import AssetKey, AssetRecordsFilter, DagsterInstance, DagsterRunStatus, RunsFilter

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.background_jobs import MAX_SECONDS
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan.runs import ThisCopy, busy_scan
from alert_pipelines.defs.upkeep.old_runs import delete_old_runs
from alert_pipelines.mongo import MongoSettings, open_database, stop_local_mongod
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.publish import publish_rules
from benchmarks.dataset import fill

PER_DAY = 288
KEEP_DAYS = 30
_OWN = Location("alert_pipelines", "__repository__")
_DATABASES = {
    "history/runs.db": ("runs", "run_tags"),
    "history/runs/index.db": ("event_logs", "asset_event_tags", "asset_check_executions"),
}
_EVENT_IDS = {"event_id", "evaluation_event_storage_id", "materialization_event_storage_id"}
_TEXT_TIMES = {"timestamp", "create_timestamp", "update_timestamp", "event_timestamp", "evaluation_event_timestamp"}
_NUMBER_TIMES = {"start_time", "end_time"}
# Ids grow with time, as Dagster's do, though the youngest runs are made up first: room for so many runs and rows each.
_MAX_RUNS, _MAX_ROWS = 1_000_000, 100
# More than one run of the job deletes, so that each has the file that is to go with it.
_WITH_FILES = 4_000

Row = dict[str, Any]


class History:
    """An instance whose past is made up of copies of the one scan that was really run."""

    def __init__(self, home: Path, template: str) -> None:
        self.home = home
        self._template = template
        self._rows = {
            (database, table): self._read(database, table)
            for database, tables in _DATABASES.items()
            for table in tables
        }
        self._places = {row["id"]: place for place, row in enumerate(self._rows["history/runs/index.db", "event_logs"])}

    def add(self, first: int, last: int) -> list[str]:
        """Copy the scan as the `first` to the `last` before it, five minutes apart; their run ids, oldest first."""
        made = [(number, str(uuid.uuid4())) for number in range(last, first - 1, -1)]
        for start in range(0, len(made), PER_DAY):
            for database, tables in _DATABASES.items():
                with closing(sqlite3.connect(self.home / database)) as connection, connection:
                    for table in tables:
                        self._copy(connection, database, table, made[start : start + PER_DAY])
        return [run_id for _, run_id in made]

    def give_files(self, run_ids: list[str]) -> None:
        """Let these runs have what is on disk of each run by itself: the file of its events, its logs."""
        events = self.home / "history" / "runs"
        for run_id in run_ids:
            shutil.copy(events / f"{self._template}.db", events / f"{run_id}.db")
            shutil.copytree(self.home / "storage" / self._template, self.home / "storage" / run_id)

    def bytes_of_a_run(self) -> int:
        """What a run takes on disk by itself."""
        logs = (self.home / "storage" / self._template).rglob("*")
        return sum(map(_room, [self.home / "history" / "runs" / f"{self._template}.db", *logs]))

    def bytes_shared(self) -> int:
        """What the databases that all runs share take on disk."""
        return sum(_room(self.home / database) for database in _DATABASES)

    def _read(self, database: str, table: str) -> list[Row]:
        of_run = (
            "event_id IN (SELECT id FROM event_logs WHERE run_id = ?)" if table == "asset_event_tags" else "run_id = ?"
        )
        with closing(sqlite3.connect(self.home / database)) as connection:
            connection.row_factory = sqlite3.Row
            query = f"SELECT * FROM {table} WHERE {of_run} ORDER BY id"
            return [dict(row) for row in connection.execute(query, (self._template,))]

    def _copy(self, connection: sqlite3.Connection, database: str, table: str, made: list[tuple[int, str]]) -> None:
        rows = self._rows[database, table]
        assert 0 < len(rows) < _MAX_ROWS
        names, marks = ", ".join(rows[0]), ", ".join("?" * len(rows[0]))
        connection.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",
            (
                tuple(self._moved(name, value, number, run_id, place) for name, value in row.items())
                for number, run_id in made
                for place, row in enumerate(rows)
            ),
        )

    def _moved(self, name: str, value: Any, number: int, run_id: str, place: int) -> Any:
        back = timedelta(minutes=5 * number)
        first_id = (_MAX_RUNS - number) * _MAX_ROWS
        if name == "id":
            return first_id + place
        if value is None:
            return None
        if name in _EVENT_IDS:
            return first_id + self._places[value]
        if name in _NUMBER_TIMES:
            return value - back.total_seconds()
        if name in _TEXT_TIMES and isinstance(value, str):
            return (datetime.fromisoformat(value) - back).isoformat(sep=" ")
        return value.replace(self._template, run_id) if isinstance(value, str) else value


def _room(path: Path) -> int:
    return path.stat().st_blocks * 512


@contextmanager
def instance_with_one_scan(directory: Path) -> Iterator[tuple[DagsterInstance, History]]:
    """A Dagster instance in `directory` with one scan of 5,000 alerts, 200 of which it closed."""
    logging.disable(logging.INFO)
    home, mongod = directory / "dagster", directory / "mongod"
    home.mkdir()
    shutil.copy(Path(__file__).parents[1] / "dagster.yaml", home)
    os.environ["ALERT_PIPELINES_LOCAL_DIR"] = str(mongod)
    os.environ.pop("MONGODB_URI", None)
    try:
        with open_database(MongoSettings.from_env()) as db:
            fill(db, pending=5_000, due=200, as_of=datetime.now(UTC))
            publish_rules(db, default_rules())
        with DagsterInstance.from_config(str(home)) as instance:
            result = build_defs().resolve_job_def("auto_close_job").execute_in_process(instance=instance)
            instance.add_run_tags(result.run_id, {".dagster/repository": str(_OWN)})
            yield instance, History(home, result.run_id)
    finally:
        stop_local_mongod(mongod)


def report(what: str, instance: DagsterInstance, history: History, runs: int) -> None:
    """Print what so many runs take and how long Dagster takes to read of them."""
    shared, own = history.bytes_shared() / 1e6, runs * history.bytes_of_a_run() / 1e6
    print(f"{what}: {runs:,} runs; {shared:,.0f} MB in the shared databases, {own:,.0f} MB in a file and logs a run")
    closed = AssetRecordsFilter(AssetKey("closed_alerts"))
    calls: dict[str, Callable[[], object]] = {
        "the tick's look for a busy scan": lambda: busy_scan(ThisCopy(instance, _OWN, Names())),
        "the newest 25 runs": lambda: instance.get_runs(limit=25),
        "all failed runs": lambda: instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.FAILURE])),
        "100 materializations": lambda: instance.fetch_materializations(closed, limit=100),
    }
    for name, call in calls.items():
        seconds = []
        for _ in range(7):
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        print(f"  {name}: {statistics.median(seconds) * 1000:.0f} ms")


def delete(instance: DagsterInstance) -> None:
    """Print what one run of the job deletes, and how long it takes."""
    started = time.perf_counter()
    deleted = delete_old_runs(instance, _OWN, datetime.now(UTC) - timedelta(days=KEEP_DAYS), MAX_SECONDS)
    print(
        f"  deleted {deleted.deleted:,} runs in {time.perf_counter() - started:.1f} s; more to do: {deleted.more_to_do}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument(
        "--directory", type=Path, help="where the instance is made for the while; default: that of tempfile"
    )
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="alert_pipelines_bench_", dir=args.directory) as directory,
        instance_with_one_scan(Path(directory)) as (instance, history),
    ):
        kept = KEEP_DAYS * PER_DAY
        history.add(1, kept)
        for day in range(2):
            history.give_files(history.add(kept + day * PER_DAY + 1, kept + (day + 1) * PER_DAY))
        report("Kept 30 days, and two days that are due", instance, history, kept + 2 * PER_DAY)
        delete(instance)
        report("After that", instance, history, kept)
        # Beyond the two days, some of which may still be there.
        older = history.add(kept + 2 * PER_DAY + 1, args.days * PER_DAY)
        history.give_files(older[:_WITH_FILES])
        report(f"{args.days} days, nothing deleted", instance, history, instance.get_runs_count())
        delete(instance)


if __name__ == "__main__":
    main()
