"""The `rules` commands list, history and rollback."""

from collections.abc import Sequence
from typing import Any

import click

from alert_pipelines.cli.options import ask, json_option, signed, text
from alert_pipelines.cli.output import number_of, print_fields, print_json, print_table
from alert_pipelines.mongo import AlertDatabase, open_database
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.publish import diff_rules, publish_rules
from alert_pipelines.rules.rule_collections import stored_rules
from alert_pipelines.rules.store import load_rules, usable_rules
from alert_pipelines.rules.versions import (
    CURRENT,
    HistoryEntry,
    VersionChange,
    changes_between,
    find_rule_set,
    history_of_rules,
    rules_to_return,
)
from alert_pipelines.signature import Signature

_SHOWN = 12
"""As many characters of a version as people need."""
_CHANGES_NAMED = 3
"""The first version of a rule set adds all of its rules: the line names some; `rules diff` and --json name all."""


@click.command("list")
@json_option
def list_rules(as_json: bool) -> None:
    """List the published rules. Exits with 1 if a rule is not valid."""
    with open_database() as db:
        found, problems = usable_rules(db)
        stands_in = {one.document.get("rule_id"): one.collection for one in stored_rules(db)}
    if as_json:
        print_json([rule.canonical() | {"collection": stands_in.get(rule.rule_id)} for rule in found])
    elif not found:
        click.echo("No rules.")
    else:
        headers = ["rule", "source", "mode", "priority", "conditions", "collection"]
        print_table(headers, (_listed(rule, stands_in.get(rule.rule_id)) for rule in found))
    if problems:
        raise click.ClickException("\n".join(map(str, problems)))


@click.command()
@click.option("--rule", "rule_id", type=text, help="List only the changes of this rule.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Number of rule sets.")
@json_option
def history(rule_id: str | None, limit: int, as_json: bool) -> None:
    """List the rule sets that scans have used.

    Lists the newest first, with the changes in each.

    A rule set that was used again is listed once, at its first use. Shadow rules are not part of a rule set.
    """
    with open_database() as db:
        current = load_rules(db).rule_set.version
        found = history_of_rules(db, limit, rule_id)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No scan has kept a rule set yet." if rule_id is None else f"No rule set has a rule {rule_id!r}.")
    else:
        headers = ["version", "first used", "in force", "rules", "changes"]
        is_signed = any(one.published for one in found)
        rows = [_row(one, current) if is_signed else _row(one, current)[: len(headers)] for one in found]
        print_table([*headers, "published by", "reason"] if is_signed else headers, rows)


@click.command()
@click.argument("version", type=text)
@click.option("--yes", is_flag=True, help="Do not ask.")
@signed
def rollback(version: str, yes: bool, signature: Signature) -> None:
    """Publish the rules of an earlier VERSION again.

    Replaces edits by people, and switches off active rules that are not in VERSION. Does not change shadow rules.

    VERSION is a version from `history`, or its first characters.
    """
    with open_database() as db:
        wanted = find_rule_set(db, version)
        _print_changes(changes_between(find_rule_set(db, CURRENT), wanted))
        given = rules_to_return(db, wanted.version)
        to_write = sum(change.is_to_write(overwrite=True) for change in diff_rules(db, given))
        if to_write and not yes:
            ask(f"Write {number_of(to_write, 'rule')} to {db.name}?")
        written = publish_rules(db, given, overwrite=True, signature=signature)
        in_force = load_rules(db).rule_set.version
    number = number_of(sum(change.written for change in written), "rule")
    click.echo(f"{number} written. The next scan uses {in_force[:_SHOWN]}.")


def print_versions_diff(db: AlertDatabase, before: str, after: str) -> None:
    """Print what is different in the rule set `after`."""
    _print_changes(changes_between(find_rule_set(db, before), find_rule_set(db, after)))


def _listed(rule: Rule, collection: str | None) -> tuple[Any, ...]:
    conditions = ", ".join(rule.canonical()["conditions"])
    return (rule.rule_id, rule.source_names, rule.effective_mode, rule.priority, conditions, collection)


def _row(entry: HistoryEntry, current: str) -> tuple[Any, ...]:
    named = [f"{change.rule_id} {change.change}" for change in entry.changes[:_CHANGES_NAMED]]
    more = [f"{len(entry.changes) - _CHANGES_NAMED} more"] if len(entry.changes) > _CHANGES_NAMED else []
    changes = ", ".join([*named, *more])
    in_force = "yes" if entry.version == current else ""
    by, reason = entry.published.get("by"), entry.published.get("reason")
    return (entry.version[:_SHOWN], entry.first_used_at, in_force, entry.rules, changes, by, reason)


def _print_changes(changes: Sequence[VersionChange]) -> None:
    if not changes:
        click.echo("No difference.")
    print_table(["rule", "change"], [(change.rule_id, change.change) for change in changes])
    for change in changes:
        print_fields(change.rule_id, change.fields)
