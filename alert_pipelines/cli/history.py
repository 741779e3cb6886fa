"""`history`: the automatic decisions about one alert."""

import click

from alert_pipelines.audit.decisions import PastDecision, decisions_of_alert
from alert_pipelines.cli.options import json_option, text
from alert_pipelines.cli.output import as_text, print_json, print_table
from alert_pipelines.mongo import open_database
from alert_pipelines.rules.tree_words import reason_in_words


@click.command()
@click.argument("alert_id", type=text)
@json_option
def history(alert_id: str, as_json: bool) -> None:
    """List the automatic decisions about an alert.

    Shows the job of each decision, and the text of the rule at that time.
    """
    with open_database() as db:
        decisions = decisions_of_alert(db, alert_id)
    if as_json:
        print_json(decisions)
    else:
        print_decisions(decisions)
        if not decisions:
            click.echo("No automatic decision.")


def print_decisions(decisions: list[PastDecision]) -> None:
    """Print past decisions as a table, and the text of each rule once."""
    print_table(
        ["alert", "at", "from", "to", "by", "job", "run", "reason"],
        [
            (
                one.alert_id,
                one.entry.get("timestamp"),
                one.entry.get("from_status"),
                one.entry.get("to_status"),
                one.entry.get("rule_triggered") or one.entry.get("triggered_by"),
                one.entry.get("job_id"),
                one.entry.get("run_id"),
                reason_in_words(as_text(one.entry.get("reason"))),
            )
            for one in decisions
        ],
    )
    # Keyed by version too: one rule may have meant different things.
    rules = {(one.entry.get("rule_set_version"), one.rule["rule_id"]): one.rule for one in decisions if one.rule}
    for (version, rule_id), rule in rules.items():
        click.echo(f"\nRule {rule_id} as of rule set version {as_text(version)[:12]}:")
        print_json(rule)
