"""The functions of the old job as coroutines, for services that await them.

Each runs the function of the same name in `alert_pipelines` in a thread, with the same arguments, result and errors, so
it does not block the event loop. Pass a database of pymongo's synchronous client:

    from pymongo import MongoClient
    from alert_pipelines.aio import auto_close_scanner

    await auto_close_scanner(MongoClient(address)["alert_management"])
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from alert_pipelines import job_records
from alert_pipelines.scanner import scan

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from alert_pipelines.scheduler import SchedulerStatus

__all__ = [
    "auto_close_scanner",
    "create_job_record",
    "evaluate_all_pending_alerts",
    "get_recent_jobs",
    "get_scheduler_status",
    "is_scheduler_running",
    "shutdown_scheduler",
    "start_scheduler",
    "update_job_record",
]

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def _in_a_thread(function: Callable[Given, Answer]) -> Callable[Given, Awaitable[Answer]]:
    @wraps(function)
    async def awaited(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        return await asyncio.to_thread(function, *args, **kwargs)

    return awaited


auto_close_scanner = _in_a_thread(scan.auto_close_scanner)
evaluate_all_pending_alerts = _in_a_thread(scan.evaluate_all_pending_alerts)
create_job_record = _in_a_thread(job_records.create_job_record)
update_job_record = _in_a_thread(job_records.update_job_record)
get_recent_jobs = _in_a_thread(job_records.get_recent_jobs)


async def start_scheduler(
    instance: "DagsterInstance | None" = None, *, location: str | None = None
) -> "SchedulerStatus":
    """As `alert_pipelines.start_scheduler`."""
    return await asyncio.to_thread(lambda: _scheduler().start_scheduler(instance, location=location))


async def shutdown_scheduler(
    instance: "DagsterInstance | None" = None, *, location: str | None = None
) -> "SchedulerStatus":
    """As `alert_pipelines.shutdown_scheduler`."""
    return await asyncio.to_thread(lambda: _scheduler().shutdown_scheduler(instance, location=location))


async def is_scheduler_running(instance: "DagsterInstance | None" = None, *, location: str | None = None) -> bool:
    """As `alert_pipelines.is_scheduler_running`."""
    return await asyncio.to_thread(lambda: _scheduler().is_scheduler_running(instance, location=location))


async def get_scheduler_status(
    instance: "DagsterInstance | None" = None, *, location: str | None = None
) -> "SchedulerStatus":
    """As `alert_pipelines.get_scheduler_status`."""
    return await asyncio.to_thread(lambda: _scheduler().get_scheduler_status(instance, location=location))


def _scheduler() -> ModuleType:
    # It alone loads Dagster, which takes a second: in the thread, and not for who only scans.
    return import_module("alert_pipelines.scheduler")
