"""What the figures of one machine make of 100,000,000 pending alerts and 10,000 closes a second: by multiplication, and
where a figure grows faster than its alerts, by the power with which it did so between the two largest sizes.

The page that `render` makes says what they were measured with; docs/scaling.md says what they leave out.
"""

import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from alert_pipelines.scanner.plan import MAX_PLAN_SECONDS
from benchmarks.workbench import RESULTS

PENDING = 100_000_000
CLOSES_PER_S = 10_000
INTERVAL_S = 300
SHARDS = (1, 4, 16)
CLOSES_A_SCAN = CLOSES_PER_S * INTERVAL_S


class Line(NamedTuple):
    """One quantity: what it is, what was measured, and what that makes at each of SHARDS."""

    what: str
    measured: str
    at_shards: tuple[str, ...]


def lines() -> Iterator[Line]:
    """What can be said of the results that there are."""
    results = {name: _result(name) for name in ("peers", "growth", "memory")}
    if found := results["peers"]:
        yield from _of_closing(found)
    if found := results["growth"]:
        yield from _of_growth(found)
    if found := results["memory"]:
        megabytes = CLOSES_A_SCAN * found["kb_a_due"] / 1024
        what = f"memory of the one scanning process, {CLOSES_A_SCAN:,} due"
        yield Line(what, f"{found['kb_a_due']:.2f} kB a due alert", (f"{megabytes:,.0f} MB",) * len(SHARDS))


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _of_closing(found: Mapping[str, Any]) -> Iterator[Line]:
    per_s = statistics.median(row["closed_per_s"] for row in found["rows"] if row["contender"] == "scan")
    yield Line(
        f"writing the {CLOSES_A_SCAN:,} closes of {INTERVAL_S} s",
        f"{per_s:,.0f} closes/s",
        _shared(lambda shards: f"{CLOSES_A_SCAN / per_s / shards:,.0f} s"),
    )
    yield Line(
        f"oplog of {CLOSES_PER_S:,} closes/s",
        f"{found['oplog_bytes']:.0f} bytes a close",
        _shared(lambda shards: f"{CLOSES_PER_S * found['oplog_bytes'] * 3600 / 1e9 / shards:,.1f} GB/h"),
    )


def _of_growth(found: Mapping[str, Any]) -> Iterator[Line]:
    rows = [row for row in found["rows"] if not row["failed"]]
    largest = max(rows, key=lambda row: row["pending"])
    keys_per_s = largest["pending"] / largest["counts_ms"] * 1000
    yield Line(
        "the counts behind `total_checked`",
        f"{keys_per_s:,.0f} keys/s",
        _shared(lambda shards: f"{PENDING / keys_per_s / shards:,.0f} s"),
    )
    for condition in ("close_if_no_repeat_mins", "keep_latest", "escalate_if_count"):
        of_it = [row for row in rows if row["condition"] == condition]
        if not of_it:
            continue
        by_size = sorted(of_it, key=lambda row: row["pending"])
        less, most = by_size[-2:][0], by_size[-1]
        seconds = most["first_seconds"] * _times_as_much(less, most)
        yield Line(
            f"a first look at all alerts by `{condition}`",
            f"{most['first_seconds']:.1f} s for {most['pending']:,}",
            # What the shards read is put together on one of them.
            (f"{seconds:,.0f} s{' (*)' if seconds > MAX_PLAN_SECONDS else ''}",) * len(SHARDS),
        )
    stored = found["stored"]
    for what, name in (("documents, compressed", "storageSize"), ("indexes", "totalIndexSize")):
        one = stored[name] / stored["pending"]
        yield Line(
            f"{what}, each replica",
            f"{one:.0f} bytes an alert",
            _shared(lambda shards, one=one: f"{PENDING * one / 1e9 / shards:,.1f} GB"),
        )


def _times_as_much(less: Mapping[str, Any], most: Mapping[str, Any]) -> float:
    """By what a first look at `most` has to be multiplied for PENDING: at least by the number of alerts."""
    power = 1.0
    if most["pending"] > less["pending"]:
        grew = math.log(most["first_seconds"] / less["first_seconds"])
        power = max(power, grew / math.log(most["pending"] / less["pending"]))
    return float((PENDING / most["pending"]) ** power)


def _shared(at: Callable[[int], str]) -> tuple[str, ...]:
    return tuple(at(shards) for shards in SHARDS)
