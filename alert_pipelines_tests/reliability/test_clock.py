"""The clocks of client and server differ by hours: the scan goes by the server's alone."""

import ast
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import alert_pipelines
from alert_pipelines.mongo import AlertDatabase, server_now
from alert_pipelines_tests.factories import alert, fill, rule, stored
from alert_pipelines_tests.patience import LIMIT_S

PACKAGE = Path(alert_pipelines.__file__).parent
# Where the machine's own clock is asked, and may be: nothing that is decided, claimed or stored hangs on it.
WALL_CLOCK = {
    "scheduler.py": "when the next tick will be, which Dagster reckons by this machine's clock too",
    "schedule.py": "how long it is until the next tick, which Dagster reckons by this machine's clock too",
    "defs/monitoring/one_database.py": "which of Dagster's runs are of the last day, as Dagster dates them",
    "defs/backtesting/asset.py": "when a report was made, shown beside it",
    "defs/scan/stalled_runs.py": "how long a run has lasted, which Dagster dates by this machine's clock too",
    "defs/loading/inbox_sensor.py": "whether a file is still being written, which its directory dates by this clock",
    "defs/upkeep/job.py": "which of Dagster's runs are old, which Dagster dates by this machine's clock too",
    "defs/scan/queue_wait.py": "how long runs waited, which Dagster dates by this machine's clock too",
    "monitoring/fitness.py": "how far it differs from the server's, which is what is asked",
    "defs/monitoring/notification_sensor.py": "whether no scan completes, also while the server is unreachable",
}
_ASKS = {"now", "utcnow", "today", "time", "time_ns", "localtime", "gmtime", "ctime"}
_CLOCKS = {"datetime", "date", "time"}


def asks_wall_clock(node: ast.AST) -> bool:
    """Whether `node` calls datetime.now, time.time or the like, or imports one of them by name."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "time" and any(alias.name in _ASKS for alias in node.names)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ASKS):
        return False
    of = node.func.value
    name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
    return name in _CLOCKS


def test_no_module_asks_the_clock_of_its_own_machine() -> None:
    asking = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(asks_wall_clock(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert asking == WALL_CLOCK.keys()


@pytest.mark.parametrize(
    "code", ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "time.time()", "from time import time"]
)
def test_the_search_finds_each_way_of_asking(code: str) -> None:
    assert any(asks_wall_clock(node) for node in ast.walk(ast.parse(code)))


SCAN = """
import os, sys, time
from pathlib import Path
from alert_pipelines.mongo import MongoSettings, open_database
from alert_pipelines.scanner.scan import auto_close_scanner
print(time.time())
with open_database(MongoSettings(sys.argv[1], sys.argv[2], Path())) as db:
    auto_close_scanner(db)
"""


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("shift_hours", [-30, 30])
def test_a_scan_whose_machine_is_hours_off_goes_by_the_servers_clock(
    db: AlertDatabase, mongo_uri: str, shift_hours: int
) -> None:
    now = server_now(db)
    fill(
        db,
        [
            alert("due", timestamp=now - timedelta(minutes=90)),
            alert("young", timestamp=now - timedelta(minutes=30), driver="D2"),
        ],
        rule("expire", {"expire_after_mins": 60}),
    )
    command = ["faketime", "-f", f"{shift_hours:+d}h", sys.executable, "-c", SCAN, mongo_uri, db.name]
    # Only the time of day: what waits goes by the other clock, which a machine that is off has right too.
    env = {**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    seen = datetime.fromtimestamp(float(done.stdout), UTC)
    assert abs(seen - now - timedelta(hours=shift_hours)) < timedelta(hours=1), "its clock was not off"
    assert stored(db, "young")["status"] == "OPEN"
    closed = stored(db, "due")
    assert closed["status"] == "AUTO_CLOSED"
    [entry] = closed["state_history"]
    [record] = db.background_jobs.find()
    for written in (
        closed["closed_at"],
        entry["timestamp"],
        entry["as_of"],
        record["started_at"],
        record["completed_at"],
    ):
        assert now <= written <= server_now(db)
    assert record["job_id"].startswith(f"JOB-{record['started_at']:%Y%m%d-}")
