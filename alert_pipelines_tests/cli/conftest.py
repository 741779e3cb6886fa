"""The command line as tests run it: on a database of the test's own, in a directory of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alert_pipelines.cli.root import cli
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.settings import NOTIFY_VARIABLE
from alert_pipelines_tests.receivers import Inbox, webhook

Run = Callable[..., Result]

MAPPING = """
format: csv
alert_id: {column: id}
source_type: {constant: OVERSPEEDING}
severity: {constant: WARNING}
timestamp: {column: at}
"""
"""The least that `load` needs to know of a file."""


@pytest.fixture
def environment(db: AlertDatabase, mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that name `db`; the working directory, empty."""
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", db.name)
    monkeypatch.setenv("ALERT_PIPELINES_LOCAL_DIR", str(tmp_path / "local"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """The only receiver of notifications."""
    with webhook() as inbox:
        monkeypatch.setenv(NOTIFY_VARIABLE, f"json://127.0.0.1:{inbox.port}")
        yield inbox


@pytest.fixture
def run(environment: Path) -> Run:
    """Run a command, and check its exit code; `typed` is what a person answers."""

    def run_command(*arguments: str, code: int = 0, typed: str | None = None) -> Result:
        result = CliRunner().invoke(cli, arguments, input=typed, prog_name="alert-pipelines")
        assert result.exit_code == code, f"{arguments}: {result.output} {result.exception!r}"
        return result

    return run_command
