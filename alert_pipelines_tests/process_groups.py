"""Groups of processes, ended as a whole: a leader's children outlive it otherwise."""

import os
import subprocess
import time
from contextlib import suppress

import psutil

from alert_pipelines_tests.patience import LIMIT_S, wait_until

# Then it is killed.
_STOP_LIMIT_S = 20.0


def end_group(*processes: subprocess.Popen[bytes]) -> None:
    """End `processes`, leaders of their groups, as a shutdown of their host does, then all of their groups."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _STOP_LIMIT_S
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0))
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill `process`, the leader of its group, and its group, and wait until none of it is left.

    Python's resource trackers are spared: each ends by itself with the last process that it served, after it has
    removed that one's semaphores from shared memory. Killed with the others it would leave them there for ever.
    """

    def gone() -> bool:
        members = _members(process.pid)
        for member in members:
            if not _is_resource_tracker(member):
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        process.poll()
        return not members

    wait_until(gone, f"the end of {process.args!r} and its group", every_s=0.02)
    process.wait(LIMIT_S)


def _members(group: int) -> list[psutil.Process]:
    found = []
    for member in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(member.pid) == group and member.status() != psutil.STATUS_ZOMBIE:
                found.append(member)
    return found


def _is_resource_tracker(member: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return "multiprocessing.resource_tracker" in " ".join(member.cmdline())
    return False
