"""The local mongod that all processes of a checkout share: finds, starts and stops it.

Mongod's lock file has its process id, and the command line of this process has the directory and the port. Neither can
be left by a crash and still look right. `mongod_process` starts a mongod.

It has no password, so everybody with an account on the machine can reach it. It is for trials and tests; in production,
set MONGODB_URI.
"""

import fcntl
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from pymongo.errors import PyMongoError

from alert_pipelines.errors import LocalMongodError
from alert_pipelines.mongo.mongod_process import START_LIMIT_S, LocalMongod, MongodFiles, make_primary, start_mongod

STOP_LIMIT_S = 60.0

_POLL_S = 0.05
# Longer than what the holder of the lock may take.
_LOCK_LIMIT_S = START_LIMIT_S + STOP_LIMIT_S


def ensure_local_mongod(local_dir: Path) -> str:
    """Return the URI of the mongod with its data in `local_dir`; start it if it is not running.

    It is a replica set of one, on loopback, a writable primary on return, and goes on when the caller ends. Of several
    callers, in any processes, one starts it and the others wait. Raises LocalMongodError if this platform has no
    mongod, if the directory cannot be used, or if the mongod does not start within START_LIMIT_S.
    """
    files = _files(local_dir)
    mongod = _find(files)
    if mongod is not None and _leads(mongod):
        return mongod.uri
    try:
        local_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in (files.home, files.data):
            directory.mkdir(mode=0o700, exist_ok=True)
            directory.chmod(0o700)
        with _locked(files):
            return _find_or_start(files).uri
    except OSError as error:
        raise LocalMongodError(
            f"the local MongoDB cannot keep its files in {files.home} ({error.strerror}). Make this directory "
            "writable, set ALERT_PIPELINES_LOCAL_DIR to another one, or set MONGODB_URI."
        ) from error


def stop_local_mongod(local_dir: Path) -> bool:
    """Shut down the mongod of `local_dir` and wait for its end; return False if none runs.

    Raises LocalMongodError if it belongs to another user, or did not end within STOP_LIMIT_S.
    """
    files = _files(local_dir)
    if _find(files) is None:
        return False
    with _locked(files):
        mongod = _find(files)
        if mongod is None:
            return False
        try:
            _end_process(mongod)
        except PermissionError as error:
            raise LocalMongodError(
                f"the mongod of {files.home}, process {mongod.pid}, belongs to another user: ask them to stop it."
            ) from error
        except TimeoutError as error:
            raise LocalMongodError(
                f"the local mongod, process {mongod.pid}, did not stop within {STOP_LIMIT_S:.0f} s. "
                f"End it with: kill -9 {mongod.pid} (no acknowledged write is lost). Its log, "
                f"{files.log}, says:\n{files.log_tail()}"
            ) from error
        return True


def local_mongod_status(local_dir: Path) -> LocalMongod | None:
    """Return the mongod that runs on the data in `local_dir`, or None; starts nothing."""
    return _find(_files(local_dir))


def _files(local_dir: Path) -> MongodFiles:
    # Resolved, since the command lines of all starts must name the data by the same path.
    return MongodFiles(local_dir.resolve() / "mongodb")


def _find(files: MongodFiles) -> LocalMongod | None:
    try:
        pid = int((files.data / "mongod.lock").read_text())
    except (OSError, ValueError):
        return None
    return _mongod_of_process(pid, files.data)


def _mongod_of_process(pid: int, data: Path) -> LocalMongod | None:
    """Return process `pid` if it is a mongod on `data`: another process may have its id by now."""
    try:
        # Empty for a process that has ended and was not yet collected.
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:
        return None
    options = dict(pairwise(arguments))
    port = options.get("--port", "")
    if options.get("--dbpath") != str(data) or not port.isdecimal():
        return None
    return LocalMongod(pid, int(port), data)


def _end_process(mongod: LocalMongod) -> None:
    """Ask it to end and wait; raises TimeoutError if it does not."""
    try:
        # Unlike a process id, this is never reused, and shows when the process has ended.
        process = os.pidfd_open(mongod.pid)
    except ProcessLookupError:
        return
    try:
        if _mongod_of_process(mongod.pid, mongod.data_dir) is None:
            return
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], STOP_LIMIT_S)
        if not ended:
            raise TimeoutError
    finally:
        os.close(process)


def _leads(mongod: LocalMongod) -> bool:
    with suppress(PyMongoError):
        return make_primary(mongod)
    return False


def _find_or_start(files: MongodFiles) -> LocalMongod:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        mongod = _find(files)
        if mongod is None:
            start_mongod(files)
        elif _leads(mongod):
            return mongod
        time.sleep(_POLL_S)
    mongod = _find(files)
    found = f"process {mongod.pid}, port {mongod.port}" if mongod else "not visible from here"
    raise LocalMongodError(
        f"the mongod on {files.data} ({found}) was not usable within {START_LIMIT_S:.0f} s. If it "
        "hangs, end it. If it belongs to another container, set a different ALERT_PIPELINES_LOCAL_DIR in each, or "
        f"the same MONGODB_URI. Its log, {files.log}, says:\n{files.log_tail()}"
    )


@contextmanager
def _locked(files: MongodFiles) -> Iterator[None]:
    # The system releases it when its holder ends, however that happens.
    with files.lock.open("w") as lock:
        deadline = time.monotonic() + _LOCK_LIMIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LocalMongodError(
                        f"another process has been starting or stopping the local mongod for "
                        f"{_LOCK_LIMIT_S:.0f} s; it holds {files.lock}. Find it with: fuser {files.lock}"
                    ) from None
                time.sleep(_POLL_S)
        yield
