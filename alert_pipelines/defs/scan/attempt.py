"""One attempt at a scan or a dry run, within a Dagster run: its job record, its log, and which errors try again."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from dagster import AssetExecutionContext, DagsterLogManager, RetryRequested
from pymongo.errors import PyMongoError

from alert_pipelines.defs.asset_specs import ALERT_RULES
from alert_pipelines.defs.config import PlanConfig
from alert_pipelines.defs.dagster_internals import MessageFailure
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.run_log import lines_in_run_log
from alert_pipelines.defs.scan.run_records import (
    close_records_of_run,
    disown_tags,
    keep_from_retry,
    record_of_run,
    tag_run,
    tag_skipped,
)
from alert_pipelines.defs.scan.watcher import record_ended_if_killed
from alert_pipelines.errors import AlertPipelinesError, ScanAlreadyRunningError, ScanIncompleteError
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.retry import TRANSIENT
from alert_pipelines.monitoring.scan_records import first_blocked
from alert_pipelines.scanner.result import ScanReport
from alert_pipelines.settings import read_settings

MAX_RETRIES = 3
PROGRESS_EVERY_S = 5.0

_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What an attempt did, or in a dry run would have done."""

    report: ScanReport
    record: dict[str, Any] | None
    incomplete: ScanIncompleteError | None
    first_blocked: dict[str, Any] | None
    """The record of the scan since which the same limits block."""
    database: str

    def fail_if_incomplete(self) -> None:
        """Raise MessageFailure if a limit, or a query that failed, left something out."""
        if self.incomplete:
            # A person has to look first.
            raise MessageFailure(str(self.incomplete))


def attempt(
    context: AssetExecutionContext, config: PlanConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> Outcome:
    """Do what `config` asks for, once. Raises MessageFailure, RetryRequested."""
    keep_from_retry(context.instance, context.run)
    if not _is_beside_a_scan(context, names):
        disown_tags(context.instance, names, context.run)
    with (
        lines_in_run_log(context.log, context.instance),
        _translated_errors(context, names),
        mongo.open() as db,
        record_ended_if_killed(context.run.run_id, db.name),
    ):
        return _attempt(context, config, rule_engine, names, db)


def _attempt(
    context: AssetExecutionContext, config: PlanConfig, rule_engine: RuleEngine, names: Names, db: AlertDatabase
) -> Outcome:
    number = context.op_execution_context.retry_number + 1
    if number > 1:
        # The attempt before may not have reached the database to end its own record, which would now be in the way.
        close_records_of_run(db, context.run.run_id, "the database was away; the run tries again")
    incomplete = None
    try:
        report = rule_engine.scan(db, config.request(context.run.run_id, number), _Progress(context.log))
    except ScanIncompleteError as error:
        report, incomplete = error.report, error
    finally:
        record = _named_by_its_run(context, names, db)
    return Outcome(report, record, incomplete, _first_blocked(db, record) if report.violations else None, db.name)


def _first_blocked(db: AlertDatabase, record: dict[str, Any] | None) -> dict[str, Any] | None:
    # As with the record itself: the scan's outcome stands, whether this can be read or not.
    with suppress(PyMongoError):
        return first_blocked(db, record) if record is not None else None
    return None


def _named_by_its_run(context: AssetExecutionContext, names: Names, db: AlertDatabase) -> dict[str, Any] | None:
    # The scan's own outcome, good or bad, must not give way to a fault of this.
    record, run_id = None, context.run.run_id
    with suppress(PyMongoError):
        record = record_of_run(db, run_id)
        if record is not None and not _is_beside_a_scan(context, names):
            tag_run(context.instance, names, run_id, db.name, record)
    return record


def _is_beside_a_scan(context: AssetExecutionContext, names: Names) -> bool:
    """Whether this is a dry run, and its run has scanned before, as "Materialize all" does.

    Tags of such a run say what it did, not what it would do.
    """
    scanned = names.key(ALERT_RULES)
    of_run = context.op_execution_context.job_def.asset_layer.selected_asset_keys
    return scanned in of_run and scanned not in context.selected_asset_keys


@contextmanager
def _translated_errors(context: AssetExecutionContext, names: Names) -> Iterator[None]:
    """Try again what passes: a database that is away, a scan that is running. All else fails with the error's text."""
    try:
        yield
    except TRANSIENT as fault:
        raise _again() from fault
    except AlertPipelinesError as error:
        if isinstance(error.__cause__, TRANSIENT):
            raise _again() from error
        if isinstance(error, ScanAlreadyRunningError):
            if context.op_execution_context.retry_number < MAX_RETRIES:
                _log.warning("Waiting for %s", error)
                raise _again() from error
            tag_skipped(context.instance, names, context.run.run_id)
        raise MessageFailure(str(error)) from None


def _again() -> RetryRequested:
    # Together the waits are as long as the lease of a scan whose process died.
    return RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=read_settings().lease_s / MAX_RETRIES)


class _Progress:
    """Tells the run's log how far a long scan is, now and then."""

    def __init__(self, log: DagsterLogManager) -> None:
        self._log = log
        self._told_at = time.monotonic()

    def __call__(self, written: int, planned: int) -> None:
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            self._told_at = time.monotonic()
            self._log.info("Applied %d of %d decisions", written, planned)
