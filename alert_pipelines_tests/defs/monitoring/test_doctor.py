"""`doctor` on a good and on a poor instance, and on databases that lack something."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._daemon.types import DaemonHeartbeat

from alert_pipelines.cli.root import cli
from alert_pipelines.defs.dagster_internals import InstigatorType
from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring import fitness
from alert_pipelines.monitoring.fitness import database_findings
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines_tests.dagster_processes import CHECKOUT, dagster_home
from alert_pipelines_tests.defs.conftest import OWN, _repository, daemons_tick
from alert_pipelines_tests.factories import alert, fill

pytestmark = pytest.mark.usefixtures("mongodb_env")

_, _, PAGE = (CHECKOUT / "docs" / "add-to-dagster.md").read_text(encoding="utf-8").partition("## What is missing")
Levels = dict[str, str]


def doctor(code: int) -> dict[str, tuple[str, str]]:
    """Level and words by point."""
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    assert result.exit_code == code, result.output
    return {finding["name"]: (finding["level"], finding["description"]) for finding in json.loads(result.stdout)}


def levels(found: dict[str, tuple[str, str]], level: str) -> set[str]:
    return {name for name, (of, _) in found.items() if of == level}


def seen_by_daemon(instance: DagsterInstance) -> None:
    """What a daemon writes within seconds of its start."""
    for daemon in ("SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING"):
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), daemon, "one"))
    daemons_tick(instance, build_schedule("*/5 * * * *"))
    origin = _repository(OWN).get_instigator_origin("dead_scan_sensor")
    data = SensorInstigatorData(min_interval=15)
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data))


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], DagsterInstance]]:
    """Makes the instance of DAGSTER_HOME, of the project's dagster.yaml or of another."""
    made = []

    def make(settings: str | None) -> DagsterInstance:
        context = dagster_home()
        directory = context.__enter__()
        made.append(context)
        if settings is not None:
            (directory / "dagster.yaml").unlink()
            (directory / "dagster.yaml").write_text(settings)
        monkeypatch.setenv("DAGSTER_HOME", str(directory))
        return DagsterInstance.get()

    yield make
    for context in made:
        context.__exit__(None, None, None)


def test_on_a_good_instance_and_database_nothing_is_missing(
    home: Callable[[str | None], DagsterInstance], db: AlertDatabase
) -> None:
    fill(db, [alert("a")])
    prepare_collections(db)
    with home(None) as instance:
        seen_by_daemon(instance)
        found = doctor(0)
    assert levels(found, "ok") == set(found), found
    result = CliRunner().invoke(cli, ["doctor"])
    assert "Nothing is missing." in result.stdout
    # The page has a line for each point, and no other.
    assert set(found) == set(re.findall(r"^\| `([\w ]+)` \|", PAGE, re.MULTILINE))


def test_on_a_poor_instance_each_lack_is_named_with_what_is_lost(
    home: Callable[[str | None], DagsterInstance], db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_DATABASE", f"{db.name}_that_is_not_there")
    with home("telemetry: {enabled: false}\nretention: {sensor: {purge_after_days: -1}}\n"):
        found = doctor(1)
    assert levels(found, "missing") == {"daemon", "schedule", "sensor"}
    assert levels(found, "warning") == {"run monitoring", "sensor threads", "tick retention", "indexes", "collections"}
    assert "SCHEDULER" in found["daemon"][1]
    assert "has not seen auto_close_schedule" in found["schedule"][1]
    assert "one_scan_at_a_time of background_jobs" in found["indexes"][1]
    for name in levels(found, "warning") & {"run monitoring", "sensor threads", "tick retention"}:
        *_, setting = found[name][1].partition("Set ")
        assert f"`{setting}`" in PAGE


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("concurrency: {runs: {max_concurrent_runs: 1}}", "1 run at a time"),
        ("concurrency: {runs: {max_concurrent_runs: 25}}", "25 runs at a time"),
        ("concurrency: {runs: {max_concurrent_runs: -1}}", "it has no limit"),
        ("run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}", "there is none"),
    ],
)
def test_the_limit_of_the_queue_was_the_default_whatever_the_instance_set(
    home: Callable[[str | None], DagsterInstance], db: AlertDatabase, settings: str, said: str
) -> None:
    with home(settings) as instance:
        seen_by_daemon(instance)
        level, description = doctor(0)["queue"]
    assert level == "ok"
    assert description.startswith(said)


def test_a_schedule_that_is_off_is_named_with_its_location(
    home: Callable[[str | None], DagsterInstance], db: AlertDatabase
) -> None:
    with home(None) as instance:
        seen_by_daemon(instance)
        (state,) = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        instance.update_instigator_state(state.with_status(InstigatorStatus.STOPPED))
        assert doctor(0)["schedule"] == (
            "warning",
            "auto_close_schedule of alert_pipelines is off: switch it on under Automation in the UI",
        )


def test_without_a_dagster_home_a_database_or_valid_settings_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    found = doctor(1)
    assert levels(found, "missing") == {"DAGSTER_HOME", "MongoDB"}
    monkeypatch.setenv("AUTO_CLOSE_CRON", "every 5")
    assert doctor(1)["settings"][0] == "missing"


def test_a_clock_that_differs_is_a_warning(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitness, "server_now", lambda _: datetime.now(UTC) + timedelta(seconds=40))
    found = {finding.name: finding for finding in database_findings(db)}
    assert found["clock"].level == "warning"
    assert "40.0 s ahead" in found["clock"].description
