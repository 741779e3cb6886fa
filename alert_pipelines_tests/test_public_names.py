"""What `import alert_pipelines` offers, and the coroutines of `alert_pipelines.aio`."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, instance_for_test
from pymongo import AsyncMongoClient, MongoClient

import alert_pipelines
from alert_pipelines import aio
from alert_pipelines.errors import EventLoopError, UnusableDatabaseError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.factories import ago, alert, fill, rule
from alert_pipelines_tests.patience import LIMIT_S

CHECKOUT = Path(__file__).parents[1]
OF_THE_SCHEDULER = {"get_scheduler_status", "is_scheduler_running", "shutdown_scheduler", "start_scheduler"}
WITH_A_DATABASE = (
    ("auto_close_scanner", ()),
    ("evaluate_all_pending_alerts", ()),
    ("create_job_record", ("a_job",)),
    ("get_recent_jobs", (1,)),
)


def loaded_with(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    return set(done.stdout.split())


def quick_start() -> str:
    """The code of the package's docstring."""
    lines = [line for line in (alert_pipelines.__doc__ or "").splitlines() if line.startswith("    ")]
    return "\n".join(line.removeprefix("    ") for line in lines)


def test_every_public_name_is_there_and_is_its_own() -> None:
    assert {name: getattr(alert_pipelines, name) for name in alert_pipelines.__all__}.keys() == set(
        dir(alert_pipelines)
    )
    for name in set(alert_pipelines.__all__) - {"__version__"}:
        assert getattr(alert_pipelines, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'auto_close'"):
        alert_pipelines.auto_close  # noqa: B018 - the look-up is what is tried


def test_importing_the_package_loads_nothing_and_only_the_scheduler_loads_dagster() -> None:
    assert not loaded_with("import alert_pipelines") & {"dagster", "pymongo", "pydantic"}
    names = sorted(set(alert_pipelines.__all__) - OF_THE_SCHEDULER)
    loaded = loaded_with(f"from alert_pipelines import aio, {', '.join(names)}")
    assert "pymongo" in loaded
    assert "dagster" not in loaded


def test_the_quick_start_scans_and_takes_it_back(
    mongo_uri: str, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", db.name)
    fill(db, [alert("a", timestamp=ago(1_000))], rule("r", {"expire_after_mins": 60}))
    exec(compile(quick_start(), "quick start", "exec"), {})
    job_id, closed = capsys.readouterr().out.split()
    assert closed == "1"
    assert job_id.startswith("JOB-")
    (left,) = db.alerts.find()
    assert left["status"] == "OPEN"


def test_a_service_that_awaits_changes_its_imports_only(mongo_uri: str, db: AlertDatabase) -> None:
    fill(db, [alert("a", timestamp=ago(1_000))], rule("r", {"expire_after_mins": 60}))

    async def tick(database: AlertDatabase) -> tuple[dict[str, int], list[dict[str, Any]]]:
        """As the old service has it: a record of a job of its own, a scan, the list for its page."""
        job = await aio.create_job_record("nightly", database)
        summary = await aio.auto_close_scanner(database)
        await aio.update_job_record(job.job_id, {"alerts_closed": 1}, "completed", [], database)
        return summary, [job.model_dump(mode="json") for job in await aio.get_recent_jobs(10, database)]

    with MongoClient[dict[str, Any]](mongo_uri) as client:
        summary, jobs = asyncio.run(tick(client[db.name]))
    assert summary["alerts_closed"] == 1
    assert {job["job_type"]: (job["status"], job["alerts_closed"]) for job in jobs} == {
        "nightly": ("completed", 1),
        "auto_close_scanner": ("completed", 1),
    }


@pytest.mark.parametrize(("name", "arguments"), WITH_A_DATABASE)
def test_whoever_awaits_a_blocking_function_was_told_after_it_had_done_its_work(
    db: AlertDatabase, name: str, arguments: tuple[Any, ...]
) -> None:
    fill(db, [alert("a", timestamp=ago(1_000))], rule("r", {"expire_after_mins": 60}))

    async def awaiting() -> None:
        await getattr(alert_pipelines, name)(*arguments, db=db)

    with pytest.raises(EventLoopError, match=f"await aio.{name}"):
        asyncio.run(awaiting())
    assert db.background_jobs.count_documents({}) == 0
    assert db.alerts.count_documents({"status": "OPEN"}) == 1


@pytest.mark.parametrize(("name", "arguments"), WITH_A_DATABASE)
def test_the_coroutines_refuse_an_asynchronous_database_by_name(
    mongo_uri: str, db: AlertDatabase, name: str, arguments: tuple[Any, ...]
) -> None:
    async def awaiting() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
            await getattr(aio, name)(*arguments, db=client[db.name])

    with pytest.raises(UnusableDatabaseError, match="AsyncDatabase is not a database"):
        asyncio.run(awaiting())
    assert db.background_jobs.count_documents({}) == 0


@pytest.mark.parametrize("name", sorted(OF_THE_SCHEDULER))
def test_the_scheduler_refuses_a_database_by_name(db: AlertDatabase, name: str) -> None:
    with pytest.raises(
        alert_pipelines.AlertPipelinesError,
        match="is not a valid instance: expected a DagsterInstance",
    ):
        getattr(alert_pipelines, name)(db)


def test_the_scheduler_s_coroutines_ask_the_given_instance() -> None:
    async def ask(instance: DagsterInstance) -> bool:
        return await aio.is_scheduler_running(instance, location="alert_pipelines")

    with instance_for_test() as instance:
        assert asyncio.run(ask(instance)) is False
