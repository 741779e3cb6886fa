"""A real Dagster, as people run it: code server, daemon and webserver, each a process of its own, on free ports.

Its home is made from the project's dagster.yaml, or from a test's own. All processes are this one's children, each the
leader of a group of its own, and are ended with the context; a test may end them before and start them again.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.scheduler.instigation import InstigatorTick

from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.defs.scan import watcher
from alert_pipelines_tests.memory import MEMORY, PREFIX
from alert_pipelines_tests.patience import LIMIT_S, wait_until
from alert_pipelines_tests.ports import free_port
from alert_pipelines_tests.process_groups import end_group, kill_group

CHECKOUT = Path(__file__).parents[1]
_WORKSPACE = "workspace.yaml"

FINISHED = frozenset({DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED})

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""

_REEXECUTE = """
mutation Again($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


@contextmanager
def dagster_home(config: Path = CHECKOUT / "dagster.yaml", *, on_disk: bool = False) -> Iterator[Path]:
    """A Dagster home whose dagster.yaml is `config`, in memory where that can be: SQLite waits for the disk often."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=None if on_disk else MEMORY) as directory:
        home = Path(directory)
        (home / "dagster.yaml").symlink_to(config)
        yield home


@dataclass(frozen=True)
class RunningDagster:
    """A Dagster that runs: its instance, where its UI is, and what people ask of it there."""

    instance: DagsterInstance
    url: str

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data that the webserver answers; an error of GraphQL's own fails the test."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
            answer: dict[str, Any] = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def ticks(self, instigator: str, **which: Any) -> list[InstigatorTick]:
        """The ticks of a schedule or sensor, the newest first; `which` is for DagsterInstance.get_ticks."""
        return [
            tick
            for state in self.instance.all_instigator_state()
            if state.name == instigator
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, **which)
        ]

    def wait_between_rounds(self) -> None:
        """Wait until the daemon is not at the schedules, as it is at the start of a minute: it may undo a switch."""
        wait_until(lambda: 10 < time.time() % 60 < 50, "a time between two rounds")

    def launch(
        self,
        job: str = "auto_close_job",
        run_config: Mapping[str, Any] | None = None,
        location: str = CODE_LOCATION,
        *,
        assets: Sequence[str] = (),
    ) -> str:
        """Launch a run as the Launchpad does, or, of `assets`, as "Materialize" does, and return its id."""
        selector: dict[str, Any] = {
            "repositoryLocationName": location,
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB" if assets else job,
        }
        if assets:
            selector |= {"assetSelection": [{"path": [asset]} for asset in assets], "assetCheckSelection": None}
        params = {"selector": selector, "runConfigData": run_config or {}}
        answer = self.graphql(_LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def reexecute(self, run_id: str) -> str:
        """Execute a run again as "Re-execute all" does, and return the new one's id."""
        params = {"parentRunId": run_id, "strategy": "ALL_STEPS"}
        answer = self.graphql(_REEXECUTE, params=params)["launchRunReexecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def run(self, run_id: str) -> DagsterRun:
        """The run as it now stands."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None, run_id
        return run

    def wait_for_end(self, run_id: str) -> DagsterRun:
        """The run once it has ended, however it did."""

        def ended() -> DagsterRun | None:
            run = self.run(run_id)
            return run if run.status in FINISHED else None

        return wait_until(ended, f"the end of run {run_id}", every_s=0.5)

    def wait_for_success(self, run_id: str) -> DagsterRun:
        """The run once it has ended well; else the test fails with what the run's log says."""
        run = self.wait_for_end(run_id)
        if run.status is not DagsterRunStatus.SUCCESS:
            log = "\n".join(entry.user_message or str(entry.dagster_event) for entry in self.instance.all_logs(run_id))
            raise AssertionError(f"run {run_id} ended as {run.status.value}:\n{log}")
        return run


@dataclass(frozen=True)
class DagsterProcesses(RunningDagster):
    """Its processes, and what people do with them."""

    home: Path
    env: Mapping[str, str]
    _services: Mapping[str, "_Service"]

    def start(self, *names: str) -> None:
        """Start what was ended, of code_server, daemon and webserver, and wait until it works; none: all."""
        for name in names or self._services:
            self._services[name].start()

    def stop(self, *names: str) -> None:
        """End them as a shutdown of their host does, and wait for it; none: all."""
        end_group(*(self._services[name].process for name in names or self._services))

    def kill(self, *names: str) -> None:
        """Kill, by SIGKILL and at once, code_server with its run workers, daemon, webserver; none: all."""
        for name in names or self._services:
            kill_group(self._services[name].process)

    def dagster(self, *arguments: str) -> str:
        """Run `dagster ...` in the checkout, as the docs say, and return all that it printed."""
        command = [str(Path(sys.executable).with_name("dagster")), *arguments]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=dict(self.env), capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run_workers(self) -> list[psutil.Process]:
        """The processes in which runs are executed now, without their watchers."""
        children = psutil.Process(self._services["code_server"].process.pid).children(recursive=True)
        others = ("resource_tracker", watcher.__name__)
        return [child for child in children if not any(name in " ".join(child.cmdline()) for name in others)]

    def log(self, name: str) -> str:
        """What the process `name` (code_server, daemon, webserver) wrote to its console so far."""
        return (self.home / f"{name}.log").read_text()


@contextmanager
def dagster_processes(
    settings: Mapping[str, str],
    others: Mapping[str, str] | None = None,
    *,
    config: Path = CHECKOUT / "dagster.yaml",
    on_disk: bool = False,
) -> Iterator[DagsterProcesses]:
    """Start code server, daemon and webserver with the environment `settings` on top of this one's.

    `others` are the modules of further code locations, by the location's name; each gets a code server of its own.
    `config` is the dagster.yaml.
    """
    with ExitStack() as stack:
        home = stack.enter_context(dagster_home(config, on_disk=on_disk))
        yield _start_all(stack, home, settings, others or {})


def _start_all(
    stack: ExitStack, home: Path, settings: Mapping[str, str], others: Mapping[str, str]
) -> DagsterProcesses:
    web_port = free_port()
    workspace = home / _WORKSPACE
    env = {**os.environ, **settings, "DAGSTER_HOME": str(home)}
    url = f"http://127.0.0.1:{web_port}"
    at = ("-w", str(workspace))
    start = Starter(stack, home, env)
    servers = {"code_server": _code_server(start, "code_server", CODE_LOCATION, "alert_pipelines.definitions")}
    for name, module in others.items():
        servers[f"code_server_{name}"] = _code_server(start, f"code_server_{name}", name, module)
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server} for _, server in servers.values()]}))
    instance = stack.enter_context(DagsterInstance.from_config(str(home)))
    services = {
        **{name: service for name, (service, _) in servers.items()},
        "daemon": _Service(
            lambda: start("daemon", "dagster-daemon", "run", *at),
            lambda process, since: beats(instance, process, since),
        ),
        "webserver": _Service(
            lambda: start("webserver", "dagster-webserver", "-h", "127.0.0.1", "-p", str(web_port), *at),
            lambda process, _: answers(f"{url}/server_info", process),
        ),
    }
    processes = DagsterProcesses(instance, url, home, env, services)
    processes.start()
    # Side by side: each takes some seconds.
    stack.callback(processes.stop)
    return processes


class _Service:
    """One of the processes: how it is started, and by what it is seen to work, given it and when it was started."""

    def __init__(
        self,
        start: Callable[[], subprocess.Popen[bytes]],
        works: Callable[[subprocess.Popen[bytes], float], bool],
    ) -> None:
        self._start = start
        self._works = works
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The one that was started last."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it and wait until it works."""
        since = time.time()
        self._process = self._start()
        wait_until(lambda: self._works(self.process, since), f"the start of {self.process.args!r}")


class Starter:
    """Starts processes and ends their whole groups with the stack, the youngest first."""

    def __init__(self, stack: ExitStack, home: Path, env: Mapping[str, str]) -> None:
        self._stack = stack
        self._home = home
        self._env = env

    def __call__(self, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self._home / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / program), *arguments],
            cwd=CHECKOUT,
            env=dict(self._env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._stack.callback(end_group, process)
        return process


def _code_server(start: "Starter", name: str, location: str, module: str) -> tuple["_Service", dict[str, Any]]:
    """A code server on a free port, and its entry in the workspace."""
    port = free_port()
    target = ("-m", module, "--location-name", location)
    service = _Service(
        lambda: start(name, "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port), *target),
        lambda process, _: listens(port, process),
    )
    return service, {"host": "127.0.0.1", "port": port, "location_name": location}


def listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether something listens on `port`; fails the test where `process`, which should, has ended."""
    assert process.poll() is None, f"{process.args!r} has ended with {process.returncode}"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def beats(instance: DagsterInstance, process: subprocess.Popen[bytes], since: float) -> bool:
    """Whether the daemon has given a sign of life since then; fails the test where `process`, which should, ended."""
    assert process.poll() is None, f"{process.args!r} has ended with {process.returncode}"
    return any(beat.timestamp > since for beat in instance.get_daemon_heartbeats().values())


def answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether `url` answers; fails the test where `process`, which should, has ended."""
    assert process.poll() is None, f"{process.args!r} has ended with {process.returncode}"
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
