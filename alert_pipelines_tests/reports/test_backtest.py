"""The report of a back-test."""

import html
import re
import sys
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest
from pydantic import TypeAdapter

from alert_pipelines.backtesting.backtest import DayOutcome, RuleOutcome
from alert_pipelines.backtesting.outcomes import ActualActivity
from alert_pipelines.errors import EmptyBacktestError
from alert_pipelines.reports.backtest import render_report, rule_plots
from alert_pipelines.rules.model import Mode

SVG = "{http://www.w3.org/2000/svg}"


def day(number: int, *proposed: RuleOutcome, today: tuple[RuleOutcome, ...] = ()) -> DayOutcome:
    return DayOutcome(
        day=date(2026, 3, number),
        step=timedelta(hours=6),
        proposed_version="a" * 64,
        proposed=proposed,
        today_version="b" * 64,
        today=today,
        really=ActualActivity(closed_by_rules=number),
        bad_rules=("rule '<b>': bad",),
        seconds=0.1,
    )


def closes(rule_id: str, count: int, false: int = 0, escalations: int = 0) -> RuleOutcome:
    return RuleOutcome(
        rule_id,
        Mode.ACTIVE,
        would_close=count,
        false_closes=false,
        would_escalate=escalations,
        closed_later=count - false,
        what_it_does=f"Closes <{rule_id}>.",
    )


def bars(svg: str) -> dict[str, float]:
    """The height of each bar by what it says of itself."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        path = group.find(f"{SVG}path")
        if " " in group.attrib.get("id", "") and path is not None:
            heights = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", path.attrib["d"])]
            found[group.attrib["id"]] = max(heights) - min(heights)
    return found


def test_a_plot_has_a_bar_for_each_number_and_none_for_nothing() -> None:
    plots = rule_plots([day(2, closes("a", 5)), day(1, closes("a", 10, 4, 3), closes("idle", 0)), day(3)])
    assert list(plots) == ["a"]
    assert set(bars(plots["a"])) == {
        "2026-03-01: 4 false closes",
        "2026-03-01: 6 other closes",
        "2026-03-01: 3 escalations",
        "2026-03-02: 5 other closes",
    }


def test_bars_are_as_high_as_their_numbers() -> None:
    drawn = bars(rule_plots([day(1, closes("a", 10)), day(2, closes("a", 5))])["a"])
    assert drawn["2026-03-01: 10 other closes"] == pytest.approx(2 * drawn["2026-03-02: 5 other closes"], abs=0.1)


def test_without_matplotlib_the_tables_come_and_the_page_says_how_to_get_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = render_report([day(1, closes("a", 10))])
    assert "<td>a</td>" in page
    assert "pip install '.[reports]'" in html.unescape(page)
    assert "<img" not in page


def test_the_page_adds_the_days_up_and_needs_nothing_else() -> None:
    page = render_report([day(1, closes("a", 10, 4)), day(2, closes("a", 5), today=(closes("now", 7),))])
    [row] = re.findall(r"<tr><td>a</td>.*?</tr>", page)
    cells = re.findall(r"<td>(.*?)</td>", row)
    assert (cells[:4], cells[-1]) == (["a", "active", "15", "4"], "Closes &lt;a&gt;.")
    assert "<td>now</td>" in page
    assert "Back-test 2026-03-01 to 2026-03-02" in page
    assert not re.search(r"<script|<link|href=", page)
    assert re.findall(r'src="(?!data:)', page) == []
    assert "rule &#x27;&lt;b&gt;&#x27;: bad" in page


def test_a_day_that_was_kept_before_rules_were_said_in_a_sentence_is_still_read() -> None:
    kept = TypeAdapter(DayOutcome)
    document = kept.dump_python(day(1, closes("a", 10)), mode="json")
    del document["proposed"][0]["what_it_does"]
    assert "<td>a</td>" in render_report([kept.validate_python(document)])


def test_no_day_is_no_report() -> None:
    with pytest.raises(EmptyBacktestError):
        render_report([])
