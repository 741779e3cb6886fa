"""The job of a scan."""

from dagster import AssetSelection, define_asset_job, in_process_executor

from alert_pipelines.defs.asset_specs import SCAN_CHECKS
from alert_pipelines.defs.scan.asset import auto_close
from alert_pipelines.defs.scan.run_records import NO_RETRY_TAGS
from alert_pipelines.defs.scan.runs import AUTO_CLOSE_JOB

# A scan that hangs does not block the queue for ever. A blocked one waits for a person in every instance, also in one
# that retries failed runs. It goes before our own background runs and nobody else's: the queue may be others' as well.
SCAN_TAGS = {"dagster/max_runtime": "1800", **NO_RETRY_TAGS}

auto_close_job = define_asset_job(
    AUTO_CLOSE_JOB,
    # A scan does not run the checks that other people put on these assets.
    selection=AssetSelection.assets(auto_close).without_checks()
    | AssetSelection.checks(*(check.key for check in SCAN_CHECKS)),
    description="Run one scan: close and escalate pending alerts that match a rule. To preview it, use dry_run_job.",
    tags=SCAN_TAGS,
    executor_def=in_process_executor,
)
