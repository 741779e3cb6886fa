"""What the code server and a scan load: a test in a process of its own, since this one has loaded much already."""

import subprocess
import sys
from pathlib import Path

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.patience import LIMIT_S

CHECKOUT = Path(__file__).parents[1]
HEAVY = {"pandas", "numpy", "matplotlib", "pyarrow", "apprise", "prometheus_client", "dagster_webserver"}

_DEFINITIONS = """
import sys
from alert_pipelines.definitions import defs
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
# As a run worker does it: load the code location, execute the job, of which the scan is all.
_SCAN = """
import sys
from dagster import DagsterInstance
from alert_pipelines.definitions import defs
with DagsterInstance.ephemeral() as instance:
    assert defs.resolve_job_def("auto_close_job").execute_in_process(instance=instance).success
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
_PLAIN_SCAN = """
import sys
from alert_pipelines.mongo import open_database
from alert_pipelines.scanner.scan import auto_close_scanner
with open_database() as db:
    auto_close_scanner(db)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    return set(done.stdout.split())


@pytest.fixture
def database(mongo_uri: str, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> AlertDatabase:
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", db.name)
    return db


def test_the_code_server_loads_nothing_that_only_reports_need() -> None:
    loaded = loaded_by(_DEFINITIONS)
    assert "dagster" in loaded
    assert not loaded & HEAVY


@pytest.mark.slow
def test_neither_does_a_run_of_a_scan(database: AlertDatabase) -> None:
    loaded = loaded_by(_SCAN)
    assert database.background_jobs.count_documents({"status": "completed"}) == 1
    assert "pymongo" in loaded
    assert not loaded & HEAVY


def test_nor_a_scan_without_dagster_which_does_not_load_dagster_either(database: AlertDatabase) -> None:
    loaded = loaded_by(_PLAIN_SCAN)
    assert database.background_jobs.count_documents({"status": "completed"}) == 1
    assert not loaded & (HEAVY | {"dagster"})
