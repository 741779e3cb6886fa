"""Closes and escalates alerts by rule, on MongoDB, run by Dagster.

Run one scan, list its decisions, and undo them:

    from alert_pipelines import auto_close_scanner, get_recent_jobs, open_database, undo_job

    with open_database() as db:
        auto_close_scanner(db)
        job = get_recent_jobs(limit=1, db=db)[0]
        print(job.job_id, job.alerts_closed)
        undo_job(db, job.job_id)                 # shows what it would restore
        undo_job(db, job.job_id, dry_run=False)  # restores it

`open_database()` uses MONGODB_URI and MONGODB_DATABASE. Without MONGODB_URI it starts a local mongod. Each function
also takes any other synchronous pymongo database. All functions block: in coroutines, use `alert_pipelines.aio`.

Errors that you can act upon are AlertPipelinesErrors; the message says what to do. The names below are the public ones.
Each is loaded when it is first used, and only the four functions of the scheduler load Dagster.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from alert_pipelines.alerts import Alert as Alert
    from alert_pipelines.alerts import AlertMetadata as AlertMetadata
    from alert_pipelines.alerts import Severity as Severity
    from alert_pipelines.alerts import SourceType as SourceType
    from alert_pipelines.alerts import StateChange as StateChange
    from alert_pipelines.alerts import Status as Status
    from alert_pipelines.audit.explain import explain_alert as explain_alert
    from alert_pipelines.audit.undo import undo_job as undo_job
    from alert_pipelines.backtesting.backtest import backtest as backtest
    from alert_pipelines.errors import AlertPipelinesError as AlertPipelinesError
    from alert_pipelines.job_model import BackgroundJobModel as BackgroundJobModel
    from alert_pipelines.job_records import create_job_record as create_job_record
    from alert_pipelines.job_records import get_recent_jobs as get_recent_jobs
    from alert_pipelines.job_records import update_job_record as update_job_record
    from alert_pipelines.loading.load import load_alerts as load_alerts
    from alert_pipelines.mongo import open_database as open_database
    from alert_pipelines.rules.publish import publish_rules as publish_rules
    from alert_pipelines.scanner.result import ScanReport as ScanReport
    from alert_pipelines.scanner.result import ScanRequest as ScanRequest
    from alert_pipelines.scanner.scan import auto_close_scanner as auto_close_scanner
    from alert_pipelines.scanner.scan import evaluate_all_pending_alerts as evaluate_all_pending_alerts
    from alert_pipelines.scanner.scan import run_scan as run_scan
    from alert_pipelines.scheduler import get_scheduler_status as get_scheduler_status
    from alert_pipelines.scheduler import is_scheduler_running as is_scheduler_running
    from alert_pipelines.scheduler import shutdown_scheduler as shutdown_scheduler
    from alert_pipelines.scheduler import start_scheduler as start_scheduler

_HOMES = {
    "alerts": ("Alert", "AlertMetadata", "Severity", "SourceType", "StateChange", "Status"),
    "errors": ("AlertPipelinesError",),
    "job_model": ("BackgroundJobModel",),
    "job_records": ("create_job_record", "get_recent_jobs", "update_job_record"),
    "loading.load": ("load_alerts",),
    "mongo": ("open_database",),
    "rules.publish": ("publish_rules",),
    "backtesting.backtest": ("backtest",),
    "audit.explain": ("explain_alert",),
    "scanner.result": ("ScanReport", "ScanRequest"),
    "scanner.scan": ("auto_close_scanner", "evaluate_all_pending_alerts", "run_scan"),
    "audit.undo": ("undo_job",),
    "scheduler": ("get_scheduler_status", "is_scheduler_running", "shutdown_scheduler", "start_scheduler"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604 - all of them are texts


def __getattr__(name: str) -> Any:
    if name == "__version__":
        found: Any = import_module("importlib.metadata").version("alert-pipelines")
    elif name in _HOME_OF:
        found = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
