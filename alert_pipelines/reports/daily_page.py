"""The daily report for people: its tables and plots by name, its HTML page, and its files.

`daily` counts the numbers.
"""

import importlib.util
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from alert_pipelines.reports.daily import DailyReport
from alert_pipelines.reports.files import html_page, html_picture, html_table, write_report
from alert_pipelines.reports.plots import HOW_TO_GET_PLOTS, can_plot, lines, stacked_bars
from alert_pipelines.timestamps import as_duration

MAX_RULES_PLOTTED = 7
_OTHERS = "all others"
_DURATIONS = {
    "median_min": ("median", timedelta(minutes=1)),
    "p90_min": ("p90", timedelta(minutes=1)),
    "oldest_days": ("oldest", timedelta(days=1)),
}
"""The columns that hold a duration as a number: what they are called for people, and the unit."""


def tables(report: DailyReport) -> dict[str, pd.DataFrame]:
    """The report's tables by their headings, in the order in which people read; durations are numbers."""
    return {
        "What was done": report.summary(),
        "By rule": report.by_rule(),
        "By source": report.by_source(),
        "Time to close": report.time_to_close(),
        "Top keys": report.top_keys(),
        "Pending now": report.pending_now(),
        "Day by day": report.per_day(),
    }


def plain_rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows as Python values, with None for what is not known: JSON has no NaN."""
    return list(frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None))


def for_people(report: DailyReport) -> dict[str, pd.DataFrame]:
    """`tables`, without the days before the first on which anything was done, and with durations in words."""
    whole = tables(report)
    whole["Day by day"] = whole["Day by day"].tail(report.days_with_data)
    return {name: _durations_in_words(frame) for name, frame in whole.items()}


def _durations_in_words(frame: pd.DataFrame) -> pd.DataFrame:
    shown = frame.copy()
    for column, (_, unit) in _DURATIONS.items():
        if column in frame:
            texts = [None if pd.isna(number) else as_duration(number * unit) for number in frame[column]]
            shown[column] = pd.Series(texts, index=frame.index, dtype=object)
    return shown.rename(columns={column: name for column, (name, _) in _DURATIONS.items()})


def plots(report: DailyReport) -> dict[str, str]:
    """The report's plots as SVG by their headings; none of what was not done, nor where matplotlib is not installed."""
    if not can_plot():
        return {}
    days = report.per_day()
    labels = days["day"].tolist()
    done = {what: days[what].tolist() for what in ("opened", "closed", "escalated", "resolved")}
    hours = {
        name: (days[column].astype(float) / 60).tolist()
        for name, column in (("median", "median_min"), ("90th percentile", "p90_min"))
    }
    drawn = {"Opened, closed, escalated and resolved": lines("alerts a day", labels, done)}
    if by_rule := _closed_by_rule(report, labels):
        drawn["Closed by rule"] = stacked_bars("alerts a day, closed by rules", labels, by_rule)
    if len(report.ages):
        drawn["Time to close"] = lines("hours from opened to closed or resolved", labels, hours)
    return drawn


def render(report: DailyReport) -> str:
    """The report as one HTML page that needs nothing else."""
    drawn = plots(report)
    intro = (
        f"<p>{report.day} and the {report.days} days from {report.first} that end with it (UTC), read from the alerts' "
        f"histories at {report.made_at:%Y-%m-%d %H:%M} UTC.</p>"
    )
    pictures = [html_picture(name, svg) for name, svg in drawn.items()] or [f"<p>{HOW_TO_GET_PLOTS}</p>"]
    shown = for_people(report).items()
    written = [html_table(name, frame.columns.str.replace("_", " "), _texts(frame)) for name, frame in shown]
    return html_page(f"Alerts on {report.day}", [intro, written[0], *pictures, *written[1:]])


def export(report: DailyReport, directory: Path) -> list[Path]:
    """Write the report into a folder of `directory` named for the day; return the files, the page first.

    CSV and, where pyarrow is installed, Parquet of the counts, the days, the times to close, the keys; each file is
    whole or as it was before. Raises ReportFileError.
    """
    folder = directory / report.day.isoformat()
    frames = {
        "counts": report.counts,
        "days": report.per_day(),
        "time_to_close": report.time_to_close(),
        "keys": report.keys,
    }
    contents: dict[str, str | bytes] = {"report.html": render(report)}
    contents |= {f"{name}.csv": frame.to_csv(index=False) for name, frame in frames.items()}
    if importlib.util.find_spec("pyarrow") is not None:
        contents |= {f"{name}.parquet": frame.to_parquet(index=False) for name, frame in frames.items()}
    for name, content in contents.items():
        write_report(folder / name, content)
    return [folder / name for name in contents]


def _closed_by_rule(report: DailyReport, labels: list[str]) -> dict[str, list[int]]:
    counts = report.counts
    closed = counts[(counts["what"] == "closed") & (counts["by"] == "rules")]
    order = closed.groupby("rule")["alerts"].sum().sort_values(ascending=False, kind="stable").index
    named = set(order[:MAX_RULES_PLOTTED])
    table = (
        closed.assign(rule=[rule if rule in named else _OTHERS for rule in closed["rule"]])
        .groupby(["rule", "day"])["alerts"]
        .sum()
        .unstack("day")
        .reindex(columns=labels)
        .fillna(0)
        .astype(int)
    )
    return {
        str(rule): table.loc[rule].tolist() for rule in (*order[:MAX_RULES_PLOTTED], _OTHERS) if rule in table.index
    }


def _texts(frame: pd.DataFrame) -> list[list[str]]:
    return [["" if value is None else str(value) for value in row] for row in plain_rows(frame)]
