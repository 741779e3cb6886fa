"""One scan from claim to record: `auto_close_scanner`, and what it is made of.

claim → load rules → plan → check limits → apply → reconcile → record

`run_scan` claims and records, `_scan` does what is between, a function a step. How a plan builds on an earlier one is
in `incremental`.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pymongo
from pymongo.errors import PyMongoError

from alert_pipelines.alerts.decision_counts import DecisionCount, count, decisions_of, stats_of
from alert_pipelines.errors import BlastRadiusError, InvalidScanError, JobRecordError, LeaseLostError, RuleQueryError
from alert_pipelines.event_loops import outside_event_loops
from alert_pipelines.job_records import (
    COMPLETED,
    DRY_RUN,
    FAILED,
    RUNNING,
    SCANNER,
    create_job_record,
    update_job_record,
    wait_for_in_flight_writes,
)
from alert_pipelines.leases import Lease
from alert_pipelines.mongo.client import STANDALONE, AlertDatabase, failure_text, is_standalone, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.retry import retry_transient
from alert_pipelines.rules.model import EXPIRES_AT, RuleSet
from alert_pipelines.rules.store import (
    LoadedRules,
    LoadedWindows,
    keep_version,
    load_rules,
    load_windows,
    rules_if_published,
)
from alert_pipelines.scanner.apply import Applied, DecisionContext, apply_plan, count_deleted
from alert_pipelines.scanner.context import Claim, Progress, oplog_position
from alert_pipelines.scanner.incremental import plan_incrementally
from alert_pipelines.scanner.limits import find_violations, remove_blocked
from alert_pipelines.scanner.plan import Plan, take_samples
from alert_pipelines.scanner.prepare import empty_warnings, prepare_collections
from alert_pipelines.scanner.preview import preview_of
from alert_pipelines.scanner.result import ALLOW_SCAN, LimitViolation, ScanReport, ScanRequest
from alert_pipelines.settings import read_settings
from alert_pipelines.timestamps import as_of_utc

CLOCK_TOLERANCE = timedelta(minutes=1)

_log = logging.getLogger(__name__)


@outside_event_loops
@at_the_door
def auto_close_scanner(db: AlertDatabase, *, as_of: datetime | None = None) -> dict[str, int]:
    """Run one scan: close or escalate the pending alerts that match a rule.

    Args:
        db: The database of the alerts, from any synchronous pymongo client.
        as_of: The time that the scan is for; UTC if it has no zone. None: the server's clock.

    Returns:
        The counts `total_checked`, `auto_closed`, `alerts_processed`, `alerts_closed` and `alerts_escalated`.

    Raises:
        ScanAlreadyRunningError: Another scan holds the claim.
        BlastRadiusError: A limit blocked closes or escalations; the job record is `failed`.
        RuleQueryError: The server could not evaluate a rule; the job record is `failed`.
        PyMongoError: The database is unreachable.

    Example:
        >>> auto_close_scanner(db)["auto_closed"]
        1
    """
    return run_scan(db, ScanRequest(as_of=as_of)).summary()


@at_the_door
def run_scan(db: AlertDatabase, request: ScanRequest, on_progress: Progress | None = None) -> ScanReport:
    """Run one scan with the options in `request`, and write its job record.

    Args:
        db: The database of the alerts.
        request: The options of the scan. `ScanRequest(dry_run=True)` writes nothing.
        on_progress: Called with the number of decisions written so far, and of those planned.

    Returns:
        The report of what the scan planned and wrote, and of what failed.

    Raises:
        InvalidScanError: The request names an unknown rule, or a time in the future.
        InvalidTimestampError: `as_of` is outside the years 1000 to 8999.
        ScanAlreadyRunningError: Another scan holds the claim.
        BlastRadiusError: A limit blocked closes or escalations.
        RuleQueryError: The server could not evaluate a rule.
        PyMongoError: The database is unreachable.

    Example:
        >>> report = run_scan(db, ScanRequest(dry_run=True))
        >>> [(one.rule_id, one.decision, one.alerts) for one in report.planned]
        [('old', 'close', 1)]
    """
    _log.info("Starting auto-close alert scanner%s", " (dry run)" if request.dry_run else "")
    if is_standalone(db):
        _log.warning(STANDALONE)
    warnings = prepare_collections(db)
    as_of = _as_of(db, request)
    if request.rule_ids is not None or request.allow_over_limit:
        # Before the claim as well: a misspelt name is not a failed scan, of which people would be told.
        _refuse_unknown_rules(_rules_of(db, request).rule_set, request)
    before = None if request.dry_run or request.rule_ids is not None else oplog_position(db)
    job_type = DRY_RUN if request.dry_run else SCANNER
    job_id = create_job_record(job_type, db, run_id=request.run_id, attempt=request.attempt, as_of=as_of).job_id
    _log.info("Job %s started", job_id)
    try:
        with Lease(db, job_id) as lease:
            claim = Claim(db, request, job_id, as_of, before, lease.check, on_progress)
            report = _scan(claim)
            report = replace(report, errors=(*warnings, *report.errors))
            _log.info("Auto-close job %s: checked %d, closed %d", job_id, report.total_checked, report.closed)
            _record_end(db, report)
    except BaseException as error:  # a cancelled run too must leave a finished record
        _record_failure(db, job_id, request, error)
        raise
    if report.failed_rules:
        raise RuleQueryError(report)
    if _was_blocked(report):
        raise BlastRadiusError(report)
    return report


@outside_event_loops
@at_the_door
def evaluate_all_pending_alerts(
    db: AlertDatabase,
    request: ScanRequest | None = None,
    *,
    as_of: datetime | None = None,
    on_progress: Progress | None = None,
) -> ScanReport:
    """Run one scan, like `run_scan`, under the name of the alert service's function.

    Args:
        db: The database of the alerts.
        request: The options of the scan. None: all rules, now.
        as_of: The time that the scan is for. Overrides that of the request.
        on_progress: Called with the number of decisions written so far, and of those planned.

    Returns:
        What `run_scan` returns.

    Raises:
        ScanIncompleteError: A limit blocked decisions, or the server could not evaluate a rule. Also raises
            whatever else `run_scan` raises.

    Example:
        >>> evaluate_all_pending_alerts(db).closed
        1
    """
    request = request or ScanRequest()
    return run_scan(db, replace(request, as_of=as_of or request.as_of), on_progress)


def _scan(claim: Claim) -> ScanReport:
    """What lies between the claim and the record: load rules → plan → check limits → apply → reconcile."""
    db, request, started = claim.db, claim.request, time.perf_counter()
    rules, windows = _load(claim)
    plan, incremental = plan_incrementally(claim, rules.rule_set, windows.windows)
    planned_at = time.perf_counter()
    violations = _check_limits(claim, plan, rules.rule_set)
    samples = take_samples(db, plan)
    applied = _apply(claim, plan, rules.rule_set.version)
    decisions = _reconcile(claim, plan, applied)
    bad_rules = (*map(str, rules.errors), *plan.failed_rules)
    odd = () if any(plan.pending.values()) else empty_warnings(db)
    unwritable = plan.unwritable_ids()
    can_be_built_on = not violations and not plan.failed_rules
    return ScanReport(
        job_id=claim.job_id,
        as_of=claim.as_of,
        rule_set_version=rules.rule_set.version,
        dry_run=request.dry_run,
        pending=plan.pending,
        planned=plan.counts(),
        decisions=decisions,
        shadow=tuple(plan.shadow),
        conflicts=applied.conflicts,
        failed=applied.failed + len(unwritable),
        errors=(*bad_rules, *windows.errors, *odd, *plan.errors, *applied.errors, *incremental.checked.errors),
        samples=samples,
        violations=violations,
        bad_rules=bad_rules,
        preview=preview_of(db, plan) if request.dry_run else (),
        failed_rules=tuple(plan.failed_rules),
        shadow_rules=tuple(plan.shadow_rules),
        shadow_left=tuple(plan.shadow_left),
        oldest_pending=plan.oldest_pending,
        incremental_since=incremental.since,
        full_scan_reason=incremental.changes.full_scan_reason,
        checkpoint=incremental.checkpoint([*unwritable, *applied.refused]) if can_be_built_on else None,
        overlooked=incremental.checked.alerts,
        defects=incremental.checked.errors,
        seconds={"plan": planned_at - started, "apply": time.perf_counter() - planned_at},
        allowance=request.allowance,
    )


def _load(claim: Claim) -> tuple[LoadedRules, LoadedWindows]:
    loaded, windows = _rules_of(claim.db, claim.request), load_windows(claim.db, claim.as_of)
    _refuse_unknown_rules(loaded.rule_set, claim.request)
    if not claim.request.dry_run:
        keep_version(claim.db, loaded.rule_set)
    return loaded, windows


def _check_limits(claim: Claim, plan: Plan, rule_set: RuleSet) -> tuple[LimitViolation, ...]:
    """The limits that the plan exceeds; what they block is taken out of it, but for a dry run, which writes nothing."""
    violations = find_violations(claim.db, plan, rule_set, claim.request)
    if not claim.request.dry_run:
        remove_blocked(plan, violations)
    return violations


def _apply(claim: Claim, plan: Plan, rule_set_version: str) -> Applied:
    """Write the plan; a dry run writes nothing."""
    if claim.request.dry_run:
        return Applied()
    planned = count(plan.counts())
    if planned:
        # A scan that is cancelled while it writes has to say what it looked at.
        update_job_record(claim.job_id, {"alerts_processed": sum(plan.pending.values())}, RUNNING, None, claim.db)
    context = DecisionContext(claim.job_id, claim.request.run_id, rule_set_version, claim.as_of)
    return apply_plan(claim.db, plan, context, claim.check, _progress(planned, claim.on_progress))


def _reconcile(claim: Claim, plan: Plan, applied: Applied) -> tuple[DecisionCount, ...]:
    """What the histories of the alerts hold of what was applied; of a dry run, what is planned."""
    planned = plan.counts()
    if claim.request.dry_run or not planned:
        return planned
    tally = partial(decisions_of, claim.db, claim.job_id, plan.counts(to_write=True))
    # All is written: that must not be called a failure because the server is away for a moment.
    decisions = retry_transient(tally, before_retry=claim.check)
    gone = applied.written - count(decisions)
    if gone > 0:
        # Deleted after it was decided, an alert took its history along: a conflict, as if deleted before.
        deleted = retry_transient(lambda: count_deleted(claim.db, plan), before_retry=claim.check)
        applied.conflicts += min(gone, deleted)
    return decisions


def _as_of(db: AlertDatabase, request: ScanRequest) -> datetime:
    """The as_of that `request` asks for."""
    now = server_now(db)
    if request.as_of is None:
        return now
    as_of = as_of_utc(request.as_of)
    if as_of > now + CLOCK_TOLERANCE and not request.dry_run:
        raise InvalidScanError(
            f"as_of {as_of.isoformat()} lies in the future (the server's clock says {now.isoformat()}): only a dry run "
            "can look ahead"
        )
    return as_of


def _rules_of(db: AlertDatabase, request: ScanRequest) -> LoadedRules:
    """The rules to decide by."""
    if request.rules is None:
        return load_rules(db)
    if not request.dry_run:
        raise InvalidScanError("only a dry run can use rules that are not published: publish them, or make a dry run")
    return rules_if_published(db, request.rules)


def _refuse_unknown_rules(rule_set: RuleSet, request: ScanRequest) -> None:
    rules = {rule.rule_id for rule in rule_set.rules}
    for asked, known in (
        (request.rule_ids or (), rules | {EXPIRES_AT}),
        (request.allow_over_limit, rules | {ALLOW_SCAN}),
    ):
        unknown = sorted(set(asked) - known)
        if unknown:
            raise InvalidScanError(
                f"no active or shadow rule is called {', '.join(map(repr, unknown))}; there are "
                f"{', '.join(sorted(known))}"
            )


def _progress(planned: int, on_progress: Progress | None) -> Callable[[int], None]:
    written = 0

    def on_batch(size: int) -> None:
        nonlocal written
        written += size
        try:
            if on_progress:
                on_progress(written, planned)
        except Exception:
            # What tells of the scan must not end it.
            _log.exception("Could not report the progress of the scan")

    return on_batch


def _was_blocked(report: ScanReport) -> bool:
    """Whether limits kept closes from being written; a dry run only foretells it."""
    return bool(report.violations) and not report.dry_run


def _record_end(db: AlertDatabase, report: ScanReport) -> None:
    """Finish the record; where that fails the decisions stand all the same, so it is logged and no more.

    The driver tries again for the time of a lease, through an election too; then the next claim may do it.
    """
    errors = [*(violation.message for violation in report.violations), *report.errors]
    status = FAILED if report.failed_rules or _was_blocked(report) else COMPLETED
    if not report.reconciles:
        errors.insert(0, f"{report.job_id} does not reconcile: {report.record_stats()}")
    try:
        with pymongo.timeout(read_settings().lease_s):
            update_job_record(report.job_id, report.record_stats(), status, errors, db)
    except (PyMongoError, JobRecordError):
        _log.exception("Job record %s could not be finished; its decisions stand", report.job_id)


def _record_failure(db: AlertDatabase, job_id: str, request: ScanRequest, error: BaseException) -> None:
    """Finish the record as failed with its true counts, where it can still be written; else the next claim does."""
    try:
        with pymongo.timeout(read_settings().lease_s):
            if isinstance(error, PyMongoError | LeaseLostError):
                wait_for_in_flight_writes(db)
            stats = {**stats_of(decisions_of(db, job_id)), **request.allowance}
            update_job_record(job_id, stats, FAILED, [failure_text(db, error)], db)
    except (PyMongoError, JobRecordError):
        _log.exception("Job record %s could not be finished; the next claim does it", job_id)
