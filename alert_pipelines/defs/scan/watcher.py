"""A small process beside each scan, which ends the scan's job record if the process of the scan is killed.

`stalled_runs` looks for such records as well, but from Dagster's sensors and schedules: a slow sensor of somebody
else's delays the one, and the cron expression the other. The watcher needs neither, nor a daemon, nor a code server. It
ends with its host or container, and it cannot tell that a process hangs: both are left to `stalled_runs`.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from alert_pipelines.job_records import COLLECTION, RUNNING, fail_stalled_jobs
from alert_pipelines.mongo.client import open_database
from alert_pipelines.mongo.local import local_mongod_status
from alert_pipelines.mongo.settings import MongoSettings
from alert_pipelines.settings import read_settings

LOOK_EVERY_S = 2.0
_MAX_LEASES = 3
"""How long it looks."""

# A byte says that the scan is over. The end of the pipe without one says that its process is, and only then is anything
# loaded: the watcher of a scan that goes well costs 20 ms.
_WAIT = "import os, sys; os.read(0, 1) or os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"

_log = logging.getLogger(__name__)


@contextmanager
def record_ended_if_killed(run_id: str, database: str) -> Iterator[None]:
    """Have the run's job record in `database` ended, when its lease is over, if this process dies within the block."""
    watcher = _start(run_id, database)
    try:
        yield
    finally:
        if watcher is not None:
            watcher.communicate(b".")


def _start(run_id: str, database: str) -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WAIT, "-m", __name__, run_id, database],
            stdin=subprocess.PIPE,
            # What this process leaves open would keep whoever reads its output waiting for the watcher's end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Whoever kills the code server kills its group.
            start_new_session=True,
        )
    except OSError as fault:
        _log.warning("This scan has no watcher (%s): if it is killed, the sensor or a tick ends its record", fault)
        return None


def end_record(run_id: str, database: str) -> None:
    """End the record of a run whose process has died, once its lease is over: until then a write may be on its way.

    Raises as `open_database` does. A local mongod that was stopped meanwhile is not started for it.
    """
    settings = replace(MongoSettings.from_env(), database=database)
    if settings.uri is None and local_mongod_status(settings.local_dir) is None:
        return
    ends = time.monotonic() + _MAX_LEASES * read_settings().lease_s
    with open_database(settings) as db:
        while db[COLLECTION].find_one({"run_id": run_id, "status": RUNNING}, {"_id": 1}) and time.monotonic() < ends:
            if not fail_stalled_jobs(db):
                time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    end_record(*sys.argv[1:])
