"""What a load did, as the tests of loading ask for it."""

import json
from typing import Any

from alert_pipelines.loading import LoadReport
from alert_pipelines.mongo import AlertDatabase

EXPORT = """
    id,source,severity,at,driver,speed
    A,OVERSPEEDING,WARNING,2025-01-15T10:00:00,D1,92.5
    B,TYRES,INFO,2025-01-15T12:00:00+02:00,,
    C,SAFETY,CRITICAL,2025-01-16,D2,0
"""


def counts(report: LoadReport) -> tuple[int, int, int, int, int]:
    """Rows read, alerts inserted, already there, rows rejected, after until."""
    return (
        report.rows_read,
        report.alerts_inserted,
        report.alerts_already_there,
        report.rows_rejected,
        report.rows_after_until,
    )


def ids(db: AlertDatabase) -> list[str]:
    return sorted(alert["alert_id"] for alert in db.alerts.find())


def rejects(report: LoadReport) -> list[dict[str, Any]]:
    assert report.reject_path is not None
    return [json.loads(line) for line in report.reject_path.read_text().splitlines()]
