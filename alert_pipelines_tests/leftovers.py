"""What a run of the suite has left on the machine: processes, and entries in shared memory.

Both are told from those of anybody else, another run of the suite included, by the run's name: in the environment of
each process, and before the names in shared memory. Semaphores have names of Python's choice: of them, those count that
were made since this run began and that no process holds any longer, unless a resource tracker of somebody else's
lives: it may still remove them.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from alert_pipelines.defs.scan import watcher
from alert_pipelines_tests.memory import MEMORY, PREFIX, RUN, RUN_VARIABLE

# A process that was told to end may take this long; one that is killed, this long to be gone.
_PATIENCE_S = 30.0
_KILL_LIMIT_S = 10.0


def leftovers() -> list[str]:
    """A line for each thing that was left, looked for again for a while."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _found()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def end_leftovers() -> None:
    """Kill these processes and remove these entries."""
    deadline = time.monotonic() + _KILL_LIMIT_S
    while (processes := list(_processes())) and time.monotonic() < deadline:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.05)
    for path in _shared_memory():
        shutil.rmtree(path, ignore_errors=True)
    if not _others_have_a_tracker():
        for semaphore in semaphores():
            Path(semaphore).unlink(missing_ok=True)


def _found() -> list[str]:
    told = [f"process {process.pid}: {' '.join(process.info['cmdline'] or ())[:200]}" for process in _processes()]
    return [*told, *_shared_memory(), *([] if _others_have_a_tracker() else semaphores())]


def _processes() -> Iterator[psutil.Process]:
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    # Neither is known of a process that has ended, or that is another user's.
    for process in psutil.process_iter(["cmdline", "environ", "ppid"]):
        command = process.info["cmdline"] or ()
        # Python's own, which end with this process.
        helps = process.info["ppid"] == own.pid and "multiprocessing" in " ".join(command)
        # That of a scan that was killed ends by itself, once the scan's lease is over.
        watches = watcher.__name__ in command
        ours = (process.info["environ"] or {}).get(RUN_VARIABLE) == RUN
        if ours and process.pid not in spared and not helps and not watches:
            yield process


def _shared_memory() -> list[str]:
    return [] if MEMORY is None else [str(path) for path in sorted(MEMORY.glob(f"{PREFIX}*"))]


def semaphores() -> list[str]:
    """Those of this user that were made since this process began and that no process holds."""
    if MEMORY is None:
        return []
    since, user, held = psutil.Process().create_time(), os.getuid(), _held()
    found = []
    for path in sorted(MEMORY.glob("sem.*")):
        # Gone by now, if its tracker removed it.
        with suppress(FileNotFoundError):
            status = path.stat()
            if status.st_uid == user and status.st_ctime >= since and status.st_ino not in held:
                found.append(str(path))
    return found


def _others_have_a_tracker() -> bool:
    return any(
        (process.info["environ"] or {}).get(RUN_VARIABLE) != RUN
        for process in psutil.process_iter(["cmdline", "environ"])
        if "multiprocessing.resource_tracker" in " ".join(process.info["cmdline"] or ())
    )


def _held() -> set[int]:
    """The inodes in shared memory that some process has mapped: their names are not those that they were made by."""
    found: set[int] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        # Another user's cannot be seen, and holds none of this one's.
        with suppress(OSError):
            found |= {int(line.split()[4]) for line in maps.read_text().splitlines() if f" {MEMORY}/" in line}
    return found
