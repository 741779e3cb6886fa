"""The scan as Dagster runs it: one op, whose outputs are the assets of the lineage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    DagsterLogManager,
    Failure,
    MaterializeResult,
    RetryRequested,
    multi_asset,
)
from pymongo.errors import PyMongoError

from alert_pipelines.defs.asset_specs import SCAN_ASSETS, SCAN_CHECKS, WITHIN_LIMITS
from alert_pipelines.defs.config import ScanConfig
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import location_of_run
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.run_log import lines_in_run_log
from alert_pipelines.defs.scan.events import check_results, dry_run_observation, materializations, shadow_observation
from alert_pipelines.defs.scan.run_records import (
    close_records_of_run,
    disown_tags,
    keep_from_retry,
    record_of_run,
    tag_run,
    tag_skipped,
)
from alert_pipelines.defs.scan.standing_verdicts import standing_verdicts
from alert_pipelines.defs.scan.watcher import record_ended_if_killed
from alert_pipelines.errors import AlertPipelinesError, BlastRadiusError, ScanAlreadyRunningError, ScanIncompleteError
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.retry import TRANSIENT
from alert_pipelines.monitoring.scan_records import first_blocked
from alert_pipelines.scanner.report import ScanReport

MAX_RETRIES = 2
RETRY_AFTER_S = 10
PROGRESS_EVERY_S = 5.0
SCHEDULE_TAG = "dagster/schedule_name"


class _Outcome(NamedTuple):
    report: ScanReport
    record: dict[str, Any] | None
    incomplete: ScanIncompleteError | None
    first_blocked: dict[str, Any] | None
    """The record of the scan since which the same limits block."""
    database: str


# can_subset, though a scan is one thing: only then are the results of checks optional, as the assets are, and a scan
# that finds another one running can end without any. A part selected in the UI is scanned whole and reported in part.
@multi_asset(name="auto_close", specs=SCAN_ASSETS, check_specs=SCAN_CHECKS, can_subset=True)
def auto_close(
    context: AssetExecutionContext, config: ScanConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Scan the pending alerts once: close and escalate what the rules say, and leave a job record.

    Only one scan runs at a time: where another one does, this run ends with nothing done and says so.
    """
    keep_from_retry(context.instance, context.run)
    disown_tags(context.instance, names, context.run)
    with lines_in_run_log(context.log, context.instance):
        yield from _scan_and_report(context, config, mongo, rule_engine, names)


def _scan_and_report(
    context: AssetExecutionContext, config: ScanConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    with _translated_errors(), mongo.open() as db, record_ended_if_killed(context.run.run_id, db.name):
        outcome = _scan(context, config, rule_engine, names, db)
    if outcome is None:
        yield from standing_verdicts(context.instance, context.selected_asset_check_keys)
        return
    report = outcome.report
    if report.dry_run:
        # A limit that it would meet is shown as well, and does not fail the run: nothing was to be written anyway.
        context.log_event(dry_run_observation(report, outcome.database, names))
        yield from standing_verdicts(context.instance, context.selected_asset_check_keys)
        _fail_if_incomplete(outcome)
        return
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
        _fail_if_incomplete(outcome)


def _is_blocked_still(context: AssetExecutionContext, outcome: _Outcome) -> bool:
    """Whether the schedule only met again what was red before: 288 red runs a day would hide every other red one.

    The check stays red and the job record failed; a scan that a person launched is red each time.
    """
    return (
        SCHEDULE_TAG in context.run.tags
        and isinstance(outcome.incomplete, BlastRadiusError)
        and outcome.first_blocked is not None
    )


def _fail_if_incomplete(outcome: _Outcome) -> None:
    if outcome.incomplete:
        # No automatic retry: a person has to look first. And no cause: it has the same text, and a stack of calls.
        raise Failure(str(outcome.incomplete), allow_retries=False)


def _scan(
    context: AssetExecutionContext, config: ScanConfig, rule_engine: RuleEngine, names: Names, db: AlertDatabase
) -> _Outcome | None:
    """The scan and its job record; None where another scan is running."""
    attempt = context.op_execution_context.retry_number + 1
    if attempt > 1:
        # The attempt before may not have reached the database to end its own record, which would now be in the way.
        close_records_of_run(db, context.run.run_id, "the database was away; the run tries again")
    incomplete = None
    try:
        report = rule_engine.scan(db, config.request(context.run.run_id, attempt), _Progress(context.log))
    except ScanAlreadyRunningError as error:
        context.log.warning("Skipped, nothing was done: %s", error)
        tag_skipped(context.instance, names, context.run.run_id)
        return None
    except ScanIncompleteError as error:
        report, incomplete = error.report, error
    finally:
        record = _named_by_its_run(context, names, db)
    return _Outcome(report, record, incomplete, _first_blocked(db, record) if report.violations else None, db.name)


def _first_blocked(db: AlertDatabase, record: dict[str, Any] | None) -> dict[str, Any] | None:
    # As with the record itself: the scan's outcome stands, whether this can be read or not.
    with suppress(PyMongoError):
        return first_blocked(db, record) if record is not None else None
    return None


def _named_by_its_run(context: AssetExecutionContext, names: Names, db: AlertDatabase) -> dict[str, Any] | None:
    # The scan's own outcome, good or bad, must not give way to a fault of this.
    with suppress(PyMongoError):
        record = record_of_run(db, context.run.run_id)
        if record is not None:
            tag_run(context.instance, names, context.run.run_id, db.name, record)
        return record
    return None


@contextmanager
def _translated_errors() -> Iterator[None]:
    """A database that is away for a moment is tried again; all else fails at once, with the error's own text."""
    try:
        yield
    except TRANSIENT as fault:
        raise RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=RETRY_AFTER_S) from fault
    except AlertPipelinesError as error:
        if isinstance(error.__cause__, TRANSIENT):
            raise RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=RETRY_AFTER_S) from error
        raise Failure(str(error), allow_retries=False) from None


class _Progress:
    """Tells the run's log how far a long scan is, now and then."""

    def __init__(self, log: DagsterLogManager) -> None:
        self._log = log
        self._told_at = time.monotonic()

    def __call__(self, written: int, planned: int) -> None:
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            self._told_at = time.monotonic()
            self._log.info("Applied %d of %d decisions", written, planned)
