"""What `scripts/dev` starts: webserver, daemon and code location under one process, on a free port."""

import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dagster import DagsterInstance

from alert_pipelines_tests.dagster_processes import CHECKOUT, RunningDagster, dagster_home
from alert_pipelines_tests.patience import wait_until
from alert_pipelines_tests.ports import free_port
from alert_pipelines_tests.process_groups import end_group


@contextmanager
def dagster_dev(settings: Mapping[str, str]) -> Iterator[RunningDagster]:
    """Start it with the environment `settings` on top of this one's; with the context its whole group is ended."""
    with ExitStack() as stack:
        home, port = stack.enter_context(dagster_home()), free_port()
        log = stack.enter_context((home / "dev.log").open("wb"))
        process = subprocess.Popen(
            [*_command(), "-h", "127.0.0.1", "-p", str(port)],
            cwd=CHECKOUT,
            env={**os.environ, **settings, "DAGSTER_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(end_group, process)
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert process.poll() is None, (home / "dev.log").read_text()
            return _answers(f"{url}/server_info")

        wait_until(answers, "the webserver")
        instance = stack.enter_context(DagsterInstance.from_config(str(home)))
        wait_until(instance.get_daemon_heartbeats, "the daemon")
        yield RunningDagster(instance, url)


def _command() -> list[str]:
    script = (CHECKOUT / "scripts" / "dev").read_text()
    found = re.search(r'^exec (.+?) "\$@"', script, re.MULTILINE)
    assert found, script
    program, *arguments = shlex.split(found[1])
    return [str(Path(sys.executable).with_name(program)), *arguments]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
