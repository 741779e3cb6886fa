"""What a run of the suite has left on the machine: processes, and entries in shared memory.

Both are told from those of anybody else, another run of the suite included, by the run's name: in the environment of
each process, and before the names in shared memory. Semaphores have names of Python's choice: of them, those count that
were made since this run began and that no process holds any longer.
"""

import os
import time
from contextlib import suppress

import psutil

from alert_pipelines_tests.memory import MEMORY, PREFIX, RUN, RUN_VARIABLE

# A process that was told to end may take this long.
_PATIENCE_S = 10.0


def leftovers() -> list[str]:
    """A line for each thing that was left, looked for again for a while."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _processes() + _shared_memory() + _semaphores()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _processes() -> list[str]:
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    # Python's own, which end with this process.
    spared |= {child.pid for child in own.children() if "multiprocessing" in " ".join(child.cmdline())}
    return [
        f"process {process.pid}: {' '.join(process.info['cmdline'] or ())[:200]}"
        # Neither is known of a process that has ended, or that is another user's.
        for process in psutil.process_iter(["cmdline", "environ"])
        if process.pid not in spared and (process.info["environ"] or {}).get(RUN_VARIABLE) == RUN
    ]


def _shared_memory() -> list[str]:
    return [] if MEMORY is None else [str(path) for path in sorted(MEMORY.glob(f"{PREFIX}*"))]


def _semaphores() -> list[str]:
    if MEMORY is None:
        return []
    since, user = psutil.Process().create_time(), os.getuid()
    own = {
        str(path)
        for path in MEMORY.glob("sem.*")
        if (status := path.stat()).st_uid == user and status.st_ctime >= since
    }
    return sorted(own - _held()) if own else []


def _held() -> set[str]:
    """The files in shared memory that some process has mapped."""
    found: set[str] = set()
    for process in psutil.process_iter():
        # Another user's cannot be seen, and holds none of this one's.
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found |= {region.path for region in process.memory_maps() if region.path.startswith(str(MEMORY))}
    return found
