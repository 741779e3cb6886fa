"""What maintenance windows cost a scan: none, snoozed alerts, past windows of many drivers, and one that recurs.

    python -m benchmarks.windows [--pending 100000] [--rounds 3] [--json]

On a mongod of its own, with four rules by which nothing is due. With each windows a first scan, which looks at all
pending alerts, and one five minutes later. All windows are measured in each round; the least of the rounds counts.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from alert_pipelines.mongo import AlertDatabase
from benchmarks.dataset import SOURCE, grow
from benchmarks.growth import rule_of
from benchmarks.scanning import STEP, scan_in_child
from benchmarks.workbench import AS_OF, Bench, benchmark_parser, keep_results, mongod_version, own_mongod, settle

CONDITIONS = ("expire_after_mins", "close_if_no_repeat_mins", "keep_latest", "escalate_if_count")
_HOUR = timedelta(hours=1)
_SNOOZES = [
    {"field": "alert_id", "values": [f"ALT-{n}"], "from": AS_OF - _HOUR, "to": AS_OF + _HOUR} for n in range(300)
]
_DAILY = {"rrule": "FREQ=DAILY;BYHOUR=2", "zone": "Europe/Berlin", "duration_mins": 60, "covers": "raised"}
WINDOWS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "300 snoozed alerts": _SNOOZES,
    "300 snoozes that end before the next scan": [{**snooze, "to": AS_OF + STEP} for snooze in _SNOOZES],
    "300 past windows of 100 drivers": [
        {"field": "metadata.driver_id", "values": [f"D{n % 100}"], "covers": "raised"}
        | {"from": AS_OF - 2 * (n + 1) * _HOUR, "to": AS_OF - (2 * n + 1) * _HOUR}
        for n in range(300)
    ],
    "one daily window": [_DAILY],
    "five daily windows of a driver each": [
        {**_DAILY, "field": "metadata.driver_id", "values": [f"D{n}"]} for n in range(5)
    ],
}


def _measured(bench: Bench, pending: int, rounds: int) -> Iterator[dict[str, Any]]:
    db = bench.db
    grow(db, present=0, pending=pending, as_of=AS_OF)
    db.rules.insert_many([rule for condition in CONDITIONS if (rule := rule_of(condition))])
    settle(db)
    seconds: dict[str, list[tuple[float, ...]]] = {name: [] for name in WINDOWS}
    for _ in range(rounds):
        for name, windows in WINDOWS.items():
            _replace_windows(db, windows)
            seconds[name].append(tuple(_scan(bench, as_of) for as_of in (AS_OF, AS_OF + STEP)))
            print(name, seconds[name][-1], flush=True)
    for name, measured in seconds.items():
        first, next_ = map(min, zip(*measured, strict=True))
        yield {"windows": name, "pending": pending, "first_seconds": first, "next_seconds": next_}


def _replace_windows(db: AlertDatabase, windows: list[dict[str, Any]]) -> None:
    for collection in (db.maintenance_windows, db.background_jobs):
        collection.delete_many({})
    if windows:
        db.maintenance_windows.insert_many([{"source_types": [SOURCE], **window} for window in windows])


def _scan(bench: Bench, as_of: datetime) -> float:
    [cost] = scan_in_child(bench, as_of).scans
    if (cost.closed, cost.escalated, cost.failed) != (0, 0, None):
        raise RuntimeError(f"nothing was to be decided: {cost}")
    return cost.seconds


def main() -> None:
    """Measure every row and print it."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--pending", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with own_mongod() as bench:
        mongod = mongod_version(bench.db)
        rows = list(_measured(bench, args.pending, args.rounds))
    keep_results("windows", args, mongod, {"rows": rows})


if __name__ == "__main__":
    main()
