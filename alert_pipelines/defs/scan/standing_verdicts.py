"""The checks of a run that judges nothing: a scan that found another one at work.

Dagster shows a check that a run planned and did not judge as skipped, and a failed one before it is out of sight. So
the verdict that stands is given again, and names the run that it is from.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from dagster import AssetCheckKey, AssetCheckResult, DagsterInstance, MetadataValue

from alert_pipelines.defs.dagster_internals import AssetCheckEvaluation, AssetCheckExecutionRecordStatus

JUDGED_IN = "judged in run"

_JUDGED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def standing_verdicts(instance: DagsterInstance, checks: Iterable[AssetCheckKey]) -> Iterator[AssetCheckResult]:
    """The last verdict of each of `checks`; none where there never was one."""
    for key in checks:
        for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=_JUDGED):
            event = record.event.dagster_event if record.event else None
            verdict = event.event_specific_data if event else None
            if isinstance(verdict, AssetCheckEvaluation):
                yield _again(verdict, record.run_id)


def _again(verdict: AssetCheckEvaluation, run_id: str) -> AssetCheckResult:
    judged_in: dict[str, Any] = {JUDGED_IN: MetadataValue.dagster_run(run_id)}
    return AssetCheckResult(
        asset_key=verdict.asset_key,
        check_name=verdict.check_name,
        passed=verdict.passed,
        severity=verdict.severity,
        description=verdict.description,
        # One that was given again before keeps the run that judged.
        metadata=judged_in | dict(verdict.metadata),
    )
