"""Taking back what a job decided: each alert to what it was, its history appended and never rewritten."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from alert_pipelines.alerts import COLLECTION, Status
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.job_records import COLLECTION as JOB_RECORDS
from alert_pipelines.job_records import COMPLETED, FAILED, Lease, create_job_record, update_job_record
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.retry import retry_transient
from alert_pipelines.scanner.collections import prepare_collections

JOB_TYPE = "auto_close_undo"
BATCH = 1_000
MAX_SKIPPED = 1_000
# What a decision may have written besides history and updated_at; an undo is a change too, so that moves on.
_TAKEN_BACK = ("status", "severity", "escalated_at", "closed_at", "auto_close_reason")

_log = logging.getLogger(__name__)


class UndoError(AlertPipelinesError):
    """There is nothing that could be undone as asked."""


class Skipped(NamedTuple):
    """An alert that is left as it is, and why."""

    alert_id: str
    why: str


@dataclass(frozen=True)
class UndoReport:
    """What was, or in a dry run would be, taken back. `undo_job_id` is None for a dry run.

    `skipped` names the first 1,000 of the `skipped_total` alerts that were touched since.
    """

    job_id: str
    undo_job_id: str | None
    dry_run: bool
    restored: int
    skipped: tuple[Skipped, ...]
    skipped_total: int


def undo_job(
    db: AlertDatabase, job_id: str, *, rule_id: str | None = None, dry_run: bool = True, run_id: str | None = None
) -> UndoReport:
    """Take back the decisions of `job_id`, all or those of one rule; by default only say what that would be.

    An alert is restored where the decision is still the last thing that happened to it; others are skipped and
    listed. An undone decision is not taken again by its rule, and undoing twice does nothing. Raises UndoError for a
    job that is unknown or still running.
    """
    prepare_collections(db)
    record = db[JOB_RECORDS].find_one({"job_id": job_id})
    if record is None:
        raise UndoError(f"no job record {job_id!r} in {db.name}.{JOB_RECORDS}: `alert-pipelines jobs list` names them")
    if record.get("status") == "running":
        raise UndoError(f"{job_id} is still running: wait for its end, or cancel its run, and undo it then")
    decided = _decided(job_id, rule_id)
    untouched = {**decided, "$expr": _is_untouched(job_id)}
    if dry_run:
        restored, undo_job_id = db[COLLECTION].count_documents(untouched), None
    else:
        undo_job_id = create_job_record(JOB_TYPE, db, run_id=run_id)
        try:
            with Lease(db, undo_job_id) as lease:
                restored = _restore_all(db, job_id, undo_job_id, untouched, lease.check)
        except BaseException as error:
            update_job_record(undo_job_id, {}, FAILED, [f"{type(error).__name__}: {error}"], db)
            raise
    touched = {**decided, "$expr": {"$not": [_is_untouched(job_id)]}}
    # What was undone, now or before, was touched by nobody but the undo.
    touched["state_history.undoes.job_id"] = {"$ne": job_id}
    skipped = tuple(_why_skipped(doc) for doc in db[COLLECTION].find(touched).limit(MAX_SKIPPED))
    skipped_total = db[COLLECTION].count_documents(touched) if len(skipped) == MAX_SKIPPED else len(skipped)
    report = UndoReport(job_id, undo_job_id, dry_run, restored, skipped, skipped_total)
    if undo_job_id is not None:
        stats = {"undone_job_id": job_id, "rule_id": rule_id, "restored": restored, "skipped": skipped_total}
        update_job_record(undo_job_id, stats, COMPLETED, [f"{one.alert_id}: {one.why}" for one in skipped], db)
    return report


def _decided(job_id: str, rule_id: str | None) -> dict[str, Any]:
    entry = {"job_id": job_id, "triggered_by": "system"} | ({"rule_triggered": rule_id} if rule_id else {})
    return {"state_history.job_id": job_id, "state_history": {"$elemMatch": entry}}


def _is_untouched(job_id: str) -> dict[str, Any]:
    """Whether the job's decision is the last entry and nothing was written to the alert after it."""
    entry = {
        "$and": [
            {"$eq": ["$$last.job_id", job_id]},
            {"$eq": ["$$last.to_status", "$status"]},
            {"$eq": ["$$last.timestamp", "$updated_at"]},
        ]
    }
    history = {"$cond": [{"$isArray": "$state_history"}, "$state_history", []]}
    return {"$let": {"vars": {"last": {"$last": history}}, "in": entry}}


def _restore_all(
    db: AlertDatabase, job_id: str, undo_job_id: str, untouched: dict[str, Any], check: Callable[[], None]
) -> int:
    restored = 0
    update = _restoring_update(job_id, undo_job_id)

    def next_batch() -> int:
        check()
        ids = [doc["_id"] for doc in db[COLLECTION].find(untouched, {"_id": 1}).limit(BATCH)]
        if ids:
            db[COLLECTION].update_many({**untouched, "_id": {"$in": ids}}, update)
        return len(ids)

    while retry_transient(next_batch, before_retry=check):
        restored = db[COLLECTION].count_documents({"state_history.job_id": undo_job_id})
        _log.info("Undo of %s: %d alerts restored", job_id, restored)
    return restored


def _restoring_update(job_id: str, undo_job_id: str) -> list[dict[str, Any]]:
    before = "$__undone.before"
    entry = {
        "from_status": "$status",
        "to_status": f"{before}.status",
        "timestamp": "$$NOW",
        "reason": {"$literal": f"undo of {job_id}"},
        "triggered_by": "undo",
        "rule_triggered": None,
        "job_id": undo_job_id,
        "undoes": {"job_id": job_id, "rule_id": "$__undone.rule_triggered"},
    }

    def taken_back(name: str) -> dict[str, Any]:
        # What `before` lacks, the alert lacked, if the decision wrote it at all.
        wrote = {"$or": [{"$eq": ["$__undone.to_status", str(status)]} for status in _WRITERS[name]]}
        was = f"{before}.{name}"
        return {"$cond": [wrote, {"$cond": [{"$eq": [{"$type": was}, "missing"]}, "$$REMOVE", was]}, f"${name}"]}

    restored = {name: taken_back(name) for name in _TAKEN_BACK}
    return [
        {"$set": {"__undone": {"$last": "$state_history"}}},
        {
            "$set": {
                **restored,
                "updated_at": "$$NOW",
                "state_history": {"$concatArrays": ["$state_history", [entry]]},
            }
        },
        {"$unset": "__undone"},
    ]


_WRITERS: dict[str, tuple[Status, ...]] = {
    "status": (Status.AUTO_CLOSED, Status.ESCALATED),
    "severity": (Status.ESCALATED,),
    "escalated_at": (Status.ESCALATED,),
    "closed_at": (Status.AUTO_CLOSED,),
    "auto_close_reason": (Status.AUTO_CLOSED,),
}


def _why_skipped(doc: dict[str, Any]) -> Skipped:
    history = doc.get("state_history")
    since = history[-1] if isinstance(history, list) and history else {}
    if doc.get("updated_at") == since.get("timestamp"):
        why = f"{since.get('triggered_by')} set it to {since.get('to_status')} since"
    else:
        why = f"it was changed at {doc.get('updated_at')} since"
    return Skipped(str(doc.get("alert_id")), why)
