"""What another client notices of a scan: the p99 of its single-alert reads and writes, with a scan and without.

    python -m benchmarks.interference [--pending 1000000] [--due 50000] [--rounds 3] [--max-writes-per-s N] [--json]

On a mongod of its own, majority writes. The client, a process of its own, reads single alerts by their id, and writes
others, each from a thread of its own and at a steady pace. A call whose time comes while the one before is still under
way is not made, and counts as having waited for that one's end: so a stall weighs as much as it would to many clients.
Rounds take turns: a quiet one as long as the scan before it took, and one while a scan, in another process, closes the
due alerts among all pending ones. The target: neither p99 rises to more than twice the quiet one.
"""

import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from alert_pipelines.mongo import AlertDatabase, open_database
from benchmarks.dataset import DUE_AFTER_MINS, fill, reopen
from benchmarks.scanning import ScanCost, scan_in_child
from benchmarks.workbench import (
    AS_OF,
    CHECKOUT,
    Bench,
    benchmark_parser,
    keep_results,
    mongod_version,
    own_mongod,
    settle,
)

TARGET = 2.0
RATE_VARIABLE = "AUTO_CLOSE_MAX_WRITES_PER_S"
# A read and a write each so often: far less than the server can do, or the client would be what is measured.
PERIOD_S = 0.02
_KINDS = ("read", "write")
_QUIET_AT_LEAST_S = 5.0

_Calls: TypeAlias = dict[str, list[tuple[float, float]]]
"""By kind, when a call's time came, on the clock that all processes of the machine share, and the milliseconds."""


class _Client:
    """The other client: its process, told when to start and when to stop."""

    def __init__(self, bench: Bench, pending: int) -> None:
        command = [sys.executable, "-m", "benchmarks.interference", "--client", str(pending)]
        self._process = subprocess.Popen(
            command, cwd=CHECKOUT, env=bench.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "_Client":
        # Only so much time counts as quiet, and none of it is for a process that starts.
        assert self._hear() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("end\n", timeout=60)

    def start(self) -> None:
        """Begin to read and write."""
        self._say("start")

    def stop(self) -> _Calls:
        """Stop; the calls since `start`."""
        self._say("stop")
        answer: _Calls = json.loads(self._hear())
        return answer

    def _hear(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()

    def _say(self, word: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()


def be_client(pending: int) -> None:
    """Say `ready`, obey `start`, `stop` and `end`, a line each, from standard input; answer a stop with the calls."""
    with open_database() as db:
        print("ready", flush=True)
        while sys.stdin.readline().strip() == "start":
            print(json.dumps(_read_and_write(db, pending)), flush=True)


def _read_and_write(db: AlertDatabase, pending: int) -> _Calls:
    stopped = threading.Event()

    def read(alert_id: str) -> None:
        db.alerts.find_one({"alert_id": alert_id})

    def write(alert_id: str) -> None:
        db.alerts.update_one({"alert_id": alert_id}, {"$set": {"metadata.additional_data": time.time()}})

    with ThreadPoolExecutor(len(_KINDS)) as threads:
        calls = {
            kind: threads.submit(_at_a_steady_pace, call, pending, stopped)
            for kind, call in zip(_KINDS, (read, write), strict=True)
        }
        sys.stdin.readline()
        stopped.set()
        return {kind: future.result() for kind, future in calls.items()}


def _at_a_steady_pace(call: Callable[[str], None], pending: int, stopped: threading.Event) -> list[tuple[float, float]]:
    made = []
    chance = random.Random(0)
    next_at = time.perf_counter()
    while not stopped.wait(max(0.0, next_at - time.perf_counter())):
        started = time.perf_counter()
        call(f"ALT-{chance.randrange(pending)}")
        ended = time.perf_counter()
        made.append((started, (ended - started) * 1000))
        next_at += PERIOD_S
        while next_at < ended:
            made.append((next_at, (ended - next_at) * 1000))
            next_at += PERIOD_S
    return made


def p99(milliseconds: Sequence[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(milliseconds, n=100, method="inclusive")[-1]


def measure(bench: Bench, args: Any) -> tuple[dict[str, dict[str, list[float]]], list[ScanCost]]:
    """The milliseconds of the client's calls, by kind, quiet and beside a scan; and the scans."""
    took: dict[str, dict[str, list[float]]] = {phase: {kind: [] for kind in _KINDS} for phase in ("quiet", "scan")}
    scans: list[ScanCost] = []
    env = {RATE_VARIABLE: str(args.max_writes_per_s)} if args.max_writes_per_s else {}
    with _Client(bench, args.pending) as client:
        for number in range(args.rounds):
            reopen(bench.db)
            settle(bench.db)
            for phase in ("quiet", "scan"):
                client.start()
                if phase == "quiet":
                    began, lasted = time.perf_counter(), max(_QUIET_AT_LEAST_S, scans[-1].seconds if scans else 0)
                    time.sleep(lasted)
                else:
                    scans += scan_in_child(bench, AS_OF, env=env).scans
                    began, lasted = scans[-1].started, scans[-1].seconds
                for kind, calls in client.stop().items():
                    # What was called while the scan's process started is neither quiet nor beside a scan.
                    took[phase][kind] += [waited for at, waited in calls if began <= at <= began + lasted]
            print(f"round {number + 1}: {scans[-1].closed} closed in {scans[-1].seconds:.1f} s", flush=True)
            if scans[-1].closed < args.due * 0.95:
                raise RuntimeError(f"some {args.due} alerts were to be closed: {scans[-1]}")
    return took, scans


def main() -> None:
    """Measure and print the percentiles and their ratios."""
    if sys.argv[1:2] == ["--client"]:
        be_client(int(sys.argv[2]))
        return
    parser = benchmark_parser(__doc__)
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-writes-per-s", type=int, help=f"what {RATE_VARIABLE} is set to for the scans")
    args = parser.parse_args()
    with own_mongod() as bench:
        mongod = mongod_version(bench.db)
        fill(bench.db, pending=args.pending, due=args.due, as_of=AS_OF)
        bench.db.rules.insert_one(
            {
                "rule_id": "expire",
                "source_type": "OVERSPEEDING",
                "conditions": {"expire_after_mins": DUE_AFTER_MINS},
                "is_active": True,
            }
        )
        took, scans = measure(bench, args)
    rows = [_row(phase, kind, milliseconds) for phase in took for kind, milliseconds in took[phase].items()]
    ratios = {kind: p99(took["scan"][kind]) / p99(took["quiet"][kind]) for kind in _KINDS}
    for row in rows:
        print(f"{row['phase']:6} {row['kind']:6} {row['calls']:6} calls, p50 {row['p50_ms']:7.2f} ms, ", end="")
        print(f"p99 {row['p99_ms']:7.2f} ms, slowest {row['slowest_ms']:7.2f} ms")
    for kind, ratio in ratios.items():
        print(f"p99 of a {kind} beside a scan / without: {ratio:.2f} (at most {TARGET})")
    keep_results(
        "interference_limited" if args.max_writes_per_s else "interference",
        args,
        mongod,
        {
            "rows": rows,
            "ratios": ratios,
            "target": TARGET,
            "max_writes_per_s": args.max_writes_per_s,
            "scan_seconds": [scan.seconds for scan in scans],
            "closed": [scan.closed for scan in scans],
        },
    )


def _row(phase: str, kind: str, milliseconds: Sequence[float]) -> Mapping[str, Any]:
    return {
        "phase": phase,
        "kind": kind,
        "calls": len(milliseconds),
        "p50_ms": statistics.median(milliseconds),
        "p99_ms": p99(milliseconds),
        "slowest_ms": max(milliseconds),
    }


if __name__ == "__main__":
    main()
