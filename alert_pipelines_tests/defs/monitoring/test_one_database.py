"""Two databases scanned from one Dagster under the same names: the check that says so where people look."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import AssetCheckEvaluation, AssetCheckKey, AssetCheckSeverity, AssetKey, DagsterInstance

from alert_pipelines.defs.monitoring import one_database as module
from alert_pipelines.defs.monitoring.one_database import ONE_DATABASE
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines_tests.defs.conftest import OWN, execute_in
from alert_pipelines_tests.factories import alert, fill, rule

Switch = Callable[[AlertDatabase], None]

CHECK = AssetCheckKey(AssetKey("health"), ONE_DATABASE)
LAUNCHED = pytest.mark.parametrize("location", [OWN, None], ids=["from the UI", "from a shell"])


@pytest.fixture
def other(db: AlertDatabase, mongo_uri: str, mongodb_env: None) -> Iterator[AlertDatabase]:
    """A second database, empty."""
    with open_database(MongoSettings(mongo_uri, f"{db.name}_b", Path())) as made:
        yield made
        made.client.drop_database(made.name)


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Switch:
    """Have the next runs be of that database."""
    return lambda db: monkeypatch.setenv("MONGODB_DATABASE", db.name)


def shown(instance: DagsterInstance) -> AssetCheckEvaluation | None:
    """What the page of `health` shows of the check."""
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK]).get(CHECK)
    event = record.event.dagster_event if record and record.event else None
    return event.asset_check_evaluation_data if event else None


@LAUNCHED
def test_a_scan_of_an_empty_second_database_turned_a_red_check_green_without_a_word(
    instance: DagsterInstance, db: AlertDatabase, other: AlertDatabase, switch: Switch, location: Location | None
) -> None:
    fill(db, [alert(minutes=120)], rule("old", {"expire_after_mins": 60, "max_close": 0}))
    blocked = execute_in(OWN, instance, "auto_close_job", raise_on_error=False)
    assert {one.check_name for one in blocked.get_asset_check_evaluations() if not one.passed} == {"within_limits"}
    assert shown(instance) is None
    switch(other)
    assert execute_in(location, instance, "auto_close_job").success
    mixed = shown(instance)
    assert mixed is not None
    assert (mixed.passed, mixed.severity) == (False, AssetCheckSeverity.WARN)
    assert f"now show {other.name}, and events of the last day are of {db.name}, too" in (mixed.description or "")


@pytest.mark.parametrize("job", ["auto_close_job", "dry_run_job", "check_health_job"])
def test_events_of_another_database_from_a_shell_were_unknown_to_the_check(
    instance: DagsterInstance, db: AlertDatabase, other: AlertDatabase, switch: Switch, job: str
) -> None:
    switch(other)
    execute_in(None, instance, job)
    switch(db)
    execute_in(OWN, instance, "check_health_job")
    mixed = shown(instance)
    assert mixed is not None
    assert not mixed.passed
    assert f"now show {db.name}, and events of the last day are of {other.name}, too" in (mixed.description or "")


def test_a_database_that_was_changed_on_purpose_is_the_only_one_a_day_later(
    instance: DagsterInstance, db: AlertDatabase, other: AlertDatabase, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in ("auto_close_job", "check_health_job"):
        execute_in(OWN, instance, job)
    monkeypatch.setattr(module, "_LOOKED_AT", timedelta())
    switch(other)
    for job in ("auto_close_job", "check_health_job"):
        execute_in(OWN, instance, job)
    verdict = shown(instance)
    assert verdict is not None
    assert verdict.passed
