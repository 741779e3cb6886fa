"""The dry run: its op, asset and job. It plans like a scan, does not change any alert, and does not run checks."""

from collections.abc import Iterator

from dagster import AssetExecutionContext, AssetSelection, MaterializeResult, multi_asset

from alert_pipelines.defs.asset_specs import dry_runs
from alert_pipelines.defs.background_jobs import asset_job
from alert_pipelines.defs.config import DryRunConfig
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.scan.asset import SCAN_TAGS
from alert_pipelines.defs.scan.attempt import attempt
from alert_pipelines.defs.scan.events import dry_run_materialization
from alert_pipelines.defs.scan.runs import DRY_RUN_JOB


@multi_asset(name="dry_run", specs=[dry_runs])
def dry_run(
    context: AssetExecutionContext, config: DryRunConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> Iterator[MaterializeResult[None]]:
    """Plan a scan and show what it would close and escalate; no alert changes."""
    outcome = attempt(context, config, mongo, rule_engine, names)
    # A limit that the scan would meet is shown as well, and does not fail the run: nothing was to be written anyway.
    yield dry_run_materialization(outcome.report, outcome.database, names)
    outcome.fail_if_incomplete()


dry_run_job = asset_job(
    DRY_RUN_JOB,
    AssetSelection.assets(dry_run).without_checks(),
    "Preview a scan: what it would close and escalate, and what limits would block. Changes no alert.",
    SCAN_TAGS,
)
