"""Applying a plan: guarded batches, two writers, and the one bad document found when a batch fails.

A write repeats every test the rule makes on the alert itself, so an alert that changed since the plan is left alone.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pymongo
from pymongo.collection import Collection

from alert_pipelines.alerts import COLLECTION, Severity, Status
from alert_pipelines.leases import write_limit_s
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.reasons import reason_of
from alert_pipelines.mongo.retry import retry_transient
from alert_pipelines.rules.clause import Clause
from alert_pipelines.scanner.bisection import write_with_bisection
from alert_pipelines.scanner.plan import Plan
from alert_pipelines.scanner.rate_limiter import RateLimiter
from alert_pipelines.settings import read_settings

BATCH = 5_000
WRITERS = 2


@dataclass(frozen=True)
class DecisionContext:
    """What every decision of a scan carries into the history."""

    job_id: str
    run_id: str | None
    rule_set_version: str
    as_of: datetime


@dataclass
class Applied:
    """What became of the planned writes, as the server answered; `refused` are the `_id`s that `errors` name."""

    written: int = 0
    conflicts: int = 0
    errors: list[str] = field(default_factory=list)
    refused: list[Any] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Alerts whose write the server refused; each is named in `errors`."""
        return len(self.errors)


def apply_plan(
    db: AlertDatabase,
    plan: Plan,
    context: DecisionContext,
    check: Callable[[], None],
    on_batch: Callable[[int], None],
) -> Applied:
    """Write all decisions of `plan`, batch by batch, from two threads, as fast as AUTO_CLOSE_MAX_WRITES_PER_S lets.

    `check` is called before every write and may raise to stop the scan; `on_batch` gets the size of each finished
    batch, from one writer's thread at a time. Raises what stopped it, after the writers have ended, and
    SettingsError.
    """
    settings = read_settings()
    limiter, limit_s = RateLimiter(settings.max_writes_per_s), write_limit_s(settings.lease_s)
    writer = _Writer(db[COLLECTION], context, check, on_batch, limiter, limit_s)
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="apply") as pool:
        try:
            writes = [pool.submit(writer.write, clause, ids) for clause, ids in plan.batches(limiter.batch(BATCH))]
            wait(writes, return_when=FIRST_EXCEPTION)
            for write in writes:
                if write.done():
                    write.result()
        except BaseException:
            writer.stop()
            pool.shutdown(cancel_futures=True)
            raise
    return writer.applied


def count_deleted(db: AlertDatabase, plan: Plan) -> int:
    """The alerts of `plan` that are there no longer."""
    return sum(len(ids) - db[COLLECTION].count_documents({"_id": {"$in": ids}}) for _, ids in plan.batches(BATCH))


@dataclass
class _Writer:
    alerts: Collection[AlertDocument]
    context: DecisionContext
    check: Callable[[], None]
    on_batch: Callable[[int], None]
    limiter: RateLimiter
    write_limit_s: float
    applied: Applied = field(default_factory=Applied)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    under_way: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(WRITERS))

    def stop(self) -> None:
        """Return when no write is under way, nor will be.

        The pool cannot promise that: a thread that was just starting as the interrupt came is not joined.
        """
        self.stopped.set()
        for _ in range(WRITERS):
            self.under_way.acquire()
        self.under_way.release(WRITERS)

    def write(self, clause: Clause, ids: list[Any]) -> None:
        update = decision_update(clause, self.context)
        errors: list[str] = []
        not_written: list[Any] = []
        tries = 0

        def write(part: Sequence[Any]) -> int:
            def once() -> int:
                nonlocal tries
                tries += 1
                with self.under_way, pymongo.timeout(self.write_limit_s):
                    self._may_go_on()
                    return self.alerts.update_many({"_id": {"$in": part}, **clause.alert_filter}, update).matched_count

            return retry_transient(once, before_retry=self._may_go_on)

        def refused(_id: Any, failure: Exception) -> None:
            errors.append(self._refused(clause, _id, failure))
            not_written.append(_id)

        self.limiter.wait(len(ids), self._may_go_on)
        matched = write_with_bisection(ids, write, refused)
        # After a fault the replies no longer tell what was written; the histories do.
        done = matched if tries == 1 else self._count_done(ids)
        with self.lock:
            self.applied.written += done
            self.applied.conflicts += len(ids) - done - len(errors)
            self.applied.errors += errors
            self.applied.refused += not_written
            self.on_batch(len(ids))

    def _may_go_on(self) -> None:
        if self.stopped.is_set():
            raise InterruptedError("the scan was stopped")
        self.check()

    def _count_done(self, ids: list[Any]) -> int:
        query = {"_id": {"$in": ids}, "state_history.job_id": self.context.job_id}
        return retry_transient(lambda: self.alerts.count_documents(query), before_retry=self._may_go_on)

    def _refused(self, clause: Clause, _id: Any, failure: Exception) -> str:
        found = self.alerts.find_one({"_id": _id}, {"alert_id": 1}) or {}
        return (
            f"alert {found.get('alert_id', _id)!r:.200}: rule {clause.rule_id!r} decided it ({clause.condition}), but "
            f"the server refused the write: {reason_of(failure):.300}"
        )


def decision_update(clause: Clause, context: DecisionContext) -> list[dict[str, Any]]:
    """The update pipeline that writes one decision and, in the same breath, its history entry.

    Every text that comes from a rule is a `$literal`: it would be read as a field otherwise.
    """
    reason = {"$literal": f"{clause.rule_id}: {clause.reason}"}
    if clause.to_status is Status.AUTO_CLOSED:
        change: dict[str, Any] = {"closed_at": "$$NOW", "auto_close_reason": reason}
    else:
        change = {"escalated_at": "$$NOW", "severity": str(Severity.CRITICAL)}
    change |= {"status": str(clause.to_status), "updated_at": "$$NOW"}
    entry = {
        "from_status": "$status",
        "to_status": str(clause.to_status),
        "timestamp": "$$NOW",
        "reason": reason,
        "triggered_by": "system",
        "rule_triggered": {"$literal": clause.rule_id},
        "condition": clause.condition,
        "job_id": context.job_id,
        "run_id": {"$literal": context.run_id},
        "rule_set_version": context.rule_set_version,
        "as_of": context.as_of,
        "matched": [{"field": {"$literal": path}, "value": f"${path}"} for path in clause.deciding_fields],
        # A field that the alert lacks is left out here too, so an undo knows to remove it.
        "before": {name: f"${name}" for name in change},
    }
    history = {"$concatArrays": [{"$ifNull": ["$state_history", []]}, [entry]]}
    return [{"$set": {**change, "state_history": history}}]
