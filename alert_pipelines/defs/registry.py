"""The list of all assets and jobs of this package. The code location consists of it."""

from dagster import AssetsDefinition, AssetSpec, DagsterRun

from alert_pipelines.defs.asset_specs import alerts, health, shadow_rules
from alert_pipelines.defs.audit.jobs import explain_alert_job, list_decisions_job, undo_decisions_job
from alert_pipelines.defs.backtesting.asset import backtest, backtest_job
from alert_pipelines.defs.loading.job import load_alerts_job
from alert_pipelines.defs.monitoring.health_checks import check_health_job
from alert_pipelines.defs.monitoring.index_checks import check_indexes_job
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.reports.daily_report import daily_report, daily_report_job
from alert_pipelines.defs.reports.rules_overview import overview_job, rules_overview
from alert_pipelines.defs.reports.today import today
from alert_pipelines.defs.rules.jobs import export_rules_job, preview_rules_job, publish_rules_job, validate_rules_job
from alert_pipelines.defs.rules.window_jobs import add_windows_job, end_window_job, list_windows_job, snooze_alert_job
from alert_pipelines.defs.scan.asset import auto_close, auto_close_job
from alert_pipelines.defs.scan.dry_run import dry_run, dry_run_job
from alert_pipelines.defs.upkeep.job import delete_old_runs_job

ASSETS: tuple[AssetsDefinition | AssetSpec, ...] = (
    alerts,
    auto_close,
    health,
    today,
    rules_overview,
    dry_run,
    shadow_rules,
    backtest,
    daily_report,
)
JOBS = (
    auto_close_job,
    dry_run_job,
    explain_alert_job,
    list_decisions_job,
    undo_decisions_job,
    backtest_job,
    daily_report_job,
    overview_job,
    check_health_job,
    check_indexes_job,
    delete_old_runs_job,
    validate_rules_job,
    preview_rules_job,
    publish_rules_job,
    export_rules_job,
    load_alerts_job,
    list_windows_job,
    add_windows_job,
    end_window_job,
    snooze_alert_job,
)

_JOB_NAMES = frozenset(job.name for job in JOBS)
_KEYS = frozenset(key for one in ASSETS for key in (one.keys if isinstance(one, AssetsDefinition) else [one.key]))


def is_ours_alone(run: DagsterRun, names: Names) -> bool:
    """Whether a run of this code location does nothing but what this package defines.

    The location may hold other people's definitions beside ours.
    """
    if run.job_name in map(names.name, _JOB_NAMES):
        return True
    touched = {*(run.asset_selection or ()), *(check.asset_key for check in run.asset_check_selection or ())}
    return bool(touched) and touched <= {names.key(key) for key in _KEYS}
