"""From asking for a run to its end: a scan with nothing due, beside a trivial job of one op and the scan's outline.

    python -m benchmarks.tick [--pending 10000] [--samples 15] [--json]

A real Dagster (three code servers, daemon, webserver) with the project's dagster.yaml, its files on the disk, and a
mongod of its own. The jobs run in the in-process executor and are launched by turns, through GraphQL as the Launchpad
does it, each after the end of the one before. From the request to its answer a run is `queued`; it then waits for the
daemon, which looks every two seconds; from there on the stages are from the run's own event log. How long a run waits
is chance and the same for each job, so half of the two seconds stands for it in the `whole`, which is otherwise the
sum of what was measured. The guard: the scan's is at most 1.3 times the trivial job's, by the medians; where ten
samples or more say otherwise, this ends with 1.

The outline has the scan's assets, checks and log lines and does nothing: what it takes beyond the trivial job is
Dagster's, and what the scan takes beyond the outline is ours.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from dagster import DagsterEventType

from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines_tests.dagster_processes import DagsterProcesses, dagster_processes
from benchmarks.dataset import DUE_AFTER_MINS, fill
from benchmarks.workbench import AS_OF, benchmark_parser, keep_results, mongod_version, own_mongod, settle

TARGET = 1.3
# Fewer say little of a machine that does something else besides.
_JUDGED_FROM = 10
# As in dagster.yaml.
DEQUEUE_INTERVAL_S = 2.0
SCAN, OUTLINE, TRIVIAL = "auto_close_job", "outline_job", "trivial_job"
# The code locations of the jobs.
LOCATIONS = {SCAN: CODE_LOCATION, OUTLINE: "outline", TRIVIAL: "trivial"}
RULE = {
    "rule_id": "expire",
    "source_type": "OVERSPEEDING",
    "conditions": {"expire_after_mins": 2 * DUE_AFTER_MINS},
    "is_active": True,
}
_SCAN_CONFIG = {"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}}
_STAGES = {
    "worker up": DagsterEventType.PIPELINE_START,
    "step started": DagsterEventType.STEP_START,
    "step ended": DagsterEventType.STEP_SUCCESS,
    "run ended": DagsterEventType.PIPELINE_SUCCESS,
}


def sample(dagster: DagsterProcesses, job: str) -> dict[str, Any]:
    """Run `job` once; what its stages took, and the entries of its event log."""
    began = time.perf_counter()
    run_id = dagster.launch(job, _SCAN_CONFIG if job == SCAN else {}, LOCATIONS[job])
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


def fault_of(whole: float, samples: int) -> str | None:
    """What the guard says of a scan that takes `whole` times what a trivial job takes; None for nothing."""
    if samples < _JUDGED_FROM or whole <= TARGET:
        return None
    return f"a scan with nothing due takes {whole:.2f} times what a trivial job takes, more than {TARGET}"


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
        others = {LOCATIONS[OUTLINE]: "benchmarks.outline", LOCATIONS[TRIVIAL]: "benchmarks.trivial"}
        with dagster_processes(settings, others, on_disk=True) as dagster:
            for job in LOCATIONS:
                sample(dagster, job)
            samples = [sample(dagster, job) for _ in range(args.samples) for job in LOCATIONS]
    rows = {job: _medians([one for one in samples if one["job"] == job]) for job in LOCATIONS}
    for job, summary in rows.items():
        print(f"{job:16}", ", ".join(f"{name} {value:.2f}" for name, value in summary.items()))
    ratios = {
        job: {name: rows[job][name] / rows[TRIVIAL][name] for name in ("whole", "run ended")} for job in (SCAN, OUTLINE)
    }
    for job, of_trivial in ratios.items():
        print(f"{job} / {TRIVIAL}: whole {of_trivial['whole']:.3f}, run ended {of_trivial['run ended']:.3f}")
    print(f"the guard: the scan's whole at most {TARGET}")
    keep_results("tick", args, mongod, {"rows": rows, "ratios": ratios, "samples": samples, "target": TARGET})
    if too_slow := fault_of(ratios[SCAN]["whole"], args.samples):
        sys.exit(too_slow)


if __name__ == "__main__":
    main()
