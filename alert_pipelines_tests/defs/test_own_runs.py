"""Runs and schedules of the instance are looked for in one place, which knows whose they are."""

import re
from pathlib import Path

import pytest

import alert_pipelines

SOURCES = sorted(Path(alert_pipelines.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("asked", ["get_runs", "get_run_records", "all_instigator_state", "schedule_storage"])
def test_runs_and_schedules_of_anybody_were_taken_for_ours_in_four_modules(asked: str) -> None:
    users = {path.name for path in SOURCES if re.search(rf"\.{asked}\b", path.read_text())}
    assert users <= {"own_runs.py"}
