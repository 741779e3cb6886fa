"""Which alerts were touched since an earlier completed scan, so that not all pending ones have to be looked at again.

That scan left nothing due undecided but what its checkpoint names. Its claim and this scan's are two entries of one
oplog, and the change stream between them names every alert that anybody touched in between; timestamps would be no
proof of change. Where any of this cannot be known, that is the answer, and all pending alerts are looked at.

The stream tells what a majority has, and the plan reads what a majority has, in the one causally consistent session
that read the stream: so no election takes back what a checkpoint is built on, and none makes one worthless.

`scopes` says what has to be looked at because of the touched ones.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import bson
import pymongo
from bson import Timestamp
from bson.errors import BSONError
from pymongo.errors import PyMongoError
from pymongo.synchronous.change_stream import ChangeStream

from alert_pipelines.alerts import COLLECTION, IS_PENDING, SETTLED_NAMES
from alert_pipelines.alerts.filters import MAX_ID_BYTES
from alert_pipelines.errors import UnknownChangesError
from alert_pipelines.job_model import JOB_RECORDS
from alert_pipelines.job_records import COMPLETED, SCANNER
from alert_pipelines.mongo.client import AlertDocument, server_now
from alert_pipelines.mongo.retry import TRANSIENT
from alert_pipelines.rules.clause import Stage
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.store import load_windows
from alert_pipelines.rules.window_compiler import alerts_of
from alert_pipelines.rules.windows import Covers, MaintenanceWindow
from alert_pipelines.scanner.checkpoint import (
    MAX_CHECKPOINT_CHARS,
    Checkpoint,
    Meaning,
    alerts_named,
    windows_fingerprint,
)
from alert_pipelines.scanner.context import OplogPosition, PlanContext

MAX_TOUCHED = 20_000
"""Above this many touched alerts, looking at all pending ones costs less."""
MAX_AGE = timedelta(days=1)
DRAIN_SECONDS = 15
_AWAIT_MS = 200
# Changes to these change an alert's key, or its place in it.
_ALWAYS_DECIDING = ("source_type", "timestamp")
_log = logging.getLogger(__name__)
_MARK = "overlooked_asked_by"


@dataclass
class Changes:
    """What was touched since the scan `since`; or, where `full_scan_reason` says why, that this is not known.

    A pending alert that a maintenance window kept that scan from deciding is touched by the end of the window.
    `has_removals`: an alert was deleted, or may have left its key. `token` is where this scan's own claim stands in the
    change stream, None where that is not known either. `full`: the scan looks at all alerts although this is known, to
    check what an incremental one would have looked at.
    """

    since: str | None = None
    since_as_of: datetime | None = None
    touched: list[Any] = field(default_factory=list)
    has_removals: bool = False
    token: Mapping[str, Any] | None = None
    full_scan_reason: str | None = None
    full: bool = False


def find_changes(context: PlanContext, before: OplogPosition, meaning: Meaning) -> Changes:
    """What was touched since the newest scan that a shorter plan can build on.

    The job of `context` was claimed after `before`; `meaning` is what it decides by. What cannot be known raises
    nothing: then all is to be looked at.
    """
    if before.operation_time is None:
        return Changes(full_scan_reason="the server is not a member of a replica set")
    stream = _Stream(context)
    try:
        if other := _scan_at_or_after(context):
            return Changes(full_scan_reason=f"{other} scanned at the same or a later as_of")
        return _since_checkpoint(context, stream, meaning)
    except TRANSIENT as fault:
        return Changes(full_scan_reason=f"MongoDB is unreachable ({fault})")
    except (UnknownChangesError, BSONError, PyMongoError) as unknown:
        return _whole(stream, before.operation_time, str(unknown))


def next_checkpoint(changes: Changes, meaning: Meaning, left: Sequence[Any]) -> str | None:
    """What a completed scan leaves for the next, dumped; None where the next has to look at all pending alerts."""
    if changes.token is None:
        return None
    text = Checkpoint(changes.token, meaning, tuple(left)).dump()
    return text if len(text) <= MAX_CHECKPOINT_CHARS else None


def _scan_at_or_after(context: PlanContext) -> str | None:
    """Another scan at the same or a later as_of, of whichever rules.

    This scan leaves alone what that one decided, and the next does not: so that cannot build on this one.
    """
    db, as_of, session = context.db, context.as_of, context.session
    # No scan looks far ahead of the clock by which it started.
    recent = {"$gt": as_of - timedelta(minutes=10)}
    scans = {"job_type": SCANNER, "started_at": recent, "job_id": {"$ne": context.job_id}}
    record = db[JOB_RECORDS].find_one({**scans, "as_of": {"$gte": as_of}}, {"job_id": 1}, session=session)
    if record:
        return str(record.get("job_id"))
    # What a record has lost, the decisions of its scan still hold. The records of the alert service have no `stats`.
    damaged = {**scans, "as_of": {"$not": {"$type": "date"}}, "stats": {"$type": "object"}}
    for record in db[JOB_RECORDS].find(damaged, {"job_id": 1}, session=session):
        decided = {"$elemMatch": {"job_id": {"$eq": record.get("job_id")}, "as_of": {"$gte": as_of}}}
        if db[COLLECTION].find_one({"state_history": decided}, {"_id": 1}, session=session):
            return str(record.get("job_id"))
    return None


def _since_checkpoint(context: PlanContext, stream: "_Stream", meaning: Meaning) -> Changes:
    # By the clock that started_at is by, since as_of may be any.
    day_ago = server_now(context.db) - MAX_AGE
    name, since_as_of, checkpoint = _newest_checkpoint(context, day_ago)
    if checkpoint.meaning.rules != meaning.rules:
        raise UnknownChangesError(f"rules have changed since {name}")
    if since_as_of > context.as_of:
        raise UnknownChangesError(f"{name} scanned at a later as_of")
    over = []
    if checkpoint.meaning.windows != meaning.windows:
        over = _windows_over(context, since_as_of, name, checkpoint)
    changes = Changes(since=name, since_as_of=since_as_of, touched=list(checkpoint.left))
    changes.token = stream.drain(changes, resume_after=checkpoint.token)
    if over:
        changes.touched += _pending_alerts_of(context, over)
    if len(changes.touched) > MAX_TOUCHED:
        why = f"more than {MAX_TOUCHED} alerts changed, or left a maintenance window, since {name}"
        return Changes(token=changes.token, full_scan_reason=why)
    if _is_check_due(context, day_ago):
        changes.full = True
        changes.full_scan_reason = (
            f"once a day a full scan checks what an incremental one since {name} would have looked at"
        )
    return changes


def _windows_over(context: PlanContext, since: datetime, name: str, checkpoint: Checkpoint) -> list[MaintenanceWindow]:
    """The windows that were in force at `since`, when the scan `name` left `checkpoint`, and are not now.

    One that has begun makes nothing due: its alerts still count as evidence, but for those that were raised in it, and
    they are new. Raises UnknownChangesError.
    """
    then = load_windows(context.db, since).windows
    known = windows_fingerprint(then, since) == checkpoint.meaning.windows
    if not known or any(window.forgets(since, context.as_of) for window in then):
        raise UnknownChangesError(f"maintenance windows that left alerts out of {name} have changed")
    # By the windows of the plan: one that is edited only now is the next scan's.
    in_force = {alerts_named(window) for window in context.windows if window.holds_at(context.as_of)}
    return [window for window in then if window.holds_at(since) and alerts_named(window) not in in_force]


def _pending_alerts_of(context: PlanContext, windows: Sequence[MaintenanceWindow]) -> Iterator[Any]:
    """The `_id`s of the pending alerts that `windows` name, of more than MAX_TOUCHED no more than tell so."""
    context.check()
    query = {"$and": [IS_PENDING, alerts_of(windows)]}
    for found in context.db[COLLECTION].find(query, {"_id": 1}, limit=MAX_TOUCHED + 1, session=context.session):
        yield _queryable(found)


def _is_check_due(context: PlanContext, day_ago: datetime) -> bool:
    """Whether scans have gone on for a day in which none checked what the incremental ones look at."""
    checked_since = {"started_at": {"$gt": day_ago}, "stats.overlooked": {"$type": "number"}}
    before = {"started_at": {"$lte": day_ago}, "stats.checkpoint": {"$type": "string"}}
    query = {"job_type": SCANNER, "started_at": {"$not": {"$type": "array"}}, "$or": [checked_since, before]}
    records, newest_first = context.db[JOB_RECORDS], [("started_at", -1)]
    found = records.find_one(query, {"started_at": 1}, sort=newest_first, session=context.session) or {}
    newest = found.get("started_at")
    return isinstance(newest, datetime) and newest <= day_ago


def changes_since_claim(context: PlanContext, token: Mapping[str, Any]) -> Changes:
    """What was touched from the claim of the job, at `token`, until now. Raises UnknownChangesError, PyMongoError."""
    job_id = context.job_id
    changes = Changes(since=job_id, since_as_of=context.as_of)
    # An entry of the same oplog, after all that was read so far.
    context.db[JOB_RECORDS].update_one({"job_id": job_id}, {"$set": {_MARK: job_id}})
    changes.token = _Stream(context).drain(changes, resume_after=token)
    return changes


def _newest_checkpoint(context: PlanContext, day_ago: datetime) -> tuple[str, datetime, Checkpoint]:
    """The newest completed scan since `day_ago` that left a checkpoint. Raises UnknownChangesError."""
    since = {"$gt": day_ago}
    completed = {"job_type": SCANNER, "status": COMPLETED, "started_at": since, "stats.checkpoint": {"$type": "string"}}
    fields = {"job_id": 1, "as_of": 1, "stats.checkpoint": 1}
    records, newest_first = context.db[JOB_RECORDS], [("started_at", -1)]
    record = records.find_one(completed, fields, sort=newest_first, session=context.session)
    if record is None:
        raise UnknownChangesError("no completed scan of the last day has left a checkpoint")
    name, as_of = str(record.get("job_id")), record.get("as_of")
    if not isinstance(as_of, datetime):
        raise UnknownChangesError(f"the job record of {name} has no valid as_of")
    try:
        return name, as_of, Checkpoint.load(record["stats"]["checkpoint"])
    except Exception as fault:
        # Another version may have written it, or anybody edited it: whatever is wrong, a full scan needs none of it.
        _log.warning("The checkpoint of %s cannot be read", name, exc_info=True)
        raise UnknownChangesError(f"the checkpoint of {name} cannot be read ({type(fault).__name__})") from fault


def _whole(stream: "_Stream", operation_time: Timestamp, why: str) -> Changes:
    changes = Changes(full_scan_reason=why)
    try:
        changes.token = stream.drain(Changes(), start_at_operation_time=operation_time)
    except (UnknownChangesError, BSONError, PyMongoError) as unknown:
        changes.full_scan_reason = f"{why}; and the next scan cannot build on this one: {unknown}"
    return changes


class _Stream:
    """The change stream up to this scan's own claim.

    When that has come, all that was written before it has: the oplog has one order. And what is in the stream is
    visible to all reads that follow in its session, also if another primary answers them.
    """

    def __init__(self, context: PlanContext) -> None:
        self._context = context
        self._pipeline = _stream_pipeline(context.rules, context.windows)

    def drain(self, changes: Changes, **start: Any) -> Mapping[str, Any]:
        """Add to `changes` what was touched, and return the token of the claim, or of the mark.

        Raises UnknownChangesError, PyMongoError.
        """
        options: dict[str, Any] = {"max_await_time_ms": _AWAIT_MS, "batch_size": 1_000, **start}
        with (
            pymongo.timeout(DRAIN_SECONDS),
            self._context.db.watch(self._pipeline, session=self._context.session, **options) as stream,
        ):
            events = self._until_deadline(stream)
            while (event := next(events)).get("job_id") != self._context.job_id:
                _take_in(event, changes)
            token: Mapping[str, Any] = event["_id"]
            return token

    def _until_deadline(self, stream: ChangeStream[AlertDocument]) -> Iterator[AlertDocument]:
        deadline = time.monotonic() + DRAIN_SECONDS
        for number in count():
            event = stream.try_next()
            if event is None or number % 1_000 == 0:
                self._context.check()
            if time.monotonic() > deadline:
                raise UnknownChangesError(f"the change stream was not read to its end within {DRAIN_SECONDS} s")
            if event is not None:
                yield event


def _take_in(event: Mapping[str, Any], changes: Changes) -> None:
    kind = event["operationType"]
    if event["ns"].get("coll") == JOB_RECORDS:
        return
    if kind not in ("insert", "update", "replace", "delete"):
        raise UnknownChangesError(f"the collection was changed as a whole ({kind})")
    changes.has_removals |= bool(event.get("moved")) or kind in ("replace", "delete")
    if kind != "delete" and len(changes.touched) <= MAX_TOUCHED:
        changes.touched.append(_queryable(event["documentKey"]))


def _queryable(alert: Mapping[str, Any]) -> Any:
    """The `_id` of an alert that is to be looked at again. Raises UnknownChangesError."""
    if len(bson.encode({"_id": alert["_id"]})) > MAX_ID_BYTES:
        raise UnknownChangesError("an alert changed whose _id is too long for a query")
    return alert["_id"]


def _stream_pipeline(rules: Sequence[Rule], windows: Sequence[MaintenanceWindow]) -> list[Stage]:
    """The stages of the change stream: the events that matter, and the fields of each that a plan reads."""
    moved = _touches_any(sorted({*(path for rule in rules for path in rule.conditions.key_paths), *_ALWAYS_DECIDING}))
    # An alert that is settled, and stays where it is, makes nothing due: fewer are pending, none is older.
    settled = {"operationType": "update", "updateDescription.updatedFields.status": {"$in": SETTLED_NAMES}}
    # By these it may begin to count as evidence, or cease to.
    fields = sorted({window.field for window in windows if window.covers is Covers.RAISED and window.field})
    counts_otherwise = [{"$expr": _touches_any(fields)}] if fields else []
    important = {"$match": {"$or": [{"$nor": [settled]}, {"$expr": moved}, *counts_otherwise]}}
    all_matter = any(rule.conditions.counts_settled or rule.conditions.others for rule in rules)
    return [
        {
            "$match": {
                "$or": [
                    {"ns.coll": COLLECTION},
                    {"to.coll": COLLECTION},
                    # All of them: a token can be resumed after only where its own event is still in the stream.
                    {"ns.coll": JOB_RECORDS, "operationType": "insert"},
                    {"ns.coll": JOB_RECORDS, f"updateDescription.updatedFields.{_MARK}": {"$exists": True}},
                    {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
                ]
            }
        },
        *([] if all_matter else [important]),
        {
            "$project": {
                "operationType": 1,
                "ns": 1,
                "documentKey": 1,
                "job_id": {"$ifNull": [f"$updateDescription.updatedFields.{_MARK}", "$fullDocument.job_id"]},
                "moved": {"$and": [{"$eq": ["$operationType", "update"]}, moved]},
            }
        },
    ]


def _touches_any(paths: Sequence[str]) -> dict[str, Any]:
    """Whether an update changed one of `paths`, something in it, or what it is in."""
    above = [path.rsplit(".", depth)[0] for path in paths for depth in range(1, path.count(".") + 1)]
    within = [{"$eq": [{"$indexOfCP": [{"$concat": ["$$path", "."]}, {"$literal": f"{path}."}]}, 0]} for path in paths]
    changed = {
        "$concatArrays": [
            {
                "$map": {
                    "input": {"$objectToArray": {"$ifNull": ["$updateDescription.updatedFields", {}]}},
                    "in": "$$this.k",
                }
            },
            {"$ifNull": ["$updateDescription.removedFields", []]},
            {"$map": {"input": {"$ifNull": ["$updateDescription.truncatedArrays", []]}, "in": "$$this.field"}},
        ]
    }
    touches = {"$or": [{"$in": ["$$path", {"$literal": above}]}, *within]}
    return {"$anyElementTrue": [{"$map": {"input": changed, "as": "path", "in": touches}}]}
