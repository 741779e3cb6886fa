"""The lineage that the UI draws: the assets, their checks, and nothing of how they are made."""

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
    columns: TableSchema | None = None,
) -> AssetSpec:
    return AssetSpec(
        key,
        deps=deps,
        description=description,
        group_name=GROUP,
        owners=_OWNERS,
        kinds={"mongodb"},
        metadata={"dagster/column_schema": columns} if columns else None,
        skippable=True,
    )


alerts = AssetSpec(
    ALERTS,
    description="The fleet's alerts, written by the Alert Management System. File loads appear here as observations.",
    group_name=GROUP,
    owners=_OWNERS,
    kinds={"mongodb"},
    metadata={"dagster/column_schema": schemas.ALERTS},
)

dry_runs = AssetSpec(
    DRY_RUNS,
    deps=[ALERT_RULES],
    description="What a scan would close and escalate, as dry_run_job found it. It writes to no alert.",
    group_name=PREVIEWS_GROUP,
    owners=_OWNERS,
    kinds={"mongodb"},
)

shadow_rules = AssetSpec(
    SHADOW,
    deps=[ALERT_RULES],
    description="What the shadow rules would have done, scan by scan, compared with the active rules. See its plots. "
    f"After {SECONDS_A_SCAN} s a scan begins no other shadow rule, and the next scan begins with those that are left: "
    "of many rules and alerts each rule has fewer points than there were scans.",
    group_name=PREVIEWS_GROUP,
    owners=_OWNERS,
    kinds={"mongodb"},
)

health = AssetSpec(
    HEALTH,
    deps=[JOBS],
    description="Whether the scanner does its work, and whether its decisions are what people want: see its checks. "
    "They run hourly and daily. No scan materializes this asset, so a verdict stays until the next one.",
    group_name=GROUP,
    owners=_OWNERS,
    kinds={"mongodb"},
)
"""Dagster shows a check only for the latest materialization of its asset: one that scans make loses it in minutes."""

SCAN_ASSETS = (
    _spec(
        ALERT_RULES,
        "The rules as the scan found them. The data version is the rule set version of the active rules.",
        columns=schemas.RULES,
    ),
    _spec(
        CLOSED,
        "Alerts closed by a rule or by their own expiry: status AUTO_CLOSED.",
        deps=(ALERTS, ALERT_RULES),
    ),
    _spec(
        ESCALATED,
        "Alerts escalated by a rule: status ESCALATED, severity CRITICAL.",
        deps=(ALERTS, ALERT_RULES),
    ),
    _spec(
        JOBS,
        "One job record for each scan: alerts checked, closed and escalated, and errors. Its plots show the trends.",
        deps=(CLOSED, ESCALATED),
        columns=schemas.JOBS,
    ),
)

SCAN_CHECKS = (
    AssetCheckSpec(
        RULES_VALID,
        asset=ALERT_RULES,
        description="Lists published rules that are not valid. Such a rule decides nothing.",
    ),
    AssetCheckSpec(WITHIN_LIMITS, asset=CLOSED, description="Lists limits that blocked closes or escalations."),
    AssetCheckSpec(NO_ALERT_ERRORS, asset=JOBS, description="Lists alerts that the last scan could not process."),
    AssetCheckSpec(
        RECORDS_RECONCILE,
        asset=JOBS,
        description="Compares the planned decisions with those written, conflicts, failed or blocked.",
    ),
)
