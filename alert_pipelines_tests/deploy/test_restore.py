"""What docs/deployment.md says of a restored MongoDB: nothing of it depends on Dagster's storage."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alert_pipelines.audit.decisions import decisions_of_alert
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.job_records import SCANNER
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import parse_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

KEPT = ("alerts", "rules", "pipeline_rules", "rule_versions", "background_jobs", "maintenance_windows", "calendars")
LATER = AS_OF + timedelta(minutes=30)


@pytest.fixture
def restored(db: AlertDatabase) -> Iterator[AlertDatabase]:
    """A database that a dump of `db` is restored to by `restore`; without an index, as it is before."""
    made = db.client.get_database(f"test_{uuid.uuid4().hex}", db.codec_options, db.read_preference, db.write_concern)
    yield made
    made.client.drop_database(made.name)


def dump(db: AlertDatabase) -> dict[str, list[dict[str, Any]]]:
    return {name: list(db[name].find()) for name in KEPT}


def restore(dumped: dict[str, list[dict[str, Any]]], into: AlertDatabase) -> None:
    for name, documents in dumped.items():
        if documents:
            into[name].insert_many(documents)


def test_what_was_decided_after_the_dump_is_decided_again_and_what_was_before_is_not(
    db: AlertDatabase, restored: AlertDatabase
) -> None:
    fill(db, [alert("EARLY", minutes=100), alert("LATE", minutes=40)])
    publish_rules(db, parse_rules([rule("old", {"expire_after_mins": 60})], "here"))
    first = run_scan(db, ScanRequest(as_of=AS_OF))
    dumped = dump(db)
    assert run_scan(db, ScanRequest(as_of=LATER)).closed == 1
    restore(dumped, restored)
    assert statuses(restored) == {"EARLY": "AUTO_CLOSED", "LATE": "OPEN"}
    assert run_scan(restored, ScanRequest(as_of=LATER)).closed == 1
    assert statuses(restored) == {"EARLY": "AUTO_CLOSED", "LATE": "AUTO_CLOSED"}
    # Provenance and undo ask for what the dump holds and for nothing else.
    assert [decision.entry["job_id"] for decision in decisions_of_alert(restored, "EARLY")] == [first.job_id]
    assert undo_job(restored, first.job_id, dry_run=False).restored == 1


def test_a_record_that_the_dump_holds_as_running_is_swept(db: AlertDatabase, restored: AlertDatabase) -> None:
    lease = datetime.now(UTC) - timedelta(seconds=1)
    running = {"job_id": "JOB-A", "job_type": SCANNER, "status": "running", "started_at": lease, "errors": []}
    db.background_jobs.insert_one(running | {"lease_expires_at": lease})
    restore(dump(db), restored)
    run_scan(restored, ScanRequest())
    record = restored.background_jobs.find_one({"job_id": "JOB-A"})
    assert record is not None
    assert record["status"] == "failed"
