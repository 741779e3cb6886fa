"""The checks of the scanner's health, with their job and their hourly schedule; off the scan's path.

`monitoring.health` has the checks; this module shows their results in the UI, with a severity.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetSelection,
    DagsterRunStatus,
    multi_asset_check,
)

from alert_pipelines.defs.asset_specs import HEALTH
from alert_pipelines.defs.background_jobs import background_job, background_schedule
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.monitoring.one_database import ONE_DATABASE, one_database
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import location_of_run, own_runs
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.scan.freshness import stale_after
from alert_pipelines.defs.scan.queue_wait import scans_wait_little
from alert_pipelines.defs.scan.run_records import runs_without_record, was_skipped
from alert_pipelines.defs.scan.runs import ThisCopy, is_scan
from alert_pipelines.defs.tables import table
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.monitoring import health
from alert_pipelines.monitoring.health import HealthResult
from alert_pipelines.settings import read_settings


class _Asked(NamedTuple):
    """What the checks look at: a database at one time, and the runs that the instance has of this copy."""

    db: AlertDatabase
    now: datetime
    copy: ThisCopy


class _Check(NamedTuple):
    name: str
    description: str
    ask: Callable[[_Asked], HealthResult]
    severity: AssetCheckSeverity = AssetCheckSeverity.WARN


def _orphans(asked: _Asked) -> HealthResult:
    records = health.orphaned_records(asked.db, asked.now)
    runs = _scans_without_record(asked)
    problems = [
        f"{job_id} is stalled, and dead_scan_sensor should have ended it. Check that the sensor is on and the daemon "
        "is running. The next scan ends it as well."
        for job_id in records
    ]
    problems += [
        f"Run {run_id} succeeded and has no job record. Check whether records are deleted, or the database is wrong."
        for run_id in runs
    ]
    well = "No job is stalled, and every scan of the last day has a job record."
    if asked.copy.own is None:
        well = "No job is stalled. Runs were not looked at, because this run does not name its code location."
    return HealthResult(
        not problems,
        "\n".join(problems) or well,
        {"records without an owner": len(records), "runs without a record": len(runs)},
    )


def _scans_without_record(asked: _Asked) -> list[str]:
    succeeded, day_ago = [DagsterRunStatus.SUCCESS], asked.now - timedelta(days=1)
    runs = own_runs(asked.copy.instance, asked.copy.own, statuses=succeeded, created_after=day_ago)
    # Before the second edition a run that found another scan at work was green.
    scans = [run for run in runs if is_scan(run, asked.copy.names) and not was_skipped(run, asked.copy.names)]
    return runs_without_record(asked.db, [run.run_id for run in scans])


_CHECKS = (
    _Check(
        "scan_fresh",
        "Checks how long ago the last scan completed.",
        lambda asked: health.scans_are_fresh(asked.db, asked.now, stale_after(read_settings())),
        AssetCheckSeverity.ERROR,
    ),
    _Check(
        "none_overlooked",
        "Checks that incremental scans miss nothing: once a day, compares one with a full scan.",
        lambda asked: health.none_overlooked(asked.db, asked.now),
        AssetCheckSeverity.ERROR,
    ),
    _Check(
        "no_orphans",
        "Lists stalled jobs, and scans without a job record.",
        _orphans,
        AssetCheckSeverity.ERROR,
    ),
    # What follows is for people to look at; the scanner does what the rules say all the same.
    _Check(
        "queue_wait",
        "Checks how long scans wait in Dagster's queue behind other runs.",
        lambda asked: scans_wait_little(asked.copy),
    ),
    _Check(
        "no_spike",
        "Compares closes, escalations and pending alerts of the last hour with the week before.",
        lambda asked: health.spikes(asked.db, asked.now),
    ),
    _Check(
        "no_silent_rule",
        "Lists active rules without decisions in the last days (AUTO_CLOSE_SILENT_DAYS).",
        lambda asked: health.silent_rules(asked.db, asked.now, read_settings().silent_days),
    ),
    _Check(
        "reopen_rate",
        "Lists rules whose closed alerts people often reopen (AUTO_CLOSE_REOPEN_PERCENT).",
        lambda asked: health.reopened(asked.db, asked.now, read_settings().reopen_percent),
    ),
    _Check(
        "oldest_pending",
        "Checks the age of the oldest pending alert. Counts pending alerts by source.",
        lambda asked: health.oldest_pending(asked.db, asked.now, read_settings().pending_days),
    ),
    _Check(
        "known_statuses",
        "Lists unknown statuses. No rule decides an alert with such a status.",
        lambda asked: health.known_statuses(asked.db),
    ),
    _Check(
        "comparable_fields",
        "Lists rules that compare a field with another kind of value than alerts have, such as numbers stored as text.",
        lambda asked: health.comparable_fields(asked.db),
    ),
    _Check(
        "replica_set",
        "Checks whether MongoDB is a replica set, which incremental scans need.",
        lambda asked: health.replica_set(asked.db),
    ),
    _Check(
        ONE_DATABASE,
        "Checks whether all that assets and checks showed in the last day is of the same database.",
        lambda asked: one_database(asked.copy.instance, asked.copy.names, asked.db.name),
    ),
)

HEALTH_CHECKS = tuple(AssetCheckSpec(check.name, asset=HEALTH, description=check.description) for check in _CHECKS)


# can_subset lets a person run one of them in the UI.
@multi_asset_check(specs=HEALTH_CHECKS, can_subset=True)
def scanner_health(
    context: AssetCheckExecutionContext, mongo: MongoResource, names: Names
) -> Iterator[AssetCheckResult]:
    """Ask whether the scanner does well: is it at work, and is what it does what people want?"""
    selected = context.op_execution_context.selected_asset_check_keys
    with as_dagster_failure(), mongo.open() as db:
        asked = _Asked(db, server_now(db), ThisCopy(context.instance, location_of_run(context.run), names))
        for spec, check in zip(HEALTH_CHECKS, _CHECKS, strict=True):
            if names.check(spec.key) in selected:
                yield _result(check, names, db.name, check.ask(asked))


def _result(check: _Check, names: Names, database: str, verdict: HealthResult) -> AssetCheckResult:
    return AssetCheckResult(
        check_name=check.name,
        asset_key=names.key(HEALTH),
        passed=verdict.passed,
        severity=check.severity,
        description=verdict.description,
        metadata={
            **verdict.numbers,
            "database": database,
            **({"table": table(verdict.columns, verdict.rows)} if verdict.rows else {}),
        },
    )


check_health_job = background_job(
    "check_health_job",
    AssetSelection.checks(*(spec.key for spec in HEALTH_CHECKS)),
    "Run the health checks: missed scans, orphans, queue waits, spikes, silent rules, reopened alerts.",
)

check_health_schedule = background_schedule(check_health_job, "23 * * * *", "Runs the health checks once an hour.")
