"""Servers that are not the project's own, for the tests that must not mistake one for the other."""

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from alert_pipelines.mongo.mongod_process import _mongod_binary
from alert_pipelines_tests.memory import MEMORY, PREFIX
from alert_pipelines_tests.patience import LIMIT_S


@contextmanager
def data_dir() -> Iterator[Path]:
    """A directory for a server's data, in memory where that can be: on a slow disk it waits long."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=MEMORY) as directory:
        yield Path(directory)


@contextmanager
def foreign_mongod(
    data: Path, port: int, *options: str, **client_options: Any
) -> Iterator[MongoClient[dict[str, Any]]]:
    """A mongod that somebody else started, with `options`, and a client straight to it, with `client_options`."""
    data.mkdir(parents=True, exist_ok=True)
    command = [str(_mongod_binary()), "--dbpath", str(data), "--bind_ip", "127.0.0.1", "--port", str(port)]
    command += ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            limit_ms = int(LIMIT_S * 1000)
            with MongoClient[dict[str, Any]](
                "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=limit_ms, **client_options
            ) as client:
                client.admin.command("ping")
                yield client
        finally:
            process.kill()


def kill_hard(pid: int) -> None:
    """End a process, this one's child or not, at once and wait until nothing of it is left."""
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        assert select.select([process], [], [], LIMIT_S)[0], f"process {pid} does not end"
    finally:
        os.close(process)
