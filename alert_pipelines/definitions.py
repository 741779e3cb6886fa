"""The code location: every definition under one name. It wires and decides nothing."""

from collections.abc import Mapping
from typing import Any

from dagster import Definitions, in_process_executor

from alert_pipelines.defs.asset_specs import alerts, dry_runs, shadow_rules
from alert_pipelines.defs.assets import auto_close
from alert_pipelines.defs.backtest_asset import backtest, backtest_job
from alert_pipelines.defs.code_links import with_code_links
from alert_pipelines.defs.daily_report_asset import daily_report, daily_report_job, daily_report_schedule
from alert_pipelines.defs.freshness import stale_after, with_freshness
from alert_pipelines.defs.health_checks import check_health_job, check_health_schedule, scanner_health
from alert_pipelines.defs.index_checks import check_indexes_job, check_indexes_schedule, index_advice
from alert_pipelines.defs.jobs import auto_close_job, load_alerts_job, publish_rules_job
from alert_pipelines.defs.maintenance import delete_old_runs_job, delete_old_runs_schedule
from alert_pipelines.defs.notifying import notification_sensor
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.rule_jobs import export_rules_job, validate_rules_job
from alert_pipelines.defs.schedules import build_schedule
from alert_pipelines.defs.sensors import dead_scan_sensor
from alert_pipelines.defs.trust_jobs import explain_alert_job, list_decisions_job, undo_decisions_job
from alert_pipelines.defs.window_jobs import add_windows_job, end_window_job, list_windows_job, snooze_alert_job
from alert_pipelines.settings import read_settings


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> Definitions:
    """All definitions; `resource_overrides` replaces resources by name. Raises SettingsError."""
    settings = read_settings()
    return Definitions(
        assets=with_code_links(
            [
                alerts,
                with_freshness(auto_close, stale_after(settings)),
                dry_runs,
                shadow_rules,
                backtest,
                daily_report,
            ],
            settings.code_url,
        ),
        asset_checks=[index_advice, scanner_health],
        jobs=[
            auto_close_job,
            explain_alert_job,
            list_decisions_job,
            undo_decisions_job,
            backtest_job,
            daily_report_job,
            check_health_job,
            check_indexes_job,
            delete_old_runs_job,
            validate_rules_job,
            publish_rules_job,
            export_rules_job,
            load_alerts_job,
            list_windows_job,
            add_windows_job,
            end_window_job,
            snooze_alert_job,
        ],
        schedules=[
            build_schedule(settings.cron),
            daily_report_schedule,
            check_health_schedule,
            check_indexes_schedule,
            delete_old_runs_schedule,
        ],
        sensors=[dead_scan_sensor, notification_sensor],
        resources={"mongo": MongoResource(), "rule_engine": RuleEngine(), **(resource_overrides or {})},
        # A run has one step: a process of its own for it costs seconds and brings nothing.
        executor=in_process_executor,
    )


defs = build_defs()
