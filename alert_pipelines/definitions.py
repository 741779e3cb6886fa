"""The code location: all Dagster definitions under one name."""

from collections.abc import Mapping
from typing import Any

from dagster import Definitions, in_process_executor

from alert_pipelines.defs.code_links import with_code_links
from alert_pipelines.defs.loading.inbox_sensor import inbox_sensor
from alert_pipelines.defs.monitoring.health_checks import check_health_schedule, scanner_health
from alert_pipelines.defs.monitoring.index_checks import check_indexes_schedule, index_advice
from alert_pipelines.defs.monitoring.notification_sensor import notification_sensor
from alert_pipelines.defs.names import NAMES, Names
from alert_pipelines.defs.prefixing import prefixed
from alert_pipelines.defs.registry import ASSETS, JOBS
from alert_pipelines.defs.reports.daily_report import daily_report_schedule
from alert_pipelines.defs.reports.rules_overview import overview_schedule
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.scan.asset import auto_close
from alert_pipelines.defs.scan.freshness import stale_after, with_freshness
from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.defs.scan.sensor import dead_scan_sensor
from alert_pipelines.defs.upkeep.job import delete_old_runs_schedule
from alert_pipelines.settings import PREFIX_VARIABLE, environment_with, read_settings


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None, key_prefix: str | None = None) -> Definitions:
    """Build all definitions. `resource_overrides` replaces resources by name.

    `key_prefix` (default: ALERT_PIPELINES_PREFIX) is a prefix for the keys of assets and the names of groups, jobs,
    schedules and sensors, so that one workspace can have several copies. Raises SettingsError.
    """
    given = {} if key_prefix is None else {PREFIX_VARIABLE: key_prefix}
    settings = read_settings(environment_with(**given))
    names = Names(prefix=settings.prefix)
    made = Definitions(
        assets=with_code_links(
            [with_freshness(one, stale_after(settings)) if one is auto_close else one for one in ASSETS],
            settings.code_url,
        ),
        asset_checks=[index_advice, scanner_health],
        jobs=JOBS,
        schedules=[
            build_schedule(settings.cron, settings.timezone),
            daily_report_schedule,
            overview_schedule,
            check_health_schedule,
            check_indexes_schedule,
            delete_old_runs_schedule,
        ],
        sensors=[dead_scan_sensor, notification_sensor, inbox_sensor],
        resources={"mongo": MongoResource(), "rule_engine": RuleEngine(), NAMES: names, **(resource_overrides or {})},
    )
    return prefixed(names, made)


# Of "Materialize" here; jobs name it themselves. A run has one step: a separate process for it costs seconds and brings
# nothing. Not in `build_defs`, where merging would make it the executor of all jobs of the other definitions.
defs = Definitions.merge(build_defs(), Definitions(executor=in_process_executor))
