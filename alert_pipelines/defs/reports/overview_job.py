"""The job that updates `today` and `rules_overview`, and its hourly schedule."""

from dagster import AssetSelection

from alert_pipelines.defs.background_jobs import background_job, background_schedule
from alert_pipelines.defs.reports.rules_overview import rules_overview
from alert_pipelines.defs.reports.today import today

overview_job = background_job(
    "overview_job",
    AssetSelection.assets(today, rules_overview),
    "Make the pages today (what rules did, what is pending, comes next or is blocked) and rules_overview.",
)

overview_schedule = background_schedule(
    overview_job, "2 * * * *", "Makes the pages today and rules_overview once an hour."
)
