"""Peak memory of a run worker, however many alerts are pending.

    python -m benchmarks.memory [--sizes 10000 1000000] [--due 5000] [--many-due 100000] [--json]

On a mongod of its own. The worker is once a process that does nothing but `run_scan`, once `dagster job execute` of
auto_close_job; each scans with nothing due and with --due alerts to close. The target: at the largest size at most
10 % more than at the smallest. What does grow the process is what is due: a last scan closes --many-due.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.dataset import DUE_AFTER_MINS, fill, reopen
from benchmarks.scanning import scan_in_child
from benchmarks.workbench import AS_OF, CHECKOUT, Bench, benchmark_parser, keep_results, mongod_version, own_mongod

TARGET = 1.1
# With nothing due the rule waits for longer than any alert is old.
NEVER_MINS = 1000 * DUE_AFTER_MINS


def plain_scan(bench: Bench) -> tuple[float, int]:
    """Peak MB of a process that only scans, and what it closed."""
    done = scan_in_child(bench, AS_OF)
    return done.peak_rss_mb, done.scans[0].closed


def dagster_execute(bench: Bench) -> tuple[float, int]:
    """The same of `dagster job execute`."""
    config = {
        "ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat(), "allow_over_limit": ["scan"], "confirm": True}}}
    }
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "dagster.yaml").symlink_to(CHECKOUT / "dagster.yaml")
        (Path(home) / "config.yaml").write_text(json.dumps(config))
        process = subprocess.Popen(
            [
                *(Path(sys.executable).parent / "dagster", "job", "execute", "-m", "alert_pipelines.definitions"),
                *("-j", "auto_close_job", "-c", Path(home) / "config.yaml"),
            ],
            cwd=CHECKOUT,
            env={**bench.env, "DAGSTER_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    record = bench.db.background_jobs.find_one(sort=[("started_at", -1)])
    if process.returncode or record is None or record["status"] != "completed":
        raise RuntimeError(f"dagster job execute ended with {process.returncode}, its job record is {record}")
    return usage.ru_maxrss / 1024, record["alerts_closed"]


WORKERS: dict[str, Callable[[Bench], tuple[float, int]]] = {
    "run_scan": plain_scan,
    "dagster job execute": dagster_execute,
}


def measure(bench: Bench, worker: str, pending: int, due: int) -> dict[str, Any]:
    """One row: the peak of `worker` scanning `pending` alerts of which `due` are due."""
    bench.db.background_jobs.drop()
    rule = {
        "rule_id": "expire",
        "source_type": "OVERSPEEDING",
        "conditions": {"expire_after_mins": DUE_AFTER_MINS if due else NEVER_MINS},
        "is_active": True,
    }
    bench.db.rules.replace_one({"rule_id": rule["rule_id"]}, rule, upsert=True)
    peak_mb, closed = WORKERS[worker](bench)
    if closed != due:
        raise RuntimeError(f"{worker}: of {pending} alerts {due} were to be closed, not {closed}")
    print(f"{worker:20} {pending:8} pending, {due:5} due: {peak_mb:6.1f} MB", flush=True)
    return {"worker": worker, "pending": pending, "due": due, "peak_rss_mb": peak_mb}


def main() -> None:
    """Measure all and print the ratios of the largest size to the smallest."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--due", type=int, default=5_000)
    parser.add_argument("--many-due", type=int, default=100_000)
    args = parser.parse_args()
    rows = []
    with own_mongod() as bench:
        mongod = mongod_version(bench.db)
        for pending in sorted(args.sizes):
            fill(bench.db, pending=pending, due=args.due, as_of=AS_OF)
            for worker in WORKERS:
                rows.append(measure(bench, worker, pending, 0))
                rows.append(measure(bench, worker, pending, args.due))
                reopen(bench.db)
        fill(bench.db, pending=max(args.sizes), due=args.many_due, as_of=AS_OF)
        rows.append(measure(bench, "run_scan", max(args.sizes), args.many_due))
    ratios = {}
    for worker in WORKERS:
        for due in (0, args.due):
            peaks = [row["peak_rss_mb"] for row in rows if (row["worker"], row["due"]) == (worker, due)]
            ratios[f"{worker}, {due} due"] = peaks[-1] / peaks[0]
    for what, ratio in ratios.items():
        print(f"{what}: {ratio:.3f} (at most {TARGET})")
    of_each_due = [row for row in rows if row["worker"] == "run_scan" and row["pending"] == max(args.sizes)]
    none_due, many_due = of_each_due[0], of_each_due[-1]
    kb_a_due = 1024 * (many_due["peak_rss_mb"] - none_due["peak_rss_mb"]) / many_due["due"]
    print(f"a due alert: {kb_a_due:.2f} kB")
    keep_results("memory", args, mongod, {"rows": rows, "ratios": ratios, "target": TARGET, "kb_a_due": kb_a_due})


if __name__ == "__main__":
    main()
