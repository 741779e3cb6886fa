"""Closing, beside one bare update_many and beside the loops people run today.

    python -m benchmarks.peers [--pending 1000000] [--due 50000] [--json FILE]

On a mongod of its own, majority writes. The dataset is made anew before each contender, who then closes the same
alerts; the slow loops are stopped after --loop-seconds and judged by their rate. Every figure is of this one run.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo

from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database, stop_local_mongod
from alert_pipelines.rules.compiler import compile_rule
from alert_pipelines.rules.model import Rule
from alert_pipelines.scanner.apply import Stamp, decision_update
from alert_pipelines.scanner.report import ALLOW_SCAN, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from benchmarks.dataset import DUE_AFTER_MINS, fill

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
CUTOFF = AS_OF - timedelta(minutes=DUE_AFTER_MINS)
RULE = {
    "rule_id": "expire",
    "source_type": "OVERSPEEDING",
    "conditions": {"expire_after_mins": DUE_AFTER_MINS},
    "is_active": True,
}
PENDING = {"status": {"$in": ["OPEN", "ESCALATED"]}}


def scan(db: AlertDatabase, _: float) -> int:
    """Ours, whole: claim, rules, plan, guard, apply, reconcile, record."""
    return run_scan(db, ScanRequest(as_of=AS_OF, allow_over_limit=(ALLOW_SCAN,))).closed


def bare_update_many(db: AlertDatabase, _: float) -> int:
    """One update_many with the same filter and the same update."""
    [clause] = compile_rule(Rule.model_validate(RULE), AS_OF)
    update = decision_update(clause, Stamp("JOB-bare", None, "0" * 64, AS_OF))
    return db.alerts.update_many(clause.own, update).modified_count


def lean_loop(db: AlertDatabase, seconds: float) -> int:
    """A lean loop: the due alerts by one query, then one update_one each."""
    [clause] = compile_rule(Rule.model_validate(RULE), AS_OF)
    update = decision_update(clause, Stamp("JOB-lean", None, "0" * 64, AS_OF))
    closed, until = 0, time.perf_counter() + seconds
    for alert in db.alerts.find(clause.own, {"_id": 1}):
        closed += db.alerts.update_one({"_id": alert["_id"], **PENDING}, update).modified_count
        if time.perf_counter() > until:
            break
    return closed


def old_job_closing(db: AlertDatabase, seconds: float) -> int:
    """The old job's way to close: find, update, find again."""
    closed, until = 0, time.perf_counter() + seconds
    for alert in list(db.alerts.find({**PENDING, "timestamp": {"$lte": CUTOFF}})):
        found = db.alerts.find_one({"alert_id": alert["alert_id"]})
        list(db.rules.find({"source_type": alert["source_type"], "is_active": True}))
        if found:
            entry = {"from_status": found["status"], "to_status": "AUTO_CLOSED", "reason": "expired"}
            change = {"status": "AUTO_CLOSED", "closed_at": AS_OF, "auto_close_reason": "expired"}
            db.alerts.update_one({"alert_id": alert["alert_id"]}, {"$set": change, "$push": {"state_history": entry}})
            db.alerts.find_one({"alert_id": alert["alert_id"]})
            closed += 1
        if time.perf_counter() > until:
            break
    return closed


def old_job_scanning(db: AlertDatabase, seconds: float) -> int:
    """The old job's way to look: the pending list into memory, a rules query for every alert.

    A whole such scan takes too long to wait for: only as much of the list is read as can be looked at in the time,
    which flatters the old way.
    """
    seen, until = 0, time.perf_counter() + seconds
    for alert in list(db.alerts.find(PENDING).limit(int(seconds * 2_000))):
        list(db.rules.find({"source_type": alert["source_type"], "is_active": True}))
        seen += 1
        if time.perf_counter() > until:
            break
    return seen


def measure(db: AlertDatabase, contender: Callable[[AlertDatabase, float], int], args: Any) -> dict[str, Any]:
    """Alerts done and seconds taken by one contender, on a fresh dataset."""
    fill(db, pending=args.pending, due=args.due, as_of=AS_OF)
    db.rules.delete_many({})
    db.rules.insert_one(dict(RULE))
    started = time.perf_counter()
    done = contender(db, args.loop_seconds)
    seconds = time.perf_counter() - started
    result = {"contender": contender.__name__, "alerts": done, "seconds": round(seconds, 2), "per_s": done / seconds}
    print(f"{contender.__name__:18} {done:8} alerts {seconds:8.2f} s {done / seconds:10.0f}/s", flush=True)
    return result


def main() -> None:
    """Measure all contenders and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=50_000)
    parser.add_argument("--loop-seconds", type=float, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    contenders = [bare_update_many, scan, lean_loop, old_job_closing, old_job_scanning]
    with tempfile.TemporaryDirectory(prefix="alert_pipelines_bench_") as directory:
        try:
            with open_database(MongoSettings(None, "benchmark", Path(directory))) as db:
                server = db.client.server_info()["version"]
                results = {result["contender"]: result for result in (measure(db, c, args) for c in contenders)}
        finally:
            stop_local_mongod(Path(directory))
    scanned_per_s = args.pending / results["scan"]["seconds"]
    ratios = {
        "seconds of the scan / of the bare update_many": results["scan"]["seconds"]
        / results["bare_update_many"]["seconds"],
        "closes/s of the scan / of the lean loop": results["scan"]["per_s"] / results["lean_loop"]["per_s"],
        "closes/s of the scan / of the old job": results["scan"]["per_s"] / results["old_job_closing"]["per_s"],
        "alerts/s of the scan / of the old job": scanned_per_s / results["old_job_scanning"]["per_s"],
    }
    for what, ratio in ratios.items():
        print(f"{what}: {ratio:.2f}")
    if args.json:
        about = {
            "command": "python -m benchmarks.peers " + " ".join(sys.argv[1:]),
            "date": datetime.now(UTC).date().isoformat(),
            "python": platform.python_version(),
            "pymongo": pymongo.version,
            "mongod": server,
        }
        args.json.write_text(json.dumps({**about, "results": list(results.values()), "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
