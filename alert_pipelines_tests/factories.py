"""Alerts and rules as tests want them: one line each, all else as the service would write it."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from alert_pipelines.mongo import AlertDatabase

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)

_numbers = itertools.count()


def ago(minutes: float) -> datetime:
    """So many minutes before AS_OF."""
    return AS_OF - timedelta(minutes=minutes)


def alert(alert_id: str | None = None, /, *, minutes: float = 30, driver: Any = "D1", **fields: Any) -> dict[str, Any]:
    """An OPEN overspeeding alert of `driver`, `minutes` before AS_OF."""
    at = ago(minutes)
    return {
        "alert_id": alert_id or f"A{next(_numbers)}",
        "source_type": "OVERSPEEDING",
        "severity": "WARNING",
        "status": "OPEN",
        "timestamp": at,
        "metadata": {"driver_id": driver},
        "state_history": [],
        "created_at": at,
        "updated_at": at,
    } | fields


def rule(rule_id: str, conditions: Mapping[str, Any], /, **fields: Any) -> dict[str, Any]:
    """An active rule for overspeeding, as the service stores one."""
    return {
        "rule_id": rule_id,
        "source_type": "OVERSPEEDING",
        "name": rule_id,
        "conditions": dict(conditions),
        "is_active": True,
        "priority": 0,
    } | fields


def fill(db: AlertDatabase, alerts: list[dict[str, Any]], *rules: dict[str, Any]) -> None:
    """Put alerts and rules into their collections."""
    if alerts:
        db.alerts.insert_many([dict(one) for one in alerts])
    if rules:
        db.rules.insert_many([dict(one) for one in rules])


def stored(db: AlertDatabase, alert_id: str) -> dict[str, Any]:
    """The alert as it now stands."""
    found = db.alerts.find_one({"alert_id": alert_id})
    assert found is not None, alert_id
    return found


def statuses(db: AlertDatabase) -> dict[str, str]:
    """The status of each alert by its id."""
    return {doc["alert_id"]: doc["status"] for doc in db.alerts.find()}
