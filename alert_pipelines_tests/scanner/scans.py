"""A scan as the tests of the scanner make it, the record that it leaves, and two rules."""

from typing import Any

from alert_pipelines.job_records import recent_records
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, rule

EXPIRE = rule("expire", {"expire_after_mins": 60})
ESCALATE = rule("pile-up", {"escalate_if_count": 3, "window_mins": 60})


def scan(db: AlertDatabase, **request: Any) -> Any:
    return run_scan(db, ScanRequest(**({"as_of": AS_OF} | request)))


def last_job(db: AlertDatabase) -> dict[str, Any]:
    return recent_records(1, db)[0]
