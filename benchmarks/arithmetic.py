"""What the figures of one machine make of 100,000,000 pending alerts and 10,000 closes a second: by multiplication, and
where a figure grows faster than its alerts, by the power with which it did so between the two largest sizes.

The page that `render` makes says what they were measured with; docs/scaling.md says what they leave out.
"""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from benchmarks.first_looks import by_size, growth_power
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
    results = {name: _result(name) for name in ("peers", "growth", "first_looks", "memory")}
    if found := results["peers"]:
        yield from _of_closing(found)
    if found := results["growth"]:
        yield from _of_growth(found)
    if found := results["first_looks"]:
        yield from _of_first_looks(found)
    if found := results["memory"]:
        megabytes = CLOSES_A_SCAN * found["kb_a_due"] / 1024
        what = f"memory of the one scanning process, {CLOSES_A_SCAN:,} due"
        yield Line(what, f"{found['kb_a_due']:.2f} kB a due alert", (f"{megabytes:,.0f} MB",) * len(SHARDS))


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _of_closing(found: Mapping[str, Any]) -> Iterator[Line]:
    # So many alerts fit no cache.
    scans = [row for row in found["rows"] if row["contender"] == "scan"]
    least = min(row["cache_gb"] for row in scans)
    per_s = statistics.median(row["closed_per_s"] for row in scans if row["cache_gb"] == least)
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


def _gigabytes(bytes_an_alert: float, shards: int) -> str:
    return f"{PENDING * bytes_an_alert / 1e9 / shards:,.1f} GB"


def _of_growth(found: Mapping[str, Any]) -> Iterator[Line]:
    rows = [row for row in found["rows"] if not row["failed"]]
    largest = max(rows, key=lambda row: row["pending"])
    keys_per_s = largest["pending"] / largest["counts_ms"] * 1000
    yield Line(
        "the counts behind `total_checked`",
        f"{keys_per_s:,.0f} keys/s",
        _shared(lambda shards: f"{PENDING / keys_per_s / shards:,.0f} s"),
    )
    stored = found["stored"]
    for what, name in (("documents, compressed", "storageSize"), ("indexes", "totalIndexSize")):
        one = stored[name] / stored["pending"]
        yield Line(
            f"{what}, each replica",
            f"{one:.0f} bytes an alert",
            _shared(partial(_gigabytes, one)),
        )


def _of_first_looks(found: Mapping[str, Any]) -> Iterator[Line]:
    """By the key that an index finds; a hundredfold is as far as such a figure can be drawn out."""
    if max(row["pending"] for row in found["rows"]) * 100 < PENDING:
        return
    key = found["rows"][0]["key"]
    for condition in dict.fromkeys(row["condition"] for row in found["rows"]):
        of_it = by_size(found["rows"], key, condition, "cpu_seconds")
        most = max(of_it)
        power = max(1.0, growth_power(of_it))
        seconds = of_it[most] * (PENDING / most) ** power
        yield Line(
            f"a first look at all alerts by `{condition}`, on one core",
            f"{of_it[most]:.1f} CPU s for {most:,}",
            # Two slices at a time, each answered by the shards that hold it.
            (f"{seconds:,.0f} s",) * len(SHARDS),
        )


def _shared(at: Callable[[int], str]) -> tuple[str, ...]:
    return tuple(at(shards) for shards in SHARDS)
