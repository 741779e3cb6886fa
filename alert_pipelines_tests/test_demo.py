"""`scripts/demo` as the README has it: on the generated week and on a file, again, and two at a time."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.defs.monitoring.health_checks import HEALTH_CHECKS
from alert_pipelines.defs.monitoring.index_checks import INDEX_ADVICE
from alert_pipelines.defs.own_runs import Location, location_of_run
from alert_pipelines.mongo import MongoSettings, open_database
from alert_pipelines_tests.patience import LIMIT_S

HEALTH_KEYS = [spec.key for spec in HEALTH_CHECKS]
VERDICTS = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}

CHECKOUT = Path(__file__).parents[1]

ALERTS = """id,at,driver
A,2026-03-01T10:00:00Z,D1
B,2026-03-01T11:30:00Z,D2
C,2026-03-01T13:00:00Z,D3
"""
MAPPING = """
format: csv
alert_id: {column: id}
source_type: {constant: OVERSPEEDING}
severity: {constant: WARNING}
timestamp: {column: at}
metadata: {driver_id: {column: driver}}
"""

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        Path(sys.prefix) != CHECKOUT / ".venv",
        reason="the script would make the environment .venv, which is not this one",
    ),
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The checkout as its reader has it, with a `.local` that is nobody else's."""
    made = tmp_path / "clone"
    made.mkdir()
    shutil.copytree(CHECKOUT / "scripts", made / "scripts")
    for entry in CHECKOUT.iterdir():
        if entry.name not in {".git", ".local", "build", "scripts"}:
            (made / entry.name).symlink_to(entry)
    return made


def environment(mongo_uri: str | None) -> dict[str, str]:
    """That of this process, on the test's own server, or on none: then a demo starts its own."""
    others = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    return {**others, "AUTO_CLOSE_MAX_FRACTION": "0.5", **({"MONGODB_URI": mongo_uri} if mongo_uri else {})}


def demo(clone: Path, mongo_uri: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script from another directory."""
    command = [str(clone / "scripts" / "demo"), *arguments]
    env = environment(mongo_uri)
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=600, check=False)


def printed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def record(printed: str) -> dict[str, str]:
    """The job record as the demo shows it."""
    return dict(re.findall(r"^(\w+): (.*)$", printed.partition("== What it did")[2], re.MULTILINE))


def test_two_demos_at_once_shared_a_database_and_the_second_was_refused_by_the_scan_of_the_first(
    clone: Path, mongo_uri: str
) -> None:
    day = datetime.now(UTC).date()
    command = [str(clone / "scripts" / "demo")]
    with subprocess.Popen(command, env=environment(mongo_uri), stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == f"== Demo in {clone}/.local/demo\n"
        second = demo(clone, mongo_uri)
        said = first.stdout.read()
    assert second.returncode == 1
    assert second.stderr == (
        f"The demo in {clone}/.local/demo is running already (process {first.pid}): wait for its end, or stop it with: "
        f"kill {first.pid}\n"
    )
    assert first.returncode == 0
    assert f"database alert_pipelines_demo, Dagster in {clone}/.local/demo/dagster" in said
    assert record(said)["status"] == "completed"
    assert int(record(said)["alerts_closed"]) > 0
    assert int(record(said)["alerts_escalated"]) > 0
    incidents = said.partition("== What became of the week's incidents")[2]
    assert re.search(r"Storm at depot Bremen: .*  12 OPEN, 12 ESCALATED by safety$", incidents, re.MULTILINE)
    assert "Of them, scans report these as malformed: AWKWARD-TIMESTAMP-TEXT" in incidents
    with DagsterInstance.from_config(str(clone / ".local" / "demo" / "dagster")) as instance:
        runs = instance.get_runs()
        closed = instance.get_latest_materialization_event(AssetKey("closed_alerts"))
        pages = [instance.get_latest_materialization_event(AssetKey(page)) for page in ("today", "rules_overview")]
        evaluated = instance.event_log_storage.get_latest_asset_check_execution_by_key([INDEX_ADVICE.key, *HEALTH_KEYS])
    assert len(runs) == 4
    assert {location_of_run(run) for run in runs} == {Location(CODE_LOCATION, "__repository__")}, "not in the timeline"
    assert closed is not None
    assert closed.asset_materialization is not None
    leads = closed.asset_materialization.metadata["undo or explain"].value
    assert "/jobs/undo_job/playground/setup?" in str(leads), "the first scan had no link to its undo"
    assert all(pages), "the first page that a newcomer opens was empty until the next hour"
    assert {*evaluated} == {INDEX_ADVICE.key, *HEALTH_KEYS}, "checks were not evaluated until the next hour"
    assert all(one.status in VERDICTS for one in evaluated.values())
    again = printed(demo(clone, mongo_uri))
    if datetime.now(UTC).date() != day:
        # The ids hold the day, so that only two demos of one day have the same alerts.
        printed(demo(clone, mongo_uri))
        again = printed(demo(clone, mongo_uri))
    assert record(again)["status"] == "completed"
    assert "4013 already there" in again
    with open_database(MongoSettings(mongo_uri, "alert_pipelines_demo", clone)) as db:
        db.client.drop_database(db.name)


def test_a_file_until_an_instant_is_loaded_and_scanned_as_of_it_while_the_demo_of_the_week_runs(
    clone: Path, tmp_path: Path
) -> None:
    files = {
        "alerts.csv": ALERTS,
        "mine.yaml": MAPPING,
        "rules.yaml": "overspeed: {expire_after_mins: 60}",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    data, mapping, rules = (str(tmp_path / name) for name in files)
    (clone / ".local" / "demo").mkdir(parents=True)
    in_its_shell = "source .local/demo_mine/environment; alert-pipelines"
    given = ("--data", data, "--mapping", mapping, "--rules", rules, "--until", "2026-03-01T12:00")
    with (clone / ".local" / "demo" / "running").open("w") as week:
        fcntl.flock(week, fcntl.LOCK_EX)
        try:
            said = printed(demo(clone, None, *given))
            shown = bash(f"{in_its_shell} mongo status; alert-pipelines alerts list", clone)
        finally:
            stopped = bash(f"{in_its_shell} mongo stop", clone)
    assert "2 alerts inserted" in said
    assert record(said)["as_of"] == "2026-03-01T12:00:00+00:00"
    assert (record(said)["alerts_processed"], record(said)["alerts_closed"]) == ("2", "1")
    assert "    source .local/demo_mine/environment\n    scripts/dev\n" in said
    assert "    alert-pipelines mongo stop\n" in said
    uri = re.search(r"^== MongoDB\n(mongodb://127\.0\.0\.1:\d+/\S*)$", said, re.MULTILINE)
    assert uri, said
    assert uri[1] in shown
    assert "alert-pipelines explain B" in shown
    assert "Stopped." in stopped


def bash(commands: str, clone: Path) -> str:
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=clone,
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_arguments_that_make_no_sense_are_answered_with_the_usage() -> None:
    done = subprocess.run(
        [str(CHECKOUT / "scripts" / "demo"), "--data", "x.csv"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "scripts/demo --data FILE --mapping FILE" in done.stderr
