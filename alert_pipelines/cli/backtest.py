"""`backtest`: what rules would have decided on past days."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import click

from alert_pipelines.backtesting.backtest import DAY as ONE_DAY
from alert_pipelines.backtesting.backtest import DEFAULT_STEP, DayOutcome, RuleOutcome
from alert_pipelines.backtesting.backtest import backtest as run_backtest
from alert_pipelines.cli.options import FILE, day, json_option
from alert_pipelines.cli.output import print_json, print_table
from alert_pipelines.mongo import open_database
from alert_pipelines.reports.backtest import render_report
from alert_pipelines.reports.files import refuse_unwritable, write_report
from alert_pipelines.rules.files import read_rules
from alert_pipelines.rules.store import load_rules


@click.command()
@click.argument("first", type=day)
@click.argument("last", type=day, required=False)
@click.option("--rules", "file", type=FILE, help="Rule file to test. Default: the published rules, active and shadow.")
@click.option(
    "--step-mins",
    type=click.IntRange(1, ONE_DAY // timedelta(minutes=1)),
    default=DEFAULT_STEP // timedelta(minutes=1),
    show_default=True,
    help="Minutes between evaluations. Must divide the day.",
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="File for the report.")
@json_option
def backtest(
    first: date, last: date | None, *, file: Path | None, step_mins: int, html: Path | None, as_json: bool
) -> None:
    """Compare what rules would have decided with what happened.

    Evaluates the rules on the days FIRST to LAST (YYYY-MM-DD, UTC).
    """
    days = [first + n * ONE_DAY for n in range(((last or first) - first) // ONE_DAY + 1)]
    if not days:
        raise click.BadParameter("LAST lies before FIRST")
    if html:
        refuse_unwritable(html)
    with open_database() as db:
        rules = read_rules(file) if file else load_rules(db).rule_set.rules
        outcomes = list(run_backtest(db, rules, days, step=timedelta(minutes=step_mins)))
    if as_json:
        print_json(outcomes)
    else:
        _print_days(outcomes)
    if html:
        page = render_report(outcomes)
        write_report(html, page)
        if not as_json:
            click.echo(f"\nReport: {click.format_filename(html)}")


def _sides(outcome: DayOutcome) -> list[tuple[str, tuple[RuleOutcome, ...]]]:
    sides = [("on trial", outcome.proposed), ("today's", outcome.today)]
    return sides[:1] if outcome.proposed_version == outcome.today_version else sides


_COLUMNS: Mapping[str, Callable[[RuleOutcome], Any]] = {
    "rule": attrgetter("rule_id"),
    "mode": attrgetter("mode.value"),
    "would close": attrgetter("would_close"),
    "false": attrgetter("false_closes"),
    "closed later": attrgetter("closed_later"),
    "never closed": attrgetter("never_closed"),
    "hours earlier": lambda one: f"{one.hours_earlier_total:.1f}",
    "would escalate": attrgetter("would_escalate"),
    "really escalated": attrgetter("really_escalated"),
    "known as of now only": lambda one: ", ".join(one.known_as_of_now),
}


def _print_days(outcomes: Sequence[DayOutcome]) -> None:
    shown = [(outcome.day, whose, one) for outcome in outcomes for whose, rules in _sides(outcome) for one in rules]
    rows = ((day.isoformat(), whose, *(value(one) for value in _COLUMNS.values())) for day, whose, one in shown)
    print_table(["day", "rules", *_COLUMNS], rows, keys=3)
    # Once a rule, and not in each line about it.
    says = dict.fromkeys((whose, one.rule_id, one.what_it_does) for _, whose, one in shown)
    click.echo()
    print_table(["rules", "rule", "what it does"], says)
    if not any(one.would_close or one.would_escalate for _, _, one in shown):
        click.echo("No rule would have decided anything.")
    for problem in sorted({problem for outcome in outcomes for problem in outcome.bad_rules}):
        click.echo(f"Left out of today's rules: {problem}")
