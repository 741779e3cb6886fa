"""Scans in processes of their own, that end when and how a test wants; forked, so that one costs milliseconds."""

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
from pymongo import monitoring

from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner import apply, scan
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines_tests.factories import AS_OF
from alert_pipelines_tests.patience import LIMIT_S, wait_until

APP_NAME = "doomed"
# A server that forks children has no threads and no connections, so a fork of it is safe.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


@dataclass
class Trigger(monitoring.CommandListener):
    """Signals its own process at the `step`-th command of a scan: sent, worked on by the server, or answered."""

    step: int
    moment: str
    signal: int
    count: int = 0
    armed: bool = False
    _due: int | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if not self.armed:
            return
        self.count += 1
        if self.count != self.step:
            return
        if self.moment == "sent":
            self._act()
        elif self.moment == "worked on":
            threading.Timer(0.003, self._act).start()
        else:
            self._due = event.request_id

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.request_id == self._due:
            self._act()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass

    def _act(self) -> None:
        os.kill(os.getpid(), self.signal)


def _scan(uri: str, name: str, batch: int, trigger: Trigger, counted: Any) -> None:
    def end(*_: object) -> None:
        raise SystemExit("terminated")

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    apply.BATCH = batch
    monitoring.register(trigger)
    with open_database(MongoSettings(f"{uri}&appName={APP_NAME}", name, Path())) as db:
        trigger.armed = True
        scan.run_scan(db, ScanRequest(as_of=AS_OF))
        trigger.armed = False
    counted.value = trigger.count


def start_scan(
    uri: str, name: str, *, batch: int, step: int = 0, moment: str = "sent", number: int = signal.SIGKILL
) -> tuple[BaseProcess, Any]:
    """Start a scan that gets the signal `number` at its `step`-th command; the value is the count of a whole scan."""
    counted, trigger = PROCESSES.Value("i", 0), Trigger(step, moment, number)
    process = PROCESSES.Process(target=_scan, args=(uri, name, batch, trigger, counted), daemon=True)
    process.start()
    return process, counted


def wait_for_end(process: BaseProcess) -> int:
    """The exit code of `process`, which is killed if it does not end."""
    process.join(LIMIT_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError("the scan does not end")
    return process.exitcode


def wait_until_unheard(db: AlertDatabase) -> None:
    """Wait until the server has read all that an ended process had sent it: so long it keeps their connection."""
    connections: dict[str, Any] = {"$currentOp": {"idleConnections": True, "allUsers": True}}
    its_own = [connections, {"$match": {"appName": APP_NAME}}]
    wait_until(lambda: not list(db.client.admin.aggregate(its_own)), "the end of its connection", every_s=0.005)


def wait_until_frozen(process: BaseProcess) -> None:
    """Wait until `process` has stopped itself by SIGSTOP."""
    seen = psutil.Process(process.pid)
    wait_until(lambda: seen.status() == psutil.STATUS_STOPPED, "its stop", every_s=0.005)


def thaw(process: BaseProcess) -> None:
    """Let a frozen `process` go on."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGCONT)
