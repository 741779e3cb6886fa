"""Metrics of the scanner for Prometheus, read from the job records at each request.

It loads prometheus_client (extra `metrics`), so only the command that exports metrics may import this module.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, TypeGuard

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pymongo.errors import PyMongoError

from alert_pipelines.errors import MetricsError
from alert_pipelines.files import write_file
from alert_pipelines.job_records import COMPLETED, RUNNING, SCANNER
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.mongo.door import at_the_door, known_form
from alert_pipelines.mongo.reasons import reason_of
from alert_pipelines.monitoring.scan_records import (
    decisions_by_rule,
    last_completed_scan,
    last_ended_scan,
    records_by_status,
    running_scan,
)

PREFIX = "alert_pipelines"
WINDOW = timedelta(days=1)

_log = logging.getLogger(__name__)


class ScannerCollector(Collector):
    """Collects the metrics of one database at each request."""

    def __init__(self, db: AlertDatabase | None) -> None:
        self._db = None if db is None else known_form(db)

    def collect(self) -> Iterable[Metric]:
        """Return all metrics; only `alert_pipelines_up`, as 0, if the database is unreachable."""
        if self._db is None:
            return [_gauge("up", "Whether the database answered.", 0)]
        try:
            families = list(_families(self._db))
        except PyMongoError as error:
            _log.warning("No metrics: the database is unreachable: %s", reason_of(error))
            return [_gauge("up", "Whether the database answered.", 0)]
        return [_gauge("up", "Whether the database answered.", 1), *families]

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering needs no database."""
        return []


@at_the_door
def registry_of(db: AlertDatabase | None) -> CollectorRegistry:
    """Return a registry with the scanner's metrics and no others."""
    registry = CollectorRegistry()
    registry.register(ScannerCollector(db))
    return registry


@at_the_door
def write_metrics(db: AlertDatabase | None, path: Path) -> None:
    """Replace the text file at `path` by the metrics; without a database, by `alert_pipelines_up 0`.

    Raises MetricsError.
    """
    try:
        write_file(path, generate_latest(registry_of(db)))
    except OSError as error:
        raise MetricsError(f"cannot write {path}: {error.strerror}") from error


@at_the_door
def serve_metrics(db: AlertDatabase, host: str, port: int, until: Event) -> None:
    """Serve metrics at http://host:port/metrics until the event is set. Raises MetricsError."""
    try:
        server, thread = start_http_server(port, host, registry_of(db))
    except OSError as error:
        raise MetricsError(f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port") from error
    _log.info("Serving metrics at http://%s:%d/metrics", host, server.server_port)
    try:
        until.wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _families(db: AlertDatabase) -> Iterator[Metric]:
    now = server_now(db)
    yield from _of_last_scan(last_ended_scan(db, now))
    yield from _of_completion(last_completed_scan(db, now), now)
    yield _gauge("scan_running", "Whether a scan is running.", running_scan(db))
    decisions = GaugeMetricFamily(
        f"{PREFIX}_decisions_last_day",
        "Alerts that scans of the last 24 hours decided.",
        labels=["rule", "source", "decision"],
    )
    for total in decisions_by_rule(db, now - WINDOW):
        decisions.add_metric([total.rule_id, total.source_type, total.decision], total.alerts)
    records = GaugeMetricFamily(
        f"{PREFIX}_job_records_last_day", "Job records of the last 24 hours.", labels=["job_type", "status"]
    )
    # Always present, so that an alerting rule on failures works before the first failure.
    counts = {(SCANNER, status): 0 for status in (RUNNING, COMPLETED, "failed")}
    counts |= {(total.job_type, total.status): total.records for total in records_by_status(db, now - WINDOW)}
    for labels, number in counts.items():
        records.add_metric(list(labels), number)
    yield from (decisions, records)


def _of_last_scan(record: dict[str, Any] | None) -> Iterator[Metric]:
    """Yield the metrics of the last scan that ended, except those that its record lacks."""
    if record is None:
        return
    listed = record.get("errors")
    errors = record.get("errors_total", len(listed) if isinstance(listed, list) else None)
    took_ms = record.get("execution_time_ms")
    completed = record["status"] == COMPLETED
    # An interrupted scan leaves a 0, which is not a count.
    pending = record.get("alerts_processed") if completed or record.get("alerts_processed") else None
    numbers = (
        ("completed", "1 if the last scan that ended completed, 0 if it failed.", completed),
        ("pending", "Pending alerts at the start of the last scan.", pending),
        ("closed", "Alerts that the last scan closed.", record.get("alerts_closed")),
        ("escalated", "Alerts that the last scan escalated.", record.get("alerts_escalated")),
        ("errors", "Alerts and rules that the last scan could not process.", errors),
        ("duration_seconds", "Duration of the last scan.", max(took_ms / 1000, 0.0) if _is_number(took_ms) else None),
        ("oldest_pending_age_seconds", "Age of the oldest pending alert at the last scan.", _age_of_oldest(record)),
        ("start_timestamp_seconds", "When the last scan that ended started.", _seconds(record.get("started_at"))),
    )
    for name, description, value in numbers:
        if _is_number(value):
            yield _gauge(f"last_scan_{name}", description, value)


def _of_completion(record: dict[str, Any] | None, now: datetime) -> Iterator[Metric]:
    ended = _seconds(record.get("completed_at")) if record else None
    description = "Seconds since a scan completed; infinite if none did in 30 days."
    yield _gauge(
        "seconds_since_completed_scan", description, math.inf if ended is None else max(now.timestamp() - ended, 0.0)
    )
    if ended is not None:
        yield _gauge("completed_scan_timestamp_seconds", "When the last completed scan ended.", ended)


def _age_of_oldest(record: dict[str, Any]) -> float | None:
    stats = record.get("stats")
    if not isinstance(stats, dict) or "oldest_pending" not in stats:
        return None
    if stats["oldest_pending"] is None:
        # Where nothing was pending nothing is old; where something was, how old it is cannot be told.
        return None if record.get("alerts_processed") else 0.0
    as_of, oldest = _seconds(record.get("as_of")), _seconds(stats["oldest_pending"])
    return None if as_of is None or oldest is None else max(as_of - oldest, 0.0)


def _seconds(value: Any) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float)


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", description, value=float(value))
