"""The back-test in the UI, with one partition per day, and a report on all days.

`backtesting.backtest` does the counting; this module runs it, and stores and shows the result.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetSelection,
    DailyPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    TableMetadataValue,
    asset,
)
from pydantic import TypeAdapter

from alert_pipelines.backtesting.backtest import DayOutcome, RuleOutcome, backtest_day
from alert_pipelines.defs.asset_specs import ALERT_RULES, PREVIEWS_GROUP
from alert_pipelines.defs.background_jobs import MAX_SECONDS, background_job
from alert_pipelines.defs.config import BacktestConfig
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.host_files import host_file, report_root
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.tables import table
from alert_pipelines.errors import BacktestError
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.reports.backtest import render_report, rule_plots
from alert_pipelines.reports.files import write_report
from alert_pipelines.reports.plots import HOW_TO_GET_PLOTS, can_plot, data_uri
from alert_pipelines.rules.files import read_rules
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.store import load_rules

PLOTTED_DAYS = 14
"""The days in a plot of the run's page, which is kept with every run; the report holds all."""

DAYS = DailyPartitionsDefinition(start_date="2016-01-01", timezone="UTC")

_OUTCOME: TypeAdapter[DayOutcome] = TypeAdapter(DayOutcome)
_RULE_COLUMNS: Mapping[str, Callable[[RuleOutcome], Any]] = {
    "rule": attrgetter("rule_id"),
    "mode": attrgetter("mode.value"),
    "would close": attrgetter("would_close"),
    "false closes": attrgetter("false_closes"),
    "really closed later": attrgetter("closed_later"),
    "never closed": attrgetter("never_closed"),
    "hours earlier": lambda one: round(one.hours_earlier_total, 2),
    "hours earlier, median": attrgetter("hours_earlier_median"),
    "would escalate": attrgetter("would_escalate"),
    "really escalated": attrgetter("really_escalated"),
    "closes shared": attrgetter("closes_shared"),
    "escalations shared": attrgetter("escalates_shared"),
    "known as of now only": lambda one: ", ".join(one.known_as_of_now),
    "what it does": attrgetter("what_it_does"),
}


@asset(
    group_name=PREVIEWS_GROUP,
    owners=["team:alert-operations"],
    kinds={"mongodb"},
    partitions_def=DAYS,
    deps=[ALERT_RULES],
    description="What rules would have decided on a past day, compared with the active rules and with what really "
    "happened.",
)
def backtest(
    context: AssetExecutionContext, config: BacktestConfig, mongo: MongoResource, names: Names
) -> MaterializeResult[None]:
    """Back-test the partition's day; `alerts` is only read."""
    day = date.fromisoformat(context.partition_key)
    with as_dagster_failure(), mongo.open() as db:
        root = report_root(config.report_dir, context.instance, names.name("backtests"))
        outcome = backtest_day(db, _rules(db, config), day, check=_deadline(day))
    directory = root / f"{outcome.proposed_version[:12]}-beside-{outcome.today_version[:12]}"
    # A day that is back-tested again replaces itself in the report of all.
    write_report(directory / f"{outcome.day}.json", _OUTCOME.dump_json(outcome))
    outcomes = [_OUTCOME.validate_json(path.read_bytes()) for path in sorted(directory.glob("*.json"))]
    report = directory / "report.html"
    write_report(report, render_report(outcomes))
    return MaterializeResult(
        metadata=_shown(outcome, outcomes) | {"report": MetadataValue.path(str(report)), "database": db.name}
    )


backtest_job = background_job(
    "backtest_job",
    AssetSelection.assets(backtest),
    "Back-test a rule set on past days. A backfill of any length waits behind scans.",
)


def _rules(db: AlertDatabase, config: BacktestConfig) -> Sequence[Rule]:
    return read_rules(host_file(config.rules_file)) if config.rules_file else load_rules(db).rule_set.rules


def _deadline(day: date) -> Callable[[], None]:
    ends = time.monotonic() + MAX_SECONDS

    def check() -> None:
        if time.monotonic() > ends:
            raise BacktestError(
                f"the back-test of {day} was stopped after {MAX_SECONDS:.0f} s, as scans may be waiting behind it: "
                f"run `alert-pipelines backtest {day}` on the command line, or back-test fewer rules at a time"
            )

    return check


def _shown(outcome: DayOutcome, outcomes: Sequence[DayOutcome]) -> dict[str, Any]:
    really = {field.name.replace("_", " "): getattr(outcome.really, field.name) for field in fields(outcome.really)}
    return {
        "proposed rules": _rule_table(outcome.proposed),
        "today's rules": _rule_table(outcome.today),
        "what really happened": table(("what", "alerts"), really.items()),
        **_numbers(outcome.proposed),
        **_plots(outcome.day, outcomes),
        "proposed version": outcome.proposed_version,
        "today's version": outcome.today_version,
        "days in the report": len(outcomes),
        "duration_s": round(outcome.seconds, 3),
        "back-tested at": MetadataValue.timestamp(datetime.now(UTC)),
        **({"today's rules that cannot be read": list(outcome.bad_rules)} if outcome.bad_rules else {}),
    }


def _numbers(rules: Iterable[RuleOutcome]) -> dict[str, int | float]:
    """What the UI plots over the days."""
    plotted = ("would close", "would escalate", "false closes", "hours earlier")
    return {f"{one.rule_id}: {name}": _RULE_COLUMNS[name](one) for one in rules for name in plotted}


def _plots(day: date, outcomes: Iterable[DayOutcome]) -> dict[str, MetadataValue[Any]]:
    first = day - timedelta(days=PLOTTED_DAYS - 1)
    if not can_plot():
        return {"plots": MetadataValue.text(HOW_TO_GET_PLOTS)}
    plots = rule_plots([outcome for outcome in outcomes if first <= outcome.day <= day])
    return {
        f"plot: {rule_id}": MetadataValue.md(f"![{_alternative(rule_id)}]({data_uri(svg)})")
        for rule_id, svg in plots.items()
    }


def _alternative(rule_id: str) -> str:
    # A bracket in the rule's id would end the text that stands for the picture.
    return re.sub(r"[\[\]]", " ", rule_id)


def _rule_table(rules: Iterable[RuleOutcome]) -> TableMetadataValue:
    return table(list(_RULE_COLUMNS), (tuple(value(one) for value in _RULE_COLUMNS.values()) for one in rules))
