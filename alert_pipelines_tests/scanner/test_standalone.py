"""A standalone server, as `docker run mongo` starts it, serves for trying out, and what it lacks is named."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.backtesting.backtest import backtest_day
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import STANDALONE
from alert_pipelines.monitoring import health
from alert_pipelines.rules.publish import export_rules, publish_rules
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses
from alert_pipelines_tests.mongo.servers import data_dir, foreign_mongod
from alert_pipelines_tests.ports import free_port

RULES = [parse_rule(rule("expire", {"expire_after_mins": 60})), parse_rule(rule("latest", {"keep_latest": True}))]


@pytest.fixture
def standalone() -> Iterator[AlertDatabase]:
    """A database of a standalone server."""
    with data_dir() as data, foreign_mongod(Path(data), free_port()) as client:
        yield client["fleet"]


def test_a_standalone_server_was_worked_with_in_silence(
    standalone: AlertDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    publish_rules(standalone, RULES)
    assert [one.rule_id for one in export_rules(standalone)] == ["expire", "latest"]
    caplog.clear()
    fill(standalone, [alert("old", minutes=90), alert("A", minutes=9), alert("B", minutes=8, driver="D2")])
    with caplog.at_level(logging.WARNING, "alert_pipelines"):
        first = run_scan(standalone, ScanRequest(as_of=AS_OF))
    assert [record.message for record in caplog.records] == [STANDALONE]
    assert (first.closed, first.full_scan_reason) == (1, "the server is not a member of a replica set")
    at = AS_OF + timedelta(minutes=5)
    fill(standalone, [alert("C", minutes=-1)])
    assert explain_alert(standalone, "A", as_of=at).decided_by is not None
    second = run_scan(standalone, ScanRequest(as_of=at))
    assert (second.closed, second.incremental_since) == (1, None)
    assert statuses(standalone) == {"old": "AUTO_CLOSED", "A": "AUTO_CLOSED", "B": "OPEN", "C": "OPEN"}
    assert undo_job(standalone, second.job_id, dry_run=False).restored == 1
    assert backtest_day(standalone, RULES, AS_OF.date()).proposed
    verdict = health.replica_set(standalone)
    assert (verdict.passed, verdict.description) == (False, STANDALONE)


def test_a_replica_set_is_not_called_standalone(db: AlertDatabase, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "alert_pipelines"):
        run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True))
    assert STANDALONE not in [record.message for record in caplog.records]
    assert health.replica_set(db).passed
