"""The scan as Dagster runs it: one op, whose outputs are the assets of the lineage, and its job."""

from collections.abc import Iterator

from dagster import AssetCheckResult, AssetExecutionContext, AssetSelection, MaterializeResult, multi_asset

from alert_pipelines.defs.asset_specs import SCAN_ASSETS, SCAN_CHECKS, WITHIN_LIMITS
from alert_pipelines.defs.background_jobs import asset_job
from alert_pipelines.defs.config import ScanConfig
from alert_pipelines.defs.monitoring.one_database import other_database_shown
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import location_of_run
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.scan.attempt import Outcome, attempt
from alert_pipelines.defs.scan.events import check_results, materializations, shadow_observation, unconfirmed
from alert_pipelines.defs.scan.run_records import NO_RETRY_TAGS
from alert_pipelines.defs.scan.runs import AUTO_CLOSE_JOB
from alert_pipelines.errors import BlastRadiusError

SCHEDULE_TAG = "dagster/schedule_name"
# A scan that hangs does not block the queue for ever. A blocked one waits for a person in every instance, also in one
# that retries failed runs. It goes before our own background runs and nobody else's: the queue may be others' as well.
SCAN_TAGS = {"dagster/max_runtime": "1800", **NO_RETRY_TAGS}


@multi_asset(name="auto_close", specs=SCAN_ASSETS, check_specs=SCAN_CHECKS)
def auto_close(
    context: AssetExecutionContext, config: ScanConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Scan the pending alerts once: close and escalate what the rules say, and leave a job record.

    Only one scan runs at a time: while another one does, this one waits, and fails if that takes long.
    """
    outcome = attempt(context, config, mongo, rule_engine, names)
    report = outcome.report
    if report.dry_run:
        raise unconfirmed(report, outcome.database)
    if report.shadow_rules:
        context.log_event(shadow_observation(report, outcome.database, names))
    if mixed := other_database_shown(context.instance, names, outcome.database):
        context.log_event(mixed)
    own = location_of_run(context.run)
    yield from materializations(report, outcome.record, outcome.database, own, names)
    yield from check_results(report, outcome.first_blocked, outcome.database, own, names)
    if _is_blocked_still(context, outcome):
        context.log.warning("Still blocked, see the check %s: %s", WITHIN_LIMITS, outcome.incomplete)
    else:
        outcome.fail_if_incomplete()


def _is_blocked_still(context: AssetExecutionContext, outcome: Outcome) -> bool:
    """Whether the schedule only met again what was red before: 288 red runs a day would hide every other red one.

    The check stays red and the job record failed; a scan that a person launched is red each time, also one that
    executes a tick's run again, whose tags Dagster copies.
    """
    return (
        SCHEDULE_TAG in context.run.tags
        and context.run.parent_run_id is None
        and isinstance(outcome.incomplete, BlastRadiusError)
        and outcome.first_blocked is not None
    )


auto_close_job = asset_job(
    AUTO_CLOSE_JOB,
    # A scan does not run the checks that other people put on these assets.
    AssetSelection.assets(auto_close).without_checks() | AssetSelection.checks(*(check.key for check in SCAN_CHECKS)),
    "Run one scan: close and escalate pending alerts that match a rule. To preview it, use dry_run_job.",
    SCAN_TAGS,
)
