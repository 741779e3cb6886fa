"""A Dagster instance of the test's own, made from the project's dagster.yaml, and a way to run jobs on it."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    ExecuteInProcessResult,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
    build_sensor_context,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.build_resources import wrap_resources_for_execution
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.asset_specs import SCAN_ASSETS
from alert_pipelines.defs.names import NAMES, Names
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.settings import NOTIFY_VARIABLE
from alert_pipelines_tests.dagster_processes import dagster_home
from alert_pipelines_tests.defs.monitoring.notification_ticks import Ticks
from alert_pipelines_tests.receivers import Inbox, webhook

Execute: TypeAlias = Callable[..., ExecuteInProcessResult]

PLAIN = Names()
OWN = Location("alert_pipelines", "__repository__")


def launched_from(location: Location, job: str) -> RemoteJobOrigin:
    """What Dagster notes with a run of that job which is launched from that code location."""
    return RemoteJobOrigin(_repository(location), job)


def _repository(location: Location) -> RemoteRepositoryOrigin:
    return RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location.name), location.repository)


def edit_runs(instance: DagsterInstance, *run_ids: str, **values: Any) -> None:
    """Have the rows of those runs hold `values`, which Dagster itself would not write."""
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as connection:
        connection.execute(RunsTable.update().where(RunsTable.c.run_id.in_(run_ids)).values(**values))


def daemons_tick(
    instance: DagsterInstance, schedule: ScheduleDefinition, location: Location = OWN, names: Names = PLAIN
) -> ScheduleEvaluationContext:
    """The context of a tick, after the daemon has noted state and tick of the location's schedule as it does."""
    origin, kind = _repository(location).get_instigator_origin(schedule.name), InstigatorType.SCHEDULE
    now = datetime.now(UTC)
    state = InstigatorState(
        origin, kind, InstigatorStatus.RUNNING, ScheduleInstigatorData("*/5 * * * *", now.timestamp())
    )
    if instance.get_instigator_state(state.instigator_origin_id, state.selector_id) is None:
        instance.add_instigator_state(state)
    data = TickData(
        state.instigator_origin_id,
        schedule.name,
        kind,
        TickStatus.STARTED,
        now.timestamp(),
        selector_id=state.selector_id,
    )
    number = str(instance.create_tick(data).tick_id)
    log_key = [location.repository, schedule.name, number]
    resources = wrap_resources_for_execution({"mongo": MongoResource(), NAMES: names})
    return ScheduleEvaluationContext(
        instance.get_ref(), now, log_key, location.repository, schedule.name, resources=resources
    )


def sensor_context(
    instance: DagsterInstance, location: Location = OWN, names: Names | None = None
) -> SensorEvaluationContext:
    """The context in which the daemon lets a sensor of that location tick."""
    context = build_sensor_context(
        instance=instance,
        repository_name=location.repository,
        resources={"mongo": MongoResource(), NAMES: names or Names()},
    )
    context._code_location_origin = RegisteredCodeLocationOrigin(location.name)
    return context


@pytest.fixture(scope="session", autouse=True)
def _migrations_are_read_once() -> Iterator[None]:
    """Alembic reads all migrations for each database that Dagster makes: a fifth of the time of these tests."""
    read, made = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def read_once(config: Config) -> ScriptDirectory:
        location = config.get_main_option("script_location")
        if location not in made:
            made[location] = read(config)
        return made[location]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


@pytest.fixture(scope="session")
def _prepared_home() -> Iterator[Path]:
    """A Dagster home whose databases are made and empty: to make them takes as long as most of these tests."""
    with dagster_home() as home:
        with DagsterInstance.from_config(str(home)):
            pass
        yield home


@pytest.fixture
def instance(_prepared_home: Path) -> Iterator[DagsterInstance]:
    with dagster_home() as home:
        # The home has its dagster.yaml.
        shutil.copytree(_prepared_home, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("dagster.yaml"))
        with DagsterInstance.from_config(str(home)) as made:
            yield made


@pytest.fixture
def mongodb_env(monkeypatch: pytest.MonkeyPatch, mongo_uri: str, db: AlertDatabase) -> None:
    """The settings that a run reads name the test's own database."""
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", db.name)


@pytest.fixture
def execute(instance: DagsterInstance, mongodb_env: None) -> Execute:
    """Execute a job by name in this process, as if launched from `location`; `config` is that of its op."""

    def run(
        job: str = "auto_close_job", op: str = "auto_close", location: Location | None = None, **config: Any
    ) -> ExecuteInProcessResult:
        run_config = {"ops": {op: {"config": config}}}
        return execute_in(location, instance, job, run_config=run_config, raise_on_error=False)

    return run


def execute_in(
    location: Location | None, instance: DagsterInstance, job: str, **options: Any
) -> ExecuteInProcessResult:
    """Execute a job in this process, its run noted as launched from that location; None: as `dagster job execute`."""
    create = instance.create_run_for_job

    def create_there(**noted: Any) -> DagsterRun:
        return create(**noted, remote_job_origin=launched_from(location, job) if location else None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance, "create_run_for_job", create_there)
        return build_defs().resolve_job_def(job).execute_in_process(instance=instance, **options)


def scan_metadata(result: ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of each asset that the scan materialized, by asset."""
    found = {}
    for spec in SCAN_ASSETS:
        for materialization in result.asset_materializations_for_node("auto_close"):
            if materialization.asset_key == spec.key:
                found[spec.key.to_user_string()] = {k: v.value for k, v in materialization.metadata.items()}
    return found


def dry_run_metadata(result: ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of `dry_runs`, the one asset that a dry run materializes."""
    (found,) = result.asset_materializations_for_node("dry_run")
    assert found.asset_key.to_user_string() == "dry_runs"
    return {name: value.value for name, value in found.metadata.items()}


def check_verdicts(result: ExecuteInProcessResult) -> dict[str, bool]:
    """Whether each check that was evaluated passed, by name."""
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def observed(result: ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of the one asset that the run observed, and the asset's key as `asset`."""
    (event,) = [event for event in result.all_events if event.event_type is DagsterEventType.ASSET_OBSERVATION]
    observation = event.asset_observation_data.asset_observation
    return {"asset": observation.asset_key.to_user_string()} | {k: v.value for k, v in observation.metadata.items()}


def output_metadata(result: ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata that the run's page shows with the output of its one op."""
    (event,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def in_one_line(cell: Any) -> Any:
    """What a table's cell says, wherever its lines end."""
    return cell.replace("\n", " ") if isinstance(cell, str) else cell


def failure_text(result: ExecuteInProcessResult, op: str = "auto_close") -> str:
    """What the step that failed says of it."""
    data = result.failure_data_for_node(op)
    assert data is not None
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """The only receiver of notifications."""
    with webhook() as inbox:
        monkeypatch.setenv(NOTIFY_VARIABLE, f"json://127.0.0.1:{inbox.port}")
        yield inbox


@pytest.fixture
def tick(instance: DagsterInstance) -> Ticks:
    """Ticks of the notification sensor."""
    return Ticks(sensor_context(instance))
