"""The daily report for people: its page, its plots and its files."""

import csv
import html
import math
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.reports.daily import DailyReport, daily_report
from alert_pipelines.reports.daily_page import export, plots, render, tables
from alert_pipelines.reports.plots import lines, stacked_bars
from alert_pipelines_tests.factories import alert, fill, rule
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.reports.test_daily import DAY, entry, with_history


@pytest.fixture
def report(db: AlertDatabase) -> DailyReport:
    closed = [
        with_history(f"{n}-{rule}", entry("AUTO_CLOSED", -24 * n + 1, rule_triggered=f"rule{rule}"), born=-24 * n)
        for n in range(3)
        for rule in range(10)
        for _ in range(1)
    ]
    evil = with_history("evil", entry("AUTO_CLOSED", 2, rule_triggered="<script>$x"), born=1, driver="<b>")
    fill(db, [*closed, evil, alert("pending", source_type="SAFETY")], rule("rule1", {"expire_after_mins": 60}))
    return daily_report(db, DAY, days=5)


def test_the_page_holds_all_tables_and_plots_and_needs_nothing_else(report: DailyReport) -> None:
    page = render(report)
    for name in (*tables(report), *plots(report)):
        assert name in page, name
    assert "2026-03-01 and the 5 days from 2026-02-25" in page
    assert "&lt;script&gt;$x" in page
    assert "<td class=long>Closes OVERSPEEDING alerts when they are 1 hour old.</td>" in page
    assert not re.search(r"<script|<link|href=|<b>", page)
    assert re.findall(r'src="(?!data:)', page) == []
    assert page.count("<img ") == 3
    assert "nan" not in page.lower()


def test_ages_were_decimal_days_and_times_to_close_bare_minutes_and_dates_wrapped(report: DailyReport) -> None:
    page = render(report)
    [pending] = [row for row in tables(report)["Pending now"].to_dict("records") if row["source"] == "SAFETY"]
    days, hours = divmod(int(pending["oldest_days"] * 24), 24)
    assert f"<td>{days} d {hours} h</td>" in page
    assert "<td>1 h 0 min</td>" in page
    assert "<td>2026-02-27</td>" in page
    assert not re.search(r"<th>[^<]* min</th>|<th>oldest days</th>", page)
    assert "td { white-space: nowrap }" in page


def test_the_plot_of_rules_names_the_busiest_and_adds_up_the_others(report: DailyReport) -> None:
    svg = plots(report)["Closed by rule"]
    ET.fromstring(svg)
    bars = re.findall(r'id="2026-03-01: (\d+) ([^"]+)"', svg)
    assert len(bars) == 8
    assert ("4", "all others") in bars
    assert sum(int(number) for number, _ in bars) == report.count("closed") == 11


def test_a_series_without_bars_had_anothers_colour_in_the_legend() -> None:
    drawn = stacked_bars("t", ["Mon", "Tue"], {"none": [0, 0], "some": [1, 2]})
    legend = drawn[drawn.index('id="legend_1"') :]
    assert re.findall(r"fill: (#\w+)", legend)[:2] == ["#0072b2", "#e69f00"]


def test_an_empty_line_has_its_own_colour_in_the_legend() -> None:
    drawn = lines("t", ["Mon", "Tue"], {"none": [math.nan, math.nan], "some": [1, 2]})
    legend = drawn[drawn.index('id="legend_1"') :]
    assert list(dict.fromkeys(re.findall(r"stroke: (#0072b2|#e69f00)", legend))) == ["#0072b2", "#e69f00"]


def test_the_same_numbers_make_the_same_plots(report: DailyReport) -> None:
    assert plots(report) == plots(report)


def test_the_files_hold_the_same_numbers(report: DailyReport, tmp_path: Path) -> None:
    files = export(report, tmp_path)
    names = ["counts", "days", "time_to_close", "keys"]
    assert [file.name for file in files] == [
        "report.html",
        *(f"{name}.csv" for name in names),
        *(f"{name}.parquet" for name in names),
    ]
    assert {file.parent for file in files} == {tmp_path / "2026-03-01"}
    with (tmp_path / "2026-03-01" / "counts.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    closed = [row for row in rows if row["what"] == "closed" and row["day"] == "2026-03-01"]
    assert sum(int(row["alerts"]) for row in closed) == 11
    for name, frame in (("counts", report.counts), ("days", report.per_day())):
        read = pd.read_parquet(tmp_path / "2026-03-01" / f"{name}.parquet")
        pd.testing.assert_frame_equal(read, frame, check_dtype=False)
    assert not list(tmp_path.rglob("*.unfinished"))


def test_a_report_made_again_replaces_itself(db: AlertDatabase, report: DailyReport, tmp_path: Path) -> None:
    first = export(report, tmp_path)
    db.alerts.delete_many({})
    again = export(daily_report(db, DAY, days=5), tmp_path)
    assert first == again
    assert len((tmp_path / "2026-03-01" / "counts.csv").read_text().splitlines()) == 1


_BARE = """
import sys
sys.modules.update(matplotlib=None, pyarrow=None)
from datetime import date
from pathlib import Path
from alert_pipelines.mongo import open_database
from alert_pipelines.reports.daily_page import export
from alert_pipelines.reports.daily import daily_report
with open_database() as db:
    export(daily_report(db, date(2026, 3, 1), days=5), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_without_matplotlib_and_pyarrow_the_tables_and_csv_come_and_the_page_says_so(
    db: AlertDatabase, mongo_uri: str, report: DailyReport, tmp_path: Path
) -> None:
    env = {**os.environ, "MONGODB_URI": mongo_uri, "MONGODB_DATABASE": db.name}
    subprocess.run([sys.executable, "-c", _BARE, str(tmp_path)], env=env, check=True, timeout=LIMIT_S)
    folder = tmp_path / "2026-03-01"
    page = (folder / "report.html").read_text()
    assert "pip install '.[reports]'" in html.unescape(page)
    assert "Top keys" in page
    assert {file.suffix for file in folder.iterdir()} == {".csv", ".html"}
    with (folder / "counts.csv").open(newline="") as stream:
        assert sum(int(row["alerts"]) for row in csv.DictReader(stream)) == report.counts["alerts"].sum()


def test_a_day_without_alerts_has_its_page(db: AlertDatabase, tmp_path: Path) -> None:
    report = daily_report(db, date(2020, 1, 1), days=1)
    assert list(plots(report)) == ["Opened, closed, escalated and resolved"]
    assert "Alerts on 2020-01-01" in export(report, tmp_path)[0].read_text()
