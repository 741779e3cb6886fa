"""The server's disk fills up in mid-scan: the scan ends and says so, and with room again the next one finishes."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from alert_pipelines.errors import LeaseLostError
from alert_pipelines.mongo import AlertDatabase, AlertDocument
from alert_pipelines.scanner import apply
from alert_pipelines.settings import LEASE_VARIABLE
from alert_pipelines_tests.mongo.servers import foreign_mongod
from alert_pipelines_tests.ports import free_port
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import (
    check_all_decided,
    check_records,
    check_whole_or_untouched,
    expire_leases,
    fill_fleet,
    scan,
)

pytestmark = pytest.mark.process

SIZE, BATCH, DISK_MB, LEFT_MB = 20_000, 500, 220, 3
_OPTIONS = (
    "--replSet",
    "rs0",
    "--oplogSize",
    "64",
    "--wiredTigerEngineConfigString",
    "log=(file_max=2MB,prealloc=false)",
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for a small database."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a file system can be mounted by root only: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def server_on(disk: Path, port: int) -> Iterator[AlertDatabase]:
    """A replica set of one whose data lie on `disk`, and the fleet's database there."""
    with foreign_mongod(disk / "data", port, *_OPTIONS) as straight:
        if straight.local.get_collection("system.replset").find_one() is None:
            members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
            straight.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        uri = f"mongodb://127.0.0.1:{port}/?replicaSet=rs0&w=majority&serverSelectionTimeoutMS=30000"
        with MongoClient[AlertDocument](uri, tz_aware=True) as client:
            client.admin.command("ping")
            yield client["reliability"]


class Filler:
    """As the third batch is written, takes the room that is left on a disk, but for a few MB."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._batches = 0
        self.path = disk / "filler"

    def at_the_third(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            self._batches += 1
            if self._batches == 3:
                self._fill()
            return update(*args)

        return wrapped

    def _fill(self) -> None:
        # Piece by piece, since the server takes room at the same time.
        with self.path.open("wb", buffering=0) as filler:
            while shutil.disk_usage(self._disk).free > LEFT_MB * 2**20:
                filler.write(b"\0" * 2**18)


def test_a_disk_that_fills_up_ends_the_scan_and_the_next_one_finishes(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    port, filler = free_port(), Filler(small_disk)
    with server_on(small_disk, port) as db:
        originals = fill_fleet(db, SIZE)
        monkeypatch.setenv(LEASE_VARIABLE, "6")
        monkeypatch.setattr(apply, "BATCH", BATCH)
        monkeypatch.setattr(apply, "decision_update", filler.at_the_third(apply.decision_update))
        with pytest.raises((PyMongoError, LeaseLostError)) as ended:
            scan(db)
    monkeypatch.undo()
    filler.path.unlink()
    with server_on(small_disk, port) as db:
        halfway = check_whole_or_untouched(db, originals)
        expire_leases(db)
        scan(db)
        check_all_decided(db, originals)
        [failed, completed] = check_records(db, check_whole_or_untouched(db, originals))
        assert (failed["status"], completed["status"]) == ("failed", "completed")
    assert 0 < halfway.total() < SIZE * 2 // 3
    figures(decided_before=halfway.total(), **{ended.typename: 1})
