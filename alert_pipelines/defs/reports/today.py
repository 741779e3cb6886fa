"""The asset `today`: what the rules did, what is pending, due next and blocked."""

from datetime import datetime
from typing import Any

from dagster import MaterializeResult, asset

from alert_pipelines.audit.backlog import PendingOfAge, pending_by_age
from alert_pipelines.audit.forecast import Forecast, forecast
from alert_pipelines.defs.asset_specs import ALERTS, REPORTS_GROUP, TODAY
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.tables import table, unbroken, without_empty
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.monitoring.rule_activity import What, activity_by_rule
from alert_pipelines.monitoring.scan_records import last_ended_scan
from alert_pipelines.scanner.result import stored_violations
from alert_pipelines.timestamps import as_age

MAX_FORECAST = 100_000
"""With more pending alerts than these the page is made without the next hours: they take a plan of a scan each."""

_ACTIVITY_COLUMNS = ("rule", "what", "today", "24 h", "7 days")
_PENDING_COLUMNS = ("source", "pending", "escalated", "< 1 h", "< 1 day", "< 7 days", "older", "oldest")
_BY_RULE_COLUMNS = ("rule", "decision", "alerts", "first by")
_BY_HOUR_COLUMNS = ("by", "close", "escalate", "rules")


@asset(
    group_name=REPORTS_GROUP,
    owners=["team:alert-operations"],
    kinds={"mongodb"},
    deps=[ALERTS],
    description="What the rules closed and escalated today, in 24 hours and in 7 days, and what was reopened or "
    "undone. Also: what is pending, what will be closed next, and what is blocked. Updated every hour; "
    "**Materialize** updates it now. Times are UTC. The tab **Events** shows it in full width.",
)
def today(mongo: MongoResource, names: Names) -> MaterializeResult[None]:
    """Add it up; nothing is written."""
    with as_dagster_failure(), mongo.open() as db:
        return MaterializeResult(asset_key=names.key(TODAY), metadata=_page(db, server_now(db)))


def _page(db: AlertDatabase, now: datetime) -> dict[str, Any]:
    activity, pending = activity_by_rule(db, now), pending_by_age(db, now)
    waiting = sum(one.alerts for one in pending)
    coming = forecast(db, as_of=now) if waiting <= MAX_FORECAST else None
    totals = {what: sum(row.today for row in activity if row.what is what) for what in What}
    blocked = [one.message for one in stored_violations((last_ended_scan(db, now) or {}).get("stats"))]
    return {
        "in short": _in_short(totals, waiting, coming),
        **({"blocked by limits in the last scan": " ".join(blocked)} if blocked else {}),
        **without_empty(
            {
                "by rule": table(_ACTIVITY_COLUMNS, ((one.rule_id, str(one.what), *one[2:]) for one in activity)),
                "pending by source and age": table(_PENDING_COLUMNS, (_pending_row(one, now) for one in pending)),
                **(_forecast_tables(coming) if coming else {}),
            }
        ),
        "pending": waiting,
        **{f"{what} today": alerts for what, alerts in totals.items()},
        "database": db.name,
    }


def _in_short(totals: dict[What, int], waiting: int, coming: Forecast | None) -> str:
    done = ", ".join(f"{what} {alerts:,}" for what, alerts in totals.items())
    said = f"Today, since midnight UTC: {done}. Pending: {waiting:,}."
    if coming is None:
        return (
            f"{said} What comes next is left out with over {MAX_FORECAST:,} pending alerts: run `alert-pipelines "
            "forecast`."
        )
    return (
        f"{said} In the next {coming.hours} hours {coming.count('close'):,} will close and "
        f"{coming.count('escalate'):,} will escalate, if no alert changes and no new one comes."
    )


def _pending_row(one: PendingOfAge, now: datetime) -> tuple[str | int, ...]:
    ages = one.under_hour, one.under_day, one.under_week, one.older
    return one.source_type, one.alerts, one.escalated, *ages, unbroken(as_age(one.oldest, now))


def _forecast_tables(coming: Forecast) -> dict[str, Any]:
    by_rule = ((one.rule_id, one.decision, one.alerts, _when(one.first, coming.as_of)) for one in coming.by_rule())
    by_hour = ((_when(one.at, coming.as_of), one.close, one.escalate, one.rules_in_short) for one in coming.by_hour())
    return {
        "next 24 hours by rule": table(_BY_RULE_COLUMNS, by_rule),
        "next 24 hours by hour": table(_BY_HOUR_COLUMNS, by_hour),
    }


def _when(at: datetime, now: datetime) -> str:
    return unbroken("now" if at == now else f"{at:%d %b %H:%M}")
