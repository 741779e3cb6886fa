"""The private names of Dagster that this package cannot do without, and nothing else.

Only this module imports them, so that an upgrade of Dagster which moves one fails here, and in this module's test.
"""

from collections.abc import Mapping

from dagster import (
    AssetChecksDefinition,
    AssetKey,
    AssetsDefinition,
    JobDefinition,
    ScheduleDefinition,
    SensorDefinition,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.scheduler.instigation import ScheduleInstigatorData
from dagster_shared.utils.warnings import disable_dagster_warnings

__all__ = [
    "InstigatorType",
    "ScheduleInstigatorData",
    "UnresolvedAssetJobDefinition",
    "disable_dagster_warnings",
    "rekeyed_checks",
    "renamed_schedule",
    "renamed_sensor",
]


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


def renamed_sensor(sensor: SensorDefinition, name: str) -> SensorDefinition:
    """A copy of the sensor under another name."""
    copy = sensor.with_attributes()
    copy._name = name  # noqa: SLF001
    return copy
