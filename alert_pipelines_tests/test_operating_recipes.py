"""The recipes of docs/operating.md, as they stand there, on a real webserver and daemon.

A recipe is a fenced block. Its very text is what is executed; only words in capitals are filled in, as a reader does.
"""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterRun, DagsterRunStatus, RunsFilter

from alert_pipelines import scheduler
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines_tests.dagster_processes import CHECKOUT, DagsterProcesses, dagster_processes
from alert_pipelines_tests.factories import alert, rule
from alert_pipelines_tests.patience import wait_until

_PAGE = (CHECKOUT / "docs" / "operating.md").read_text()
_SECTION = re.compile(r"^## (.+)\n((?:(?!^## ).*\n?)*)", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)
_INTRODUCTION = "Introduction"
_TESTED: set[str] = set()

TICKING = "*/1 * * * *"
LOCAL_WEBSERVER = "http://127.0.0.1:3000"
ALERTS_CSV = """time,name,ip,host,short,time_label,event_label
1642723200,Suspicious login,192.0.2.1,mail,login,,
"""


def sections() -> dict[str, str]:
    """The page's parts by their headings, what stands before the first one included."""
    return {_INTRODUCTION: _PAGE[: _PAGE.index("\n## ")], **dict(_SECTION.findall(_PAGE))}


def recipe_of(heading: str) -> pytest.MarkDecorator:
    """Give a test the recipe that stands under `heading`."""
    _TESTED.add(heading)
    return pytest.mark.parametrize("recipe", [heading], indirect=True, ids=[heading.replace(" ", "-")])


class Recipe:
    """The blocks of one section, executed in the order of the page."""

    def __init__(self, text: str, dagster: DagsterProcesses, directory: Path) -> None:
        self._text = text
        self._blocks = _BLOCK.findall(text)
        self._dagster = dagster
        self._directory = directory

    def left(self) -> list[tuple[str, str]]:
        """The blocks that nobody has executed yet."""
        return list(self._blocks)

    def graphql(self, **words: str) -> Any:
        """Send the next block to the webserver; the answer's one field."""
        (answer,) = self._dagster.graphql(self._take("graphql", words)).values()
        return answer

    def shell(self, **words: str) -> str:
        """Run the next block in bash and return what it printed."""
        return self._bash(self._take("bash", words).replace(LOCAL_WEBSERVER, self._dagster.url))

    def indented_commands(self, **words: str) -> str:
        """Run all indented lines in bash and return what they printed."""
        return self._bash(_filled_in("\n".join(_INDENTED.findall(self._text)), words))

    def save(self, kind: str, name: str, **words: str) -> None:
        """Save the next block as a file."""
        (self._directory / name).write_text(self._take(kind, words))

    def _take(self, kind: str, words: Mapping[str, str]) -> str:
        found, text = self._blocks.pop(0)
        assert found == kind, text
        return _filled_in(text, words)

    def _bash(self, script: str) -> str:
        return self._run(["bash", "-euo", "pipefail", "-c", script])

    def _run(self, command: list[str]) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self._directory,
            env={**self._dagster.env, "PATH": path},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _filled_in(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        assert word in text, text
        text = text.replace(word, value)
    return text


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[AlertDatabase]:
    with open_database(MongoSettings(mongo_uri, f"test_{uuid.uuid4().hex}", Path())) as made:
        prepare_collections(made)
        made.rules.insert_one(rule("overspeed", {"expire_after_mins": 60}))
        made.alerts.insert_one(alert("ALERT-1", timestamp=datetime.now(UTC)))
        yield made
        made.client.drop_database(made.name)


@pytest.fixture(scope="module")
def dagster(mongo_uri: str, database: AlertDatabase) -> Iterator[DagsterProcesses]:
    settings = {"MONGODB_URI": mongo_uri, "MONGODB_DATABASE": database.name, "AUTO_CLOSE_CRON": TICKING}
    with dagster_processes(settings) as processes:
        yield processes


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What stands at the top of the checkout and the recipes need, and room for their files."""
    for name in ("workspace.yaml", "mappings"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    return tmp_path


@pytest.fixture
def recipe(request: pytest.FixtureRequest, dagster: DagsterProcesses, directory: Path) -> Iterator[Recipe]:
    made = Recipe(sections()[request.param], dagster, directory)
    yield made
    assert made.left() == [], "a recipe of this section was not executed"


def runs_since(dagster: DagsterProcesses, start: datetime, job: str) -> list[DagsterRun]:
    """Runs of `job` that were launched by hand since `start`, the oldest first."""
    records = dagster.instance.get_run_records(RunsFilter(job_name=job, created_after=start), ascending=True)
    return [record.dagster_run for record in records if "dagster/schedule_name" not in record.dagster_run.tags]


def launched(dagster: DagsterProcesses, start: datetime, job: str, number: int) -> list[DagsterRun]:
    """So many runs of `job` launched since `start`, each ended well."""

    def found() -> list[DagsterRun] | None:
        runs = runs_since(dagster, start, job)
        return runs if len(runs) == number else None

    runs = wait_until(found, job)
    return [dagster.wait_for_success(run.run_id) for run in runs]


def test_each_section_with_a_recipe_has_a_test() -> None:
    assert {heading for heading, text in sections().items() if _BLOCK.search(text)} == _TESTED


@pytest.mark.process
@recipe_of(_INTRODUCTION)
def test_a_graphql_request_is_sent_from_a_shell(recipe: Recipe) -> None:
    assert "'version': '1." in recipe.shell()


@pytest.mark.process
@recipe_of("Schedule history")
def test_the_ticks_are_listed_with_what_came_of_them(recipe: Recipe, dagster: DagsterProcesses) -> None:
    ticked = RunsFilter(tags={"dagster/schedule_name": "auto_close_schedule"})
    [run, *_] = wait_until(lambda: dagster.instance.get_runs(ticked), "a tick")
    # The run is there before the tick that asked for it is told so.
    dagster.wait_for_end(run.run_id)
    answer = recipe.graphql()
    assert answer["cronSchedule"] == TICKING
    assert answer["scheduleState"]["status"] == "RUNNING"
    assert any(tick["runIds"] or tick["skipReason"] for tick in answer["scheduleState"]["ticks"])
    assert answer["futureTicks"]["results"]


@pytest.mark.process
@recipe_of("Switch the schedule off and on")
def test_the_schedule_is_switched_from_a_shell_and_over_graphql(recipe: Recipe, dagster: DagsterProcesses) -> None:
    printed = recipe.shell()
    assert re.search(
        r"auto_close_schedule of alert_pipelines is off[\s\S]*auto_close_schedule of alert_pipelines is on", printed
    )
    assert scheduler.is_scheduler_running(dagster.instance)
    state = recipe.graphql()["scheduleState"]
    assert state["status"] == "RUNNING"
    # From here on no tick comes between what the other recipes launch.
    dagster.wait_between_rounds()
    assert recipe.graphql(STATE_ID=state["id"])["scheduleState"]["status"] == "STOPPED"
    assert not scheduler.is_scheduler_running(dagster.instance)


@pytest.mark.process
@recipe_of("Change the interval")
def test_a_new_interval_is_seen_before_it_is_set(recipe: Recipe) -> None:
    assert re.search(r"auto_close_schedule.*\n.*\*/10 \* \* \* \*", recipe.shell())


@pytest.mark.process
@recipe_of("Run a scan now")
def test_a_scan_is_launched_with_config_from_a_shell_and_over_graphql(
    recipe: Recipe, dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    start = datetime.now(UTC)
    recipe.save("yaml", "config.yaml")
    recipe.shell()
    answer = recipe.graphql()
    assert answer["run"]["runId"], answer
    by_file, _, by_graphql = runs = launched(dagster, start, "auto_close_job", 3)
    assert by_graphql.run_id == answer["run"]["runId"]
    records = {run.run_id: database.background_jobs.find_one({"run_id": run.run_id}) or {} for run in runs}
    assert {record["job_type"] for record in records.values()} == {"auto_close_scanner"}
    assert records[by_file.run_id]["as_of"] == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.process
@recipe_of("Make a dry run")
def test_a_dry_run_is_launched_from_a_shell(recipe: Recipe, dagster: DagsterProcesses, database: AlertDatabase) -> None:
    start = datetime.now(UTC)
    recipe.shell()
    ids = [run.run_id for run in launched(dagster, start, "dry_run_job", 2)]
    records = [database.background_jobs.find_one({"run_id": run_id}) or {} for run_id in ids]
    assert [record["job_type"] for record in records] == ["auto_close_dry_run"] * 2


@pytest.mark.process
@recipe_of("Run priority")
def test_a_run_is_launched_with_a_priority(recipe: Recipe, dagster: DagsterProcesses) -> None:
    start = datetime.now(UTC)
    recipe.shell(ALERT_ID="ALERT-1")
    recipe.graphql(ALERT_ID="ALERT-1")
    for run in launched(dagster, start, "explain_alert_job", 2):
        assert run.tags["dagster/priority"] == "20"


@pytest.mark.process
@recipe_of("Repeat a run that failed")
def test_a_failed_run_is_repeated_with_its_config(recipe: Recipe, dagster: DagsterProcesses) -> None:
    config = {"ops": {"explain": {"config": {"alert_id": "LATECOMER"}}}}
    failed = dagster.launch("explain_alert_job", config)
    assert dagster.wait_for_end(failed).status is DagsterRunStatus.FAILURE
    with open_database(_settings(dagster)) as db:
        db.alerts.insert_one(alert("LATECOMER", timestamp=datetime.now(UTC)))
    run = recipe.graphql(RUN_ID=failed)["run"]
    assert run["parentRunId"] == failed
    assert dagster.wait_for_success(run["runId"]).run_config == config


@pytest.mark.process
@recipe_of("List runs")
def test_runs_and_job_records_are_listed(recipe: Recipe, dagster: DagsterProcesses) -> None:
    run_id = dagster.launch()
    job_id = dagster.wait_for_success(run_id).tags["job_id"]
    printed = recipe.shell()
    assert run_id in printed
    assert job_id in printed
    newest = recipe.graphql()["results"][0]
    assert (newest["runId"], newest["status"]) == (run_id, "SUCCESS")


@pytest.mark.process
@recipe_of("Cancel a run")
def test_a_run_is_cancelled(recipe: Recipe, dagster: DagsterProcesses) -> None:
    # One run at a time: the second waits in the queue behind the first, so that there is something to cancel.
    ahead, queued = dagster.launch(), dagster.launch("check_indexes_job")
    assert recipe.graphql(RUN_ID=queued)["__typename"] == "TerminateRunSuccess"
    assert dagster.wait_for_end(queued).status is DagsterRunStatus.CANCELED
    dagster.wait_for_success(ahead)


@pytest.mark.process
@recipe_of("Delete runs")
def test_runs_are_deleted_and_their_job_records_stay(
    recipe: Recipe, dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    run_ids = [dagster.launch(), dagster.launch()]
    for run_id in run_ids:
        dagster.wait_for_success(run_id)
    recipe.shell(RUN_ID=run_ids[0])
    assert recipe.graphql(RUN_ID=run_ids[1])["__typename"] == "DeletePipelineRunSuccess"
    assert dagster.instance.get_runs(RunsFilter(run_ids=run_ids)) == []
    assert database.background_jobs.count_documents({"run_id": {"$in": run_ids}}) == 2


@pytest.mark.process
@recipe_of("Back-test many days")
def test_a_backfill_makes_a_run_for_each_day(recipe: Recipe, dagster: DagsterProcesses) -> None:
    start = datetime.now(UTC)
    recipe.shell()
    assert recipe.graphql()["backfillId"]
    runs = launched(dagster, start, "backtest_job", 3)
    assert {run.tags["dagster/partition"] for run in runs} == {"2026-03-01", "2026-03-02", "2026-03-03"}
    assert {run.tags["dagster/priority"] for run in runs} == {"-10"}


@pytest.mark.process
@recipe_of("Pause during maintenance")
def test_a_scan_leaves_alone_what_is_in_maintenance(
    recipe: Recipe, dagster: DagsterProcesses, database: AlertDatabase
) -> None:
    now = datetime.now(UTC)
    recipe.save("yaml", "windows.yaml", FROM=now.isoformat(), UNTIL=(now + timedelta(hours=2)).isoformat())
    assert "workshop" in recipe.shell()
    at = now - timedelta(hours=3)
    vehicles = {"in the workshop": "VEH-004", "on the road": "VEH-001"}
    database.alerts.insert_many(
        alert(alert_id, timestamp=at, metadata={"vehicle_id": vehicle}) for alert_id, vehicle in vehicles.items()
    )
    dagster.wait_for_success(dagster.launch())
    statuses = {one["alert_id"]: one["status"] for one in database.alerts.find({"alert_id": {"$in": [*vehicles]}})}
    assert statuses == {"in the workshop": "OPEN", "on the road": "AUTO_CLOSED"}
    recipe.shell()
    assert (database.maintenance_windows.find_one({"window_id": "workshop"}) or {})["ended_at"]


@pytest.mark.process
def test_rules_and_alerts_are_published_and_loaded_by_jobs(
    dagster: DagsterProcesses, database: AlertDatabase, directory: Path
) -> None:
    # Their paths are those of the run's host; here the files are in a directory of the test's own.
    files = {"rules.yaml": "overspeed: {escalate_if_count: 3}\n", "alerts.csv": ALERTS_CSV}
    for name, text in files.items():
        (directory / name).write_text(text)
    start = datetime.now(UTC)
    recipe = Recipe(sections()["Publish rules, load alerts"], dagster, directory)
    recipe.indented_commands(**{name: str(directory / name) for name in files})
    launched(dagster, start, "publish_rules_job", 2)
    launched(dagster, start, "load_alerts_job", 1)
    assert database.rules.count_documents({}) > 1
    assert database.alerts.count_documents({"source_type": "INTRUSION"}) == 1


def _settings(dagster: DagsterProcesses) -> MongoSettings:
    return MongoSettings(dagster.env["MONGODB_URI"], dagster.env["MONGODB_DATABASE"], Path())
