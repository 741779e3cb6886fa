"""The settings file that keeps Dagster's storage in Postgres; deploy/test_processes.py runs a Dagster by it."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance

from alert_pipelines_tests.dagster_processes import CHECKOUT, dagster_home

SETTINGS = CHECKOUT / "deploy" / "dagster-postgres.yaml"


def test_the_two_settings_files_differ_in_nothing_but_storage() -> None:
    sqlite, postgres = (yaml.safe_load(path.read_text()) for path in (CHECKOUT / "dagster.yaml", SETTINGS))
    assert set(postgres.pop("storage")["postgres"]["postgres_db"]) == {
        "scheme",
        "hostname",
        "port",
        "db_name",
        "username",
        "password",
    }
    assert postgres == sqlite
    # What a person reads of them, too.
    begin = "\n# One run at a time"
    shared = [path.read_text().partition(begin)[2] for path in (CHECKOUT / "dagster.yaml", SETTINGS)]
    assert shared[0] == shared[1] != ""


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DAGSTER_POSTGRES_")]:
        monkeypatch.delenv(name)
    with dagster_home(SETTINGS) as home, pytest.raises(Exception, match="DAGSTER_POSTGRES_"):
        open_instance(home)


def open_instance(home: Path) -> Any:
    with DagsterInstance.from_config(str(home)) as instance:
        return instance.get_runs(limit=1)
