"""The private names of Dagster that this package needs.

Only this module imports them. If an upgrade of Dagster moves one, this module and its test fail.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import (
    AssetChecksDefinition,
    AssetKey,
    AssetsDefinition,
    BetaWarning,
    DagsterInstance,
    Failure,
    JobDefinition,
    PreviewWarning,
    ScheduleDefinition,
    SensorDefinition,
    SupersessionWarning,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.target import AutomationTarget
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterHomeNotSetError, DagsterUserCodeProcessError
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteSchedule
from dagster._core.scheduler.instigation import ScheduleInstigatorData, TickStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.error import SerializableErrorInfo  # type: ignore[attr-defined]
from dagster._utils.schedules import CroniterShim, cron_string_iterator

__all__ = [
    "CroniterShim",
    "DagsterHomeNotSetError",
    "InProcessCodeLocationOrigin",
    "InstigatorType",
    "LoadableTargetOrigin",
    "MessageFailure",
    "RemoteSchedule",
    "ScheduleInstigatorData",
    "TickStatus",
    "UnresolvedAssetJobDefinition",
    "cron_string_iterator",
    "disable_dagster_warnings",
    "rekeyed_checks",
    "renamed_schedule",
    "renamed_sensor",
    "unhealthy_daemons",
]

# One makes the ticks, one lets sensors tick, one starts what is queued.
_DAEMONS = ("SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR")
# Daemons write a heartbeat every 30 s and remove none when they end.
_HEARTBEAT_TOLERANCE_S = 60.0


class _ForeignError(DagsterUserCodeProcessError):
    """An error of another process, in whose place Dagster shows what it is given: a message, and no stack of calls."""

    def __init__(self, message: str) -> None:
        shown = [SerializableErrorInfo(message, [], None)]
        super().__init__(message, user_code_process_error_infos=shown)  # type: ignore[no-untyped-call]


class MessageFailure(Failure, _ForeignError):  # noqa: N818 - it is a kind of Failure, which Dagster calls so
    """A Failure that is not retried, and of which events and the UI show the message and the metadata alone.

    Of a plain Failure they show its class and the stack of calls as well, twice: of the step, and of the run.
    """

    def __init__(self, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, metadata, allow_retries=False)


@contextmanager
def disable_dagster_warnings() -> Iterator[None]:
    """Silence that what is used within is beta, a preview, or on its way out in Dagster, which itself uses such."""
    with warnings.catch_warnings():
        for category in (BetaWarning, PreviewWarning, SupersessionWarning, DeprecationWarning):
            warnings.simplefilter("ignore", category=category)
        yield


def unhealthy_daemons(instance: DagsterInstance, daemons: Sequence[str] = _DAEMONS) -> list[str]:
    """Those of the daemons that the instance needs and that gave no sign of life lately."""
    # Each run loads this module, and the daemon's code takes 0.7 s.
    from dagster._daemon.controller import get_daemon_statuses  # noqa: PLC0415

    # A daemon keeps the errors of its last minutes beside its heartbeat, and goes on making ticks.
    statuses = get_daemon_statuses(
        instance, daemons, ignore_errors=True, heartbeat_tolerance_seconds=_HEARTBEAT_TOLERANCE_S
    )
    return [name for name, daemon in statuses.items() if daemon.required and not daemon.healthy]


def renamed_schedule(
    schedule: ScheduleDefinition, name: str, job: JobDefinition | UnresolvedAssetJobDefinition
) -> ScheduleDefinition:
    """A copy of the schedule, under another name and for another job."""
    copy = schedule.with_updated_job(job)
    copy._name = name  # noqa: SLF001 - Dagster copies schedules and sensors, and renames none
    return copy


def rekeyed_checks(checks: AssetsDefinition, keys: Mapping[AssetKey, AssetKey]) -> AssetChecksDefinition:
    """A copy of the checks, on the assets that have the new keys."""
    # Of checks, Dagster returns a copy as plain assets, and makes checks of it again when the location is loaded.
    return AssetChecksDefinition(**checks.with_attributes(asset_key_replacements=keys).get_attributes_dict())


def renamed_sensor(sensor: SensorDefinition, name: str, jobs: Sequence[str]) -> SensorDefinition:
    """A copy of the sensor under another name, which launches `jobs`."""
    copy = sensor.with_attributes()
    copy._name = name  # noqa: SLF001
    copy._targets = [AutomationTarget(resolvable_to_job=job) for job in jobs]  # noqa: SLF001
    return copy
