"""`undo`: undoes the decisions of a job."""

import click

from alert_pipelines.audit.undo import undo_job
from alert_pipelines.cli.options import json_option, signed, text
from alert_pipelines.cli.output import number_of, print_json, print_table
from alert_pipelines.mongo import open_database
from alert_pipelines.signature import Signature


@click.command()
@click.argument("job_id", type=text)
@click.option("--rule", "rule_id", metavar="ID", help="Only this rule's decisions.")
@click.option("--allow-again", is_flag=True, help="Let the rules decide these alerts again.")
@click.option("--yes", is_flag=True, help="Apply the undo.")
@signed
@json_option
def undo(
    job_id: str, *, rule_id: str | None, allow_again: bool, yes: bool, as_json: bool, signature: Signature
) -> None:
    """Undo the decisions of a job.

    `latest` is the last scan that decided anything. Without --yes, only shows what would be undone.
    """
    with open_database() as db:
        report = undo_job(db, job_id, rule_id=rule_id, allow_again=allow_again, dry_run=not yes, signature=signature)
    if as_json:
        print_json(report)
        return
    if job_id != report.job_id:
        click.echo(f"The last scan that decided anything: {report.job_id}")
    if report.already_undone:
        click.echo(f"Undone already: {number_of(report.already_undone, 'decision')}.")
    if report.dry_run:
        todo = " To undo them, add --yes." if report.restored else ""
        click.echo(f"Dry run: {number_of(report.restored, 'decision')} would be undone.{todo}")
    else:
        click.echo(f"{report.undo_job_id}: {number_of(report.restored, 'decision')} undone.")
    if report.alerts:
        click.echo("\nBy rule:")
        print_table(["rule", "from", "to", "alerts"], report.by_rule())
    if report.skipped_total:
        click.echo(f"\nLeft as they are, since they changed: {number_of(report.skipped_total, 'alert')}:")
        print_table(["alert", "why"], report.skipped)
