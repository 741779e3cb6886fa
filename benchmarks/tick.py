"""From asking for a run to its end: a scan with nothing due, beside a trivial job of one op.

    python -m benchmarks.tick [--pending 10000] [--samples 15] [--json]

A real Dagster (two code servers, daemon, webserver) with the project's dagster.yaml, its files on the disk, and a
mongod of its own. Both jobs run in the in-process executor and are launched by turns, through GraphQL as the Launchpad
does it, each after the end of the one before. From the request to its answer a run is `queued`; it then waits for the
daemon, which looks every two seconds; from there on the stages are from the run's own event log. How long a run waits
is chance and the same for either job, so half of the two seconds stands for it in the `whole`, which is otherwise the
sum of what was measured. The target is that the scan's is at most 1.15 times the other's, by the medians.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

from dagster import DagsterEventType

from alert_pipelines_tests.dagster_processes import DagsterProcesses, dagster_processes
from benchmarks.dataset import DUE_AFTER_MINS, fill
from benchmarks.workbench import AS_OF, benchmark_parser, keep_results, mongod_version, own_mongod, settle

TARGET = 1.15
# As in dagster.yaml.
DEQUEUE_INTERVAL_S = 2.0
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
    "worker up": DagsterEventType.PIPELINE_START,
    "step started": DagsterEventType.STEP_START,
    "step ended": DagsterEventType.STEP_SUCCESS,
    "run ended": DagsterEventType.PIPELINE_SUCCESS,
}


def sample(dagster: DagsterProcesses, job: str) -> dict[str, Any]:
    """Run `job` once; what its stages took, and the entries of its event log."""
    scans = job == JOBS[0]
    began = time.perf_counter()
    run_id = dagster.launch(job, _SCAN if scans else {}, **({} if scans else {"location": LOCATION}))
    queued = time.perf_counter() - began
    dagster.wait_for_success(run_id)
    entries = dagster.instance.all_logs(run_id)
    at = {entry.dagster_event_type: entry.timestamp for entry in entries if entry.dagster_event_type}
    stages = {stage: at[kind] - at[DagsterEventType.PIPELINE_STARTING] for stage, kind in _STAGES.items()}
    print(f"{job:16} queued in {queued:.2f} s, ran for {stages['run ended']:.2f} s", flush=True)
    whole = queued + DEQUEUE_INTERVAL_S / 2 + stages["run ended"]
    return {"job": job, "queued": queued, **stages, "whole": whole, "log entries": len(entries)}


def _medians(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in samples) for name in samples[0] if name != "job"}


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
        settings = {
            "MONGODB_URI": bench.uri,
            "MONGODB_DATABASE": bench.db.name,
            "AUTO_CLOSE_CRON": "off",
            # Told to keep no bytecode, Python would compile the checkout, and it alone, anew in each run.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        with dagster_processes(settings, {LOCATION: "benchmarks.trivial"}, on_disk=True) as dagster:
            for job in JOBS:
                sample(dagster, job)
            samples = [sample(dagster, job) for _ in range(args.samples) for job in JOBS]
    rows = {job: _medians([one for one in samples if one["job"] == job]) for job in JOBS}
    for job, summary in rows.items():
        print(f"{job:16}", ", ".join(f"{name} {value:.2f}" for name, value in summary.items()))
    ratios = {name: rows[JOBS[0]][name] / rows[JOBS[1]][name] for name in ("whole", "run ended")}
    print(f"whole: {ratios['whole']:.3f} (at most {TARGET}), run ended: {ratios['run ended']:.3f}")
    keep_results("tick", args, mongod, {"rows": rows, "ratios": ratios, "samples": samples, "target": TARGET})


if __name__ == "__main__":
    main()
