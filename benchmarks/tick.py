"""From asking for a run to its end: a scan with nothing due, beside a trivial job of one op.

    python -m benchmarks.tick [--pending 10000] [--samples 15] [--json]

A real Dagster (two code servers, daemon, webserver) with the project's dagster.yaml, its files on the disk, and a
mongod of its own. Both jobs run in the in-process executor and are launched by turns, through GraphQL as the Launchpad
does it; each waits for the end of the one before, and then for a part of the daemon's two-second beat, from none of it
to all of it, in even steps: else each job would meet the beat at a moment of its own, and wait in the queue for as long
every time. All is from the runs' own timestamps: the wait in the queue, the stages from then on, and the `whole`, from
the run's creation to its end. The target is that the scan takes at most 1.15 times as long, whole, on average.
"""

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


def sample(dagster: DagsterProcesses, job: str, after_s: float = 0) -> dict[str, Any]:
    """Run `job` once, `after_s` from now; what its stages took, and the entries of its event log."""
    scans = job == JOBS[0]
    time.sleep(after_s)
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
    queue = dequeued - record.create_timestamp.timestamp()
    return {"queue": queue, **stages, "log entries": len(entries), "whole": queue + stages["run ended"]}


def _summary(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The means of one job's samples where the queue is in them, else the medians."""
    means = {name: statistics.mean(one[name] for one in samples) for name in ("queue", "whole")}
    medians = {name: statistics.median(one[name] for one in samples) for name in (*_STAGES, "log entries")}
    return {"queue": means["queue"], **medians, "whole": means["whole"]}


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
            pauses = [_BEAT_S * (number + 0.5) / args.samples for number in range(args.samples)]
            samples = [sample(dagster, job, pause) for pause in pauses for job in JOBS]
    rows = {job: _summary([one for one in samples if one["job"] == job]) for job in JOBS}
    for job, summary in rows.items():
        print(f"{job:16}", ", ".join(f"{name} {value:.2f}" for name, value in summary.items()))
    ratios = {name: rows[JOBS[0]][name] / rows[JOBS[1]][name] for name in ("whole", "run ended")}
    print(f"whole: {ratios['whole']:.3f} (at most {TARGET}), without the queue: {ratios['run ended']:.3f}")
    keep_results("tick", args, mongod, {"rows": rows, "ratios": ratios, "samples": samples, "target": TARGET})


if __name__ == "__main__":
    main()
