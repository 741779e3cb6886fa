"""The part of `rules diff` about alerts: what changed rules would decide differently."""

from collections import Counter

import click

from alert_pipelines.audit.rule_preview import DECISIONS, PlannedBy, RulePreview
from alert_pipelines.cli.output import as_text, print_table

_SHOWN = 25


def print_effect(preview: RulePreview) -> None:
    """Print what the changed rules would close and escalate, more and fewer than the rules in force."""
    click.echo(f"\nThe next scan, limits aside, as of {as_text(preview.as_of)}:")
    differing: Counter[tuple[str, str]] = Counter()
    for group in preview.groups:
        differing[group.change, group.decision] += group.alerts
    print_table(
        ["", "in force", "with FILE", "more", "fewer"],
        [
            (
                decision,
                preview.in_force.alerts[decision],
                preview.changed.alerts[decision],
                differing["more", decision],
                differing["fewer", decision],
            )
            for decision in DECISIONS
        ],
    )
    for name, planned in (("in force", preview.in_force), ("with FILE", preview.changed)):
        _print_blocked(name, planned)
    if preview.groups:
        click.echo("\nAlerts that are decided otherwise:")
        print_table(["change", "decision", "by rule", "source", "status", "alerts"], preview.groups[:_SHOWN])
    else:
        click.echo("No alert of now would be decided otherwise.")
    if len(preview.groups) > _SHOWN:
        click.echo(f"\n{len(preview.groups) - _SHOWN} more groups, with fewer alerts.")


def _print_blocked(name: str, planned: PlannedBy) -> None:
    for violation in planned.blocked:
        click.echo(f"Blocked {name}: {violation.in_short}.")
    for error in planned.errors:
        click.echo(f"Error {name}: {error}", err=True)
