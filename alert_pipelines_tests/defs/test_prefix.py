"""Two copies in one workspace: a prefix puts apart all that Dagster knows by name, and each scans its own database."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    Definitions,
    ExecuteInProcessResult,
    RunRequest,
    SkipReason,
)
from dagster._core.test_utils import create_run_for_test

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs import links
from alert_pipelines.defs.loading.inbox_sensor import inbox_sensor
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan.runs import ThisCopy
from alert_pipelines.defs.scan.stalled_runs import disown_tags_of_unbegun, end_overdue_runs
from alert_pipelines.errors import SchedulerError, SettingsError
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scheduler import is_scheduler_running
from alert_pipelines_tests.defs.conftest import daemons_tick, launched_from, sensor_context
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule

NORTH, SOUTH = (Location(name, "__repository__") for name in ("north", "south"))
EXPIRE = rule("old", {"expire_after_mins": 60})


def names_of(made: Definitions) -> dict[str, set[Any]]:
    repository = made.get_repository_def()
    graph = repository.asset_graph
    keys = graph.get_all_asset_keys()
    return {
        "assets": set(keys),
        "checks": set(graph.asset_check_keys),
        "groups": {graph.get(key).group_name for key in keys},
        "jobs": {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"},
        "schedules": {schedule.name for schedule in repository.schedule_defs},
        "sensors": {sensor.name for sensor in repository.sensor_defs},
    }


def test_two_copies_had_each_others_assets_checks_and_jobs() -> None:
    copies = [names_of(build_defs(key_prefix=prefix)) for prefix in (None, "north", "south")]
    for kind in copies[0]:
        first, second, third = (copy[kind] for copy in copies)
        assert len(first) == len(second) == len(third) > 0
        assert not first & second
        assert not second & third
    assert copies[1]["jobs"] == {f"north_{name}" for name in copies[0]["jobs"]}
    assert copies[1]["assets"] == {AssetKey(["north", *key.path]) for key in copies[0]["assets"]}


def test_each_job_and_schedule_of_a_copy_is_what_the_plain_one_is() -> None:
    plain, north = (build_defs(key_prefix=prefix).get_repository_def() for prefix in (None, "north"))
    names = Names(prefix="north")
    for job in plain.get_all_jobs():
        if job.name == "__ASSET_JOB":
            continue
        copy = north.get_job(names.name(job.name))
        assert (copy.tags, copy.description) == (job.tags, job.description)
        assert (copy.executor_def.name, copy.partitions_def) == (job.executor_def.name, job.partitions_def)
        layers = (job.asset_layer, copy.asset_layer)
        assert {names.key(key) for key in layers[0].selected_asset_keys} == layers[1].selected_asset_keys
        checks = [one.asset_graph.asset_check_keys for one in layers]
        assert {names.check(key) for key in checks[0]} == checks[1]
    for schedule in plain.schedule_defs:
        other = north.get_schedule_def(names.name(schedule.name))
        assert (other.cron_schedule, other.job_name, other.default_status, other.execution_timezone) == (
            schedule.cron_schedule,
            names.name(schedule.job_name),
            schedule.default_status,
            "UTC",
        )


def test_the_inbox_of_a_copy_launches_its_own_job() -> None:
    for prefix, job in ((None, "load_alerts_job"), ("north", "north_load_alerts_job")):
        sensors = build_defs(key_prefix=prefix).get_repository_def().sensor_defs
        targets = {sensor.name.removeprefix("north_"): [each.job_name for each in sensor.targets] for sensor in sensors}
        assert targets["inbox_sensor"] == [job]
        assert targets["dead_scan_sensor"] == []


def test_the_variable_is_the_prefix_where_nobody_gives_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_PIPELINES_PREFIX", "south")
    assert "south_auto_close_job" in names_of(build_defs())["jobs"]
    assert "north_auto_close_job" in names_of(build_defs(key_prefix="north"))["jobs"]


@pytest.mark.parametrize("prefix", ["no/slash", "1st", "two words", "ü", "x" * 31])
def test_a_prefix_that_dagster_would_refuse_is_named(prefix: str) -> None:
    with pytest.raises(SettingsError, match="ALERT_PIPELINES_PREFIX is not a valid prefix: expected a letter, then"):
        build_defs(key_prefix=prefix)


class Copy:
    """One of two copies: its names, its code location, its database."""

    def __init__(self, location: Location, db: AlertDatabase, uri: str, instance: DagsterInstance) -> None:
        self.location, self.db, self._uri, self._instance = location, db, uri, instance
        self._made = build_defs(key_prefix=location.name)

    def execute(self, job: str = "auto_close_job", **options: Any) -> ExecuteInProcessResult:
        name = f"{self.location.name}_{job}"
        create = self._instance.create_run_for_job

        def create_there(**noted: Any) -> Any:
            return create(**noted, remote_job_origin=launched_from(self.location, name))

        with self.environment(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(self._instance, "create_run_for_job", create_there)
            job_def = self._made.resolve_job_def(name)
            return job_def.execute_in_process(instance=self._instance, raise_on_error=False, **options)

    def tick(self) -> bool:
        """Whether a tick of its schedule makes a scan."""
        schedule = self._made.get_repository_def().get_schedule_def(f"{self.location.name}_auto_close_schedule")
        names = Names(prefix=self.location.name)
        with self.environment(), daemons_tick(self._instance, schedule, self.location, names) as context:
            return bool(schedule.evaluate_tick(context).run_requests)

    @contextmanager
    def environment(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MONGODB_URI", self._uri)
            patch.setenv("MONGODB_DATABASE", self.db.name)
            yield


@pytest.fixture
def copies(db: AlertDatabase, mongo_uri: str, instance: DagsterInstance) -> Iterator[list[Copy]]:
    with open_database(MongoSettings(mongo_uri, f"{db.name}_s", Path())) as other:
        yield [Copy(NORTH, db, mongo_uri, instance), Copy(SOUTH, other, mongo_uri, instance)]
        other.client.drop_database(other.name)


def keys_of(result: ExecuteInProcessResult, *kinds: DagsterEventType) -> set[str]:
    """The assets that the run's events are about."""
    found = [event for event in result.all_events if event.event_type in kinds]
    return {event.asset_key.to_user_string() for event in found if event.asset_key}


def test_what_a_copy_scans_is_on_its_own_assets_and_leads_to_its_own_jobs(copies: list[Copy]) -> None:
    north, _ = copies
    fill(north.db, [alert("old", minutes=120)], EXPIRE)
    scan = {"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}}
    dry_run = {"ops": {"dry_run": {"config": {"as_of": AS_OF.isoformat()}}}}
    seen = north.execute("dry_run_job", run_config=dry_run)
    assert keys_of(seen, DagsterEventType.ASSET_MATERIALIZATION) == {"north/dry_runs"}
    result = north.execute(run_config=scan)
    assert keys_of(result, DagsterEventType.ASSET_MATERIALIZATION) == {
        "north/alert_rules",
        "north/closed_alerts",
        "north/escalated_alerts",
        "north/background_jobs",
    }
    checks = {check.asset_check_key.to_user_string() for check in result.get_asset_check_evaluations()}
    assert {key.partition(":")[0] for key in checks} == {
        "north/alert_rules",
        "north/closed_alerts",
        "north/background_jobs",
    }
    (closed,) = [
        event for event in result.asset_materializations_for_node("auto_close") if "closed" in str(event.asset_key)
    ]
    leads = str(closed.metadata["undo or explain"].value)
    assert set(re.findall(r"/locations/(north/jobs/\w+)/", leads)) == {
        "north/jobs/north_explain_alert_job",
        "north/jobs/north_undo_job",
        "north/jobs/north_list_decisions_job",
    }


def test_no_event_is_about_a_key_without_its_prefix() -> None:
    sources = [path.read_text() for path in Path(links.__file__).parent.rglob("*.py")]
    keys = {key for text in sources for key in re.findall(r"(?:asset_key=|AssetObservation\(\s*)([\w.]+)", text)}
    # `alerts` is names.key(ALERTS), handed to what makes the event.
    assert keys == {"names.key", "alerts"}


@pytest.mark.parametrize(
    ("job", "run_config", "observed"),
    [
        ("publish_rules_job", {}, {"north/alert_rules"}),
        ("check_health_job", {}, set()),
        ("check_indexes_job", {}, set()),
        ("undo_job", {"ops": {"undo": {"config": {"job_id": "latest"}}}}, {"north/alerts"}),
    ],
)
def test_the_other_jobs_of_a_copy_are_about_its_own_assets(
    copies: list[Copy], job: str, run_config: dict[str, Any], observed: set[str]
) -> None:
    north, south = copies
    fill(north.db, [alert("old", minutes=120)], EXPIRE)
    assert north.execute(run_config={"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}}).success
    result = north.execute(job, run_config=run_config)
    assert result.success
    assert keys_of(result, DagsterEventType.ASSET_OBSERVATION) == observed
    checks = result.get_asset_check_evaluations()
    assert all(check.asset_key.path[0] == "north" for check in checks)
    assert bool(checks) == job.startswith("check_")
    assert south.db.background_jobs.count_documents({}) == 0


def tags_of(result: ExecuteInProcessResult, instance: DagsterInstance) -> dict[str, str]:
    """What the package's own tags of a run say."""
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return {name: value for name, value in run.tags.items() if not name.startswith(("dagster/", ".dagster/"))}


def test_run_tags_of_two_copies_had_the_same_names(copies: list[Copy], instance: DagsterInstance) -> None:
    north, _ = copies
    fill(north.db, [alert("old", minutes=120)], EXPIRE)
    scan = north.execute(run_config={"ops": {"auto_close": {"config": {"as_of": AS_OF.isoformat()}}}})
    job_id = north.db.background_jobs.distinct("job_id")[0]
    done = {"north_closed": "1", "north_escalated": "0"}
    assert tags_of(scan, instance) == {"north_job_id": job_id, "north_database": north.db.name, **done}
    undo = {"job_id": job_id, "dry_run": False}
    result = north.execute("undo_job", run_config={"ops": {"undo": {"config": undo}}})
    record = north.db.background_jobs.find_one({"run_id": result.run_id}) or {}
    undone = {"north_job_id": record["job_id"], "north_database": north.db.name, "north_undone": "1"}
    assert tags_of(result, instance) == undone


def test_a_repeat_of_a_copy_loses_its_own_tags_and_keeps_the_others(instance: DagsterInstance) -> None:
    tags = {"north_job_id": "JOB-1", "job_id": "JOB-2"}
    job = "north_auto_close_job"
    made: dict[str, Any] = {"job_name": job, "tags": tags, "remote_job_origin": launched_from(NORTH, job)}
    first = create_run_for_test(instance, **made)
    repeat = create_run_for_test(instance, **made, parent_run_id=first.run_id, root_run_id=first.run_id)
    disown_tags_of_unbegun(ThisCopy(instance, NORTH, Names(prefix="north")))
    found = instance.get_run_by_id(repeat.run_id)
    assert found is not None
    assert {name: found.tags[name] for name in tags} == {**tags, "north_job_id": ""}


@pytest.mark.parametrize("prefix", [None, "north"])
def test_the_inbox_of_a_copy_tags_and_finds_its_own_runs(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str | None
) -> None:
    (tmp_path / "pagerduty").mkdir()
    file = tmp_path / "pagerduty" / "night.csv"
    file.write_text("id\n")
    os.utime(file, (0, 0))
    monkeypatch.setenv("ALERT_PIPELINES_INBOX", str(tmp_path))
    names = Names(prefix=prefix)
    asked = inbox_sensor(sensor_context(instance, NORTH, names))
    assert isinstance(asked, RunRequest)
    tag = names.name("alert_pipelines/inbox_file")
    assert list(asked.tags) == [tag]
    job = names.name("load_alerts_job")
    create_run_for_test(instance, job_name=job, tags=asked.tags, remote_job_origin=launched_from(NORTH, job))
    again = inbox_sensor(sensor_context(instance, NORTH, names))
    assert isinstance(again, SkipReason)
    assert "night.csv is being loaded by run" in str(again.skip_message)


@pytest.mark.slow
def test_reports_of_two_copies_went_into_one_directory(copies: list[Copy], instance: DagsterInstance) -> None:
    root = Path(instance.root_directory)
    for copy in copies:
        assert copy.execute("daily_report_job", partition_key="2025-01-15").success
        assert copy.execute("backtest_job", partition_key="2025-01-15").success
    for kind in ("reports", "backtests"):
        assert not (root / kind).exists()
        for copy in copies:
            assert list((root / f"{copy.location.name}_{kind}").rglob("*.html"))


@pytest.mark.slow
def test_two_databases_are_scanned_side_by_side_each_by_its_own_ticks(
    copies: list[Copy], instance: DagsterInstance
) -> None:
    for _ in range(10):
        queued = []
        # Both tick before either scan has begun.
        for copy in copies:
            assert copy.tick()
            job = f"{copy.location.name}_auto_close_job"
            run = create_run_for_test(
                instance,
                job_name=job,
                status=DagsterRunStatus.QUEUED,
                remote_job_origin=launched_from(copy.location, job),
            )
            queued.append(run)
            assert not copy.tick()
        for copy, run in zip(copies, queued, strict=True):
            assert copy.execute().success
            instance.report_run_canceled(run)
    for copy in copies:
        assert copy.db.background_jobs.count_documents({"status": "completed"}) == 10


def test_a_copy_ends_its_own_overdue_runs_and_not_those_of_other_names(
    copies: list[Copy], instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_pipelines.defs.scan.stalled_runs.LONGEST_START_S", -1.0)
    runs = {
        job: create_run_for_test(
            instance,
            job_name=job,
            status=DagsterRunStatus.STARTING,
            remote_job_origin=launched_from(NORTH, job),
            **more,
        )
        for job, more in [
            ("north_auto_close_job", {}),
            ("auto_close_job", {}),
            ("__ASSET_JOB", {"asset_selection": frozenset({AssetKey("closed_alerts")})}),
        ]
    }
    ended = end_overdue_runs(ThisCopy(instance, NORTH, Names(prefix="north")))
    assert ended == [f"run {runs['north_auto_close_job'].run_id}"]


def test_the_scheduler_functions_find_the_schedule_of_the_copy(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_PIPELINES_PREFIX", "north")
    with pytest.raises(SchedulerError, match="does not know north_auto_close_schedule yet"):
        is_scheduler_running(instance)
    schedule = build_defs().get_repository_def().get_schedule_def("north_auto_close_schedule")
    daemons_tick(instance, schedule, NORTH)
    with pytest.raises(SchedulerError, match="set ALERT_PIPELINES_PREFIX before alert_pipelines is imported"):
        is_scheduler_running(instance)
    monkeypatch.setattr("alert_pipelines.definitions.defs", build_defs())
    assert not is_scheduler_running(instance)
