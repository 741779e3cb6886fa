"""What anybody may have stored in an alert is data: it never becomes an operator, a pattern or another value."""

import uuid
from datetime import timedelta
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from alert_pipelines.audit.decisions import tally_of_job
from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.errors import JobNotFoundError, UndoError
from alert_pipelines.job_records import create_job_record, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring.health import pending_by_source
from alert_pipelines.rules.publish import diff_rules, publish_rules
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

PILE = rule("pile-up", {"escalate_if_count": 2, "window_mins": 60})
LATEST = rule("latest", {"keep_latest": True})
QUIET = rule("quiet", {"close_if_no_repeat_mins": 60})

ODD_KEYS: dict[str, Any] = {
    "operator": {"$gt": ""},
    "unknown operator": {"$x": 1},
    "field path": "$status",
    "document": {"a": {"b": 1}},
    "reference": DBRef("drivers", 7),
    "regex": Regex("^D"),
    "regex that is not valid": Regex("("),
    "decimal": Decimal128("1.50"),
    "code": Code("x"),
    "code with scope": Code("x", {"y": 1}),
    "uuid": Binary.from_uuid(uuid.UUID(int=1)),
    "old uuid": Binary(bytes(16), 3),
    "bytes": b"\\x00\\x01",
    "true": True,
    "NaN": float("nan"),
    "long": Int64(2**53 + 1),
    "id": ObjectId(),
    "date": AS_OF,
    "stamp": Timestamp(1, 1),
    "smallest": MinKey(),
    "largest": MaxKey(),
    "empty document": {},
}


def scan(db: AlertDatabase, minutes: float = 0) -> ScanReport:
    return run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=minutes)))


@pytest.mark.parametrize("odd", ODD_KEYS.values(), ids=ODD_KEYS.keys())
def test_a_key_that_reads_as_a_query_stopped_every_keyed_rule_for_the_fleet(db: AlertDatabase, odd: Any) -> None:
    fill(db, [alert("first", minutes=55, driver="zz")], PILE, LATEST | {"source_type": "IDLING"})
    scan(db)
    fill(
        db,
        [
            alert("a1", minutes=10),
            alert("a2", minutes=5),
            alert("odd", minutes=5, driver=odd),
            *(alert(f"idle-{n}", minutes=n, driver=odd, source_type="IDLING") for n in (4, 6)),
        ],
    )
    second = scan(db, 5)
    assert second.incremental_since
    assert not second.errors
    assert statuses(db) == {
        "first": "OPEN",
        "a1": "OPEN",
        "a2": "ESCALATED",
        "odd": "OPEN",
        "idle-4": "OPEN",
        "idle-6": "AUTO_CLOSED",
    }


@pytest.mark.parametrize("odd", ODD_KEYS.values(), ids=ODD_KEYS.keys())
def test_explain_finds_the_evidence_of_any_key(db: AlertDatabase, odd: Any) -> None:
    fill(db, [alert("a1", minutes=10, driver=odd), alert("a2", minutes=5, driver=odd), alert("other")], PILE, QUIET)
    pile_up = next(c for c in explain_alert(db, "a2", as_of=AS_OF).clauses if c.rule_id == "pile-up")
    assert (pile_up.due, pile_up.evidence) == (True, ("a1",))


@pytest.mark.parametrize(
    "rule_id",
    [*ODD_KEYS.values(), ["x"], "$expire", "a.b", "", 5],
    ids=[*ODD_KEYS, "a list", "with a dollar", "with a dot", "empty", "a number"],
)
def test_a_rule_id_of_any_kind_disables_its_rule_alone(db: AlertDatabase, rule_id: Any) -> None:
    fill(db, [alert("A", minutes=90)], rule("expire", {"expire_after_mins": 60}))
    db.rules.insert_one({**rule("x", {"expire_after_mins": 1}, source_type="SAFETY"), "rule_id": rule_id})
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    assert report.closed == 1
    is_valid = type(rule_id) is str and rule_id != ""
    assert len(report.bad_rules) == (0 if is_valid else 1)
    explained = explain_alert(db, "A", as_of=AS_OF + timedelta(minutes=5))
    assert len(explained.problems) == len(report.bad_rules)
    before = bson.encode(db.rules.find_one({"source_type": "SAFETY"}) or {})
    changed = [parse_rule(rule("expire", {"expire_after_mins": 120}))]
    assert "expire" in [one.rule_id for one in diff_rules(db, changed)]
    publish_rules(db, changed, overwrite=True)
    assert bson.encode(db.rules.find_one({"source_type": "SAFETY"}) or {}) == before
    assert undo_job(db, report.job_id, dry_run=False).restored == 1


def test_a_job_id_that_reads_as_a_query_named_whichever_job_there_was(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=90)], rule("expire", {"expire_after_mins": 60}))
    scan(db)
    running = create_job_record("load", db).job_id
    anyone: Any = {"$gt": ""}
    with pytest.raises(UndoError, match="no job record"):
        undo_job(db, anyone, dry_run=False)
    with pytest.raises(JobNotFoundError):
        update_job_record(anyone, {}, "failed", [], db)
    with pytest.raises(JobNotFoundError):
        tally_of_job(db, anyone)
    assert (statuses(db), db.background_jobs.distinct("job_id", {"status": "running"})) == (
        {"A": "AUTO_CLOSED"},
        [running],
    )


@pytest.mark.parametrize("job_id", ["$status", "$$entry.job_id", "$$ROOT", "$"])
def test_a_job_id_that_reads_as_a_path_is_undone_as_any_other(db: AlertDatabase, job_id: str) -> None:
    fill(db, [alert("A", minutes=90), alert("B", minutes=90)], rule("expire", {"expire_after_mins": 60}))
    report = scan(db)
    db.background_jobs.update_one({"job_id": report.job_id}, {"$set": {"job_id": job_id}})
    db.alerts.update_one({"alert_id": "A"}, {"$set": {"state_history.0.job_id": job_id}})
    assert [row.alerts for row in tally_of_job(db, job_id)] == [1]
    assert undo_job(db, job_id, dry_run=False).restored == 1
    assert statuses(db) == {"A": "OPEN", "B": "AUTO_CLOSED"}
    assert [row.undone for row in tally_of_job(db, job_id)] == [1]


def test_a_source_that_is_code_is_another_source_than_its_text(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=90, source_type=Code("OVERSPEEDING"))], rule("expire", {"expire_after_mins": 60}))
    assert scan(db).closed == 0
    assert [(one.source_type, one.alerts) for one in pending_by_source(db, AS_OF)] == [("OVERSPEEDING", 1)]
    assert explain_alert(db, "A", as_of=AS_OF).why == "no rule concerns it"
