"""The specs of the assets and checks that scans materialize."""

from dagster import AssetCheckSpec, AssetSpec, TableSchema

from alert_pipelines.defs import schemas
from alert_pipelines.scanner.shadow import SECONDS_A_SCAN

GROUP, REPORTS_GROUP, PREVIEWS_GROUP = "auto_close", "reports", "previews"
"""What scans read and make; pages for people; what would be done. Each is drawn on one screen, with few lines."""

_OWNERS = ("team:alert-operations",)

ALERTS, ALERT_RULES = "alerts", "alert_rules"
CLOSED, ESCALATED, JOBS = "closed_alerts", "escalated_alerts", "background_jobs"
DRY_RUNS, SHADOW = "dry_runs", "shadow_rules"
HEALTH, TODAY, RULES_OVERVIEW = "health", "today", "rules_overview"

RULES_VALID, WITHIN_LIMITS = "rules_valid", "within_limits"
NO_ALERT_ERRORS, RECORDS_RECONCILE = "no_alert_errors", "records_reconcile"


def _spec(
    key: str,
    description: str,
    *,
    deps: tuple[str, ...] = (),
    group: str = GROUP,
    columns: TableSchema | None = None,
    made_by_scans: bool = False,
) -> AssetSpec:
    return AssetSpec(
        key,
        deps=deps,
        description=description,
        group_name=group,
        owners=_OWNERS,
        kinds={"mongodb"},
        metadata={"dagster/column_schema": columns} if columns else None,
        skippable=made_by_scans,
    )


alerts = _spec(
    ALERTS,
    "All alerts, written by the alert service. Loads from files appear here as observations.",
    columns=schemas.ALERTS,
)

dry_runs = _spec(
    DRY_RUNS,
    "What a scan would close and escalate, previewed by dry_run_job. Does not change any alert.",
    deps=(ALERT_RULES,),
    group=PREVIEWS_GROUP,
)

shadow_rules = _spec(
    SHADOW,
    "What the shadow rules would have decided in each scan, compared with the active rules. See the "
    f"plots. After {SECONDS_A_SCAN} s a scan starts no further shadow rule. The next scan starts with the remaining "
    "rules, so a rule can have fewer points than there were scans.",
    deps=(ALERT_RULES,),
    group=PREVIEWS_GROUP,
)

health = _spec(
    HEALTH,
    "Hourly and daily checks of the scanner: missed scans, stalled jobs, unusual volumes, silent rules, "
    "reopened alerts. Scans do not materialize this asset, so a result stays until the next check.",
    deps=(JOBS,),
)
"""Dagster shows a check only for the latest materialization of its asset: one that scans make loses it in minutes."""

SCAN_ASSETS = (
    _spec(
        ALERT_RULES,
        "The published rules that the scan used. The data version changes when an active rule changes.",
        columns=schemas.RULES,
        made_by_scans=True,
    ),
    _spec(
        CLOSED,
        "Alerts that a rule, or their own expires_at, closed: status AUTO_CLOSED.",
        deps=(ALERTS, ALERT_RULES),
        made_by_scans=True,
    ),
    _spec(
        ESCALATED,
        "Alerts that a rule escalated: status ESCALATED, severity CRITICAL.",
        deps=(ALERTS, ALERT_RULES),
        made_by_scans=True,
    ),
    _spec(
        JOBS,
        "One job record per scan: alerts checked, closed and escalated, duration, errors. See the plots for trends.",
        deps=(CLOSED, ESCALATED),
        columns=schemas.JOBS,
        made_by_scans=True,
    ),
)

SCAN_CHECKS = (
    AssetCheckSpec(
        RULES_VALID,
        asset=ALERT_RULES,
        description="Lists published rules that are not valid. Scans ignore them.",
    ),
    AssetCheckSpec(WITHIN_LIMITS, asset=CLOSED, description="Lists limits that blocked closes or escalations."),
    AssetCheckSpec(NO_ALERT_ERRORS, asset=JOBS, description="Lists alerts that the last scan could not process."),
    AssetCheckSpec(
        RECORDS_RECONCILE,
        asset=JOBS,
        description="Checks that each planned decision was written, blocked, a conflict, or failed.",
    ),
)
