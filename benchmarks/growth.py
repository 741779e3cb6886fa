"""What a scan with nothing to do costs as the pending alerts grow, condition by condition.

    python -m benchmarks.growth [--sizes 10000 100000 1000000 5000000] [--json]

On a mongod of its own. One set of alerts, added to from size to size, of which no condition decides any, nor will five
minutes later. Of each condition at each size: a first scan, whole; then up to nine more of the same rule, each five
minutes on, of which the least is given, since whatever else the machine does only adds to it; then one under the
profiler. The index that `alert-pipelines indexes advise` names for a condition is there while it is measured.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from alert_pipelines.index_advice.advice import Advice, advise, create_advised
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.prepare import prepare_collections
from benchmarks.dataset import DUE_AFTER_MINS, SOURCE, grow
from benchmarks.scanning import STEP, ScanCost, Scans, profiled, scan_in_child
from benchmarks.workbench import AS_OF, Bench, benchmark_parser, keep_results, mongod_version, own_mongod, settle

FAST = {"field": "metadata.speed", "op": "gt", "value": 200}
# Each decides none of the alerts that `grow` makes, and none comes of age in the fifty minutes that are measured.
CONDITIONS: dict[str, dict[str, Any] | None] = {
    "auto_close_if": {"auto_close_if": "document_valid"},
    "close_if": {"close_if": FAST},
    "expire_after_mins": {"expire_after_mins": 2 * DUE_AFTER_MINS},
    "expires_at": None,
    "hold_mins": {
        "close_if": {"field": "metadata.speed", "op": "gt", "value": 80},
        "hold_mins": 2 * DUE_AFTER_MINS,
    },
    "close_if_no_repeat_mins": {"close_if_no_repeat_mins": DUE_AFTER_MINS // 2},
    "keep_latest": {"keep_latest": True, "group_by": "metadata.vehicle_id"},
    "escalate_if_count": {"escalate_if_count": 3, "window_mins": 60},
    "severities": {"expire_after_mins": 60, "severities": ["INFO"]},
    "statuses": {"expire_after_mins": 60, "statuses": ["ESCALATED"]},
    "only_if": {"keep_latest": True, "only_if": FAST},
    "value_of": {
        "close_if": {"field": "metadata.speed", "op": "lte", "value_of": "metadata.speed_limit", "times": 1.01}
    },
    "contains": {"close_if": {"field": "metadata.location", "op": "contains", "value": "depot", "ignore_case": True}},
    "within_mins": {"close_if": {"field": "created_at", "op": "within_mins", "value": 60}},
    "keep_first": {"keep_first": True, "group_by": "metadata.vehicle_id"},
    "escalate_if": {"escalate_if": FAST},
    "escalate_after_mins": {"escalate_after_mins": 2 * DUE_AFTER_MINS},
    "count_if": {"escalate_if_count": 2, "count_if": FAST},
    "count_statuses": {"escalate_if_count": 3, "count_statuses": ["OPEN", "RESOLVED"]},
    "count_distinct": {"escalate_if_count": 2, "window_mins": 600, "count_distinct": "metadata.speed_limit"},
    # Of each alert the nineteen others of its driver are looked at.
    "close_if_other": {"close_if_other": {"source_type": SOURCE, "if": FAST}},
    "suppress_if_other": {"escalate_after_mins": 65, "suppress_if_other": {"source_type": SOURCE}},
    # That number of open minutes ago was 1,070 minutes ago.
    "calendar": {"close_if_no_repeat_mins": 770},
    "only_during": {"close_if": FAST},
}
# Open at AS_OF.
_DEPOT = {
    "name": "depot",
    "zone": "Asia/Kolkata",
    "open": {"mon-fri": ["04:00-23:00"], "sat-sun": ["05:00-12:00"]},
    "holidays": ["2025-12-25"],
}
_CALENDARS: dict[str, dict[str, Any]] = {
    name: {name: "depot", "calendars": [_DEPOT]} for name in ("calendar", "only_during")
}
SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
MEASURES = ("seconds", "database_ms", "without_counts_ms", "counts_ms", "documents", "keys", "bytes", "peak_rss_mb")
SCANS = 9


def rule_of(condition: str) -> dict[str, Any] | None:
    """The rule by which `condition` is measured; None for the alerts' own expiry."""
    conditions = CONDITIONS[condition]
    if conditions is None:
        return None
    rule = {"rule_id": condition, "source_type": SOURCE, "conditions": conditions, "is_active": True}
    return rule | _CALENDARS.get(condition, {})


def measure(bench: Bench, condition: str, pending: int, advice: Sequence[Advice]) -> dict[str, Any]:
    """One row of the table."""
    _start_anew(bench.db, condition)
    create_advised(bench.db, advice)
    settle(bench.db)
    row: dict[str, Any] = {
        "condition": condition,
        "pending": pending,
        "indexes": [index.name for one in advice for index in one.indexes],
    }
    [first] = _nothing_decided(scan_in_child(bench, AS_OF), pending)
    row |= {"first_seconds": first.seconds, "failed": first.failed}
    if first.failed is None:
        repeated = scan_in_child(bench, AS_OF + STEP, scans=SCANS)
        costs = _nothing_decided(repeated, pending)
        with profiled(bench) as examined:
            _nothing_decided(scan_in_child(bench, AS_OF + (1 + len(costs)) * STEP), pending)
        row |= {
            "scans": len(costs),
            "seconds": min(cost.seconds for cost in costs),
            "database_ms": min(cost.database_ms for cost in costs),
            "without_counts_ms": min(cost.database_ms - cost.counts_ms for cost in costs),
            "counts_ms": min(cost.counts_ms for cost in costs),
            "commands": costs[-1].commands,
            "documents": examined.documents,
            "keys": examined.keys,
            "bytes": examined.bytes,
            "peak_rss_mb": repeated.peak_rss_mb,
        }
    for one in advice:
        for index in one.indexes:
            bench.db.alerts.drop_index(index.name)
    return row


def exponents(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """By measure, b of the a·pending^b that fits one condition's rows best; None with fewer than two, or with a 0."""
    found: dict[str, float | None] = {}
    for name in MEASURES:
        points = [(row["pending"], row[name]) for row in rows if row.get(name) is not None]
        found[name] = None
        # The logarithm of 0 is none: what nothing was examined for does not grow.
        with suppress(ValueError):
            logs = [(math.log(pending), math.log(value)) for pending, value in points]
            found[name] = statistics.linear_regression(*zip(*logs, strict=True)).slope if len(logs) > 1 else None
    return found


def main() -> None:
    """Measure every condition at every size and print the rows."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    advised: dict[str, list[Advice]] = {}
    stored: dict[str, int] = {}
    with own_mongod() as bench:
        mongod, present = mongod_version(bench.db), 0
        for pending in sorted(args.sizes):
            _drop_indexes(bench.db)
            grow(bench.db, present=present, pending=pending, as_of=AS_OF)
            present = pending
            stored = _stored(bench.db, pending)
            for condition in args.conditions:
                if condition not in advised:
                    _start_anew(bench.db, condition)
                    advised[condition] = advise(bench.db, AS_OF)
                rows.append(measure(bench, condition, pending, advised[condition]))
                print(_line(rows[-1]), flush=True)
    by_condition = {name: [row for row in rows if row["condition"] == name] for name in args.conditions}
    fitted = {condition: exponents(found) for condition, found in by_condition.items()}
    for condition, found in fitted.items():
        print(f"{condition:24}", {name: None if b is None else round(b, 2) for name, b in found.items()})
    keep_results("growth", args, mongod, {"rows": rows, "exponents": fitted, "stored": stored})


def _start_anew(db: AlertDatabase, condition: str) -> None:
    """Leave nothing of earlier scans and their rules."""
    for name in db.list_collection_names():
        if name != "alerts":
            db.drop_collection(name)
    prepare_collections(db)
    if rule := rule_of(condition):
        db.rules.insert_one(rule)


def _drop_indexes(db: AlertDatabase) -> None:
    # Made anew over all alerts they are as dense at every size; kept, the growing would be slow besides.
    if "alerts" in db.list_collection_names():
        db.alerts.drop_indexes()


def _stored(db: AlertDatabase, pending: int) -> dict[str, int]:
    """What so many alerts take on the disk, in bytes, without advised indexes."""
    settle(db)
    stats = db.command("collStats", "alerts")
    sizes = ("size", "storageSize", "totalIndexSize")
    return {"pending": pending, **{name: int(stats[name]) for name in sizes}}


def _nothing_decided(done: Scans, pending: int) -> list[ScanCost]:
    for cost in done.scans:
        if (cost.checked, cost.closed, cost.escalated) != (pending, 0, 0):
            raise RuntimeError(f"of {pending} alerts nothing was to be decided: {cost}")
    return done.scans


def _line(row: Mapping[str, Any]) -> str:
    head = f"{row['condition']:24} {row['pending']:8} first {row['first_seconds']:7.2f} s"
    if row["failed"]:
        return f"{head}: {row['failed']}"
    return (
        f"{head}, then {row['seconds']:7.3f} s, database {row['without_counts_ms']:8.1f} + {row['counts_ms']:6.1f} ms, "
        f"{row['documents']:8} documents, {row['keys']:8} keys, {row['bytes']:9} bytes, {row['peak_rss_mb']:5.1f} MB"
    )


if __name__ == "__main__":
    main()
