"""What `close_if_other` costs by the years of the other source, with the indexes that are advised for it and without.

    python -m benchmarks.others [--pending 100] [--others 1000 10000 100000] [--json]

On a mongod of its own: few pending alerts of one source, and settled ones of another, a hundred a day, of which none
goes with any of them. So no look-up ends before it has read all that may. Of each row a first scan, which looks at all
pending alerts, and one five minutes later, both under the profiler.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from alert_pipelines.index_advice.advice import advise, create_advised
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.others import When
from alert_pipelines.scanner.prepare import prepare_collections
from benchmarks.dataset import SOURCE
from benchmarks.scanning import STEP, profiled, scan_in_child
from benchmarks.workbench import AS_OF, Bench, benchmark_parser, keep_results, mongod_version, own_mongod, settle

OTHER_SOURCE = "TRIP_ENDED"
OTHERS_A_DAY = 100
_DAY_MS = 24 * 60 * 60_000


def fill(db: AlertDatabase, *, pending: int, others: int) -> None:
    """Replace the alerts by `pending` ones of the last hour and `others` of the other source, of the days before."""
    db.client.drop_database(db.name)
    age_ms = {"$add": [_DAY_MS, {"$multiply": ["$n", _DAY_MS // OTHERS_A_DAY]}]}
    _insert(db, pending, {"source_type": SOURCE, "status": "OPEN"}, {"$multiply": ["$n", 1_000]}, "trip_id")
    _insert(db, others, {"source_type": OTHER_SOURCE, "status": "RESOLVED"}, age_ms, "trip")
    prepare_collections(db)


def _insert(db: AlertDatabase, count: int, fields: dict[str, str], age_ms: Any, path: str) -> None:
    name = {"$concat": [fields["source_type"], "-", {"$toString": "$n"}]}
    timestamp = {"$subtract": [AS_OF, {"$toLong": age_ms}]}
    db.aggregate(
        [
            {"$documents": [{"n": {"$range": [0, count]}}]},
            {"$unwind": "$n"},
            {
                "$project": {
                    "_id": 0,
                    "alert_id": name,
                    **fields,
                    "severity": "WARNING",
                    "timestamp": timestamp,
                    "metadata": {path: name},
                    "state_history": [],
                    "created_at": timestamp,
                    "updated_at": timestamp,
                }
            },
            {"$merge": {"into": "alerts", "whenMatched": "fail"}},
        ]
    )


def _measured(bench: Bench, pending: int, others: Sequence[int]) -> Iterator[dict[str, Any]]:
    for count in sorted(others):
        for when in When:
            for indexed in (True, False):
                fill(bench.db, pending=pending, others=count)
                _publish(bench.db, when)
                if indexed:
                    create_advised(bench.db, advise(bench.db, AS_OF))
                settle(bench.db)
                row: dict[str, Any] = {"when": str(when), "indexed": indexed, "pending": pending, "others": count}
                for name, as_of in (("first", AS_OF), ("next", AS_OF + STEP)):
                    with profiled(bench) as examined:
                        [cost] = scan_in_child(bench, as_of).scans
                    if (cost.closed, cost.failed) != (0, None):
                        raise RuntimeError(f"nothing was to be closed: {cost}")
                    row |= {f"{name}_seconds": cost.seconds, f"{name}_documents": examined.documents}
                print(row, flush=True)
                yield row


def _publish(db: AlertDatabase, when: When) -> None:
    other = {"source_type": OTHER_SOURCE, "match": {"metadata.trip": "metadata.trip_id"}, "when": str(when)}
    rule = {"rule_id": "ended", "source_type": SOURCE, "conditions": {"close_if_other": other}, "is_active": True}
    db.rules.insert_one(rule)


def main() -> None:
    """Measure every row and print it."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--pending", type=int, default=100)
    parser.add_argument("--others", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    args = parser.parse_args()
    with own_mongod() as bench:
        mongod = mongod_version(bench.db)
        rows = list(_measured(bench, args.pending, args.others))
    keep_results("others", args, mongod, {"rows": rows})


if __name__ == "__main__":
    main()
