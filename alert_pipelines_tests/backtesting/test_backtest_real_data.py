"""Back-tests on the ServiceNow incidents, where they are at hand beside the checkout."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from alert_pipelines.backtesting.backtest import backtest
from alert_pipelines.loading import load_alerts, load_mapping
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.reports.backtest import render_report, rule_plots
from alert_pipelines.rules.validation import parse_rule

CHECKOUT = Path(__file__).parents[2]
DATA = CHECKOUT.parent / "shared" / "data"
INCIDENTS = DATA / "servicenow_incidents" / "incident_event_log.csv.gz"
MAPPING = CHECKOUT / "mappings" / "servicenow_incidents.yaml"

pytestmark = pytest.mark.skipif(not INCIDENTS.is_file(), reason=f"the public data sets are not in {DATA}")


def after_days(days: int) -> dict[str, object]:
    return {"close_if": {"field": "metadata.resolved_at", "op": "older_than_mins", "value": days * 24 * 60}}


@pytest.mark.slow
def test_the_systems_own_auto_close_as_a_rule(db: AlertDatabase, tmp_path: Path) -> None:
    """In March 2016 the automation stood still from the 10th to the 24th: the rule would have gone on."""
    # The final resolved_at is a label, and may not be used to predict. But once it is five days past it is history.
    mapping = tmp_path / "mapping.yaml"
    declared = MAPPING.read_text(encoding="utf-8")
    mapping.write_text(
        declared.replace("\nmetadata:\n", "\nmetadata:\n  resolved_at: {column: resolved_at, type: date}\n")
    )
    load_alerts(db, INCIDENTS, load_mapping(mapping), reject_path=tmp_path / "bad.jsonl")
    five = parse_rule({"rule_id": "five-days", "source_type": "INCIDENT", "conditions": after_days(5)})
    four = parse_rule(
        {"rule_id": "four-days", "source_type": "INCIDENT", "mode": "shadow", "conditions": after_days(4)}
    )

    normal, still = list(backtest(db, [five, four], [date(2016, 3, 8), date(2016, 3, 14)]))
    on_time, late = normal.proposed[0], still.proposed[0]
    # Of 246 closed by the automation that day the rule closes 240, hardly earlier; 6 have no time of resolution, or a
    # later one.
    assert (normal.really.closed_by_rules, on_time.would_close, on_time.auto_closed_later) == (246, 240, 240)
    assert on_time.hours_earlier_median == 0
    assert on_time.hours_earlier_total / on_time.would_close < 1
    assert (still.really.closed_by_rules, late.would_close, late.auto_closed_later) == (9, 311, 311)
    assert late.hours_earlier_median == pytest.approx(246, abs=6)
    assert normal.proposed[2].rule_id == "four-days"
    assert normal.proposed[2].hours_earlier_median == pytest.approx(24, abs=6)
    assert late.false_closes == on_time.false_closes == 0, "nobody escalates there, nor leaves notes"
    assert normal.day + timedelta(days=6) == still.day
    assert "five-days" in render_report([normal, still])
    assert "2016-03-14: 311 other closes" in rule_plots([normal, still])["five-days"]
