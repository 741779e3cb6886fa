"""`scan`: one scan, or a dry run of one."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from alert_pipelines.alerts.decision_counts import DecisionCount
from alert_pipelines.cli.options import FILE, as_of_option, ask, json_option, signed
from alert_pipelines.cli.output import as_text, print_json, print_table
from alert_pipelines.errors import BlastRadiusError, ScanIncompleteError
from alert_pipelines.index_advice.advice import lacking_indexes
from alert_pipelines.mongo import AlertDatabase, open_database
from alert_pipelines.rules.files import read_rules
from alert_pipelines.rules.store import rules_if_published
from alert_pipelines.rules.tree_words import reason_in_words
from alert_pipelines.scanner.plan import PROGRESS_LOG
from alert_pipelines.scanner.result import PlannedGroup, ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.scanner.shadow import waiting
from alert_pipelines.signature import Signature

RULE_NOT_EVALUATED = 1
BLOCKED_BY_A_LIMIT = 3

_log = logging.getLogger(__name__)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be closed and escalated.")
@as_of_option
@click.option("--rule", "rule_ids", multiple=True, metavar="ID", help="Only this rule; may be repeated.")
@click.option(
    "--rules", "file", type=FILE, help="For a dry run: use this file as if it were published with --overwrite."
)
@click.option(
    "--allow-over-limit",
    multiple=True,
    metavar="ID",
    help="Lift the limits of this rule once; 'scan': those of the scan.",
)
@click.option("--yes", is_flag=True, help="Do not ask before lifting a limit.")
@signed
@json_option
@click.pass_context
def scan(
    ctx: click.Context,
    *,
    dry_run: bool,
    as_of: datetime | None,
    rule_ids: tuple[str, ...],
    file: Path | None,
    allow_over_limit: tuple[str, ...],
    yes: bool,
    as_json: bool,
    signature: Signature,
) -> None:
    """Close and escalate pending alerts that match a rule.

    Exits with 3 if a limit blocked closes or escalations, and with 1 if the server could not evaluate a rule. With
    --allow-over-limit, shows what would be done and asks first.
    """
    if file and not dry_run:
        raise click.UsageError("--rules is for --dry-run: publish the file with `rules publish` to scan by it.")
    request = ScanRequest(
        as_of=as_of,
        rule_ids=rule_ids or None,
        dry_run=dry_run,
        allow_over_limit=allow_over_limit,
        signature=signature,
        rules=tuple(read_rules(file)) if file else None,
    )
    try:
        with open_database() as db:
            if allow_over_limit and not (dry_run or yes):
                _ask(db, request)
            if dry_run:
                _warn_of_missing_indexes(db, request)
            report = _preview(db, request) if dry_run else run_scan(db, request, _log_progress)
    except ScanIncompleteError as error:
        _print_report(error.report, as_json, error.reasons)
        for reason in error.reasons:
            click.echo(f"Error: {reason}", err=True)
        ctx.exit(BLOCKED_BY_A_LIMIT if isinstance(error, BlastRadiusError) else RULE_NOT_EVALUATED)
    _print_report(report, as_json)


def _warn_of_missing_indexes(db: AlertDatabase, request: ScanRequest) -> None:
    for lacking in lacking_indexes(db, rules_if_published(db, request.rules or ()).rule_set.rules):
        click.echo(f"Warning: {lacking}.", err=True)


def _ask(db: AlertDatabase, request: ScanRequest) -> None:
    """Ask whether to do what a scan without these limits would do. Raises click.Abort."""
    would = _preview(db, replace(request, dry_run=True))
    for message in (violation.message for violation in would.violations):
        click.echo(f"Still over its limit: {message}", err=True)
    alerts = Counter[str]()
    for group in would.preview:
        alerts[f"{group.status} alerts of {group.source_type}: {group.decision} by {group.rule_id}"] += group.alerts
    for what, number in alerts.most_common():
        click.echo(f"{number:>9,}  {what}", err=True)
    ask(f"Do it in {db.name}?", err=True)


def _preview(db: AlertDatabase, request: ScanRequest) -> ScanReport:
    """Make a dry run. Of its log only warnings and the progress of a long plan are written: the report has all else."""
    log, progress = logging.getLogger("alert_pipelines"), logging.getLogger(PROGRESS_LOG)
    level = log.level
    progress.setLevel(level)
    log.setLevel(logging.WARNING)
    try:
        return run_scan(db, request)
    finally:
        log.setLevel(level)
        progress.setLevel(logging.NOTSET)


def _log_progress(written: int, planned: int) -> None:
    _log.info("%d of %d decisions written", written, planned)


def _print_report(report: ScanReport, as_json: bool, reasons: Sequence[str] = ()) -> None:
    """Print `report`, but for `reasons`, which the error says in full."""
    if as_json:
        print_json(report)
        return
    kind = "dry run" if report.dry_run else "scan"
    click.echo(f"{report.job_id}: {kind} as of {as_text(report.as_of)}, {report.total_checked} pending alerts checked")
    if not report.dry_run:
        click.echo(f"{report.closed} closed, {report.escalated} escalated, {report.conflicts} conflicts")
    if report.dry_run:
        _print_counts("Would be done:", report.preview, ("status", "severity"))
    else:
        _print_counts("Done:", report.decisions)
    if report.dry_run and not (report.preview or report.violations):
        click.echo("\nNothing would be closed or escalated.")
    _print_counts("Shadow rules would:", report.shadow)
    if report.shadow_left:
        click.echo(f"\nShadow rules {waiting(report.shadow_left)}.")
    if report.dry_run and report.samples:
        click.echo("\nSamples:")
        print_table(
            ["alert", "decision", "rule", "source", "reason"],
            [
                (one.alert_id, one.decision, one.rule_id, one.source_type, reason_in_words(one.reason))
                for one in report.samples
            ],
        )
    if reasons and report.violations:
        click.echo(f"\nBlocked: {'; '.join(violation.in_short for violation in report.violations)}.")
    for title, said in (("Blocked", [violation.message for violation in report.violations]), ("Errors", report.errors)):
        problems = [problem for problem in said if problem not in reasons]
        if problems:
            click.echo("\n".join(["", f"{title}:", *(f"  {problem}" for problem in problems)]))


def _print_counts(
    title: str, counts: Iterable[DecisionCount] | Iterable[PlannedGroup], of_alerts: Sequence[str] = ()
) -> None:
    rows = list(counts)
    if rows:
        click.echo(f"\n{title}")
        print_table(["rule", "source", *of_alerts, "decision", "alerts"], rows)
