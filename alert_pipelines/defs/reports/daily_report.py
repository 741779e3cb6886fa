"""The daily report in the UI, with one partition per day: its tables, plots and files.

`reports` does the counting. It is loaded only when a report is made, since it needs pandas.
"""

import re
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    AssetSelection,
    MaterializeResult,
    MetadataValue,
    RunRequest,
    ScheduleEvaluationContext,
    TableMetadataValue,
    asset,
)

from alert_pipelines.defs.asset_specs import JOBS, REPORTS_GROUP
from alert_pipelines.defs.background_jobs import MAX_SECONDS, background_job, background_schedule
from alert_pipelines.defs.backtesting.asset import DAYS
from alert_pipelines.defs.config import DailyReportConfig
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.host_files import report_root
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.tables import table, unbroken
from alert_pipelines.errors import ActivityTimeoutError
from alert_pipelines.reports.plots import HOW_TO_GET_PLOTS, data_uri

if TYPE_CHECKING:
    import pandas as pd

    from alert_pipelines.reports.daily import DailyReport

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_DURATION = re.compile(r"\d+ (?:d|h|min)(?: \d+ (?:h|min))?")


@asset(
    group_name=REPORTS_GROUP,
    owners=["team:alert-operations"],
    kinds={"mongodb", "pandas"},
    partitions_def=DAYS,
    deps=[JOBS],
    description="Alerts opened, closed, escalated and resolved on one day, and in the 30 days up to that day.",
)
def daily_report(
    context: AssetExecutionContext, config: DailyReportConfig, mongo: MongoResource, names: Names
) -> MaterializeResult[None]:
    """Make the report of the partition's day; `alerts` is only read."""
    from alert_pipelines.reports.daily import daily_report as make  # noqa: PLC0415
    from alert_pipelines.reports.daily_page import export  # noqa: PLC0415 - it loads pandas

    day = date.fromisoformat(context.partition_key)
    with as_dagster_failure(), mongo.open() as db:
        root = report_root(config.report_dir, context.instance, names.name("reports"))
        try:
            report = make(db, day, days=config.days, max_seconds=MAX_SECONDS)
        except ActivityTimeoutError as error:
            raise ActivityTimeoutError(
                f"{error}, and scans may be waiting behind this run: run `alert-pipelines report {day}` on the command "
                "line, take fewer days, or make the two indexes of docs/daily-report.md"
            ) from error
    return MaterializeResult(metadata=_shown(report, export(report, root)) | {"database": db.name})


daily_report_job = background_job(
    "daily_report_job",
    AssetSelection.assets(daily_report),
    "Report on a day. A backfill of any length waits behind scans.",
)


def _yesterday(context: ScheduleEvaluationContext) -> RunRequest:
    day = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    return RunRequest(partition_key=day.isoformat())


# When yesterday's last scan has ended.
daily_report_schedule = background_schedule(daily_report_job, "18 0 * * *", "Reports on yesterday.", _yesterday)


def _shown(report: "DailyReport", files: list[Path]) -> dict[str, Any]:
    from alert_pipelines.reports.daily_page import for_people, plots  # noqa: PLC0415

    drawn = {name: MetadataValue.md(f"![{name}]({data_uri(svg)})") for name, svg in plots(report).items()}
    page, *data = files
    times = report.per_day().iloc[-1].dropna()
    return {
        # What the UI plots over the days.
        "opened": report.count("opened"),
        "closed by rules": report.count("closed", "rules"),
        "escalated": report.count("escalated"),
        "resolved by people": report.count("resolved", "people"),
        "reopened": report.count("reopened"),
        **{
            f"hours to close, {name}": round(float(times[column]) / 60, 2)
            for name, column in (("median", "median_min"), ("p90", "p90_min"))
            if column in times
        },
        **{name: _as_table(frame) for name, frame in for_people(report).items()},
        **(drawn or {"plots": MetadataValue.text(HOW_TO_GET_PLOTS)}),
        "page": MetadataValue.path(str(page)),
        "data": MetadataValue.json([str(path) for path in data]),
        "duration_s": round(report.seconds, 3),
    }


def _as_table(shown: "pd.DataFrame") -> TableMetadataValue:
    from alert_pipelines.reports.daily_page import plain_rows  # noqa: PLC0415

    return table(list(map(str, shown.columns)), (tuple(map(_in_one_line, row)) for row in plain_rows(shown)))


def _in_one_line(value: object) -> object:
    """A day or a duration as one line of a narrow column; any other value as it is."""
    if not isinstance(value, str):
        return value
    if _DAY.fullmatch(value):
        return unbroken(f"{date.fromisoformat(value):%d %b %Y}")
    return unbroken(value) if _DURATION.fullmatch(value) else value
