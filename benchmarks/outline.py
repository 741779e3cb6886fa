"""The scan's outline as a code location: its assets, checks and log lines, and nothing behind them.

What it takes beyond the trivial job is Dagster's share: what showing a scan costs, whatever it does.
"""

from collections.abc import Iterator

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetDep,
    AssetExecutionContext,
    AssetKey,
    AssetSelection,
    Definitions,
    MaterializeResult,
    define_asset_job,
    in_process_executor,
    multi_asset,
)

from alert_pipelines.defs.asset_specs import SCAN_ASSETS, SCAN_CHECKS, alerts

# As many as a scan with nothing due writes.
_LOG_LINES = 5


def _own(key: AssetKey) -> AssetKey:
    # No two code locations define the same asset.
    return key.with_prefix("outline")


_UPSTREAM, *_ASSETS = (
    spec.replace_attributes(key=_own(spec.key), deps=[AssetDep(_own(dep.asset_key)) for dep in spec.deps])
    for spec in (alerts, *SCAN_ASSETS)
)
_CHECKS = [check.replace_key(AssetCheckKey(_own(check.asset_key), check.name)) for check in SCAN_CHECKS]


@multi_asset(specs=_ASSETS, check_specs=_CHECKS, can_subset=True)
def outline(context: AssetExecutionContext) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    for line in range(_LOG_LINES):
        context.log.info("Line %d", line)
    for asset in _ASSETS:
        yield MaterializeResult(asset_key=asset.key)
    for check in _CHECKS:
        yield AssetCheckResult(asset_key=check.asset_key, check_name=check.name, passed=True)


outline_job = define_asset_job(
    "outline_job", selection=AssetSelection.assets(outline), executor_def=in_process_executor
)

defs = Definitions(assets=[_UPSTREAM, outline], jobs=[outline_job])
