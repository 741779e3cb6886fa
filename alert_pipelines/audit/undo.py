"""Undoes the decisions of a job: restores each alert, and appends to its history."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from alert_pipelines.alerts import (
    COLLECTION,
    HISTORY,
    UNDONE_JOBS,
    Severity,
    Status,
    alert_key,
    entries_where,
    tally_decisions,
)
from alert_pipelines.alerts.decision_counts import leave_out_undone
from alert_pipelines.errors import JobRecordError, UndoError
from alert_pipelines.job_model import JOB_RECORDS
from alert_pipelines.job_records import (
    COMPLETED,
    FAILED,
    RUNNING,
    SCANS,
    create_job_record,
    fail_stalled_jobs,
    update_job_record,
)
from alert_pipelines.leases import Lease
from alert_pipelines.mongo.client import AlertDatabase, failure_text
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.reasons import reason_of
from alert_pipelines.mongo.retry import retry_transient
from alert_pipelines.scanner.bisection import in_stored_order, write_with_bisection
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines.signature import UNSIGNED, Signature
from alert_pipelines.spelling import did_you_mean

JOB_TYPE = "auto_close_undo"
LATEST = "latest"
"""Accepted in place of a job id: the last scan of this project that decided anything."""

BATCH = 5_000
MAX_LISTED = 1_000
_CURSOR_BATCH = 10_000
# The last entry that is not an undo and that none takes back: an undo leaves its alert at the entry before.
_STANDING = {
    "$last": entries_where(
        {"$ne": [{"$type": "$$entry.undoes"}, "object"]}, {"$not": [{"$in": ["$$entry.job_id", UNDONE_JOBS]}]}
    )
}

_log = logging.getLogger(__name__)


class Skipped(NamedTuple):
    """An alert that was not restored, with the reason."""

    alert_id: str
    why: str


class Restored(NamedTuple):
    """A restored alert: the rule whose decision was undone, and the statuses."""

    alert_id: str
    rule_id: str
    from_status: str
    to_status: str


@dataclass(frozen=True)
class UndoReport:
    """What was undone or, in a dry run, would be undone. `undo_job_id` is None for a dry run.

    `alerts` has the first 1,000 of the `restored`; `moves` counts all by rule, from-status and to-status. `skipped` has
    the first 1,000 of the `skipped_total` that changed since, or whose write the server refused. `already_undone`
    counts the alerts that an earlier undo restored.
    """

    job_id: str
    undo_job_id: str | None
    dry_run: bool
    restored: int
    alerts: tuple[Restored, ...]
    skipped: tuple[Skipped, ...]
    skipped_total: int
    already_undone: int
    moves: Mapping[tuple[str, str, str], int]

    def by_rule(self) -> list[tuple[str, str, str, int]]:
        """Return the number of restored alerts by rule, from-status and to-status, sorted."""
        return [(*which, alerts) for which, alerts in sorted(self.moves.items())]


@at_the_door
def undo_job(
    db: AlertDatabase,
    job_id: str,
    *,
    rule_id: str | None = None,
    allow_again: bool = False,
    dry_run: bool = True,
    run_id: str | None = None,
    signature: Signature = UNSIGNED,
) -> UndoReport:
    """Undo the decisions of a job: restore its alerts to their state before it.

    An alert is restored if nothing happened to it since the decision, apart from undone decisions, and if the fields
    that the decision wrote are unchanged. Other alerts are skipped and listed. A second undo does nothing.

    Args:
        db: The database of the alerts.
        job_id: The job whose decisions are undone, or LATEST.
        rule_id: Undo the decisions of this rule only.
        allow_again: Whether the rule may decide these alerts again.
        dry_run: Whether to report only what would be restored. Default: True.
        run_id: The Dagster run of this undo.
        signature: Who undoes and why, stored in the job record and in the alerts' histories.

    Returns:
        The restored alerts, and the skipped ones with the reason.

    Raises:
        UndoError: The job is unknown or still running, or the rule decided nothing in it.

    Example:
        >>> auto_close_scanner(db)["auto_closed"]
        1
        >>> undo_job(db, "latest", dry_run=False).restored
        1
    """
    prepare_collections(db)
    # Until this, the record of a scan whose process died is still running.
    fail_stalled_jobs(db)
    if job_id == LATEST:
        job_id = _latest_decider(db)
    record = db[JOB_RECORDS].find_one({"job_id": {"$eq": job_id}})
    if record is None:
        raise UndoError(f"no job record {job_id!r} in {db.name}.{JOB_RECORDS}: `alert-pipelines jobs list` lists them")
    if record.get("status") == "running":
        raise UndoError(f"{job_id} is still running: wait until it ends, or cancel its run, then undo it")
    if rule_id is not None:
        _refuse_unknown_rule(db, job_id, rule_id)
    decided = _decided(job_id, rule_id)
    if dry_run:
        return _report(db, job_id, None, decided, ())
    undo_job_id = create_job_record(JOB_TYPE, db, run_id=run_id).job_id
    stats = {"undone_job_id": job_id, "rule_id": rule_id, "allow_again": allow_again, **signature.fields}
    try:
        with Lease(db, undo_job_id) as lease:
            # Written first: if this process dies, whoever ends the record must know which job to count again.
            update_job_record(undo_job_id, stats, RUNNING, None, db)
            refused = _restore_all(db, decided, _Undoing(job_id, undo_job_id, allow_again, signature), lease.check)
            report = _report(db, job_id, undo_job_id, decided, refused)
            done = {"restored": report.restored, "skipped": report.skipped_total}
            errors = [f"alert {one.alert_id!r}: {one.why}" for one in report.skipped]
            leave_out_undone(db, job_id)
            update_job_record(undo_job_id, stats | done, COMPLETED, errors, db)
    except BaseException as error:
        _record_failure(db, undo_job_id, stats, error)
        raise
    return report


def _latest_decider(db: AlertDatabase) -> str:
    """Return the last ended scan of this project that decided anything."""
    decided = {"$or": [{name: {"$gt": 0}} for name in ("alerts_closed", "alerts_escalated", "stats.undone")]}
    ours = {**SCANS, "status": {"$ne": RUNNING}, **decided}
    record = db[JOB_RECORDS].find_one(ours, {"job_id": 1}, sort=[("started_at", DESCENDING)])
    if record is None:
        raise UndoError(f"no scan of {db.name} has decided anything yet: `alert-pipelines jobs list` lists all jobs")
    return str(record["job_id"])


def _refuse_unknown_rule(db: AlertDatabase, job_id: str, rule_id: str) -> None:
    known = list(dict.fromkeys(row.rule_id for row in tally_decisions(db, job_id)))
    if rule_id not in known:
        said = did_you_mean(rule_id, known) if known else "the job decided nothing"
        raise UndoError(f"rule {rule_id!r} decided nothing in {job_id}; {said}")


def _record_failure(db: AlertDatabase, undo_job_id: str, stats: dict[str, Any], error: BaseException) -> None:
    """End the record as failed, with the counts, if it can still be written; else the next claim ends it."""
    try:
        restored = db[COLLECTION].count_documents({"state_history.job_id": undo_job_id})
        stats = {**stats, "restored": restored}
        leave_out_undone(db, stats["undone_job_id"])
        update_job_record(undo_job_id, stats, FAILED, [failure_text(db, error)], db)
    except (PyMongoError, JobRecordError):
        _log.exception("Could not finish job record %s; the next claim ends it", undo_job_id)


def _report(
    db: AlertDatabase, job_id: str, undo_job_id: str | None, decided: dict[str, Any], refused: Sequence[Skipped]
) -> UndoReport:
    if undo_job_id is None:
        which, fields = {**decided, "$expr": _is_untouched(job_id)}, _WOULD_BE
    else:
        which, fields = {"state_history.job_id": undo_job_id}, _was(undo_job_id)
    undone = {"state_history": {"$elemMatch": {"undoes.job_id": job_id, "job_id": {"$ne": undo_job_id}}}}
    # Undone alerts, now or before, were changed by the undo only.
    touched = {
        "$and": [decided, {"state_history.undoes.job_id": {"$ne": job_id}}],
        "$expr": {"$not": [_is_untouched(job_id)]},
    }
    # By expressions, to which an entry that is not an object has no fields.
    standing = {
        "by": "$$standing.triggered_by",
        "to": "$$standing.to_status",
        "last_at": "$$last.timestamp",
        "is_jobs": {"$eq": ["$$standing.job_id", {"$literal": job_id}]},
    }
    since = {"$let": {"vars": {"standing": _STANDING, "last": {"$last": HISTORY}}, "in": standing}}
    shown = {"alert_id": 1, "updated_at": 1, "since": since}
    skipped = [*refused, *(_why_skipped(doc) for doc in db[COLLECTION].find(touched, shown).limit(MAX_LISTED))]
    return UndoReport(
        job_id=job_id,
        undo_job_id=undo_job_id,
        dry_run=undo_job_id is None,
        restored=db[COLLECTION].count_documents(which),
        alerts=_restored(db, which, fields),
        skipped=tuple(skipped[:MAX_LISTED]),
        skipped_total=len(refused) + db[COLLECTION].count_documents(touched),
        already_undone=db[COLLECTION].count_documents({"$and": [decided, undone]}),
        moves=_moves(db, which, fields),
    )


def _decided(job_id: str, rule_id: str | None) -> dict[str, Any]:
    entry = {"job_id": job_id, "triggered_by": "system"} | ({"rule_triggered": rule_id} if rule_id else {})
    return {"state_history.job_id": job_id, "state_history": {"$elemMatch": entry}}


def _is_untouched(job_id: str) -> dict[str, Any]:
    """Return an expression: whether the alert is as the job's decision left it, and nothing was written since."""
    stands = {
        "$and": [
            {"$eq": ["$$standing.job_id", {"$literal": job_id}]},
            {"$eq": ["$$standing.to_status", "$status"]},
            {"$eq": ["$$last.timestamp", "$updated_at"]},
            # A program may change a field without updated_at.
            {"$cond": [{"$eq": ["$$standing.to_status", str(Status.AUTO_CLOSED)]}, _CLOSED, _ESCALATED]},
        ]
    }
    return {"$let": {"vars": {"standing": _STANDING, "last": {"$last": HISTORY}}, "in": stands}}


_CLOSED = {
    "$and": [
        {"$eq": ["$closed_at", "$$standing.timestamp"]},
        {"$eq": ["$auto_close_reason", "$$standing.reason"]},
    ]
}
_ESCALATED = {
    "$and": [
        {"$eq": ["$escalated_at", "$$standing.timestamp"]},
        {"$eq": ["$severity", str(Severity.CRITICAL)]},
    ]
}


class _Undoing(NamedTuple):
    """The undone job, the undo's job, whether rules may decide the alerts again, and who asked for it."""

    job_id: str
    undo_job_id: str
    allow_again: bool
    signature: Signature


def _restore_all(
    db: AlertDatabase, decided: dict[str, Any], undoing: _Undoing, check: Callable[[], None]
) -> list[Skipped]:
    """Restore every untouched alert; return those whose write the server refused."""
    untouched = {**decided, "$expr": _is_untouched(undoing.job_id)}
    update = _restoring_update(undoing)
    refused: dict[bytes, tuple[Any, Skipped]] = {}

    def write(ids: Sequence[Any]) -> int:
        check()
        return db[COLLECTION].update_many({**untouched, "_id": {"$in": ids}}, update).matched_count

    def skip(_id: Any, failure: Exception) -> None:
        found = db[COLLECTION].find_one({"_id": _id}, {"alert_id": 1}) or {}
        why = f"the server refused the write: {reason_of(failure):.300}"
        refused[alert_key(_id)] = _id, Skipped(str(found.get("alert_id")), why)

    def untouched_ids() -> list[Any]:
        left = {**untouched, "_id": {"$nin": [_id for _id, _ in refused.values()]}}
        return in_stored_order(doc["_id"] for doc in db[COLLECTION].find(left, {"_id": 1}, batch_size=_CURSOR_BATCH))

    # Usually one query finds all; the last, which finds none, shows that no fault left any out.
    while ids := retry_transient(untouched_ids, before_retry=check):
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            retry_transient(partial(write_with_bisection, part, write, skip), before_retry=check)
            _log.info("Undo of %s: %d of %d alerts looked at", undoing.job_id, start + len(part), len(ids))
    return [skipped for _, skipped in refused.values()]


def _restoring_update(undoing: _Undoing) -> list[dict[str, Any]]:
    before = "$__undone.before"
    entry = {
        "from_status": "$status",
        "to_status": f"{before}.status",
        "timestamp": "$$NOW",
        "reason": {"$literal": f"undo of {undoing.job_id}{undoing.signature.in_words}"},
        "triggered_by": "undo",
        "rule_triggered": None,
        "job_id": undoing.undo_job_id,
        "undoes": {"job_id": {"$literal": undoing.job_id}, "rule_id": "$__undone.rule_triggered"}
        | ({"allow_again": True} if undoing.allow_again else {}),
    }

    def taken_back(name: str) -> dict[str, Any]:
        # What `before` lacks, the alert lacked, if the decision wrote it at all.
        wrote = {"$or": [{"$eq": ["$__undone.to_status", str(status)]} for status in _WRITERS[name]]}
        was = f"{before}.{name}"
        return {"$cond": [wrote, {"$cond": [{"$eq": [{"$type": was}, "missing"]}, "$$REMOVE", was]}, f"${name}"]}

    restored = {name: taken_back(name) for name in _WRITERS}
    return [
        {"$set": {"__undone": _STANDING}},
        {
            "$set": {
                **restored,
                "updated_at": "$$NOW",
                "state_history": {"$concatArrays": ["$state_history", [entry]]},
            }
        },
        {"$unset": "__undone"},
    ]


# Fields that a decision may write besides history and updated_at. An undo is a change, too, so it sets updated_at.
_WRITERS: dict[str, tuple[Status, ...]] = {
    "status": (Status.AUTO_CLOSED, Status.ESCALATED),
    "severity": (Status.ESCALATED,),
    "escalated_at": (Status.ESCALATED,),
    "closed_at": (Status.AUTO_CLOSED,),
    "auto_close_reason": (Status.AUTO_CLOSED,),
}


_WOULD_BE = {
    "$let": {
        "vars": {"standing": _STANDING},
        "in": ["$alert_id", "$$standing.rule_triggered", "$status", "$$standing.before.status"],
    }
}


def _was(undo_job_id: str) -> dict[str, Any]:
    mine = {"$filter": {"input": "$state_history", "cond": {"$eq": ["$$this.job_id", undo_job_id]}}}
    fields = ["$alert_id", "$$entry.undoes.rule_id", "$$entry.from_status", "$$entry.to_status"]
    return {"$let": {"vars": {"entry": {"$first": mine}}, "in": fields}}


def _restored(db: AlertDatabase, which: dict[str, Any], fields: dict[str, Any]) -> tuple[Restored, ...]:
    found = db[COLLECTION].find(which, {"_id": 0, "restored": fields}).limit(MAX_LISTED)
    return tuple(Restored(*map(str, doc["restored"])) for doc in found)


def _moves(db: AlertDatabase, which: dict[str, Any], fields: dict[str, Any]) -> Counter[tuple[str, str, str]]:
    """Count the restored alerts by rule, from-status and to-status."""
    counted: Counter[tuple[str, str, str]] = Counter()
    group = {"_id": {"$slice": ["$restored", 1, 3]}, "alerts": {"$sum": 1}}
    for row in db[COLLECTION].aggregate([{"$match": which}, {"$project": {"restored": fields}}, {"$group": group}]):
        rule_id, from_status, to_status = map(str, row["_id"])
        counted[rule_id, from_status, to_status] += row["alerts"]
    return counted


def _why_skipped(doc: dict[str, Any]) -> Skipped:
    since = doc["since"]
    if since.get("is_jobs") and doc.get("updated_at") == since.get("last_at"):
        why = "a field that the decision wrote was changed since, and updated_at was not"
    elif doc.get("updated_at") == since.get("last_at"):
        why = f"{since.get('by')} set it to {since.get('to')} since"
    else:
        why = f"it was changed since, at {doc.get('updated_at')}"
    return Skipped(str(doc.get("alert_id")), why)
