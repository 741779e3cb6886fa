"""The daily report among many alerts: how long it takes for one day and for thirty, without and with its two indexes.

    python -m benchmarks.reporting [--alerts 1000000] [--days 300]

On a mongod of its own; alerts are spread evenly over the days, and each is closed an hour after it was opened.
"""

import argparse
import resource
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database, stop_local_mongod
from alert_pipelines.reports.daily import daily_report
from alert_pipelines.scanner.prepare import prepare_collections
from benchmarks.dataset import fill

LAST = datetime(2026, 1, 1, tzinfo=UTC)


def close_all(db: AlertDatabase, alerts: int, days: int) -> None:
    """Spread the alerts of the dataset over the days before LAST and close each after an hour."""
    number = {"$toInt": {"$last": {"$split": ["$alert_id", "-"]}}}
    opened = {"$subtract": [LAST, {"$multiply": [number, timedelta(days=days) // timedelta(milliseconds=1) // alerts]}]}
    closed = {"$add": ["$created_at", 3_600_000]}
    entry = {
        "from_status": "OPEN",
        "to_status": "AUTO_CLOSED",
        "timestamp": closed,
        "reason": "expired",
        "triggered_by": "system",
        "rule_triggered": "expire",
    }
    # Every write would keep the indexes up.
    db.alerts.drop_indexes()
    db.alerts.update_many(
        {},
        [
            {"$set": {"created_at": opened, "timestamp": opened}},
            {"$set": {"status": "AUTO_CLOSED", "state_history": [entry], "closed_at": closed}},
        ],
    )
    prepare_collections(db)


def measure(db: AlertDatabase, what: str) -> None:
    """Print the seconds of a report on one day and on thirty."""
    day = LAST.date() - timedelta(days=5)
    for days in (1, 30):
        report = daily_report(db, day, days=days)
        changes = int(report.counts["alerts"].sum())
        print(f"{what}: {days:>2} days, {changes:>7} changes, {report.seconds:6.2f} s", flush=True)


def main() -> None:
    """Fill, measure, make the indexes, measure again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alert_pipelines_bench_") as directory:
        try:
            with open_database(MongoSettings(None, "benchmark", Path(directory))) as db:
                fill(db, pending=args.alerts, due=0, as_of=LAST)
                close_all(db, args.alerts, args.days)
                measure(db, "without indexes")
                db.alerts.create_index("created_at")
                db.alerts.create_index("state_history.timestamp", sparse=True)
                measure(db, "with indexes")
        finally:
            stop_local_mongod(Path(directory))
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
