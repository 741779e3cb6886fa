"""From asking for a run to its end: a scan with nothing due, beside a trivial job of one op.

    python -m benchmarks.tick [--pending 10000] [--samples 15] [--json]

A real Dagster (two code servers, daemon, webserver) with the project's dagster.yaml, its files on the disk, and a
mongod of its own. Both jobs run in the in-process executor and are launched by turns, through GraphQL as the Launchpad
does it; each waits for the end of the one before. `whole` is from the run's creation to its end, `worker` from when the
daemon took it off the queue: what it waits in the queue is a matter of the daemon's two-second beat. Both are medians,
from the run's own timestamps. The target is that the scan takes at most 1.15 times as long, whole.
"""

import statistics
from collections.abc import Iterable
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
_SCAN = {"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}}
_STAGES = {
    "dequeued": DagsterEventType.PIPELINE_STARTING,
    "worker up": DagsterEventType.PIPELINE_START,
    "step started": DagsterEventType.STEP_START,
    "step ended": DagsterEventType.STEP_SUCCESS,
    "run ended": DagsterEventType.PIPELINE_SUCCESS,
}


def sample(dagster: DagsterProcesses, job: str) -> dict[str, Any]:
    """Run `job` once; the seconds from its creation to each stage, and how many entries its event log holds."""
    scans = job == JOBS[0]
    run_id = dagster.launch(job, _SCAN if scans else {}, **({} if scans else {"location": LOCATION}))
    dagster.wait_for_success(run_id)
    stages = _stages(dagster.instance, run_id)
    print(f"{job:16} {stages['run ended']:.2f} s, {stages['dequeued']:.2f} of them in the queue", flush=True)
    return {"job": job, **stages}


def _stages(instance: DagsterInstance, run_id: str) -> dict[str, float]:
    [record] = instance.get_run_records(limit=1)
    if record.dagster_run.run_id != run_id:
        raise RuntimeError(f"another run came between: {record.dagster_run.run_id}")
    entries = instance.all_logs(run_id)
    created = record.create_timestamp.timestamp()
    at = {entry.dagster_event_type: entry.timestamp for entry in entries if entry.dagster_event_type}
    stages = {stage: at[kind] - created for stage, kind in _STAGES.items()}
    return {**stages, "log entries": len(entries)}


def _medians(samples: Iterable[dict[str, Any]]) -> dict[str, float]:
    found = list(samples)
    medians = {name: statistics.median(one[name] for one in found) for name in (*_STAGES, "log entries")}
    worker = statistics.median(one["run ended"] - one["dequeued"] for one in found)
    return {**medians, "whole": medians["run ended"], "worker": worker}


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
    rows = {job: _medians(one for one in samples if one["job"] == job) for job in JOBS}
    for job, medians in rows.items():
        print(f"{job:16}", ", ".join(f"{name} {value:.2f}" for name, value in medians.items()))
    ratios = {name: rows[JOBS[0]][name] / rows[JOBS[1]][name] for name in ("whole", "worker")}
    print(f"whole: {ratios['whole']:.3f} (at most {TARGET}), without the queue: {ratios['worker']:.3f}")
    keep_results("tick", args, mongod, {"rows": rows, "ratios": ratios, "samples": samples, "target": TARGET})


if __name__ == "__main__":
    main()
