"""However a command fails, it ends with a message for people: no traceback, no raw document of the server."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from pymongo.errors import BulkWriteError

from alert_pipelines.cli import explain
from alert_pipelines.cli.root import cli
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.reasons import MAX_REASON, reason_of
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import AS_OF
from alert_pipelines_tests.patience import LIMIT_S

_SCRIPT = str(Path(sys.executable).with_name("alert-pipelines"))
RAW = ("Traceback", "clusterTime", "signature", "full error", "operationTime")


def ended(*arguments: str, stdout: str, **env: bytes) -> tuple[int, str]:
    """The exit code and the standard error of a command whose output goes to the file `stdout`."""
    with Path(stdout).open("w") as output:
        done = subprocess.run(
            [_SCRIPT, *arguments],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={**os.environb, **{name.encode(): value for name, value in env.items()}},
        )
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["jobs", "list"], ["rules", "schema"]], ids=" ".join)
def test_a_full_disk_ended_in_a_traceback(environment: Path, db: AlertDatabase, arguments: list[str]) -> None:
    db.background_jobs.insert_one({"job_id": "JOB-1", "job_type": "x", "status": "failed", "started_at": AS_OF})
    code, said = ended(*arguments, stdout="/dev/full")
    assert code == 1
    assert re.fullmatch(r"Error: .*No space left on device\n", said)


@pytest.mark.parametrize("unbuffered", [b"", b"1"])
def test_a_full_disk_was_told_twice_where_output_is_buffered(
    environment: Path, db: AlertDatabase, unbuffered: bytes
) -> None:
    db.background_jobs.insert_one({"job_id": "JOB-1", "job_type": "x", "status": "failed", "started_at": AS_OF})
    code, said = ended("jobs", "list", stdout="/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (code, said.count("Error:")) == (1, 1)


def test_an_error_on_a_full_disk_ends_the_command_as_well() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([_SCRIPT, "--help"], stdout=full, stderr=full, timeout=LIMIT_S, check=False)
    assert done.returncode == 1


def test_a_reader_that_wants_the_first_line_alone_is_told_nothing() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(str(_SCRIPT))} rules schema | head -1"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "command",
    [
        pytest.param("rules schema", marks=pytest.mark.slow),
        pytest.param("jobs list", marks=pytest.mark.slow),
        "rules export",
        "no-such-command",
    ],
)
def test_a_stream_that_the_caller_closed_ended_in_a_traceback(
    environment: Path, db: AlertDatabase, command: str, closed: str
) -> None:
    line = f"{shlex.quote(str(_SCRIPT))} {command} {closed}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == (2 if command == "no-such-command" else 0)
    assert "Traceback" not in done.stderr
    assert (done.stdout != "") == (command in ("rules schema", "rules export") and ">&-" not in closed.split())


def test_an_output_that_cannot_hold_every_character_ended_in_the_report_of_a_defect(
    environment: Path, db: AlertDatabase
) -> None:
    db.background_jobs.insert_one({"job_id": "JOB-1", "job_type": "削除", "status": "failed", "started_at": AS_OF})
    done = subprocess.run(
        [_SCRIPT, "jobs", "show", "JOB-1", "--json"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["record"]["job_type"] == "削除"


_INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv.pop():
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from alert_pipelines.cli import main
main()
"""


@pytest.mark.parametrize("module", ["click", "alert_pipelines.cli.rules", "pymongo"])
def test_ctrl_c_while_the_command_was_loaded_ended_in_a_traceback(environment: Path, module: str) -> None:
    """Loading takes longer than many a command."""
    code = _INTERRUPTED.replace("sys.argv.pop()", repr(module))
    done = subprocess.run(
        [sys.executable, "-c", code, "rules", "validate"], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", "Aborted!")


def test_a_database_name_that_is_not_utf_8_ended_in_a_traceback(environment: Path) -> None:
    code, said = ended("jobs", "list", stdout=os.devnull, MONGODB_DATABASE=b"fleet\xff")
    assert code == 1
    assert said.startswith(
        "Error: MONGODB_DATABASE is not a valid name for the alerts' database: expected a name that MongoDB allows; "
        "got 'fleet\\udcff' (it is not valid UTF-8)"
    )


@pytest.mark.parametrize("arguments", [["scan"], ["scan", "--dry-run"], ["jobs", "list"], ["indexes", "create"]])
@pytest.mark.parametrize("kind", ["view", "time series"])
def test_an_alerts_collection_that_is_none_ended_in_a_traceback_or_a_raw_document(
    bare_db: AlertDatabase, mongo_uri: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kind: str
) -> None:
    if kind == "view":
        bare_db.create_collection("alerts", viewOn="elsewhere", pipeline=[])
    else:
        bare_db.create_collection("alerts", timeseries={"timeField": "timestamp"})
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", bare_db.name)
    result = CliRunner().invoke(cli, arguments, prog_name="alert-pipelines")
    assert isinstance(result.exception, SystemExit | None)
    assert not [word for word in RAW if word in result.output]


def test_a_validator_on_the_job_records_ended_in_a_raw_document(run: Run, db: AlertDatabase) -> None:
    db.command("collMod", "background_jobs", validator={"status": {"$ne": "running"}})
    said = run("scan", code=1).stderr.splitlines()[-1]
    assert said == "Error: MongoDB failed: Document failed validation"


def test_a_file_of_rules_or_of_a_mapping_without_an_end_filled_the_memory(run: Run, environment: Path) -> None:
    (environment / "alerts.csv").write_text("id\n1\n")
    for arguments in (["rules", "validate", "/dev/zero"], ["load", "alerts.csv", "--mapping", "/dev/zero"]):
        assert "/dev/zero cannot be read: it has more than 67108864 bytes" in run(*arguments, code=1).stderr


def test_a_defect_is_one_line_that_says_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr(explain, "explain_alert", fail)
    said = run("explain", "A", code=1).stderr.splitlines()
    assert len(said) == 1
    assert said[0].startswith("Error: ZeroDivisionError: nothing to divide by (line ")
    assert "of test_no_traceback.py). This is a defect" in said[0]


def test_the_reason_of_a_failed_batch_is_that_of_its_first_write() -> None:
    details = {"writeErrors": [{"index": 0, "errmsg": "too large" * 1_000}], "nInserted": 0}
    assert reason_of(BulkWriteError(details)) == ("too large" * 1_000)[:MAX_REASON] + "…"
    assert reason_of(BulkWriteError({"writeErrors": []})) == "batch op errors occurred"
