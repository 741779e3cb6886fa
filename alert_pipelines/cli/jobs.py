"""`jobs`: the job records, and what each job decided."""

from typing import Any

import click

from alert_pipelines.alerts import tally_decisions
from alert_pipelines.alerts.decision_counts import COUNT_COLUMNS
from alert_pipelines.audit.decisions import decisions_of_job
from alert_pipelines.cli.history import print_decisions
from alert_pipelines.cli.options import json_option, text
from alert_pipelines.cli.output import as_text, print_json, print_table
from alert_pipelines.errors import JobNotFoundError
from alert_pipelines.job_records import COLLECTION, DRY_RUN, MAX_RECENT, recent_records
from alert_pipelines.mongo import AlertDatabase, open_database

LATEST = "latest"

_FIRST = (
    *("job_id", "job_type", "status", "as_of", "started_at", "completed_at", "execution_time_ms"),
    *("alerts_processed", "alerts_closed", "alerts_escalated"),
)
"""What people ask first of a job, in this order; all else comes after it."""
# Tokens that say nothing to a person; --json has them.
_FOR_PROGRAMS = ("checkpoint", "rule_set_version", "attempt", "lease_expires_at", "lease_s")


@click.group()
def jobs() -> None:
    """List and show job records: scans, dry runs, undos."""


@jobs.command("list")
@click.option("--limit", type=click.IntRange(1, MAX_RECENT), default=20, show_default=True)
@json_option
def list_jobs(limit: int, as_json: bool) -> None:
    """List the newest job records."""
    with open_database() as db:
        records = recent_records(limit, db)
    if as_json:
        print_json(records)
        return
    fields = ("job_id", "job_type", "status", "started_at", "alerts_processed", "alerts_closed", "alerts_escalated")
    headers = ["job", "type", "status", "started", "checked", "closed", "escalated", "errors"]
    print_table(headers, [(*(record.get(name) for name in fields), _errors(record)) for record in records])


@jobs.command()
@click.argument("job_id", type=text, default=LATEST)
@click.option("--alerts", is_flag=True, help="List every alert that the job decided.")
@json_option
def show(job_id: str, alerts: bool, as_json: bool) -> None:
    """Show one job record. Default: the latest.

    Shows what the job closed and escalated by rule.
    """
    with open_database() as db:
        record = _record(db, job_id)
        # A record of another service may have none, and entries that name no job are not its decisions.
        named = isinstance(record.get("job_id"), str)
        tally = tally_decisions(db, record["job_id"]) if named else []
        decisions = list(decisions_of_job(db, record["job_id"])) if named and alerts else []
    if as_json:
        print_json({"record": record, "decisions": tally} | ({"alerts": decisions} if alerts else {}))
        return
    _print_record(record)
    if tally:
        click.echo("\nDecided:")
        print_table(["rule", "source", "to", "alerts", "undone"], tally)
    if decisions:
        click.echo("")
        print_decisions(decisions)


def _record(db: AlertDatabase, job_id: str) -> dict[str, Any]:
    if job_id == LATEST:
        found = next(iter(recent_records(1, db)), None)
    else:
        found = db[COLLECTION].find_one({"job_id": job_id}, {"_id": 0})
    if found is None:
        raise JobNotFoundError(f"no job record {job_id!r} in {db.name}.{COLLECTION}: `jobs list` names them")
    return found


def _print_record(record: dict[str, Any]) -> None:
    stats = record["stats"] if isinstance(record.get("stats"), dict) else {}
    fields = record | stats
    for name in dict.fromkeys([*(name for name in _FIRST if name in fields), *fields]):
        value = fields[name]
        if name == "execution_time_ms" and isinstance(value, int | float):
            click.echo(f"took: {value / 1000:.3f} s")
        elif not isinstance(value, list | dict | None) and name not in _FOR_PROGRAMS:
            click.echo(f"{name}: {as_text(value)}")
    if allowed := stats.get("allowed"):
        click.echo(f"limits lifted: {', '.join(map(str, allowed))}")
    for problem in _kept_errors(record):
        click.echo(f"error: {as_text(problem)}")
    if record.get("job_type") == DRY_RUN and stats.get("planned"):
        click.echo("\nWould be decided:")
        print_table(COUNT_COLUMNS, [tuple(row.values()) for row in stats["planned"]])


def _errors(record: dict[str, Any]) -> float:
    total = record.get("errors_total")
    return total if isinstance(total, int | float) else len(_kept_errors(record))


def _kept_errors(record: dict[str, Any]) -> list[Any]:
    kept = record.get("errors")
    return kept if isinstance(kept, list) else []
