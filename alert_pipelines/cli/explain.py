"""`explain`: explains the decisions about one alert."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any

import click

from alert_pipelines.audit.decisions import matched_in_words, run_url
from alert_pipelines.audit.explain import ClauseResult, Explanation, explain_alert
from alert_pipelines.cli.options import as_of_option, json_option, text
from alert_pipelines.cli.output import as_text, print_json
from alert_pipelines.mongo import open_database
from alert_pipelines.rules.maintenance import why_it_holds
from alert_pipelines.rules.tree_words import reason_in_words
from alert_pipelines.rules.windows import MaintenanceWindow, Span
from alert_pipelines.settings import read_settings


@click.command()
@click.argument("alert_id", type=text)
@as_of_option
@json_option
def explain(alert_id: str, as_of: datetime | None, as_json: bool) -> None:
    """Explain past and future decisions about an alert.

    Lists each test of each rule with the values of the alert.
    """
    with open_database() as db:
        explanation = explain_alert(db, alert_id, as_of=as_of)
    ui_url = read_settings().ui_url
    if as_json:
        past = [{**entry, "run_url": run_url(entry, ui_url)} for entry in explanation.past]
        print_json({field.name: getattr(explanation, field.name) for field in fields(explanation)} | {"past": past})
    else:
        click.echo("\n".join(_lines(explanation, ui_url)))


def _lines(explanation: Explanation, ui_url: str | None) -> Iterator[str]:
    yield (
        f"{explanation.alert_id}: {explanation.source_type}, {explanation.status}, "
        f"timestamp {as_text(explanation.timestamp)}"
    )
    yield as_text(explanation.answer)
    yield from map(as_text, explanation.malformed)
    for clause in explanation.clauses:
        yield ""
        yield from _clause_lines(clause)
    if explanation.rules:
        yield "\nRules that concern it:"
        yield from (
            f"  {as_text(rule_id)}: {as_text(description)}" for rule_id, description in explanation.rules.items()
        )
    if explanation.past:
        yield "\nDecided before:"
        yield from (f"  {line}" for entry in explanation.past for line in _past(entry, ui_url))
    if explanation.windows:
        yield "\nMaintenance windows that cover it:"
        yield from (
            f"  {_window(window, window.span_about(explanation.timestamp, explanation.as_of))}"
            for window in explanation.windows
        )
    if explanation.problems:
        yield "\nRules and windows that cannot be read:"
        yield from (f"  {problem}" for problem in explanation.problems)


def _window(window: MaintenanceWindow, span: Span | None) -> str:
    concerned = f", where {window.field} is one of {window.values}" if window.field else ""
    start, end = span or (None, None)
    recurs = f", recurring by {window.rrule} in {window.zone}" if window.rrule else ""
    return f"{as_text(start)} to {as_text(end)}{recurs}{concerned}: {why_it_holds(window) or 'no reason given'}"


def _clause_lines(clause: ClauseResult) -> Iterator[str]:
    yield (
        f"{clause.rule_id} ({clause.mode}): {clause.decision} by {clause.condition}, "
        f"{reason_in_words(clause.description)}: {'due' if clause.due else 'not due'}"
    )
    for test in clause.tests:
        asked, values = reason_in_words(test.description), as_text(test.values_in_words)
        yield f"  {'yes' if test.holds else 'NO '}  {asked}{f'  [{values}]' if values else ''}"
    if clause.evidence_total:
        more = clause.evidence_not_named
        yield f"  evidence: {', '.join(clause.evidence)}{f' and {more} more' if more else ''}"


def _past(entry: dict[str, Any], ui_url: str | None) -> Iterator[str]:
    decided = (as_text(entry.get(name)) for name in ("timestamp", "from_status", "to_status", "job_id"))
    yield "  ".join([*decided, reason_in_words(as_text(entry.get("reason")))])
    kept = {"as of": entry.get("as_of"), "matched": matched_in_words(entry), "run": run_url(entry, ui_url)}
    yield from (f"  {name} {as_text(value)}" for name, value in kept.items() if value)
