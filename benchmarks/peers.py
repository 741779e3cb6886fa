"""Closing, beside one bare update_many and beside the loops people run today.

    python -m benchmarks.peers [--pending 1000000] [--due 50000] [--rounds 3] [--json]

On a mongod of its own, majority writes. The dataset is made anew before each contender, with the project's indexes,
and written out before the clock starts; all then have the same alerts to close. All is measured with a cache of the
server that the alerts do not fit, and with one that they do. The scan and the bare update_many take turns, first one
and then the other ahead, and their medians are compared; the slow loops are stopped after --loop-seconds and judged by
their rate. What was looked at is the pending alerts for a scan, and for the old job those of the pending list that it
came to; the others only look for what is due. Every figure is of this one run.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pymongo import WriteConcern

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.compiler import compile_rule
from alert_pipelines.rules.model import Rule
from alert_pipelines.scanner.apply import DecisionContext, decision_update
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from benchmarks.dataset import DUE_AFTER_MINS, fill
from benchmarks.workbench import AS_OF, benchmark_parser, keep_results, mongod_version, own_mongod, settle

CUTOFF = AS_OF - timedelta(minutes=DUE_AFTER_MINS)
RULE = {
    "rule_id": "expire",
    "source_type": "OVERSPEEDING",
    "conditions": {"expire_after_mins": DUE_AFTER_MINS},
    "is_active": True,
}
PENDING = {"status": {"$in": ["OPEN", "ESCALATED"]}}
# With and without room for the million alerts, their indexes and what is written of them.
CACHES_GB = (0.5, 4.0)


def scan(db: AlertDatabase, _: float) -> int:
    """Ours, whole: claim, rules, plan, guard, apply, reconcile, record."""
    return run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,))).total_checked


def bare_update_many(db: AlertDatabase, _: float) -> int:
    """One update_many with the same filter and the same update."""
    [clause] = compile_rule(Rule.model_validate(RULE), AS_OF)
    update = decision_update(clause, DecisionContext("JOB-bare", None, "0" * 64, AS_OF))
    return db.alerts.update_many(clause.alert_filter, update).modified_count


def lean_loop(db: AlertDatabase, seconds: float) -> int:
    """A lean loop: the due alerts by one query, then one update_one each."""
    [clause] = compile_rule(Rule.model_validate(RULE), AS_OF)
    update = decision_update(clause, DecisionContext("JOB-lean", None, "0" * 64, AS_OF))
    closed, until = 0, time.perf_counter() + seconds
    for alert in db.alerts.find(clause.alert_filter, {"_id": 1}):
        closed += db.alerts.update_one({"_id": alert["_id"], **PENDING}, update).modified_count
        if time.perf_counter() > until:
            break
    return closed


def old_job(db: AlertDatabase, seconds: float) -> int:
    """The old job's way: the pending list into memory, a rules query for every alert; find, update, find for a close.

    A whole such scan takes too long to wait for: only as much of the list is read as can be looked at in the time, and
    it has our indexes, where the old job had none. Both flatter it.
    """
    seen, until = 0, time.perf_counter() + seconds
    # As they lie in the collection; by an index on the timestamp, those that are due would all be ahead.
    for alert in list(db.alerts.find(PENDING).hint([("$natural", 1)]).limit(int(seconds * 3_000))):
        list(db.rules.find({"source_type": alert["source_type"], "is_active": True}))
        if alert["timestamp"] <= CUTOFF:
            _close_the_old_way(db, alert)
        seen += 1
        if time.perf_counter() > until:
            break
    return seen


def old_job_closing(db: AlertDatabase, seconds: float) -> int:
    """The old job's closing alone: of the due alerts only, which an index finds, the same calls for each."""
    closed, until = 0, time.perf_counter() + seconds
    for alert in list(db.alerts.find({**PENDING, "timestamp": {"$lte": CUTOFF}})):
        list(db.rules.find({"source_type": alert["source_type"], "is_active": True}))
        _close_the_old_way(db, alert)
        closed += 1
        if time.perf_counter() > until:
            break
    return closed


def _close_the_old_way(db: AlertDatabase, alert: dict[str, Any]) -> None:
    found = db.alerts.find_one({"alert_id": alert["alert_id"]})
    if found:
        entry = {"from_status": found["status"], "to_status": "AUTO_CLOSED", "reason": "expired"}
        change = {"status": "AUTO_CLOSED", "closed_at": AS_OF, "auto_close_reason": "expired"}
        db.alerts.update_one({"alert_id": alert["alert_id"]}, {"$set": change, "$push": {"state_history": entry}})
        db.alerts.find_one({"alert_id": alert["alert_id"]})


def measure(db: AlertDatabase, contender: Callable[[AlertDatabase, float], int], args: Any) -> dict[str, Any]:
    """Alerts looked at, closed, and seconds taken by one contender, on a fresh dataset."""
    for name in db.list_collection_names():
        db.drop_collection(name)
    fill(db, pending=args.pending, due=args.due, as_of=AS_OF)
    db.rules.insert_one(dict(RULE))
    settle(db)
    started = time.perf_counter()
    looked_at = contender(db, args.loop_seconds)
    seconds = time.perf_counter() - started
    closed = db.alerts.count_documents({"status": "AUTO_CLOSED"})
    if contender in (scan, bare_update_many) and closed != args.due:
        raise RuntimeError(f"{contender.__name__} closed {closed} of {args.due} due alerts")
    result = {
        "contender": contender.__name__,
        "looked_at": looked_at,
        "looked_at_per_s": looked_at / seconds,
        "closed": closed,
        "closed_per_s": closed / seconds,
        "seconds": seconds,
    }
    print(f"{contender.__name__:18} {seconds:8.2f} s, looked at {looked_at:8} ({looked_at / seconds:8.0f}/s), ", end="")
    print(f"closed {closed:6} ({closed / seconds:6.0f}/s)", flush=True)
    return result


def measure_with_cache(db: AlertDatabase, cache_gb: float, args: Any) -> list[dict[str, Any]]:
    """The rows of all contenders with a cache of this size."""
    print(f"with a cache of {cache_gb:g} GB", flush=True)
    cache = f"cache_size={cache_gb * 1024:.0f}MB"
    db.client.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig=cache)
    pair = [bare_update_many, scan]
    turns = [contender for number in range(args.rounds) for contender in (pair if number % 2 == 0 else pair[::-1])]
    runs = [measure(db, one, args) for one in (lean_loop, old_job, old_job_closing, *turns)]
    return [{"cache_gb": cache_gb, **run} for run in runs]


def ratios(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the scan takes and does beside the others, by cache."""
    found: list[dict[str, Any]] = []
    for cache_gb, in_seconds in zip(CACHES_GB, ("at most 0.75", "at most 1.1, aim 1.0"), strict=True):

        def median(contender: Callable[..., int], figure: str, cache_gb: float = cache_gb) -> float:
            of_it = [run for run in rows if (run["cache_gb"], run["contender"]) == (cache_gb, contender.__name__)]
            return float(statistics.median(run[figure] for run in of_it))

        for what, other, figure, target in (
            ("seconds of the scan / of the bare update_many", bare_update_many, "seconds", in_seconds),
            ("closes/s of the scan / of the lean loop", lean_loop, "closed_per_s", "at least 15"),
            ("closes/s of the scan / of the old job", old_job, "closed_per_s", "at least 50"),
            ("alerts/s of the scan / of the old job", old_job, "looked_at_per_s", "at least 100"),
            ("closes/s of the scan / of the old job's closing alone", old_job_closing, "closed_per_s", ""),
        ):
            ratio = median(scan, figure) / median(other, figure)
            found.append({"cache_gb": cache_gb, "what": what, "ratio": ratio, "target": target})
    return found


def _oplog_bytes_a_close(db: AlertDatabase) -> float:
    """What the oplog holds of one close, on average of the last thousand."""
    closes = {"op": "u", "ns": f"{db.name}.alerts"}
    last = db.client.local["oplog.rs"].find(closes, {"bytes": {"$bsonSize": "$$ROOT"}}).sort("$natural", -1).limit(1000)
    return float(statistics.mean(found["bytes"] for found in last))


def main() -> None:
    """Measure all contenders and print the ratios."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop-seconds", type=float, default=20)
    args = parser.parse_args()
    with own_mongod() as bench:
        if bench.db.write_concern != WriteConcern("majority"):
            raise RuntimeError(f"the writes are acknowledged as {bench.db.write_concern}, not by a majority")
        mongod = mongod_version(bench.db)
        runs = [run for cache_gb in CACHES_GB for run in measure_with_cache(bench.db, cache_gb, args)]
        oplog_bytes = _oplog_bytes_a_close(bench.db)
    shown = ratios(runs)
    for one in shown:
        print("{cache_gb:g} GB: {what}: {ratio:.2f} ({target})".format(**one))
    print(f"a close is {oplog_bytes:.0f} bytes of the oplog")
    body = {"rows": runs, "ratios": shown, "pending": args.pending, "due": args.due, "oplog_bytes": oplog_bytes}
    keep_results("peers", args, mongod, body)


if __name__ == "__main__":
    main()
