"""The asset `rules_overview`: each rule in one sentence, its limits, its decisions; and the job of both pages."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from dagster import AssetSelection, MaterializeResult, asset

from alert_pipelines.defs.asset_specs import ALERT_RULES, REPORTS_GROUP, RULES_OVERVIEW
from alert_pipelines.defs.background_jobs import background_job, background_schedule
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.reports.today import today
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.tables import table, unbroken, without_empty
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.monitoring.rule_activity import (
    WEEK,
    RuleActivity,
    What,
    activity_by_rule,
    largest_plans,
    last_decisions,
)
from alert_pipelines.monitoring.scan_records import LOOK_BACK
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.rule_collections import SERVICE_RULES, stored_rules
from alert_pipelines.rules.sentences import sentence
from alert_pipelines.rules.store import usable_rules

MAX_PLOTTED = 20
"""Of at most this many rules, those that did the most in 7 days, the UI plots numbers."""

# Mode and priority below the rule: beside it they would leave the sentence a third of the page.
_RULE_COLUMNS = ("rule", "what it does")
# Two numbers a cell: with a column for each the table would be wider than the page.
_DONE_COLUMNS = ("rule", "closed", "escalated", "reopened", "last decided")
_LIMIT_COLUMNS = ("rule", "limit", "most in a scan of 7 days")


class _Done(NamedTuple):
    day: int = 0
    week: int = 0


@asset(
    name=RULES_OVERVIEW,
    group_name=REPORTS_GROUP,
    owners=["team:alert-operations"],
    kinds={"mongodb"},
    deps=[ALERT_RULES],
    description="Each rule in one sentence, with mode, priority and limits, what it closed and escalated in 24 hours "
    "and in 7 days, how many of these were reopened, and its last decision. Updated every hour; **Materialize** "
    "updates it now. Times are UTC. The tab **Events** shows it in full width.",
)
def rules_overview(mongo: MongoResource, names: Names) -> MaterializeResult[None]:
    """Say what the rules are and do; nothing is written."""
    with as_dagster_failure(), mongo.open() as db:
        return MaterializeResult(asset_key=names.key(RULES_OVERVIEW), metadata=_page(db, server_now(db)))


def _page(db: AlertDatabase, now: datetime) -> dict[str, Any]:
    rules, errors = usable_rules(db)
    activity, last, largest = (
        activity_by_rule(db, now),
        last_decisions(db, now - LOOK_BACK),
        largest_plans(db, now - WEEK),
    )
    done = {(one.rule_id, one.what): _Done(one.day, one.week) for one in activity}
    honoured = [str(one.document.get("rule_id")) for one in stored_rules(db) if one.collection == SERVICE_RULES]
    others = [rule.rule_id for rule in rules if rule.rule_id not in honoured]
    return {
        **({"not valid": "\n".join(map(str, errors))} if errors else {}),
        **without_empty(
            {
                "rules": table(_RULE_COLUMNS, ((_named(one), sentence(one)) for one in _ordered(rules))),
                "what they did, in 24 hours · in 7 days": table(
                    _DONE_COLUMNS, (_done_row(one, done, last) for one in _ids(rules, activity))
                ),
                "limits": table(_LIMIT_COLUMNS, _limit_rows(rules, largest)),
            }
        ),
        "honoured by the alert service, too": ", ".join(honoured) or "none",
        "decided by scans only": ", ".join(others) or "none",
        **_plotted(activity),
        "database": db.name,
    }


def _ordered(rules: Iterable[Rule]) -> list[Rule]:
    """As scans ask them: the highest priority first, then by id."""
    return sorted(rules, key=lambda rule: (-rule.priority, rule.rule_id))


def _named(rule: Rule) -> str:
    return f"{rule.rule_id}\n{unbroken(f'{rule.effective_mode}, priority {rule.priority}')}"


def _ids(rules: Iterable[Rule], activity: Iterable[RuleActivity]) -> list[str]:
    """The rules, and what else decided in these days: `expires_at`, and rules that are gone."""
    return list(dict.fromkeys([*(rule.rule_id for rule in _ordered(rules)), *(one.rule_id for one in activity)]))


def _done_row(rule_id: str, done: Mapping[tuple[str, What], _Done], last: Mapping[str, datetime]) -> tuple[str, ...]:
    closed, escalated, reopened = (
        done.get((rule_id, what), _Done()) for what in (What.CLOSED, What.ESCALATED, What.REOPENED)
    )
    at = f"{last[rule_id]:%d %b %H:%M}" if rule_id in last else f"not in {LOOK_BACK.days} days"
    numbers = (f"{one.day:,} · {one.week:,}" for one in (closed, escalated, reopened))
    return rule_id, *map(unbroken, (*numbers, at))


def _limit_rows(rules: Iterable[Rule], largest: Mapping[tuple[str, str], int]) -> Iterator[tuple[str | int, ...]]:
    for rule in _ordered(rules):
        conditions = rule.conditions
        for decision, most, fraction in (
            ("close", conditions.max_close, conditions.max_close_fraction),
            ("escalate", conditions.max_escalate, conditions.max_escalate_fraction),
        ):
            limits = [
                *([f"{most:,}"] if most is not None else []),
                *([f"{fraction:.0%} of pending"] if fraction is not None else []),
            ]
            if limits:
                yield rule.rule_id, f"{decision} {' or '.join(limits)}", largest.get((rule.rule_id, decision), 0)


def _plotted(activity: Iterable[RuleActivity]) -> dict[str, int]:
    decided = [one for one in activity if one.what in (What.CLOSED, What.ESCALATED)]
    most = sorted(decided, key=lambda one: -one.week)[:MAX_PLOTTED]
    return {f"{one.what} in 24 h by {one.rule_id}": one.day for one in most}


overview_job = background_job(
    "overview_job",
    AssetSelection.assets(today, rules_overview),
    "Make the pages today (what rules did, what is pending, comes next or is blocked) and rules_overview.",
)

overview_schedule = background_schedule(
    overview_job, "2 * * * *", "Makes the pages today and rules_overview once an hour."
)
