import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance

from alert_pipelines.cli.root import _ABOVE, _COMMANDS
from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.mongo import AlertDatabase, local_mongod_status
from alert_pipelines.rules.files import read_rules
from alert_pipelines.rules.model import RuleSet
from alert_pipelines.rules.store import keep_version, load_rules
from alert_pipelines_tests.cli.conftest import MAPPING, Run
from alert_pipelines_tests.dagster_processes import dagster_home
from alert_pipelines_tests.defs.conftest import daemons_tick
from alert_pipelines_tests.factories import alert, fill, rule

_DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
_DOCUMENTED = re.findall(r"^alert-pipelines (.+)$", _DOCS, re.MULTILINE)


def test_the_page_names_every_command() -> None:
    assert {shlex.split(line)[0] for line in _DOCUMENTED} == set(_COMMANDS) | set(_ABOVE)


@pytest.fixture
def dagster_of_the_daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Dagster instance that knows the schedule."""
    with dagster_home() as home:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with DagsterInstance.get() as instance:
            daemons_tick(instance, build_schedule("*/5 * * * *"))
        yield


def _code(line: str) -> int:
    # X3 cannot be used, and no daemon is there: the exit codes say so.
    codes = {"load": 4, "doctor": 1, "schedule status": 1}
    return next((code for command, code in codes.items() if line.startswith(command)), 0)


@pytest.mark.process
@pytest.mark.usefixtures("hook", "dagster_of_the_daemon")
def test_each_command_of_the_page_runs(
    run: Run, db: AlertDatabase, environment: Path, local_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_PIPELINES_LOCAL_DIR", str(local_dir))
    (environment / "my_rules.yaml").write_text("overspeed: {escalate_if_count: 3}\n")
    (environment / "my_windows.yaml").write_text(
        "- {window_id: workshop, source_types: [SAFETY], from: 2026-03-01, to: 2126-03-01}"
    )
    (environment / "my_mapping.yaml").write_text(MAPPING)
    (environment / "my_alerts.csv").write_text("id,at\nX1,2026-02-01\nX2,2026-04-01\nX3,never\n")
    # What the page undoes has to be there: a decision by 'overspeed', which expiry does not take first.
    recent = [alert(timestamp=datetime.now(UTC), driver="D9") for _ in range(3)]
    fill(db, [alert("ALERT_ID", minutes=100), *recent], rule("expire", {"expire_after_mins": 60}))
    # A rule set of the past, whose rules are the same as those that the page publishes.
    earlier = RuleSet.of([*load_rules(db).rule_set.active, *read_rules(environment / "my_rules.yaml")])
    keep_version(db, earlier)
    outputs = {}
    for line in _DOCUMENTED:
        first = db.background_jobs.find_one({"job_type": "auto_close_scanner"}, sort=[("started_at", 1)]) or {}
        real = {"JOB_ID": first.get("job_id", ""), "VERSION": earlier.version}
        arguments = [real.get(word, word) for word in shlex.split(line)]
        outputs[line] = run(*arguments, code=_code(line)).stdout
        if line == "mongo start":
            assert local_mongod_status(local_dir) is not None
    assert local_mongod_status(local_dir) is None
    assert db.alerts.distinct("alert_id", {"alert_id": {"$regex": "^X"}}) == ["X1"]
    assert "X3" in (environment / "rejects.jsonl").read_text()
    assert "overspeed" in (environment / "exported.json").read_text()
    silent = [line for line, out in outputs.items() if not out]
    assert silent == [line for line in _DOCUMENTED if " -o " in line]
