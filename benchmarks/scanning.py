"""Scans in a process of their own, as run workers are, and what each of them cost.

    python -m benchmarks.scanning ORDER      (a JSON object; started by the benchmarks themselves)

Database time is the sum of what the driver waited for each of a scan's commands (PyMongo's command monitoring): to the
microsecond, with the way to the server and back, where the profiler knows whole milliseconds only and slows what it
watches. Documents, keys and bytes are the profiler's, taken in a scan of their own that is not timed.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo import monitoring

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.mongo import open_database
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from benchmarks.workbench import CHECKOUT, Bench

STEP = timedelta(minutes=5)
_APPNAME = "benchmark_scan"
_PROFILE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ScanCost:
    """One scan; `counts_ms` is the part of `database_ms` that the counts behind `total_checked` took.

    `started` is a reading of the clock that all processes of the machine share.
    """

    started: float
    seconds: float
    database_ms: float
    counts_ms: float
    commands: int
    checked: int
    closed: int
    escalated: int
    failed: str | None


@dataclass(frozen=True)
class Scans:
    """What a process that scanned once or more measured; `peak_rss_mb` is the process's own, imports included."""

    scans: list[ScanCost]
    peak_rss_mb: float


@dataclass
class Examined:
    """What the profiler saw of a scan: documents and index keys examined, bytes of the replies."""

    documents: int = 0
    keys: int = 0
    bytes: int = 0


def scan_in_child(
    bench: Bench, as_of: datetime, *, scans: int = 1, budget_s: float = 10, env: Mapping[str, str] | None = None
) -> Scans:
    """Scan at `as_of`, then every five minutes on, at most `scans` times and until `budget_s` seconds have passed."""
    order = {"as_of": as_of.isoformat(), "scans": scans, "budget_s": budget_s}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scanning", json.dumps(order)],
        cwd=CHECKOUT,
        env={**bench.env, "MONGODB_URI": f"{bench.uri}&appname={_APPNAME}", **(env or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    return Scans([ScanCost(**cost) for cost in answer["scans"]], answer["peak_rss_mb"])


@contextmanager
def profiled(bench: Bench) -> Iterator[Examined]:
    """Sum what scans in children examine while the block lasts; known at its end."""
    db = bench.db
    db.drop_collection("system.profile")
    db.create_collection("system.profile", capped=True, size=_PROFILE_BYTES)
    db.command("profile", 2, sampleRate=1.0)
    examined = Examined()
    try:
        yield examined
    finally:
        db.command("profile", 0)
    for entry in db["system.profile"].find({"appName": _APPNAME}):
        examined.documents += entry.get("docsExamined", 0)
        examined.keys += entry.get("keysExamined", 0)
        examined.bytes += entry.get("responseLength", 0)


class _Costs(monitoring.CommandListener):
    """Sums this process's commands since the last `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.commands = self.micros = self.count_micros = self.counted = 0
        self._counting: set[int] = set()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if _counts_pending(event.command):
            self._counting.add(event.request_id)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._ended(event)
        if event.request_id in self._counting:
            self.count_micros += event.duration_micros
            self.counted += sum(found["n"] for found in event.reply["cursor"]["firstBatch"])

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._ended(event)

    def _ended(self, event: monitoring.CommandSucceededEvent | monitoring.CommandFailedEvent) -> None:
        self.commands += 1
        self.micros += event.duration_micros


def _counts_pending(command: Mapping[str, Any]) -> bool:
    """Whether `command` is one of the counts behind `total_checked`: by status, and nothing else."""
    if command.get("aggregate") != COLLECTION:
        return False
    match command["pipeline"]:
        case [{"$match": {"status": str()} as asked}, {"$group": {"n": {"$sum": 1}}}]:
            return len(asked) == 1
    return False


def _measured_scan(costs: _Costs, as_of: datetime) -> ScanCost:
    # A connection of its own, as each run worker has.
    with open_database() as db:
        costs.reset()
        started = time.perf_counter()
        report = run_scan(db, ScanRequest(as_of=as_of, allow_over_limit=(ALLOW_SCAN,)))
        seconds = time.perf_counter() - started
    if costs.counted != report.total_checked:
        raise RuntimeError(f"{costs.counted} alerts were counted, {report.total_checked} checked: what counts them?")
    return ScanCost(
        started=started,
        seconds=seconds,
        database_ms=costs.micros / 1000,
        counts_ms=costs.count_micros / 1000,
        commands=costs.commands,
        checked=report.total_checked,
        closed=report.closed,
        escalated=report.escalated,
        failed="; ".join(report.errors) or None,
    )


def _peak_rss_mb() -> float:
    # Not getrusage: there the peak of a child starts at what its parent held when it was forked.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Do what the order says and print what it cost, as a JSON object."""
    order = json.loads(sys.argv[1])
    as_of, until = datetime.fromisoformat(order["as_of"]), time.monotonic() + order["budget_s"]
    costs = _Costs()
    monitoring.register(costs)
    scans = [_measured_scan(costs, as_of)]
    while len(scans) < order["scans"] and time.monotonic() < until:
        as_of += STEP
        scans.append(_measured_scan(costs, as_of))
    print(json.dumps({"scans": [asdict(scan) for scan in scans], "peak_rss_mb": _peak_rss_mb()}))


if __name__ == "__main__":
    main()
