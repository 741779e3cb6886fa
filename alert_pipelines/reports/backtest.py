"""The report of a back-test: one HTML page that needs nothing else, and a plot for each rule.

What the numbers mean is `backtesting.backtest`'s; here they are only added up, drawn and written down.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import timedelta
from html import escape

from alert_pipelines.backtesting.backtest import DayOutcome, RuleOutcome
from alert_pipelines.backtesting.outcomes import ActualActivity
from alert_pipelines.errors import EmptyBacktestError
from alert_pipelines.reports.files import html_page, html_picture, html_table
from alert_pipelines.reports.plots import HOW_TO_GET_PLOTS, can_plot, stacked_bars

_ESCALATIONS = "escalations"
# Told apart also without colours: false closes stand at the foot of the bar, escalations beside it.
_SERIES: dict[str, Callable[[RuleOutcome], int]] = {
    "false closes": lambda one: one.false_closes,
    "other closes": lambda one: one.would_close - one.false_closes,
    _ESCALATIONS: lambda one: one.would_escalate,
}
_COLUMNS = (
    ("would close", "would_close"),
    ("false closes", "false_closes"),
    ("… escalated later", "escalated_later"),
    ("… resolved with work", "resolved_with_work"),
    ("really closed later", "closed_later"),
    ("… by a rule", "auto_closed_later"),
    ("never closed", "never_closed"),
    ("reopened later", "reopened_later"),
    ("would escalate", "would_escalate"),
    ("really escalated later", "really_escalated"),
    ("closes shared", "closes_shared"),
    ("escalations shared", "escalates_shared"),
)


def render_report(outcomes: Sequence[DayOutcome]) -> str:
    """The days of one back-test as an HTML page: totals, a plot for each rule, what really happened, day by day.

    Raises EmptyBacktestError if `outcomes` is empty.
    """
    if not outcomes:
        raise EmptyBacktestError("a report needs at least one day that was back-tested: none was given")
    days = sorted(outcomes, key=lambda outcome: outcome.day)
    first, last = days[0], days[-1]
    title = f"Back-test {first.day} to {last.day}"
    bad = sorted({error for outcome in days for error in outcome.bad_rules})
    hours = last.step / timedelta(hours=1)
    versions = f"Proposed: rule set {last.proposed_version[:12]}; today's: {last.today_version[:12]}."
    plots = [f"<h3>{escape(name)}</h3>{html_picture(name, svg)}" for name, svg in rule_plots(days).items()]
    return html_page(
        title,
        [
            f"<p>{len(days)} days (UTC), judged every {hours:g} h as the alerts really stood. {versions}</p>",
            *(f"<p>Left out of today's rules: {escape(error)}</p>" for error in bad),
            _rule_table("Proposed rules", [outcome.proposed for outcome in days]),
            _rule_table("Today's rules", [outcome.today for outcome in days]),
            "<h2>Proposed rules, day by day</h2>",
            *(plots if can_plot() else [f"<p>{HOW_TO_GET_PLOTS}</p>"]),
            _really_table(days),
        ],
    )


def rule_plots(outcomes: Sequence[DayOutcome]) -> dict[str, str]:
    """An SVG for each proposed rule that decided anything: its closes, false closes and escalations a day.

    None where matplotlib is not installed.
    """
    if not can_plot():
        return {}
    days = sorted(outcomes, key=lambda outcome: outcome.day)
    labels = [outcome.day.isoformat() for outcome in days]
    plots = {}
    for rule_id in dict.fromkeys(one.rule_id for outcome in days for one in outcome.proposed):
        ones = [next((one for one in outcome.proposed if one.rule_id == rule_id), None) for outcome in days]
        series = {name: [count(one) if one else 0 for one in ones] for name, count in _SERIES.items()}
        if any(any(counts) for counts in series.values()):
            plots[rule_id] = stacked_bars(rule_id, labels, series, beside=[_ESCALATIONS])
    return plots


def _rule_table(caption: str, days: Sequence[Iterable[RuleOutcome]]) -> str:
    by_rule: dict[tuple[str, str], list[RuleOutcome]] = {}
    for one in (one for day in days for one in day):
        by_rule.setdefault((one.rule_id, one.mode.value), []).append(one)
    rows = []
    for (rule_id, mode), ones in by_rule.items():
        sums = [str(sum(getattr(one, name) for one in ones)) for _, name in _COLUMNS]
        hours = sum(one.hours_earlier_total for one in ones)
        # Medians cannot be added up, so the table holds the mean over the days.
        closed = sum(one.closed_later for one in ones)
        mean = f"{hours / closed:.1f}" if closed else ""
        known = ", ".join(dict.fromkeys(field for one in ones for field in one.known_as_of_now))
        rows.append([rule_id, mode, *sums, f"{hours:.1f}", mean, known, ones[-1].what_it_does])
    headings = [
        "rule",
        "mode",
        *(heading for heading, _ in _COLUMNS),
        "hours earlier, total",
        "mean",
        "known as of now only",
        "what it does",
    ]
    return html_table(caption, headings, rows)


def _really_table(days: Sequence[DayOutcome]) -> str:
    names = [field.name for field in fields(ActualActivity)]
    rows = [
        [
            outcome.day.isoformat(),
            *(str(getattr(outcome.really, name)) for name in names),
            *(str(_total(rules, name)) for rules in (outcome.today, outcome.proposed) for name in _DECIDED),
        ]
        for outcome in days
    ]
    decided = [f"{whose} {what}" for whose in ("today's", "proposed") for what in ("closes", "escalations")]
    return html_table(
        "What really happened, day by day, and what the active rules would have done",
        ["day", *(name.replace("_", " ") for name in names), *decided],
        rows,
    )


_DECIDED = ("would_close", "would_escalate")


def _total(rules: Iterable[RuleOutcome], name: str) -> int:
    return sum(getattr(one, name) for one in rules if one.mode.value == "active")
