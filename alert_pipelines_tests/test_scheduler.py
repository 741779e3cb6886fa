"""The scheduler's functions and the command `schedule`, on a real instance without a daemon.

With one: see defs/test_processes.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from click.testing import CliRunner, Result
from dagster import DagsterInstance, instance_for_test
from dagster._core.scheduler.instigation import ScheduleInstigatorData
from dagster._daemon.types import DaemonHeartbeat
from dagster._scheduler.scheduler import _write_and_get_next_checkpoint_timestamp
from dagster_shared.error import SerializableErrorInfo

from alert_pipelines import scheduler
from alert_pipelines.cli.root import cli
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.errors import SchedulerError
from alert_pipelines.scheduler import get_scheduler_status, is_scheduler_running, shutdown_scheduler, start_scheduler
from alert_pipelines_tests.dagster_processes import dagster_home
from alert_pipelines_tests.defs.conftest import daemons_tick
from alert_pipelines_tests.patience import wait_until

NOT_RUNNING = {
    "running": False,
    "jobs": [{"id": "auto_close_scanner", "name": "Auto-close alert scanner", "next_run_time": None}],
}
ASKS = (start_scheduler, shutdown_scheduler, is_scheduler_running, get_scheduler_status)
SCHEDULE = build_schedule("*/5 * * * *")
DAEMONS = ("SCHEDULER", "QUEUED_RUN_COORDINATOR")


@pytest.fixture
def new_instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    # There is no daemon whose round would have to be waited for.
    monkeypatch.setattr(scheduler, "_ROUND_S", 0.0)
    monkeypatch.setattr(scheduler, "_SHORTEST_ROUND_S", 0.0)
    with dagster_home() as home:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with DagsterInstance.get() as made:
            yield made


@pytest.fixture
def instance(new_instance: DagsterInstance) -> DagsterInstance:
    """One whose daemon has seen the schedule, as it does within seconds of its start."""
    daemons_tick(new_instance, SCHEDULE)
    return new_instance


def beat(instance: DagsterInstance, *daemons: str, ago_s: float = 0) -> None:
    """The heartbeats that a daemon writes."""
    for daemon in daemons:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago_s, daemon, "one"))


def test_without_a_daemon_nothing_runs_even_if_the_schedule_is_on(instance: DagsterInstance) -> None:
    assert start_scheduler() == NOT_RUNNING
    assert not is_scheduler_running()


def test_one_error_of_a_daemon_stopped_the_scheduler_in_the_status_while_ticks_went_on(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "*/5 * * * *")
    error = SerializableErrorInfo("the storage was away for a moment", [], "OperationalError")
    for daemon in DAEMONS:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), daemon, "one", [error]))
    assert is_scheduler_running()


def test_without_a_queue_the_scheduler_never_ran_in_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "*/5 * * * *")
    launching = {"run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}}
    with instance_for_test(overrides=launching) as direct:
        daemons_tick(direct, SCHEDULE)
        beat(direct, "SCHEDULER")
        assert is_scheduler_running(direct)


def test_the_status_of_a_living_scheduler_says_when_the_next_scan_is(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "*/5 * * * *")
    beat(instance, *DAEMONS)
    before = datetime.now(UTC)
    status = get_scheduler_status()
    assert status["running"]
    (job,) = status["jobs"]
    assert (job["id"], job["name"]) == ("auto_close_scanner", "Auto-close alert scanner")
    assert job["next_run_time"] is not None
    next_run = datetime.fromisoformat(job["next_run_time"])
    assert next_run.utcoffset() == timedelta(0)
    assert next_run.minute % 5 == 0
    assert before < next_run <= datetime.now(UTC) + timedelta(minutes=5)


def test_it_is_switched_off_and_on_and_keeps_so_when_asked_twice(instance: DagsterInstance) -> None:
    beat(instance, *DAEMONS)
    assert shutdown_scheduler() == shutdown_scheduler() == NOT_RUNNING
    assert not is_scheduler_running(instance)
    assert start_scheduler()["running"]
    assert start_scheduler()["running"]
    assert is_scheduler_running(instance)


@pytest.mark.parametrize("at", ["its start", "the start of a minute"])
@pytest.mark.parametrize("on", [False, True])
def test_what_was_switched_was_undone_by_the_daemon_which_had_read_the_state_before(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, at: str, *, on: bool
) -> None:
    beat(instance, *DAEMONS)
    switch, switch_back = (start_scheduler, shutdown_scheduler) if on else (shutdown_scheduler, start_scheduler)
    switch_back()
    if at == "its start":
        monkeypatch.setattr(scheduler, "_SHORTEST_ROUND_S", 2.0)
    else:
        monkeypatch.setattr(scheduler, "_ROUND_S", time.time() % 60 + 2.0)
    [read] = instance.all_instigator_state()
    data = read.instigator_data
    assert isinstance(data, ScheduleInstigatorData)

    def switched() -> bool:
        return is_on(instance) is on

    checkpoint = partial(_write_and_get_next_checkpoint_timestamp, instance, read, data, time.time())
    daemon = threading.Timer(0.0, lambda: wait_until(switched, "the switch", every_s=0.01) and checkpoint())
    daemon.start()
    try:
        assert switch()["running"] is on
    finally:
        daemon.join()
    assert switched()


def is_on(instance: DagsterInstance) -> bool:
    [state] = instance.all_instigator_state()
    return bool(state.is_running)


@pytest.mark.parametrize(
    ("daemons", "ago_s", "expected"), [(DAEMONS, 60, True), (DAEMONS, 100, False), (DAEMONS[:1], 0, False)]
)
def test_a_daemon_that_died_or_lacks_a_part_makes_no_ticks(
    instance: DagsterInstance, daemons: tuple[str, ...], ago_s: float, *, expected: bool
) -> None:
    beat(instance, *daemons, ago_s=ago_s)
    assert is_scheduler_running() is expected


def test_the_setting_off_is_not_overruled(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    beat(instance, *DAEMONS)
    start_scheduler()
    monkeypatch.setenv("AUTO_CLOSE_CRON", "off")
    assert get_scheduler_status() == NOT_RUNNING
    with pytest.raises(SchedulerError, match="AUTO_CLOSE_CRON is off"):
        start_scheduler()


def test_without_a_dagster_home_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    for ask in ASKS:
        with pytest.raises(SchedulerError, match="DAGSTER_HOME is not set"):
            ask()


def state_of(instance: DagsterInstance) -> dict[str, bool]:
    """Whether the schedule is on, by code location."""
    return {
        state.origin.repository_origin.code_location_origin.location_name: state.is_running
        for state in instance.all_instigator_state()
    }


def test_a_schedule_of_another_name_of_the_location_was_said_to_be_off_and_went_on(
    new_instance: DagsterInstance,
) -> None:
    beat(new_instance, *DAEMONS)
    daemons_tick(new_instance, SCHEDULE, Location("alert_pipelines.definitions", "__repository__"))
    assert is_scheduler_running()
    assert shutdown_scheduler() == NOT_RUNNING
    assert state_of(new_instance) == {"alert_pipelines.definitions": False}
    assert start_scheduler()["running"]
    assert state_of(new_instance) == {"alert_pipelines.definitions": True}


@pytest.mark.parametrize("ask", ASKS)
def test_where_no_schedule_or_several_match_nothing_is_said_to_be_off(
    new_instance: DagsterInstance, ask: Callable[..., object]
) -> None:
    beat(new_instance, *DAEMONS)
    with pytest.raises(SchedulerError, match="does not know auto_close_schedule yet: start dagster-daemon"):
        ask()
    for name in ("north", "south"):
        daemons_tick(new_instance, SCHEDULE, Location(name, "__repository__"))
    with pytest.raises(SchedulerError, match="in several code locations of this Dagster instance: north, south"):
        ask()
    assert state_of(new_instance) == {"north": True, "south": True}


def test_of_two_copies_the_one_that_is_named_is_switched(new_instance: DagsterInstance) -> None:
    beat(new_instance, *DAEMONS)
    for name in ("north", "south"):
        daemons_tick(new_instance, SCHEDULE, Location(name, "__repository__"))
    assert not shutdown_scheduler(location="south")["running"]
    assert state_of(new_instance) == {"north": True, "south": False}
    assert is_scheduler_running(location="north")
    assert not is_scheduler_running(location="south")


@pytest.mark.parametrize("ask", ASKS)
def test_a_misspelt_location_was_said_to_be_off_and_scans_went_on(
    new_instance: DagsterInstance, ask: Callable[..., object]
) -> None:
    beat(new_instance, *DAEMONS)
    daemons_tick(new_instance, SCHEDULE, Location("north", "__repository__"))
    with pytest.raises(SchedulerError, match=r"'nroth' is not a valid code location here: expected .*, north\. If"):
        ask(location="nroth")
    assert state_of(new_instance) == {"north": True}


def command(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["schedule", *arguments], prog_name="alert-pipelines")
    assert result.exit_code == code, result.output
    return result


def test_the_next_scan_and_the_switch_could_not_be_asked_for(instance: DagsterInstance) -> None:
    beat(instance, *DAEMONS)
    when = r"\S+, (in \d+ (min|s)|now)"
    on = rf"auto_close_schedule of \S+ is on \(\*/5 \* \* \* \*, UTC\)\. The next scan is at {when}\.\n"
    assert re.fullmatch(on, command("status").stdout)
    assert "is off: no scan will be made. `alert-pipelines schedule on`" in command("off").stdout
    assert "is off" in command("status", code=1).stdout
    assert re.fullmatch(on, command("on").stdout)


def test_a_schedule_whose_daemon_does_not_run_says_so(instance: DagsterInstance) -> None:
    beat(instance, "SCHEDULER")
    said = command("status", code=1).stdout
    assert "is on, but no scan will be made: QUEUED_RUN_COORDINATOR of dagster-daemon gave no sign of life" in said
    told = json.loads(command("status", "--json", code=1).stdout)
    assert (told["switched_on"], told["next_tick"]) == (True, None)


def test_the_setting_off_is_named(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    beat(instance, *DAEMONS)
    monkeypatch.setenv("AUTO_CLOSE_CRON", "off")
    assert "AUTO_CLOSE_CRON is off" in command("status", code=1).stdout
    assert "AUTO_CLOSE_CRON is off" in command("on", code=1).stderr


def test_of_several_locations_one_has_to_be_named(instance: DagsterInstance) -> None:
    for name in ("north", "south"):
        daemons_tick(instance, SCHEDULE, Location(name, "__repository__"))
    assert "--location " in command("status", code=1).stderr
    assert "of south is off" in command("off", "--location", "south").stdout
    assert "of north is on" in command("status", "--location", "north", code=1).stdout
