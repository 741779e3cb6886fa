"""Explaining one alert among a million: how long the slowest of some explanations takes.

    python -m benchmarks.explaining [--pending 1000000] [--times 20]

On a mongod of its own, with rules of each kind that look at other alerts. The target is a second.
"""

import argparse
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.mongo import MongoSettings, open_database, stop_local_mongod
from benchmarks.dataset import fill

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
CONDITIONS = {
    "count": {"escalate_if_count": 3, "window_mins": 60},
    "quiet": {"close_if_no_repeat_mins": 720},
    "latest": {"keep_latest": True},
    "expire": {"expire_after_mins": 1440},
}


def main() -> None:
    """Measure and print the median and the slowest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alert_pipelines_bench_") as directory:
        try:
            with open_database(MongoSettings(None, "benchmark", Path(directory))) as db:
                fill(db, pending=args.pending, due=args.pending // 20, as_of=AS_OF)
                db.rules.insert_many(
                    {"rule_id": name, "source_type": "OVERSPEEDING", "conditions": conditions, "is_active": True}
                    for name, conditions in CONDITIONS.items()
                )
                seconds = []
                for number in range(args.times):
                    started = time.perf_counter()
                    explain_alert(db, f"ALT-{number * (args.pending // args.times)}", as_of=AS_OF)
                    seconds.append(time.perf_counter() - started)
        finally:
            stop_local_mongod(Path(directory))
    print(f"{args.pending} pending, {args.times} explanations of {len(CONDITIONS)} rules: median", end=" ")
    print(f"{statistics.median(seconds) * 1000:.0f} ms, slowest {max(seconds) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
