"""`rules`: validates, compares, publishes and exports rules."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TextIO

import click

from alert_pipelines.audit.rule_preview import preview_rules
from alert_pipelines.cli.options import FILE, ask, signed, text
from alert_pipelines.cli.output import number_of, print_fields, print_json, print_table
from alert_pipelines.cli.rule_effect import print_effect
from alert_pipelines.cli.rule_sets import history, list_rules, print_versions_diff, rollback
from alert_pipelines.index_advice.advice import lacking_indexes
from alert_pipelines.mongo import open_database
from alert_pipelines.rules.against_alerts import warnings_against_alerts
from alert_pipelines.rules.calendar_store import with_calendars
from alert_pipelines.rules.files import default_rules, dump_rules, language_schema, read_rules
from alert_pipelines.rules.lint import warnings_of
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.publish import ChangeKind, RuleChange, diff_rules, export_rules, publish_rules
from alert_pipelines.rules.sentences import sentence
from alert_pipelines.signature import Signature

_KINDS = {
    ChangeKind.NEW: "new",
    ChangeKind.CHANGED: "changed",
    ChangeKind.SAME: "same",
    ChangeKind.CHANGED_BY_PERSON: "changed by a person",
    ChangeKind.ONLY_IN_COLLECTION: "only in the collection",
}

file_argument = click.argument("file", type=FILE, required=False)


@click.group()
def rules() -> None:
    """Validate, compare, publish, export and list rules.

    Without FILE, commands use the default rules of the package.
    """


@rules.command()
@file_argument
@click.option(
    "--against-alerts", is_flag=True, help="Also compare the rules with the alerts: sources, fields, kinds of values."
)
def validate(file: Path | None, against_alerts: bool) -> None:
    """Check a rule file."""
    given = _read(file)
    click.echo(f"{number_of(len(given), 'rule')}, all valid.")
    warnings = warnings_of(given)
    if against_alerts:
        with open_database() as db:
            warnings += warnings_against_alerts(db, given)
    for warning in warnings:
        click.echo(f"Warning: {warning}.", err=True)


@rules.command()
@click.argument("what", nargs=-1, type=text, metavar="[FILE | VERSION VERSION]")
@click.pass_context
def diff(ctx: click.Context, what: tuple[str, ...]) -> None:
    """Show what publishing FILE would change.

    Also shows what the next scan would do with FILE, compared with the published rules.

    With two versions, shows their differences. VERSION is a version from `history`, its first characters, or `current`.
    """
    if len(what) > 2:
        raise click.UsageError("Give one file, or two versions.")
    given = _read(FILE.convert(what[0], None, ctx) if what else None) if len(what) < 2 else None
    with open_database() as db:
        if given is None:
            print_versions_diff(db, *what)
        else:
            changes = diff_rules(db, given)
            _print_changes(changes)
            if any(change.is_to_write(overwrite=True) for change in changes):
                print_effect(preview_rules(db, given))


@rules.command()
@file_argument
@click.option("--overwrite", is_flag=True, help="Also replace rules that a person changed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@signed
def publish(file: Path | None, overwrite: bool, yes: bool, signature: Signature) -> None:
    """Publish the rules in FILE. Shows the changes and asks first. Never deletes a rule."""
    given = _read(file)
    with open_database() as db:
        planned = diff_rules(db, given)
        _print_changes(planned)
        for lacking in lacking_indexes(db, given):
            click.echo(f"Warning: {lacking}.", err=True)
        to_write = sum(change.is_to_write(overwrite=overwrite) for change in planned)
        if to_write and not yes:
            ask(f"Write {number_of(to_write, 'rule')} to {db.name}?")
        changes = publish_rules(db, given, overwrite=overwrite, signature=signature)
        idle = with_calendars(db, given).errors
    click.echo(f"{number_of(sum(change.written for change in changes), 'rule')} written.")
    for error in idle:
        click.echo(f"Warning: {error}. The rule decides nothing until there is one.", err=True)
    kept = [change.rule_id for change in changes if change.kind is ChangeKind.CHANGED_BY_PERSON and not change.written]
    if kept:
        click.echo(f"Left as a person changed them: {', '.join(kept)}. --overwrite replaces them.")


@rules.command()
@click.option("--format", "file_format", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("-o", "--output", type=click.File("w", encoding="utf-8", lazy=True), default="-", help="Default: stdout.")
def export(file_format: Literal["yaml", "json"], output: TextIO) -> None:
    """Print the published rules as a rule file."""
    with open_database() as db:
        text = dump_rules(export_rules(db), file_format)
    # Opened only now: a refused export leaves the file of an earlier one as it is.
    output.write(text)


@rules.command()
@file_argument
@click.option("--published", is_flag=True, help="Describe the published rules instead of those of a file.")
def describe(file: Path | None, published: bool) -> None:
    """Describe each rule in one English sentence."""
    if file and published:
        raise click.UsageError("Give FILE or --published, not both.")
    if published:
        with open_database() as db:
            given = export_rules(db)
    else:
        given = _read(file)
    for rule in given:
        click.echo(f"{rule.rule_id} ({rule.effective_mode}): {sentence(rule)}")


@rules.command()
def schema() -> None:
    """Print the JSON Schema of rule files, for editors."""
    print_json(language_schema())


for command in (list_rules, history, rollback):
    rules.add_command(command)


def _read(file: Path | None) -> list[Rule]:
    return read_rules(file) if file else default_rules()


def _print_changes(changes: Sequence[RuleChange]) -> None:
    print_table(["rule", "state"], [(change.rule_id, _KINDS[change.kind]) for change in changes])
    for change in changes:
        if change.kind is not ChangeKind.NEW:
            print_fields(change.rule_id, change.fields)
