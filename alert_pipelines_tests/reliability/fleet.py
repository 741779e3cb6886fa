"""The alerts that the scan is broken upon, and what has to be true of each of them whatever happened.

An alert's id says what its rule decides: `close-…`, `escalate-…`, and `rest-…` that no rule concerns.
"""

from collections import Counter
from typing import Any

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.job_records import SCANNER
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule
from alert_pipelines_tests.patience import wait_until

Document = dict[str, Any]

RULES = (
    rule("expire", {"expire_after_mins": 60}),
    rule("pile-up", {"escalate_if_count": 1}, source_type="COMPLIANCE"),
)
REQUEST = ScanRequest(as_of=AS_OF)
_KINDS = (
    ("close", {"minutes": 120}),
    ("escalate", {"minutes": 5, "source_type": "COMPLIANCE"}),
    ("rest", {"minutes": 5, "source_type": "FEEDBACK_POSITIVE"}),
)
_DECIDED = {"close": "AUTO_CLOSED", "escalate": "ESCALATED"}


def fill_fleet(db: AlertDatabase, size: int) -> dict[str, Document]:
    """Replace alerts, rules and job records; return the `size` alerts by id as they are stored."""
    for name in ("alerts", "rules", "background_jobs"):
        db[name].delete_many({})
    fleet = []
    for number in range(size):
        kind, fields = _KINDS[number % len(_KINDS)]
        fleet.append(alert(f"{kind}-{number}", driver=f"D{number}", **fields))
    fill(db, fleet, *map(dict, RULES))
    return {stored["alert_id"]: stored for stored in db.alerts.find()}


def scan(db: AlertDatabase) -> ScanReport:
    return run_scan(db, REQUEST)


def check_whole_or_untouched(db: AlertDatabase, originals: dict[str, Document]) -> Counter[str]:
    """Assert that each alert is as it was, or decided once and wholly; return the decisions by job id."""
    decisions: Counter[str] = Counter()
    found = {stored["alert_id"]: stored for stored in db.alerts.find()}
    assert found.keys() == originals.keys()
    for alert_id, stored in found.items():
        original = originals[alert_id]
        if stored == original:
            continue
        [entry] = stored["state_history"]
        assert stored == _decided(original, entry), f"{alert_id} is half decided: {stored}"
        assert entry["before"]["status"] == entry["from_status"] == original["status"]
        decisions[entry["job_id"]] += 1
    return decisions


def _decided(original: Document, entry: Document) -> Document:
    status = _DECIDED[original["alert_id"].partition("-")[0]]
    at = entry["timestamp"]
    if status == "AUTO_CLOSED":
        change = {"closed_at": at, "auto_close_reason": entry["reason"]}
    else:
        change = {"escalated_at": at, "severity": "CRITICAL"}
    assert entry["to_status"] == status
    return original | change | {"status": status, "updated_at": at, "state_history": [entry]}


def check_all_decided(db: AlertDatabase, originals: dict[str, Document]) -> None:
    """Assert that what had to be decided is, once each."""
    due = sum(not alert_id.startswith("rest") for alert_id in originals)
    assert check_whole_or_untouched(db, originals).total() == due


def check_records(db: AlertDatabase, decisions: Counter[str]) -> list[Document]:
    """Assert that every scan's record has ended and its counts are those of the alerts; return them by start."""
    records = list(db.background_jobs.find({"job_type": SCANNER}).sort("started_at", 1))
    assert decisions.keys() <= {record["job_id"] for record in records}
    for record in records:
        assert record["status"] != "running", record
        counted = record["alerts_closed"] + record["alerts_escalated"]
        assert counted == decisions[record["job_id"]], (counted, decisions, record)
    return records


def wait_for_server(db: AlertDatabase) -> None:
    """Wait until the server has ended what a dead process had sent it, which it does well within a lease."""
    writes = {"ns": f"{db.name}.{COLLECTION}", "op": {"$in": ["update", "command"]}, "active": True}
    under_way: list[Document] = [{"$currentOp": {"allUsers": True}}, {"$match": writes}]
    wait_until(lambda: not list(db.client.admin.aggregate(under_way)), "the end of the server's work", every_s=0.005)


def expire_leases(db: AlertDatabase) -> None:
    """Let the time of every lease be over."""
    db.background_jobs.update_many({"status": "running"}, [{"$set": {"lease_expires_at": {"$subtract": ["$$NOW", 1]}}}])
