"""The report of a back-test: one HTML page that needs nothing else, and a plot for each rule.

What the numbers mean is `scanner.backtest`'s; here they are only added up, drawn and written down.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from html import escape

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.scanner.aftermath import ReallyDone
from alert_pipelines.scanner.backtest import DayOutcome, RuleOutcome

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 760, 200, 48, 12, 34
_TOO_MANY_LABELS = 16
# Told apart also without colours: false closes stand at the foot of the bar, escalations beside it.
_SERIES: tuple[tuple[str, str, Callable[[RuleOutcome], int]], ...] = (
    ("false closes", "#c0392b", lambda one: one.false_closes),
    ("other closes", "#4f81bd", lambda one: one.would_close - one.false_closes),
    ("escalations", "#e0a030", lambda one: one.would_escalate),
)
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
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } caption { text-align: left; font-weight: bold }
th, td { border: 1px solid #ccc; padding: .2em .5em; text-align: right } th:first-child { text-align: left }
div { overflow-x: auto } svg { max-width: 100%; height: auto }
"""


class ReportError(AlertPipelinesError):
    """There is nothing to report."""


def render_report(outcomes: Sequence[DayOutcome]) -> str:
    """The days of one back-test as an HTML page: totals, a plot for each rule, what really happened, day by day.

    Raises ReportError where there is no day.
    """
    if not outcomes:
        raise ReportError("a report needs at least one day that was back-tested: none was given")
    days = sorted(outcomes, key=lambda outcome: outcome.day)
    first, last = days[0], days[-1]
    title = f"Back-test {first.day} to {last.day}"
    bad = sorted({error for outcome in days for error in outcome.bad_rules})
    versions = f"Proposed: rule set {last.proposed_version[:12]}; today's: {last.today_version[:12]}."
    return "\n".join(
        [
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
            f"<p>{len(days)} days (UTC), judged every {_hours(last)} h as the alerts really stood. {versions}</p>",
            *(f"<p>Left out of today's rules: {escape(error)}</p>" for error in bad),
            _rule_table("Proposed rules", [outcome.proposed for outcome in days]),
            _rule_table("Today's rules", [outcome.today for outcome in days]),
            "<h2>Proposed rules, day by day</h2>",
            *(f"<h3>{escape(rule_id)}</h3><div>{plot}</div>" for rule_id, plot in rule_plots(days).items()),
            _really_table(days),
            "</body></html>",
        ]
    )


def rule_plots(outcomes: Sequence[DayOutcome]) -> dict[str, str]:
    """An SVG for each proposed rule that decided anything: its closes, false closes and escalations a day."""
    days = sorted(outcomes, key=lambda outcome: outcome.day)
    rule_ids = dict.fromkeys(one.rule_id for outcome in days for one in outcome.proposed)
    series = {
        rule_id: [next((one for one in outcome.proposed if one.rule_id == rule_id), None) for outcome in days]
        for rule_id in rule_ids
    }
    labels = [outcome.day.isoformat() for outcome in days]
    return {
        rule_id: _plot(rule_id, labels, [[count(one) if one else 0 for _, _, count in _SERIES] for one in row])
        for rule_id, row in series.items()
        if any(one and (one.would_close or one.would_escalate) for one in row)
    }


def _plot(rule_id: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    highest = max(max(false + other, escalated) for false, other, escalated in counts)
    floor = _HEIGHT - _BOTTOM
    slot = (_WIDTH - _LEFT) / len(labels)
    scale = (floor - _TOP) / highest
    every = -(-len(labels) // _TOO_MANY_LABELS)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="sans-serif" font-size="10">',
        f"<title>{escape(rule_id)}</title>",
        f'<path d="M{_LEFT} {_TOP}V{floor}H{_WIDTH}" fill="none" stroke="#888"/>',
        f'<text x="{_LEFT - 4}" y="{_TOP + 8}" text-anchor="end">{highest}</text>',
        f'<text x="{_LEFT - 4}" y="{floor}" text-anchor="end">0</text>',
    ]
    for position, (label, (false, other, escalated)) in enumerate(zip(labels, counts, strict=True)):
        x = _LEFT + position * slot
        bars = ((x, 0, false), (x, false, other), (x + slot * 0.42, 0, escalated))
        for (name, colour, _), (left, below, height) in zip(_SERIES, bars, strict=True):
            if height:
                parts.append(
                    f'<rect x="{left + slot * 0.08:.1f}" y="{floor - (below + height) * scale:.1f}" '
                    f'width="{slot * 0.4:.1f}" height="{height * scale:.1f}" fill="{colour}">'
                    f"<title>{label}: {height} {name}</title></rect>"
                )
        if position % every == 0:
            parts.append(f'<text x="{x + slot / 2:.1f}" y="{floor + 12}" text-anchor="middle">{label[5:]}</text>')
    for position, (name, colour, _) in enumerate(_SERIES):
        x = _LEFT + position * 110
        parts.append(f'<rect x="{x}" y="{_HEIGHT - 12}" width="9" height="9" fill="{colour}"/>')
        parts.append(f'<text x="{x + 13}" y="{_HEIGHT - 4}">{name}</text>')
    return "".join([*parts, "</svg>"])


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
        rows.append([rule_id, mode, *sums, f"{hours:.1f}", mean])
    headings = ["rule", "mode", *(heading for heading, _ in _COLUMNS), "hours earlier, total", "mean"]
    return _table(caption, headings, rows)


def _really_table(days: Sequence[DayOutcome]) -> str:
    names = [field.name for field in fields(ReallyDone)]
    rows = [
        [
            outcome.day.isoformat(),
            *(str(getattr(outcome.really, name)) for name in names),
            *(str(_total(rules, name)) for rules in (outcome.today, outcome.proposed) for name in _DECIDED),
        ]
        for outcome in days
    ]
    decided = [f"{whose} {what}" for whose in ("today's", "proposed") for what in ("closes", "escalations")]
    return _table(
        "What really happened, day by day, and what the active rules would have done",
        ["day", *(name.replace("_", " ") for name in names), *decided],
        rows,
    )


_DECIDED = ("would_close", "would_escalate")


def _total(rules: Iterable[RuleOutcome], name: str) -> int:
    return sum(getattr(one, name) for one in rules if one.mode.value == "active")


def _table(caption: str, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div><table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table></div>"


def _hours(outcome: DayOutcome) -> str:
    return f"{outcome.step.total_seconds() / 3600:g}"
