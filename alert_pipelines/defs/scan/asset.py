"""The scan as Dagster runs it: one op, whose outputs are the assets of the lineage."""

from collections.abc import Iterator

from dagster import AssetCheckResult, AssetExecutionContext, MaterializeResult, multi_asset

from alert_pipelines.defs.asset_specs import SCAN_ASSETS, SCAN_CHECKS, WITHIN_LIMITS
from alert_pipelines.defs.config import ScanConfig
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import location_of_run
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.scan.attempt import Outcome, attempt
from alert_pipelines.defs.scan.events import check_results, materializations, shadow_observation, unconfirmed
from alert_pipelines.defs.scan.run_records import tag_skipped
from alert_pipelines.defs.scan.standing_verdicts import standing_verdicts
from alert_pipelines.errors import BlastRadiusError, ScanAlreadyRunningError

SCHEDULE_TAG = "dagster/schedule_name"


# can_subset, though a scan is one thing: only then are the results of checks optional, as the assets are, and a scan
# that finds another one running can end without any. A part selected in the UI is scanned whole and reported in part.
@multi_asset(name="auto_close", specs=SCAN_ASSETS, check_specs=SCAN_CHECKS, can_subset=True)
def auto_close(
    context: AssetExecutionContext, config: ScanConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Scan the pending alerts once: close and escalate what the rules say, and leave a job record.

    Only one scan runs at a time: where another one does, this run ends with nothing done and says so.
    """
    try:
        outcome = attempt(context, config, mongo, rule_engine, names)
    except ScanAlreadyRunningError as error:
        context.log.warning("Skipped, nothing was done: %s", error)
        tag_skipped(context.instance, names, context.run.run_id)
        yield from standing_verdicts(context.instance, context.selected_asset_check_keys)
        return
    report = outcome.report
    if report.dry_run:
        raise unconfirmed(report, outcome.database)
    if report.shadow_rules:
        context.log_event(shadow_observation(report, outcome.database, names))
    own = location_of_run(context.run)
    for materialization in materializations(report, outcome.record, outcome.database, own, names):
        if materialization.asset_key in context.selected_asset_keys:
            yield materialization
    checks = {key.name for key in context.selected_asset_check_keys}
    results = check_results(report, outcome.first_blocked, outcome.database, own, names)
    yield from (result for result in results if result.check_name in checks)
    if _is_blocked_still(context, outcome):
        context.log.warning("Still blocked, see the check %s: %s", WITHIN_LIMITS, outcome.incomplete)
    else:
        outcome.fail_if_incomplete()


def _is_blocked_still(context: AssetExecutionContext, outcome: Outcome) -> bool:
    """Whether the schedule only met again what was red before: 288 red runs a day would hide every other red one.

    The check stays red and the job record failed; a scan that a person launched is red each time.
    """
    return (
        SCHEDULE_TAG in context.run.tags
        and isinstance(outcome.incomplete, BlastRadiusError)
        and outcome.first_blocked is not None
    )
