"""The definitions of one copy, with the names of `Names`."""

from collections.abc import Mapping

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    Definitions,
    JobDefinition,
    ScheduleDefinition,
    SensorDefinition,
    define_asset_job,
)

from alert_pipelines.defs.dagster_internals import (
    UnresolvedAssetJobDefinition,
    disable_dagster_warnings,
    rekeyed_checks,
    renamed_schedule,
    renamed_sensor,
)
from alert_pipelines.defs.names import Names

Job = JobDefinition | UnresolvedAssetJobDefinition


def prefixed(names: Names, made: Definitions) -> Definitions:
    """What the package defines, under the names of this copy; without a prefix it is `made` itself."""
    if names.prefix is None:
        return made
    # Dagster's own copying of definitions uses parameters that are beta, and says so.
    with disable_dagster_warnings():
        return _prefixed(names, made)


def _prefixed(names: Names, made: Definitions) -> Definitions:
    graph = made.resolve_asset_graph()
    keys = {key: names.key(key) for key in graph.get_all_asset_keys()}

    def job_of_copy(job: Job) -> Job:
        name = names.name(job.name)
        if isinstance(job, JobDefinition):
            executor = job.executor_def
            return job.graph.to_job(name=name, description=job.description, tags=job.tags, executor_def=executor)
        selected = AssetSelection.assets(*(keys[key] for key in job.selection.resolve(graph)))
        checks = AssetSelection.checks(*map(names.check, job.selection.resolve_checks(graph)))
        return define_asset_job(
            name,
            selection=selected.without_checks() | checks,
            description=job.description,
            tags=job.tags,
            executor_def=job.executor_def,
        )

    jobs = {job.name: job_of_copy(job) for job in made.jobs or () if isinstance(job, Job)}
    schedules = [one for one in made.schedules or () if isinstance(one, ScheduleDefinition)]
    sensors = [one for one in made.sensors or () if isinstance(one, SensorDefinition)]
    return Definitions(
        assets=[_asset_of_copy(one, names, keys) for one in made.assets or ()],
        asset_checks=[rekeyed_checks(one, keys) for one in made.asset_checks or ()],
        jobs=list(jobs.values()),
        schedules=[renamed_schedule(one, names.name(one.name), jobs[one.job_name]) for one in schedules],
        sensors=[
            renamed_sensor(one, names.name(one.name), [names.name(target.job_name) for target in one.targets])
            for one in sensors
        ],
        resources=made.resources,
    )


def _asset_of_copy(asset: object, names: Names, keys: Mapping[AssetKey, AssetKey]) -> AssetsDefinition | AssetSpec:
    def grouped(spec: AssetSpec) -> AssetSpec:
        return spec.replace_attributes(group_name=names.name(spec.group_name or "default"))

    if isinstance(asset, AssetSpec):
        deps = [keys[dep.asset_key] for dep in asset.deps]
        return grouped(asset).replace_attributes(key=keys[asset.key], deps=deps)
    if isinstance(asset, AssetsDefinition):
        return asset.with_attributes(asset_key_replacements=keys).map_asset_specs(grouped)
    raise TypeError(f"{asset!r} is not an asset that can be prefixed: define it as an asset or an AssetSpec")
