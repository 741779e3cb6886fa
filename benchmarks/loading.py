"""Loading a file beside a bare `insert_many` loop over the same documents, and the memory that a load needs.

    python -m benchmarks.loading [--rows 200000] [--rounds 3] [--sizes 50000 1000000] [--json]

On a mongod of its own. The loop has its documents in memory and inserts them in batches as large as the load's, into a
collection with the same indexes; the load reads, converts, checks and inserts. Each round measures both, one after the
other. The garbage collector does not look at the loop's documents: without the loop a load has no such list. The
targets: at least half of the loop's rows a second; at the largest size at most 10 % more memory than at the smallest.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from alert_pipelines.alerts import ensure_indexes
from alert_pipelines.loading import Mapping, load_alerts, parse_mapping
from alert_pipelines.loading.insert import BATCH_SIZE
from benchmarks.workbench import AS_OF, Bench, benchmark_parser, keep_results, mongod_version, own_mongod, settle

TARGET = 0.5
MEMORY_TARGET = 1.1
COLUMNS = ("id", "source", "severity", "at", "driver", "vehicle", "speed", "limit", "place")
MAPPING = """
alert_id: {column: id}
source_type: {column: source}
severity: {column: severity}
timestamp: {column: at}
metadata:
  driver_id: {column: driver}
  vehicle_id: {column: vehicle}
  speed: {column: speed, type: float}
  speed_limit: {column: limit, type: int}
  location: {column: place}
"""


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    """A fleet's alerts, one a second."""
    for n in range(count):
        at = (AS_OF + timedelta(seconds=n)).isoformat()
        place = f"Depot {n % 31}, gate {n % 7}"
        yield f"A-{n:09}", "OVERSPEEDING", "WARNING", at, f"D{n % 997}", f"V{n % 499}", 60 + n % 70 / 2, 80, place


def write_csv(path: Path, count: int) -> None:
    with path.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        file.writelines(",".join(f'"{v}"' if "," in str(v) else str(v) for v in row) + "\n" for row in rows(count))


def write_jsonl(path: Path, count: int) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows(count))


FORMATS: dict[str, Callable[[Path, int], None]] = {"csv": write_csv, "jsonl": write_jsonl}


def empty(bench: Bench) -> None:
    bench.db.alerts.drop()
    ensure_indexes(bench.db)
    settle(bench.db)


def bare_loop(bench: Bench, documents: list[dict[str, Any]]) -> float:
    """Rows a second of inserting the documents."""
    empty(bench)
    started = time.perf_counter()
    for at in range(0, len(documents), BATCH_SIZE):
        bench.db.alerts.insert_many([dict(each) for each in documents[at : at + BATCH_SIZE]], ordered=False)
    return len(documents) / (time.perf_counter() - started)


def load(bench: Bench, path: Path, mapping: Mapping, count: int) -> float:
    """Rows a second of loading the file."""
    empty(bench)
    started = time.perf_counter()
    report = load_alerts(bench.db, path, mapping)
    seconds = time.perf_counter() - started
    if report.alerts_inserted != count:
        raise RuntimeError(f"{count} alerts were to be inserted: {report}")
    return count / seconds


def compare(bench: Bench, directory: Path, kind: str, count: int, rounds: int) -> dict[str, Any]:
    """Both for one format: the medians of the rounds, and their ratio."""
    path, mapping = directory / f"alerts.{kind}", parse_mapping(f"format: {kind}{MAPPING}", kind)
    FORMATS[kind](path, count)
    load(bench, path, mapping, count)
    documents = list(bench.db.alerts.find({}, {"_id": False}))
    gc.freeze()
    measured = [(bare_loop(bench, documents), load(bench, path, mapping, count)) for _ in range(rounds)]
    gc.unfreeze()
    bare, loaded = (statistics.median(each) for each in zip(*measured, strict=True))
    ratio = statistics.median(each / loop for loop, each in measured)
    print(f"{kind:6} {count:8} rows: {loaded:8.0f} rows/s, the bare loop {bare:8.0f}: {ratio:.2f} of it", flush=True)
    return {"format": kind, "rows": count, "load_rows_per_s": loaded, "bare_rows_per_s": bare, "ratio": ratio}


def peak_mb(bench: Bench, directory: Path, kind: str, count: int) -> dict[str, Any]:
    """The peak memory of the command that loads so many rows."""
    path, mapping = directory / f"alerts.{kind}", directory / "mapping.yaml"
    FORMATS[kind](path, count)
    mapping.write_text(f"format: {kind}{MAPPING}")
    empty(bench)
    process = subprocess.Popen(
        [Path(sys.executable).parent / "alert-pipelines", "-q", "load", path, "--mapping", mapping],
        env=bench.env,
        cwd=directory,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the load ended with {process.returncode}")
    print(f"{kind:6} {count:8} rows: {usage.ru_maxrss / 1024:6.1f} MB", flush=True)
    return {"format": kind, "rows": count, "peak_rss_mb": usage.ru_maxrss / 1024}


def main() -> None:
    """Measure both formats, and print what the targets are about."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 1_000_000])
    args = parser.parse_args()
    with own_mongod() as bench, tempfile.TemporaryDirectory() as name:
        mongod, directory = mongod_version(bench.db), Path(name)
        # First, while this process is small: a child's peak is at least what its parent has.
        memory = [peak_mb(bench, directory, kind, size) for kind in FORMATS for size in sorted(args.sizes)]
        speed = [compare(bench, directory, kind, args.rows, args.rounds) for kind in FORMATS]
    growth = {}
    for kind in FORMATS:
        peaks = [row["peak_rss_mb"] for row in memory if row["format"] == kind]
        growth[kind] = peaks[-1] / peaks[0]
        print(f"{kind}: {growth[kind]:.3f} of the memory at the smallest size (at most {MEMORY_TARGET})")
    measured = {"speed": speed, "target": TARGET, "memory": memory, "memory_growth": growth}
    keep_results("loading", args, mongod, {**measured, "memory_target": MEMORY_TARGET})


if __name__ == "__main__":
    main()
