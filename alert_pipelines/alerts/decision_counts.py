"""Counts of decisions by rule and source, for plans, reports and job records.

The decisions of a job are read from the histories of the alerts, which are the only record of them.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from alert_pipelines.alerts.history import count_decided, tally_decisions
from alert_pipelines.alerts.model import Status
from alert_pipelines.job_model import JOB_RECORDS
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door

Decision = Literal["close", "escalate"]

MAX_COUNTS = 200
MAX_CHARS = 200
OTHER_SOURCES = "(other sources)"


class DecisionCount(NamedTuple):
    """The number of alerts of one source with one decision by one rule."""

    rule_id: str
    source_type: str
    decision: Decision
    alerts: int


COUNT_COLUMNS = ("rule", "source", "decision", "alerts")
"""What a table calls the fields of a DecisionCount."""


@at_the_door
def decisions_of(db: AlertDatabase, job_id: str, planned: tuple[DecisionCount, ...] = ()) -> tuple[DecisionCount, ...]:
    """What `job_id` decided, also what was undone or overtaken since. Raises PyMongoError.

    `planned` is all that the job can have written, if that is known: where as many histories name the job, each of
    these decisions is in one of them, and none is read.
    """
    if planned and count_decided(db, job_id) == count(planned):
        return tuple(sorted(planned))
    return tuple(
        DecisionCount(row.rule_id, row.source_type, decision_of(row.to_status), row.alerts)
        for row in tally_decisions(db, job_id)
    )


@at_the_door
def leave_out_undone(db: AlertDatabase, job_id: str) -> None:
    """Have the record of `job_id` count only what stands of its decisions, and say how many were undone.

    Everything that is added up from job records leaves undone decisions out by that. Raises PyMongoError.
    """
    tally = tally_decisions(db, job_id)
    if not any(row.undone for row in tally):
        return
    standing = tuple(
        DecisionCount(row.rule_id, row.source_type, decision_of(row.to_status), row.alerts - row.undone)
        for row in tally
        if row.alerts > row.undone
    )
    stats = stats_of(standing)
    fields: dict[str, Any] = {
        "alerts_closed": stats["alerts_closed"],
        "alerts_escalated": stats["alerts_escalated"],
        "stats.decisions": {"$literal": stats["decisions"]},
        "stats.undone": sum(row.undone for row in tally),
    }
    db[JOB_RECORDS].update_one({"job_id": job_id}, [{"$set": fields}])


def stats_of(decisions: tuple[DecisionCount, ...]) -> dict[str, Any]:
    """What a job record says of `decisions`, as BSON values."""
    return {
        "alerts_closed": count(decisions, "close"),
        "alerts_escalated": count(decisions, "escalate"),
        "decisions": [entry._asdict() for entry in limit_rows(decisions)],
    }


def limit_rows(counts: Iterable[DecisionCount]) -> tuple[DecisionCount, ...]:
    """`counts` as a record or a table can hold them, whatever the alerts, and their histories, say.

    Long sources and rule ids are cut; past the 200 largest counts, those of one rule and decision are summed as of
    OTHER_SOURCES.
    """
    cut = [entry._replace(rule_id=truncate(entry.rule_id), source_type=truncate(entry.source_type)) for entry in counts]
    if len(cut) <= MAX_COUNTS:
        return tuple(cut)
    smallest = sorted(entry.alerts for entry in cut)[-MAX_COUNTS]
    large = [entry for entry in cut if entry.alerts >= smallest][:MAX_COUNTS]
    rest: Counter[tuple[str, Decision]] = Counter()
    for entry in cut:
        rest[entry.rule_id, entry.decision] += entry.alerts
    for entry in large:
        rest[entry.rule_id, entry.decision] -= entry.alerts
    others = [DecisionCount(rule, OTHER_SOURCES, decision, n) for (rule, decision), n in rest.items() if n]
    return (*large, *others)


def truncate(text: str, longest: int = MAX_CHARS) -> str:
    """`text`, cut to a number of its characters."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def decision_of(to_status: Status) -> Decision:
    """The word for setting an alert to `to_status`."""
    return "close" if to_status is Status.AUTO_CLOSED else "escalate"


def count(entries: tuple[DecisionCount, ...], decision: Decision | None = None) -> int:
    """How many alerts `entries` hold, of one decision or of both."""
    return sum(entry.alerts for entry in entries if decision in (None, entry.decision))
