"""From asking for a run to its end: a scan with nothing due, beside a trivial job of one op.

    python -m benchmarks.tick [--pending 10000] [--samples 15] [--json]

A real Dagster (two code servers, daemon, webserver) with the project's dagster.yaml, its files on the disk, and a
mongod of its own. Both jobs run in the in-process executor and are launched by turns, through GraphQL as the Launchpad
does it; each waits for the end of the one before, and then for up to two seconds more: else each job would meet the
daemon's two-second beat at a moment of its own, and wait in the queue for as long every time. All is from the runs'
own timestamps. `queue` is from a run's creation until the daemon has taken it off the queue, the mean of all runs of
both jobs, since which job it is makes no difference there; `worker` is from then to the run's end, a median; `whole` is
both together. The target is that the scan takes at most 1.15 times as long, whole.
"""

import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

from dagster import DagsterEventType, DagsterInstance

from alert_pipelines_tests.dagster_processes import DagsterProcesses, dagster_processes
from benchmarks.dataset import DUE_AFTER_MINS, fill
from benchmarks.workbench import AS_OF, benchmark_parser, keep_results, mongod_version, own_mongod, settle

TARGET = 1.15
LOCATION = "trivial"
JOBS = ("auto_close_job", "trivial_job")
RULE = {
    "rule_id": "expire",
    "source_type": "OVERSPEEDING",
    "conditions": {"expire_after_mins": 2 * DUE_AFTER_MINS},
    "is_active": True,
}
# dequeue_interval_seconds in dagster.yaml.
_BEAT_S = 2.0
_SCAN = {"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}}
_STAGES = {
    "worker up": DagsterEventType.PIPELINE_START,
    "step started": DagsterEventType.STEP_START,
    "step ended": DagsterEventType.STEP_SUCCESS,
    "run ended": DagsterEventType.PIPELINE_SUCCESS,
}


def sample(dagster: DagsterProcesses, job: str) -> dict[str, Any]:
    """Run `job` once; the seconds in the queue, and from there to each stage, and the entries of its event log."""
    scans = job == JOBS[0]
    time.sleep(random.uniform(0, _BEAT_S))
    run_id = dagster.launch(job, _SCAN if scans else {}, **({} if scans else {"location": LOCATION}))
    dagster.wait_for_success(run_id)
    stages = _stages(dagster.instance, run_id)
    print(f"{job:16} {stages['queue']:.2f} s in the queue, {stages['run ended']:.2f} s from there", flush=True)
    return {"job": job, **stages}


def _stages(instance: DagsterInstance, run_id: str) -> dict[str, float]:
    [record] = instance.get_run_records(limit=1)
    if record.dagster_run.run_id != run_id:
        raise RuntimeError(f"another run came between: {record.dagster_run.run_id}")
    entries = instance.all_logs(run_id)
    at = {entry.dagster_event_type: entry.timestamp for entry in entries if entry.dagster_event_type}
    dequeued = at[DagsterEventType.PIPELINE_STARTING]
    stages = {stage: at[kind] - dequeued for stage, kind in _STAGES.items()}
    return {"queue": dequeued - record.create_timestamp.timestamp(), **stages, "log entries": len(entries)}


def _summary(samples: Sequence[dict[str, Any]], queue_s: float) -> dict[str, float]:
    """The medians of one job's samples."""

    def median(name: str) -> float:
        return statistics.median(one[name] for one in samples)

    worker = median("run ended")
    return {**{name: median(name) for name in (*_STAGES, "log entries")}, "worker": worker, "whole": queue_s + worker}


def main() -> None:
    """Take the samples and print the medians."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--pending", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=15)
    args = parser.parse_args()
    with own_mongod() as bench:
        mongod = mongod_version(bench.db)
        fill(bench.db, pending=args.pending, due=0, as_of=AS_OF)
        bench.db.rules.insert_one(dict(RULE))
        settle(bench.db)
        settings = {"MONGODB_URI": bench.uri, "MONGODB_DATABASE": bench.db.name, "AUTO_CLOSE_CRON": "off"}
        with dagster_processes(settings, {LOCATION: "benchmarks.trivial"}, on_disk=True) as dagster:
            for job in JOBS:
                sample(dagster, job)
            samples = [sample(dagster, job) for _ in range(args.samples) for job in JOBS]
    queue_s = statistics.mean(one["queue"] for one in samples)
    rows = {job: _summary([one for one in samples if one["job"] == job], queue_s) for job in JOBS}
    print(f"{queue_s:.2f} s in the queue")
    for job, summary in rows.items():
        print(f"{job:16}", ", ".join(f"{name} {value:.2f}" for name, value in summary.items()))
    ratios = {name: rows[JOBS[0]][name] / rows[JOBS[1]][name] for name in ("whole", "worker")}
    print(f"whole: {ratios['whole']:.3f} (at most {TARGET}), without the queue: {ratios['worker']:.3f}")
    keep_results(
        "tick", args, mongod, {"queue": queue_s, "rows": rows, "ratios": ratios, "samples": samples, "target": TARGET}
    )


if __name__ == "__main__":
    main()
