"""What a first look at all alerts takes: by a key with an index, and by keys without one, of few values and of many.

    python -m benchmarks.first_looks [--sizes 45540 437000] [--indexed-sizes 2000000] [--json]

On a mongod of its own, a dry run of one rule each time, in a process of its own, over the alerts of benchmarks.growth;
at the --indexed-sizes by the key with an index only. At the end one scan with ten shadow rules of these conditions.
The target: at each size and by each key no condition takes over three times the least of them, and none grows with more
than the 1.1th power of the alerts, both by the server's CPU seconds, which other programs disturb less than the time.
What a query may read is held by alert_pipelines_tests/scanner/test_cost.py.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from alert_pipelines.mongo import AlertDatabase, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from benchmarks.dataset import DUE_AFTER_MINS, SOURCE, grow
from benchmarks.growth import FAST
from benchmarks.workbench import (
    AS_OF,
    CHECKOUT,
    Bench,
    benchmark_parser,
    keep_results,
    mongod_version,
    own_mongod,
    server_cpu_s,
    settle,
)

CONDITIONS: dict[str, dict[str, Any]] = {
    "keep_first": {"keep_first": True},
    "keep_latest": {"keep_latest": True},
    "close_if_no_repeat_mins": {"close_if_no_repeat_mins": DUE_AFTER_MINS // 2},
    "escalate_if_count": {"escalate_if_count": 1_000_000, "window_mins": 60},
    # Of each alert the nineteen others of its key are looked at, or the one that suppresses it.
    "close_if_other": {"close_if_other": {"source_type": SOURCE, "if": FAST}},
    "suppress_if_other": {"escalate_after_mins": 65, "suppress_if_other": {"source_type": SOURCE}},
}
KEYS = {
    "metadata.driver_id": "indexed, twenty alerts each",
    "metadata.speed": "no index, 60 values",
    "metadata.location": "no index, a value each",
}
INDEXED = next(iter(KEYS))
TARGET, POWER = 3, 1.1
SHADOW_RULES = 10


def first_look(bench: Bench, condition: str, key: str) -> dict[str, float]:
    """The seconds that a dry run plans by `condition` and `key`, and the server's CPU seconds."""
    bench.db.rules.delete_many({})
    bench.db.rules.insert_one(
        {
            "rule_id": condition,
            "source_type": SOURCE,
            "conditions": {**CONDITIONS[condition], "group_by": key},
            "is_active": True,
        }
    )
    found = _in_child(bench, "dry-run")
    return {"seconds": found["plan"], "cpu_seconds": found["cpu_seconds"]}


def shadow_rules(bench: Bench) -> dict[str, Any]:
    """What a scan takes to plan by SHADOW_RULES shadow rules, the conditions in turn, and how many it evaluated."""
    names = [f"{number}-{condition}" for number, condition in zip(range(SHADOW_RULES), cycle(CONDITIONS), strict=False)]
    bench.db.rules.delete_many({})
    bench.db.pipeline_rules.insert_many(
        {
            "rule_id": name,
            "source_type": SOURCE,
            "conditions": {**CONDITIONS[name.partition("-")[2]], "group_by": INDEXED},
            "mode": "shadow",
        }
        for name in names
    )
    found = _in_child(bench, "scan")
    taken = {"seconds": found["plan"], "cpu_seconds": found["cpu_seconds"]}
    return {"rules": SHADOW_RULES, "evaluated": found["shadow_rules"], **taken}


def _in_child(bench: Bench, kind: str) -> dict[str, Any]:
    used = server_cpu_s(bench.db)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_looks", "--child", kind],
        cwd=CHECKOUT,
        env=bench.env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"cpu_seconds": server_cpu_s(bench.db) - used}


def _scan(db: AlertDatabase, *, dry_run: bool) -> dict[str, Any]:
    report = run_scan(db, ScanRequest(as_of=AS_OF, dry_run=dry_run))
    if report.failed_rules:
        raise RuntimeError(f"not evaluated: {report.failed_rules}")
    return {"plan": report.seconds["plan"], "shadow_rules": len(report.shadow_rules)}


def _measured(bench: Bench, sizes: Sequence[int], indexed_sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    present = 0
    for pending in sorted({*sizes, *indexed_sizes}):
        if present:
            # Kept, they would be written to for each alert.
            bench.db.alerts.drop_indexes()
        grow(bench.db, present=present, pending=pending, as_of=AS_OF)
        present = pending
        prepare_collections(bench.db)
        settle(bench.db)
        for key in KEYS if pending in sizes else [INDEXED]:
            for condition in CONDITIONS:
                seen = first_look(bench, condition, key)
                row: dict[str, Any] = {"pending": pending, "condition": condition, "key": key, **seen}
                print(
                    "{pending:9} {condition:24} {key:20} {seconds:7.2f} s, {cpu_seconds:7.2f} s CPU".format(**row),
                    flush=True,
                )
                yield row


def ratios(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By size and key, the longest look to the shortest; and by key and condition, the power of its growth."""
    found: list[dict[str, Any]] = []
    for key, says in KEYS.items():
        sizes = sorted({row["pending"] for row in rows if row["key"] == key})
        for pending in sizes:
            taken = [row["cpu_seconds"] for row in rows if (row["pending"], row["key"]) == (pending, key)]
            what = f"the longest to the shortest at {pending:,}, {key}: {says}"
            found.append({"what": what, "ratio": max(taken) / min(taken), "target": f"at most {TARGET}"})
        for condition in CONDITIONS if len(sizes) > 1 else ():
            what, power = f"power of {condition}, {key}", growth_power(by_size(rows, key, condition, "cpu_seconds"))
            found.append({"what": what, "ratio": power, "target": f"at most {POWER}"})
    return found


def by_size(rows: Sequence[Mapping[str, Any]], key: str, condition: str, figure: str = "seconds") -> dict[int, float]:
    """A `figure` of one condition by one key, by how many alerts were pending."""
    return {row["pending"]: row[figure] for row in rows if (row["key"], row["condition"]) == (key, condition)}


def growth_power(seconds: Mapping[int, float]) -> float:
    """With which power of the alerts the seconds grow from the least to the largest size; 1 of one size."""
    least, most = min(seconds), max(seconds)
    return math.log(seconds[most] / seconds[least]) / math.log(most / least) if most > least else 1.0


def main() -> None:
    """Measure every condition by every key at every size and print the rows."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[45_540, 437_000])
    parser.add_argument("--indexed-sizes", type=int, nargs="+", default=[])
    parser.add_argument("--child", choices=["dry-run", "scan"], help="One of them; started by the benchmark itself.")
    args = parser.parse_args()
    if args.child:
        with open_database() as db:
            print(json.dumps(_scan(db, dry_run=args.child == "dry-run")))
        return
    with own_mongod() as bench:
        mongod = mongod_version(bench.db)
        rows = list(_measured(bench, args.sizes, args.indexed_sizes))
        shadow = {"pending": max(row["pending"] for row in rows), **shadow_rules(bench)}
    for one in ratios(rows):
        print(f"{one['what']}: {one['ratio']:.2f} ({one['target']})")
    print("a scan with {rules} shadow rules at {pending}: {seconds:.1f} s, {evaluated} evaluated".format(**shadow))
    keep_results("first_looks", args, mongod, {"rows": rows, "ratios": ratios(rows), "shadow": shadow})


if __name__ == "__main__":
    main()
