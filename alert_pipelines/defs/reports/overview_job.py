"""The job that makes the pages that people look at first, and its hourly schedule."""

from dagster import (
    AssetSelection,
    DefaultScheduleStatus,
    ScheduleDefinition,
    define_asset_job,
    in_process_executor,
)

from alert_pipelines.defs.reports.rules_overview import rules_overview
from alert_pipelines.defs.reports.today import today
from alert_pipelines.defs.run_tags import BACKGROUND_TAGS

overview_job = define_asset_job(
    "overview_job",
    selection=AssetSelection.assets(today, rules_overview),
    description="Make the pages today (what rules did, what is pending, comes next or is blocked) and rules_overview.",
    tags=BACKGROUND_TAGS,
    executor_def=in_process_executor,
)

overview_schedule = ScheduleDefinition(
    name="overview_schedule",
    job=overview_job,
    # Not at a multiple of five minutes, where scans begin.
    cron_schedule="2 * * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Makes the pages today and rules_overview once an hour.",
)
