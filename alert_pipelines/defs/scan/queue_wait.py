"""How long this location's scans wait in the queue of an instance that others use as well."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from alert_pipelines.defs.own_runs import own_run_records
from alert_pipelines.defs.scan.runs import ThisCopy, is_scan
from alert_pipelines.monitoring.health import HealthResult
from alert_pipelines.settings import PRIORITY_VARIABLE

LONG_WAIT_S = 120.0
"""From here on a wait is worth a warning: in its own queue a scan waits for a run of 40 s at most."""

_LOOKED_AT = timedelta(days=1)


class _Wait(NamedTuple):
    seconds: float
    run_id: str
    is_over: bool


def scans_wait_little(copy: ThisCopy) -> HealthResult:
    """Whether the scans of the last day, and one that waits now, began soon after they were asked for."""
    if copy.own is None:
        return HealthResult(True, "Runs were not looked at: this one names no code location.", {})
    waits = sorted(_waits(copy), reverse=True)
    long = [wait for wait in waits if wait.seconds > LONG_WAIT_S]
    numbers = {
        "scans": len(waits),
        "waited long": len(long),
        "longest wait, s": round(waits[0].seconds, 1) if waits else 0.0,
        "median wait, s": round(waits[len(waits) // 2].seconds, 1) if waits else 0.0,
    }
    if not long:
        return HealthResult(
            True, f"No scan of the last day waited more than {LONG_WAIT_S:.0f} s in the queue.", numbers
        )
    longest = long[0]
    waited = "waited" if longest.is_over else "is waiting and has waited"
    return HealthResult(
        False,
        f"{len(long)} of {len(waits)} scans of the last day waited more than {LONG_WAIT_S:.0f} s in Dagster's queue, "
        f"and ticks are skipped meanwhile; run {longest.run_id} {waited} {longest.seconds:.0f} s. Other runs hold its "
        f"places: raise max_concurrent_runs of the instance, limit theirs by tag, or set {PRIORITY_VARIABLE}.",
        numbers,
    )


def _waits(copy: ThisCopy) -> Iterator[_Wait]:
    for record in own_run_records(copy.instance, copy.own, created_after=datetime.now(UTC) - _LOOKED_AT):
        run = record.dagster_run
        # One that was cancelled in the queue never began.
        if not is_scan(run, copy.names) or (record.start_time is None and run.is_finished):
            continue
        until = time.time() if record.start_time is None else record.start_time
        asked_at = record.create_timestamp.timestamp()
        yield _Wait(max(until - asked_at, 0.0), run.run_id, record.start_time is not None)
