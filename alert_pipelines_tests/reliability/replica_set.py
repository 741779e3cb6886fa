"""A real replica set of three, whose primary can be made to step down, be killed and be started again."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from alert_pipelines.mongo.mongod_process import _mongod_binary
from alert_pipelines_tests.patience import LIMIT_S, wait_until
from alert_pipelines_tests.ports import free_port

_OPTIONS = (
    *("--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", "three", "--oplogSize", "64"),
    *("--wiredTigerCacheSizeGB", "0.25", "--networkMessageCompressors", "disabled"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    *("--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)"),
)


class ReplicaSet:
    """Three members by port; `uri` names them all."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.members: dict[int, subprocess.Popen[bytes]] = {}
        self.dead: list[int] = []

    @property
    def uri(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.members)
        return f"mongodb://{hosts}/?replicaSet=three&serverSelectionTimeoutMS=20000"

    def start(self, port: int) -> None:
        data = self._home / str(port)
        data.mkdir(exist_ok=True)
        with (self._home / f"{port}.log").open("ab") as log:
            command = [str(_mongod_binary()), "--dbpath", str(data), "--port", str(port), *_OPTIONS]
            self.members[port] = subprocess.Popen(command, stdout=log, stderr=log)

    def initiate(self, election_ms: int) -> None:
        hosts = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(self.members)]
        for port in self.members:
            with self._straight_to(port) as client:
                client.admin.command("ping")
        settings = {"electionTimeoutMillis": election_ms, "heartbeatIntervalMillis": min(500, election_ms)}
        with self._straight_to(next(iter(self.members))) as client:
            client.admin.command("replSetInitiate", {"_id": "three", "members": hosts, "settings": settings})

    def primary(self) -> int:
        """The port of the primary, waiting for one."""

        def found() -> int | None:
            for port in set(self.members) - set(self.dead):
                with suppress(PyMongoError), self._straight_to(port) as client:
                    if client.admin.command("hello")["isWritablePrimary"]:
                        return port
            return None

        return wait_until(found, "a primary", every_s=0.05)

    def step_down(self) -> None:
        try:
            with self._straight_to(self.primary()) as client:
                client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=3, force=True)
        except AutoReconnect:
            pass

    def kill_primary(self) -> None:
        port = self.primary()
        self.members[port].kill()
        self.members[port].wait()
        self.dead.append(port)

    def revive(self) -> None:
        """Start the dead again and wait until all three are primary or secondary."""
        while self.dead:
            self.start(self.dead.pop())
        with self._straight_to(self.primary()) as client:

            def states() -> set[str]:
                return {member["stateStr"] for member in client.admin.command("replSetGetStatus")["members"]}

            wait_until(lambda: states() == {"PRIMARY", "SECONDARY"}, "a primary with secondaries", every_s=0.05)

    @staticmethod
    def _straight_to(port: int) -> MongoClient[dict[str, Any]]:
        return MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=int(LIMIT_S * 1000))


@contextmanager
def replica_set(home: Path, *, election_ms: int) -> Iterator[ReplicaSet]:
    """Start three members; kill them at the end."""
    three = ReplicaSet(home)
    try:
        for _ in range(3):
            three.start(free_port())
        three.initiate(election_ms)
        three.revive()
        yield three
    finally:
        for process in three.members.values():
            process.kill()
            process.wait()
