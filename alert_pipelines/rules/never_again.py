"""Compiles "never again": what people took back, or set pending again, a rule does not decide a second time.

An alert that its source opened again with a later `timestamp` is a new occurrence: earlier decisions do not count.
"""

from typing import Any

from alert_pipelines.alerts import Status, entries_where
from alert_pipelines.mongo.bson_types import is_date
from alert_pipelines.rules.clause import Filter, Predicate

# One without a date may be of this occurrence, so it counts.
_WRITTEN_AT = {"$cond": [is_date("$$entry.timestamp"), "$$entry.timestamp", "$timestamp"]}
_DECIDED_FOR = {"$cond": [is_date("$$entry.as_of"), "$$entry.as_of", _WRITTEN_AT]}
_IS_OF_THIS_OCCURRENCE: dict[str, Any] = {"$gte": [_DECIDED_FOR, "$timestamp"]}
"""Whether the decision `$$entry` is not from before the alert's present `timestamp`; an expression."""


def not_closed_before(rule_id: str) -> Predicate:
    """No close of this occurrence by the rule, nor by an automation that named no rule, stands in the history.

    An undo may have allowed the close again. The first branch spares the common history the comparison with the alert's
    own `timestamp`, which only an expression can make.
    """
    closed = str(Status.AUTO_CLOSED)
    by_it = {"rule_triggered": rule_id}
    unnamed = {"triggered_by": "system", "rule_triggered": {"$in": [None, ""]}}
    by_its_rule = {"$eq": ["$$entry.rule_triggered", {"$literal": rule_id}]}
    by_no_rule = {
        "$and": [
            {"$eq": ["$$entry.triggered_by", "system"]},
            {"$eq": [{"$ifNull": ["$$entry.rule_triggered", ""]}, ""]},
        ]
    }
    counted = entries_where(
        {"$eq": ["$$entry.to_status", closed]},
        {"$or": [by_its_rule, by_no_rule]},
        _IS_OF_THIS_OCCURRENCE,
        {"$not": [{"$in": ["$$entry.job_id", "$$allowed_again"]}]},
    )
    allowing = entries_where({"$eq": ["$$entry.undoes.allow_again", True]})
    allowed_again = {"$map": {"input": allowing, "as": "undo", "in": "$$undo.undoes.job_id"}}
    never: Filter = {
        "$or": [
            {"state_history": {"$not": {"$elemMatch": {"to_status": closed, "$or": [by_it, unnamed]}}}},
            {"$expr": {"$let": {"vars": {"allowed_again": allowed_again}, "in": {"$eq": [counted, []]}}}},
        ]
    }
    description = "it would be the first close since its timestamp by this rule, or by a job that names no rule"
    return Predicate("never_again", description, never, ("state_history", "timestamp"))


def no_undone_escalation(rule_id: str) -> Predicate:
    """No escalation of this occurrence by the rule was undone, but by an undo that allowed it again.

    Which occurrence it was of, the escalation says and not the undo, which may come long after.
    """
    escalated = str(Status.ESCALATED)
    undone = {"from_status": escalated, "undoes.rule_id": rule_id, "undoes.allow_again": {"$ne": True}}
    earlier = entries_where({"$eq": ["$$entry.to_status", escalated]}, {"$not": [_IS_OF_THIS_OCCURRENCE]})
    jobs_of_earlier = {"$map": {"input": earlier, "as": "entry", "in": "$$entry.job_id"}}
    counted = entries_where(
        {"$eq": ["$$entry.from_status", escalated]},
        {"$eq": ["$$entry.undoes.rule_id", {"$literal": rule_id}]},
        {"$ne": ["$$entry.undoes.allow_again", True]},
        {"$not": [{"$in": ["$$entry.undoes.job_id", "$$jobs_of_earlier"]}]},
    )
    never: Filter = {
        "$or": [
            {"state_history": {"$not": {"$elemMatch": undone}}},
            {"$expr": {"$let": {"vars": {"jobs_of_earlier": jobs_of_earlier}, "in": {"$eq": [counted, []]}}}},
        ]
    }
    description = "all escalations by this rule since its timestamp still stand"
    return Predicate("never_again", description, never, ("state_history", "timestamp"))
