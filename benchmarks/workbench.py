"""What all benchmarks share: a mongod of their own, how they are called, and how their results are kept.

What is measured, and how, is each benchmark's own matter.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from alert_pipelines.mongo import AlertDatabase, MongoSettings, ensure_local_mongod, open_database, stop_local_mongod

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
CHECKOUT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")
DATABASE = "benchmark"


@dataclass(frozen=True)
class Bench:
    """A server that nobody else uses, and a database on it."""

    db: AlertDatabase
    uri: str

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that is to work on it."""
        return {**os.environ, "MONGODB_URI": self.uri, "MONGODB_DATABASE": self.db.name}


@contextmanager
def own_mongod() -> Iterator[Bench]:
    """A fresh mongod on disk, as the local one is always started; stopped and removed at the end."""
    # Python ends at once on SIGTERM, and would leave the mongod behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="alert_pipelines_bench_") as directory:
        try:
            uri = ensure_local_mongod(Path(directory))
            with open_database(MongoSettings(uri, DATABASE, Path(directory))) as db:
                yield Bench(db, uri)
        finally:
            stop_local_mongod(Path(directory))


def settle(db: AlertDatabase) -> None:
    """Let the server write out what was just loaded, so that the next to be measured does not pay for it."""
    db.client.admin.command("fsync")


def server_cpu_s(db: AlertDatabase) -> float:
    """The CPU seconds that the server has used since its start: what else the machine does adds little to them."""
    used = psutil.Process(db.client.admin.command("serverStatus")["pid"]).cpu_times()
    return float(used.user + used.system)


def benchmark_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes: `--json`, alone for the file that the page is made of."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--json",
        nargs="?",
        const="",
        metavar="FILE",
        help="keep the results in FILE, or in benchmarks/results, from where benchmarks.render makes the page",
    )
    return parser


def keep_results(name: str, args: argparse.Namespace, mongod: str, body: Mapping[str, Any]) -> None:
    """Write `body`, headed by what it was measured with, where `--json` says; nowhere without it."""
    if args.json is None:
        return
    path = Path(args.json) if args.json else RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"about": _about(mongod), **body}, indent=1) + "\n")
    print(f"kept in {path}")


def mongod_version(db: AlertDatabase) -> str:
    """The server's version."""
    return str(db.client.server_info()["version"])


def _about(mongod: str) -> dict[str, Any]:
    return {
        "command": command(),
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "mongod": mongod,
        "pymongo": version("pymongo"),
        "dagster": version("dagster"),
        # Above the number of cores, somebody else was at work too, or the benchmark itself was.
        "load_average_1_5_15_min": [round(load, 1) for load in os.getloadavg()],
    }


def command() -> str:
    """What was called, as if the results had gone where the page is made of them."""
    arguments = sys.argv[1:]
    at = arguments.index("--json")
    where = 2 if arguments[at + 1 : at + 2] and not arguments[at + 1].startswith("-") else 1
    del arguments[at : at + where]
    return " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *arguments, "--json"])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
